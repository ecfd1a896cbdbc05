//! Details of failures: a second level below [`Failure`], of a bounded number of names.

use std::fmt;

use super::Failure;
use crate::words::words;

/// A failure of an operation, with its detail where one is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The failure.
    pub failure: Failure,
    /// Detail of the failure.
    pub reason: Option<Reason>,
}

impl Failed {
    /// A failure with its detail.
    #[must_use]
    pub const fn new(failure: Failure, reason: Reason) -> Self {
        Self { failure, reason: Some(reason) }
    }

    /// A failure with a detail that has a name of its own.
    #[must_use]
    pub const fn of(failure: Failure, detail: Detail) -> Self {
        Self::new(failure, Reason::Detail(detail))
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, reason: None }
    }
}

/// The detail of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The TLS alert that the server sent (RFC 8446, section 6), by its number.
    Alert(u8),
    /// A detail that this program names.
    Detail(Detail),
    /// The HTTP/2 error code that the server sent (RFC 9113, section 7).
    ErrorCode(ErrorCode),
    /// The status of the response.
    Status(u16),
}

impl fmt::Display for Reason {
    /// The reason as records and metrics spell it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(number) => match ALERTS.iter().find(|(known, _)| known == number) {
                Some((_, name)) => f.pad(name),
                None => write!(f, "alert_{number}"),
            },
            Self::Detail(detail) => detail.fmt(f),
            Self::ErrorCode(code) => code.fmt(f),
            Self::Status(status) => write!(f, "{status}"),
        }
    }
}

/// Details that no protocol has a name for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// A signature of the chain does not belong to the key above it.
    BadSignature,
    /// A body behind a response that has none: to HEAD, 204, 304.
    BodyNotAllowed,
    /// Data of an HTTP/2 response before its head.
    BodyWithoutHead,
    /// Bytes behind the end of the response, which nothing asked for.
    BytesBehind,
    /// A CA's certificate (CA:TRUE) as the server's own.
    CaAsServer,
    /// A chunked body whose chunks are none.
    ChunkedBody,
    /// HTTP/2 header compression out of step.
    Compression,
    /// `Content-Length` that is no number, or another than the body's length.
    ContentLength,
    /// A critical extension of the certificate that is not known here.
    CriticalExtension,
    /// TLS records that cannot be decrypted.
    Decrypt,
    /// More HTTP/2 frames or header bytes than anybody can keep up with.
    Excess,
    /// The certificate's notAfter has passed.
    Expired,
    /// More HTTP/2 data than the windows allow, or a window that overflows.
    FlowControl,
    /// An HTTP/2 frame of a length that its type does not have.
    FrameSize,
    /// A head of more bytes than the limit.
    HeadTooLarge,
    /// A header line that is none, or HTTP/2 fields that no response may have.
    Header,
    /// The response ended within its body.
    InBody,
    /// The response ended within its head.
    InHead,
    /// A certificate that is no CA's has issued another.
    IssuerIsNoCa,
    /// A name in the certificate that a CA above it must not issue.
    NameConstraints,
    /// The connection ended without a byte of the response.
    NoAnswer,
    /// The certificate has no subjectAltName: a common name alone has not counted since RFC 9525.
    NoSubjectAltName,
    /// The certificate's extended key usage leaves out servers.
    NotForServers,
    /// The server speaks no HTTP.
    NotHttp,
    /// The kept connection ended before the response, and the method is not idempotent, so the
    /// request must not be sent twice (RFC 9110, section 9.2.2).
    NotSentAgain,
    /// The server speaks no TLS.
    NotTls,
    /// The certificate's notBefore is to come.
    NotYetValid,
    /// The server and we have no suite, group or signature scheme in common.
    Parameters,
    /// More CAs stand above the certificate than one of them allows.
    PathLength,
    /// A message or frame where none of its type may be.
    Protocol,
    /// The certificate signs itself and is not among the roots.
    SelfSigned,
    /// A signature algorithm that the provider does not know.
    SignatureAlgorithm,
    /// More header lines than the limit.
    TooManyHeaders,
    /// A certificate that cannot be read.
    Unreadable,
    /// The server speaks no TLS version that was offered.
    Version,
    /// An RSA key of fewer than 2,048 bits.
    WeakKey,
    /// A signature over SHA-1 or MD5.
    WeakSignature,
    /// A certificate of X.509 version 1, which has no extensions and so no names of servers.
    X509V1,
}

