//! Another client undoes what we write: how often it is mended, what is told, and what is no fight.

use trustd_core::outcome::Opponent;

use super::*;

fn key() -> ObjectKey {
    ObjectKey::Target(Kind::ConfigMap, "n".into(), "b".into())
}

/// Somebody's way to undo a target that is as it should be, and the version it leaves.
type Undo = fn(&mut Observed);

/// Undoes the target and mends it where trustd does, each second; gives the seconds of the writes.
fn fight(bench: &mut Bench, undo: Undo, seconds: std::ops::Range<u64>) -> Vec<u64> {
    let mut written = Vec::new();
    for second in seconds {
        let mut theirs = *bench.made(second * 10);
        undo(&mut theirs);
        let seen = theirs.label.is_some().then(|| WatchedObject::Target(Box::new(theirs.clone())));
        bench.reconciler.see(key(), seen);
        // First contact once more finds what they left there.
        for task in bench.tasks(at(second)) {
            let made = bench.made(second * 10 + 1);
            match &task {
                Task::Write(job) if matches!(job.write, Write::Create(_)) => {
                    let met = WriteOutcome::Conflicting(Box::new(theirs.clone()));
                    bench.reconciler.finish(task.unit(), Ok(met), at(second));
                }
                _ => {
                    written.push(second);
                    bench.reconciler.finish(
                        task.unit(),
                        Ok(WriteOutcome::Applied(made)),
                        at(second),
                    );
                }
            }
        }
        for task in bench.tasks(at(second)) {
            written.push(second);
            let made = bench.made(second * 10 + 1);
            bench.reconciler.finish(task.unit(), Ok(WriteOutcome::Applied(made)), at(second));
        }
        bench.status(at(second));
    }
    written
}

fn script(managed: Option<&mut Managed>) {
    let managed = managed.unwrap();
    managed.other = Some("script".into());
    managed.other_is_newest = true;
}

fn told(bench: &mut Bench, reason: &str) -> usize {
    bench.reconciler.take_notices().iter().filter(|notice| notice.reason == reason).count()
}

#[test]
fn each_way_of_undoing_is_slowed_down_to_one_write_in_ten_minutes() {
    let ways: [(&str, Undo); 7] = [
        ("another value", |o| {
            let keys = std::mem::take(&mut o.managed.as_mut().unwrap().applied);
            o.managed.as_mut().unwrap().others = keys;
            script(o.managed.as_mut());
        }),
        ("the key dropped", |o| {
            o.managed.as_mut().unwrap().applied.clear();
            script(o.managed.as_mut());
        }),
        ("the marks edited", |o| {
            (o.hash, o.digest) = (Some("theirs".into()), None);
            script(o.managed.as_mut());
        }),
        ("the label dropped", |o| {
            o.label = None;
            script(o.managed.as_mut());
        }),
        ("the object replaced by another one", |o| {
            o.uid = Some("another".into());
            (o.owner, o.hash, o.digest) = (OwnerReference::None, None, None);
            let others = Some(Managed { others: ["x".into()].into(), ..Managed::default() });
            o.managed = others;
            script(o.managed.as_mut());
        }),
        ("the marks dropped", |o| {
            (o.owner, o.hash, o.digest) = (OwnerReference::None, None, None);
        }),
        ("our own name", |o| (o.hash, o.digest) = (Some("theirs".into()), None)),
    ];
    for (what, undo) in ways {
        let mut bench = Bench::new(&["n"], 1);
        bench.sync(at(0));
        assert_eq!(bench.status(at(0)).unwrap().0, "Synced");
        bench.reconciler.take_notices();
        let written = fight(&mut bench, undo, 1..1500);
        assert_eq!(written[..2], [1, 2], "{what}: {written:?}");
        assert_eq!(written.len(), 4, "{what}: {written:?}");
        assert!((603..=723).contains(&written[2]), "{what}: {written:?}");
        let notices = bench.reconciler.take_notices();
        let [notice] = notices.as_slice() else { panic!("{what}: {notices:?}") };
        assert_eq!((notice.reason, notice.severity), ("TargetContested", Severity::Warning));
        let manager = match what {
            "our own name" => "`trust-manager`, which is",
            // Only our own entry is left.
            "the marks dropped" => "a client that managedFields do not name",
            _ => "`script`",
        };
        assert!(notice.note.contains(manager), "{what}: {}", notice.note);
        assert!(matches!(bench.standing("n"), Some(Standing::Contested(_))), "{what}");
        let text = bench.metrics.text();
        assert!(text.contains("trustd_targets_contested_total{bundle=\"b\"} 1"), "{what}: {text}");
    }
}

