//! Clients of HTTP/2: accepts streams, and answers each in a task of its own.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tlsbench_core::hop::HopKind;
use tokio::time::timeout;

use super::guard::{Guard, StreamMonitor};
use crate::hop::backend;
use crate::hop::context::{Client, Permit, Worker};
use crate::hop::counters::Refusal;
use crate::hop::forward;
use crate::hop::limits::IdleTimeout;
use crate::hop::proxy_protocol::Addresses;
use crate::http1::HEAD_MAX;

/// Serves a client until it goes.
pub(in crate::hop) async fn serve(
    worker: &Arc<Worker>,
    client: Client,
    handshake: Permit,
) -> Result<(), Refusal> {
    let Client { stream, addresses, replica } = client;
    let limits = &worker.shared.limits;
    let watch = Arc::new(StreamMonitor::default());
    let beginning = server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_MAX as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(Guard::new(stream, Arc::clone(&watch)));
    // A client that agrees on `h2` and never sends its preface is as good as one that stalls its
    // handshake.
    let Ok(Ok(mut connection)) = timeout(limits.handshake, beginning).await else {
        return Err(Refusal::Request);
    };
    drop(handshake);
    let mut idle = IdleTimeout::new(worker.silence_max(true));
    let mut ends_soon = false;
    loop {
        let limit = if ends_soon { limits.close } else { worker.silence_max(false) };
        let next = poll_fn(|cx| poll_next(cx, &mut connection, &watch, &mut idle, limit));
        match next.await {
            ConnectionEvent::Request(request, respond) => {
                accept(worker, &watch, addresses, replica, request, respond);
            }
            ConnectionEvent::End => return Ok(()),
            ConnectionEvent::Refused => return Err(Refusal::Request),
            ConnectionEvent::Flood => {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                // Whoever does not listen is not told.
                let _ = timeout(limits.close, poll_fn(|cx| connection.poll_closed(cx))).await;
                return Err(Refusal::Flood);
            }
            ConnectionEvent::Idle if ends_soon => return Ok(()),
            ConnectionEvent::Idle => {
                connection.graceful_shutdown();
                ends_soon = true;
            }
        }
    }
}

/// The next event of a connection.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box would be an allocation for each request"
)]
enum ConnectionEvent {
    /// The connection is over.
    End,
    /// The client sends far more than it has reason to.
    Flood,
    /// There was no request for as long as there may be none.
    Idle,
    /// The client breaks the protocol.
    Refused,
    /// A stream has begun.
    Request(Request<RecvStream>, SendResponse<Bytes>),
}

/// Moves all streams on, and waits for another.
fn poll_next(
    cx: &mut Context<'_>,
    connection: &mut Connection<Guard, Bytes>,
    watch: &StreamMonitor,
    idle: &mut IdleTimeout,
    limit: Duration,
) -> Poll<ConnectionEvent> {
    let next = match connection.poll_accept(cx) {
        Poll::Ready(None) => ConnectionEvent::End,
        Poll::Ready(Some(Ok((request, respond)))) => ConnectionEvent::Request(request, respond),
        // A client that is gone is no offence; one that breaks the protocol is.
        Poll::Ready(Some(Err(error))) if error.is_io() || error.is_go_away() => {
            ConnectionEvent::End
        }
        Poll::Ready(Some(Err(_))) => ConnectionEvent::Refused,
        Poll::Pending if watch.is_flooded() => ConnectionEvent::Flood,
        Poll::Pending => {
            // Whatever else comes on a connection without a request, it is idle.
            while watch.under_way() > 0 && idle.poll_idle(cx, 0).is_ready() {
                idle.begin(limit);
            }
            ready!(idle.poll_idle(cx, 0));
            ConnectionEvent::Idle
        }
    };
    idle.begin(limit);
    Poll::Ready(next)
}

/// Lets a stream be answered by a task of its own.
fn accept(
    worker: &Arc<Worker>,
    watch: &Arc<StreamMonitor>,
    addresses: Addresses,
    replica: usize,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    // `h2` counts streams that are open. One that was reset counts here until all that was done
    // for it has ended.
    let Some(under_way) = watch.begin(STREAMS_MAX as usize) else {
        respond.send_reset(Reason::REFUSED_STREAM);
        worker.counters.refused(Refusal::Streams);
        return;
    };
    worker.counters.requests.one();
    let (worker, watch) = (Arc::clone(worker), Arc::clone(watch));
    // One task for each stream: a stream that waits for the next hop must not hold up the others.
    tokio::spawn(async move {
        let _under_way = under_way;
        if let Err(why) = answer(&worker, &watch, addresses, replica, request, respond).await {
            worker.counters.refused(why);
        }
    });
}

async fn answer(
    worker: &Worker,
    watch: &StreamMonitor,
    addresses: Addresses,
    replica: usize,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> Result<(), Refusal> {
    match worker.shared.hop.kind {
        HopKind::Backend => backend::http2::answer(worker, watch, request, respond).await,
        _ => forward::http2::forward(worker, watch, addresses, replica, request, respond).await,
    }
}

/// 1 MiB of each stream, 16 MiB of a connection: a client is seldom held back by windows, and what
/// waits here stays bounded.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Streams at a time, as browsers and h2load expect; nginx has 128.
const STREAMS_MAX: u32 = 256;
/// Bytes that `h2` keeps of a stream that the client does not take yet.
const SEND_BUFFER: usize = 256 << 10;
