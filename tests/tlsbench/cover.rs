//! Every pair of what a run may be, in as few short runs as a greedy choice needs: TLS versions, keys,
//! handshakes, protocols, placements, and an engine for each hop.

use std::collections::{BTreeMap, BTreeSet};

use tlsbench_core::hop::{EngineCounters, LinkSecurity};
use tlsbench_core::placement::{KnownPlacement, Placement, Role};
use tlsbench_core::scenario::{ProtocolName, Version};
use tlsbench_engine::tls::KeyKind;
use tlsbench_engine::topology::Engine;

use crate::stand::{Loaded, ROLES, Stand, Wanted, cryptography, haproxy, nginx};

/// What a run is: an index into each of [`AXES`].
type Row = [usize; AXES.len()];

/// How many values each axis has: placement, version, key, handshake, protocol, and the engines of load
/// balancer, ingress and backend.
const AXES: [usize; 8] = [8, 2, 2, 2, 2, 3, 3, 3];
const VERSIONS: [Version; 2] = [Version::Tls13, Version::Tls12];
const KEYS: [KeyKind; 2] = [KeyKind::EcdsaP256, KeyKind::Rsa2048];
/// Requests of a run, each on a connection of its own, and how many at a time.
const REQUESTS: u64 = 12;
const AT_A_TIME: u32 = 2;

/// A row in words.
#[derive(Debug)]
struct Run {
    placement: Placement,
    version: Version,
    key: usize,
    resumes: bool,
    is_http2: bool,
    engines: [usize; 3],
}

impl Run {
    fn of(row: &Row) -> Self {
        let [placement, version, key, handshake, protocol, lb, ingress, backend] = *row;
        Self {
            placement: KnownPlacement::PLACEMENTS[placement].placement(),
            version: VERSIONS[version],
            key,
            resumes: handshake == 1,
            is_http2: protocol == 1,
            engines: [lb, ingress, backend],
        }
    }

    /// Whether there can be such a run: without TLS there is no version, and without TLS towards the
    /// client neither resumption nor HTTP/2.
    fn is_possible(row: &Row) -> bool {
        let placement = KnownPlacement::PLACEMENTS[row[0]].placement();
        let is_plain_edge = placement.links()[0] == LinkSecurity::Plain;
        let says_nothing = |axis: usize| row[axis] == 0;
        (!placement.is_plain() || [1, 2].into_iter().all(says_nothing))
            && (!is_plain_edge || [3, 4].into_iter().all(says_nothing))
    }
}

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = vec![[0; AXES.len()]];
    for (axis, values) in AXES.into_iter().enumerate() {
        let with = |row: Row| {
            (0..values).map(move |value| {
                let mut row = row;
                row[axis] = value;
                row
            })
        };
        rows = rows.into_iter().flat_map(with).collect();
    }
    rows.retain(Run::is_possible);
    rows
}

fn pairs(row: &Row) -> impl Iterator<Item = [(usize, usize); 2]> + '_ {
    let axes = 0..AXES.len();
    axes.flat_map(move |one| {
        (one + 1..AXES.len()).map(move |other| [(one, row[one]), (other, row[other])])
    })
}

/// Takes the row with most pairs that no row before had, the first of equals, until all are had.
fn cover(rows: &[Row]) -> Vec<Row> {
    let mut missing: BTreeSet<_> = rows.iter().flat_map(pairs).collect();
    let mut taken = Vec::new();
    while !missing.is_empty() {
        let new = |row: &&Row| pairs(row).filter(|pair| missing.contains(pair)).count();
        // The last of equals is `max`'s choice.
        let best = rows.iter().rev().max_by_key(new).unwrap();
        missing.retain(|missing| pairs(best).all(|pair| pair != *missing));
        taken.push(*best);
    }
    taken
}

#[test]
fn every_possible_pair_is_in_the_cover() {
    let rows = rows();
    let cover = cover(&rows);
    let covered: BTreeSet<_> = cover.iter().flat_map(pairs).collect();
    assert!(rows.iter().flat_map(pairs).all(|pair| covered.contains(&pair)));
    // No fewer than placements times engines, and not many more.
    assert!((24..=32).contains(&cover.len()), "{} runs", cover.len());
    // All values of two axes are possible together, but those that say nothing.
    let possible: usize = (0..AXES.len())
        .flat_map(|one| (one + 1..AXES.len()).map(move |other| AXES[one] * AXES[other]))
        .sum();
    assert_eq!(covered.len(), possible - [1, 1, 2, 2].into_iter().sum::<usize>());
}

