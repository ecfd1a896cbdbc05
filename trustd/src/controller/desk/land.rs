//! What follows from the outcome of a write.

use std::time::Duration;

use trustd_core::format::DATA_BYTES_MAX;
use trustd_core::names::DataKey;
use trustd_core::outcome::{Category, Standing};
use trustd_core::plan::Refusal;
use trustd_core::world::Observed;

use super::{Desk, Now};
use crate::controller::backoff;
use crate::controller::queue::{Lane, Unit};
use crate::controller::write::{Consequence, Fault, Landed};

impl Desk {
    /// A task has ended.
    pub(in crate::controller) fn land(
        &mut self,
        unit: &Unit,
        outcome: Result<Landed, Fault>,
        now: Now,
    ) {
        let again = self.queue.land(unit);
        if !self.working {
            return;
        }
        match outcome {
            Ok(landed) => {
                self.unreachable = 0;
                self.queue.relax();
                self.landed(unit, landed, again, now);
            }
            Err(fault) => self.failed(unit, &fault, again, now),
        }
    }

    fn landed(&mut self, unit: &Unit, landed: Landed, again: bool, now: Now) {
        match landed {
            Landed::As(observed) => {
                tracing::debug!(
                    bundle = %unit.bundle, namespace = %unit.namespace, kind = %unit.kind,
                    "wrote a target"
                );
                self.learn(unit, Some(*observed), now);
                if again {
                    // What it should hold changed meanwhile: no fault of the write.
                    self.target(unit).failures = 0;
                    self.plan(unit, now);
                } else {
                    self.plan_after_write(unit, now);
                }
            }
            Landed::Gone => {
                self.learn(unit, None, now);
                self.plan(unit, now);
            }
            Landed::Met(observed) => {
                if observed.label.is_some() {
                    self.learn(unit, Some(*observed), now);
                } else {
                    self.learn(unit, None, now);
                    self.target(unit).met = Some(observed);
                }
                self.plan(unit, now);
            }
        }
    }

    /// Takes the answer to a request as a sighting that the watch will only repeat. An object
    /// without our label is not one that is kept in mind.
    fn learn(&mut self, unit: &Unit, observed: Option<Observed>, now: Now) {
        let observed = observed.filter(|observed| observed.label.is_some());
        self.see_target(unit, observed, now);
        self.due.remove(unit);
    }

    /// After a write a target is as it should be, or something in the cluster changes what we write:
    /// then it is written again, but later each time.
    fn plan_after_write(&mut self, unit: &Unit, now: Now) {
        let target = self.target(unit);
        target.failures = 0;
        let unsettled = target.unsettled + 1;
        self.plan(unit, now);
        let target = self.target(unit);
        let settled = !matches!(target.standing, Some(Standing::Pending | Standing::Failed { .. }));
        if settled {
            self.drop_empty(unit);
            return;
        }
        target.unsettled = unsettled;
        if unsettled > QUIET_TRIES {
            let wanted = target.wanted;
            target.standing = Some(Standing::Failed { why: CHANGED, wanted });
        }
        let pause = self.jitter.upper_half_of(backoff::after_failures(unsettled));
        self.queue.delay(unit, now.instant.after(pause), Lane::Slow);
    }

    /// A target that nobody wants and nothing is said of needs no note.
    fn drop_empty(&mut self, unit: &Unit) {
        let key = (unit.kind, unit.namespace.clone());
        if let Some(bundle) = self.bundles.get_mut(&unit.bundle)
            && bundle.targets.get(&key).is_some_and(|t| !t.wanted && t.standing.is_none())
        {
            bundle.targets.remove(&key);
        }
        if !self.bundles.contains_key(&unit.bundle) {
            self.strays.remove(unit);
        }
    }

