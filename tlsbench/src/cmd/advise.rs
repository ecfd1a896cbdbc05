//! `tlsbench advise`: what placements cost for somebody's traffic, and which to take.

mod table;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use tlsbench_core::advice::{
    Advice, AdviceRequest, MachineScale, Prices, Profile, advise as judge,
};
use tlsbench_core::calibration::{Calibration, SCHEMA};
use tlsbench_core::escape::printable;
use tlsbench_core::lab::Lab;
use tlsbench_core::placement::KnownPlacement;
use tlsbench_core::problem::Problem;
use tlsbench_core::record::AnyRecord;
use tlsbench_core::record::lab::LabRecord;

use super::answer::Answer;
use crate::exit::Exit;
use crate::settings::{AdviseSettings, MachineScaling, OutputFormat};
use crate::store;

/// Advises from records, a profile and prices.
pub(super) fn answer(settings: &AdviseSettings) -> anyhow::Result<Answer> {
    let records = records(settings)?;
    let profile = file(&settings.profile, "profile", Profile::from_toml)?;
    let prices = file(&settings.prices, "prices", |text| {
        let prices = Prices::from_toml(text)?;
        let problems = prices.unknown_placements(text, &known(&records));
        if problems.is_empty() { Ok(prices) } else { Err(problems) }
    })?;
    let scale = scale(settings, &records)?;
    let records: Vec<&LabRecord> = records.iter().collect();
    let question =
        AdviceRequest { records: &records, profile: &profile, prices: &prices, scale: &scale };
    // Everything up to here reads files, and everything in the judgement is a function of them.
    let advice = judge(&question);
    let text = match settings.output {
        OutputFormat::Json => {
            let text = serde_json::to_string_pretty(&advice).context("cannot write JSON")?;
            text + "\n"
        }
        OutputFormat::Table => printable(&table::text(&advice, &profile)).into_owned(),
    };
    Ok(Answer::new(text, exit(&advice)))
}

fn exit(advice: &Advice) -> Exit {
    if advice.recommendation.is_some() { Exit::Fine } else { Exit::Negative }
}

fn file<T>(
    path: &Path,
    what: &str,
    read: impl FnOnce(&str) -> Result<T, Vec<Problem>>,
) -> anyhow::Result<T> {
    let shown = path.display();
    let text = store::read_small(path)?;
    read(&text).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow!("{what} `{shown}` cannot be used:\n{}", problems.join("\n"))
    })
}

fn records(settings: &AdviseSettings) -> anyhow::Result<Vec<LabRecord>> {
    let mut records: Vec<LabRecord> = Vec::with_capacity(settings.records.len());
    for (index, path) in settings.records.iter().enumerate() {
        let shown = path.display();
        if settings.records.iter().take(index).any(|before| store::is_same(before, path)) {
            bail!("`{shown}` is named twice, and would count twice; name it once");
        }
        let record = match store::read_any(path)? {
            AnyRecord::Lab(record) => *record,
            AnyRecord::Run(_) => bail!(
                "`{shown}` is a record of endpoints, whose hops nobody saw; name one of `tlsbench \
                 run` without --target"
            ),
        };
        if let Some(first) = records.first()
            && let Some(other) = differs(first, &record)
        {
            let first = settings.records.first().map(|path| path.display().to_string());
            let first = first.unwrap_or_default();
            bail!(
                "`{first}` and `{shown}` have another {other}, so that costs of one say nothing of \
                 the other; name records of one kind"
            );
        }
        records.push(record);
    }
    Ok(records)
}

/// Placements that there are: those of the records, and those that a run knows by name.
fn known(records: &[LabRecord]) -> BTreeSet<&str> {
    let built_in = KnownPlacement::ALL.iter().map(|known| known.as_str());
    let measured = records.iter().flat_map(|record| &record.lab.placements);
    built_in.chain(measured.map(|placement| placement.name.as_str())).collect()
}

/// Names the first thing in which two records are not of the same costs. Pools, workloads and times
/// may differ.
fn differs(one: &LabRecord, other: &LabRecord) -> Option<&'static str> {
    let of = |record: &LabRecord| {
        let Lab { engines, version, key, suites, groups, provider, .. } = record.lab.clone();
        (engines, (version, key, suites, groups, provider))
    };
    let ((engines, tls), (other_engines, other_tls)) = (of(one), of(other));
    // CPU model, kernel and cores stand for the machine: costs of two machines must not be
    // averaged.
    let machine = |record: &LabRecord| {
        let environment = &record.environment;
        (environment.cpu_model.clone(), environment.kernel.clone(), environment.cores)
    };
    [
        ("engine", engines == other_engines),
        ("cryptography", tls == other_tls),
        ("machine", machine(one) == machine(other)),
        ("version of tlsbench", one.program == other.program),
    ]
    .into_iter()
    .find_map(|(what, is_same)| (!is_same).then_some(what))
}

fn scale(
    settings: &AdviseSettings,
    records: &[LabRecord],
) -> anyhow::Result<Result<MachineScale, String>> {
    Ok(match &settings.machines {
        MachineScaling::Same => Ok(MachineScale::same()),
        MachineScaling::Unknown => {
            Err("nothing says on which machine hops are to run; name calibrations \
             with --measured and --priced, or say --same-machine"
                .to_owned())
        }
        MachineScaling::Calibrated { measured, priced } => {
            let (measured, priced) = (calibration(measured)?, calibration(priced)?);
            let first = records.first().context("no record")?;
            MachineScale::between(&measured, &priced, &first.lab, &first.environment)
                .map_err(|error| error.to_string())
        }
    })
}

fn calibration(path: &Path) -> anyhow::Result<Calibration> {
    let shown = path.display();
    let text = store::read_small(path)?;
    let calibration: Calibration = serde_json::from_str(&text)
        .with_context(|| format!("`{shown}` is no calibration of `tlsbench calibrate --out`"))?;
    // Primitives of another schema may have another meaning under the same name.
    if calibration.schema != SCHEMA {
        let seen = calibration.schema;
        bail!(
            "`{shown}` has schema {seen}, and this program reads schema {SCHEMA}; calibrate anew"
        );
    }
    Ok(calibration)
}
