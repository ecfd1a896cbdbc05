//! `openssl s_server`: one connection after the other, with OpenSSL's own defaults.

use std::path::Path;
use std::process::Command;

use tlsbench_engine::tls::Issued;

use super::{Server, free_address, installed, write};

/// A running `openssl s_server`.
pub(crate) struct SServer(pub(crate) Server);

impl SServer {
    /// Starts it with more arguments; nothing where openssl is not installed. With `-www` it answers
    /// requests by a page about itself, with `-HTTP` by the files of its folder, which then hold
    /// whole responses. `roots.pem` holds `roots`.
    pub(crate) fn start(
        certificate: &Issued,
        roots: &str,
        files: &[(&str, &str)],
        arguments: &[&str],
    ) -> Option<Self> {
        let program = installed("openssl", "openssl")?;
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        write(&folder, "server.pem", &certificate.chain_pem);
        write(&folder, "server.key", &certificate.key_pem);
        write(&folder, "roots.pem", roots);
        for (name, text) in files {
            write(&folder, name, text);
        }
        let mut command = Command::new(program);
        command.args(["s_server", "-accept", &address.to_string(), "-cert", "server.pem"]);
        command.args(["-cert_chain", "server.pem", "-key", "server.key"]).args(arguments);
        Some(Self(Server::start(command, folder, address)))
    }

    /// Starts it with a certificate and key of any make, for handshakes.
    pub(crate) fn of_files(certificate: &Path, key: &Path, arguments: &[&str]) -> Option<Self> {
        let program = installed("openssl", "openssl")?;
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let mut command = Command::new(program);
        command.args(["s_server", "-www", "-accept", &address.to_string(), "-cert"]);
        command.arg(certificate).arg("-key").arg(key).args(arguments);
        Some(Self(Server::start(command, folder, address)))
    }
}
