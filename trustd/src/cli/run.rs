//! The flags of `trustd run`: trust-manager's under its names and defaults, and trustd's own.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use crate::settings::{duration, go_bool, listed_namespace, namespace};

/// The arguments of `trustd run`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    #[command(flatten)]
    pub planning: Planning,

    #[command(flatten)]
    pub election: ElectionFlags,

    #[command(flatten)]
    pub telling: Telling,

    #[command(flatten)]
    pub connection: Connection,

    #[command(flatten)]
    pub webhook: Webhook,

    /// Targets that are written at the same time
    #[arg(long, value_name = "N", default_value = "32")]
    pub write_concurrency: NonZeroUsize,

    /// Show what a run would change now, write nothing, and leave
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set,
          value_parser = go_bool)]
    pub dry_run: bool,
}

/// The flags that planning heeds.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "What is distributed")]
pub struct Planning {
    /// The namespace that sources are read from
    #[arg(long, value_name = "NAMESPACE", default_value = "cert-manager", value_parser = namespace)]
    pub trust_namespace: String,

    /// The only namespaces that are written to [default: all]
    #[arg(long, value_name = "NAMESPACE,…", value_delimiter = ',', value_parser = listed_namespace)]
    pub target_namespaces: Vec<String>,

    /// The default CA package, a JSON file made for trust-manager
    #[arg(long, value_name = "FILE.json", default_value = "", hide_default_value = true,
          value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub default_package_location: PathBuf,

    /// Allow writing Secrets
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set,
          value_parser = go_bool)]
    pub secret_targets_enabled: bool,

    /// Leave out certificates past their notAfter
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set,
          value_parser = go_bool)]
    pub filter_expired_certificates: bool,

    /// Leave out certificates that basicConstraints does not call a CA
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set,
          value_parser = go_bool)]
    pub filter_non_ca_certs: bool,
}

/// Leader election.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Leader election")]
pub struct ElectionFlags {
    /// Let only one process of several write
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set,
          value_parser = go_bool)]
    pub leader_elect: bool,

    /// Time that others leave the lease of a silent leader alone
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "15s")]
    pub leader_election_lease_duration: Duration,

    /// Time that a leader goes on without renewing its lease
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    pub leader_election_renew_deadline: Duration,

    /// The namespace of the Lease [default: the one this process runs in]
    #[arg(long, value_name = "NAMESPACE", value_parser = namespace)]
    pub leader_election_namespace: Option<String>,
}

/// Logs and pages.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs, health and metrics")]
pub struct Telling {
    /// Format of log lines
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,

    /// Verbosity of the log: 0 warnings, 1 what happens, 2 details, 5 everything
    #[arg(short = 'v', long, value_name = "N", default_value_t = 1)]
    pub log_level: u8,

    /// The port of the health pages
    #[arg(long, value_name = "PORT", default_value_t = 6060)]
    pub readiness_probe_port: u16,

    /// The path of the readiness page
    #[arg(long, value_name = "PATH", default_value = "/readyz")]
    pub readiness_probe_path: String,

    /// The port of the metrics page
    #[arg(long, value_name = "PORT", default_value_t = 9402)]
    pub metrics_port: u16,

    /// Silence after which a watch is dead. For tests: bookmarks come once a minute.
    #[arg(long, value_name = "DURATION", hide = true, value_parser = duration,
          default_value = "90s")]
    pub watch_silence_max: Duration,

    /// Time that a watch may be out of sync before the process is not ready. For tests.
    #[arg(long, value_name = "DURATION", hide = true, value_parser = duration,
          default_value = "2m")]
    pub watch_unsynced_max: Duration,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// Text for people
    #[default]
    Text,
}

/// kubectl's flags.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The kubeconfig file [default: $KUBECONFIG, ~/.kube/config, or the Pod's service account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// The cluster of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,

    /// The user of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// The API server
    #[arg(short, long, value_name = "URL")]
    pub server: Option<String>,

    /// The namespace of the connection; nothing that trustd does depends on it.
    #[arg(short, long, hide = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// A bearer token
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,

    /// Act as this user
    #[arg(long = "as", value_name = "USER")]
    pub as_user: Option<String>,

    /// Act as the user with this UID
    #[arg(long, value_name = "UID")]
    pub as_uid: Option<String>,

    /// Act as a member of this group; may be given several times
    #[arg(long, value_name = "GROUP")]
    pub as_group: Vec<String>,

    /// The CA of the API server's certificate
    #[arg(long, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,

    /// A client certificate
    #[arg(long, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,

    /// The key of the client certificate
    #[arg(long, value_name = "FILE")]
    pub client_key: Option<PathBuf>,

    /// Do not check the API server's certificate
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set, value_parser = go_bool)]
    pub insecure_skip_tls_verify: Option<bool>,

    /// The name in the API server's certificate
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,

    /// Time that one request may take; 0 is no limit beyond trustd's own
    #[arg(long, value_name = "DURATION", default_value = "0", hide_default_value = true,
          value_parser = duration)]
    pub request_timeout: Duration,

    /// The directory in which kubectl caches discovery; trustd caches nothing.
    #[arg(long, hide = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Request uncompressed responses; trustd always does.
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set, value_parser = go_bool)]
    pub disable_compression: Option<bool>,
}

/// trust-manager's flags for its webhook, which trustd does not have. Accepted with a warning.
#[derive(Args, Clone, Debug, Default)]
pub struct Webhook {
    /// The address on which a webhook would listen.
    #[arg(long, hide = true, value_name = "HOST")]
    pub webhook_host: Option<String>,

