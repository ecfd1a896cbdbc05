//! Turns a draft into a scenario: fills in defaults, and refuses settings of something that the
//! scenario does not have.

use std::num::{NonZeroU32, NonZeroU64};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::draft::{
    Draft, LoadDraft, LoopName, RequestDraft, SpreadName, TargetDraft, TimeoutDraft, TimingDraft,
    TlsDraft,
};
use super::url::{Url, without_root};
use super::{
    Arrivals, ClientCertificate, Close, Length, Load, Pin, Protocol, ProtocolName, Provider,
    Request, Scenario, Spread, Target, Timeout, Timing, Tls, Verify, Versions,
};
use crate::problem::{self, Problem, Problems};
use crate::units::{Nanos, Rate, Share};

impl Draft {
    /// The scenario, with defaults for what is not given; or all its problems.
    ///
    /// # Errors
    /// Each problem says what to do about it.
    pub fn finish(&self) -> Result<Scenario, Vec<Problem>> {
        let mut problems = Problems::default();
        let handshakes_only = self.handshakes_only.unwrap_or(false);
        let targets = targets(self.target.as_deref().unwrap_or_default(), &mut problems);
        // One endpoint of somebody else's is enough for cautious defaults.
        let is_lab = targets.iter().all(Target::is_lab);
        let load = load(&self.load, handshakes_only, is_lab, &mut problems);
        let request = request(&self.request, handshakes_only, &mut problems);
        // In a lab a failing server is a finding; elsewhere it may be our doing.
        let default_abort = if is_lab { Share::ONE } else { ABORT_ERRORS_ELSEWHERE };
        let scenario = Scenario {
            close: self.close.unwrap_or_else(|| default_close(&load, request.as_ref())),
            targets,
            tls: tls(&self.tls, &mut problems),
            request,
            load,
            timing: timing(&self.timing, &mut problems),
            timeout: timeout(&self.timeout),
            shards: count("threads", self.threads, ONE, &mut problems),
            pin: self.pin.unwrap_or(Pin::Auto),
            sources: self.sources.clone().unwrap_or_default(),
            ip_version: self.ip_version,
            abort_errors_above: share(
                "abort_errors_above",
                self.abort_errors_above,
                default_abort,
                &mut problems,
            ),
            futility: None,
        };
        // A target that could not be read has been complained about.
        let mut all = problems.0;
        let has_complaints = !all.is_empty();
        let more = scenario.problems().into_iter();
        all.extend(more.filter(|more| more.key != "target" || !has_complaints));
        if all.is_empty() { Ok(scenario) } else { Err(problem::first(all)) }
    }
}

fn default_close(load: &Load, request: Option<&Request>) -> Close {
    let is_http2 =
        request.is_some_and(|request| matches!(request.protocol, Protocol::Http2 { .. }));
    if is_http2 || (request.is_some() && load.keeps_connections()) {
        Close::Fin
    } else {
        Close::Server
    }
}

fn targets(drafts: &[TargetDraft], problems: &mut Problems) -> Vec<Target> {
    let mut targets = Vec::new();
    for draft in drafts {
        match Url::parse(&draft.url) {
            Ok(Url { scheme, host, port, path }) => {
                let default_name = || match host.contains(':') {
                    true => format!("[{host}]:{port}"),
                    false => format!("{host}:{port}"),
                };
                targets.push(Target {
                    name: draft.name.clone().unwrap_or_else(default_name),
                    scheme,
                    host,
                    port,
                    path,
                    // RFC 6066: the name in SNI has no dot at its end.
                    sni: draft.sni.as_deref().map(|sni| without_root(sni).to_owned()),
                    connect_to: draft.connect_to.clone().unwrap_or_default(),
                });
            }
            Err((seen, cure)) => problems.add("target.url", seen, cure),
        }
    }
    targets
}

fn tls(draft: &TlsDraft, problems: &mut Problems) -> Tls {
    let client_certificate = match (&draft.client_certificate, &draft.client_key) {
        (Some(chain), Some(key)) => {
            Some(ClientCertificate { chain: chain.clone(), key: key.clone() })
        }
        (None, None) => None,
        (Some(_), None) => {
            let cure = "name the PEM file of its key in `client_key`";
            problems.add("tls.client_certificate", "a certificate without its key", cure);
            None
        }
        (None, Some(_)) => {
            let cure = "name the PEM file of its certificate in `client_certificate`";
            problems.add("tls.client_key", "a key without its certificate", cure);
            None
        }
    };
    Tls {
        version: draft.version.unwrap_or(Versions::Both),
        suites: draft.suites.clone().unwrap_or_default(),
        groups: draft.groups.clone().unwrap_or_default(),
        provider: draft.provider.unwrap_or(Provider::Ring),
        resume: share("tls.resume", draft.resume, Share::ZERO, problems),
        early_data: draft.early_data.unwrap_or(false),
        client_certificate,
        ca_bundle: draft.ca_bundle.clone(),
        verify: draft.verify.unwrap_or(Verify::Every),
    }
}

