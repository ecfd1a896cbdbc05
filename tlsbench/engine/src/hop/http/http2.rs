//! HTTP/2 of clients, by the crate `h2`: each stream is a request of its own. The next hop is asked
//! by HTTP/1.1, as nginx does it.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{RecvStream, SendStream};
use http::{Request, Response, StatusCode};
use tlsbench_core::plan::hop::HopKind;

use super::head::HEAD_MAX;
use crate::hop::backend;
use crate::hop::count::Refusal;
use crate::hop::preamble::Ends;
use crate::hop::worker::{Client, Worker};

mod body;
mod fields;
mod forward;

/// Serves a client until it goes.
pub(in crate::hop) async fn serve(worker: &Arc<Worker>, client: Client) -> Result<(), Refusal> {
    let Client { stream, ends, replica } = client;
    let begun = server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_MAX as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(stream)
        .await;
    let mut connection = begun.map_err(|_| Refusal::Request)?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = match accepted {
            Ok(accepted) => accepted,
            // A client that is gone is no offence; one that breaks the protocol is.
            Err(error) if error.is_io() || error.is_go_away() => return Ok(()),
            Err(_) => return Err(Refusal::Request),
        };
        worker.counts.requests.one();
        let worker = Arc::clone(worker);
        tokio::spawn(async move {
            if let Err(why) = answer(&worker, ends, replica, request, respond).await {
                worker.counts.refused(why);
            }
        });
    }
    Ok(())
}

async fn answer(
    worker: &Worker,
    ends: Ends,
    replica: usize,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> Result<(), Refusal> {
    match worker.shared.hop.kind {
        HopKind::Backend => answer_itself(worker, request, respond).await,
        _ => forward::forward(worker, ends, replica, request, respond).await,
    }
}

/// A backend's answer: as many bytes as the path asks for.
async fn answer_itself(
    worker: &Worker,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Refusal> {
    let (parts, mut body) = request.into_parts();
    let usual = worker.shared.hop.response_bytes;
    let bytes = backend::bytes(parts.uri.path(), usual);
    while let Some(data) = body.data().await {
        let data = data.map_err(|_| Refusal::RequestBody)?;
        worker.counts.up.add(data.len() as u64);
        body.flow_control().release_capacity(data.len()).map_err(|_| Refusal::RequestBody)?;
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
        send_bytes(sending, bytes).await.map_err(|_| Refusal::Reset)?;
        worker.counts.down.add(bytes);
    }
    if status == StatusCode::OK { Ok(()) } else { Err(Refusal::Request) }
}

/// Sends a body, as fast as the client takes it.
async fn send_bytes(mut to: SendStream<Bytes>, mut left: u64) -> Result<(), h2::Error> {
    while left > 0 {
        let most = usize::try_from(left)
            .map_or(backend::BLOCK.len(), |left| left.min(backend::BLOCK.len()));
        let room = std::future::poll_fn(|cx| body::poll_room(cx, &mut to, most)).await?;
        let data = Bytes::from_static(&backend::BLOCK).slice(..room.min(most));
        left -= data.len() as u64;
        to.send_data(data, left == 0)?;
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
