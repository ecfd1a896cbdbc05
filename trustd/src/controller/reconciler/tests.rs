use std::time::Duration;

use serde_json::{Value as Json, json};
use trustd_core::bundle::Filters;
use trustd_core::names::{Kind, Namespace};
use trustd_core::outcome::Standing;
use trustd_core::plan::{Ownership, Refusal, Write};
use trustd_core::world::{Managed, NamespaceState, Observed, OwnerReference, SourceObject};

use super::*;
use crate::controller::lease::NotLeader;
use crate::controller::watch::{ObjectKey, WatchedObject};
use crate::controller::write::{Job, WriteError, WriteOutcome};
use trustd_core::outcome::Category;

mod fights;
mod owners;
mod recalls;
mod sources;
mod statuses;

const ALPHA: &str = include_str!("../../../../tests/fixtures/peer/ca/alpha.pem");
const BETA: &str = include_str!("../../../../tests/fixtures/peer/ca/beta.pem");
const DATE: Timestamp = Timestamp::from_unix(1_795_255_200); // 2026-11-21

fn at(seconds: u64) -> Now {
    Now { instant: Instant::since_boot(Duration::from_secs(1000 + seconds)), date: DATE }
}

fn unit(namespace: &str) -> TargetRef {
    TargetRef { bundle: "b".into(), kind: Kind::ConfigMap, namespace: namespace.into() }
}

fn bundle(generation: i64, key: &str) -> Json {
    json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": { "name": "b", "uid": "bundle-uid", "generation": generation },
        "spec": {
            "sources": [{ "configMap": { "name": "s", "key": "k" } }],
            "target": { "configMap": { "key": key },
                        "namespaceSelector": { "matchLabels": { "team": "a" } } },
        },
    })
}

/// A reconciler that leads, with these namespaces, one Bundle and its source.
struct Bench {
    reconciler: Reconciler,
    metrics: Metrics,
}

impl Bench {
    fn new(namespaces: &[&str], slots: usize) -> Self {
        let metrics = Metrics::new();
        let settings = Settings { filters: Filters::default(), ..Settings::default() };
        let slots = NonZeroUsize::new(slots).unwrap();
        let mut reconciler =
            Reconciler::new(settings, slots, Jitter::from_seed(1), metrics.clone());
        for name in namespaces {
            reconciler.see(ObjectKey::Namespace((*name).into()), Some(namespace("a")));
        }
        reconciler.start_leading();
        let mut bench = Self { reconciler, metrics };
        bench.source(ALPHA);
        bench.bundle(bundle(1, "ca.crt"));
        bench
    }

    fn bundle(&mut self, raw: Json) {
        self.bundle_by(raw, None);
    }

    /// The Bundle, whose status this field manager wrote last.
    fn bundle_by(&mut self, raw: Json, writer: Option<&str>) {
        let raw =
            WatchedObject::Bundle { raw: Arc::new(raw), status_writer: writer.map(Into::into) };
        self.reconciler.see(ObjectKey::Bundle("b".into()), Some(raw));
        self.reconciler.settle(at(0));
    }

    fn source(&mut self, pem: &str) {
        let data = [("k".into(), Arc::from(pem.as_bytes()))].into();
        let source =
            WatchedObject::Source(Box::new(SourceObject { data, ..SourceObject::default() }));
        self.reconciler.see(ObjectKey::Source(Kind::ConfigMap, "s".into()), Some(source));
        self.reconciler.settle(at(0));
    }

    fn tasks(&mut self, now: Now) -> Vec<Task> {
        self.reconciler.settle(now);
        std::iter::from_fn(|| self.reconciler.next_task(now)).collect()
    }

    /// The namespaces that are written now.
    fn writes(&mut self, now: Now) -> Vec<String> {
        self.tasks(now).iter().map(|task| task.unit().namespace.to_string()).collect()
    }

