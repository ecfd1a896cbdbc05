//! Resources that a process and its descendants use: CPU time by the CPU clocks, the rest from
//! `/proc`.
//!
//! The processes are found again with each reading. What a process used after the last reading
//! before its end is not known; a reading says how many ended.

use std::collections::BTreeMap;
use std::io;

use procfs::ProcError;
use procfs::process::{Process, Stat, Task};
use thiserror::Error;
use tlsbench_core::units::{NANOS_PER_SECOND, Nanos};
use tlsbench_core::usage::{Cpu, Memory, Usage};

use crate::clock::{Clock, cpu_of_process};

/// A process and all that descend from it, and threads of the kernel that work for them alone.
#[derive(Debug)]
pub struct Tree {
    /// The process at the root; `None` if there are only kernel threads.
    root: Option<u32>,
    threads: Vec<u32>,
    members: BTreeMap<u32, Member>,
    /// The time when the clocks were read.
    at: Nanos,
    /// Resources of members that have ended.
    past: Usage,
    ended: u32,
    tick: Nanos,
}

/// A reading of a tree's resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The time when the CPU clocks were read, by the monotonic clock.
    pub at: Nanos,
    /// Resources used up to now, processes that ended included as far as they were seen.
    pub usage: Usage,
    /// The memory that it has now.
    pub memory: Memory,
    /// Processes there are now.
    pub processes: u32,
    /// Threads there are now.
    pub threads: u32,
    /// Processes of the tree that have ended since it is known.
    pub ended: u32,
}

/// A process that is read.
#[derive(Debug)]
struct Member {
    /// The start in ticks since boot: another process with the same number began later.
    started: u64,
    usage: Usage,
    /// Waiting and switches of each thread, so that those of threads that end are not lost.
    threads: BTreeMap<i32, Waits>,
    past: Waits,
}

/// The ways in which threads waited.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    queued: Nanos,
    voluntary: u64,
    involuntary: u64,
}

/// The reason why a tree cannot be read.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The process it begins with is not there (any more).
    #[error("process {pid} is not there")]
    Gone {
        /// The number.
        pid: u32,
    },
    /// The process is of another PID namespace, or `/proc` shows none of it.
    #[error("cannot read the CPU clock of process {pid}")]
    Clock {
        /// The number.
        pid: u32,
        /// The cause.
        source: io::Error,
    },
    /// `/proc` does not show the processes.
    #[error("cannot list the processes below /proc")]
    List(#[source] ProcError),
}

impl Tree {
    /// The tree that begins with a process.
    ///
    /// # Errors
    /// When the process cannot be read.
    pub fn of(pid: u32) -> Result<Self, TreeError> {
        Self::with_threads(pid, &[])
    }

    /// The same with threads of the kernel, which each are a process to it.
    ///
    /// # Errors
    /// When the process cannot be read.
    pub fn with_threads(pid: u32, threads: &[u32]) -> Result<Self, TreeError> {
        let mut tree = Self::new(Some(pid), threads);
        tree.find(&Processes::now()?)?;
        Ok(tree)
    }

