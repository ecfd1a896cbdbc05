//! The scenario of one slice of a lab: a placement under a workload.

use std::num::NonZeroU32;
use std::path::PathBuf;

use super::span::PILOT_WARM_UP;
use super::{Lab, LatencyPass, Workload};
use crate::hop::LinkSecurity;
use crate::placement::{Placement, Role};
use crate::problem::Problem;
use crate::scenario::{
    Draft, LoadDraft, LoopName, RequestDraft, Scenario, TargetDraft, TimingDraft, TlsDraft,
};
use crate::units::{Nanos, Rate};

/// Files that a client of the lab needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The root.
    pub ca_bundle: PathBuf,
    /// The client's certificate and its chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

impl Lab {
    /// A slice of the CPU pass: a closed loop.
    ///
    /// # Errors
    /// When slices or rounds are of no use.
    pub fn scenario(
        &self,
        placement: &Placement,
        workload: Workload,
        files: &ClientFiles,
    ) -> Result<Scenario, Vec<Problem>> {
        let name = format!("{}/{workload}", placement.name);
        let load = self.closed(workload);
        let timing = timing(self.slice_ns, self.warm_up_ns);
        finish(self.draft(placement, workload, files, name), load, timing)
    }

    /// The look at a placement before the rounds: a short closed loop of full handshakes.
    ///
    /// # Errors
    /// When slices are of no use.
    pub fn pilot_scenario(
        &self,
        placement: &Placement,
        files: &ClientFiles,
    ) -> Result<Scenario, Vec<Problem>> {
        let name = format!("{}/{}/pilot", placement.name, Workload::Full);
        let load = self.closed(Workload::Full);
        let timing = timing(self.pilot_slice() - PILOT_WARM_UP, PILOT_WARM_UP);
        finish(self.draft(placement, Workload::Full, files, name), load, timing)
    }

    /// A slice of the latency pass: an open loop of connections, with a full handshake and a
    /// request each.
    ///
    /// # Errors
    /// When slices or rounds are of no use, or less than one connection arrives in a slice.
    pub fn latency_scenario(
        &self,
        placement: &Placement,
        rate: Rate,
        pass: &LatencyPass,
        files: &ClientFiles,
    ) -> Result<Scenario, Vec<Problem>> {
        let name = format!("{}/{}/latency", placement.name, Workload::Full);
        let load = LoadDraft {
            kind: Some(LoopName::Open),
            rate: Some(rate.as_f64()),
            ..LoadDraft::default()
        };
        let timing = timing(pass.slice_ns, pass.warm_up_ns);
        finish(self.draft(placement, Workload::Full, files, name), load, timing)
    }

    fn draft(
        &self,
        placement: &Placement,
        workload: Workload,
        files: &ClientFiles,
        name: String,
    ) -> Draft {
        let edge = placement.links().first().copied().unwrap_or(LinkSecurity::Plain);
        let (is_tls, is_mtls) = (edge != LinkSecurity::Plain, edge == LinkSecurity::Mtls);
        let first = placement.hops.first().map_or(Role::Backend, |hop| hop.role);
        let resume = match workload {
            Workload::Resumed => Some(1.0),
            Workload::Mix => Some(self.mix.resume),
            Workload::Bulk16k
            | Workload::Bulk64k
            | Workload::Bulk1m
            | Workload::Full
            | Workload::KeepAlive
            | Workload::Short => None,
        };
        Draft {
            // The names of hops are no addresses, and so not known to be of this machine.
            abort_errors_above: Some(1.0),
            target: Some(vec![TargetDraft {
                name: Some(name),
                url: format!("{}://{}/", if is_tls { "https" } else { "http" }, first.host()),
                ..TargetDraft::default()
            }]),
            tls: TlsDraft {
                version: is_tls.then(|| self.version.into()),
                suites: is_tls.then(|| self.suites.clone()),
                groups: is_tls.then(|| self.groups.clone()),
                provider: is_tls.then_some(self.provider),
                // Plain links have no sessions that could be resumed.
                resume: resume.filter(|_| is_tls),
                ca_bundle: is_tls.then(|| files.ca_bundle.clone()),
                client_certificate: is_mtls.then(|| files.certificate.clone()),
                client_key: is_mtls.then(|| files.key.clone()),
                ..TlsDraft::default()
            },
            request: RequestDraft {
                // A response of another length is no success, for rates in bytes follow from it.
                protocol: is_tls.then_some(self.protocol),
                expect_bytes: Some(self.response_bytes(workload)),
                ..RequestDraft::default()
            },
            ..Draft::default()
        }
    }

    fn closed(&self, workload: Workload) -> LoadDraft {
        let (keep, connections, requests) = match workload {
            Workload::Full | Workload::Resumed => (false, CONNECTIONS, None),
            Workload::KeepAlive => (true, CONNECTIONS_KEPT, None),
            Workload::Short => (false, CONNECTIONS, Some(REQUESTS_SHORT)),
            Workload::Bulk16k | Workload::Bulk64k | Workload::Bulk1m => {
                (true, CONNECTIONS_BULK, None)
            }
            Workload::Mix => (false, self.mix.connections, Some(self.mix.requests.into())),
        };
        LoadDraft {
            kind: Some(LoopName::Closed),
            keep: Some(keep),
            connections: Some(connections),
            requests_per_connection: requests,
            ..LoadDraft::default()
        }
    }
}

fn timing(slice: Nanos, warm_up: Nanos) -> TimingDraft {
    TimingDraft {
        round: Some(slice),
        rounds: Some(ROUNDS_OF_ENGINE),
        warm_up: Some(warm_up),
        ..TimingDraft::default()
    }
}

fn finish(draft: Draft, load: LoadDraft, timing: TimingDraft) -> Result<Scenario, Vec<Problem>> {
    let mut scenario = Draft { load, timing, ..draft }.finish()?;
    // A slice is one round; it takes several for an interval, and those are the lab's.
    scenario.timing.rounds = NonZeroU32::MIN;
    Ok(scenario)
}

/// The fewest that the load engine takes; one of them is run.
const ROUNDS_OF_ENGINE: u32 = 10;
/// Connections at a time where each makes a handshake.
const CONNECTIONS: u32 = 16;
/// Requests of a connection that makes a few: neither one nor very many.
const REQUESTS_SHORT: u64 = 4;
/// Connections that requests go over.
const CONNECTIONS_KEPT: u32 = 32;
/// Connections that bodies go over: 8 MiB are under way at most.
const CONNECTIONS_BULK: u32 = 8;