    /// Returns the object after a write of the current content.
    fn made(&self, version: u64) -> Box<Observed> {
        let content = self.reconciler.bundles["b"].content.as_ref().unwrap();
        let rendered = &content.rendered[&Kind::ConfigMap];
        Box::new(Observed {
            uid: Some("u".into()),
            resource_version: Some(version.to_string().into()),
            label: Some("b".into()),
            hash: Some(rendered.hash.clone()),
            digest: Some(rendered.digest.clone()),
            owner: OwnerReference::Bundle("bundle-uid".into()),
            managed: Some(Managed {
                any: true,
                any_applied: true,
                owner_applied: true,
                applied: rendered.data.keys().cloned().collect(),
                ..Managed::default()
            }),
            ..Observed::default()
        })
    }

    /// Writes everything that is due, well.
    fn sync(&mut self, now: Now) -> usize {
        let mut count = 0;
        loop {
            let tasks = self.tasks(now);
            if tasks.is_empty() {
                return count;
            }
            for task in tasks {
                count += 1;
                let made = self.made(count as u64);
                assert!(matches!(task, Task::Write(_)), "{task:?}");
                self.reconciler.finish(task.unit(), Ok(WriteOutcome::Applied(made)), now);
            }
        }
    }

    fn standing(&self, namespace: &str) -> Option<&Standing> {
        let key = (Kind::ConfigMap, Namespace::from(namespace));
        self.reconciler.bundles["b"].targets.get(&key)?.standing.as_ref()
    }

    fn status(&mut self, now: Now) -> Option<(String, Json)> {
        self.reconciler.settle(now);
        let job = self.reconciler.statuses(now).pop()?;
        let status = job.body["status"].clone();
        self.reconciler.reported(&job, Ok(status.clone()), now);
        let reason = status["conditions"][0]["reason"].as_str().unwrap_or("-").to_owned();
        Some((reason, status["targets"].clone()))
    }

