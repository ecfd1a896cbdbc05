//! Facts against limits: each fact becomes a line, each line beyond its limit a warning.

use tlsbench_core::units::{Nanos, Share};
use tlsbench_core::warning::{CheckLine, Fitness, OTHERS_MAX, STEAL_MAX, Warning};
use tlsbench_engine::clock::{Lateness, Quality};
use tlsbench_engine::probe::{
    CpuTicks, Drift, Feature, Frequency, InstalledProxy, Load, Machine, NginxStream, Power, Quota,
};

/// Judges what the machine is.
pub(super) fn machine(machine: &Machine) -> Vec<CheckLine> {
    let cores = machine.cores.as_ref().map(|cores| {
        let warning = advice(
            "a CPU set or a small machine",
            &format!("allow {CORES_MIN} CPUs (`taskset`, cpuset cgroup)"),
        );
        let list: Vec<String> = cores.iter().map(ToString::to_string).collect();
        let value = format!("{} (CPU {})", cores.len(), list.join(", "));
        line("cores", value, at_least(CORES_MIN), cores.len() >= CORES_MIN, warning)
    });
    vec![
        cores.unwrap_or_else(|| CheckLine::unknown("cores", at_least(CORES_MIN))),
        physical_cores(machine),
        features(machine),
        governor(machine),
        boost(machine),
        power(machine),
    ]
}

fn physical_cores(machine: &Machine) -> CheckLine {
    const NAME: &str = "cores of hardware";
    let Some(count) = machine.physical_cores else {
        return CheckLine::unknown(NAME, at_least(CORES_MIN));
    };
    let threads = machine.cores.as_ref().map_or(0, Vec::len);
    // Two threads of one core share its execution units: a generator on one slows a hop on the
    // other by a third or more.
    let value = if threads > count { format!("{count} (SMT)") } else { count.to_string() };
    let warning = advice(
        "the allowed CPUs are threads of one core (SMT), so each slows the other down",
        "allow CPUs of different cores (`lscpu -e`), or switch SMT off: `echo off > \
         /sys/devices/system/cpu/smt/control`",
    );
    line(NAME, value, at_least(CORES_MIN), count >= CORES_MIN, warning)
}

fn features(machine: &Machine) -> CheckLine {
    const NAME: &str = "CPU features";
    let Some(cpu) = &machine.cpu else { return CheckLine::unknown(NAME, FEATURES) };
    let mut value: Vec<String> = cpu.features.iter().map(ToString::to_string).collect();
    if value.is_empty() {
        value.push("none for cryptography".to_owned());
    }
    let value = match &cpu.model {
        Some(model) => format!("{} ({model})", value.join(", ")),
        None => value.join(", "),
    };
    let has = |feature| cpu.features.contains(&feature);
    // AES rounds alone do not make AES-GCM fast: GHASH needs carry-less multiplication.
    let fit = has(Feature::Aes) && (has(Feature::Pclmulqdq) || has(Feature::Pmull));
    let warning = advice(
        "an old CPU or a hypervisor that masks it",
        "expose the host's CPU to the guest, or measure on the CPU you will run on",
    );
    line(NAME, value, FEATURES.to_owned(), fit, warning)
}

fn boost(machine: &Machine) -> CheckLine {
    const NAME: &str = "turbo";
    // Guests cannot see it. Unknown is not held against them.
    let Some(on) = machine.boost else { return CheckLine::unknown(NAME, "off") };
    let warning = advice(
        "the CPU runs faster while it is cool and few cores are busy, which is no lasting speed",
        "`echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo`, elsewhere \
         `echo 0 > /sys/devices/system/cpu/cpufreq/boost`",
    );
    line(NAME, if on { "on" } else { "off" }.to_owned(), "off".to_owned(), !on, warning)
}

fn power(machine: &Machine) -> CheckLine {
    const NAME: &str = "power";
    const LIMIT: &str = "not by battery";
    let Some(power) = machine.power else { return CheckLine::unknown(NAME, LIMIT) };
    let value = match power {
        Power::Battery => "battery",
        Power::Mains => "mains",
        Power::NoBattery => "no battery",
    };
    let warning = advice("on battery the CPU saves power", "plug it in");
    line(NAME, value.to_owned(), LIMIT.to_owned(), power != Power::Battery, warning)
}