    /// Creates a tree of kernel threads only.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn of_threads(threads: &[u32]) -> Result<Self, TreeError> {
        let mut tree = Self::new(None, threads);
        if !threads.is_empty() {
            tree.find(&Processes::now()?)?;
        }
        Ok(tree)
    }

    fn new(root: Option<u32>, threads: &[u32]) -> Self {
        let tick = Nanos(NANOS_PER_SECOND / procfs::ticks_per_second().max(1));
        let (members, past, at) = (BTreeMap::new(), Usage::default(), Clock::Monotonic.now());
        Self { root, threads: threads.to_vec(), members, at, past, ended: 0, tick }
    }

    /// Reads what was used up to now: first the clocks of the processes that are known, so that
    /// finding others costs them no time of the span.
    ///
    /// # Errors
    /// When the first process has ended, or `/proc` cannot be read.
    pub fn read(&mut self) -> Result<Reading, TreeError> {
        self.clocks();
        self.find(&Processes::now()?)?;
        Ok(self.reading())
    }

    /// Reads the CPU clocks of the processes that are known: a microsecond each, where the rest
    /// takes milliseconds.
    pub fn clocks(&mut self) {
        self.at = Clock::Monotonic.now();
        for (pid, member) in &mut self.members {
            // One that has ended keeps what it had, until it is missed.
            if let Ok(total) = cpu_of_process(*pid) {
                member.usage.cpu.total = total;
            }
        }
    }

    /// Finds processes that are new, and misses those that have ended.
    ///
    /// # Errors
    /// When the first process has ended, or its clock cannot be read.
    pub fn find(&mut self, all: &Processes) -> Result<(), TreeError> {
        let mut found = self.root.map(|root| all.below(root)).unwrap_or_default();
        if let Some(pid) = self.root.filter(|_| found.is_empty()) {
            return Err(TreeError::Gone { pid });
        }
        found.extend(self.threads.iter().filter_map(|pid| Some((*pid, all.0.get(pid)?))));
        self.let_go(&found);
        for (pid, stat) in found {
            // Its clock was read together with all others: another reading now would make its span
            // longer than theirs.
            if self.members.contains_key(&pid) {
                continue;
            }
            match cpu_of_process(pid) {
                Ok(total) => drop(self.members.insert(pid, Member::new(stat.starttime, total))),
                Err(source) if Some(pid) == self.root => {
                    return Err(TreeError::Clock { pid, source });
                }
                // It has just ended, before anything was known of it.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Returns the resources used up to the last reading of the clocks, with the rest of what is
    /// known of the processes as it is now.
    pub fn reading(&mut self) -> Reading {
        let mut reading = Reading { at: self.at, ended: self.ended, ..Reading::default() };
        for (pid, member) in &mut self.members {
            let Some((process, stat)) = member.process(*pid) else { continue };
            member.usage.cpu.user = Nanos(self.tick.0.saturating_mul(stat.utime));
            member.usage.cpu.system = Nanos(self.tick.0.saturating_mul(stat.stime));
            member.read_threads(&process);
            reading.memory = reading.memory + memory(&process);
            reading.threads += u32::try_from(stat.num_threads).unwrap_or_default();
        }
        reading.processes = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        reading.usage = self.members.values().fold(self.past, |sum, member| sum + member.usage());
        reading
    }

    /// Numbers of the processes, as of the last reading.
    pub fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        self.members.keys().copied()
    }

    fn let_go(&mut self, found: &BTreeMap<u32, &Stat>) {
        self.members.retain(|pid, member| {
            let is_there = found.get(pid).is_some_and(|stat| stat.starttime == member.started);
            if !is_there {
                self.past = self.past + member.usage();
                self.ended = self.ended.saturating_add(1);
            }
            is_there
        });
    }
}

impl Member {
    fn new(started: u64, total: Nanos) -> Self {
        let usage = Usage { cpu: Cpu { total, ..Cpu::default() }, ..Usage::default() };
        Self { started, usage, threads: BTreeMap::new(), past: Waits::default() }
    }

    /// Returns a process, unless it has ended.
    fn process(&self, pid: u32) -> Option<(Process, Stat)> {
        let process = Process::new(i32::try_from(pid).ok()?).ok()?;
        let stat = process.stat().ok()?;
        (stat.starttime == self.started).then_some((process, stat))
    }

    fn usage(&self) -> Usage {
        let waits = self.threads.values().fold(self.past, |sum, waits| sum.and(*waits));
        Usage {
            waited: waits.queued,
            voluntary_switches: waits.voluntary,
            involuntary_switches: waits.involuntary,
            ..self.usage
        }
    }

    fn read_threads(&mut self, process: &Process) {
        let Ok(tasks) = process.tasks() else { return };
        let seen: BTreeMap<i32, Waits> =
            tasks.flatten().filter_map(|task| Some((task.tid, waits(&task)?))).collect();
        for (tid, last) in std::mem::replace(&mut self.threads, seen) {
            // A number that is used again begins below what its former thread had.
            let goes_on =
                |now: &Waits| now.queued >= last.queued && now.voluntary >= last.voluntary;
            if !self.threads.get(&tid).is_some_and(goes_on) {
                self.past = self.past.and(last);
            }
        }
    }
}

impl Waits {
    fn and(self, more: Self) -> Self {
        Self {
            queued: self.queued + more.queued,
            voluntary: self.voluntary.saturating_add(more.voluntary),
            involuntary: self.involuntary.saturating_add(more.involuntary),
        }
    }
}

/// The CPU time of all other processes up to now.
#[derive(Debug)]
pub struct Others {
    begun: BTreeMap<(u32, u64), Nanos>,
}

/// A process that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The number.
    pub pid: u32,
    /// The name, as the kernel has it.
    pub name: String,
    /// The CPU time that it used meanwhile.
    pub cpu: Nanos,
}

