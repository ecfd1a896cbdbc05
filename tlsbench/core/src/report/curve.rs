//! Quantiles of a series, many at once: one pass over its histogram, whatever is asked of it then.

use crate::record::TargetRecord;
use crate::tally::{Phase, Quantile};
use crate::units::Nanos;

/// A point of a percentile curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The part of all values that are no larger, 0 to 1.
    pub quantile: f64,
    /// The time.
    pub ns: Nanos,
    /// True if it is only known to be that or more, for missed starts.
    pub at_least: bool,
}

/// Cumulative counts of a phase: values in ascending order with the number that are no larger.
pub(super) struct CumulativeCounts {
    steps: Vec<(u64, Nanos)>,
    timed: u64,
    /// Values that are no longer than the longest wait, or not told apart from it.
    within: u64,
    missed: u64,
    wait_max: Nanos,
}

impl CumulativeCounts {
    /// Reads the histogram of a phase; `None` if nothing was timed or missed.
    pub(super) fn of(target: &TargetRecord, phase: Phase, wait_max: Nanos) -> Option<Self> {
        let mut steps = Vec::new();
        let (mut seen, mut within): (u64, u64) = (0, 0);
        if let Some(series) = target.histogram(phase) {
            // Missed starts rank after these: they waited longer.
            within = series.0.count_between(0, wait_max.0);
            for step in series.0.iter_recorded() {
                seen = seen.saturating_add(step.count_at_value());
                steps.push((seen, Nanos(step.value_iterated_to())));
            }
        }
        let missed = match phase {
            Phase::Corrected => target.sum(|round| round.missed),
            _ => 0,
        };
        (seen > 0 || missed > 0).then(|| Self {
            steps,
            timed: seen,
            within: within.min(seen),
            missed,
            wait_max,
        })
    }

    /// Number of timed values.
    pub(super) const fn timed(&self) -> u64 {
        self.timed
    }

    /// A quantile from 0 to 1, as [`crate::tally::quantile_with_missed`] has it.
    pub(super) fn quantile(&self, quantile: f64) -> Quantile {
        let total = self.timed.saturating_add(self.missed);
        let rank = ((quantile.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total.max(1));
        if self.missed == 0 {
            return Quantile::Is(self.value_at(rank));
        }
        match rank.checked_sub(self.within) {
            None | Some(0) => Quantile::Is(self.value_at(rank)),
            Some(above) if above > self.missed => {
                Quantile::AtLeast(self.value_at(rank.saturating_sub(self.missed)))
            }
            Some(_) => Quantile::AtLeast(self.wait_max),
        }
    }

    fn value_at(&self, rank: u64) -> Nanos {
        // Cumulative counts ascend, so a binary search finds the rank; a histogram would be walked
        // each time.
        let index = self.steps.partition_point(|(count, _)| *count < rank);
        let step = self.steps.get(index).or(self.steps.last());
        step.map_or(Nanos(0), |(_, value)| *value)
    }

    /// The curve up to the last quantile that values bear out: one of 1,000 values says nothing of
    /// what only one of 10,000 exceeds.
    pub(super) fn curve(&self) -> Vec<CurvePoint> {
        let total = self.timed.saturating_add(self.missed) as f64;
        // Equal steps of log10(1 / (1 - quantile)), as the picture's axis has them.
        let quantiles = (0..=POINTS_MAX)
            .map(|step| f64::from(step) / POINTS_PER_NINE)
            // Beyond one in `total` there is no observation to draw.
            .take_while(|nines| 10_f64.powf(*nines) <= total)
            .map(|nines| 1.0 - 10_f64.powf(-nines));
        let at = |quantile| match self.quantile(quantile) {
            Quantile::Is(ns) => CurvePoint { quantile, ns, at_least: false },
            Quantile::AtLeast(ns) => CurvePoint { quantile, ns, at_least: true },
        };
        quantiles.map(at).collect()
    }
}

/// Fine enough that no bend is lost at the width of a page.
const POINTS_PER_NINE: f64 = 12.0;
/// Points up to 99.999 %: five nines of 12 points.
const POINTS_MAX: u32 = 60;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Series;

    fn target(times: &[u64], missed: u64) -> TargetRecord {
        let mut series = Series::default();
        for time in times {
            series.0.saturating_record(*time);
        }
        let mut target = TargetRecord::new("a");
        target.histograms.insert("corrected".to_owned(), series);
        let round = serde_json::json!({
            "generator": 0, "round": 0, "wall_ns": 1, "succeeded": 0, "failed": {},
            "missed": missed, "scheduled": 0, "connections": 0,
            "shape": { "full": 0, "resumed": 0, "retried": 0, "wanted_ticket": 0, "early_data": 0,
                "negotiated": {} },
            "bytes_read": 0, "bytes_written": 0,
            "cpu": { "total_ns": 0, "user_ns": 0, "system_ns": 0 },
            "busiest_thread_ns": 0, "operations_per_second": 0.0, "connections_per_second": 0.0,
            "quantiles": {},
        });
        target.rounds.push(serde_json::from_value(round).unwrap());
        target
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_record(
            times in prop::collection::vec(1_u64..200_000, 0..60),
            missed in 0_u64..20,
            quantile in 0.0..=1.0,
        ) {
            let (target, wait_max) = (target(&times, missed), Nanos(100_000));
            let seen = CumulativeCounts::of(&target, Phase::Corrected, wait_max)
                .map(|steps| steps.quantile(quantile));
            prop_assert_eq!(seen, target.quantile(Phase::Corrected, quantile, wait_max));
        }
    }

    #[test]
    fn a_time_that_is_not_told_from_the_longest_wait_is_within_it() {
        let (target, wait_max) = (target(&[1, 1, 99_968], 1), Nanos(100_000));
        let steps = CumulativeCounts::of(&target, Phase::Corrected, wait_max).unwrap();
        assert_eq!(steps.quantile(0.75), Quantile::Is(Nanos(100_031)));
        assert_eq!(steps.quantile(1.0), Quantile::AtLeast(wait_max));
    }

    #[test]
    fn a_curve_rises_and_ends_where_values_end() {
        let times: Vec<u64> = (1..=1_000).map(|time| time * 1_000).collect();
        let curve =
            CumulativeCounts::of(&target(&times, 0), Phase::Corrected, Nanos(0)).unwrap().curve();
        assert!(curve.windows(2).all(|pair| pair[0].ns <= pair[1].ns));
        assert!(curve.windows(2).all(|pair| pair[0].quantile < pair[1].quantile));
        let last = curve.last().unwrap();
        assert!((last.quantile - 0.999).abs() < 1e-9, "{last:?}");
        assert_eq!(curve[0].quantile, 0.0);
    }
}
