//! CPU time of a hop per connection, handshake, request and bit, so that traffic that was not
//! measured can be predicted.
//!
//! Says nothing of times, least of all of tails. What the placements that were measured cannot tell
//! apart has no figure here, and what was not checked against a held-out mix gives no money.

mod design;
mod flow;
mod held_out;
mod rest;
mod solve;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use flow::{Term, TermCounts, Traffic, flow};
pub use held_out::{HoldOutCheck, PredictionCheck, UncheckedReason, check, held_out};

use crate::hop::HopKind;
use crate::lab::Workload;
use crate::placement::{Placement, Role};
use crate::record::lab::LabRecord;
use crate::stats::{Estimate, mean};
use design::{HopObservations, Observations};
use solve::Solution;

/// The costs of every sort of hop that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostFit {
    /// One model per role and kind of hop: a load balancer that relays costs other than one that
    /// speaks HTTP.
    pub blocks: Vec<CostModel>,
}

/// The costs of one sort of hop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostModel {
    /// The role.
    pub role: Role,
    /// The kind.
    pub kind: HopKind,
    /// Every term that its hops did something of, or might have.
    pub terms: Vec<TermCost>,
    /// Number of terms, or combinations of terms, that the measured placements tell apart.
    pub rank: u32,
    /// Condition number: the most that an error of measurement can grow in a term.
    pub condition: Option<f64>,
    /// Placements under workloads that it comes from.
    pub rows: u32,
    /// Rounds.
    pub rounds: u32,
    /// Relative root mean square error of the fit.
    pub misfit: Option<f64>,
    #[serde(skip)]
    solved: Solution,
}

/// CPU time of one term.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TermCost {
    /// The thing.
    pub term: Term,
    /// CPU time for each in microseconds; `None` if it is withheld. Of rest, the mean over
    /// readings.
    pub micros: Option<Estimate>,
    /// True if the best figure would be below zero, and zero stands there.
    pub at_bound: bool,
    /// Reason why there is no figure.
    pub withheld: Option<WithheldReason>,
}

/// Reason why a term has no figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithheldReason {
    /// Others went with it wherever it was, so that nothing tells it from them.
    Inseparable,
    /// No slice did anything of it.
    NotMeasured,
    /// There are fewer than two rounds.
    TooFewRounds,
}

/// A prediction that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PredictionError {
    /// There is no such hop.
    #[error("no `{kind}` hop was measured as `{role}`")]
    Hop {
        /// The role.
        role: Role,
        /// The kind.
        kind: HopKind,
    },
    /// The traffic needs terms that have no figure.
    #[error("the cost of {terms} of the `{role}` is not identified; {cure}")]
    Terms {
        /// The hop.
        role: Role,
        /// The terms.
        terms: String,
        /// Measurement that would identify them.
        cure: String,
    },
    /// There are too few rounds.
    #[error("there are too few rounds")]
    TooFewRounds,
}

impl CostFit {
    /// Fits all measured CPU times, except mixes: one is held out to check the fit with.
    ///
    /// Each round is fitted by itself by least squares of relative errors, so that what its slices
    /// share stays within it; an estimate is the mean over rounds with Student's interval. Each
    /// sort of hop has costs of its own, but for being woken up, which is the kernel's and costs
    /// all the same. What hops take at rest was read by itself, and is taken out of what they took
    /// in slices before. No cost is below zero (Lawson and Hanson, *Solving Least Squares
    /// Problems*, 1974, chapter 23: a term whose figure would be is held at zero, and the others
    /// are fitted anew).
    #[must_use]
    pub fn of(records: &[&LabRecord]) -> Self {
        let rows = Observations::of(records);
        let (names, all): (Vec<(Role, HopKind)>, Vec<HopObservations>) =
            rows.by_block(&rest::readings(records)).into_iter().unzip();
        let solved = Solution::all(&all).into_iter();
        let blocks = names.into_iter().zip(all.iter().zip(solved));
        Self {
            blocks: blocks.map(|(name, (all, solved))| CostModel::of(name, all, solved)).collect(),
        }
    }

    /// The costs of a sort of hop.
    #[must_use]
    pub fn block(&self, role: Role, kind: HopKind) -> Option<&CostModel> {
        self.blocks.iter().find(|block| (block.role, block.kind) == (role, kind))
    }

