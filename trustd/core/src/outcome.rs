//! The status of a Bundle, derived from a plan and from the results of its writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::bundle::{Dropped, TrustBundle, Why};
use crate::names::{BundleName, DataKey, FieldManager, Kind, Namespace};
use crate::plan::{Blocked, BundleContent, Plan, Prepared, Refusal, SourceProblem, Step, Write};
use crate::selector::Selector;
use crate::time::Timestamp;

/// The result of a plan: the writes that failed. All others succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Targets whose write failed, with the category of the error (not its text, which varies
    /// between attempts and would change the status every time).
    pub failed: BTreeMap<(Kind, Namespace), Category>,
    /// Targets that the API server refused because of a conflict that metadata did not show.
    pub refused: BTreeMap<(Kind, Namespace), Refusal>,
}

/// The category of an error: a short, fixed name, also used as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Category(pub &'static str);

/// The state of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Another client repeatedly undoes the write; it is retried once per ten minutes until that
    /// ends.
    Contested(Opponent),
    /// The write, or the clean-up of an unwanted target, failed and is retried.
    Failed {
        why: Category,
        /// False for a clean-up.
        wanted: bool,
    },
    /// A wanted target that exists, but is not compared: its desired content is unknown, or writes
    /// are paused.
    Held,
    /// A wanted target that is not written yet.
    Pending,
    /// A target that is not written until something changes.
    Refused(Refusal),
    /// A target that matches the desired content.
    Synced,
}

/// The client that undoes the writes to a target, as far as the object's managedFields show.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opponent {
    /// One that deletes the object; what it may create in its place has not been seen.
    Deletion,
    /// One that writes under another field manager.
    Manager(FieldManager),
    /// One that writes under this field manager, which is ours.
    Namesake(FieldManager),
    /// One that left no entry, as one that only takes fields away.
    #[default]
    Unknown,
}

impl fmt::Display for Opponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deletion => f.write_str(
                "undone by a client that deletes the object, which managedFields cannot name",
            ),
            Self::Manager(manager) => write!(f, "undone by field manager `{manager}`"),
            Self::Namesake(manager) => write!(
                f,
                "undone by field manager `{manager}`, which is trustd's own: is another \
                 trust-manager or trustd running?"
            ),
            Self::Unknown => f.write_str("undone by a client that managedFields do not name"),
        }
    }
}

/// The part of a status that does not depend on how the targets stand.
#[derive(Clone, Copy, Debug)]
pub struct StatusInputs<'p> {
    /// The content of the targets, or why there is none.
    pub content: &'p BundleContent,
    /// The Bundle wants Secrets, and they are switched off.
    pub secrets_off: bool,
    /// Writes of the Bundle are paused.
    pub paused: bool,
    /// The number of targets that there should be.
    pub desired: usize,
}

impl<'p> StatusInputs<'p> {
    /// Returns the inputs of a Bundle whose targets are planned one by one.
    #[must_use]
    pub fn of(prepared: &'p Prepared<'_>, desired: usize) -> Self {
        Self {
            content: prepared.content(),
            secrets_off: prepared.secrets_off(),
            paused: prepared.is_paused(),
            desired,
        }
    }
}

impl<'p> From<&'p Plan> for StatusInputs<'p> {
    fn from(plan: &'p Plan) -> Self {
        Self {
            content: &plan.content,
            secrets_off: plan.secrets_off,
            paused: plan.paused,
            desired: plan.desired,
        }
    }
}