    fn planned(&self) -> u64 {
        let text = self.metrics.text();
        let line = text.lines().find(|l| l.starts_with("trustd_targets_planned_total")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn namespace(team: &str) -> WatchedObject {
    let labels = [("team".to_owned(), team.to_owned())].into();
    WatchedObject::Namespace(NamespaceState { labels, terminating: false })
}

fn api(code: u16, extra: &Json) -> WriteError {
    let mut status = json!({ "code": code });
    status.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    WriteError::Api(Box::new(serde_json::from_value(status).unwrap()), None)
}

fn quota() -> WriteError {
    api(403, &json!({ "message": "exceeded quota: q" }))
}

fn write_of(task: &Task) -> &Write {
    match task {
        Task::Write(job) => &job.write,
        Task::Look(unit) | Task::Read(unit) => panic!("a look at {unit:?}"),
    }
}

#[test]
fn every_matching_namespace_is_written_once_and_then_nothing() {
    let mut bench = Bench::new(&["n1", "n2", "n3"], 2);
    assert_eq!(bench.sync(at(0)), 3);
    assert_eq!(bench.writes(at(1)), Vec::<String>::new());
    let (reason, targets) = bench.status(at(1)).unwrap();
    assert_eq!(reason, "Synced");
    assert_eq!(targets, json!({ "desired": 3, "synced": 3, "failed": 0, "refused": 0 }));
    assert_eq!(bench.status(at(2)), None, "nothing new is not written");
}

#[test]
fn labelling_one_namespace_plans_its_targets_alone() {
    let names: Vec<String> = (0..500).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new(&names, 32);
    bench.sync(at(0));
    let before = bench.planned();
    bench.reconciler.see(ObjectKey::Namespace("new".into()), Some(namespace("a")));
    assert_eq!(bench.writes(at(1)), ["new"]);
    assert_eq!(bench.planned() - before, 2, "its ConfigMap and its Secret");
    // Something that no selector reads, and an echo of our own write.
    let labels = [("team".to_owned(), "a".to_owned()), ("x".to_owned(), "y".to_owned())].into();
    let relabelled = WatchedObject::Namespace(NamespaceState { labels, terminating: false });
    bench.reconciler.see(ObjectKey::Namespace("n7".into()), Some(relabelled));
    let echo = WatchedObject::Target(bench.made(900));
    bench.reconciler.see(ObjectKey::Target(Kind::ConfigMap, "new".into(), "b".into()), Some(echo));
    assert_eq!(bench.writes(at(2)), Vec::<String>::new());
    assert_eq!(bench.planned() - before, 2);
}

#[test]
fn one_failing_namespace_is_told_and_tried_again_and_delays_nobody() {
    let mut bench = Bench::new(&["bad", "n1", "n2"], 4);
    for task in bench.tasks(at(0)) {
        let outcome = match task.unit().namespace.as_str() {
            "bad" => Err(quota()),
            _ => Ok(WriteOutcome::Applied(bench.made(1))),
        };
        bench.reconciler.finish(task.unit(), outcome, at(0));
    }
    let (reason, targets) = bench.status(at(0)).unwrap();
    assert_eq!(reason, "SyncConfigMapTargetFailed");
    assert_eq!(targets, json!({ "desired": 3, "synced": 2, "failed": 1, "refused": 0 }));
    assert_eq!(bench.writes(at(1)), ["bad"], "tried again within a second");
    bench.reconciler.finish(&unit("bad"), Err(quota()), at(1));
    assert!(bench.reconciler.next(DATE).unwrap().instant.is_some());
    assert_eq!(bench.writes(at(2)), ["bad"]);
    bench.reconciler.finish(&unit("bad"), Ok(WriteOutcome::Applied(bench.made(2))), at(2));
    assert_eq!(bench.status(at(3)).unwrap().0, "Synced");
}

#[test]
fn a_category_that_the_status_tells_goes_with_the_next_answer() {
    let mut bench = Bench::new(&["n"], 1);
    let failed = |why| Some(Standing::Failed { why: Category(why), wanted: true });
    let conflict = || api(409, &json!({ "message": "the object has been modified" }));
    assert_eq!(bench.writes(at(0)), ["n"]);
    bench.reconciler.finish(&unit("n"), Err(quota()), at(0));
    assert_eq!(bench.standing("n").cloned(), failed("quota"));
    let answers = [
        (conflict(), "conflict"),
        (api(403, &json!({ "message": "no such right" })), "forbidden"),
        (api(429, &json!({})), "throttled"),
    ];
    for (second, (fault, category)) in (0..).zip(answers) {
        let now = at(100 * (second + 1));
        assert_eq!(bench.tasks(now).len(), 1, "{category}");
        bench.reconciler.finish(&unit("n"), Err(fault), now);
        assert_eq!(bench.standing("n").cloned(), failed(category));
    }
}

#[test]
fn what_others_keep_in_an_object_counts_when_the_server_says_too_large() {
    let mut bench = Bench::new(&["n"], 1);
    let too_long = |field: &str| {
        let cause = json!({ "reason": "FieldValueTooLong", "field": field });
        api(422, &json!({ "details": { "causes": [cause] } }))
    };
    let bytes = |bench: &Bench| {
        let content = bench.reconciler.bundles["b"].content.as_ref().unwrap();
        let rendered = &content.rendered[&Kind::ConfigMap];
        (rendered.data_bytes(), rendered.annotation_bytes())
    };
    let (ours, annotations) = bytes(&bench);
    let answers = [
        (too_long(""), Refusal::TooLargeTogether { ours, max: 1024 * 1024 }),
        (
            too_long("metadata.annotations"),
            Refusal::AnnotationsTooLargeTogether { ours: annotations, max: 256 * 1024 },
        ),
        (api(413, &json!({})), Refusal::RequestTooLarge { data: ours }),
    ];
    for (turn, (fault, refusal)) in (0..).zip(answers) {
        // Each is looked at again within five minutes.
        let now = at(400 * turn);
        assert_eq!(bench.tasks(now).len(), 1);
        bench.reconciler.finish(&unit("n"), Err(fault), now);
        assert_eq!(bench.standing("n"), Some(&Standing::Refused(refusal)));
    }
    let (reason, _) = bench.status(at(2000)).unwrap();
    assert_eq!(reason, "TargetTooLarge");
}

#[test]
fn a_fault_of_many_targets_is_one_line_and_one_a_minute() {
    let names: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new(&names, 100);
    let mut tries = 0;
    for second in 0..60 {
        for task in bench.tasks(at(second)) {
            bench.reconciler.finish(task.unit(), Err(quota()), at(second));
            tries += 1;
        }
        assert_eq!(bench.reconciler.repeats.due(at(second).instant), []);
    }
    // Each at once, and then 0.5 to 1, 2, 4, 8, 16 and 32 s later.
    assert!(tries > 500, "{tries}");
    let due = bench.reconciler.repeats.due(at(60).instant);
    let [summary] = due.as_slice() else { panic!("{due:?}") };
    assert_eq!(summary.count, tries - 1, "all but the first, which was told at once");
    assert!(summary.example.starts_with("Bundle b, ConfigMap in n"), "{}", summary.example);
}

#[test]
fn a_bundle_waits_for_a_source_that_was_dropped_and_says_nothing_false_meanwhile() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    bench.status(at(0)).unwrap();
    bench.reconciler.take_notices();
    let key = ObjectKey::Source(Kind::ConfigMap, "late".into());
    let held = WatchedObject::Withheld(Box::default());
    bench.reconciler.see(key.clone(), Some(held));
    let mut raw = bundle(2, "ca.crt");
    raw["spec"]["sources"][0]["configMap"]["name"] = "late".into();
    bench.bundle(raw);
    assert_eq!(bench.writes(at(2)), Vec::<String>::new());
    assert_eq!(bench.status(at(2)).map(|(reason, _)| reason).as_deref(), None);
    assert_eq!(bench.reconciler.take_notices(), []);
    // It is there, and empty: only now is something missing.
    let mut empty = bench;
    empty.reconciler.see(key.clone(), Some(WatchedObject::Source(Box::default())));
    assert_eq!(empty.status(at(3)).map(|(reason, _)| reason).as_deref(), Some("SourceNotFound"));
    let data = [("k".into(), Arc::from(BETA.as_bytes()))].into();
    let source = SourceObject { data, ..SourceObject::default() };
    empty.reconciler.see(key, Some(WatchedObject::Source(Box::new(source))));
    assert_eq!(empty.writes(at(20)), ["n"]);
}

#[test]
fn a_source_that_was_dropped_and_goes_is_missing() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    let key = ObjectKey::Source(Kind::ConfigMap, "late".into());
    bench.reconciler.see(key.clone(), Some(WatchedObject::Withheld(Box::default())));
    let mut raw = bundle(2, "ca.crt");
    raw["spec"]["sources"][0]["configMap"]["name"] = "late".into();
    bench.bundle(raw);
    bench.reconciler.see(key, None);
    assert_eq!(bench.status(at(20)).map(|(reason, _)| reason).as_deref(), Some("SourceNotFound"));
}

#[test]
fn a_rotation_in_mid_write_is_written_after_it_and_never_gets_lost() {
    let mut bench = Bench::new(&["n"], 1);
    let old = bench.tasks(at(0)).pop().unwrap();
    let stale = bench.made(1);
    bench.source(BETA);
    assert_eq!(bench.writes(at(0)), Vec::<String>::new(), "one write at a time");
    bench.reconciler.finish(old.unit(), Ok(WriteOutcome::Applied(stale)), at(0));
    let next = bench.tasks(at(0)).pop().expect("the new content is due");
    let Write::Update { rendered, force: true, ownership: Ownership::Ours, .. } = write_of(&next)
    else {
        panic!("{:?}", write_of(&next))
    };
    assert_eq!(rendered.hash, bench.made(2).hash.unwrap());
    assert_eq!(bench.standing("n"), Some(&Standing::Pending));
}

#[test]
fn the_failure_of_an_older_content_is_no_failure_of_the_new_one() {
    let mut bench = Bench::new(&["n"], 1);
    bench.tasks(at(0));
    bench.source(BETA);
    bench.reconciler.finish(&unit("n"), Err(quota()), at(0));
    assert_eq!(bench.writes(at(0)), ["n"], "the new content is tried at once");
}

#[test]
fn a_broken_source_keeps_targets_and_its_mending_syncs_them() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    bench.source("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    assert_eq!(bench.writes(at(0)), Vec::<String>::new());
    assert_eq!(bench.status(at(2)).unwrap().0, "SourceBuildError");
    bench.source(BETA);
    assert_eq!(bench.sync(at(3)), 1);
    assert_eq!(bench.status(at(4)).unwrap().0, "Synced");
}

#[test]
fn an_invalid_bundle_keeps_its_targets_and_says_so() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    bench.bundle(bundle(2, "no good key"));
    assert_eq!(bench.writes(at(1)), Vec::<String>::new());
    let (reason, _) = bench.status(at(1)).unwrap();
    assert_eq!(reason, "InvalidSpec");
    bench.bundle(bundle(3, "ca.crt"));
    assert_eq!(bench.writes(at(2)), Vec::<String>::new(), "they were right all along");
    assert_eq!(bench.status(at(3)).unwrap().0, "Synced");
}

