//! Caddy, from version 2.6: its JSON, with nothing on that it does by itself. As Debian packs it,
//! it speaks HTTP only.

use serde_json::{Value as Json, json};

use super::{
    BODY, CADDY_JSON, CLIENT_CA, CLIENT_PEM, Configuration, SERVER_PEM, UPSTREAM_CA,
    UnsupportedFeature, add_files, body, check, verifies,
};
use crate::hop::{Cryptography, Dial, DialTls, Forwarded, Hop, HopKind, ListenTls};
use crate::scenario::{Group, ProtocolName, Suite, Version};

/// A Caddy that is this hop. It counts nothing that could be asked of it without its administration
/// point, which is off.
///
/// # Errors
/// When Caddy cannot do what the hop does.
pub fn caddy(hop: &Hop) -> Result<Configuration, UnsupportedFeature> {
    check(ENGINE, hop)?;
    if !hop.speaks_http() {
        return Err(unsupported(
            format!("a `{}`", hop.kind),
            "it speaks HTTP only: let nginx, HAProxy or a built-in hop be it, as by --lb builtin",
        ));
    }
    if hop.listen.proxy_protocol {
        return Err(unsupported(
            "the PROXY protocol".to_owned(),
            "use nginx, HAProxy or a built-in hop",
        ));
    }
    let mut configuration = Configuration::default();
    add_files(&mut configuration, hop);
    configuration.notes.push("Caddy's automatic certificates and redirects are off");
    let routes = match &hop.dial {
        Some(dial) => proxy(hop, dial, &mut configuration)?,
        None => answer(hop, &mut configuration),
    };
    let mut apps =
        json!({ "http": { "grace_period": GRACE, "servers": { "hop": server(hop, &routes) } } });
    if let (Some(tls), Some(apps)) = (&hop.listen.tls, apps.as_object_mut()) {
        apps.insert("tls".to_owned(), certificates(tls, &mut configuration));
    }
    let text = json!({
        "admin": { "disabled": true, "config": { "persist": false } },
        "logging": { "logs": { "default": { "level": "ERROR" } } },
        "storage": { "module": "file_system", "root": "storage" },
        "apps": apps,
    });
    configuration.files.insert(CADDY_JSON, format!("{text:#}\n"));
    Ok(configuration)
}

fn server(hop: &Hop, routes: &Json) -> Json {
    let mut server = json!({
        "listen": [hop.listen.address.to_string()],
        "automatic_https": { "disable": true },
        "protocols": ["h1"],
        "idle_timeout": "1h",
        // A request names the first host, and TLS the next one.
        "strict_sni_host": false,
        "routes": routes,
    });
    let (Some(tls), Some(fields)) = (&hop.listen.tls, server.as_object_mut()) else {
        return server;
    };
    let has_http2 = tls.alpn.contains(&ProtocolName::Http2);
    if has_http2 {
        fields.insert("protocols".to_owned(), json!(["h1", "h2"]));
    }
    let suite = &tls.suite;
    let mut policy = json!({
        "alpn": if has_http2 { json!(["h2", "http/1.1"]) } else { json!(["http/1.1"]) },
        "protocol_min": if suite.speaks(Version::Tls12) { "tls1.2" } else { "tls1.3" },
        "protocol_max": if suite.speaks(Version::Tls13) { "tls1.3" } else { "tls1.2" },
    });
    if let Some(fields) = policy.as_object_mut() {
        if !suite.groups.is_empty() {
            fields.insert("curves".to_owned(), json!(curves(suite)));
        }
        if !suite.suites.is_empty() && suite.speaks(Version::Tls12) {
            fields.insert("cipher_suites".to_owned(), json!(suites_of_12(suite)));
        }
        if tls.client_ca.is_some() {
            let how = json!({
                "mode": "require_and_verify",
                "trusted_ca_certs_pem_files": [CLIENT_CA],
            });
            fields.insert("client_authentication".to_owned(), how);
        }
    }
    fields.insert("tls_connection_policies".to_owned(), json!([policy]));
    server
}

fn certificates(tls: &ListenTls, configuration: &mut Configuration) -> Json {
    if tls.tickets > 0 {
        configuration.notes.push("Caddy gives one session ticket for each full handshake");
    }
    if tls.suite.speaks(Version::Tls13) {
        configuration.notes.push("Caddy takes every suite of TLS 1.3");
    }
    json!({
        "certificates": { "load_files": [{ "certificate": SERVER_PEM, "key": SERVER_PEM }] },
        "session_tickets": { "disabled": tls.tickets == 0 },
    })
}

fn curves(suite: &Cryptography) -> Vec<&'static str> {
    let name = |group: &Group| match group {
        Group::P256 => "secp256r1",
        Group::P384 => "secp384r1",
        Group::X25519 | Group::X25519MlKem768 => "x25519",
    };
    suite.groups.iter().map(name).collect()
}

