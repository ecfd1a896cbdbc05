//! The chapter of a run over placements.

use maud::{Markup, html};
use tlsbench_core::plan::lab::{EngineName, Pass, Workload};
use tlsbench_core::plan::placement::Role;
use tlsbench_core::report::{
    EffectReport, LabReport, PredictionReport, TrialReport, bytes, bytes_each, micros, number,
    per_second, percent, ratio, small,
};
use tlsbench_core::tally::Phase;

use super::curves::{self, Panel};
use super::parts::{self, Cell};
use super::{effects, figure, model, stack, topology};

/// Everything that is said of a run.
pub(super) fn chapter(lab: &LabReport, id: &str, is_alone: bool) -> Markup {
    html! {
        article id=(id) {
            @if !is_alone { h2 { (lab.record) } }
            (verdict(lab, id))
            (effects_section(lab, id))
            (cpu(lab, id))
            (placements(lab, id))
            (latency(lab, id))
            (model_check(lab, id))
            (idle(lab, id))
            h3 id=(format!("{id}-gates")) { "Gates" }
            (parts::gates(&lab.gates))
            h3 id=(format!("{id}-environment")) { "Environment" }
            (environment(lab))
            h3 id=(format!("{id}-method")) { "Method" }
            (method(lab))
        }
    }
}

/// The engines that took part, in words.
pub(super) fn engines(lab: &LabReport) -> String {
    let hops = lab.placements.iter().flat_map(|placement| &placement.hops);
    let mut found: Vec<EngineName> = hops.map(|hop| hop.engine).collect();
    found.sort_unstable();
    found.dedup();
    found.iter().map(|engine| engine.as_str()).collect::<Vec<_>>().join(", ")
}

fn verdict(lab: &LabReport, id: &str) -> Markup {
    let mut statements = lab.statements.iter();
    html! {
        p class="facts" {
            (parts::moment(&lab.started)) " · hops of " (engines(lab)) " · " (lab.environment.cpu_model) ", "
            (lab.environment.cores) " cores · " (lab.program)
        }
        @if let Some(first) = statements.next() { p class="lead" { (parts::joined(&first.text)) } }
        @let rest: Vec<_> = statements.collect();
        @if !rest.is_empty() {
            ul class="also" { @for statement in rest { li { (parts::joined(&statement.text)) } } }
        }
        (parts::state(&lab.gates, &format!("{id}-gates")))
        (parts::notes(&[], lab.interrupted.as_ref().filter(|_| !lab.complete)))
        (matrix(lab))
        nav aria-label="Sections" {
            @for (section, name) in SECTIONS { a href=(format!("#{id}-{section}")) { (name) } }
        }
    }
}

/// The verdict table: placements down, workloads across.
fn matrix(lab: &LabReport) -> Markup {
    let columns = lab.measured();
    let caption = "CPU time of all hops per operation, and the median time of an operation at one \
                   rate, with 95 % intervals; and how many times that of the same hops without TLS";
    html! {
        div class="scroll stick" tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr {
                    th scope="col" { "placement" }
                    @for (workload, pass) in &columns {
                        th scope="col" class="n" {
                            @match pass {
                                Pass::Cpu => { (workload) span class="under" { "CPU µs per " (workload.operation()) } }
                                Pass::Latency => { "latency" span class="under" { "median, µs" } }
                            }
                        }
                        th scope="col" { "verdict on TLS" }
                    }
                } }
                tbody {
                    @for placement in &lab.placements {
                        tr class=[placement.twin.is_none().then_some("twin")] {
                            th scope="row" { (placement.name) }
                            @for column in &columns { (cells(lab, &placement.name, *column)) }
                        }
                    }
                }
            }
        }
    }
}

/// What a trial is measured for: its CPU time, or how long an operation takes.
fn figure_of(trial: &TrialReport) -> String {
    match trial.pass {
        Pass::Cpu => micros(trial.cpu_ns_per_operation.as_ref()),
        Pass::Latency => {
            let whole = trial.medians.iter().find(|one| one.phase == Phase::Corrected.as_str());
            micros(whole.and_then(|whole| whole.p50_ns.as_ref()))
        }
    }
}

