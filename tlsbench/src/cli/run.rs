//! The flags of `tlsbench run`: everything that the scenario file says, under the same names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use clap::Args;
use clap::builder::UnknownArgumentValueParser;
use tlsbench_core::scenario::{
    Close, Draft, Group, IpVersion, LoadDraft, LoopName, Pin, ProtocolName, Provider, RequestDraft,
    SpreadName, Suite, TargetDraft, TimeoutDraft, TimingDraft, TlsDraft, Verify, Versions,
};
use tlsbench_core::units::Nanos;

use super::OutputArg;
use crate::settings;

mod placements;

use placements::PlacementArgs;

pub(super) use placements::engines;

/// Endpoints or placements, how to measure them, and where to leave the record.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    /// An endpoint: `NAME=https://host:port/path`, or the URL alone; each is measured by itself.
    #[arg(long = "target", value_name = "NAME=URL", value_parser = target)]
    targets: Vec<TargetDraft>,

    /// A scenario file (TOML); flags win over it.
    #[arg(short = 'c', long, value_name = "FILE.toml")]
    scenario: Option<PathBuf>,

    /// Print the whole scenario, defaults filled in, and measure nothing.
    #[arg(long)]
    print_scenario: bool,

    /// The file for the record [default: runs/<start time>.json].
    #[arg(long, value_name = "FILE.json")]
    record: Option<PathBuf>,

    /// The form of the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputArg,

    #[command(flatten, next_help_heading = "Placements, where no endpoint is named")]
    placements: PlacementArgs,

    #[command(flatten, next_help_heading = "Connections")]
    connections: ConnectionArgs,

    #[command(flatten, next_help_heading = "TLS")]
    tls: TlsArgs,

    #[command(flatten, next_help_heading = "Requests")]
    request: RequestArgs,

    #[command(flatten, next_help_heading = "Load")]
    load: LoadArgs,

    #[command(flatten, next_help_heading = "Time")]
    timing: TimingArgs,

    #[command(flatten, next_help_heading = "Time")]
    timeouts: TimeoutArgs,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ConnectionArgs {
    /// Close every connection once its handshake is confirmed, without a request.
    #[arg(long)]
    handshakes_only: bool,

    /// The way a connection ends: `server`, `fin` or `rst` [default: server; fin where the server
    /// cannot be asked to].
    #[arg(long, value_name = "HOW")]
    close: Option<Close>,

    /// Addresses to connect to instead of what the host resolves to (of every target).
    #[arg(long, value_name = "ADDRESS:PORT,…", value_delimiter = ',', value_parser = socket_address)]
    pub(super) connect_to: Vec<SocketAddr>,

    /// Addresses that connections come from, in turn.
    #[arg(long, value_name = "ADDRESS,…", value_delimiter = ',')]
    sources: Vec<IpAddr>,

    /// Connect to IPv4 addresses alone, of those that a name has [default: the version of
    /// --sources].
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,

    /// Connect to IPv6 addresses alone, likewise.
    #[arg(short = '6', long)]
    ipv6: bool,

    /// Threads, each with its own loop, TLS configuration, sessions and histograms [default: 1].
    #[arg(long, value_name = "NUMBER")]
    threads: Option<u32>,

    /// Pin each thread to a core of its own: always, never, or auto, with two cores to spare.
    /// Several runs at once on one machine would share these cores: never [default: auto].
    #[arg(long, value_name = "WHEN", num_args = 0..=1, default_missing_value = "always")]
    pin: Option<Pin>,

    /// Share of failed operations, 0 to 1, above which the run stops [default: 1; 0.1 where a
    /// target is not on this machine or in a private network].
    #[arg(long, value_name = "SHARE")]
    abort_errors_above: Option<f64>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct TlsArgs {
    /// The versions that are offered: `1.2`, `1.3`, or `1.2,1.3`, of which the server chooses
    /// [default:
    /// 1.2,1.3; 1.3 between placements].
    #[arg(long, value_name = "VERSION,…")]
    tls_version: Option<Versions>,

    /// Suites by preference: `aes-128-gcm`, `aes-256-gcm`, `chacha20-poly1305`.
    #[arg(long, value_name = "SUITE,…", value_delimiter = ',')]
    suites: Vec<Suite>,

    /// Groups by preference: `x25519`, `p256`, `p384`, `x25519mlkem768`.
    #[arg(long, value_name = "GROUP,…", value_delimiter = ',')]
    groups: Vec<Group>,

    /// The provider of cryptography: `ring` or `aws-lc-rs` [default: ring].
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<Provider>,

    /// Share of handshakes that resume a session, 0 to 1 [default: 0].
    #[arg(long, value_name = "SHARE")]
    resume: Option<f64>,

    /// Send the request as early data when resuming.
    #[arg(long)]
    early_data: bool,

    /// PEM file of a client certificate and its chain.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,

    /// PEM file of the key to it.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,

    /// PEM file of the roots that are trusted, read again when it changes [default: the
    /// platform's].
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,

    /// The part of a chain that is verified, and how often: `every`, `same-chain`, `first` or `off`
    /// [default: every].
    #[arg(long, value_name = "HOW")]
    verify: Option<Verify>,

    /// Another name than the URL's host for SNI and verification (of every target).
    #[arg(long, value_name = "NAME")]
    pub(super) sni: Option<String>,

    #[command(flatten)]
    of_curl: CurlFlags,
}

/// Flags of curl that have another name here: each is refused with it.
#[derive(Args, Clone, Debug)]
struct CurlFlags {
    #[arg(long, hide = true, num_args = 0, default_missing_value = "", value_parser =
        UnknownArgumentValueParser::suggest_arg("--verify off"))]
    insecure: Option<String>,
    #[arg(long, hide = true, value_parser =
        UnknownArgumentValueParser::suggest_arg("--ca-bundle"))]
    cacert: Option<String>,
    #[arg(long, hide = true, value_parser =
        UnknownArgumentValueParser::suggest_arg("--client-certificate"))]
    cert: Option<String>,
    #[arg(long, hide = true, value_parser =
        UnknownArgumentValueParser::suggest_arg("--connect-to"))]
    resolve: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct RequestArgs {
    /// `http/1.1` or `h2` [default: http/1.1].
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<ProtocolName>,

    /// Requests at a time on an HTTP/2 connection [default: 1].
    #[arg(long, value_name = "NUMBER")]
    streams: Option<u32>,

    /// The method [default: GET].
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<String>,

    /// A header, `Name: value`.
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(String, String)>,

    /// The body, as text.
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,

    /// The status that counts as success [default: any from 200 to 399].
    #[arg(long, value_name = "STATUS")]
    expect_status: Option<u16>,

    /// The length of body that counts as success.
    #[arg(long, value_name = "BYTES")]
    expect_bytes: Option<u64>,
}

