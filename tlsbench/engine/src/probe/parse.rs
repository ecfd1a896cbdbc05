//! Parsers of the kernel's text files: pure functions on text.

use std::fmt;

/// The model and the features of a CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The name, where the kernel knows one.
    pub model: Option<String>,
    /// Features that matter to cryptography, in the order of [`Feature`].
    pub features: Vec<Feature>,
}

/// Instructions that cryptography is faster with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// AES.
    Aes,
    /// Multiplication without carries, for GCM: x86.
    Pclmulqdq,
    /// The same: arm64.
    Pmull,
    /// AES on several blocks at once: x86.
    Vaes,
    /// Several multiplications without carries at once: x86.
    Vpclmulqdq,
    /// SHA-256: x86.
    ShaNi,
    /// SHA-256: arm64.
    Sha2,
    /// Registers of 512 bits: x86.
    Avx512,
}

impl Feature {
    /// Every feature, with the kernel's name for it and the usual one.
    const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Aes, "aes", "AES"),
        (Self::Pclmulqdq, "pclmulqdq", "PCLMULQDQ"),
        (Self::Pmull, "pmull", "PMULL"),
        (Self::Vaes, "vaes", "VAES"),
        (Self::Vpclmulqdq, "vpclmulqdq", "VPCLMULQDQ"),
        (Self::ShaNi, "sha_ni", "SHA-NI"),
        (Self::Sha2, "sha2", "SHA2"),
        (Self::Avx512, "avx512f", "AVX-512"),
    ];
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::ALL.iter().find(|(feature, ..)| feature == self);
        f.write_str(known.map_or("", |(.., name)| name))
    }
}

/// The time that the CPUs spent since boot, in ticks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTicks {
    /// The number of CPUs.
    pub cpus: u32,
    /// Working, in user space, kernel or interrupts.
    pub busy: u64,
    /// Taken by the hypervisor.
    pub steal: u64,
    /// All of it.
    pub total: u64,
}

/// Local ports of outgoing connections, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl PortRange {
    /// Returns the number of ports there are.
    #[must_use]
    pub fn count(self) -> u32 {
        (u32::from(self.last) + 1).saturating_sub(u32::from(self.first))
    }
}

/// Reads `/proc/cpuinfo`: the first CPU speaks for all.
pub(super) fn cpu(text: &str) -> Option<Cpu> {
    let value = |names: &[&str]| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            names.contains(&name.trim()).then(|| value.trim())
        })
    };
    // x86 says `flags`, arm64 says `Features`.
    let flags: Vec<&str> = value(&["flags", "Features"])?.split_whitespace().collect();
    let features = Feature::ALL
        .into_iter()
        .filter(|(_, flag, _)| flags.contains(flag))
        .map(|(feature, ..)| feature)
        .collect();
    let model = value(&["model name"]).map(str::to_owned);
    (!flags.is_empty()).then_some(Cpu { model, features })
}

/// Reads `/proc/net/sockstat`: sockets in TIME_WAIT.
pub(super) fn time_wait(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP: "))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).find_map(|pair| match pair {
        ["tw", count] => count.parse().ok(),
        _ => None,
    })
}

/// Reads the first line of `/proc/stat`, and counts the CPUs in those below it.
pub(super) fn cpu_ticks(text: &str) -> Option<CpuTicks> {
    let all = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = all.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    // What follows steal is guest time, which user and nice already hold.
    let [user, nice, system, idle, waiting, interrupt, soft_interrupt, steal, ..] = ticks[..]
    else {
        return None;
    };
    let busy = user + nice + system + interrupt + soft_interrupt;
    let is_cpu = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let cpus = u32::try_from(text.lines().filter(is_cpu).count()).ok().filter(|&cpus| cpus > 0)?;
    Some(CpuTicks { cpus, busy, steal, total: busy + idle + waiting + steal })
}

/// Reads `ip_local_port_range`: two numbers.
pub(super) fn port_range(text: &str) -> Option<PortRange> {
    let mut ports = text.split_whitespace().map(|port| port.parse().ok());
    let (first, last) = (ports.next()??, ports.next()??);
    (first <= last && ports.next().is_none()).then_some(PortRange { first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_cpu_of_x86_and_arm() {
        use Feature::{Aes, Avx512, Pclmulqdq, Pmull, Sha2, ShaNi, Vaes, Vpclmulqdq};
        let x86 = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu vaes aes sha_ni avx512f \
                   vpclmulqdq pclmulqdq\n\nprocessor\t: 1\nmodel name\t: other\nflags\t\t: fpu\n";
        let features = vec![Aes, Pclmulqdq, Vaes, Vpclmulqdq, ShaNi, Avx512];
        assert_eq!(cpu(x86), Some(Cpu { model: Some("AMD EPYC".into()), features }));
        let arm = "processor\t: 0\nFeatures\t: fp asimd aes pmull sha1 sha2\nCPU part\t: 0xd40\n";
        assert_eq!(cpu(arm), Some(Cpu { model: None, features: vec![Aes, Pmull, Sha2] }));
        let old = cpu("model name : old\nflags : fpu vaesx sha\n").unwrap();
        assert_eq!(old.features, []);
        assert_eq!(
            (Vpclmulqdq.to_string(), ShaNi.to_string()),
            ("VPCLMULQDQ".into(), "SHA-NI".into())
        );
        assert_eq!(cpu(""), None);
        assert_eq!(cpu("flags :\n"), None);
    }

    #[test]
    fn counts_ticks_and_leaves_guest_time_in_user_time() {
        let text = "cpu  10 20 30 400 50 6 7 8 9 10\ncpu0 5 10 15 200 25 3 3 4 4 5\n\
                    cpu1 5 10 15 200 25 3 4 4 5 5\nintr 12345\ncpufreq 1\n";
        assert_eq!(cpu_ticks(text), Some(CpuTicks { cpus: 2, busy: 73, steal: 8, total: 531 }));
        for strange in
            ["", "cpu  1 2 3\ncpu0 1\n", "cpu  a b c d e f g h\ncpu0 1\n", "cpu  1 2 3 4 5 6 7 8\n"]
        {
            assert_eq!(cpu_ticks(strange), None, "{strange}");
        }
    }

    #[test]
    fn counts_sockets_in_time_wait() {
        let text = "sockets: used 13\nTCP: inuse 1 orphan 0 tw 42 alloc 1 mem 443\nUDP: inuse 0\n";
        assert_eq!(time_wait(text), Some(42));
        for strange in ["", "TCP: inuse 1", "TCP: tw", "TCP: tw many", "UDP: tw 4"] {
            assert_eq!(time_wait(strange), None, "{strange}");
        }
    }

    #[test]
    fn reads_a_port_range() {
        assert_eq!(port_range("32768\t60999\n").map(PortRange::count), Some(28_232));
        assert_eq!(port_range("0 65535").map(PortRange::count), Some(65_536));
        for strange in ["", "1", "5 4", "1 2 3", "1 65536", "a b"] {
            assert_eq!(port_range(strange), None, "{strange}");
        }
    }
}
