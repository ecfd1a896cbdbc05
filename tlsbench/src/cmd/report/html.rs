//! A report as one HTML file: pictures and style within it, no script, and nothing asked of any
//! network.
//!
//! Writes down what the report says, and computes nothing but where things stand in pictures.

mod curves;
mod effects;
mod figure;
mod lab;
mod model;
mod parts;
mod rounds;
mod run;
mod scale;
mod stack;
mod topology;

use maud::{DOCTYPE, Markup, html};
use tlsbench_core::report::{Report, gates_in_short};

/// The report as a page.
pub(super) fn write(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(report))
            body {
                (figure::patterns())
                header {
                    h1 { (title(report)) }
                    @if !is_alone(report) { (overview(report)) }
                }
                main {
                    @for (index, lab) in report.labs.iter().enumerate() {
                        (lab::chapter(lab, &format!("p{index}"), is_alone(report)))
                    }
                    @for (index, run) in report.runs.iter().enumerate() {
                        (run::chapter(run, &format!("e{index}"), is_alone(report)))
                    }
                }
                footer { "Made by " (report.program) " from " (files(report)) "." }
            }
        }
    };
    page.into_string()
}

fn is_alone(report: &Report) -> bool {
    report.labs.len() + report.runs.len() == 1
}

const fn title(report: &Report) -> &'static str {
    if report.runs.is_empty() { "Where TLS ends, and what it costs" } else { "tlsbench report" }
}

fn head(report: &Report) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            // Should a browser disagree on what is text: nothing runs, and nothing is fetched.
            meta http-equiv="Content-Security-Policy"
                content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
            meta name="generator" content=(report.program);
            title { (title(report)) }
            link rel="icon" href="data:,";
            (parts::style())
        }
    }
}

/// Several records, one line each.
fn overview(report: &Report) -> Markup {
    html! {
        div class="scroll stick" tabindex="0" role="region" aria-label="Records" {
            table {
                thead { tr {
                    th scope="col" { "record" } th scope="col" { "started" }
                    th scope="col" { "gates" } th scope="col" { "in a sentence" }
                } }
                tbody {
                    @for (index, lab) in report.labs.iter().enumerate() {
                        (overview_row(&format!("p{index}"), &lab.record, &lab.started, lab.gates.len(),
                            lab.statements.first().map_or("-", |statement| &statement.text)))
                    }
                    @for (index, run) in report.runs.iter().enumerate() {
                        @let names: Vec<&str> = run.targets.iter().map(|one| one.name.as_str()).collect();
                        (overview_row(&format!("e{index}"), &run.record, &run.started, run.gates.len(),
                            &format!("endpoints {}", names.join(", "))))
                    }
                }
            }
        }
    }
}

fn overview_row(id: &str, record: &str, started: &str, failing: usize, says: &str) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(format!("#{id}")) { (record) } }
            td { (parts::moment(started)) }
            td { (gates_in_short(failing)) }
            td class="cause" { (says) }
        }
    }
}

fn files(report: &Report) -> String {
    let labs = report.labs.iter().map(|lab| lab.record.as_str());
    let names: Vec<&str> = labs.chain(report.runs.iter().map(|run| run.record.as_str())).collect();
    names.join(", ")
}
