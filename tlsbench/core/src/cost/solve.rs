//! Least squares of one sort of hop, and what it cannot tell apart.
//!
//! By the singular values of the design (Golub and Van Loan, *Matrix Computations*, 4th edition,
//! section 5.5): directions without one worth mentioning are left out, and a term that has a part in
//! them has no figure.

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector};

use super::Withheld;
use super::design::Row;
use super::flow::{Counts, Term};

/// A design that is solved, round by round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Solved {
    /// Columns: terms of which something was measured and that are not held at zero.
    terms: Vec<Term>,
    /// Terms that are held at zero.
    at_bound: Vec<Term>,
    /// The length of each column, by which it is divided so that all weigh alike.
    scales: Vec<f64>,
    /// Directions that the design does not tell, of unit length, in divided terms.
    blind: Vec<Vec<f64>>,
    /// Divided terms of each round.
    rounds: Vec<Vec<f64>>,
    pub(super) rank: u32,
    pub(super) condition: Option<f64>,
}

impl Solved {
    /// Solves equations of one sort of hop, in the rounds that all of them have.
    pub(super) fn of(rows: &[Row]) -> Self {
        let rows: Vec<&Row> = rows.iter().filter(|row| typical(row) > 0.0).collect();
        let mut terms: Vec<Term> = Term::ALL
            .iter()
            .copied()
            .filter(|term| rows.iter().any(|row| row.counts.contains_key(term)))
            .collect();
        let mut solved = Self::with(&rows, terms.clone());
        let (rank, condition) = (solved.rank, solved.condition);
        let mut at_bound = Vec::new();
        while let Some(worst) = solved.most_negative() {
            terms.retain(|term| *term != worst);
            at_bound.push(worst);
            solved = Self::with(&rows, terms.clone());
        }
        // Of the whole design: holding a term at zero tells nothing.
        Self { at_bound, rank, condition, ..solved }
    }

    fn with(rows: &[&Row], terms: Vec<Term>) -> Self {
        if terms.is_empty() {
            return Self { terms, ..Self::default() };
        }
        // Errors are relative: a megabyte takes a thousand times as long as a handshake.
        let weights: Vec<f64> = rows.iter().map(|row| 1.0 / typical(row)).collect();
        let mut design = DMatrix::from_fn(rows.len(), terms.len(), |row, column| {
            let count = rows.get(row).zip(terms.get(column));
            let count = count.and_then(|(row, term)| row.counts.get(term)).copied();
            count.unwrap_or_default() * weights.get(row).copied().unwrap_or_default()
        });
        let scales: Vec<f64> = design.column_iter().map(|column| column.norm()).collect();
        for (mut column, scale) in design.column_iter_mut().zip(&scales) {
            column /= *scale;
        }
        // More rows than columns, so that every direction of terms has a singular value.
        let height = rows.len().max(terms.len());
        let padded = design.resize_vertically(height, 0.0);
        let svd = padded.svd(true, true);
        let largest = svd.singular_values.max();
        let least = largest * TELLING_MIN;
        let told = svd.singular_values.iter().filter(|value| **value > least);
        let smallest = told.clone().copied().fold(f64::INFINITY, f64::min);
        let rank = u32::try_from(told.count()).unwrap_or_default();
        let blind = svd.v_t.iter().flat_map(|directions| {
            let values = svd.singular_values.iter();
            let blind = values.zip(directions.row_iter()).filter(|(value, _)| **value <= least);
            blind.map(|(_, row)| row.iter().copied().collect()).collect::<Vec<Vec<f64>>>()
        });
        let blind = blind.collect();
        let rounds = common_rounds(rows).into_iter().filter_map(|round| {
            let seen = rows.iter().zip(&weights).map(|(row, weight)| {
                // A slice that was not seen in a round is taken to be what it is on average.
                row.micros.get(&round).copied().unwrap_or_else(|| typical(row)) * weight
            });
            let seen = DVector::from_iterator(rows.len(), seen).resize_vertically(height, 0.0);
            let found = svd.solve(&seen, least).ok()?;
            Some(found.iter().copied().collect())
        });
        let rounds = rounds.collect();
        let condition = (rank > 0).then(|| largest / smallest);
        Self { terms, at_bound: Vec::new(), scales, blind, rounds, rank, condition }
    }