/// The status of a Bundle, before it is put into the API's types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// True if every target matches the desired content.
    pub synced: bool,
    pub reason: Reason,
    pub message: String,
    pub targets: TargetCounts,
    /// Number of wanted targets that are not written yet. `Synced` is only reported when it is 0.
    pub pending: usize,
    /// Counts of certificates; `None` if no content could be built.
    pub certificates: Option<CertificateCounts>,
    /// Identity of the default CA package, if the Bundle uses it.
    pub default_cas: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetCounts {
    /// Targets that should exist.
    pub desired: usize,
    /// Targets that match the desired content.
    pub synced: usize,
    /// Targets whose write failed or was undone by another client, and is retried.
    pub failed: usize,
    /// Targets that are not written until something changes.
    pub refused: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateCounts {
    /// Certificates in the bundle.
    pub total: usize,
    /// Certificates that a filter left out.
    pub filtered: usize,
    /// PEM blocks and named values that were left out because they are unreadable, and the one
    /// certificate that is left out by its digest.
    pub skipped: usize,
    /// The earliest notAfter in the bundle.
    pub earliest_not_after: Option<Timestamp>,
}

/// The `reason` of the condition `Synced`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Writes are paused by annotation.
    Paused,
    /// The Bundle asks for a trust store that trustd cannot write yet.
    AdditionalFormatsUnsupported,
    /// The spec is invalid: an older CRD's schema accepted it.
    InvalidSpec,
    /// The Bundle asks for Secret targets, and they are disabled.
    SecretTargetsDisabled,
    /// A source is wrong.
    SourceBuildError,
    /// The Bundle reads, through others, its own output.
    SourceCycle,
    /// A source is missing.
    SourceNotFound,
    /// Writing a ConfigMap failed.
    SyncConfigMapTargetFailed,
    /// Writing a Secret failed.
    SyncSecretTargetFailed,
    Synced,
    /// Another client undoes a target again and again.
    TargetContested,
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
            Self::TargetContested => "TargetContested",
            Self::TargetRefused => "TargetRefused",
            Self::TargetTooLarge => "TargetTooLarge",
        }
    }
}

/// Returns the status of a Bundle after `plan` ended in `outcome`.
///
/// The message of success, which depends on `selector` and `limited` (`--target-namespaces` is
/// set), has trust-manager's wording.
#[must_use]
pub fn conclude(plan: &Plan, outcome: &Outcome, selector: &Selector, limited: bool) -> Conclusion {
    let standings = plan.steps.iter().filter_map(|step| {
        let standing = standing(plan, outcome, step)?;
        Some((step.kind, &step.namespace, standing))
    });
    let standings: Vec<_> = standings.collect();
    let borrowed =
        standings.iter().map(|(kind, namespace, standing)| (*kind, *namespace, standing));
    conclude_standings(&StatusInputs::from(plan), borrowed, selector, limited)
}

/// Returns the status of a Bundle for the given states of its targets. Targets that are neither
/// wanted nor failing are not listed.
#[must_use]
pub fn conclude_standings<'p>(
    inputs: &StatusInputs<'p>,
    standings: impl Iterator<Item = (Kind, &'p Namespace, &'p Standing)>,
    selector: &Selector,
    limited: bool,
) -> Conclusion {
    let tally = Tally::new(standings);
    let (reason, message) = verdict(inputs, &tally, selector, limited);
    Conclusion {
        synced: reason == Reason::Synced,
        reason,
        message,
        targets: TargetCounts {
            desired: inputs.desired,
            synced: if inputs.content.blocked.is_some() { 0 } else { tally.synced },
            failed: tally.failed.len() + tally.contested.len(),
            refused: tally.refused.len(),
        },
        pending: tally.pending,
        certificates: inputs
            .content
            .blocked
            .is_none()
            .then(|| certificates(&inputs.content.certificates)),
        default_cas: inputs.content.default_cas.clone(),
    }
}

/// Returns the state of a target after its step; `None` if the status does not mention it.
fn standing(plan: &Plan, outcome: &Outcome, step: &Step) -> Option<Standing> {
    let key = (step.kind, step.namespace.clone());
    let wanted = !matches!(step.write, Write::Delete(_) | Write::Release { .. });
    let refused = match &step.write {
        Write::Refuse(refusal) => Some(refusal),
        Write::Create(_) | Write::Update { .. } => outcome.refused.get(&key),
        Write::Delete(_) | Write::Release { .. } | Write::Keep => None,
    };
    // A target that is kept because its content is unknown, or because writes are paused, is not
    // reported as synced.
    let judged = !plan.paused && plan.content.rendered.contains_key(&step.kind);
    if let Some(refusal) = refused {
        Some(Standing::Refused(refusal.clone()))
    } else if let Some(why) = outcome.failed.get(&key) {
        // A failed clean-up is a failure too, but no wanted target is missing because of it.
        Some(Standing::Failed { why: *why, wanted })
    } else if wanted && (judged || step.write != Write::Keep) {
        Some(Standing::Synced)
    } else {
        wanted.then_some(Standing::Held)
    }
}

