//! Notices: what becomes an event on a Bundle. Never one per namespace, and never what a source
//! holds.

use std::collections::{BTreeMap, BTreeSet};

use trustd_api::validate;
use trustd_core::bundle::{Dropped, Member, Why};
use trustd_core::certificate::{Certificate, Sha256};
use trustd_core::outcome::Conclusion;
use trustd_core::plan::BundleContent;

use super::bundle::Bundle;

/// Something worth an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) struct Notice {
    /// The Bundle.
    pub(in crate::controller) bundle: String,
    /// The UID of the Bundle.
    pub(in crate::controller) uid: String,
    pub(in crate::controller) severity: Severity,
    /// The reason, in one word.
    pub(in crate::controller) reason: &'static str,
    /// The action of trustd at that time.
    pub(in crate::controller) action: &'static str,
    /// The text, a sentence.
    pub(in crate::controller) note: String,
}

/// The severity of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Severity {
    /// All is well.
    Normal,
    /// Somebody should look.
    Warning,
}

impl Notice {
    fn new(bundle: &Bundle, severity: Severity, reason: &'static str, note: String) -> Self {
        let name = bundle.raw.pointer("/metadata/name").and_then(serde_json::Value::as_str);
        let action = if severity == Severity::Normal { SYNCED } else { SYNC_FAILED };
        Self {
            bundle: name.unwrap_or_default().to_owned(),
            uid: bundle.uid.clone(),
            severity,
            reason,
            action,
            note,
        }
    }

    /// The condition turned, or came again after writes.
    pub(super) fn of_conclusion(bundle: &Bundle, conclusion: &Conclusion) -> Self {
        let severity = if conclusion.synced { Severity::Normal } else { Severity::Warning };
        Self::new(bundle, severity, conclusion.reason.as_str(), conclusion.message.clone())
    }

    /// The default CA package changed and cannot be used.
    pub(super) fn package_unusable(bundle: &Bundle, error: &str) -> Self {
        let note =
            format!("the default CA package cannot be used, so the last good one stays: {error}");
        Self::new(bundle, Severity::Warning, "DefaultPackageUnusable", note)
    }

    /// A selector that selects everything, which is not always what was meant.
    pub(super) fn empty_selectors(bundle: &Bundle) -> Vec<Self> {
        let notice = |note| Self::new(bundle, Severity::Normal, "SelectsEverything", note);
        validate::empty_selectors(&bundle.raw).into_iter().map(notice).collect()
    }

    /// The CRD in the cluster lacks fields.
    pub(super) fn schema_outdated(bundle: &Bundle) -> Self {
        let note =
            "The CRD in the cluster lacks status fields of this version of trustd: apply the \
                    one that `trustd crd` prints"
                .to_owned();
        Self::new(bundle, Severity::Warning, "SchemaOutdated", note)
    }

    /// Roots that came and went between what targets held and what they should hold.
    pub(super) fn of_roots(bundle: &Bundle, before: &[Member], after: &[Member]) -> Vec<Self> {
        let mut notices = Vec::new();
        let (old, new) = (by_digest(before), by_digest(after));
        let came = new.iter().filter(|(sha256, _)| !old.contains_key(*sha256));
        let went = old.iter().filter(|(sha256, _)| !new.contains_key(*sha256));
        roots(&mut notices, bundle, "RootAdded", &came.map(|(_, m)| *m).collect::<Vec<_>>());
        roots(&mut notices, bundle, "RootRemoved", &went.map(|(_, m)| *m).collect::<Vec<_>>());
        notices
    }

    /// Returns notices about what the new content leaves out and the old one did not.
    pub(super) fn of_change(
        bundle: &Bundle,
        before: Option<&BundleContent>,
        after: &BundleContent,
    ) -> Vec<Self> {
        let mut notices = Vec::new();
        fn left_out(content: &BundleContent) -> impl Iterator<Item = &Dropped> {
            let dropped = content.certificates.dropped().iter();
            dropped.filter(|d| d.why.is_filter() || d.why.is_skip())
        }
        let old: BTreeSet<&Dropped> = before.into_iter().flat_map(left_out).collect();
        let fresh: Vec<&Dropped> = left_out(after).filter(|d| !old.contains(d)).collect();
        for dropped in fresh.iter().take(NAMED_MAX) {
            let reason = match dropped.why {
                Why::NoCertificate(_) => "SourceHasNoCertificate",
                _ => "CertificateLeftOut",
            };
            notices.push(Self::new(bundle, Severity::Warning, reason, dropped.to_string()));
        }
        if fresh.len() > NAMED_MAX {
            let note = format!("{} more certificates or blocks left out", fresh.len() - NAMED_MAX);
            notices.push(Self::new(bundle, Severity::Warning, "CertificateLeftOut", note));
        }
        notices
    }
}

fn by_digest(members: &[Member]) -> BTreeMap<Sha256, &Member> {
    members.iter().map(|member| (member.certificate.sha256(), member)).collect()
}

fn roots(notices: &mut Vec<Notice>, bundle: &Bundle, reason: &'static str, members: &[&Member]) {
    for member in members.iter().take(NAMED_MAX) {
        let note = format!("{} from {}", named(&member.certificate), member.origin);
        notices.push(Notice::new(bundle, Severity::Normal, reason, note));
    }
    if members.len() > NAMED_MAX {
        let note = format!("{} more certificates", members.len() - NAMED_MAX);
        notices.push(Notice::new(bundle, Severity::Normal, reason, note));
    }
}

/// Digest and subject. A subject is public: every relying party sees it.
fn named(certificate: &Certificate) -> String {
    format!("SHA-256 {}, subject {}", certificate.sha256(), certificate.facts().subject)
}

/// trust-manager's words for what it was doing.
const SYNCED: &str = "Synced";
const SYNC_FAILED: &str = "SyncFailed";
/// The number of roots of one change that are named; a new default CA package changes dozens.
const NAMED_MAX: usize = 10;
