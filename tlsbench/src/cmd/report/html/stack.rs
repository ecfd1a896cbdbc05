//! The picture of CPU time hop by hop: a bar for each placement, with intervals.

use maud::{Markup, html};
use tlsbench_core::lab::{Pass, Workload};
use tlsbench_core::report::{HopReport, LabReport, TrialReport, micros};
use tlsbench_core::stats::Estimate;

use super::figure::{Picture, WIDTH, anchor, fill, short};
use super::scale::{AxisScale, mark, px};

/// One picture for each workload, each with a scale of its own.
pub(super) fn pictures(lab: &LabReport, id: &str) -> Vec<Picture> {
    lab.workloads(Pass::Cpu).into_iter().filter_map(|workload| picture(lab, workload, id)).collect()
}

fn picture(lab: &LabReport, workload: Workload, id: &str) -> Option<Picture> {
    let trials: Vec<&TrialReport> = lab
        .trials_of(workload, Pass::Cpu)
        .filter(|trial| trial.cpu_ns_per_operation.is_some())
        .collect();
    let totals = trials.iter().filter_map(|trial| trial.cpu_ns_per_operation);
    let most = totals.map(|total| total.high.max(total.value)).fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let scale = AxisScale::linear((0.0, most / 1e3), (0.0, WIDTH - EDGE));
    let bottom = ROW * trials.len() as f64;
    let drawn = html! {
        @for tick in scale.ticks(5) {
            @let x = px(scale.at(tick));
            line class="grid" x1=(x) x2=(x) y1="0" y2=(px(bottom)) {}
            text class="tiny muted" x=(x) y=(px(bottom + 12.0)) text-anchor=(anchor(scale.at(tick))) {
                (mark(tick))
                @if tick == 0.0 { " µs" }
            }
        }
        @for (index, trial) in trials.iter().enumerate() {
            (row(ROW * index as f64, trial, &scale))
        }
    };
    Some(Picture {
        id: format!("{id}-cpu-{workload}"),
        title: format!("{workload}: CPU time per {}, µs", workload.operation()),
        under: "all hops together, and each".to_owned(),
        says: trials.iter().map(|trial| says(trial)).collect(),
        height: bottom + 18.0,
        drawn,
    })
}

fn row(top: f64, trial: &TrialReport, scale: &AxisScale) -> Markup {
    let mut from = 0.0;
    let parts: Vec<(f64, &HopReport, Estimate)> = trial
        .hops
        .iter()
        .filter_map(|hop| {
            let cost = hop.cpu_ns_per_operation?;
            let start = from;
            from += cost.value / 1e3;
            Some((start, hop, cost))
        })
        .collect();
    let bar = top + 16.0;
    html! {
        text x="0" y=(px(top + 11.0)) { (short(&trial.placement, 32)) }
        text x=(px(WIDTH - 2.0)) y=(px(top + 11.0)) text-anchor="end" {
            (micros(trial.cpu_ns_per_operation.as_ref()))
        }
        @for (start, hop, cost) in parts {
            @let (left, right) = (scale.at(start), scale.at(start + cost.value / 1e3));
            rect class="bar" x=(px(left)) y=(px(bar)) width=(px(right - left)) height=(px(BAR))
                fill=(fill(hop.role)) {
                title { (hop.role) ": " (micros(Some(&cost))) " µs" }
            }
            @let half = (cost.high - cost.low) / 2e3;
            @let (low, high) = (start + cost.value / 1e3 - half, start + cost.value / 1e3 + half);
            path class=(format!("lane line-{}", hop.role))
                d=(format!("M{} {y}H{}", px(scale.at(low)), px(scale.at(high)), y = px(bar + BAR + 3.0))) {}
        }
        @if let Some(total) = trial.cpu_ns_per_operation {
            (whisker(scale.at(total.low / 1e3), scale.at(total.high / 1e3), bar + BAR / 2.0))
        }
    }
}

fn whisker(from: f64, to: f64, y: f64) -> Markup {
    let (from, to, up, down) = (px(from), px(to), px(y - 4.0), px(y + 4.0));
    let d = format!("M{from} {y}H{to}M{from} {up}V{down}M{to} {up}V{down}", y = px(y));
    html! { path class="whisker" d=(d) {} }
}

fn says(trial: &TrialReport) -> String {
    let hops = trial
        .hops
        .iter()
        .map(|hop| format!("{} {}", hop.role, micros(hop.cpu_ns_per_operation.as_ref())));
    let hops: Vec<String> = hops.collect();
    let total = micros(trial.cpu_ns_per_operation.as_ref());
    format!("{}: {total} µs, of which {}. ", trial.placement, hops.join(", "))
}

const ROW: f64 = 40.0;
const BAR: f64 = 13.0;
/// Room for the end of a whisker.
const EDGE: f64 = 6.0;