fn governor(machine: &Machine) -> CheckLine {
    const NAME: &str = "frequency governor";
    // A guest has none: the host decides, and nothing here can tell how.
    if machine.governors.is_empty() {
        return CheckLine::unknown(NAME, GOVERNOR);
    }
    let value: Vec<&str> = machine.governors.iter().map(String::as_str).collect();
    let warning = advice(
        "the CPU is set to save power, so its speed follows the load",
        "`cpupower frequency-set -g performance`",
    );
    // One core with another governor is enough to make rounds differ, as threads may be placed
    // there.
    let fit = value.iter().all(|governor| *governor == GOVERNOR);
    line(NAME, value.join(", "), GOVERNOR.to_owned(), fit, warning)
}

/// Judges what else the machine is doing.
pub(super) fn load(load: Option<Load>) -> Vec<CheckLine> {
    let limits = [("steal", STEAL_MAX), ("load of others", OTHERS_MAX)];
    let Some(load) = load else {
        return limits.map(|(name, limit)| CheckLine::unknown(name, at_most(limit))).into();
    };
    let steal = advice(
        "other guests want the same host",
        "use a machine of its own, or measure when the host is quiet",
    );
    let others = advice("other processes are running", "stop them (`top`), then look again");
    limits
        .into_iter()
        .zip([(load.steal, steal), (load.others, others)])
        .map(|((name, limit), (value, warning))| {
            line(name, value.to_string(), at_most(limit), value <= limit, warning)
        })
        .collect()
}

/// Judges what the hypervisor took since boot: a host that is crowded now and then.
pub(super) fn steal_since_boot(ticks: Option<&CpuTicks>) -> CheckLine {
    const NAME: &str = "steal since boot";
    // Steal over some seconds says little of a shared host; the mean since boot tells of its bad
    // hours.
    let share = ticks.and_then(|ticks| Share::of(ticks.steal, ticks.total));
    let Some(share) = share else { return CheckLine::unknown(NAME, at_most(STEAL_MAX)) };
    let warning = advice(
        "the host is crowded at times, now or not",
        "use a machine of its own, or repeat runs at different times of the day",
    );
    line(NAME, share.to_string(), at_most(STEAL_MAX), share <= STEAL_MAX, warning)
}

/// Judges what control groups allow: before and after the look, and on so many CPUs.
pub(super) fn quota(before: Option<Quota>, after: Option<Quota>, cores: usize) -> Vec<CheckLine> {
    const NAMES: [&str; 2] = ["CPU quota", "CPU throttling"];
    const LIMITS: [&str; 2] = ["none below the cores", "none while looking"];
    let Some((before, after)) = before.zip(after) else {
        return NAMES
            .iter()
            .zip(LIMITS)
            .map(|(name, limit)| CheckLine::unknown(name, limit))
            .collect();
    };
    let [name, throttling] = NAMES;
    let [below, none] = LIMITS.map(str::to_owned);
    let value = after.cpus.map_or("none".to_owned(), |cpus| format!("{cpus:.2} CPUs"));
    // A quota below the number of CPUs stops all threads for the rest of each period (100 ms),
    // which looks like latency.
    let fit = after.cpus.is_none_or(|cpus| cpus >= cores as f64);
    let raise = advice(
        "a limit of the container or service (`cpu.max`, `cpu.cfs_quota_us`)",
        "remove the CPU limit, or allow as many CPUs by `cpuset` as the limit is worth",
    );
    // A group that was moved or made anew begins at zero.
    let times = after.throttled.saturating_sub(before.throttled);
    let told = format!("{times} times ({} since the group was made)", after.throttled);
    vec![
        line(name, value, below, fit, raise.clone()),
        line(throttling, told, none, times == 0, raise),
    ]
}

/// Judges whether the CPU keeps its speed. The frequency is shown where it is told.
pub(super) fn drift(drift: Option<Drift>, frequency: Option<Frequency>) -> CheckLine {
    const NAME: &str = "frequency drift";
    let limit = format!("at most {:.0} %", DRIFT_MAX * 100.0);
    let Some(drift) = drift else { return CheckLine::unknown(NAME, limit) };
    let mut value = format!("{:.1} %", drift.as_f64() * 100.0);
    if let Some(Frequency { current_khz, max_khz }) = frequency {
        let gigahertz = |khz: u64| khz as f64 / 1e6;
        let (now, most) = (gigahertz(current_khz), gigahertz(max_khz));
        value.push_str(&format!(" (at {now:.2} of {most:.2} GHz)"));
    }
    let warning = advice(
        "the CPU changes its frequency, or shares a core with another thread of hardware",
        "fix the frequency (governor, turbo), let it cool, or leave the sibling CPU idle",
    );
    line(NAME, value, limit, drift.as_f64() <= DRIFT_MAX, warning)
}

