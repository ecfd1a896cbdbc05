//! nginx: a master and one worker, with a log that tells how each request came.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value as Json;
use tlsbench_engine::tls::Issued;

use super::{Server, free_address, installed, lines, within, write};

/// A running nginx.
pub(crate) struct Nginx(pub(crate) Server);

/// What nginx is to serve.
pub(crate) struct Served<'s> {
    pub(crate) certificate: &'s Issued,
    /// More words of its `listen` directive.
    pub(crate) listen: &'s str,
    /// Directives of its `server` block, each with its semicolon.
    pub(crate) directives: &'s str,
    /// What answers at `/`.
    pub(crate) location: &'s str,
}

impl<'s> Served<'s> {
    /// A short text, with nginx as it comes.
    pub(crate) fn new(certificate: &'s Issued) -> Self {
        Self { certificate, listen: "", directives: "", location: "return 200 'well met';" }
    }
}

impl Nginx {
    /// Starts it; nothing where nginx is not installed.
    pub(crate) fn start(served: &Served<'_>) -> Option<Self> {
        let program = installed("nginx", "nginx")?;
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let Served { listen, directives, location, .. } = served;
        let config = CONFIG
            .replace("ADDRESS", &address.to_string())
            .replace("LISTEN", listen)
            .replace("DIRECTIVES", directives)
            .replace("LOCATION", location);
        write(&folder, "nginx.conf", &config);
        write(&folder, "server.pem", &served.certificate.chain_pem);
        write(&folder, "server.key", &served.certificate.key_pem);
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        Some(Self(Server::start(command, folder, address)))
    }

    /// Its log, a JSON object for each request, once it has so many.
    pub(crate) fn log(&self, wanted: u64) -> Vec<Json> {
        let lines = lines(&self.0.file("access.log"), wanted.try_into().unwrap());
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How many lines of its log are such, once there are so many, or after a while.
    pub(crate) fn logged(&self, wanted: u64, is_such: impl Fn(&Json) -> bool) -> u64 {
        let mut found = 0;
        within(super::START_MAX, || {
            let text = std::fs::read_to_string(self.0.file("access.log")).unwrap_or_default();
            // The last line may be half written.
            let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            found = lines.filter(&is_such).count() as u64;
            found >= wanted
        });
        found
    }

    /// Serves another certificate from now on.
    pub(crate) fn replace_certificate(&self, certificate: &Issued) {
        std::fs::write(self.0.file("server.pem"), &certificate.chain_pem).unwrap();
        std::fs::write(self.0.file("server.key"), &certificate.key_pem).unwrap();
        let workers = self.workers_started();
        self.0.signal(Signal::HUP);
        let done = within(super::START_MAX, || {
            // The old worker stops accepting before it says that it goes.
            self.workers_started() > workers && self.0.said().contains("gracefully shutting down")
        });
        assert!(done, "nginx did not reload:\n{}", self.0.said());
    }

    fn workers_started(&self) -> usize {
        self.0.said().matches("start worker process ").count()
    }
}

const CONFIG: &str = r#"
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr info;
events { worker_connections 1024; }
http {
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  log_format seen escape=json '{"reused":"$ssl_session_reused","version":"$ssl_protocol",'
    '"suite":"$ssl_cipher","group":"$ssl_curve","alpn":"$ssl_alpn_protocol",'
    '"sni":"$ssl_server_name","status":$status,"nth":$connection_requests,"path":"$request_uri",'
    '"connection":$connection,"protocol":"$server_protocol","early":"$ssl_early_data"}';
  access_log access.log seen;
  keepalive_requests 100000;
  server {
    listen ADDRESS ssl backlog=511 LISTEN;
    ssl_certificate server.pem;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    DIRECTIVES
    location / { LOCATION }
  }
}
"#;
