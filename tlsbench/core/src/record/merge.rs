//! Adding the records of several generators that ran one scenario at the same time.

use jiff::Timestamp;

use super::{RecordError, RoundRecord, RunRecord, SCHEMA, TargetRecord};
use crate::scenario::Draft;
use crate::units::Nanos;

/// Adds records: histograms and counts exactly, and rounds side by side, each under its generator.
///
/// The order of merging does not matter but for the numbers of generators.
///
/// # Errors
/// When there is none, when one is of another schema, scenario or target than the first, was
/// measured at another time, or is there twice.
pub fn merge(records: impl IntoIterator<Item = RunRecord>) -> Result<RunRecord, RecordError> {
    let mut records = records.into_iter();
    let mut all = records.next().ok_or(RecordError::Empty)?;
    check_schema(&all)?;
    for (index, record) in (1..).zip(records) {
        check_schema(&record)?;
        if comparable(&record.scenario) != comparable(&all.scenario) {
            return Err(RecordError::Scenario { index });
        }
        // The same file named twice would double every rate in silence.
        if is_copy(&all, &record) {
            return Err(RecordError::Copy { index });
        }
        // Rates add up only while generators ran at the same time.
        check_time(&all, &record, index)?;
        let names = |record: &RunRecord| -> Vec<String> {
            record.targets.iter().map(|target| target.name.clone()).collect()
        };
        if names(&record) != names(&all) {
            return Err(RecordError::Targets { index });
        }
        let generators = u32::try_from(all.environments.len()).unwrap_or(u32::MAX);
        for (into, from) in all.targets.iter_mut().zip(record.targets) {
            add_target(into, from, generators)?;
        }
        all.environments.extend(record.environments);
        all.notes.extend(record.notes);
        // Times in UTC and one format sort as text.
        all.notes.sort_by(|one, other| one.at.cmp(&other.at));
        // One of them may be a build whose figures say nothing.
        for program in record.program.split(BETWEEN) {
            if !all.program.split(BETWEEN).any(|known| known == program) {
                all.program = [all.program.as_str(), program].join(BETWEEN);
            }
        }
        all.started = first(all.started, record.started);
        all.ended = last(all.ended, record.ended);
        all.complete &= record.complete;
        all.interrupted = match (all.interrupted, record.interrupted) {
            (Some(one), Some(other)) => Some([one, other].join(BETWEEN)),
            (one, other) => one.or(other),
        };
    }
    Ok(all)
}

fn check_schema(record: &RunRecord) -> Result<(), RecordError> {
    match record.schema {
        SCHEMA => Ok(()),
        seen => Err(RecordError::Schema { seen: u64::from(seen) }),
    }
}

/// Returns true if a round of one record is there already: no two generators take the same
/// nanoseconds and bytes.
fn is_copy(all: &RunRecord, record: &RunRecord) -> bool {
    record.targets.iter().any(|target| {
        let known = all.targets.iter().filter(|known| known.name == target.name);
        let known: Vec<&RoundRecord> = known.flat_map(|known| &known.rounds).collect();
        target.rounds.iter().any(|round| {
            known.iter().any(|known| {
                let alike = (known.wall_ns, known.cpu) == (round.wall_ns, round.cpu);
                // Copying is for those that are alike so far.
                alike && RoundRecord { generator: round.generator, ..(*known).clone() } == *round
            })
        })
    })
}

/// Rates of rounds of one number are added, so these rounds must overlap: generators begin within a
/// round of each other. What has no rounds, or no times, adds none.
fn check_time(all: &RunRecord, record: &RunRecord, index: usize) -> Result<(), RecordError> {
    let rounds = [all, record].into_iter().flat_map(|record| &record.targets);
    // Rounds that begin further apart than their length do not overlap at all.
    let shortest = rounds.flat_map(|target| &target.rounds).map(|round| round.wall_ns).min();
    let (Some(shortest), Ok(one), Ok(other)) =
        (shortest, all.started.parse::<Timestamp>(), record.started.parse::<Timestamp>())
    else {
        // Without readable times nothing speaks against the records.
        return Ok(());
    };
    let apart = one.duration_since(other).unsigned_abs();
    let apart = Nanos(u64::try_from(apart.as_nanos()).unwrap_or(u64::MAX));
    match apart < shortest {
        true => Ok(()),
        false => Err(RecordError::Apart { index, apart, round: shortest }),
    }
}

/// The earlier of two times; as text they are not in order, for digits of a second may be left out.
fn first(one: String, other: String) -> String {
    if is_before(&other, &one) { other } else { one }
}

fn last(one: String, other: String) -> String {
    if is_before(&one, &other) { other } else { one }
}

fn is_before(one: &str, other: &str) -> bool {
    match (one.parse::<Timestamp>(), other.parse::<Timestamp>()) {
        (Ok(one), Ok(other)) => one < other,
        _ => one < other,
    }
}

/// The part of a scenario that must be equal: everything except source addresses and the random
/// sequence. A text that is no scenario must be equal itself.
fn comparable(scenario: &str) -> Result<Draft, &str> {
    let mut draft = Draft::from_toml(scenario).map_err(|_| scenario)?;
    draft.sources = None;
    draft.load.seed = None;
    // Records from before there were limits say none, which means the defaults.
    draft.timeout = draft.timeout.filled();
    Ok(draft)
}

fn add_target(
    into: &mut TargetRecord,
    from: TargetRecord,
    generators: u32,
) -> Result<(), RecordError> {
    for (phase, series) in from.histograms {
        if let Some(sum) = into.histograms.get_mut(&phase) {
            sum.add(&series).map_err(|error| RecordError::Histogram {
                target: into.name.clone(),
                phase: phase.clone(),
                why: error.to_string(),
            })?;
        } else {
            into.histograms.insert(phase, series);
        }
    }
    into.unanswered.add(&from.unanswered);
    for (address, theirs) in &from.addresses {
        into.addresses.entry(*address).or_default().add(theirs);
    }
    into.rounds.extend(from.rounds.into_iter().map(|mut round| {
        round.generator = round.generator.saturating_add(generators);
        round
    }));
    Ok(())
}

/// Separator between the texts of several records.
const BETWEEN: &str = "; ";