impl Others {
    /// Reads the clocks of all processes.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn begin() -> Result<Self, TreeError> {
        let clock =
            |(pid, stat): (u32, Stat)| Some(((pid, stat.starttime), cpu_of_process(pid).ok()?));
        Ok(Self { begun: Processes::now()?.0.into_iter().filter_map(clock).collect() })
    }

    /// Returns the use of each process that is not among `ours` since then, the busiest first;
    /// those that used nothing are left out, and so are those that have ended.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn since(&self, ours: impl Fn(u32) -> bool) -> Result<Vec<Other>, TreeError> {
        let mut others: Vec<Other> = Processes::now()?
            .0
            .into_iter()
            .filter(|(pid, _)| !ours(*pid))
            .filter_map(|(pid, stat)| {
                let now = cpu_of_process(pid).ok()?;
                let before = self.begun.get(&(pid, stat.starttime)).copied().unwrap_or_default();
                Some(Other { pid, name: stat.comm, cpu: now - before })
            })
            .filter(|other| other.cpu > Nanos(0))
            .collect();
        others.sort_by_key(|other| std::cmp::Reverse(other.cpu));
        Ok(others)
    }
}

/// All processes that there are, as of one moment.
#[derive(Debug)]
pub struct Processes(BTreeMap<u32, Stat>);

impl Processes {
    /// Those of now: some milliseconds for hundreds of them.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn now() -> Result<Self, TreeError> {
        let all = procfs::process::all_processes().map_err(TreeError::List)?;
        // Processes may end while they are listed.
        let stats = all.flatten().filter_map(|process| process.stat().ok());
        let by_pid = stats.filter_map(|stat| Some((u32::try_from(stat.pid).ok()?, stat)));
        Ok(Self(by_pid.collect()))
    }

    /// Numbers of the process and of those below it, at any depth.
    pub fn pids_below(&self, root: u32) -> impl Iterator<Item = u32> {
        self.below(root).into_keys().collect::<Vec<_>>().into_iter()
    }

    /// The process and those below it, at any depth; none where it is not there.
    fn below(&self, root: u32) -> BTreeMap<u32, &Stat> {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (pid, stat) in &self.0 {
            children.entry(u32::try_from(stat.ppid).unwrap_or_default()).or_default().push(*pid);
        }
        let mut found = BTreeMap::new();
        let mut next = vec![root];
        while let Some(pid) = next.pop() {
            if let Some(stat) = self.0.get(&pid) {
                found.insert(pid, stat);
                next.extend(children.remove(&pid).unwrap_or_default());
            }
        }
        found
    }
}

fn memory(process: &Process) -> Memory {
    let Ok(status) = process.status() else { return Memory::default() };
    let bytes = |kib: Option<u64>| kib.unwrap_or_default().saturating_mul(1024);
    Memory { resident_bytes: bytes(status.vmrss), peak_bytes: bytes(status.vmhwm) }
}

fn waits(task: &Task) -> Option<Waits> {
    let status = task.status().ok()?;
    Some(Waits {
        // A kernel without scheduler statistics has no such file.
        queued: Nanos(task.schedstat().map_or(0, |stat| stat.run_delay)),
        voluntary: status.voluntary_ctxt_switches.unwrap_or_default(),
        involuntary: status.nonvoluntary_ctxt_switches.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
