//! The chapter of a run over placements.

mod cpu;
mod latency;
mod verdict;

use maud::{Markup, html};
use tlsbench_core::lab::EngineName;
use tlsbench_core::report::{
    EffectReport, LabReport, PredictionReport, bytes, bytes_each, micros, number, ratio, small,
};

use super::parts::{self, Cell};
use super::{effects, model, topology};

/// Everything that is said of a run.
pub(super) fn chapter(lab: &LabReport, id: &str, is_alone: bool) -> Markup {
    html! {
        article id=(id) {
            @if !is_alone { h2 { (lab.record) } }
            (verdict::verdict(lab, id))
            (effects_section(lab, id))
            (cpu::cpu(lab, id))
            (placements(lab, id))
            (latency::latency(lab, id))
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

/// Shows whether the fitted costs hold for traffic that they had not seen, where that was measured.
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
