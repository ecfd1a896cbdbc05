//! The costs that were fitted, held against a mix of traffic that they had not seen.

use serde::Serialize;

use crate::cost::{CostFit, HoldOutCheck, PredictionCheck, check};
use crate::placement::Role;
use crate::record::lab::LabRecord;
use crate::stats::Estimate;

/// Predictions of the held-out mix beside its measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelReport {
    /// SHA-256 of the fitted costs that chose the mix, in hexadecimal.
    pub fit_sha256: String,
    /// True if every prediction holds, so that money may be given from these costs.
    pub holds: bool,
    /// The same in words, with the reason where none does.
    pub says: String,
    /// Hop by hop.
    pub rows: Vec<PredictionReport>,
}

/// A hop of a placement under the held-out mix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PredictionReport {
    /// The placement.
    pub placement: String,
    /// The hop.
    pub role: Role,
    /// CPU time that was predicted, in cores.
    pub predicted_cores: Option<Estimate>,
    /// CPU time that was measured, in cores.
    pub measured_cores: f64,
    /// True if they are within 10 % or 0.01 core of each other, whichever is more.
    pub holds: bool,
}

impl ModelReport {
    /// Makes the report; `None` if no mix was held out.
    pub(super) fn of(record: &LabRecord) -> Option<Self> {
        let chosen = record.held_out.as_ref()?;
        let HoldOutCheck { rows, unchecked } = check(&CostFit::of(&[record]), &[record]);
        let says = unchecked.as_ref().map_or_else(|| WELL.to_owned(), ToString::to_string);
        Some(Self {
            fit_sha256: chosen.fit_sha256.clone(),
            holds: unchecked.is_none(),
            says,
            rows: rows.into_iter().map(PredictionReport::from).collect(),
        })
    }
}

impl From<PredictionCheck> for PredictionReport {
    fn from(row: PredictionCheck) -> Self {
        let PredictionCheck { placement, role, predicted, measured, holds } = row;
        Self { placement, role, predicted_cores: predicted, measured_cores: measured, holds }
    }
}

const WELL: &str = "the CPU time of every hop under a mix that the costs had not seen was predicted \
                    within 10 % or 0.01 core";
