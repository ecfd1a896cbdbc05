//! The world that benches and the allocation test plan over: Debian's CA bundle in one ConfigMap,
//! and as many namespaces as are asked for.

#![allow(clippy::expect_used, reason = "a fixture of tests and benches")]

use std::collections::{BTreeMap, BTreeSet};

use trustd_core::bundle::{Collector, Filters, TrustBundle};
use trustd_core::names::{BUNDLE_LABEL, DataKey, Kind, Namespace, Origin};
use trustd_core::plan::{Prepared, Write};
use trustd_core::selector::{Condition, Requirement, Selector};
use trustd_core::spec::{Keys, Pick, Source, SourceRef, Spec, Target, Template};
use trustd_core::time::Timestamp;
use trustd_core::world::{Managed, NamespaceState, Observed, OwnerReference, SourceObject, World};

/// 2026-11-21T10:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_unix(1_795_255_200);

/// Debian's bundle (package ca-certificates), if it is installed.
pub(crate) fn debian_bundle() -> Option<String> {
    std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").ok()
}

/// Reads and assembles one text.
pub(crate) fn assemble(text: &str) -> TrustBundle {
    let mut collector = Collector::new(Filters::default(), NOW);
    let read = collector.add(&Origin::InLine { index: 0 }, text.as_bytes());
    assert!(read.is_ok(), "nothing but certificates: {read:?}");
    collector.finish()
}

/// A Bundle of that one ConfigMap, to every namespace labelled `env=prod`.
pub(crate) fn spec() -> Spec {
    Spec {
        name: "b".into(),
        uid: Some("uid-b".into()),
        deleting: false,
        paused: false,
        synced: true,
        sources: vec![Source {
            index: 0,
            from: SourceRef::Objects {
                kind: Kind::ConfigMap,
                pick: Pick::Named("source".into()),
                keys: Keys::One("ca.crt".into()),
            },
        }],
        target: Some(Target {
            config_map: Some(Template {
                key: "ca-bundle.crt".into(),
                labels: BTreeMap::from([("team".to_owned(), "platform".to_owned())]),
                annotations: BTreeMap::new(),
            }),
            secret: None,
            stores: Vec::new(),
            namespaces: Selector::new(vec![Requirement {
                key: "env".into(),
                condition: Condition::Equals("prod".into()),
            }]),
        }),
    }
}

/// A world of `namespaces`, each with the target that `spec` wants.
pub(crate) fn synced_world(spec: &Spec, text: &str, namespaces: usize) -> World {
    let mut world = World::default();
    let data = BTreeMap::from([(DataKey::from("ca.crt"), text.as_bytes().into())]);
    let source = SourceObject { data, ..SourceObject::default() };
    world.sources.insert((Kind::ConfigMap, "source".into()), source);
    let state = NamespaceState {
        labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
        terminating: false,
    };
    world.namespaces = (0..namespaces)
        .map(|n| (Namespace::from(format!("namespace-{n:05}")), state.clone()))
        .collect();
    let prepared = Prepared::new(spec, &world, NOW);
    let rendered = prepared.rendered(Kind::ConfigMap).expect("a bundle with certificates");
    let mut labels = rendered.labels.clone();
    labels.insert(BUNDLE_LABEL.to_owned(), spec.name.to_string());
    let target = Observed {
        uid: Some("uid-target".into()),
        label: Some(spec.name.clone()),
        hash: Some(rendered.hash.clone()),
        digest: Some(rendered.digest.clone()),
        owner: OwnerReference::Bundle("uid-b".into()),
        labels,
        managed: Some(Managed {
            applied: rendered.data.keys().cloned().collect::<BTreeSet<_>>(),
            ..Managed::default()
        }),
        ..Observed::default()
    };
    let targets = world.namespaces.keys().map(|ns| ((Kind::ConfigMap, ns.clone()), target.clone()));
    let targets = targets.collect();
    world.targets.insert(spec.name.clone(), targets);
    world
}

/// Plans one namespace of that world with content that was prepared before.
pub(crate) fn plan_one(prepared: &Prepared<'_>, world: &World, name: &str) -> Option<Write> {
    let namespace = Namespace::from(name);
    let state = world.namespaces.get(&namespace)?;
    let targets = world.targets.values().next()?;
    let observed = targets.get(&(Kind::ConfigMap, namespace.clone()));
    prepared.decide(Kind::ConfigMap, &namespace, state, observed)
}