#[test]
fn a_conflict_makes_it_look_before_it_writes_again() {
    let mut bench = Bench::new(&["n"], 1);
    bench.tasks(at(0));
    bench.reconciler.finish(&unit("n"), Err(api(409, &json!({ "message": "modified" }))), at(0));
    assert_eq!(bench.standing("n"), Some(&Standing::Pending), "routine, and not told");
    let task = bench.tasks(at(0)).pop().unwrap();
    assert!(matches!(task, Task::Look(_)), "{task:?}");
    let made = bench.made(7);
    bench.reconciler.finish(&unit("n"), Ok(WriteOutcome::Conflicting(made)), at(0));
    assert_eq!(bench.standing("n"), Some(&Standing::Synced));
}

#[test]
fn an_older_version_from_a_watch_undoes_nothing() {
    let mut bench = Bench::new(&["n"], 1);
    let task = bench.tasks(at(0)).pop().unwrap();
    let made = bench.made(20);
    bench.reconciler.finish(task.unit(), Ok(WriteOutcome::Applied(made)), at(0));
    let mut older = *bench.made(19);
    older.hash = Some("older".into());
    let key = ObjectKey::Target(Kind::ConfigMap, "n".into(), "b".into());
    bench.reconciler.see(key, Some(WatchedObject::Target(Box::new(older))));
    assert_eq!(bench.writes(at(1)), Vec::<String>::new());
}

