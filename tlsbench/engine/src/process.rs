//! Hops as processes: started in a folder of their own, awaited until they answer, and ended for
//! sure.
//!
//! A built-in hop is this program started again; a proxy runs under a supervisor, which is this
//! program as well. Both end when their standard input closes, so that no kill of the run leaves
//! one behind.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tlsbench_core::hop::{Hop, HopCounters};
use tlsbench_core::proxyconf::Configuration;

mod listening;
mod supervise;
#[cfg(test)]
mod tests;

use listening::{Listener, listener};
pub use supervise::supervise;

/// A hop that runs in a process of its own, until this value is dropped.
#[derive(Debug)]
pub struct HopProcess {
    child: Child,
    /// The hop lives as long as this is open.
    input: Option<ChildStdin>,
    /// Lines of its standard output.
    lines: Receiver<String>,
    address: SocketAddr,
    folder: PathBuf,
    /// True once it has answered: its end is then not a failed start.
    is_ready: bool,
}

/// A proxy's program and how it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// The program.
    pub program: PathBuf,
    /// The arguments; paths among them are relative to the hop's folder.
    pub arguments: Vec<String>,
    /// Variables that it finds in its environment besides what this program has there; paths
    /// are relative as well.
    pub environment: Vec<(&'static str, String)>,
}

impl Proxy {
    /// An nginx, to be started with [`tlsbench_core::proxyconf::NGINX_CONF`].
    #[must_use]
    pub fn nginx(program: PathBuf) -> Self {
        let arguments = ["-p", ".", "-c", tlsbench_core::proxyconf::NGINX_CONF, "-e", ERROR_LOG];
        let arguments = arguments.map(str::to_owned).to_vec();
        Self { program, arguments, environment: Vec::new() }
    }

    /// A Caddy, to be started with [`tlsbench_core::proxyconf::CADDY_JSON`] on this many threads.
    #[must_use]
    pub fn caddy(program: PathBuf, workers: NonZeroU32) -> Self {
        let arguments = ["run", "--config", tlsbench_core::proxyconf::CADDY_JSON];
        // Whatever it keeps, it keeps in the hop's folder.
        let homes = ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"].map(|name| (name, ".".to_owned()));
        let threads = ("GOMAXPROCS", workers.to_string());
        Self {
            program,
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: homes.into_iter().chain([threads]).collect(),
        }
    }

    /// A HAProxy, to be started with [`tlsbench_core::proxyconf::HAPROXY_CFG`].
    #[must_use]
    pub fn haproxy(program: PathBuf) -> Self {
        // In the foreground, one process, without warnings about what is on purpose.
        let arguments = ["-db", "-f", tlsbench_core::proxyconf::HAPROXY_CFG];
        let arguments = arguments.map(str::to_owned).to_vec();
        Self { program, arguments, environment: Vec::new() }
    }
}

/// The reason why a hop is not there.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// A file of its folder could not be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The program could not be started.
    #[error("cannot start `{}`", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The process ended before it answered.
    #[error("the hop in `{}` did not start ({status}): {said}", folder.display())]
    Ended {
        /// The folder.
        folder: PathBuf,
        /// The exit status.
        status: ExitStatus,
        /// The last of what it said.
        said: String,
    },
    /// The process answered once, and has ended since.
    #[error(
        "the hop in `{}` ended while it was needed ({status}): {said}; see what ended it, such as the \
         kernel for want of memory, and run again",
        folder.display()
    )]
    Died {
        /// The folder.
        folder: PathBuf,
        /// The exit status.
        status: ExitStatus,
        /// The last of what it said.
        said: String,
    },
    /// Somebody else listens where it should.
    #[error("somebody else listens at {address}; end that, or run again, which takes other ports")]
    Taken {
        /// The address.
        address: SocketAddr,
    },
    /// The process did not answer in time.
    #[error("the hop in `{}` did not answer within {} s: {said}", folder.display(), within.as_secs())]
    Silent {
        /// The folder.
        folder: PathBuf,
        /// The time that it had.
        within: Duration,
        /// The last of what it said.
        said: String,
    },
    /// The process printed something else than it should.
    #[error("the hop in `{}` said `{line}`", folder.display())]
    Strange {
        /// The folder.
        folder: PathBuf,
        /// The line that it printed.
        line: String,
    },
}

impl HopProcess {
    /// Starts a built-in hop: `tlsbench` is this program.
    ///
    /// # Errors
    /// When it cannot be started, or ends or stays silent instead of being ready.
    pub fn builtin(tlsbench: &Path, hop: &Hop, folder: &Path) -> Result<Self, ProcessError> {
        make(folder)?;
        let mut process =
            Self::spawn(Command::new(tlsbench).arg("hop"), hop.listen.address, folder)?;
        // What is left unsaid by a hop that has ended is asked for below.
        let configuration = serde_json::to_string(hop).unwrap_or_default();
        // Over standard input, because the configuration holds private keys, which would otherwise
        // lie in a file.
        process.say(&configuration);
        let line = process.hear(READY_WITHIN)?;
        let address = line.strip_prefix("ready ").and_then(|address| address.parse().ok());
        process.address = address.ok_or_else(|| process.strange(line))?;
        process.is_ready = true;
        Ok(process)
    }

