//! `tlsbench run --netns`: each hop in a network namespace of its own. Takes root.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;
use tlsbench_core::placement::{KnownPlacement, Placement};
use tlsbench_core::record::lab::{LabRecord, Receiving};
use tlsbench_core::verdicts::verdicts;
use tlsbench_engine::clock::cpu_of_process;
use tlsbench_engine::netns::{charged, names_of};
use tlsbench_engine::topology::{Engine, Network};
use tlsbench_engine::trial::Trial;

use crate::servers::{installed, within};
use crate::stand::{Stand, Wanted, all};

/// Whether there can be network namespaces here, with threads of the kernel that receive for them.
fn allowed() -> bool {
    let why = match charged() {
        Ok((Receiving::Receiver, _)) => return true,
        Ok((Receiving::Sender, why)) => why.map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    // The CI installs programs, and cannot give itself rights.
    eprintln!("skipped: {}", why.unwrap_or_default());
    false
}

fn command(folder: &TempDir, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    command.current_dir(folder.path()).args(["run", "--netns", "--record", "run.json"]);
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A run under way, which is killed when this is dropped.
struct Running(Option<Child>);

impl Running {
    fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    fn kill(&mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What it said, once it has ended.
    fn output(&mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Interfaces of a run, as the names of threads of the kernel tell that receive for them.
fn receivers_of(run: u32) -> Vec<String> {
    let begin = format!("napi/{}", names_of(run));
    let all = fs::read_dir("/proc").unwrap().flatten();
    let names = all.filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok());
    // Three digits count the interfaces of a run; a longer number is another's.
    let is_its = |name: &String| {
        name.strip_prefix(&begin).is_some_and(|rest| rest.as_bytes().get(3) == Some(&b'-'))
    };
    names.map(|name| name.trim().to_owned()).filter(is_its).collect()
}

/// Interfaces of a run in the network namespace of this machine, where none belongs.
fn interfaces_of(run: u32) -> Vec<String> {
    let text = fs::read_to_string("/proc/net/dev").unwrap();
    let names =
        text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    names
        .filter(|name| name.starts_with(&names_of(run)) && name.len() == names_of(run).len() + 3)
        .collect()
}

/// Processes whose folder is below this one, as that of every hop is.
fn processes_below(folder: &TempDir) -> usize {
    let folder = folder.path().canonicalize().unwrap().join("run");
    let all = fs::read_dir("/proc").unwrap().flatten();
    let is_there = |path: std::path::PathBuf| {
        fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&folder))
            && path.join("exe").read_link().is_ok()
    };
    all.filter(|entry| is_there(entry.path())).count()
}

/// Runs placements in namespaces, and holds the record against what the loopback interface would give.
fn measured(placements: &str, flags: &[&str], engines: [&str; 3]) -> LabRecord {
    let folder = tempfile::tempdir().unwrap();
    let times = ["--pass", "cpu", "--rounds", "1", "--round", "600ms", "--warm-up", "50ms"];
    let chosen = ["--placement", placements, "--workload", "full"];
    let mut running =
        Running(Some(command(&folder, &[&times[..], &chosen, flags].concat()).spawn().unwrap()));
    let pid = running.pid();
    let output = running.output();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    assert_eq!((receivers_of(pid), interfaces_of(pid)), (vec![], vec![]), "left of the run");
    assert!(said.contains("each is charged for the packets that it receives"), "{said}");
    assert!(!said.contains("on loopback"), "{said}");
    let text = fs::read_to_string(folder.path().join("run.json")).unwrap();
    let record = LabRecord::from_json(&text).unwrap();
    assert!(record.complete && record.lab.netns, "{said}");
    assert_eq!(record.receiving, Receiving::Receiver);
    for trial in &record.trials {
        let name = &trial.client.name;
        let made = trial.client.sum(|round| round.succeeded);
        assert!(made > 0, "{name}: {said}");
        let seen: Vec<&str> = trial.hops.iter().map(|hop| hop.engine.as_str()).collect();
        assert_eq!(seen, engines, "{name}");
        for hop in &trial.hops {
            assert!(hop.rounds[0].usage.cpu.total.0 > 0, "{name}: nothing at the {}", hop.role);
            assert!(hop.rounds[0].memory.resident_bytes > 100_000, "{name} {}", hop.role);
        }
        let placement = record.placement(&trial.placement).unwrap();
        let edge = placement.hops.iter().position(|hop| hop.kind.speaks_http()).unwrap();
        let (made, counted) = (trial.made[0].made, trial.hops[edge].rounds[0].counted.unwrap());
        for (one, other) in [(made.connections, counted.connections), (made.full, counted.full)] {
            assert!(one.abs_diff(other) <= 16, "{name}: {made:?} {counted:?}");
        }
    }
    let gates = verdicts(&record).gates;
    assert!(gates.iter().all(|gate| gate.name != "counts"), "{gates:?}");
    let page = fs::read_to_string(folder.path().join("run.html")).unwrap();
    assert!(
        page.contains("joined to its neighbours by veth"),
        "the page says how hops were joined"
    );
    assert!(!page.contains("On the loopback interface"));
    record
}

#[test]
fn all_placements_are_measured_on_builtin_hops_in_namespaces() {
    if !allowed() {
        return;
    }
    let names: Vec<&str> = KnownPlacement::PLACEMENTS.iter().map(|known| known.as_str()).collect();
    let record = measured(&names.join(","), &[], ["builtin"; 3]);
    assert_eq!(record.trials.len(), KnownPlacement::PLACEMENTS.len() + KnownPlacement::TWINS.len());
    // TLS ends at the first hop: no other pays for it, whoever receives.
    let cpu = |placement: &str| {
        let trial = record.trials.iter().find(|trial| trial.placement == placement).unwrap();
        let made = trial.client.sum(|round| round.succeeded) as f64;
        trial
            .hops
            .iter()
            .map(|hop| hop.rounds[0].usage.cpu.total.0 as f64 / made)
            .collect::<Vec<_>>()
    };
    let (with, without) = (cpu("lb-terminate"), cpu("plaintext"));
    let added: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with - without).collect();
    assert!(added[0] > 2.0 * added[1] && added[0] > 2.0 * added[2], "{added:?}");
}

#[test]
fn nginx_and_haproxy_are_measured_in_namespaces() {
    if installed("nginx", "nginx").is_none() || installed("haproxy", "haproxy").is_none() {
        return;
    }
    if allowed() {
        let record = measured("lb-terminate", &["--engine", "nginx", "--idle", "20"], ["nginx"; 3]);
        assert!(record.idle.iter().all(|idle| idle.connections == 20) && record.idle.len() == 2);
        measured("passthrough", &["--engine", "haproxy"], ["haproxy"; 3]);
    }
}

/// CPU time up to now: of threads of the kernel, and of everybody else.
fn used(pids: &[u32]) -> (u64, u64) {
    let (mut threads, mut others) = (0, 0);
    for pid in pids {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        let cpu = cpu_of_process(*pid).unwrap().0;
        match name.starts_with("napi/") {
            true => threads += cpu,
            false => others += cpu,
        }
    }
    (threads, others)
}

#[test]
fn what_hops_and_clients_receive_is_part_of_their_own_cpu_time() {
    if !allowed() {
        return;
    }
    let mut stand = Stand::new();
    stand.wiring.response_bytes = 64 << 10;
    let placement: Placement = KnownPlacement::Plaintext.placement();
    let network = |receiving| Network::Namespaces { receiving, client_cores: &[] };
    let engines = all(&Engine::Builtin);
    let mut wanted = Wanted::connections(4);
    wanted.load.keep = Some(true);

    let start = |receiving, name| stand.start_on(network(receiving), &placement, &engines, name);
    let mut topology = start(Receiving::Receiver, "receiver").unwrap();
    // Two ends of links at each hop, one at the last.
    for (hop, receivers) in topology.read().unwrap().iter().zip([2, 2, 1]) {
        assert_eq!(hop.processes, 1 + receivers);
    }
    let pids: Vec<u32> = topology.pids().collect();
    let before = used(&pids);
    let trial = stand.measure(&placement, &mut topology, &wanted).unwrap();
    let after = used(&pids);
    let (threads, others) = (after.0 - before.0, after.1 - before.1);
    assert!(threads * 20 > others, "{threads} ns of threads, {others} ns of hops themselves");
    let hops: u64 = trial.hops.iter().map(|hop| hop.usage.cpu.total.0).sum();
    assert!(hops > threads && hops < threads + others, "{hops} ns of {threads} and {others}");
    // Seconds are told of the generator's own threads, and the round of what was received for them, too.
    let received = |trial: &Trial| {
        let lap = &trial.slice.as_ref().unwrap().lap;
        let own: u64 = lap.seconds.iter().map(|second| second.cpu_ns.0).sum();
        (lap.cpu.total.0 - own, own)
    };
    let (more, own) = received(&trial);
    assert!(more * 50 > own, "{more} ns were received in {own} ns");
    drop(topology);

    let mut topology = start(Receiving::Sender, "sender").unwrap();
    assert!(topology.read().unwrap().iter().all(|hop| hop.processes == 1));
    let trial = stand.measure(&placement, &mut topology, &wanted).unwrap();
    assert_eq!(received(&trial).0, 0);
}

#[test]
fn a_run_that_is_killed_leaves_neither_hop_nor_interface_behind() {
    if !allowed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--placement", "passthrough", "--workload", "full", "--rounds", "500"];
    let mut running = Running(Some(command(&folder, &flags).spawn().unwrap()));
    let pid = running.pid();
    let is_up = within(WAIT_MAX, || {
        running.has_ended() || (processes_below(&folder) >= 3 && receivers_of(pid).len() >= 6)
    });
    assert!(is_up && !running.has_ended(), "{:?}", receivers_of(pid));
    assert_eq!(interfaces_of(pid), [""; 0], "in the namespace of this machine");
    running.kill();
    let is_gone =
        within(WAIT_MAX, || processes_below(&folder) == 0 && receivers_of(pid).is_empty());
    let left = (processes_below(&folder), receivers_of(pid));
    assert!(is_gone, "{left:?} are left");
    assert_eq!(interfaces_of(pid), [""; 0]);
}

#[test]
fn without_the_rights_it_takes_namespaces_are_refused_with_a_cure() {
    let Some(setpriv) = installed("setpriv", "util-linux") else { return };
    if !allowed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = command(&folder, &["--placement", "lb-terminate"]);
    let mut command = Command::new(setpriv);
    command.args(["--bounding-set=-sys_admin,-net_admin", "--inh-caps=-all"]);
    command.arg(run.get_program()).args(run.get_args()).current_dir(folder.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(said.contains("run as root, or leave out `netns` (--netns)"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// In another PID namespace no thread of the kernel is seen.
#[test]
fn where_receivers_are_not_seen_a_run_goes_on_and_says_who_is_charged() {
    let Some(unshare) = installed("unshare", "util-linux") else { return };
    if !allowed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--placement", "lb-terminate", "--workload", "full", "--pass", "cpu"];
    let times = ["--rounds", "1", "--round", "600ms", "--warm-up", "50ms"];
    let run = command(&folder, &[&flags[..], &times].concat());
    let mut command = Command::new(unshare);
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(run.get_program()).args(run.get_args()).current_dir(folder.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let text = fs::read_to_string(folder.path().join("run.json")).unwrap();
    let record = LabRecord::from_json(&text).unwrap();
    assert_eq!((record.lab.netns, record.receiving), (true, Receiving::Sender));
    assert!(record.trials.iter().all(|trial| trial.client.sum(|round| round.succeeded) > 0));
    let note = "the receiving of packets is charged to whoever sends them: no thread of the kernel";
    assert!(record.notes.iter().any(|told| told.text.starts_with(note)), "{:?}", record.notes);
    assert!(said.contains(note) && !said.contains("on loopback"), "{said}");
    let page = fs::read_to_string(folder.path().join("run.html")).unwrap();
    assert!(
        page.contains("by veth, and the kernel charged the receiving of packets to whoever sent")
    );
}

#[test]
fn a_scenario_file_says_it_too_and_is_printed_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let print = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        command.current_dir(folder.path()).args(["run", "--print-scenario"]).args(flags);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(print(&[]).contains("\nnetns = false\n"));
    let printed = print(&["--netns"]);
    assert!(printed.contains("\nnetns = true\n"), "{printed}");
    fs::write(folder.path().join("lab.toml"), &printed).unwrap();
    assert_eq!(print(&["-c", "lab.toml"]), printed);
    fs::write(folder.path().join("short.toml"), "netns = true\n").unwrap();
    assert_eq!(print(&["-c", "short.toml"]), printed);
}

#[test]
fn records_that_are_older_than_namespaces_are_of_the_loopback_interface() {
    let text = include_str!("../fixtures/report/placements.json");
    let all: Json = serde_json::from_str(text).unwrap();
    assert!(all["lab"].get("netns").is_none() && all.get("receiving").is_none());
    let record = LabRecord::from_json(text).unwrap();
    assert_eq!((record.lab.netns, record.receiving), (false, Receiving::Sender));
}

/// A run starts, and ends, within a few seconds; a busy machine is given a minute.
const WAIT_MAX: Duration = Duration::from_secs(60);