#[derive(Args, Clone, Debug)]
struct LoadArgs {
    /// Arrivals per second: an open loop.
    #[arg(long, value_name = "PER SECOND")]
    rate: Option<f64>,

    /// The spread of arrivals: `even` or `poisson` [default: even].
    #[arg(long, value_name = "HOW", requires = "rate")]
    spread: Option<SpreadName>,

    /// Seed of a Poisson process, or of the order of placements [default: 1].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Most connections of an open loop at a time [default: 1000; 64 with --keep-alive].
    #[arg(long, value_name = "NUMBER", requires = "rate")]
    pool: Option<u32>,

    /// The longest wait of a start for the pool before it counts as missed [default: 5s].
    #[arg(long, value_name = "TIME", requires = "rate")]
    max_wait: Option<Nanos>,

    /// Connections of a closed loop [default: 16; 10 where a target is not on this machine or in a
    /// private network].
    #[arg(short = 'n', long, value_name = "NUMBER", conflicts_with = "rate")]
    connections: Option<u32>,

    /// Keep connections instead of closing them.
    #[arg(short, long)]
    keep_alive: bool,

    /// Requests on each connection before it is closed [default: 1].
    #[arg(long, value_name = "NUMBER", conflicts_with = "keep_alive")]
    requests_per_connection: Option<u64>,
}

#[derive(Args, Clone, Debug)]
struct TimingArgs {
    /// The time that each round is measured [default: 1s].
    #[arg(long, value_name = "TIME")]
    round: Option<Nanos>,

