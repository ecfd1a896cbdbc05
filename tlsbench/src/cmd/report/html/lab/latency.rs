//! The latency of operations.

use maud::{Markup, html};
use tlsbench_core::lab::{Pass, Workload};
use tlsbench_core::report::{LabReport, TrialReport, micros, percent};
use tlsbench_core::tally::Phase;

use super::super::curves::{self, CurvePanel};
use super::super::parts::{self, Cell};

pub(super) fn latency(lab: &LabReport, id: &str) -> Markup {
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

/// Tabulates the phases of a connection, and how much of each TLS adds.
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
fn panels<'a>(lab: &'a LabReport, workload: Workload, pass: Pass, id: &str) -> Vec<CurvePanel<'a>> {
    let panel = |trial: &'a TrialReport| {
        let placement = lab.placements.iter().find(|one| one.name == trial.placement)?;
        let twin = placement.twin.as_ref()?;
        let same = lab.trial(twin, workload, pass);
        let twin = same.or_else(|| lab.trial(twin, workload.of_twin(), pass));
        Some(CurvePanel {
            id: format!("{id}-latency-{}-{workload}", trial.placement),
            title: trial.placement.clone(),
            of: &trial.client,
            twin: twin.map(|trial| &trial.client),
            is_shared: true,
        })
    };
    lab.trials_of(workload, pass).filter_map(panel).collect()
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
