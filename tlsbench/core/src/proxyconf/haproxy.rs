//! HAProxy, from version 2.4: `mode http` for what speaks HTTP, `mode tcp` for relays.

use std::fmt::Write as _;

use super::{
    BODY, CLIENT_CA, CLIENT_PEM, Configuration, HAPROXY_CFG, SERVER_PEM, STATS_SOCKET, UPSTREAM_CA,
    UnsupportedFeature, add_files, body, check, verifies,
};
use crate::hop::{Cryptography, Dial, DialTls, Forwarded, Hop, HopKind, Listen, ListenTls};
use crate::scenario::Version;

/// A HAProxy that is this hop. It counts handshakes by itself: `show stat` on [`STATS_SOCKET`].
///
/// # Errors
/// When HAProxy cannot do what the hop does.
pub fn haproxy(hop: &Hop) -> Result<Configuration, UnsupportedFeature> {
    check(ENGINE, hop)?;
    if hop.response_bytes > RESPONSE_MAX {
        return Err(unsupported(
            &format!("responses of {} bytes", hop.response_bytes),
            "let nginx or a built-in hop be the backend, or ask for at most 15,000",
        ));
    }
    let mut configuration = Configuration::default();
    add_files(&mut configuration, hop);
    let mut text = String::new();
    global(hop, &mut text);
    frontend(hop, &mut text);
    if let Some(dial) = &hop.dial {
        backends(hop, dial, &mut text)?;
    } else {
        configuration.files.insert(BODY, body(hop.response_bytes));
    }
    configuration.files.insert(HAPROXY_CFG, text);
    Ok(configuration)
}

fn global(hop: &Hop, text: &mut String) {
    line(text, "global");
    line(text, &format!("    nbthread {}", hop.workers));
    // Two listeners at one address would share its connections without a word.
    line(text, "    noreuseport");
    line(text, &format!("    stats socket unix@{STATS_SOCKET} mode 600 level operator"));
    // Like nginx and our own: tickets, and no cache beside them.
    line(text, "    tune.ssl.cachesize 0");
    line(text, "");
    line(text, "defaults");
    line(text, &format!("    mode {}", if hop.speaks_http() { "http" } else { "tcp" }));
    for timeout in ["connect 5s", "client 1h", "server 1h", "http-keep-alive 1h"] {
        line(text, &format!("    timeout {timeout}"));
    }
    if let Some(dial) = hop.dial.as_ref().filter(|_| hop.kind == HopKind::Http) {
        // The default, `safe`, opens a connection for the first request of each client.
        line(text, if dial.pool > 0 { "    http-reuse always" } else { "    http-reuse never" });
        if dial.pool == 0 {
            line(text, "    option http-server-close");
        }
    }
    line(text, "");
}

fn frontend(hop: &Hop, text: &mut String) {
    line(text, "frontend hop");
    line(text, &format!("    bind {}", bind(&hop.listen)));
    match (hop.kind, &hop.dial) {
        (HopKind::SniRelay, _) => {
            // The ClientHello may come in several segments; HAProxy waits for it this long.
            line(text, "    tcp-request inspect-delay 5s");
            line(text, "    tcp-request content accept if { req.ssl_hello_type 1 }");
            for (index, route) in hop.routes.iter().enumerate() {
                let name = &route.name;
                line(text, &format!("    use_backend route{index} if {{ req.ssl_sni -i {name} }}"));
            }
        }
        (HopKind::Http, _) => forwarded(hop.forwarded, text),
        (HopKind::Backend, _) => {
            let file = format!("content-type text/plain file {BODY}");
            line(text, &format!("    http-request return status 200 {file}"));
        }
        (HopKind::Relay, _) => {}
    }
    if hop.dial.is_some() {
        line(text, "    default_backend next");
    }
    line(text, "");
}

fn bind(listen: &Listen) -> String {
    let mut bind = listen.address.to_string();
    if listen.proxy_protocol {
        bind.push_str(" accept-proxy");
    }
    let Some(tls) = &listen.tls else { return bind };
    let ListenTls { suite, client_ca, tickets, alpn, .. } = tls;
    // Writing to text cannot fail.
    let _ = write!(bind, " ssl crt {SERVER_PEM}{}", cryptography(suite));
    if let Some(curves) = suite.curves() {
        let _ = write!(bind, " curves {curves}");
    }
    if client_ca.is_some() {
        let _ = write!(bind, " ca-file {CLIENT_CA} verify required");
    }
    if *tickets == 0 {
        bind.push_str(" no-tls-tickets");
    }
    if !alpn.is_empty() {
        let names: Vec<&str> = alpn.iter().map(|name| wire_name(name.as_str())).collect();
        let _ = write!(bind, " alpn {}", names.join(","));
    }
    bind
}

