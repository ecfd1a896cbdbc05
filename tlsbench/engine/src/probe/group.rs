//! Resources that a control group used: for processes whose own clocks cannot be read, as those in
//! another PID namespace. Versions 1 and 2.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tlsbench_core::units::{NANOS_PER_SECOND, Nanos};
use tlsbench_core::usage::{Cpu, Memory, Usage};

use crate::clock::Clock;

use super::tree::Reading;

/// A control group that keeps account of CPU time: a folder below `/sys/fs/cgroup`.
#[derive(Clone, Debug)]
pub struct Group {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// `cpuacct.usage`, in nanoseconds; memory is another hierarchy's.
    One,
    /// `cpu.stat`, in microseconds.
    Two,
}

/// The reason why a control group cannot be read.
#[derive(Debug, Error)]
pub enum GroupError {
    /// The folder has none of the files.
    #[error(
        "`{}` keeps no account of CPU time: it has neither `cpu.stat` with `usage_usec` nor \
         `cpuacct.usage`; name a group of the unified hierarchy, or one of cpuacct",
        folder.display()
    )]
    NoAccount {
        /// The folder.
        folder: PathBuf,
    },
    /// A file could be read before, and now cannot.
    #[error("cannot read `{}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file does not say what it should.
    #[error("`{}` says no number for `{field}`", file.display())]
    Number {
        /// The file.
        file: PathBuf,
        /// The field that is missing.
        field: &'static str,
    },
}

impl Group {
    /// The group of this folder.
    ///
    /// # Errors
    /// When it keeps no account of CPU time.
    pub fn of(folder: &Path) -> Result<Self, GroupError> {
        let has_usage = |text: String| number_after(&text, "usage_usec").is_some();
        let version = if std::fs::read_to_string(folder.join(STAT)).is_ok_and(has_usage) {
            Version::Two
        } else if folder.join(ACCOUNT).exists() {
            Version::One
        } else {
            return Err(GroupError::NoAccount { folder: folder.to_owned() });
        };
        Ok(Self { folder: folder.to_owned(), version })
    }

    /// Reads what it used up to now. Waiting and switches are not accounted for and stay 0.
    ///
    /// # Errors
    /// When the group is gone, or its files are strange.
    pub fn read(&self) -> Result<Reading, GroupError> {
        let at = Clock::Monotonic.now();
        let cpu = match self.version {
            Version::One => self.cpu_of_version_1()?,
            Version::Two => self.cpu_of_version_2()?,
        };
        let lines = |text: String| u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
        let count = |file| self.text(file).map(lines).unwrap_or_default();
        Ok(Reading {
            at,
            usage: Usage { cpu, ..Usage::default() },
            memory: self.memory(),
            processes: count("cgroup.procs"),
            threads: count(match self.version {
                Version::One => "tasks",
                Version::Two => "cgroup.threads",
            }),
            ended: 0,
        })
    }

    fn cpu_of_version_2(&self) -> Result<Cpu, GroupError> {
        let text = self.text(STAT)?;
        let time = |field| {
            let micros = number_after(&text, field)
                .ok_or_else(|| GroupError::Number { file: self.folder.join(STAT), field })?;
            Ok(Nanos(micros.saturating_mul(1_000)))
        };
        Ok(Cpu {
            total: time("usage_usec")?,
            user: time("user_usec")?,
            system: time("system_usec")?,
        })
    }

    fn cpu_of_version_1(&self) -> Result<Cpu, GroupError> {
        let total = self
            .text(ACCOUNT)?
            .trim()
            .parse()
            .map_err(|_| GroupError::Number { file: self.folder.join(ACCOUNT), field: ACCOUNT })?;
        let tick = NANOS_PER_SECOND / procfs::ticks_per_second().max(1);
        // The split is a nicety: without it the total stands.
        let split = self.text("cpuacct.stat").unwrap_or_default();
        let ticks = |field| number_after(&split, field).unwrap_or_default().saturating_mul(tick);
        Ok(Cpu { total: Nanos(total), user: Nanos(ticks("user")), system: Nanos(ticks("system")) })
    }

    fn memory(&self) -> Memory {
        let bytes = |file| self.text(file).ok().and_then(|text| text.trim().parse().ok());
        let resident_bytes = bytes("memory.current").unwrap_or_default();
        // Older kernels keep no peak.
        Memory { resident_bytes, peak_bytes: bytes("memory.peak").unwrap_or(resident_bytes) }
    }

    fn text(&self, file: &str) -> Result<String, GroupError> {
        let file = self.folder.join(file);
        std::fs::read_to_string(&file).map_err(|source| GroupError::Read { file, source })
    }
}

/// The number on the line that begins with `field`.
fn number_after(text: &str, field: &str) -> Option<u64> {
    let of_field = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        (name == field).then_some(number)?.trim().parse().ok()
    };
    text.lines().find_map(of_field)
}