    /// Operations in each round, instead of a time.
    #[arg(long, value_name = "NUMBER", conflicts_with = "round")]
    round_count: Option<u64>,

    /// Rounds of each target; an interval needs at least 10 [default: 10].
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<u32>,

    /// Time before the first round that is not measured [default: 1s].
    #[arg(long, value_name = "TIME")]
    warm_up: Option<Nanos>,

    /// Time from the warm-up's beginning over which the load rises [default: 0s].
    #[arg(long, value_name = "TIME")]
    ramp: Option<Nanos>,
}

/// Time limits: flags that a search has as well.
#[derive(Args, Clone, Debug)]
pub(super) struct TimeoutArgs {
    /// The time limit of an operation, from connecting to the end of the response; beyond it the
    /// operation fails by `timeout` [default: 1m].
    #[arg(long, value_name = "TIME")]
    timeout: Option<Nanos>,

    /// The time limit of connecting [default: 5s].
    #[arg(long, value_name = "TIME")]
    connect_timeout: Option<Nanos>,

    /// The time limit of the TLS handshake [default: 10s].
    #[arg(long, value_name = "TIME")]
    handshake_timeout: Option<Nanos>,

    /// The time limit of a response's first byte, from its request on [default: 30s; as --timeout
    /// where that is given].
    #[arg(long, value_name = "TIME")]
    first_byte_timeout: Option<Nanos>,

    /// The time limit of the whole run, which then ends and keeps what was measured.
    #[arg(long, value_name = "TIME")]
    max_time: Option<Nanos>,
}

impl TimeoutArgs {
    pub(super) const fn draft(&self) -> TimeoutDraft {
        TimeoutDraft {
            operation: self.timeout,
            connect: self.connect_timeout,
            handshake: self.handshake_timeout,
            first_byte: self.first_byte_timeout,
            run: self.max_time,
        }
    }
}

impl RunArgs {
    /// Returns the part of a scenario that the flags say.
    fn draft(&self) -> Draft {
        Draft {
            target: list(&self.targets),
            tls: self.tls.draft(),
            request: self.request.draft(),
            load: self.load.draft(),
            timing: self.timing.draft(),
            timeout: self.timeouts.draft(),
            ..self.connections.draft()
        }
    }

    /// The settings that these flags ask for.
    #[must_use]
    pub(super) fn settings(&self) -> settings::RunSettings {
        settings::RunSettings {
            flags: self.draft(),
            sni: self.tls.sni.clone(),
            connect_to: list(&self.connections.connect_to),
            scenario: self.scenario.clone(),
            print_scenario: self.print_scenario,
            record: self.record.clone(),
            output: self.output.into(),
            lab: self.placements.settings(),
        }
    }
}

impl ConnectionArgs {
    /// Returns the part of a scenario that these flags say, but for addresses, which are each
    /// target's.
    pub(super) fn draft(&self) -> Draft {
        Draft {
            handshakes_only: said(self.handshakes_only),
            close: self.close,
            threads: self.threads,
            pin: self.pin,
            sources: list(&self.sources),
            ip_version: match (self.ipv4, self.ipv6) {
                (true, _) => Some(IpVersion::V4),
                (_, true) => Some(IpVersion::V6),
                _ => None,
            },
            abort_errors_above: self.abort_errors_above,
            ..Draft::default()
        }
    }
}

impl TlsArgs {
    pub(super) fn draft(&self) -> TlsDraft {
        TlsDraft {
            version: self.tls_version,
            suites: list(&self.suites),
            groups: list(&self.groups),
            provider: self.provider,
            resume: self.resume,
            early_data: said(self.early_data),
            client_certificate: self.client_certificate.clone(),
            client_key: self.client_key.clone(),
            ca_bundle: self.ca_bundle.clone(),
            verify: self.verify,
        }
    }
}

impl RequestArgs {
    pub(super) fn draft(&self) -> RequestDraft {
        RequestDraft {
            protocol: self.protocol,
            streams: self.streams,
            method: self.method.clone(),
            headers: list(&self.headers),
            body: self.data.clone(),
            body_base64: None,
            expect_status: self.expect_status,
            expect_bytes: self.expect_bytes,
        }
    }
}

