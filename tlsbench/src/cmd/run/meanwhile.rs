//! Events of this machine while endpoints are measured: it is judged afterwards, as in a lab.

use std::net::{IpAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use tlsbench_core::record::HostEvents;
use tlsbench_core::units::Nanos;
use tlsbench_engine::clock::Clock;
use tlsbench_engine::probe::{self, CpuTicks, Others};
use tlsbench_engine::run::Inputs;

/// Readings from before the run.
pub(super) struct HostWatch {
    began: Nanos,
    used: Nanos,
    ticks: Option<CpuTicks>,
    throttled: Option<u64>,
    /// None where a target is on this machine: its server is one of the others, and nobody knows
    /// which.
    others: Option<Others>,
}

impl HostWatch {
    pub(super) fn begin(inputs: &Inputs) -> Self {
        let root = Path::new("/");
        // The server of a local target works for this run, and its CPU time must not count as
        // somebody else's.
        let is_here = inputs.addresses.iter().flatten().any(|address| is_local(address.ip()));
        Self {
            began: Clock::Monotonic.now(),
            used: Clock::ProcessCpu.now(),
            ticks: probe::cpu_ticks(root),
            throttled: probe::quota(root).map(|quota| quota.throttled),
            others: if is_here { None } else { Others::begin().ok() },
        }
    }

    /// Returns the events since the beginning. A reading that failed is unknown.
    pub(super) fn end(&self) -> HostEvents {
        let root = Path::new("/");
        let wall = Clock::Monotonic.now() - self.began;
        let own = Clock::ProcessCpu.now() - self.used;
        let cpus = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // CPU time that the machine had is its wall time on every CPU.
        let had_ns = Nanos(wall.0.saturating_mul(u64::try_from(cpus).unwrap_or(1)));
        let now = probe::cpu_ticks(root);
        let load = self.ticks.as_ref().zip(now.as_ref());
        let load = load.and_then(|(before, now)| probe::load(before, now, wall, own));
        let pid = std::process::id();
        // This process is left out: its own CPU time is the generator's, and counted elsewhere.
        let others = self.others.as_ref().and_then(|others| others.since(|of| of == pid).ok());
        HostEvents {
            had_ns,
            stolen_ns: load.map(|load| Nanos((load.steal.as_f64() * had_ns.0 as f64) as u64)),
            throttled: probe::quota(root)
                .zip(self.throttled)
                .map(|(now, before)| now.throttled.saturating_sub(before)),
            others_ns: others.as_ref().map(|all| Nanos(all.iter().map(|one| one.cpu.0).sum())),
            others_top: others.and_then(|all| Some(all.first()?.name.clone())),
        }
    }
}

/// Returns true if an address is this machine's own, because only such a one can be bound.
fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_is_told_from_what_is_not() {
        assert!(is_local("127.0.0.1".parse().unwrap()) && is_local("127.8.8.8".parse().unwrap()));
        // TEST-NET-1 (RFC 5737), which nobody has.
        assert!(!is_local("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn others_are_seen_unless_a_target_is_among_them() {
        let inputs = |address: &str| Inputs {
            addresses: vec![vec![address.parse().unwrap()]],
            roots: None,
            ca_bundle: None,
            identity: None,
            left_out: Vec::new(),
        };
        assert_eq!(HostWatch::begin(&inputs("127.0.0.1:1")).end().others_ns, None);
        let seen = HostWatch::begin(&inputs("192.0.2.1:1")).end();
        assert!(seen.others_ns.is_some() && seen.had_ns > Nanos(0), "{seen:?}");
    }
}
