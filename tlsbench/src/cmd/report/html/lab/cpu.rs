//! CPU time, hop by hop.

use maud::{Markup, html};
use tlsbench_core::placement::Role;
use tlsbench_core::report::{
    LabReport, TrialReport, bytes, micros, number, per_second, percent, small,
};

use super::super::super::COST_HEADS;
use super::super::parts::{self, Cell};
use super::super::{figure, stack};

pub(super) fn cpu(lab: &LabReport, id: &str) -> Markup {
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

/// Tabulates the cost of each trial, hop by hop.
fn costs(lab: &LabReport, roles: &[Role]) -> Markup {
    let mut header: Vec<String> = ["placement", "workload"].map(str::to_owned).to_vec();
    header.extend(roles.iter().map(|role| format!("{role}, µs")));
    header.extend(COST_HEADS.map(str::to_owned));
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
