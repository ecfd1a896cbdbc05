use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::bundle::Filters;
use crate::format::{DATA_BYTES_MAX, Value};
use crate::names::{BUNDLE_LABEL, ObjectName, Origin};
use crate::pem;
use crate::selector::{Condition, Labels, Requirement, Selector};
use crate::spec::{From, Keys, Pick, Source, Store, Template};
use crate::world::{DefaultCas, Managed, OwnerReference, SourceObject};

const NOW: Timestamp = Timestamp::from_unix(1_795_255_200); // 2026-11-21
const ALPHA: &str = include_str!("../../../../tests/fixtures/peer/ca/alpha.pem");
const BETA: &str = include_str!("../../../../tests/fixtures/peer/ca/beta.pem");
const EXPIRED: &str = include_str!("../../../../tests/fixtures/peer/ca/expired.pem");
const KEY: &str = "ca-bundle.crt";

fn named(index: usize, name: &str, key: &str) -> Source {
    Source {
        index,
        from: From::Objects {
            kind: Kind::ConfigMap,
            pick: Pick::Named(name.into()),
            keys: Keys::One(key.into()),
        },
    }
}

fn selected(index: usize, selector: Selector) -> Source {
    let pick = Pick::Selected(selector);
    Source { index, from: From::Objects { kind: Kind::ConfigMap, pick, keys: Keys::All } }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn equals(key: &str, value: &str) -> Selector {
    Selector::new(vec![Requirement { key: key.into(), condition: Condition::Equals(value.into()) }])
}

fn template() -> Template {
    Template { key: KEY.into(), labels: Labels::new(), annotations: Labels::new() }
}

/// A Bundle `b` of ConfigMap `source`, to ConfigMaps of namespaces labelled `env=prod`.
fn spec() -> Spec {
    Spec {
        name: "b".into(),
        uid: Some("uid-b".into()),
        deleting: false,
        paused: false,
        synced: true,
        sources: vec![named(0, "source", "ca.crt")],
        target: Some(Target {
            config_map: Some(template()),
            secret: None,
            stores: Vec::new(),
            namespaces: equals("env", "prod"),
        }),
        retention: None,
    }
}

fn source(text: &str) -> SourceObject {
    let data = BTreeMap::from([("ca.crt".into(), text.as_bytes().into())]);
    SourceObject { data, ..SourceObject::default() }
}

fn namespace(pairs: &[(&str, &str)]) -> NamespaceState {
    NamespaceState { labels: labels(pairs), terminating: false }
}

/// The trust namespace, `prod` (selected) and `dev` (not), and `source` with one CA.
fn world() -> World {
    let mut world = World::default();
    world.sources.insert((Kind::ConfigMap, "source".into()), source(ALPHA));
    world.namespaces = BTreeMap::from([
        ("cert-manager".into(), namespace(&[])),
        ("dev".into(), namespace(&[("env", "dev")])),
        ("prod".into(), namespace(&[("env", "prod")])),
    ]);
    world
}

fn rendered(spec: &Spec, world: &World) -> Arc<Rendered> {
    Arc::clone(Prepared::new(spec, world, NOW).rendered(Kind::ConfigMap).unwrap())
}

/// What the world holds after the plan's content was written to a target of ours.
fn written(spec: &Spec, rendered: &Rendered) -> Observed {
    let keys: BTreeSet<DataKey> = rendered.data.keys().cloned().collect();
    let mut all = rendered.labels.clone();
    all.insert(BUNDLE_LABEL.into(), spec.name.to_string());
    Observed {
        uid: Some("uid-target".into()),
        resource_version: Some("7".into()),
        label: Some(spec.name.clone()),
        hash: Some(rendered.hash.clone()),
        content: Some(rendered.content.clone()),
        owner: OwnerReference::Bundle(spec.uid.clone().unwrap_or_else(|| "any".into())),
        labels: all,
        annotations: rendered.annotations.clone(),
        managed: Some(Managed { applied: keys, ..Managed::default() }),
        ..Observed::default()
    }
}

fn put(world: &mut World, namespace: &str, observed: Observed) {
    let targets = world.targets.entry("b".into()).or_default();
    targets.insert((Kind::ConfigMap, namespace.into()), observed);
}

fn writes(plan: &Plan) -> Vec<(&str, &Write)> {
    plan.steps.iter().map(|step| (step.namespace.as_str(), &step.write)).collect()
}

/// The one step for `prod`, where the target looks like this.
fn step_for(spec: &Spec, observed: Observed) -> Option<Write> {
    let mut world = world();
    put(&mut world, "prod", observed);
    let plan = plan(spec, &world, NOW);
    assert!(plan.steps.len() <= 1, "{:?}", plan.steps);
    plan.steps.into_iter().next().map(|step| step.write)
}

fn is_update(write: Option<&Write>, wanted: Ownership, forced: bool) -> bool {
    matches!(write, Some(Write::Update { ownership, force, seen, .. })
        if *ownership == wanted && *force == forced && seen.uid == Some("uid-target".into()))
}

#[test]
fn a_target_is_created_in_selected_namespaces_only() {
    let plan = plan(&spec(), &world(), NOW);
    assert_eq!(plan.blocked, None);
    assert_eq!(plan.desired, 1);
    let [Step { kind: Kind::ConfigMap, namespace, write: Write::Create(rendered) }] =
        plan.steps.as_slice()
    else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(namespace.as_str(), "prod");
    let Value::Text(text) = &rendered.data[&DataKey::from(KEY)] else { panic!() };
    assert_eq!(&**text, ALPHA.trim_end());
}

#[test]
fn what_was_written_is_kept_and_each_kind_of_drift_is_repaired() {
    let mut spec = spec();
    let target = spec.target.as_mut().unwrap();
    let template = target.config_map.as_mut().unwrap();
    template.labels = labels(&[("team", "a")]);
    template.annotations = labels(&[("note", "n")]);
    let good = written(&spec, &rendered(&spec, &world()));
    assert_eq!(step_for(&spec, good.clone()), Some(Write::Keep));

    type Drift = Box<dyn Fn(&mut Observed)>;
    let drifts: Vec<(&str, Drift)> = vec![
        ("hash", Box::new(|o| o.hash = Some("x".into()))),
        ("no hash", Box::new(|o| o.hash = None)),
        ("content", Box::new(|o| o.content = Some("x".into()))),
        ("template label edited", Box::new(|o| drop(o.labels.insert("team".into(), "b".into())))),
        ("template label removed", Box::new(|o| drop(o.labels.remove("team")))),
        ("template annotation removed", Box::new(|o| drop(o.annotations.remove("note")))),
        ("label removed", Box::new(|o| o.label = None)),
        ("owner of another UID", Box::new(|o| o.owner = OwnerReference::Bundle("old".into()))),
        ("owner removed", Box::new(|o| o.owner = OwnerReference::None)),
        (
            "key taken by another",
            Box::new(|o| {
                let keys = std::mem::take(&mut o.managed.as_mut().unwrap().applied);
                o.managed.as_mut().unwrap().others = keys;
            }),
        ),
        (
            "a key too many",
            Box::new(|o| {
                o.managed.as_mut().unwrap().applied.insert("old.crt".into());
            }),
        ),
        ("value", Box::new(|o| o.data = Some(BTreeMap::from([(KEY.into(), b"x"[..].into())])))),
    ];
    for (what, drift) in drifts {
        let mut observed = good.clone();
        drift(&mut observed);
        let write = step_for(&spec, observed);
        assert!(is_update(write.as_ref(), Ownership::Ours, true), "{what}: {write:?}");
    }
}

#[test]
fn the_peers_hash_decides_for_the_peers_writes_while_its_status_vouches_for_it() {
    let mut spec = spec();
    let mut observed = written(&spec, &rendered(&spec, &world()));
    observed.content = None;
    assert_eq!(step_for(&spec, observed.clone()), Some(Write::Keep));
    spec.synced = false;
    let write = step_for(&spec, observed);
    assert!(is_update(write.as_ref(), Ownership::Ours, true), "{write:?}");
}

#[test]
fn a_foreign_object_is_shared_and_never_seized() {
    let other_keys = Observed {
        uid: Some("uid-target".into()),
        managed: Some(Managed { others: ["settings".into()].into(), ..Managed::default() }),
        ..Observed::default()
    };
    let write = step_for(&spec(), other_keys.clone());
    assert!(is_update(write.as_ref(), Ownership::Shared, false), "{write:?}");

    // Only metadata was seen and our key is taken: the server is asked, without force.
    let mut taken = other_keys;
    taken.managed.as_mut().unwrap().others.insert(KEY.into());
    let write = step_for(&spec(), taken.clone());
    assert!(is_update(write.as_ref(), Ownership::Shared, false), "{write:?}");

    // Its value is known and another one: refused, unless its owner allows it.
    taken.data = Some(BTreeMap::from([(KEY.into(), b"theirs"[..].into())]));
    let refusal = Write::Refuse(Refusal::Conflict(KEY.into()));
    assert_eq!(step_for(&spec(), taken.clone()), Some(refusal));
    taken.allow_overwrite = true;
    let write = step_for(&spec(), taken.clone());
    assert!(is_update(write.as_ref(), Ownership::Shared, true), "{write:?}");

    // The same value is no conflict.
    taken.allow_overwrite = false;
    let same = ALPHA.trim_end().as_bytes();
    taken.data = Some(BTreeMap::from([(KEY.into(), same.into())]));
    let write = step_for(&spec(), taken);
    assert!(is_update(write.as_ref(), Ownership::Shared, false), "{write:?}");
}

#[test]
fn a_shared_object_is_kept_without_our_owner_reference_and_updated_without_force() {
    let spec = spec();
    let mut observed = written(&spec, &rendered(&spec, &world()));
    observed.shared = true;
    observed.owner = OwnerReference::None;
    observed.managed.as_mut().unwrap().others.insert("settings".into());
    assert_eq!(step_for(&spec, observed.clone()), Some(Write::Keep));
    observed.owner = OwnerReference::OtherController;
    assert_eq!(step_for(&spec, observed.clone()), Some(Write::Keep));

    observed.hash = Some("old".into());
    let write = step_for(&spec, observed.clone());
    assert!(is_update(write.as_ref(), Ownership::Shared, false), "{write:?}");
    // The mark wins over an owner reference that came back: it is taken off.
    observed.hash = Some(rendered(&spec, &world()).hash.clone());
    observed.owner = OwnerReference::Bundle("uid-b".into());
    let write = step_for(&spec, observed);
    assert!(is_update(write.as_ref(), Ownership::Shared, false), "{write:?}");
}

#[test]
fn an_object_the_peer_adopted_is_kept_and_becomes_shared_with_the_next_write_due() {
    let spec = spec();
    let mut adopted = written(&spec, &rendered(&spec, &world()));
    adopted.managed.as_mut().unwrap().others.insert("settings".into());
    assert_eq!(step_for(&spec, adopted.clone()), Some(Write::Keep));
    let mut world = world();
    put(&mut world, "prod", adopted.clone());
    let note = Note::Adopted { kind: Kind::ConfigMap, namespace: "prod".into() };
    assert_eq!(plan(&spec, &world, NOW).notes, [note]);
    adopted.hash = Some("old".into());
    let write = step_for(&spec, adopted);
    assert!(is_update(write.as_ref(), Ownership::Shared, true), "{write:?}");
}

#[test]
fn what_is_no_longer_wanted_is_deleted_if_ours_alone_and_else_released() {
    let spec = spec();
    let mut world = world();
    let ours = written(&spec, &rendered(&spec, &world));
    let seen = Seen { uid: Some("uid-target".into()), resource_version: Some("7".into()) };
    put(&mut world, "dev", ours.clone());
    let plan_of = |world: &World| plan(&spec, world, NOW);
    assert_eq!(writes(&plan_of(&world))[0], ("dev", &Write::Delete(seen.clone())));

    let mut used = ours.clone();
    used.managed.as_mut().unwrap().others.insert("settings".into());
    used.managed.as_mut().unwrap().updated.insert("edited".into());
    put(&mut world, "dev", used);
    let by_patch = vec![KEY.into(), "edited".into()];
    let release = Write::Release { seen: seen.clone(), by_patch };
    assert_eq!(writes(&plan_of(&world))[0], ("dev", &release));

    // Somebody's copy, marks and all: there is nothing of ours in it to give up.
    for shared in [false, true] {
        let copied = Managed { others: [KEY.into()].into(), ..Managed::default() };
        put(&mut world, "dev", Observed { shared, managed: Some(copied.clone()), ..ours.clone() });
        assert_eq!(writes(&plan_of(&world)).len(), 1, "only the create in prod");
        // The peer leaves its marks in objects that it half released.
        let marked = Managed { any: true, ..copied };
        put(&mut world, "dev", Observed { shared, managed: Some(marked), ..ours.clone() });
        assert!(matches!(writes(&plan_of(&world))[0], ("dev", Write::Release { .. })));
    }

    // A key that others hold too is not taken from them.
    let mut agreed = ours.clone();
    agreed.managed.as_mut().unwrap().others.extend([
        KEY.into(),
        "settings".into(),
        "edited".into(),
    ]);
    agreed.managed.as_mut().unwrap().updated.insert("edited".into());
    put(&mut world, "dev", agreed);
    let release = Write::Release { seen: seen.clone(), by_patch: Vec::new() };
    assert_eq!(writes(&plan_of(&world))[0], ("dev", &release));

    // Never deleted, even when nothing of others is in it.
    let shared = Observed { shared: true, owner: OwnerReference::None, ..ours.clone() };
    put(&mut world, "dev", shared);
    let release = Write::Release { seen, by_patch: vec![KEY.into()] };
    assert_eq!(writes(&plan_of(&world))[0], ("dev", &release));

    // Somebody else's: with our label copied onto it, it still is.
    let mut copied = Observed { label: Some("b".into()), ..Observed::default() };
    copied.managed = Some(Managed { others: [KEY.into()].into(), ..Managed::default() });
    put(&mut world, "dev", copied);
    assert_eq!(writes(&plan_of(&world)).len(), 1, "only the create in prod");
    // And so it is with nothing but our mark.
    put(&mut world, "dev", Observed { shared: true, ..Observed::default() });
    assert_eq!(writes(&plan_of(&world)).len(), 1, "only the create in prod");

    // Of an object that does not say who manages it, our key is ours and the others are not.
    let value = |key: &str| (DataKey::from(key), b"x"[..].into());
    let silent = Observed { managed: None, data: Some([value(KEY)].into()), ..ours };
    put(&mut world, "dev", silent.clone());
    assert!(matches!(writes(&plan_of(&world))[0], ("dev", Write::Delete(_))));
    let data = Some([value(KEY), value("settings")].into());
    put(&mut world, "dev", Observed { data, ..silent });
    assert!(matches!(writes(&plan_of(&world))[0], ("dev", Write::Release { .. })));
}

#[test]
fn clean_up_goes_on_while_a_source_is_broken_and_targets_keep_their_content() {
    let spec = spec();
    let mut world = world();
    let ours = written(&spec, &rendered(&spec, &world));
    put(&mut world, "dev", ours.clone());
    put(&mut world, "prod", ours);
    world.sources.clear();
    let plan = plan(&spec, &world, NOW);
    assert!(matches!(plan.blocked, Some(Blocked::Sources(_))), "{:?}", plan.blocked);
    let writes = writes(&plan);
    assert!(matches!(writes[0], ("dev", Write::Delete(_))), "{writes:?}");
    assert_eq!(writes[1], ("prod", &Write::Keep));
}

#[test]
fn one_refused_target_leaves_the_others_alone() {
    let mut world = world();
    world.namespaces.insert("zone".into(), namespace(&[("env", "prod")]));
    let theirs = Observed {
        data: Some(BTreeMap::from([(KEY.into(), b"theirs"[..].into())])),
        ..Observed::default()
    };
    put(&mut world, "prod", theirs);
    let plan = plan(&spec(), &world, NOW);
    let writes = writes(&plan);
    assert!(matches!(writes[0], ("prod", Write::Refuse(_))), "{writes:?}");
    assert!(matches!(writes[1], ("zone", Write::Create(_))), "{writes:?}");
}

#[test]
fn nothing_is_written_to_what_is_on_its_way_out() {
    let spec = spec();
    let mut world = world();
    let stale = Observed { hash: None, ..written(&spec, &rendered(&spec, &world)) };
    put(&mut world, "prod", Observed { deleting: true, ..stale.clone() });
    assert_eq!(plan(&spec, &world, NOW).steps, []);
    put(&mut world, "prod", stale);
    world.namespaces.get_mut("prod").unwrap().terminating = true;
    let plan = plan(&spec, &world, NOW);
    assert_eq!((plan.steps, plan.desired), (Vec::new(), 0));
}

#[test]
fn a_bundle_on_its_way_out_releases_what_is_shared_and_leaves_the_rest_to_the_cluster() {
    let mut spec = spec();
    let mut world = world();
    let ours = written(&spec, &rendered(&spec, &world));
    let shared = Observed { shared: true, owner: OwnerReference::None, ..ours.clone() };
    put(&mut world, "prod", shared);
    put(&mut world, "dev", ours);
    spec.deleting = true;
    let plan = plan(&spec, &world, NOW);
    let writes = writes(&plan);
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(matches!(writes[0], ("prod", Write::Release { .. })), "{writes:?}");
}

#[test]
fn a_paused_bundle_writes_nothing() {
    let mut spec = spec();
    let mut world = world();
    let ours = written(&spec, &rendered(&spec, &world));
    put(&mut world, "dev", ours.clone());
    put(&mut world, "prod", Observed { hash: None, ..ours });
    spec.paused = true;
    let plan = plan(&spec, &world, NOW);
    assert_eq!(writes(&plan), [("prod", &Write::Keep)]);
    assert!(plan.paused);
}

#[test]
fn secrets_switched_off_block_the_secret_half_only() {
    let mut spec = spec();
    spec.target.as_mut().unwrap().secret = Some(template());
    let mut world = world();
    let old = written(&spec, &rendered(&spec, &world));
    let targets = world.targets.entry("b".into()).or_default();
    for namespace in ["prod", "dev"] {
        let stale = Observed { hash: None, ..old.clone() };
        targets.insert((Kind::Secret, namespace.into()), stale);
    }
    let off = plan(&spec, &world, NOW);
    assert!(off.secrets_off);
    let kinds: Vec<_> = off.steps.iter().map(|s| (s.kind, s.namespace.as_str())).collect();
    assert_eq!(kinds, [(Kind::ConfigMap, "prod"), (Kind::Secret, "prod")]);
    assert!(matches!(off.steps[0].write, Write::Create(_)));
    assert_eq!(off.steps[1].write, Write::Keep, "what was written before stays");

    world.settings.secret_targets = true;
    let on = plan(&spec, &world, NOW);
    assert!(!on.secrets_off);
    assert!(matches!(on.steps[1].write, Write::Delete(_)), "{:?}", on.steps);
    assert!(matches!(on.steps[2].write, Write::Update { .. }), "{:?}", on.steps);
}

#[test]
fn only_listed_namespaces_are_written_when_there_is_a_list() {
    let mut world = world();
    world.namespaces.insert("zone".into(), namespace(&[("env", "prod")]));
    world.settings.target_namespaces = ["zone".into()].into();
    let plan = plan(&spec(), &world, NOW);
    assert_eq!(writes(&plan).len(), 1);
    assert_eq!(writes(&plan)[0].0, "zone");
}

#[test]
fn a_target_over_the_limits_is_refused_unless_it_is_shared() {
    let mut spec = spec();
    let mut world = world();
    // Comments do not count: only certificates are written.
    let padded = format!("{}{ALPHA}", "# padding\n".repeat(200_000));
    world.sources.insert((Kind::ConfigMap, "source".into()), source(&padded));
    assert!(matches!(plan(&spec, &world, NOW).steps[0].write, Write::Create(_)));

    let huge = huge_bundle();
    world.sources.insert((Kind::ConfigMap, "source".into()), source(&huge));
    let refused = plan(&spec, &world, NOW);
    let Write::Refuse(Refusal::TooLarge { bytes, max }) = refused.steps[0].write else {
        panic!("{:?}", refused.steps)
    };
    assert!(bytes > max && max == DATA_BYTES_MAX, "{bytes} {max}");
    let shared = Observed { shared: true, label: Some("b".into()), ..Observed::default() };
    put(&mut world, "prod", shared);
    assert!(matches!(plan(&spec, &world, NOW).steps[0].write, Write::Update { .. }));

    let template = spec.target.as_mut().unwrap().config_map.as_mut().unwrap();
    template.annotations = labels(&[("note", "x".repeat(262_144 - 4 - 255).as_str())]);
    let refused = plan(&spec, &self::world(), NOW);
    assert!(
        matches!(refused.steps[0].write, Write::Refuse(Refusal::AnnotationsTooLarge { .. })),
        "{:?}",
        refused.steps
    );
}

/// Distinct sound certificates of more than 1 MiB in all: one of them, with its serial changed.
fn huge_bundle() -> String {
    let items = pem::read(ALPHA.as_bytes());
    let [pem::Item::Block(block)] = items.as_slice() else { panic!() };
    let mut der = block.content.clone();
    // The serial's last octet stands before the signature algorithm, 30 0a 06 08 2a 86 48 ce 3d.
    let algorithm = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d];
    let at = der.windows(9).position(|w| w == algorithm).unwrap();
    let mut out = String::new();
    for n in 0..3000_u16 {
        der[at - 2..at].copy_from_slice(&n.to_be_bytes());
        let certificate = crate::certificate::Certificate::from_der(&der).unwrap();
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        base64::Engine::encode_string(
            &base64::engine::general_purpose::STANDARD,
            certificate.der(),
            &mut out,
        );
        out.push_str("\n-----END CERTIFICATE-----\n");
    }
    out
}

