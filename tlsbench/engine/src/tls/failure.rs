//! Failed handshakes under the names that reports count them by, with their details.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use tlsbench_core::tally::{Detail, Failed, Failure, Reason};

/// The name of a TLS error, with its detail where there is one.
#[must_use]
pub fn failure_of(error: &Error) -> Failed {
    match error {
        Error::AlertReceived(alert) => {
            let is_alpn = *alert == AlertDescription::NoApplicationProtocol;
            let failure = if is_alpn { Failure::Alpn } else { Failure::Alert };
            Failed::new(failure, Reason::Alert(u8::from(*alert)))
        }
        Error::NoApplicationProtocol => Failure::Alpn.into(),
        Error::InvalidCertificate(error) => Failed {
            failure: failure_of_certificate(error),
            reason: detail_of_certificate(error).map(Reason::Detail),
        },
        Error::NoCertificatesPresented => Failure::CertificateOther.into(),
        other => {
            Failed { failure: Failure::TlsOther, reason: detail_of_tls(other).map(Reason::Detail) }
        }
    }
}

/// The name of an error of the socket, or of rustls within one, before the handshake is confirmed.
#[must_use]
pub fn failure_of_io(error: &io::Error) -> Failed {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return failure_of(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Failure::ResetInHandshake.into(),
        io::ErrorKind::TimedOut => Failure::Timeout.into(),
        io::ErrorKind::UnexpectedEof => Failure::Unconfirmed.into(),
        _ => Failure::TlsOther.into(),
    }
}

fn failure_of_certificate(error: &CertificateError) -> Failure {
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Failure::CertificateTime,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Failure::CertificateName
        }
        CertificateError::UnknownIssuer => Failure::CertificateUnknownCa,
        _ => Failure::CertificateOther,
    }
}

/// Details that the error alone tells; what needs the chain is `refusal`'s.
fn detail_of_certificate(error: &CertificateError) -> Option<Detail> {
    Some(match error {
        CertificateError::BadEncoding => Detail::Unreadable,
        CertificateError::BadSignature => Detail::BadSignature,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Detail::Expired,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Detail::NotForServers
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            Detail::NoSubjectAltName
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Detail::NotYetValid
        }
        CertificateError::UnhandledCriticalExtension => Detail::CriticalExtension,
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Detail::SignatureAlgorithm
        }
        CertificateError::Other(other) => {
            return other.0.downcast_ref().and_then(detail_of_webpki);
        }
        _ => return None,
    })
}

/// Details of what webpki has a name for and rustls has not.
fn detail_of_webpki(error: &webpki::Error) -> Option<Detail> {
    Some(match error {
        webpki::Error::CaUsedAsEndEntity => Detail::CaAsServer,
        webpki::Error::EmptyEkuExtension => Detail::NotForServers,
        webpki::Error::EndEntityUsedAsCa => Detail::IssuerIsNoCa,
        webpki::Error::ExtensionValueInvalid
        | webpki::Error::InvalidSerialNumber
        | webpki::Error::MalformedDnsIdentifier
        | webpki::Error::MalformedExtensions => Detail::Unreadable,
        webpki::Error::InvalidNetworkMaskConstraint
        | webpki::Error::MalformedNameConstraint
        | webpki::Error::NameConstraintViolation => Detail::NameConstraints,
        webpki::Error::PathLenConstraintViolated => Detail::PathLength,
        webpki::Error::UnsupportedCertVersion => Detail::X509V1,
        webpki::Error::UnsupportedCriticalExtension => Detail::CriticalExtension,
        _ => return None,
    })
}

const fn detail_of_tls(error: &Error) -> Option<Detail> {
    Some(match error {
        Error::DecryptError => Detail::Decrypt,
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => Detail::Protocol,
        // The first bytes of a response in plain HTTP, or of whatever else the port speaks.
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => Detail::NotTls,
        Error::InvalidMessage(_) => Detail::Unreadable,
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => Detail::Version,
        Error::PeerIncompatible(_) => Detail::Parameters,
        _ => return None,
    })
}
