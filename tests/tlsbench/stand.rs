//! Placements that stand, for tests that load them: engines, certificates and scenarios.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tlsbench_core::hop::{Cryptography, EngineCounters, HopKind, LinkSecurity};
use tlsbench_core::lab;
use tlsbench_core::placement::{Placement, Role, Wiring};
use tlsbench_core::proxyconf::NginxBuild;
use tlsbench_core::scenario::{
    Draft, LoadDraft, RequestDraft, Scenario, TargetDraft, TimingDraft, TlsDraft, Version,
};
use tlsbench_core::tally::{Shape, Tally};
use tlsbench_core::units::Nanos;
use tlsbench_core::usage::Usage;
use tlsbench_engine::run::{Inputs, Progress, Stop, run};
use tlsbench_engine::tls::{KeyKind, Lab, Purpose};
use tlsbench_engine::topology::{Engine, Network, Topology, TopologyConfig, TopologyError};
use tlsbench_engine::trial::{Trial, TrialError, measure};

use crate::bench::Bench;
use crate::servers::installed;

/// Hops of every placement, from the client on.
pub(crate) const ROLES: [Role; 3] = [Role::Lb, Role::Ingress, Role::Backend];

pub(crate) fn nginx() -> Option<Engine> {
    let program = installed("nginx", "nginx")?;
    // Where Debian's package libnginx-mod-stream puts it; elsewhere it may be built in.
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    let stream_module = module.exists().then(|| module.display().to_string());
    Some(Engine::Nginx(program, NginxBuild { version: (1, 22, 1), stream_module }))
}

pub(crate) fn haproxy() -> Option<Engine> {
    installed("haproxy", "haproxy").map(Engine::Haproxy)
}

pub(crate) fn caddy() -> Option<Engine> {
    installed("caddy", "caddy").map(Engine::Caddy)
}

/// The same engine for every hop that it can be, and builtin hops for others: Caddy is no relay.
pub(crate) fn fitting(engine: &Engine, placement: &Placement) -> BTreeMap<Role, Engine> {
    let is_it = |kind: HopKind| kind.speaks_http() || engine.name() != "caddy";
    let hops = placement.hops.iter().filter(|hop| is_it(hop.kind));
    hops.map(|hop| (hop.role, engine.clone())).collect()
}

/// The same engine for every hop.
pub(crate) fn all(engine: &Engine) -> BTreeMap<Role, Engine> {
    ROLES.map(|role| (role, engine.clone())).into()
}

/// What `tlsbench run` lets links with TLS negotiate.
pub(crate) fn cryptography(key: KeyKind, version: Version) -> Cryptography {
    lab::Lab { key, version, ..lab::Lab::default() }.cryptography()
}

/// A folder with certificates, and how hops are wired there.
pub(crate) struct Stand {
    pub(crate) bench: Bench,
    pub(crate) wiring: Wiring,
}

/// What a client is to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) load: LoadDraft,
    pub(crate) timing: TimingDraft,
    pub(crate) tls: TlsDraft,
    pub(crate) request: RequestDraft,
}

impl Stand {
    /// With ECDSA certificates, TLS 1.3, and no tickets.
    pub(crate) fn new() -> Self {
        Self::with(KeyKind::EcdsaP256, Version::Tls13)
    }

    pub(crate) fn with(key: KeyKind, version: Version) -> Self {
        let bench = Bench::new();
        let names: Vec<String> = ROLES.map(Role::host).into_iter().collect();
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        let lab = Lab::make(&names, &[key], now - day, now + day).unwrap();
        let of = |purpose| lab.identities[&(purpose, key)].clone();
        let client = of(Purpose::Client);
        fs::write(bench.file("ca-bundle.crt"), &lab.root).unwrap();
        fs::write(bench.file("client.pem"), &client.chain).unwrap();
        fs::write(bench.file("client.key"), &client.key.0).unwrap();
        let wiring = Wiring {
            root: lab.root,
            server: of(Purpose::Server),
            client,
            cryptography: cryptography(key, version),
            tickets: 0,
            alpn: Vec::new(),
            pool: 32,
            response_bytes: 120,
            workers: NonZeroU32::MIN,
        };
        Self { bench, wiring }
    }

    /// Puts a placement up in a folder of its own.
    pub(crate) fn start(
        &self,
        placement: &Placement,
        engines: &BTreeMap<Role, Engine>,
        folder: &str,
    ) -> Result<Topology, TopologyError> {
        self.start_on(Network::Loopback, placement, engines, folder)
    }

