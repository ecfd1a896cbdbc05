//! Gates: what spoils a measurement, and which of its verdicts.
//!
//! Judged on all rounds of a target together, not round by round.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Warning;
use super::limits::{ACHIEVED_MIN_PERCENT, ERRORS_MAX, GENERATOR_BUSY_MAX};
use crate::record::{RoundRecord, RunRecord, TargetRecord};
use crate::scenario::{Group, Load, Protocol, Scenario, Scheme, Target};
use crate::stats::{Estimate, binomial_bounds, steadiness};
use crate::tally::{Failure, Phase, Quantile};
use crate::units::{Nanos, Share};

mod machine;
mod unanswered;

/// Verdicts that stand or fall together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// The highest rate.
    Capacity,
    /// CPU time per operation.
    Cpu,
    /// Times of operations.
    Latency,
    /// Money.
    Money,
}

impl Family {
    /// The family in one word, as documents spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Cpu => "cpu",
            Self::Latency => "latency",
            Self::Money => "money",
        }
    }
}

/// Something that spoils verdicts on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Name of the gate, as in reports and filters.
    pub name: &'static str,
    /// The target, where it is one.
    pub target: Option<String>,
    /// Observation, likely cause and cure.
    pub warning: Warning,
    /// Families of verdicts that cannot be given.
    pub spoils: &'static [Family],
}

/// Everything that spoils the run; nothing for a run that can be judged.
#[must_use]
pub fn judge(record: &RunRecord) -> Vec<Gate> {
    let scenario = match record.scenario() {
        Ok(scenario) => scenario,
        Err(problems) => {
            let problem = problems.first().map(ToString::to_string).unwrap_or_default();
            return vec![Gate {
                // Without the scenario no gate can tell what was asked for, so nothing is judged.
                name: "scenario",
                target: None,
                warning: Warning {
                    seen: format!("the record's scenario cannot be read ({problem})"),
                    cause: "the record was edited".to_owned(),
                    cure: "run again".to_owned(),
                },
                spoils: ALL,
            }];
        }
    };
    let together = record.targets.len();
    let of_targets =
        record.targets.iter().flat_map(|target| judge_target(target, &scenario, together));
    of_targets.chain(machine::judge(&record.environments)).collect()
}

/// All gates that fail for a target. `together` is the number of targets that are judged together.
#[must_use]
pub fn judge_target(target: &TargetRecord, scenario: &Scenario, together: usize) -> Vec<Gate> {
    let mut gates = Vec::new();
    let mut add = |name, spoils, warning: Option<Warning>| {
        let target = Some(target.name.clone());
        gates.extend(warning.map(|warning| Gate { name, target, warning, spoils }));
    };
    let asked = scenario.targets.iter().find(|asked| asked.name == target.name);
    add("addresses", ALL, addresses(target));
    add("errors", ALL, errors(target));
    add("nothing", ALL, nothing(target));
    add("unanswered", ALL, unanswered::judge(target, scenario));
    if let Load::Open { wait_max, .. } = scenario.load {
        add("achieved", OPEN, achieved(target));
        add("generator-busy", OPEN, generator_busy(target));
        add("send-lag", LATENCY, send_lag(target, wait_max));
    }
    if let Some(asked) = asked.filter(|asked| asked.scheme == Scheme::Https) {
        // Plain HTTP has no handshake whose shape could be off.
        add("resumption", ALL, resumption(target, scenario));
        add("shape", ALL, shape(target, scenario, asked));
    }
    let steady = unanswered::without_end(target, &scenario.load)
        .or_else(|| steady(target, &scenario.load, together));
    add("steady", ALL, steady);
    gates
}

fn addresses(target: &TargetRecord) -> Option<Warning> {
    let name = Failure::AddressesExhausted.as_str();
    let count = target.sum(|round| round.failed.get(name).copied().unwrap_or_default());
    (count > 0).then(|| Warning {
        seen: format!("{count} connections found no local port (EADDRNOTAVAIL)"),
        cause: "closed connections keep their ports for 60 s on the side that closed first".into(),
        cure: "set `close = \"server\"` or `\"rst\"`, give more `sources`, or lower the rate"
            .into(),
    })
}

/// Failures that are too few to spoil a verdict: they have a cause and a cure all the same.
pub(super) fn few_errors(target: &TargetRecord) -> Option<Warning> {
    if addresses(target).is_some() {
        return None;
    }
    failures(target).filter(|(_, spoils)| !spoils).map(|(warning, _)| warning)
}

fn errors(target: &TargetRecord) -> Option<Warning> {
    failures(target).filter(|(_, spoils)| *spoils).map(|(warning, _)| warning)
}