#[test]
fn each_run_of_the_cover_negotiates_counts_and_costs_what_it_should() {
    let (Some(nginx), Some(haproxy)) = (nginx(), haproxy()) else { return };
    let engines = [Engine::Builtin, nginx, haproxy];
    let mut stands = KEYS.map(|key| Stand::with(key, Version::Tls13));
    for (index, row) in cover(&rows()).iter().enumerate() {
        let run = Run::of(row);
        let stand = &mut stands[run.key];
        stand.wiring.cryptography = cryptography(KEYS[run.key], run.version);
        stand.wiring.tickets = 2;
        stand.wiring.alpn = if run.is_http2 { vec![ProtocolName::Http2] } else { Vec::new() };
        let of_role = ROLES.into_iter().zip(run.engines.map(|engine| engines[engine].clone()));
        let by_role: BTreeMap<Role, Engine> = of_role.collect();
        let mut wanted = Wanted::connections(AT_A_TIME);
        wanted.tls.version = Some(run.version.into());
        wanted.tls.suites = Some(stand.wiring.cryptography.suites.clone());
        wanted.tls.groups = Some(stand.wiring.cryptography.groups.clone());
        wanted.tls.resume = run.resumes.then_some(1.0);
        wanted.request.protocol = run.is_http2.then_some(ProtocolName::Http2);
        wanted.request.expect_bytes = Some(stand.wiring.response_bytes);
        let names = ROLES.map(|role| by_role[&role].name()).join(" · ");
        let mut topology = stand.start(&run.placement, &by_role, &index.to_string()).unwrap();
        let loaded = stand.load(&run.placement, &mut topology, &wanted, REQUESTS);
        let what = format!("{index}: {names}, {run:?}, {loaded:#?}");
        assert_shape(&run, &loaded, &what);
        assert_counts(&run, &loaded, &what);
        assert!(loaded.used.iter().all(|used| used.cpu.total.0 > 10_000), "{what}");
        // Who closes before it has read all that was sent to it, resets; and a relay passes on, too, the
        // connection by which its proxy was seen to be there.
        for counters in topology.counters().unwrap().into_iter().flatten() {
            let expected = ["reset", "hello-unfinished"];
            let mut unexpected =
                counters.refused.keys().filter(|why| !expected.contains(&why.as_str()));
            assert_eq!(unexpected.next(), None, "{what}, {counters:?}");
        }
    }
}

/// What the client negotiated is what was asked for.
fn assert_shape(run: &Run, loaded: &Loaded, what: &str) {
    assert_eq!(
        (loaded.made.connections, loaded.made.requests),
        (REQUESTS, Some(REQUESTS)),
        "{what}"
    );
    let (full, resumed) = (loaded.made.full, loaded.made.resumed);
    if run.placement.links()[0] == LinkSecurity::Plain {
        assert_eq!((full, resumed), (0, 0), "{what}");
        return;
    }
    // The first connections have no session yet.
    let firsts = 1..=u64::from(AT_A_TIME);
    assert!(if run.resumes { firsts.contains(&full) } else { full == REQUESTS }, "{what}");
    assert_eq!(full + resumed, REQUESTS, "{what}");
    for (text, count) in &loaded.shape.negotiated {
        let words: Vec<&str> = text.split(' ').collect();
        let ["TLS", version, suite, group, signature, protocol] = words[..] else {
            panic!("{what}")
        };
        assert_eq!((version, suite), (run.version.as_str(), "aes-128-gcm"), "{what}");
        // TLS 1.2 agrees on no key when it resumes.
        assert!(group == "x25519" || (group == "-" && *count <= resumed), "{what}");
        assert_eq!(protocol == "h2", run.is_http2, "{what}");
        // A resumed handshake has none.
        let fits = match KEYS[run.key] {
            KeyKind::Rsa2048 => signature.starts_with("RSA_"),
            _ => signature == "ECDSA_NISTP256_SHA256",
        };
        assert!(fits || (signature == "-" && *count <= resumed), "{what}");
    }
}

/// Each hop counted what was made of it, and no more.
fn assert_counts(run: &Run, loaded: &Loaded, what: &str) {
    let counted: Vec<EngineCounters> =
        loaded.counted.iter().map(|counted| counted.unwrap()).collect();
    let mut is_clients = true;
    for (index, (hop, counted_here)) in run.placement.hops.iter().zip(&counted).enumerate() {
        let handshakes = counted_here.full + counted_here.resumed;
        let connections = counted_here.connections;
        match hop.listen {
            LinkSecurity::Plain => assert_eq!(handshakes, 0, "{index}: {what}"),
            LinkSecurity::Tls | LinkSecurity::Mtls => {
                assert_eq!(handshakes, connections, "{index}: {what}");
            }
        }
        if is_clients {
            assert_eq!(connections, REQUESTS, "{index}: {what}");
        } else {
            // Pooled: in the worst case each request found none free.
            assert!((1..=REQUESTS).contains(&connections), "{index}: {what}");
        }
        if is_clients && hop.listen != LinkSecurity::Plain {
            let made = (loaded.made.full, loaded.made.resumed);
            assert_eq!((counted_here.full, counted_here.resumed), made, "{index}: {what}");
        }
        let requests = counted_here.requests.unwrap_or(REQUESTS);
        assert_eq!(requests, REQUESTS, "{index}: {what}");
        is_clients &= !hop.kind.speaks_http();
        let dialled = counted_here.dialled_full.zip(counted_here.dialled_resumed);
        if let (Some(dialled), true) = (dialled, hop.dial != LinkSecurity::Plain) {
            let next = &counted[index + 1];
            assert_eq!(dialled, (next.full, next.resumed), "{index}: {what}");
        }
    }
}
