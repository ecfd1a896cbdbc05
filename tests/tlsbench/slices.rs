//! Slices of placements as short as the machine, and what runs beside, let them be: where one has seen too
//! few operations to judge by, all of it is run again with longer ones.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;

/// Makes a run with the times of these flags, and makes it again with longer ones while it gave up for a
/// slice that nobody read, or a slice of its record's CPU pass has seen nothing, or one that resumes fewer
/// connections than this. The last of them is what it is.
pub(crate) fn long_enough<T>(
    connections: u64,
    mut run: impl FnMut(&[&str]) -> (T, Json),
) -> (T, Json) {
    for times in &TIMES {
        let ran = run(times);
        let trials = ran.1["trials"].as_array().into_iter().flatten();
        let mut of_cpu = trials.filter(|trial| trial["pass"] == "cpu");
        if ran.1["complete"] == true && of_cpu.all(|trial| has_seen(trial, connections)) {
            return ran;
        }
    }
    run(&LONGEST)
}

fn has_seen(trial: &Json, connections: u64) -> bool {
    let resumes = trial["workload"] == "resumed" || trial["workload"] == "mix";
    let (what, wanted) = if resumes { ("connections", connections) } else { ("succeeded", 1) };
    let rounds = trial["client"]["rounds"].as_array().into_iter().flatten();
    rounds.filter_map(|round| round[what].as_u64()).sum::<u64>() >= wanted
}

/// Runs, and gives the record that this run left at this path: null where it left none.
pub(crate) fn record_of<T>(path: &Path, run: impl FnOnce() -> T) -> (T, Json) {
    drop(fs::remove_file(path));
    let ran = run();
    let record = fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok());
    (ran, record.unwrap_or_default())
}

/// The sixteen connections of a loop have begun with a full handshake each, and some have resumed since.
pub(crate) const SOME_RESUMED: u64 = 20;
/// More have resumed than not.
pub(crate) const MOST_RESUMED: u64 = 40;

/// Without optimisation a handshake through three hops takes a millisecond or more of each.
const TIMES: [[&str; 4]; 2] =
    [["--round", "300ms", "--warm-up", "50ms"], ["--round", "1s", "--warm-up", "100ms"]];
const LONGEST: [&str; 4] = ["--round", "3s", "--warm-up", "300ms"];
