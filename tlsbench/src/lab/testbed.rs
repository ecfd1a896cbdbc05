//! The testbed of a run over placements: folder, certificates, engines and cores.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tlsbench_core::lab::{ClientFiles, Lab, LabRequest};
use tlsbench_core::placement::{Placement, Wiring};
use tlsbench_core::problem::Problem;
use tlsbench_core::record::lab::Receiving;
use tlsbench_core::scenario::Scenario;
use tlsbench_core::units::Nanos;
use tlsbench_engine::run::{Inputs, Stop};
use tlsbench_engine::topology::{Network, Topology, TopologyConfig};
use tlsbench_engine::trial::{Hold, Idle, Trial, hold, measure};
use tlsbench_engine::{affinity, netns};

use super::certificates;
use super::engines::EngineSet;

/// The ground that placements are put up on.
pub(super) struct Testbed {
    folder: PathBuf,
    wiring: Wiring,
    pub(super) files: ClientFiles,
    pub(super) engines: EngineSet,
    pub(super) generator_cores: Vec<usize>,
    pub(super) hop_cores: Vec<usize>,
    /// The process that is charged for the receiving of packets.
    pub(super) receiving: Receiving,
    /// The reason why that is the sender where it need not be.
    why_sender: Option<String>,
    netns: bool,
    tlsbench: PathBuf,
    /// The end of all that may be measured.
    until: Option<Instant>,
}

impl Testbed {
    /// Prepares a testbed in a folder for the hops' configuration.
    pub(super) fn prepare(
        asked: &LabRequest,
        folder: &Path,
        engines: EngineSet,
    ) -> anyhow::Result<Self> {
        let netns = asked.lab.netns;
        // Before anything is made: whether there can be such namespaces at all.
        let (receiving, why) = if netns { netns::charged()? } else { (Receiving::Sender, None) };
        let why_sender = why.map(|error| format!("{:#}", anyhow::Error::from(error)));
        let folder = std::path::absolute(folder).context("this directory has no path")?;
        let (wiring, files) = certificates::wiring(asked, &folder)?;
        let cores = affinity::allowed().context("cannot see which cores there are")?;
        // The generator has a core of its own. Without it the scheduler moves both about, and rates
        // become bimodal.
        let (generator_cores, hop_cores) = match cores.split_first() {
            Some((first, rest)) if !rest.is_empty() => (vec![*first], rest.to_vec()),
            _ => (Vec::new(), Vec::new()),
        };
        let tlsbench = std::env::current_exe().context("this program has no path")?;
        let testbed = Self {
            folder,
            wiring,
            files,
            engines,
            generator_cores,
            hop_cores,
            receiving,
            why_sender,
            netns,
            tlsbench,
            until: None,
        };
        Ok(testbed)
    }

    /// Returns notes for the record.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.engines.notes().to_vec();
        let why = self.why_sender.iter();
        notes.extend(why.map(|why| {
            format!("the receiving of packets is charged to whoever sends them: {why}")
        }));
        notes
    }

    /// Puts up a placement whose backend answers with so many bytes.
    pub(super) fn start(&self, placement: &Placement, bytes: u64) -> anyhow::Result<Topology> {
        let name = &placement.name;
        // Another length of responses means another backend configuration, and both are kept for
        // the record.
        let folder = match bytes == self.wiring.response_bytes {
            true => name.clone(),
            false => format!("{name}@{bytes}"),
        };
        let config = TopologyConfig {
            tlsbench: &self.tlsbench,
            engines: self.engines.by_role(bytes),
            folder: &self.folder.join(folder),
            cores: &self.hop_cores,
            counts: true,
            network: match self.netns {
                false => Network::Loopback,
                true => Network::Namespaces {
                    receiving: self.receiving,
                    client_cores: &self.generator_cores,
                },
            },
        };
        let wiring = Wiring { response_bytes: bytes, ..self.wiring.clone() };
        Topology::start(placement, &wiring, &config)
            .with_context(|| format!("cannot put up `{name}`"))
    }

    /// The same, with a limit on how long everything may take from now on.
    pub(super) fn until(self, limit: Option<Nanos>) -> Self {
        Self { until: limit.map(|limit| Instant::now() + Duration::from_nanos(limit.0)), ..self }
    }

    /// Returns the time that is left; `None` if there is no limit.
    pub(super) fn left(&self) -> Option<Nanos> {
        let left = self.until?.saturating_duration_since(Instant::now());
        Some(Nanos(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Measures one slice of what stands.
    pub(super) fn measure(
        &self,
        scenario: Result<Scenario, Vec<Problem>>,
        topology: &mut Topology,
        stop: &Stop,
    ) -> anyhow::Result<Trial> {
        let (mut scenario, inputs) = aimed(scenario, topology)?;
        // The trial's own limit may be shorter than what is left of the whole.
        scenario.timeout.run = scenario.timeout.run.into_iter().chain(self.left()).min();
        let measured = self.on_its_core(|| measure(topology, &scenario, &inputs, stop))?;
        let target = scenario.targets.first().map_or("", |target| &target.name);
        measured.with_context(|| format!("cannot measure `{target}`"))
    }

    /// Holds idle connections to what stands.
    pub(super) fn hold(
        &self,
        scenario: Result<Scenario, Vec<Problem>>,
        count: u32,
        topology: &mut Topology,
        stop: &Stop,
    ) -> anyhow::Result<Idle> {
        let (scenario, inputs) = aimed(scenario, topology)?;
        // CPU time at rest is read while the connections stand and nothing is asked of them.
        let left_alone = Duration::from_nanos(Lab::REST.0);
        let asked = Hold { connections: count, left_alone };
        let held = self.on_its_core(|| hold(topology, &scenario, &inputs, asked, stop))?;
        let target = scenario.targets.first().map_or("", |target| &target.name);
        held.with_context(|| format!("cannot hold {count} idle connections to `{target}`"))
    }

    /// Does what the generator does on the generator's core, where it has one.
    fn on_its_core<T>(&self, work: impl FnOnce() -> T) -> anyhow::Result<T> {
        if self.generator_cores.is_empty() {
            return Ok(work());
        }
        affinity::keeping_to(&self.generator_cores, work)
            .context("cannot keep the generator to its core")
    }
}

/// A scenario at the address that a topology has in this round, which is no part of what is asked.
fn aimed(
    scenario: Result<Scenario, Vec<Problem>>,
    topology: &Topology,
) -> anyhow::Result<(Scenario, Inputs)> {
    let mut scenario = scenario.map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(problems.join("\n"))
    })?;
    for target in &mut scenario.targets {
        // Ports are chosen by the kernel and differ from round to round.
        target.connect_to = topology.address().into_iter().collect();
    }
    let inputs = Inputs::gather(&scenario)?;
    Ok((scenario, inputs))
}
