//! The memory of idle connections.

use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::report::{BytesEach, IdleReport};

use super::cells::{NOTHING, table};

/// A table of memory per idle connection; nothing where none were held.
pub(super) fn text(record: &LabRecord, columns: u16) -> String {
    let all = IdleReport::all(record);
    let Some(longest) = all.iter().max_by_key(|idle| idle.hops.len()) else {
        return String::new();
    };
    let hops = longest.hops.len();
    let mut header = vec!["placement".to_owned()];
    header.extend(longest.hops.iter().map(|hop| hop.role.to_string()));
    header.extend(["all hops", "connections", "readings"].map(str::to_owned));
    let mut table = table(header, columns);
    for idle in &all {
        let mut cells = vec![idle.placement.clone()];
        cells.extend(idle.hops.iter().map(|hop| kibibytes(&hop.each)));
        cells.resize(1 + hops, NOTHING.to_owned());
        cells.push(kibibytes(&idle.all));
        cells.extend([idle.connections, idle.readings].map(|count| count.to_string()));
        table.add_row(cells);
    }
    let is_once = all.iter().all(|idle| idle.readings < 2);
    let how = if is_once { "one reading, so no interval" } else { "95 % intervals" };
    format!("idle connections: resident memory for each, KiB; {how}\n{}\n\n", table.trim_fmt())
}

fn kibibytes(each: &BytesEach) -> String {
    let BytesEach { bytes_per_connection, interval } = each;
    let of = |bytes: f64| bytes / 1_024.0;
    match interval {
        Some(known) => {
            format!("{:.1} ± {:.1}", of(known.value), of((known.high - known.low) / 2.0))
        }
        None => format!("{:.1}", of(*bytes_per_connection)),
    }
}
