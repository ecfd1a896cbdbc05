//! Objects of others in a target's place, and targets that others replace.

use super::*;

const NONE: Vec<String> = Vec::new();

fn theirs(version: &str) -> Box<Observed> {
    Box::new(Observed {
        uid: Some("theirs".into()),
        resource_version: Some(version.into()),
        ..Observed::default()
    })
}

fn conflict() -> WriteError {
    api(409, &json!({ "details": { "causes": [{ "reason": "FieldManagerConflict" }] } }))
}

/// Meets the object and is refused by the server.
fn refuse(bench: &mut Bench, namespace: &str, now: Now) {
    bench.reconciler.finish(&unit(namespace), Ok(WriteOutcome::Conflicting(theirs("1"))), now);
    for task in bench.tasks(now) {
        assert!(matches!(write_of(&task), Write::Update { force: false, .. }));
        bench.reconciler.finish(task.unit(), Err(conflict()), now);
    }
}

/// The seconds at which the target is looked at, where each look finds this.
fn looks(bench: &mut Bench, found: &Observed, seconds: std::ops::Range<u64>) -> Vec<u64> {
    let mut looked = Vec::new();
    for second in seconds {
        for task in bench.tasks(at(second)) {
            assert!(matches!(task, Task::Look(_)), "{task:?}");
            looked.push(second);
            let met = WriteOutcome::Conflicting(Box::new(found.clone()));
            bench.reconciler.finish(task.unit(), Ok(met), at(second));
        }
    }
    looked
}

#[test]
fn a_met_object_is_shared_and_one_with_our_key_is_refused_and_looked_at_again() {
    let mut bench = Bench::new(&["n"], 1);
    bench.tasks(at(0));
    refuse(&mut bench, "n", at(0));
    let refused = Standing::Refused(Refusal::Conflict("ca.crt".into()));
    assert_eq!(bench.standing("n"), Some(&refused));
    assert_eq!(bench.status(at(0)).unwrap().0, "TargetRefused");
    assert_eq!(bench.writes(at(9)), NONE);
    let looked = looks(&mut bench, &theirs("1"), 9..900);
    assert!((10..=20).contains(&looked[0]), "{looked:?}");
    let waits: Vec<u64> = looked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((20..=41).contains(&waits[0]) && waits[3] >= 149, "{waits:?}");
    assert_eq!(bench.standing("n"), Some(&refused), "nothing was written meanwhile");
    assert!(bench.reconciler.next(DATE).unwrap().instant.is_some());
}

#[test]
fn a_refused_target_is_written_soon_after_the_obstacle_went_or_changed() {
    let refused = || {
        let mut bench = Bench::new(&["n"], 1);
        bench.tasks(at(0));
        refuse(&mut bench, "n", at(0));
        let look = bench.tasks(at(20)).pop().unwrap();
        assert!(matches!(look, Task::Look(_)), "{look:?}");
        bench
    };
    let mut bench = refused();
    bench.reconciler.finish(&unit("n"), Ok(WriteOutcome::Absent), at(20));
    let task = bench.tasks(at(20)).pop().unwrap();
    assert!(matches!(write_of(&task), Write::Create(_)));

    let mut bench = refused();
    let allowed = Observed { allow_overwrite: true, ..*theirs("2") };
    bench.reconciler.finish(&unit("n"), Ok(WriteOutcome::Conflicting(Box::new(allowed))), at(20));
    let task = bench.tasks(at(20)).pop().unwrap();
    let Write::Update { ownership: Ownership::Shared, force: true, seen, .. } = write_of(&task)
    else {
        panic!("{task:?}")
    };
    assert_eq!(seen.resource_version, Some("2".into()));

    // Other content is another chance at once.
    let mut bench = refused();
    bench.reconciler.finish(&unit("n"), Ok(WriteOutcome::Conflicting(theirs("1"))), at(20));
    bench.source(BETA);
    let task = bench.tasks(at(21)).pop().unwrap();
    assert!(matches!(write_of(&task), Write::Create(_)), "first contact once more");
}

#[test]
fn refused_targets_are_looked_at_ten_a_second_at_most() {
    let names: Vec<String> = (0..300).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new(&names, 300);
    for task in bench.tasks(at(0)) {
        let namespace = task.unit().namespace.clone();
        bench.reconciler.finish(task.unit(), Ok(WriteOutcome::Conflicting(theirs("1"))), at(0));
        let update = bench.tasks(at(0)).pop().unwrap();
        assert_eq!(update.unit().namespace, namespace);
        bench.reconciler.finish(update.unit(), Err(conflict()), at(0));
    }
    let looked = looks(&mut bench, &theirs("1"), 1..41);
    let in_second = |second| looked.iter().filter(|at| **at == second).count();
    let most = (1..41).map(in_second).max();
    assert!(most <= Some(11), "{looked:?}");
    let first: usize = (1..36).map(in_second).sum();
    assert!(first >= 200, "{first} looks");
}