#[test]
fn a_target_that_is_deleted_again_and_again_is_made_anew_as_rarely() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    let mut written = Vec::new();
    for second in 1..700 {
        bench.reconciler.see(key(), None);
        for task in bench.tasks(at(second)) {
            written.push(second);
            let made = bench.made(second);
            bench.reconciler.finish(task.unit(), Ok(WriteOutcome::Applied(made)), at(second));
        }
    }
    assert!((2..=3).contains(&written.len()) && written[..2] == [1, 2], "{written:?}");
    assert_eq!(bench.standing("n"), Some(&Standing::Contested(Opponent::Deletion)));
}

#[test]
fn a_client_that_deletes_and_creates_is_named_by_what_it_creates() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    for second in 1..5 {
        // The watch tells of both, with the label of targets, and trustd plans after each.
        bench.reconciler.see(key(), None);
        bench.reconciler.settle(at(second));
        let mut theirs = *bench.made(second * 10);
        theirs.uid = Some(second.to_string().as_str().into());
        theirs.managed.as_mut().unwrap().applied.clear();
        script(theirs.managed.as_mut());
        bench.reconciler.see(key(), Some(WatchedObject::Target(Box::new(theirs))));
        for task in bench.tasks(at(second)) {
            let mut made = bench.made(second * 10 + 1);
            made.uid = Some(second.to_string().as_str().into());
            bench.reconciler.finish(task.unit(), Ok(WriteOutcome::Applied(made)), at(second));
        }
    }
    let script = Opponent::Manager("script".into());
    assert_eq!(bench.standing("n"), Some(&Standing::Contested(script)));
}

#[test]
fn a_client_that_is_quicker_than_the_answer_to_our_write_is_counted_too() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    let mut version = 10;
    let mut written = 0;
    for second in 1..100 {
        let mut theirs = *bench.made(version);
        theirs.managed.as_mut().unwrap().applied.clear();
        script(theirs.managed.as_mut());
        bench.reconciler.see(key(), Some(WatchedObject::Target(Box::new(theirs.clone()))));
        for task in bench.tasks(at(second)) {
            written += 1;
            let made = bench.made(version + 1);
            // The watch tells of our write and of theirs before the answer is here.
            theirs.resource_version = Some((version + 2).to_string().into());
            bench.reconciler.see(key(), Some(WatchedObject::Target(made.clone())));
            bench.reconciler.see(key(), Some(WatchedObject::Target(Box::new(theirs.clone()))));
            bench.reconciler.finish(task.unit(), Ok(WriteOutcome::Applied(made)), at(second));
        }
        version += 10;
    }
    assert_eq!(written, 2);
    let script = Opponent::Manager("script".into());
    assert_eq!(bench.standing("n"), Some(&Standing::Contested(script)));
}

#[test]
fn a_target_that_is_deleted_while_it_is_written_is_looked_at() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    bench.source(BETA);
    let task = bench.tasks(at(1)).pop().unwrap();
    bench.reconciler.see(key(), None);
    let made = bench.made(7);
    bench.reconciler.finish(task.unit(), Ok(WriteOutcome::Applied(made)), at(1));
    let task = bench.tasks(at(1)).pop().unwrap();
    assert!(matches!(task, Task::Look(_)), "{task:?}");
    bench.reconciler.finish(task.unit(), Ok(WriteOutcome::Absent), at(1));
    let task = bench.tasks(at(1)).pop().unwrap();
    assert!(matches!(write_of(&task), Write::Create(_)));
}

