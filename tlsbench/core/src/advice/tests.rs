//! Over worlds whose costs are known, and by hand.

mod page;
mod told;

use super::scale::ScaleError;
use super::*;
use crate::calibration::{Calibration, Primitive};
use crate::cost::TermCounts;
use crate::cost::tests::{World, checked, checked_in, shared, truth, woken};
use crate::hop::HopKind;
use crate::lab::Lab;
use crate::placement::KnownPlacement;
use crate::record::lab::{IdleHop, IdleRecord};
use crate::record::{Environment, Measured};
use crate::scenario::Version;
use crate::tally::Tally;
use crate::usage::{Lap, Rest};
use crate::warning::Warning;

const PROFILE: &str = include_str!("../../../../deploy/lab/shop.toml");
const PRICES: &str = include_str!("../../../../deploy/lab/prices.toml");

fn profile(text: &str) -> Profile {
    Profile::from_toml(text).unwrap_or_else(|problems| panic!("{}", problems[0]))
}

fn prices() -> Prices {
    Prices::from_toml(PRICES).unwrap_or_else(|problems| panic!("{}", problems[0]))
}

/// A profile without requirements, with upstream connections kept.
fn plain_profile() -> Profile {
    profile(
        "[traffic]\nconnections_per_second = 1_000\nrequests_per_connection = 4\nresumed = 0.5\n",
    )
}

fn advised(records: &[&LabRecord], profile: &Profile) -> Advice {
    let scale = Ok(MachineScale::same());
    advise(&AdviceRequest { records, profile, prices: &prices(), scale: &scale })
}

fn placed(advice: &Advice, known: KnownPlacement) -> &PlacementAdvice {
    advice.placements.iter().find(|placed| placed.placement == known.as_str()).unwrap()
}

#[test]
fn the_examples_are_read() {
    let shop = profile(PROFILE);
    assert!(shop.requires.path_routing && !shop.requires.no_plaintext);
    assert_eq!(shop.traffic(&KnownPlacement::LbTerminate.placement()).requests, 3_600.0);
    let devices = profile(include_str!("../../../../deploy/lab/devices.toml"));
    assert!(devices.requires.no_plaintext && devices.requires.client_identity);
    assert!(prices().balancer.iter().all(|balancer| !balancer.source.is_empty()));
}

