//! The part of the document that is of runs over placements.

use tlsbench_core::lab::Pass;
use tlsbench_core::placement::Role;
use tlsbench_core::report::{
    ALL_GATES_PASS, HopReport, IS_BASELINE, LabReport, QUANTILES, SPOILED_FIGURES, TrialReport,
    bytes, bytes_each, micros, number, per_second, percent, ratio, small,
};

use super::super::{COST_HEADS, lab_method, shell};
use super::syntax::{MarkdownTable, fenced, plain};
use super::{ENVIRONMENT, GATES, environment_cells, gate_cells};

/// A run over placements: what is said of it, and everything that it is said from.
pub(super) fn chapter(lab: &LabReport) -> String {
    let mut text = format!("\n## {}\n", plain(&lab.record));
    for statement in &lab.statements {
        text.push_str(&format!("\n{}\n", plain(&statement.text)));
    }
    if let Some(why) = lab.interrupted.as_ref().filter(|_| !lab.complete) {
        let why = plain(why);
        text.push_str(&format!(
            "\n**It ended before its time**: {why}. What was measured until then is shown.\n"
        ));
    }
    text.push_str(&verdicts(lab));
    text.push_str(&pairs(lab));
    text.push_str(&costs(lab));
    text.push_str(&placements(lab));
    text.push_str(&latency(lab));
    text.push_str(&model(lab));
    text.push_str(&idle(lab));
    text.push_str(&gates(lab));
    text.push_str(&environment(lab));
    text.push_str(&method(lab));
    text
}

/// Each placement beside its twin.
fn verdicts(lab: &LabReport) -> String {
    let mut text = String::new();
    for workload in lab.workloads(Pass::Cpu) {
        let mut table = MarkdownTable::new([
            "placement",
            "hops",
            "all hops, µs",
            "TLS adds, µs",
            "ratio",
            "verdict",
        ]);
        for trial in lab.trials_of(workload, Pass::Cpu) {
            let effect = lab.beside_twin(&trial.placement, workload, Pass::Cpu);
            let hops: Vec<&str> = trial.hops.iter().map(|hop| hop.kind.as_str()).collect();
            table.row([
                plain(&trial.placement),
                hops.join(" · "),
                micros(trial.cpu_ns_per_operation.as_ref()),
                micros(effect.and_then(|effect| effect.difference_ns.as_ref())),
                ratio(effect.and_then(|effect| effect.ratio.as_ref())),
                effect.map_or_else(|| IS_BASELINE.to_owned(), |effect| plain(&effect.says)),
            ]);
        }
        let operation = workload.operation();
        text.push_str(&format!(
            "\n### {workload}: CPU time per {operation} beside the same hops without TLS\n\n{table}"
        ));
    }
    text
}

/// Placements with TLS beside each other.
fn pairs(lab: &LabReport) -> String {
    let mut table = MarkdownTable::new([
        "in",
        "placement",
        "beside",
        "adds, µs",
        "ratio",
        "chance (Holm)",
        "chance (sign flips)",
        "verdict",
    ]);
    let chance = |chance: Option<f64>| chance.map_or_else(|| "-".to_owned(), |p| format!("{p:.3}"));
    for effect in &lab.effects {
        let compared = match effect.phase {
            Some(phase) => format!("latency, {}", plain(phase)),
            None => effect.workload.to_string(),
        };
        table.row([
            compared,
            plain(&effect.placement),
            plain(&effect.against),
            micros(effect.difference_ns.as_ref()),
            ratio(effect.ratio.as_ref()),
            chance(effect.chance),
            chance(effect.sign_flip),
            plain(&effect.says),
        ]);
    }
    format!("\n### Effects\n\n{}", table.or("Nothing was compared.\n"))
}

