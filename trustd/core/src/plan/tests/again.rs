//! Plans after a change, and after a plan was carried out.

use super::*;

#[test]
fn a_change_is_planned_for_what_it_can_touch_and_no_more() {
    let by_name = spec();
    let mut by_label = spec();
    by_label.name = "l".into();
    by_label.sources = vec![selected(0, equals("feed", "yes"))];
    by_label.target.as_mut().unwrap().namespaces = Selector::default();
    let mut packaged = spec();
    packaged.name = "p".into();
    packaged.sources = vec![Source { index: 0, from: SourceRef::DefaultCas }];
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
                let co_owned = targets.get(&id).is_some_and(|before| before.co_owned);
                after.co_owned = co_owned && !by_patch.owner && !before.owner_applied;
                let managed = after.managed.as_mut().unwrap();
                let stays = |key: &DataKey| !rendered.data.contains_key(key);
                managed.others = before.others.into_iter().filter(stays).collect();
                // An apply takes no key out that came by an update.
                let stays = |key: &DataKey| !by_patch.keys.contains(key);
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
    let held = (any::<(bool, bool, bool)>(), keys(), keys(), keys(), keys());
    let managed =
        held.prop_map(|((any, any_applied, owner_applied), applied, updated, others, binary)| {
            let managed = Managed { applied, updated, others, ..Managed::default() };
            (Managed { any, any_applied, owner_applied, ..managed }, binary)
        });
    (owner, label, any::<[bool; 4]>(), proptest::option::of(managed)).prop_map(
        |(owner, label, [shared, allow_overwrite, deleting, co_owned], managed)| {
            let (managed, binary) = managed.unzip();
            Observed {
                uid: Some("uid-target".into()),
                owner,
                co_owned,
                label: label.map(BundleName::from),
                shared,
                allow_overwrite,
                deleting,
                managed,
                binary: binary.unwrap_or_default(),
                ..Observed::default()
            }
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
        // What is refused is refused again.
        let refused = |step: &Step| {
            matches!(step.write, Write::Refuse(_)) && first.steps.contains(step)
        };
        let open = |step: &&Step| step.write != Write::Keep && !refused(step);
        let not_kept: Vec<_> = second.steps.iter().filter(open).collect();
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
        let on_record = observed.managed.as_ref().is_some_and(|managed| {
            managed.any_applied && !managed.applied.is_empty() && managed.others.is_empty()
        });
        let ours = !observed.shared && (owned || labelled || on_record);
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