words!(Detail {
    BadSignature = "bad_signature",
    BodyNotAllowed = "body_not_allowed",
    BodyWithoutHead = "body_without_head",
    BytesBehind = "bytes_behind",
    CaAsServer = "ca_as_server",
    ChunkedBody = "chunked_body",
    Compression = "compression",
    ContentLength = "content_length",
    CriticalExtension = "critical_extension",
    Decrypt = "decrypt",
    Excess = "excess",
    Expired = "expired",
    FlowControl = "flow_control",
    FrameSize = "frame_size",
    HeadTooLarge = "head_too_large",
    Header = "header",
    InBody = "in_body",
    InHead = "in_head",
    IssuerIsNoCa = "issuer_is_no_ca",
    NameConstraints = "name_constraints",
    NoAnswer = "no_answer",
    NoSubjectAltName = "no_subject_alt_name",
    NotForServers = "not_for_servers",
    NotHttp = "not_http",
    NotSentAgain = "not_sent_again",
    NotTls = "not_tls",
    NotYetValid = "not_yet_valid",
    Parameters = "parameters",
    PathLength = "path_length",
    Protocol = "protocol",
    SelfSigned = "self_signed",
    SignatureAlgorithm = "signature_algorithm",
    TooManyHeaders = "too_many_headers",
    Unreadable = "unreadable",
    Version = "version",
    WeakKey = "weak_key",
    WeakSignature = "weak_signature",
    X509V1 = "x509_v1",
});

/// An error code of HTTP/2. A server can send any of 2^32, so those without a name count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErrorCode(u8);

impl ErrorCode {
    /// The code of a frame.
    #[must_use]
    pub fn from_wire(code: u32) -> Self {
        let known = u8::try_from(code).ok().filter(|code| usize::from(*code) < ERROR_CODES.len());
        Self(known.unwrap_or(u8::MAX))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(ERROR_CODES.get(usize::from(self.0)).copied().unwrap_or("error_code_other"))
    }
}

/// Names of HTTP/2 error codes, from 0 (RFC 9113, section 7).
const ERROR_CODES: [&str; 14] = [
    "no_error",
    "protocol_error",
    "internal_error",
    "flow_control_error",
    "settings_timeout",
    "stream_closed",
    "frame_size_error",
    "refused_stream",
    "cancel",
    "compression_error",
    "connect_error",
    "enhance_your_calm",
    "inadequate_security",
    "http_1_1_required",
];

/// Names of TLS alerts by number, as IANA's registry has them.
const ALERTS: &[(u8, &str)] = &[
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (21, "decryption_failed"),
    (22, "record_overflow"),
    (30, "decompression_failure"),
    (40, "handshake_failure"),
    (41, "no_certificate"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (52, "too_many_cids_requested"),
    (60, "export_restriction"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (111, "certificate_unobtainable"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (114, "bad_certificate_hash_value"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
    (121, "ech_required"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_the_names_of_their_protocols() {
        for (reason, name) in [
            (Reason::Alert(112), "unrecognized_name"),
            (Reason::Alert(116), "certificate_required"),
            (Reason::Alert(200), "alert_200"),
            (Reason::Status(404), "404"),
            (Reason::ErrorCode(ErrorCode::from_wire(0)), "no_error"),
            (Reason::ErrorCode(ErrorCode::from_wire(11)), "enhance_your_calm"),
            (Reason::ErrorCode(ErrorCode::from_wire(13)), "http_1_1_required"),
            (Reason::ErrorCode(ErrorCode::from_wire(14)), "error_code_other"),
            (Reason::ErrorCode(ErrorCode::from_wire(u32::MAX)), "error_code_other"),
            (Reason::Detail(Detail::CaAsServer), "ca_as_server"),
        ] {
            assert_eq!(reason.to_string(), name);
        }
    }

    #[test]
    fn a_server_cannot_make_more_than_a_bounded_number_of_error_codes() {
        let codes: std::collections::BTreeSet<_> = (0..100_000).map(ErrorCode::from_wire).collect();
        assert_eq!(codes.len(), ERROR_CODES.len() + 1);
    }
}
