//! From a plan and what became of it to what the Bundle's status says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bundle::{TrustBundle, Why};
use crate::names::{BundleName, DataKey, Kind, Namespace};
use crate::plan::{Blocked, Plan, Prepared, Refusal, SourceProblem, Step, Write};
use crate::selector::Selector;
use crate::time::Timestamp;

/// What became of a plan: the writes that failed. What is not listed succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Targets whose write failed, with the category of the error (never its text, which varies
    /// from try to try and would churn the status).
    pub failed: BTreeMap<(Kind, Namespace), Category>,
    /// Targets that the server refused for a conflict that metadata did not show.
    pub refused: BTreeMap<(Kind, Namespace), Refusal>,
}

/// The category of an error: a short, fixed name, also used as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Category(pub &'static str);

/// How one target stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It could not be written, or cleaned up where it is not wanted; it is tried again.
    Failed {
        /// The category of the error.
        why: Category,
        /// Whether the target is wanted at all.
        wanted: bool,
    },
    /// It is wanted and there, but what it should hold is not known, or not looked at.
    Held,
    /// It is wanted, and not written yet.
    Pending,
    /// It is not written until something changes.
    Refused(Refusal),
    /// It is as it should be.
    Synced,
}

/// What a status says of a Bundle besides its targets.
#[derive(Clone, Copy, Debug)]
pub struct Head<'p> {
    /// Why no content could be made, if so.
    pub blocked: Option<&'p Blocked>,
    /// Whether the Bundle wants Secrets and they are switched off.
    pub secrets_off: bool,
    /// Whether the Bundle's writes are paused.
    pub paused: bool,
    /// The certificates, and what was left out of them.
    pub certificates: &'p TrustBundle,
    /// Identity of the default CA package, where the Bundle uses it.
    pub default_cas: Option<&'p Arc<str>>,
    /// How many targets there should be.
    pub desired: usize,
}

impl<'p> Head<'p> {
    /// Of a Bundle whose targets are planned one by one.
    #[must_use]
    pub fn of(prepared: &'p Prepared<'_>, desired: usize) -> Self {
        let content = prepared.content();
        Self {
            blocked: content.blocked.as_ref(),
            secrets_off: prepared.secrets_off(),
            paused: prepared.is_paused(),
            certificates: &content.certificates,
            default_cas: content.default_cas.as_ref(),
            desired,
        }
    }
}

impl<'p> From<&'p Plan> for Head<'p> {
    fn from(plan: &'p Plan) -> Self {
        Self {
            blocked: plan.blocked.as_ref(),
            secrets_off: plan.secrets_off,
            paused: plan.paused,
            certificates: &plan.certificates,
            default_cas: plan.default_cas.as_ref(),
            desired: plan.desired,
        }
    }
}

/// What the status of a Bundle says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// Whether every target is as it should be.
    pub synced: bool,
    /// The condition's reason.
    pub reason: Reason,
    /// The condition's message.
    pub message: String,
    /// Counts of targets.
    pub targets: TargetCounts,
    /// How many wanted targets are not written yet. While there are some, `Synced` is too early.
    pub pending: usize,
    /// Counts of certificates; nothing where no content could be made.
    pub certificates: Option<CertificateCounts>,
    /// Identity of the default CA package, where the Bundle uses it.
    pub default_cas: Option<Arc<str>>,
}

/// Counts of targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetCounts {
    /// How many there should be.
    pub desired: usize,
    /// How many are as they should be.
    pub synced: usize,
    /// How many could not be written, and are tried again.
    pub failed: usize,
    /// How many are not written until something changes.
    pub refused: usize,
}

/// Counts of certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateCounts {
    /// How many the bundle holds.
    pub total: usize,
    /// How many a filter left out.
    pub filtered: usize,
    /// How many blocks were left out because they could not be read, or by name.
    pub skipped: usize,
    /// When the first of them expires.
    pub earliest_not_after: Option<Timestamp>,
}

