//! The results of all executables together.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::libtest::{Test, TestResult};

/// Slowest tests that are listed.
const SLOWEST: usize = 10;

/// An executable that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The executable's name.
    pub name: String,
    /// The tests that it ran.
    pub tests: Vec<Test>,
    /// True if it exited with code 0.
    pub succeeded: bool,
    /// The wall time.
    pub took: Duration,
}

impl Ended {
    /// The number of tests with a result.
    fn count(&self, is_wanted: impl Fn(&TestResult) -> bool) -> usize {
        self.tests.iter().filter(|test| is_wanted(&test.result)).count()
    }

    /// Returns true if it ended badly without saying which test failed: a crash, or a signal.
    #[must_use]
    pub fn crashed(&self) -> bool {
        !self.succeeded && self.count(is_failed) == 0
    }

    /// The line about one executable.
    #[must_use]
    pub fn line(&self) -> String {
        let crash = if self.crashed() { ", and it CRASHED" } else { "" };
        format!(
            "{}: {} passed, {} failed, {} skipped, {:.1} s{crash}",
            self.name,
            self.count(|result| *result == TestResult::Passed),
            self.count(is_failed),
            self.count(is_skipped),
            self.took.as_secs_f64(),
        )
    }
}

/// Returns true if every executable succeeded and at least one test passed.
#[must_use]
pub fn is_success(all: &[Ended]) -> bool {
    let passed = |ended: &Ended| ended.count(|result| *result == TestResult::Passed) > 0;
    all.iter().all(|ended| ended.succeeded) && all.iter().any(passed)
}

/// The closing lines: slowest tests, what was skipped and why, failures, and the sum.
#[must_use]
pub fn text(all: &[Ended]) -> String {
    let mut text = String::new();
    let mut tests: Vec<(&str, &Test)> =
        all.iter().flat_map(|ended| ended.tests.iter().map(|test| (&*ended.name, test))).collect();
    tests.sort_by_key(|(_, test)| std::cmp::Reverse(test.took));
    text.push_str("\nslowest tests:\n");
    for (name, test) in tests.iter().take(SLOWEST) {
        let _ = writeln!(text, "  {:6.1} s  {name} {}", test.took.as_secs_f64(), test.name);
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, test) in &tests {
        if let TestResult::Skipped(reason) = &test.result {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    if !reasons.is_empty() {
        text.push_str("\nskipped, because:\n");
        for (reason, count) in reasons {
            let _ = writeln!(text, "  {count} × {reason}");
        }
    }
    let failed = tests.iter().filter(|(_, test)| test.result == TestResult::Failed);
    let failed: Vec<String> = failed
        .map(|(name, test)| format!("{name} {}", test.name))
        .chain(
            all.iter().filter(|ended| ended.crashed()).map(|one| format!("{} crashed", one.name)),
        )
        .collect();
    if !failed.is_empty() {
        text.push_str("\nfailed:\n");
        for line in &failed {
            let _ = writeln!(text, "  {line}");
        }
    }
    let sum = |is_wanted: fn(&TestResult) -> bool| -> usize {
        all.iter().map(|ended| ended.count(is_wanted)).sum()
    };
    let passed = sum(|result| *result == TestResult::Passed);
    // A form that CI systems look for.
    let _ = write!(text, "\n{passed} passed, {} failed, {} skipped", failed.len(), sum(is_skipped));
    text
}

fn is_failed(result: &TestResult) -> bool {
    *result == TestResult::Failed
}

fn is_skipped(result: &TestResult) -> bool {
    matches!(result, TestResult::Skipped(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(results: &[(&str, TestResult, u64)], succeeded: bool) -> Ended {
        let tests = results
            .iter()
            .map(|(name, result, millis)| Test {
                name: (*name).into(),
                result: result.clone(),
                took: Duration::from_millis(*millis),
            })
            .collect();
        Ended { name: "p::t".into(), tests, succeeded, took: Duration::from_millis(1500) }
    }

    #[test]
    fn the_sum_names_what_failed_and_what_was_skipped() {
        let all = [ended(
            &[
                ("a", TestResult::Passed, 5),
                ("b", TestResult::Failed, 2000),
                ("c", TestResult::Skipped("no nginx".into()), 1),
                ("d", TestResult::Skipped("no nginx".into()), 1),
                ("e", TestResult::Skipped("a stub".into()), 0),
            ],
            false,
        )];
        assert!(!is_success(&all));
        assert_eq!(all[0].line(), "p::t: 1 passed, 1 failed, 3 skipped, 1.5 s");
        let text = text(&all);
        assert!(text.contains("slowest tests:\n     2.0 s  p::t b\n"), "{text}");
        assert!(text.contains("  1 × a stub\n  2 × no nginx\n"), "{text}");
        assert!(text.contains("failed:\n  p::t b\n"), "{text}");
        assert!(text.ends_with("\n1 passed, 1 failed, 3 skipped"), "{text}");
    }

    #[test]
    fn a_crash_is_a_failure_though_no_test_says_so() {
        let all = [ended(&[("a", TestResult::Passed, 5)], false)];
        assert!(!is_success(&all));
        assert!(all[0].line().ends_with("and it CRASHED"));
        assert!(text(&all).ends_with("failed:\n  p::t crashed\n\n1 passed, 1 failed, 0 skipped"));
    }

    #[test]
    fn nothing_that_ran_is_no_success() {
        assert!(!is_success(&[]));
        assert!(!is_success(&[ended(&[("a", TestResult::Skipped("why".into()), 0)], true)]));
        assert!(is_success(&[ended(&[("a", TestResult::Passed, 0)], true), ended(&[], true)]));
    }
}
