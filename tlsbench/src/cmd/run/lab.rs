//! `tlsbench run` without an endpoint: placements on this machine, each beside its twin without TLS.

mod certificates;
mod engines;
mod keep;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tlsbench_core::plan::Draft;
use tlsbench_core::plan::lab::{ClientFiles, Lab, Workload};
use tlsbench_core::plan::placement::{Placement, Wiring};
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::verdicts::{Verdicts, verdicts};
use tlsbench_engine::affinity;
use tlsbench_engine::probe::Others;
use tlsbench_engine::run::{CutShort, Inputs, Stop};
use tlsbench_engine::topology::{Ground, Topology};
use tlsbench_engine::trial::{Trial, measure};

use super::{Answer, free_path, stop_on_signals};
use crate::exit::Exit;
use crate::progress::StepProgress;
use crate::settings::{LabRun, Output, Run};
use crate::store;

use engines::Engines;
use keep::Keeper;

/// Measures placements, or shows them.
pub(super) fn answer(settings: &Run) -> anyhow::Result<Answer> {
    let lab = lab(settings)?;
    check(&lab)?;
    if settings.lab.show {
        return Ok(Answer { text: table::pictures(&lab), exit: Exit::Fine });
    }
    let (record, path) = measured(&lab, settings)?;
    let judged = verdicts(&record);
    let text = match settings.output {
        Output::Json => table::json(&record, &judged, &path)?,
        Output::Table => table::text(&record, &judged, &path),
    };
    Ok(Answer { text, exit: exit(&judged) })
}

fn check(lab: &Lab) -> anyhow::Result<()> {
    let problems: Vec<String> = lab.problems().iter().map(ToString::to_string).collect();
    match problems.is_empty() {
        true => Ok(()),
        false => bail!("this cannot be measured:\n{}", problems.join("\n")),
    }
}

/// Measures a lab; its record, and where that is.
pub(super) fn measured(lab: &Lab, settings: &Run) -> anyhow::Result<(LabRecord, PathBuf)> {
    check(lab)?;
    let engines = Engines::find(lab)?;
    let started = jiff::Timestamp::now();
    let path = settings.record.clone().unwrap_or_else(|| free_path(started));
    store::prepare(&path)?;
    let site = Site::prepare(lab, settings, &path)?;
    let stop = Arc::new(Stop::new());
    stop_on_signals(&stop).context("cannot listen for signals")?;
    let mut keeper = Keeper::new(lab, started, path.clone(), &site);
    keeper.note_all(engines.notes());
    let ran = rounds(lab, &engines, &site, &stop, &mut keeper);
    let interrupted = match &ran {
        Ok(None) => None,
        Ok(Some(CutShort::Stopped)) => Some("it was asked to stop".to_owned()),
        Ok(Some(CutShort::Errors)) => Some("too large a share of operations failed".to_owned()),
        Err(error) => Some(format!("it failed: {error:#}")),
    };
    let is_empty = keeper.is_empty();
    if is_empty && let Err(error) = ran {
        return Err(error);
    }
    let record = keeper.finish(interrupted)?;
    if let Err(error) = ran {
        let path = path.display();
        return Err(error).with_context(|| format!("what was measured is in `{path}`"));
    }
    Ok((record, path))
}

fn exit(judged: &Verdicts) -> Exit {
    let is_well = judged.gates.is_empty() && judged.rows.iter().all(|row| row.operations > 0);
    if is_well { Exit::Fine } else { Exit::Negative }
}

/// What the settings ask for. Flags that say what clients do have no place here: workloads do.
pub(super) fn lab(settings: &Run) -> anyhow::Result<Lab> {
    let mut lab = Lab::default();
    let LabRun { placements, workloads, engines, .. } = &settings.lab;
    if !placements.is_empty() {
        let chosen: Vec<Placement> = placements.iter().map(|known| known.placement()).collect();
        lab.placements = Lab::with_twins(&chosen);
    }
    if !workloads.is_empty() {
        // In the order of tables, each once.
        let is_wanted = |workload: &&Workload| workloads.contains(workload);
        lab.workloads = Workload::ALL.iter().filter(is_wanted).copied().collect();
    }
    lab.engines.clone_from(engines);
    let Draft { load, timing, tls, .. } = &settings.flags;
    lab.rounds = timing.rounds.unwrap_or(lab.rounds);
    lab.slice_ns = timing.round.unwrap_or(lab.slice_ns);
    lab.warm_up_ns = timing.warm_up.unwrap_or(lab.warm_up_ns);
    lab.seed = load.seed.unwrap_or(lab.seed);
    let mut rest = settings.flags.clone();
    (rest.timing.rounds, rest.timing.round, rest.timing.warm_up) = (None, None, None);
    (rest.load.seed, rest.tls.ca_bundle) = (None, None);
    if rest != Draft::default() || settings.sni.is_some() || settings.connect_to.is_some() {
        bail!(
            "flags say how to measure an endpoint, and none is named; name one with --target, or \
             leave out all but --placement, --workload, --engine, --rounds, --round, --warm-up, \
             --seed and --ca-bundle"
        );
    }
    if tls.ca_bundle.is_some() && settings.lab.pki.is_none() {
        bail!(
            "--ca-bundle without --pki: a root of your own trusts no certificate that was made for \
             this run; make some with `tlsbench pki DIR`, and name it with --pki DIR"
        );
    }
    Ok(lab)
}

