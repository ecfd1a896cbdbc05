//! The link between a shard and the thread that started it: counts, requests to stop, and finished
//! rounds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use tlsbench_core::tally::Tally;
use tlsbench_core::usage::Lap;

use super::collect::RoundPart;
use crate::load::{LoadCounts, Monitor};
use crate::shard::{Live, Stop};

/// The shard's side of the link: reports a hundred times a second, and sends finished rounds.
pub(super) struct ShardMonitor<'l> {
    pub(super) live: Arc<Live>,
    pub(super) stops: [&'l Stop; 2],
    pub(super) rounds: Sender<RoundPart>,
}

impl ShardMonitor<'_> {
    pub(super) fn tell(&self, round: u32, counts: LoadCounts) {
        self.live.succeeded.store(counts.succeeded, Ordering::Relaxed);
        self.live.failed.store(counts.failed, Ordering::Relaxed);
        self.live.missed.store(counts.missed, Ordering::Relaxed);
        self.live.failed_in_rounds.store(counts.failed_in_rounds, Ordering::Relaxed);
        self.live.late.store(counts.late, Ordering::Relaxed);
        self.live.round.store(round.into(), Ordering::Relaxed);
    }
}

impl Monitor for ShardMonitor<'_> {
    fn look(&mut self, round: u32, counts: LoadCounts) -> bool {
        self.tell(round, counts);
        !self.stops.iter().any(|stop| stop.is_asked())
    }

    fn take(&mut self, round: u32, tally: Tally, lap: Lap) {
        // Whoever collects goes only after the threads, so somebody takes it.
        let _ = self.rounds.send(RoundPart { round, tally, lap });
    }
}
