//! Logs, as text or JSON: events with fields, never with what a source holds.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Beside an answer on stdout.
    Stderr,
    /// Where the peer writes them.
    #[default]
    Stdout,
}

/// Starts logging. `level` counts as the peer's `-v` does: 0 warnings, 1 what happens, 2 and more
/// what is done in detail, 5 and more everything.
///
/// Libraries log warnings only, at any level: some of them quote bodies.
pub fn start(format: Format, level: u8, stream: Stream) {
    let own = match level {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2..=4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::default()
        .add_directive(LevelFilter::OFF.into())
        .add_directive(own_directive(own));
    let writer = match stream {
        Stream::Stderr => BoxMakeWriter::new(std::io::stderr),
        Stream::Stdout => BoxMakeWriter::new(std::io::stdout),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // A second start, as in tests, leaves the first one in place.
    let _ = match format {
        Format::Json => lines.json().flatten_event(true).try_init(),
        Format::Text => lines.with_ansi(false).try_init(),
    };
}

fn own_directive(level: LevelFilter) -> tracing_subscriber::filter::Directive {
    format!("trustd={level}").parse().unwrap_or_else(|_| level.into())
}