const STAT: &str = "cpu.stat";
const ACCOUNT: &str = "cpuacct.usage";

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Child, Command, Stdio};

    use super::super::tests::tree;
    use super::*;

    #[test]
    fn version_2_counts_microseconds_and_bytes() {
        let stat = "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\nnr_periods 0\n";
        let root = tree(&[
            ("cpu.stat", stat),
            ("memory.current", "4096\n"),
            ("memory.peak", "8192\n"),
            ("cgroup.procs", "1\n7\n"),
            ("cgroup.threads", "1\n7\n8\n"),
        ]);
        let reading = Group::of(root.path()).unwrap().read().unwrap();
        let cpu = Cpu {
            total: Nanos(1_234_567_000),
            user: Nanos(1_000_000_000),
            system: Nanos(234_567_000),
        };
        assert_eq!(reading.usage, Usage { cpu, ..Usage::default() });
        assert_eq!(reading.memory, Memory { resident_bytes: 4_096, peak_bytes: 8_192 });
        assert_eq!((reading.processes, reading.threads), (2, 3));
    }

    #[test]
    fn version_1_counts_nanoseconds_and_ticks() {
        // Its `cpu.stat` tells of throttling only.
        let files = [
            ("cpu.stat", "nr_periods 0\n"),
            ("cpuacct.usage", "5000000123\n"),
            ("cpuacct.stat", "user 400\nsystem 100\n"),
        ];
        let root = tree(&files);
        let reading = Group::of(root.path()).unwrap().read().unwrap();
        let per_tick = NANOS_PER_SECOND / procfs::ticks_per_second();
        let cpu = Cpu {
            total: Nanos(5_000_000_123),
            user: Nanos(400 * per_tick),
            system: Nanos(100 * per_tick),
        };
        assert_eq!(reading.usage.cpu, cpu);
        assert_eq!(reading.memory, Memory::default());
    }

    #[test]
    fn folders_without_an_account_and_strange_files_are_errors_that_name_them() {
        let root = tree(&[("cpu.stat", "nr_periods 0\n")]);
        let error = Group::of(root.path()).unwrap_err().to_string();
        assert!(error.contains(&root.path().display().to_string()), "{error}");
        assert!(error.contains("cpuacct.usage"), "{error}");

        let strange = [
            ("cpu.stat", "usage_usec 1\nuser_usec many\n", "`user_usec`"),
            ("cpuacct.usage", "\n", "`cpuacct.usage`"),
        ];
        for (file, text, field) in strange {
            let root = tree(&[(file, text)]);
            let error = Group::of(root.path()).unwrap().read().unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(field), "{error}");
        }
    }

    /// A group with a process in it; both go at the end.
    struct Made {
        folder: PathBuf,
        child: Child,
    }

    impl Made {
        /// Returns `None` if this process may not make a group that keeps an account.
        fn new(command: &mut Command) -> Option<Self> {
            let name = format!("tlsbench-test-{}", std::process::id());
            let parents = ["/sys/fs/cgroup", "/sys/fs/cgroup/cpuacct"].map(Path::new);
            let folder = parents.map(|parent| parent.join(&name)).into_iter().find(|folder| {
                std::fs::create_dir(folder).is_ok()
                    && (Group::of(folder).is_ok() || std::fs::remove_dir(folder).is_err())
            })?;
            let made = Self { folder, child: command.spawn().unwrap() };
            let pid = made.child.id().to_string();
            std::fs::write(made.folder.join("cgroup.procs"), pid).unwrap();
            Some(made)
        }

        /// Reads the CPU time by the group and by the process itself.
        fn cpu(&self) -> (Nanos, Nanos) {
            let group = Group::of(&self.folder).unwrap().read().unwrap().usage.cpu.total;
            (group, crate::clock::cpu_of_process(self.child.id()).unwrap())
        }

        fn is_asleep(&self) -> bool {
            let pid = i32::try_from(self.child.id()).unwrap();
            procfs::process::Process::new(pid).unwrap().stat().unwrap().state == 'S'
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = std::fs::remove_dir(&self.folder);
        }
    }

    /// The kernel's own account, where this process may make a group.
    #[test]
    fn a_real_group_agrees_with_the_clock_of_the_process_in_it() {
        let work = "read line; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; read line";
        let mut command = Command::new("sh");
        let Some(mut made) = Made::new(command.args(["-c", work]).stdin(Stdio::piped())) else {
            eprintln!("skipped: no control group can be made here (needs root)");
            return;
        };
        let mut input = made.child.stdin.take().unwrap();
        let before = made.cpu();
        input.write_all(b"\n").unwrap();
        let mut after = made.cpu();
        for _ in 0..3_000 {
            if (after.1 - before.1) > Nanos(100_000_000) && made.is_asleep() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            after = made.cpu();
        }
        let (group, process) = ((after.0 - before.0).0, (after.1 - before.1).0);
        assert!(process > 100_000_000, "the child did not work: {process} ns");
        assert!(group.abs_diff(process) * 20 < process, "{group} ns, the process {process} ns");
    }
}
