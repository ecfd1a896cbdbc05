//! Every placement on the real proxies: it serves, TLS ends where it should, each hop's CPU time is
//! read, and each counts what the client made.

use std::collections::BTreeMap;

use tlsbench_core::hop::{EngineCounters, LinkSecurity};
use tlsbench_core::placement::{KnownPlacement, Placement, Role};
use tlsbench_core::scenario::TimingDraft;
use tlsbench_core::units::Nanos;
use tlsbench_engine::topology::{Engine, Topology, TopologyError};
use tlsbench_engine::trial::{Trial, TrialError};

use crate::bench::Ran;
use crate::stand::{ROLES, Stand, Wanted, all, caddy, fitting, haproxy, nginx};

/// Connections of a run, each with one request.
const CONNECTIONS: u64 = 40;

/// A run of the program against a placement that stands, each connection with one request.
fn run(stand: &Stand, topology: &Topology, placement: &Placement) -> Ran {
    let bench = &stand.bench;
    let address = topology.address().unwrap();
    let carried = placement.links()[0];
    let scheme = if carried == LinkSecurity::Plain { "http" } else { "https" };
    let mut command = bench.bare(&["--warm-up", "0s", "--rounds", "10", "--round-count", "4"]);
    let host = Role::Lb.host();
    command.args(["--target", &format!("{scheme}://{host}:{}/", address.port()), "-n", "2"]);
    command.args(["--connect-to", &address.to_string(), "--expect-bytes", "120"]);
    if carried != LinkSecurity::Plain {
        command.args(["--ca-bundle", "ca-bundle.crt"]);
    }
    if carried == LinkSecurity::Mtls {
        command.args(["--client-certificate", "client.pem", "--client-key", "client.key"]);
    }
    bench.finish(command)
}

/// Hops that have the client's connections: relays, and the first that is none.
fn has_connections_of_client(placement: &Placement, hop: usize) -> bool {
    let before = &placement.hops[..hop];
    before.iter().all(|hop| !hop.kind.speaks_http())
}

