//! The content of a Bundle, and everything that blocks it.

use super::*;

fn target_in_trust_namespace(spec: &Spec, text: &str, extra: &str) -> SourceObject {
    let mut object = source(extra);
    object.data.insert(KEY.into(), text.as_bytes().into());
    object.labels = labels(&[(BUNDLE_LABEL, spec.name.as_str()), ("feed", "yes")]);
    object.target_of = Some(spec.name.clone());
    object.written = Some([KEY.into()].into());
    object
}

#[test]
fn a_bundles_own_keys_are_never_its_source_and_the_other_keys_of_its_target_are() {
    let mut spec = spec();
    spec.sources = vec![selected(0, equals("feed", "yes"))];
    let mut world = world();
    let own = target_in_trust_namespace(&spec, ALPHA, BETA);
    world.sources.insert((Kind::ConfigMap, "b".into()), own.clone());
    let plan_of = |spec: &Spec, world: &World| plan(spec, world, NOW);
    let read = plan_of(&spec, &world);
    assert_eq!(read.content.certificates.to_pem(), BETA.trim_end());
    let origin = Origin::Object {
        kind: Kind::ConfigMap,
        namespace: "cert-manager".into(),
        name: "b".into(),
        key: KEY.into(),
    };
    assert_eq!(read.content.notes, [Note::OwnTarget(origin)]);

    // Without managedFields, what the Bundle would write there counts as written.
    let mut silent = own.clone();
    silent.written = None;
    world.sources.insert((Kind::ConfigMap, "b".into()), silent);
    assert_eq!(plan_of(&spec, &world).content.certificates.to_pem(), BETA.trim_end());

    // Another Bundle may read it.
    world.sources.insert((Kind::ConfigMap, "b".into()), own);
    spec.name = "other".into();
    assert_eq!(plan_of(&spec, &world).content.certificates.members().len(), 2);
}

#[test]
fn bundles_that_feed_one_another_are_refused_by_name() {
    let everywhere = |name: &str, reads: &str| {
        let mut spec = spec();
        spec.name = name.into();
        spec.sources = vec![named(0, reads, KEY)];
        spec.target.as_mut().unwrap().namespaces = Selector::default();
        spec
    };
    let mut world = world();
    let [a, b, c] = [everywhere("a", "b"), everywhere("b", "c"), everywhere("c", "a")];
    let reader = everywhere("reader", "a");
    let alone = everywhere("alone", "alone");
    world.rings = rings(&[&a, &b, &c, &reader, &alone], &world);
    let ring = |names: [&str; 3]| names.map(BundleName::from).to_vec();
    assert_eq!(
        world.rings,
        BTreeMap::from([
            ("a".into(), ring(["a", "b", "c"])),
            ("b".into(), ring(["b", "c", "a"])),
            ("c".into(), ring(["c", "a", "b"])),
        ])
    );
    assert_eq!(plan(&a, &world, NOW).content.blocked, Some(Blocked::Ring(ring(["a", "b", "c"]))));

    // A selector that matches the label of the other's targets closes the ring too.
    let mut by_label = everywhere("b", "");
    by_label.sources = vec![selected(0, equals(BUNDLE_LABEL, "a"))];
    assert_eq!(rings(&[&everywhere("a", "b"), &by_label], &world).len(), 2);

    // Whoever writes no target in the trust namespace feeds nobody.
    let mut away = everywhere("b", "a");
    away.target.as_mut().unwrap().namespaces = equals("env", "prod");
    assert_eq!(rings(&[&everywhere("a", "b"), &away], &world), BTreeMap::new());
}

#[test]
fn every_problem_of_the_sources_is_found_in_their_order() {
    let mut spec = spec();
    spec.sources = vec![
        named(0, "absent", "ca.crt"),
        named(1, "source", "absent.crt"),
        Source { index: 2, from: SourceRef::DefaultCas },
        Source {
            index: 3,
            from: SourceRef::InLine("-----BEGIN X-----\nAQID\n-----END X-----\n".into()),
        },
        Source {
            index: 4,
            from: SourceRef::Objects {
                kind: Kind::Secret,
                pick: Pick::Named("tls".into()),
                keys: Keys::All,
            },
        },
    ];
    let mut world = world();
    let tls = SourceObject { tls: true, ..source(ALPHA) };
    world.sources.insert((Kind::Secret, "tls".into()), tls);
    let Some(Blocked::Sources(problems)) = plan(&spec, &world, NOW).content.blocked else {
        panic!()
    };
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "ConfigMap cert-manager/absent not found",
            "no data found in ConfigMap cert-manager/source at key \"absent.crt\"",
            "spec.sources[2]: no default CA package is loaded; default CAs not available",
            "spec.sources[3].inLine, line 1: only CERTIFICATE blocks may be distributed, and this \
             is a `X` block; remove it",
            "includeAllKeys is not supported for TLS Secrets such as cert-manager/tls; name a key",
        ]
    );
    assert!(problems[0].is_not_found() && !problems[4].is_not_found());
}

