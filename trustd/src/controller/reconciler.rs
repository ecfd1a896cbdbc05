//! The reconciler: a cache of the cluster, the work that a change makes due, and the next writes.
//!
//! A state machine without I/O: watch events and outcomes go in; tasks, statuses and notices come
//! out. It plans with the pure planner, and never writes, waits or reads a clock.

mod bundle;
mod cache;
mod contest;
mod fights;
mod notice;
mod outcomes;
mod planner;
mod probe;
mod root_changes;
mod status;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use trustd_core::names::{BundleName, Kind, ObjectName};
use trustd_core::time::Timestamp;
use trustd_core::world::{DefaultCas, Settings, World};

pub(super) use bundle::Bundle;
pub(super) use notice::{Notice, Severity};
pub(super) use planner::Task;
pub(super) use status::StatusJob;

use super::backoff::Jitter;
use super::clock::Instant;
use super::queue::{Queue, TargetRef};
use super::repeat::Repeats;
use crate::telemetry::Metrics;
use bundle::TargetState;

#[cfg(test)]
mod tests;

/// The state of the cluster as far as it is known, and the work that follows from it.
#[derive(Debug)]
pub(super) struct Reconciler {
    world: World,
    bundles: BTreeMap<BundleName, Bundle>,
    /// Targets whose Bundle is gone, as far as they gave trouble.
    orphans: HashMap<TargetRef, TargetState>,
    queue: Queue,
    /// Bundles whose content is to be computed again, and why.
    stale: BTreeMap<BundleName, Stale>,
    /// Sources whose data was dropped on arrival, for nobody read them then.
    withheld: BTreeSet<(Kind, ObjectName)>,
    /// Bundles that read one of those; they are computed again once it has been fetched.
    awaiting: BTreeMap<BundleName, Stale>,
    /// Targets to be looked at.
    due: BTreeSet<TargetRef>,
    rings_stale: bool,
    /// Plans are made and carried out: this process leads, and has read the cluster.
    working: bool,
    /// Writes in a row that did not reach the server.
    unreachable: u32,
    /// The rate at which refused targets are looked at.
    probes: probe::ProbeRate,
    /// The reason why the default CA package, as its file is now, cannot be used.
    package_fault: Option<String>,
    /// The time until which statuses are written in trust-manager's shape, because the CRD lacks
    /// our fields.
    outdated_until: Option<Instant>,
    jitter: Jitter,
    notices: Vec<Notice>,
    repeats: Repeats,
    metrics: Metrics,
}

/// The reason why a Bundle is planned again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    /// The contents of its sources may have changed.
    Content,
    /// The spec changed, or nothing was planned yet: its targets are planned in any case.
    Spec,
}

/// The time, by the clock that waits are measured with, and by the calendar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Since the start of the machine.
    pub(super) instant: Instant,
    /// Date and time.
    pub(super) date: Timestamp,
}

impl Reconciler {
    /// Returns a reconciler with an empty cache.
    pub(super) fn new(
        settings: Settings,
        slots: NonZeroUsize,
        jitter: Jitter,
        metrics: Metrics,
    ) -> Self {
        Self {
            world: World { settings, ..World::default() },
            bundles: BTreeMap::new(),
            orphans: HashMap::new(),
            queue: Queue::new(slots),
            stale: BTreeMap::new(),
            withheld: BTreeSet::new(),
            awaiting: BTreeMap::new(),
            due: BTreeSet::new(),
            rings_stale: true,
            working: false,
            unreachable: 0,
            probes: probe::ProbeRate::default(),
            package_fault: None,
            outdated_until: None,
            jitter,
            notices: Vec::new(),
            repeats: Repeats::default(),
            metrics,
        }
    }

    /// The same, which counts what fails again and again here.
    pub(super) fn counting(self, repeats: Repeats) -> Self {
        Self { repeats, ..self }
    }

    /// Begins to plan: this process leads, and everything in the cluster has been seen.
    pub(super) fn start_leading(&mut self) {
        self.working = true;
        self.rings_stale = true;
        for (name, bundle) in &mut self.bundles {
            bundle.forget_progress();
            self.stale.insert(name.clone(), Stale::Spec);
        }
        self.find_orphans();
        self.tell_package_fault();
    }

    /// Plans nothing more: another process leads.
    pub(super) fn stop_leading(&mut self) {
        self.working = false;
        self.queue.clear();
        self.due.clear();
        self.notices.clear();
        self.orphans.clear();
    }

    /// Another default CA package is there.
    pub(super) fn use_default_cas(&mut self, package: DefaultCas) {
        self.package_fault = None;
        self.world.settings.default_cas = Some(package);
        self.changed(&trustd_core::plan::Change::DefaultCas);
    }

    /// The default CA package changed and cannot be used for this reason: the last good one stays.
    pub(super) fn keep_default_cas(&mut self, error: String) {
        self.package_fault = Some(error);
        self.tell_package_fault();
    }

    /// Everything that is known, and every valid Bundle: for a plan that is only shown.
    pub(super) fn into_world(mut self) -> (World, Vec<Arc<serde_json::Value>>) {
        self.find_rings();
        let raw = self.bundles.values().map(|bundle| Arc::clone(&bundle.raw)).collect();
        (self.world, raw)
    }

    /// Returns the time at which there is work although nothing happens.
    pub(super) fn next(&self, date: Timestamp) -> Option<Wake> {
        let queue = self.queue.next();
        let status = self.bundles.values().filter_map(Bundle::status_due).min();
        let instant = queue.into_iter().chain(status).min();
        let again_at = |bundle: &Bundle| bundle.content.as_ref().and_then(|c| c.again_at);
        let expiry = self.bundles.values().filter_map(again_at).min();
        let expiry = expiry.map(|at| at.unix().saturating_sub(date.unix()).max(0).unsigned_abs());
        (instant.is_some() || expiry.is_some()).then_some(Wake { instant, seconds: expiry })
    }

    /// Takes the notices since the last call.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The queue, for looking at writes that hang.
    pub(super) const fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }
}

/// The time of the next work, by either clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wake {
    pub(super) instant: Option<Instant>,
    /// Seconds by the calendar until a certificate expires.
    pub(super) seconds: Option<u64>,
}
