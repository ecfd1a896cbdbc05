//! A preview of a run, for people and for programs: shared by `render` and `diff`.

use serde::Serialize;
use trustd_api::v1alpha1::{Certificates, Targets};
use trustd_core::outcome::{Conclusion, Outcome, conclude};
use trustd_core::plan::{Ownership, Plan, Step, Write, plan};
use trustd_core::selector::Selector;
use trustd_core::spec::Spec;
use trustd_core::time::Timestamp;

use super::offline::Loaded;
use super::show::count;
use crate::exit::{self, Exit};

/// A Bundle, what would be done for it, and what its status would say.
pub(super) struct Preview<'l> {
    pub(super) spec: &'l Spec,
    pub(super) plan: Plan,
    pub(super) conclusion: Conclusion,
    /// Warnings about the Bundle from reading the inputs.
    input_warnings: Vec<String>,
    /// Properties of the manifest that may surprise.
    surprises: &'l [String],
}

/// Plans every valid Bundle, by name.
pub(super) fn of(loaded: &Loaded, now: Timestamp) -> Vec<Preview<'_>> {
    let everything = Selector::default();
    let limited = !loaded.world.settings.target_namespaces.is_empty();
    loaded
        .specs
        .values()
        .map(|spec| {
            let plan = plan(spec, &loaded.world, now);
            let selector = spec.target.as_ref().map_or(&everything, |target| &target.namespaces);
            let conclusion = conclude(&plan, &Outcome::default(), selector, limited);
            let input_warnings = loaded.warnings.of_bundle(spec.name.as_str());
            let surprises = loaded.surprises.get(&spec.name).map_or(&[][..], Vec::as_slice);
            Preview { spec, plan, conclusion, input_warnings, surprises }
        })
        .collect()
}

impl Preview<'_> {
    /// Returns what is no fault and may surprise.
    pub(super) fn notes(&self) -> Vec<String> {
        let notes = self.plan.content.notes.iter().map(ToString::to_string);
        let notes = self.surprises.iter().cloned().chain(notes);
        notes.map(|note| format!("Bundle {}: {note}", self.spec.name)).collect()
    }

    /// Returns what is wrong, and what was left out.
    pub(super) fn warnings(&self) -> Vec<String> {
        let name = &self.spec.name;
        let mut warnings = self.input_warnings.clone();
        if !self.conclusion.synced {
            let (reason, message) = (self.conclusion.reason.as_str(), &self.conclusion.message);
            warnings.push(format!("Bundle {name}: {reason}: {message}"));
        }
        let dropped = self.plan.content.certificates.dropped().iter();
        let told = dropped.filter(|dropped| dropped.why.is_filter() || dropped.why.is_skip());
        warnings.extend(told.map(|dropped| format!("Bundle {name}: {dropped}")));
        warnings
    }

    /// `2 certificates, earliest expiry 2030-01-01T00:00:00Z`.
    pub(super) fn certificates(&self) -> String {
        let bundle = &self.plan.content.certificates;
        let certificates = count(bundle.members().len(), "certificate");
        match bundle.earliest_not_after() {
            Some(time) => format!("{certificates}, earliest expiry {time}"),
            None => certificates,
        }
    }
}

/// Tells on stderr what is wrong, left out or odd, and how the verb ends for it: 2 when the API
/// server would not take a Bundle, 1 when trustd would not sync one or, if `strict`, when there is
/// any warning, else 0.
pub(super) fn tell(loaded: &Loaded, previews: &[Preview<'_>], strict: bool) -> Exit {
    let mut exit = Exit::Fine;
    for note in &loaded.notes {
        exit::note(note);
    }
    let mut warnings = loaded.warnings.of_objects().to_vec();
    for (place, invalid) in &loaded.invalid {
        exit = exit.and(Exit::Failed);
        let name = &invalid.name;
        warnings.extend(loaded.warnings.of_bundle(name));
        let errors: Vec<String> = invalid.errors.iter().map(ToString::to_string).collect();
        exit::error(&format!("{place}: Bundle {name} is invalid"), &errors);
    }
    for preview in previews {
        if !preview.conclusion.synced {
            exit = exit.and(Exit::Negative);
        }
        warnings.extend(preview.warnings());
    }
    for warning in &warnings {
        exit::warn(warning);
    }
    for note in previews.iter().flat_map(Preview::notes) {
        exit::note(&note);
    }
    if strict && !warnings.is_empty() {
        exit = exit.and(Exit::Negative);
    }
    exit
}

/// The name of a step's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    Create,
    Delete,
    Keep,
    Refuse,
    Release,
    Share,
    Update,
}

impl Action {
    pub(super) const fn of(step: &Step) -> Self {
        match &step.write {
            Write::Create(_) => Self::Create,
            Write::Delete(_) => Self::Delete,
            Write::Keep => Self::Keep,
            Write::Refuse(_) => Self::Refuse,
            Write::Release { .. } => Self::Release,
            Write::Update { ownership: Ownership::Ours, .. } => Self::Update,
            Write::Update { ownership: Ownership::Shared, .. } => Self::Share,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Keep => "keep",
            Self::Refuse => "refuse",
            Self::Release => "release",
            Self::Share => "share",
            Self::Update => "update",
        }
    }
}

/// A Bundle in `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BundleJson {
    name: String,
    synced: bool,
    reason: &'static str,
    message: String,
    targets: Targets,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificates: Option<Certificates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_ca_version: Option<String>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

impl BundleJson {
    pub(super) fn of(preview: &Preview<'_>) -> Self {
        let Conclusion { synced, reason, message, targets, certificates, default_cas, pending: _ } =
            &preview.conclusion;
        Self {
            name: preview.spec.name.to_string(),
            synced: *synced,
            reason: reason.as_str(),
            message: message.clone(),
            targets: (*targets).into(),
            certificates: certificates.map(Into::into),
            default_ca_version: default_cas.as_ref().map(ToString::to_string),
            warnings: preview.warnings(),
            notes: preview.notes(),
        }
    }
}

/// A target in `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetJson {
    action: Action,
    kind: String,
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl TargetJson {
    pub(super) fn of(preview: &Preview<'_>, step: &Step, why: Option<String>) -> Self {
        Self {
            action: Action::of(step),
            kind: step.kind.to_string(),
            namespace: step.namespace.to_string(),
            name: preview.spec.name.to_string(),
            why,
        }
    }
}