#[test]
fn stores_that_cannot_be_written_block_the_bundle_instead_of_being_left_out() {
    let mut spec = spec();
    let store = Store::Jks { key: "a.jks".into(), password: "changeit".into() };
    let mut world = world();
    let old = written(&spec, &rendered(&spec, &world));
    spec.target.as_mut().unwrap().stores = vec![store];
    put(&mut world, "prod", old);
    let plan = plan(&spec, &world, NOW);
    assert_eq!(plan.blocked, Some(Blocked::Stores(vec!["a.jks".into()])));
    assert_eq!(writes(&plan), [("prod", &Write::Keep)]);
}

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
    assert_eq!(read.certificates.to_pem(), BETA.trim_end());
    let origin = Origin::Object {
        kind: Kind::ConfigMap,
        namespace: "cert-manager".into(),
        name: "b".into(),
        key: KEY.into(),
    };
    assert_eq!(read.notes, [Note::OwnTarget(origin)]);

    // Without managedFields, what the Bundle would write there counts as written.
    let mut silent = own.clone();
    silent.written = None;
    world.sources.insert((Kind::ConfigMap, "b".into()), silent);
    assert_eq!(plan_of(&spec, &world).certificates.to_pem(), BETA.trim_end());

    // Another Bundle may read it.
    world.sources.insert((Kind::ConfigMap, "b".into()), own);
    spec.name = "other".into();
    assert_eq!(plan_of(&spec, &world).certificates.members().len(), 2);
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
    assert_eq!(plan(&a, &world, NOW).blocked, Some(Blocked::Ring(ring(["a", "b", "c"]))));

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
        Source { index: 2, from: From::DefaultCas },
        Source {
            index: 3,
            from: From::InLine("-----BEGIN X-----\nAQID\n-----END X-----\n".into()),
        },
        Source {
            index: 4,
            from: From::Objects {
                kind: Kind::Secret,
                pick: Pick::Named("tls".into()),
                keys: Keys::All,
            },
        },
    ];
    let mut world = world();
    let tls = SourceObject { tls: true, ..source(ALPHA) };
    world.sources.insert((Kind::Secret, "tls".into()), tls);
    let Some(Blocked::Sources(problems)) = plan(&spec, &world, NOW).blocked else { panic!() };
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
    assert_eq!(plan_of(&world).notes, [Note::NothingSelected { index: 1, kind: Kind::ConfigMap }]);
    world.sources.insert((Kind::ConfigMap, "source".into()), source("nothing here"));
    let empty = plan_of(&world);
    assert_eq!(empty.blocked, Some(Blocked::Sources(vec![SourceProblem::NoCertificates])));
    assert!(matches!(empty.notes[0], Note::NoPem(_)), "{:?}", empty.notes);
}

