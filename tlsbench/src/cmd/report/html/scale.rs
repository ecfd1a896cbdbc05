//! Scales of pictures, and the round numbers at which their axes are marked. Pure arithmetic.

/// A mapping of values to places, along a straight line.
#[derive(Clone, Copy, Debug)]
pub(super) struct AxisScale {
    values: (f64, f64),
    places: (f64, f64),
    is_log: bool,
}

impl AxisScale {
    /// Equal steps for equal differences.
    pub(super) const fn linear(values: (f64, f64), places: (f64, f64)) -> Self {
        Self { values, places, is_log: false }
    }

    /// Equal steps for equal ratios; values are above zero.
    pub(super) const fn log(values: (f64, f64), places: (f64, f64)) -> Self {
        Self { values, places, is_log: true }
    }

    /// Returns the place of a value; values outside are put at the edge.
    pub(super) fn at(&self, value: f64) -> f64 {
        let on = |value: f64| if self.is_log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let (low, high) = (on(self.values.0), on(self.values.1));
        let part = if high > low { (on(value) - low) / (high - low) } else { 0.5 };
        self.places.0 + part.clamp(0.0, 1.0) * (self.places.1 - self.places.0)
    }

    /// Returns true if a value lies between the ends.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.values.0..=self.values.1).contains(&value)
    }

    /// Round values to mark: as many as `most` or fewer.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        let within = |value: &f64| self.holds(*value);
        let candidates: Vec<Vec<f64>> = if self.is_log {
            let set = |digits: &[f64]| {
                let decades = DECADES
                    .flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)));
                decades.filter(within).collect()
            };
            vec![
                set(&[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 8.0, 9.0]),
                set(&[1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0]),
                set(&[1.0, 1.5, 2.0, 3.0, 5.0]),
                set(&[1.0, 2.0, 5.0]),
                set(&[1.0, 3.0]),
                set(&[1.0]),
            ]
        } else {
            let span = (self.values.1 - self.values.0).abs();
            let powers = DECADES.flat_map(|power| [1.0, 2.0, 5.0].map(|d| d * 10_f64.powi(power)));
            let steps = powers.filter(|step| span / step <= most as f64);
            let first = steps.take(1).map(|step| {
                let start = (self.values.0 / step).ceil();
                (0..=most).map(|n| (start + n as f64) * step).filter(within).collect()
            });
            first.collect()
        };
        candidates.into_iter().find(|ticks| ticks.len() <= most).unwrap_or_default()
    }
}

/// A place as SVG has it: a tenth of a unit is finer than any screen.
pub(super) fn px(place: f64) -> String {
    let place = (place * 10.0).round() / 10.0 + 0.0;
    format!("{place}")
}

/// A value that an axis marks, as short as it can be said.
pub(super) fn mark(value: f64) -> String {
    format!("{}", (value * 1e6).round() / 1e6)
}

/// Picoseconds to hours, and everything between ratios that are measured.
const DECADES: std::ops::RangeInclusive<i32> = -6..=15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_where_they_should_and_never_outside() {
        let linear = AxisScale::linear((0.0, 10.0), (100.0, 200.0));
        assert_eq!(linear.at(5.0), 150.0);
        assert_eq!((linear.at(-5.0), linear.at(50.0)), (100.0, 200.0));
        let log = AxisScale::log((0.1, 10.0), (0.0, 100.0));
        assert!((log.at(1.0) - 50.0).abs() < 1e-9);
        assert_eq!((log.at(0.0), log.at(-1.0), log.at(99.0)), (0.0, 0.0, 100.0));
        assert_eq!(AxisScale::linear((3.0, 3.0), (0.0, 10.0)).at(3.0), 5.0);
    }

    #[test]
    fn ticks_are_round_few_and_inside() {
        for (values, most, want) in [
            ((0.0, 1_043.0), 5, vec![0.0, 500.0, 1_000.0]),
            ((0.0, 1.0), 6, vec![0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]),
            ((0.0, 0.0), 4, vec![]),
        ] {
            let ticks = AxisScale::linear(values, (0.0, 1.0)).ticks(most);
            assert!(ticks.len() <= most + 1, "{ticks:?}");
            if !want.is_empty() {
                assert_eq!(ticks, want);
            }
        }
        assert_eq!(AxisScale::log((0.9, 6.5), (0.0, 1.0)).ticks(5), [1.0, 1.5, 2.0, 3.0, 5.0]);
        assert_eq!(AxisScale::log((5e3, 3e6), (0.0, 1.0)).ticks(4), [1e4, 1e5, 1e6]);
        assert!(AxisScale::log((1.0, 1.0), (0.0, 1.0)).ticks(5).len() <= 5);
    }

    #[test]
    fn places_are_short_and_never_minus_zero() {
        assert_eq!([px(1.0), px(1.26), px(-0.04)], ["1", "1.3", "0"]);
        assert_eq!([mark(0.1 * 3.0), mark(500.0), mark(1.5)], ["0.3", "500", "1.5"]);
    }
}
