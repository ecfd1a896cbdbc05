//! Forwarding for clients of HTTP/2: each stream is one request to the next hop by HTTP/1.1.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response, StatusCode};

use super::upstream::{self, HINTS_MAX, Interim, NoResponse};
use crate::hop::context::Worker;
use crate::hop::counters::Refusal;
use crate::hop::error_response::ErrorResponse;
use crate::hop::http1::conn::Conn;
use crate::hop::http1::head::{self, RequestFacts, ResponseFacts};
use crate::hop::http1::rewrite::Rewrite;
use crate::hop::http1::transfer::TransferError;
use crate::hop::http2::body::{Download, StreamRequest, Upload};
use crate::hop::http2::fields;
use crate::hop::http2::guard::StreamMonitor;
use crate::hop::limits::IdleTimeout;
use crate::hop::proxy_protocol::Addresses;
use crate::http1::Framing;

/// Sends a request to the next hop and its response back.
pub(in crate::hop) async fn forward(
    worker: &Worker,
    watch: &StreamMonitor,
    addresses: Addresses,
    replica: usize,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Refusal> {
    let replica = worker.replica(replica);
    let rewrite = Rewrite {
        forwarded: worker.shared.hop.forwarded,
        addresses,
        tls: true,
        closes: !replica.pool.keeps(),
    };
    let (parts, body) = request.into_parts();
    let mut out = Vec::new();
    let facts = match fields::put_head(&parts, body.is_end_stream(), &rewrite, &mut out) {
        Ok(facts) => facts,
        Err(bad) => return reply(&mut respond, bad.into(), parts.method == http::Method::HEAD),
    };
    // The head is kept for a second attempt: a pooled connection may have been closed by the next
    // hop just before it was used.
    let again = out.clone();
    let has_body = !matches!(facts.framing, Framing::None | Framing::Length(0));
    let mut upload = Upload::new(out, body, facts.framing, &worker.counters.up, watch);
    let mut idle = IdleTimeout::new(worker.shared.limits.response);
    let mut fresh = false;
    let mut conn = loop {
        let asked = async {
            let gone = |cx: &mut Context<'_>| respond.poll_reset(cx).map(drop);
            let connecting = upstream::connection(worker, replica, &addresses, fresh, gone);
            let mut conn = connecting.await?;
            let request = StreamRequest { upload: &mut upload, respond: &mut respond };
            begin(worker, request, &mut conn, facts.is_head, &mut idle).await?;
            Ok(conn)
        };
        match asked.await {
            Ok(conn) => break conn,
            Err(NoResponse::Stale) if facts.is_idempotent && !has_body => {
                worker.counters.retried.one();
                upload.again(&again);
                fresh = true;
            }
            Err(NoResponse::Stale) => {
                return reply(&mut respond, ErrorResponse::BadGateway, facts.is_head);
            }
            Err(NoResponse::Client) => {
                respond.send_reset(Reason::PROTOCOL_ERROR);
                return Err(Refusal::RequestBody);
            }
            Err(NoResponse::Gone) => return Err(Refusal::Gone),
            Err(NoResponse::Late) => {
                return reply(&mut respond, ErrorResponse::RequestTimeout, facts.is_head);
            }
            Err(NoResponse::Refused(why)) => return reply(&mut respond, why, facts.is_head),
        }
    };
    let keeps = answer(worker, &facts, &mut upload, &mut conn, &mut respond, &mut idle).await?;
    if keeps {
        replica.pool.put(conn);
    }
    Ok(())
}

/// Waits for the head of the final response, and passes interim ones on; clients of HTTP/2 need no
/// leave.
async fn begin(
    worker: &Worker,
    mut request: StreamRequest<'_, '_>,
    conn: &mut Conn,
    is_head: bool,
    idle: &mut IdleTimeout,
) -> Result<(), NoResponse> {
    let limits = &worker.shared.limits;
    let mut hints = 0;
    loop {
        match upstream::begin(&mut request, conn, is_head, idle, limits).await? {
            Interim::Begun => return Ok(()),
            Interim::Continue => {}
            Interim::Hints => {
                // It was found whole and sound before.
                let interim =
                    response(conn, false).ok_or(NoResponse::Refused(ErrorResponse::BadGateway))?.1;
                hints += 1;
                if hints <= HINTS_MAX {
                    // A stream that takes none was reset, which is noticed by itself.
                    let _ = request.respond.send_informational(interim);
                }
            }
        }
    }
}

/// Passes the response on; whether the connection to the next hop can be used again.
async fn answer(
    worker: &Worker,
    asked: &RequestFacts,
    upload: &mut Upload<'_>,
    conn: &mut Conn,
    respond: &mut SendResponse<Bytes>,
    idle: &mut IdleTimeout,
) -> Result<bool, Refusal> {
    let Some((facts, response)) = response(conn, asked.is_head) else {
        return reply(respond, ErrorResponse::BadGateway, asked.is_head).map(|()| false);
    };
    let is_empty = matches!(facts.framing, Framing::None | Framing::Length(0));
    let mut to = respond.send_response(response, is_empty).map_err(|_| Refusal::Reset)?;
    let mut download = Download::new(facts.framing, &worker.counters.down);
    let limit = worker.shared.limits.body;
    let (mut sends, mut waits) = (!upload.is_sent(), false);
    if !is_empty {
        let passed = poll_fn(|cx| {
            if sends {
                match upload.poll_send(cx, &mut conn.stream) {
                    Poll::Ready(Ok(()) | Err(TransferError::Sink { .. })) => sends = false,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(ResponseFailure::Request)),
                    Poll::Pending => {}
                }
            }
            if let Poll::Ready(passed) = download.poll(cx, conn, &mut to) {
                return Poll::Ready(passed.map_err(ResponseFailure::from));
            }
            if to.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(ResponseFailure::Gone));
            }
            if !waits {
                waits = true;
                idle.begin(limit);
            }
            let moved = upload.moved() + download.moved();
            idle.poll_idle(cx, moved).map(|()| Err(ResponseFailure::Stalled))
        });
        if let Err(failed) = passed.await {
            // Half a response never looks like a whole one.
            to.send_reset(failed.reason());
            return Err(failed.refusal());
        }
    }
    if sends && facts.keeps {
        // The response is through; what is left of the request still goes, as in HTTP/1.1.
        idle.begin(limit);
        let rest = poll_fn(|cx| match upload.poll_send(cx, &mut conn.stream) {
            Poll::Pending => {
                idle.poll_idle(cx, upload.moved()).map(|()| Err(TransferError::Stalled))
            }
            sent @ Poll::Ready(_) => sent,
        });
        sends = rest.await.is_err();
    }
    Ok(facts.keeps && !sends && upload.is_sent())
}

