//! Properties that a placement gives up or keeps, whatever it costs. They follow from its hops.

use serde::Serialize;

use super::profile::{Requirements, ends_client_tls};
use crate::hop::{HopKind, LinkSecurity};
use crate::placement::{Placement, Role};

/// Properties that a placement gives up or keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tradeoffs {
    /// The hop that ends the client's TLS; `None` if the client speaks none.
    pub tls_ends_at: Option<Role>,
    /// Hops that hold a private key of a server's certificate.
    pub keys_at: Vec<Role>,
    /// Links that carry plaintext, by the role that each leads to.
    pub plaintext_to: Vec<Role>,
    /// Hops before the backend that see paths, and can route by them.
    pub paths_seen_by: Vec<Role>,
    /// True if the backend learns of X-Forwarded-For and -Proto.
    pub forwarded_headers: bool,
    /// True if what serves the client can see its certificate's proof: TLS with certificates of
    /// both sides from the client on, or TLS that nothing ends before the backend.
    pub client_identity: bool,
}

impl Tradeoffs {
    /// Derives the properties of a placement from its hops.
    #[must_use]
    pub fn of(placement: &Placement) -> Self {
        let links = placement.links();
        let roles = |is: &dyn Fn(usize) -> bool| -> Vec<Role> {
            let all = placement.hops.iter().enumerate();
            all.filter(|(index, _)| is(*index)).map(|(_, hop)| hop.role).collect()
        };
        let is_http =
            |index: usize| placement.hops.get(index).is_some_and(|hop| hop.kind == HopKind::Http);
        let paths_seen_by = roles(&is_http);
        let ends = ends_client_tls(placement);
        Self {
            tls_ends_at: ends,
            keys_at: roles(&|index| {
                placement.hops.get(index).is_some_and(|hop| hop.listen != LinkSecurity::Plain)
            }),
            plaintext_to: roles(&|index| links.get(index) == Some(&LinkSecurity::Plain)),
            forwarded_headers: !paths_seen_by.is_empty(),
            paths_seen_by,
            client_identity: links.first() == Some(&LinkSecurity::Mtls)
                || (ends.is_some() && ends == placement.hops.last().map(|hop| hop.role)),
        }
    }

    /// Requirements that are not met; empty if all are.
    #[must_use]
    pub fn ruled_out(&self, requires: &Requirements) -> Vec<String> {
        let mut reasons = Vec::new();
        if requires.no_plaintext && !self.plaintext_to.is_empty() {
            let links: Vec<String> = self.plaintext_to.iter().map(link_to).collect();
            reasons.push(format!("plaintext flows {} (`no_plaintext`)", links.join(", ")));
        }
        if requires.client_identity && !self.client_identity {
            reasons.push(match self.tls_ends_at {
                Some(role) => format!(
                    "the `{role}` ends the client's TLS without asking for a certificate \
                     (`client_identity`)"
                ),
                None => "the client speaks no TLS (`client_identity`)".to_owned(),
            });
        }
        if requires.path_routing && !self.paths_seen_by.contains(&Role::Ingress) {
            reasons.push("the `ingress` sees no paths (`path_routing`)".to_owned());
        }
        if requires.forwarded_headers && !self.forwarded_headers {
            reasons.push("nothing can set X-Forwarded-For (`forwarded_headers`)".to_owned());
        }
        reasons
    }

    /// The same in words.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let named = |roles: &[Role]| match roles {
            [] => "nobody".to_owned(),
            some => some.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(", "),
        };
        let mut words = vec![
            format!("private keys: {}", named(&self.keys_at)),
            match self.plaintext_to.as_slice() {
                [] => "no plaintext".to_owned(),
                some => {
                    let links: Vec<String> = some.iter().map(link_to).collect();
                    format!("plaintext {}", links.join(", "))
                }
            },
            format!("paths seen by: {}", named(&self.paths_seen_by)),
        ];
        words.push(match self.forwarded_headers {
            true => "X-Forwarded-* set".to_owned(),
            false => "no X-Forwarded-*: the client's address by PROXY protocol only".to_owned(),
        });
        words.push(match self.client_identity {
            true => "the client's certificate can be verified".to_owned(),
            false => "the client's certificate is lost".to_owned(),
        });
        words
    }
}

fn link_to(role: &Role) -> String {
    format!("to the `{role}`")
}
