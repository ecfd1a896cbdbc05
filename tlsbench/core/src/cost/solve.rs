//! Least squares of all sorts of hop, and what they cannot tell apart.
//!
//! By the singular values of the design (Golub and Van Loan, *Matrix Computations*, 4th edition,
//! section 5.5): directions without one worth mentioning are left out, and a term that has a part
//! in them has no figure. What being woken up costs is common to all sorts of hop; it comes from
//! what their own terms leave unexplained (Lovell, *Seasonal adjustment of economic time series*,
//! Journal of the American Statistical Association 58, 1963). What hops take at rest is known
//! beforehand, and taken out of what they took.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::CommonTerms;
use nalgebra::{DMatrix, DVector, Dyn, SVD};

use super::WithheldReason;
use super::design::{HopObservations, Observation};
use super::flow::{Term, TermCounts};
use super::rest::AtRest;

/// A sort of hop that is solved, round by round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Solution {
    /// Columns: terms of which something was measured and that are not held at zero.
    terms: Vec<Term>,
    /// Terms that are held at zero.
    at_bound: Vec<Term>,
    /// The length of each column, by which it is divided so that all weigh alike.
    scales: Vec<f64>,
    /// Directions that the design does not tell, of unit length, in divided terms.
    blind: Vec<Vec<f64>>,
    /// Divided terms of each round.
    rounds: Vec<(u32, Vec<f64>)>,
    /// Terms that all sorts of hop share.
    common: Arc<CommonTerms>,
    rest: AtRest,
    pub(super) rank: u32,
    pub(super) condition: Option<f64>,
}

impl Solution {
    /// Solves equations by sort of hop, in the rounds that most slices of a sort have.
    pub(super) fn all(blocks: &[HopObservations]) -> Vec<Self> {
        let mut designs: Vec<DesignMatrix<'_>> = blocks.iter().map(DesignMatrix::of).collect();
        // Of the whole design: holding a term at zero tells nothing.
        let whole: Vec<(u32, Option<f64>)> =
            designs.iter().map(|design| (design.rank, design.condition())).collect();
        let mut at_bound: Vec<Vec<Term>> = vec![Vec::new(); blocks.len()];
        let mut common_at_bound = Vec::new();
        loop {
            let common = Arc::new(CommonTerms::of(&designs, common_at_bound.clone()));
            // Active set: a cost below zero is held at zero, and all others are fitted once more.
            if let Some(worst) = common.most_negative() {
                common_at_bound.push(worst);
                continue;
            }
            let solved: Vec<Self> = designs.iter().map(|design| design.solve(&common)).collect();
            let mut is_done = true;
            for ((design, solved), held) in designs.iter_mut().zip(&solved).zip(&mut at_bound) {
                // One term of a sort at a time: the next may rise above zero once this one is held.
                if let Some(worst) = solved.most_negative() {
                    *design = design.without(worst);
                    held.push(worst);
                    is_done = false;
                }
            }
            if is_done {
                let all = solved.into_iter().zip(at_bound).zip(whole);
                let all = all.map(|((solved, at_bound), (rank, condition))| Self {
                    at_bound,
                    rank,
                    condition,
                    ..solved
                });
                return all.collect();
            }
        }
    }

