//! A report in Prometheus' text format: gauges in seconds and bytes, for a textfile collector or a
//! push gateway. `docs/report.md` lists them.

mod collected;

use tlsbench_core::report::{
    EffectReport, GateReport, LabReport, QUANTILES, Report, RunReport, TargetReport, TrialReport,
};
use tlsbench_core::stats::Estimate;

use collected::{LabelSet, MetricSet};

/// The report as Prometheus reads it.
pub(super) fn write(report: &Report) -> anyhow::Result<String> {
    let mut all = MetricSet::default();
    for lab in &report.labs {
        add_lab(&mut all, lab);
    }
    for run in &report.runs {
        add_run(&mut all, run);
    }
    all.write()
}

fn add_lab(all: &mut MetricSet, lab: &LabReport) {
    let of = LabelSet::new("record", &lab.record);
    let times = (lab.started.as_str(), lab.ended.as_str());
    add_times(all, &of, "placements", &lab.program, times, lab.complete);
    add_gates(all, &of, &lab.gates);
    for trial in &lab.trials {
        let of = of
            .and("placement", &trial.placement)
            .and("workload", trial.workload.as_str())
            .and("pass", trial.pass.as_str());
        add_target(all, &of, &trial.client);
        add_costs(all, &of, trial);
    }
    for effect in &lab.effects {
        add_effect(all, &of, effect);
    }
    for row in lab.model.iter().flat_map(|model| &model.rows) {
        let of = of.and("placement", &row.placement).and("hop", row.role.as_str());
        let help = "CPU time of a hop that the fitted costs predict for the mix that was held out.";
        let predicted = row.predicted_cores;
        add_estimate(all, "tlsbench_model_predicted_cores", help, &of, predicted, 1.0);
        let help = "CPU time of a hop that was measured under it.";
        all.add("tlsbench_model_measured_cores", help, of.clone(), row.measured_cores);
        let help = "1 where both are within 10 % or 0.01 core, else 0.";
        all.add("tlsbench_model_holds", help, of, if row.holds { 1.0 } else { 0.0 });
    }
    for idle in &lab.idle {
        for hop in &idle.hops {
            let of = of.and("placement", &idle.placement).and("hop", hop.role.as_str());
            let help = "Memory that each idle connection takes of a hop.";
            let name = "tlsbench_idle_connection_bytes";
            match hop.each.interval {
                Some(_) => add_estimate(all, name, help, &of, hop.each.interval, 1.0),
                None => all.add(name, help, of, hop.each.bytes_per_connection),
            }
        }
    }
}

fn add_run(all: &mut MetricSet, run: &RunReport) {
    let of = LabelSet::new("record", &run.record);
    let times = (run.started.as_str(), run.ended.as_str());
    add_times(all, &of, "endpoints", &run.program, times, run.complete);
    add_gates(all, &of, &run.gates);
    for target in &run.targets {
        add_target(all, &of.and("target", &target.name), target);
    }
}

fn add_times(
    all: &mut MetricSet,
    of: &LabelSet,
    kind: &str,
    program: &str,
    (started, ended): (&str, &str),
    complete: bool,
) {
    let told = of.and("kind", kind).and("program", program);
    all.add("tlsbench_run_info", "What the record is of, and what made it.", told, 1.0);
    let complete = if complete { 1.0 } else { 0.0 };
    let help = "Whether every round was measured.";
    all.add("tlsbench_run_complete", help, of.clone(), complete);
    for (name, help, time) in [
        ("tlsbench_run_started_timestamp_seconds", "When the run began.", started),
        ("tlsbench_run_ended_timestamp_seconds", "When the run ended.", ended),
    ] {
        // A record that was edited may say anything.
        if let Ok(time) = time.parse::<jiff::Timestamp>() {
            all.add(name, help, of.clone(), time.as_second() as f64);
        }
    }
}

fn add_gates(all: &mut MetricSet, of: &LabelSet, gates: &[GateReport]) {
    for gate in gates {
        let target = gate.target.as_deref().unwrap_or_default();
        for family in gate.spoils {
            let of = of.and("gate", gate.name).and("target", target).and("family", family.as_str());
            let help = "1 for a gate that fails and a family without a verdict for it; without a \
                        target it is the whole run.";
            all.add("tlsbench_gate_shut", help, of, 1.0);
        }
    }
}