/// Why a Bundle is synced or not, as the condition spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its writes are paused by annotation.
    Paused,
    /// It asks for a trust store that trustd cannot write yet.
    AdditionalFormatsUnsupported,
    /// What it asks for is not valid, which the schema of an older version let through.
    InvalidSpec,
    /// It wants Secrets, and they are switched off.
    SecretTargetsDisabled,
    /// A source is wrong.
    SourceBuildError,
    /// It reads what it helps to write.
    SourceCycle,
    /// A source is missing.
    SourceNotFound,
    /// Writing a ConfigMap failed.
    SyncConfigMapTargetFailed,
    /// Writing a Secret failed.
    SyncSecretTargetFailed,
    /// All is well.
    Synced,
    /// A target belongs to somebody else who holds our key.
    TargetRefused,
    /// The content is larger than the API server takes.
    TargetTooLarge,
}

impl Reason {
    /// The reason as the condition spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdditionalFormatsUnsupported => "AdditionalFormatsUnsupported",
            Self::InvalidSpec => "InvalidSpec",
            Self::Paused => "Paused",
            Self::SecretTargetsDisabled => "SecretTargetsDisabled",
            Self::SourceBuildError => "SourceBuildError",
            Self::SourceCycle => "SourceCycle",
            Self::SourceNotFound => "SourceNotFound",
            Self::SyncConfigMapTargetFailed => "SyncConfigMapTargetFailed",
            Self::SyncSecretTargetFailed => "SyncSecretTargetFailed",
            Self::Synced => "Synced",
            Self::TargetRefused => "TargetRefused",
            Self::TargetTooLarge => "TargetTooLarge",
        }
    }
}

/// What the status of a Bundle says after `plan` ended in `outcome`.
///
/// `selector` and `limited` (whether `--target-namespaces` is set) word the message of success as
/// trust-manager words it.
#[must_use]
pub fn conclude(plan: &Plan, outcome: &Outcome, selector: &Selector, limited: bool) -> Conclusion {
    let standings = plan.steps.iter().filter_map(|step| {
        let standing = standing(plan, outcome, step)?;
        Some((step.kind, &step.namespace, standing))
    });
    let standings: Vec<_> = standings.collect();
    let borrowed =
        standings.iter().map(|(kind, namespace, standing)| (*kind, *namespace, standing));
    conclude_standings(&Head::from(plan), borrowed, selector, limited)
}

/// What the status of a Bundle says while its targets stand as they do. A target that is neither
/// wanted nor failing is not among them.
#[must_use]
pub fn conclude_standings<'p>(
    head: &Head<'p>,
    standings: impl Iterator<Item = (Kind, &'p Namespace, &'p Standing)>,
    selector: &Selector,
    limited: bool,
) -> Conclusion {
    let tally = Tally::new(standings);
    let (reason, message) = verdict(head, &tally, selector, limited);
    Conclusion {
        synced: reason == Reason::Synced,
        reason,
        message,
        targets: TargetCounts {
            desired: head.desired,
            synced: if head.blocked.is_some() { 0 } else { tally.synced },
            failed: tally.failed.len(),
            refused: tally.refused.len(),
        },
        pending: tally.pending,
        certificates: head.blocked.is_none().then(|| certificates(head.certificates)),
        default_cas: head.default_cas.cloned(),
    }
}

/// How a target stands after its step, if the status has anything to say of it.
fn standing(plan: &Plan, outcome: &Outcome, step: &Step) -> Option<Standing> {
    let key = (step.kind, step.namespace.clone());
    let wanted = !matches!(step.write, Write::Delete(_) | Write::Release { .. });
    let refused = match &step.write {
        Write::Refuse(refusal) => Some(refusal),
        Write::Create(_) | Write::Update { .. } => outcome.refused.get(&key),
        Write::Delete(_) | Write::Release { .. } | Write::Keep => None,
    };
    // What is kept because its content is not known, or not looked at, is not in sync.
    let judged = !plan.paused && plan.rendered.contains_key(&step.kind);
    if let Some(refusal) = refused {
        Some(Standing::Refused(refusal.clone()))
    } else if let Some(why) = outcome.failed.get(&key) {
        // A failed clean-up is a failure too, but no wanted target is missing for it.
        Some(Standing::Failed { why: *why, wanted })
    } else if wanted && (judged || step.write != Write::Keep) {
        Some(Standing::Synced)
    } else {
        wanted.then_some(Standing::Held)
    }
}