#[test]
fn empty_sources_are_noted_and_an_empty_bundle_is_refused() {
    let mut spec = spec();
    spec.sources = vec![named(0, "source", "ca.crt"), selected(1, equals("no", "body"))];
    let mut world = world();
    let plan_of = |world: &World| plan(&spec, world, NOW);
    assert_eq!(
        plan_of(&world).content.notes,
        [Note::NothingSelected { index: 1, kind: Kind::ConfigMap }]
    );
    world.sources.insert((Kind::ConfigMap, "source".into()), source("nothing here"));
    let empty = plan_of(&world);
    assert_eq!(empty.content.blocked, Some(Blocked::Sources(vec![SourceProblem::NoCertificates])));
    let [lost] = empty.content.certificates.dropped() else {
        panic!("{:?}", empty.content.certificates)
    };
    assert!(lost.to_string().contains("it is text without a"), "{lost}");
}

#[test]
fn the_default_package_is_a_source_and_its_identity_is_in_the_plan() {
    let mut spec = spec();
    spec.sources = vec![Source { index: 0, from: SourceRef::DefaultCas }];
    let mut world = world();
    world.settings.default_cas =
        Some(DefaultCas { identity: "package-1-abc".into(), pem: BETA.into() });
    let plan = plan(&spec, &world, NOW);
    assert_eq!(plan.content.default_cas.as_deref(), Some("package-1-abc"));
    assert_eq!(plan.content.certificates.to_pem(), BETA.trim_end());
}

#[test]
fn the_expiry_filter_has_a_clock() {
    let mut world = world();
    let both = format!("{ALPHA}{EXPIRED}");
    world.sources.insert((Kind::ConfigMap, "source".into()), source(&both));
    let spec = spec();
    assert_eq!(
        plan(&spec, &world, NOW).content.again_at,
        None,
        "without the filter nothing will change"
    );
    world.settings.filters = Filters { expired: true, non_ca: false };
    let filtered = plan(&spec, &world, NOW);
    let again = filtered.content.again_at.unwrap();
    assert_eq!(filtered.content.certificates.members().len(), 1);
    assert!(again > NOW);
    // At that time, and not a second before, the plan is another one.
    let count = |now| plan(&spec, &world, now).content.certificates.members().len();
    assert_eq!(count(Timestamp::from_unix(again.unix() - 1)), 1);
    assert_eq!(count(again), 0);
}

/// The plan for `ConfigMap source` with this value at the named key `ca.crt`, beside a sound inline
/// CA.
fn beside_alpha(value: &[u8], keys: Keys) -> Plan {
    let mut spec = spec();
    let pick = Pick::Named("source".into());
    spec.sources = vec![
        Source { index: 0, from: SourceRef::InLine(ALPHA.to_owned()) },
        Source { index: 1, from: SourceRef::Objects { kind: Kind::ConfigMap, pick, keys } },
    ];
    let mut world = world();
    let data = BTreeMap::from([("ca.crt".into(), value.into())]);
    world.sources.insert(
        (Kind::ConfigMap, "source".into()),
        SourceObject { data, ..SourceObject::default() },
    );
    plan(&spec, &world, NOW)
}

fn concluded(plan: &Plan) -> crate::outcome::Conclusion {
    let outcome = crate::outcome::Outcome::default();
    crate::outcome::conclude(plan, &outcome, &Selector::default(), false)
}

fn der(text: &str) -> Vec<u8> {
    match pem::read(text.as_bytes()).remove(0) {
        pem::Item::Block(block) => block.content,
        pem::Item::Unreadable(lost) => panic!("{lost:?}"),
    }
}

