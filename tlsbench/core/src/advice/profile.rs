//! Traffic as somebody has it, and what they ask of a placement: a file that is read strictly.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cost::Traffic;
use crate::hop::{LinkSecurity, TicketKeys};
use crate::placement::{Placement, Role};
use crate::problem::{Problem, first};
use crate::toml_file::read_toml;
use crate::units::Nanos;

/// A profile. Keys of the file's top level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Traffic of the clients.
    pub traffic: TrafficProfile,
    /// Target utilisation of cores: above 0, at most 1. Default: 0.6.
    #[serde(default = "target_utilisation")]
    pub target_utilisation: f64,
    /// Servers of each role that share its connections. Default: 1.
    #[serde(default)]
    pub replicas: BTreeMap<Role, u32>,
    /// Scope of session ticket keys, by role: `shared` or `own`. Default: `shared`.
    #[serde(default)]
    pub ticket_keys: BTreeMap<Role, TicketKeys>,
    /// Times to and back over each link, by the role that it leads to, as `40ms`. Default: none.
    #[serde(default)]
    pub rtt: BTreeMap<Role, SpanText>,
    /// Requirements on a placement.
    #[serde(default)]
    pub requires: Requirements,
}

/// Traffic of the clients: the table `[traffic]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficProfile {
    /// Connections that clients make per second, on average over the month. Required.
    pub connections_per_second: f64,
    /// Requests on each. Default: 1.
    #[serde(default = "one")]
    pub requests_per_connection: f64,
    /// Share of handshakes in which a client comes back with a session ticket, 0 to 1. Default: 0.
    #[serde(default)]
    pub resumed: f64,
    /// Bytes of a response's body. Default: 0.
    #[serde(default)]
    pub response_bytes: f64,
    /// Time that a connection stays open. Default: `60s`.
    #[serde(default = "minute")]
    pub connection_time: SpanText,
    /// Requests over each upstream connection of an HTTP hop. Default: connections are kept.
    #[serde(default)]
    pub upstream_requests_per_connection: Option<f64>,
    /// Share of upstream handshakes that resume a session, 0 to 1. Default: 1.
    #[serde(default = "one")]
    pub upstream_resumed: f64,
}

/// Requirements on a placement: the table `[requires]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// No link carries plaintext.
    pub no_plaintext: bool,
    /// Clients prove by certificate who they are, and what serves them can see the proof.
    pub client_identity: bool,
    /// The ingress sees paths, and can route by them.
    pub path_routing: bool,
    /// The backend learns of X-Forwarded-For and -Proto.
    pub forwarded_headers: bool,
}

/// A span of time as text, such as `40ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanText(pub Nanos);

impl Serialize for SpanText {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.exact())
    }
}

impl<'de> Deserialize<'de> for SpanText {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl Profile {
    /// Reads a profile and checks it. Unknown keys are refused.
    ///
    /// # Errors
    /// What is wrong with it, by line and key.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Problem>> {
        let profile: Self = read_toml(text, "profile").map_err(|problem| vec![problem])?;
        let problems = profile.problems();
        if problems.is_empty() {
            return Ok(profile);
        }
        Err(first(problems).into_iter().map(|problem| problem.at_line_of(text)).collect())
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let traffic = &self.traffic;
        let mut check = |is_wrong: bool, key: &str, seen: f64, cure: &str| {
            if is_wrong {
                problems.push(Problem::new(key, format!("{seen} cannot be"), cure));
            }
        };
        // A comparison with NaN is false, so what must hold is asked, not what must not.
        let above = |value: f64| value > 0.0 && value <= MOST;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let rate = traffic.connections_per_second;
        let cure = "write a number above 0, at most 10^9";
        check(!above(rate), "traffic.connections_per_second", rate, cure);
        let requests = traffic.requests_per_connection;
        check(!above(requests), "traffic.requests_per_connection", requests, cure);
        let of_body = traffic.response_bytes;
        check(
            !(0.0..=MOST).contains(&of_body),
            "traffic.response_bytes",
            of_body,
            "write a number from 0 to 10^9",
        );
        for (key, value) in [
            ("traffic.resumed", traffic.resumed),
            ("traffic.upstream_resumed", traffic.upstream_resumed),
        ] {
            check(!share(value), key, value, "write a part of a whole, from 0 to 1");
        }
        let kappa = traffic.upstream_requests_per_connection.unwrap_or(1.0);
        let is_less = !(1.0..=MOST).contains(&kappa);
        let key = "traffic.upstream_requests_per_connection";
        check(is_less, key, kappa, "write 1 or more, or leave it out where connections are kept");
        let busy = self.target_utilisation;
        let is_off = !(share(busy) && busy > 0.0);
        check(is_off, "target_utilisation", busy, "write a part above 0, at most 1, such as 0.6");
        for (role, count) in &self.replicas {
            let key = format!("replicas.{role}");
            check(*count == 0, &key, 0.0, "write how many servers there are, 1 or more");
        }
        problems
    }

    /// The traffic of a second, at a placement: sessions go on where clients come back to the same
    /// keys.
    #[must_use]
    pub fn traffic(&self, placement: &Placement) -> Traffic {
        let of = &self.traffic;
        let connections = of.connections_per_second;
        let resumed = connections * self.effective_resumption(placement);
        let requests = connections * of.requests_per_connection;
        Traffic {
            connections,
            full: connections - resumed,
            resumed,
            requests,
            gbit: requests * of.response_bytes * 8.0 / 1e9,
            kappa: of.upstream_requests_per_connection.unwrap_or(f64::INFINITY),
            upstream_resumed: of.upstream_resumed,
        }
    }

    /// The share of client handshakes that resume: with n servers of own keys a client meets the
    /// one that gave its ticket in one of n connections, so that it is about ρ/n.
    #[must_use]
    pub fn effective_resumption(&self, placement: &Placement) -> f64 {
        let Some(ends) = ends_client_tls(placement) else { return 0.0 };
        let own = self.ticket_keys.get(&ends) == Some(&TicketKeys::Own);
        let servers = self.replicas.get(&ends).copied().unwrap_or(1);
        self.traffic.resumed / if own { f64::from(servers) } else { 1.0 }
    }
}

/// The hop that ends the client's TLS; `None` if the client speaks none.
#[must_use]
pub(super) fn ends_client_tls(placement: &Placement) -> Option<Role> {
    let is_tls = placement.links().first().is_some_and(|link| *link != LinkSecurity::Plain);
    let ends = placement.hops.iter().find(|hop| hop.listen != LinkSecurity::Plain);
    ends.filter(|_| is_tls).map(|hop| hop.role)
}

fn target_utilisation() -> f64 {
    0.6
}

fn one() -> f64 {
    1.0
}

fn minute() -> SpanText {
    SpanText(Nanos::from_millis(60_000))
}

/// A thousand times what the largest sites see in a second.
const MOST: f64 = 1e9;
