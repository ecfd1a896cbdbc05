//! Failed handshakes under the names that reports count them by.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};
use tlsbench_core::tally::Failure;

/// The name of a TLS error.
#[must_use]
pub fn failure_of(error: &Error) -> Failure {
    match error {
        Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        | Error::NoApplicationProtocol => Failure::Alpn,
        Error::AlertReceived(_) => Failure::Alert,
        Error::InvalidCertificate(error) => failure_of_certificate(error),
        Error::NoCertificatesPresented => Failure::CertificateOther,
        _ => Failure::TlsOther,
    }
}

/// The name of an error of the socket, or of rustls within one, before the handshake is confirmed.
#[must_use]
pub fn failure_of_io(error: &io::Error) -> Failure {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return failure_of(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Failure::ResetInHandshake,
        io::ErrorKind::TimedOut => Failure::Timeout,
        io::ErrorKind::UnexpectedEof => Failure::Unconfirmed,
        _ => Failure::TlsOther,
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