const DROP_KEY: Undo = |o| o.managed.as_mut().unwrap().applied.clear();

#[test]
fn changed_content_is_written_at_once_and_repairs_stay_as_rare_as_they_were() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    fight(&mut bench, DROP_KEY, 1..10);
    let mut now = 10;
    for pem in [BETA, ALPHA, BETA] {
        bench.source(pem);
        assert_eq!(fight(&mut bench, DROP_KEY, now..now + 10), [now]);
        now += 10;
    }
    assert_eq!(fight(&mut bench, DROP_KEY, now..600), Vec::<u64>::new());
    assert_eq!(fight(&mut bench, DROP_KEY, 600..730).len(), 1);
}

#[test]
fn a_fight_ends_when_nobody_undoes_the_target_for_ten_minutes() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    fight(&mut bench, DROP_KEY, 1..4);
    assert_eq!(bench.writes(at(800)), ["n"]);
    let made = bench.made(8000);
    bench.reconciler.finish(&unit("n"), Ok(WriteOutcome::Applied(made)), at(800));
    assert!(bench.status(at(801)).is_none_or(|(reason, _)| reason == "TargetContested"));
    bench.reconciler.take_notices();
    assert!(bench.reconciler.next(DATE).unwrap().instant.is_some(), "it wakes up for it");
    assert_eq!(bench.writes(at(1400)), Vec::<String>::new());
    let (reason, targets) = bench.status(at(1401)).unwrap();
    assert_eq!((reason.as_str(), &targets["synced"]), ("Synced", &json!(1)));
    assert_eq!(told(&mut bench, "Synced"), 1);
}

#[test]
fn a_process_that_starts_into_a_fight_writes_once() {
    let mut bench = Bench::new(&["n"], 1);
    bench.reconciler.stop_leading();
    let mut undone = *bench.made(1);
    DROP_KEY(&mut undone);
    bench.reconciler.see(key(), Some(WatchedObject::Target(Box::new(undone))));
    let mut raw = bundle(1, "ca.crt");
    raw["status"] = json!({ "conditions": [{ "type": "Synced", "status": "False",
        "reason": "TargetContested", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1 }] });
    bench.bundle(raw);
    bench.reconciler.start_leading();
    bench.reconciler.settle(at(1));
    assert_eq!(fight(&mut bench, DROP_KEY, 1..600), [1]);
    // And one that led before, follows for a moment and leads again, does not begin anew either.
    bench.reconciler.stop_leading();
    bench.reconciler.start_leading();
    assert_eq!(fight(&mut bench, DROP_KEY, 600..601), Vec::<u64>::new());
}

const CONTESTED: &str = "2026-01-01T00:00:00Z";

/// A Bundle whose status another process left in a fight.
fn contested_bundle() -> Json {
    let mut raw = bundle(1, "ca.crt");
    raw["status"] = json!({ "conditions": [{ "type": "Synced", "status": "False",
        "reason": "TargetContested", "message": "m", "lastTransitionTime": CONTESTED,
        "observedGeneration": 1 }] });
    raw
}

/// A process that starts where `left` is what another one, or somebody after it, left of the
/// target.
fn started_into(left: Option<Observed>) -> Bench {
    let mut bench = Bench::new(&["n"], 1);
    bench.reconciler.stop_leading();
    let left = left.or_else(|| Some(*bench.made(1)));
    bench.reconciler.see(key(), left.map(|left| WatchedObject::Target(Box::new(left))));
    bench.bundle(contested_bundle());
    bench.reconciler.take_notices();
    bench.reconciler.start_leading();
    bench
}

