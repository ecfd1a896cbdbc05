//! The findings of a run over placements, first of all: sentences, and the table of verdicts.

use maud::{Markup, html};
use tlsbench_core::lab::{Pass, Workload};
use tlsbench_core::report::{IS_BASELINE, LabReport, TrialReport, micros, ratio};
use tlsbench_core::tally::Phase;

use super::super::parts;

pub(super) fn verdict(lab: &LabReport, id: &str) -> Markup {
    let mut statements = lab.statements.iter();
    html! {
        p class="facts" {
            (parts::moment(&lab.started)) " · hops of " (super::engines(lab)) " · " (lab.environment.cpu_model) ", "
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

/// Names the figure that a trial is measured for: CPU time, or the time of an operation.
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
                span class="under" { (IS_BASELINE) }
            }
        }
    }
}

const SECTIONS: [(&str, &str); 7] = [
    ("effects", "Effects"),
    ("cpu", "CPU by hop"),
    ("placements", "Placements"),
    ("latency", "Latency"),
    ("gates", "Gates"),
    ("environment", "Environment"),
    ("method", "Method"),
];
