//! The answer of a search: a table, or JSON.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use serde_json::json;
use tlsbench_core::search::{MissedGoal, SearchResult};
use tlsbench_core::tally::Failure;
use tlsbench_core::units::Nanos;
use tlsbench_core::usage::UnderWay;
use tlsbench_core::warning::cure;

use crate::build;

/// The most that a search takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct SearchLimits {
    /// Trials of each endpoint or placement.
    pub(super) trials: u32,
    /// Time of each; of all together where it was asked for.
    pub(super) time: Nanos,
    /// The time was asked for by `--max-time`.
    pub(super) is_asked: bool,
}

/// The answer for one endpoint or placement.
#[derive(Clone, Debug)]
pub(super) struct TargetSearch {
    pub(super) name: String,
    pub(super) found: SearchResult,
    /// The highest rate that met the goal in a short trial.
    pub(super) met: Option<f64>,
    pub(super) tried: Vec<JudgedTrial>,
    pub(super) ended: SearchEnd,
    /// Operations without an answer when its time was over.
    pub(super) unanswered: UnderWay,
}

/// The reason why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SearchEnd {
    /// The answer is found.
    Found,
    /// The time limit is reached.
    Time,
    /// The limit of trials is reached.
    Trials,
}

/// One trial.
#[derive(Clone, Debug)]
pub(super) struct JudgedTrial {
    pub(super) rate: f64,
    pub(super) long: bool,
    pub(super) failing: Option<MissedGoal>,
    /// Failed operations by name; those of the warm-up where it ended there.
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) generator_busy: bool,
}

impl SearchLimits {
    /// Says before anything is measured how long it can take.
    pub(super) fn tell(&self) {
        let Self { trials, time, .. } = self;
        eprintln!(
            "note: {}",
            match self.is_asked {
                true =>
                    format!("it takes at most {trials} trials of each, and {time} (`--max-time`)"),
                false => format!(
                    "it takes at most {trials} trials and {time} of each; `--max-time` sets another limit"
                ),
            }
        );
    }

    /// Returns the end of all searches; `None` if each has a time of its own.
    pub(super) fn until(&self) -> Option<Instant> {
        self.is_asked.then(|| self.of_one())
    }

    /// Returns the end of a search that begins now.
    pub(super) fn of_one(&self) -> Instant {
        Instant::now() + Duration::from_nanos(self.time.0)
    }
}

impl JudgedTrial {
    /// Says why it did not meet the goal.
    fn why(&self) -> Option<String> {
        let failing = self.failing.as_ref()?;
        Some(match (failing, self.failed_by()) {
            (MissedGoal::Errors { .. }, Some(by)) => format!("{failing}, most by {by}"),
            _ => failing.to_string(),
        })
    }

    /// The failure that most operations ended with. An unanswered operation is one of a timeout,
    /// though the trial did not wait for it.
    fn failed_by(&self) -> Option<&str> {
        let most = self.failures.iter().max_by_key(|(_, count)| **count);
        let is_unanswered = matches!(self.failing, Some(MissedGoal::Unanswered { .. }));
        let unanswered = is_unanswered.then_some(Failure::Timeout.as_str());
        most.map(|(name, _)| name.as_str()).or(unanswered)
    }

    /// Each failure with its count and what to do about it.
    fn reasons(&self) -> impl Iterator<Item = String> {
        self.failures.iter().map(|(name, count)| {
            let known = name.parse::<Failure>().ok();
            let cure = known.map(|failure| format!(": {}", cure(failure))).unwrap_or_default();
            format!("{count} failed by {name}{cure}")
        })
    }
}

impl TargetSearch {
    /// The trial at the lowest rate that did not meet the goal.
    fn failing(&self) -> Option<&JudgedTrial> {
        let at = self.found.to?;
        let is_it =
            |tried: &&JudgedTrial| tried.failing.is_some() && (tried.rate - at).abs() < 1e-9 * at;
        self.tried.iter().rfind(is_it)
    }

