//! Progress of work in steps that are mostly over soon.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tlsbench_core::escape::printable;

/// A line that tells how many steps are done, once the work has gone on for two seconds.
#[derive(Debug)]
pub struct StepProgress {
    bar: ProgressBar,
    begin: Instant,
}

impl StepProgress {
    /// A bar with a name before it, which is not shown yet.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} {bar:20} {pos}/{len}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self { bar, begin: Instant::now() }
    }

    /// Shows how many of all steps are done. Silent where stderr is no terminal.
    pub fn done(&self, done: u32, of: u32) {
        self.bar.set_length(u64::from(of));
        self.bar.set_position(u64::from(done));
        if self.bar.is_hidden() && self.begin.elapsed() > SHOWN_AFTER {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Says something on stderr, above the line of progress where there is one.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{}", printable(text)));
    }

    /// Ends it and takes it off the screen.
    // The bar is wiped, so that the terminal ends with the answer alone.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Nobody wonders before.
const SHOWN_AFTER: Duration = Duration::from_secs(2);
