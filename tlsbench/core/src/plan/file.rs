//! Scenarios as TOML: reading that names line, key and cure, and printing that reads back equal.

use std::borrow::Cow;
use std::num::NonZeroU64;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::DeTable;

use super::draft::{
    Draft, LoadDraft, LoopName, ProtocolName, RequestDraft, SpreadName, TargetDraft, TimeoutDraft,
    TimingDraft, TlsDraft,
};
use super::problem::Problem;
use super::{
    Arrivals, Length, Load, Protocol, Request, Scenario, Scheme, Spread, Target, Timeout, Timing,
};

impl Draft {
    /// Reads a scenario file. Unknown keys are refused.
    ///
    /// # Errors
    /// The first thing that is no scenario, with its line and key.
    pub fn from_toml(text: &str) -> Result<Self, Problem> {
        read_toml(text, "scenario")
    }
}

/// Reads a file of any form that refuses unknown keys; `name` is what the whole of it is called.
pub(crate) fn read_toml<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, Problem> {
    toml::from_str(text).map_err(|error| problem(text, name, &error))
}

impl Problem {
    /// The same with the line that says its key.
    pub(crate) fn at_line_of(self, text: &str) -> Self {
        let path: Vec<_> = self.key.split('.').map(step).collect();
        let line = self.line.or_else(|| line_of(text, &path));
        Self { line, ..self }
    }

    /// The same with its line in the scenario file, where that said the key and the flags, which win
    /// over it, did not.
    #[must_use]
    pub fn in_file(self, text: &str, flags: &Draft) -> Self {
        let line = self.line.or_else(|| line_of_key(text, &self.key, flags));
        Self { line, ..self }
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

    /// The same without what may be secret, as records keep it: values of headers and of parameters of a
    /// URL but a few, and the body, which becomes its length.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let mut scenario = self.clone();
        for target in &mut scenario.targets {
            target.path = super::secret::redact_path(&target.path);
        }
        if let Some(request) = &mut scenario.request {
            for (name, value) in &mut request.headers {
                if !super::secret::shows_header(name) {
                    super::secret::REDACTED.clone_into(value);
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

/// The line of a scenario file that says a key such as `tls.resume` or `placement[1].name`, unless the
/// flags, which win over it, say it too.
pub(super) fn line_of_key(text: &str, key: &str, flags: &impl Serialize) -> Option<usize> {
    let path: Vec<(&str, Option<usize>)> = key.split('.').map(step).collect();
    let names: Vec<&str> = path.iter().map(|(name, _)| *name).collect();
    line_of(text, &path).filter(|_| !says(flags, &names))
}

/// A part of a key: its name, and which of several it is.
fn step(part: &str) -> (&str, Option<usize>) {
    let several = part.strip_suffix(']').and_then(|part| part.split_once('['));
    match several.and_then(|(name, index)| Some((name, index.parse().ok()?))) {
        Some((name, index)) => (name, Some(index)),
        None => (part, None),
    }
}

/// The line that says a key; of one of several tables that does not say it, the line that this begins
/// with. Nothing where none does, or where it may be any of several tables.
fn line_of(text: &str, path: &[(&str, Option<usize>)]) -> Option<usize> {
    let (last, tables) = path.split_last()?;
    let root = DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut begin = None;
    for (name, index) in tables {
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
        let value = match (value.get_ref().as_array(), index) {
            (Some(several), Some(index)) => several.get(*index)?,
            (Some(several), None) if several.len() > 1 => return None,
            (Some(one), None) => one.first()?,
            (None, _) => value,
        };
        begin = index.and(Some(value.span().start)).or(begin);
        table = value.get_ref().as_table()?;
    }
    let said = table.iter().find(|(key, _)| key.get_ref() == last.0);
    line_at(text, said.map(|(key, _)| key.span().start).or(begin)?)
}

/// Whether a draft says a key, in any of several tables.
fn says(draft: &impl Serialize, path: &[&str]) -> bool {
    fn within(value: &toml::Value, path: &[&str]) -> bool {
        match (path, value) {
            ([], _) => true,
            (path, toml::Value::Array(several)) => several.iter().any(|one| within(one, path)),
            ([name, rest @ ..], table) => table.get(name).is_some_and(|value| within(value, rest)),
        }
    }
    toml::Value::try_from(draft).is_ok_and(|value| within(&value, path))
}

fn line_at(text: &str, start: usize) -> Option<usize> {
    Some(text.get(..start)?.matches('\n').count() + 1)
}

fn problem(text: &str, name: &str, error: &toml::de::Error) -> Problem {
    let line = error.span().and_then(|span| line_at(text, span.start));
    let source = line.and_then(|line| text.lines().nth(line - 1)).unwrap_or_default();
    let key = key_at(text, name, line, source);
    let message = &*without_value(error.message());
    // serde's words: "unknown field `ratee`, expected one of `rate`, `spread`".
    if let Some(rest) = message.strip_prefix("unknown field `")
        && let Some((field, known)) = rest.split_once('`')
    {
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let cure = match nearest(field, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys here are {}", known.join(", ")),
        };
        return Problem { line, key, seen: "no such key".to_owned(), cure };
    }
    let cure = match message {
        _ if message.contains("expected") => "write what is expected there",
        _ if message.contains("is none of") => "write one of these",
        _ if message.contains("missing field") => "add it",
        _ if message.contains("duplicate") => "keep one of them",
        _ => "see TOML's rules at <https://toml.io>, and docs of the key",
    };
    Problem { line, key, seen: message.replace('\n', ", "), cure: cure.to_owned() }
}

/// serde's words without a text that they quote, which may be a secret: "invalid type: string "hush",
/// expected a sequence".
fn without_value(message: &str) -> Cow<'_, str> {
    match (message.find("string \""), message.rfind("\", expected")) {
        (Some(begin), Some(end)) if begin < end => {
            let (before, after) = (message.get(..begin), message.get(end + 1..));
            Cow::Owned(format!("{}a text{}", before.unwrap_or(""), after.unwrap_or("")))
        }
        _ => Cow::Borrowed(message),
    }
}

/// The key of a line, with the table that it stands in.
fn key_at(text: &str, name: &str, line: Option<usize>, source: &str) -> String {
    let header = |line: &str| {
        let line = line.trim();
        let inner = line.strip_prefix('[')?.split(']').next()?;
        Some(inner.trim_start_matches('[').trim().to_owned())
    };
    let table = text.lines().take(line.unwrap_or_default()).filter_map(header).last();
    let key = source.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.is_empty());
    match (table, key) {
        (Some(table), Some(key)) => format!("{table}.{key}"),
        (Some(table), None) => table,
        (None, Some(key)) => key.to_owned(),
        (None, None) => name.to_owned(),
    }
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // Keys are short; the comparison takes the product of both lengths.
    if word.len() > KEY_MAX {
        return None;
    }
    let near = known.iter().map(|known| (distance(word, known), *known)).min();
    near.filter(|(distance, _)| *distance <= 2).map(|(_, known)| known)
}

/// Levenshtein's distance, by Wagner and Fischer's rows.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, l) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut last = index + 1;
        for (cell, r) in row.iter_mut().skip(1).zip(right.chars()) {
            let replaced = diagonal + usize::from(l != r);
            diagonal = *cell;
            last = replaced.min(last + 1).min(diagonal + 1);
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The longest key that is compared with known ones; the longest of those has 24 bytes.
const KEY_MAX: usize = 40;