/// The most common failure with its cause and cure, and whether that is too much.
fn failures(target: &TargetRecord) -> Option<(Warning, bool)> {
    let failed = target.sum(RoundRecord::failures);
    let all = failed.saturating_add(target.sum(|round| round.succeeded));
    let share = Share::of(failed, all)?;
    let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in target.rounds.iter().flat_map(|round| &round.failed) {
        let sum = by_name.entry(name).or_default();
        *sum = sum.saturating_add(*count);
    }
    let most = by_name.into_iter().max_by_key(|(_, count)| *count);
    let (name, count) = most.unwrap_or(("", 0));
    let failure = name.parse::<Failure>().ok();
    let reason = most_common_reason(target, name);
    let of_reason = failure
        .zip(reason.as_ref())
        .and_then(|(failure, (reason, _))| super::reason::cure(failure, reason));
    let detail = reason.map(|(reason, count)| format!(" (`{reason}`, {count} times)"));
    let warning = || Warning {
        seen: format!("{failed} of {all} operations failed"),
        cause: format!("of `{name}`, {count} times{}", detail.unwrap_or_default()),
        cure: of_reason.unwrap_or(failure.map_or(CURE_OF_ERRORS, cure)).to_owned(),
    };
    // A few failures of many are chance, unless they are all there is.
    let is_few = failed <= ERRORS_FEW && failed < all;
    (failed > 0).then(|| (warning(), !is_few && share.as_f64() > ERRORS_MAX))
}

/// The detail of most failures of one name, and its count.
fn most_common_reason<'t>(target: &'t TargetRecord, failure: &str) -> Option<(&'t str, u64)> {
    let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
    let below = target.rounds.iter().filter_map(|round| round.reasons.get(failure));
    for (reason, count) in below.flatten() {
        let sum = by_reason.entry(reason).or_default();
        *sum = sum.saturating_add(*count);
    }
    by_reason.into_iter().max_by_key(|(_, count)| *count)
}

/// Cure for a failure.
#[must_use]
pub const fn cure(failure: Failure) -> &'static str {
    match failure {
        Failure::Alert => {
            "look into the server's log: it may want a client certificate (`tls.client_certificate`), \
             or lack the version, the suites or every group of [tls]"
        }
        Failure::AddressesExhausted => {
            "set `close = \"server\"` or `\"rst\"`, give more `sources`, or lower the rate"
        }
        Failure::Alpn => {
            "let the server offer the protocol (`http2 on` in nginx, `alpn h2` in HAProxy), or set \
             `request.protocol`"
        }
        Failure::CertificateName => {
            "give the name that the certificate is for as `sni`, or issue one for this name"
        }
        Failure::CertificateOther => "look at the chain with `openssl s_client -showcerts`",
        Failure::CertificateTime => "renew the certificate, or set this machine's clock",
        Failure::CertificateUnknownCa => {
            "name the PEM file of its root in `tls.ca_bundle`, and let the server send its \
             intermediates"
        }
        Failure::ConnectOther | Failure::ConnectRefused => {
            "see that the server runs, and that address and port are its own"
        }
        Failure::Length => "ask for another path, or correct `request.expect_bytes`",
        Failure::Resolve => "correct the host, or give an address as `connect_to`",
        Failure::Status => {
            "ask for another path, look into the server's log, or correct `request.expect_status`"
        }
        Failure::StreamRefused => {
            "let the server take more requests per connection (`keepalive_requests` in nginx), or \
             set fewer as `load.requests_per_connection`"
        }
        Failure::FamilyOff => {
            "the kernel has this address family switched off (`ipv6.disable=1`): name an address of the \
             other as `connect_to`"
        }
        Failure::OpenFiles => {
            "raise the hard limit of open files (`ulimit -Hn`, LimitNOFILE= for a service), or use \
             fewer connections (`load.connections`, `load.pool`)"
        }
        Failure::SourceNotLocal => {
            "give `sources` that are addresses of this machine (`ip address`) and of the family of the \
             target's"
        }
        Failure::Unroutable => {
            "see that a route leads there (`ip route get ADDRESS`) and that the family is not switched \
             off (`net.ipv6.conf.all.disable_ipv6`), or name another address as `connect_to`"
        }
        Failure::TlsOther => "see that the port speaks TLS, with `openssl s_client`",
        Failure::ResetInHandshake
        | Failure::ResponseMalformed
        | Failure::ResponseTruncated
        | Failure::StreamReset
        | Failure::Timeout
        | Failure::Unconfirmed => CURE_OF_ERRORS,
    }
}

