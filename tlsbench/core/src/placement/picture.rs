//! A placement as people draw it.

use super::{LinkSecurity, Placement};

/// `client ══ lb http ── ingress http ── backend`: double lines carry TLS, and a hop that a double
/// line ends at has the key. Whoever passes TLS on stands in brackets.
pub(super) fn line(placement: &Placement) -> String {
    let mut text = "client".to_owned();
    for (hop, link) in placement.hops.iter().zip(placement.links()) {
        text.push_str(match link {
            LinkSecurity::Plain => " ──────▶ ",
            LinkSecurity::Tls => " ══TLS═▶ ",
            LinkSecurity::Mtls => " ═mTLS═▶ ",
        });
        let name = format!("{} {}", hop.role, hop.kind);
        let name = if hop.role.as_str() == hop.kind.as_str() { hop.role.to_string() } else { name };
        let passes = hop.passes_on() && link != LinkSecurity::Plain;
        text.push_str(&if passes { format!("({name})") } else { name });
    }
    text
}