fn cells(lab: &LabReport, placement: &str, (workload, pass): (Workload, Pass)) -> Markup {
    let trial = lab.trial(placement, workload, pass);
    html! {
        @match trial {
            Some(trial) => td class="n" { (figure_of(trial)) },
            None => td class="n faint" { "-" },
        }
        td class="says" {
            @if let Some(effect) = lab.beside_twin(placement, workload, pass) {
                span class=(effect.verdict) {
                    @if effect.verdict == "none" { "no verdict" } @else { (effect.says) }
                }
                span class="under" { (ratio(effect.ratio.as_ref())) }
            } @else if trial.is_some() {
                span class="under" { "is a twin" }
            }
        }
    }
}

fn effects_section(lab: &LabReport, id: &str) -> Markup {
    let row = |effect: &EffectReport| {
        let chance = |chance: Option<f64>| chance.map_or("-".to_owned(), |p| format!("{p:.3}"));
        vec![
            Cell::Head(effect.placement.clone()),
            Cell::Text(effect.against.clone()),
            Cell::Name(parts::compared(effect)),
            Cell::Number(micros(effect.difference_ns.as_ref())),
            Cell::Number(ratio(effect.ratio.as_ref())),
            Cell::Number(chance(effect.chance)),
            Cell::Number(chance(effect.sign_flip)),
            Cell::Long(effect.says.clone()),
        ]
    };
    let rows: Vec<Vec<Cell>> = lab.effects.iter().map(row).collect();
    let header = [
        "placement",
        "beside",
        "in",
        "adds, µs",
        "ratio",
        "chance (Holm)",
        "chance (sign flips)",
        "verdict",
    ];
    html! {
        h3 id=(format!("{id}-effects")) { "Effects" }
        p { "Each comparison was declared before the run. An interval that reaches the line of 1 leaves \
             open whether there is a difference; the word follows a rule that was fixed before." }
        (parts::panels(&effects::pictures(lab, id), "panels"))
        (parts::folded("The same as a table", &parts::table("Effects in CPU time of all hops per operation, and in medians of phases", &header, &rows)))
    }
}

fn cpu(lab: &LabReport, id: &str) -> Markup {
    let mut roles: Vec<Role> =
        lab.trials.iter().flat_map(|trial| trial.hops.iter().map(|hop| hop.role)).collect();
    roles.sort_unstable();
    roles.dedup();
    html! {
        h3 id=(format!("{id}-cpu")) { "CPU time, hop by hop" }
        p { "CPU time of all processes of a hop, user and kernel, divided by operations that succeeded." }
        (figure::hops_legend(&roles))
        (parts::panels(&stack::pictures(lab, id), "panels"))
        (parts::folded("The same as a table, with load and memory", &costs(lab, &roles)))
    }
}

/// What each trial costs, hop by hop.
fn costs(lab: &LabReport, roles: &[Role]) -> Markup {
    let mut header: Vec<String> = ["placement", "workload"].map(str::to_owned).to_vec();
    header.extend(roles.iter().map(|role| format!("{role}, µs")));
    let rest = [
        "all hops, µs",
        "hops busy",
        "client, µs",
        "cores at 1,000/s",
        "Gbit/s per core",
        "per second",
        "succeeded",
    ];
    header.extend(rest.map(str::to_owned));
    header.extend(roles.iter().map(|role| format!("{role}: busy, user share, memory")));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows: Vec<Vec<Cell>> = lab.trials.iter().map(|trial| cost(trial, roles)).collect();
    parts::table("CPU time per operation with 95 % intervals", &header, &rows)
}

fn cost(trial: &TrialReport, roles: &[Role]) -> Vec<Cell> {
    let hop = |role: &Role| trial.hops.iter().find(|hop| hop.role == *role);
    let mut row = vec![Cell::Head(trial.placement.clone()), Cell::Name(trial.under())];
    row.extend(roles.iter().map(|role| {
        Cell::Number(micros(hop(role).and_then(|hop| hop.cpu_ns_per_operation.as_ref())))
    }));
    row.extend([
        Cell::Number(micros(trial.cpu_ns_per_operation.as_ref())),
        Cell::Number(percent(trial.busy)),
        Cell::Number(micros(trial.client.cpu_ns_per_operation.as_ref())),
        Cell::Number(small(trial.cores_at_1000_per_second.as_ref())),
        Cell::Number(small(trial.gbit_per_core.as_ref())),
        Cell::Number(per_second(trial.client.operations_per_second.as_ref())),
        Cell::Number(number(trial.client.succeeded)),
    ]);
    row.extend(roles.iter().map(|role| match hop(role) {
        Some(hop) => {
            let user = percent(hop.user_share);
            Cell::Number(format!("{}, {user}, {}", percent(hop.busy), bytes(hop.peak_bytes)))
        }
        None => Cell::Number("-".to_owned()),
    }));
    row
}