/// Neither success nor failure: every operation outlasted the run, or no round was measured.
fn nothing(target: &TargetRecord) -> Option<Warning> {
    let ended = target.sum(|round| round.succeeded.saturating_add(round.failures()));
    let (cause, cure) = if target.rounds.is_empty() {
        ("the run ended before a round of this target was over", "let it run to its end")
    } else {
        (
            "the server accepts connections and does not answer, or takes longer than the run",
            "see that it serves a single request, and raise `timing.round`",
        )
    };
    (ended == 0).then(|| Warning {
        seen: format!("no operation came to an end in {} rounds", target.rounds.len()),
        cause: cause.to_owned(),
        cure: cure.to_owned(),
    })
}

/// Share of scheduled operations that ended.
fn achieved(target: &TargetRecord) -> Option<Warning> {
    let scheduled = target.sum(|round| round.scheduled);
    let ended = target.sum(|round| round.succeeded.saturating_add(round.failures()));
    let missed = target.sum(|round| round.missed);
    // In whole numbers, so that 99 % exactly is enough.
    let is_short =
        u128::from(ended) * 100 < u128::from(scheduled) * u128::from(ACHIEVED_MIN_PERCENT);
    is_short.then(|| Warning {
        seen: format!("{ended} of {scheduled} scheduled operations ended, {missed} were missed"),
        cause: "the rate is above what the target or the generator can do".into(),
        cure: "lower `load.rate`, or raise `load.pool` if the target has time to spare".into(),
    })
}

/// The busiest thread of each generator, over its rounds. Of closed loops it spoils nothing, but
/// says whose limit their rate is.
#[must_use]
pub fn generator_busy(target: &TargetRecord) -> Option<Warning> {
    let mut by_generator: BTreeMap<u32, (Nanos, Nanos)> = BTreeMap::new();
    for round in &target.rounds {
        // Per generator: an idle machine must not hide a busy one.
        let (used, wall) = by_generator.entry(round.generator).or_default();
        (*used, *wall) = (*used + round.busiest_thread_ns, *wall + round.wall_ns);
    }
    let busy = by_generator.into_values().filter_map(|(used, wall)| Share::of(used.0, wall.0));
    let busiest = busy.max_by(|a, b| a.as_f64().total_cmp(&b.as_f64()))?;
    (busiest.as_f64() > GENERATOR_BUSY_MAX).then(|| Warning {
        seen: format!("a thread of the generator was {busiest} busy"),
        cause: "it has no time to spare, so operations wait for it".into(),
        cure: "raise `threads`, lower `load.rate`, or use several machines".into(),
    })
}

fn send_lag(target: &TargetRecord, wait_max: Nanos) -> Option<Warning> {
    let at = |phase, quantile| match target.quantile(phase, quantile, wait_max)? {
        Quantile::Is(time) | Quantile::AtLeast(time) => Some(time),
    };
    // Lag adds to each latency, so it matters in proportion to the median.
    let lag = at(Phase::SendLag, 0.99)?;
    let median = at(Phase::Corrected, 0.5).unwrap_or_default();
    let max = LAG_MAX.max(Nanos(median.0 / LAG_PART_OF_MEDIAN));
    (lag > max).then(|| Warning {
        seen: format!("1 % of operations began {lag} late or later, with {max} allowed"),
        cause: "the generator shares its core, or its pool of connections is too small".into(),
        cure: "set `pin`, raise `load.pool` or `threads`, or lower `load.rate`".into(),
    })
}

fn resumption(target: &TargetRecord, scenario: &Scenario) -> Option<Warning> {
    let resumed = target.sum(|round| round.shape.resumed);
    let all = resumed.saturating_add(target.sum(|round| round.shape.full));
    let (share, (low, high)) = (Share::of(resumed, all)?, binomial_bounds(resumed, all)?);
    let asked = scenario.tls.resume.as_f64();
    let without_ticket = target.sum(|round| round.shape.wanted_ticket);
    // A hair more than the limit: 2 points are no exact binary fraction. Where the first
    // handshakes, which cannot resume, weigh too much for that, all shares that may lie behind the
    // one that was seen have to be off.
    let (least, most) = (asked - RESUMPTION_OFF - 1e-9, asked + RESUMPTION_OFF + 1e-9);
    let is_off = match all >= RESUMPTION_FROM {
        true => share.as_f64() < least || share.as_f64() > most,
        false => high < least || low > most,
    };
    is_off.then(|| Warning {
        seen: format!("{share} of handshakes resumed, with {:.1} % asked for", asked * 100.0),
        cause: format!(
            "the server issues no or too few tickets, or does not take them back \
             ({without_ticket} handshakes had none)"
        ),
        cure: "switch session tickets on and share their key between replicas, or ask for less \
               in `tls.resume`"
            .into(),
    })
}

