//! HTTP/2 of clients, by the crate `h2`: each stream is a request of its own. The next hop is asked
//! by HTTP/1.1, as nginx does it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, StatusCode};
use tlsbench_core::plan::hop::HopKind;
use tokio::time::timeout;

use super::head::HEAD_MAX;
use crate::hop::backend;
use crate::hop::count::Refusal;
use crate::hop::limits::Patience;
use crate::hop::preamble::Ends;
use crate::hop::worker::{Client, Handshaking, Worker};

mod scan;
mod guard;
mod body;
mod fields;
mod forward;

use guard::{Guard, Watch};

/// Serves a client until it goes.
pub(in crate::hop) async fn serve(
    worker: &Arc<Worker>,
    client: Client,
    handshake: Handshaking,
) -> Result<(), Refusal> {
    let Client { stream, ends, replica } = client;
    let limits = &worker.shared.limits;
    let watch = Arc::new(Watch::default());
    let beginning = server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_MAX as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(Guard::new(stream, Arc::clone(&watch)));
    let Ok(Ok(mut connection)) = timeout(limits.handshake, beginning).await else {
        return Err(Refusal::Request);
    };
    drop(handshake);
    let mut patience = Patience::new(worker.silence_max(true));
    let mut ends_soon = false;
    loop {
        let limit = if ends_soon { limits.close } else { worker.silence_max(false) };
        let next = poll_fn(|cx| poll_next(cx, &mut connection, &watch, &mut patience, limit));
        match next.await {
            Next::Request(request, respond) => {
                accept(worker, &watch, ends, replica, request, respond);
            }
            Next::End => return Ok(()),
            Next::Refused => return Err(Refusal::Request),
            Next::Flood => {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                // Whoever does not listen is not told.
                let _ = timeout(limits.close, poll_fn(|cx| connection.poll_closed(cx))).await;
                return Err(Refusal::Flood);
            }
            Next::Idle if ends_soon => return Ok(()),
            Next::Idle => {
                connection.graceful_shutdown();
                ends_soon = true;
            }
        }
    }
}

/// What a connection brings.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box would be an allocation for each request"
)]
enum Next {
    /// It is over.
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
    watch: &Watch,
    patience: &mut Patience,
    limit: Duration,
) -> Poll<Next> {
    let next = match connection.poll_accept(cx) {
        Poll::Ready(None) => Next::End,
        Poll::Ready(Some(Ok((request, respond)))) => Next::Request(request, respond),
        // A client that is gone is no offence; one that breaks the protocol is.
        Poll::Ready(Some(Err(error))) if error.is_io() || error.is_go_away() => Next::End,
        Poll::Ready(Some(Err(_))) => Next::Refused,
        Poll::Pending if watch.is_flooded() => Next::Flood,
        Poll::Pending => {
            // Whatever else comes on a connection without a request, it is idle.
            while watch.under_way() > 0 && patience.poll_idle(cx, 0).is_ready() {
                patience.begin(limit);
            }
            ready!(patience.poll_idle(cx, 0));
            Next::Idle
        }
    };
    patience.begin(limit);
    Poll::Ready(next)
}

/// Lets a stream be answered by a task of its own.
fn accept(
    worker: &Arc<Worker>,
    watch: &Arc<Watch>,
    ends: Ends,
    replica: usize,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    // `h2` counts streams that are open. One that was reset counts here until all that was done
    // for it has ended.
    let Some(under_way) = watch.begin(STREAMS_MAX as usize) else {
        respond.send_reset(Reason::REFUSED_STREAM);
        worker.counts.refused(Refusal::Streams);
        return;
    };
    worker.counts.requests.one();
    let (worker, watch) = (Arc::clone(worker), Arc::clone(watch));
    tokio::spawn(async move {
        let _under_way = under_way;
        if let Err(why) = answer(&worker, &watch, ends, replica, request, respond).await {
            worker.counts.refused(why);
        }
    });
}

async fn answer(
    worker: &Worker,
    watch: &Watch,
    ends: Ends,
    replica: usize,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> Result<(), Refusal> {
    match worker.shared.hop.kind {
        HopKind::Backend => answer_itself(worker, watch, request, respond).await,
        _ => forward::forward(worker, watch, ends, replica, request, respond).await,
    }
}

/// A backend's answer: as many bytes as the path asks for.
async fn answer_itself(
    worker: &Worker,
    watch: &Watch,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Refusal> {
    let (parts, mut body) = request.into_parts();
    let usual = worker.shared.hop.response_bytes;
    let bytes = backend::bytes(parts.uri.path(), usual);
    let limit = worker.shared.limits.body;
    let mut patience = Patience::new(limit);
    loop {
        let step = patience.within(limit, body.data()).await;
        let Some(data) = step.ok_or(Refusal::RequestTimeout)? else { break };
        let data = data.map_err(|_| Refusal::RequestBody)?;
        worker.counts.up.add(data.len() as u64);
        body.flow_control().release_capacity(data.len()).map_err(|_| Refusal::RequestBody)?;
    }
    if watch.is_malformed(body.stream_id().as_u32()) {
        respond.send_reset(Reason::PROTOCOL_ERROR);
        return Err(Refusal::RequestBody);
    }
    let (status, bytes) = match bytes {
        Some(bytes) => (StatusCode::OK, bytes),
        None => (StatusCode::BAD_REQUEST, 0),
    };
    let response = Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, "application/octet-stream")
        .header(http::header::CONTENT_LENGTH, bytes)
        .body(())
        .map_err(|_| Refusal::Request)?;
    let is_empty = bytes == 0 || parts.method == http::Method::HEAD;
    let sending = respond.send_response(response, is_empty).map_err(|_| Refusal::Reset)?;
    if !is_empty {
        send_bytes(sending, bytes, &mut patience, limit).await?;
        worker.counts.down.add(bytes);
    }
    if status == StatusCode::OK { Ok(()) } else { Err(Refusal::Request) }
}

/// Sends a body, as fast as the client takes it.
async fn send_bytes(
    mut to: SendStream<Bytes>,
    mut left: u64,
    patience: &mut Patience,
    limit: Duration,
) -> Result<(), Refusal> {
    while left > 0 {
        let most = usize::try_from(left)
            .map_or(backend::BLOCK.len(), |left| left.min(backend::BLOCK.len()));
        let room = patience.within(limit, poll_fn(|cx| body::poll_room(cx, &mut to, most))).await;
        let Some(room) = room else {
            to.send_reset(Reason::CANCEL);
            return Err(Refusal::Stalled);
        };
        let room = room.map_err(|_| Refusal::Reset)?;
        let data = Bytes::from_static(&backend::BLOCK).slice(..room.min(most));
        left -= data.len() as u64;
        to.send_data(data, left == 0).map_err(|_| Refusal::Reset)?;
    }
    Ok(())
}

/// 1 MiB of each stream, 16 MiB of a connection: a client is seldom held back by windows, and what
/// waits here stays bounded.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// As browsers and h2load expect; nginx has 128.
const STREAMS_MAX: u32 = 256;
/// What `h2` keeps of a stream that the client does not take yet.
const SEND_BUFFER: usize = 256 << 10;
