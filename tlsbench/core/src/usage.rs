//! Time and CPU time that were used, and what ended meanwhile.

use serde::{Deserialize, Serialize};

use crate::units::Nanos;

/// CPU time of a process, exited threads included, or of a thread. In nanoseconds where written
/// down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// All of it, by the CPU clock of the process or thread.
    #[serde(rename = "total_ns")]
    pub total: Nanos,
    /// CPU time in user mode, in the kernel's ticks of usually 10 ms.
    #[serde(rename = "user_ns")]
    pub user: Nanos,
    /// CPU time in the kernel, in the same ticks.
    #[serde(rename = "system_ns")]
    pub system: Nanos,
}

impl std::ops::Add for Cpu {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            total: self.total + more.total,
            user: self.user + more.user,
            system: self.system + more.system,
        }
    }
}

impl std::ops::Sub for Cpu {
    type Output = Self;

    /// Usage between two readings.
    fn sub(self, earlier: Self) -> Self {
        Self {
            total: self.total - earlier.total,
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }
}

/// Usage of the processes of a hop, or of the generator, together. It only ever grows, so that the
/// difference of two readings is what was used between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time.
    #[serde(flatten)]
    pub cpu: Cpu,
    /// Time that threads were ready to run and waited for a CPU; of threads that ended, up to the
    /// last reading before that.
    #[serde(rename = "waited_ns")]
    pub waited: Nanos,
    /// Voluntary context switches.
    pub voluntary_switches: u64,
    /// Involuntary context switches.
    pub involuntary_switches: u64,
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            cpu: self.cpu + more.cpu,
            waited: self.waited + more.waited,
            voluntary_switches: self.voluntary_switches.saturating_add(more.voluntary_switches),
            involuntary_switches: self
                .involuntary_switches
                .saturating_add(more.involuntary_switches),
        }
    }
}

impl std::ops::Sub for Usage {
    type Output = Self;

    /// Usage between two readings.
    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu - earlier.cpu,
            waited: self.waited - earlier.waited,
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(earlier.involuntary_switches),
        }
    }
}

/// Memory of the processes of a hop, in bytes. Pages that several share count for each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident now.
    pub resident_bytes: u64,
    /// The sum of what each process had resident at most, at whatever moment.
    pub peak_bytes: u64,
}

impl std::ops::Add for Memory {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            resident_bytes: self.resident_bytes.saturating_add(more.resident_bytes),
            peak_bytes: self.peak_bytes.saturating_add(more.peak_bytes),
        }
    }
}

/// Usage of a hop while nothing was requested of it. In nanoseconds where written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Time from one reading of its CPU clock to the other.
    #[serde(rename = "wall_ns")]
    pub wall: Nanos,
    /// CPU time meanwhile.
    #[serde(rename = "cpu_ns")]
    pub cpu: Nanos,
}

/// A round as its threads went through it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lap {
    /// Duration.
    pub wall: Nanos,
    /// CPU time of all threads.
    pub cpu: Cpu,
    /// CPU time of the busiest thread.
    pub busiest_thread: Nanos,
    /// Operations that ended in each second of it, in order; the last may be shorter.
    pub seconds: Vec<Second>,
    /// Operations under way at its end.
    pub under_way: UnderWay,
}

/// Operations that had begun and not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// Number of operations.
    pub operations: u64,
    /// Age of the oldest of them.
    pub oldest_ns: Nanos,
}

impl UnderWay {
    /// Adds those of another thread, time or generator.
    pub fn add(&mut self, other: &Self) {
        self.operations = self.operations.saturating_add(other.operations);
        // Counts add up; an age does not.
        self.oldest_ns = self.oldest_ns.max(other.oldest_ns);
    }
}

/// A second of a round, or what is left of it at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Length: a second and at most a few hundredths, except for the last.
    pub wall_ns: Nanos,
    /// Operations that ended well in it.
    pub succeeded: u64,
    /// Operations that failed in it.
    pub failed: u64,
    /// Starts that were given up in it.
    pub missed: u64,
    /// CPU time of all threads in it.
    pub cpu_ns: Nanos,
}

impl Lap {
    /// Adds what the kernel did for these threads in threads of its own, on the cores that these
    /// keep to: it is their work, and the busiest of them had that much less of its core.
    pub fn add_receiving(&mut self, cpu: Cpu) {
        self.cpu = self.cpu + cpu;
        // The kernel's threads took that much of the core on which the busiest thread runs.
        self.busiest_thread = self.busiest_thread + cpu.total;
    }

    /// Adds another thread that went through the same round at the same time.
    pub fn add_thread(&mut self, other: &Self) {
        // Threads run side by side: a round is as long as its longest.
        self.wall = self.wall.max(other.wall);
        self.cpu = self.cpu + other.cpu;
        self.busiest_thread = self.busiest_thread.max(other.busiest_thread);
        self.under_way.add(&other.under_way);
        for (index, theirs) in other.seconds.iter().enumerate() {
            match self.seconds.get_mut(index) {
                Some(ours) => ours.add(theirs),
                None => self.seconds.push(*theirs),
            }
        }
    }
}

impl Second {
    fn add(&mut self, other: &Self) {
        self.wall_ns = self.wall_ns.max(other.wall_ns);
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.failed = self.failed.saturating_add(other.failed);
        self.missed = self.missed.saturating_add(other.missed);
        self.cpu_ns = self.cpu_ns + other.cpu_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_round_add_up_second_by_second() {
        let second = |n| Second {
            wall_ns: Nanos(n),
            succeeded: n,
            failed: 2 * n,
            missed: 3 * n,
            cpu_ns: Nanos(4 * n),
        };
        let thread = |wall, used, seconds| Lap {
            wall: Nanos(wall),
            cpu: Cpu { total: Nanos(used), user: Nanos(1), system: Nanos(2) },
            busiest_thread: Nanos(used),
            seconds,
            under_way: UnderWay { operations: used, oldest_ns: Nanos(wall) },
        };
        let mut lap = thread(20, 7, vec![second(1)]);
        lap.add_thread(&thread(19, 9, vec![second(10), second(100)]));
        let both =
            Second { wall_ns: Nanos(10), succeeded: 11, failed: 22, missed: 33, cpu_ns: Nanos(44) };
        let expected = Lap {
            wall: Nanos(20),
            cpu: Cpu { total: Nanos(16), user: Nanos(2), system: Nanos(4) },
            busiest_thread: Nanos(9),
            seconds: vec![both, second(100)],
            under_way: UnderWay { operations: 16, oldest_ns: Nanos(20) },
        };
        assert_eq!(lap, expected);
    }

    #[test]
    fn what_the_kernel_received_for_threads_is_their_work() {
        let cpu = |n| Cpu { total: Nanos(n), user: Nanos(0), system: Nanos(n) };
        let mut lap = Lap { cpu: cpu(7), busiest_thread: Nanos(5), ..Lap::default() };
        lap.add_receiving(cpu(3));
        assert_eq!((lap.cpu, lap.busiest_thread), (cpu(10), Nanos(8)));
    }

    #[test]
    fn what_was_used_lies_between_two_readings() {
        let reading = |n| Cpu { total: Nanos(3 * n), user: Nanos(2 * n), system: Nanos(n) };
        assert_eq!(reading(5) - reading(3), reading(2));
        assert_eq!(reading(5) + reading(3), reading(8));
    }
}
