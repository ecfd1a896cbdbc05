//! Figures as cells of tables.

use comfy_table::{ContentArrangement, Table, presets};
use tlsbench_core::stats::Estimate;

/// A table without lines, so many columns of characters wide at most: longer cells go on below.
pub(super) fn table(header: Vec<String>, columns: u16) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    table.set_header(header);
    table
}

/// An estimate with its interval, in microseconds.
pub(super) fn micros(estimate: Option<&Estimate>) -> String {
    match estimate {
        Some(Estimate { value, low, high, .. }) => {
            let half = (high - low) / 2.0;
            let digits = decimals(half);
            format!("{value:.digits$} ± {half:.digits$}")
        }
        None => NOTHING.to_owned(),
    }
}

/// A difference with its sign and its interval, in microseconds.
pub(super) fn signed(difference: Option<&Estimate>) -> String {
    let sign = difference.map_or("", |of| if of.value < 0.0 { "" } else { "+" });
    format!("{sign}{}", micros(difference))
}

/// Tenths say nothing where the interval is wider than some of the whole.
fn decimals(half: f64) -> usize {
    usize::from(half < 10.0)
}

/// Formats a ratio with its interval.
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