#[test]
fn a_named_key_without_a_certificate_is_skipped_and_named_in_the_status() {
    let utf16: Vec<u8> = BETA.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: [(&[u8], &str); 5] = [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (&utf16, "it is text in UTF-16; save it as UTF-8"),
        (b"<!doctype html><title>Sign in</title>", "it is an HTML page"),
        (&der(BETA)[1..], "it is binary data"),
    ];
    for (value, why) in cases {
        let named = beside_alpha(value, Keys::One("ca.crt".into()));
        assert_eq!(named.content.certificates.to_pem(), ALPHA.trim_end(), "{why}");
        let conclusion = concluded(&named);
        let counts = conclusion.certificates.unwrap();
        assert_eq!((conclusion.synced, counts.total, counts.skipped), (true, 1, 1), "{why}");
        assert_eq!(
            conclusion.message,
            format!(
                "Successfully synced Bundle to all namespaces; left out: ConfigMap \
                 cert-manager/source at key \"ca.crt\" holds no certificate: {why}"
            )
        );
        // Among all keys of an object some are no certificates, and nobody has to be told.
        let any = beside_alpha(value, Keys::All);
        assert_eq!(concluded(&any).certificates.unwrap().skipped, 0, "{why}");
        assert!(
            matches!(any.content.notes.as_slice(), [Note::NoPem(_)]),
            "{why}: {:?}",
            any.content.notes
        );
    }
}

#[test]
fn a_certificate_in_der_is_read_under_a_named_key_and_reported_among_all_keys() {
    let named = beside_alpha(&der(BETA), Keys::One("ca.crt".into()));
    assert_eq!(named.content.certificates.members().len(), 2);
    assert!(named.content.certificates.dropped().is_empty() && named.content.notes.is_empty());
    assert_eq!(concluded(&named).message, "Successfully synced Bundle to all namespaces");
    let any = beside_alpha(&der(BETA), Keys::All);
    assert_eq!(any.content.certificates.to_pem(), ALPHA.trim_end());
    let [lost] = any.content.certificates.dropped() else {
        panic!("{:?}", any.content.certificates)
    };
    assert!(lost.to_string().ends_with("which is read only where its key is named"), "{lost}");
}

#[test]
fn a_bundle_whose_only_source_holds_nothing_says_which_and_why() {
    let mut world = world();
    world.sources.insert((Kind::ConfigMap, "source".into()), source(""));
    let message = concluded(&plan(&spec(), &world, NOW)).message;
    assert_eq!(
        message,
        "Bundle source was not found: couldn't find any valid certificates in bundle; left out: \
         ConfigMap cert-manager/source at key \"ca.crt\" holds no certificate: it is empty"
    );
}

#[test]
fn every_certificate_that_a_filter_took_is_named_also_when_none_is_left() {
    let mut world = world();
    let leaf = include_str!("../../../../../tests/fixtures/peer/ca/leaf.pem");
    world.sources.insert((Kind::ConfigMap, "source".into()), source(&format!("{EXPIRED}{leaf}")));
    world.settings.filters = Filters { expired: true, non_ca: true };
    let plan = plan(&spec(), &world, NOW);
    assert!(
        plan.content.blocked.is_some()
            && plan.content.certificates.is_empty()
            && plan.content.rendered.is_empty()
    );
    assert_eq!(plan.content.certificates.dropped().len(), 2);
    let message = concluded(&plan).message;
    let start = "Bundle source was not found: couldn't find any valid certificates in bundle; left \
                 out: ConfigMap cert-manager/source at key \"ca.crt\", line 1: certificate ";
    assert!(message.starts_with(start), "{message}");
    for part in ["(subject CN=", "--filter-expired-certificates is on; ", "--filter-non-ca-certs"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // Of many, the message names ten, and the plan all.
    let many = EXPIRED.repeat(12);
    world.sources.insert((Kind::ConfigMap, "source".into()), source(&many));
    let plan = super::plan(&spec(), &world, NOW);
    assert_eq!(plan.content.certificates.dropped().len(), 12);
    assert!(concluded(&plan).message.ends_with("; and 2 more"), "{}", concluded(&plan).message);
}

#[test]
fn near_misses_are_left_out_with_their_line_and_counted() {
    let text = format!("{ALPHA}----BEGIN CERTIFICATE----\nAQID\n----END CERTIFICATE----\n");
    let plan = beside_alpha(text.as_bytes(), Keys::All);
    let conclusion = concluded(&plan);
    assert_eq!(conclusion.certificates.unwrap().skipped, 1);
    let line = ALPHA.lines().count() + 1;
    let named = format!(
        "; left out: ConfigMap cert-manager/source at key \"ca.crt\", line {line}: PEM block left \
         out: its marker is misspelled"
    );
    assert!(conclusion.message.contains(&named), "{}", conclusion.message);
}