    /// The term that is identified and, on average over rounds, furthest below zero.
    fn most_negative(&self) -> Option<Term> {
        let rounds = self.rounds.len() as f64;
        let average = |column: usize| {
            self.rounds.iter().filter_map(|round| round.get(column)).sum::<f64>() / rounds
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
        self.at_bound.contains(&term)
    }

    /// Why a term has no figure.
    pub(super) fn withheld(&self, term: Term) -> Option<Withheld> {
        if self.is_at_bound(term) {
            return None;
        }
        let Some(column) = self.column(term) else { return Some(Withheld::NotMeasured) };
        let part: f64 =
            self.blind.iter().filter_map(|blind| blind.get(column)).map(|b| b * b).sum();
        (part > BLIND_MAX).then_some(Withheld::Inseparable)
    }

    /// A term's figure in each round.
    pub(super) fn estimates(&self, term: Term) -> Option<Vec<f64>> {
        if self.is_at_bound(term) {
            return Some(vec![0.0; self.rounds.len()]);
        }
        Some(self.predict(&Counts::from([(self.terms.get(self.column(term)?).copied()?, 1.0)])))
    }

    /// Terms of these counts that have no figure, and of which the counts are no combination that has
    /// one: where two always went together, both together can be predicted.
    pub(super) fn missing(&self, counts: &Counts) -> Vec<Term> {
        let unknown = |term: &&Term| self.column(**term).is_none() && !self.is_at_bound(**term);
        let mut missing: Vec<Term> = counts.keys().filter(unknown).copied().collect();
        let divided = self.divided(counts);
        let length: f64 = divided.iter().map(|count| count * count).sum();
        let blind: f64 = self.blind.iter().map(|blind| dot(blind, &divided).powi(2)).sum();
        if blind > BLIND_MAX * length {
            let parts = counts.keys().copied().filter(|term| self.withheld(*term).is_some());
            missing.extend(parts);
            missing.sort_unstable();
            missing.dedup();
        }
        missing
    }

    /// What counts take, by each round's figures.
    pub(super) fn predict(&self, counts: &Counts) -> Vec<f64> {
        let divided = self.divided(counts);
        self.rounds.iter().map(|round| dot(round, &divided)).collect()
    }

    /// Measured beside fitted.
    pub(super) fn misfit(&self, rows: &[Row]) -> Option<f64> {
        let offs: Vec<f64> = rows
            .iter()
            .filter(|row| typical(row) > 0.0)
            .map(|row| {
                let fitted = self.predict(&row.counts);
                fitted.iter().sum::<f64>() / fitted.len() as f64 / typical(row) - 1.0
            })
            .collect();
        let square = offs.iter().map(|off| off * off).sum::<f64>() / offs.len() as f64;
        square.is_finite().then(|| square.sqrt())
    }

    fn divided(&self, counts: &Counts) -> Vec<f64> {
        let terms = self.terms.iter().zip(&self.scales);
        terms.map(|(term, scale)| counts.get(term).copied().unwrap_or_default() / scale).collect()
    }

    fn column(&self, term: Term) -> Option<usize> {
        self.terms.iter().position(|known| *known == term)
    }
}

/// The mean over rounds.
fn typical(row: &Row) -> f64 {
    row.micros.values().sum::<f64>() / row.micros.len().max(1) as f64
}

/// Rounds in which at least half of the slices were seen.
fn common_rounds(rows: &[&Row]) -> Vec<u32> {
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    for round in rows.iter().flat_map(|row| row.micros.keys()) {
        *seen.entry(*round).or_default() += 1;
    }
    seen.into_iter().filter(|(_, count)| 2 * count >= rows.len()).map(|(round, _)| round).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// The least singular value that tells a direction, as a part of the largest: beyond, errors of 1 % in
/// what was measured would grow to more than the figure itself.
const TELLING_MIN: f64 = 0.01;
/// The largest part, squared, that a term may have in directions which are not told: a thousandth of
/// its length.
const BLIND_MAX: f64 = 1e-6;
