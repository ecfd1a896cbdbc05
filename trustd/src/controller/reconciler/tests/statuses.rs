//! Another client writes the status as well.

use super::*;

/// The condition as another client leaves it.
fn theirs() -> Json {
    json!({ "conditions": [{ "type": "Synced", "status": "False", "reason": "Theirs", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1 }] })
}

/// A client that sets the status back `after` so many seconds, each time that trustd writes it;
/// gives the seconds of trustd's writes.
fn overwritten(bench: &mut Bench, after: u64, seconds: std::ops::Range<u64>) -> Vec<u64> {
    let mut written: Vec<u64> = Vec::new();
    for second in seconds {
        if written.last().is_none_or(|last| second == last + after) {
            let mut raw = bundle(1, "ca.crt");
            raw["metadata"]["resourceVersion"] = second.to_string().into();
            raw["status"] = theirs();
            bench.bundle_by(raw, Some("dashboard"));
        }
        if bench.status(at(second)).is_some() {
            written.push(second);
        }
    }
    written
}

fn synced() -> Bench {
    let mut bench = Bench::new(&["n"], 1);
    bench.sync(at(0));
    assert_eq!(bench.status(at(0)).unwrap().0, "Synced");
    bench
}

#[test]
fn two_writers_of_a_status_are_slowed_down_to_one_write_in_ten_minutes() {
    let mut bench = synced();
    let written = overwritten(&mut bench, 1, 1..7200);
    let waits: Vec<u64> = written.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((10..=20).contains(&written.len()), "{written:?}");
    assert!(waits[..4].iter().all(|wait| *wait <= 16), "{waits:?}");
    let late = &waits[10..];
    assert!(late.iter().all(|wait| (600..=1200).contains(wait)), "{waits:?}");
    assert!(late.windows(2).any(|pair| pair[0] != pair[1]), "no jitter: {waits:?}");
    let due = bench.reconciler.repeats.due(at(7200).instant);
    let [summary] = due.as_slice() else { panic!("{due:?}") };
    assert_eq!(summary.example, "Bundle b", "one line, and then a count");
    let writer = bench.reconciler.bundles["b"].status_writer.as_ref();
    assert_eq!(writer.map(ToString::to_string).as_deref(), Some("dashboard"));
}

#[test]
fn a_turn_of_our_own_is_told_at_once_in_a_fight_over_the_status() {
    let mut bench = synced();
    let written = overwritten(&mut bench, 1, 1..600);
    let last = *written.last().unwrap();
    bench.source("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    assert_eq!(bench.status(at(601)).unwrap().0, "SourceBuildError", "last: {last}");
    // The brake is still on.
    assert_eq!(overwritten(&mut bench, 1, 602..700), Vec::<u64>::new());
}

#[test]
fn a_status_that_is_changed_now_and_then_is_mended_at_once() {
    let mut bench = synced();
    let written = overwritten(&mut bench, 60, 1..1200);
    assert_eq!(written.len(), 20, "{written:?}");
    // And once the fight is over, as before it.
    let mut bench = synced();
    let fought = overwritten(&mut bench, 1, 1..3000);
    let last = *fought.last().unwrap();
    assert!(bench.status(at(last + 1300)).is_some());
    assert_eq!(overwritten(&mut bench, 1, last + 2600..last + 2605).first(), Some(&(last + 2600)));
}

#[test]
fn conditions_of_others_are_theirs() {
    let mut bench = synced();
    let mut raw = bundle(1, "ca.crt");
    raw["status"] = serde_json::to_value(&bench.reconciler.bundles["b"].status).unwrap();
    let other = json!({ "type": "Ready", "status": "True", "reason": "R", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z" });
    raw["status"]["conditions"].as_array_mut().unwrap().push(other);
    bench.bundle_by(raw, Some("kstatus"));
    assert_eq!(bench.status(at(100)), None);
}