#[test]
fn what_is_wrong_with_a_file_is_named_by_line_and_key_with_the_cure() {
    let one = "[traffic]\nconnections_per_second = 1\n";
    for (text, wanted) in [
        ("[traffic]\nconnections_per_secnd = 1\n", "line 2: `traffic.connections_per_secnd`"),
        ("[traffic]\nconnections_per_secnd = 1\n", "did you mean `connections_per_second`?"),
        ("[traffic]\n", "missing field `connections_per_second`"),
        ("[traffic]\nconnections_per_second = 0\n", "line 2: `traffic.connections_per_second`: 0"),
        ("[traffic]\nconnections_per_second = nan\n", "NaN cannot be"),
        (&format!("{one}resumed = 1.5\n"), "line 3: `traffic.resumed`: 1.5 cannot be"),
        (&format!("target_utilisation = 0\n{one}"), "line 1: `target_utilisation`"),
        (&format!("{one}upstream_requests_per_connection = 0.5\n"), "write 1 or more"),
        (&format!("{one}[replicas]\nlb = 0\n"), "line 4: `replicas.lb`"),
        (&format!("{one}[replicas]\nfront = 1\n"), "`front` is none of `lb`"),
        (&format!("{one}[rtt]\nlb = '40'\n"), "`40` is no time"),
        (&format!("{one}[requires]\nno_plain = true\n"), "`requires.no_plain`"),
        ("[", "hint:"),
    ] {
        let problems = Profile::from_toml(text).unwrap_err();
        let said: String = problems.iter().map(ToString::to_string).collect();
        assert!(said.contains(wanted), "{text}: {said}");
    }
    let price = "date = '2026-01-01'\ncurrency = 'EUR'\n[vcpu]\nper_hour = 1\nsource = 'us'\n";
    assert!(Prices::from_toml(price).is_ok());
    let balancer = "[[balancer]]\nname = 'x'\nplacements = []\nper_hour = 1\nper_unit_hour = 1\n\
                    source = 'us'\n";
    for (text, wanted) in [
        (price.replace("= 1\n", "= -1\n"), "line 4: `vcpu.per_hour`: -1 is no price"),
        (price.replace("source = 'us'", ""), "missing field `source`"),
        (price.replace("date = '2026-01-01'\n", ""), "missing field `date`"),
        (price.replace("2026-01-01", "2026-02-30"), "line 1: `date`: `2026-02-30` is no day"),
        (price.replace("2026-01-01", "20260101"), "line 1: `date`: `20260101` is no day"),
        (format!("{price}{balancer}dimension = []\n"), "`x` has none"),
        (
            format!("{price}{balancer}dimension = []\n").replace("'x'", "''"),
            "line 7: `balancer[0].name`",
        ),
        (
            format!("{price}{balancer}dimension = []\n{balancer}dimension = []\n"),
            "line 14: `balancer[1].name`: there are two balancers `x`",
        ),
        (
            format!("{price}{balancer}[[balancer.dimension]]\nof = 'gb-per-hour'\nper_unit = 0\n"),
            "line 14: `balancer[0].dimension[0].per_unit`: a unit of `x` cannot hold 0",
        ),
        (
            format!("{price}{balancer}[[balancer.dimension]]\nof = 'bytes'\nper_unit = 1\n"),
            "unknown variant `bytes`",
        ),
    ] {
        let said: String =
            Prices::from_toml(&text).unwrap_err().iter().map(ToString::to_string).collect();
        assert!(said.contains(wanted), "{text}: {said}");
    }
}