/// Failures with their details, and responses.
fn add_answers(all: &mut MetricSet, of: &LabelSet, target: &TargetReport) {
    let mut count = |name, help, of: LabelSet, count: u64| all.add(name, help, of, count as f64);
    for (why, operations) in &target.failures {
        let help = "Operations that failed, by why.";
        count("tlsbench_failures", help, of.and("why", why), *operations);
    }
    for (why, reasons) in &target.reasons {
        for (reason, operations) in reasons {
            let help = "Operations that failed, by why and detail, where one is known.";
            let of = of.and("why", why).and("reason", reason);
            count("tlsbench_failure_reasons", help, of, *operations);
        }
    }
    for (status, responses) in &target.statuses {
        let help = "Whole responses, by status.";
        count("tlsbench_responses", help, of.and("status", status.to_string()), *responses);
    }
    for (address, ended) in target.by_address() {
        let of = of.and("address", address.to_string());
        for (what, operations) in [("succeeded", ended.succeeded), ("failed", ended.failed)] {
            let help =
                "Operations by the address that they ended at, of a target that has several.";
            count("tlsbench_address_operations", help, of.and("outcome", what), operations);
        }
        for (why, operations) in &ended.failures {
            let help = "Those of them that failed, by why.";
            count("tlsbench_address_failures", help, of.and("why", why), *operations);
        }
    }
}

fn add_target(all: &mut MetricSet, of: &LabelSet, target: &TargetReport) {
    let help = "Operations that succeeded, per second.";
    add_estimate(
        all,
        "tlsbench_operations_per_second",
        help,
        of,
        target.operations_per_second,
        1.0,
    );
    let help = "Connections that were made, per second.";
    let rate = target.connections_per_second;
    add_estimate(all, "tlsbench_connections_per_second", help, of, rate, 1.0);
    let help = "CPU time of the generators for each operation that succeeded.";
    let cost = target.cpu_ns_per_operation;
    add_estimate(all, "tlsbench_client_cpu_seconds_per_operation", help, of, cost, SECONDS);
    let shape = &target.shape;
    add_answers(all, of, target);
    let mut count = |name, help, of: LabelSet, count: u64| all.add(name, help, of, count as f64);
    let help = "Rounds that were measured.";
    count("tlsbench_rounds", help, of.clone(), target.rounds.into());
    let help = "Rounds that enter no estimate.";
    count("tlsbench_untimed_rounds", help, of.clone(), target.untimed_rounds.into());
    for (what, operations) in [
        ("succeeded", target.succeeded),
        ("failed", target.failed),
        ("missed", target.missed),
        ("unanswered", target.unanswered.operations),
        ("scheduled", target.scheduled),
    ] {
        let help = "Operations by what became of them.";
        count("tlsbench_operations", help, of.and("outcome", what), operations);
    }
    let help = "Requests that were sent again on another connection.";
    count("tlsbench_resent", help, of.clone(), target.resent);
    for (name, help, number) in [
        ("tlsbench_connections", "Connections that were made.", target.connections),
        ("tlsbench_closed_by_client", CLOSED_BY_CLIENT, target.closed_by_client),
        ("tlsbench_read_bytes", "Bytes read from sockets.", target.bytes_read),
        ("tlsbench_written_bytes", "Bytes written to sockets.", target.bytes_written),
    ] {
        count(name, help, of.clone(), number);
    }
    for (kind, handshakes) in [
        ("full", shape.full),
        ("resumed", shape.resumed),
        ("retried", shape.retried),
        ("wanted_ticket", shape.wanted_ticket),
        ("early_data", shape.early_data),
    ] {
        let help = "Handshakes by what they came to; one may be of several kinds.";
        count("tlsbench_handshakes", help, of.and("kind", kind), handshakes);
    }
    for (what, connections) in &shape.negotiated {
        let help = "Connections by what was negotiated.";
        count("tlsbench_negotiated_connections", help, of.and("what", what), *connections);
    }
    for family in &target.spoiled {
        let help = "1 for a family without a verdict.";
        count("tlsbench_spoiled", help, of.and("family", family.as_str()), 1);
    }
    add_phases(all, of, target);
}

fn add_phases(all: &mut MetricSet, of: &LabelSet, target: &TargetReport) {
    for phase in &target.phases {
        let of = of.and("phase", phase.phase);
        let help = "Times taken, without missed starts.";
        all.add("tlsbench_phase_times", help, of.clone(), phase.count as f64);
        for at in &phase.quantiles {
            let part = QUANTILES.iter().find(|(name, _)| *name == at.quantile);
            let part = part.map_or(1.0, |(_, part)| *part);
            let at_least = if at.at_least { "true" } else { "false" };
            let of = of.and("quantile", part.to_string()).and("at_least", at_least);
            let help = "Quantiles of a phase; at_least is true where missed starts hide the value.";
            all.add("tlsbench_phase_seconds", help, of, at.ns.0 as f64 * SECONDS);
        }
    }
}

