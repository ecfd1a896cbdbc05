//! Tests with a stub for this program: a test that the other tests start. The real proxies are in
//! `tests/tlsbench`.

use std::collections::BTreeMap;
use std::net::TcpListener;

use tlsbench_core::hop::Hop;

use super::*;

/// A stub and not a test: it stands for `tlsbench hop` here. `cargo test` gives it no arguments of
/// its own, so the environment says what it is to do.
#[test]
#[ignore = "the stub that the other tests start"]
fn stub() {
    #[allow(clippy::disallowed_methods, reason = "the only way to tell a test what to do")]
    let what = std::env::var("STUB").unwrap();
    let mut command = Command::new("sh");
    let ended = supervise(command.args(["-c", &what])).unwrap();
    std::process::exit(ended.and_then(|status| status.code()).unwrap_or(0));
}

/// A program that takes the arguments of `tlsbench hop --exec sh -c SCRIPT`, and supervises.
fn tlsbench(folder: &Path) -> PathBuf {
    let path = folder.join("tlsbench");
    let stub = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\nshift 4\nSTUB=\"$1\" exec {} --exact process::tests::stub --ignored --nocapture\n",
        stub.display()
    );
    fs::write(&path, script).unwrap();
    let mut mode = fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&path, mode).unwrap();
    path
}

fn start(folder: &Path, script: &str, address: SocketAddr) -> Result<HopProcess, ProcessError> {
    let arguments = vec!["-c".to_owned(), script.to_owned()];
    let proxy = Proxy { program: "sh".into(), arguments, environment: Vec::new() };
    let files = BTreeMap::from([("a.conf", "text".to_owned())]);
    let configuration = Configuration { files, notes: Vec::new() };
    HopProcess::proxy(&tlsbench(folder), &proxy, &configuration, address, &folder.join("hop"))
}

/// A socket that listens and that every script has, too, as if it had made it.
fn listener() -> (TcpListener, SocketAddr) {
    let (listener, address) = stranger();
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).unwrap();
    (listener, address)
}

/// A socket that listens and that no script has.
fn stranger() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Numbers of processes that a script wrote down.
fn written(folder: &Path, count: usize) -> Vec<i32> {
    for _ in 0..2_000 {
        let text = fs::read_to_string(folder.join("hop/pids")).unwrap_or_default();
        let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        if pids.len() == count {
            return pids;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("the script did not write {count} numbers within 10 s");
}

fn is_there(pid: i32) -> bool {
    let process = procfs::process::Process::new(pid).and_then(|process| process.stat());
    process.is_ok_and(|stat| stat.state != 'Z')
}

#[test]
fn a_hop_and_all_that_it_started_end_with_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (_listener, address) = listener();
    // One heeds the signal, one does not.
    let script = "echo $$ >pids; sleep 1000 & echo $! >>pids; (trap '' TERM; echo $(exec sh -c 'echo $PPID') >>pids; while :; do sleep 1000; done) & wait";
    let hop = start(scratch.path(), script, address).unwrap();
    let pids = written(scratch.path(), 3);
    assert!(pids.iter().all(|pid| is_there(*pid)), "{pids:?}");
    assert_eq!(fs::read_to_string(scratch.path().join("hop/a.conf")).unwrap(), "text");
    drop(hop);
    assert!(!pids.iter().any(|pid| is_there(*pid)), "{pids:?}");
}

#[test]
fn a_hop_ends_when_whoever_started_it_is_gone() {
    let scratch = tempfile::tempdir().unwrap();
    let (_listener, address) = listener();
    let mut hop = start(scratch.path(), "echo $$ >pids; exec sleep 1000", address).unwrap();
    let pids = written(scratch.path(), 1);
    // As when the run is killed: its end of the pipe closes, and nothing else happens.
    drop(hop.input.take());
    for _ in 0..2_000 {
        if !is_there(pids[0]) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    assert!(!is_there(pids[0]));
    // Its supervisor may have a moment left.
    assert!(matches!(hop.check(), Ok(()) | Err(ProcessError::Died { .. })));
}

#[test]
fn a_supervisor_uses_no_cpu_time_while_nothing_happens() {
    let scratch = tempfile::tempdir().unwrap();
    let (_listener, address) = listener();
    let hop = start(scratch.path(), "echo $$ >pids; exec sleep 1000", address).unwrap();
    written(scratch.path(), 1);
    // It has something to do until it has seen its hop start; one that polls never comes to rest.
    let rests = || {
        let before = crate::clock::cpu_of_process(hop.pid()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        crate::clock::cpu_of_process(hop.pid()).unwrap() == before
    };
    assert!((0..20).any(|_| rests()), "it goes on using CPU time");
}

#[test]
fn a_port_that_somebody_else_has_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let (_listener, address) = stranger();
    let error = start(scratch.path(), "echo $$ >pids; exec sleep 1000", address).unwrap_err();
    assert!(matches!(error, ProcessError::Taken { address: seen } if seen == address), "{error}");
    let pids = fs::read_to_string(scratch.path().join("hop/pids")).unwrap_or_default();
    let left: Vec<i32> = pids.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(!left.into_iter().any(is_there));
}

#[test]
fn a_proxy_that_ends_while_it_is_needed_is_told_from_one_that_did_not_start() {
    let scratch = tempfile::tempdir().unwrap();
    let (_listener, address) = listener();
    let script = "echo $$ >pids; echo 'out of memory' >&2; exec sleep 1000";
    let mut hop = start(scratch.path(), script, address).unwrap();
    let pid = written(scratch.path(), 1)[0];
    hop.check().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let mut said = None;
    for _ in 0..2_000 {
        said = hop.check().err();
        if said.is_some() {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    let error = said.expect("within 10 s");
    assert!(matches!(&error, ProcessError::Died { .. }), "{error}");
    assert!(error.to_string().contains("out of memory"), "{error}");
}

#[test]
fn a_proxy_that_does_not_start_shows_what_it_said() {
    let scratch = tempfile::tempdir().unwrap();
    let nobody = {
        let (listener, address) = listener();
        drop(listener);
        address
    };
    let script = "echo 'unknown directive \"lisen\"' >&2; echo bind failed >error.log; exit 3";
    let error = start(scratch.path(), script, nobody).unwrap_err();
    let ProcessError::Ended { status, said, .. } = &error else { panic!("{error}") };
    assert_eq!(status.code(), Some(3));
    assert!(said.contains("bind failed; unknown directive \"lisen\""), "{said}");
    assert!(error.to_string().contains("hop` did not start"), "{error}");
}

#[test]
fn what_cannot_be_started_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let hop = r#"{"kind": "backend", "listen": {"address": "127.0.0.1:0"}}"#;
    let hop = Hop::from_json(hop).unwrap();
    let error = HopProcess::builtin(Path::new("/nowhere"), &hop, scratch.path()).unwrap_err();
    assert_eq!(error.to_string(), "cannot start `/nowhere`");
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let error = HopProcess::builtin(Path::new("true"), &hop, &file.join("hop")).unwrap_err();
    assert!(matches!(error, ProcessError::Write { .. }), "{error}");
    // It starts, and says nothing of being ready.
    let error = HopProcess::builtin(Path::new("true"), &hop, scratch.path()).unwrap_err();
    assert!(matches!(error, ProcessError::Ended { .. }), "{error}");
    let error = HopProcess::builtin(Path::new("echo"), &hop, scratch.path()).unwrap_err();
    let ProcessError::Strange { line, .. } = &error else { panic!("{error}") };
    assert_eq!(line, "hop");
}
