//! Targets that are deleted, released or left alone.

use super::*;

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
    let taken = |keys: Vec<DataKey>| PatchRemovals { keys, ..PatchRemovals::default() };
    let by_patch = taken(vec![KEY.into(), "edited".into()]);
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
    let release = Write::Release { seen: seen.clone(), by_patch: taken(Vec::new()) };
    assert_eq!(writes(&plan_of(&world))[0], ("dev", &release));

    // Never deleted, even when nothing of others is in it.
    let shared = Observed { shared: true, owner: OwnerReference::None, ..ours.clone() };
    put(&mut world, "dev", shared);
    let release = Write::Release { seen, by_patch: taken(vec![KEY.into()]) };
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
    assert!(
        matches!(plan.content.blocked, Some(Blocked::Sources(_))),
        "{:?}",
        plan.content.blocked
    );
    let writes = writes(&plan);
    assert!(matches!(writes[0], ("dev", Write::Delete(_))), "{writes:?}");
    assert_eq!(writes[1], ("prod", &Write::Keep));
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
    assert_eq!((seen.uid, by_patch.keys), (Some("u".into()), vec!["old".into()]));
    assert_eq!(orphaned(&"b".into(), &left(false, "b", false)), None, "the garbage collector's");
    assert_eq!(orphaned(&"b".into(), &left(true, "c", false)), None);
    assert_eq!(orphaned(&"b".into(), &left(true, "b", true)), None);
}
