//! Ownership of an object whose label, owner reference and managedFields disagree.

use super::*;

fn keys(keys: &[&str]) -> BTreeSet<DataKey> {
    keys.iter().map(|key| DataKey::from(*key)).collect()
}

/// An object of the target's name without label and owner reference.
fn bare(managed: Managed) -> Observed {
    Observed { uid: Some("uid-target".into()), managed: Some(managed), ..Observed::default() }
}

#[test]
fn what_was_ours_stays_ours_as_long_as_anything_says_so() {
    let rogue = Managed { others: keys(&[KEY]), ..Managed::default() };
    // Nothing in the object says so, but this process knows its uid.
    let known = Observed { known: true, ..bare(rogue.clone()) };
    let write = step_for(&spec(), known.clone());
    assert!(is_update(write.as_ref(), Ownership::Ours, true), "{write:?}");
    // The hash of ours was left on it.
    let hashed = Managed { any: true, any_applied: true, ..rogue.clone() };
    let hashed = Observed { hash: Some("old".into()), ..bare(hashed) };
    let write = step_for(&spec(), hashed.clone());
    assert!(is_update(write.as_ref(), Ownership::Ours, true), "{write:?}");
    // The value of ours was left in it.
    let applied = Managed { any: true, any_applied: true, applied: keys(&[KEY]), ..rogue.clone() };
    let valued = Managed { others: BTreeSet::new(), ..applied.clone() };
    let write = step_for(&spec(), bare(valued));
    assert!(is_update(write.as_ref(), Ownership::Ours, true), "{write:?}");

    let is_shared = |observed: Observed| {
        let write = step_for(&spec(), observed);
        assert!(is_update(write.as_ref(), Ownership::Shared, false), "{write:?}");
    };
    // A label alone, or nothing at all, can have been put there by anybody.
    is_shared(bare(rogue.clone()));
    is_shared(Observed { label: Some("b".into()), ..bare(rogue) });
    // The value is held by both: it may be a shared object without its marks.
    is_shared(bare(applied));
    // The mark of a shared object stays the mark of one.
    is_shared(Observed { shared: true, ..hashed });
    is_shared(Observed { shared: true, ..known });
}

#[test]
fn an_owner_reference_that_an_apply_would_leave_is_taken_out_by_patch() {
    let spec = spec();
    let taken = |write: Option<Write>| match write {
        Some(Write::Update { by_patch, ownership, .. }) => (ownership, by_patch.owner),
        Some(Write::Release { by_patch, .. }) => (Ownership::Shared, by_patch.owner),
        other => panic!("{other:?}"),
    };
    let ours = written(&spec, &rendered(&spec, &world()));
    let with = |owner_applied, others: &[&str], uid: &str| {
        let mut observed = ours.clone();
        let managed = observed.managed.as_mut().unwrap();
        (managed.owner_applied, managed.others) = (owner_applied, keys(others));
        observed.owner = OwnerReference::Bundle(uid.into());
        observed.hash = Some("old".into());
        observed
    };
    let theirs = ["settings"];
    assert_eq!(taken(step_for(&spec, with(false, &theirs, "uid-b"))), (Ownership::Shared, true));
    assert_eq!(taken(step_for(&spec, with(true, &theirs, "uid-b"))), (Ownership::Shared, false));
    assert_eq!(taken(step_for(&spec, with(false, &[], "uid-b"))), (Ownership::Ours, false));
    assert_eq!(taken(step_for(&spec, with(false, &[], "old"))), (Ownership::Ours, true));
    assert_eq!(taken(step_for(&spec, with(true, &[], "old"))), (Ownership::Ours, false));
    // A shared object to which the reference came back is not as it should be.
    let mut shared = with(false, &theirs, "uid-b");
    (shared.shared, shared.hash) = (true, ours.hash.clone());
    assert_eq!(taken(step_for(&spec, shared)), (Ownership::Shared, true));
    // And so it is with what is given back.
    let mut world = world();
    put(&mut world, "dev", with(false, &theirs, "uid-b"));
    let release = plan(&spec, &world, NOW).steps.swap_remove(0).write;
    assert_eq!(taken(Some(release)), (Ownership::Shared, true));
}

