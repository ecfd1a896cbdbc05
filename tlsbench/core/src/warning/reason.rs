//! Cures for failures of one detail.

use crate::tally::{Detail, Failure};

/// Cure for a failure with a detail, as records spell it; `None` if the detail adds nothing to the
/// failure.
pub(super) fn cure(failure: Failure, reason: &str) -> Option<&'static str> {
    match failure {
        Failure::Alert | Failure::Alpn => cure_of_alert(reason),
        Failure::Status => cure_of_status(reason),
        Failure::StreamRefused | Failure::StreamReset => cure_of_error_code(reason),
        _ => reason.parse().ok().map(cure_of_detail),
    }
}

fn cure_of_alert(name: &str) -> Option<&'static str> {
    Some(match name {
        "access_denied" => {
            "the server read the client certificate and lets it not in: give one that its rules admit"
        }
        "bad_certificate" | "certificate_required" | "no_certificate" => {
            "the server wants a client certificate: give one that its CA issued as \
             `tls.client_certificate` with `tls.client_key`"
        }
        "certificate_expired"
        | "certificate_revoked"
        | "certificate_unknown"
        | "unsupported_certificate" => {
            "the server refuses the client certificate: renew it, or give one of a key and purpose \
             that the server takes (extended key usage clientAuth)"
        }
        "decrypt_error" => {
            "a signature or a session did not verify at the server: see that the client key belongs \
             to its certificate, and that replicas share their ticket keys"
        }
        "handshake_failure" => {
            "server and client have no suite, group or key type in common (see `tls.suites`, \
             `tls.groups`), or the server misses a client certificate, which TLS 1.2 says by this \
             alert too (`tls.client_certificate`)"
        }
        "illegal_parameter"
        | "decode_error"
        | "unexpected_message"
        | "missing_extension"
        | "unsupported_extension" => {
            "the server finds the handshake malformed: see its log, and what stands in between with \
             `openssl s_client`"
        }
        "inappropriate_fallback" | "protocol_version" => {
            "the server speaks none of the versions that were offered: offer both, which is the \
             default, with `tls.version = \"1.2,1.3\"`; what speaks neither cannot be measured"
        }
        "insufficient_security" => {
            "the server wants stronger suites or groups than were offered: see `tls.suites` and \
             `tls.groups`"
        }
        "internal_error" => {
            "the server failed by itself: see its log; some answer so to a server name that they do \
             not know (`sni`)"
        }
        "no_application_protocol" => {
            "let the server offer the protocol (`http2 on` in nginx, `alpn h2` in HAProxy), or set \
             `request.protocol`"
        }
        "unknown_ca" => {
            "the server does not trust the CA of the client certificate: give one that its CA \
             issued, with the intermediates in its file"
        }
        "unrecognized_name" => {
            "the server has no such name: give one that it serves as `sni`, or in the URL with \
             `connect_to` for the address"
        }
        _ => return None,
    })
}

fn cure_of_status(status: &str) -> Option<&'static str> {
    Some(match status {
        "400" => {
            "the server finds the request wrong: it may miss a client certificate \
             (`tls.client_certificate`), want https:// on this port, or not know this host"
        }
        "401" | "403" => {
            "send what the server asks for as a header of [request], or ask for another path"
        }
        "404" => "ask for a path that exists",
        "405" => "choose another `request.method`",
        "421" => "the connection's server name is not the request's: make `sni` the URL's host",
        "429" => "the server limits the rate: raise its limit for this client, or lower the load",
        "502" | "503" | "504" => {
            "a proxy reaches no backend, or its backend is full: see its log, or lower the load"
        }
        _ if status.starts_with('3') => {
            "name the URL that the redirect leads to, or expect its status with \
             `request.expect_status`"
        }
        _ => return None,
    })
}

fn cure_of_error_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "enhance_your_calm" => {
            "the server takes this load for an attack: raise its limits for this client"
        }
        "http_1_1_required" => "choose `request.protocol = \"http/1.1\"` for this path",
        "inadequate_security" => "offer TLS 1.3, or the AEAD suites of TLS 1.2",
        "internal_error" => "look into the server's log: it, or its backend, failed",
        "cancel" | "stream_closed" => {
            "look into the server's log: it gave the request up, often by a time limit"
        }
        _ => return None,
    })
}

