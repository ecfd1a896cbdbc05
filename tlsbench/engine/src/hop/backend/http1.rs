//! The backend's answers by HTTP/1.1. Request bodies are read and discarded.

use std::io::{self, IoSlice};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::payload::{self, BLOCK};
use crate::hop::context::{Client, Worker};
use crate::hop::counters::{Refusal, WorkerCounters};
use crate::hop::error_response::ErrorResponse;
use crate::hop::http1::conn::Conn;
use crate::hop::http1::head::RequestFacts;
use crate::hop::http1::serve::{self, NextRequest};
use crate::hop::limits::IdleTimeout;
use crate::http1::{BadChunk, BodyDecoder, BodyPiece, ChunkRules};

/// Serves a client that speaks HTTP/1.1.
pub(in crate::hop) async fn answer(worker: &Worker, client: Client) -> Result<(), Refusal> {
    let (counters, limits) = (&worker.counters, &worker.shared.limits);
    let mut idle = IdleTimeout::new(limits.head);
    let usual = worker.shared.hop.response_bytes;
    let mut client = Conn::new(client.stream);
    let mut out = Vec::new();
    loop {
        let next = serve::next(worker, &mut client, &mut idle, |request, _| {
            Ok(payload::length(request.path.unwrap_or_default(), usual))
        });
        let (facts, bytes) = match next.await {
            NextRequest::End => break,
            NextRequest::Refuse(why) => return serve::refuse(worker, client, why, false).await,
            NextRequest::Request(facts, bytes) => (facts, bytes),
        };
        counters.requests.one();
        let Some(bytes) = bytes else {
            return serve::refuse(worker, client, ErrorResponse::BadRequest, facts.is_head).await;
        };
        let reading = read_body(&mut client, counters, &facts, &mut idle, limits.body);
        match reading.await {
            Ok(()) => {}
            Err(BodyError::Bad) => {
                return serve::refuse(worker, client, ErrorResponse::BadRequestBody, facts.is_head)
                    .await;
            }
            Err(BodyError::Cut) => return Err(Refusal::RequestBody),
            Err(BodyError::Late) => {
                return serve::refuse(worker, client, ErrorResponse::RequestTimeout, facts.is_head)
                    .await;
            }
        }
        put_head(&facts, bytes, &mut out);
        let body = if facts.is_head { 0 } else { bytes };
        let written = write(&mut client, &mut out, body, &mut idle, limits.body).await;
        written.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Refusal::Stalled,
            _ => Refusal::Reset,
        })?;
        counters.down.add(body);
        if !facts.keeps {
            break;
        }
    }
    serve::end(worker, client).await;
    Ok(())
}

/// The reason why a request's body could not be read.
enum BodyError {
    /// The body is malformed.
    Bad,
    /// The client went away within it.
    Cut,
    /// The body stopped coming.
    Late,
}

impl From<BadChunk> for BodyError {
    fn from(_: BadChunk) -> Self {
        Self::Bad
    }
}

async fn read_body(
    client: &mut Conn,
    counters: &WorkerCounters,
    facts: &RequestFacts,
    idle: &mut IdleTimeout,
    limit: Duration,
) -> Result<(), BodyError> {
    let mut decoder = BodyDecoder::new(facts.framing, ChunkRules::Strict);
    // A client that has begun its body needs no leave any more (RFC 9110, section 10.1.1).
    if facts.expects && client.data().is_empty() {
        let asked = client.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        asked.map_err(|_| BodyError::Cut)?;
        client.stream.flush().await.map_err(|_| BodyError::Cut)?;
    }
    loop {
        match decoder.next(client.data())? {
            BodyPiece::End => return Ok(()),
            BodyPiece::Skip(bytes) => client.take(bytes),
            BodyPiece::Data(bytes) => {
                counters.up.add(bytes as u64);
                client.take(bytes);
            }
            BodyPiece::More => match idle.within(limit, client.fill(ROOM_BODY)).await {
                Some(Ok(1..)) => {}
                Some(Ok(0) | Err(_)) => return Err(BodyError::Cut),
                None => return Err(BodyError::Late),
            },
        }
    }
}

fn put_head(facts: &RequestFacts, bytes: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n");
    let connection = match (facts.keeps, facts.is_old) {
        (false, _) => "Connection: close\r\n",
        (true, true) => "Connection: keep-alive\r\n",
        (true, false) => "",
    };
    out.extend_from_slice(format!("Content-Length: {bytes}\r\n{connection}\r\n").as_bytes());
}

/// Writes a head, and a body behind it, as much of both at once as there is.
async fn write(
    client: &mut Conn,
    out: &mut Vec<u8>,
    mut body: u64,
    idle: &mut IdleTimeout,
    limit: Duration,
) -> io::Result<()> {
    let part =
        |bytes: u64| BLOCK.get(..usize::try_from(bytes).unwrap_or(usize::MAX)).unwrap_or(&BLOCK);
    if body <= COPIED_MAX {
        out.extend_from_slice(part(body));
        body = 0;
    }
    let mut taken = 0;
    loop {
        let (first, rest) = (out.get(taken..).unwrap_or_default(), part(body));
        let written = match (first, rest) {
            ([], []) => break,
            ([], only) | (only, []) => {
                idle.within(limit, client.stream.write(only)).await.ok_or_else(stalled)??
            }
            _ => {
                let both = [IoSlice::new(first), IoSlice::new(rest)];
                let writing = client.stream.write_vectored(&both);
                idle.within(limit, writing).await.ok_or_else(stalled)??
            }
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let of_first = written.min(first.len());
        taken += of_first;
        body -= (written - of_first) as u64;
    }
    out.clear();
    idle.within(limit, client.stream.flush()).await.ok_or_else(stalled)?
}

fn stalled() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Up to here it takes less to copy a body behind its head than to have the kernel gather both: 4
/// KiB.
const COPIED_MAX: u64 = 4 << 10;
/// Room for a body's next part, which is forgotten at once.
const ROOM_BODY: usize = 64 << 10;
