//! nginx, from version 1.19.4: `http` for what speaks HTTP, `stream` for relays.

use std::fmt::Write as _;

use super::{
    BODY, CHAIN_DEPTH, CLIENT_CA, CLIENT_PEM, Configuration, HANDSHAKE_LOG, NGINX_CONF, NGINX_PID,
    SERVER_PEM, UPSTREAM_CA, UnsupportedFeature, add_files, body, check, verifies,
};
use crate::hop::{Cryptography, Dial, DialTls, Forwarded, Hop, HopKind, Listen, ListenTls};
use crate::scenario::{ProtocolName, Version};

/// Features of an installed nginx.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NginxBuild {
    /// Version.
    pub version: (u32, u32, u32),
    /// The file of its stream module, where that is not built in.
    pub stream_module: Option<String>,
}

/// An nginx that is this hop. With `counts` it keeps [`HANDSHAKE_LOG`], a few bytes for each
/// connection: in memory where it is one process, and then written when it is told to open its logs
/// anew.
///
/// # Errors
/// When nginx cannot do what the hop does.
pub fn nginx(
    hop: &Hop,
    build: &NginxBuild,
    counts: bool,
) -> Result<Configuration, UnsupportedFeature> {
    check(ENGINE, hop)?;
    let mut configuration = Configuration::default();
    add_files(&mut configuration, hop);
    let mut text = IndentedText::default();
    // Without a master there is one process, and its CPU clock is the worker's.
    match hop.workers.get() {
        1 => text.line("master_process off;"),
        workers => text.line(&format!("worker_processes {workers};")),
    }
    // In the foreground: the supervisor ends it by its process group.
    text.line("daemon off;");
    text.line(&format!("pid {NGINX_PID};"));
    text.line("error_log error.log;");
    text.block("events", |text| text.line(&format!("worker_connections {CONNECTIONS};")));
    if hop.speaks_http() {
        http(hop, build, counts, &mut text, &mut configuration)?;
    } else {
        if let Some(module) = &build.stream_module {
            text.text.insert_str(0, &format!("load_module {module};\n"));
        }
        stream(hop, counts, &mut text, &mut configuration)?;
    }
    configuration.files.insert(NGINX_CONF, text.text);
    Ok(configuration)
}

fn http(
    hop: &Hop,
    build: &NginxBuild,
    counts: bool,
    text: &mut IndentedText,
    configuration: &mut Configuration,
) -> Result<(), UnsupportedFeature> {
    let mut failed = Ok(());
    text.block("http", |text| {
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            text.line(&format!("{kind}_temp_path tmp-{kind};"));
        }
        text.line("default_type text/plain;");
        text.line(&format!("keepalive_requests {ENDLESS};"));
        text.line("keepalive_timeout 1h;");
        if counts {
            text.line("map $connection_requests $is_first { 1 1; default 0; }");
            log_handshakes(hop, " if=$is_first", text);
        } else {
            text.line("access_log off;");
        }
        if hop.forwarded == Forwarded::Append {
            // What a hop before this one said stands.
            text.line("map $http_x_forwarded_proto $kept_proto { '' $scheme; default $http_x_forwarded_proto; }");
            text.line("map $http_x_forwarded_port $kept_port { '' $server_port; default $http_x_forwarded_port; }");
        }
        if let Some(dial) = &hop.dial {
            text.block("upstream next", |text| {
                text.line(&format!("server {};", dial.address));
                if dial.pool > 0 {
                    text.line(&format!("keepalive {};", dial.pool));
                    text.line(&format!("keepalive_requests {ENDLESS};"));
                    text.line("keepalive_timeout 1h;");
                }
            });
        }
        text.block("server", |text| {
            listen_http(&hop.listen, build, text);
            failed = match &hop.dial {
                Some(dial) => proxy_http(hop, dial, text),
                None => {
                    answer(hop, text, configuration);
                    Ok(())
                }
            };
        });
    });
    failed
}

/// A line for each handshake, or for each connection where there is none.
fn log_handshakes(hop: &Hop, condition: &str, text: &mut IndentedText) {
    text.line("log_format handshakes $ssl_session_reused;");
    // Several processes would each have to write theirs, and nobody could see when all have.
    let buffer = if hop.workers.get() == 1 { " buffer=64k" } else { "" };
    text.line(&format!("access_log {HANDSHAKE_LOG} handshakes{buffer}{condition};"));
}

