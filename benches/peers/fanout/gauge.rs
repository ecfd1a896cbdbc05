//! CPU time and memory of a process, read from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Reads the CPU time of one process.
///
/// `/proc/PID/stat` counts in hundredths of a second, too coarse for what trustd takes; the scheduler
/// counts nanoseconds for each thread. A thread that ended keeps what was last read of it.
#[derive(Debug)]
pub(crate) struct Gauge {
    process: u32,
    threads: HashMap<String, u64>,
}

impl Gauge {
    /// A gauge of this process.
    pub(crate) fn of(process: u32) -> Self {
        Self { process, threads: HashMap::new() }
    }

    /// The CPU time that it has used since its start.
    ///
    /// # Errors
    /// Fails when there is no such process, or the kernel does not count.
    pub(crate) fn cpu(&mut self) -> Result<Duration> {
        let folder = format!("/proc/{}/task", self.process);
        let threads = fs::read_dir(&folder).with_context(|| format!("cannot list `{folder}`"))?;
        for thread in threads {
            let thread = thread?;
            // A thread may end between the list and the look.
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let spent = text.split(' ').next().and_then(|spent| spent.parse().ok());
            let name = thread.file_name().to_string_lossy().into_owned();
            self.threads.insert(name, spent.context("`schedstat` holds no number")?);
        }
        Ok(Duration::from_nanos(self.threads.values().sum()))
    }

    /// The most memory that it has had resident, in bytes.
    ///
    /// # Errors
    /// Fails when there is no such process.
    pub(crate) fn memory_peak(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.process);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kibibytes.context("the kernel does not tell the memory peak")? * 1024)
    }
}
