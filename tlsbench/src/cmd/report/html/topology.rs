//! The picture of a placement: its hops in a row, what each link carries, and what each hop costs.

use maud::{Markup, html};
use tlsbench_core::hop::LinkSecurity;
use tlsbench_core::lab::{Pass, Workload};
use tlsbench_core::report::{LabReport, PlacementHopReport, PlacementReport};
use tlsbench_core::stats::Estimate;

use super::figure::{Picture, WIDTH, short};
use super::scale::px;

/// A placement with what was measured of it.
pub(super) fn picture(lab: &LabReport, placement: &PlacementReport, id: &str) -> Picture {
    let places = PicturePlaces::of(placement.hops.len());
    let workloads: Vec<Workload> = lab
        .workloads(Pass::Cpu)
        .into_iter()
        .filter(|workload| lab.trial(&placement.name, *workload, Pass::Cpu).is_some())
        .collect();
    let drawn = html! {
        (client(&places))
        @for (index, hop) in placement.hops.iter().enumerate() { (station(index, hop, &places)) }
        @for (index, workload) in workloads.iter().enumerate() {
            (costs(lab, placement, *workload, &places, BELOW + ROW * index as f64))
        }
    };
    Picture {
        id: format!("{id}-{}", placement.name),
        title: placement.name.clone(),
        under: placement.ends.clone(),
        says: says(placement),
        height: BELOW + ROW * workloads.len() as f64 + 2.0,
        drawn,
    }
}

/// The places of boxes: the client's, and one for each hop.
struct PicturePlaces {
    width: f64,
    step: f64,
}

impl PicturePlaces {
    fn of(hops: usize) -> Self {
        // n boxes and the n - 1 links between them fill the width.
        let boxes = hops as f64 + 1.0;
        let width = (WIDTH - 2.0) / (boxes + (boxes - 1.0) * LINK);
        Self { width, step: width * (1.0 + LINK) }
    }

    fn left(&self, index: usize) -> f64 {
        1.0 + self.step * index as f64
    }

    fn middle(&self, index: usize) -> f64 {
        self.left(index) + self.width / 2.0
    }
}

fn client(places: &PicturePlaces) -> Markup {
    html! {
        text x=(px(places.middle(0))) y=(px(TOP + 24.0)) text-anchor="middle" { "client" }
    }
}

fn station(index: usize, hop: &PlacementHopReport, places: &PicturePlaces) -> Markup {
    let (left, middle) = (places.left(index + 1), places.middle(index + 1));
    // Only a hop that ends TLS holds a private key, and that is what the frame shows.
    let is_key = hop.link != LinkSecurity::Plain && !hop.passes_on;
    let class = match (is_key, hop.passes_on) {
        (true, _) => "box key",
        (_, true) => "box through",
        _ => "box",
    };
    let line = TOP + 20.0;
    let (from, to) = (places.left(index) + places.width + 2.0, left - 7.0);
    let (tls, word) = match hop.link {
        LinkSecurity::Plain => ("", ""),
        LinkSecurity::Tls => (" tls", "TLS"),
        LinkSecurity::Mtls => (" tls", "mTLS"),
    };
    html! {
        line class=(format!("link{tls}")) x1=(px(from)) x2=(px(to)) y1=(px(line)) y2=(px(line)) {}
        path class=(format!("head{tls}")) d=(format!("M{} {}l6 5l-6 5z", px(to - 0.5), px(line - 5.0))) {}
        @if !word.is_empty() {
            text class="tiny tls" x=(px(left - places.width * LINK / 2.0)) y=(px(line - 8.0))
                text-anchor="middle" { (word) }
        }
        rect class=(class) x=(px(left)) y=(px(TOP)) width=(px(places.width)) height=(px(BOX)) rx="4" {}
        text class="strong" x=(px(middle)) y=(px(TOP + 17.0)) text-anchor="middle" { (hop.role) }
        text class="tiny muted" x=(px(middle)) y=(px(TOP + 31.0)) text-anchor="middle" {
            @if hop.kind.as_str() == hop.role.as_str() { (hop.engine) } @else { (hop.kind) }
        }
    }
}

fn costs(
    lab: &LabReport,
    placement: &PlacementReport,
    workload: Workload,
    places: &PicturePlaces,
    top: f64,
) -> Markup {
    let Some(trial) = lab.trial(&placement.name, workload, Pass::Cpu) else {
        return Markup::default();
    };
    html! {
        line class="grid" x1="0" x2=(px(WIDTH)) y1=(px(top - 9.0)) y2=(px(top - 9.0)) {}
        text class="tiny muted" x="0" y=(px(top + 3.0)) { (short(workload.as_str(), 12)) }
        text class="tiny muted" x="0" y=(px(top + 15.0)) { "µs, 95 %" }
        @for (index, hop) in trial.hops.iter().enumerate() {
            @let x = px(places.middle(index + 1));
            @if let Some(cost) = hop.cpu_ns_per_operation {
                text x=(x) y=(px(top + 4.0)) text-anchor="middle" { (value(&cost)) }
                text class="tiny muted" x=(x) y=(px(top + 16.0)) text-anchor="middle" {
                    (format!("± {:.1}", (cost.high - cost.low) / 2e3))
                }
            } @else {
                text class="muted" x=(x) y=(px(top + 4.0)) text-anchor="middle" { "-" }
            }
        }
    }
}

fn value(cost: &Estimate) -> String {
    format!("{:.1}", cost.value / 1e3)
}

fn says(placement: &PlacementReport) -> String {
    let mut text = "From the client".to_owned();
    for hop in &placement.hops {
        let by = match hop.link {
            LinkSecurity::Plain => "without TLS",
            LinkSecurity::Tls => "by TLS",
            LinkSecurity::Mtls => "by TLS with certificates of both sides",
        };
        let passes = if hop.passes_on { ", which passes it on" } else { "" };
        text.push_str(&format!(" {by} to {} ({}){passes},", hop.role, hop.kind));
    }
    text.pop();
    format!("{text}. {}", placement.ends)
}

/// The length of a link, in widths of a box.
const LINK: f64 = 0.56;
const TOP: f64 = 4.0;
const BOX: f64 = 40.0;
/// The line below the boxes at which figures begin.
const BELOW: f64 = TOP + BOX + 22.0;
const ROW: f64 = 32.0;