#[test]
fn a_restart_inside_a_fight_does_not_turn_the_condition_or_tell_of_it() {
    let mut undone = *Bench::new(&["n"], 1).made(1);
    DROP_KEY(&mut undone);
    script(undone.managed.as_mut());
    let mut bench = started_into(Some(undone));
    bench.reconciler.settle(at(0));
    let script = Opponent::Manager("script".into());
    assert_eq!(bench.standing("n"), Some(&Standing::Contested(script.clone())));
    // The first status, before the repair; after it; and when it is undone again.
    for second in 1..60 {
        let status = |bench: &mut Bench| bench.status(at(second)).map(|(reason, _)| reason);
        let told = status(&mut bench);
        assert!(told.is_none_or(|reason| reason == "TargetContested"), "{second}");
        fight(&mut bench, DROP_KEY, second..second + 1);
        assert!(status(&mut bench).is_none_or(|reason| reason == "TargetContested"), "{second}");
        let condition = &bench.reconciler.bundles["b"].status.conditions[0];
        assert_eq!(condition.last_transition_time, CONTESTED, "{second}");
    }
    let notices = bench.reconciler.take_notices();
    assert_eq!(notices, [], "it was told before the restart");
    assert_eq!(bench.standing("n"), Some(&Standing::Contested(script)));
    let text = bench.metrics.text();
    assert!(text.contains("trustd_targets_contested_total{bundle=\"b\"} 1"), "{text}");
}

#[test]
fn a_restart_while_the_opponent_rests_keeps_the_condition_for_ten_minutes() {
    let mut bench = started_into(None);
    assert_eq!(bench.status(at(0)), None);
    assert_eq!(bench.reconciler.take_notices(), []);
    assert!(bench.reconciler.next(DATE).unwrap().instant.is_some(), "it wakes up for it");
    assert_eq!(bench.status(at(599)), None);
    assert_eq!(bench.status(at(601)).unwrap().0, "Synced");
    assert_eq!(told(&mut bench, "Synced"), 1);
    // What the Bundle asks for anew is answered at once.
    let mut bench = started_into(None);
    assert_eq!(bench.status(at(0)), None);
    let mut raw = contested_bundle();
    raw["metadata"]["generation"] = 2.into();
    bench.bundle(raw);
    assert_eq!(bench.status(at(1)).unwrap().0, "Synced");
}

#[test]
fn a_change_of_content_while_nobody_looked_is_no_fight() {
    let mut outdated = *Bench::new(&["n"], 1).made(1);
    outdated.hash = Some("before".into());
    let mut bench = started_into(Some(outdated));
    bench.reconciler.settle(at(0));
    assert_eq!(bench.standing("n"), Some(&Standing::Pending));
}

#[test]
fn edits_one_after_the_other_are_mended_at_once_and_not_told() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    bench.status(at(0));
    bench.reconciler.take_notices();
    for second in [1, 400, 800, 1200, 1600] {
        assert_eq!(fight(&mut bench, DROP_KEY, second..second + 1), [second]);
    }
    assert_eq!(bench.reconciler.take_notices(), Vec::new());
}

#[test]
fn a_namespace_that_goes_and_comes_back_is_no_fight() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    for second in 1..10 {
        let leaving = WatchedObject::Namespace(NamespaceState {
            labels: [("team".to_owned(), "a".to_owned())].into(),
            terminating: true,
        });
        // The watches tell of the two in either order.
        if second % 2 == 0 {
            bench.reconciler.see(ObjectKey::Namespace("n".into()), Some(leaving));
            bench.reconciler.see(key(), None);
        } else {
            bench.reconciler.see(key(), None);
            bench.reconciler.see(ObjectKey::Namespace("n".into()), Some(leaving));
        }
        assert_eq!(bench.writes(at(second)), Vec::<String>::new());
        bench.reconciler.see(ObjectKey::Namespace("n".into()), None);
        bench.reconciler.settle(at(second));
        bench.reconciler.see(ObjectKey::Namespace("n".into()), Some(namespace("a")));
        assert_eq!(bench.sync(at(second)), 1);
        assert_eq!(bench.standing("n"), Some(&Standing::Synced));
    }
}
