//! Words before and while a run over placements goes on.

use std::time::Duration;

use tlsbench_core::lab::{Lab, Workload};
use tlsbench_core::record::lab::PilotRecord;
use tlsbench_core::units::Nanos;

use super::cells::{NOTHING, percent, table};

/// Says about how long the run takes, pass by pass.
pub(crate) fn span(lab: &Lab) -> String {
    let mut parts = vec![format!("{} of pilot", seconds(lab.pilot_span()))];
    if !lab.workloads.is_empty() {
        let rounds = lab.rounds;
        parts.push(format!("{} of CPU time in {rounds} rounds", seconds(lab.cpu_span())));
    }
    if let Some(pass) = &lab.latency {
        let rounds = pass.rounds;
        parts.push(format!("{} of latency in {rounds} rounds", seconds(lab.latency_span())));
    }
    if lab.idle_connections > 0 {
        parts.push(format!("{} of idle connections", seconds(lab.idle_span())));
    }
    format!("this takes about {}: {}", seconds(lab.span()), parts.join(", "))
}

fn seconds(span: Nanos) -> String {
    match span.as_secs_f64() {
        long if long >= 600.0 => format!("{:.0} min", long / 60.0),
        short => format!("{:.0} s", short.ceil()),
    }
}

/// Tabulates the pilot, with the time since the run began.
pub(crate) fn first(lab: &Lab, pilot: &[PilotRecord], after: Duration, columns: u16) -> String {
    let placements = lab.placements.iter();
    let longest = placements.max_by_key(|placement| placement.hops.len());
    let roles: Vec<String> =
        longest.into_iter().flat_map(|p| p.hops.iter().map(|hop| hop.role.to_string())).collect();
    let hops = roles.len();
    let mut header = vec!["placement".to_owned()];
    header.extend(roles);
    header.extend(["all hops", "per second", "generator busy"].map(str::to_owned));
    let mut table = table(header, columns);
    for seen in pilot {
        let mut cells = vec![seen.placement.clone()];
        cells.extend(seen.hops_ns.iter().map(|nanos| micros(*nanos)));
        cells.resize(1 + hops, NOTHING.to_owned());
        cells.push(micros(seen.hops_ns.iter().sum()));
        if seen.operations_per_second == 0.0 {
            cells.iter_mut().skip(1).for_each(|cell| NOTHING.clone_into(cell));
        }
        cells.push(format!("{:.0}", seen.operations_per_second));
        cells.push(percent(Some(seen.generator_share)));
        table.add_row(cells);
    }
    format!(
        "first look after {:.1} s, one slice of {} each, no verdicts yet: CPU time per connection of \
         `{}`, µs\n{}\n",
        after.as_secs_f64(),
        lab.pilot_slice(),
        Workload::Full,
        table.trim_fmt()
    )
}

fn micros(nanos: f64) -> String {
    format!("{:.0}", nanos / 1_000.0)
}