#[test]
fn the_default_package_is_a_source_and_its_identity_is_in_the_plan() {
    let mut spec = spec();
    spec.sources = vec![Source { index: 0, from: From::DefaultCas }];
    let mut world = world();
    world.settings.default_cas =
        Some(DefaultCas { identity: "package-1-abc".into(), pem: BETA.into() });
    let plan = plan(&spec, &world, NOW);
    assert_eq!(plan.default_cas.as_deref(), Some("package-1-abc"));
    assert_eq!(plan.certificates.to_pem(), BETA.trim_end());
}

#[test]
fn the_expiry_filter_has_a_clock() {
    let mut world = world();
    let both = format!("{ALPHA}{EXPIRED}");
    world.sources.insert((Kind::ConfigMap, "source".into()), source(&both));
    let spec = spec();
    assert_eq!(plan(&spec, &world, NOW).again_at, None, "without the filter nothing will change");
    world.settings.filters = Filters { expired: true, non_ca: false };
    let filtered = plan(&spec, &world, NOW);
    let again = filtered.again_at.unwrap();
    assert_eq!(filtered.certificates.members().len(), 1);
    assert!(again > NOW);
    // At that time, and not a second before, the plan is another one.
    let count = |now| plan(&spec, &world, now).certificates.members().len();
    assert_eq!(count(Timestamp::from_unix(again.unix() - 1)), 1);
    assert_eq!(count(again), 0);
}

