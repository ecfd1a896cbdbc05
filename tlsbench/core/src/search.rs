//! The highest rate that still meets a goal: up by doubling, then between the last that did and the
//! first that did not, by short trials, and one long one at the end.
//!
//! Decides what to try next and nothing else. The result is an interval, never a number.

mod goal;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use goal::{Goal, MissedGoal, TrialResult};

use crate::units::{Nanos, Rate};

/// Limits of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateBounds {
    /// The first rate.
    pub start: Rate,
    /// The highest rate that may be asked for.
    pub most: Rate,
    /// Relative width of the result's interval at which the search ends: above 0.
    pub resolution: f64,
}

impl RateBounds {
    /// The most trials that a search makes, after which it ends with what it knows. It goes up by
    /// doubling, each rate once, or down by halving, each twice; halves the octave that is left,
    /// each middle twice at most; and does that again below each rate that a long trial does not
    /// confirm.
    #[must_use]
    pub fn trials_max(&self) -> u32 {
        let (start, most) = (self.start.as_f64(), self.most.as_f64());
        let octaves = |from: f64, to: f64| (to / from).log2().ceil().max(0.0) + 1.0;
        // Up takes one trial per octave, down two: a miss is tried twice before it counts.
        let walk = (octaves(start, most) + 1.0).max(2.0 * octaves(LEAST, start.min(most)));
        // Bisection of one octave, again with two trials per miss.
        let between = 2.0 * (1.0 / (1.0 + self.resolution).log2()).log2().ceil().max(0.0);
        let trials = walk + between + f64::from(LONG_TRIALS_MAX) * (1.0 + between);
        TRIALS_MAX.min(trials as u32)
    }

    /// Upper bound on the duration of a search with trials of these lengths, warm-ups included:
    /// whatever is begun is waited for until it is answered or decided.
    #[must_use]
    pub fn time_max(&self, short: Nanos, long: Nanos) -> Nanos {
        let of = |count: u32, each: Nanos| each.0.saturating_mul(count.into());
        let shorts = self.trials_max().saturating_sub(LONG_TRIALS_MAX);
        Nanos(of(shorts, short).saturating_add(of(LONG_TRIALS_MAX, long)))
    }
}

/// A search as far as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    bounds: RateBounds,
    /// Rates that met the goal in short trials, rising.
    met: Vec<f64>,
    /// The lowest rate that did not meet it.
    missed: Option<f64>,
    /// A rate that missed the goal once, and is to be tried again.
    again: Option<f64>,
    trials: u32,
    confirmed: Option<f64>,
    is_over: bool,
    /// True if nothing succeeded at the lowest rate that was tried.
    is_dead: bool,
}

/// Next step of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SearchStep {
    /// Try a rate, for a short or a long while.
    Try {
        /// The rate.
        rate: Rate,
        /// True if this is the long trial that confirms it.
        long: bool,
    },
    /// The search is over.
    Done(SearchResult),
}

/// Result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SearchResult {
    /// The highest rate that met the goal, in a long trial; `None` if none did.
    pub from: Option<f64>,
    /// The lowest rate above it that did not; `None` if the highest that may be asked for met it.
    pub to: Option<f64>,
    /// Number of trials.
    pub trials: u32,
}

impl Search {
    /// A search that begins.
    #[must_use]
    pub fn new(bounds: RateBounds) -> Self {
        Self {
            bounds,
            met: Vec::new(),
            missed: None,
            again: None,
            trials: 0,
            confirmed: None,
            is_over: false,
            is_dead: false,
        }
    }

    /// The next step. It stays the same until the result of the trial is reported.
    #[must_use]
    pub fn next(&self) -> SearchStep {
        let found = self.so_far();
        if self.is_over || self.trials >= self.bounds.trials_max() {
            return SearchStep::Done(found);
        }
        let (rate, long) = match self.next_rate() {
            Some(next) => next,
            None => return SearchStep::Done(found),
        };
        match Rate::per_second(rate) {
            Some(rate) => SearchStep::Try { rate, long },
            None => SearchStep::Done(found),
        }
    }

    /// Result so far, for a search that is given up.
    #[must_use]
    pub const fn so_far(&self) -> SearchResult {
        SearchResult { from: self.confirmed, to: self.missed, trials: self.trials }
    }

    /// The highest rate that met the goal in a short trial and was not missed since.
    #[must_use]
    pub fn met(&self) -> Option<f64> {
        self.met.last().copied()
    }

    /// Returns true if it ended only because it has made all the trials that it may.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        let is_over = self.is_over || self.next_rate().is_none();
        !is_over && self.trials >= self.bounds.trials_max()
    }

    fn next_rate(&self) -> Option<(f64, bool)> {
        if let Some(again) = self.again {
            return Some((again, false));
        }
        let (start, most) = (self.bounds.start.as_f64(), self.bounds.most.as_f64());
        let met = self.met.last().copied();
        Some(match (met, self.missed) {
            (None, None) => (start.min(most), false),
            (Some(met), None) if met >= most => (met, true),
            (Some(met), None) => ((met * 2.0).min(most), false),
            // Down by halves, until something is met or there is nothing to ask for.
            (None, Some(missed)) if missed <= LEAST => return None,
            // Halving a rate at which nothing works would only repeat timeouts; the lowest rate
            // tells at once.
            (None, Some(_)) if self.is_dead => (LEAST, false),
            (None, Some(missed)) => ((missed / 2.0).max(LEAST), false),
            (Some(met), Some(missed)) if missed <= met * (1.0 + self.bounds.resolution) => {
                (met, true)
            }
            // In the middle of logarithms: a rate is as far from its double as from its half.
            (Some(met), Some(missed)) => ((met * missed).sqrt(), false),
        })
    }

    /// Records that nothing succeeded at the rate of the step. Half of it would hardly fare better:
    /// if that holds twice, the lowest rate is tried next.
    pub fn record_dead(&mut self) {
        self.record_result(false);
        self.is_dead = true;
    }

    /// Records the result of the step.
    pub fn record_result(&mut self, has_met: bool) {
        // The step is a function of the state, so the answer belongs to the rate that it names.
        let SearchStep::Try { rate, long } = self.next() else { return };
        let rate = rate.as_f64();
        self.trials = self.trials.saturating_add(1);
        self.is_dead = false;
        match (long, has_met) {
            (true, true) => (self.confirmed, self.is_over) = (Some(rate), true),
            // Short trials were too kind: what is not confirmed is not met.
            (true, false) => self.miss(rate),
            (false, true) => {
                self.again = None;
                self.met.push(rate);
            }
            // A machine has bad moments: a rate is missed when it is missed twice.
            (false, false) if self.again.is_none() => self.again = Some(rate),
            (false, false) => self.miss(rate),
        }
    }

    fn miss(&mut self, rate: f64) {
        self.again = None;
        // What is tried lies below what was missed before.
        self.missed = Some(rate);
        self.met.retain(|met| *met < rate);
    }
}

/// One start in a second: below, a trial says nothing.
const LEAST: f64 = 1.0;
/// Long trials that a search plans for: three that do not confirm, and one that does.
const LONG_TRIALS_MAX: u32 = 4;
/// 9^Limit of trials. From 1 to 10^9^9 there are 30 doublings, and an octave to a hundredth takes 7
/// halvings; each rate may be tried twice, and some confirmations may fail.
const TRIALS_MAX: u32 = 120;
