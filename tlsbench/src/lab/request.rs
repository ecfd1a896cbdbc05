//! The lab that flags and a scenario file ask for.

use anyhow::{Context as _, bail};
use tlsbench_core::lab::{LabDraft, LabRequest};
use tlsbench_core::scenario::{Draft, TlsDraft};

use crate::scenario::refused;
use crate::settings::{LabSettings, RunSettings};
use crate::store;

/// Returns the lab that the settings ask for, flags over the file. A problem names the line of the
/// file that is to blame.
pub(crate) fn asked(settings: &RunSettings) -> anyhow::Result<LabRequest> {
    // Before the file is read: flags that have no meaning here would be dropped without a word.
    refuse(settings)?;
    let flags = draft(settings);
    let Some(path) = &settings.scenario else {
        return flags.finish().map_err(|problems| refused("this", &problems));
    };
    let name = format!("scenario `{}`", path.display());
    let text = store::read_small(path)?;
    // Parsing and checking are two steps, so that flags can still mend what the file lacks.
    let file = LabDraft::from_toml(&text).with_context(|| format!("cannot use {name}"))?;
    flags.clone().or(file).finish().map_err(|problems| {
        let placed = problems.into_iter().map(|problem| problem.in_file(&text, &flags));
        refused(&name, &placed.collect::<Vec<_>>())
    })
}

/// Returns true if the scenario file is one of placements, or there is none.
pub(crate) fn is_of_placements(settings: &RunSettings) -> bool {
    let Some(path) = &settings.scenario else { return true };
    // What cannot be read or understood is told by whoever reads it next.
    let Ok(text) = store::read_small(path) else { return false };
    let names_endpoint = Draft::from_toml(&text).is_ok_and(|draft| draft.target.is_some());
    LabDraft::is_in(&text) || (settings.lab != LabSettings::default() && !names_endpoint)
}

fn draft(settings: &RunSettings) -> LabDraft {
    let LabSettings { placements, workloads, passes, thorough, pool, engines, key, .. } =
        &settings.lab;
    let LabSettings { idle, pki, netns, .. } = &settings.lab;
    let Draft { load, timing, tls, request, .. } = settings.flags.clone();
    let list = |names: &Vec<String>| (!names.is_empty()).then(|| names.clone());
    LabDraft {
        placements: list(placements),
        workloads: (!workloads.is_empty()).then(|| workloads.clone()),
        passes: (!passes.is_empty()).then(|| passes.clone()),
        thorough: thorough.then_some(true),
        engines: engines.clone(),
        protocol: request.protocol,
        netns: netns.then_some(true),
        key: *key,
        pki: pki.clone(),
        seed: load.seed,
        pool: *pool,
        idle_connections: *idle,
        tls,
        timing,
        ..LabDraft::default()
    }
}

/// Flags that say what clients do have no place here: workloads do.
fn refuse(settings: &RunSettings) -> anyhow::Result<()> {
    // What is allowed is taken out, and whatever is left is refused. A list of refused flags would
    // miss each new one.
    let mut rest = settings.flags.clone();
    (rest.timing.rounds, rest.timing.round, rest.timing.warm_up) = (None, None, None);
    rest.timeout.run = None;
    (rest.load.seed, rest.request.protocol, rest.tls) = (None, None, TlsDraft::default());
    let used = TlsDraft {
        version: settings.flags.tls.version,
        suites: settings.flags.tls.suites.clone(),
        groups: settings.flags.tls.groups.clone(),
        provider: settings.flags.tls.provider,
        ca_bundle: settings.flags.tls.ca_bundle.clone(),
        ..TlsDraft::default()
    };
    let is_of_endpoints = rest != Draft::default() || used != settings.flags.tls;
    if is_of_endpoints || settings.sni.is_some() || settings.connect_to.is_some() {
        bail!(
            "flags say how to measure an endpoint, and none is named; name one with --target, or \
             leave out all but those under \"Placements\", --rounds, --round, --warm-up, --max-time, --seed, \
             --tls-version, --suites, --groups, --provider, --protocol and --ca-bundle"
        );
    }
    Ok(())
}
