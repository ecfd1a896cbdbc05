//! What idle connections take.

use tlsbench_core::record::lab::{IdleRecord, LabRecord};

use super::cells::{NOTHING, table};

/// A table of memory per idle connection; nothing where none were held.
pub(super) fn text(record: &LabRecord) -> String {
    let Some(longest) = record.idle.iter().max_by_key(|idle| idle.hops.len()) else {
        return String::new();
    };
    let hops = longest.hops.len();
    let mut header = vec!["placement".to_owned()];
    header.extend(longest.hops.iter().map(|hop| hop.role.to_string()));
    header.extend(["all hops", "connections"].map(str::to_owned));
    let mut table = table(header);
    for idle in &record.idle {
        let IdleRecord { placement, connections, .. } = idle;
        let each = idle.hops.iter().map(|hop| hop.bytes_per_connection);
        let mut cells = vec![placement.clone()];
        cells.extend(each.clone().map(kibibytes));
        cells.resize(1 + hops, NOTHING.to_owned());
        cells.extend([kibibytes(each.sum()), connections.to_string()]);
        table.add_row(cells);
    }
    format!(
        "idle connections: resident memory for each, KiB; one reading, so no interval\n{}\n\n",
        table.trim_fmt()
    )
}

fn kibibytes(bytes: f64) -> String {
    format!("{:.1}", bytes / 1_024.0)
}