fn placements(lab: &LabReport, id: &str) -> Markup {
    let pictures: Vec<_> = lab
        .placements
        .iter()
        .map(|placement| topology::picture(lab, placement, &format!("{id}-placement")))
        .collect();
    let noted: Vec<(String, &String)> = lab
        .trials
        .iter()
        .flat_map(|trial| trial.hops.iter().map(move |hop| (trial, hop)))
        .flat_map(|(trial, hop)| {
            hop.notes.iter().map(move |note| (format!("{} of {}", hop.role, trial.placement), note))
        })
        .collect();
    html! {
        h3 id=(format!("{id}-placements")) { "Placements" }
        p { "A strong line carries TLS. A hop with a strong frame ends it, and so holds the key; one with \
             a broken frame passes it on. Below each hop: its CPU time per operation." }
        (parts::panels(&pictures, "panels"))
        @for (hop, note) in noted { p class="note" { (hop) ": " (note) } }
    }
}

fn latency(lab: &LabReport, id: &str) -> Markup {
    let name = |trial: &TrialReport| format!("{}, {}", trial.placement, trial.under());
    // Times under full load say little, but there may be no others.
    let is_open = !lab.workloads(Pass::Latency).is_empty();
    let pass = if is_open { Pass::Latency } else { Pass::Cpu };
    html! {
        h3 id=(format!("{id}-latency")) { "Latency" }
        p {
            "Of whole operations, as clients saw them. "
            @if is_open { (OPEN) } @else { (CLOSED) }
            " Both axes are logarithmic; the horizontal one by how rare a time is."
        }
        @if is_open { (medians(lab)) }
        (curves::legend(is_open, true))
        @for workload in lab.workloads(pass) {
            @let pictures = curves::pictures(&panels(lab, workload, pass, id));
            @if !pictures.is_empty() {
                h4 { (workload) }
                (parts::panels(&pictures, "panels small"))
            }
        }
        (parts::folded("The same as a table, phase by phase", &parts::quantiles(lab.trials.iter().map(|trial| (name(trial), &trial.client)), true)))
    }
}

/// How long the phases of a connection take, and how much of that TLS adds.
fn medians(lab: &LabReport) -> Markup {
    let of_pass = || lab.trials.iter().filter(|trial| trial.pass == Pass::Latency);
    let median = |trial: &TrialReport, phase: Phase| {
        let found = trial.medians.iter().find(|one| one.phase == phase.as_str());
        micros(found.and_then(|one| one.p50_ns.as_ref()))
    };
    let rows = of_pass().map(|trial| {
        let name = [Cell::Head(trial.placement.clone())].into_iter();
        let medians = CONNECTION.map(|(phase, _)| Cell::Number(median(trial, phase)));
        let busy = [Cell::Number(percent(trial.busy)), Cell::Number(percent(trial.client_busy))];
        name.chain(medians).chain(busy).collect()
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    let header = ["placement"].into_iter().chain(CONNECTION.map(|(_, name)| name));
    let header: Vec<&str> = header.chain(["hops busy", "generator busy"]).collect();
    let rate = of_pass().find_map(|trial| trial.rate).unwrap_or_default();
    let caption = format!("Medians at {rate:.0} connections per second, µs, with 95 % intervals");
    parts::table(&caption, &header, &rows)
}

/// A panel for each placement with TLS, its twin behind it.
fn panels<'a>(lab: &'a LabReport, workload: Workload, pass: Pass, id: &str) -> Vec<Panel<'a>> {
    let panel = |trial: &'a TrialReport| {
        let placement = lab.placements.iter().find(|one| one.name == trial.placement)?;
        let twin = placement.twin.as_ref()?;
        let same = lab.trial(twin, workload, pass);
        let twin = same.or_else(|| lab.trial(twin, workload.of_twin(), pass));
        Some(Panel {
            id: format!("{id}-latency-{}-{workload}", trial.placement),
            title: trial.placement.clone(),
            of: &trial.client,
            twin: twin.map(|trial| &trial.client),
            is_shared: true,
        })
    };
    lab.trials_of(workload, pass).filter_map(panel).collect()
}

