use std::collections::BTreeSet;
use std::num::NonZeroU64;

use super::*;
use crate::scenario::{Arrivals, Load, Spread};
use crate::units::{Rate, Share};

fn files() -> ClientFiles {
    ClientFiles {
        ca_bundle: "ca-bundle.crt".into(),
        certificate: "client.crt".into(),
        key: "client.key".into(),
    }
}

#[test]
fn the_default_measures_eight_placements_and_their_twins() {
    let lab = Lab::default();
    assert_eq!(lab.problems(), []);
    let names: Vec<&str> = lab.placements.iter().map(|placement| &*placement.name).collect();
    assert_eq!(names.len(), 10);
    for placement in &lab.placements {
        assert!(names.contains(&&*placement.twin().name), "{}", placement.name);
    }
    let text = toml::to_string(&lab).unwrap();
    assert_eq!(toml::from_str::<Lab>(&text).unwrap(), lab, "{text}");
}

#[test]
fn each_round_measures_everything_once_in_an_order_of_its_own() {
    let lab = Lab::default();
    let orders: Vec<_> = (0..8).map(|round| lab.order(round)).collect();
    for order in &orders {
        let mut indices: Vec<usize> = order.iter().map(|(index, _)| *index).collect();
        indices.sort_unstable();
        assert_eq!(indices, (0..10).collect::<Vec<_>>());
        for (index, workloads) in order {
            let mut sorted = workloads.clone();
            sorted.sort_unstable();
            let is_plain = lab.placements[*index].links()[0] == LinkSecurity::Plain;
            let wanted = if is_plain { &Workload::DEFAULT[..2] } else { &Workload::DEFAULT };
            assert_eq!(sorted, wanted);
        }
    }
    let distinct: BTreeSet<Vec<usize>> =
        orders.iter().map(|order| order.iter().map(|(index, _)| *index).collect()).collect();
    assert_eq!(distinct.len(), 8);
    assert_eq!(lab.order(3), Lab::default().order(3));
    assert_ne!(lab.order(3), Lab { seed: 2, ..Lab::default() }.order(3));
}

#[test]
fn the_default_run_fits_into_its_time() {
    let lab = Lab::default();
    let seconds = |span: Nanos| span.as_secs_f64();
    assert!(seconds(lab.pilot_span()) <= 8.0, "{}", lab.pilot_span());
    assert_eq!(lab.piloted(), 10);
    assert!((110.0..=130.0).contains(&seconds(lab.cpu_span())), "{}", lab.cpu_span());
    assert!((30.0..=40.0).contains(&seconds(lab.latency_span())), "{}", lab.latency_span());
    assert_eq!(lab.idle_span(), Nanos(0));
    // Ten placements in eight rounds, each put up once.
    let joined = Lab { netns: true, ..lab.clone() };
    assert_eq!((joined.cpu_span() - lab.cpu_span()).0 / 80, Nanos::from_millis(140).0);
    assert!(joined.latency_span() > lab.latency_span() && joined.piloted() == lab.piloted());
    assert!(seconds(lab.span()) <= 170.0, "{}", lab.span());
    let thorough = Lab::default().thorough();
    assert!(thorough.span() > Nanos(0) && seconds(thorough.span()) <= 4_000.0);
    // Readings of idle connections are as many as rounds, and no more than an interval needs.
    let idle = |rounds, idle_connections| Lab { rounds, idle_connections, ..Lab::default() };
    let readings = [idle(1, 9), idle(3, 9), idle(20, 9), idle(8, 0)].map(|lab| lab.idle_rounds());
    assert_eq!(readings, [1, 3, 5, 0]);
    assert_eq!(idle(3, 9).idle_span(), Nanos(3 * idle(1, 9).idle_span().0));
    assert!(idle(1, 1).idle_span().0 > 10 * Lab::REST.0, "ten placements");
    // More placements than the pilot has time for.
    let placements = lab.placements.iter().cycle().take(50).cloned().collect();
    let many = Lab { placements, ..Lab::default() };
    assert!(many.piloted() < 50 && seconds(many.pilot_span()) <= 8.0);
    let shorter = Lab { slice_ns: Nanos::from_millis(20), ..Lab::default() };
    assert!(shorter.pilot_span() < lab.pilot_span());
}

