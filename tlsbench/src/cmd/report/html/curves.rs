//! The picture of latency: percentile curves, both axes by ratios, so that tails are as wide as
//! they are rare.

use maud::{Markup, html};
use tlsbench_core::report::{CurvePoint, TargetReport};
use tlsbench_core::tally::Phase;

use super::figure::{Picture, WIDTH};
use super::scale::{AxisScale, px};

/// The series that one picture shows.
pub(super) struct CurvePanel<'a> {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) of: &'a TargetReport,
    /// The same without TLS, where there is such.
    pub(super) twin: Option<&'a TargetReport>,
    /// Generator and hops shared a machine, so that tails are not judged.
    pub(super) is_shared: bool,
}

/// Pictures with the same axes, of those that have curves.
pub(super) fn pictures(panels: &[CurvePanel<'_>]) -> Vec<Picture> {
    let all = panels.iter().flat_map(|panel| {
        let of = [Some(panel.of), panel.twin].into_iter().flatten();
        of.flat_map(|target| target.phases.iter().flat_map(|phase| &phase.curve))
    });
    let (mut low, mut high, mut nines) = (f64::INFINITY, 0.0_f64, 1.0_f64);
    for point in all {
        let ns = (point.ns.0 as f64).max(1.0);
        (low, high) = (low.min(ns), high.max(ns));
        nines = nines.max(-(1.0 - point.quantile).log10());
    }
    // No curve has a point, and axes without a span cannot be drawn.
    if high <= 0.0 {
        return Vec::new();
    }
    let across = AxisScale::linear((0.0, nines), (LEFT, WIDTH - RIGHT));
    // Logarithmic, as tails are often a hundred times the median and would flatten it.
    let up = AxisScale::log((low / 1.1, high * 1.1), (HEIGHT - BOTTOM, TOP));
    let has_curve =
        |panel: &&CurvePanel<'_>| panel.of.phases.iter().any(|phase| !phase.curve.is_empty());
    panels.iter().filter(has_curve).map(|panel| picture(panel, &across, &up)).collect()
}

fn picture(panel: &CurvePanel<'_>, across: &AxisScale, up: &AxisScale) -> Picture {
    let curve = |of: &TargetReport, phase: Phase, class: &str| {
        let points = of.phase(phase).map(|phase| phase.curve.as_slice()).unwrap_or_default();
        line(points, across, up, class)
    };
    let twin = panel.twin.and_then(|twin| twin.latency());
    let is_open = panel.of.phase(Phase::Corrected).is_some();
    let (first, second) = match is_open {
        true => (Phase::Corrected, Some(Phase::Uncorrected)),
        false => (Phase::Uncorrected, None),
    };
    let drawn = html! {
        @if panel.is_shared { (unjudged(across)) }
        (axes(across, up))
        @if let Some(twin) = twin { (line(&twin.curve, across, up, "curve twin")) }
        @if let Some(second) = second { (curve(panel.of, second, "curve second")) }
        (curve(panel.of, first, "curve"))
    };
    Picture {
        id: panel.id.clone(),
        title: panel.title.clone(),
        under: String::new(),
        says: says(panel),
        height: HEIGHT,
        drawn,
    }
}

fn unjudged(across: &AxisScale) -> Markup {
    let left = across.at(TAIL);
    let (width, height) = (WIDTH - RIGHT - left, HEIGHT - BOTTOM - TOP);
    html! {
        rect class="unjudged" x=(px(left)) y=(px(TOP)) width=(px(width)) height=(px(height)) {}
    }
}

fn axes(across: &AxisScale, up: &AxisScale) -> Markup {
    html! {
        @for tick in up.ticks(5) {
            @let y = up.at(tick);
            line class="grid" x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(px(y)) y2=(px(y)) {}
            text class="tiny muted" x=(px(LEFT - 5.0)) y=(px(y + 3.5)) text-anchor="end" {
                (time(tick))
            }
        }
        @for (nines, name) in QUANTILES.into_iter().filter(|(nines, _)| across.holds(*nines)) {
            @let x = px(across.at(nines));
            line class="grid" x1=(x) x2=(x) y1=(px(TOP)) y2=(px(HEIGHT - BOTTOM)) {}
            text class="tiny muted" x=(x) y=(px(HEIGHT - BOTTOM + 13.0)) text-anchor="middle" {
                (name)
            }
        }
        @let base = px(HEIGHT - BOTTOM);
        line class="axis" x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(base) y2=(base) {}
    }
}

/// The curve as far as times are known. Beyond, starts were missed, and an arrow says that it goes
/// on.
fn line(points: &[CurvePoint], across: &AxisScale, up: &AxisScale, class: &str) -> Markup {
    let place = |point: &CurvePoint| {
        let nines = -(1.0 - point.quantile).log10();
        (across.at(nines), up.at((point.ns.0 as f64).max(1.0)))
    };
    let known: Vec<(f64, f64)> =
        // Beyond the first bound nothing is known: a line through bounds would look like data.
        points.iter().take_while(|point| !point.at_least).map(place).collect();
    let d: String = known
        .iter()
        .enumerate()
        .map(|(index, (x, y))| {
            format!("{}{} {}", if index == 0 { "M" } else { "L" }, px(*x), px(*y))
        })
        .collect();
    let goes_on = points.iter().find(|point| point.at_least).map(place);
    html! {
        @if !d.is_empty() { path class=(class) d=(d) {} }
        @if let Some((x, y)) = goes_on {
            text class="tiny" x=(px(x)) y=(px(y)) text-anchor="middle" { "↑" }
        }
    }
}

/// A mark of the axis: `250 µs`.
fn time(nanos: f64) -> String {
    let (value, unit) = match nanos {
        0.0..1e3 => (nanos, "ns"),
        1e3..1e6 => (nanos / 1e3, "µs"),
        1e6..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    format!("{} {unit}", px(value))
}

fn says(panel: &CurvePanel<'_>) -> String {
    let series = |name: &str, of: &TargetReport, phase: Phase| {
        let phase = of.phase(phase)?;
        let at = phase.quantiles.iter().map(|at| format!("{} {at}", at.quantile));
        Some(format!("{name}: {}. ", at.collect::<Vec<_>>().join(", ")))
    };
    let own = [("corrected", Phase::Corrected), ("uncorrected", Phase::Uncorrected)];
    let own = own.into_iter().filter_map(|(name, phase)| series(name, panel.of, phase));
    let twin = panel.twin.and_then(|twin| {
        [Phase::Corrected, Phase::Uncorrected].into_iter().find_map(|p| series("baseline", twin, p))
    });
    own.chain(twin).collect()
}

/// Explains the lines.
pub(super) fn legend(is_open: bool, is_lab: bool) -> Markup {
    let swatch = |class: &str| {
        html! {
            svg viewBox="0 0 34 17" aria-hidden="true" { path class=(class) d="M1 9H33" {} }
        }
    };
    html! {
        ul class="legend" {
            @if is_open {
                li { (swatch("curve")) "corrected: from when an operation should have begun" }
                li { (swatch("curve second")) "uncorrected: from when it did begin" }
            } @else {
                li { (swatch("curve")) "from when an operation began" }
            }
            @if is_lab {
                li { (swatch("curve twin")) "the same hops without TLS" }
                li {
                    svg viewBox="0 0 34 17" aria-hidden="true" {
                        rect class="unjudged" width="34" height="17" {}
                    }
                    "not judged: generator and hops share a machine"
                }
            }
        }
    }
}

/// Quantiles and their number of nines: log10(1 / (1 - quantile)).
const QUANTILES: [(f64, &str); 5] = [
    (std::f64::consts::LOG10_2, "50 %"),
    (1.0, "90 %"),
    (2.0, "99 %"),
    (3.0, "99.9 %"),
    (4.0, "99.99 %"),
];
/// The nines from which the tail begins: 99 %.
const TAIL: f64 = 2.0;
const HEIGHT: f64 = 200.0;
const TOP: f64 = 6.0;
/// Room for the names of quantiles.
const BOTTOM: f64 = 20.0;
/// Room for times such as `100 ms`.
const LEFT: f64 = 44.0;
/// Room for half of the last quantile's name.
const RIGHT: f64 = 22.0;
