//! `tlsbench hop`: one builtin hop as a process. Whoever starts it holds its standard input.
//!
//! The first line of standard input is the configuration. `ready ADDRESS` on standard output says
//! that connections are accepted. Each further line `counters` is answered by a line of JSON. The
//! end of the input, or SIGTERM, ends the hop, and its last line is its counters.

use std::ffi::OsString;
use std::io::{self, BufRead as _, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::Context as _;
use tlsbench_core::hop::Hop;
use tlsbench_engine::hop::{HopServer, raise_descriptor_limit};
use tlsbench_engine::process::supervise;

use crate::exit::Exit;

/// An event that ends the hop's wait.
enum HopEvent {
    End,
    Failed(io::Error),
    Line(String),
}

/// Is a builtin hop, or the supervisor of a program.
pub(super) fn run(exec: &[OsString], out: &mut impl Write) -> anyhow::Result<Exit> {
    let Some((program, arguments)) = exec.split_first() else {
        serve(out)?;
        return Ok(Exit::Fine);
    };
    // A proxy has two sockets for each connection, and the soft limit of a shell is 1,024.
    raise_descriptor_limit();
    let ended = supervise(Command::new(program).args(arguments))
        .with_context(|| format!("cannot run `{}`", program.display()))?;
    if let Some(status) = ended.filter(|status| !status.success()) {
        // A signal leaves no word of its own anywhere.
        anyhow::bail!("`{}` ended: {status}", program.display());
    }
    Ok(Exit::Fine)
}

/// Serves until there is nobody to serve for.
fn serve(out: &mut impl Write) -> anyhow::Result<()> {
    let (sender, events) = mpsc::channel();
    // Before anything else, so that no signal finds the hop half started.
    end_on_signal(sender.clone()).context("cannot listen to signals")?;
    thread::spawn(move || read_lines(&sender));
    let hop = match events.recv() {
        Ok(HopEvent::Line(line)) => {
            Hop::from_json(&line).context("cannot use the configuration on standard input")?
        }
        Ok(HopEvent::Failed(error)) => {
            return Err(error).context("cannot read the configuration from standard input");
        }
        Ok(HopEvent::End) | Err(_) => {
            anyhow::bail!("no configuration on standard input: write one line of JSON")
        }
    };
    raise_descriptor_limit();
    // Listening begins before `ready` is said: whoever reads it connects at once.
    let running = HopServer::start(&hop)?;
    say(out, &format!("ready {}", running.address()))?;
    for event in events {
        match event {
            HopEvent::End => break,
            HopEvent::Failed(error) => return Err(error).context("cannot read standard input"),
            HopEvent::Line(line) if line == "counters" => say_counters(out, &running)?,
            HopEvent::Line(line) => anyhow::bail!(
                "`{}` on standard input is no word of a hop's; `counters` is the only one",
                line.escape_default()
            ),
        }
    }
    say_counters(out, &running)
}

fn say_counters(out: &mut impl Write, running: &HopServer) -> anyhow::Result<()> {
    say(out, &serde_json::to_string(&running.counters())?)
}

fn say(out: &mut impl Write, line: &str) -> anyhow::Result<()> {
    writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write standard output")
}

fn read_lines(events: &Sender<HopEvent>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = String::new();
        // The limit is per line. Without it a writer that never ends a line would fill the memory.
        let event = match (&mut input).take(LINE_MAX).read_line(&mut line) {
            Ok(0) => HopEvent::End,
            Ok(_) if line.ends_with('\n') || (line.len() as u64) < LINE_MAX => {
                HopEvent::Line(line.trim_end_matches('\n').to_owned())
            }
            Ok(_) => HopEvent::Failed(io::Error::other(format!("a line of over {LINE_MAX} bytes"))),
            Err(error) => HopEvent::Failed(error),
        };
        let is_last = !matches!(event, HopEvent::Line(_));
        if events.send(event).is_err() || is_last {
            return;
        }
    }
}

fn end_on_signal(events: Sender<HopEvent>) -> io::Result<()> {
    let (mut heard, hears) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, hears)?;
    thread::spawn(move || {
        if heard.read_exact(&mut [0]).is_ok() {
            // Nobody listens any more only when the hop has ended.
            let _ = events.send(HopEvent::End);
        }
    });
    Ok(())
}

/// 1 MiB: three certificate chains of 16 KiB and 10,000 routes of 90 bytes.
const LINE_MAX: u64 = 1 << 20;
