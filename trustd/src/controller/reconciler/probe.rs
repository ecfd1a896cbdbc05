//! Looks at refused targets, because no watch reports changes of an object without our label. Looks
//! come soon at first, less often later, and never many at once.
//!
//! Pure: times and jitter are arguments.

use std::time::Duration;

use trustd_core::plan::Seen;

use crate::controller::backoff::{self, Jitter};
use crate::controller::clock::Instant;

/// The schedule for looking at one refused target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Probe {
    /// The version of the object that was refused. As long as it is there, nothing has changed.
    pub(super) refused: Option<Seen>,
    /// Looks in a row that found it.
    looks: u32,
    /// The next thing to do is a look.
    due: bool,
    /// The look has been scheduled among those of all refused targets.
    called: bool,
}

impl Probe {
    /// Notes that an object was refused, and returns the time until it is looked at.
    pub(super) fn refuse(&mut self, object: Option<Seen>, jitter: &mut Jitter) -> Duration {
        if object.is_none() || object != self.refused {
            (self.refused, self.looks) = (object, 0);
        }
        let pause = FIRST.saturating_mul(1 << self.looks.min(DOUBLINGS_MAX));
        self.looks = self.looks.saturating_add(1);
        (self.due, self.called) = (true, false);
        jitter.upper_half_of(pause.min(backoff::LONGEST))
    }

    /// Returns true if a target that is due is only to be looked at.
    pub(super) const fn is_due(&self) -> bool {
        self.due
    }

    /// Asks for the turn of a target that is due. Returns until when it must wait; `None` if it may
    /// be looked at now.
    pub(super) fn call(&mut self, rate: &mut ProbeRate, now: Instant) -> Option<Instant> {
        if !self.called {
            self.called = true;
            let at = rate.free_at.max(now);
            rate.free_at = at.after(EVERY);
            if at > now {
                return Some(at);
            }
        }
        (self.due, self.called) = (false, false);
        None
    }

    /// Notes that the target is to be written, not looked at.
    pub(super) const fn hurry(&mut self) {
        (self.due, self.called) = (false, false);
    }

    /// Forgets what was refused: something else is to be written, or is there.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The pace of looks at all refused targets together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProbeRate {
    /// The earliest time for the next look.
    free_at: Instant,
}

/// The first look comes after ten to twenty seconds.
const FIRST: Duration = Duration::from_secs(20);
/// 20 s doubled four times is 320 s, above [`backoff::LONGEST`].
const DOUBLINGS_MAX: u32 = 4;
/// Ten looks in a second: metadata of one object each, 1,000 targets in less than two minutes.
const EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(version: &str) -> Option<Seen> {
        Some(Seen { uid: Some("u".into()), resource_version: Some(version.into()) })
    }

    #[test]
    fn looks_come_soon_at_first_and_less_often_later() {
        let (mut probe, mut jitter) = (Probe::default(), Jitter::from_seed(3));
        for most in [20, 40, 80, 160, 300, 300] {
            let pause = probe.refuse(seen("1"), &mut jitter).as_secs_f64();
            assert!((f64::from(most) / 2.0..=f64::from(most)).contains(&pause), "{most}: {pause}");
        }
        // Another version of the object is another chance.
        assert!(probe.refuse(seen("2"), &mut jitter) <= FIRST);
        assert!(probe.refuse(None, &mut jitter) <= FIRST);
        assert!(probe.refuse(None, &mut jitter) <= FIRST);
    }

    #[test]
    fn many_refused_targets_are_looked_at_one_after_the_other() {
        let at = |millis: u64| Instant::since_boot(Duration::from_millis(1_000_000 + millis));
        let mut rate = ProbeRate::default();
        let mut jitter = Jitter::from_seed(3);
        let mut probes = vec![Probe::default(); 25];
        for probe in &mut probes {
            probe.refuse(None, &mut jitter);
        }
        let waits: Vec<_> = probes.iter_mut().map(|probe| probe.call(&mut rate, at(0))).collect();
        assert_eq!(waits[..3], [None, Some(at(100)), Some(at(200))]);
        assert_eq!(waits[24], Some(at(2400)));
        assert!(probes[24].is_due());
        assert_eq!(probes[24].call(&mut rate, at(2400)), None, "its turn has come");
        assert!(!probes[24].is_due());
        let mut late = Probe::default();
        late.refuse(None, &mut jitter);
        assert_eq!(late.call(&mut rate, at(60_000)), None, "an idle minute is not saved up");
    }
}
