//! The status after a plan was carried out.

use super::*;
use crate::names::Origin;

fn plan(writes: Vec<(Kind, &str, Write)>) -> Plan {
    Plan {
        bundle: "b".into(),
        content: BundleContent {
            rendered: Kind::ALL.map(|kind| (kind, rendered(kind))).into(),
            ..BundleContent::default()
        },
        secrets_off: false,
        paused: false,
        desired: 4,
        steps: writes
            .into_iter()
            .map(|(kind, namespace, write)| Step { kind, namespace: namespace.into(), write })
            .collect(),
    }
}

fn rendered(kind: Kind) -> Arc<crate::format::Rendered> {
    Arc::new(crate::format::Rendered {
        kind,
        data: BTreeMap::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        hash: String::new(),
        hash_before_v0_25: None,
        digest: String::new(),
    })
}

fn conclude(plan: &Plan, outcome: &Outcome) -> Conclusion {
    super::conclude(plan, outcome, &Selector::default(), false)
}

fn conflict() -> Write {
    Write::Refuse(Refusal::Conflict("ca.crt".into()))
}

fn failed(targets: &[(Kind, &str, &'static str)]) -> Outcome {
    let failed = targets.iter().map(|(k, ns, why)| ((*k, (*ns).into()), Category(why)));
    Outcome { failed: failed.collect(), ..Outcome::default() }
}

const CM: Kind = Kind::ConfigMap;

#[test]
fn success_is_worded_as_trust_manager_words_it() {
    let plan = plan(vec![(CM, "a", Write::Keep)]);
    let selector = Selector::new(vec![crate::selector::Requirement {
        key: "env".into(),
        condition: crate::selector::Condition::Equals("prod".into()),
    }]);
    let message = |selector: &Selector, limited| {
        super::conclude(&plan, &Outcome::default(), selector, limited).message
    };
    let all = Selector::default();
    assert_eq!(message(&all, false), "Successfully synced Bundle to all namespaces");
    assert_eq!(message(&all, true), "Successfully synced Bundle to all allowed namespaces");
    assert_eq!(
        message(&selector, false),
        "Successfully synced Bundle to namespaces that match this label selector: env=prod"
    );
    assert_eq!(
        message(&selector, true),
        "Successfully synced Bundle to allowed namespaces that match this label selector: \
         env=prod"
    );
}

#[test]
fn each_target_is_counted_once_by_what_became_of_it() {
    let plan = plan(vec![
        (CM, "a", Write::Keep),
        (CM, "b", Write::Keep),
        (CM, "c", conflict()),
        (CM, "gone", Write::Delete(crate::plan::Seen::default())),
    ]);
    let outcome = failed(&[(CM, "b", "quota"), (CM, "gone", "timeout")]);
    let counts = conclude(&plan, &outcome).targets;
    assert_eq!(counts, TargetCounts { desired: 4, synced: 1, failed: 2, refused: 1 });
}

#[test]
fn what_is_kept_without_being_looked_at_is_not_counted_as_synced() {
    let mut plan = plan(vec![(CM, "a", Write::Keep), (Kind::Secret, "a", Write::Keep)]);
    assert_eq!(conclude(&plan, &Outcome::default()).targets.synced, 2);
    plan.content.rendered.remove(&Kind::Secret);
    assert_eq!(conclude(&plan, &Outcome::default()).targets.synced, 1);
    plan.paused = true;
    assert_eq!(conclude(&plan, &Outcome::default()).targets.synced, 0);
}

#[test]
fn the_gravest_reason_is_the_one_that_is_shown() {
    let too_large = Write::Refuse(Refusal::TooLarge { bytes: 2, max: 1 });
    let mut all = plan(vec![
        (CM, "a", conflict()),
        (CM, "b", too_large),
        (CM, "c", Write::Keep),
        (Kind::Secret, "d", Write::Keep),
    ]);
    let outcome = failed(&[(CM, "c", "quota"), (Kind::Secret, "d", "quota")]);
    all.content.blocked = Some(Blocked::Sources(vec![SourceProblem::NoCertificates]));
    all.secrets_off = true;
    let mut reasons = vec![conclude(&all, &outcome).reason];
    all.content.blocked = None;
    reasons.push(conclude(&all, &outcome).reason);
    all.secrets_off = false;
    while !all.steps.is_empty() {
        reasons.push(conclude(&all, &outcome).reason);
        // The gravest goes first: too large, then refused, then what failed.
        let gravest = all
            .steps
            .iter()
            .position(|s| matches!(&s.write, Write::Refuse(refusal) if refusal.is_size()));
        all.steps.remove(gravest.unwrap_or(0));
    }
    reasons.push(conclude(&all, &outcome).reason);
    let reasons: Vec<&str> = reasons.into_iter().map(Reason::as_str).collect();
    assert_eq!(
        reasons,
        [
            "SourceNotFound",
            "SecretTargetsDisabled",
            "TargetTooLarge",
            "TargetRefused",
            "SyncConfigMapTargetFailed",
            "SyncSecretTargetFailed",
            "Synced",
        ]
    );
}

#[test]
fn contested_targets_are_counted_as_failed_and_named_by_opponent() {
    let plan = plan(vec![]);
    let opponent = Opponent::Manager("kube-controller-manager".into());
    let standings = [
        ("a", Standing::Contested(opponent.clone())),
        ("b", Standing::Contested(Opponent::Namesake("trust-manager".into()))),
        ("c", Standing::Contested(opponent)),
        ("d", Standing::Contested(Opponent::Unknown)),
        ("e", Standing::Refused(Refusal::Conflict("ca.crt".into()))),
    ]
    .map(|(namespace, standing)| (Namespace::from(namespace), standing));
    let standings = standings.iter().map(|(namespace, standing)| (CM, namespace, standing));
    let all = Selector::default();
    let conclusion = conclude_standings(&StatusInputs::from(&plan), standings, &all, false);
    assert_eq!(conclusion.reason.as_str(), "TargetContested");
    assert_eq!((conclusion.targets.failed, conclusion.targets.refused), (4, 1));
    assert_eq!(
        conclusion.message,
        "Target is undone again and again, and written once in ten minutes until that ends: \
         ConfigMap in d: undone by a client that managedFields do not name; ConfigMap in a, c: \
         undone by field manager `kube-controller-manager`; ConfigMap in b: undone by field \
         manager `trust-manager`, which is trustd's own: is another trust-manager or trustd running?"
    );
}

#[test]
fn a_target_that_is_too_large_is_named_with_its_namespace() {
    let too_large = |bytes| Write::Refuse(Refusal::TooLarge { bytes, max: 1_048_576 });
    let together = Write::Refuse(Refusal::TooLargeTogether { ours: 60_000, max: 1_048_576 });
    let plan = plan(vec![
        (CM, "a", too_large(2_000_000)),
        (CM, "b", too_large(2_000_000)),
        (Kind::Secret, "c", together),
    ]);
    assert_eq!(
        conclude(&plan, &Outcome::default()).message,
        "Target is too large: ConfigMap in a, b: its data is 2000000 bytes, and the API server takes \
         1048576; Secret in c: its data, 60000 bytes of the Bundle and what others keep in the object, \
         is more than the 1048576 bytes that the API server takes"
    );
}

#[test]
fn failing_namespaces_are_named_by_category_ten_at_most() {
    let names: Vec<String> = (0..12).map(|n| format!("ns-{n:02}")).collect();
    let plan = plan(names.iter().map(|n| (CM, n.as_str(), Write::Keep)).collect());
    let mut targets: Vec<_> = names.iter().map(|n| (CM, n.as_str(), "quota")).collect();
    targets[3].2 = "timeout";
    assert_eq!(
        conclude(&plan, &failed(&targets)).message,
        "Failed to sync bundle to ConfigMap in ns-00, ns-01, ns-02, ns-04, ns-05, ns-06, \
         ns-07, ns-08, ns-09, ns-10, and 1 more: quota; ConfigMap in ns-03: timeout"
    );
}

#[test]
fn a_conflict_that_only_the_server_saw_counts_as_refused() {
    let mut outcome = Outcome::default();
    outcome.refused.insert((CM, "a".into()), Refusal::Conflict("ca.crt".into()));
    let plan = plan(vec![(CM, "a", Write::Create(rendered(CM)))]);
    let conclusion = conclude(&plan, &outcome);
    assert_eq!(conclusion.reason, Reason::TargetRefused);
    assert_eq!(
        conclusion.message,
        "Target belongs to somebody else: ConfigMap in a: key \"ca.crt\" holds another \
         manager's value; remove it there, or allow it to be overwritten with the annotation \
         trust.cert-manager.io/allow-overwrite: \"true\""
    );
    assert_eq!((conclusion.targets.synced, conclusion.targets.refused), (0, 1));
}

#[test]
fn what_blocks_a_bundle_is_said_in_full_and_without_format_mishaps() {
    let mut plan = plan(vec![(CM, "a", Write::Keep)]);
    let said = |plan: &Plan| {
        let conclusion = conclude(plan, &Outcome::default());
        assert!(!conclusion.synced && conclusion.certificates.is_none());
        assert_eq!(conclusion.targets.synced, 0);
        (conclusion.reason.as_str(), conclusion.message)
    };
    let rejected = crate::bundle::Rejected {
        origin: Origin::InLine { index: 0 },
        line: 3,
        kind: crate::bundle::RejectedKind::NotACertificate("100% KEY".into()),
    };
    plan.content.blocked =
        Some(Blocked::Sources(vec![rejected.into(), SourceProblem::NoCertificates]));
    assert_eq!(
        said(&plan),
        (
            "SourceBuildError",
            "Failed to build bundle sources: spec.sources[0].inLine, line 3: only CERTIFICATE \
             blocks may be distributed, and this is a `100% KEY` block; remove it; couldn't \
             find any valid certificates in bundle"
                .to_owned()
        )
    );
    plan.content.blocked = Some(Blocked::Ring(vec!["b".into(), "c".into()]));
    assert_eq!(
        said(&plan),
        (
            "SourceCycle",
            "Failed to build bundle sources: Bundles read one another's targets: b <- c <- b"
                .to_owned()
        )
    );
    plan.content.blocked = Some(Blocked::Stores(vec!["a.jks".into()]));
    let (reason, message) = said(&plan);
    assert_eq!(reason, "AdditionalFormatsUnsupported");
    assert!(message.contains("additionalFormats (keys a.jks)"), "{message}");
}