/// The reason why a response that had begun did not end.
enum ResponseFailure {
    Gone,
    Request,
    Reset,
    Response,
    Stalled,
}

impl From<TransferError> for ResponseFailure {
    fn from(broken: TransferError) -> Self {
        match broken {
            TransferError::Gone => Self::Gone,
            TransferError::Sink { .. } => Self::Reset,
            TransferError::Stalled => Self::Stalled,
            TransferError::Body { .. } | TransferError::Cut => Self::Response,
        }
    }
}

impl ResponseFailure {
    fn reason(&self) -> Reason {
        match self {
            Self::Request => Reason::PROTOCOL_ERROR,
            Self::Gone | Self::Reset | Self::Response | Self::Stalled => Reason::INTERNAL_ERROR,
        }
    }

    fn refusal(&self) -> Refusal {
        match self {
            Self::Gone => Refusal::Gone,
            Self::Request => Refusal::RequestBody,
            Self::Reset => Refusal::Reset,
            Self::Response => Refusal::Response,
            Self::Stalled => Refusal::Stalled,
        }
    }
}

fn response(conn: &mut Conn, to_head: bool) -> Option<(ResponseFacts, Response<()>)> {
    let read = head::response(conn.data(), to_head, |response, facts| {
        let is_told = matches!(facts.framing, Framing::Length(_)) || facts.framing == Framing::None;
        let fields = fields::of_response(response.headers, is_told && facts.status != 204);
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(facts.status).ok()?;
        *response.headers_mut() = fields;
        Some(response)
    });
    let (facts, response) = read.ok().flatten()?;
    conn.take(facts.bytes);
    Some((facts, response?))
}

/// Tells the client why there is no response.
fn reply(
    respond: &mut SendResponse<Bytes>,
    why: ErrorResponse,
    to_head: bool,
) -> Result<(), Refusal> {
    let (status, reason) = why.status();
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    if let Ok(mut to) = respond.send_response(response, to_head)
        && !to_head
    {
        // A client that is gone does not mind.
        let _ = to.send_data(Bytes::from(format!("{status} {reason}\n")), true);
    }
    Err(why.refusal())
}
