//! One request to the next hop, until its response begins.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::conn::{Conn, ROOM_RESPONSE};
use super::head;
use super::reply::Reply;
use super::transfer::{Broken, Sending};
use crate::hop::preamble::Ends;
use crate::hop::worker::{Replica, Worker};

/// Why a response did not begin.
#[derive(Debug)]
pub(in crate::hop) enum NoResponse {
    /// The client's body is malformed or cut short: the request must not be answered as if it were
    /// whole.
    Client,
    /// The next hop closed the connection without a word, as it may when it was idle too long.
    Stale,
    /// Anything else, for the client to hear of.
    Reply(Reply),
}

/// How long a response is waited for. One for all requests of a connection: to move a timer is much
/// cheaper than to make one.
pub(in crate::hop) struct Patience(Pin<Box<Sleep>>);

impl Patience {
    pub(in crate::hop) fn new() -> Self {
        Self(Box::pin(sleep(RESPONSE_WAIT_MAX)))
    }

    fn begin(&mut self) {
        self.0.as_mut().reset(Instant::now() + RESPONSE_WAIT_MAX);
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

/// What the client is asked or told while it waits.
pub(in crate::hop) enum Interim {
    /// The response has begun.
    Begun,
    /// The next hop wants the body.
    Continue,
}

/// A connection to the next hop: one that is idle, or a new one.
pub(in crate::hop) async fn connection(
    worker: &Worker,
    replica: &Replica,
    ends: &Ends,
    fresh: bool,
) -> Result<Conn, Reply> {
    if !fresh && let Some(conn) = replica.pool.take() {
        worker.counts.reused.one();
        return Ok(conn);
    }
    let Some(dial) = &worker.shared.hop.dial else { return Err(Reply::BadGateway) };
    let stream = worker.dial(replica, dial.address, ends).await.map_err(Reply::Unreachable)?;
    Ok(Conn::new(stream))
}

/// Sends a request, and reads until a response's head is whole or more of the body is asked for.
/// The body goes on meanwhile, so neither side waits for the other in vain.
pub(in crate::hop) async fn begin(
    request: &mut impl Sending,
    upstream: &mut Conn,
    to_head: bool,
    patience: &mut Patience,
) -> Result<Interim, NoResponse> {
    let mut sends = !request.is_sent();
    patience.begin();
    poll_fn(|cx| {
        if sends {
            match request.poll_send(cx, &mut upstream.stream) {
                // The next hop may have answered before it stopped to listen.
                Poll::Ready(Ok(()) | Err(Broken::Sink { .. })) => sends = false,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(NoResponse::Client)),
                // While the body moves, nobody is late.
                Poll::Pending => patience.begin(),
            }
        }
        match poll_head(cx, upstream, to_head) {
            Poll::Pending if patience.poll_end(cx).is_ready() => {
                Poll::Ready(Err(NoResponse::Reply(Reply::GatewayTimeout)))
            }
            polled => polled,
        }
    })
    .await
}

/// Reads until something is to be told to the client.
fn poll_head(
    cx: &mut Context<'_>,
    upstream: &mut Conn,
    to_head: bool,
) -> Poll<Result<Interim, NoResponse>> {
    let bad = || Poll::Ready(Err(NoResponse::Reply(Reply::BadGateway)));
    loop {
        match head::response(upstream.data(), to_head, |_, _| ()) {
            Ok(Some((facts, ()))) => match facts.status {
                100 => {
                    upstream.take(facts.bytes);
                    return Poll::Ready(Ok(Interim::Continue));
                }
                // We ask for no other protocol, so none may be spoken.
                0..=101 => return bad(),
                // Hints that a proxy may keep to itself (RFC 9110, section 15.2).
                102..200 => upstream.take(facts.bytes),
                _ => return Poll::Ready(Ok(Interim::Begun)),
            },
            Ok(None) => match ready!(upstream.poll_fill(cx, ROOM_RESPONSE)) {
                Ok(0) | Err(_) if upstream.data().is_empty() && upstream.is_used => {
                    return Poll::Ready(Err(NoResponse::Stale));
                }
                Ok(0) | Err(_) => return bad(),
                Ok(_) => {}
            },
            Err(_) => return bad(),
        }
    }
}

/// One minute in which nothing moves, as nginx waits.
const RESPONSE_WAIT_MAX: Duration = Duration::from_secs(60);