    /// CPU time of each hop of a placement in microseconds for what the traffic is of: of a second
    /// where it is counted per second. From the client on, and without being woken up and at rest.
    pub fn predict(
        &self,
        placement: &Placement,
        traffic: &Traffic,
    ) -> Vec<(Role, Result<Estimate, PredictionError>)> {
        let hops = placement.hops.iter().zip(flow(placement, traffic));
        hops.map(|(hop, counts)| {
            let missing = PredictionError::Hop { role: hop.role, kind: hop.kind };
            let block = self.block(hop.role, hop.kind).ok_or(missing);
            (hop.role, block.and_then(|block| block.predict(&counts)))
        })
        .collect()
    }

    /// CPU time of a sort of hop in microseconds for these counts, by the figures of each round.
    ///
    /// # Errors
    /// When there is no such hop, or something that it does has no figure.
    pub fn rounds(
        &self,
        role: Role,
        kind: HopKind,
        counts: &TermCounts,
    ) -> Result<BTreeMap<u32, f64>, PredictionError> {
        let block = self.block(role, kind).ok_or(PredictionError::Hop { role, kind })?;
        block.known(counts)?;
        Ok(block.solved.predict(counts))
    }
}

impl CostModel {
    fn of((role, kind): (Role, HopKind), all: &HopObservations, solved: Solution) -> Self {
        let rows = &all.rows;
        let rounds = u32::try_from(solved.rounds()).unwrap_or(u32::MAX);
        let cost = |term: Term| {
            let withheld = solved.withheld(term);
            let micros = withheld.is_none().then(|| mean(&solved.estimates(term))).flatten();
            let few =
                (withheld.is_none() && micros.is_none()).then_some(WithheldReason::TooFewRounds);
            let at_bound = withheld.is_none() && solved.is_at_bound(term);
            TermCost { term, micros, at_bound, withheld: withheld.or(few) }
        };
        let terms = Term::ALL.iter().copied().filter(|term| term.suits(kind)).map(cost);
        Self {
            role,
            kind,
            terms: terms.collect(),
            rank: solved.rank,
            condition: solved.condition,
            rows: u32::try_from(rows.len()).unwrap_or(u32::MAX),
            rounds,
            misfit: solved.misfit(rows),
            solved,
        }
    }

    /// CPU time in microseconds for these counts.
    fn predict(&self, counts: &TermCounts) -> Result<Estimate, PredictionError> {
        self.known(counts)?;
        let rounds: Vec<f64> = self.solved.predict(counts).into_values().collect();
        mean(&rounds).ok_or(PredictionError::TooFewRounds)
    }

    /// Returns true if all of that has figures.
    fn known(&self, counts: &TermCounts) -> Result<(), PredictionError> {
        let missing = self.solved.missing(counts);
        if !missing.is_empty() {
            let names: Vec<String> = missing.iter().map(|term| format!("`{term}`")).collect();
            let (role, terms, cure) = (self.role, names.join(", "), cure(&missing));
            return Err(PredictionError::Terms { role, terms, cure });
        }
        Ok(())
    }

    /// A term's figure.
    #[must_use]
    pub fn cost(&self, term: Term) -> Option<&TermCost> {
        self.terms.iter().find(|cost| cost.term == term)
    }
}

/// Measurements that would identify terms.
fn cure(missing: &[Term]) -> String {
    let telling = missing.iter().flat_map(|term| match term {
        Term::Kept => &[Workload::Short][..],
        Term::Gbit => &[Workload::KeepAlive, Workload::Bulk16k],
        Term::Long => &[Workload::Bulk16k, Workload::Bulk64k],
        Term::Bulk => &[Workload::Bulk64k, Workload::Bulk1m],
        _ => &[],
    });
    let telling: BTreeSet<Workload> = telling.copied().collect();
    let mut cures = Vec::new();
    if !telling.is_empty() {
        let names: Vec<String> = telling.iter().map(ToString::to_string).collect();
        let names = names.join(",");
        cures.push(format!("measure with `--workload {names}` among others, or with `--thorough`"));
    }
    if missing.iter().any(|term| term.is_upstream()) {
        cures.push(
            "hops kept their upstream connections while it was measured; measure with \
             `--upstream-pool 0` as well, and name both records"
                .into(),
        );
    }
    if cures.is_empty() {
        cures.push("measure placements and workloads in which it differs from others".into());
    }
    cures.join("; ")
}
