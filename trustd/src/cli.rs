//! The command line: verbs, flags and their help. What they mean is decided in `cmd`.

mod run;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use trustd_core::time::Timestamp;

use crate::settings::{ServerAddress, duration, go_bool, listed_namespace, namespace};
pub use run::{Connection, ElectionFlags, LogFormat, Planning, Run, Telling, Webhook};

/// Distributes CA bundles to Kubernetes namespaces, and looks into bundles and chains.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "trustd",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = EXIT_CODES
)]
pub struct Cli {
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs of the program.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Print the CustomResourceDefinition of Bundles as YAML
    Crd,
    /// Tell what a run would create, change, delete or refuse, files against files
    #[command(after_help = DIFF_NOTES)]
    Diff(Diff),
    /// List every certificate in PEM or DER files
    #[command(after_help = INSPECT_NOTES)]
    Inspect(Inspect),
    /// Make the targets of Bundles from manifest files, without a cluster
    #[command(after_help = RENDER_NOTES)]
    Render(Render),
    /// Keep the targets of every Bundle of a cluster as they should be
    #[command(after_help = RUN_NOTES)]
    Run(Box<Run>),
    /// Tell whether a chain verifies against a bundle, and if not, which link fails and why
    #[command(after_help = VERIFY_NOTES)]
    Verify(Verify),
}

/// The format of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One JSON document with every field, for programs
    Json,
    /// Text for people
    #[default]
    Table,
}

/// The inputs of `render` and `diff`, and the flags of a run that affect planning.
#[derive(Args, Clone, Debug)]
pub struct Offline {
    /// Manifests: YAML or JSON files, directories of them, or `-` for stdin
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "PATH|-",
        required = true,
        num_args = 1..
    )]
    pub filenames: Vec<PathBuf>,

    /// The namespace of ConfigMaps and Secrets that do not name one
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default", value_parser = namespace)]
    pub namespace: String,

    /// The namespace that sources are read from
    #[arg(long, value_name = "NAMESPACE", default_value = "cert-manager", value_parser = namespace)]
    pub trust_namespace: String,

    /// The only namespaces that are written to [default: all]
    #[arg(long, value_name = "NAMESPACE,…", value_delimiter = ',', value_parser = listed_namespace)]
    pub target_namespaces: Vec<String>,

    /// The default CA package, a JSON file made for trust-manager
    #[arg(long, value_name = "FILE.json")]
    pub default_package_location: Option<PathBuf>,

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

    /// Exit with 1 if there is any warning
    #[arg(long)]
    pub strict: bool,
}

/// The arguments of `trustd diff`.
#[derive(Args, Clone, Debug)]
pub struct Diff {
    #[command(flatten)]
    pub offline: Offline,

    /// Manifests that hold the targets as they are, such as a dump of a cluster [default: those of
    /// --filename]
    #[arg(long, value_name = "PATH|-", num_args = 1..)]
    pub against: Vec<PathBuf>,

    /// Format of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
}

/// The arguments of `trustd render`.
#[derive(Args, Clone, Debug)]
pub struct Render {
    #[command(flatten)]
    pub offline: Offline,

    /// Write DIR/NAMESPACE/BUNDLE/KEY files instead of printing objects
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Do it again whenever a file changes, until stopped
    #[arg(long)]
    pub watch: bool,

    /// Format of objects; with --out, `json` prints what was written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: RenderOutput,
}

/// The format of printed objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RenderOutput {
    /// One JSON document, a v1 List
    Json,
    /// Documents that kubectl applies
    #[default]
    Yaml,
}

/// The arguments of `trustd inspect`.
#[derive(Args, Clone, Debug)]
pub struct Inspect {
    /// Files to read, PEM or DER (told apart by content); `-` is stdin
    #[arg(value_name = "PATH|-", required = true)]
    pub paths: Vec<PathBuf>,

    /// Format of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
}