const fn cure_of_detail(detail: Detail) -> &'static str {
    match detail {
        Detail::BadSignature => {
            "the certificate was not signed by the CA that it names: issue it again, or let the server \
             send the chain that belongs to it"
        }
        Detail::CaAsServer => {
            "issue the server a certificate that is no CA's: `openssl req -x509` makes CA:TRUE unless \
             `-addext basicConstraints=critical,CA:FALSE` is given; or `verify = \"off\"`"
        }
        Detail::CriticalExtension => {
            "issue a certificate without that critical extension: what does not know it must refuse \
             it (RFC 5280, section 4.2); or `verify = \"off\"`"
        }
        Detail::Decrypt => "see that nothing in between changes bytes, with `openssl s_client`",
        Detail::Expired => "renew the certificate, or set this machine's clock",
        Detail::IssuerIsNoCa => {
            "issue it from a certificate with CA:TRUE: that of a server cannot issue others"
        }
        Detail::NameConstraints => {
            "a CA of the chain may not issue this name: issue it from another"
        }
        Detail::NoSubjectAltName => {
            "issue a certificate with subjectAltName (`-addext subjectAltName=DNS:name`): a common \
             name alone names no server (RFC 9525)"
        }
        Detail::NotForServers => {
            "issue a certificate with extended key usage serverAuth: this one is for clients or \
             something else"
        }
        Detail::NotTls => "see that the port speaks TLS, or write http://",
        Detail::NotYetValid => "set this machine's clock, or wait until the certificate is valid",
        Detail::Parameters => {
            "let server and client have a suite, a group and a signature in common: see `tls.suites`, \
             `tls.groups` and the kind of the server's key"
        }
        Detail::PathLength => {
            "a CA of the chain allows fewer below it: issue from one that allows more"
        }
        Detail::SelfSigned => {
            "name the certificate itself in `tls.ca_bundle`, where it is no CA's; else issue one from \
             a CA"
        }
        Detail::SignatureAlgorithm => "issue it with RSA or ECDSA over SHA-256, or Ed25519",
        Detail::Unreadable => {
            "look at the chain with `openssl s_client -showcerts`, and issue it again"
        }
        Detail::Version => {
            "the server speaks none of the versions that were offered: offer both, which is the \
             default, with `tls.version = \"1.2,1.3\"`; what speaks neither cannot be measured"
        }
        Detail::WeakKey => {
            "issue a certificate with an RSA key of 2,048 bits or more, or an ECDSA key; or \
             `verify = \"off\"`"
        }
        Detail::WeakSignature => {
            "issue it with SHA-256: SHA-1 and MD5 can be forged, and are trusted by no client; or \
             `verify = \"off\"`"
        }
        Detail::X509V1 => {
            "issue a certificate of version 3, with subjectAltName (give `openssl x509 -req` an \
             `-extfile`); or `verify = \"off\"`"
        }
        _ => cure_of_response(detail),
    }
}

/// Cure for responses that are none, or not whole.
const fn cure_of_response(detail: Detail) -> &'static str {
    match detail {
        Detail::BodyNotAllowed | Detail::BodyWithoutHead | Detail::BytesBehind => {
            "the server sends bytes that belong to no response: see what its program writes, by \
             `curl -v --raw`"
        }
        Detail::ChunkedBody | Detail::ContentLength => {
            "the response's length or chunks are wrong: see what the server's program, or a proxy in \
             front of it, writes, by `curl -v --raw`"
        }
        Detail::Compression
        | Detail::Excess
        | Detail::FlowControl
        | Detail::FrameSize
        | Detail::Protocol => {
            "the server, or what stands in between, breaks HTTP/2: see with `curl -v --http2`, or \
             choose `request.protocol = \"http/1.1\"`"
        }
        Detail::HeadTooLarge | Detail::TooManyHeaders => {
            "let the server send less: no more than 300 KB or 5,000 headers are read, as by curl"
        }
        Detail::Header => "the response's head has a line that is no header: see it with `curl -v`",
        Detail::InBody | Detail::InHead => {
            "look into the server's log: it, or a proxy in between, ended the response early"
        }
        Detail::NoAnswer => {
            "look into the server's log: it closes connections without a word, as full or crashing \
             servers do"
        }
        Detail::NotHttp => {
            "see that the port speaks HTTP, and TLS only where the URL begins with https://"
        }
        Detail::NotSentAgain => {
            "the server closed a kept connection, and this method must not be sent twice: raise its \
             limits of time and requests per connection (`keepalive_timeout`, `keepalive_requests`), \
             or use GET, HEAD, PUT or DELETE"
        }
        _ => CURE_OF_OTHERS,
    }
}

const CURE_OF_OTHERS: &str = "look into the server's log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_detail_has_a_cure_by_the_name_that_records_have() {
        for detail in Detail::ALL {
            for failure in [Failure::CertificateOther, Failure::ResponseMalformed] {
                let text = cure(failure, detail.as_str()).unwrap();
                assert_eq!(text, cure_of_detail(*detail));
                assert_ne!(text, CURE_OF_OTHERS, "{detail}");
            }
        }
    }

    #[test]
    fn alerts_and_statuses_have_cures_of_their_own() {
        for (failure, reason, named) in [
            (Failure::Alert, "unrecognized_name", "`sni`"),
            (Failure::Alert, "certificate_required", "`tls.client_certificate`"),
            (Failure::Alert, "handshake_failure", "`tls.suites`"),
            (Failure::Alert, "protocol_version", "`tls.version"),
            (Failure::Alert, "unknown_ca", "CA of the client certificate"),
            (Failure::Alpn, "no_application_protocol", "`http2 on`"),
            (Failure::Status, "301", "redirect"),
            (Failure::Status, "503", "backend"),
            (Failure::StreamReset, "enhance_your_calm", "limits"),
        ] {
            let text = cure(failure, reason).unwrap_or_default();
            assert!(text.contains(named), "{reason}: {text}");
        }
        for (failure, reason) in
            [(Failure::Alert, "alert_200"), (Failure::Status, "418"), (Failure::Timeout, "?")]
        {
            assert_eq!(cure(failure, reason), None);
        }
    }
}
