//! How figures stand in cells.

use comfy_table::{Table, presets};
use tlsbench_core::stats::Estimate;

/// A table without lines.
pub(super) fn table(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table
}

/// An estimate with its interval, in microseconds.
pub(super) fn micros(estimate: Option<&Estimate>) -> String {
    match estimate {
        Some(Estimate { value, low, high, .. }) => {
            format!("{value:.1} ± {:.1}", (high - low) / 2.0)
        }
        None => NOTHING.to_owned(),
    }
}

/// How many times as much, with its interval.
pub(super) fn ratio(estimate: Option<&Estimate>) -> String {
    match estimate {
        Some(Estimate { value, low, high, .. }) => format!("{value:.2} ×, {low:.2} to {high:.2}"),
        None => NOTHING.to_owned(),
    }
}

/// A part of a whole, in hundredths.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| NOTHING.to_owned(), |share| format!("{:.0} %", share * 100.0))
}

pub(super) const NOTHING: &str = "-";
