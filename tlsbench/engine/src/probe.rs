//! Facts about the machine: what it has and how it is set up. No fact is judged here.
//!
//! What cannot be read is `None`: files below `/proc` and `/sys` may be missing or masked.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use rustix::thread::{CpuSet, sched_getaffinity};

pub use self::cgroup::Quota;
pub use self::drift::{Drift, drift};
use self::files::{number, text};
pub use self::group::{Group, GroupError};
pub use self::parse::{Cpu, CpuTicks, Feature, PortRange};
pub use self::power::{Frequency, Power, frequency};
pub use self::proxies::{InstalledProxy, NginxStream, proxies};
pub use self::tree::{Other, Others, Processes, Reading, Tree, TreeError};
use tlsbench_core::units::{Nanos, Share};

mod files;
mod cgroup;
mod drift;
mod parse;
mod power;
mod proxies;
mod tree;
mod group;

/// The facts that were found out about the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Numbers of the CPUs that this process may run on.
    pub cores: Option<Vec<usize>>,
    /// The CPU and its features.
    pub cpu: Option<Cpu>,
    /// The number of cores of hardware these CPUs are on.
    pub physical_cores: Option<usize>,
    /// True if the CPU may run faster than its nominal frequency.
    pub boost: Option<bool>,
    /// The power supply of the machine.
    pub power: Option<Power>,
    /// Frequency governors of the CPUs that this process may run on; empty where there are none.
    pub governors: BTreeSet<String>,
    /// The clock source of the kernel.
    pub clock_source: Option<String>,
    /// The number of files this process may have open.
    pub open_files: Option<OpenFiles>,
    /// Local ports of outgoing connections.
    pub ports: Option<PortRange>,
    /// `tcp_tw_reuse`: 0 off, 1 on, 2 on for loopback.
    pub time_wait_reuse: Option<u64>,
    /// `somaxconn`: the longest queue of a listener.
    pub listen_backlog: Option<u64>,
    /// `tcp_max_tw_buckets`: connections that may be in TIME_WAIT.
    pub time_wait_buckets: Option<u64>,
    /// Connections in TIME_WAIT now.
    pub time_wait: Option<u64>,
}

/// Limits of open files; no number means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The limit in force.
    pub soft: Option<u64>,
    /// The hard limit, to which the soft one may be raised.
    pub hard: Option<u64>,
}

impl Machine {
    /// Reads all facts; `root` is `/` unless a test says otherwise.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let cores = allowed_cores();
        let limit = getrlimit(Resource::Nofile);
        Self {
            cpu: text(root, "proc/cpuinfo").and_then(|text| parse::cpu(&text)),
            physical_cores: power::physical_cores(root, cores.as_deref().unwrap_or_default()),
            boost: power::boost(root),
            power: power::power(root),
            governors: governors(root, cores.as_deref().unwrap_or_default()),
            clock_source: text(root, CLOCK_SOURCE).map(|text| text.trim().to_owned()),
            open_files: Some(OpenFiles { soft: limit.current, hard: limit.maximum }),
            ports: text(root, "proc/sys/net/ipv4/ip_local_port_range")
                .and_then(|text| parse::port_range(&text)),
            time_wait_reuse: number(root, "proc/sys/net/ipv4/tcp_tw_reuse"),
            listen_backlog: number(root, "proc/sys/net/core/somaxconn"),
            time_wait_buckets: number(root, "proc/sys/net/ipv4/tcp_max_tw_buckets"),
            time_wait: text(root, "proc/net/sockstat").and_then(|text| parse::time_wait(&text)),
            cores,
        }
    }
}

/// Reads how the CPUs spent their time since boot; `root` is `/` unless a test says otherwise.
#[must_use]
pub fn cpu_ticks(root: &Path) -> Option<CpuTicks> {
    text(root, "proc/stat").and_then(|text| parse::cpu_ticks(&text))
}

/// Reads how much CPU time the control groups of this process allow; `root` is `/` unless a test
/// says otherwise.
#[must_use]
pub fn quota(root: &Path) -> Option<Quota> {
    Quota::read(root)
}

/// Load that others put on the machine during a span of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// CPU time that the hypervisor gave to others.
    pub steal: Share,
    /// CPU time of other processes.
    pub others: Share,
}