#[test]
fn an_owner_reference_that_does_not_control_is_taken_out_of_what_is_shared() {
    let spec = spec();
    let taken = |write: Option<Write>| match write {
        Some(Write::Update { by_patch, ownership: Ownership::Shared, .. }) => by_patch.owner,
        Some(Write::Release { by_patch, .. }) => by_patch.owner,
        other => panic!("{other:?}"),
    };
    let mut shared = written(&spec, &rendered(&spec, &world()));
    (shared.owner, shared.shared) = (OwnerReference::None, true);
    let managed = shared.managed.as_mut().unwrap();
    (managed.owner_applied, managed.others) = (false, keys(&["settings"]));
    assert_eq!(step_for(&spec, shared.clone()), Some(Write::Keep));
    for owner in [OwnerReference::None, OwnerReference::OtherController] {
        let co_owned = Observed { owner, co_owned: true, ..shared.clone() };
        assert!(taken(step_for(&spec, co_owned.clone())));
        let mut world = world();
        put(&mut world, "dev", co_owned);
        let release = plan(&spec, &world, NOW).steps.swap_remove(0).write;
        assert!(taken(Some(release)));
    }
    // What is nobody's yet, with nothing of ours in it.
    let met = bare(Managed { others: keys(&["settings"]), ..Managed::default() });
    assert!(taken(step_for(&spec, Observed { co_owned: true, ..met })));
}

#[test]
fn a_binary_value_under_our_key_is_a_conflict_or_is_taken_out() {
    let spec = spec();
    let theirs = bare(Managed { others: keys(&[KEY]), ..Managed::default() });
    let theirs = Observed { binary: keys(&[KEY]), ..theirs };
    let refusal = Write::Refuse(Refusal::Binary(KEY.into()));
    assert_eq!(step_for(&spec, theirs.clone()), Some(refusal));
    let other_key = Observed { binary: keys(&["logo.bin"]), ..theirs.clone() };
    assert!(is_update(step_for(&spec, other_key).as_ref(), Ownership::Shared, false));

    let taken = |write: Option<Write>| match write {
        Some(Write::Update { by_patch, force: true, .. }) => by_patch.binary,
        other => panic!("{other:?}"),
    };
    let allowed = Observed { allow_overwrite: true, ..theirs };
    assert_eq!(taken(step_for(&spec, allowed)), [KEY.into()]);
    let mut ours = written(&spec, &rendered(&spec, &world()));
    ours.binary = keys(&[KEY]);
    let managed = ours.managed.as_mut().unwrap();
    managed.others = std::mem::take(&mut managed.applied);
    assert_eq!(taken(step_for(&spec, ours)), [KEY.into()]);
}

#[test]
fn a_placeholder_is_free_and_data_is_not() {
    for free in ["", " \n\t", "# filled by trustd\n", "\n  # one\r\n# two", &" ".repeat(5000)] {
        assert!(is_placeholder(free.as_bytes()), "{free:?}");
    }
    let commented = format!("# {}", ALPHA.replace('\n', "\n# "));
    let data = ["x", "{}", "----BEGIN CERTIFICATE----", ALPHA, &commented, "# not\nall", "\u{0}"];
    for data in data {
        assert!(!is_placeholder(data.as_bytes()), "{data:?}");
    }
    assert!(!is_placeholder(&[0x30, 0x82, 0x01, 0xff]), "DER");

    // Where the value is known, as in files, it is planned so.
    let held = |value: &str| Observed {
        data: Some(BTreeMap::from([(KEY.into(), value.as_bytes().into())])),
        ..bare(Managed { others: keys(&[KEY]), ..Managed::default() })
    };
    let write = step_for(&spec(), held(""));
    assert!(is_update(write.as_ref(), Ownership::Shared, true), "{write:?}");
    assert!(matches!(step_for(&spec(), held(BETA)), Some(Write::Refuse(_))));
}
