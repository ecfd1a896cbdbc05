//! The Bundles and targets to plan again after a change: no more than the change can affect.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{BundleName, Kind, Namespace, ObjectName};
use crate::selector::Labels;
use crate::spec::{Pick, SourceRef, Spec};
use crate::world::NamespaceState;

/// A change in the cluster. `before` and `after` are `None` if the object did not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A Bundle was created or edited (not its status).
    Bundle(BundleName),
    /// A new default CA package was loaded.
    DefaultCas,
    /// A namespace was created, edited or deleted.
    Namespace { name: Namespace, before: Option<NamespaceState>, after: Option<NamespaceState> },
    /// An object of the trust namespace was created, edited or deleted.
    Source {
        kind: Kind,
        name: ObjectName,
        /// The labels before the change.
        before: Option<Labels>,
        /// The labels after the change.
        after: Option<Labels>,
    },
    /// A target was created, edited or deleted.
    Target {
        /// The Bundle with the target's name.
        bundle: BundleName,
        kind: Kind,
        namespace: Namespace,
    },
}

/// The part of a Bundle that must be planned again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// The content, and every target.
    Everything,
    /// These targets; the content is as it was.
    Targets(BTreeSet<(Kind, Namespace)>),
}

/// Returns the work for each Bundle that `change` can affect.
#[must_use]
pub fn dependents<'s>(
    change: &Change,
    specs: impl IntoIterator<Item = &'s Spec>,
) -> BTreeMap<BundleName, Work> {
    specs.into_iter().filter_map(|spec| Some((spec.name.clone(), work(change, spec)?))).collect()
}

/// Returns true if a Bundle reads an object of the trust namespace that has these labels.
#[must_use]
pub fn reads(spec: &Spec, kind: Kind, name: &ObjectName, labels: &Labels) -> bool {
    picks(spec, kind, name, &[labels])
}

/// Returns true if a Bundle reads an object that has, or had, one of these sets of labels.
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
            // Only creation, deletion and label changes matter: every controller that annotates
            // namespaces would otherwise plan every Bundle again.
            let moved = selected(before).unwrap_or(false) != selected(after).unwrap_or(false);
            let targets = Kind::ALL.map(|kind| (kind, name.clone()));
            moved.then(|| Work::Targets(targets.into()))
        }
        Change::Source { kind, name, before, after } => {
            // Labels from before and after: an object that no longer matches a selector was a
            // source until now, and its certificates must leave the bundle.
            let labels: Vec<&Labels> = [before, after].into_iter().flatten().collect();
            picks(spec, *kind, name, &labels).then_some(Work::Everything)
        }
        Change::Target { bundle, kind, namespace } => (*bundle == spec.name)
            .then(|| Work::Targets(BTreeSet::from([(*kind, namespace.clone())]))),
    }
}
