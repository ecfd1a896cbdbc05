//! The loop of one HTTP/1.1 client: a request, its response, and so on, in order.

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::conn::{Conn, ROOM_USUAL};
use super::head::{self, BadHead, RequestFacts};
use crate::hop::context::Worker;
use crate::hop::counters::Refusal;
use crate::hop::error_response::ErrorResponse;
use crate::hop::limits::IdleTimeout;

/// A request's head, or why there is none.
pub(in crate::hop) enum NextRequest<T> {
    /// The client has nothing more to ask.
    End,
    /// A head, which was taken from the buffer.
    Request(RequestFacts, T),
    /// A request that cannot be served; the client gets an error response, and its connection ends.
    Refuse(ErrorResponse),
}

/// Reads the next head. A client that says nothing, and one in the middle of a head, is waited for
/// only so long.
pub(in crate::hop) async fn next<T>(
    worker: &Worker,
    client: &mut Conn,
    idle: &mut IdleTimeout,
    mut then: impl FnMut(&httparse::Request<'_, '_>, &RequestFacts) -> Result<T, BadHead>,
) -> NextRequest<T> {
    client.shrink(ROOM_USUAL);
    let mut waits = false;
    loop {
        // Some old clients send an empty line behind a body; it is no request (RFC 9112, section
        // 2.2).
        client.take(empty_lines(client.data()));
        if !matches!(client.data(), b"" | b"\r") {
            break;
        }
        if !waits {
            waits = true;
            idle.begin(worker.silence_max(!client.is_used));
        }
        match idle.rest(client.fill(ROOM_USUAL)).await {
            Some(Ok(1..)) => {}
            Some(Ok(0) | Err(_)) | None => return NextRequest::End,
        }
    }
    client.is_used = true;
    // Most heads come whole, and then there is no need of a timer.
    if let Some(next) = parse(client, &mut then) {
        return next;
    }
    let reading = async {
        loop {
            match client.fill(ROOM_USUAL).await {
                Ok(0) | Err(_) => return NextRequest::End,
                Ok(_) => {}
            }
            if let Some(next) = parse(client, &mut then) {
                return next;
            }
        }
    };
    let reading = timeout(worker.shared.limits.head, reading);
    reading.await.unwrap_or(NextRequest::Refuse(ErrorResponse::RequestTimeout))
}

/// Bytes of empty lines before a request, which are nothing (RFC 9112, section 2.2).
fn empty_lines(data: &[u8]) -> usize {
    const LINE: &[u8] = b"\r\n";
    data.chunks(LINE.len()).take_while(|line| *line == LINE).count() * LINE.len()
}

/// Takes a head, or finds that there is none to come; `None` while it is not whole.
fn parse<T>(
    client: &mut Conn,
    then: impl FnOnce(&httparse::Request<'_, '_>, &RequestFacts) -> Result<T, BadHead>,
) -> Option<NextRequest<T>> {
    match head::request(client.data(), then) {
        Ok(Some((facts, then))) => {
            client.take(facts.bytes);
            Some(NextRequest::Request(facts, then))
        }
        Ok(None) => None,
        Err(bad) => Some(NextRequest::Refuse(bad.into())),
    }
}

/// Ends a connection whose requests were all answered.
pub(in crate::hop) async fn end(worker: &Worker, mut client: Conn) {
    // A client that is gone does not mind.
    let _ = timeout(worker.shared.limits.close, client.stream.shutdown()).await;
}

/// Tells a client why, and lets it go.
pub(in crate::hop) async fn refuse(
    worker: &Worker,
    mut client: Conn,
    why: ErrorResponse,
    to_head: bool,
) -> Result<(), Refusal> {
    let mut out = Vec::new();
    why.put(true, to_head, &mut out);
    worker.counters.down.add(out.len() as u64);
    let said = timeout(worker.shared.limits.close, client.stream.write_all(&out)).await;
    // Closing with bytes unread makes the kernel send a reset, which may overtake the response.
    if matches!(said, Ok(Ok(()))) {
        client.linger().await;
    }
    Err(why.refusal())
}
