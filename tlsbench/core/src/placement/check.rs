//! Problems that keep a placement from being measured.

use super::{LinkSecurity, Placement, PlacementHop, Role};
use crate::hop::{DELAY_MAX, HopKind, REPLICAS_MAX};
use crate::problem::{Problem, Problems};
use crate::units::Nanos;

impl Placement {
    /// Everything that keeps the placement from being measured.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        let key = |index: usize, field: &str| format!("hops[{index}].{field}");
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_name = (1..=NAME_MAX).contains(&self.name.len());
        if !is_name || !self.name.bytes().all(is_of_name) {
            let cure = "write a-z, 0-9 and `-`, at most 60 of them";
            problems.add("name", format!("`{}` is no name", self.name), cure);
        }
        if self.hops.len() > HOPS_MAX {
            let seen = format!("{} hops, and there are {HOPS_MAX} roles", self.hops.len());
            problems.add("hops", seen, "give each hop a role of its own");
            // More hops than roles: every further check would repeat that.
            return problems.0;
        }
        let last = self.hops.len().saturating_sub(1);
        if self.hops.last().is_none_or(|hop| hop.kind != HopKind::Backend) {
            problems.add("hops", "no backend is at their end", "let the last be a `backend`");
        }
        for (index, hop) in self.hops.iter().enumerate() {
            let before = self.hops.get(..index).unwrap_or_default();
            if before.iter().any(|other| other.role == hop.role) {
                let seen = format!("`{}` stands there twice, as in a loop", hop.role);
                problems.add(key(index, "role"), seen, "give each hop a role of its own");
            }
            if hop.kind == HopKind::Backend && index != last {
                problems.add(key(index, "kind"), "a backend goes on to nowhere", "put it last");
            }
            check_kind(hop, &|field| key(index, field), &mut problems);
        }
        self.check_links(&mut problems);
        problems.0
    }

    fn check_links(&self, problems: &mut Problems) {
        let links = self.links();
        for (index, (hop, next)) in self.hops.iter().zip(links.iter().skip(1)).enumerate() {
            // A relay passes on whatever it gets, so its link is that of the next hop.
            let is_through = hop.passes_on() && hop.dial == LinkSecurity::Plain;
            if !is_through && hop.dial != *next {
                let seen = format!("it dials {}, and the next hop gets {next}", hop.dial);
                problems.add(format!("hops[{index}].dial"), seen, "let both say the same");
            }
            // The server name stands in the ClientHello, and plaintext has none.
            if hop.kind == HopKind::SniRelay && *next == LinkSecurity::Plain {
                let seen = "plaintext has no server name";
                problems.add(format!("hops[{index}].kind"), seen, "make it a `relay`");
            }
            // The PROXY protocol names one client per connection, and pooled connections serve
            // many.
            if hop.proxy_protocol && hop.kind == HopKind::Http {
                let seen = "an `http` hop's connections serve many clients";
                problems.add(format!("hops[{index}].proxy_protocol"), seen, "leave it out");
            }
        }
    }
}

/// Refuses settings that only other kinds of hop have.
fn check_kind(hop: &PlacementHop, key: &dyn Fn(&str) -> String, problems: &mut Problems) {
    let is_relay = matches!(hop.kind, HopKind::Relay | HopKind::SniRelay);
    if hop.kind == HopKind::SniRelay
        && (hop.listen, hop.dial) != (LinkSecurity::Plain, LinkSecurity::Plain)
    {
        let seen = "an `sni-relay` takes no part in TLS";
        problems.add(key("listen"), seen, "leave out `listen` and `dial`");
    }
    if hop.kind == HopKind::Backend && (hop.dial != LinkSecurity::Plain || hop.proxy_protocol) {
        problems.add(
            key("dial"),
            "a backend has no next hop",
            "leave out `dial` and `proxy_protocol`",
        );
    }
    if !is_relay && hop.delay > Nanos(0) {
        let seen = format!("an `{}` hop delays nothing", hop.kind);
        problems.add(key("delay"), seen, "put a `relay` in between that does");
    }
    if hop.delay > DELAY_MAX {
        let seen = format!("{} is too long", hop.delay);
        problems.add(key("delay"), seen, format!("write at most {}", DELAY_MAX.exact()));
    }
    if hop.replicas.count.get() > REPLICAS_MAX {
        let seen = format!("{} are too many", hop.replicas.count);
        problems.add(key("replicas"), seen, format!("write at most {REPLICAS_MAX}"));
    }
}

/// Each hop has a role of its own.
const HOPS_MAX: usize = Role::ALL.len();
/// A name is part of folders and of the names of targets, which have at most 100 characters.
const NAME_MAX: usize = 60;
