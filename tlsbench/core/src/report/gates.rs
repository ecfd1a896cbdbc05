//! Gates that are shut, as reports write them down.

use serde::Serialize;

use crate::warning::{Family, Gate};

/// A gate that is shut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GateReport {
    /// Name of the gate.
    pub name: &'static str,
    /// The target, where it is one.
    pub target: Option<String>,
    /// Observation, with the number.
    pub seen: String,
    /// Likely cause.
    pub cause: String,
    /// Cure.
    pub cure: String,
    /// Families without a verdict for it.
    pub spoils: &'static [Family],
}

impl From<&Gate> for GateReport {
    fn from(gate: &Gate) -> Self {
        let warning = gate.warning.clone();
        Self {
            name: gate.name,
            target: gate.target.clone(),
            seen: warning.seen,
            cause: warning.cause,
            cure: warning.cure,
            spoils: gate.spoils,
        }
    }
}
