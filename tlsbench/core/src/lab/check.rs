//! Problems that keep a lab from being measured.

use std::collections::BTreeSet;

use super::{EngineName, Lab};
use crate::hop::{HopKind, LinkSecurity, POOL_MAX, RESPONSE_BYTES_MAX};
use crate::placement::Placement;
use crate::problem::{Problem, Problems};
use crate::scenario::{Group, Provider, Version};
use crate::units::{Nanos, Rate, Share};

impl Lab {
    /// Everything that keeps the lab from being measured.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.problems_but_of_placements();
        for placement in &self.placements {
            let found = placement.problems().into_iter();
            problems.extend(
                found.map(|p| Problem { key: format!("{}.{}", placement.name, p.key), ..p }),
            );
        }
        problems
    }

    /// The same without a look into placements.
    pub(super) fn problems_but_of_placements(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        let mut names = BTreeSet::new();
        for placement in &self.placements {
            if !names.insert(&placement.name) {
                let seen = format!("`{}` is there twice", placement.name);
                problems.add("placements", seen, "give each a name of its own");
            }
        }
        let nothing = self.placements.is_empty();
        problems.when(nothing, "placements", "nothing is to be measured", "name a placement");
        // Either pass alone is a measurement.
        let nothing = self.workloads.is_empty() && self.latency.is_none();
        let cure = "name a workload, or let latency be measured";
        problems.when(nothing, "workloads", "nothing is to be measured", cure);
        self.check_rounds(&mut problems);
        self.check_mix(&mut problems);
        self.check_tls(&mut problems);
        self.check_engines(&mut problems);
        let over = self.pool > POOL_MAX;
        problems.when(over, "pool", "more than an address has ports", "write at most 28,232");
        let over = self.idle_connections > IDLE_MAX;
        problems.when(over, "idle_connections", "more than 10,000", "hold fewer");
        problems.0
    }

    fn check_rounds(&self, problems: &mut Problems) {
        let latency = self.latency.map(|pass| ("latency.rounds", pass.rounds));
        for (key, rounds) in [("timing.rounds", self.rounds)].into_iter().chain(latency) {
            if !(1..=ROUNDS_MAX).contains(&rounds) {
                let cure = "write 1 to 1,000; a verdict takes at least 6";
                problems.add(key, format!("{rounds} rounds"), cure);
            }
        }
        let latency = self.latency.map(|pass| ("latency", pass.slice_ns, pass.warm_up_ns));
        let cpu = [("timing", self.slice_ns, self.warm_up_ns)];
        for (key, slice, warm_up) in cpu.into_iter().chain(latency) {
            if !(SLICE_MIN..=SLICE_MAX).contains(&slice) {
                let seen = format!("{} is no length for a slice", slice.exact());
                problems.add(format!("{key}.round"), seen, "write 20ms to 1h");
            }
            if warm_up > SLICE_MAX {
                let seen = format!("{} is too long", warm_up.exact());
                problems.add(format!("{key}.warm_up"), seen, "write at most 1h");
            }
        }
        let Some(pass) = self.latency else { return };
        if Share::new(pass.share).is_none() || Rate::per_second(pass.share).is_none() {
            let seen = format!("`{}` is no part of what a placement can do", pass.share);
            problems.add("latency.share", seen, "write a number above 0, at most 1, such as 0.35");
        }
    }

    fn check_mix(&self, problems: &mut Problems) {
        let mix = &self.mix;
        if Share::new(mix.resume).is_none() {
            let seen = format!("`{}` is no part of a whole", mix.resume);
            problems.add("mix.resume", seen, "write a number from 0 to 1");
        }
        for (key, count) in [("mix.connections", mix.connections), ("mix.requests", mix.requests)] {
            let is_of_use = (1..=MIX_MAX).contains(&count);
            problems.when(!is_of_use, key, "not a count of use", "write 1 to 10,000");
        }
        for (key, bytes) in
            [("response_bytes", self.response_bytes), ("mix.response_bytes", mix.response_bytes)]
        {
            let over = bytes > RESPONSE_BYTES_MAX;
            problems.when(over, key, "more than 1 GiB", "ask for less");
        }
    }

    /// Finds faults that would show only when the lab starts, minutes into a run.
    fn check_engines(&self, problems: &mut Problems) {
        for (role, engine) in &self.engines {
            let stations = self.placements.iter().flat_map(|placement| {
                placement.hops.iter().map(move |station| (placement, station))
            });
            let relay = stations.into_iter().find(|(_, station)| {
                let is_relay = matches!(station.kind, HopKind::Relay | HopKind::SniRelay);
                *engine == EngineName::Caddy && station.role == *role && is_relay
            });
            if let Some((placement, station)) = relay {
                let seen = format!(
                    "Caddy speaks HTTP only, and in `{}` this is a `{}`",
                    placement.name, station.kind
                );
                let cure = "let nginx, HAProxy or a built-in hop be it, as by --lb builtin";
                problems.add(format!("engines.{role}"), seen, cure);
            }
        }
    }

    fn check_tls(&self, problems: &mut Problems) {
        let is_old = self.version == Version::Tls12;
        let hybrid = self.groups.contains(&Group::X25519MlKem768);
        let seen = "`x25519mlkem768` in TLS 1.2, which does not know it";
        problems.when(is_old && hybrid, "tls.groups", seen, "choose version 1.3, or another group");
        let seen = "`x25519mlkem768`, which ring does not know";
        let other = self.provider != Provider::AwsLcRs;
        problems.when(other && hybrid, "tls.groups", seen, "choose provider `aws-lc-rs`");
        let has_tls = |placement: &Placement| {
            placement
                .links()
                .iter()
                .any(|link| matches!(link, LinkSecurity::Tls | LinkSecurity::Mtls))
        };
        let unequal = self.suites.is_empty() || self.groups.is_empty();
        let seen = "no suite or no group, so that each engine would choose its own";
        let is_asked = unequal && self.placements.iter().any(has_tls);
        problems.when(is_asked, "tls.suites", seen, "name at least one of each");
    }
}

/// A day of rounds that take over a minute.
const ROUNDS_MAX: u32 = 1_000;
/// Each has a socket in every hop: more are no idle moment of anything that one machine plays.
const IDLE_MAX: u32 = 10_000;
/// Descriptors that a process may usually have, shared by three hops.
const MIX_MAX: u32 = 10_000;
/// Hops are read at the edges of a slice, which takes some milliseconds.
const SLICE_MIN: Nanos = Nanos::from_millis(20);
const SLICE_MAX: Nanos = Nanos::from_millis(3_600_000);
