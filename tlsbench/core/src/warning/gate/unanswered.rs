//! Operations that do not end: in a closed loop each takes a connection out of the measurement, and
//! neither its success nor its failure is counted.

use std::collections::BTreeMap;

use super::Warning;
use crate::record::TargetRecord;
use crate::scenario::{Length, Load, Scenario};
use crate::tally::Phase;
use crate::units::Nanos;
use crate::usage::UnderWay;

/// Judges the oldest operation that was under way at the end of a round, or of the run.
pub(super) fn judge(target: &TargetRecord, scenario: &Scenario) -> Option<Warning> {
    let most = patience(target, scenario);
    let rounds = target.rounds.iter().map(|round| (Some(round.round), round.under_way));
    let at_end = std::iter::once((None, target.unanswered));
    let (round, UnderWay { operations, oldest_ns }) =
        rounds.chain(at_end).max_by_key(|(_, under_way)| under_way.oldest_ns)?;
    let when = round.map_or_else(
        || "when the run ended".to_owned(),
        |round| format!("at the end of round {}", round.saturating_add(1)),
    );
    let were = if operations == 1 { "operation was" } else { "operations were" };
    (oldest_ns > most).then(|| Warning {
        seen: format!("{when}, {operations} {were} under way, the oldest for {oldest_ns}"),
        cause: "the server leaves some of them unanswered, and a connection that waits makes no more"
            .into(),
        cure: "look in the server's log for what it does not answer; with a lower \
               `timeout.operation` such operations fail and are counted; raise `timing.round` where \
               they do take that long"
            .into(),
    })
}

/// Time that an operation may be under way: as long as a round, and where rounds are longer than
/// that twice as long as the longest that ended. Never less than [`PATIENCE_MIN`].
fn patience(target: &TargetRecord, scenario: &Scenario) -> Nanos {
    let longest = target.histogram(Phase::Uncorrected).map(|series| series.0.max());
    let longest = longest.map(|longest| Nanos(longest.saturating_mul(2)));
    let round = match scenario.timing.round {
        Length::Time(round) => Some(round),
        Length::Count(_) => None,
    };
    longest.into_iter().chain(round).min().unwrap_or_default().max(PATIENCE_MIN)
}

/// Judges rounds in which nothing ended, in a run in which something did: their rate is no rate.
pub(super) fn without_end(target: &TargetRecord, load: &Load) -> Option<Warning> {
    // Ended, and due, in each round of all generators; a round without time was not seen at all.
    let mut rounds: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for round in target.rounds.iter().filter(|round| round.wall_ns > Nanos(0)) {
        let (ended, due) = rounds.entry(round.round).or_default();
        *ended = ended.saturating_add(round.succeeded.saturating_add(round.failures()));
        *due = due.saturating_add(round.scheduled);
    }
    let all = rounds.len();
    let anything = rounds.values().any(|(ended, _)| *ended > 0);
    let is_open = matches!(load, Load::Open { .. });
    let without = |(ended, due): &&(u64, u64)| *ended == 0 && !(is_open && *due == 0);
    let without = rounds.values().filter(without).count();
    (anything && without > 0).then(|| Warning {
        seen: format!("in {without} of {all} rounds no operation came to an end"),
        cause: "the server stopped answering, or a round is shorter than an operation".into(),
        cure: "look into the server's log, or raise `timing.round`".into(),
    })
}

/// Shortest patience: below a second nobody has waited long enough to say that no answer comes.
const PATIENCE_MIN: Nanos = Nanos::from_millis(1_000);