/// Where a run takes place: its folder, certificates and cores.
struct Site {
    folder: PathBuf,
    wiring: Wiring,
    files: ClientFiles,
    generator_cores: Vec<usize>,
    hop_cores: Vec<usize>,
    tlsbench: PathBuf,
}

impl Site {
    fn prepare(lab: &Lab, settings: &Run, record: &Path) -> anyhow::Result<Self> {
        // Beside the record, and named like it: what the hops were told is part of what was measured.
        let folder =
            std::path::absolute(record.with_extension("")).context("this directory has no path")?;
        let (wiring, files) = certificates::wiring(lab, settings, &folder)?;
        let cores = affinity::allowed().context("cannot see which cores there are")?;
        let (generator_cores, hop_cores) = match cores.split_first() {
            Some((first, rest)) if !rest.is_empty() => (vec![*first], rest.to_vec()),
            _ => (Vec::new(), Vec::new()),
        };
        let tlsbench = std::env::current_exe().context("this program has no path")?;
        Ok(Self { folder, wiring, files, generator_cores, hop_cores, tlsbench })
    }
}

/// Measures all rounds; what ended them before their time.
fn rounds(
    lab: &Lab,
    engines: &Engines,
    site: &Site,
    stop: &Stop,
    keeper: &mut Keeper,
) -> anyhow::Result<Option<CutShort>> {
    let others = Others::begin().context("cannot see what others do")?;
    let slices = lab.order(0).iter().map(|(_, workloads)| workloads.len()).sum::<usize>();
    let total = u32::try_from(slices).unwrap_or(u32::MAX).saturating_mul(lab.rounds);
    let shown = StepProgress::new("slices");
    let mut done = 0;
    let mut cut_short = None;
    'rounds: for round in 0..lab.rounds {
        for (index, workloads) in lab.order(round) {
            let Some(placement) = lab.placements.get(index) else { continue };
            let mut topology = start(placement, engines, site)
                .with_context(|| format!("cannot put up `{}`", placement.name))?;
            for workload in workloads {
                let trial = slice(lab, placement, workload, site, &mut topology, stop)
                    .with_context(|| format!("cannot measure `{}/{workload}`", placement.name))?;
                cut_short = trial.cut_short;
                keeper.take(placement, workload, round, &trial, topology.hops())?;
                done += 1;
                shown.done(done, total);
                if cut_short.is_some() {
                    break 'rounds;
                }
            }
        }
        keeper.write()?;
    }
    shown.finish();
    let own = std::process::id();
    keeper.note_others(&others.since(|pid| pid == own).context("cannot see what others did")?);
    Ok(cut_short)
}

fn start(placement: &Placement, engines: &Engines, site: &Site) -> anyhow::Result<Topology> {
    let ground = Ground {
        tlsbench: &site.tlsbench,
        engines: engines.by_role(),
        folder: &site.folder.join(&placement.name),
        cores: &site.hop_cores,
        counts: false,
    };
    Ok(Topology::start(placement, &site.wiring, &ground)?)
}

fn slice(
    lab: &Lab,
    placement: &Placement,
    workload: Workload,
    site: &Site,
    topology: &mut Topology,
    stop: &Stop,
) -> anyhow::Result<Trial> {
    let mut scenario = lab.scenario(placement, workload, &site.files).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(problems.join("\n"))
    })?;
    // The address is of this round only, and no part of what is asked.
    for target in &mut scenario.targets {
        target.connect_to = topology.address().into_iter().collect();
    }
    let inputs = Inputs::gather(&scenario)?;
    let mut measured = || measure(topology, &scenario, &inputs, stop);
    let trial = if site.generator_cores.is_empty() {
        measured()
    } else {
        affinity::keeping_to(&site.generator_cores, measured)
            .context("cannot keep the generator to its core")?
    };
    Ok(trial?)
}
