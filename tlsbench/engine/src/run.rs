//! A run: every target's rounds on all shards, what was measured, and what measuring cost.
//!
//! It judges nothing. What goes wrong with a connection is counted in a tally; errors are only what
//! keeps a run from being one.

use rustix::process::{Resource, getrlimit, setrlimit};
use tlsbench_core::pace::Shard;
use tlsbench_core::scenario::{Load, Pin, Protocol, Scenario, Scheme, Target};
use tlsbench_core::tally::Tally;
use tlsbench_core::usage::Cpu;

use crate::clock::Clock;
use crate::shard;
use crate::tls::{Alpn, TlsClient};

mod progress;
mod error;
mod reach;
mod inputs;
mod bundle_watch;
mod stage;
mod collect;
mod round_clock;
mod shard_monitor;
mod resolver;
mod stage_run;

pub use crate::shard::Stop;
pub use error::RunError;
pub use inputs::{Inputs, InputsError, resolve};
pub use progress::{CutShort, Outcome, Progress, Slice};
pub use reach::UnreachableAddress;

use bundle_watch::BundleWatch;
use resolver::Resolver;
use stage_run::{ShardState, StageRun};

/// Runs a scenario to its end, or until it is asked to stop.
///
/// # Errors
/// Fails when the scenario cannot be run as it stands; connections that fail are counted instead.
pub fn run(
    scenario: &Scenario,
    inputs: &Inputs,
    stop: &Stop,
    mut progress: impl FnMut(Progress),
) -> Result<Outcome, RunError> {
    let (began, used) = (Clock::Monotonic.now(), process_cpu());
    let mut shards = shards(scenario, inputs)?;
    // Names are resolved again while the run goes on: the addresses of a load balancer change.
    let resolver =
        Resolver::start(scenario, inputs).map_err(|source| RunError::Resolver { source })?;
    let cores = match scenario.pin {
        Pin::Always => shard::cores(shards.len(), 0),
        Pin::Auto => shard::cores(shards.len(), CORES_TO_SPARE),
        Pin::Never => None,
    };
    if scenario.pin == Pin::Always && cores.is_none() {
        progress(Progress::Note(format!(
            "not pinned: {} threads, and fewer CPUs that this process may use; lower `threads`",
            shards.len()
        )));
    }
    let mut bundle = BundleWatch::new(inputs);
    bundle.tell_left_out(&mut progress);
    inputs.notes(scenario).into_iter().for_each(|note| progress(Progress::Note(note)));
    let (mut cut_short, mut unmeasured) = (None, Tally::new());
    // Stages follow one another on the same threads: two targets at a time would compete for the
    // generator's cores.
    for stage in stage::stages(scenario) {
        let Some(addresses) = resolver.book(stage.target) else { continue };
        let until = scenario.timeout.run.map(|run| began + run);
        let part = StageRun { scenario, inputs, addresses, stop, stage, until };
        let mut tell = |told| {
            bundle.look(&mut progress);
            resolver.notes().for_each(|note| progress(Progress::Note(note)));
            progress(told);
        };
        cut_short = part.run(&mut shards, cores.as_deref(), &mut unmeasured, &mut tell)?;
        if cut_short.is_none() && stop.is_asked() {
            cut_short = Some(CutShort::Stopped);
        }
        if cut_short.is_some() {
            break;
        }
    }
    Ok(Outcome {
        unmeasured,
        cpu: process_cpu() - used,
        wall: Clock::Monotonic.now() - began,
        shards: shards.len(),
        pinned: cores.is_some(),
        cut_short,
    })
}

fn shards(scenario: &Scenario, inputs: &Inputs) -> Result<Vec<ShardState>, RunError> {
    let client = |target: &Target| {
        let roots = inputs.roots.as_ref().filter(|_| target.scheme == Scheme::Https);
        let Some(roots) = roots else { return Ok(None) };
        let alpn = scenario.request.as_ref().map(|request| match request.protocol {
            Protocol::Http1 => Alpn::Http1,
            Protocol::Http2 { .. } => Alpn::Http2,
        });
        TlsClient::new(&scenario.tls, target, roots, alpn, inputs.identity.as_ref())
            .map(Some)
            .map_err(|source| RunError::Tls { target: target.name.clone(), source })
    };
    // A shard without a connection would owe its part of the rate.
    let of = scenario.shards.min(match scenario.load {
        Load::Closed { connections, .. } => connections,
        Load::Open { pool, .. } => pool,
    });
    (0..of.get())
        .filter_map(|index| Shard::new(index, of))
        .map(|shard| {
            let tls = scenario.targets.iter().map(client).collect::<Result<_, _>>()?;
            Ok(ShardState { shard, tls })
        })
        .collect()
}

/// CPU time of this process; its split is the kernel's, of 10 ms.
pub fn process_cpu() -> Cpu {
    let total = Clock::ProcessCpu.now();
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (user, system) = shard::split(&text);
    Cpu { total, user, system }
}

/// Raises this process's soft limit of open files to the hard one: each connection takes one.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What is refused leaves the limit as it was, and connections beyond it fail by their own name.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Cores for the thread that watches, for the kernel and for other processes.
const CORES_TO_SPARE: usize = 2;

#[cfg(test)]
mod tests;