#[test]
fn what_something_in_the_cluster_changes_is_written_later_each_time() {
    let mut bench = Bench::new(&["n"], 1);
    let mut written_at = Vec::new();
    for second in 0..60 {
        for task in bench.tasks(at(second)) {
            written_at.push(second);
            let mut mutated = *bench.made(second + 1);
            mutated.digest = Some("mutated".into());
            bench.reconciler.finish(
                task.unit(),
                Ok(WriteOutcome::Applied(Box::new(mutated))),
                at(second),
            );
        }
    }
    assert!((5..10).contains(&written_at.len()), "{written_at:?}");
    assert!(matches!(bench.standing("n"), Some(Standing::Failed { .. })), "and told");
}

#[test]
fn a_namespace_on_its_way_out_is_no_failure() {
    let mut bench = Bench::new(&["n", "m"], 2);
    bench.tasks(at(0));
    let cause = json!({ "details": { "causes": [{ "reason": "NamespaceTerminating" }] } });
    bench.reconciler.finish(&unit("n"), Err(api(403, &cause)), at(0));
    let made = bench.made(1);
    bench.reconciler.finish(&unit("m"), Ok(WriteOutcome::Applied(made)), at(0));
    let (reason, targets) = bench.status(at(1)).unwrap();
    assert_eq!((reason.as_str(), &targets["desired"]), ("Synced", &json!(1)));
    assert_eq!(bench.reconciler.next(DATE), None, "and nothing waits for it");
}

