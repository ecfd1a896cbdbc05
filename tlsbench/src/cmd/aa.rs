//! `tlsbench aa`: placements against themselves.

use anyhow::{Context as _, bail};
use comfy_table::{Table, presets};
use tlsbench_core::aa::{AGAIN, AaAnswer, AaReport, JUDGED_MIN, doubled, within};
use tlsbench_core::escape::printable;
use tlsbench_core::record::AnyRecord;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::stats::Estimate;

use super::answer::Answer;
use super::run;
use crate::exit::Exit;
use crate::settings::{AaSettings, OutputFormat};
use crate::{build, lab, store};

/// Judges placements against themselves, measured now or read from records.
pub(super) fn answer(settings: &AaSettings) -> anyhow::Result<Answer> {
    let mut document = None;
    let mut failed = None;
    let (records, output) = match settings {
        AaSettings::Measured(settings) => {
            document = settings.record.as_deref();
            let mut asked = lab::asked(settings)?;
            asked.lab.placements = doubled(&asked.lab.placements);
            // Words are about CPU time.
            asked.lab.latency = None;
            let tell = run::milestones(settings.output);
            let measured = lab::measured(&asked, settings, &tell)?;
            failed = measured.failed;
            (vec![(measured.path.display().to_string(), measured.record)], settings.output)
        }
        AaSettings::Recorded { records, output } => {
            let mut read = Vec::with_capacity(records.len());
            for (index, path) in records.iter().enumerate() {
                let shown = path.display();
                // A record that counted twice would make chance look smaller than it is.
                if records.iter().take(index).any(|before| store::is_same(before, path)) {
                    bail!("`{shown}` is named twice, and would count twice; name it once");
                }
                match store::read_any(path)? {
                    AnyRecord::Lab(record) => read.push((shown.to_string(), *record)),
                    AnyRecord::Run(_) => {
                        bail!("`{shown}` is a record of endpoints; name one of `tlsbench aa`")
                    }
                }
            }
            (read, *output)
        }
    };
    let mut comparisons = Vec::new();
    for (name, record) in &records {
        // A placement is found by its name alone, so that an ordinary record has nothing to
        // compare.
        let found = within(name, record);
        if found.is_empty() {
            bail!(
                "`{name}` has no placement beside itself, which would be called like it with \
                 `{AGAIN}` behind; name a record of `tlsbench aa`"
            );
        }
        comparisons.extend(found);
    }
    // Any fixed seed does for the bootstrap; that of the record makes the answer reproducible.
    let seed = records.first().map_or(1, |(_, record)| record.lab.seed);
    let trust = AaReport::of(comparisons, seed);
    let text = match output {
        OutputFormat::Json => {
            let text = serde_json::to_string_pretty(&trust).context("cannot write JSON")?;
            text + "\n"
        }
        OutputFormat::Table => printable(&text(&trust, &records)).into_owned(),
    };
    Ok(Answer::new(text, exit(&trust)).beside(document).failing(failed))
}

fn exit(trust: &AaReport) -> Exit {
    match trust.answer {
        AaAnswer::Fails => Exit::Negative,
        AaAnswer::Passes => Exit::Fine,
        AaAnswer::TooFew => Exit::Failed,
    }
}

fn text(trust: &AaReport, records: &[(String, LabRecord)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["placement", "workload", "rounds", "to itself (95 %)", "is said to be"]);
    for one in &trust.comparisons {
        let ratio = match &one.ratio {
            Some(Estimate { value, low, high, .. }) => {
                format!("{value:.3} ×, {low:.3} to {high:.3}")
            }
            None => "-".to_owned(),
        };
        let wrong = if one.is_wrong() { ", which is wrong" } else { "" };
        table.add_row([
            one.placement.clone(),
            one.workload.to_string(),
            one.rounds.len().to_string(),
            ratio,
            format!("{}{wrong}", one.verdict),
        ]);
    }
    let mut text = format!("{}\n", table.trim_fmt());
    let AaReport { judged, wrong, wrong_max, .. } = trust;
    let all = trust.comparisons.len();
    text.push_str(&format!("{all} comparisons, {judged} with a verdict, {wrong} of them wrong\n"));
    text.push_str(&match trust.answer {
        AaAnswer::Fails => format!(
            "fails: chance explains at most {wrong_max}; verdicts on this machine cannot be trusted. \
             Look with `tlsbench doctor`, give each slice more time, and stop what else runs\n"
        ),
        AaAnswer::Passes => format!("passes: chance explains up to {wrong_max}\n"),
        AaAnswer::TooFew => format!(
            "cannot tell: a verdict on words takes {JUDGED_MIN} comparisons; measure more rounds, \
             placements or workloads, or name several records\n"
        ),
    });
    if records.iter().any(|(_, record)| record.program.contains("debug build")) {
        text.push_str(build::MEASURED_UNOPTIMISED);
    }
    for (name, _) in records {
        text.push_str(&format!("record: {name}\n"));
    }
    text
}