    /// Says what failed at the lowest rate that did not meet the goal, and what to do about it.
    fn reasons(&self) -> String {
        if self.failing().is_none() && self.ended == SearchEnd::Found {
            return String::new();
        }
        let name = &self.name;
        // At the lowest rate nothing may have come to an end: an earlier trial then has the reason.
        let mut last = self.failing().into_iter().chain(self.tried.iter().rev());
        if let Some(trial) = last.find(|trial| !trial.failures.is_empty()) {
            let each = trial.reasons();
            return each.map(|why| format!("{name} at {:.0}/s: {why}\n", trial.rate)).collect();
        }
        // Where some rate met the goal, unanswered operations at a higher one are an overload.
        let is_unanswered = |trial: &&JudgedTrial| {
            self.met.is_none() && matches!(trial.failing, Some(MissedGoal::Unanswered { .. }))
        };
        let hung = self.failing().filter(is_unanswered);
        hung.and_then(|trial| Some((trial.rate, trial.failing?)))
            .map(|(rate, why)| {
                format!("{name} at {rate:.0}/s: {why}: {}\n", cure(Failure::Timeout))
            })
            .unwrap_or_default()
    }

    /// Says why it ended before it was over, and what is known nevertheless.
    fn unfinished(&self, limits: SearchLimits) -> Option<String> {
        let why = match self.ended {
            SearchEnd::Found => return None,
            SearchEnd::Time if limits.is_asked => {
                "the search took as long as `--max-time` allows".to_owned()
            }
            SearchEnd::Time => format!("the search took {}, as long as it may", limits.time),
            SearchEnd::Trials => {
                format!("the search made {} trials, as many as it may", limits.trials)
            }
        };
        let met = self.met.map(|rate| format!("{rate:.0}/s met the goal in a short trial"));
        let missed = self.found.to.map(|rate| format!("{rate:.0}/s did not meet it"));
        let known: Vec<String> = met.into_iter().chain(missed).collect();
        let known = if known.is_empty() { "nothing is known".to_owned() } else { known.join(", ") };
        let UnderWay { operations, oldest_ns } = self.unanswered;
        let waiting = match operations {
            0 => String::new(),
            1 => format!("; 1 operation was unanswered then, for {oldest_ns}"),
            _ => format!(
                "; {operations} operations were unanswered then, the oldest for {oldest_ns}"
            ),
        };
        Some(format!("{why} and was not over: {known}{waiting}"))
    }
}

/// The answer for people.
pub(super) fn text(
    p99: Nanos,
    limits: SearchLimits,
    all: &[TargetSearch],
    names_endpoint: bool,
) -> String {
    let mut text = format!(
        "at most 0.1 % failed, at least 99 % achieved, p99 at most {p99}\n{}\n",
        table(all).trim_fmt()
    );
    all.iter().for_each(|searched| text.push_str(&searched.reasons()));
    for searched in all.iter().filter(|one| one.failing().is_some_and(|one| one.generator_busy)) {
        text.push_str(&format!(
            "{}: the generator was more than 85 % busy where it no longer met the goal, so that more \
             may be had; give it `--threads`, or another machine\n",
            searched.name
        ));
    }
    for searched in all {
        if let Some(why) = searched.unfinished(limits) {
            text.push_str(&format!("{}: {why}\n", searched.name));
        }
    }
    if !names_endpoint {
        text.push_str(
            "generator and hops share this machine: compare, and take no rate for granted\n",
        );
    }
    text.push_str(build::WARNING);
    text
}

fn table(all: &[TargetSearch]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "meets the goal at", "no longer at", "for", "trials"]);
    let rate = |rate: Option<f64>, none: &str| {
        rate.map_or_else(|| none.to_owned(), |rate| format!("{rate:.0}/s"))
    };
    for searched in all {
        let failing = searched.failing().and_then(JudgedTrial::why);
        table.add_row([
            searched.name.clone(),
            rate(searched.found.from, "no rate"),
            rate(searched.found.to, "not tried"),
            failing.unwrap_or_else(|| "-".to_owned()),
            searched.found.trials.to_string(),
        ]);
    }
    table
}