/// Tabulates the cost of each hop.
fn costs(lab: &LabReport) -> String {
    let mut roles: Vec<Role> =
        lab.trials.iter().flat_map(|trial| trial.hops.iter().map(|hop| hop.role)).collect();
    roles.sort_unstable();
    roles.dedup();
    let names: Vec<String> = roles.iter().map(|role| format!("{role}, µs")).collect();
    let header = ["workload", "placement"].into_iter().chain(names.iter().map(String::as_str));
    let mut table = MarkdownTable::new(header.chain(COST_HEADS));
    for trial in &lab.trials {
        let of = [trial.under(), plain(&trial.placement)];
        let hops = roles.iter().map(|role| {
            let hop = trial.hops.iter().find(|hop| hop.role == *role);
            micros(hop.and_then(|hop| hop.cpu_ns_per_operation.as_ref()))
        });
        let rest = [
            micros(trial.cpu_ns_per_operation.as_ref()),
            percent(trial.busy),
            micros(trial.client.cpu_ns_per_operation.as_ref()),
            small(trial.cores_at_1000_per_second.as_ref()),
            small(trial.gbit_per_core.as_ref()),
            per_second(trial.client.operations_per_second.as_ref()),
            number(trial.client.succeeded),
        ];
        table.row(of.into_iter().chain(hops).chain(rest));
    }
    let mut text = format!("\n### CPU time, hop by hop\n\n{}", table.or("Nothing was measured.\n"));
    text.push_str(&load(lab));
    text
}

/// Tabulates how busy hops were.
fn load(lab: &LabReport) -> String {
    let mut table = MarkdownTable::new([
        "workload",
        "placement",
        "hop",
        "engine",
        "busy cores",
        "user share",
        "memory",
    ]);
    for (trial, hop) in hops(lab) {
        table.row([
            trial.under(),
            plain(&trial.placement),
            format!("{} ({})", hop.role, hop.kind),
            hop.engine.to_string(),
            percent(hop.busy),
            percent(hop.user_share),
            bytes(hop.peak_bytes),
        ]);
    }
    if table.is_empty() { String::new() } else { format!("\n{table}") }
}

fn hops(lab: &LabReport) -> impl Iterator<Item = (&TrialReport, &HopReport)> {
    lab.trials.iter().flat_map(|trial| trial.hops.iter().map(move |hop| (trial, hop)))
}

fn placements(lab: &LabReport) -> String {
    let mut table = MarkdownTable::new(["placement", "where TLS ends", "baseline"]);
    for placement in &lab.placements {
        let twin = placement.twin.as_deref().map_or_else(|| "-".to_owned(), plain);
        table.row([plain(&placement.name), placement.ends.clone(), twin]);
    }
    let mut text = format!("\n### Placements\n\n{table}");
    for (trial, hop) in hops(lab) {
        for note in &hop.notes {
            let of = plain(&trial.placement);
            text.push_str(&format!(
                "\n{} of {of}, {}: {}\n",
                hop.role,
                trial.workload,
                plain(note)
            ));
        }
    }
    text
}

fn latency(lab: &LabReport) -> String {
    let header = ["workload", "placement", "phase", "count"];
    let mut table =
        MarkdownTable::new(header.into_iter().chain(QUANTILES.into_iter().map(|(name, _)| name)));
    for trial in &lab.trials {
        for phase in &trial.client.phases {
            let fixed =
                [trial.under(), plain(&trial.placement), plain(phase.phase), number(phase.count)];
            table.row(fixed.into_iter().chain(phase.quantiles.iter().map(ToString::to_string)));
        }
    }
    let table = table.or("Nothing was timed.\n");
    format!(
        "\n### Latency by phase\n\n{}{table}\nGenerator and hops share a machine: what lies above p90 is \
         not judged.\n",
        medians(lab)
    )
}

