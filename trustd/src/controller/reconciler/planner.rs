//! Planning: content once per change, targets one by one, and the choice of the next write.

use std::collections::BTreeSet;
use std::sync::Arc;

use trustd_core::format::Rendered;
use trustd_core::names::{BundleName, Kind, Namespace};
use trustd_core::outcome::Standing;
use trustd_core::plan::{BundleContent, Prepared, Seen, Write, orphaned};
use trustd_core::world::Observed;

use super::bundle::{Bundle, Knowledge, TargetState};
use super::notice::Notice;
use super::{Now, Reconciler, Stale};
use crate::controller::backoff;
use crate::controller::queue::TargetRef;
use crate::controller::write::{Body, Job, TargetMetadata};

/// The next thing to do for a target.
#[derive(Debug)]
pub(in crate::controller) enum Task {
    /// Look what is there.
    Look(TargetRef),
    /// Look what is there, with its values.
    Read(TargetRef),
    /// Write.
    Write(Box<Job>),
}

impl Task {
    /// The target.
    pub(in crate::controller) const fn unit(&self) -> &TargetRef {
        match self {
            Self::Look(unit) | Self::Read(unit) => unit,
            Self::Write(job) => &job.unit,
        }
    }
}

/// The planner's assessment of one target.
#[derive(Debug)]
pub(super) struct Assessment {
    pub(super) wanted: bool,
    pub(super) judged: bool,
    /// The target is ours, and others keep data in it.
    adopted: bool,
    pub(super) write: Option<Write>,
}

impl Assessment {
    /// Returns true if the target is as it should be, as far as can be seen.
    pub(super) fn is_as_wanted(&self) -> bool {
        self.wanted && self.judged && self.write == Some(Write::Keep)
    }

    /// Returns true if the target is not as it should be, so that another client undid it if it
    /// was.
    pub(super) const fn is_undone(&self) -> bool {
        let amiss =
            matches!(self.write, Some(Write::Create(_) | Write::Update { .. } | Write::Refuse(_)));
        self.wanted && self.judged && amiss
    }
}

impl Reconciler {
    /// Plans whatever changed.
    pub(in crate::controller) fn settle(&mut self, now: Now) {
        if !self.working {
            return;
        }
        self.find_rings();
        self.expire(now);
        while let Some((name, why)) = self.stale.pop_first() {
            self.refresh(&name, why, now);
        }
        while let Some(unit) = self.due.pop_first() {
            self.metrics.planned(1);
            self.plan(&unit, now);
        }
        self.metrics.queue(self.queue.depth(), self.queue.in_flight());
    }

    /// Bundles in which a certificate expired meanwhile are stale.
    fn expire(&mut self, now: Now) {
        for (name, bundle) in &self.bundles {
            let again_at = bundle.content.as_ref().and_then(|content| content.again_at);
            if again_at.is_some_and(|at| at <= now.date) {
                self.stale.entry(name.clone()).or_insert(Stale::Content);
            }
        }
    }

