//! Counters of a hop's own engine: its connections, handshakes and requests.
//!
//! Asking may cost the hop CPU time, so nobody asks while it is measured.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;
use tlsbench_core::hop::EngineCounters;
use tlsbench_core::proxyconf::{HANDSHAKE_LOG, NGINX_PID, STATS_SOCKET};

use crate::process::{HopProcess, ProcessError};

/// The place where a hop's counts are found.
#[derive(Debug)]
pub(super) enum CounterSource {
    /// A built-in hop, which answers.
    Asked { speaks_http: bool },
    /// nginx: the lines of its log that were taken away, counted.
    Log { folder: PathBuf, counted: EngineCounters, is_single: bool },
    /// HAProxy: its statistics.
    Statistics { folder: PathBuf, speaks_http: bool },
    /// No counters at all.
    Unknown,
}

/// The reason why a hop's counters are not known.
#[derive(Debug, Error)]
pub enum CountError {
    /// One of ours does not answer.
    #[error("cannot ask for its counters")]
    Ask(#[source] ProcessError),
    /// nginx's log or the file with its number cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// nginx did not write what it had in memory.
    #[error("nginx did not open `{}` anew within {} s after SIGUSR1", path.display(), ANSWER_WITHIN.as_secs())]
    Reopen {
        /// The log.
        path: PathBuf,
    },
    /// nginx cannot be told to.
    #[error("cannot tell nginx, process {pid:?} of `{}`, to open its log anew", path.display())]
    Signal {
        /// The file with its number.
        path: PathBuf,
        /// The contents of the file.
        pid: String,
    },
    /// HAProxy's statistics cannot be had.
    #[error("cannot ask `{}` for `{ASKED}`", path.display())]
    Statistics {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The statistics lack a field.
    #[error("`{ASKED}` of HAProxy says no `{what}`; use version 2.4 or later")]
    Lacks {
        /// A column, or a row.
        what: &'static str,
    },
}

impl CounterSource {
    /// Returns the counts since the hop started; `None` if it does not count. `pids` are the
    /// processes that may be sent signals.
    pub(super) fn counted(
        &mut self,
        process: &mut HopProcess,
        mut pids: impl Iterator<Item = u32>,
    ) -> Result<Option<EngineCounters>, CountError> {
        match self {
            Self::Asked { speaks_http } => {
                let all = process.counters().map_err(CountError::Ask)?.counted();
                Ok(Some(EngineCounters { requests: all.requests.filter(|_| *speaks_http), ..all }))
            }
            Self::Log { folder, counted, is_single: true } => {
                *counted = *counted + taken_away(folder, |pid| pids.any(|other| other == pid))?;
                Ok(Some(*counted))
            }
            Self::Log { folder, .. } => lines(&folder.join(HANDSHAKE_LOG)).map(Some),
            Self::Statistics { folder, speaks_http } => {
                statistics(&ask(folder)?, *speaks_http).map(Some)
            }
            Self::Unknown => Ok(None),
        }
    }
}

/// Takes nginx's log away, lets it begin another, and counts what the first one holds: nginx writes
/// all that it has of a file before it opens that again.
fn taken_away(
    folder: &Path,
    is_ours: impl FnOnce(u32) -> bool,
) -> Result<EngineCounters, CountError> {
    let (log, taken) = (folder.join(HANDSHAKE_LOG), folder.join(TAKEN));
    let path = folder.join(NGINX_PID);
    let begun = Instant::now();
    let said = number(&path, begun)?;
    let pid = said.trim().parse::<i32>().ok().filter(|pid| u32::try_from(*pid).is_ok_and(is_ours));
    let Some(pid) = pid.and_then(Pid::from_raw) else {
        return Err(CountError::Signal { path, pid: said });
    };
    fs::rename(&log, &taken).map_err(|source| CountError::Read { path: log.clone(), source })?;
    loop {
        // A signal just before nginx waits for events is heeded only after the next of them.
        if kill_process(pid, Signal::USR1).is_err() {
            return Err(CountError::Signal { path, pid: said });
        }
        let told = Instant::now();
        while told.elapsed() < TELL_AGAIN {
            if log.exists() {
                return lines(&taken);
            }
            std::thread::sleep(PAUSE);
        }
        if begun.elapsed() > ANSWER_WITHIN {
            return Err(CountError::Reopen { path: log });
        }
    }
}

/// Returns the process number of nginx, which it writes down a little after it accepts clients.
fn number(path: &Path, begun: Instant) -> Result<String, CountError> {
    loop {
        let read = fs::read_to_string(path);
        let is_there = match &read {
            Ok(said) => said.ends_with('\n'),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if is_there || begun.elapsed() > ANSWER_WITHIN {
            return read.map_err(|source| CountError::Read { path: path.to_owned(), source });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Reads the counts from a log of handshakes.
fn lines(log: &Path) -> Result<EngineCounters, CountError> {
    let text = fs::read_to_string(log);
    let text = text.map_err(|source| CountError::Read { path: log.to_owned(), source })?;
    let mut counted = EngineCounters::default();
    for line in text.lines() {
        counted.connections += 1;
        counted.full += u64::from(line == ".");
        counted.resumed += u64::from(line == "r");
    }
    Ok(counted)
}

fn ask(folder: &Path) -> Result<String, CountError> {
    let exchange = || {
        // By way of the folder, for addresses of such sockets have at most 107 bytes.
        let held = File::open(folder)?;
        let path = format!("/proc/self/fd/{}/{STATS_SOCKET}", held.as_raw_fd());
        let mut socket = connect(&path)?;
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        writeln!(socket, "{ASKED}")?;
        let mut said = String::new();
        socket.read_to_string(&mut said)?;
        Ok(said)
    };
    let failed = |source| CountError::Statistics { path: folder.join(STATS_SOCKET), source };
    exchange().map_err(failed)
}

/// HAProxy accepts clients a little before it has made this socket.
fn connect(path: &str) -> io::Result<UnixStream> {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if begun.elapsed() > ANSWER_WITHIN {
                    return Err(error);
                }
            }
            connected => return connected,
        }
        std::thread::sleep(PAUSE);
    }
}

/// Reads the CSV of `show stat`. There is one frontend; handshakes as a client are its backends'.
fn statistics(said: &str, speaks_http: bool) -> Result<EngineCounters, CountError> {
    let mut rows = said.lines().map(|line| line.trim_start_matches("# ").split(','));
    let columns: Vec<&str> = rows.next().into_iter().flatten().collect();
    let rows: Vec<Vec<&str>> = rows.map(Iterator::collect).collect();
    let sum = |side: &str, what: &'static str| {
        let of = |name| columns.iter().position(|column| *column == name);
        let (Some(kind), Some(column)) = (of("svname"), of(what)) else {
            return Err(CountError::Lacks { what });
        };
        let of_side = rows.iter().filter(|row| row.get(kind) == Some(&side));
        let values = of_side.filter_map(|row| row.get(column)?.parse::<u64>().ok());
        Ok(values.sum::<u64>())
    };
    if !rows.iter().any(|row| row.contains(&"FRONTEND")) {
        return Err(CountError::Lacks { what: "FRONTEND" });
    }
    // A session that is reused is not among those that were established.
    let handshakes = |side| Ok((sum(side, "ssl_sess")?, sum(side, "ssl_reused_sess")?));
    let (full, resumed) = handshakes("FRONTEND")?;
    let (dialled_full, dialled_resumed) = handshakes("BACKEND")?;
    Ok(EngineCounters {
        connections: sum("FRONTEND", "conn_tot")?,
        full,
        resumed,
        requests: speaks_http.then(|| sum("FRONTEND", "req_tot")).transpose()?,
        dialled_full: Some(dialled_full),
        dialled_resumed: Some(dialled_resumed),
    })
}

const ASKED: &str = "show stat";
/// The log as long as it is counted.
const TAKEN: &str = "handshakes.taken";
/// A proxy answers in milliseconds; a machine under load may take a thousand times as long.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Twenty times what nginx takes to open a file, on a machine that has nothing else to do.
const TELL_AGAIN: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_by_the_names_of_their_columns() {
        let said = "# pxname,svname,stot,req_tot,conn_tot,-,ssl_sess,ssl_reused_sess,\n\
                    hop,FRONTEND,9,12,10,-,5,3,\nroute0,next,9,,,-,4,1,\nroute0,BACKEND,9,,,-,4,1,\n\
                    next,BACKEND,0,,,-,0,2,\n\n";
        let wanted = EngineCounters {
            connections: 10,
            full: 5,
            resumed: 3,
            requests: Some(12),
            dialled_full: Some(4),
            dialled_resumed: Some(3),
        };
        assert_eq!(statistics(said, true).unwrap(), wanted);
        assert_eq!(statistics(said, false).unwrap().requests, None);
        let older = said.replace("ssl_reused_sess", "other");
        let error = statistics(&older, true).unwrap_err().to_string();
        assert!(error.contains("`ssl_reused_sess`") && error.contains("2.4"), "{error}");
        let error = statistics("Unknown command.\n", true).unwrap_err();
        assert!(matches!(error, CountError::Lacks { what: "FRONTEND" }), "{error}");
    }

    #[test]
    fn only_processes_of_the_hop_are_sent_signals() {
        let folder = tempfile::tempdir().unwrap();
        for said in ["\n", "-1\n", "0\n", "none\n", &format!("{}\n", std::process::id())] {
            fs::write(folder.path().join(NGINX_PID), said).unwrap();
            fs::write(folder.path().join(HANDSHAKE_LOG), ".\n").unwrap();
            // A signal that nobody waits for would end this test.
            let error = taken_away(folder.path(), |_| false).unwrap_err();
            assert!(matches!(error, CountError::Signal { .. }), "{error}");
            assert!(folder.path().join(HANDSHAKE_LOG).exists());
        }
    }
}