fn request(
    draft: &RequestDraft,
    handshakes_only: bool,
    problems: &mut Problems,
) -> Option<Request> {
    if handshakes_only {
        let said = *draft != RequestDraft::default();
        let cure = "drop the table, or `handshakes_only`";
        problems.when(said, "request", "a request in a run of handshakes only", cure);
        return None;
    }
    let protocol = match draft.protocol.unwrap_or(ProtocolName::Http1) {
        ProtocolName::Http1 => {
            let cure = "choose protocol `h2`, or drop the key";
            let seen = "streams, of which HTTP/1.1 has none";
            problems.when(draft.streams.is_some(), "request.streams", seen, cure);
            Protocol::Http1
        }
        ProtocolName::Http2 => {
            Protocol::Http2 { streams: count("request.streams", draft.streams, ONE, problems) }
        }
    };
    let body = match (&draft.body, &draft.body_base64) {
        (Some(_), Some(_)) => {
            problems.add("request.body", "two bodies", "keep one of `body` and `body_base64`");
            Vec::new()
        }
        (Some(text), None) => text.clone().into_bytes(),
        (None, Some(text)) => BASE64_STANDARD.decode(text).unwrap_or_else(|_| {
            let cure = "write it as `base64 -w0` prints it";
            problems.add("request.body_base64", "a text that is not base64", cure);
            Vec::new()
        }),
        (None, None) => Vec::new(),
    };
    Some(Request {
        protocol,
        method: draft.method.clone().unwrap_or_else(|| "GET".to_owned()),
        headers: draft.headers.clone().unwrap_or_default(),
        body,
        expect_status: draft.expect_status,
        expect_bytes: draft.expect_bytes,
    })
}

fn load(draft: &LoadDraft, handshakes_only: bool, is_lab: bool, problems: &mut Problems) -> Load {
    let default_kind = if draft.rate.is_some() || (!is_lab && draft.connections.is_none()) {
        LoopName::Open
    } else {
        LoopName::Closed
    };
    let kind = draft.kind.unwrap_or(default_kind);
    let keep = draft.keep.unwrap_or(false);
    if handshakes_only {
        let cure = "drop the key, or `handshakes_only`";
        let seen = "requests, in a run of handshakes only";
        let key = "load.requests_per_connection";
        problems.when(draft.requests_per_connection.is_some(), key, seen, cure);
        let seen = "connections that are kept, in a run of handshakes only";
        problems.when(keep, "load.keep", seen, cure);
    } else if keep {
        let key = "load.requests_per_connection";
        let seen = "a number of requests on connections that are kept";
        let cure = "drop it, or `keep`";
        problems.when(draft.requests_per_connection.is_some(), key, seen, cure);
    }
    let requests = nonzero(
        "load.requests_per_connection",
        draft.requests_per_connection,
        NonZeroU64::MIN,
        problems,
    );
    match kind {
        LoopName::Closed => {
            unused_by_closed(draft, problems);
            let default = if is_lab { CONNECTIONS } else { CONNECTIONS_ELSEWHERE };
            Load::Closed {
                connections: count("load.connections", draft.connections, default, problems),
                requests_per_connection: (!keep && !handshakes_only).then_some(requests),
            }
        }
        LoopName::Open => {
            let is_unused = draft.connections.is_some();
            let cure = "limit them with `pool`, or choose `loop = \"closed\"`";
            let seen = "a number of connections in an open loop";
            problems.when(is_unused, "load.connections", seen, cure);
            let keeps = keep && !handshakes_only;
            Load::Open {
                arrivals: match keeps {
                    true => Arrivals::Requests,
                    false => Arrivals::Connections { requests },
                },
                rate: rate(draft.rate, is_lab, problems),
                spread: spread(draft, problems),
                pool: count(
                    "load.pool",
                    draft.pool,
                    if keeps { POOL_KEPT } else { POOL },
                    problems,
                ),
                wait_max: draft.wait_max.unwrap_or(WAIT),
            }
        }
    }
}

fn unused_by_closed(draft: &LoadDraft, problems: &mut Problems) {
    for (key, said) in [
        ("load.rate", draft.rate.is_some()),
        ("load.spread", draft.spread.is_some()),
        ("load.seed", draft.seed.is_some()),
        ("load.pool", draft.pool.is_some()),
        ("load.wait_max", draft.wait_max.is_some()),
    ] {
        let cure = "drop it, or choose `loop = \"open\"` with a rate";
        problems.when(said, key, "a key of open loops in a closed one", cure);
    }
}

