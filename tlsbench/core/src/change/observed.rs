//! A record as one observation: a number for each metric of each subject, and what it was measured
//! under.

use std::collections::{BTreeMap, BTreeSet};

use super::{Metric, parameters};
use crate::lab::{Pass, Workload};
use crate::placement::Role;
use crate::record::lab::{LabRecord, TrialRecord};
use crate::record::{RoundRecord, RunRecord, TargetRecord};
use crate::scenario::{Arrivals, Load, Scenario};
use crate::tally::{Phase, Quantile};
use crate::units::{NANOS_PER_MICRO, Nanos};
use crate::verdicts::verdicts;
use crate::warning::{Family, Gate, judge};

/// A record as one observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Name of the record.
    pub name: String,
    /// Times of its begin and end: no two runs share both.
    pub(super) span: (String, String),
    /// Reason why it ended early, if it did.
    pub(super) interrupted: Option<String>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) values: BTreeMap<(String, Metric), f64>,
    /// The share of operations that failed, by subject; 1 where none succeeded.
    pub(super) failed: BTreeMap<String, f64>,
    /// Subjects and the families of which nothing may be said, because a gate is shut.
    pub(super) spoiled: BTreeSet<(String, Family)>,
}

impl Observed {
    /// A run against endpoints. Subjects are its targets.
    #[must_use]
    pub fn of_run(name: impl Into<String>, record: &RunRecord) -> Self {
        let scenario = record.scenario().ok();
        let mut values = MetricValues::default();
        for target in &record.targets {
            values.add_target(target, scenario.as_ref());
        }
        let subjects = || record.targets.iter().map(|target| target.name.clone());
        Self {
            name: name.into(),
            span: (record.started.clone(), record.ended.clone()),
            interrupted: why(record.complete, record.interrupted.as_ref()),
            parameters: parameters::of_run(record),
            values: values.0,
            failed: record.targets.iter().filter_map(|t| failed(t.name.clone(), t)).collect(),
            spoiled: spoiled(&judge(record), subjects),
        }
    }

    /// A run over placements. Subjects are a placement and a workload, as `passthrough/full`.
    #[must_use]
    pub fn of_lab(name: impl Into<String>, record: &LabRecord) -> Self {
        let mut values = MetricValues::default();
        // The latency pass chooses its rate anew in each run, and costs choose a mix that is held
        // out.
        let is_alike = |trial: &&TrialRecord| {
            trial.pass == Pass::Cpu
                && (trial.workload != Workload::Mix || record.held_out.is_none())
        };
        for trial in record.trials.iter().filter(is_alike) {
            values.add_trial(trial);
        }
        let subjects = || record.trials.iter().filter(is_alike).map(subject);
        Self {
            name: name.into(),
            span: (record.started.clone(), record.ended.clone()),
            interrupted: why(record.complete, record.interrupted.as_ref()),
            parameters: parameters::of_lab(record),
            values: values.0,
            failed: record
                .trials
                .iter()
                .filter(is_alike)
                .filter_map(|trial| failed(subject(trial), &trial.client))
                .collect(),
            spoiled: spoiled(&verdicts(record).gates, subjects),
        }
    }

    /// Returns true if nothing of a subject succeeded.
    pub(super) fn is_dead(&self, subject: &str) -> bool {
        self.failed.get(subject).is_some_and(|share| *share >= 1.0)
    }

    /// Returns true if a build without optimisation measured it, whose figures say nothing.
    #[must_use]
    pub fn is_debug_build(&self) -> bool {
        self.parameters.get("program").is_some_and(|program| program.contains("debug build"))
    }
}

#[derive(Default)]
struct MetricValues(BTreeMap<(String, Metric), f64>);

impl MetricValues {
    /// Keeps a figure; zero is none, for nothing can be a multiple of it.
    fn add(&mut self, subject: &str, metric: Metric, value: Option<f64>) {
        // Ratios need logarithms, so that zero and infinity are no values.
        if let Some(value) = value.filter(|value| value.is_finite() && *value > 0.0) {
            self.0.insert((subject.to_owned(), metric), value);
        }
    }

