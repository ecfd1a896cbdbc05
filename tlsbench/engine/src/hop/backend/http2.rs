//! The backend's answers by HTTP/2. Request bodies are read and discarded.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, StatusCode};

use super::payload::{self, BLOCK};
use crate::hop::context::Worker;
use crate::hop::counters::Refusal;
use crate::hop::http2::body;
use crate::hop::http2::guard::StreamMonitor;
use crate::hop::limits::IdleTimeout;

/// Answers one stream.
pub(in crate::hop) async fn answer(
    worker: &Worker,
    watch: &StreamMonitor,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Refusal> {
    let (parts, mut body) = request.into_parts();
    let usual = worker.shared.hop.response_bytes;
    let bytes = payload::length(parts.uri.path(), usual);
    let limit = worker.shared.limits.body;
    let mut idle = IdleTimeout::new(limit);
    loop {
        let step = idle.within(limit, body.data()).await;
        let Some(data) = step.ok_or(Refusal::RequestTimeout)? else { break };
        let data = data.map_err(|_| Refusal::RequestBody)?;
        worker.counters.up.add(data.len() as u64);
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
        send_bytes(sending, bytes, &mut idle, limit).await?;
        worker.counters.down.add(bytes);
    }
    if status == StatusCode::OK { Ok(()) } else { Err(Refusal::Request) }
}

/// Sends a body, as fast as the client takes it.
async fn send_bytes(
    mut to: SendStream<Bytes>,
    mut left: u64,
    idle: &mut IdleTimeout,
    limit: Duration,
) -> Result<(), Refusal> {
    while left > 0 {
        let most = usize::try_from(left).map_or(BLOCK.len(), |left| left.min(BLOCK.len()));
        let room = idle.within(limit, poll_fn(|cx| body::poll_room(cx, &mut to, most))).await;
        let Some(room) = room else {
            to.send_reset(Reason::CANCEL);
            return Err(Refusal::Stalled);
        };
        let room = room.map_err(|_| Refusal::Reset)?;
        let data = Bytes::from_static(&BLOCK).slice(..room.min(most));
        left -= data.len() as u64;
        to.send_data(data, left == 0).map_err(|_| Refusal::Reset)?;
    }
    Ok(())
}
