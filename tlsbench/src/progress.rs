//! Progress on stderr: only where somebody looks at it, and gone when the work is done.

mod steps;

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tlsbench_core::escape::{printable, printable_line};
use tlsbench_core::tally::Phase;
use tlsbench_core::units::Nanos;
use tlsbench_engine::run::Progress;

pub use steps::StepProgress;

/// A line that tells how far a run is and how fast it goes.
#[derive(Debug)]
pub struct RunProgress {
    bar: ProgressBar,
    targets: Vec<String>,
    last: Option<(usize, u64, Instant)>,
    /// The 99th percentile of the last round.
    p99: Option<Nanos>,
}

impl RunProgress {
    /// Progress over so many rounds of each target; silent where stderr is no terminal.
    #[must_use]
    pub fn new(targets: Vec<String>, rounds: u32) -> Self {
        let total = u64::from(rounds).saturating_mul(targets.len() as u64);
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:20} {pos}/{len} rounds  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, targets, last: None, p99: None }
    }

    /// Takes notice.
    pub fn notice(&mut self, progress: &Progress) {
        match progress {
            Progress::RoundBegins { .. } | Progress::StageEnds { .. } | Progress::Note(_) => {}
            Progress::RoundEnds { .. } => self.bar.inc(1),
            Progress::Counts { target, succeeded, failed, missed } => {
                self.count(*target, *succeeded, *failed, *missed);
            }
            Progress::Slice(slice) => {
                let series = [Phase::Corrected, Phase::Uncorrected];
                let mut timed = series.map(|phase| slice.tally.histogram(phase)).into_iter();
                let timed = timed.find(|timed| !timed.is_empty());
                self.p99 = timed.map(|timed| Nanos(timed.value_at_quantile(0.99)));
            }
        }
    }

    /// Says something on stderr, above the line of progress where there is one.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{}", printable(text)));
    }

    fn count(&mut self, target: usize, succeeded: u64, failed: u64, missed: u64) {
        let now = Instant::now();
        let (last_target, before, then) = *self.last.get_or_insert((target, succeeded, now));
        let seconds = now.duration_since(then).as_secs_f64();
        let counted_anew = last_target != target || succeeded < before;
        if seconds < SECONDS_BETWEEN && !counted_anew {
            return;
        }
        self.last = Some((target, succeeded, now));
        if counted_anew {
            return;
        }
        let rate = (succeeded - before) as f64 / seconds;
        let name = self.targets.get(target).map_or("?", String::as_str);
        let p99 = self.p99.map(|p99| format!(", p99 {p99}")).unwrap_or_default();
        let text = format!("{name}: {rate:.0}/s{p99}, {failed} failed, {missed} missed");
        self.bar.set_message(printable_line(&text).into_owned());
    }

    /// Ends it and takes it off the screen.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Often enough to follow, seldom enough to read.
const SECONDS_BETWEEN: f64 = 0.5;