#[test]
fn a_change_is_planned_for_what_it_can_touch_and_no_more() {
    let by_name = spec();
    let mut by_label = spec();
    by_label.name = "l".into();
    by_label.sources = vec![selected(0, equals("feed", "yes"))];
    by_label.target.as_mut().unwrap().namespaces = Selector::default();
    let mut packaged = spec();
    packaged.name = "p".into();
    packaged.sources = vec![Source { index: 0, from: From::DefaultCas }];
    let specs = [by_name, by_label, packaged];
    let everything = |names: &[&str]| -> BTreeMap<BundleName, Work> {
        names.iter().map(|name| (BundleName::from(*name), Work::Everything)).collect()
    };
    let units = |names: &[&str], units: &[(Kind, &str)]| -> BTreeMap<BundleName, Work> {
        let units: BTreeSet<(Kind, Namespace)> =
            units.iter().map(|(kind, ns)| (*kind, Namespace::from(*ns))).collect();
        names.iter().map(|name| (BundleName::from(*name), Work::Targets(units.clone()))).collect()
    };
    let source = |name: &str, before: Option<Labels>, after: Option<Labels>| Change::Source {
        kind: Kind::ConfigMap,
        name: ObjectName::from(name),
        before,
        after,
    };
    let moved = |before: Option<NamespaceState>, after: Option<NamespaceState>| Change::Namespace {
        name: "n".into(),
        before,
        after,
    };
    let prod = || Some(namespace(&[("env", "prod")]));
    let dev = || Some(namespace(&[("env", "dev")]));
    let leaving = || prod().map(|state| NamespaceState { terminating: true, ..state });
    let feed = || Some(labels(&[("feed", "yes")]));
    let bare = || Some(Labels::new());
    let n = [(Kind::ConfigMap, "n"), (Kind::Secret, "n")];
    let cases = [
        (Change::Bundle("l".into()), everything(&["l"])),
        (Change::DefaultCas, everything(&["p"])),
        (source("source", bare(), bare()), everything(&["b"])),
        (source("source", feed(), feed()), everything(&["b", "l"])),
        (source("x", feed(), bare()), everything(&["l"])),
        (source("x", None, feed()), everything(&["l"])),
        (source("x", bare(), None), everything(&[])),
        (moved(prod(), dev()), units(&["b", "p"], &n)),
        (moved(dev(), prod()), units(&["b", "p"], &n)),
        (moved(prod(), prod()), units(&[], &[])),
        (moved(prod(), leaving()), units(&["b", "l", "p"], &n)),
        (moved(None, dev()), units(&["l"], &n)),
        (moved(prod(), None), units(&["b", "l", "p"], &n)),
        (
            Change::Target { bundle: "b".into(), kind: Kind::Secret, namespace: "n".into() },
            units(&["b"], &[(Kind::Secret, "n")]),
        ),
    ];
    for (change, wanted) in cases {
        assert_eq!(dependents(&change, &specs), wanted, "{change:?}");
    }
}

