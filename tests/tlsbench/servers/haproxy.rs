//! HAProxy: one process in the foreground that answers by itself, with a log line per request.

use std::process::Command;

use tlsbench_engine::tls::Issued;

use super::{Server, free_address, installed, write};

/// A running HAProxy.
pub(crate) struct Haproxy(pub(crate) Server);

impl Haproxy {
    /// Starts it with more words for its `bind` line, where `roots.pem` holds `roots`; nothing
    /// where HAProxy is not installed.
    pub(crate) fn start(certificate: &Issued, roots: &str, bind: &str) -> Option<Self> {
        let program = installed("haproxy", "haproxy")?;
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let config = CONFIG.replace("ADDRESS", &address.to_string()).replace("BIND", bind);
        write(&folder, "haproxy.cfg", &config);
        write(&folder, "roots.pem", roots);
        let both = [&*certificate.chain_pem, &*certificate.key_pem].concat();
        write(&folder, "server.pem", &both);
        let mut command = Command::new(program);
        command.args(["-db", "-f", "haproxy.cfg"]);
        Some(Self(Server::start(command, folder, address)))
    }

    /// Its log, once it has so many lines.
    pub(crate) fn log(&self, wanted: u64) -> Vec<String> {
        let text = self.0.file(super::OUTPUT);
        super::lines(&text, wanted.try_into().unwrap())
    }
}

const CONFIG: &str = r#"
global
  maxconn 200
  nbthread 1
  log stdout format raw local0
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 30s
  option dontlognull
frontend test
  bind ADDRESS ssl crt server.pem BIND
  log global
  log-format "%sslv reused=%[ssl_fc_is_resumed] sni=%[ssl_fc_sni] status=%ST"
  http-request return status 200 content-type text/plain string "well met"
"#;
