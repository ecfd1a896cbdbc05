//! The chapter of a run over endpoints.

use std::net::SocketAddr;

use maud::{Markup, html};
use tlsbench_core::report::{AddressReport, RunReport, TargetReport, number, per_second, time};
use tlsbench_core::tally::Phase;

use super::curves::{self, CurvePanel};
use super::parts::{self, Cell};
use super::rounds;

/// Everything that is said of a run.
pub(super) fn chapter(run: &RunReport, id: &str, is_alone: bool) -> Markup {
    html! {
        article id=(id) {
            @if !is_alone { h2 { (run.record) } }
            p class="facts" { (parts::moment(&run.started)) " · " (run.program) }
            @for target in &run.targets { p class="lead" { (lead(target)) } }
            (parts::state(&run.gates, &format!("{id}-gates")))
            (parts::notes(&[], run.interrupted.as_ref().filter(|_| !run.complete)))
            (summary(run))
            (latency(run, id))
            h3 id=(format!("{id}-rounds")) { "Rounds" }
            p { "Operations per second, round by round; the line is the mean, the band its 95 % interval." }
            (parts::panels(&round_pictures(run, id), "panels small"))
            h3 id=(format!("{id}-shape")) { "Shape" }
            (shape(run))
            h3 id=(format!("{id}-gates")) { "Gates" }
            (parts::gates(&run.gates))
            h3 id=(format!("{id}-environment")) { "Environment" }
            @for environment in &run.environments { (parts::environment(environment, &[])) }
            h3 id=(format!("{id}-method")) { "Method" }
            (method(run))
        }
    }
}

fn lead(target: &TargetReport) -> String {
    let at = |name| target.latency().and_then(|phase| phase.quantile(name));
    let mut text = format!(
        "{}: {} operations per second",
        target.name,
        per_second(target.operations_per_second.as_ref())
    );
    if let (Some(middle), Some(tail)) = (at("p50"), at("p99")) {
        text.push_str(&format!(", p50 {middle}, p99 {tail}"));
    }
    if target.failed > 0 {
        text.push_str(&format!(", {} failed", number(target.failed)));
    }
    text + "."
}

fn summary(run: &RunReport) -> Markup {
    let row = |target: &TargetReport| {
        let at = |phase: Option<_>, name| {
            let found =
                phase.and_then(|phase: &tlsbench_core::report::PhaseReport| phase.quantile(name));
            Cell::Number(found.map_or_else(|| "-".to_owned(), ToString::to_string))
        };
        let spoiled: Vec<&str> = target.spoiled.iter().map(|family| family.as_str()).collect();
        vec![
            Cell::Head(target.name.clone()),
            Cell::Number(per_second(target.operations_per_second.as_ref())),
            Cell::Number(per_second(target.connections_per_second.as_ref())),
            Cell::Number(time(target.cpu_ns_per_operation.as_ref())),
            at(target.phase(Phase::Confirmed), "p50"),
            at(target.latency(), "p50"),
            at(target.latency(), "p99"),
            Cell::Number(number(target.failed)),
            Cell::Number(number(target.missed)),
            Cell::Number(number(target.unanswered.operations)),
            Cell::Number(target.rounds.to_string()),
            Cell::Text(if spoiled.is_empty() { "-".to_owned() } else { spoiled.join(", ") }),
        ]
    };
    let header = [
        "target",
        "per second",
        "connections per second",
        "generator's CPU per operation",
        "handshake p50",
        "p50",
        "p99",
        "failed",
        "missed",
        "unanswered",
        "rounds",
        "no verdict on",
    ];
    let rows: Vec<Vec<Cell>> = run.targets.iter().map(row).collect();
    parts::table("What was measured, with 95 % intervals", &header, &rows)
}