/// The world after every write of the plan was carried out.
fn carried_out(spec: &Spec, plan: &Plan, mut world: World) -> World {
    let targets = world.targets.entry(spec.name.clone()).or_default();
    for step in &plan.steps {
        let id = (step.kind, step.namespace.clone());
        match &step.write {
            Write::Create(rendered) => drop(targets.insert(id, written(spec, rendered))),
            Write::Delete(_) | Write::Release { .. } => drop(targets.remove(&id)),
            Write::Keep | Write::Refuse(_) => {}
            Write::Update { rendered, ownership, by_patch, .. } => {
                let before = targets.get(&id).and_then(|o| o.managed.clone()).unwrap_or_default();
                let mut after = written(spec, rendered);
                let managed = after.managed.as_mut().unwrap();
                let stays = |key: &DataKey| !rendered.data.contains_key(key);
                managed.others = before.others.into_iter().filter(stays).collect();
                // An apply takes no key out that came by an update.
                let stays = |key: &DataKey| !by_patch.contains(key);
                managed.updated = before.updated.into_iter().filter(stays).collect();
                if *ownership == Ownership::Shared {
                    after.shared = true;
                    after.owner = OwnerReference::None;
                }
                targets.insert(id, after);
            }
        }
    }
    world
}

fn any_observed() -> impl Strategy<Value = Observed> {
    let keys = || {
        proptest::collection::btree_set(
            proptest::sample::select(vec![KEY, "old", "theirs"]).prop_map(DataKey::from),
            0..3,
        )
    };
    let owner = proptest::sample::select(vec![
        OwnerReference::None,
        OwnerReference::OtherController,
        OwnerReference::Bundle("uid-b".into()),
        OwnerReference::Bundle("old".into()),
    ]);
    let label = proptest::sample::select(vec![None, Some("b"), Some("other")]);
    let held = (any::<bool>(), keys(), keys(), keys());
    let managed =
        held.prop_map(|(any, applied, updated, others)| Managed { any, applied, updated, others });
    (owner, label, any::<(bool, bool, bool)>(), proptest::option::of(managed)).prop_map(
        |(owner, label, (shared, allow_overwrite, deleting), managed)| Observed {
            uid: Some("uid-target".into()),
            owner,
            label: label.map(BundleName::from),
            shared,
            allow_overwrite,
            deleting,
            managed,
            ..Observed::default()
        },
    )
}

