use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::bundle::Filters;
use crate::format::{DATA_BYTES_MAX, Value};
use crate::names::{BUNDLE_LABEL, ObjectName, Origin};
use crate::pem;
use crate::selector::{Condition, Labels, Requirement, Selector};
use crate::spec::{Keys, Pick, Source, SourceRef, Store, Template};
use crate::world::{DefaultCas, Managed, OwnerReference, SourceObject};

mod again;
mod leaving;
mod owners;
mod sources;

const NOW: Timestamp = Timestamp::from_unix(1_795_255_200); // 2026-11-21
const ALPHA: &str = include_str!("../../../../tests/fixtures/peer/ca/alpha.pem");
const BETA: &str = include_str!("../../../../tests/fixtures/peer/ca/beta.pem");
const EXPIRED: &str = include_str!("../../../../tests/fixtures/peer/ca/expired.pem");
const KEY: &str = "ca-bundle.crt";

fn named(index: usize, name: &str, key: &str) -> Source {
    Source {
        index,
        from: SourceRef::Objects {
            kind: Kind::ConfigMap,
            pick: Pick::Named(name.into()),
            keys: Keys::One(key.into()),
        },
    }
}

fn selected(index: usize, selector: Selector) -> Source {
    let pick = Pick::Selected(selector);
    Source { index, from: SourceRef::Objects { kind: Kind::ConfigMap, pick, keys: Keys::All } }
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

/// A target of ours as observed after the plan's content was written to it.
fn written(spec: &Spec, rendered: &Rendered) -> Observed {
    let keys: BTreeSet<DataKey> = rendered.data.keys().cloned().collect();
    let mut all = rendered.labels.clone();
    all.insert(BUNDLE_LABEL.into(), spec.name.to_string());
    Observed {
        uid: Some("uid-target".into()),
        resource_version: Some("7".into()),
        label: Some(spec.name.clone()),
        hash: Some(rendered.hash.clone()),
        digest: Some(rendered.digest.clone()),
        owner: OwnerReference::Bundle(spec.uid.clone().unwrap_or_else(|| "any".into())),
        labels: all,
        annotations: rendered.annotations.clone(),
        managed: Some(Managed {
            any: true,
            any_applied: true,
            owner_applied: true,
            applied: keys,
            ..Managed::default()
        }),
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
    assert_eq!(plan.content.blocked, None);
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
        ("content", Box::new(|o| o.digest = Some("x".into()))),
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
    observed.digest = None;
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

    // Only metadata was seen and another manager holds our key: an apply without force asks the
    // API server.
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
    assert_eq!(plan(&spec, &world, NOW).content.notes, [note]);
    adopted.hash = Some("old".into());
    let write = step_for(&spec, adopted);
    assert!(is_update(write.as_ref(), Ownership::Shared, true), "{write:?}");
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
    assert_eq!(plan.content.blocked, Some(Blocked::Stores(vec!["a.jks".into()])));
    assert_eq!(writes(&plan), [("prod", &Write::Keep)]);
}