/// Judges the highest rate of plain requests that this machine can serve and send at once.
pub(super) fn ceiling(per_second: Option<f64>) -> CheckLine {
    const NAME: &str = "loopback ceiling";
    let limit = format!("at least {CEILING_MIN:.0} requests/s");
    let Some(rate) = per_second else { return CheckLine::unknown(NAME, limit) };
    let warning = advice(
        "few or slow cores, or a network stack in user space (a sandbox)",
        "stop what else runs, give the machine more cores, or run outside of the sandbox",
    );
    line(NAME, format!("{rate:.0} requests/s"), limit, rate >= CEILING_MIN, warning)
}

/// Says which proxies are there. None is needed: hops can be built in.
pub(super) fn proxies(found: &[InstalledProxy]) -> CheckLine {
    let shown = |proxy: &InstalledProxy| {
        let without = match proxy.stream {
            Some(NginxStream::Missing) => {
                " without its stream module, which relays need (in Debian libnginx-mod-stream)"
            }
            _ => "",
        };
        match &proxy.version {
            Some(version) => format!("{} {version}{without}", proxy.name),
            None => format!("{} (version not told){without}", proxy.name),
        }
    };
    let names: Vec<String> = found.iter().map(shown).collect();
    let value = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    CheckLine { name: "proxies", value, limit: "none needed".to_owned(), verdict: Fitness::Fit }
}

/// Judges how well time is told.
pub(super) fn clocks(
    source: Option<&str>,
    monotonic: Quality,
    cpu: Quality,
    late: Lateness,
) -> Vec<CheckLine> {
    let source = source.map(|source| format!(" ({source})")).unwrap_or_default();
    let reading = advice(
        "the clock source is not the CPU's own, so each reading enters the kernel",
        "boot with `clocksource=tsc` where the CPU has an invariant one",
    );
    let coarse = advice(
        "this clock is counted in ticks, or reading it is that slow",
        "use a kernel with high-resolution timers, outside of a sandbox that emulates it",
    );
    let waking = advice(
        "power saving or more runnable threads than CPUs",
        "free a CPU, forbid deep idle states (`cpupower idle-set -D 10`)",
    );
    let wakeup = format!("p50 {}, p99 {}, max {}", late.p50, late.p99, late.max);
    vec![
        line(
            "clock reading",
            format!("{}{source}", monotonic.cost),
            at_most(READING_MAX),
            monotonic.cost <= READING_MAX,
            reading,
        ),
        step("clock step", monotonic, coarse.clone()),
        step("CPU clock step", cpu, coarse),
        line(
            "wake-up lateness",
            wakeup,
            format!("p99 at most {LATENESS_MAX}"),
            late.p99 <= LATENESS_MAX,
            waking,
        ),
    ]
}

fn step(name: &'static str, quality: Quality, advice: Advice) -> CheckLine {
    let Some(step) = quality.step else { return CheckLine::unknown(name, at_most(STEP_MAX)) };
    line(name, step.to_string(), at_most(STEP_MAX), step <= STEP_MAX, advice)
}