proptest! {
    #[test]
    fn planning_again_after_the_writes_gives_only_keep(
        in_prod in proptest::option::of(any_observed()),
        in_dev in proptest::option::of(any_observed()),
        secret_targets: bool,
        both: bool,
    ) {
        let mut spec = spec();
        if both {
            spec.target.as_mut().unwrap().secret = Some(template());
        }
        let mut world = world();
        world.settings.secret_targets = secret_targets;
        for (namespace, observed) in [("prod", in_prod), ("dev", in_dev)] {
            if let Some(observed) = observed {
                put(&mut world, namespace, observed);
            }
        }
        let first = plan(&spec, &world, NOW);
        prop_assert_eq!(&first, &plan(&spec, &world, NOW), "the same world, the same plan");
        let world = carried_out(&spec, &first, world);
        let second = plan(&spec, &world, NOW);
        let not_kept: Vec<_> = second.steps.iter().filter(|s| s.write != Write::Keep).collect();
        prop_assert!(not_kept.is_empty(), "{:?}\nafter {:?}", not_kept, first.steps);
    }

    #[test]
    fn what_is_not_ours_is_never_deleted_and_never_forced_without_leave(
        observed in any_observed(), namespace in proptest::sample::select(vec!["prod", "dev"]),
    ) {
        let mut world = world();
        put(&mut world, namespace, observed.clone());
        let owned = matches!(observed.owner, OwnerReference::Bundle(_));
        let labelled = observed.label == Some("b".into());
        let shared = observed.shared && (owned || labelled);
        let ours = !shared && (owned || labelled);
        let all = plan(&spec(), &world, NOW);
        for step in all.steps.iter().filter(|step| step.namespace.as_str() == namespace) {
            match &step.write {
                Write::Delete(_) => prop_assert!(ours, "{observed:?}"),
                Write::Update { force: true, .. } => {
                    prop_assert!(ours || observed.allow_overwrite, "{observed:?}");
                }
                Write::Update { ownership: Ownership::Ours, .. } => prop_assert!(ours),
                _ => {}
            }
        }
    }
}

#[test]
fn of_a_bundle_that_is_gone_only_shared_objects_are_released() {
    let left = |shared: bool, label: &str, deleting: bool| Observed {
        shared,
        label: Some(label.into()),
        deleting,
        uid: Some("u".into()),
        managed: Some(Managed { updated: ["old".into()].into(), ..Managed::default() }),
        ..Observed::default()
    };
    let release = orphaned(&"b".into(), &left(true, "b", false));
    let Some(Write::Release { seen, by_patch }) = release else { panic!("{release:?}") };
    assert_eq!((seen.uid, by_patch), (Some("u".into()), vec!["old".into()]));
    assert_eq!(orphaned(&"b".into(), &left(false, "b", false)), None, "the garbage collector's");
    assert_eq!(orphaned(&"b".into(), &left(true, "c", false)), None);
    assert_eq!(orphaned(&"b".into(), &left(true, "b", true)), None);
}