/// Targets grouped by state.
#[derive(Default)]
struct Tally<'p> {
    contested: BTreeMap<(Kind, &'p Namespace), &'p Opponent>,
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
                Standing::Contested(opponent) => {
                    tally.contested.insert((kind, namespace), opponent);
                }
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
    inputs: &StatusInputs<'_>,
    tally: &Tally<'_>,
    selector: &Selector,
    limited: bool,
) -> (Reason, String) {
    // A condition has one reason: what blocks the whole Bundle comes first, then what a person must
    // resolve, and failures that are retried come last.
    if let Some(blocked) = &inputs.content.blocked {
        return blocked_verdict(blocked, &inputs.content.certificates);
    }
    if inputs.secrets_off {
        let message = "Bundle has Secret targets but the feature is disabled".to_owned();
        return (Reason::SecretTargetsDisabled, message);
    }
    if inputs.paused {
        let message = "Writes are paused by the annotation trust.cert-manager.io/paused".to_owned();
        return (Reason::Paused, message);
    }
    let (large, foreign): (Vec<_>, Vec<_>) =
        tally.refused.iter().partition(|(_, refusal)| refusal.is_size());
    let named = |refused: &[(&(Kind, &Namespace), &&Refusal)]| {
        let texts = refused.iter().map(|((kind, ns), refusal)| (*kind, *ns, refusal.to_string()));
        places(texts)
    };
    if !large.is_empty() {
        return (Reason::TargetTooLarge, format!("Target is too large: {}", named(&large)));
    }
    if !tally.contested.is_empty() {
        let names = places(
            tally.contested.iter().map(|((kind, ns), opponent)| (*kind, *ns, opponent.to_string())),
        );
        let message = format!(
            "Target is undone again and again, and written once in ten minutes until that ends: \
             {names}"
        );
        return (Reason::TargetContested, message);
    }
    if !foreign.is_empty() {
        let names = named(&foreign);
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
    // trust-manager's message, followed by faults that trust-manager ignores silently.
    let message =
        success(selector, limited) + &left_out(&inputs.content.certificates, Why::is_fault);
    (Reason::Synced, message)
}

fn blocked_verdict(blocked: &Blocked, certificates: &TrustBundle) -> (Reason, String) {
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
            let mut message = format!("{start}: {}", some_of(texts, "; "));
            if problems.contains(&SourceProblem::NoCertificates) {
                message += &left_out(certificates, |why| why.is_filter() || why.is_skip());
            }
            (reason, message)
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

/// Returns the end of a message that names what was left out for these reasons; empty if nothing
/// was.
fn left_out(bundle: &TrustBundle, is: fn(Why) -> bool) -> String {
    let dropped: Vec<&Dropped> = bundle.dropped().iter().filter(|d| is(d.why)).collect();
    if dropped.is_empty() {
        return String::new();
    }
    format!("; left out: {}", some_of(dropped.iter().map(ToString::to_string), "; "))
}

/// Returns trust-manager's message of success, which tools compare.
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

/// Returns namespaces grouped by cause, at most [`NAMED_MAX`] names per cause.
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

/// Returns the first [`NAMED_MAX`] texts, and the number of those left out.
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

/// Limit on the namespaces or faults that a status lists: more would exceed what people read, and
/// what the API server accepts as the message of a condition (32,768 characters).
const NAMED_MAX: usize = 10;

#[cfg(test)]
mod tests;
