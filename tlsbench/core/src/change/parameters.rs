//! Parameters of a record as keys and texts: records with equal parameters are comparable.
//!
//! Left out is what is not the same in two runs of one thing: times, seeds, ports of the generator,
//! where files lie, and the command line.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::record::lab::LabRecord;
use crate::record::{Environment, RunRecord};
use crate::scenario::Draft;

/// Prefix of the keys of the TLS versions that a target negotiated: with both offered, the scenario
/// does not tell. Below `tls.version`, so that it is that axis. A record without a handshake has
/// none.
pub(super) const NEGOTIATED: &str = "tls.version.negotiated.";

/// Parameters of a run against endpoints.
pub(super) fn of_run(record: &RunRecord) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([
        ("kind".to_owned(), "endpoints".to_owned()),
        ("program".to_owned(), record.program.clone()),
    ]);
    match Draft::from_toml(&record.scenario) {
        Ok(mut draft) => {
            // Another source address or seed is the same measurement.
            (draft.sources, draft.load.seed) = (None, None);
            draft.timeout = draft.timeout.filled();
            let tls = &mut draft.tls;
            for file in [&mut tls.ca_bundle, &mut tls.client_certificate, &mut tls.client_key] {
                // Whether there is one matters, and not where.
                *file = file.as_ref().map(|_| "given".into());
            }
            flatten("", serde_json::to_value(&draft).unwrap_or_default(), &mut all);
        }
        // A text that is no scenario must be the same itself.
        Err(_) => drop(all.insert("scenario".to_owned(), record.scenario.clone())),
    }
    for target in &record.targets {
        let rounds = target.rounds.iter().flat_map(|round| round.shape.negotiated.keys());
        let versions: BTreeSet<&str> = rounds.filter_map(|text| text.split(' ').nth(1)).collect();
        if !versions.is_empty() {
            let versions: Vec<&str> = versions.into_iter().collect();
            all.insert(format!("{NEGOTIATED}{}", target.name), versions.join(", "));
        }
    }
    match record.environments.as_slice() {
        [only] => environment("environment", only, &mut all),
        several => several.iter().enumerate().for_each(|(index, one)| {
            environment(&format!("environment.{index}"), one, &mut all);
        }),
    }
    all
}

/// Parameters of a run over placements.
pub(super) fn of_lab(record: &LabRecord) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([
        ("kind".to_owned(), record.kind.clone()),
        ("program".to_owned(), record.program.clone()),
        ("generator_cores".to_owned(), format!("{:?}", record.generator_cores)),
        ("hop_cores".to_owned(), format!("{:?}", record.hop_cores)),
        ("receiving".to_owned(), record.receiving.as_str().to_owned()),
    ]);
    flatten("lab", serde_json::to_value(&record.lab).unwrap_or_default(), &mut all);
    // The seed decides the order of slices and nothing that is measured.
    all.remove("lab.seed");
    if record.held_out.is_some() {
        // Costs chose it, and they are another's in each run.
        all.retain(|key, _| !key.starts_with("lab.mix."));
    }
    for trial in &record.trials {
        for hop in trial.hops.iter().filter(|hop| !hop.notes.is_empty()) {
            let key = format!("hops.{}.{}.notes", trial.placement, hop.role);
            all.insert(key, hop.notes.join("; "));
        }
    }
    environment("environment", &record.environment, &mut all);
    all
}

fn environment(prefix: &str, of: &Environment, all: &mut BTreeMap<String, String>) {
    // The command names output files and paths, which differ between equal runs.
    let of = Environment { command: Vec::new(), ..of.clone() };
    flatten(prefix, serde_json::to_value(of).unwrap_or_default(), all);
}

/// Every value that is no table under its key; tables in a list go by their name where they have
/// one.
fn flatten(key: &str, value: Value, all: &mut BTreeMap<String, String>) {
    let below = |name: &str| match key {
        "" => name.to_owned(),
        key => format!("{key}.{name}"),
    };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            fields.into_iter().for_each(|(name, value)| flatten(&below(&name), value, all));
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, mut item) in items.into_iter().enumerate() {
                // Items are known by name, so that another order is no difference.
                let name = item.as_object_mut().and_then(|fields| fields.remove("name"));
                let name = name.and_then(|name| name.as_str().map(str::to_owned));
                flatten(&below(&name.unwrap_or_else(|| index.to_string())), item, all);
            }
        }
        Value::Array(items) if items.is_empty() => {}
        Value::String(text) => drop(all.insert(key.to_owned(), text)),
        value @ (Value::Array(_) | Value::Bool(_) | Value::Number(_)) => {
            all.insert(key.to_owned(), value.to_string());
        }
    }
}