/// Connections that negotiated something else than was asked for.
fn shape(target: &TargetRecord, scenario: &Scenario, asked: &Target) -> Option<Warning> {
    let mut others: BTreeMap<&str, u64> = BTreeMap::new();
    for (text, count) in target.rounds.iter().flat_map(|round| &round.shape.negotiated) {
        if !is_as_asked(text, scenario) {
            let sum = others.entry(text).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    let resumed = target.sum(|round| round.shape.resumed);
    let early = target.sum(|round| round.shape.early_data);
    if let Some((text, count)) = others.into_iter().max_by_key(|(_, count)| *count) {
        return Some(Warning {
            seen: format!("{count} connections negotiated `{text}`, which was not asked for"),
            cause: format!("`{}` prefers or lacks something of [tls]", asked.host),
            cure: "ask for what it speaks, or configure it".into(),
        });
    }
    // In whole numbers: fewer than 98 %.
    let is_refused = u128::from(early) * 100 < u128::from(resumed) * EARLY_DATA_MIN_PERCENT;
    (scenario.tls.early_data && is_refused).then(|| Warning {
        seen: format!("early data was accepted in {early} of {resumed} resumed handshakes"),
        cause: "the server does not accept early data, or refuses what may be a replay".into(),
        cure: "switch early data on there, or `tls.early_data` off".into(),
    })
}

/// Reads what the engine wrote: `TLS 1.3 aes-128-gcm x25519 ED25519 h2`, `-` for none.
fn is_as_asked(text: &str, scenario: &Scenario) -> bool {
    let words: Vec<&str> = text.split(' ').collect();
    // `TLS`, version, suite, group, signature and protocol, as the engine writes them.
    let [_, version, suite, group, _, protocol] = words.as_slice() else { return false };
    let tls = &scenario.tls;
    // The groups that the engine offers if none is named.
    let default_groups = [Group::X25519, Group::P256, Group::P384];
    let groups = if tls.groups.is_empty() { &default_groups[..] } else { &tls.groups };
    let is_http2 = scenario
        .request
        .as_ref()
        .is_some_and(|request| matches!(request.protocol, Protocol::Http2 { .. }));
    tls.version.as_slice().iter().any(|offered| offered.as_str() == *version)
        && (tls.suites.is_empty() || tls.suites.iter().any(|asked| asked.as_str() == *suite))
        && (*group == "-" || groups.iter().any(|asked| asked.as_str() == *group))
        && (*protocol == "h2") == (is_http2 || (*protocol == "h2" && scenario.request.is_none()))
}

/// Judges the rate of closed loops, and the median of open ones, where the rate is given.
fn steady(target: &TargetRecord, load: &Load, together: usize) -> Option<Warning> {
    let mut rounds: BTreeMap<u32, f64> = BTreeMap::new();
    for round in &target.rounds {
        let value = match load {
            Load::Closed { .. } => round.operations_per_second,
            Load::Open { .. } => {
                round.quantiles.get(Phase::Corrected.as_str()).map(|q| q.p50_ns.0 as f64)?
            }
        };
        *rounds.entry(round.round).or_default() += value;
    }
    let values: Vec<f64> = rounds.into_values().collect();
    let what = match load {
        Load::Closed { .. } => "rate",
        Load::Open { .. } => "median time",
    };
    Some(Warning {
        seen: drift(what, &values, together)?,
        cause: "something warms up, fills up or throttles".into(),
        cure: "raise `timing.warm_up`, and look for throttling with `tlsbench doctor`".into(),
    })
}

/// Drift of a series of rounds from its first half to its second, if it is not steady; one of
/// several that are judged `together`.
pub(crate) fn drift(what: &str, values: &[f64], together: usize) -> Option<String> {
    let Estimate { value, low, high, .. } = steadiness(values, together)?;
    let is_drifting = low > 1.0 + STEADY_WITHIN || high < 1.0 - STEADY_WITHIN;
    is_drifting.then(|| {
        format!(
            "the {what} of the second half of rounds is {value:.2} times that of the first \
             ({low:.2} to {high:.2})"
        )
    })
}

const ALL: &[Family] = &[Family::Capacity, Family::Cpu, Family::Latency, Family::Money];
const OPEN: &[Family] = &[Family::Capacity, Family::Latency, Family::Money];
const LATENCY: &[Family] = &[Family::Latency];

const CURE_OF_ERRORS: &str =
    "look into the server's log, or lower the load until it serves everything";
/// Number of failures that says nothing, whatever their share.
const ERRORS_FEW: u64 = 3;
const LAG_MAX: Nanos = Nanos::from_millis(1);
/// A twentieth is 5 %.
const LAG_PART_OF_MEDIAN: u64 = 20;
/// Number of handshakes from which on the observed share itself is judged.
const RESUMPTION_FROM: u64 = 1_000;
const RESUMPTION_OFF: f64 = 0.02;
const EARLY_DATA_MIN_PERCENT: u128 = 98;
const STEADY_WITHIN: f64 = 0.05;

#[cfg(test)]
mod tests;