impl LoadArgs {
    fn draft(&self) -> LoadDraft {
        LoadDraft {
            kind: self
                .rate
                .map(|_| LoopName::Open)
                .or_else(|| self.connections.map(|_| LoopName::Closed)),
            keep: said(self.keep_alive),
            requests_per_connection: self.requests_per_connection,
            connections: self.connections,
            rate: self.rate,
            spread: self.spread,
            seed: self.seed,
            pool: self.pool,
            wait_max: self.max_wait,
        }
    }
}

impl TimingArgs {
    const fn draft(&self) -> TimingDraft {
        TimingDraft {
            round: self.round,
            round_count: self.round_count,
            rounds: self.rounds,
            warm_up: self.warm_up,
            ramp: self.ramp,
        }
    }
}

/// A switch that is not set says nothing: the file may say it.
pub(super) fn said(switch: bool) -> Option<bool> {
    switch.then_some(true)
}

pub(super) fn list<T: Clone>(values: &[T]) -> Option<Vec<T>> {
    (!values.is_empty()).then(|| values.to_vec())
}

pub(super) fn target(text: &str) -> Result<TargetDraft, String> {
    // A URL alone may hold `=` in its query, but not before `://`.
    let (name, url) = match text.split_once('=') {
        Some((name, url)) if !name.contains("://") => (Some(name.to_owned()), url),
        _ => (None, text),
    };
    if name.as_deref() == Some("") {
        return Err("the name before `=` is empty".to_owned());
    }
    Ok(TargetDraft { name, url: url.to_owned(), ..TargetDraft::default() })
}

/// An address with a port. The zone of an IPv6 address (RFC 4007) may be an interface's name or its
/// number: the standard library reads numbers only.
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wanted = || "write ADDRESS:PORT, such as 10.0.0.1:443 or [fe80::1%eth0]:443".to_owned();
    let inner = text.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    let (host, port) = inner.ok_or_else(wanted)?;
    let port: u16 = port.parse().map_err(|_| wanted())?;
    let (address, zone) = host.split_once('%').ok_or_else(wanted)?;
    if address.parse::<Ipv6Addr>().is_err() {
        return Err(wanted());
    }
    // getaddrinfo(3) knows interfaces by name. Nothing is resolved: the address was checked above.
    let found = (host, port).to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| format!("this machine has no interface `{zone}`"))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_and_a_url_or_a_url_alone() {
        let read = |text: &str| target(text).map(|t| (t.name, t.url)).unwrap();
        assert_eq!(
            read("lb=https://a.example/x?y=z"),
            (Some("lb".into()), "https://a.example/x?y=z".into())
        );
        assert_eq!(read("https://a.example/?y=z"), (None, "https://a.example/?y=z".into()));
        assert!(target("=https://a.example").is_err());
    }

    #[test]
    fn the_zone_of_an_address_is_an_interface_by_name_or_number() {
        // The loopback interface is the first of every network namespace.
        let [named, numbered] =
            ["[fe80::1%lo]:443", "[fe80::1%1]:443"].map(|text| socket_address(text).unwrap());
        assert_eq!(named, numbered);
        let SocketAddr::V6(named) = named else { panic!("{named}") };
        assert_eq!((named.scope_id(), named.port()), (1, 443));
        assert_eq!(socket_address("10.0.0.1:443").unwrap(), "10.0.0.1:443".parse().unwrap());
        let error = socket_address("[fe80::1%nowhere]:443").unwrap_err();
        assert_eq!(error, "this machine has no interface `nowhere`");
        // A name would have to be resolved, and that is the URL's.
        for text in ["localhost:443", "[localhost%lo]:443", "fe80::1%lo", "[fe80::1%lo]:x", ""] {
            assert!(socket_address(text).unwrap_err().contains("write ADDRESS:PORT"), "{text}");
        }
    }

    #[test]
    fn a_header_has_a_name_and_a_value() {
        assert_eq!(header("X-A:  b:c ").unwrap(), ("X-A".into(), "b:c".into()));
        assert!(header("nonsense").is_err());
    }
}
