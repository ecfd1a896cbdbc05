//! Every placement on the real proxies: it serves, TLS ends where it should, and each hop's CPU time
//! is read.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tlsbench_core::plan::hop::{Carried, Cryptography};
use tlsbench_core::plan::placement::{Known, Placement, Role, Wiring};
use tlsbench_core::plan::{Draft, LoadDraft, TargetDraft, TimingDraft, TlsDraft};
use tlsbench_core::plan::{Group, Provider, Suite, Version};
use tlsbench_core::proxyconf::Build;
use tlsbench_core::units::Nanos;
use tlsbench_engine::run::{Inputs, Stop};
use tlsbench_engine::tls::{KeyKind, Lab, Purpose};
use tlsbench_engine::topology::{Engine, Ground, Topology, TopologyError};
use tlsbench_engine::trial::{HopUse, Trial, TrialError, measure};

use crate::bench::{Bench, Ran};
use crate::servers::installed;

/// Connections of a run, each with one request.
const CONNECTIONS: u64 = 40;
/// Hops of every placement, from the client on.
const ROLES: [Role; 3] = [Role::Lb, Role::Ingress, Role::Backend];

fn nginx() -> Option<Engine> {
    let program = installed("nginx", "nginx")?;
    // Where Debian's package libnginx-mod-stream puts it; elsewhere it may be built in.
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    let stream_module = module.exists().then(|| module.display().to_string());
    Some(Engine::Nginx(program, Build { version: (1, 22, 1), stream_module }))
}

fn haproxy() -> Option<Engine> {
    installed("haproxy", "haproxy").map(Engine::Haproxy)
}

fn lab(folder: &Path) -> Wiring {
    let names: Vec<String> = ROLES.map(Role::host).into_iter().collect();
    let now = SystemTime::now();
    let day = Duration::from_secs(86_400);
    let lab = Lab::make(&names, &[KeyKind::EcdsaP256], now - day, now + day).unwrap();
    let of = |purpose| lab.identities[&(purpose, KeyKind::EcdsaP256)].clone();
    let client = of(Purpose::Client);
    fs::write(folder.join("ca-bundle.crt"), &lab.root).unwrap();
    fs::write(folder.join("client.pem"), &client.chain).unwrap();
    fs::write(folder.join("client.key"), &client.key.0).unwrap();
    Wiring {
        root: lab.root,
        server: of(Purpose::Server),
        client,
        cryptography: Cryptography {
            versions: vec![Version::Tls13],
            suites: vec![Suite::Aes128Gcm],
            groups: vec![Group::X25519],
            provider: Provider::Ring,
        },
        tickets: 0,
        alpn: Vec::new(),
        pool: 32,
        response_bytes: 120,
        workers: NonZeroU32::MIN,
    }
}

/// A run against a placement that stands, each connection with one request.
fn run(bench: &Bench, topology: &Topology, placement: &Placement) -> Ran {
    let address = topology.address().unwrap();
    let carried = placement.links()[0];
    let scheme = if carried == Carried::Plain { "http" } else { "https" };
    let mut command = bench.bare(&["--warm-up", "0s", "--rounds", "10", "--round-count", "4"]);
    let host = Role::Lb.host();
    command.args(["--target", &format!("{scheme}://{host}:{}/", address.port()), "-n", "2"]);
    command.args(["--connect-to", &address.to_string(), "--expect-bytes", "120"]);
    if carried != Carried::Plain {
        command.args(["--ca-bundle", "ca-bundle.crt"]);
    }
    if carried == Carried::Mtls {
        command.args(["--client-certificate", "client.pem", "--client-key", "client.key"]);
    }
    bench.finish(command)
}

/// First requests that each nginx logged: how many connections it had, as many as a hop in front of
/// it made.
fn logged(folder: &Path, role: Role) -> u64 {
    let log = fs::read_to_string(folder.join(role.as_str()).join("handshakes.log"));
    log.unwrap_or_default().lines().count() as u64
}