/// Targets by how they stand.
#[derive(Default)]
struct Tally<'p> {
    synced: usize,
    pending: usize,
    failed: BTreeMap<(Kind, &'p Namespace), Category>,
    refused: BTreeMap<(Kind, &'p Namespace), &'p Refusal>,
}

impl<'p> Tally<'p> {
    fn new(standings: impl Iterator<Item = (Kind, &'p Namespace, &'p Standing)>) -> Self {
        let mut tally = Self::default();
        for (kind, namespace, standing) in standings {
            match standing {
                Standing::Failed { why, .. } => {
                    tally.failed.insert((kind, namespace), *why);
                }
                Standing::Held => {}
                Standing::Pending => tally.pending += 1,
                Standing::Refused(refusal) => {
                    tally.refused.insert((kind, namespace), refusal);
                }
                Standing::Synced => tally.synced += 1,
            }
        }
        tally
    }
}

fn verdict(
    head: &Head<'_>,
    tally: &Tally<'_>,
    selector: &Selector,
    limited: bool,
) -> (Reason, String) {
    if let Some(blocked) = head.blocked {
        return blocked_verdict(blocked);
    }
    if head.secrets_off {
        let message = "Bundle has Secret targets but the feature is disabled".to_owned();
        return (Reason::SecretTargetsDisabled, message);
    }
    if head.paused {
        let message = "Writes are paused by the annotation trust.cert-manager.io/paused".to_owned();
        return (Reason::Paused, message);
    }
    let (large, foreign): (Vec<_>, Vec<_>) =
        tally.refused.iter().partition(|(_, refusal)| refusal.is_size());
    if let Some((_, refusal)) = large.first() {
        let message = format!("Target is too large: {refusal}");
        return (Reason::TargetTooLarge, message);
    }
    if !foreign.is_empty() {
        let names = places(
            foreign
                .iter()
                .map(|((kind, namespace), refusal)| (*kind, *namespace, refusal.to_string())),
        );
        return (Reason::TargetRefused, format!("Target belongs to somebody else: {names}"));
    }
    if let Some(((kind, _), _)) = tally.failed.first_key_value() {
        let reason = match kind {
            Kind::ConfigMap => Reason::SyncConfigMapTargetFailed,
            Kind::Secret => Reason::SyncSecretTargetFailed,
        };
        let names = places(
            tally.failed.iter().map(|((kind, ns), category)| (*kind, *ns, category.0.to_owned())),
        );
        return (reason, format!("Failed to sync bundle to {names}"));
    }
    (Reason::Synced, success(selector, limited))
}

fn blocked_verdict(blocked: &Blocked) -> (Reason, String) {
    match blocked {
        Blocked::Ring(ring) => {
            let names = ring.iter().chain(ring.first()).map(BundleName::as_str);
            let ring = names.collect::<Vec<_>>().join(" <- ");
            let message = format!(
                "Failed to build bundle sources: Bundles read one another's targets: {ring}"
            );
            (Reason::SourceCycle, message)
        }
        Blocked::Sources(problems) => {
            let not_found = problems.first().is_some_and(SourceProblem::is_not_found);
            let (reason, start) = if not_found {
                (Reason::SourceNotFound, "Bundle source was not found")
            } else {
                (Reason::SourceBuildError, "Failed to build bundle sources")
            };
            let texts = problems.iter().map(ToString::to_string);
            (reason, format!("{start}: {}", some_of(texts, "; ")))
        }
        Blocked::Stores(keys) => {
            let keys = keys.iter().map(DataKey::as_str).collect::<Vec<_>>().join(", ");
            let message = format!(
                "JKS and PKCS#12 stores are not supported by this version of trustd, so nothing is \
                 written: remove spec.target.additionalFormats (keys {keys})"
            );
            (Reason::AdditionalFormatsUnsupported, message)
        }
    }
}

/// trust-manager's own words for success, which tools compare.
fn success(selector: &Selector, limited: bool) -> String {
    match (limited, selector.is_everything()) {
        (false, true) => "Successfully synced Bundle to all namespaces".to_owned(),
        (true, true) => "Successfully synced Bundle to all allowed namespaces".to_owned(),
        (false, false) => format!(
            "Successfully synced Bundle to namespaces that match this label selector: {selector}"
        ),
        (true, false) => format!(
            "Successfully synced Bundle to allowed namespaces that match this label selector: \
             {selector}"
        ),
    }
}

/// Namespaces grouped by what went wrong in them, at most [`NAMED_MAX`] of them by name.
fn places<'n>(failures: impl Iterator<Item = (Kind, &'n Namespace, String)>) -> String {
    let mut by_cause: BTreeMap<(Kind, String), BTreeSet<&Namespace>> = BTreeMap::new();
    for (kind, namespace, cause) in failures {
        by_cause.entry((kind, cause)).or_default().insert(namespace);
    }
    let texts = by_cause.into_iter().map(|((kind, cause), namespaces)| {
        let names = some_of(namespaces.iter().map(ToString::to_string), ", ");
        format!("{kind} in {names}: {cause}")
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// The first [`NAMED_MAX`] texts, and how many more there are.
fn some_of(texts: impl ExactSizeIterator<Item = String>, separator: &str) -> String {
    let more = texts.len().saturating_sub(NAMED_MAX);
    let mut shown = texts.take(NAMED_MAX).collect::<Vec<_>>().join(separator);
    if more > 0 {
        shown.push_str(&format!("{separator}and {more} more"));
    }
    shown
}

fn certificates(bundle: &TrustBundle) -> CertificateCounts {
    let dropped = bundle.dropped();
    let count = |is: fn(Why) -> bool| dropped.iter().filter(|dropped| is(dropped.why)).count();
    CertificateCounts {
        total: bundle.members().len(),
        filtered: count(Why::is_filter),
        skipped: count(Why::is_skip),
        earliest_not_after: bundle.earliest_not_after(),
    }
}

/// A status names so many namespaces or faults; more would outgrow what people read, and what the
/// API server accepts as a message (32,768 characters).
const NAMED_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Origin;

    fn plan(writes: Vec<(Kind, &str, Write)>) -> Plan {
        Plan {
            bundle: "b".into(),
            blocked: None,
            secrets_off: false,
            paused: false,
            certificates: TrustBundle::default(),
            default_cas: None,
            notes: Vec::new(),
            rendered: Kind::ALL.map(|kind| (kind, rendered(kind))).into(),
            desired: 4,
            steps: writes
                .into_iter()
                .map(|(kind, namespace, write)| Step { kind, namespace: namespace.into(), write })
                .collect(),
            again_at: None,
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
            content: String::new(),
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
        plan.rendered.remove(&Kind::Secret);
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
        all.blocked = Some(Blocked::Sources(vec![SourceProblem::NoCertificates]));
        all.secrets_off = true;
        let mut reasons = vec![conclude(&all, &outcome).reason];
        all.blocked = None;
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
             manager's value; remove it there, or allow it to be overwritten"
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
        plan.blocked = Some(Blocked::Sources(vec![rejected.into(), SourceProblem::NoCertificates]));
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
        plan.blocked = Some(Blocked::Ring(vec!["b".into(), "c".into()]));
        assert_eq!(
            said(&plan),
            (
                "SourceCycle",
                "Failed to build bundle sources: Bundles read one another's targets: b <- c <- b"
                    .to_owned()
            )
        );
        plan.blocked = Some(Blocked::Stores(vec!["a.jks".into()]));
        let (reason, message) = said(&plan);
        assert_eq!(reason, "AdditionalFormatsUnsupported");
        assert!(message.contains("additionalFormats (keys a.jks)"), "{message}");
    }
}