    /// The term that is identified and, on average over rounds, furthest below zero.
    fn most_negative(&self) -> Option<Term> {
        let rounds = self.rounds.len() as f64;
        let average = |column: usize| {
            self.rounds.iter().filter_map(|(_, terms)| terms.get(column)).sum::<f64>() / rounds
        };
        let all = self.terms.iter().enumerate().filter(|(_, term)| self.withheld(**term).is_none());
        let below = all.map(|(column, term)| (average(column), *term));
        let below = below.filter(|(value, _)| *value < 0.0);
        below.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, term)| term)
    }

    pub(super) fn rounds(&self) -> usize {
        self.rounds.len()
    }

    pub(super) fn is_at_bound(&self, term: Term) -> bool {
        self.at_bound.contains(&term) || self.common.at_bound.contains(&term)
    }

    /// Reason why a term has no figure, if it has none.
    pub(super) fn withheld(&self, term: Term) -> Option<WithheldReason> {
        if term == Term::Rest {
            return self.rest.readings().is_empty().then_some(WithheldReason::NotMeasured);
        }
        if self.is_at_bound(term) {
            return None;
        }
        let (terms, blind) = match term.is_common() {
            true => (&self.common.terms, &self.common.blind),
            false => (&self.terms, &self.blind),
        };
        let Some(column) = terms.iter().position(|known| *known == term) else {
            return Some(WithheldReason::NotMeasured);
        };
        // The squared part of the term within the null space: the part that no slice determines.
        let part: f64 = blind.iter().filter_map(|blind| blind.get(column)).map(|b| b * b).sum();
        (part > BLIND_MAX).then_some(WithheldReason::Inseparable)
    }

    /// A term's figure in each round; of rest, in each reading.
    pub(super) fn estimates(&self, term: Term) -> Vec<f64> {
        if term == Term::Rest {
            return self.rest.readings().to_vec();
        }
        self.predict(&TermCounts::from([(term, 1.0)])).into_values().collect()
    }

    /// Terms without a figure in these counts, unless the counts are a combination that has one:
    /// where two terms always went together, both together can be predicted. Rest is never missing:
    /// if it was not read, it is part of what the hop takes for all else.
    pub(super) fn missing(&self, counts: &TermCounts) -> Vec<Term> {
        let is_unknown = |term: &Term| match self.withheld(*term) {
            Some(WithheldReason::Inseparable) => term.is_common(),
            withheld => withheld.is_some() && *term != Term::Rest,
        };
        let some = counts.iter().filter(|(_, count)| **count != 0.0).map(|(term, _)| *term);
        let mut missing: Vec<Term> = some.filter(is_unknown).collect();
        let divided = self.divided(counts);
        let length: f64 = divided.iter().map(|count| count * count).sum();
        // Terms that are not identified one by one may be so in this combination.
        let blind: f64 = self.blind.iter().map(|blind| dot(blind, &divided).powi(2)).sum();
        if blind > BLIND_MAX * length {
            let parts = counts.keys().copied().filter(|term| *term != Term::Rest);
            missing.extend(parts.filter(|term| self.withheld(*term).is_some()));
            missing.sort_unstable();
            missing.dedup();
        }
        missing
    }

    /// CPU time that the counts take, by each round's figures.
    pub(super) fn predict(&self, counts: &TermCounts) -> BTreeMap<u32, f64> {
        let divided = self.divided(counts);
        let rest = self.rest.over(counts);
        let of_round = |(round, terms): &(u32, Vec<f64>)| {
            (*round, dot(terms, &divided) + self.common.predict(*round, counts) + rest)
        };
        self.rounds.iter().map(of_round).collect()
    }

    /// Measured beside fitted.
    pub(super) fn misfit(&self, rows: &[Observation]) -> Option<f64> {
        let offs: Vec<f64> = rows
            .iter()
            .filter(|row| typical(row) > 0.0)
            .map(|row| {
                let fitted = self.predict(&row.counts);
                fitted.values().sum::<f64>() / fitted.len() as f64 / typical(row) - 1.0
            })
            .collect();
        let square = offs.iter().map(|off| off * off).sum::<f64>() / offs.len() as f64;
        square.is_finite().then(|| square.sqrt())
    }

    fn divided(&self, counts: &TermCounts) -> Vec<f64> {
        let terms = self.terms.iter().zip(&self.scales);
        terms.map(|(term, scale)| counts.get(term).copied().unwrap_or_default() / scale).collect()
    }
}

/// The equations of a sort of hop, but for what is common to all.
struct DesignMatrix<'a> {
    rows: Vec<&'a Observation>,
    terms: Vec<Term>,
    /// Errors are relative: a megabyte takes a thousand times as long as a handshake.
    weights: Vec<f64>,
    scales: Vec<f64>,
    svd: Option<SVD<f64, Dyn, Dyn>>,
    /// Singular values above tell a direction.
    least: f64,
    rank: u32,
    rounds: BTreeSet<u32>,
    rest: &'a AtRest,
}

impl<'a> DesignMatrix<'a> {
    fn of(all: &'a HopObservations) -> Self {
        let rows: Vec<&Observation> = all.rows.iter().filter(|row| typical(row) > 0.0).collect();
        let is_seen = |term: &Term| rows.iter().any(|row| row.counts.contains_key(term));
        let is_own = |term: &Term| !term.is_common() && *term != Term::Rest;
        let terms = Term::ALL.iter().copied().filter(is_own).filter(is_seen).collect();
        Self::with(rows, terms, &all.rest)
    }

    fn without(&self, held: Term) -> Self {
        let terms = self.terms.iter().copied().filter(|term| *term != held).collect();
        Self::with(self.rows.clone(), terms, self.rest)
    }

    fn with(rows: Vec<&'a Observation>, terms: Vec<Term>, rest: &'a AtRest) -> Self {
        // Dividing by what a row usually takes makes errors relative.
        let weights: Vec<f64> = rows.iter().map(|row| 1.0 / typical(row)).collect();
        let rounds = common_rounds(&rows);
        if terms.is_empty() {
            let (scales, svd, least, rank) = (Vec::new(), None, 0.0, 0);
            return Self { rows, terms, weights, scales, svd, least, rank, rounds, rest };
        }
        let mut design = DMatrix::from_fn(rows.len(), terms.len(), |row, column| {
            let count = rows.get(row).zip(terms.get(column));
            let count = count.and_then(|(row, term)| row.counts.get(term)).copied();
            count.unwrap_or_default() * weights.get(row).copied().unwrap_or_default()
        });
        // Columns of equal length: otherwise the units of a term, not the design, would decide what
        // is told apart.
        let scales: Vec<f64> = design.column_iter().map(|column| column.norm()).collect();
        for (mut column, scale) in design.column_iter_mut().zip(&scales) {
            column /= *scale;
        }
        // More rows than columns, so that every direction of terms has a singular value.
        let height = rows.len().max(terms.len());
        let svd = design.resize_vertically(height, 0.0).svd(true, true);
        let least = svd.singular_values.max() * TELLING_MIN;
        // The rank that counts is numerical: a direction that errors of 1 % can make up is not
        // told.
        let told = svd.singular_values.iter().filter(|value| **value > least).count();
        let rank = u32::try_from(told).unwrap_or_default();
        let svd = Some(svd);
        Self { rows, terms, weights, scales, svd, least, rank, rounds, rest }
    }

