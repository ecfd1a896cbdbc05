//! Connections that stand and do nothing: what memory each hop has with and without them, and what
//! CPU time it takes while nobody asks for anything.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use thiserror::Error;
use tlsbench_core::scenario::{Scenario, Target, USER_AGENT};
use tlsbench_core::usage::{Memory, Rest};

use crate::probe::Reading;
use crate::run::{Inputs, Stop};
use crate::tls::{TlsClient, TlsError};
use crate::topology::{Topology, TopologyError};

/// The result of holding idle connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// The number that stood when memory was read: fewer than were asked for if it was stopped.
    pub connections: u32,
    /// Each hop, from the client on.
    pub hops: Vec<IdleUse>,
}

/// The use of resources by one hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleUse {
    /// Memory before there were any connections.
    pub before: Memory,
    /// While they stood.
    pub after: Memory,
    /// While they stood and nothing was asked; `None` if a process of it ended meanwhile, or it
    /// was stopped.
    pub rest: Option<Rest>,
}

/// The connections that are to be held.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// The number of connections.
    pub connections: u32,
    /// The time that hops are left alone with them, to see what they use at rest.
    pub left_alone: Duration,
}

/// The reason why connections cannot be held.
#[derive(Debug, Error)]
pub enum IdleError {
    /// A connection did not come about, or its request was not answered.
    #[error("connection {number} of {of} to {address} does not stand")]
    Connection {
        /// The number of the connection, from 1.
        number: u32,
        /// The number of connections that there were to be.
        of: u32,
        /// The address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// TLS cannot be spoken as the scenario wants it.
    #[error("cannot speak TLS")]
    Tls(#[from] TlsError),
    /// A hop ended, or cannot be read.
    #[error("a hop is missing")]
    Topology(#[from] TopologyError),
}

/// Holds connections to the scenario's first target, which is this topology. Each makes a request,
/// so that every hop has what it needs for one, and is then left alone: for so long that hops are
/// through with the last of them, and then for the time that is asked for.
///
/// # Errors
/// When one of them does not come about within 10 s, or a hop ends.
pub fn hold(
    topology: &mut Topology,
    scenario: &Scenario,
    inputs: &Inputs,
    asked: Hold,
    stop: &Stop,
) -> Result<Idle, IdleError> {
    topology.at_client(|topology| hold_here(topology, scenario, inputs, asked, stop))?
}

fn hold_here(
    topology: &mut Topology,
    scenario: &Scenario,
    inputs: &Inputs,
    asked: Hold,
    stop: &Stop,
) -> Result<Idle, IdleError> {
    let Some(target) = scenario.targets.first() else {
        return Ok(Idle { connections: 0, hops: Vec::new() });
    };
    let mut tls = inputs
        .roots
        .as_ref()
        .map(|roots| TlsClient::new(&scenario.tls, target, roots, None, inputs.identity.as_ref()))
        .transpose()?;
    let address = topology.address().map(|at| at.to_string()).unwrap_or_default();
    let mut connect = |number| {
        connection(&address, target, tls.as_mut()).map_err(|source| {
            let address = address.clone();
            IdleError::Connection { number, of: asked.connections, address, source }
        })
    };
    // What a hop allocates once, with its first connection, is no part of what each takes.
    drop(connect(0)?);
    let before = topology.read()?;
    let mut held = Vec::new();
    for number in 1..=asked.connections {
        if stop.is_asked() {
            break;
        }
        held.push(connect(number)?);
    }
    let after = topology.read()?;
    pause(SETTLING, stop);
    // Handshakes of the last connections have settled by now, so what follows is rest alone.
    let begun = topology.read_known();
    let is_whole = pause(asked.left_alone, stop);
    let ended = topology.read()?;
    let rests = begun.iter().zip(&ended).map(|(begun, ended)| rest(begun, ended));
    let hops = before.iter().zip(&after).zip(rests).map(|((before, after), rest)| IdleUse {
        before: before.memory,
        after: after.memory,
        rest: rest.filter(|_| is_whole),
    });
    Ok(Idle { connections: u32::try_from(held.len()).unwrap_or(u32::MAX), hops: hops.collect() })
}

/// Waits so long, or until somebody asks to stop; whether it waited to the end.
fn pause(span: Duration, stop: &Stop) -> bool {
    let until = Instant::now() + span;
    while !stop.is_asked() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(LOOK));
    }
    false
}

/// Returns the use between two readings; `None` if a process ended, whose use is not known to its
/// end.
fn rest(begun: &Reading, ended: &Reading) -> Option<Rest> {
    let used = ended.usage - begun.usage;
    (begun.ended == ended.ended).then(|| Rest { wall: ended.at - begun.at, cpu: used.cpu.total })
}

/// A connection that was of use once.
#[expect(dead_code, reason = "they are held, and that is all")]
enum Held {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

fn connection(address: &str, target: &Target, tls: Option<&mut TlsClient>) -> io::Result<Held> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    socket.set_write_timeout(Some(ANSWER_MAX))?;
    let Some(tls) = tls else {
        ask(&mut socket, target)?;
        return Ok(Held::Plain(socket));
    };
    let (connection, _) = tls.connect(false).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    ask(&mut stream, target)?;
    Ok(Held::Tls(Box::new(stream)))
}

/// Asks for the head of a response alone, for bodies are none of an idle connection's business.
fn ask(stream: &mut (impl Read + Write), target: &Target) -> io::Result<()> {
    let Target { host, path, .. } = target;
    write!(stream, "HEAD {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n\r\n")?;
    stream.flush()?;
    let mut head = Vec::new();
    let mut some = [0; 4_096];
    while !head.windows(END.len()).any(|window| window == END) {
        let count = stream.read(&mut some)?;
        if count == 0 || head.len() > HEAD_MAX {
            let seen = String::from_utf8_lossy(&head).into_owned();
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("no whole response: `{}`", seen.lines().next().unwrap_or_default()),
            ));
        }
        head.extend_from_slice(some.get(..count).unwrap_or_default());
    }
    match head.starts_with(b"HTTP/1.1 2") {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "not a success: `{}`",
                String::from_utf8_lossy(&head).lines().next().unwrap_or_default()
            ),
        )),
    }
}

/// The end of a response's head.
const END: &[u8] = b"\r\n\r\n";
/// The longest wait for an answer on one machine.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Session tickets, and the connection that was let go of before.
const SETTLING: Duration = Duration::from_millis(100);
/// The interval at which a request to stop is noticed.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of a head, as nginx and HAProxy take them.
const HEAD_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use tlsbench_core::units::Nanos;
    use tlsbench_core::usage::{Cpu, Usage};

    use super::*;

    #[test]
    fn rest_is_what_lies_between_two_readings_unless_a_process_was_lost() {
        let reading = |at, total, ended| {
            let cpu = Cpu { total: Nanos(total), ..Cpu::default() };
            let usage = Usage { cpu, ..Usage::default() };
            Reading { at: Nanos(at), usage, ended, ..Reading::default() }
        };
        let (begun, ended) = (reading(100, 70, 1), reading(1_100, 75, 1));
        assert_eq!(rest(&begun, &ended), Some(Rest { wall: Nanos(1_000), cpu: Nanos(5) }));
        assert_eq!(rest(&begun, &Reading { ended: 2, ..ended }), None);
    }

    #[test]
    fn whoever_asks_to_stop_is_not_kept_waiting() {
        let stop = Stop::new();
        assert!(pause(Duration::from_millis(1), &stop));
        stop.ask();
        assert!(!pause(Duration::from_secs(60), &stop), "it waited to the end");
    }
}
