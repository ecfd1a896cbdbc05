//! Cycles of Bundles that read each other's targets, in which a CA that was removed at its origin
//! would circulate for ever.

use std::collections::{BTreeMap, VecDeque};

use super::gather::{reads, writes};
use crate::names::{BUNDLE_LABEL, BundleName, Kind, ObjectName};
use crate::selector::Labels;
use crate::spec::Spec;
use crate::world::World;

/// Returns, for each Bundle that reads its own output through others, the cycle, beginning with it.
///
/// A Bundle that reads its own target is no cycle, because its own keys are no source of it.
#[must_use]
pub fn rings(specs: &[&Spec], world: &World) -> BTreeMap<BundleName, Vec<BundleName>> {
    // `edges[a]` holds the indices of the Bundles that `a` reads.
    let edges: Vec<Vec<usize>> = specs
        .iter()
        .map(|reader| {
            let feeds = |(_, writer): &(usize, &&Spec)| {
                reader.name != writer.name && feeds(writer, reader, world)
            };
            specs.iter().enumerate().filter(feeds).map(|(at, _)| at).collect()
        })
        .collect();
    specs
        .iter()
        .enumerate()
        .filter_map(|(start, spec)| {
            let ring = shortest_way_back(start, &edges)?;
            let names = ring.into_iter().filter_map(|at| Some(specs.get(at)?.name.clone()));
            Some((spec.name.clone(), names.collect()))
        })
        .collect()
}

/// Returns true if `writer` has a target in the trust namespace that `reader` reads.
fn feeds(writer: &Spec, reader: &Spec, world: &World) -> bool {
    let trust = &world.settings.trust_namespace;
    let allowed = &world.settings.target_namespaces;
    let (Some(target), Some(state)) = (&writer.target, world.namespaces.get(trust)) else {
        return false;
    };
    if !target.namespaces.matches(&state.labels) || !(allowed.is_empty() || allowed.contains(trust))
    {
        return false;
    }
    Kind::ALL.into_iter().any(|kind| {
        let Some(template) = target.template(kind) else { return false };
        let key = (kind, ObjectName::from(writer.name.as_str()));
        // The target may not exist yet. Its labels are then those of the template, so that a
        // cycle is found before the first write and not after it.
        let mut labels: Labels =
            world.sources.get(&key).map(|object| object.labels.clone()).unwrap_or_default();
        labels.extend(template.labels.clone());
        labels.insert(BUNDLE_LABEL.to_owned(), writer.name.to_string());
        reads(reader, kind, &writer.name, &labels, &|key| writes(target, kind, key))
    })
}

/// Returns the shortest cycle through `start`, by breadth-first search.
fn shortest_way_back(start: usize, edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for &next in edges.get(at).into_iter().flatten() {
            if next == start {
                let mut ring = vec![at];
                while let Some(&before) = ring.last().and_then(|last| came_from.get(last)) {
                    ring.push(before);
                }
                ring.reverse();
                return Some(ring);
            }
            if next != start && !came_from.contains_key(&next) {
                came_from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}