fn rate(said: Option<f64>, is_lab: bool, problems: &mut Problems) -> Rate {
    match said {
        Some(said) => Rate::per_second(said).unwrap_or_else(|| {
            let cure = "write a number above 0, in arrivals per second";
            problems.add("load.rate", format!("`{said}` is no rate"), cure);
            RATE_ELSEWHERE
        }),
        None => {
            let cure = "write how many arrive per second";
            problems.when(is_lab, "load.rate", "an open loop without a rate", cure);
            RATE_ELSEWHERE
        }
    }
}

fn spread(draft: &LoadDraft, problems: &mut Problems) -> Spread {
    match draft.spread.unwrap_or(SpreadName::Even) {
        SpreadName::Even => {
            let cure = "choose `spread = \"poisson\"`, or drop it";
            let seen = "a seed for arrivals that are not random";
            problems.when(draft.seed.is_some(), "load.seed", seen, cure);
            Spread::Even
        }
        SpreadName::Poisson => Spread::Poisson { seed: draft.seed.unwrap_or(SEED) },
    }
}

fn timing(draft: &TimingDraft, problems: &mut Problems) -> Timing {
    let round = match (draft.round, draft.round_count) {
        (Some(_), Some(_)) => {
            let cure = "keep one of `round` and `round_count`";
            problems.add("timing.round", "a length in time and one in operations", cure);
            Length::Time(ROUND)
        }
        (Some(time), None) => Length::Time(time),
        (None, Some(_)) => Length::Count(nonzero(
            "timing.round_count",
            draft.round_count,
            NonZeroU64::MIN,
            problems,
        )),
        (None, None) => Length::Time(ROUND),
    };
    Timing {
        round,
        rounds: count("timing.rounds", draft.rounds, ROUNDS, problems),
        warm_up: draft.warm_up.unwrap_or(WARM_UP),
        ramp: draft.ramp.unwrap_or_default(),
    }
}

impl TimeoutDraft {
    /// Every limit that holds, said or not: records from before there were limits say none.
    pub(crate) fn filled(&self) -> Self {
        Self::from(&timeout(self))
    }
}

fn timeout(draft: &TimeoutDraft) -> Timeout {
    let defaults = Timeout::DEFAULT;
    let operation = draft.operation.unwrap_or(defaults.operation);
    Timeout {
        operation,
        connect: draft.connect.unwrap_or_else(|| defaults.connect.min(operation)),
        handshake: draft.handshake.unwrap_or_else(|| defaults.handshake.min(operation)),
        // Who raises the limit of the whole waits for answers that take long.
        first_byte: draft.first_byte.or(draft.operation).unwrap_or(defaults.first_byte),
        run: draft.run,
    }
}

fn share(key: &str, said: Option<f64>, default: Share, problems: &mut Problems) -> Share {
    let Some(said) = said else { return default };
    Share::new(said).unwrap_or_else(|| {
        let cure = "write a number from 0 to 1";
        problems.add(key, format!("`{said}` is no part of a whole"), cure);
        default
    })
}

fn count(key: &str, said: Option<u32>, default: NonZeroU32, problems: &mut Problems) -> NonZeroU32 {
    let Some(said) = said else { return default };
    NonZeroU32::new(said).unwrap_or_else(|| {
        problems.add(key, "0, where at least one is needed", "write 1 or more, or drop it");
        default
    })
}

fn nonzero(
    key: &str,
    said: Option<u64>,
    default: NonZeroU64,
    problems: &mut Problems,
) -> NonZeroU64 {
    let Some(said) = said else { return default };
    NonZeroU64::new(said).unwrap_or_else(|| {
        problems.add(key, "0, where at least one is needed", "write 1 or more, or drop it");
        default
    })
}

const fn at_least_one(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

const ONE: NonZeroU32 = NonZeroU32::MIN;
const CONNECTIONS: NonZeroU32 = at_least_one(16);
const CONNECTIONS_ELSEWHERE: NonZeroU32 = at_least_one(10);
const POOL: NonZeroU32 = at_least_one(1_000);
const POOL_KEPT: NonZeroU32 = at_least_one(64);
const ROUNDS: NonZeroU32 = at_least_one(10);
const RATE_ELSEWHERE: Rate = Rate::whole(at_least_one(50));
const ABORT_ERRORS_ELSEWHERE: Share = Share::from_percent(10);
const SEED: u64 = 1;
const ROUND: Nanos = Nanos::from_millis(1_000);
const WARM_UP: Nanos = Nanos::from_millis(1_000);
const WAIT: Nanos = Nanos::from_millis(5_000);