/// Judges what the kernel allows.
pub(super) fn limits(machine: &Machine) -> Vec<CheckLine> {
    let files = machine.open_files.map(|files| {
        let value = files.soft.map_or("unlimited".to_owned(), |soft| soft.to_string());
        let cure = format!("`ulimit -n {OPEN_FILES_MIN}` (LimitNOFILE= for a service)");
        let warning = advice("the default soft limit of the shell or service", &cure);
        // The soft limit counts, although runs raise it: other tools on this machine do not.
        let fit = files.soft.is_none_or(|soft| soft >= OPEN_FILES_MIN);
        line("open files", value, at_least(OPEN_FILES_MIN), fit, warning)
    });
    let ports = machine.ports.map(|ports| {
        let value = format!("{} ({} to {})", ports.count(), ports.first, ports.last);
        let warning = advice(
            "the range was narrowed",
            "`sysctl net.ipv4.ip_local_port_range=\"32768 60999\"`",
        );
        line("local ports", value, at_least(PORTS_MIN), ports.count() >= PORTS_MIN, warning)
    });
    let reuse = machine.time_wait_reuse.map(|mode| {
        let warning = advice(
            "it was switched off, so a port rests for 60 s after each connection",
            "`sysctl net.ipv4.tcp_tw_reuse=2`",
        );
        // Mode 2 reuses ports on loopback, which is all that a lab needs.
        line("TIME_WAIT reuse", mode.to_string(), TIME_WAIT_REUSE.to_owned(), mode != 0, warning)
    });
    vec![
        files.unwrap_or_else(|| CheckLine::unknown("open files", at_least(OPEN_FILES_MIN))),
        ports.unwrap_or_else(|| CheckLine::unknown("local ports", at_least(PORTS_MIN))),
        reuse.unwrap_or_else(|| CheckLine::unknown("TIME_WAIT reuse", TIME_WAIT_REUSE)),
        number(
            "TIME_WAIT sockets",
            machine.time_wait_buckets,
            TIME_WAIT_MIN,
            advice(
                "a small machine or a lowered setting",
                "`sysctl net.ipv4.tcp_max_tw_buckets=131072`",
            ),
        ),
        time_wait(machine),
        number(
            "listen backlog",
            machine.listen_backlog,
            BACKLOG_MIN,
            advice("an old kernel's default", "`sysctl net.core.somaxconn=4096`"),
        ),
    ]
}

fn time_wait(machine: &Machine) -> CheckLine {
    const NAME: &str = "in TIME_WAIT now";
    let Some(count) = machine.time_wait else {
        return CheckLine::unknown(NAME, at_most(TIME_WAIT_NOW_MAX));
    };
    let warning = advice("connections were made and closed just now", "wait for a minute");
    let fit = count <= TIME_WAIT_NOW_MAX;
    line(NAME, count.to_string(), at_most(TIME_WAIT_NOW_MAX), fit, warning)
}

fn number(name: &'static str, value: Option<u64>, min: u64, advice: Advice) -> CheckLine {
    let Some(value) = value else { return CheckLine::unknown(name, at_least(min)) };
    line(name, value.to_string(), at_least(min), value >= min, advice)
}

/// The likely cause of an unfit value, and its cure.
#[derive(Clone)]
struct Advice {
    cause: String,
    cure: String,
}

fn advice(cause: &str, cure: &str) -> Advice {
    Advice { cause: cause.to_owned(), cure: cure.to_owned() }
}

fn line(name: &'static str, value: String, limit: String, fit: bool, advice: Advice) -> CheckLine {
    let verdict = if fit {
        Fitness::Fit
    } else {
        let seen = format!("{name}: {value}, where {limit} is wanted");
        Fitness::Unfit(Warning { seen, cause: advice.cause, cure: advice.cure })
    };
    CheckLine { name, value, limit, verdict }
}

fn at_least(min: impl std::fmt::Display) -> String {
    format!("at least {min}")
}

fn at_most(max: impl std::fmt::Display) -> String {
    format!("at most {max}")
}