#[test]
fn a_binary_value_under_our_key_is_refused_with_its_reason() {
    let mut bench = Bench::new(&["n"], 1);
    bench.tasks(at(0));
    let binary = Observed { binary: ["ca.crt".into()].into(), ..*theirs("1") };
    bench.reconciler.finish(
        &unit("n"),
        Ok(WriteOutcome::Conflicting(Box::new(binary.clone()))),
        at(0),
    );
    let refused = Standing::Refused(Refusal::Binary("ca.crt".into()));
    assert_eq!(bench.standing("n"), Some(&refused));
    let looked = looks(&mut bench, &binary, 1..30);
    assert_eq!(looked.len(), 1, "{looked:?}");
    // Where managedFields do not say so, the server does.
    bench.reconciler.finish(&unit("n"), Ok(WriteOutcome::Conflicting(theirs("2"))), at(30));
    bench.tasks(at(30));
    let message = "data[ca.crt]: Invalid value: duplicate of key present in binaryData";
    bench.reconciler.finish(&unit("n"), Err(api(422, &json!({ "message": message }))), at(30));
    assert_eq!(bench.standing("n"), Some(&refused));
}

#[test]
fn a_conflict_over_a_label_names_the_label_and_not_the_key() {
    let conflict_over = |fields: &[&str]| {
        let cause = |field: &&str| json!({ "reason": "FieldManagerConflict", "field": field });
        let causes: Vec<_> = fields.iter().map(cause).collect();
        api(409, &json!({ "details": { "causes": causes } }))
    };
    let team = ".metadata.labels.team";
    for (fields, named) in [
        (&[team][..], team),
        (&[team, ".data.ca.crt"], ".data.ca.crt, .metadata.labels.team"),
        (&[".f.a", ".f.b", ".f.c", ".f.d", ".f.e"], ".f.a, .f.b, .f.c and 2 more"),
    ] {
        let mut bench = Bench::new(&["n"], 1);
        bench.tasks(at(0));
        bench.reconciler.finish(&unit("n"), Ok(WriteOutcome::Conflicting(theirs("1"))), at(0));
        bench.tasks(at(0));
        bench.reconciler.finish(&unit("n"), Err(conflict_over(fields)), at(0));
        let refused = Standing::Refused(Refusal::Held(named.to_owned()));
        assert_eq!(bench.standing("n"), Some(&refused), "{fields:?}");
    }
    // The key alone has words of its own.
    let mut bench = Bench::new(&["n"], 1);
    bench.tasks(at(0));
    bench.reconciler.finish(&unit("n"), Ok(WriteOutcome::Conflicting(theirs("1"))), at(0));
    bench.tasks(at(0));
    bench.reconciler.finish(&unit("n"), Err(conflict_over(&[".data.ca.crt"])), at(0));
    let refused = Standing::Refused(Refusal::Conflict("ca.crt".into()));
    assert_eq!(bench.standing("n"), Some(&refused));
}

#[test]
fn a_target_that_others_replace_whole_is_taken_back() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    let uid = bench.made(1).uid;
    // Without the label the watch takes it for deleted; a look finds it.
    bench.reconciler.see(ObjectKey::Target(Kind::ConfigMap, "n".into(), "b".into()), None);
    let task = bench.tasks(at(1)).pop().unwrap();
    assert!(matches!(write_of(&task), Write::Create(_)));
    let others = Managed { others: ["ca.crt".into()].into(), ..Managed::default() };
    let bare = Observed {
        uid: uid.clone(),
        resource_version: Some("9".into()),
        managed: Some(others),
        ..Observed::default()
    };
    bench.reconciler.finish(
        task.unit(),
        Ok(WriteOutcome::Conflicting(Box::new(bare.clone()))),
        at(1),
    );
    let task = bench.tasks(at(1)).pop().unwrap();
    let Write::Update { ownership: Ownership::Ours, force: true, seen, .. } = write_of(&task)
    else {
        panic!("{task:?}")
    };
    assert_eq!(seen.uid, uid);
    // With the label left on, likewise.
    let labelled = Observed { label: Some("b".into()), ..bare.clone() };
    bench.reconciler.finish(task.unit(), Err(api(409, &json!({}))), at(1));
    bench.reconciler.see(
        ObjectKey::Target(Kind::ConfigMap, "n".into(), "b".into()),
        Some(WatchedObject::Target(Box::new(labelled.clone()))),
    );
    for task in bench.tasks(at(2)) {
        if matches!(task, Task::Look(_)) {
            let met = WriteOutcome::Conflicting(Box::new(labelled.clone()));
            bench.reconciler.finish(task.unit(), Ok(met), at(2));
        }
    }
    let task = bench.tasks(at(3)).pop().unwrap();
    assert!(matches!(write_of(&task), Write::Update { ownership: Ownership::Ours, .. }));

    // Another object of that name was never ours.
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    bench.reconciler.see(ObjectKey::Target(Kind::ConfigMap, "n".into(), "b".into()), None);
    bench.tasks(at(1));
    let another = Observed { uid: Some("another".into()), ..bare };
    bench.reconciler.finish(&unit("n"), Ok(WriteOutcome::Conflicting(Box::new(another))), at(1));
    let task = bench.tasks(at(1)).pop().unwrap();
    let write = write_of(&task);
    assert!(matches!(write, Write::Update { ownership: Ownership::Shared, force: false, .. }));
}