    /// Starts a proxy under the supervision of `tlsbench`, this program, and waits until it accepts
    /// connections at `address`.
    ///
    /// # Errors
    /// As [`HopProcess::builtin`], with what the proxy itself said.
    pub fn proxy(
        tlsbench: &Path,
        proxy: &Proxy,
        configuration: &Configuration,
        address: SocketAddr,
        folder: &Path,
    ) -> Result<Self, ProcessError> {
        make(folder)?;
        for (name, text) in &configuration.files {
            let path = folder.join(name);
            write(&path, text).map_err(|source| ProcessError::Write { path, source })?;
        }
        let mut command = Command::new(tlsbench);
        command.args(["hop", "--exec"]).arg(&proxy.program).args(&proxy.arguments);
        command.envs(proxy.environment.iter().map(|(name, value)| (name, value)));
        let mut process = Self::spawn(&mut command, address, folder)?;
        let begun = Instant::now();
        // Not by a connection: somebody else may answer it, and a relay passes it on.
        let mut others = 0;
        loop {
            match listener(address, process.pid()) {
                Listener::Hop => break,
                Listener::Nobody => others = 0,
                // A hop that ends between two looks leaves a socket that is nobody's for a moment.
                Listener::Other if others < OTHERS_MAX => others += 1,
                Listener::Other => return Err(ProcessError::Taken { address }),
            }
            process.check()?;
            if begun.elapsed() > READY_WITHIN {
                let (folder, said) = (folder.to_owned(), process.said());
                return Err(ProcessError::Silent { folder, within: READY_WITHIN, said });
            }
            std::thread::sleep(PAUSE);
        }
        process.is_ready = true;
        Ok(process)
    }

    fn spawn(
        command: &mut Command,
        address: SocketAddr,
        folder: &Path,
    ) -> Result<Self, ProcessError> {
        let path = folder.join(STDERR);
        let stderr =
            fs::File::create(&path).map_err(|source| ProcessError::Write { path, source })?;
        // In a group of its own: Ctrl-C is for the run, which ends its hops itself.
        command.current_dir(folder).process_group(0);
        // The pipe is also how a hop learns that the run is gone: it closes with this process,
        // however that ends.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().map_err(|source| {
            let program = command.get_program().into();
            ProcessError::Spawn { program, source }
        })?;
        let (sender, lines) = mpsc::channel();
        // A thread reads the output, so that a hop never stands still because its pipe is full, and
        // waiting for a line can have a limit.
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let input = child.stdin.take();
        Ok(Self { child, input, lines, address, folder: folder.to_owned(), is_ready: false })
    }

    /// Returns the address that it listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process; a proxy's is among its descendants.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the counters of a built-in hop.
    ///
    /// # Errors
    /// When it has ended, stays silent, or is no built-in hop.
    pub fn counters(&mut self) -> Result<HopCounters, ProcessError> {
        self.say("counters");
        let line = self.hear(ANSWER_WITHIN)?;
        serde_json::from_str(&line).map_err(|_| self.strange(line))
    }

    /// Sees that it still runs.
    ///
    /// # Errors
    /// When it has ended: with how, and with the last of what it said.
    pub fn check(&mut self) -> Result<(), ProcessError> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(self.over(status)),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn say(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            // One that is gone does not answer either.
            let _ = writeln!(input, "{line}").and_then(|()| input.flush());
        }
    }

    fn hear(&mut self, within: Duration) -> Result<String, ProcessError> {
        let heard = self.lines.recv_timeout(within);
        let folder = self.folder.clone();
        match heard {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                Err(ProcessError::Silent { folder, within, said: self.said() })
            }
            // Its output is closed, so it is ending.
            Err(RecvTimeoutError::Disconnected) => match self.child.wait() {
                Ok(status) => Err(self.over(status)),
                Err(_) => Err(ProcessError::Silent { folder, within, said: self.said() }),
            },
        }
    }

    fn over(&self, status: ExitStatus) -> ProcessError {
        let (folder, said) = (self.folder.clone(), self.said());
        match self.is_ready {
            true => ProcessError::Died { folder, status, said },
            false => ProcessError::Ended { folder, status, said },
        }
    }

    fn strange(&self, line: String) -> ProcessError {
        ProcessError::Strange { folder: self.folder.clone(), line }
    }

    /// The last of what it said in its log and on standard error, where its supervisor says how it
    /// ended.
    fn said(&self) -> String {
        let texts = [ERROR_LOG, STDERR].map(|name| fs::read(self.folder.join(name)));
        let text = texts.map(Result::unwrap_or_default).concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(SAID_LINES)..).unwrap_or_default();
        if last.is_empty() { "it said nothing".to_owned() } else { last.join("; ") }
    }
}

impl Drop for HopProcess {
    fn drop(&mut self) {
        drop(self.input.take());
        let begun = Instant::now();
        while begun.elapsed() < END_WITHIN {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(PAUSE),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // One that does not heed its input: its whole group goes, the proxy of a supervisor too.
        if let Some(group) =
            i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn make(folder: &Path) -> Result<(), ProcessError> {
    // Keys lie in it.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| ProcessError::Write { path: folder.to_owned(), source })
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
}

const STDERR: &str = "stderr.log";
const ERROR_LOG: &str = "error.log";
/// A proxy starts in milliseconds; a machine under load may take a hundred times as long.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// A hop answers from a thread that does nothing else.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The supervisor gives its proxy two seconds, and one is to spare.
const END_WITHIN: Duration = Duration::from_secs(3);
/// Attempts in a row that may find a listener whose process is not seen.
const OTHERS_MAX: u32 = 3;
const PAUSE: Duration = Duration::from_millis(5);
/// Lines of a proxy's complaint that are shown: a rejected configuration takes a few lines at most.
const SAID_LINES: usize = 6;