fn latency(run: &RunReport, id: &str) -> Markup {
    let panel = |(index, target)| {
        let target: &TargetReport = target;
        let id = format!("{id}-latency-{index}");
        CurvePanel { id, title: target.name.clone(), of: target, twin: None, is_shared: false }
    };
    let panels: Vec<CurvePanel<'_>> = run.targets.iter().enumerate().map(panel).collect();
    let is_open = run.targets.iter().any(|target| target.phase(Phase::Corrected).is_some());
    let targets = run.targets.iter().map(|target| (target.name.clone(), target));
    html! {
        h3 id=(format!("{id}-latency")) { "Latency" }
        p { "Of whole operations. Both axes are logarithmic; the horizontal one by how rare a time is." }
        (curves::legend(is_open, false))
        (parts::panels(&curves::pictures(&panels), "panels small"))
        (parts::folded("The same as a table, phase by phase", &parts::quantiles(targets, false)))
    }
}

fn round_pictures(run: &RunReport, id: &str) -> Vec<super::figure::Picture> {
    let targets = run.targets.iter().enumerate();
    targets.filter_map(|(n, target)| rounds::picture(target, format!("{id}-rounds-{n}"))).collect()
}

fn shape(run: &RunReport) -> Markup {
    let row = |target: &TargetReport| {
        let shape = &target.shape;
        let counts = [
            target.connections,
            shape.full,
            shape.resumed,
            shape.retried,
            shape.wanted_ticket,
            shape.early_data,
            target.bytes_read,
            target.bytes_written,
        ];
        let cells = counts.map(|count| Cell::Number(number(count)));
        [Cell::Head(target.name.clone())].into_iter().chain(cells).collect()
    };
    let header = [
        "target",
        "connections",
        "full",
        "resumed",
        "retried",
        "wanted a ticket",
        "early data",
        "bytes read",
        "bytes written",
    ];
    let rows: Vec<Vec<Cell>> = run.targets.iter().map(row).collect();
    let pairs = |of: &dyn Fn(&TargetReport) -> Vec<(String, u64)>| -> Vec<Vec<Cell>> {
        let each = run.targets.iter().flat_map(|target| {
            of(target).into_iter().map(|(what, count)| {
                vec![Cell::Head(target.name.clone()), Cell::Text(what), Cell::Number(number(count))]
            })
        });
        each.collect()
    };
    let owned = |map: &std::collections::BTreeMap<String, u64>| {
        map.iter().map(|(what, count)| (what.clone(), *count)).collect()
    };
    let negotiated = pairs(&|target| owned(&target.shape.negotiated));
    let statuses = pairs(&|target| {
        target.notable_statuses().map(|(status, count)| (status.to_string(), count)).collect()
    });
    let failures = pairs(&|target| target.failures_in_detail().collect());
    let addresses = addresses(run);
    html! {
        (parts::table("What handshakes came to, and bytes of sockets", &header, &rows))
        @if !negotiated.is_empty() {
            (parts::table("What was negotiated", &["target", "negotiated", "connections"], &negotiated))
        }
        @if !statuses.is_empty() {
            (parts::table("Responses by status", &["target", "status", "responses"], &statuses))
        }
        @if !failures.is_empty() {
            (parts::table("Failures", &["target", "why", "operations"], &failures))
        }
        @if !addresses.is_empty() {
            (parts::table(
                "Operations by address",
                &["target", "address", "succeeded", "failed", "failed by"],
                &addresses,
            ))
        }
    }
}

fn addresses(run: &RunReport) -> Vec<Vec<Cell>> {
    let of_target = |target: &TargetReport| {
        let name = target.name.clone();
        let row = |(address, ended): (SocketAddr, &AddressReport)| {
            vec![
                Cell::Head(name.clone()),
                Cell::Text(address.to_string()),
                Cell::Number(number(ended.succeeded)),
                Cell::Number(number(ended.failed)),
                Cell::Text(ended.why()),
            ]
        };
        target.by_address().map(row).collect::<Vec<_>>()
    };
    run.targets.iter().flat_map(of_target).collect()
}

fn method(run: &RunReport) -> Markup {
    html! {
        p { (parts::prose(super::super::METHOD)) }
        (parts::notes(&run.notes, None))
        p { "By " (run.program) ", from " (run.started) " to " (run.ended) ":" }
        @for environment in &run.environments { (parts::command(&environment.command)) }
        p { "The scenario, with every key said:" }
        (parts::folded("TOML", &parts::verbatim(&run.scenario)))
    }
}