/// The load between two readings, where `wall` passed and this process used `own` CPU time.
///
/// `None` if no tick passed.
#[must_use]
pub fn load(before: &CpuTicks, after: &CpuTicks, wall: Nanos, own: Nanos) -> Option<Load> {
    let total = after.total.saturating_sub(before.total);
    let steal = Share::of(after.steal.saturating_sub(before.steal), total)?;
    let busy = after.busy.saturating_sub(before.busy);
    // Ticks are coarse and of unknown length, so the ratio of ticks is applied to the wall clock.
    let capacity = u128::from(wall.0) * u128::from(after.cpus);
    let busy = capacity * u128::from(busy) / u128::from(total);
    let others = u64::try_from(busy.saturating_sub(u128::from(own.0))).unwrap_or(u64::MAX);
    Some(Load { steal, others: Share::of(others, u64::try_from(capacity).unwrap_or(u64::MAX))? })
}

fn allowed_cores() -> Option<Vec<usize>> {
    let allowed = sched_getaffinity(None).ok()?;
    Some((0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect())
}

fn governors(root: &Path, cores: &[usize]) -> BTreeSet<String> {
    let of =
        |core| text(root, &format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"));
    cores.iter().filter_map(of).map(|text| text.trim().to_owned()).collect()
}

const CLOCK_SOURCE: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn files_that_are_missing_or_strange_are_unknown() {
        for files in [
            &[][..],
            &[
                ("proc/cpuinfo", "\n"),
                ("proc/stat", "intr 1 2\n"),
                ("proc/sys/net/ipv4/ip_local_port_range", "many\n"),
                ("proc/sys/net/ipv4/tcp_tw_reuse", "-1\n"),
            ],
        ] {
            let root = tree(files);
            let machine = Machine::read(root.path());
            let own = Machine {
                cores: machine.cores.clone(),
                open_files: machine.open_files,
                ..Machine::default()
            };
            assert_eq!(machine, own);
            assert_eq!(cpu_ticks(root.path()), None);
        }
    }

    #[test]
    fn reads_what_is_there() {
        let core = allowed_cores().unwrap()[0];
        let governor = format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
        let root = tree(&[
            (&governor, "powersave\n"),
            (CLOCK_SOURCE, "tsc\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("proc/sys/net/ipv4/tcp_tw_reuse", "2\n"),
            ("proc/sys/net/ipv4/tcp_max_tw_buckets", "131072\n"),
            ("proc/net/sockstat", "TCP: inuse 1 orphan 0 tw 5 alloc 1 mem 443\n"),
            ("proc/sys/net/core/somaxconn", "4096\n"),
            ("proc/stat", "cpu  1 0 0 1 0 0 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0 0 0\n"),
        ]);
        let machine = Machine::read(root.path());
        assert_eq!(machine.governors, BTreeSet::from(["powersave".to_owned()]));
        assert_eq!(machine.clock_source.as_deref(), Some("tsc"));
        assert_eq!(machine.ports.map(PortRange::count), Some(28_232));
        assert_eq!(machine.time_wait_reuse, Some(2));
        assert_eq!(machine.time_wait_buckets, Some(131_072));
        assert_eq!(machine.listen_backlog, Some(4_096));
        assert_eq!(machine.time_wait, Some(5));
        assert_eq!(cpu_ticks(root.path()).map(|ticks| ticks.total), Some(2));
    }

    #[test]
    fn the_load_is_of_others_and_in_parts_of_the_machine() {
        let before = CpuTicks { cpus: 2, busy: 1_000, steal: 10, total: 5_000 };
        let after = CpuTicks { cpus: 2, busy: 1_050, steal: 14, total: 5_200 };
        // 200 ticks on two CPUs in one second; a quarter busy is 0.5 s, of which 0.3 s is our own.
        let wall = Nanos::from_millis(1_000);
        let load_with = |own| load(&before, &after, wall, Nanos::from_millis(own)).unwrap();
        assert_eq!(load_with(300).steal, Share::from_percent(2));
        assert_eq!(load_with(300).others, Share::from_percent(10));
        assert_eq!(load_with(900).others, Share::from_percent(0));
        assert_eq!(load(&before, &before, wall, Nanos(0)), None);
    }
}
