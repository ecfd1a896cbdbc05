//! How costs rise when cores are less busy: the same work takes up to several times the CPU time then,
//! for a hop that finds one thing to do wakes up as often as one that finds ten.

use std::collections::BTreeSet;

use serde::Serialize;

use super::design::Row;
use super::flow::Term;
use super::solve::Solved;

/// How much more things cost where cores are not busy: 1 + `rise` × (1 − how busy they are) times what they
/// cost where they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Load {
    /// How many times as much more it is where cores are hardly busy.
    pub rise: f64,
    /// Whether it is the most that is looked for.
    pub at_bound: bool,
    /// The least busy that cores were: 0 to 1.
    pub busy_from: f64,
    /// The busiest.
    pub busy_to: f64,
}

impl Load {
    /// How many times as much things cost where cores are so busy; not beyond what was measured.
    #[must_use]
    pub fn factor_at(&self, busy: f64) -> f64 {
        factor(self.rise, busy.clamp(self.busy_from, self.busy_to))
    }

    /// Of each sort of hop, by its slices. One that has so few that anything would fit takes what the
    /// others have on average.
    pub(super) fn of_all<'a>(blocks: impl Iterator<Item = &'a [Row]>) -> Vec<Option<Self>> {
        let blocks: Vec<&[Row]> = blocks.collect();
        let own: Vec<Option<Self>> = blocks.iter().map(|rows| Self::of(rows)).collect();
        let telling = blocks.iter().zip(&own).filter(|(rows, _)| is_told_by(rows));
        let rises: Vec<f64> = telling.map(|(_, load)| load.map_or(0.0, |load| load.rise)).collect();
        let rise = rises.iter().sum::<f64>() / rises.len().max(1) as f64;
        let one = |(rows, own): (&&[Row], Option<Self>)| match span(rows) {
            Some((busy_from, busy_to)) if !is_told_by(rows) && rise > 0.0 => {
                Some(Self { rise, at_bound: false, busy_from, busy_to })
            }
            _ => own,
        };
        blocks.iter().zip(own).map(one).collect()
    }

    /// The rise that leaves the least misfit over all slices, those of the latency pass included. Nothing
    /// where cores were about equally busy in all of them, where slices are too few, or where it makes no
    /// difference.
    fn of(rows: &[Row]) -> Option<Self> {
        let (busy_from, busy_to) = span(rows).filter(|_| is_told_by(rows))?;
        let misfit = |rise: f64| {
            let rows: Vec<Row> =
                rows.iter().map(|row| row.on_average().at_full_load(rise)).collect();
            Solved::of(&rows).misfit(&rows).unwrap_or(f64::INFINITY)
        };
        let none = misfit(0.0);
        let tried = STEPS.map(|rise| (rise, misfit(rise)));
        let best = tried.iter().min_by(|(_, one), (_, other)| one.total_cmp(other))?;
        // Between the neighbours of the best step, in thirds.
        let below = STEPS.iter().rev().find(|step| **step < best.0).copied().unwrap_or(0.0);
        let above = STEPS.iter().find(|step| **step > best.0).copied().unwrap_or(best.0);
        let (mut low, mut high) = (below, above);
        for _ in 0..THIRDS {
            let third = (high - low) / 3.0;
            match misfit(low + third) < misfit(high - third) {
                true => high -= third,
                false => low += third,
            }
        }
        let rise = f64::midpoint(low, high);
        let is_of_use = misfit(rise) < none * (1.0 - GAIN_MIN);
        let at_bound = rise > STEPS_MAX * 0.95;
        is_of_use.then_some(Self { rise, at_bound, busy_from, busy_to })
    }
}

/// How busy cores were, from and to; nothing where that was about the same.
fn span(rows: &[Row]) -> Option<(f64, f64)> {
    let from = rows.iter().map(|row| row.busy).fold(f64::INFINITY, f64::min);
    let to = rows.iter().map(|row| row.busy).fold(0.0, f64::max);
    (to - from >= SPAN_MIN).then_some((from, to))
}

fn is_told_by(rows: &[Row]) -> bool {
    let terms: BTreeSet<Term> = rows.iter().flat_map(|row| row.counts.keys().copied()).collect();
    rows.len() >= ROWS_PER_TERM * terms.len()
}

/// How many times as much things cost where cores are so busy.
pub(super) fn factor(rise: f64, busy: f64) -> f64 {
    1.0 + rise * (1.0 - busy)
}

/// How busy cores are with work that takes so many of them where they are busy, each part with its rise: the
/// solution of busy = Σ work × (1 + rise × (1 − busy)).
pub(super) fn busy(parts: &[(f64, f64)]) -> f64 {
    let work: f64 = parts.iter().map(|(work, rise)| work * (1.0 + rise)).sum();
    let rise: f64 = parts.iter().map(|(work, rise)| work * rise).sum();
    (work / (1.0 + rise)).min(1.0)
}

/// Below, how busy cores were says nothing.
const SPAN_MIN: f64 = 0.05;
/// Fewer slices for each term say nothing of how costs rise.
const ROWS_PER_TERM: usize = 2;
/// What a rise has to take away from the misfit to be believed.
const GAIN_MIN: f64 = 0.10;
const STEPS: [f64; 7] = [0.1, 0.3, 0.7, 1.5, 3.0, 6.0, STEPS_MAX];
/// A hop that wakes up for each thing takes about as much again as the thing: twelve is far beyond.
const STEPS_MAX: f64 = 12.0;
/// (2/3)^8 leaves 4 % of two steps.
const THIRDS: u32 = 8;
