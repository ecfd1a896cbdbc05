//! One request to the next hop, until its response begins.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use crate::hop::context::{Replica, Worker};
use crate::hop::error_response::ErrorResponse;
use crate::hop::http1::conn::{Conn, ROOM_RESPONSE};
use crate::hop::http1::head;
use crate::hop::http1::transfer::{RequestSource, TransferError};
use crate::hop::limits::{IdleTimeout, Limits};
use crate::hop::proxy_protocol::Addresses;

/// The reason why a response did not begin.
#[derive(Debug)]
pub(super) enum NoResponse {
    /// The client's body is malformed or cut short: the request must not be answered as if it were
    /// whole.
    Client,
    /// The client has given the request up, and nobody is left to answer.
    Gone,
    /// The client's body stopped coming.
    Late,
    /// The next hop closed the connection without a word, as it may when it was idle too long.
    Stale,
    /// Anything else, for the client to hear of.
    Refused(ErrorResponse),
}

/// The next event while the client waits for its response.
pub(super) enum Interim {
    /// The response has begun.
    Begun,
    /// The next hop wants the body.
    Continue,
    /// An interim response is there, and still to be taken (RFC 9110, section 15.2).
    Hints,
}

/// A connection to the next hop: one that is idle, or a new one, which is given up once the client
/// is gone.
pub(super) async fn connection(
    worker: &Worker,
    replica: &Replica,
    addresses: &Addresses,
    fresh: bool,
    mut gone: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<Conn, NoResponse> {
    // A second attempt gets a new connection: other pooled ones may be as stale as the first was.
    if !fresh && let Some(conn) = replica.pool.take() {
        worker.counters.reused.one();
        return Ok(conn);
    }
    let Some(dial) = &worker.shared.hop.dial else {
        return Err(NoResponse::Refused(ErrorResponse::BadGateway));
    };
    let mut dialling = pin!(worker.dial(replica, dial.address, addresses));
    let stream = poll_fn(|cx| match dialling.as_mut().poll(cx) {
        Poll::Ready(dialled) => {
            Poll::Ready(dialled.map_err(|why| NoResponse::Refused(ErrorResponse::Unreachable(why))))
        }
        Poll::Pending => gone(cx).map(|()| Err(NoResponse::Gone)),
    });
    Ok(Conn::new(stream.await?))
}

/// Sends a request, and reads until a response's head is whole or more of the body is asked for.
/// The body goes on meanwhile, so neither side waits for the other in vain.
pub(super) async fn begin(
    request: &mut impl RequestSource,
    upstream: &mut Conn,
    to_head: bool,
    idle: &mut IdleTimeout,
    limits: &Limits,
) -> Result<Interim, NoResponse> {
    let mut sends = !request.is_sent();
    // What is waited for: the request's body, or the response.
    let mut waits_for = None;
    poll_fn(|cx| {
        if sends {
            match request.poll_send(cx, &mut upstream.stream) {
                // The next hop may have answered before it stopped to listen.
                Poll::Ready(Ok(()) | Err(TransferError::Sink { .. })) => sends = false,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(NoResponse::Client)),
                Poll::Pending => {}
            }
        }
        // The response is looked for while the request is still on its way: servers may answer
        // early (RFC 9110, section 15.5.14, 413), and then stop reading.
        if let Poll::Ready(head) = poll_head(cx, upstream, to_head) {
            return Poll::Ready(head);
        }
        if request.poll_gone(cx, sends).is_ready() {
            return Poll::Ready(Err(NoResponse::Gone));
        }
        if waits_for != Some(sends) {
            waits_for = Some(sends);
            idle.begin(if sends { limits.body } else { limits.response });
        }
        ready!(idle.poll_idle(cx, request.moved()));
        Poll::Ready(Err(match sends && request.is_starved() {
            true => NoResponse::Late,
            false => NoResponse::Refused(ErrorResponse::GatewayTimeout),
        }))
    })
    .await
}

/// Reads until there is something to pass on to the client.
fn poll_head(
    cx: &mut Context<'_>,
    upstream: &mut Conn,
    to_head: bool,
) -> Poll<Result<Interim, NoResponse>> {
    let bad = || Poll::Ready(Err(NoResponse::Refused(ErrorResponse::BadGateway)));
    loop {
        match head::response(upstream.data(), to_head, |_, _| ()) {
            Ok(Some((facts, ()))) => match facts.status {
                100 => {
                    upstream.take(facts.bytes);
                    return Poll::Ready(Ok(Interim::Continue));
                }
                // We ask for no other protocol, so none may be spoken.
                0..=101 => return bad(),
                102..200 => return Poll::Ready(Ok(Interim::Hints)),
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

/// Interim responses of one request that go on: a server has a handful of hints. Further ones are
/// kept back, because a client of HTTP/2 that reads nothing would have us hold them all.
pub(super) const HINTS_MAX: u32 = 32;
