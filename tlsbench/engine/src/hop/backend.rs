//! A backend: every request is answered by as many bytes as were asked for.
//!
//! The path `/bytes/N` asks for N bytes, any other for as many as the configuration says. Bodies of
//! requests are read and forgotten.

use std::io::{self, IoSlice};
use std::time::Duration;

use tlsbench_core::plan::hop::RESPONSE_BYTES_MAX;
use tokio::io::AsyncWriteExt as _;

use super::count::{Counts, Refusal};
use super::http::body::{BadBody, Decoder, Piece};
use super::http::conn::Conn;
use super::http::head::RequestFacts;
use super::http::reply::Reply;
use super::http::serve::{self, Next};
use super::limits::Patience;
use super::worker::{Client, Worker};

/// Serves a client that speaks HTTP/1.1.
pub(super) async fn answer(worker: &Worker, client: Client) -> Result<(), Refusal> {
    let (counts, limits) = (&worker.counts, &worker.shared.limits);
    let mut patience = Patience::new(limits.head);
    let usual = worker.shared.hop.response_bytes;
    let mut client = Conn::new(client.stream);
    let mut out = Vec::new();
    loop {
        let next = serve::next(worker, &mut client, &mut patience, |request, _| {
            Ok(bytes(request.path.unwrap_or_default(), usual))
        });
        let (facts, bytes) = match next.await {
            Next::End => break,
            Next::Refuse(why) => return serve::refuse(worker, client, why, false).await,
            Next::Request(facts, bytes) => (facts, bytes),
        };
        counts.requests.one();
        let Some(bytes) = bytes else {
            return serve::refuse(worker, client, Reply::BadRequest, facts.is_head).await;
        };
        let reading = read_body(&mut client, counts, &facts, &mut patience, limits.body);
        match reading.await {
            Ok(()) => {}
            Err(Unread::Bad) => {
                return serve::refuse(worker, client, Reply::BadRequestBody, facts.is_head).await;
            }
            Err(Unread::Cut) => return Err(Refusal::RequestBody),
            Err(Unread::Late) => {
                return serve::refuse(worker, client, Reply::RequestTimeout, facts.is_head).await;
            }
        }
        put_head(&facts, bytes, &mut out);
        let body = if facts.is_head { 0 } else { bytes };
        let written = write(&mut client, &mut out, body, &mut patience, limits.body).await;
        written.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Refusal::Stalled,
            _ => Refusal::Reset,
        })?;
        counts.down.add(body);
        if !facts.keeps {
            break;
        }
    }
    serve::end(worker, client).await;
    Ok(())
}

/// The length of body that a path asks for; nothing when it asks for nonsense.
pub(super) fn bytes(path: &str, usual: u64) -> Option<u64> {
    let path = path.split('?').next().unwrap_or_default();
    let Some(asked) = path.strip_prefix("/bytes/") else { return Some(usual) };
    let is_number = asked.bytes().all(|byte| byte.is_ascii_digit());
    asked.parse().ok().filter(|&bytes| is_number && bytes <= RESPONSE_BYTES_MAX)
}

/// Why a request's body could not be read.
enum Unread {
    /// It is malformed.
    Bad,
    /// The client went away within it.
    Cut,
    /// It stopped coming.
    Late,
}

impl From<BadBody> for Unread {
    fn from(_: BadBody) -> Self {
        Self::Bad
    }
}

async fn read_body(
    client: &mut Conn,
    counts: &Counts,
    facts: &RequestFacts,
    patience: &mut Patience,
    limit: Duration,
) -> Result<(), Unread> {
    let mut decoder = Decoder::new(facts.framing);
    if facts.expects && client.data().is_empty() {
        let asked = client.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        asked.map_err(|_| Unread::Cut)?;
        client.stream.flush().await.map_err(|_| Unread::Cut)?;
    }
    loop {
        match decoder.next(client.data())? {
            Piece::End => return Ok(()),
            Piece::Skip(bytes) => client.take(bytes),
            Piece::Data(bytes) => {
                counts.up.add(bytes as u64);
                client.take(bytes);
            }
            Piece::More => match patience.within(limit, client.fill(ROOM_BODY)).await {
                Some(Ok(1..)) => {}
                Some(Ok(0) | Err(_)) => return Err(Unread::Cut),
                None => return Err(Unread::Late),
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
    patience: &mut Patience,
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
                patience.within(limit, client.stream.write(only)).await.ok_or_else(stalled)??
            }
            _ => {
                let both = [IoSlice::new(first), IoSlice::new(rest)];
                let writing = client.stream.write_vectored(&both);
                patience.within(limit, writing).await.ok_or_else(stalled)??
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
    patience.within(limit, client.stream.flush()).await.ok_or_else(stalled)?
}

fn stalled() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// What bodies are made of.
pub(super) static BLOCK: [u8; 64 << 10] = [b'x'; 64 << 10];
/// Up to here it takes less to copy a body behind its head than to have the kernel gather both: 4 KiB.
const COPIED_MAX: u64 = 4 << 10;
/// Room for a body's next part, which is forgotten at once.
const ROOM_BODY: usize = 64 << 10;
