//! The picture of effects: how many times as much one placement costs as another, beside the line
//! of 1.

use maud::{Markup, html};
use tlsbench_core::lab::{Pass, Workload};
use tlsbench_core::report::{EffectReport, LabReport};
use tlsbench_core::stats::Estimate;

use super::figure::{Picture, WIDTH, anchor, short};
use super::scale::{AxisScale, mark, px};

/// One picture for each workload, and one of latency; those of CPU time have the same scale.
pub(super) fn pictures(lab: &LabReport, id: &str) -> Vec<Picture> {
    let measured = lab.measured().into_iter();
    let of = |(workload, pass)| picture(lab, workload, pass, &scale(lab, pass)?, id);
    measured.filter_map(of).collect()
}

/// Fits an axis to the widest interval of a pass, and always to 1.
fn scale(lab: &LabReport, pass: Pass) -> Option<AxisScale> {
    let workloads = lab.workloads(pass).into_iter();
    let effects = workloads.flat_map(|workload| lab.effects_of(workload, pass));
    let ratios: Vec<Estimate> = effects.filter_map(|effect| effect.ratio).collect();
    let low = ratios.iter().map(|ratio| ratio.low).fold(1.0, f64::min);
    let high = ratios.iter().map(|ratio| ratio.high).fold(1.0, f64::max);
    // An interval that reaches zero or infinity has no place on a logarithmic axis.
    let is_fit = !ratios.is_empty() && low > 0.0 && high.is_finite();
    is_fit.then(|| AxisScale::log((low / ROOM, high * ROOM), (EDGE, WIDTH - EDGE)))
}

fn picture(
    lab: &LabReport,
    workload: Workload,
    pass: Pass,
    scale: &AxisScale,
    id: &str,
) -> Option<Picture> {
    let effects = lab.effects_of(workload, pass);
    if effects.is_empty() {
        return None;
    }
    let is_first_pair = |index: usize| {
        let before = index.checked_sub(1).and_then(|before| effects.get(before));
        effects.get(index).is_some_and(|effect| !effect.is_twin)
            && before.is_none_or(|before| before.is_twin)
    };
    let has_twins = effects.iter().any(|effect| effect.is_twin);
    let mut top = if has_twins { HEADING } else { 0.0 };
    let mut rows = Vec::new();
    let mut headings = Vec::new();
    if has_twins {
        headings.push((0.0, "beside the same hops without TLS"));
    }
    for (index, effect) in effects.iter().enumerate() {
        if is_first_pair(index) {
            headings.push((top, "where TLS ends, in pairs"));
            top += HEADING;
        }
        rows.push((top, *effect));
        top += ROW;
    }
    let bottom = top + 4.0;
    let drawn = html! {
        @for tick in scale.ticks(6) {
            @let (place, x) = (scale.at(tick), px(scale.at(tick)));
            line class="grid" x1=(x) x2=(x) y1="0" y2=(px(bottom)) {}
            text class="tiny muted" x=(x) y=(px(bottom + 12.0)) text-anchor=(anchor(place)) {
                (mark(tick)) " ×"
            }
        }
        line class="one" x1=(px(scale.at(1.0))) x2=(px(scale.at(1.0))) y1="0" y2=(px(bottom)) {}
        @for (y, words) in headings {
            text class="tiny muted" x="0" y=(px(y + 11.0)) { (words) }
        }
        @for (y, effect) in rows { (row(y, effect, scale)) }
    };
    Some(Picture {
        id: format!("{id}-effects-{pass}-{workload}"),
        title: match pass {
            Pass::Cpu => format!("{workload}: how many times the CPU time"),
            Pass::Latency => "latency: how many times the median".to_owned(),
        },
        under: match pass {
            Pass::Cpu => format!("of all hops, per {}, 95 % intervals", workload.operation()),
            Pass::Latency => "of whole operations at one rate, 95 % intervals".to_owned(),
        },
        says: says(&effects),
        height: bottom + 18.0,
        drawn,
    })
}

fn row(top: f64, effect: &EffectReport, scale: &AxisScale) -> Markup {
    let name = match effect.is_twin {
        // Names are cut by characters, because SVG text does not wrap.
        true => short(&effect.placement, 30),
        false => short(&format!("{} / {}", effect.placement, effect.against), 42),
    };
    let middle = top + 22.0;
    html! {
        g {
            title { (effect.placement) " beside " (effect.against) ": " (effect.says) }
            text x="0" y=(px(top + 11.0)) { (name) }
            text class=(effect.verdict) x=(px(WIDTH - 2.0)) y=(px(top + 11.0)) text-anchor="end" {
                (word(effect))
            }
            @if let Some(ratio) = effect.ratio {
                @let (from, to) = (scale.at(ratio.low), scale.at(ratio.high));
                path class=(format!("verdict-line {}", effect.verdict))
                    d=(format!("M{} {y}H{}", px(from), px(to), y = px(middle))) {}
                (shape(effect.verdict, scale.at(ratio.value), middle))
            }
        }
    }
}

/// A shape for each word, so that none is told by its colour alone.
fn shape(verdict: &str, x: f64, y: f64) -> Markup {
    let d = match verdict {
        "costs-more" => format!("M{} {}l5 -9l5 9z", px(x - 5.0), px(y + 4.5)),
        "costs-less" => format!("M{} {}l5 9l5 -9z", px(x - 5.0), px(y - 4.5)),
        "equal" => format!("M{} {}h9v9h-9z", px(x - 4.5), px(y - 4.5)),
        _ => format!("M{} {}l5 -5l5 5l-5 5z", px(x - 5.0), px(y)),
    };
    html! { path class=(verdict) stroke-width="1.4" d=(d) {} }
}

fn word(effect: &EffectReport) -> String {
    let word = match effect.verdict {
        "costs-more" if effect.pass == Pass::Latency => "▲ takes longer",
        "costs-more" => "▲ costs more",
        "costs-less" if effect.pass == Pass::Latency => "▼ takes less",
        "costs-less" => "▼ costs less",
        "equal" => "■ equal",
        "cannot-tell" => "◇ cannot tell",
        _ => "◇ no verdict",
    };
    match effect.ratio {
        Some(ratio) => format!("{:.2} × {word}", ratio.value),
        None => word.to_owned(),
    }
}

fn says(effects: &[&EffectReport]) -> String {
    let each = effects.iter().map(|effect| {
        let ratio = effect.ratio.map_or_else(String::new, |ratio| {
            format!(" {:.2} times ({:.2} to {:.2}),", ratio.value, ratio.low, ratio.high)
        });
        format!("{} beside {}:{ratio} {}", effect.placement, effect.against, effect.says)
    });
    each.collect::<Vec<_>>().join(". ") + "."
}

const ROW: f64 = 33.0;
const HEADING: f64 = 17.0;
/// Room for half a mark at each side.
const EDGE: f64 = 8.0;
/// Room beside the widest interval.
const ROOM: f64 = 1.04;
