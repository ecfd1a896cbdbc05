//! Terms that all sorts of hop share, fitted to what the terms of each leave unexplained.

use std::collections::{BTreeMap, BTreeSet};

use nalgebra::{DMatrix, DVector};

use super::super::flow::{Term, TermCounts};
use super::{DesignMatrix, TELLING_MIN, blind};

/// Terms that cost all sorts of hop the same, from what the terms of each leave unexplained.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CommonTerms {
    /// Those of which something was measured and that are not held at zero.
    pub(super) terms: Vec<Term>,
    pub(super) at_bound: Vec<Term>,
    scales: Vec<f64>,
    pub(super) blind: Vec<Vec<f64>>,
    rounds: BTreeMap<u32, Vec<f64>>,
}

impl CommonTerms {
    pub(super) fn of(designs: &[DesignMatrix<'_>], at_bound: Vec<Term>) -> Self {
        let stacked = |parts: Vec<DVector<f64>>| -> DVector<f64> {
            let all: Vec<f64> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            DVector::from_vec(all)
        };
        let length = |term: Term| {
            let squares = designs.iter().map(|design| design.counts(term).norm_squared());
            squares.sum::<f64>().sqrt()
        };
        let terms = Term::ALL.iter().copied().filter(|term| term.is_common());
        let lengths =
            terms.filter(|term| !at_bound.contains(term)).map(|term| (term, length(term)));
        let (terms, scales): (Vec<Term>, Vec<f64>) =
            lengths.filter(|(_, length)| *length > 0.0).unzip();
        if terms.is_empty() {
            return Self { at_bound, ..Self::default() };
        }
        let left: Vec<DVector<f64>> = terms
            .iter()
            .zip(&scales)
            .map(|(term, scale)| {
                let parts = designs.iter().map(|design| design.left_of(design.counts(*term)));
                stacked(parts.collect()) / *scale
            })
            .collect();
        let height = left.first().map_or(0, DVector::len).max(terms.len());
        let svd = DMatrix::from_columns(&left).resize_vertically(height, 0.0).svd(true, true);
        let all: BTreeSet<u32> =
            designs.iter().flat_map(|design| &design.rounds).copied().collect();
        let rounds = all.into_iter().filter_map(|round| {
            // What the left parts are of is orthogonal to what the terms of each sort of hop
            // explain.
            let seen = stacked(designs.iter().map(|design| design.seen(round)).collect());
            let seen = seen.resize_vertically(height, 0.0);
            let found = svd.solve(&seen, TELLING_MIN).ok()?;
            Some((round, found.iter().copied().collect()))
        });
        let rounds = rounds.collect();
        let blind = blind(&svd, TELLING_MIN);
        Self { terms, at_bound, scales, blind, rounds }
    }

    /// The term that is, on average over rounds, furthest below zero.
    pub(super) fn most_negative(&self) -> Option<Term> {
        let sum =
            |column: usize| self.rounds.values().filter_map(|round| round.get(column)).sum::<f64>();
        let all = self.terms.iter().enumerate().map(|(column, term)| (sum(column), *term));
        let below = all.filter(|(value, _)| *value < 0.0);
        below.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, term)| term)
    }

    pub(super) fn predict(&self, round: u32, counts: &TermCounts) -> f64 {
        let Some(found) = self.rounds.get(&round) else { return 0.0 };
        let each = self.terms.iter().zip(&self.scales).zip(found);
        each.map(|((term, scale), found)| {
            counts.get(term).copied().unwrap_or_default() / scale * found
        })
        .sum()
    }
}
