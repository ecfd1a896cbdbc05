//! The output of a test executable, as libtest prints it with `--show-output --report-time`.

use std::time::Duration;

/// A test that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// The name, with its modules.
    pub name: String,
    /// The result.
    pub result: TestResult,
    /// The time that it took; zero if it is marked `#[ignore]`.
    pub took: Duration,
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestResult {
    /// It failed.
    Failed,
    /// It passed.
    Passed,
    /// It returned early, because something that it needs is missing; or it is marked `#[ignore]`.
    Skipped(String),
}

/// The line that a test prints when it returns early: what follows is the reason.
const SKIPPED: &str = "skipped: ";

/// Reads the tests of an executable from its standard output.
///
/// Lines of another form are left alone: a test's own output may stand anywhere.
#[must_use]
pub fn tests(output: &str) -> Vec<Test> {
    let mut found: Vec<Test> = output.lines().filter_map(test).collect();
    let mut current = None;
    for line in output.lines() {
        if let Some(name) =
            line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----"))
        {
            current = found.iter().position(|test| test.name == name);
        } else if let Some(reason) = line.strip_prefix(SKIPPED)
            && let Some(test) = current.and_then(|index: usize| found.get_mut(index))
            && test.result == TestResult::Passed
        {
            test.result = TestResult::Skipped(reason.trim().to_owned());
        }
    }
    found
}

/// Returns the part of an output that says why tests failed; all of it where libtest did not come to say.
#[must_use]
pub fn failures(output: &str) -> &str {
    // With `--show-output` it stands behind the output of every test that passed.
    output.find("\nfailures:\n").map_or(output, |start| output.get(start..).unwrap_or(output))
}

/// Reads `test NAME ... RESULT <0.123s>`.
fn test(line: &str) -> Option<Test> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let (word, time) = rest.split_once(" <").unwrap_or((rest, ""));
    let result = match word.split([' ', ',']).next()? {
        "ok" => TestResult::Passed,
        "FAILED" => TestResult::Failed,
        "ignored" => {
            let reason = rest.strip_prefix("ignored, ").unwrap_or("marked #[ignore]");
            return Some(Test {
                name: name.to_owned(),
                result: TestResult::Skipped(reason.to_owned()),
                took: Duration::ZERO,
            });
        }
        _ => return None,
    };
    let seconds = time.trim_end_matches('>').trim_end_matches('s').parse().unwrap_or(0.0);
    let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    // A test that must panic has this behind its name.
    let name = name.trim_end_matches(" - should panic").to_owned();
    Some(Test { name, result, took })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_times_and_reasons_are_read() {
        let output = "\nrunning 5 tests\ntest a::fine ... ok <0.250s>\ntest b ... FAILED <1.500s>\n\
                      test c ... ignored, needs a cluster\ntest d - should panic ... ok <0.000s>\n\
                      test e ... ok <0.001s>\n\nsuccesses:\n\n---- e stdout ----\n\
                      words\nskipped: nginx is missing\n\n---- a::fine stdout ----\nskippered\n\
                      failures:\n\n---- b stdout ----\nskipped: no matter\nthread panicked\n";
        let found = tests(output);
        let results: Vec<(&str, &TestResult, u128)> = found
            .iter()
            .map(|test| (test.name.as_str(), &test.result, test.took.as_millis()))
            .collect();
        assert_eq!(
            results,
            [
                ("a::fine", &TestResult::Passed, 250),
                ("b", &TestResult::Failed, 1500),
                ("c", &TestResult::Skipped("needs a cluster".into()), 0),
                ("d", &TestResult::Passed, 0),
                ("e", &TestResult::Skipped("nginx is missing".into()), 1),
            ]
        );
    }

    #[test]
    fn failures_are_told_without_what_passing_tests_printed() {
        let output = "test a ... ok\n\nsuccesses:\n\n---- a stdout ----\nwords\n\nfailures:\n\n\
                      ---- b stdout ----\nthe reason\n";
        assert!(!failures(output).contains("words"));
        assert!(failures(output).contains("the reason"));
        assert_eq!(
            failures("running 3 tests\nSegmentation fault"),
            "running 3 tests\nSegmentation fault"
        );
    }

    #[test]
    fn output_of_tests_is_no_result() {
        assert_eq!(tests("test this ... please\ntesting ... ok\ntest x ok\n"), []);
    }
}
