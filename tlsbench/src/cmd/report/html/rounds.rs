//! The picture of rounds: whether a target was as fast in the last as in the first.

use maud::html;
use tlsbench_core::report::{TargetReport, per_second};

use super::figure::{Picture, WIDTH};
use super::scale::{AxisScale, px};

/// Operations per second in each round, with their mean and its interval.
pub(super) fn picture(target: &TargetReport, id: String) -> Option<Picture> {
    let rates = &target.round_rates;
    let mean = target.operations_per_second?;
    let most = rates.iter().copied().fold(mean.high, f64::max);
    let up = AxisScale::linear((0.0, most * ROOM), (HEIGHT - BOTTOM, TOP));
    let last = rates.len().saturating_sub(1).max(1) as f64;
    let across = AxisScale::linear((0.0, last), (LEFT + EDGE, WIDTH - EDGE));
    let (low, high) = (up.at(mean.low.max(0.0)), up.at(mean.high));
    let drawn = html! {
        @for tick in up.ticks(4) {
            @let y = px(up.at(tick));
            line class="grid" x1=(px(LEFT)) x2=(px(WIDTH)) y1=(y) y2=(y) {}
            text class="tiny muted" x=(px(LEFT - 5.0)) y=(px(up.at(tick) + 3.5)) text-anchor="end" {
                (rate(tick))
            }
        }
        rect class="band" x=(px(LEFT)) width=(px(WIDTH - LEFT)) y=(px(high)) height=(px((low - high).max(1.0))) {}
        line class="one" x1=(px(LEFT)) x2=(px(WIDTH)) y1=(px(up.at(mean.value))) y2=(px(up.at(mean.value))) {}
        @for (index, seen) in rates.iter().enumerate() {
            circle class="dot" cx=(px(across.at(index as f64))) cy=(px(up.at(*seen))) r="2.6" {}
        }
        text class="tiny muted" x=(px(LEFT + EDGE)) y=(px(HEIGHT - 5.0)) text-anchor="middle" { "1" }
        text class="tiny muted" x=(px(WIDTH - EDGE)) y=(px(HEIGHT - 5.0)) text-anchor="end" {
            "round " (rates.len())
        }
    };
    let rounds: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
    Some(Picture {
        id,
        title: target.name.clone(),
        under: format!("{} per second", per_second(Some(&mean))),
        says: format!(
            "{} operations per second. Round by round: {}.",
            per_second(Some(&mean)),
            rounds.join(", ")
        ),
        height: HEIGHT,
        drawn,
    })
}

/// A mark of the axis: `20 k`.
fn rate(value: f64) -> String {
    match value {
        0.0..1e3 => px(value),
        1e3..1e6 => format!("{} k", px(value / 1e3)),
        _ => format!("{} M", px(value / 1e6)),
    }
}

const HEIGHT: f64 = 150.0;
const TOP: f64 = 6.0;
const BOTTOM: f64 = 20.0;
const LEFT: f64 = 44.0;
const EDGE: f64 = 10.0;
const ROOM: f64 = 1.05;