    fn add_target(&mut self, target: &TargetRecord, scenario: Option<&Scenario>) {
        let name = &target.name;
        let sum = |count: fn(&RoundRecord) -> u64| target.sum(count) as f64;
        let succeeded = sum(|round| round.succeeded);
        let cpu = sum(|round| round.cpu.total.0) / NANOS_PER_MICRO;
        self.add(name, Metric::ClientCpu, Some(cpu / succeeded));
        // Where each connection has at most one request, the handshake is most of its work.
        let is_handshake = scenario.is_some_and(|scenario| match scenario.load {
            _ if scenario.request.is_none() => true,
            Load::Closed { requests_per_connection, .. } => {
                requests_per_connection.is_some_and(|requests| requests.get() == 1)
            }
            Load::Open { arrivals: Arrivals::Connections { requests }, .. } => requests.get() == 1,
            Load::Open { arrivals: Arrivals::Requests, .. } => false,
        });
        let handshakes = sum(|round| round.shape.full.saturating_add(round.shape.resumed));
        if is_handshake && handshakes > 0.0 {
            self.add(name, Metric::HandshakeCpu, Some(cpu / handshakes));
        }
        // Generators measure side by side, and each of their rounds has a time of its own.
        let rounds = target.rounds.iter().map(|round| round.operations_per_second);
        // A merged record holds each round once per generator; rates of one round add up.
        let each = target.rounds.iter().map(|round| round.round).collect::<BTreeSet<u32>>().len();
        self.add(name, Metric::Rate, Some(rounds.sum::<f64>() / each as f64));
        let wait_max = match scenario.map(|scenario| &scenario.load) {
            Some(Load::Open { wait_max, .. }) => *wait_max,
            Some(Load::Closed { .. }) | None => Nanos::default(),
        };
        let quantile = |phase, quantile| match target.quantile(phase, quantile, wait_max)? {
            Quantile::Is(time) => Some(time.as_micros_f64()),
            // Of a start that never began it is not known how long it would have taken.
            Quantile::AtLeast(_) => None,
        };
        // A closed loop has no intended starts and so no corrected series.
        let latency = match target.histogram(Phase::Corrected) {
            Some(_) => Phase::Corrected,
            None => Phase::Uncorrected,
        };
        self.add(name, Metric::HandshakeP50, quantile(Phase::Confirmed, 0.5));
        self.add(name, Metric::HandshakeP99, quantile(Phase::Confirmed, 0.99));
        self.add(name, Metric::LatencyP50, quantile(latency, 0.5));
        self.add(name, Metric::LatencyP99, quantile(latency, 0.99));
    }

    /// Adds a trial. In a closed loop that shares its machine with hops, only CPU time is
    /// meaningful.
    fn add_trial(&mut self, trial: &TrialRecord) {
        let name = subject(trial);
        let succeeded = trial.client.sum(|round| round.succeeded) as f64;
        let per_operation = |used: u64| Some(used as f64 / NANOS_PER_MICRO / succeeded);
        let mut all = 0_u64;
        for hop in &trial.hops {
            let used = hop.rounds.iter().map(|round| round.usage.cpu.total.0).sum::<u64>();
            all = all.saturating_add(used);
            let metric = match hop.role {
                Role::Backend => Metric::BackendCpu,
                Role::Ingress => Metric::IngressCpu,
                Role::Lb => Metric::LbCpu,
                Role::Sidecar => Metric::SidecarCpu,
            };
            self.add(&name, metric, per_operation(used));
        }
        self.add(&name, Metric::Cpu, per_operation(all));
        let handshakes = trial.client.sum(|round| {
            let shape = &round.shape;
            shape.full.saturating_add(shape.resumed)
        });
        match trial.workload {
            Workload::Full | Workload::Resumed if handshakes > 0 => {
                self.add(&name, Metric::HandshakeCpu, per_operation(all));
            }
            Workload::KeepAlive => self.add(&name, Metric::RequestCpu, per_operation(all)),
            // Of those with large bodies, short connections or a mix of everything `cpu` tells.
            Workload::Full
            | Workload::Resumed
            | Workload::Bulk16k
            | Workload::Bulk64k
            | Workload::Bulk1m
            | Workload::Mix
            | Workload::Short => {}
        }
        let client = trial.client.sum(|round| round.cpu.total.0);
        self.add(&name, Metric::ClientCpu, per_operation(client));
    }
}

fn subject(trial: &TrialRecord) -> String {
    format!("{}/{}", trial.placement, trial.workload)
}

/// Share of failures of a subject, if something was measured of it.
fn failed(subject: String, target: &TargetRecord) -> Option<(String, f64)> {
    let (succeeded, failed) =
        (target.sum(|round| round.succeeded), target.sum(RoundRecord::failures));
    match (target.rounds.is_empty(), succeeded) {
        (true, _) => None,
        // Whether they failed or nobody answered.
        (false, 0) => Some((subject, 1.0)),
        _ => Some((subject, failed as f64 / failed.saturating_add(succeeded) as f64)),
    }
}

fn why(complete: bool, interrupted: Option<&String>) -> Option<String> {
    // Older records know that they were cut short, and not why.
    let unknown = || (!complete).then(|| "it does not say why".to_owned());
    interrupted.cloned().or_else(unknown)
}

/// Subjects with the families that shut gates spoil of them; a gate of the run is one of all.
fn spoiled<I: Iterator<Item = String>>(
    gates: &[Gate],
    subjects: impl Fn() -> I,
) -> BTreeSet<(String, Family)> {
    let of_gate = |gate: &Gate| {
        let (target, spoils) = (gate.target.clone(), gate.spoils);
        subjects()
            .filter(move |subject| target.as_ref().is_none_or(|target| target == subject))
            .flat_map(move |subject| spoils.iter().map(move |family| (subject.clone(), *family)))
            .collect::<Vec<_>>()
    };
    gates.iter().flat_map(of_gate).collect()
}
