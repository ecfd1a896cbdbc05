//! The picture of the model's check: what was predicted of each hop beside what was measured.

use maud::{Markup, html};
use tlsbench_core::report::{ModelReport, PredictionReport, small};

use super::figure::{Picture, WIDTH, anchor, short};
use super::scale::{AxisScale, mark, px};

/// Predicted and measured, in cores; nothing where nothing was predicted.
pub(super) fn picture(model: &ModelReport, id: &str) -> Option<Picture> {
    let high = |row: &PredictionReport| {
        row.predicted_cores.map_or(row.measured_cores, |cores| cores.high.max(row.measured_cores))
    };
    let most = model.rows.iter().map(high).fold(0.0, f64::max);
    if !most.is_finite() || most <= 0.0 {
        return None;
    }
    let scale = AxisScale::linear((0.0, most), (EDGE, WIDTH - EDGE));
    let bottom = ROW * model.rows.len() as f64 + 4.0;
    let drawn = html! {
        @for tick in scale.ticks(5) {
            @let place = scale.at(tick);
            line class="grid" x1=(px(place)) x2=(px(place)) y1="0" y2=(px(bottom)) {}
            text class="tiny muted" x=(px(place)) y=(px(bottom + 12.0)) text-anchor=(anchor(place)) {
                (mark(tick))
            }
        }
        @for (index, of) in model.rows.iter().enumerate() { (row(ROW * index as f64, of, &scale)) }
    };
    let says = model.rows.iter().map(|row| {
        let predicted = small(row.predicted_cores.as_ref());
        let measured = row.measured_cores;
        format!("{}, {}: predicted {predicted}, measured {measured:.3}. ", row.placement, row.role)
    });
    Some(Picture {
        id: format!("{id}-model-picture"),
        title: "CPU time under the held-out mix, cores".to_owned(),
        under: "lines: predicted, with the interval; dots: measured".to_owned(),
        says: says.collect(),
        height: bottom + 18.0,
        drawn,
    })
}

fn row(top: f64, row: &PredictionReport, scale: &AxisScale) -> Markup {
    let class = if row.holds { "equal" } else { "costs-more" };
    let y = px(top + 21.0);
    html! {
        text x="0" y=(px(top + 11.0)) { (short(&format!("{}, {}", row.placement, row.role), 40)) }
        text class=(class) x=(px(WIDTH - 2.0)) y=(px(top + 11.0)) text-anchor="end" {
            @if row.holds { "■ holds" } @else { "▲ off" }
        }
        @if let Some(cores) = row.predicted_cores {
            @let (from, to) = (px(scale.at(cores.low)), px(scale.at(cores.high)));
            path class=(format!("verdict-line {class}")) d=(format!("M{from} {y}H{to}")) {}
            @let at = scale.at(cores.value);
            path class=(format!("verdict-line {class}"))
                d=(format!("M{x} {}V{}", px(top + 16.0), px(top + 26.0), x = px(at))) {}
        }
        circle class="measured" cx=(px(scale.at(row.measured_cores))) cy=(y) r="3.4" {}
    }
}

const ROW: f64 = 31.0;
const EDGE: f64 = 6.0;