    fn failed(&mut self, unit: &Unit, fault: &Fault, again: bool, now: Now) {
        let consequence = fault.consequence();
        self.notice_outage(fault, now);
        self.log(unit, fault, &consequence);
        if let Some(bundle) = self.bundles.get_mut(&unit.bundle) {
            bundle.touched = true;
        }
        let target = self.target(unit);
        let wanted = target.wanted;
        let failures = target.failures.saturating_add(1);
        target.failures = failures;
        let failed = |why| Some(Standing::Failed { why, wanted });
        let mut pause = backoff::after_failures(failures);
        let mut lane = Lane::Slow;
        match consequence {
            Consequence::NotLeader => {
                // Nothing was tried. Either the lease is lost, and then all work is laid down, or its
                // next renewal is late and makes room for writes again.
                target.failures = failures - 1;
                let lane = target.lane();
                self.queue.hold_until(now.instant.after(RENEWAL_PAUSE));
                self.queue.push(unit, lane);
                return;
            }
            Consequence::NamespaceGone => {
                // The watch will say so too, and when there is a new one of that name.
                if let Some(state) = self.world.namespaces.get_mut(&unit.namespace) {
                    state.terminating = true;
                }
                self.plan(unit, now);
                return;
            }
            Consequence::LookAgain => {
                target.look = true;
                if failures == 1 {
                    // Most often the watch lags behind by a moment.
                    (pause, lane) = (Duration::ZERO, Lane::Fast);
                } else if failures > QUIET_TRIES {
                    target.standing = failed(Category("conflict"));
                }
            }
            Consequence::Refused => {
                self.refuse(unit, now);
                return;
            }
            Consequence::TooLarge => {
                let refusal = Refusal::TooLarge { bytes: self.bytes(unit), max: DATA_BYTES_MAX };
                self.target(unit).settle(true, Some(Standing::Refused(refusal)));
                self.probe_later(unit, now);
                return;
            }
            Consequence::TryAgain(why) => target.standing = failed(why),
            Consequence::Wait(asked) => {
                if failures > QUIET_TRIES {
                    target.standing = failed(Category("throttled"));
                }
                self.queue.throttle(now.instant, now.instant.after(asked));
                // Nothing is wrong with the target itself.
                (pause, lane) = (asked, Lane::Fast);
            }
        }
        if !again {
            let pause = self.jitter.upper_half_of(pause);
            self.queue.delay(unit, now.instant.after(pause), lane);
        }
    }

    /// Where no write reaches the server, it is not the targets' fault: a pause for all.
    fn notice_outage(&mut self, fault: &Fault, now: Now) {
        if !matches!(fault, Fault::Transport(_)) {
            self.unreachable = 0;
            return;
        }
        self.unreachable = self.unreachable.saturating_add(1);
        if self.unreachable >= OUTAGE {
            self.queue.hold_until(now.instant.after(self.jitter.upper_half_of(OUTAGE_PAUSE)));
        }
        if self.unreachable == OUTAGE {
            let error = crate::exit::chain(fault);
            tracing::warn!(reason = "unreachable", error, "no write reaches the API server");
        }
    }

    /// The server found that another manager holds our key with another value.
    fn refuse(&mut self, unit: &Unit, now: Now) {
        let content = self.bundles.get(&unit.bundle).and_then(|bundle| bundle.content.as_ref());
        let rendered = content.and_then(|content| content.rendered.get(&unit.kind));
        let key = rendered.and_then(|rendered| rendered.data.keys().next());
        let key = key.cloned().unwrap_or_else(|| DataKey::from(""));
        self.target(unit).settle(true, Some(Standing::Refused(Refusal::Conflict(key))));
        self.probe_later(unit, now);
    }

    fn bytes(&self, unit: &Unit) -> usize {
        let content = self.bundles.get(&unit.bundle).and_then(|bundle| bundle.content.as_ref());
        content.and_then(|c| c.rendered.get(&unit.kind)).map_or(0, |rendered| rendered.data_bytes())
    }

    fn log(&self, unit: &Unit, fault: &Fault, consequence: &Consequence) {
        let (bundle, namespace, kind) = (&unit.bundle, &unit.namespace, unit.kind);
        let (reason, error) = (fault.category(), crate::exit::chain(fault));
        match consequence {
            Consequence::LookAgain | Consequence::NamespaceGone | Consequence::NotLeader => {
                tracing::debug!(%bundle, %namespace, %kind, reason, error, "did not write a target");
            }
            _ if self.unreachable >= OUTAGE => {
                tracing::debug!(%bundle, %namespace, %kind, reason, error, "cannot write a target");
            }
            _ => {
                tracing::warn!(%bundle, %namespace, %kind, reason, error, "cannot write a target");
            }
        }
    }
}

/// Conflicts, pauses and rewrites that the status says nothing of: they are routine.
const QUIET_TRIES: u32 = 3;
/// So many writes in a row that do not reach the server are an outage, not bad luck.
const OUTAGE: u32 = 8;
/// How long nothing is tried in an outage.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);
/// A lease is renewed every one or two seconds.
const RENEWAL_PAUSE: Duration = Duration::from_millis(250);
/// Something in the cluster, such as a mutating webhook, changes what is written.
const CHANGED: Category = Category("changed-by-others");