    /// One number of each row divided by the CPU time that the row took.
    fn weighted(&self, of: impl Fn(&Observation) -> f64) -> DVector<f64> {
        let all = self.rows.iter().zip(&self.weights).map(|(row, weight)| of(row) * weight);
        let all = DVector::from_iterator(self.rows.len(), all);
        all.resize_vertically(self.rows.len().max(self.terms.len()), 0.0)
    }

    fn counts(&self, term: Term) -> DVector<f64> {
        self.weighted(|row| row.counts.get(&term).copied().unwrap_or_default())
    }

    fn seen(&self, round: u32) -> DVector<f64> {
        // A slice that was not seen in a round is taken to be what it is on average.
        let seen =
            |row: &Observation| row.micros.get(&round).copied().unwrap_or_else(|| typical(row));
        self.weighted(|row| seen(row) - self.rest.over(&row.counts))
    }

    /// The residual after all combinations of terms.
    fn left_of(&self, all: DVector<f64>) -> DVector<f64> {
        let Some((svd, directions)) =
            self.svd.as_ref().and_then(|svd| Some((svd, svd.u.as_ref()?)))
        else {
            return all;
        };
        // Projects out the left singular vectors that the terms explain, as in the theorem of
        // Frisch, Waugh and Lovell.
        let mut left = all.clone();
        for (direction, value) in directions.column_iter().zip(&svd.singular_values) {
            if *value > self.least {
                left -= direction * direction.dot(&all);
            }
        }
        left
    }

    fn solve(&self, common: &Arc<CommonTerms>) -> Solution {
        let rounds = self.rounds.iter().filter_map(|round| {
            let mut seen = self.seen(*round);
            for term in &common.terms {
                let each = common.predict(*round, &TermCounts::from([(*term, 1.0)]));
                // Common terms were fitted first, on residuals; here they are taken out.
                seen -= self.counts(*term) * each;
            }
            let terms = match &self.svd {
                Some(svd) => svd.solve(&seen, self.least).ok()?.iter().copied().collect(),
                None => Vec::new(),
            };
            Some((*round, terms))
        });
        Solution {
            rounds: rounds.collect(),
            common: Arc::clone(common),
            terms: self.terms.clone(),
            scales: self.scales.clone(),
            blind: self.blind(),
            rest: self.rest.clone(),
            ..Solution::default()
        }
    }

    fn blind(&self) -> Vec<Vec<f64>> {
        self.svd.as_ref().map_or_else(Vec::new, |svd| blind(svd, self.least))
    }

    fn condition(&self) -> Option<f64> {
        let values = &self.svd.as_ref()?.singular_values;
        let told = values.iter().copied().filter(|value| *value > self.least);
        (self.rank > 0).then(|| values.max() / told.fold(f64::INFINITY, f64::min))
    }
}

/// Directions of a design without a singular value above the least.
fn blind(svd: &SVD<f64, Dyn, Dyn>, least: f64) -> Vec<Vec<f64>> {
    let Some(directions) = &svd.v_t else { return Vec::new() };
    let all = svd.singular_values.iter().zip(directions.row_iter());
    let blind = all.filter(|(value, _)| **value <= least);
    blind.map(|(_, row)| row.iter().copied().collect()).collect()
}

/// The mean over rounds.
fn typical(row: &Observation) -> f64 {
    row.micros.values().sum::<f64>() / row.micros.len().max(1) as f64
}

/// Rounds in which at least half of the slices were seen.
fn common_rounds(rows: &[&Observation]) -> BTreeSet<u32> {
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    for round in rows.iter().flat_map(|row| row.micros.keys()) {
        *seen.entry(*round).or_default() += 1;
    }
    seen.into_iter().filter(|(_, count)| 2 * count >= rows.len()).map(|(round, _)| round).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// The least singular value that tells a direction, as a part of the largest: beyond, errors of 1 %
/// in what was measured would grow to more than the figure itself.
const TELLING_MIN: f64 = 0.01;
/// The largest squared part that a term may have in directions that are not identified: a hundredth
/// of its length. Counts of a slice are off by connections that were under way at its ends, so that
/// nothing is ever wholly out of such a direction.
const BLIND_MAX: f64 = 1e-4;
