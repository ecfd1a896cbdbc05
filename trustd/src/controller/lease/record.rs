//! The Lease object, as far as an election is concerned: pure arithmetic on what was read.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use crate::controller::clock::Instant;

/// A Lease as it was last read or written, and since when this process knows it in that form.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    lease: Lease,
    since: Instant,
}

impl Seen {
    /// Returns the record after `lease` was read at `now`. Only a change restarts the clock, so
    /// that the clocks of other machines do not matter.
    pub(super) fn after(before: Option<Self>, lease: Lease, now: Instant) -> Self {
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        match before {
            Some(before) if version(&before.lease) == version(&lease) => before,
            _ => Self { lease, since: now },
        }
    }

    /// Returns true if `identity` may take the lease: it is free, its own, or unchanged for as long
    /// as its holder asked for.
    pub(super) fn is_takeable(&self, identity: &str, own: Duration, now: Instant) -> bool {
        let holder = self.holder();
        let spec = self.lease.spec.as_ref();
        let asked = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        // A holder that does not say how long is given as long as we would ask for.
        let asked = match u64::try_from(asked) {
            Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
            _ => own,
        };
        holder.is_empty() || holder == identity || now.since(self.since) >= asked
    }

    /// Returns true if `identity` holds the lease.
    pub(super) fn is_held_by(&self, identity: &str) -> bool {
        self.holder() == identity
    }

    /// Returns the holder; empty if nobody holds the lease.
    pub(super) fn holder(&self) -> &str {
        let spec = self.lease.spec.as_ref();
        spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
    }

    /// The Lease to write so that `identity` holds it from `date` on.
    pub(super) fn claimed(&self, identity: &str, duration: Duration, date: Timestamp) -> Lease {
        let mut lease = self.lease.clone();
        let mine = self.is_held_by(identity);
        let spec = lease.spec.get_or_insert_default();
        if !mine {
            let transitions = spec.lease_transitions.unwrap_or_default();
            spec.lease_transitions = Some(transitions.saturating_add(1));
            spec.acquire_time = Some(MicroTime(date));
        }
        claim(spec, identity, duration, date);
        lease
    }

    /// The Lease to write so that nobody holds it, as client-go leaves one behind.
    pub(super) fn released(&self, date: Timestamp) -> Lease {
        let mut lease = self.lease.clone();
        let spec = lease.spec.get_or_insert_default();
        spec.acquire_time = Some(MicroTime(date));
        claim(spec, "", Duration::from_secs(1), date);
        lease
    }
}

/// The Lease to create where there is none.
pub(super) fn first(name: &str, identity: &str, duration: Duration, date: Timestamp) -> Lease {
    let mut spec = LeaseSpec {
        acquire_time: Some(MicroTime(date)),
        lease_transitions: Some(0),
        ..LeaseSpec::default()
    };
    claim(&mut spec, identity, duration, date);
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Lease { metadata, spec: Some(spec) }
}

fn claim(spec: &mut LeaseSpec, identity: &str, duration: Duration, date: Timestamp) {
    let seconds = i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).max(1);
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_duration_seconds = Some(seconds);
    spec.renew_time = Some(MicroTime(date));
}