    /// Computes the content of a Bundle again, and plans all its targets if that changed anything.
    fn refresh(&mut self, name: &BundleName, why: Stale, now: Now) {
        let spec = self.bundles.get(name).and_then(|bundle| bundle.spec.as_ref().ok());
        if spec.is_some_and(|spec| self.awaits(spec)) {
            let awaited = self.awaiting.entry(name.clone()).or_insert(why);
            *awaited = why.max(*awaited);
            return;
        }
        let Some(bundle) = self.bundles.get_mut(name) else { return };
        bundle.touched = true;
        let Ok(spec) = &bundle.spec else {
            // What a Bundle asks for that cannot be read is not known: its targets stay as they
            // are.
            for (kind, namespace) in std::mem::take(&mut bundle.targets).into_keys() {
                self.queue.forget(&TargetRef { bundle: name.clone(), kind, namespace });
            }
            bundle.content = None;
            return;
        };
        let content = Arc::new(BundleContent::new(spec, &self.world, now.date));
        let before = bundle.content.replace(Arc::clone(&content));
        let changed = before.as_ref() != Some(&content);
        if changed {
            tell_notes(name, before.as_deref(), &content);
            self.notices.extend(Notice::of_change(bundle, before.as_deref(), &content));
            let same = |kind: &Kind, rendered: &Arc<Rendered>| {
                before.as_ref().and_then(|before| before.rendered.get(kind)) == Some(rendered)
            };
            bundle.bodies.retain(|kind, _| {
                content.rendered.get(kind).is_some_and(|rendered| same(kind, rendered))
            });
            for (kind, rendered) in &content.rendered {
                // Maps of text always become JSON; without a body nothing is written.
                if let Ok(body) = Body::new(rendered)
                    && !bundle.bodies.contains_key(kind)
                {
                    bundle.bodies.insert(*kind, Arc::new(body));
                }
            }
        }
        if why == Stale::Spec && bundle.spec.is_ok() {
            self.notices.extend(Notice::empty_selectors(bundle));
        }
        if changed || why == Stale::Spec {
            bundle.since.get_or_insert(now.instant);
            // Against what was last known: a source that is broken for a while changes nothing.
            let told = bundle.told.as_ref().or(before.as_ref());
            let others = |kind: &Kind| {
                let after = content.rendered.get(kind);
                after.is_some() && told.and_then(|told| told.rendered.get(kind)) != after
            };
            // What changes now is our own doing, so it must not be counted as a turn of another
            // client.
            for ((kind, _), target) in &mut bundle.targets {
                target.probe.forget();
                if others(kind) {
                    target.contest.change_content();
                } else {
                    target.contest.let_go();
                }
            }
            self.plan_all(name, now);
        }
        if changed || self.bundles.get(name).is_some_and(|bundle| bundle.told.is_none()) {
            self.tell_roots(name);
        }
        self.resume_contests(name, now);
    }

    fn plan_all(&mut self, name: &BundleName, now: Now) {
        let mut places: BTreeSet<(Kind, Namespace)> = BTreeSet::new();
        let kinds: Vec<Kind> = self.kinds(name);
        for namespace in self.world.namespaces.keys() {
            places.extend(kinds.iter().map(|kind| (*kind, namespace.clone())));
        }
        places.extend(self.world.targets.get(name).into_iter().flat_map(|t| t.keys().cloned()));
        if let Some(bundle) = self.bundles.get_mut(name) {
            for (key, target) in &mut bundle.targets {
                // Another content is another chance.
                if matches!(target.source, Knowledge::Stale) {
                    target.source = Knowledge::Watched;
                }
                places.insert(key.clone());
            }
        }
        self.metrics.planned(u64::try_from(places.len()).unwrap_or(u64::MAX));
        for (kind, namespace) in places {
            self.plan(&TargetRef { bundle: name.clone(), kind, namespace }, now);
        }
    }

    /// The kinds of target that a Bundle asks for.
    fn kinds(&self, name: &BundleName) -> Vec<Kind> {
        let spec = self.bundles.get(name).and_then(|bundle| bundle.spec.as_ref().ok());
        let target = spec.and_then(|spec| spec.target.as_ref());
        let wants = |kind: &Kind| target.is_some_and(|target| target.template(*kind).is_some());
        Kind::ALL.into_iter().filter(wants).collect()
    }

