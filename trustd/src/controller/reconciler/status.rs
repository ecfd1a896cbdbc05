//! Statuses, notices and metrics of Bundles.

use serde_json::{Value as Json, json};
use trustd_api::labels;
use trustd_api::v1alpha1::BundleStatus;
use trustd_core::bundle::Why;
use trustd_core::names::BundleName;
use trustd_core::outcome::{Conclusion, Reason, StatusInputs, TargetCounts, conclude_standings};
use trustd_core::plan::Prepared;
use trustd_core::selector::Selector;
use trustd_core::spec::SourceRef;

use super::bundle::{self, Bundle};
use super::notice::Notice;
use super::{Now, Reconciler};
use crate::controller::repeat;
use crate::controller::status;
use crate::controller::write::WriteError;
use std::sync::Arc;
use std::time::Duration;

/// A status to be written.
#[derive(Clone, Debug)]
pub(in crate::controller) struct StatusJob {
    /// The Bundle.
    pub(in crate::controller) bundle: BundleName,
    /// The body of the apply.
    pub(in crate::controller) body: Json,
    sent: BundleStatus,
}

impl Reconciler {
    /// The statuses that are due.
    pub(in crate::controller) fn statuses(&mut self, now: Now) -> Vec<StatusJob> {
        if !self.working {
            return Vec::new();
        }
        let names: Vec<BundleName> = self
            .bundles
            .iter()
            // Of what waits for a source nothing true can be said yet.
            .filter(|(name, _)| !self.awaiting.contains_key(*name))
            .filter(|(_, bundle)| {
                bundle.touched || bundle.status_due().is_some_and(|due| due <= now.instant)
            })
            .map(|(name, _)| name.clone())
            .collect();
        names.into_iter().filter_map(|name| self.status(name, now)).collect()
    }

    fn status(&mut self, name: BundleName, now: Now) -> Option<StatusJob> {
        let peer_shaped = self.outdated_until.is_some_and(|until| until > now.instant);
        let bundle = self.bundles.get_mut(&name)?;
        // Cleared first, so that what happens while the status is being written marks it again.
        bundle.touched = false;
        let conclusion = conclude(bundle, &self.world.settings)?;
        if bundle.still_contested(&conclusion, now.instant) {
            return None;
        }
        let notice = turn(bundle, &conclusion);
        self.metrics_of(&name, &conclusion, now);
        let bundle = self.bundles.get_mut(&name)?;
        let mut wanted = status::wanted(&bundle.status, &conclusion, bundle.generation, now.date);
        if peer_shaped {
            wanted = status::peer_shaped(wanted);
        }
        // A status of a Bundle that is being deleted is read by nobody, and an empty one says
        // nothing.
        let deleting = bundle.spec.as_ref().is_ok_and(|spec| spec.deleting);
        if deleting || wanted == BundleStatus::default() {
            return None;
        }
        if let Some(notice) = notice {
            bundle.wrote = false;
            bundle.said = Some((conclusion.synced, conclusion.reason.as_str().to_owned()));
            self.notices.push(notice);
        }
        let pending = conclusion.pending > 0;
        if !bundle.status_throttle.begin(&bundle.status, &wanted, pending, now.instant) {
            return None;
        }
        if let Some(pause) = bundle.status_throttle.repair(&mut self.jitter) {
            let example = || format!("Bundle {name}");
            let fault = repeat::FailureKind { what: OVERWRITTEN, reason: "StatusContested" };
            if self.repeats.is_first(fault, now.instant, example) {
                let by = bundle.status_writer.as_ref().map(ToString::to_string);
                let manager = by.as_deref().unwrap_or("one that managedFields do not name");
                let pause_s = pause.as_secs();
                tracing::warn!(
                    bundle = %name, reason = "StatusContested", manager, pause_s, "{OVERWRITTEN}"
                );
            }
        }
        let body = json!({
            "apiVersion": labels::API_VERSION,
            "kind": labels::KIND,
            // With the uid a Bundle of the same name that came after it is not meant.
            "metadata": { "name": name.as_str(), "uid": bundle.uid },
            "status": wanted,
        });
        Some(StatusJob { bundle: name, body, sent: wanted })
    }

    /// A status was written, or not; `seen` is the Bundle's status in the answer.
    pub(in crate::controller) fn reported(
        &mut self,
        job: &StatusJob,
        outcome: Result<Json, WriteError>,
        now: Now,
    ) {
        let Some(bundle) = self.bundles.get_mut(&job.bundle) else { return };
        bundle.status_throttle.end(outcome.is_ok());
        bundle.touched = true;
        let outdated = match outcome {
            Ok(answer) => {
                let got = bundle::status(answer);
                let pruned = job.sent.targets.is_some() && got.targets.is_none();
                bundle.status_throttle.hold(got.clone());
                bundle.status = got;
                pruned
            }
            Err(fault) => {
                let error = crate::exit::chain(&fault);
                let unknown = error.contains("field not declared in schema");
                if !unknown && fault.category() != "not-leader" {
                    let reason = fault.category();
                    let kind = repeat::FailureKind { what: "cannot write a status", reason };
                    let example = || format!("Bundle {}: {error}", job.bundle);
                    if self.repeats.is_first(kind, now.instant, example) {
                        tracing::warn!(bundle = %job.bundle, reason, error, "cannot write a status");
                    } else {
                        tracing::debug!(bundle = %job.bundle, reason, error, "cannot write a status");
                    }
                }
                unknown
            }
        };
        if outdated {
            if self.outdated_until.is_none() {
                tracing::warn!(
                    reason = "SchemaOutdated",
                    "the CRD in the cluster lacks status fields of this version; apply the one that \
                     `trustd crd` prints"
                );
                self.notices.push(Notice::schema_outdated(bundle));
            }
            self.outdated_until = Some(now.instant.after(OUTDATED_FOR));
            self.metrics.schema_outdated(true);
        } else if job.sent.targets.is_some() && self.outdated_until.take().is_some() {
            self.metrics.schema_outdated(false);
            for bundle in self.bundles.values_mut() {
                bundle.touched = true;
            }
        }
    }

