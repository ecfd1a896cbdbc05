//! What the flags ask of placements.

use anyhow::bail;
use tlsbench_core::plan::lab::{Lab, LatencyPass, Pass, Workload};
use tlsbench_core::plan::placement::Placement;
use tlsbench_core::plan::{Draft, TimingDraft, TlsDraft};

use crate::settings::{LabRun, Run};

/// What the settings ask for. Flags that say what clients do have no place here: workloads do.
pub(crate) fn lab(settings: &Run) -> anyhow::Result<Lab> {
    refuse(settings)?;
    let LabRun { placements, workloads, passes, thorough, pool, engines, key, idle, .. } =
        &settings.lab;
    let lab = if *thorough { Lab::default().thorough() } else { Lab::default() };
    let Draft { load, timing, tls, .. } = &settings.flags;
    let TlsDraft { version, suites, groups, provider, .. } = tls.clone();
    let measures = |pass| passes.is_empty() || passes.contains(&pass);
    let chosen: Vec<Placement> = placements.iter().map(|known| known.placement()).collect();
    // In the order of tables, each once.
    let named = Workload::ALL.iter().filter(|workload| workloads.contains(workload)).copied();
    Ok(Lab {
        placements: if chosen.is_empty() { lab.placements } else { Lab::with_twins(&chosen) },
        workloads: match (measures(Pass::Cpu), workloads.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => lab.workloads,
            (true, false) => named.collect(),
        },
        engines: engines.clone(),
        rounds: timing.rounds.unwrap_or(lab.rounds),
        slice_ns: timing.round.unwrap_or(lab.slice_ns),
        warm_up_ns: timing.warm_up.unwrap_or(lab.warm_up_ns),
        seed: load.seed.unwrap_or(lab.seed),
        pool: pool.unwrap_or(lab.pool),
        version: version.unwrap_or(lab.version),
        key: key.unwrap_or(lab.key),
        suites: suites.unwrap_or(lab.suites),
        groups: groups.unwrap_or(lab.groups),
        provider: provider.unwrap_or(lab.provider),
        latency: lab.latency.filter(|_| measures(Pass::Latency)).map(|pass| timed(pass, timing)),
        idle_connections: idle.unwrap_or(lab.idle_connections),
        ..lab
    })
}

/// The latency pass is as long as was said of slices, and has no more rounds than was said.
fn timed(pass: LatencyPass, timing: &TimingDraft) -> LatencyPass {
    LatencyPass {
        rounds: timing.rounds.map_or(pass.rounds, |rounds| rounds.min(pass.rounds)),
        slice_ns: timing.round.unwrap_or(pass.slice_ns),
        warm_up_ns: timing.warm_up.unwrap_or(pass.warm_up_ns),
        ..pass
    }
}

fn refuse(settings: &Run) -> anyhow::Result<()> {
    let mut rest = settings.flags.clone();
    (rest.timing.rounds, rest.timing.round, rest.timing.warm_up) = (None, None, None);
    (rest.load.seed, rest.tls) = (None, TlsDraft::default());
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
             leave out all but those under \"Placements\", --rounds, --round, --warm-up, --seed, \
             --tls-version, --suites, --groups, --provider and --ca-bundle"
        );
    }
    if settings.flags.tls.ca_bundle.is_some() && settings.lab.pki.is_none() {
        bail!(
            "--ca-bundle without --pki: a root of your own trusts no certificate that was made for \
             this run; make some with `tlsbench pki DIR`, and name it with --pki DIR"
        );
    }
    Ok(())
}