/// The generator on one, the hops on the other: on one core they would measure the scheduler.
const CORES_MIN: usize = 2;
/// The governor that keeps the speed of the CPU.
const GOVERNOR: &str = "performance";
/// Five readings for a request of 50 µs: at 100 ns they are 1 % of it.
const READING_MAX: Nanos = Nanos(100);
/// 2 % of a request of 50 µs.
const STEP_MAX: Nanos = Nanos::from_micros(1);
/// Later starts spoil the latency figures of a run.
const LATENESS_MAX: Nanos = Nanos::from_millis(1);
/// A relay with 4,000 connections has two sockets for each; 192 are for everything else.
const OPEN_FILES_MIN: u64 = 8_192;
/// Linux's default range has 28,232.
const PORTS_MIN: u32 = 28_000;
/// The wanted values of `tcp_tw_reuse`.
const TIME_WAIT_REUSE: &str = "1 (on) or 2 (on loopback)";
/// 1,000 connections a second rest for 60 s each.
const TIME_WAIT_MIN: u64 = 60_000;
/// Half of Linux's 28,232 local ports: three slices of 4,000 connections fit beside them.
const TIME_WAIT_NOW_MAX: u64 = 14_000;
/// CPU features without which a TLS record costs several times as much as on any server of today.
const FEATURES: &str = "AES, and PCLMULQDQ or PMULL";
/// Within it costs are called equal, so the CPU must not differ by more from itself.
const DRIFT_MAX: f64 = 0.05;
/// A slice of 0.4 s then holds 2,000 requests, enough for a p99 with 20 values above it.
const CEILING_MIN: f64 = 5_000.0;
/// Linux's default since 5.4: a burst of 4,000 connections fits.
const BACKLOG_MIN: u64 = 4_096;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tlsbench_engine::probe::{Cpu, OpenFiles, PortRange};

    use super::*;

    fn good() -> Machine {
        Machine {
            cores: Some(vec![0, 1]),
            cpu: Some(Cpu { model: None, features: vec![Feature::Aes, Feature::Pmull] }),
            physical_cores: Some(2),
            boost: Some(false),
            power: Some(Power::Mains),
            governors: BTreeSet::from([GOVERNOR.to_owned()]),
            clock_source: Some("tsc".into()),
            open_files: Some(OpenFiles { soft: Some(OPEN_FILES_MIN), hard: None }),
            ports: Some(PortRange { first: 32_768, last: 60_999 }),
            time_wait_reuse: Some(2),
            listen_backlog: Some(BACKLOG_MIN),
            time_wait_buckets: Some(TIME_WAIT_MIN),
            time_wait: Some(TIME_WAIT_NOW_MAX),
        }
    }

    fn judged(facts: &Machine) -> Vec<CheckLine> {
        [machine(facts), limits(facts)].concat()
    }

    fn words(lines: &[CheckLine], word: &str) -> Vec<&'static str> {
        lines.iter().filter(|line| line.verdict.word() == word).map(|line| line.name).collect()
    }

    #[test]
    fn a_good_machine_is_fit_in_every_line() {
        assert_eq!(words(&judged(&good()), "fit").len(), 12);
    }

    #[test]
    fn each_fact_beyond_its_limit_is_unfit_alone() {
        type Spoil = fn(&mut Machine);
        let spoils: [(&str, Spoil); 13] = [
            ("cores", |m| m.cores = Some(vec![3])),
            ("cores of hardware", |m| m.physical_cores = Some(1)),
            ("CPU features", |m| m.cpu.as_mut().unwrap().features = vec![Feature::Pmull]),
            ("CPU features", |m| m.cpu.as_mut().unwrap().features = vec![Feature::Aes]),
            ("turbo", |m| m.boost = Some(true)),
            ("power", |m| m.power = Some(Power::Battery)),
            ("in TIME_WAIT now", |m| m.time_wait = Some(TIME_WAIT_NOW_MAX + 1)),
            ("frequency governor", |m| {
                m.governors.insert("powersave".into());
            }),
            ("open files", |m| m.open_files.as_mut().unwrap().soft = Some(OPEN_FILES_MIN - 1)),
            ("local ports", |m| m.ports = Some(PortRange { first: 40_000, last: 60_999 })),
            ("TIME_WAIT reuse", |m| m.time_wait_reuse = Some(0)),
            ("TIME_WAIT sockets", |m| m.time_wait_buckets = Some(TIME_WAIT_MIN - 1)),
            ("listen backlog", |m| m.listen_backlog = Some(128)),
        ];
        for (name, spoil) in spoils {
            let mut facts = good();
            spoil(&mut facts);
            let lines = judged(&facts);
            assert_eq!(words(&lines, "unfit"), [name]);
            let warning = lines.iter().find_map(CheckLine::warning).unwrap();
            assert!(warning.seen.starts_with(name), "{warning}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_not_unfit() {
        let lines = judged(&Machine::default());
        assert_eq!(words(&lines, "unknown").len(), lines.len());
        assert_eq!(words(&load(None), "unknown"), ["steal", "load of others"]);
    }

    #[test]
    fn no_limit_of_open_files_is_fit() {
        let mut facts = good();
        facts.open_files = Some(OpenFiles { soft: None, hard: None });
        assert_eq!(words(&judged(&facts), "unfit"), [""; 0]);
    }

    #[test]
    fn load_is_judged_at_its_limits() {
        let judge = |steal, others| {
            let (steal, others) = (Share::from_percent(steal), Share::from_percent(others));
            words(&load(Some(Load { steal, others })), "unfit")
        };
        assert_eq!(judge(1, 5), [""; 0]);
        assert_eq!(judge(2, 5), ["steal"]);
        assert_eq!(judge(1, 6), ["load of others"]);
    }

    #[test]
    fn what_was_taken_since_boot_is_judged_at_its_limit() {
        let judge = |steal| {
            let ticks = CpuTicks { cpus: 1, busy: 0, steal, total: 1_000 };
            words(&[steal_since_boot(Some(&ticks))], "unfit")
        };
        assert_eq!(judge(10), [""; 0]);
        assert_eq!(judge(11), ["steal since boot"]);
        assert_eq!(words(&[steal_since_boot(None)], "unknown").len(), 1);
    }

    #[test]
    fn a_quota_below_the_cores_and_throttling_while_looking_are_unfit() {
        let judge = |cpus, throttled| {
            let before = Quota { cpus, throttled: 5 };
            words(&quota(Some(before), Some(Quota { cpus, throttled }), 2), "unfit")
        };
        assert_eq!(judge(None, 5), [""; 0]);
        assert_eq!(judge(Some(2.0), 5), [""; 0]);
        assert_eq!(judge(Some(1.99), 5), ["CPU quota"]);
        assert_eq!(judge(None, 6), ["CPU throttling"]);
        assert_eq!(words(&quota(None, None, 2), "unknown").len(), 2);
    }

    #[test]
    fn drift_and_ceiling_are_judged_at_their_limits() {
        let drift_to = |slowest| Some(Drift { fastest: Nanos(100), slowest: Nanos(slowest) });
        assert_eq!(drift(drift_to(105), None).verdict, Fitness::Fit);
        let frequency = Frequency { current_khz: 2_400_000, max_khz: 3_500_000 };
        let line = drift(drift_to(106), Some(frequency));
        assert_eq!(line.value, "6.0 % (at 2.40 of 3.50 GHz)");
        assert!(line.warning().is_some());
        assert_eq!(drift(None, None).verdict, Fitness::Unknown);
        assert_eq!(ceiling(Some(CEILING_MIN)).verdict, Fitness::Fit);
        assert!(ceiling(Some(CEILING_MIN - 1.0)).warning().is_some());
        assert_eq!(ceiling(None).verdict, Fitness::Unknown);
    }

    #[test]
    fn proxies_are_listed_and_none_is_needed() {
        let nginx = |stream| InstalledProxy {
            name: "nginx",
            version: Some("1.22.1".into()),
            stream: Some(stream),
        };
        let odd = InstalledProxy { name: "envoy", version: None, stream: None };
        let all = [nginx(NginxStream::BuiltIn), odd];
        assert_eq!(proxies(&all).value, "nginx 1.22.1, envoy (version not told)");
        let value = proxies(&[nginx(NginxStream::Missing)]).value;
        assert!(value.starts_with("nginx 1.22.1 without its stream module"), "{value}");
        assert!(value.contains("libnginx-mod-stream"), "{value}");
        assert_eq!((proxies(&[]).value.as_str(), proxies(&[]).verdict), ("none", Fitness::Fit));
    }

    #[test]
    fn clocks_are_judged_at_their_limits() {
        let late = |p99| Lateness { p50: Nanos(1), p99, max: p99 };
        let quality = |cost, step| Quality { cost, step: Some(step) };
        let good = quality(READING_MAX, STEP_MAX);
        let judge = |monotonic, cpu, p99| words(&clocks(None, monotonic, cpu, late(p99)), "unfit");
        assert_eq!(judge(good, good, LATENESS_MAX), [""; 0]);
        let slow = quality(Nanos(READING_MAX.0 + 1), STEP_MAX);
        assert_eq!(judge(slow, slow, LATENESS_MAX), ["clock reading"]);
        let coarse = quality(Nanos(1), Nanos::from_millis(10));
        assert_eq!(judge(coarse, good, LATENESS_MAX), ["clock step"]);
        assert_eq!(judge(good, coarse, LATENESS_MAX), ["CPU clock step"]);
        assert_eq!(judge(good, good, Nanos(LATENESS_MAX.0 + 1)), ["wake-up lateness"]);
        let still = Quality { cost: Nanos(1), step: None };
        assert_eq!(words(&clocks(None, still, good, late(Nanos(1))), "unknown"), ["clock step"]);
    }
}