    /// Plans one target: what is to be written is queued.
    pub(super) fn plan(&mut self, unit: &TargetRef, now: Now) {
        let assessment = self.judge(unit);
        if let Some(bundle) = self.bundles.get_mut(&unit.bundle) {
            bundle.touched = true;
        }
        self.follow(unit, &assessment, now);
        match assessment.write {
            None => {
                self.queue.forget(unit);
                if assessment.wanted {
                    self.target(unit).settle(true, None);
                } else {
                    self.drop_target(unit);
                }
            }
            Some(Write::Keep) => {
                self.queue.forget(unit);
                let target = self.target(unit);
                let synced = target.contested_or(Standing::Synced);
                let standing = if assessment.judged { synced } else { Standing::Held };
                target.settle(true, Some(standing));
                target.probe.forget();
                let (over_at, priority) = (target.contest.over_at(), target.priority());
                if let Some(over) = over_at.filter(|_| assessment.judged) {
                    // Looked at again then, to say that the fight is over.
                    self.queue.delay(unit, over, priority);
                }
                let target = self.target(unit);
                if assessment.adopted && !std::mem::replace(&mut target.adoption_logged, true) {
                    tracing::info!(
                        bundle = %unit.bundle, namespace = %unit.namespace, kind = %unit.kind,
                        reason = "Adopted",
                        "others keep data in this target; it becomes shared with the next write"
                    );
                }
            }
            Some(Write::Refuse(refusal)) => {
                self.queue.forget(unit);
                let target = self.target(unit);
                let met = target.source.unlabelled().map(Seen::of);
                target.settle(true, Some(Standing::Refused(refusal)));
                if met.is_some() {
                    self.probe_later(unit, met, now);
                }
            }
            Some(_) => self.enqueue(unit, assessment.wanted, now),
        }
        self.note_owner(unit);
    }

    fn enqueue(&mut self, unit: &TargetRef, wanted: bool, now: Now) {
        let target = self.target(unit);
        target.wanted = wanted;
        // What failed stays failed in the status until it has been written.
        let failing = matches!(target.standing, Some(Standing::Failed { .. }));
        if !(failing && target.failures > 0) {
            target.standing = wanted.then(|| target.contested_or(Standing::Pending));
        }
        target.probe.hurry();
        let (priority, free_at) = (target.priority(), target.free_at(now.instant));
        match free_at {
            Some(until) => self.queue.delay(unit, until, priority),
            None => self.queue.push(unit, priority),
        }
    }

    /// Schedules a look at a refused target: no watch reports when its owner gives way.
    pub(super) fn probe_later(&mut self, unit: &TargetRef, refused: Option<Seen>, now: Now) {
        let mut probe = std::mem::take(&mut self.target(unit).probe);
        let pause = probe.refuse(refused, &mut self.jitter);
        let target = self.target(unit);
        target.probe = probe;
        let priority = target.priority();
        self.queue.delay(unit, now.instant.after(pause), priority);
    }

    /// A target that is refused for its size is tried again some time later.
    pub(super) fn try_size_later(&mut self, unit: &TargetRef, now: Now) {
        let pause = self.jitter.upper_half_of(backoff::LONGEST);
        let priority = self.target(unit).priority();
        self.queue.delay(unit, now.instant.after(pause), priority);
    }

    /// The next thing to do, if a slot is free.
    pub(in crate::controller) fn next_task(&mut self, now: Now) -> Option<Task> {
        loop {
            if !self.working {
                return None;
            }
            let unit = self.queue.pop(now.instant)?;
            if self.is_recalled(&unit) {
                return Some(Task::Read(unit));
            }
            if self.target(&unit).probe.is_due() {
                let mut probe = std::mem::take(&mut self.target(&unit).probe);
                let wait = probe.call(&mut self.probes, now.instant);
                let target = self.target(&unit);
                target.probe = probe;
                let priority = target.priority();
                let Some(at) = wait else { return Some(Task::Look(unit)) };
                self.queue.finish(&unit);
                self.queue.delay(&unit, at, priority);
                continue;
            }
            let source = &mut self.target(&unit).source;
            if matches!(source, Knowledge::Stale) {
                *source = Knowledge::Watched;
                return Some(Task::Look(unit));
            }
            match self.job(&unit) {
                Some(job) => {
                    let target = self.target(&unit);
                    target.deleted_in_flight = false;
                    let repair = target.contest.is_undone();
                    if let Some(bundle) = self.bundles.get_mut(&unit.bundle) {
                        // The repair of what others undo is not told, or each turn would be.
                        bundle.wrote |= !repair;
                    }
                    return Some(Task::Write(Box::new(job)));
                }
                None => {
                    self.queue.finish(&unit);
                    self.plan(&unit, now);
                }
            }
        }
    }

