//! Phrases that the terminal and every document share, so that one thing is called one name.

/// Conclusion if no gate fails.
pub const ALL_GATES_PASS: &str = "All gates pass: every figure may be judged.";
/// Warning beside the gates that fail.
pub const SPOILED_FIGURES: &str =
    "A figure of a family without a verdict is shown, and proves nothing.";
/// Text instead of a verdict, in the row of a placement that others are compared with.
pub const IS_BASELINE: &str = "is a baseline";
/// Heading of what TLS adds to latency.
pub const ADDED_TO_MEDIANS: &str =
    "TLS adds to the medians of the baseline, µs, with 95 % intervals";

/// Number of failing gates as a clause: `1 gate fails`.
#[must_use]
pub fn gates_fail(count: usize) -> String {
    match count {
        1 => "1 gate fails".to_owned(),
        _ => format!("{count} gates fail"),
    }
}

/// Gates of a run in a table's cell: `all pass`, `2 fail`.
#[must_use]
pub fn gates_in_short(failing: usize) -> String {
    match failing {
        0 => "all pass".to_owned(),
        1 => "1 fails".to_owned(),
        _ => format!("{failing} fail"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_counted_in_words() {
        assert_eq!([gates_fail(1), gates_fail(3)], ["1 gate fails", "3 gates fail"]);
        assert_eq!([0, 1, 2].map(gates_in_short), ["all pass", "1 fails", "2 fail"]);
    }
}