fn every_placement_stands_and_serves(engine: Option<Engine>) {
    let Some(engine) = engine else { return };
    let stand = Stand::new();
    for known in KnownPlacement::PLACEMENTS.into_iter().chain(KnownPlacement::TWINS) {
        let placement = known.placement();
        let engines = fitting(&engine, &placement);
        let mut topology = stand.start(&placement, &engines, known.as_str()).unwrap();
        let began = topology.counted_at_rest().unwrap();
        let before = topology.read().unwrap();
        let ran = run(&stand, &topology, &placement);
        ran.assert_all_succeeded(CONNECTIONS);
        let after = topology.read().unwrap();
        for ((before, after), hop) in before.iter().zip(&after).zip(topology.hops()) {
            let used = after.usage - before.usage;
            assert!(used.cpu.total.0 > 100_000, "{known}: the {} did nothing: {used:?}", hop.role);
            assert_eq!(after.ended, 0, "{known}: {}", hop.role);
        }
        let counted = topology.counted_at_rest().unwrap();
        for (index, (began, counted)) in began.into_iter().zip(counted).enumerate() {
            let hop = &placement.hops[index];
            let is_caddy = engines.get(&hop.role).is_some_and(|engine| engine.name() == "caddy");
            assert_eq!(counted.is_none(), is_caddy, "{known} {}", hop.role);
            let (Some(began), Some(counted)) = (began, counted) else { continue };
            let counted = counted - began;
            // Whoever speaks HTTP to the client has its connections; behind it they are pooled.
            if has_connections_of_client(&placement, index) {
                assert_eq!(counted.connections, CONNECTIONS, "{known} {}: {counted:?}", hop.role);
            } else {
                assert!((1..10).contains(&counted.connections), "{known} {counted:?}");
            }
            // Without tickets each handshake is a full one.
            let full = if hop.listen == LinkSecurity::Plain { 0 } else { counted.connections };
            assert_eq!((counted.full, counted.resumed), (full, 0), "{known}: {}", hop.role);
            let requests = counted.requests.filter(|_| hop.kind.speaks_http());
            assert!(requests.is_none_or(|requests| requests == CONNECTIONS), "{known} {counted:?}");
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
fn caddy_is_every_hop_that_speaks_http_of_every_placement() {
    every_placement_stands_and_serves(caddy());
}

/// Long responses are files of its folder.
#[test]
fn caddy_answers_with_as_many_bytes_as_other_engines() {
    let Some(caddy) = caddy() else { return };
    let mut stand = Stand::new();
    let placement = KnownPlacement::LbReencrypt.placement();
    for (name, engines) in [("caddy", all(&caddy)), ("builtin", all(&Engine::Builtin))] {
        let mut wanted = Wanted::connections(2);
        for bytes in [1 << 16, 0] {
            stand.wiring.response_bytes = bytes;
            wanted.request.expect_bytes = Some(bytes);
            let mut topology = stand.start(&placement, &engines, name).unwrap();
            stand.load(&placement, &mut topology, &wanted, 10);
        }
    }
}

/// As the notes in its records say.
#[test]
fn caddy_resumes_sessions_of_clients_and_none_with_the_next_hop() {
    let Some(caddy) = caddy() else { return };
    let placement = KnownPlacement::LbReencrypt.placement();
    let mut stand = Stand::new();
    (stand.wiring.tickets, stand.wiring.pool) = (2, 0);
    let engines = BTreeMap::from([(Role::Lb, caddy)]);
    let mut topology = stand.start(&placement, &engines, "caddy").unwrap();
    let notes = topology.hops()[0].notes.join(", ");
    for wanted in ["automatic certificates", "one session ticket", "resumes no session"] {
        assert!(notes.contains(wanted), "{notes}");
    }
    let loaded = stand.load(&placement, &mut topology, &Wanted::resumed(1), CONNECTIONS);
    assert_eq!((loaded.made.full, loaded.made.resumed), (1, CONNECTIONS - 1));
    let next = loaded.counted[1].unwrap();
    assert_eq!((next.full, next.resumed), (CONNECTIONS, 0));
}

#[test]
fn a_client_without_a_certificate_is_turned_away_where_both_sides_have_one() {
    let (Some(nginx), Some(haproxy)) = (nginx(), haproxy()) else { return };
    let stand = Stand::new();
    let mut plain = KnownPlacement::Mtls.placement();
    // Seen from the client it is TLS, and it gives no certificate.
    plain.hops[0].listen = LinkSecurity::Tls;
    for engine in [nginx, haproxy] {
        let mtls = KnownPlacement::Mtls.placement();
        let topology = stand.start(&mtls, &all(&engine), engine.name()).unwrap();
        let ran = run(&stand, &topology, &plain);
        assert_eq!(ran.succeeded(), 0, "{ran:#?}");
    }
}

#[test]
fn a_proxy_that_refuses_its_configuration_says_why() {
    let (Some(nginx), Some(haproxy)) = (nginx(), haproxy()) else { return };
    let mut stand = Stand::new();
    stand.wiring.server.chain = "no certificate".to_owned();
    for engine in [nginx, haproxy] {
        let engines = BTreeMap::from([(Role::Backend, engine.clone())]);
        let passthrough = KnownPlacement::Passthrough.placement();
        let error = stand.start(&passthrough, &engines, engine.name()).unwrap_err();
        assert!(matches!(error, TopologyError::Process { role: Role::Backend, .. }), "{error}");
        let text = format!("{:#}", anyhow::Error::from(error));
        assert!(text.contains("server.pem"), "{text}");
    }
}

/// A counted round can be over before anybody looks at its hops: that they used nothing would be a lie.
#[test]
fn a_round_is_told_with_what_its_hops_used_or_not_at_all() {
    let stand = Stand::new();
    let mut wanted = Wanted::connections(8);
    wanted.timing = TimingDraft {
        round_count: Some(1),
        warm_up: Some(Nanos::default()),
        ..TimingDraft::default()
    };
    let plaintext = KnownPlacement::Plaintext.placement();
    let mut topology = stand.start(&plaintext, &all(&Engine::Builtin), "builtin").unwrap();
    match stand.measure(&plaintext, &mut topology, &wanted) {
        Ok(trial) => assert_eq!(trial.hops.len(), ROLES.len()),
        Err(error) => assert!(matches!(error, TrialError::Unread), "{error}"),
    }
}

/// CPU time per connection of each hop, from the client on. Each connection is a new one on every link,
/// and each handshake a full one.
fn cost(stand: &Stand, engine: &Engine, placement: &Placement) -> Vec<f64> {
    let folder = format!("{}-{}", engine.name(), placement.name);
    let engines = fitting(engine, placement);
    let mut topology = stand.start(placement, &engines, &folder).unwrap();
    let wanted = Wanted::connections(4);
    // What is done once, at the first connection, is not what a connection costs.
    stand.load(placement, &mut topology, &wanted, 4);
    let loaded = stand.load(placement, &mut topology, &wanted, CONNECTIONS);
    loaded.used.iter().map(|used| used.cpu.total.0 as f64 / CONNECTIONS as f64).collect()
}

/// Sides of TLS that each hop of a placement is: none, the server's or the client's, or both.
fn sides(placement: &Placement) -> Vec<usize> {
    let is_side = |carried: LinkSecurity| usize::from(carried != LinkSecurity::Plain);
    placement.hops.iter().map(|hop| is_side(hop.listen) + is_side(hop.dial)).collect()
}

/// Whether what was added to each hop fits the sides of TLS that it is. One side costs more than all else
/// that a small request costs its hop, so it is far from what machines add by chance.
fn fits(sides: &[usize], added: &[f64], without: &[f64]) -> bool {
    let hops = || sides.iter().zip(added);
    // A relay has more packets to pass on, so nothing is said of how little is added where no side is.
    let alone =
        hops().zip(without).all(|((sides, added), without)| *sides == 0 || *added > 0.2 * without);
    let is_more = |most: f64, least: f64| most > 1.3 * least.max(0.0);
    alone
        && hops().all(|(more, most)| {
            hops().filter(|(less, _)| *less < more).all(|(_, least)| is_more(*most, *least))
        })
}

/// A full handshake costs its server a signature and a key agreement, and its client three verifications
/// and one: so whoever takes part in one shows by its CPU time.
fn what_tls_costs_is_found_at_the_hops_that_speak_it(engine: Option<Engine>) {
    let Some(engine) = engine else { return };
    let mut stand = Stand::new();
    // Behind HTTP hops, too, each request has a connection and a handshake of its own.
    stand.wiring.pool = 0;
    let mut plain: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for known in KnownPlacement::PLACEMENTS.into_iter().rev() {
        let (placement, twin) = (known.placement(), known.placement().twin());
        let with = cost(&stand, &engine, &placement);
        let without =
            plain.entry(twin.name.clone()).or_insert_with(|| cost(&stand, &engine, &twin));
        let mut added: Vec<f64> = with.iter().zip(&*without).map(|(a, b)| a - b).collect();
        let sides = sides(&placement);
        let what = format!("{} {known}: {added:.0?} ns are added to {without:.0?}", engine.name());
        assert!(fits(&sides, &added, without), "{what}");
        // Were two hops taken for one another, this would be seen where they differ.
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            if sides[one] != sides[other] {
                added.swap(one, other);
                assert!(!fits(&sides, &added, without), "{what}, and {one} may be {other}");
                added.swap(one, other);
            }
        }
    }
}

#[test]
fn what_tls_costs_is_found_at_the_builtin_hops_that_speak_it() {
    what_tls_costs_is_found_at_the_hops_that_speak_it(Some(Engine::Builtin));
}

#[test]
fn what_tls_costs_is_found_at_the_nginx_that_speaks_it() {
    what_tls_costs_is_found_at_the_hops_that_speak_it(nginx());
}

#[test]
fn what_tls_costs_is_found_at_the_caddy_that_speaks_it() {
    what_tls_costs_is_found_at_the_hops_that_speak_it(caddy());
}

#[test]
fn what_tls_costs_is_found_at_the_haproxy_that_speaks_it() {
    what_tls_costs_is_found_at_the_hops_that_speak_it(haproxy());
}

/// The client's connections, handshakes and requests in one round, and those of each hop.
fn both(trial: &Trial) -> (EngineCounters, Vec<EngineCounters>) {
    (trial.made, trial.hops.iter().map(|hop| hop.counted.unwrap()).collect())
}

/// Whether two counts differ by no more than what was under way when the load was taken away.
fn agree(one: u64, other: u64, at_a_time: u32) -> bool {
    one.abs_diff(other) <= u64::from(at_a_time)
}

/// The client's counts begin before its first connection and end after its last, and so do the hops'.
#[test]
fn client_and_hops_count_the_same_handshakes_warm_up_included() {
    let (Some(nginx), Some(haproxy)) = (nginx(), haproxy()) else { return };
    let mut stand = Stand::new();
    stand.wiring.tickets = 2;
    const AT_A_TIME: u32 = 4;
    for engine in [Engine::Builtin, nginx, haproxy] {
        for (known, ends) in [(KnownPlacement::LbReencrypt, 0), (KnownPlacement::Passthrough, 2)] {
            let placement = known.placement();
            let what = format!("{}-{known}", engine.name());
            let mut topology = stand.start(&placement, &all(&engine), &what).unwrap();
            // A second load on the same hops is counted by itself.
            for wanted in [Wanted::resumed(AT_A_TIME), Wanted::connections(AT_A_TIME)] {
                let trial = stand.measure(&placement, &mut topology, &wanted).unwrap();
                let (made, hops) = both(&trial);
                let slice = &trial.slice.as_ref().unwrap().tally;
                assert!(
                    made.connections > slice.connections,
                    "{what}: without the warm-up {made:?}"
                );
                let seen = &hops[ends];
                let pairs = [
                    (made.connections, seen.connections),
                    (made.full, seen.full),
                    (made.resumed, seen.resumed),
                    (made.requests.unwrap(), seen.requests.or(made.requests).unwrap()),
                ];
                for (one, other) in pairs {
                    assert!(agree(one, other, AT_A_TIME), "{what}: {made:?} {seen:?}");
                }
                for relay in &hops[..ends] {
                    assert!(agree(made.connections, relay.connections, AT_A_TIME), "{what}");
                    assert_eq!((relay.full, relay.resumed, relay.requests), (0, 0, None), "{what}");
                }
                if known == KnownPlacement::LbReencrypt && engine.name() != "nginx" {
                    let dialled = [seen.dialled_full, seen.dialled_resumed].map(Option::unwrap);
                    let next = [hops[1].full, hops[1].resumed];
                    for (one, other) in dialled.into_iter().zip(next) {
                        assert!(agree(one, other, AT_A_TIME), "{what}: {seen:?} {:?}", hops[1]);
                    }
                }
            }
        }
    }
}

/// Two implementations of TLS, and each other's word for how their handshakes were made.
#[test]
fn builtin_hops_and_nginx_count_the_same_handshakes_between_them() {
    let Some(nginx) = nginx() else { return };
    let placement = KnownPlacement::LbReencrypt.placement();
    let mut stand = Stand::new();
    stand.wiring.pool = 0;
    let wanted = Wanted::connections(1);
    for (tickets, full) in [(0, CONNECTIONS), (2, 1)] {
        stand.wiring.tickets = tickets;
        for (lb, ingress) in [(Engine::Builtin, nginx.clone()), (nginx.clone(), Engine::Builtin)] {
            let what = format!("{} dials {}, {tickets} tickets", lb.name(), ingress.name());
            let engines = BTreeMap::from([(Role::Lb, lb), (Role::Ingress, ingress)]);
            let mut topology = stand.start(&placement, &engines, &what.replace(' ', "-")).unwrap();
            let loaded = stand.load(&placement, &mut topology, &wanted, CONNECTIONS);
            let counted: Vec<EngineCounters> =
                loaded.counted.into_iter().map(Option::unwrap).collect();
            let (lb, ingress) = (counted[0], counted[1]);
            assert_eq!((lb.full, lb.resumed), (CONNECTIONS, 0), "{what}: {counted:?}");
            let resumed = CONNECTIONS - full;
            assert_eq!((ingress.full, ingress.resumed), (full, resumed), "{what}: {counted:?}");
            let dialled = lb.dialled_full.zip(lb.dialled_resumed);
            assert!(
                dialled.is_none_or(|dialled| dialled == (full, resumed)),
                "{what}: {counted:?}"
            );
        }
    }
}