    /// The write that a target needs now.
    fn job(&mut self, unit: &TargetRef) -> Option<Job> {
        let write = self.judge(unit).write?;
        let rendered = match &write {
            Write::Create(rendered) | Write::Update { rendered, .. } => Some(rendered),
            Write::Delete(_) | Write::Release { .. } => None,
            Write::Keep | Write::Refuse(_) => return None,
        };
        let bundle = self.bundles.get(&unit.bundle);
        let spec = bundle.and_then(|bundle| bundle.spec.as_ref().ok());
        let metadata =
            rendered.zip(spec).map(|(rendered, spec)| TargetMetadata::new(spec, unit, rendered));
        let body = rendered.and(bundle).and_then(|b| b.bodies.get(&unit.kind).cloned());
        let seen = match &write {
            Write::Update { seen, .. } => Some(seen.clone()),
            _ => None,
        };
        // An object without our label is assessed once; the next GET shows it again.
        let target = self.target(unit);
        (target.source, target.tried) = (Knowledge::Watched, seen);
        Some(Job { unit: unit.clone(), write, metadata, body })
    }

    /// Asks the planner.
    pub(super) fn judge(&self, unit: &TargetRef) -> Assessment {
        let key = (unit.kind, unit.namespace.clone());
        let observed = self.world.targets.get(&unit.bundle).and_then(|t| t.get(&key));
        let bundle = self.bundles.get(&unit.bundle);
        let met = || bundle?.targets.get(&key)?.source.unlabelled();
        self.judge_as(unit, observed.or_else(met))
    }

    /// Asks the planner about a target that looks like this.
    pub(super) fn judge_as(&self, unit: &TargetRef, observed: Option<&Observed>) -> Assessment {
        let leave = Assessment { wanted: false, judged: false, adopted: false, write: None };
        let Some(bundle) = self.bundles.get(&unit.bundle) else {
            return Assessment {
                write: observed.and_then(|observed| orphaned(&unit.bundle, observed)),
                ..leave
            };
        };
        let (Ok(spec), Some(content)) = (&bundle.spec, &bundle.content) else { return leave };
        let Some(state) = self.world.namespaces.get(&unit.namespace) else { return leave };
        let prepared = Prepared::of(spec, &self.world.settings, Arc::clone(content));
        Assessment {
            wanted: prepared.wants(unit.kind, &unit.namespace, state),
            judged: prepared.is_judged(unit.kind),
            adopted: observed.is_some_and(|observed| prepared.is_adopted(unit.kind, observed)),
            write: prepared.decide(unit.kind, &unit.namespace, state, observed),
        }
    }

    /// Returns the state of a target, which is created if there is none.
    pub(super) fn target(&mut self, unit: &TargetRef) -> &mut TargetState {
        match self.bundles.get_mut(&unit.bundle) {
            Some(Bundle { targets, .. }) => {
                targets.entry((unit.kind, unit.namespace.clone())).or_default()
            }
            None => self.orphans.entry(unit.clone()).or_default(),
        }
    }

    fn drop_target(&mut self, unit: &TargetRef) {
        self.orphans.remove(unit);
        if let Some(bundle) = self.bundles.get_mut(&unit.bundle) {
            bundle.targets.remove(&(unit.kind, unit.namespace.clone()));
        }
    }
}

/// Logs what the author of a Bundle may want to know, and what was not known before.
fn tell_notes(bundle: &BundleName, before: Option<&BundleContent>, after: &BundleContent) {
    // Notes are sorted; there may be one for each of a hundred thousand keys.
    let told = |note| before.is_some_and(|before| before.notes.binary_search(note).is_ok());
    for note in after.notes.iter().filter(|note| !told(note)) {
        tracing::info!(%bundle, %note, "noticed");
    }
}