#[test]
fn a_balancer_of_no_placement_is_named_with_its_line() {
    let text = "date = '2026-01-01'\ncurrency = 'EUR'\nvcpu = { per_hour = 1, source = 'us' }\n\
                [[balancer]]\nname = 'x'\nplacements = ['passthrough', 'pasthrough']\nper_hour = 1\n\
                per_unit_hour = 1\nsource = 'us'\n\
                dimension = [{ of = 'gb-per-hour', per_unit = 1 }]\n";
    let prices = Prices::from_toml(text).unwrap();
    let known = |names: &[&'static str]| names.iter().copied().collect();
    let problems = prices.unknown_placements(text, &known(&["passthrough"]));
    let said: String = problems.iter().map(ToString::to_string).collect();
    assert!(said.starts_with("line 6: `balancer[0].placements`: `x` has `pasthrough`"), "{said}");
    assert!(said.contains("write some of passthrough"), "{said}");
    let all = known(&["passthrough", "pasthrough"]);
    assert!(prices.unknown_placements(text, &all).is_empty());
}

#[test]
fn units_are_those_of_the_dimension_that_needs_most() {
    // 300 connections a second for 60 s; 3,600 responses of 16 KiB a second are 212 GB an hour.
    let shop = profile(PROFILE);
    let of = |name: &str, profile: &Profile| {
        let prices = prices();
        let balancer = prices.balancer.iter().find(|one| one.name == name).unwrap();
        (balancer.units(profile), balancer.per_month(profile))
    };
    let gb = 3_600.0 * 16_384.0 * 3_600.0 / 1e9;
    let (units, month) = of("aws-nlb-tcp", &shop);
    assert!((units - gb).abs() < 1e-9, "{units}");
    assert!((month - 730.0 * (0.0225 + 0.006 * gb)).abs() < 1e-9, "{month}");
    // Little responses: TLS handshakes are what counts, and 50 of them fill a unit, or 800 or 25.
    let mut few = shop.clone();
    (few.traffic.response_bytes, few.traffic.connection_time) = (1.0, SpanText(Nanos(1)));
    assert!((of("aws-nlb-tls", &few).0 - 300.0 / 50.0).abs() < 1e-9);
    assert!((of("aws-nlb-tcp", &few).0 - 300.0 / 800.0).abs() < 1e-9);
    assert!((of("aws-alb", &few).0 - 300.0 / 25.0).abs() < 1e-9);
    // Long connections: 300 × 60 s stand at a time.
    few.traffic.connection_time = shop.traffic.connection_time;
    assert!((of("aws-nlb-tls", &few).0 - 18_000.0 / 3_000.0).abs() < 1e-9);
}

#[test]
fn servers_with_ticket_keys_of_their_own_divide_resumption() {
    let shop = profile(PROFILE);
    let at = |known: KnownPlacement| shop.effective_resumption(&known.placement());
    assert!((at(KnownPlacement::Passthrough) - 0.66 / 12.0).abs() < 1e-12);
    assert!((at(KnownPlacement::IngressTerminate) - 0.66).abs() < 1e-12, "three that share");
    assert_eq!(at(KnownPlacement::Plaintext), 0.0);
    let traffic = shop.traffic(&KnownPlacement::Passthrough.placement());
    assert!((traffic.full + traffic.resumed - 300.0).abs() < 1e-9);
}

#[test]
fn what_a_placement_gives_up_follows_from_its_hops() {
    let of = |known: KnownPlacement| Tradeoffs::of(&known.placement());
    let ends = of(KnownPlacement::LbTerminate);
    assert_eq!((ends.tls_ends_at, ends.keys_at.as_slice()), (Some(Role::Lb), &[Role::Lb][..]));
    assert_eq!(ends.plaintext_to, [Role::Ingress, Role::Backend]);
    assert_eq!(ends.paths_seen_by, [Role::Lb, Role::Ingress]);
    assert!(ends.forwarded_headers && !ends.client_identity);
    let through = of(KnownPlacement::Passthrough);
    assert_eq!(through.tls_ends_at, Some(Role::Backend));
    assert!(through.paths_seen_by.is_empty() && !through.forwarded_headers);
    assert!(through.client_identity && through.plaintext_to.is_empty());
    let twice = of(KnownPlacement::IngressReencrypt);
    assert_eq!(twice.keys_at, [Role::Ingress, Role::Backend]);
    assert!(twice.plaintext_to.is_empty() && !twice.client_identity);
    assert_eq!(of(KnownPlacement::Mtls).keys_at, [Role::Lb, Role::Ingress, Role::Backend]);
    assert!(of(KnownPlacement::Mtls).client_identity);
    let plain = of(KnownPlacement::UpstreamTls);
    assert_eq!((plain.tls_ends_at, plain.plaintext_to.len()), (None, 2));
}

#[test]
fn what_is_required_rules_placements_out_with_the_reason() {
    let requires = |change: fn(&mut Requirements)| {
        let mut requires = Requirements::default();
        change(&mut requires);
        let all = KnownPlacement::PLACEMENTS.into_iter();
        let left =
            all.filter(|known| Tradeoffs::of(&known.placement()).ruled_out(&requires).is_empty());
        left.map(KnownPlacement::as_str).collect::<Vec<_>>()
    };
    assert_eq!(requires(|_| ()).len(), 8);
    assert_eq!(
        requires(|all| all.no_plaintext = true),
        ["ingress-reencrypt", "passthrough", "mtls"]
    );
    assert_eq!(requires(|all| all.client_identity = true), ["passthrough", "mtls"]);
    assert_eq!(requires(|all| all.path_routing = true).len(), 7);
    assert!(!requires(|all| all.forwarded_headers = true).contains(&"passthrough"));
    let all = Requirements { no_plaintext: true, client_identity: true, ..Requirements::default() };
    let reasons = Tradeoffs::of(&KnownPlacement::LbTerminate.placement()).ruled_out(&all);
    assert_eq!(
        reasons,
        [
            "plaintext flows to the `ingress`, to the `backend` (`no_plaintext`)",
            "the `lb` ends the client's TLS without asking for a certificate (`client_identity`)"
        ]
    );
}

#[test]
fn links_add_their_round_trips_as_the_protocols_take_them() {
    let shop = profile(PROFILE);
    let of = |known: KnownPlacement, version| Network::of(&known.placement(), &shop, version);
    let micros = |time: Nanos| time.0 / 1_000;
    // 30 ms to the load balancer, 0.5 ms to the ingress, 0.3 ms to the backend.
    let lb = of(KnownPlacement::LbTerminate, Version::Tls13);
    assert_eq!((micros(lb.kept_ns), micros(lb.full_ns)), (30_800, 30_000 + 30_000 + 30_800));
    assert_eq!(lb.full_ns, lb.resumed_ns);
    // Relays dial on for each connection, and TLS goes all the way.
    let through = of(KnownPlacement::Passthrough, Version::Tls13);
    assert_eq!(micros(through.full_ns), 30_800 + 30_800 + 30_800);
    let ingress = of(KnownPlacement::IngressTerminate, Version::Tls12);
    assert_eq!(micros(ingress.full_ns), 30_500 + 2 * 30_500 + 30_800);
    assert_eq!(micros(ingress.resumed_ns), 30_500 + 30_500 + 30_800);
    assert_eq!(micros(of(KnownPlacement::Plaintext, Version::Tls13).full_ns), 30_000 + 30_800);
}

fn calibration(model: &str, factor: f64) -> Calibration {
    let primitive = |name: &str, provider: Option<&str>, bytes| {
        let rounds = [1_000.0 * factor; 8];
        Primitive::new(name, provider.map(str::to_owned), bytes, 5, &rounds).unwrap()
    };
    let ring = Some("ring");
    Calibration {
        schema: crate::calibration::SCHEMA,
        program: "tlsbench".into(),
        made: "2026-01-02T03:04:05Z".into(),
        machine: Environment { cpu_model: model.to_owned(), ..Environment::default() },
        cpu_features: Vec::new(),
        primitives: vec![
            primitive("ecdsa-p256-sign", ring, None),
            primitive("ecdsa-p256-verify", ring, None),
            primitive("x25519", ring, None),
            primitive("aes-128-gcm-seal", ring, Some(1 << 10)),
            primitive("aes-128-gcm-seal", ring, Some(16 << 10)),
            primitive("pipe", None, None),
            primitive("tcp-connection", None, None),
        ],
    }
}

#[test]
fn costs_are_scaled_by_the_primitives_of_both_machines() {
    let machine = Environment { cpu_model: "one".to_owned(), ..Environment::default() };
    let lab = Lab::default();
    let measured = calibration("one", 1.0);
    let mut priced = calibration("other", 1.0);
    // Signatures take three times as long there, everything else as long.
    priced.primitives[0] = calibration("other", 3.0).primitives[0].clone();
    let scale = MachineScale::between(&measured, &priced, &lab, &machine).unwrap();
    let counts =
        TermCounts::from([(Term::Full, 10.0), (Term::Resumed, 10.0), (Term::Request, 10.0)]);
    let scaled = scale.apply(&counts, false);
    // A signature and a key exchange: (3 + 1) / (1 + 1).
    assert_eq!(
        scaled,
        TermCounts::from([(Term::Full, 20.0), (Term::Resumed, 10.0), (Term::Request, 10.0)])
    );
    assert_eq!(scale.apply(&counts, true), counts, "a relay signs nothing");
    assert_eq!(MachineScale::same().apply(&counts, false), counts);

    let refused = |measured: &Calibration, priced: &Calibration| {
        MachineScale::between(measured, priced, &lab, &machine).unwrap_err()
    };
    let other = calibration("third", 1.0);
    assert!(matches!(refused(&other, &priced), ScaleError::OtherMachine { .. }));
    let mut unsteady = priced.clone();
    unsteady.primitives[2].steady = false;
    let error = refused(&measured, &unsteady).to_string();
    assert!(error.contains("`x25519` of the machine priced is not steady"), "{error}");
    let mut less = measured.clone();
    less.primitives.remove(6);
    let error = refused(&less, &priced).to_string();
    assert!(error.contains("the machine measured has no `tcp-connection`"), "{error}");
    let debug = Calibration { program: "tlsbench (debug build)".into(), ..priced.clone() };
    assert_eq!(refused(&measured, &debug), ScaleError::DebugBuild { of: "priced" });
}

#[test]
fn cores_and_money_are_those_of_the_costs() {
    let record = checked(truth, truth);
    let profile = plain_profile();
    let advice = advised(&[&record], &profile);
    assert_eq!(advice.money_withheld, [""; 0]);
    for known in
        [KnownPlacement::LbTerminate, KnownPlacement::Passthrough, KnownPlacement::LbReencrypt]
    {
        let placement = known.placement();
        let counts = flow(&placement, &profile.traffic(&placement));
        let cost = |(hop, counts): (&crate::placement::PlacementHop, &TermCounts)| -> f64 {
            counts.iter().map(|(term, n)| n * truth(hop.role, hop.kind, *term)).sum()
        };
        let micros: f64 = placement.hops.iter().zip(&counts).map(cost).sum();
        let want = micros * shared(8) / 1e6;
        let seen = placed(&advice, known);
        let cores = seen.cores.unwrap().value;
        assert!((cores - want).abs() < 0.02 * want, "{known}: {cores} instead of {want}");
        let own = seen.money.iter().find(|money| money.balancer.is_none()).unwrap().per_month;
        assert!((own.value - 730.0 * cores / 0.6 * 0.0408).abs() < 1e-6, "{known}: {own:?}");
        assert!(own.low < own.value && own.value < own.high);
    }
    // With a managed load balancer only the other hops are one's own.
    let through = placed(&advice, KnownPlacement::Passthrough);
    let managed = through.money.iter().find(|money| money.balancer.is_some()).unwrap();
    assert_eq!(managed.balancer.as_deref(), Some("aws-nlb-tcp"));
    let balancer = prices().balancer[0].per_month(&profile);
    let others: f64 = through.hops[1..].iter().map(|hop| hop.cores.unwrap().value).sum();
    let want = balancer + 730.0 * others / 0.6 * 0.0408;
    assert!((managed.per_month.value - want).abs() < 1e-6, "{managed:?} {want}");
    assert!(through.money.windows(2).all(|two| two[0].per_month.value <= two[1].per_month.value));
}

#[test]
fn a_hop_is_woken_up_by_what_finds_it_idle() {
    let record = woken();
    let of = |busy: f64| {
        let mut profile = plain_profile();
        profile.target_utilisation = busy;
        placed(&advised(&[&record], &profile), KnownPlacement::Plaintext).hops[0]
            .cores
            .unwrap()
            .value
    };
    // A thousand connections of four requests: at 75 % rest three in four find it idle.
    let woken = |term: Term| truth(Role::Lb, HopKind::Http, term);
    let each = 5_000.0 * (woken(Term::Wake) + woken(Term::IdleWake)) * shared(8) / 1e6;
    let (much, some) = (of(0.25), of(0.5));
    assert!((much - some - 0.25 * each).abs() < 0.02 * each, "{much} {some} {each}");
}

#[test]
fn each_server_of_a_hop_takes_what_it_takes_at_rest() {
    let mut record = World::new().record();
    let of = |record: &LabRecord, servers: u32| {
        let mut profile = plain_profile();
        profile.replicas.insert(Role::Ingress, servers);
        let advice = advised(&[record], &profile);
        let hops = &placed(&advice, KnownPlacement::Plaintext).hops;
        [0, 1].map(|hop: usize| hops[hop].cores.unwrap().value)
    };
    assert_eq!(of(&record, 1), of(&record, 3), "it was not read");
    for round in 0..2 {
        let wall = Nanos::from_millis(2_000);
        let hop = |role: Role, cpu: Nanos| IdleHop {
            role,
            before_bytes: 1,
            after_bytes: 1,
            bytes_per_connection: 0.0,
            rest: Some(Rest { wall, cpu }),
        };
        let busy = [(Role::Lb, 0), (Role::Ingress, 20), (Role::Backend, 0)];
        record.idle.push(IdleRecord {
            placement: KnownPlacement::Plaintext.as_str().to_owned(),
            round,
            connections: 1,
            hops: busy.map(|(role, millis)| hop(role, Nanos::from_millis(millis))).to_vec(),
        });
    }
    // 20 ms in two seconds.
    let (one, three) = (of(&record, 1), of(&record, 3));
    assert!((three[1] - one[1] - 2.0 * 0.01).abs() < 1e-9, "{one:?} {three:?}");
    assert_eq!(one[0], three[0]);
}

#[test]
fn money_is_withheld_with_every_reason() {
    let record = checked(truth, truth);
    let profile = plain_profile();
    let dearer = |role: Role, kind: HopKind, term: Term| {
        truth(role, kind, term) * if term == Term::Request { 1.5 } else { 1.0 }
    };
    let broken = checked(truth, dearer);
    let advice = advised(&[&broken], &profile);
    assert!(advice.money_withheld[0].contains("do not add up"), "{:?}", advice.money_withheld);
    assert!(advice.placements.iter().all(|placed| placed.money.is_empty()));
    assert!(
        placed(&advice, KnownPlacement::LbTerminate).cores.is_some(),
        "cores are told all the same"
    );
    let taken = advice.recommendation.unwrap();
    assert_eq!(taken.confidence, Confidence::Low, "{taken:?}");
    assert!(taken.reasons.last().unwrap().contains("do not add up"), "{taken:?}");

    let unchecked = World::new().record();
    let reasons = advised(&[&unchecked], &profile).money_withheld;
    assert!(reasons[0].contains("--thorough"), "{reasons:?}");

    let mut debug = record.clone();
    debug.program = "tlsbench (debug build)".into();
    let reasons = advised(&[&debug], &profile).money_withheld;
    assert!(reasons[0].contains("debug build"), "{reasons:?}");

    let scale = Err("nobody knows the machine".to_owned());
    let question =
        AdviceRequest { records: &[&record], profile: &profile, prices: &prices(), scale: &scale };
    assert_eq!(advise(&question).money_withheld, ["nobody knows the machine"]);

    let mut busy = record.clone();
    let (top, top_ns) = ("cc1plus".to_owned(), Nanos(5));
    busy.others = Some(crate::record::lab::OtherProcesses { share: 0.2, top, top_ns });
    let reasons = advised(&[&busy], &profile).money_withheld;
    assert!(reasons[0].contains("gate `others`"), "{reasons:?}");
}

#[test]
fn a_term_that_is_not_identified_leaves_cores_open_and_says_what_would_tell_it() {
    let record = checked(truth, truth);
    let mut profile = plain_profile();
    profile.traffic.upstream_requests_per_connection = Some(40.0);
    let advice = advised(&[&record], &profile);
    let lb = placed(&advice, KnownPlacement::LbReencrypt);
    assert_eq!((lb.cores, lb.money.len()), (None, 0));
    let why = lb.hops[0].withheld.as_ref().unwrap();
    assert!(why.contains("`dial`") && why.contains("--upstream-pool 0"), "{why}");
    assert!(
        placed(&advice, KnownPlacement::Passthrough).cores.is_some(),
        "it dials nothing for requests"
    );
}

/// The backend's full handshakes are dear, its resumed ones cheap.
fn tipping(role: Role, kind: HopKind, term: Term) -> f64 {
    match (role, term) {
        (Role::Backend, Term::Full) => 400.0,
        (Role::Backend, Term::Resumed) => 20.0,
        _ => truth(role, kind, term),
    }
}

#[test]
fn a_break_even_is_where_costs_are_the_same() {
    let record = World { cost: tipping, noise: 0.001, ..World::new() }.record();
    let profile = plain_profile();
    let advice = advised(&[&record], &profile);
    let of = |one: KnownPlacement, other: KnownPlacement| {
        let mut all = advice.break_evens.iter();
        let is_it = |found: &&BreakEven| {
            (found.placement.as_str(), found.against.as_str()) == (one.as_str(), other.as_str())
        };
        all.find(is_it).unwrap()
    };
    let cores = |known: KnownPlacement, resumed: f64| {
        let mut profile = profile.clone();
        profile.traffic.resumed = resumed;
        let placement = known.placement();
        let counts = flow(&placement, &profile.traffic(&placement));
        let hops = placement.hops.iter().zip(&counts);
        let costs = hops.map(|(hop, counts)| -> f64 {
            counts.iter().map(|(term, n)| n * tipping(hop.role, hop.kind, *term)).sum()
        });
        costs.sum::<f64>()
    };
    let found = of(KnownPlacement::Passthrough, KnownPlacement::IngressTerminate);
    let more = |share: f64| {
        cores(KnownPlacement::Passthrough, share) - cores(KnownPlacement::IngressTerminate, share)
    };
    assert!(more(0.0) > 0.0 && more(1.0) < 0.0, "{} {}", more(0.0), more(1.0));
    // It is a straight line.
    let want = more(0.0) / (more(0.0) - more(1.0));
    let at = found.at.unwrap();
    assert!((at - want).abs() <= 0.03, "{at} instead of {want}");
    let words =
        format!("`passthrough` becomes cheaper than `ingress-terminate` above rho = {at:.2}");
    assert!(found.words.starts_with(&words), "{}", found.words);
    // Terminating twice never costs less than once, and dialling was not measured.
    let found = of(KnownPlacement::IngressReencrypt, KnownPlacement::IngressTerminate);
    assert_eq!(found.at, None);
    assert!(found.words.contains("where upstream connections are kept"), "{}", found.words);
}

#[test]
fn reencryption_is_small_from_the_kappa_on_at_which_it_is() {
    // TLS costs requests nothing, so that all that is left is dialling.
    let cheap = |role: Role, kind: HopKind, term: Term| match term {
        Term::TlsRequest => 0.01,
        _ => truth(role, kind, term),
    };
    let kept = World { cost: cheap, noise: 0.0005, ..World::new() };
    let mut fresh = World { cost: cheap, noise: 0.0005, ..World::new() };
    fresh.lab.pool = 0;
    let records = [kept.record(), fresh.record()];
    let profile = plain_profile();
    let advice = advised(&[&records[0], &records[1]], &profile);
    let found = advice
        .break_evens
        .iter()
        .find(|one| one.placement == "lb-reencrypt" && one.over.contains("upstream"))
        .unwrap();
    let extra = |kappa: f64| {
        let mut profile = profile.clone();
        profile.traffic.upstream_requests_per_connection = Some(kappa);
        let cores = |known: KnownPlacement| -> f64 {
            let placement = known.placement();
            let counts = flow(&placement, &profile.traffic(&placement));
            let hops = placement.hops.iter().zip(&counts);
            hops.map(|(hop, counts)| -> f64 {
                counts.iter().map(|(term, n)| n * cheap(hop.role, hop.kind, *term)).sum()
            })
            .sum()
        };
        cores(KnownPlacement::LbReencrypt) / cores(KnownPlacement::LbTerminate) - 1.0
    };
    let at = found.at.unwrap_or_else(|| panic!("{}", found.words));
    assert!(at > 1.0 && extra(at) <= 0.055 && extra(at / 1.6) > 0.045, "{at}: {}", extra(at));
    assert!(found.words.contains(&format!("when kappa >= {at:.0}")), "{}", found.words);
}