#[test]
fn workloads_of_one_response_share_a_topology() {
    let lab = Lab::default().thorough();
    assert_eq!(lab.problems(), []);
    let mut seen = BTreeSet::new();
    for (index, bytes, workloads) in lab.topologies(0) {
        assert!(seen.insert((index, bytes)), "{index} {bytes}");
        assert!(workloads.iter().all(|load| lab.response_bytes(*load) == bytes));
    }
    // 120 bytes, 6, 16 and 64 KiB and 1 MiB; the mix is held out.
    assert_eq!(seen.len(), 5 * lab.placements.len());
    assert!(lab.hold_out && lab.check_span() > Nanos(0));
    // A quarter of rounds chooses the mix, and at least two where there are more.
    let of = |rounds| Lab { rounds, ..lab.clone() };
    assert_eq!([1, 2, 3, 6, 8, 20].map(|rounds| of(rounds).mixed_from()), [0, 1, 2, 2, 2, 5]);
    let without = Lab { hold_out: false, ..lab.clone() };
    assert_eq!(lab.slices() - without.slices(), 15 * 10, "ten placements in 15 rounds");
    let mixed = lab.mixed(Mix { requests: 7, ..Mix::default() });
    assert_eq!((mixed.workloads.last(), mixed.mix.requests), (Some(&Workload::Mix), 7));
    assert_eq!(mixed.workloads.len(), lab.workloads.len() + 1);
    assert_eq!(Lab::default().check_span(), Nanos(0));
    let plain = Lab::default();
    assert_eq!(plain.topologies(0).len(), plain.placements.len());
}

#[test]
fn every_slice_can_be_run() {
    let lab = Lab::default();
    for placement in &lab.placements {
        for &workload in Workload::ALL.iter().filter(|load| load.suits(placement)) {
            let scenario = lab.scenario(placement, workload, &files()).unwrap();
            let asked = scenario.request.as_ref().and_then(|request| request.expect_bytes);
            assert_eq!(asked, Some(lab.response_bytes(workload)));
            assert_eq!(scenario.timing.rounds.get(), 1);
            assert_eq!(scenario.targets[0].name, format!("{}/{workload}", placement.name));
            assert_eq!(
                scenario.tls.client_certificate.is_some(),
                placement.name == "mtls",
                "{}",
                placement.name
            );
        }
    }
}

#[test]
fn the_latency_pass_lets_connections_arrive_evenly_at_its_rate() {
    let (lab, pass) = (Lab::default(), LatencyPass::default());
    let pilot = lab.pilot_scenario(&lab.placements[0], &files()).unwrap();
    assert_eq!(pilot.targets[0].name, "plaintext/full/pilot");
    let rate = Rate::per_second(123.0).unwrap();
    for placement in &lab.placements {
        let scenario = lab.latency_scenario(placement, rate, &pass, &files()).unwrap();
        assert_eq!(scenario.targets[0].name, format!("{}/full/latency", placement.name));
        let Load::Open { arrivals, rate: asked, spread, .. } = scenario.load else { panic!() };
        assert_eq!(arrivals, Arrivals::Connections { requests: NonZeroU64::MIN });
        assert_eq!((asked, spread), (rate, Spread::Even));
        assert_eq!(scenario.tls.resume, Share::ZERO);
    }
}

#[test]
fn twins_come_along_once() {
    let chosen = [KnownPlacement::LbTerminate, KnownPlacement::Mtls, KnownPlacement::Passthrough]
        .map(KnownPlacement::placement);
    let names: Vec<String> =
        Lab::with_twins(&chosen).into_iter().map(|placement| placement.name).collect();
    assert_eq!(names, ["lb-terminate", "mtls", "passthrough", "plaintext", "plaintext-l4l4"]);
}