#[test]
fn a_busy_server_is_given_the_pause_it_asks_for() {
    let mut bench = Bench::new(&["n1", "n2", "n3"], 1);
    let task = bench.tasks(at(0)).pop().unwrap();
    let status = serde_json::from_value(json!({ "code": 429 })).unwrap();
    let busy = WriteError::Api(Box::new(status), Some(Duration::from_secs(7)));
    bench.reconciler.finish(task.unit(), Err(busy), at(0));
    assert_eq!(bench.writes(at(6)), Vec::<String>::new(), "nor for any other target");
    assert_eq!(bench.writes(at(7)).len(), 1);
}

#[test]
fn a_write_that_the_lease_had_no_time_for_waits_for_its_renewal() {
    let mut bench = Bench::new(&["n"], 1);
    bench.tasks(at(0));
    bench.reconciler.finish(&unit("n"), Err(WriteError::NotLeader(NotLeader)), at(0));
    assert_eq!(bench.writes(at(0)), Vec::<String>::new());
    assert_eq!(bench.standing("n"), Some(&Standing::Pending), "nothing failed");
    assert!(bench.reconciler.next(DATE).unwrap().instant.is_some(), "it wakes up for it");
    assert_eq!(bench.writes(at(1)), ["n"]);
}

#[test]
fn where_nothing_reaches_the_server_all_wait() {
    let names: Vec<String> = (0..20).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new(&names, 20);
    let down = || WriteError::Transport(kube::Error::LinesCodecMaxLineLengthExceeded);
    for task in bench.tasks(at(0)).iter().take(10) {
        bench.reconciler.finish(task.unit(), Err(down()), at(0));
    }
    bench.reconciler.see(ObjectKey::Namespace("new".into()), Some(namespace("a")));
    assert_eq!(bench.writes(at(0)), Vec::<String>::new());
    assert!(!bench.writes(at(1)).is_empty());
}

#[test]
fn a_deleted_bundle_leaves_what_is_its_own_and_releases_what_is_shared() {
    let mut bench = Bench::new(&["n", "m"], 2);
    bench.sync(at(0));
    let mut shared = *bench.made(50);
    (shared.shared, shared.owner) = (true, OwnerReference::None);
    let key = ObjectKey::Target(Kind::ConfigMap, "m".into(), "b".into());
    bench.reconciler.see(key, Some(WatchedObject::Target(Box::new(shared))));
    bench.reconciler.settle(at(1));
    bench.reconciler.see(ObjectKey::Bundle("b".into()), None);
    let tasks = bench.tasks(at(1));
    assert_eq!(tasks.len(), 1);
    assert!(matches!(write_of(&tasks[0]), Write::Release { .. }));
    assert!(!bench.metrics.text().contains("bundle=\"b\""));
    let bare = Observed { uid: Some("u".into()), ..Observed::default() };
    bench.reconciler.finish(tasks[0].unit(), Ok(WriteOutcome::Applied(Box::new(bare))), at(1));
    assert_eq!(bench.writes(at(2)), Vec::<String>::new());
}