/// Whether the fitted costs hold for traffic that they had not seen, where that was measured.
fn model_check(lab: &LabReport, id: &str) -> Markup {
    let Some(of) = &lab.model else { return Markup::default() };
    let row = |row: &PredictionReport| {
        vec![
            Cell::Head(row.placement.clone()),
            Cell::Text(row.role.to_string()),
            Cell::Number(small(row.predicted_cores.as_ref())),
            Cell::Number(format!("{:.3}", row.measured_cores)),
            Cell::Text(if row.holds { "holds" } else { "off" }.to_owned()),
        ]
    };
    let rows: Vec<Vec<Cell>> = of.rows.iter().map(row).collect();
    let header =
        ["placement", "hop", "predicted, cores", "measured, cores", "within 10 % or 0.01 core"];
    let pictures: Vec<_> = model::picture(of, id).into_iter().collect();
    html! {
        h3 id=(format!("{id}-model")) { "Model check" }
        p { (parts::prose(&of.says)) "." }
        @if !rows.is_empty() {
            (parts::panels(&pictures, "panels"))
            (parts::folded("The same as a table", &parts::table("The mix that was held out", &header, &rows)))
        }
        p class="note" { "The fitted costs that chose the mix: SHA-256 " code { (of.fit_sha256) } "." }
    }
}

/// Memory of idle connections, where it was measured.
fn idle(lab: &LabReport, id: &str) -> Markup {
    let rows: Vec<Vec<Cell>> = lab
        .idle
        .iter()
        .flat_map(|idle| idle.hops.iter().map(move |hop| (idle, hop)))
        .map(|(idle, hop)| {
            vec![
                Cell::Head(idle.placement.clone()),
                Cell::Text(hop.role.to_string()),
                Cell::Number(number(idle.connections.into())),
                Cell::Number(number(idle.readings.into())),
                Cell::Number(bytes(hop.before_bytes)),
                Cell::Number(bytes(hop.after_bytes)),
                Cell::Number(bytes_each(&hop.each)),
            ]
        })
        .collect();
    let header =
        ["placement", "hop", "connections", "readings", "before", "with them", "each takes"];
    html! {
        @if !rows.is_empty() {
            h3 id=(format!("{id}-idle")) { "Idle connections" }
            (parts::table("Resident memory before connections were made, and while they stood", &header, &rows))
        }
    }
}

fn environment(lab: &LabReport) -> Markup {
    let cores = |cores: &[u32]| {
        let cores: Vec<String> = cores.iter().map(u32::to_string).collect();
        if cores.is_empty() { "none of its own".to_owned() } else { cores.join(", ") }
    };
    let mut more = vec![
        ("generator", format!("core {}", cores(&lab.generator_cores))),
        ("hops", format!("core {}", cores(&lab.hop_cores))),
    ];
    more.extend(lab.others.as_ref().map(|others| {
        let share = others.share * 100.0;
        (
            "others",
            format!("{share:.1} % of the machine, most of it {}, {}", others.top, others.top_ns),
        )
    }));
    parts::environment(&lab.environment, &more)
}

fn method(lab: &LabReport) -> Markup {
    html! {
        p { (super::super::lab_method(lab)) }
        (parts::notes(&lab.notes, None))
        p { "By " (lab.program) ", from " (lab.started) " to " (lab.ended) ":" }
        (parts::command(&lab.environment.command))
        p { "What was asked for, with every key said:" }
        (parts::folded("TOML", &parts::verbatim(&lab.lab)))
    }
}

/// Phases in the order in which they come about.
const CONNECTION: [(Phase, &str); 6] = [
    (Phase::Connect, "TCP connect"),
    (Phase::Handshake, "TLS"),
    (Phase::Confirmed, "confirmed"),
    (Phase::FirstByte, "first byte"),
    (Phase::LastByte, "last byte"),
    (Phase::Corrected, "whole"),
];
const OPEN: &str = "Connections arrived evenly, at one moderate rate for all placements.";
const CLOSED: &str = "Loops were closed: as many connections as there were kept all hops busy, so \
                      these are times under full load.";
const SECTIONS: [(&str, &str); 7] = [
    ("effects", "Effects"),
    ("cpu", "CPU by hop"),
    ("placements", "Placements"),
    ("latency", "Latency"),
    ("gates", "Gates"),
    ("environment", "Environment"),
    ("method", "Method"),
];
