//! Adding the records of several generators that ran one scenario at the same time.

use super::{RecordError, RunRecord, SCHEMA, TargetRecord};
use crate::plan::Draft;

/// Adds records: histograms and counts exactly, and rounds side by side, each under its generator.
///
/// The order of merging does not matter but for the numbers of generators.
///
/// # Errors
/// When there is none, or when one is of another schema, scenario or target than the first.
pub fn merge(records: impl IntoIterator<Item = RunRecord>) -> Result<RunRecord, RecordError> {
    let mut records = records.into_iter();
    let mut all = records.next().ok_or(RecordError::Empty)?;
    check_schema(&all)?;
    for (index, record) in (1..).zip(records) {
        check_schema(&record)?;
        if comparable(&record.scenario) != comparable(&all.scenario) {
            return Err(RecordError::Scenario { index });
        }
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
        all.notes.sort_by(|one, other| one.at.cmp(&other.at));
        // One of them may be a build whose figures say nothing.
        for program in record.program.split(BETWEEN) {
            if !all.program.split(BETWEEN).any(|known| known == program) {
                all.program = [all.program.as_str(), program].join(BETWEEN);
            }
        }
        all.started = all.started.min(record.started);
        all.ended = all.ended.max(record.ended);
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

/// What must be the same: everything but where connections come from, and the random sequence.
/// A text that is no scenario must be the same itself.
fn comparable(scenario: &str) -> Result<Draft, &str> {
    let mut draft = Draft::from_toml(scenario).map_err(|_| scenario)?;
    draft.sources = None;
    draft.load.seed = None;
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
    into.rounds.extend(from.rounds.into_iter().map(|mut round| {
        round.generator = round.generator.saturating_add(generators);
        round
    }));
    Ok(())
}

/// What stands between the words of several records.
const BETWEEN: &str = "; ";
