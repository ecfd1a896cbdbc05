//! What must be planned again when something changes: no more than what the change can touch.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{BundleName, Kind, Namespace, ObjectName};
use crate::selector::Labels;
use crate::spec::{Pick, SourceRef, Spec};
use crate::world::NamespaceState;

/// Something that changed. "Before" and "after" are nothing where the object was not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A Bundle was made or edited (not its status).
    Bundle(BundleName),
    /// Another default CA package was loaded.
    DefaultCas,
    /// A namespace came, went, or was edited.
    Namespace {
        /// Its name.
        name: Namespace,
        /// What it was.
        before: Option<NamespaceState>,
        /// What it is.
        after: Option<NamespaceState>,
    },
    /// An object of the trust namespace came, went, or was edited.
    Source {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: ObjectName,
        /// The labels it had.
        before: Option<Labels>,
        /// The labels it has.
        after: Option<Labels>,
    },
    /// A target came, went, or was edited.
    Target {
        /// The Bundle of its name.
        bundle: BundleName,
        /// Its kind.
        kind: Kind,
        /// Its namespace.
        namespace: Namespace,
    },
}

/// How much of a Bundle must be planned again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Its content, and every target.
    Everything,
    /// These targets; the content is as it was.
    Targets(BTreeSet<(Kind, Namespace)>),
}

/// What must be planned again for each Bundle that `change` can touch.
#[must_use]
pub fn dependents<'s>(
    change: &Change,
    specs: impl IntoIterator<Item = &'s Spec>,
) -> BTreeMap<BundleName, Work> {
    specs.into_iter().filter_map(|spec| Some((spec.name.clone(), work(change, spec)?))).collect()
}

/// Whether a Bundle reads an object of the trust namespace that has these labels.
#[must_use]
pub fn reads(spec: &Spec, kind: Kind, name: &ObjectName, labels: &Labels) -> bool {
    picks(spec, kind, name, &[labels])
}

/// Whether a Bundle reads an object that has, or had, one of these sets of labels.
fn picks(spec: &Spec, kind: Kind, name: &ObjectName, labels: &[&Labels]) -> bool {
    spec.sources.iter().any(|source| match &source.from {
        SourceRef::Objects { kind: k, pick, .. } if *k == kind => match pick {
            Pick::Named(named) => named == name,
            Pick::Selected(selector) => labels.iter().any(|labels| selector.matches(labels)),
        },
        _ => false,
    })
}

fn work(change: &Change, spec: &Spec) -> Option<Work> {
    match change {
        Change::Bundle(name) => (*name == spec.name).then_some(Work::Everything),
        Change::DefaultCas => {
            let uses = spec.sources.iter().any(|source| source.from == SourceRef::DefaultCas);
            uses.then_some(Work::Everything)
        }
        Change::Namespace { name, before, after } => {
            let selected = |state: &Option<NamespaceState>| {
                let target = spec.target.as_ref()?;
                let state = state.as_ref()?;
                Some(!state.terminating && target.namespaces.matches(&state.labels))
            };
            // Annotations and the like change nothing; only coming, going and relabelling do.
            let moved = selected(before).unwrap_or(false) != selected(after).unwrap_or(false);
            let targets = Kind::ALL.map(|kind| (kind, name.clone()));
            moved.then(|| Work::Targets(targets.into()))
        }
        Change::Source { kind, name, before, after } => {
            let labels: Vec<&Labels> = [before, after].into_iter().flatten().collect();
            picks(spec, *kind, name, &labels).then_some(Work::Everything)
        }
        Change::Target { bundle, kind, namespace } => (*bundle == spec.name)
            .then(|| Work::Targets(BTreeSet::from([(*kind, namespace.clone())]))),
    }
}