fn listen_http(listen: &Listen, build: &NginxBuild, text: &mut IndentedText) {
    let h2 = listen.tls.as_ref().is_some_and(|tls| tls.alpn.contains(&ProtocolName::Http2));
    // The parameter of `listen` is deprecated since 1.25.1, and warns.
    let is_new = build.version >= HTTP2_DIRECTIVE;
    text.line(&format!(
        "listen {}{}{}{} backlog={BACKLOG};",
        listen.address,
        if listen.tls.is_some() { " ssl" } else { "" },
        if h2 && !is_new { " http2" } else { "" },
        if listen.proxy_protocol { " proxy_protocol" } else { "" },
    ));
    if h2 && is_new {
        text.line("http2 on;");
    }
    if listen.proxy_protocol {
        text.line("set_real_ip_from 0.0.0.0/0;");
        text.line("set_real_ip_from ::/0;");
        text.line("real_ip_header proxy_protocol;");
    }
    if let Some(tls) = &listen.tls {
        listen_tls(tls, text);
    }
}

fn listen_tls(tls: &ListenTls, text: &mut IndentedText) {
    text.line(&format!("ssl_certificate {SERVER_PEM};"));
    text.line(&format!("ssl_certificate_key {SERVER_PEM};"));
    if tls.client_ca.is_some() {
        text.line(&format!("ssl_client_certificate {CLIENT_CA};"));
        text.line("ssl_verify_client on;");
        text.line(&format!("ssl_verify_depth {CHAIN_DEPTH};"));
    }
    cryptography("ssl", &tls.suite, text);
    if let Some(curves) = tls.suite.curves() {
        text.line(&format!("ssl_ecdh_curve {curves};"));
    }
    // Tickets alone, as other servers do it: no cache, which TLS 1.2 clients could use beside them.
    let (cache, tickets) = if tls.tickets > 0 { ("none", "on") } else { ("off", "off") };
    text.line(&format!("ssl_session_cache {cache};"));
    text.line(&format!("ssl_session_tickets {tickets};"));
    text.line("ssl_session_timeout 1h;");
}

fn proxy_http(hop: &Hop, dial: &Dial, text: &mut IndentedText) -> Result<(), UnsupportedFeature> {
    if dial.proxy_protocol {
        return Err(unsupported(
            "the PROXY protocol from an `http` hop",
            "use a relay, or HAProxy",
        ));
    }
    let scheme = if dial.tls.is_some() { "https" } else { "http" };
    let mut failed = Ok(());
    text.block("location /", |text| {
        text.line(&format!("proxy_pass {scheme}://next;"));
        text.line("proxy_http_version 1.1;");
        // Its own default closes: then no connection is ever used twice.
        text.line(match dial.pool {
            0 => "proxy_set_header Connection close;",
            _ => "proxy_set_header Connection '';",
        });
        text.line("proxy_set_header Host $http_host;");
        match hop.forwarded {
            Forwarded::Keep => {}
            Forwarded::Set => {
                text.line("proxy_set_header X-Forwarded-For $remote_addr;");
                text.line("proxy_set_header X-Forwarded-Proto $scheme;");
                text.line("proxy_set_header X-Forwarded-Port $server_port;");
            }
            Forwarded::Append => {
                text.line("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;");
                text.line("proxy_set_header X-Forwarded-Proto $kept_proto;");
                text.line("proxy_set_header X-Forwarded-Port $kept_port;");
            }
        }
        if let Some(tls) = &dial.tls {
            failed = dial_tls(tls, text);
        }
    });
    failed
}

fn dial_tls(tls: &DialTls, text: &mut IndentedText) -> Result<(), UnsupportedFeature> {
    text.line("proxy_ssl_server_name on;");
    text.line(&format!("proxy_ssl_name {};", tls.name));
    if verifies(ENGINE, tls)? {
        text.line("proxy_ssl_verify on;");
        text.line(&format!("proxy_ssl_verify_depth {CHAIN_DEPTH};"));
        text.line(&format!("proxy_ssl_trusted_certificate {UPSTREAM_CA};"));
    }
    if tls.identity.is_some() {
        text.line(&format!("proxy_ssl_certificate {CLIENT_PEM};"));
        text.line(&format!("proxy_ssl_certificate_key {CLIENT_PEM};"));
    }
    text.line(if tls.resume {
        "proxy_ssl_session_reuse on;"
    } else {
        "proxy_ssl_session_reuse off;"
    });
    cryptography("proxy_ssl", &tls.suite, text);
    if let Some(curves) = tls.suite.curves() {
        text.line(&format!("proxy_ssl_conf_command Groups {curves};"));
    }
    Ok(())
}

