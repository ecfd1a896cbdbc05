//! Scenarios as TOML: reading that names line, key and cure, and printing that reads back equal.

use std::num::NonZeroU64;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::draft::{
    Draft, LoadDraft, LoopName, RequestDraft, SpreadName, TargetDraft, TimeoutDraft, TimingDraft,
    TlsDraft,
};
use super::secret::{REDACTED, redact_path, shows_header};
use super::{
    Arrivals, Length, Load, Protocol, ProtocolName, Request, Scenario, Scheme, Spread, Target,
    Timeout, Timing,
};
use crate::problem::Problem;
use crate::toml_file::read_toml;

impl Draft {
    /// Reads a scenario file. Unknown keys are refused.
    ///
    /// # Errors
    /// The first thing that is no scenario, with its line and key.
    pub fn from_toml(text: &str) -> Result<Self, Problem> {
        read_toml(text, "scenario")
    }
}

impl Scenario {
    /// The scenario with every key said; `Draft::from_toml` and `Draft::finish` give it back.
    ///
    /// # Errors
    /// Only for what `problems` would refuse, such as file names that are not UTF-8.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&Draft::from(self))
    }

    /// The scenario as records keep it: redacted, and without `[timeout]` where every limit is the
    /// default, so that records from before there were limits read the same.
    ///
    /// # Errors
    /// As [`Scenario::to_toml`].
    pub fn to_record(&self) -> Result<String, toml::ser::Error> {
        let mut draft = Draft::from(&self.redacted());
        if self.timeout == Timeout::DEFAULT {
            draft.timeout = TimeoutDraft::default();
        }
        toml::to_string(&draft)
    }

    /// The same without what may be secret, as records keep it: values of headers and of parameters
    /// of a URL but a few, and the body, which becomes its length.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let mut scenario = self.clone();
        for target in &mut scenario.targets {
            target.path = redact_path(&target.path);
        }
        if let Some(request) = &mut scenario.request {
            for (name, value) in &mut request.headers {
                if !shows_header(name) {
                    REDACTED.clone_into(value);
                }
            }
            if !request.body.is_empty() {
                request.body = format!("{} bytes", request.body.len()).into_bytes();
            }
        }
        scenario
    }
}

impl From<&Scenario> for Draft {
    fn from(scenario: &Scenario) -> Self {
        let tls = &scenario.tls;
        let certificate = tls.client_certificate.as_ref();
        Self {
            handshakes_only: Some(scenario.request.is_none()),
            close: Some(scenario.close),
            threads: Some(scenario.shards.get()),
            pin: Some(scenario.pin),
            sources: Some(scenario.sources.clone()),
            ip_version: scenario.ip_version,
            abort_errors_above: Some(scenario.abort_errors_above.as_f64()),
            target: Some(scenario.targets.iter().map(TargetDraft::from).collect()),
            tls: TlsDraft {
                version: Some(tls.version),
                suites: Some(tls.suites.clone()),
                groups: Some(tls.groups.clone()),
                provider: Some(tls.provider),
                resume: Some(tls.resume.as_f64()),
                early_data: Some(tls.early_data),
                client_certificate: certificate.map(|files| files.chain.clone()),
                client_key: certificate.map(|files| files.key.clone()),
                ca_bundle: tls.ca_bundle.clone(),
                verify: Some(tls.verify),
            },
            request: scenario.request.as_ref().map(RequestDraft::from).unwrap_or_default(),
            load: load(&scenario.load, scenario.request.is_none()),
            timing: TimingDraft::from(&scenario.timing),
            timeout: TimeoutDraft::from(&scenario.timeout),
        }
    }
}

impl From<&Target> for TargetDraft {
    fn from(target: &Target) -> Self {
        let scheme = match target.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let host = match target.host.contains(':') {
            true => format!("[{}]", target.host),
            false => target.host.clone(),
        };
        Self {
            name: Some(target.name.clone()),
            url: format!("{scheme}://{host}:{}{}", target.port, target.path),
            sni: target.sni.clone(),
            connect_to: Some(target.connect_to.clone()),
        }
    }
}

impl From<&Request> for RequestDraft {
    fn from(request: &Request) -> Self {
        let (protocol, streams) = match request.protocol {
            Protocol::Http1 => (ProtocolName::Http1, None),
            Protocol::Http2 { streams } => (ProtocolName::Http2, Some(streams.get())),
        };
        let (body, body_base64) = match str::from_utf8(&request.body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(BASE64_STANDARD.encode(&request.body))),
        };
        Self {
            protocol: Some(protocol),
            streams,
            method: Some(request.method.clone()),
            headers: Some(request.headers.clone()),
            body,
            body_base64,
            expect_status: request.expect_status,
            expect_bytes: request.expect_bytes,
        }
    }
}

fn load(load: &Load, handshakes_only: bool) -> LoadDraft {
    match load {
        Load::Closed { connections, requests_per_connection } => LoadDraft {
            kind: Some(LoopName::Closed),
            keep: Some(requests_per_connection.is_none() && !handshakes_only),
            requests_per_connection: requests_per_connection.map(NonZeroU64::get),
            connections: Some(connections.get()),
            ..LoadDraft::default()
        },
        Load::Open { arrivals, rate, spread, pool, wait_max } => {
            let requests = match arrivals {
                Arrivals::Connections { requests } => Some(requests.get()),
                Arrivals::Requests => None,
            };
            let (spread, seed) = match spread {
                Spread::Even => (SpreadName::Even, None),
                Spread::Poisson { seed } => (SpreadName::Poisson, Some(*seed)),
            };
            LoadDraft {
                kind: Some(LoopName::Open),
                keep: Some(requests.is_none()),
                requests_per_connection: requests.filter(|_| !handshakes_only),
                connections: None,
                rate: Some(rate.as_f64()),
                spread: Some(spread),
                seed,
                pool: Some(pool.get()),
                wait_max: Some(*wait_max),
            }
        }
    }
}

impl From<&Timing> for TimingDraft {
    fn from(timing: &Timing) -> Self {
        let (round, round_count) = match timing.round {
            Length::Count(count) => (None, Some(count.get())),
            Length::Time(time) => (Some(time), None),
        };
        Self {
            round,
            round_count,
            rounds: Some(timing.rounds.get()),
            warm_up: Some(timing.warm_up),
            ramp: Some(timing.ramp),
        }
    }
}

impl From<&Timeout> for TimeoutDraft {
    fn from(timeout: &Timeout) -> Self {
        Self {
            operation: Some(timeout.operation),
            connect: Some(timeout.connect),
            handshake: Some(timeout.handshake),
            first_byte: Some(timeout.first_byte),
            run: timeout.run,
        }
    }
}
