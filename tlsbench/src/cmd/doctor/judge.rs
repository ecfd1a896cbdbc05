//! Facts against limits: each fact becomes a line, each line beyond its limit a warning.

use tlsbench_core::units::{Nanos, Share};
use tlsbench_core::warning::{Line, Verdict, Warning};
use tlsbench_engine::clock::{Lateness, Quality};
use tlsbench_engine::probe::{Load, Machine};

/// Judges what the machine is.
pub(super) fn machine(machine: &Machine) -> Vec<Line> {
    let cores = machine.cores.as_ref().map(|cores| {
        let warning = advice(
            "a CPU set or a small machine",
            &format!("allow {CORES_MIN} CPUs (`taskset`, cpuset cgroup)"),
        );
        let list: Vec<String> = cores.iter().map(ToString::to_string).collect();
        let value = format!("{} (CPU {})", cores.len(), list.join(", "));
        line("cores", value, at_least(CORES_MIN), cores.len() >= CORES_MIN, warning)
    });
    let aes = machine.cpu.as_ref().map(|cpu| {
        let instructions = match (cpu.has_aes, cpu.has_vaes) {
            (true, true) => "AES and VAES",
            (true, false) => "AES",
            (false, _) => "no AES",
        };
        let value = match &cpu.model {
            Some(model) => format!("{instructions} ({model})"),
            None => instructions.to_owned(),
        };
        let warning = advice(
            "an old CPU or a hypervisor that masks it",
            "expose the host's CPU to the guest, or measure on the CPU you will run on",
        );
        line("AES instructions", value, "AES".to_owned(), cpu.has_aes, warning)
    });
    vec![
        cores.unwrap_or_else(|| Line::unknown("cores", at_least(CORES_MIN))),
        aes.unwrap_or_else(|| Line::unknown("AES instructions", "AES")),
        governor(machine),
    ]
}

fn governor(machine: &Machine) -> Line {
    const NAME: &str = "frequency governor";
    // A guest has none: the host decides, and nothing here can tell how.
    if machine.governors.is_empty() {
        return Line::unknown(NAME, GOVERNOR);
    }
    let value: Vec<&str> = machine.governors.iter().map(String::as_str).collect();
    let warning = advice(
        "the CPU is set to save power, so its speed follows the load",
        "`cpupower frequency-set -g performance`",
    );
    let fit = value.iter().all(|governor| *governor == GOVERNOR);
    line(NAME, value.join(", "), GOVERNOR.to_owned(), fit, warning)
}

/// Judges what else the machine is doing.
pub(super) fn load(load: Option<Load>) -> Vec<Line> {
    let limits = [("steal", STEAL_MAX), ("load of others", OTHERS_MAX)];
    let Some(load) = load else {
        return limits.map(|(name, limit)| Line::unknown(name, at_most(limit))).into();
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

/// Judges how well time is told.
pub(super) fn clocks(
    source: Option<&str>,
    monotonic: Quality,
    cpu: Quality,
    late: Lateness,
) -> Vec<Line> {
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

fn step(name: &'static str, quality: Quality, advice: Advice) -> Line {
    let Some(step) = quality.step else { return Line::unknown(name, at_most(STEP_MAX)) };
    line(name, step.to_string(), at_most(STEP_MAX), step <= STEP_MAX, advice)
}

/// Judges what the kernel allows.
pub(super) fn limits(machine: &Machine) -> Vec<Line> {
    let files = machine.open_files.map(|files| {
        let value = files.soft.map_or("unlimited".to_owned(), |soft| soft.to_string());
        let cure = format!("`ulimit -n {OPEN_FILES_MIN}` (LimitNOFILE= for a service)");
        let warning = advice("the default soft limit of the shell or service", &cure);
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
        line("TIME_WAIT reuse", mode.to_string(), TIME_WAIT_REUSE.to_owned(), mode != 0, warning)
    });
    vec![
        files.unwrap_or_else(|| Line::unknown("open files", at_least(OPEN_FILES_MIN))),
        ports.unwrap_or_else(|| Line::unknown("local ports", at_least(PORTS_MIN))),
        reuse.unwrap_or_else(|| Line::unknown("TIME_WAIT reuse", TIME_WAIT_REUSE)),
        number(
            "TIME_WAIT sockets",
            machine.time_wait_buckets,
            TIME_WAIT_MIN,
            advice(
                "a small machine or a lowered setting",
                "`sysctl net.ipv4.tcp_max_tw_buckets=131072`",
            ),
        ),
        number(
            "listen backlog",
            machine.listen_backlog,
            BACKLOG_MIN,
            advice("an old kernel's default", "`sysctl net.core.somaxconn=4096`"),
        ),
    ]
}

fn number(name: &'static str, value: Option<u64>, min: u64, advice: Advice) -> Line {
    let Some(value) = value else { return Line::unknown(name, at_least(min)) };
    line(name, value.to_string(), at_least(min), value >= min, advice)
}

/// Why a value may be unfit and what to do then.
#[derive(Clone)]
struct Advice {
    cause: String,
    cure: String,
}

fn advice(cause: &str, cure: &str) -> Advice {
    Advice { cause: cause.to_owned(), cure: cure.to_owned() }
}

fn line(name: &'static str, value: String, limit: String, fit: bool, advice: Advice) -> Line {
    let verdict = if fit {
        Verdict::Fit
    } else {
        let seen = format!("{name}: {value}, where {limit} is wanted");
        Verdict::Unfit(Warning { seen, cause: advice.cause, cure: advice.cure })
    };
    Line { name, value, limit, verdict }
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
/// Above it a run is spoiled by what other guests took.
const STEAL_MAX: Share = Share::from_percent(1);
/// Above it the CPU figures of a run are spoiled by other processes.
const OTHERS_MAX: Share = Share::from_percent(5);
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
/// What is wanted of `tcp_tw_reuse`.
const TIME_WAIT_REUSE: &str = "1 (on) or 2 (on loopback)";
/// 1,000 connections a second rest for 60 s each.
const TIME_WAIT_MIN: u64 = 60_000;
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
            cpu: Some(Cpu { model: None, has_aes: true, has_vaes: false }),
            governors: BTreeSet::from([GOVERNOR.to_owned()]),
            clock_source: Some("tsc".into()),
            open_files: Some(OpenFiles { soft: Some(OPEN_FILES_MIN), hard: None }),
            ports: Some(PortRange { first: 32_768, last: 60_999 }),
            time_wait_reuse: Some(2),
            listen_backlog: Some(BACKLOG_MIN),
            time_wait_buckets: Some(TIME_WAIT_MIN),
        }
    }

    fn judged(facts: &Machine) -> Vec<Line> {
        [machine(facts), limits(facts)].concat()
    }

    fn words(lines: &[Line], word: &str) -> Vec<&'static str> {
        lines.iter().filter(|line| line.verdict.word() == word).map(|line| line.name).collect()
    }

    #[test]
    fn a_good_machine_is_fit_in_every_line() {
        assert_eq!(words(&judged(&good()), "fit").len(), 8);
    }

    #[test]
    fn each_fact_beyond_its_limit_is_unfit_alone() {
        type Spoil = fn(&mut Machine);
        let spoils: [(&str, Spoil); 8] = [
            ("cores", |m| m.cores = Some(vec![3])),
            ("AES instructions", |m| m.cpu.as_mut().unwrap().has_aes = false),
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
            let warning = lines.iter().find_map(Line::warning).unwrap();
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