fn add_costs(all: &mut MetricSet, of: &LabelSet, trial: &TrialReport) {
    let help = "CPU time of all hops together for each operation that succeeded.";
    let total = trial.cpu_ns_per_operation;
    add_estimate(all, "tlsbench_hops_cpu_seconds_per_operation", help, of, total, SECONDS);
    let help = "Cores that all hops together use at 1,000 operations per second.";
    let cores = trial.cores_at_1000_per_second;
    add_estimate(all, "tlsbench_cores_at_1000_per_second", help, of, cores, 1.0);
    let help = "Gbit that one core of hops moves in a second.";
    add_estimate(all, "tlsbench_gigabits_per_core", help, of, trial.gbit_per_core, 1.0);
    let help = "How busy all hops together kept their cores.";
    add_some(all, "tlsbench_hops_busy_ratio", help, of, trial.busy);
    let help = "How busy the generator's busiest thread was.";
    add_some(all, "tlsbench_client_busy_ratio", help, of, trial.client_busy);
    for median in &trial.medians {
        let of = of.and("phase", median.phase);
        let help = "The median of a phase, the mean over rounds.";
        add_estimate(all, "tlsbench_median_seconds", help, &of, median.p50_ns, SECONDS);
    }
    for hop in &trial.hops {
        let of = of
            .and("hop", hop.role.as_str())
            .and("kind", hop.kind.as_str())
            .and("engine", hop.engine.as_str());
        let help = "CPU time of a hop for each operation that succeeded.";
        let cost = hop.cpu_ns_per_operation;
        add_estimate(all, "tlsbench_hop_cpu_seconds_per_operation", help, &of, cost, SECONDS);
        let help = "How busy a hop kept the cores that all hops share.";
        add_some(all, "tlsbench_hop_busy_ratio", help, &of, hop.busy);
        let help = "The part of a hop's CPU time in its own code.";
        add_some(all, "tlsbench_hop_user_ratio", help, &of, hop.user_share);
        let help = "The most memory that a hop had resident in any round.";
        all.add("tlsbench_hop_peak_memory_bytes", help, of, hop.peak_bytes as f64);
    }
}

fn add_effect(all: &mut MetricSet, of: &LabelSet, effect: &EffectReport) {
    let of = of
        .and("placement", &effect.placement)
        .and("workload", effect.workload.as_str())
        .and("against", &effect.against)
        .and("pass", effect.pass.as_str())
        .and("phase", effect.phase.unwrap_or_default());
    let help = "How much more than of another placement: CPU time of all hops per operation, or the \
                median of a phase.";
    let more = effect.difference_ns;
    add_estimate(all, "tlsbench_effect_seconds", help, &of, more, SECONDS);
    let help = "How many times as much as of another placement.";
    add_estimate(all, "tlsbench_effect_ratio", help, &of, effect.ratio, 1.0);
    for (name, help, value) in [
        (
            "tlsbench_effect_chance",
            "How likely so large a difference is where there is none, all comparisons of the run \
             taken together.",
            effect.chance,
        ),
        (
            "tlsbench_effect_sign_flip_chance",
            "The same of one comparison alone, by flipping signs.",
            effect.sign_flip,
        ),
        (
            "tlsbench_effect_autocorrelation",
            "How alike the differences of neighbouring rounds are.",
            effect.autocorrelation,
        ),
    ] {
        add_some(all, name, help, &of, value);
    }
    let help = "1 for the verdict that holds.";
    all.add("tlsbench_effect_verdict", help, of.and("verdict", effect.verdict), 1.0);
}

fn add_some(all: &mut MetricSet, name: &str, help: &str, of: &LabelSet, value: Option<f64>) {
    if let Some(value) = value {
        all.add(name, help, of.clone(), value);
    }
}

/// An estimate as three gauges: the value, and the ends of its 95 % interval.
fn add_estimate(
    all: &mut MetricSet,
    name: &str,
    help: &str,
    of: &LabelSet,
    estimate: Option<Estimate>,
    unit: f64,
) {
    let Some(Estimate { value, low, high, .. }) = estimate else { return };
    all.add(name, help, of.clone(), value * unit);
    let end = |which: &str| format!("{help} The {which} end of the 95 % interval.");
    all.add(&format!("{name}_low"), &end("lower"), of.clone(), low * unit);
    all.add(&format!("{name}_high"), &end("upper"), of.clone(), high * unit);
}

/// Seconds in a nanosecond.
const CLOSED_BY_CLIENT: &str = "Connections that the server should have closed and the client did.";
const SECONDS: f64 = 1e-9;
