use trustd_core::outcome::{CertificateCounts, Reason, TargetCounts};

use super::*;

const NOW: Timestamp = Timestamp::from_unix(1_795_255_200); // 2026-11-21T10:00:00Z

fn conclusion(reason: Reason, synced: usize, pending: usize) -> Conclusion {
    Conclusion {
        synced: reason == Reason::Synced,
        reason,
        message: "said".into(),
        targets: TargetCounts { desired: 3, synced, ..TargetCounts::default() },
        pending,
        certificates: Some(CertificateCounts { total: 1, ..CertificateCounts::default() }),
        default_cas: None,
    }
}

fn at(seconds: u64) -> Instant {
    Instant::since_boot(Duration::from_secs(seconds))
}

fn after(before: &BundleStatus, conclusion: &Conclusion, generation: i64) -> BundleStatus {
    wanted(before, conclusion, Some(generation), NOW)
}

#[test]
fn synced_is_not_said_while_targets_are_pending() {
    let none = BundleStatus::default();
    let started = after(&none, &conclusion(Reason::Synced, 1, 2), 1);
    assert!(started.conditions.is_empty(), "{started:?}");
    assert_eq!(started.targets.unwrap().synced, 1);
    let done = after(&started, &conclusion(Reason::Synced, 3, 0), 1);
    assert_eq!(
        (done.conditions[0].status.as_str(), done.conditions[0].reason.as_str()),
        ("True", "Synced")
    );
    // A new generation on its way: what was true of the old one is said of the old one.
    let next = after(&done, &conclusion(Reason::Synced, 1, 2), 2);
    assert_eq!(next.conditions, done.conditions);
    // A failure is said at once, whatever else is pending.
    let failed = after(&done, &conclusion(Reason::SyncConfigMapTargetFailed, 1, 1), 2);
    assert_eq!(failed.conditions[0].status, "False");
    assert_eq!(failed.conditions[0].observed_generation, Some(2));
}

#[test]
fn the_transition_time_moves_only_when_true_turns_to_false_or_back() {
    let mut before = after(&BundleStatus::default(), &conclusion(Reason::SourceNotFound, 0, 0), 1);
    before.conditions[0].last_transition_time = "2020-01-01T00:00:00Z".into();
    let other = after(&before, &conclusion(Reason::TargetRefused, 0, 0), 2);
    assert_eq!(other.conditions[0].last_transition_time, "2020-01-01T00:00:00Z");
    let turned = after(&before, &conclusion(Reason::Synced, 3, 0), 2);
    assert_eq!(turned.conditions[0].last_transition_time, "2026-11-21T10:00:00Z");
}

#[test]
fn what_was_known_of_the_last_content_stays_while_there_is_none() {
    let before = BundleStatus { default_ca_version: Some("pkg".into()), ..BundleStatus::default() };
    let blocked = Conclusion { certificates: None, ..conclusion(Reason::SourceNotFound, 0, 0) };
    let status = after(&before, &blocked, 1);
    assert_eq!(status.default_ca_version.as_deref(), Some("pkg"));
    let built = after(&before, &conclusion(Reason::Synced, 3, 0), 1);
    assert_eq!(built.default_ca_version, None, "this content is made without the package");
}

#[test]
fn counts_wait_ten_seconds_turns_do_not_and_nothing_new_is_not_written() {
    let mut throttle = StatusThrottle::default();
    let first = after(&BundleStatus::default(), &conclusion(Reason::TargetRefused, 1, 0), 1);
    assert!(throttle.begin(&BundleStatus::default(), &first, false, at(100)));
    assert!(!throttle.begin(&BundleStatus::default(), &first, false, at(200)), "one at a time");
    throttle.end(true);
    assert!(!throttle.begin(&first, &first, false, at(300)));
    assert_eq!(throttle.due(), None);
    let counts = after(&first, &conclusion(Reason::TargetRefused, 2, 0), 1);
    assert!(!throttle.begin(&first, &counts, false, at(105)));
    assert_eq!(throttle.due(), Some(at(110)));
    let turn = after(&first, &conclusion(Reason::Synced, 3, 0), 1);
    assert!(throttle.begin(&first, &turn, false, at(105)));
    throttle.end(true);
    assert!(!throttle.begin(&turn, &first, false, at(105)), "two fighting writers get no further");
    assert_eq!(throttle.due(), Some(at(106)));
}

#[test]
fn the_first_counts_of_a_new_bundle_wait_for_its_condition() {
    let mut throttle = StatusThrottle::default();
    let none = BundleStatus::default();
    let counts = after(&none, &conclusion(Reason::Synced, 1, 2), 1);
    assert!(!throttle.begin(&none, &counts, true, at(100)));
    assert_eq!(throttle.due(), Some(at(110)));
    let done = after(&none, &conclusion(Reason::Synced, 3, 0), 1);
    assert!(throttle.begin(&none, &done, false, at(101)));
}

#[test]
fn counts_wait_for_targets_that_are_pending_but_not_for_ever() {
    let mut throttle = StatusThrottle::default();
    let before = after(&BundleStatus::default(), &conclusion(Reason::Synced, 3, 0), 1);
    let mut on_its_way = conclusion(Reason::Synced, 2, 1);
    on_its_way.certificates = Some(CertificateCounts::default());
    let passing = after(&before, &on_its_way, 1);
    // A process that has just started looks at a target, and finds it as it was.
    assert!(!throttle.begin(&before, &passing, true, at(100)));
    assert_eq!(throttle.due(), Some(at(110)));
    assert!(!throttle.begin(&before, &before, false, at(101)));
    assert_eq!(throttle.due(), None);
    // One write says how it ended, or after a while how far it is.
    assert!(!throttle.begin(&before, &passing, true, at(105)));
    assert_eq!(throttle.due(), Some(at(115)));
    assert!(throttle.begin(&before, &passing, true, at(115)));
    throttle.end(true);
    let done = after(&before, &conclusion(Reason::Synced, 3, 0), 1);
    assert!(throttle.begin(&passing, &done, false, at(116)), "other certificates are told at once");
}

#[test]
fn a_status_that_cannot_be_written_is_tried_later_each_time() {
    let mut throttle = StatusThrottle::default();
    let wanted = after(&BundleStatus::default(), &conclusion(Reason::Synced, 3, 0), 1);
    let mut waits = Vec::new();
    let mut now = 100;
    for _ in 0..6 {
        while !throttle.begin(&BundleStatus::default(), &wanted, false, at(now)) {
            now += 1;
        }
        waits.push(now);
        throttle.end(false);
    }
    assert_eq!(waits, [100, 101, 102, 104, 108, 116]);
}

#[test]
fn the_peers_shape_has_none_of_our_fields() {
    let status = after(&BundleStatus::default(), &conclusion(Reason::Synced, 3, 0), 1);
    let json = serde_json::to_value(peer_shaped(status)).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["conditions"]);
}
