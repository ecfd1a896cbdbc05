//! Signals that ask a run to end.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tlsbench_engine::run::Stop;

use crate::exit::signal_seen;

/// Asks the run to end when the process is asked to. It takes a moment until all is written down,
/// and more signals change nothing meanwhile; one after that ends the process at once, as usual.
pub(crate) fn stop_on_signals(stop: &Arc<Stop>) -> anyhow::Result<()> {
    let (asked, overdue) = (signal_seen(), Arc::new(AtomicBool::new(false)));
    for signal in STOP_SIGNALS.into_iter().filter(|signal| !is_ignored(*signal)) {
        // The default action is armed only once the run is overdue. Before that, an impatient
        // second Ctrl-C would lose the record.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&overdue))?;
        let number = usize::try_from(signal)?;
        signal_hook::flag::register_usize(signal, Arc::clone(asked), number)?;
    }
    // A thread polls, because a handler may do next to nothing, and shards must not look at signals
    // a hundred times a second.
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        while asked.load(Ordering::Relaxed) == 0 {
            thread::sleep(SIGNAL_PAUSE);
        }
        stop.ask();
        thread::sleep(STOP_MAX);
        overdue.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Returns true if this process was started with a signal ignored, as by `nohup`: it stays ignored.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    // Bit 0 stands for signal 1.
    let bit = u32::try_from(signal - 1).ok().and_then(|bit| 1_u64.checked_shl(bit));
    bit.is_some_and(|bit| mask & bit != 0)
}

/// A terminal that closes, Ctrl-C, and what service managers and `kill` send.
const STOP_SIGNALS: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];
/// The longest time until a signal is seen.
const SIGNAL_PAUSE: Duration = Duration::from_millis(20);
/// Shards stop within 10 ms, and the record of the most rounds that a run may have is written in
/// less than ten seconds: after thirty, something hangs.
const STOP_MAX: Duration = Duration::from_secs(30);