/// The name of a protocol in ALPN: that of HTTP/1.1 is spelled otherwise there.
fn wire_name(name: &str) -> &str {
    if name == "h2" { "h2" } else { "http/1.1" }
}

fn cryptography(suite: &Cryptography) -> String {
    let mut text = String::new();
    let (old, new) = (suite.speaks(Version::Tls12), suite.speaks(Version::Tls13));
    let least = if old { "TLSv1.2" } else { "TLSv1.3" };
    let most = if new { "TLSv1.3" } else { "TLSv1.2" };
    let _ = write!(text, " ssl-min-ver {least} ssl-max-ver {most}");
    if let Some(suites) = suite.suites_of_12().filter(|_| old) {
        let _ = write!(text, " ciphers {suites}");
    }
    if let Some(suites) = suite.suites_of_13().filter(|_| new) {
        let _ = write!(text, " ciphersuites {suites}");
    }
    text
}

fn forwarded(forwarded: Forwarded, text: &mut String) {
    let lines: &[&str] = match forwarded {
        Forwarded::Keep => &[],
        Forwarded::Set => &[
            "set-header X-Forwarded-For %[src]",
            "set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]",
            "set-header X-Forwarded-Port %[dst_port]",
        ],
        Forwarded::Append => &[
            // `option forwardfor` would add a second header instead of appending.
            "set-var(txn.for) req.fhdr(x-forwarded-for)",
            "set-header X-Forwarded-For \"%[var(txn.for)], %[src]\" if { var(txn.for) -m found }",
            "set-header X-Forwarded-For %[src] if !{ var(txn.for) -m found }",
            "set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)] if !{ req.hdr(x-forwarded-proto) -m found }",
            "set-header X-Forwarded-Port %[dst_port] if !{ req.hdr(x-forwarded-port) -m found }",
        ],
    };
    for rule in lines {
        line(text, &format!("    http-request {rule}"));
    }
}

fn backends(hop: &Hop, dial: &Dial, text: &mut String) -> Result<(), UnsupportedFeature> {
    let mut options = String::new();
    if dial.proxy_protocol {
        options.push_str(" send-proxy-v2");
    }
    if dial.pool > 0 {
        let _ = write!(options, " pool-max-conn {} pool-purge-delay 1h", dial.pool);
    }
    if let Some(tls) = &dial.tls {
        options.push_str(&server_tls(tls)?);
    }
    let all = hop.routes.iter().enumerate();
    let routes = all.map(|(index, route)| (format!("route{index}"), route.address));
    for (name, address) in routes.chain([("next".to_owned(), dial.address)]) {
        line(text, &format!("backend {name}"));
        line(text, &format!("    server next {address}{options}"));
        line(text, "");
    }
    Ok(())
}

fn server_tls(tls: &DialTls) -> Result<String, UnsupportedFeature> {
    // HAProxy 2.x has `curves` for `bind` only.
    if tls.suite.curves().is_some() {
        return Err(unsupported(
            "`dial.tls.groups`",
            "leave the choice to the next hop's `groups`",
        ));
    }
    let mut text = format!(" ssl sni str({}){}", tls.name, cryptography(&tls.suite));
    let verify = match verifies(ENGINE, tls)? {
        true => format!(" verify required ca-file {UPSTREAM_CA} verifyhost {}", tls.name),
        false => " verify none".to_owned(),
    };
    text.push_str(&verify);
    if tls.identity.is_some() {
        let _ = write!(text, " crt {CLIENT_PEM}");
    }
    if !tls.resume {
        text.push_str(" no-ssl-reuse");
    }
    Ok(text)
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn unsupported(what: &str, cure: &'static str) -> UnsupportedFeature {
    UnsupportedFeature { engine: ENGINE, what: what.to_owned(), cure }
}

const ENGINE: &str = "HAProxy";
/// The longest response, in bytes: it has to fit into one of HAProxy's buffers, 16,384 bytes less
/// what is kept for rewriting (`tune.maxrewrite`, 1,024) and the headers.
pub const RESPONSE_MAX: u64 = 15_000;
