//! A stream of HTTP/2 that goes to the next hop as a request of HTTP/1.1.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response, StatusCode};

use super::body::{Download, Upload};
use super::fields;
use crate::hop::count::Refusal;
use crate::hop::http::body::Framing;
use crate::hop::http::conn::Conn;
use crate::hop::http::head::{self, RequestFacts, ResponseFacts};
use crate::hop::http::reply::Reply;
use crate::hop::http::rewrite::Rewrite;
use crate::hop::http::transfer::{Broken, Sending as _};
use crate::hop::http::upstream::{self, Interim, NoResponse, Patience};
use crate::hop::preamble::Ends;
use crate::hop::worker::Worker;

/// Sends a request to the next hop and its response back.
pub(super) async fn forward(
    worker: &Worker,
    ends: Ends,
    replica: usize,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Refusal> {
    let replica = worker.replica(replica);
    let rewrite = Rewrite {
        forwarded: worker.shared.hop.forwarded,
        ends,
        tls: true,
        closes: !replica.pool.keeps(),
    };
    let (parts, body) = request.into_parts();
    let mut out = Vec::new();
    let facts = match fields::put_head(&parts, body.is_end_stream(), &rewrite, &mut out) {
        Ok(facts) => facts,
        Err(bad) => return reply(&mut respond, bad.into(), parts.method == http::Method::HEAD),
    };
    let again = out.clone();
    let has_body = !matches!(facts.framing, Framing::None | Framing::Length(0));
    let mut upload = Upload::new(out, body, facts.framing, &worker.counts.up);
    let mut fresh = false;
    let mut conn = loop {
        let connected = upstream::connection(worker, replica, &ends, fresh).await;
        let mut conn = match connected {
            Ok(conn) => conn,
            Err(why) => return reply(&mut respond, why, facts.is_head),
        };
        match begin(&mut upload, &mut conn, facts.is_head).await {
            Ok(()) => break conn,
            Err(NoResponse::Stale) if facts.is_idempotent && !has_body => {
                worker.counts.retried.one();
                upload.again(&again);
                fresh = true;
            }
            Err(NoResponse::Stale) => return reply(&mut respond, Reply::BadGateway, facts.is_head),
            Err(NoResponse::Client) => {
                respond.send_reset(Reason::PROTOCOL_ERROR);
                return Err(Refusal::RequestBody);
            }
            Err(NoResponse::Reply(why)) => return reply(&mut respond, why, facts.is_head),
        }
    };
    let keeps = answer(worker, &facts, &mut upload, &mut conn, &mut respond).await?;
    if keeps {
        replica.pool.put(conn);
    }
    Ok(())
}

/// Waits for the head of the final response; clients of HTTP/2 need no leave.
async fn begin(upload: &mut Upload<'_>, conn: &mut Conn, is_head: bool) -> Result<(), NoResponse> {
    let mut patience = Patience::new();
    while let Interim::Continue = upstream::begin(upload, conn, is_head, &mut patience).await? {}
    Ok(())
}

/// Passes the response on; whether the connection to the next hop can be used again.
async fn answer(
    worker: &Worker,
    asked: &RequestFacts,
    upload: &mut Upload<'_>,
    conn: &mut Conn,
    respond: &mut SendResponse<Bytes>,
) -> Result<bool, Refusal> {
    let Some((facts, response)) = response(conn, asked.is_head) else {
        return reply(respond, Reply::BadGateway, asked.is_head).map(|()| false);
    };
    let is_empty = matches!(facts.framing, Framing::None | Framing::Length(0));
    let mut to = respond.send_response(response, is_empty).map_err(|_| Refusal::Reset)?;
    let mut download = Download::new(facts.framing, &worker.counts.down);
    let mut sends = !upload.is_sent();
    if !is_empty {
        let passed = poll_fn(|cx| {
            if sends {
                match upload.poll_send(cx, &mut conn.stream) {
                    Poll::Ready(Ok(()) | Err(Broken::Sink { .. })) => sends = false,
                    Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                    Poll::Pending => {}
                }
            }
            download.poll(cx, conn, &mut to)
        });
        if let Err(broken) = passed.await {
            // Half a response never looks like a whole one.
            to.send_reset(Reason::INTERNAL_ERROR);
            return Err(match broken {
                Broken::Sink { .. } => Refusal::Reset,
                Broken::Body { .. } | Broken::Cut => Refusal::Response,
            });
        }
    }
    if sends && facts.keeps {
        // The response is through; what is left of the request still goes, as in HTTP/1.1.
        let rest = poll_fn(|cx| upload.poll_send(cx, &mut conn.stream)).await;
        sends = rest.is_err();
    }
    Ok(facts.keeps && !sends && upload.is_sent())
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
fn reply(respond: &mut SendResponse<Bytes>, why: Reply, to_head: bool) -> Result<(), Refusal> {
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
