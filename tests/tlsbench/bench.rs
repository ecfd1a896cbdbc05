//! A folder to run `tlsbench` in, and what came of a run.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value as Json;
use tempfile::TempDir;
use tlsbench_engine::tls::{Issued, LabPki, Subject};

use crate::servers::within;

/// A folder with a certification authority whose root lies there as `ca-bundle.crt`.
pub(crate) struct Bench {
    pub(crate) pki: LabPki,
    folder: TempDir,
}

/// What came of a run.
pub(crate) struct Ran {
    /// What it printed.
    pub(crate) out: String,
    /// What it complained about.
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
    /// The record; null where there is none.
    pub(crate) record: Json,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (pki, folder) = (LabPki::generate().unwrap(), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("ca-bundle.crt"), pki.root_pem()).unwrap();
        Self { pki, folder }
    }

    /// A certificate for `localhost`.
    pub(crate) fn certificate(&self) -> Issued {
        self.pki.issue(&Subject::server("localhost")).unwrap()
    }

    /// Writes the files of a client certificate, and names them as flags.
    pub(crate) fn client_certificate(&self, pki: &LabPki) -> [&'static str; 4] {
        let issued = pki.issue(&Subject::client("client")).unwrap();
        self.write("client.pem", &issued.chain_pem);
        self.write("client.key", &issued.key_pem);
        ["--client-certificate", "client.pem", "--client-key", "client.key"]
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `tlsbench run` against `https://localhost/` at an address, with four connections and without
    /// a warm-up, so that what is measured is all that the server sees.
    pub(crate) fn command(&self, address: SocketAddr, flags: &[&str]) -> Command {
        self.command_to(address, "/", flags)
    }

    /// The same for another path.
    pub(crate) fn command_to(&self, address: SocketAddr, path: &str, flags: &[&str]) -> Command {
        let mut command = self.bare(&[]);
        let target = format!("https://localhost:{}{path}", address.port());
        command.args(["--target", &target, "--connect-to", &address.to_string()]);
        for (flag, value) in DEFAULTS {
            if !flags.contains(&flag) {
                command.args([flag, value]);
            }
        }
        if !flags.contains(&"--rate") && !flags.contains(&"-n") {
            command.args(["-n", "4"]);
        }
        if !flags.contains(&"--verify=off") && !flags.contains(&"--ca-bundle") {
            command.args(["--ca-bundle", "ca-bundle.crt"]);
        }
        command.args(flags);
        command
    }

    /// `tlsbench run` with nothing but where its record goes.
    pub(crate) fn bare(&self, flags: &[&str]) -> Command {
        let mut command = self.anywhere();
        command.args(["--record", "run.json"]).args(flags);
        command
    }

    /// `tlsbench run` without a word.
    pub(crate) fn anywhere(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
        command.current_dir(self.folder.path()).arg("run").stdin(Stdio::null());
        command
    }

    /// Runs it against a server.
    pub(crate) fn run(&self, address: SocketAddr, flags: &[&str]) -> Ran {
        self.finish(self.command(address, flags))
    }

    /// Runs a command to its end.
    pub(crate) fn finish(&self, command: Command) -> Ran {
        self.start(command).wait()
    }

    /// Starts a command; dropping it ends it.
    pub(crate) fn start(&self, mut command: Command) -> Running<'_> {
        drop(fs::remove_file(self.file("run.json")));
        let file = |name| fs::File::create(self.file(name)).unwrap();
        command.process_group(0);
        let child = command.stdout(file("out.txt")).stderr(file("err.txt")).spawn().unwrap();
        Running { bench: self, child }
    }
}

/// A run under way.
pub(crate) struct Running<'b> {
    bench: &'b Bench,
    pub(crate) child: Child,
}

impl Running<'_> {
    /// Asks it to stop, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits for its end, and holds what it left behind against what it said.
    pub(crate) fn wait(mut self) -> Ran {
        let ended = self.ended();
        let read = |name| fs::read_to_string(self.bench.file(name)).unwrap();
        let (out, err) = (read("out.txt"), read("err.txt"));
        let Some(status) = ended else { panic!("the run does not end: {out}{err}") };
        let record = match fs::read_to_string(self.bench.file("run.json")) {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(_) => Json::Null,
        };
        let ran = Ran { out, err, code: status.code(), record };
        assert!(!ran.err.contains("panicked"), "{ran:#?}");
        // Measured, well or badly, or until a signal, and so recorded; or not measured.
        let measured = matches!(ran.code, Some(0 | 1 | 129 | 130 | 143));
        assert!(measured || ran.code == Some(2), "{status}: {ran:#?}");
        assert_eq!(measured, ran.record.is_object(), "{ran:#?}");
        assert_eq!(measured, ran.err.is_empty(), "{ran:#?}");
        ran
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        let mut status = None;
        within(RUN_MAX, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Its group is gone when it has been waited for.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        drop(self.child.wait());
    }
}

impl Ran {
    /// A count of the only target, over all rounds.
    pub(crate) fn sum(&self, path: &[&str]) -> u64 {
        let of = |round: &Json| path.iter().fold(round.clone(), |value, key| value[key].clone());
        self.rounds().iter().map(|round| of(round).as_u64().unwrap_or_default()).sum()
    }

    pub(crate) fn succeeded(&self) -> u64 {
        self.sum(&["succeeded"])
    }

    /// Names that operations failed by, over all rounds.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.names("failed")
    }

    /// Everything that was negotiated.
    pub(crate) fn negotiated(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for round in self.rounds() {
            names.extend(round["shape"]["negotiated"].as_object().unwrap().keys().cloned());
        }
        names.sort();
        names.dedup();
        names
    }

    fn names(&self, of: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for round in self.rounds() {
            names.extend(round[of].as_object().unwrap().keys().cloned());
        }
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn rounds(&self) -> &Vec<Json> {
        let rounds = self.record["targets"][0]["rounds"].as_array();
        rounds.unwrap_or_else(|| panic!("no rounds: {self:#?}"))
    }

    /// Fails when anything failed; how steady a busy machine is, is not for a test to say.
    pub(crate) fn assert_all_succeeded(&self, operations: u64) {
        assert_eq!((self.succeeded(), self.failures()), (operations, vec![]), "{self:#?}");
    }
}

impl fmt::Debug for Ran {
    /// Without the histograms, which tell a reader nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit code {:?}\n{}{}", self.code, self.out, self.err)?;
        for round in self.record["targets"][0]["rounds"].as_array().into_iter().flatten() {
            let of = |key: &str| round[key].to_string();
            writeln!(f, "succeeded {} failed {} {}", of("succeeded"), of("failed"), of("shape"))?;
        }
        Ok(())
    }
}

/// What a run is unless a test says otherwise.
const DEFAULTS: [(&str, &str); 3] =
    // Other tests run beside it, on whichever core is free.
    [("--warm-up", "0s"), ("--rounds", "2"), ("--pin", "never")];

/// The longest runs take 5 s here; a busy machine is given ten times that.
const RUN_MAX: Duration = Duration::from_secs(60);
