//! A socket with or without TLS on it: bytes in, bytes out, never waiting.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustls::ClientConnection;
use tlsbench_core::tally::{Failed, Failure, Tally};

use super::dial::is_blocked;
use crate::tls::{failure_of, failure_of_io};
use crate::wire::{ResponseReader, ResponseSummary};

/// The socket, with TLS on it if there is any.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) socket: TcpStream,
    pub(super) tls: Option<Box<ClientConnection>>,
    /// The kernel said that the server's side is shut, so reading goes on to the end.
    pub(super) hung_up: bool,
    /// The last reading emptied the socket.
    pub(super) drained: bool,
}

/// The result of one read from the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Bytes, in the buffer.
    Bytes(usize),
    /// The server's side is shut.
    End,
    /// No bytes yet.
    Nothing,
    /// The connection was reset.
    Reset,
}

/// The contents of bytes that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FedBytes {
    /// The response that ended.
    pub(super) answer: Option<ResponseSummary>,
    /// True if data came at all.
    pub(super) data: bool,
    /// True if the server said close_notify.
    pub(super) goodbye: bool,
}

impl Transport {
    pub(super) const fn new(socket: TcpStream, tls: Option<Box<ClientConnection>>) -> Self {
        Self { socket, tls, hung_up: false, drained: true }
    }

    /// Notes whether a reading of this length emptied the socket, and returns it. Readiness comes
    /// by edges, so what was left there has to be read without another wake-up, and so has an end
    /// that was announced already.
    pub(super) fn is_drained(&mut self, length: usize, room: usize) -> bool {
        self.drained = length < room && !self.hung_up;
        self.drained
    }

    pub(super) fn recv(&self, buffer: &mut [u8], tally: &mut Tally) -> Received {
        loop {
            match (&self.socket).read(buffer) {
                Ok(0) => return Received::End,
                Ok(length) => {
                    tally.bytes_read += length as u64;
                    return Received::Bytes(length);
                }
                // Edge-triggered: the next wake-up comes only after the socket was found empty.
                Err(error) if is_blocked(&error) => return Received::Nothing,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Received::Reset,
            }
        }
    }

    /// Gives bytes that were read to TLS and what they hold to the reader.
    pub(super) fn feed(
        &mut self,
        mut input: &[u8],
        reader: &mut impl Sink,
    ) -> Result<FedBytes, Failed> {
        let mut fed = FedBytes::default();
        let Some(tls) = &mut self.tls else {
            fed.data = true;
            fed.answer = reader.push(input)?;
            return Ok(fed);
        };
        while !input.is_empty() {
            // rustls takes no more only if its buffer is full, which it never is after each packet
            // was processed.
            if tls.read_tls(&mut input).map_err(|error| failure_of_io(&error))? == 0 {
                return Err(Failure::TlsOther.into());
            }
            let state = match tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The server should hear why; whether it can does not change the reason.
                    let _ = tls.write_tls(&mut &self.socket);
                    return Err(failure_of(&error));
                }
            };
            fed.goodbye |= state.peer_has_closed();
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                fed.data = true;
                let mut plain = tls.reader();
                let piece = plain.fill_buf().map_err(|_| Failure::TlsOther)?;
                let length = piece.len();
                if length == 0 {
                    break;
                }
                fed.answer = fed.answer.or(reader.push(piece)?);
                plain.consume(length);
                left = left.saturating_sub(length);
            }
        }
        Ok(fed)
    }

    /// Writes as much as the socket takes of what TLS has to say; whether that was all.
    pub(super) fn flush(&mut self, tally: &mut Tally) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut &self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => tally.bytes_written += length as u64,
                Err(error) if is_blocked(&error) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Writes as much of plain bytes as the socket takes; how much that was.
    pub(super) fn send(&self, bytes: &[u8], tally: &mut Tally) -> io::Result<usize> {
        loop {
            match (&self.socket).write(bytes) {
                Ok(length) => {
                    tally.bytes_written += length as u64;
                    return Ok(length);
                }
                Err(error) if is_blocked(&error) => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says close_notify, as far as the socket takes it.
    pub(super) fn say_goodbye(&mut self, tally: &mut Tally) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // What becomes of the server's side tells whether it was heard.
            let _ = self.flush(tally);
        }
    }

    /// Shuts our side.
    pub(super) fn shut(&self) {
        // Fails only on a connection that is gone.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Session tickets of TLS 1.3 that came.
    pub(super) fn tickets(&self) -> u32 {
        self.tls.as_ref().map_or(0, |tls| tls.tls13_tickets_received())
    }
}

/// A reader of what TLS has decrypted.
pub(super) trait Sink {
    /// Takes a piece; the answer, where there can be only one and this is its end.
    fn push(&mut self, piece: &[u8]) -> Result<Option<ResponseSummary>, Failed>;
}

/// Lets go what a server says though nothing was asked.
pub(super) struct Unasked;

impl Sink for Unasked {
    fn push(&mut self, _: &[u8]) -> Result<Option<ResponseSummary>, Failed> {
        Ok(None)
    }
}

impl Sink for ResponseReader {
    fn push(&mut self, piece: &[u8]) -> Result<Option<ResponseSummary>, Failed> {
        // Its own method, not this one.
        Self::push(self, piece).map_err(Failed::from)
    }
}