fn every_placement_stands_and_serves(engine: Option<Engine>) {
    let Some(engine) = engine else { return };
    let bench = Bench::new();
    let wiring = lab(&bench.file(""));
    let engines: BTreeMap<Role, Engine> = ROLES.map(|role| (role, engine.clone())).into();
    let tlsbench = Path::new(env!("CARGO_BIN_EXE_tlsbench"));
    for known in Known::PLACEMENTS.into_iter().chain(Known::TWINS) {
        let placement = known.placement();
        let folder: PathBuf = bench.file(known.as_str());
        let ground =
            Ground { tlsbench, engines: &engines, folder: &folder, cores: &[], counts: true };
        let mut topology = Topology::start(&placement, &wiring, &ground).unwrap();
        let before = topology.read().unwrap();
        let ran = run(&bench, &topology, &placement);
        ran.assert_all_succeeded(CONNECTIONS);
        let after = topology.read().unwrap();
        for ((before, after), hop) in before.iter().zip(&after).zip(topology.hops()) {
            let used = after.usage - before.usage;
            assert!(used.cpu.total.0 > 100_000, "{known}: the {} did nothing: {used:?}", hop.role);
            assert_eq!(after.ended, 0, "{known}: {}", hop.role);
        }
        if engine.name() == "nginx" {
            // Whoever speaks HTTP to the client has its connections; behind it they are pooled.
            let http: Vec<Role> = placement
                .hops
                .iter()
                .filter(|hop| !matches!(hop.kind.as_str(), "relay" | "sni-relay"))
                .map(|hop| hop.role)
                .collect();
            assert_eq!(logged(&folder, http[0]), CONNECTIONS, "{known}");
            for role in &http[1..] {
                assert!((1..10).contains(&logged(&folder, *role)), "{known}: {role}");
            }
        }
    }
}

#[test]
fn builtin_hops_are_every_hop_of_every_placement() {
    every_placement_stands_and_serves(Some(Engine::Builtin));
}

#[test]
fn nginx_is_every_hop_of_every_placement() {
    every_placement_stands_and_serves(nginx());
}

#[test]
fn haproxy_is_every_hop_of_every_placement() {
    every_placement_stands_and_serves(haproxy());
}

#[test]
fn a_client_without_a_certificate_is_turned_away_where_both_sides_have_one() {
    let (Some(nginx), Some(haproxy)) = (nginx(), haproxy()) else { return };
    let bench = Bench::new();
    let wiring = lab(&bench.file(""));
    let tlsbench = Path::new(env!("CARGO_BIN_EXE_tlsbench"));
    let mut plain = Known::Mtls.placement();
    // Seen from the client it is TLS, and it gives no certificate.
    plain.hops[0].listen = Carried::Tls;
    for engine in [nginx, haproxy] {
        let engines: BTreeMap<Role, Engine> = ROLES.map(|role| (role, engine.clone())).into();
        let folder = bench.file(engines[&Role::Lb].name());
        let ground =
            Ground { tlsbench, engines: &engines, folder: &folder, cores: &[], counts: false };
        let topology = Topology::start(&Known::Mtls.placement(), &wiring, &ground).unwrap();
        let ran = run(&bench, &topology, &plain);
        assert_eq!(ran.succeeded(), 0, "{ran:#?}");
    }
}

#[test]
fn a_proxy_that_refuses_its_configuration_says_why() {
    let (Some(nginx), Some(haproxy)) = (nginx(), haproxy()) else { return };
    let bench = Bench::new();
    let mut wiring = lab(&bench.file(""));
    wiring.server.chain = "no certificate".to_owned();
    let tlsbench = Path::new(env!("CARGO_BIN_EXE_tlsbench"));
    for engine in [nginx, haproxy] {
        let engines = BTreeMap::from([(Role::Backend, engine.clone())]);
        let folder = bench.file(engine.name());
        let ground =
            Ground { tlsbench, engines: &engines, folder: &folder, cores: &[], counts: false };
        let error = Topology::start(&Known::Passthrough.placement(), &wiring, &ground).unwrap_err();
        assert!(matches!(error, TopologyError::Process { role: Role::Backend, .. }), "{error}");
        let text = format!("{:#}", anyhow::Error::from(error));
        assert!(text.contains("server.pem"), "{text}");
    }
}

