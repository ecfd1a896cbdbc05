//! `tlsbench compare`: what changed between two sides of records.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use comfy_table::{Table, presets};
use serde_json::json;
use tlsbench_core::change::{
    Condition, ConditionOutcome, MetricChange, Observed, Pairing, RecordChanges, changes,
};
use tlsbench_core::escape::printable;
use tlsbench_core::record::AnyRecord;
use tlsbench_core::stats::Estimate;

use super::answer::Answer;
use crate::exit::Exit;
use crate::settings::{CompareSettings, OutputFormat};
use crate::{build, store};

/// Compares two sides of records, and judges the conditions.
pub(super) fn answer(settings: &CompareSettings) -> anyhow::Result<Answer> {
    let all: Vec<&PathBuf> = settings.records.iter().chain(&settings.against).collect();
    for (index, path) in all.iter().enumerate() {
        if all.iter().take(index).any(|before| store::is_same(before, path)) {
            bail!("`{}` is named twice, and would count twice; name it once", path.display());
        }
    }
    let these = observed(&settings.records)?;
    let against = observed(&settings.against)?;
    // Pairs are asked for and never guessed: records in one order need not have been made in turns.
    let pairing = if settings.paired { Pairing::InOrder } else { Pairing::None };
    let changes = changes(&these, &against, &settings.axes, pairing).context("cannot compare")?;
    // A condition without a metric would hold in silence, which a pipeline would take for a pass.
    let mut judged = Vec::with_capacity(settings.conditions.len());
    for condition in &settings.conditions {
        let outcomes = condition.outcomes(&changes);
        if outcomes.is_empty() {
            let metrics: std::collections::BTreeSet<String> =
                changes.changes.iter().map(|change| format!("`{}`", change.metric)).collect();
            let metrics = metrics.into_iter().collect::<Vec<_>>().join(", ");
            bail!("no record has a `{}`; these have {metrics}", condition.metric);
        }
        judged.push((*condition, outcomes));
    }
    let text = match settings.output {
        OutputFormat::Json => json(&changes, &judged)?,
        OutputFormat::Table => {
            let is_debug = these.iter().chain(&against).any(Observed::is_debug_build);
            printable(&text(&changes, &judged, is_debug)).into_owned()
        }
    };
    Ok(Answer::new(text, exit(&judged)))
}

type JudgedCondition<'a> = (Condition, Vec<(&'a str, ConditionOutcome)>);

fn observed(paths: &[PathBuf]) -> anyhow::Result<Vec<Observed>> {
    let one = |path: &PathBuf| {
        let name = Path::display(path).to_string();
        Ok(match store::read_any(path)? {
            AnyRecord::Lab(record) => Observed::of_lab(name, &record),
            AnyRecord::Run(record) => Observed::of_run(name, &record),
        })
    };
    paths.iter().map(one).collect()
}

/// A condition fails where it fails on any subject, and holds where it holds on all.
fn overall(judged: &[JudgedCondition<'_>]) -> Option<ConditionOutcome> {
    judged.iter().flat_map(|(_, outcomes)| outcomes).map(|(_, outcome)| *outcome).max()
}

fn exit(judged: &[JudgedCondition<'_>]) -> Exit {
    match overall(judged) {
        None | Some(ConditionOutcome::Holds) => Exit::Fine,
        Some(ConditionOutcome::Fails) => Exit::Negative,
        Some(ConditionOutcome::CannotTell) => Exit::Failed,
    }
}

fn text(changes: &RecordChanges, judged: &[JudgedCondition<'_>], is_debug: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "metric", "against", "now", "difference (95 %)", "ratio (95 %)", ""]);
    for change in &changes.changes {
        let unit = change.metric.unit();
        table.add_row([
            change.subject.clone(),
            change.metric.to_string(),
            format!("{} {unit}", figure(change.against)),
            format!("{} {unit}", figure(change.mean)),
            difference(change),
            ratio(change.ratio.as_ref()),
            change.words(),
        ]);
    }
    let mut text = format!("{}\n", table.trim_fmt());
    for axis in &changes.axes {
        text.push_str(&format!("differs, as was said: {axis}\n"));
    }
    let (these, against) = (changes.records.len(), changes.against.len());
    let how = if changes.paired { "in pairs" } else { "not in pairs" };
    text.push_str(&format!("{these} records against {against}, {how}; a record counts once\n"));
    if is_debug {
        text.push_str(build::MEASURED_UNOPTIMISED);
    }
    for (condition, outcomes) in judged {
        for (subject, outcome) in outcomes {
            text.push_str(&format!("fail if {condition}: {outcome} of {subject}\n"));
        }
    }
    text
}

/// Four significant digits.
fn figure(value: f64) -> String {
    // Four significant digits: intervals are seldom narrower than a thousandth of the value.
    let digits = 3 - value.abs().max(1e-3).log10().floor() as i32;
    format!("{value:.*}", usize::try_from(digits).unwrap_or_default())
}

fn difference(change: &MetricChange) -> String {
    match &change.difference {
        Some(Estimate { value, low, high, .. }) => {
            let sign = if *value < 0.0 { "-" } else { "+" };
            format!("{sign}{} ± {}", figure(value.abs()), figure((high - low) / 2.0))
        }
        None => "-".to_owned(),
    }
}

fn ratio(estimate: Option<&Estimate>) -> String {
    match estimate {
        Some(Estimate { value, low, high, .. }) => format!("{value:.3} ×, {low:.3} to {high:.3}"),
        None => "-".to_owned(),
    }
}

fn json(changes: &RecordChanges, judged: &[JudgedCondition<'_>]) -> anyhow::Result<String> {
    let mut document = serde_json::to_value(changes).context("cannot write JSON")?;
    let conditions = judged.iter().map(|(condition, outcomes)| {
        let subjects: serde_json::Map<String, serde_json::Value> = outcomes
            .iter()
            .map(|(subject, outcome)| ((*subject).to_owned(), json!(outcome)))
            .collect();
        let all = outcomes.iter().map(|(_, outcome)| *outcome).max();
        json!({ "condition": condition.to_string(), "outcome": all, "subjects": subjects })
    });
    let conditions: Vec<serde_json::Value> = conditions.collect();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("conditions".to_owned(), conditions.into());
    }
    Ok(format!("{document:#}\n"))
}

#[cfg(test)]
mod tests;
