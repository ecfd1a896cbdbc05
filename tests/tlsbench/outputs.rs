//! Where documents go: standard output, and places that are no regular files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;
use tlsbench_engine::testserver::{TestServer, TestServerConfig};

use crate::bench::Bench;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/report/closed.json");

/// Runs a shell's words in a mount namespace of its own, where `dev/` has device nodes: whatever the
/// program did to these, the machine's stay. `None` where this process has no rights to that.
fn beside_devices(folder: &Path, words: &str) -> Option<Output> {
    fs::create_dir_all(folder.join("dev")).unwrap();
    let run = |words: &str| {
        let setup =
            "mount -t tmpfs tmpfs dev && mknod -m 666 dev/null c 1 3 && ln -s null dev/link";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &format!("{{ {setup}; }} || exit 77; {words}")]);
        command.current_dir(folder).env("TLSBENCH", env!("CARGO_BIN_EXE_tlsbench"));
        command.env("RECORD", RECORD).output().unwrap()
    };
    let can = run("true > dev/null");
    if !can.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&can.stderr));
        return None;
    }
    Some(run(words))
}

#[test]
fn a_device_stays_a_device_whoever_writes_to_it() {
    let bench = Bench::new();
    let server = TestServer::start(TestServerConfig::plain(10)).unwrap();
    let target = format!("http://{}/", server.address());
    let load = "--rounds 1 --round-count 5 --warm-up 0s -n 1";
    let placements = "--placement plaintext --workload full --pass cpu";
    for words in [
        "$TLSBENCH merge $RECORD --record dev/null",
        "$TLSBENCH report $RECORD --out dev/null",
        "$TLSBENCH report $RECORD --out dev/link --format html",
        &format!("$TLSBENCH run --target {target} {load} --record dev/link"),
        &format!("$TLSBENCH run {placements} --record dev/null"),
    ] {
        let words =
            format!("{words}; test $? != 2 && test -c dev/null && test -L dev/link && ls dev");
        let Some(output) = beside_devices(&bench.file(""), &words) else { return };
        let out = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(output.status.success(), "{words}: {output:?}");
        assert!(out.ends_with("link\nnull\n"), "something was left in dev: {words}: {out}");
    }
}

#[test]
fn a_document_on_standard_output_is_alone_there() {
    let bench = Bench::new();
    let server = TestServer::start(TestServerConfig::plain(10)).unwrap();
    let target = format!("http://{}/", server.address());
    let run =
        ["run", "--rounds", "1", "--round-count", "5", "--warm-up", "0s", "--target", &target];
    for name in ["-", "/dev/stdout"] {
        let [run, merge]: [&[&str]; 2] =
            [&[&run[..], &["--record", name]].concat(), &["merge", RECORD, "--record", name]];
        for arguments in [run, merge] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
            let output = command.current_dir(bench.file("")).args(arguments).output().unwrap();
            let record: Json = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(record["schema"], 1);
            let err = String::from_utf8(output.stderr).unwrap();
            assert!(err.contains(name), "what else is said stands there: {err}");
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        let output =
            command.args(["report", RECORD, "--out", name, "--format", "csv"]).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.starts_with("record,"), "{out}");
        assert!(!out.contains(&format!("\n{name}\n")), "{out}");
    }
    assert!(!bench.file("-").exists() && !bench.file("runs").exists());
}

#[test]
fn several_documents_do_not_share_a_device() {
    let folder = tempfile::tempdir().unwrap();
    symlink("/dev/null", folder.path().join("link")).unwrap();
    for place in ["link", "-"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        command.current_dir(folder.path()).args(["report", RECORD, "--out", place]);
        let output = command.args(["--format", "csv,md"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_record_that_cannot_be_kept_takes_no_table_with_it() {
    let bench = Bench::new();
    let server = TestServer::start(TestServerConfig::plain(10)).unwrap();
    let target = format!("http://{}/", server.address());
    for (flags, figure) in [
        (
            &["run", "--target", &target, "--rounds", "1", "--round-count", "5", "-n", "1"][..],
            "p99",
        ),
        (&["run", "--placement", "plaintext", "--workload", "full", "--pass", "cpu"], "plaintext"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        command.current_dir(bench.file("")).args(flags).args(["--record", "/dev/full"]);
        let output = command.output().unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(2), "{out}{err}");
        assert!(out.contains(figure) && out.contains("record: /dev/full\n"), "{out}");
        assert!(
            err.ends_with(
                "error: cannot write `/dev/full`: No space left on device (os error 28)\n"
            )
        );
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