/// Suites of TLS 1.2 by their registered names, for keys of every kind.
fn suites_of_12(suite: &Cryptography) -> Vec<String> {
    let name = |suite: &Suite| match suite {
        Suite::Aes128Gcm => "AES_128_GCM_SHA256",
        Suite::Aes256Gcm => "AES_256_GCM_SHA384",
        Suite::ChaCha20 => "CHACHA20_POLY1305_SHA256",
    };
    let of_key =
        |key| suite.suites.iter().map(move |suite| format!("TLS_ECDHE_{key}_WITH_{}", name(suite)));
    of_key("ECDSA").chain(of_key("RSA")).collect()
}

fn proxy(
    hop: &Hop,
    dial: &Dial,
    configuration: &mut Configuration,
) -> Result<Json, UnsupportedFeature> {
    if dial.proxy_protocol {
        let cure = "use HAProxy or a built-in hop";
        return Err(unsupported("the PROXY protocol from an `http` hop".to_owned(), cure));
    }
    let mut transport = json!({
        "protocol": "http",
        "versions": ["1.1"],
        "compression": false,
        "keep_alive": {
            "enabled": dial.pool > 0,
            "max_idle_conns": dial.pool,
            "max_idle_conns_per_host": dial.pool,
            "idle_timeout": "1h",
        },
    });
    if let (Some(tls), Some(fields)) = (&dial.tls, transport.as_object_mut()) {
        fields.insert("tls".to_owned(), dial_tls(tls, configuration)?);
    }
    let port = hop.listen.address.port().to_string();
    let set_port = json!({ "X-Forwarded-Port": [port] });
    let mut forward = json!({
        "handler": "reverse_proxy",
        "upstreams": [{ "dial": dial.address.to_string() }],
        "transport": transport,
    });
    let mut request = json!({ "delete": ["X-Forwarded-Host"] });
    let mut routes = Vec::new();
    match hop.forwarded {
        // It sets For and Proto by itself, and has no word for leaving them alone.
        Forwarded::Keep => {
            let what = "`forwarded` `keep` in an `http` hop".to_owned();
            return Err(unsupported(what, "set `set` or `append`"));
        }
        Forwarded::Set => insert(&mut request, "set", set_port),
        Forwarded::Append => {
            // Whoever is trusted is appended to, and its Proto kept.
            insert(&mut forward, "trusted_proxies", json!(["0.0.0.0/0", "::/0"]));
            routes.push(json!({
                "match": [{ "not": [{ "header": { "X-Forwarded-Port": ["*"] } }] }],
                "handle": [{ "handler": "headers", "request": { "set": set_port } }],
            }));
        }
    }
    insert(&mut forward, "headers", json!({ "request": request }));
    routes.push(json!({ "handle": [forward] }));
    Ok(Json::Array(routes))
}

fn dial_tls(tls: &DialTls, configuration: &mut Configuration) -> Result<Json, UnsupportedFeature> {
    configuration.notes.push("Caddy negotiates with the next hop whatever that one chooses");
    let mut fields = json!({ "server_name": tls.name });
    if verifies(ENGINE, tls)? {
        insert(&mut fields, "root_ca_pem_files", json!([UPSTREAM_CA]));
    } else {
        insert(&mut fields, "insecure_skip_verify", json!(true));
    }
    if tls.identity.is_some() {
        insert(&mut fields, "client_certificate_file", json!(CLIENT_PEM));
        insert(&mut fields, "client_certificate_key_file", json!(CLIENT_PEM));
    }
    if tls.resume {
        configuration.notes.push("Caddy resumes no session with the next hop");
    }
    Ok(fields)
}

fn answer(hop: &Hop, configuration: &mut Configuration) -> Json {
    debug_assert_eq!(hop.kind, HopKind::Backend, "the only kind that does not go on");
    let content = body(hop.response_bytes);
    if hop.response_bytes <= INLINE_MAX {
        let headers = json!({ "Content-Type": ["text/plain"] });
        let handler = "static_response";
        return json!([{ "handle": [{ "handler": handler, "headers": headers, "body": content }] }]);
    }
    configuration.files.insert(BODY, content);
    json!([{ "handle": [
        { "handler": "rewrite", "uri": format!("/{BODY}") },
        { "handler": "file_server", "root": "." },
    ] }])
}

fn insert(into: &mut Json, name: &str, value: Json) {
    if let Some(fields) = into.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

fn unsupported(what: String, cure: &'static str) -> UnsupportedFeature {
    UnsupportedFeature { engine: ENGINE, what, cure }
}

const ENGINE: &str = "Caddy";
/// Grace period at the end: without one, Caddy waits for all connections.
const GRACE: &str = "1ms";
/// Longest body that Go sends with a length instead of in chunks if nobody says the length.
const INLINE_MAX: u64 = 2_048;
