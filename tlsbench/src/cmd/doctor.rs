//! `tlsbench doctor`: is this machine fit to measure, and what is to be changed?
//!
//! Looks and judges; changes nothing.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use comfy_table::{Table, presets};
use serde_json::json;
use tlsbench_core::warning::{CheckLine, Fitness};
use tlsbench_engine::clock::{self, Clock};
use tlsbench_engine::probe::{self, Machine};

use super::answer::Answer;
use crate::exit::Exit;
use crate::progress::StepProgress;
use crate::settings::OutputFormat;

mod ceiling;
mod judge;

/// Looks at the machine for about four seconds, and says what is unfit and how to mend it.
pub(super) fn answer(output: OutputFormat) -> anyhow::Result<Answer> {
    let lines = look()?;
    Ok(Answer::new(said(&lines, output), exit(&lines)))
}

fn look() -> anyhow::Result<Vec<CheckLine>> {
    let shown = StepProgress::new("looking");
    let lines = look_in_steps(|step| shown.done(step, STEPS));
    shown.finish();
    lines
}

fn look_in_steps(done: impl Fn(u32)) -> anyhow::Result<Vec<CheckLine>> {
    let root = Path::new("/");
    let machine = Machine::read(root);
    let cores = machine.cores.clone().unwrap_or_default();
    // Read before and after the look, because only the difference tells of throttling now.
    let quota = probe::quota(root);

    let ticks_before = probe::cpu_ticks(root);
    let (wall, own) = (Clock::Monotonic.now(), Clock::ProcessCpu.now());
    let monotonic = Clock::Monotonic.quality();
    let cpu_clock = Clock::ProcessCpu.quality();
    // Load is read over the same span as wake-ups, so that lateness can be told from load.
    let lateness = clock::lateness(WAKEUPS, PAUSE).context("cannot measure wake-ups")?;
    let wall = Clock::Monotonic.now() - wall;
    let own = Clock::ProcessCpu.now() - own;
    let load = ticks_before
        .zip(probe::cpu_ticks(root))
        .and_then(|(before, after)| probe::load(&before, &after, wall, own));
    done(1);
    let drift = probe::drift();
    let frequency = probe::frequency(root, &cores);
    done(2);
    // After the clocks, which its load would disturb.
    let ceiling = ceiling::requests_per_second();
    done(3);
    let proxies = probe::proxies(&std::env::var_os("PATH").unwrap_or_default());
    done(STEPS);

    let mut lines = judge::machine(&machine);
    lines.push(judge::drift(drift, frequency));
    lines.extend(judge::load(load));
    lines.push(judge::steal_since_boot(ticks_before.as_ref()));
    lines.extend(judge::quota(quota, probe::quota(root), cores.len()));
    lines.extend(judge::clocks(machine.clock_source.as_deref(), monotonic, cpu_clock, lateness));
    lines.extend(judge::limits(&machine));
    lines.push(judge::ceiling(ceiling));
    lines.push(judge::proxies(&proxies));
    Ok(lines)
}

/// No when one line is unfit; what is unknown is not held against the machine.
fn exit(lines: &[CheckLine]) -> Exit {
    if is_fit(lines) { Exit::Fine } else { Exit::Negative }
}

fn said(lines: &[CheckLine], output: OutputFormat) -> String {
    match output {
        OutputFormat::Json => {
            let document = json!({ "version": 1, "fit": is_fit(lines), "lines": lines });
            format!("{document:#}\n")
        }
        OutputFormat::Table => text(lines),
    }
}

/// Cures stand below the table: beside it they would not fit on a screen.
fn text(lines: &[CheckLine]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "value", "limit", "verdict"]);
    for line in lines {
        table.add_row([line.name, &line.value, &line.limit, line.verdict.word()]);
    }
    let mut text = format!("{}\n", table.trim_fmt());
    for warning in lines.iter().filter_map(CheckLine::warning) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    let unfit = lines.iter().filter(|line| line.warning().is_some()).count();
    let unknown = lines.iter().filter(|line| line.verdict == Fitness::Unknown).count();
    let verdict = if unfit == 0 { "fit" } else { "unfit" };
    text.push_str(&format!(
        "this machine is {verdict}: {unfit} unfit and {unknown} unknown of {}\n",
        lines.len()
    ));
    text
}

fn is_fit(lines: &[CheckLine]) -> bool {
    lines.iter().all(|line| line.warning().is_none())
}

/// The load and the clocks, the drift, the ceiling, the proxies.
const STEPS: u32 = 4;
/// 1,500 wake-ups leave 15 above the 99th percentile.
const WAKEUPS: NonZeroU32 = NonZeroU32::new(1_500).unwrap();
/// 1,500 × 1 ms = 1.5 s, long enough for the load as well: 150 kernel ticks a CPU.
const PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use tlsbench_core::warning::Warning;

    fn lines(unfit: bool) -> Vec<CheckLine> {
        let warning = Warning { seen: "1".into(), cause: "2".into(), cure: "add cores".into() };
        let verdict = if unfit { Fitness::Unfit(warning) } else { Fitness::Fit };
        vec![
            CheckLine { name: "cores", value: "1".into(), limit: "at least 2".into(), verdict },
            CheckLine::unknown("steal", "at most 1 %"),
        ]
    }

    fn printed(unfit: bool, output: OutputFormat) -> String {
        said(&lines(unfit), output)
    }

    #[test]
    fn only_an_unfit_line_is_a_negative_answer() {
        assert_eq!(exit(&lines(true)), Exit::Negative);
        assert_eq!(exit(&lines(false)), Exit::Fine);
    }

    #[test]
    fn the_table_has_a_cure_and_a_sum() {
        let text = printed(true, OutputFormat::Table);
        assert!(text.contains("add cores"), "{text}");
        assert!(text.ends_with("this machine is unfit: 1 unfit and 1 unknown of 2\n"), "{text}");
        let text = printed(false, OutputFormat::Table);
        assert!(!text.contains("warning"), "{text}");
        assert!(text.ends_with("this machine is fit: 0 unfit and 1 unknown of 2\n"), "{text}");
    }

    #[test]
    fn json_says_the_same() {
        let json: serde_json::Value =
            serde_json::from_str(&printed(true, OutputFormat::Json)).unwrap();
        assert_eq!(json["fit"], false);
        assert_eq!(json["lines"][0]["cure"], "add cores");
        assert_eq!(json["lines"][1]["verdict"], "unknown");
    }
}