#[test]
fn what_cannot_be_measured_is_named() {
    let keys = |lab: &Lab| lab.problems().into_iter().map(|p| p.key).collect::<Vec<_>>();
    assert_eq!(keys(&Lab { rounds: 0, ..Lab::default() }), ["timing.rounds"]);
    assert_eq!(keys(&Lab { placements: Vec::new(), ..Lab::default() }), ["placements"]);
    let none = Lab { workloads: Vec::new(), ..Lab::default() };
    assert_eq!(keys(&none), [""; 0], "latency is measured");
    assert_eq!(keys(&Lab { latency: None, ..none }), ["workloads"]);
    let latency = |rounds, share| Some(LatencyPass { rounds, share, ..LatencyPass::default() });
    let pass = |latency| Lab { latency, ..Lab::default() };
    assert_eq!(keys(&pass(latency(0, 0.35))), ["latency.rounds"]);
    assert_eq!(keys(&pass(latency(6, 0.0))), ["latency.share"]);
    assert_eq!(keys(&pass(latency(6, 1.1))), ["latency.share"]);
    assert_eq!(keys(&pass(latency(6, 1.0))), [""; 0]);
    let mix = |mix| Lab { mix, ..Lab::default() };
    assert_eq!(keys(&mix(Mix { resume: 1.5, ..Mix::default() })), ["mix.resume"]);
    assert_eq!(keys(&mix(Mix { requests: 0, ..Mix::default() })), ["mix.requests"]);
    assert_eq!(
        keys(&mix(Mix { response_bytes: 1 << 31, ..Mix::default() })),
        ["mix.response_bytes"]
    );
    let hybrid = Lab { groups: vec![Group::X25519MlKem768], ..Lab::default() };
    assert_eq!(keys(&hybrid), ["tls.groups"]);
    let hybrid = Lab { provider: Provider::AwsLcRs, ..hybrid };
    assert_eq!(keys(&hybrid), [""; 0]);
    assert_eq!(keys(&Lab { version: Version::Tls12, ..hybrid }), ["tls.groups"]);
    assert_eq!(keys(&Lab { suites: Vec::new(), ..Lab::default() }), ["tls.suites"]);
    assert_eq!(keys(&Lab { idle_connections: 10_001, ..Lab::default() }), ["idle_connections"]);
    let mut twice = Lab::default();
    twice.placements.push(KnownPlacement::Mtls.placement());
    assert_eq!(keys(&twice), ["placements"]);
    let caddy = |role, known: KnownPlacement| {
        let engines = [(role, EngineName::Caddy)].into();
        keys(&Lab { engines, placements: vec![known.placement()], ..Lab::default() })
    };
    assert_eq!(caddy(Role::Lb, KnownPlacement::LbTerminate), [""; 0]);
    assert_eq!(caddy(Role::Lb, KnownPlacement::Passthrough), ["engines.lb"]);
    assert_eq!(caddy(Role::Ingress, KnownPlacement::IngressTerminate), [""; 0]);
    assert_eq!(caddy(Role::Ingress, KnownPlacement::Passthrough), ["engines.ingress"]);
}

/// OpenSSL refuses certificates of other curves in TLS 1.2: `wrong curve`, or no cipher in common.
#[test]
fn groups_of_tls_1_2_have_the_curve_of_certificates_as_the_last() {
    let groups = |version, key, groups: &[Group]| {
        Lab { version, key, groups: groups.to_vec(), ..Lab::default() }.cryptography().groups
    };
    let x25519 = [Group::X25519];
    assert_eq!(groups(Version::Tls13, KeyKind::EcdsaP256, &x25519), x25519);
    assert_eq!(groups(Version::Tls12, KeyKind::Rsa2048, &x25519), x25519);
    let with = groups(Version::Tls12, KeyKind::EcdsaP256, &x25519);
    assert_eq!(with, [Group::X25519, Group::P256]);
    let with = groups(Version::Tls12, KeyKind::EcdsaP384, &[Group::P384, Group::P256]);
    assert_eq!(with, [Group::P384, Group::P256]);
}
