//! Roots that change while no process looks: over a restart, a failover, or while a source is
//! broken.

use super::*;

const GAMMA: &str = include_str!("../../../../../tests/fixtures/peer/ca/gamma.pem");

/// Takes the notices about roots: what happened, and to which, by the first letters of the note.
fn told(bench: &mut Bench) -> Vec<(&'static str, String)> {
    let notices = bench.reconciler.take_notices().into_iter();
    let roots = notices.filter(|notice| notice.reason.starts_with("Root"));
    roots.map(|notice| (notice.reason, notice.note.chars().take(20).collect())).collect()
}

fn note(pem: &str) -> String {
    let mut collector = trustd_core::bundle::Collector::new(Filters::default(), DATE);
    collector.add(&trustd_core::names::Origin::InLine { index: 0 }, pem.as_bytes()).unwrap();
    let bundle = collector.finish();
    let sha256 = bundle.members()[0].certificate.sha256();
    format!("SHA-256 {sha256}").chars().take(20).collect()
}

/// A target as a look at the whole object shows it.
fn whole(observed: &Observed, pem: &str) -> WriteOutcome {
    let data = Some([("ca.crt".into(), Arc::from(pem.as_bytes()))].into());
    WriteOutcome::Read(Box::new(Observed { data, ..observed.clone() }))
}

/// A process that starts where another one left targets of this content, and its source is BETA
/// now.
fn restarted(namespaces: &[&str]) -> (Bench, Box<Observed>) {
    let mut bench = Bench::new(namespaces, 4);
    bench.sync(at(0));
    let old = bench.made(90);
    bench.reconciler.stop_leading();
    bench.source(BETA);
    bench.reconciler.take_notices();
    bench.reconciler.start_leading();
    (bench, old)
}

#[test]
fn roots_that_changed_while_nobody_led_are_told_before_they_are_overwritten() {
    let (mut bench, old) = restarted(&["n1", "n2", "n3"]);
    let tasks = bench.tasks(at(1));
    let (reads, writes): (Vec<_>, Vec<_>) =
        tasks.iter().partition(|task| matches!(task, Task::Read(_)));
    assert_eq!((reads.len(), writes.len()), (1, 2), "one is read first, the others do not wait");
    assert_eq!(told(&mut bench), []);
    bench.reconciler.finish(reads[0].unit(), Ok(whole(&old, ALPHA)), at(1));
    assert_eq!(told(&mut bench), [("RootAdded", note(BETA)), ("RootRemoved", note(ALPHA))]);
    let next = bench.tasks(at(1));
    assert_eq!(next.len(), 1, "and is written then: {next:?}");
    assert!(matches!(write_of(&next[0]), Write::Update { .. }));
}

#[test]
fn roots_that_stayed_are_not_told() {
    let (mut bench, old) = restarted(&["n"]);
    bench.source(&format!("{BETA}{ALPHA}"));
    let read = bench.tasks(at(1)).pop().unwrap();
    bench.reconciler.finish(read.unit(), Ok(whole(&old, ALPHA)), at(1));
    assert_eq!(told(&mut bench), [("RootAdded", note(BETA))]);

    // One target that is up to date: whoever wrote it told it.
    let (mut bench, _) = restarted(&["n1", "n2"]);
    bench.reconciler.settle(at(1));
    let made = bench.made(95);
    let (mut bench2, _) = restarted(&["n1", "n2"]);
    let key = ObjectKey::Target(Kind::ConfigMap, "n1".into(), "b".into());
    bench2.reconciler.see(key, Some(WatchedObject::Target(made)));
    let tasks = bench2.tasks(at(1));
    assert!(tasks.iter().all(|task| matches!(task, Task::Write(_))), "{tasks:?}");
    assert_eq!(told(&mut bench2), []);
}

#[test]
fn a_target_that_cannot_be_read_is_written_all_the_same() {
    let (mut bench, _) = restarted(&["n"]);
    let read = bench.tasks(at(1)).pop().unwrap();
    assert!(matches!(read, Task::Read(_)));
    bench.reconciler.finish(read.unit(), Err(quota()), at(1));
    assert_eq!(bench.sync(at(1)), 1);
    assert_eq!(told(&mut bench), []);
    // From now on this process knows.
    bench.source(ALPHA);
    assert_eq!(told(&mut bench), [("RootAdded", note(ALPHA)), ("RootRemoved", note(BETA))]);
}

#[test]
fn roots_that_changed_while_a_source_was_broken_are_told_when_it_is_mended() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    bench.reconciler.take_notices();
    bench.source("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    bench.sync(at(1));
    bench.source(GAMMA);
    assert_eq!(told(&mut bench), [("RootAdded", note(GAMMA)), ("RootRemoved", note(ALPHA))]);
    assert_eq!(bench.sync(at(2)), 1);
    bench.source("nothing");
    bench.source(GAMMA);
    assert_eq!(told(&mut bench), []);
}

#[test]
fn a_new_bundle_has_nothing_to_be_compared_with() {
    let mut bench = Bench::new(&["n"], 1);
    assert_eq!(bench.sync(at(0)), 1);
    assert_eq!(told(&mut bench), []);
}