    /// Tells every Bundle with the default CA package as a source that its file cannot be used.
    pub(super) fn tell_package_fault(&mut self) {
        let Some(error) = self.package_fault.as_ref().filter(|_| self.working) else { return };
        let reads = |bundle: &&Bundle| {
            let sources = bundle.spec.iter().flat_map(|spec| &spec.sources);
            sources.into_iter().any(|source| source.from == SourceRef::DefaultCas)
        };
        let concerned = self.bundles.values().filter(reads);
        self.notices.extend(concerned.map(|bundle| Notice::package_unusable(bundle, error)));
    }

    fn metrics_of(&mut self, name: &BundleName, conclusion: &Conclusion, now: Now) {
        let content = self.bundles.get(name).and_then(|bundle| bundle.content.as_ref());
        let dropped = content.into_iter().flat_map(|content| content.certificates.dropped());
        let without = dropped.filter(|d| matches!(d.why, Why::NoCertificate(_))).count();
        self.metrics.sources_without_certificates(name.as_str(), without);
        let done = conclusion.synced && conclusion.pending == 0;
        self.metrics.targets(name.as_str(), conclusion.targets, done);
        if let Some(certificates) = conclusion.certificates {
            self.metrics.certificates(
                name.as_str(),
                certificates.total,
                certificates.filtered,
                certificates.skipped,
                certificates.earliest_not_after.map(trustd_core::time::Timestamp::unix),
            );
        }
        if done && let Some(bundle) = self.bundles.get_mut(name) {
            let since = bundle.since.take().filter(|_| bundle.wrote);
            let latency = since.map(|since| now.instant.since(since));
            self.metrics.synced(name.as_str(), now.date.unix(), latency);
        }
    }
}

/// Concludes the status of a Bundle; `None` before its content is known.
fn conclude(bundle: &Bundle, settings: &trustd_core::world::Settings) -> Option<Conclusion> {
    let spec = match &bundle.spec {
        Ok(spec) => spec,
        Err(invalid) => return Some(invalid_conclusion(bundle, &invalid.to_string())),
    };
    let content = Arc::clone(bundle.content.as_ref()?);
    let prepared = Prepared::of(spec, settings, content);
    let desired = bundle.targets.values().filter(|target| target.wanted).count();
    let standings = bundle.targets.iter().filter_map(|((kind, namespace), target)| {
        Some((*kind, namespace, target.standing.as_ref()?))
    });
    let everything = Selector::default();
    let selector = spec.target.as_ref().map_or(&everything, |target| &target.namespaces);
    let limited = !settings.target_namespaces.is_empty();
    Some(conclude_standings(&StatusInputs::of(&prepared, desired), standings, selector, limited))
}

/// Returns the conclusion for a Bundle that cannot be planned: its targets stay as they are.
fn invalid_conclusion(bundle: &Bundle, message: &str) -> Conclusion {
    let before = bundle.status.targets.unwrap_or_default();
    let count = |count: i64| usize::try_from(count).unwrap_or_default();
    Conclusion {
        synced: false,
        reason: Reason::InvalidSpec,
        message: format!("{message}; targets stay as they are until it is mended"),
        targets: TargetCounts { desired: count(before.desired), ..TargetCounts::default() },
        pending: 0,
        certificates: None,
        default_cas: None,
    }
}

/// The notice that a conclusion is worth: the condition turns, or all is well again after writes.
fn turn(bundle: &Bundle, conclusion: &Conclusion) -> Option<Notice> {
    if conclusion.synced && conclusion.pending > 0 {
        return None;
    }
    let condition = bundle.status.conditions.iter().find(|c| c.type_ == labels::SYNCED);
    let before = condition.map(|c| (c.status == "True", c.reason.clone()));
    let said = bundle.said.clone().or(before);
    let turned = said != Some((conclusion.synced, conclusion.reason.as_str().to_owned()));
    let again = conclusion.synced && bundle.wrote;
    (turned || again).then(|| Notice::of_conclusion(bundle, conclusion))
}

/// The log line about another client that overwrites statuses again and again.
const OVERWRITTEN: &str =
    "another client overwrites the status of a Bundle; it is mended later each time";
/// A status in full is tried again after this time: the CRD may have been mended.
const OUTDATED_FOR: Duration = Duration::from_secs(5 * 60);
