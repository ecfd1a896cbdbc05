//! System limits that a run over placements needs, asked for before anything is started.

use anyhow::bail;
use tlsbench_core::lab::{ClientFiles, Lab};
use tlsbench_core::scenario::Load;
use tlsbench_engine::hop::raise_descriptor_limit;

/// Lets this process and its hops have as many open files as they may.
///
/// # Errors
/// When those are fewer than the run needs: connections would fail, and nobody would know whose
/// fault it is.
pub(super) fn open_files(lab: &Lab, files: &ClientFiles) -> anyhow::Result<()> {
    enough(raise_descriptor_limit(), needed(lab, files))
}

fn enough(most: u64, needed: u64) -> anyhow::Result<()> {
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
    // Open loops have pools that are mostly empty, and the closed ones of the same lab hold more at
    // a time.
    let connections = scenarios.map(|scenario| match scenario.load {
        Load::Closed { connections, .. } => connections.get(),
        Load::Open { .. } => 0,
    });
    let most = connections.max().unwrap_or_default().max(lab.idle_connections);
    2 * u64::from(most) + u64::from(lab.pool) + SPARE
}

/// Pipes, logs, listeners, epoll, and files of `/proc` while CPU time is read: below 30 of each
/// hop.
const SPARE: u64 = 64;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tlsbench_core::lab::Workload;

    use super::*;

    #[test]
    fn as_many_files_as_are_needed_are_enough() {
        enough(192, 192).unwrap();
        let error = enough(191, 192).unwrap_err().to_string();
        assert!(error.contains("may have 191") && error.contains("`ulimit -n 192`"), "{error}");
    }

    #[test]
    fn the_workload_with_most_connections_or_idle_ones_say_how_many_are_needed() {
        let file = |name: &str| PathBuf::from(name);
        let files = ClientFiles {
            ca_bundle: file("ca.crt"),
            certificate: file("client.crt"),
            key: file("client.key"),
        };
        let of = |workloads: &[Workload], idle_connections, pool| {
            let workloads = workloads.to_vec();
            needed(&Lab { workloads, idle_connections, pool, ..Lab::default() }, &files)
        };
        // Two for each of 16, 32 and 500 connections, those that are pooled, and what else is open.
        assert_eq!(of(&[Workload::Full], 0, 0), 2 * 16 + SPARE);
        assert_eq!(of(&[Workload::Full, Workload::KeepAlive], 0, 10), 2 * 32 + 10 + SPARE);
        assert_eq!(of(&[Workload::Full, Workload::KeepAlive], 500, 10), 2 * 500 + 10 + SPARE);
        assert_eq!(of(&[Workload::KeepAlive], 20, 0), 2 * 32 + SPARE);
    }
}