    /// The port of the webhook.
    #[arg(long, hide = true, value_name = "PORT")]
    pub webhook_port: Option<u16>,

    /// The directory of a webhook's certificate.
    #[arg(long, hide = true, value_name = "DIR")]
    pub webhook_certificate_dir: Option<PathBuf>,

    /// The webhook's lowest TLS version.
    #[arg(long, hide = true, value_name = "VERSION")]
    pub tls_min_version: Option<String>,

    /// The webhook's cipher suites.
    #[arg(long, hide = true, value_name = "NAMES")]
    pub tls_cipher_suites: Option<String>,

    /// The webhook's curves.
    #[arg(long, hide = true, value_name = "NUMBERS")]
    pub tls_curve_preferences: Option<String>,
}

impl Webhook {
    /// The flags that were given.
    #[must_use]
    pub fn given(&self) -> Vec<&'static str> {
        let Self {
            webhook_host,
            webhook_port,
            webhook_certificate_dir,
            tls_min_version,
            tls_cipher_suites,
            tls_curve_preferences,
        } = self;
        let given = [
            ("--webhook-host", webhook_host.is_some()),
            ("--webhook-port", webhook_port.is_some()),
            ("--webhook-certificate-dir", webhook_certificate_dir.is_some()),
            ("--tls-min-version", tls_min_version.is_some()),
            ("--tls-cipher-suites", tls_cipher_suites.is_some()),
            ("--tls-curve-preferences", tls_curve_preferences.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::controller::WatchLimits;

    fn parse(line: &str) -> Result<Run, clap::Error> {
        let words = ["trustd", "run"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| match cli.verb {
            Verb::Run(run) => *run,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn defaults_are_those_of_trust_manager() {
        let run = parse("").unwrap();
        assert_eq!(run.planning.trust_namespace, "cert-manager");
        assert!(run.planning.target_namespaces.is_empty());
        assert_eq!(run.planning.default_package_location, PathBuf::new());
        assert!(!run.planning.secret_targets_enabled && !run.planning.filter_non_ca_certs);
        assert!(!run.planning.filter_expired_certificates);
        assert!(run.election.leader_elect);
        assert_eq!(run.election.leader_election_lease_duration, Duration::from_secs(15));
        assert_eq!(run.election.leader_election_renew_deadline, Duration::from_secs(10));
        assert_eq!((run.telling.readiness_probe_port, run.telling.metrics_port), (6060, 9402));
        assert_eq!(run.telling.readiness_probe_path, "/readyz");
        assert_eq!((run.telling.log_level, run.telling.log_format), (1, LogFormat::Text));
        assert_eq!(run.write_concurrency.get(), 32);
        let limits = (run.telling.watch_silence_max, run.telling.watch_unsynced_max);
        let WatchLimits { silence, unsynced } = WatchLimits::default();
        assert_eq!(limits, (silence, unsynced), "the flags and the constants are in step");
        assert!(!run.dry_run && run.webhook.given().is_empty());
    }

    #[test]
    fn flags_are_taken_in_the_forms_of_pflag() {
        let run = parse(
            "--leader-elect=false --secret-targets-enabled --filter-non-ca-certs=T -v=2 \
             --metrics-port 9 --readiness-probe-port=8 --target-namespaces a,b --target-namespaces=c \
             --leader-election-lease-duration 1m30s --log-format=json -n x -s https://h:1 \
             --as u --as-group g --as-group=h --insecure-skip-tls-verify --request-timeout 5s",
        )
        .unwrap();
        assert!(!run.election.leader_elect && run.planning.secret_targets_enabled);
        assert!(run.planning.filter_non_ca_certs);
        assert_eq!(run.telling.log_level, 2);
        assert_eq!((run.telling.metrics_port, run.telling.readiness_probe_port), (9, 8));
        assert_eq!(run.planning.target_namespaces, ["a", "b", "c"]);
        assert_eq!(run.election.leader_election_lease_duration, Duration::from_secs(90));
        assert_eq!(run.telling.log_format, LogFormat::Json);
        assert_eq!(run.connection.as_group, ["g", "h"]);
        assert_eq!(run.connection.insecure_skip_tls_verify, Some(true));
        for form in ["-v 3", "-v3", "--log-level=3", "--log-level 3"] {
            assert_eq!(parse(form).unwrap().telling.log_level, 3, "{form}");
        }
        assert!(parse("--leader-elect=maybe").is_err());
        assert!(parse("--write-concurrency 0").is_err());
        assert!(parse("--no-such-flag").is_err());
        // Accepted, as the peer accepts them, and not offered: they change nothing here.
        let idle = "--namespace x --cache-dir /tmp --disable-compression=false";
        assert!(parse(idle).is_ok());
        let help = Cli::try_parse_from(["trustd", "run", "--help"]).unwrap_err().to_string();
        for flag in ["--namespace ", "--cache-dir", "--disable-compression", "--default-package "] {
            assert!(!help.contains(flag), "{flag}: {help}");
        }
    }

    #[test]
    fn flags_of_the_webhook_are_accepted_and_named() {
        let run = parse(
            "--webhook-host 0.0.0.0 --webhook-port=6443 --webhook-certificate-dir /tls \
             --tls-min-version VersionTLS12 --tls-cipher-suites=a,b --tls-curve-preferences 29",
        )
        .unwrap();
        assert_eq!(run.webhook.given().len(), 6);
    }
}