#[test]
fn who_lays_down_work_plans_nothing_and_takes_it_up_from_what_is_known() {
    let mut bench = Bench::new(&["n", "m"], 2);
    let tasks = bench.tasks(at(0));
    bench.reconciler.stop_leading();
    for task in &tasks {
        bench.reconciler.finish(task.unit(), Err(quota()), at(0));
    }
    bench.source(BETA);
    assert_eq!(bench.writes(at(1)), Vec::<String>::new());
    assert!(bench.reconciler.statuses(at(1)).is_empty());
    bench.reconciler.start_leading();
    assert_eq!(bench.writes(at(2)).len(), 2);
}

#[test]
fn an_edit_of_the_status_alone_plans_nothing() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    let before = bench.planned();
    let mut raw = bundle(1, "ca.crt");
    raw["status"] = json!({ "conditions": [{ "type": "Synced", "status": "True", "reason": "Synced",
        "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1 }] });
    bench.bundle(raw);
    assert_eq!(bench.writes(at(1)), Vec::<String>::new());
    assert_eq!(bench.planned(), before);
}

#[test]
fn roots_that_come_and_go_are_told_once_each() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    bench.reconciler.take_notices();
    bench.source(BETA);
    let notices = bench.reconciler.take_notices();
    let told: Vec<&str> = notices.iter().map(|notice| notice.reason).collect();
    assert_eq!(told, ["RootAdded", "RootRemoved"]);
    assert!(notices.iter().all(|n| n.note.starts_with("SHA-256 ") && n.note.contains("subject ")));
}

#[test]
fn an_empty_selector_is_told_with_each_change_of_the_spec() {
    let told = |bench: &mut Bench| -> Vec<String> {
        let notices = bench.reconciler.take_notices().into_iter();
        notices.filter(|n| n.reason == "SelectsEverything").map(|n| n.note).collect()
    };
    let mut bench = Bench::new(&["n"], 1);
    assert_eq!(told(&mut bench), [""; 0]);
    // What the API server leaves of a label that stands beside `matchLabels`.
    let mut raw = bundle(2, "ca.crt");
    raw["spec"]["target"]["namespaceSelector"] = json!({});
    raw["spec"]["sources"][0]["configMap"] = json!({ "selector": {}, "key": "k" });
    bench.bundle(raw.clone());
    assert_eq!(
        told(&mut bench),
        [
            "spec.target.namespaceSelector is empty and selects every namespace",
            "spec.sources[0].configMap.selector is empty and selects every ConfigMap of the trust \
             namespace",
        ]
    );
    raw["status"] = json!({ "conditions": [] });
    bench.bundle(raw.clone());
    bench.source(BETA);
    assert_eq!(told(&mut bench), [""; 0]);
    raw["spec"]["target"]["configMap"]["key"] = "other".into();
    bench.bundle(raw);
    assert_eq!(told(&mut bench).len(), 2);
}

#[test]
fn an_outdated_schema_gets_the_peers_status_and_is_tried_in_full_again() {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    bench.reconciler.settle(at(0));
    let job = bench.reconciler.statuses(at(0)).pop().unwrap();
    let pruned = json!({ "conditions": job.body["status"]["conditions"] });
    bench.reconciler.reported(&job, Ok(pruned), at(0));
    assert!(bench.metrics.text().contains("trustd_schema_outdated 1"));
    assert_eq!(bench.reconciler.statuses(at(2)).len(), 0, "what could be said has been said");
    assert!(bench.reconciler.take_notices().iter().any(|n| n.reason == "SchemaOutdated"));
    bench.reconciler.bundles.get_mut("b").unwrap().touched = true;
    let job = bench.reconciler.statuses(at(301)).pop().expect("after five minutes");
    bench.reconciler.reported(&job, Ok(job.body["status"].clone()), at(301));
    assert!(bench.metrics.text().contains("trustd_schema_outdated 0"));
}

#[test]
fn a_job_carries_what_its_write_needs() {
    let mut bench = Bench::new(&["n"], 1);
    let task = bench.tasks(at(0)).pop().unwrap();
    let Task::Write(job) = task else { panic!() };
    let Job { metadata: Some(_), body: Some(_), .. } = *job else { panic!("{job:?}") };
}