/// The answer for programs.
pub(super) fn json(p99: Nanos, limits: SearchLimits, all: &[TargetSearch]) -> String {
    let all: Vec<serde_json::Value> = all
        .iter()
        .map(|searched| {
            let tried = searched.tried.iter().map(|tried| {
                json!({
                    "rate": tried.rate,
                    "long": tried.long,
                    "failing": tried.failing,
                    "failed_by": tried.failed_by(),
                    "failures": tried.failures,
                    "generator_busy": tried.generator_busy,
                })
            });
            json!({
                "name": searched.name,
                "from": searched.found.from,
                "to": searched.found.to,
                "met": searched.met,
                "tried": tried.collect::<Vec<_>>(),
                "out_of_time": searched.ended == SearchEnd::Time,
                "out_of_trials": searched.ended == SearchEnd::Trials,
                "unanswered": searched.unanswered.operations,
            })
        })
        .collect();
    let document = json!({
        "schema": 1,
        "p99_ns": p99,
        "trials_max": limits.trials,
        "time_max_ns": limits.time,
        "found": all,
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SearchLimits =
        SearchLimits { trials: 60, time: Nanos::from_millis(281_000), is_asked: false };

    fn tried(rate: f64, failing: Option<MissedGoal>) -> JudgedTrial {
        let failures = BTreeMap::new();
        JudgedTrial { rate, long: false, failing, failures, generator_busy: false }
    }

    fn searched(ended: SearchEnd) -> TargetSearch {
        let unanswered =
            MissedGoal::Unanswered { operations: 5, longer_than_ns: Nanos::from_millis(100) };
        TargetSearch {
            name: "shop".to_owned(),
            found: SearchResult { from: None, to: Some(80.0), trials: 3 },
            met: Some(40.0),
            tried: vec![tried(80.0, Some(unanswered)), tried(40.0, None)],
            ended,
            unanswered: UnderWay { operations: 2, oldest_ns: Nanos::from_millis(1_500) },
        }
    }

    fn said(one: TargetSearch, limits: SearchLimits) -> String {
        text(Nanos::from_millis(100), limits, &[one], true)
    }

    #[test]
    fn a_search_that_ran_out_of_time_says_by_which_limit_what_is_known_and_what_hung() {
        let said_of = |limits| said(searched(SearchEnd::Time), limits);
        let known = "and was not over: 40/s met the goal in a short trial, 80/s did not meet it; \
                     2 operations were unanswered then, the oldest for 1.50 s\n";
        let text = said_of(LIMITS);
        assert!(text.contains(&format!("shop: the search took 281 s, as long as it may {known}")));
        let text = said_of(SearchLimits { is_asked: true, ..LIMITS });
        assert!(text.contains(&format!("as long as `--max-time` allows {known}")), "{text}");
        assert!(!text.contains("shop at 80/s"), "an overload needs no cure: {text}");
        let row = text.lines().find(|line| line.contains("no rate")).unwrap();
        assert!(row.contains("80/s") && row.contains("5 unanswered after 100 ms"), "{row}");
    }

    #[test]
    fn a_search_that_is_over_says_nothing_of_limits_and_one_without_more_trials_does() {
        assert!(!said(searched(SearchEnd::Found), LIMITS).contains("not over"));
        let mut one = searched(SearchEnd::Trials);
        (one.met, one.found.to, one.unanswered) = (None, None, UnderWay::default());
        let text = said(one, LIMITS);
        let wanted = "made 60 trials, as many as it may and was not over: nothing is known\n";
        assert!(text.contains(wanted), "{text}");
    }

    #[test]
    fn failures_and_a_server_that_never_answered_are_told_with_their_cure() {
        let mut one = searched(SearchEnd::Found);
        one.met = None;
        let text = said(one.clone(), LIMITS);
        assert!(text.contains("shop at 80/s: 5 unanswered after 100 ms: look into"), "{text}");
        one.tried[0].failures.insert("connect_refused".to_owned(), 7);
        let text = said(one, LIMITS);
        assert!(text.contains("shop at 80/s: 7 failed by connect_refused: see that"), "{text}");
    }

    #[test]
    fn the_document_has_the_limits_and_how_the_search_ended() {
        let document = json(Nanos(7), LIMITS, &[searched(SearchEnd::Time)]);
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["trials_max"], 60);
        assert_eq!(document["time_max_ns"], 281_000_000_000_u64);
        let one = &document["found"][0];
        assert_eq!((&one["out_of_time"], &one["out_of_trials"]), (&true.into(), &false.into()));
        assert_eq!((&one["met"], &one["unanswered"]), (&40.0.into(), &2.into()));
        assert_eq!(one["tried"][0]["failing"]["is"], "unanswered");
    }
}
