//! What a run over placements needs of the system, asked before anything is started.

use anyhow::bail;
use tlsbench_core::plan::Load;
use tlsbench_core::plan::lab::{ClientFiles, Lab};
use tlsbench_engine::hop::raise_descriptor_limit;

/// Lets this process and its hops have as many open files as they may.
///
/// # Errors
/// When those are fewer than the run needs: connections would fail, and nobody would know whose fault
/// it is.
pub(super) fn open_files(lab: &Lab, files: &ClientFiles) -> anyhow::Result<()> {
    let most = raise_descriptor_limit();
    let needed = needed(lab, files);
    if most < needed {
        bail!(
            "this process may have {most} open files, and the run needs {needed}: raise the limit with \
             `ulimit -n {needed}` (LimitNOFILE= for a service)"
        );
    }
    Ok(())
}

/// Open files of the hop that has most: a connection to each side for every connection of a client,
/// and those that are pooled.
fn needed(lab: &Lab, files: &ClientFiles) -> u64 {
    let scenarios = lab.placements.iter().flat_map(|placement| {
        let suiting = lab.workloads.iter().filter(|workload| workload.suits(placement));
        suiting.filter_map(|workload| lab.scenario(placement, *workload, files).ok())
    });
    let connections = scenarios.map(|scenario| match scenario.load {
        Load::Closed { connections, .. } => connections.get(),
        Load::Open { .. } => 0,
    });
    let most = connections.max().unwrap_or_default().max(lab.idle_connections);
    2 * u64::from(most) + u64::from(lab.pool) + SPARE
}

/// Pipes, logs, listeners, epoll, and files of `/proc` while CPU time is read: below 30 of each hop.
const SPARE: u64 = 64;
