//! What goes wrong with hops while a run over placements goes on: it is named with the cure, what was
//! measured is kept, and no process is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::servers::{installed, within};

/// A run under way in a folder of its own; dropping it ends it.
struct Running {
    folder: TempDir,
    child: Option<Child>,
}

impl Running {
    fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        command.current_dir(folder.path()).args(["run", "--record", "run.json"]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = Some(command.spawn().unwrap());
        Self { folder, child }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// Its hops, their supervisors, and all that they started: each has the folder of a hop for its own.
    fn hops(&self) -> Vec<Pid> {
        below(&self.file("run"))
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    fn output(&mut self) -> Output {
        self.child.take().unwrap().wait_with_output().unwrap()
    }

    fn assert_nobody_is_left(&self) {
        let is_empty = within(WAIT_MAX, || self.hops().is_empty());
        assert!(is_empty, "{:?} of {:?} are left", self.hops(), self.folder);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Processes in a folder, or in one below it.
fn below(folder: &Path) -> Vec<Pid> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let is_there = |path: &Path| {
        fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
            // The dead that nobody waited for have no folder any more, and do no harm.
            && path.join("exe").read_link().is_ok()
    };
    all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        is_there(&entry.path()).then_some(pid)
    })
    .collect()
}

/// Kills the proxies of a folder, which are sure to be those: the number stays theirs while it is held.
fn kill_proxies(folder: &Path) -> usize {
    let mut killed = 0;
    for pid in below(folder) {
        let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        let exe = fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()));
        let is_proxy = exe.is_ok_and(|exe| exe.ends_with("nginx")) && below(folder).contains(&pid);
        if is_proxy && pidfd_send_signal(held, Signal::KILL).is_ok() {
            killed += 1;
        }
    }
    killed
}

#[test]
fn a_proxy_that_is_killed_is_named_and_what_was_measured_before_is_kept() {
    if installed("nginx", "nginx").is_none() {
        return;
    }
    let flags = ["--engine", "nginx", "--placement", "lb-terminate", "--workload", "full"];
    let timing = ["--rounds", "50", "--round", "500ms", "--warm-up", "50ms"];
    let mut running = Running::start(&[&flags[..], &timing].concat());
    let record = running.file("run.json");
    let has_round = within(WAIT_MAX, || record.exists() || running.has_ended());
    assert!(has_round, "no round ended within {WAIT_MAX:?}");
    // Between two rounds nobody misses it, so the next has to go as well.
    let lb = running.file("run/lb-terminate/lb");
    let ended = within(WAIT_MAX, || {
        kill_proxies(&lb);
        running.has_ended()
    });
    assert!(ended, "the run goes on without its lb");
    let output = running.output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    for wanted in
        ["what was measured is in `run.json`", "lb-terminate", "the lb is not there", "SIGKILL"]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(said.contains("ended while it was needed") || said.contains("did not start"), "{said}");
    let kept: Json = serde_json::from_str(&fs::read_to_string(record).unwrap()).unwrap();
    assert_eq!(kept["complete"], false);
    assert!(kept["interrupted"].as_str().unwrap().starts_with("it failed: "), "{kept}");
    assert!(!kept["trials"].as_array().unwrap().is_empty());
    running.assert_nobody_is_left();
}

#[test]
fn a_run_that_is_killed_leaves_no_hop_behind_whatever_that_is_made_of() {
    for engine in ["builtin", "nginx", "haproxy"] {
        if engine != "builtin" && installed(engine, engine).is_none() {
            return;
        }
        let flags = ["--engine", engine, "--placement", "passthrough", "--workload", "full"];
        let mut running = Running::start(&[&flags[..], &["--rounds", "500"]].concat());
        // Three hops, and the supervisors of proxies.
        let wanted = if engine == "builtin" { 3 } else { 6 };
        let is_up = within(WAIT_MAX, || running.hops().len() >= wanted || running.has_ended());
        assert!(is_up && !running.has_ended(), "{engine}: {:?}", running.hops());
        running.child.as_mut().unwrap().kill().unwrap();
        running.child.take().unwrap().wait().unwrap();
        running.assert_nobody_is_left();
    }
}

#[test]
fn too_few_open_files_are_named_before_anything_is_started() {
    let Some(prlimit) = installed("prlimit", "util-linux") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(prlimit);
    command.args(["--nofile=100:100", env!("CARGO_BIN_EXE_tlsbench"), "run", "--rounds", "1"]);
    let output = command.current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let wanted = "this process may have 100 open files, and the run needs 192: raise the limit with \
                  `ulimit -n 192`";
    assert!(said.contains(wanted), "{said}");
    assert_eq!(below(&folder.path().canonicalize().unwrap()), []);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing was put up, nothing is left"
    );
}

/// A run starts, and ends, within a few seconds; a busy machine is given a minute.
const WAIT_MAX: Duration = Duration::from_secs(60);