    /// The same on a network.
    pub(crate) fn start_on(
        &self,
        network: Network<'_>,
        placement: &Placement,
        engines: &BTreeMap<Role, Engine>,
        folder: &str,
    ) -> Result<Topology, TopologyError> {
        let config = TopologyConfig {
            tlsbench: Path::new(env!("CARGO_BIN_EXE_tlsbench")),
            engines,
            folder: &self.bench.file(folder),
            cores: &[],
            counts: true,
            network,
        };
        Topology::start(placement, &self.wiring, &config)
    }

    /// What a client of this placement is told.
    pub(crate) fn scenario(
        &self,
        placement: &Placement,
        topology: &Topology,
        wanted: &Wanted,
    ) -> Scenario {
        let address = topology.address().unwrap();
        let carried = placement.links()[0];
        let (is_tls, is_mtls) = (carried != LinkSecurity::Plain, carried == LinkSecurity::Mtls);
        let scheme = if is_tls { "https" } else { "http" };
        let url = format!("{scheme}://{}:{}/", Role::Lb.host(), address.port());
        let tls = TlsDraft {
            ca_bundle: is_tls.then(|| self.bench.file("ca-bundle.crt")),
            client_certificate: is_mtls.then(|| self.bench.file("client.pem")),
            client_key: is_mtls.then(|| self.bench.file("client.key")),
            ..wanted.tls.clone()
        };
        let draft = Draft {
            target: Some(vec![TargetDraft {
                url,
                connect_to: Some(vec![address]),
                ..TargetDraft::default()
            }]),
            tls: if is_tls { tls } else { TlsDraft::default() },
            load: wanted.load.clone(),
            timing: TimingDraft { rounds: Some(10), ..wanted.timing.clone() },
            request: wanted.request.clone(),
            ..Draft::default()
        };
        let mut scenario = draft.finish().unwrap();
        // A trial is one round; that an interval takes ten is for whoever makes several.
        scenario.timing.rounds = NonZeroU32::MIN;
        scenario
    }

    /// So many requests through a placement that stands, however long they take, and what each hop did
    /// for them from before the first connection until after the last.
    pub(crate) fn load(
        &self,
        placement: &Placement,
        topology: &mut Topology,
        wanted: &Wanted,
        requests: u64,
    ) -> Loaded {
        let mut wanted = wanted.clone();
        (wanted.timing.round, wanted.timing.warm_up) = (None, Some(Nanos(0)));
        wanted.timing.round_count = Some(requests);
        let scenario = self.scenario(placement, topology, &wanted);
        let inputs = Inputs::gather(&scenario).unwrap();
        let (counted, used) = (topology.counted_at_rest().unwrap(), topology.read().unwrap());
        let mut tally = Tally::new();
        let outcome = run(&scenario, &inputs, &Stop::new(), |progress| {
            if let Progress::Slice(slice) = progress {
                tally.add(&slice.tally);
            }
        });
        tally.add(&outcome.unwrap().unmeasured);
        let failed = (tally.failed.clone(), tally.shape.clone());
        assert_eq!((tally.succeeded, tally.failures()), (requests, 0), "{failed:?}");
        let after = topology.counted_at_rest().unwrap();
        let since = counted.into_iter().zip(after).map(|(before, now)| Some(now? - before?));
        let counted = since.collect();
        let spans =
            used.iter().zip(topology.read().unwrap()).map(|(from, to)| to.usage - from.usage);
        Loaded { made: tally.made(), shape: tally.shape, counted, used: spans.collect() }
    }

    /// One round through a placement that stands.
    pub(crate) fn measure(
        &self,
        placement: &Placement,
        topology: &mut Topology,
        wanted: &Wanted,
    ) -> Result<Trial, TrialError> {
        let scenario = self.scenario(placement, topology, wanted);
        let inputs = Inputs::gather(&scenario).unwrap();
        measure(topology, &scenario, &inputs, &Stop::new())
    }
}

/// What came of so many requests.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What the client made.
    pub(crate) made: EngineCounters,
    /// What it negotiated.
    pub(crate) shape: Shape,
    /// What each hop counted, from the client on.
    pub(crate) counted: Vec<Option<EngineCounters>>,
    /// What each hop used.
    pub(crate) used: Vec<Usage>,
}

impl Wanted {
    /// So many connections at a time, each with one request, for a while.
    pub(crate) fn connections(at_a_time: u32) -> Self {
        let mut wanted = Self::default();
        wanted.load.connections = Some(at_a_time);
        wanted.timing.round = Some(Nanos::from_millis(400));
        wanted.timing.warm_up = Some(Nanos::from_millis(100));
        wanted
    }

    /// The same with resumed handshakes.
    pub(crate) fn resumed(at_a_time: u32) -> Self {
        let mut wanted = Self::connections(at_a_time);
        wanted.tls.resume = Some(1.0);
        wanted
    }
}
