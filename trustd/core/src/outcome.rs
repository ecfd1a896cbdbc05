//! From a plan and what became of it to what the Bundle's status says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::bundle::{Dropped, TrustBundle, Why};
use crate::names::{BundleName, DataKey, FieldManager, Kind, Namespace};
use crate::plan::{Blocked, BundleContent, Plan, Prepared, Refusal, SourceProblem, Step, Write};
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
    /// Somebody undid it again and again, and it is written once in ten minutes until that ends.
    Contested(Opponent),
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

/// The client that undoes the writes to a target, as far as the object's managedFields tell.
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
    /// Whether the Bundle wants Secrets and they are switched off.
    pub secrets_off: bool,
    /// Whether the Bundle's writes are paused.
    pub paused: bool,
    /// How many targets there should be.
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
    /// How many could not be written or do not stay as written, and are tried again.
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
    /// How many blocks and named values were left out because they could not be read, or by name.
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
    conclude_standings(&StatusInputs::from(plan), borrowed, selector, limited)
}

/// What the status of a Bundle says while its targets stand as they do. A target that is neither
/// wanted nor failing is not among them.
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
    let judged = !plan.paused && plan.content.rendered.contains_key(&step.kind);
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
    // The words of trust-manager, and behind them what it would pass over in silence.
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

/// The end of a message that names what was left out for these reasons; empty if nothing was.
fn left_out(bundle: &TrustBundle, is: fn(Why) -> bool) -> String {
    let dropped: Vec<&Dropped> = bundle.dropped().iter().filter(|d| is(d.why)).collect();
    if dropped.is_empty() {
        return String::new();
    }
    format!("; left out: {}", some_of(dropped.iter().map(ToString::to_string), "; "))
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
mod tests;