/// Tabulates the phases of a connection at one rate.
fn medians(lab: &LabReport) -> String {
    let of_pass = || lab.trials.iter().filter(|trial| trial.pass == Pass::Latency);
    let mut phases: Vec<&str> = Vec::new();
    for median in of_pass().flat_map(|trial| &trial.medians) {
        if !phases.contains(&median.phase) {
            phases.push(median.phase);
        }
    }
    let Some(rate) = of_pass().find_map(|trial| trial.rate) else { return String::new() };
    let names: Vec<String> = phases.iter().map(|phase| plain(phase)).collect();
    let header = ["placement"].into_iter().chain(names.iter().map(String::as_str));
    let mut table = MarkdownTable::new(header.chain(["hops busy", "generator busy"]));
    for trial in of_pass() {
        let medians = phases.iter().map(|phase| {
            let found = trial.medians.iter().find(|median| median.phase == *phase);
            micros(found.and_then(|median| median.p50_ns.as_ref()))
        });
        let name = [plain(&trial.placement)].into_iter();
        let busy = [percent(trial.busy), percent(trial.client_busy)];
        table.row(name.chain(medians).chain(busy));
    }
    format!("Medians at {rate:.0} connections per second, µs, with 95 % intervals:\n\n{table}\n")
}

fn model(lab: &LabReport) -> String {
    let Some(model) = &lab.model else { return String::new() };
    let mut table =
        MarkdownTable::new(["placement", "hop", "predicted, cores", "measured, cores", "holds"]);
    for row in &model.rows {
        table.row([
            plain(&row.placement),
            row.role.to_string(),
            small(row.predicted_cores.as_ref()),
            format!("{:.3}", row.measured_cores),
            if row.holds { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let (says, fit) = (plain(&model.says), plain(&model.fit_sha256));
    let table = table.or("");
    format!("\n### Model check\n\nSHA-256 of the fitted costs: {fit}. {says}.\n\n{table}")
}

fn idle(lab: &LabReport) -> String {
    let mut table = MarkdownTable::new([
        "placement",
        "hop",
        "connections",
        "readings",
        "before",
        "with them",
        "each takes",
    ]);
    for (idle, hop) in lab.idle.iter().flat_map(|idle| idle.hops.iter().map(move |hop| (idle, hop)))
    {
        table.row([
            plain(&idle.placement),
            hop.role.to_string(),
            number(idle.connections.into()),
            number(idle.readings.into()),
            bytes(hop.before_bytes),
            bytes(hop.after_bytes),
            bytes_each(&hop.each),
        ]);
    }
    if table.is_empty() { String::new() } else { format!("\n### Idle connections\n\n{table}") }
}

fn gates(lab: &LabReport) -> String {
    let mut table = MarkdownTable::new(GATES);
    lab.gates.iter().for_each(|gate| table.row(gate_cells(gate)));
    if table.is_empty() {
        return format!("\n### Gates\n\n{ALL_GATES_PASS}\n");
    }
    format!("\n### Gates\n\n{table}\n{SPOILED_FIGURES}\n")
}

fn environment(lab: &LabReport) -> String {
    let mut table = MarkdownTable::new(ENVIRONMENT);
    table.row(environment_cells(&lab.environment));
    let cores = |cores: &[u32]| {
        let cores: Vec<String> = cores.iter().map(u32::to_string).collect();
        if cores.is_empty() { "none of their own".to_owned() } else { cores.join(", ") }
    };
    let mut text = format!(
        "\n### Environment\n\n{table}\nCores of the generator: {}; of hops: {}.\n",
        cores(&lab.generator_cores),
        cores(&lab.hop_cores)
    );
    if let Some(others) = &lab.others {
        let (share, top) = (others.share * 100.0, plain(&others.top));
        text.push_str(&format!(
            "Other processes used {share:.1} % of the machine, most of it {top}, {}.\n",
            others.top_ns
        ));
    }
    text
}

fn method(lab: &LabReport) -> String {
    let (program, started, ended) = (plain(&lab.program), plain(&lab.started), plain(&lab.ended));
    let method = lab_method(lab);
    let mut text =
        format!("\n### Method\n\n{method}\nBy {program}, from {started} to {ended}.\n\n");
    for note in &lab.notes {
        text.push_str(&format!("At {}: {}.\n\n", plain(&note.at), plain(&note.text)));
    }
    text.push_str(&fenced("sh", &shell(&lab.environment.command)));
    text.push_str("\nWhat was asked for, with every key said:\n\n");
    text.push_str(&fenced("toml", &lab.lab));
    text
}