/// One round of connections through a placement, with what each hop used.
fn trial(
    bench: &Bench,
    wiring: &Wiring,
    engine: &Engine,
    placement: &Placement,
    timing: &TimingDraft,
) -> Result<Trial, TrialError> {
    let engines: BTreeMap<Role, Engine> = ROLES.map(|role| (role, engine.clone())).into();
    let folder = bench.file(&format!("{}-{}", engine.name(), placement.name));
    let tlsbench = Path::new(env!("CARGO_BIN_EXE_tlsbench"));
    let ground = Ground { tlsbench, engines: &engines, folder: &folder, cores: &[], counts: false };
    let mut topology = Topology::start(placement, wiring, &ground).unwrap();
    let address = topology.address().unwrap();
    let carried = placement.links()[0];
    let scheme = if carried == Carried::Plain { "http" } else { "https" };
    let draft = Draft {
        target: Some(vec![TargetDraft {
            url: format!("{scheme}://{}:{}/", Role::Lb.host(), address.port()),
            connect_to: Some(vec![address]),
            ..TargetDraft::default()
        }]),
        tls: TlsDraft {
            ca_bundle: (carried != Carried::Plain).then(|| bench.file("ca-bundle.crt")),
            client_certificate: (carried == Carried::Mtls).then(|| bench.file("client.pem")),
            client_key: (carried == Carried::Mtls).then(|| bench.file("client.key")),
            ..TlsDraft::default()
        },
        load: LoadDraft { connections: Some(8), ..LoadDraft::default() },
        timing: TimingDraft { rounds: Some(10), ..timing.clone() },
        ..Draft::default()
    };
    let mut scenario = draft.finish().unwrap();
    // A trial is one round; that an interval takes ten is for whoever makes several.
    scenario.timing.rounds = NonZeroU32::MIN;
    let inputs = Inputs::gather(&scenario).unwrap();
    measure(&mut topology, &scenario, &inputs, &Stop::new())
}

/// CPU time per connection of each hop, from the client on.
fn cost(bench: &Bench, wiring: &Wiring, engine: &Engine, placement: &Placement) -> Vec<f64> {
    let timing = TimingDraft {
        round: Some(Nanos::from_millis(400)),
        warm_up: Some(Nanos::from_millis(100)),
        ..TimingDraft::default()
    };
    let trial = trial(bench, wiring, engine, placement, &timing).unwrap();
    let slice = trial.slice.unwrap();
    assert!(slice.tally.succeeded >= 50 && slice.tally.failed.is_empty(), "{:?}", slice.tally);
    let seen: Vec<Role> = trial.hops.iter().map(|hop| hop.role).collect();
    assert_eq!(seen, ROLES, "{}", placement.name);
    let per_connection = |hop: &HopUse| hop.usage.cpu.total.0 as f64 / slice.tally.succeeded as f64;
    trial.hops.iter().map(per_connection).collect()
}

/// A counted round can be over before anybody looks at its hops: that they used nothing would be a lie.
#[test]
fn a_round_is_told_with_what_its_hops_used_or_not_at_all() {
    let bench = Bench::new();
    let wiring = lab(&bench.file(""));
    let timing = TimingDraft {
        round_count: Some(1),
        warm_up: Some(Nanos::default()),
        ..TimingDraft::default()
    };
    let plaintext = Known::Plaintext.placement();
    match trial(&bench, &wiring, &Engine::Builtin, &plaintext, &timing) {
        Ok(trial) => assert_eq!(trial.hops.len(), ROLES.len()),
        Err(error) => assert!(matches!(error, TrialError::Unread), "{error}"),
    }
}

/// A full handshake costs its server a signature and a key agreement, which is more than all else that
/// a small request costs it: so whoever has the key shows by its CPU time.
#[test]
fn what_tls_costs_is_found_at_the_hop_that_ends_it() {
    let (Some(nginx), Some(haproxy)) = (nginx(), haproxy()) else { return };
    let bench = Bench::new();
    let wiring = lab(&bench.file(""));
    for engine in [Engine::Builtin, nginx, haproxy] {
        for (known, ends) in
            [(Known::LbTerminate, 0), (Known::IngressTerminate, 1), (Known::Passthrough, 2)]
        {
            let placement = known.placement();
            let with = cost(&bench, &wiring, &engine, &placement);
            let without = cost(&bench, &wiring, &engine, &placement.twin());
            let added: Vec<f64> = with.iter().zip(&without).map(|(a, b)| a - b).collect();
            let others = added.iter().enumerate().filter(|(hop, _)| *hop != ends);
            let most = others.map(|(_, added)| *added).fold(0.0, f64::max);
            // A relay has more packets to pass on, which on a busy machine costs it half as much.
            assert!(
                added[ends] > 0.3 * without[ends] && added[ends] > 1.5 * most,
                "{} {known}: {added:.0?} ns per connection are added",
                engine.name()
            );
        }
    }
}