/// Versions and suites, whose directives are named alike on both sides.
fn cryptography(side: &str, suite: &Cryptography, text: &mut IndentedText) {
    let versions = [(Version::Tls12, "TLSv1.2"), (Version::Tls13, "TLSv1.3")];
    let spoken: Vec<&str> = versions
        .iter()
        .filter(|(version, _)| suite.speaks(*version))
        .map(|(_, name)| *name)
        .collect();
    text.line(&format!("{side}_protocols {};", spoken.join(" ")));
    if let Some(suites) = suite.suites_of_12().filter(|_| suite.speaks(Version::Tls12)) {
        text.line(&format!("{side}_ciphers {suites};"));
    }
    if let Some(suites) = suite.suites_of_13().filter(|_| suite.speaks(Version::Tls13)) {
        text.line(&format!("{side}_conf_command Ciphersuites {suites};"));
    }
}

fn answer(hop: &Hop, text: &mut IndentedText, configuration: &mut Configuration) {
    let content = body(hop.response_bytes);
    // Short bodies come from the configuration, without a file to open.
    if hop.response_bytes <= RETURNED_MAX {
        let line = content.replace('\n', "\\n");
        text.block("location /", |text| text.line(&format!("return 200 \"{line}\";")));
        return;
    }
    configuration.files.insert(BODY, content);
    // The body is one file: reopening it for each request would be measured too.
    text.line("open_file_cache max=1 inactive=1h;");
    text.line("open_file_cache_valid 1h;");
    text.line("root .;");
    text.block("location /", |text| text.line(&format!("try_files /{BODY} =404;")));
}

fn stream(
    hop: &Hop,
    counts: bool,
    text: &mut IndentedText,
    configuration: &mut Configuration,
) -> Result<(), UnsupportedFeature> {
    let Some(dial) = &hop.dial else { return Ok(()) };
    let mut failed = Ok(());
    text.block("stream", |text| {
        if counts {
            log_handshakes(hop, "", text);
        }
        if hop.kind == HopKind::SniRelay {
            text.block("map $ssl_preread_server_name $next", |text| {
                text.line("hostnames;");
                for route in &hop.routes {
                    text.line(&format!("{} {};", route.name.to_ascii_lowercase(), route.address));
                }
                text.line(&format!("default {};", dial.address));
            });
        }
        text.block("server", |text| {
            let listen = &hop.listen;
            text.line(&format!(
                "listen {}{}{} backlog={BACKLOG};",
                listen.address,
                if listen.tls.is_some() { " ssl" } else { "" },
                if listen.proxy_protocol { " proxy_protocol" } else { "" },
            ));
            if listen.proxy_protocol {
                text.line("set_real_ip_from 0.0.0.0/0;");
                text.line("set_real_ip_from ::/0;");
            }
            if let Some(tls) = &listen.tls {
                listen_tls(tls, text);
            }
            text.line("proxy_timeout 1h;");
            if hop.kind == HopKind::SniRelay {
                text.line("ssl_preread on;");
                text.line("proxy_pass $next;");
            } else {
                text.line(&format!("proxy_pass {};", dial.address));
            }
            if dial.proxy_protocol {
                text.line("proxy_protocol on;");
                configuration.notes.push(PROXY_VERSION);
            }
            if let Some(tls) = &dial.tls {
                text.line("proxy_ssl on;");
                failed = dial_tls(tls, text);
            }
        });
    });
    failed
}

fn unsupported(what: &str, cure: &'static str) -> UnsupportedFeature {
    UnsupportedFeature { engine: ENGINE, what: what.to_owned(), cure }
}

/// Text of blocks within blocks.
#[derive(Debug, Default)]
struct IndentedText {
    text: String,
    depth: usize,
}

impl IndentedText {
    fn line(&mut self, line: &str) {
        // Writing to text cannot fail.
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = self.depth * 4);
    }

    fn block(&mut self, head: &str, inner: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        self.line("}");
    }
}

const ENGINE: &str = "nginx";
const PROXY_VERSION: &str = "nginx sends the PROXY protocol in version 1 only";
/// Since when `http2` is a directive of its own (nginx's CHANGES).
const HTTP2_DIRECTIVE: (u32, u32, u32) = (1, 25, 1);
/// A connection and its upstream connection, for each of 10,000 and some.
const CONNECTIONS: u32 = 21_000;
/// More requests than a run makes.
const ENDLESS: u32 = 1_000_000_000;
const BACKLOG: u32 = 4_096;
/// A token of nginx's configuration has at most 4,096 bytes.
const RETURNED_MAX: u64 = 2_048;