/// The arguments of `trustd verify`.
#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// The bundle: every certificate in it is a trust anchor; `-` is stdin
    #[arg(long, value_name = "FILE|-")]
    pub roots: PathBuf,

    #[command(flatten)]
    pub source: ChainSource,

    /// The DNS name or IP address that the certificate must be valid for [default with --connect:
    /// the host]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Purpose that the certificate must be good for
    #[arg(long, value_enum, default_value_t, value_name = "PURPOSE")]
    pub purpose: Purpose,

    /// Judge as if it were this time [default: now]
    #[arg(long, value_name = "RFC3339")]
    pub at: Option<Timestamp>,

    /// Format of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,

    /// Time that --connect may take as a whole.
    #[arg(long, hide = true, value_parser = duration, default_value = "10s")]
    pub timeout: Duration,
}

/// Exactly one place that a chain comes from.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct ChainSource {
    /// A file with the certificate first and its intermediates after it; `-` is stdin
    #[arg(long, value_name = "FILE|-")]
    pub cert: Option<PathBuf>,

    /// A server to ask for its chain with a TLS handshake
    #[arg(long, value_name = "HOST:PORT")]
    pub connect: Option<ServerAddress>,
}

/// The purpose that a certificate is checked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    /// Anything; CA certificates too
    Any,
    /// A TLS client
    Client,
    /// A TLS server
    #[default]
    Server,
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 the answer is no, 2 could not do it.";

const RENDER_NOTES: &str = "\
Does what the API server would do with the manifests (defaults, stringData, the name label of
Namespaces), then plans as a run would. What is wrong, left out or odd is told on stderr: so is each
field that the API server does not know and would drop, with the field that was probably meant.

Exit codes: 0 every Bundle would be synced, 1 some would not (with --strict also: there is a
warning), 2 a file cannot be read or a Bundle is invalid.

Examples:
  trustd render -f manifests/
  kubectl get bundles,namespaces -o yaml | trustd render -f - sources.yaml --out trust/";

const DIFF_NOTES: &str = "\
What only a cluster knows, such as UIDs, is compared where both sides have it. `share` is an update of
an object that is somebody else's: it keeps its owner. `release` takes our keys out of one.

Exit codes: 0 no difference, 1 some, or a Bundle would not be synced (with --strict also: there is a
warning), 2 a file cannot be read or a Bundle is invalid.

Example: trustd diff -f manifests/ --against dump.yaml";

const INSPECT_NOTES: &str = "\
Text between PEM blocks is passed over. Blocks that are not certificates, such as private keys, \
are named with their line and never quoted. Cells of the table are cut to 200 characters.

Exit codes: 0 every block is a sound certificate, 1 some are not, 2 a file cannot be read or \
holds no certificate.

Example:
  trustd inspect /etc/ssl/certs/ca-certificates.crt";

const RUN_NOTES: &str = "\
Takes the flags of trust-manager, those of its webhook too, which trustd does not have. Runs until it
gets SIGTERM or SIGINT: then it finishes the writes in flight and gives the lease back.

Exit codes: 0 stopped, 2 failed; with --dry-run 0 nothing to change, 1 something, 2 failed.";

const VERIFY_NOTES: &str = "\
The verdict is that of rustls. Every certificate in the bundle is a trust anchor, self-signed or \
not, as in Go and rustls; `openssl verify -CAfile` wants a self-signed end unless told \
-partial_chain. Where OpenSSL or Go are known to be stricter, a warning says so; what `openssl \
verify -x509_strict` and -policy_check add has none. Revocation is not checked.

Exit codes: 0 verified, 1 not verified, 2 no verdict.

Examples:
  trustd verify --roots ca-bundle.crt --cert payments.crt --name payments.production.svc
  trustd verify --roots ca-bundle.crt --connect payments.production.svc:443";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_chain_comes_from_exactly_one_place() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("trustd verify --roots r --cert c").is_ok());
        assert!(parse("trustd verify --roots r --connect h:1").is_ok());
        assert!(parse("trustd verify --roots r").is_err());
        assert!(parse("trustd verify --roots r --cert c --connect h:1").is_err());
        assert!(parse("trustd verify --roots r --connect h").is_err());
        assert!(
            parse("trustd verify --roots=r --cert=c --at=2027-01-31T00:00:00Z -o=json").is_ok()
        );
    }
}
