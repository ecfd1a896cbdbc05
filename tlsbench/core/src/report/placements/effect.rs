//! One placement beside another, as reports write it down.

use serde::Serialize;

use super::nanos;
use crate::compare::{Finding, Verdict};
use crate::lab::{Pass, Workload};
use crate::placement::Placement;
use crate::record::lab::LabRecord;
use crate::stats::Estimate;
use crate::tally::Phase;
use crate::verdicts::{PhaseFinding, WorkloadFinding};

/// One placement beside another: in CPU time of all hops per operation, or in the medians of a
/// phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectReport {
    /// The workload.
    pub workload: Workload,
    /// CPU time or latency.
    pub pass: Pass,
    /// Phase of a latency effect; `corrected` is the whole operation, the only one with a verdict.
    pub phase: Option<&'static str>,
    /// Placement.
    pub placement: String,
    /// Placement that it is compared with.
    pub against: String,
    /// True if that is its baseline without TLS.
    pub is_twin: bool,
    /// Mean paired difference, in nanoseconds.
    pub difference_ns: Option<Estimate>,
    /// Geometric mean of the paired ratios.
    pub ratio: Option<Estimate>,
    /// Probability of a difference at least as large if there were none, adjusted over all
    /// comparisons of the run (Holm 1979).
    pub chance: Option<f64>,
    /// The same of this comparison alone, by flipping signs.
    pub sign_flip: Option<f64>,
    /// Lag-1 autocorrelation of the differences.
    pub autocorrelation: Option<f64>,
    /// The verdict in one word.
    pub verdict: &'static str,
    /// The verdict in words.
    pub says: String,
}

impl EffectReport {
    pub(super) fn of_cpu(found: &WorkloadFinding, record: &LabRecord) -> Self {
        Self::new(&found.finding, found.workload, None, record)
    }

    pub(super) fn of_latency(found: &PhaseFinding, record: &LabRecord) -> Self {
        Self::new(&found.finding, Workload::Full, Some(found.phase), record)
    }

    /// Returns true if it is in CPU time, or in the whole time of an operation, under that
    /// workload.
    pub(super) fn is_of(&self, workload: Workload, pass: Pass) -> bool {
        let is_whole = self.phase.is_none_or(|phase| phase == Phase::Corrected.as_str());
        self.workload == workload && self.pass == pass && is_whole
    }

    fn new(
        finding: &Finding,
        workload: Workload,
        phase: Option<&'static str>,
        record: &LabRecord,
    ) -> Self {
        let against = record.placement(&finding.against);
        Self {
            workload,
            pass: if phase.is_some() { Pass::Latency } else { Pass::Cpu },
            phase,
            placement: finding.name.clone(),
            against: finding.against.clone(),
            is_twin: against.is_some_and(Placement::is_plain),
            difference_ns: finding.difference.map(nanos),
            ratio: finding.ratio,
            chance: finding.chance,
            sign_flip: finding.sign_flip,
            autocorrelation: finding.autocorrelation,
            verdict: word(&finding.verdict),
            says: match (phase, &finding.verdict) {
                (Some(_), Verdict::CostsLess) => "takes less time".to_owned(),
                (Some(_), Verdict::CostsMore) => "takes longer".to_owned(),
                _ => finding.verdict.to_string(),
            },
        }
    }
}

const fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::CannotTell { .. } => "cannot-tell",
        Verdict::CostsLess => "costs-less",
        Verdict::CostsMore => "costs-more",
        Verdict::Equal { .. } => "equal",
        Verdict::Inconclusive { .. } => "none",
    }
}
