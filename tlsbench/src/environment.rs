//! The environment of a run, for its record: machine, versions, command line.

use std::fs;
use std::path::Path;

use tlsbench_core::record::Environment;
use tlsbench_core::scenario::redact;
use tlsbench_engine::probe::Machine;

/// The environment of this process. What cannot be read is left out.
pub(crate) fn of_process() -> Environment {
    let machine = Machine::read(Path::new("/"));
    // The command line is redacted before it is kept: it may hold a token, and records are
    // published.
    let arguments: Vec<String> = std::env::args().collect();
    Environment {
        kernel: line("/proc/sys/kernel/osrelease").unwrap_or_default(),
        architecture: std::env::consts::ARCH.to_owned(),
        cpu_model: machine.cpu.as_ref().and_then(|cpu| cpu.model.clone()).unwrap_or_default(),
        cores: machine
            .cores
            .as_ref()
            .and_then(|cores| u32::try_from(cores.len()).ok())
            .unwrap_or_default(),
        governor: machine.governors.iter().next().cloned(),
        smt: line("/sys/devices/system/cpu/smt/active").map(|active| active == "1"),
        versions: VERSIONS
            .iter()
            .filter(|(_, version)| !version.is_empty())
            .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
            .collect(),
        sysctls: SYSCTLS
            .iter()
            .filter_map(|name| {
                let path = format!("/proc/sys/{}", name.replace('.', "/"));
                Some(((*name).to_owned(), line(&path)?))
            })
            .collect(),
        command: redact(&arguments),
        meanwhile: None,
    }
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().replace('\t', " "))
}

/// Versions of the program and its libraries; the build script reads them from the lock file.
const VERSIONS: [(&str, &str); 4] = [
    ("tlsbench", env!("CARGO_PKG_VERSION")),
    ("rustls", env!("TLSBENCH_RUSTLS")),
    ("ring", env!("TLSBENCH_RING")),
    ("aws-lc-rs", env!("TLSBENCH_AWS_LC_RS")),
];
/// Settings of the kernel that a load generator runs into.
const SYSCTLS: [&str; 6] = [
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_tw_reuse",
];
