//! A program that runs beside us and surely ends with us, whatever ends us.
//!
//! The kernel kills it when the thread that started it ends (`PR_SET_PDEATHSIG`), so all of them are
//! started by one thread that lives as long as the process. What a program prints goes to a file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process_group};

/// What to run.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    binary: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(String, OsString)>,
}

impl Program {
    /// A program, and what it is called in messages.
    pub fn new(name: impl Into<String>, binary: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            binary: binary.into(),
            arguments: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<S: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Starts it. Its output is appended to `log`.
    ///
    /// # Errors
    /// Fails when the log cannot be opened or the program cannot be started.
    pub fn start(&self, log: impl Into<PathBuf>) -> Result<Process> {
        let log = log.into();
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot open `{}`", log.display()))?;
        let errors = output.try_clone().context("cannot share a log")?;
        if !self.binary.is_file() {
            bail!("cannot start {}: there is no `{}`", self.name, self.binary.display());
        }
        // setpriv becomes the program, so the process id is the program's own.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.binary)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let child = spawn(command).with_context(|| {
            format!("cannot start {} with setpriv, of the package util-linux", self.name)
        })?;
        Ok(Process { name: self.name.clone(), child: Mutex::new(child), log })
    }
}

/// A program that runs. Dropping it kills it, and when a test is panicking prints the end of its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// Fails when the kernel does not say.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        self.child().try_wait().with_context(|| format!("cannot ask about {}", self.name))
    }

    /// Fails when it does not run any more, with the end of its log.
    ///
    /// # Errors
    /// That it has ended, and how.
    pub fn must_run(&self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended: {status}\n{}", self.name, self.end_of_log()),
        }
    }

    /// Sends a signal to it and to what it started.
    ///
    /// # Errors
    /// Fails when it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child();
        // Once it was waited for, its process id may be another program's.
        if let Ok(Some(status)) = child.try_wait() {
            bail!("{} has ended: {status}", self.name);
        }
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| anyhow!("{} has no process id", self.name))?;
        kill_process_group(id, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Fails when it still runs after `limit`, with the end of its log.
    pub async fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        crate::eventually(&format!("{} ends", self.name), limit, async || {
            self.ended()?.ok_or_else(|| anyhow!("it runs; its log:\n{}", self.end_of_log()))
        })
        .await
    }

    /// Kills it and waits for its end; nothing happens when it has ended.
    pub fn kill(&self) {
        // An error means that there is nothing left to kill.
        let _ = self.signal(Signal::KILL);
        let _ = self.child().wait();
    }

    /// Everything that it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("cannot read `{}`: {error}", self.log.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The file that its output goes to.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The last lines that it has printed.
    #[must_use]
    pub fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines.split_at(lines.len().saturating_sub(LINES_SHOWN)).1.join("\n")
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the end of the log of {}:\n{}\n---", self.name, self.end_of_log());
        }
    }
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The thread that starts programs. It ends with the process, and so do they.
static SPAWNER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, answer) in inbox {
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(orders)
});

fn spawn(command: Command) -> Result<Child> {
    let (answer, outcome) = mpsc::channel();
    let orders = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    orders.send((command, answer)).map_err(|_| anyhow!("the thread that starts them is gone"))?;
    Ok(outcome.recv().context("the thread that starts them is gone")??)
}

/// What fits a screen.
const LINES_SHOWN: usize = 40;
