//! Forwarding for clients of HTTP/1.1: one request after the other.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::io::AsyncWriteExt as _;

use super::upstream::{self, HINTS_MAX, Interim, NoResponse};
use crate::hop::context::{Client, Replica, Worker};
use crate::hop::counters::Refusal;
use crate::hop::error_response::ErrorResponse;
use crate::hop::http1::conn::Conn;
use crate::hop::http1::head::{self, RequestFacts, ResponseFacts};
use crate::hop::http1::rewrite::{self, Rewrite};
use crate::hop::http1::serve::{self, NextRequest};
use crate::hop::http1::transfer::{ClientRequest, Transfer, TransferError};
use crate::hop::limits::{IdleTimeout, Limits};
use crate::hop::proxy_protocol::Addresses;
use crate::hop::stream::Stream;
use crate::http1::Framing;

/// Serves a client that speaks HTTP/1.1.
pub(in crate::hop) async fn forward(worker: &Worker, client: Client) -> Result<(), Refusal> {
    let Client { stream, addresses, replica } = client;
    let replica = worker.replica(replica);
    let rewrite = Rewrite {
        forwarded: worker.shared.hop.forwarded,
        addresses,
        tls: !matches!(stream, Stream::Plain(_)),
        closes: !replica.pool.keeps(),
    };
    let mut client = Conn::new(stream);
    let mut head = Vec::new();
    // One timer for the whole connection: a timer for each wait would be registered and cancelled
    // several times per request.
    let mut idle = IdleTimeout::new(worker.shared.limits.head);
    loop {
        let next = serve::next(worker, &mut client, &mut idle, |request, facts| {
            head.clear();
            rewrite::put_request(request, facts, &rewrite, &mut head)
        });
        let facts = match next.await {
            NextRequest::End => break,
            NextRequest::Refuse(why) => return serve::refuse(worker, client, why, false).await,
            NextRequest::Request(facts, ()) => facts,
        };
        worker.counters.requests.one();
        let waits = facts.expects;
        let mut exchange = Exchange {
            worker,
            replica,
            addresses,
            facts,
            head: &head,
            waits,
            hints: 0,
            idle: &mut idle,
        };
        match exchange.run(&mut client).await {
            AfterExchange::Keep => {}
            AfterExchange::End => {
                // What the client still sends of a body that nobody wanted must not reset it.
                client.linger().await;
                return Ok(());
            }
            AfterExchange::Refuse(why) => {
                return serve::refuse(worker, client, why, facts.is_head).await;
            }
            AfterExchange::Reset(why) => {
                client.stream.reset_on_close();
                return Err(why);
            }
        }
    }
    serve::end(worker, client).await;
    Ok(())
}

/// The fate of the client's connection after a request.
enum AfterExchange {
    /// Another request may come.
    Keep,
    /// The connection ends.
    End,
    /// The client gets an error response, and its connection ends.
    Refuse(ErrorResponse),
    /// The connection is reset, so that nobody takes half a message for a whole one.
    Reset(Refusal),
}

/// One request and its response.
struct Exchange<'e> {
    worker: &'e Worker,
    replica: &'e Replica,
    addresses: Addresses,
    facts: RequestFacts,
    /// The head as it goes on.
    head: &'e [u8],
    /// True if the client waits for leave to send the body, and may never send it.
    waits: bool,
    /// Interim responses that went on.
    hints: u32,
    idle: &'e mut IdleTimeout,
}

impl Exchange<'_> {
    async fn run(&mut self, client: &mut Conn) -> AfterExchange {
        let mut fresh = false;
        loop {
            match self.ask(client, fresh).await {
                Ok((request, upstream)) => return self.respond(request, client, upstream).await,
                // With a body it cannot be sent again, for the body is gone.
                Err(NoResponse::Stale) if self.facts.is_idempotent && !self.has_body() => {
                    self.worker.counters.retried.one();
                    fresh = true;
                }
                Err(NoResponse::Stale) => return AfterExchange::Refuse(ErrorResponse::BadGateway),
                Err(NoResponse::Client) => {
                    return AfterExchange::Refuse(ErrorResponse::BadRequestBody);
                }
                Err(NoResponse::Gone) => return AfterExchange::Reset(Refusal::Gone),
                Err(NoResponse::Late) => {
                    return AfterExchange::Refuse(ErrorResponse::RequestTimeout);
                }
                Err(NoResponse::Refused(why)) => return AfterExchange::Refuse(why),
            }
        }
    }

    /// Sends the request over a connection to the next hop, and waits until the response begins.
    async fn ask(
        &mut self,
        client: &mut Conn,
        fresh: bool,
    ) -> Result<(Transfer, Conn), NoResponse> {
        let gone = |cx: &mut Context<'_>| client.poll_gone(cx);
        let connecting =
            upstream::connection(self.worker, self.replica, &self.addresses, fresh, gone);
        let mut upstream = connecting.await?;
        let framing = self.facts.framing;
        // The head is copied, because the request may have to be sent again on another connection.
        let mut request = Transfer::new(self.head.to_vec(), framing, framing);
        self.begin(&mut request, client, &mut upstream).await?;
        Ok((request, upstream))
    }

    fn limits(&self) -> &Limits {
        &self.worker.shared.limits
    }

    fn has_body(&self) -> bool {
        !matches!(self.facts.framing, Framing::None | Framing::Length(0))
    }

    /// Sends the request, and waits until the response's head is there.
    async fn begin(
        &mut self,
        request: &mut Transfer,
        client: &mut Conn,
        upstream: &mut Conn,
    ) -> Result<(), NoResponse> {
        let worker = self.worker;
        let (count, limits, is_head) =
            (&worker.counters.up, &worker.shared.limits, self.facts.is_head);
        loop {
            let mut sending = ClientRequest {
                transfer: &mut *request,
                client: &mut *client,
                count,
                waits: self.waits,
            };
            match upstream::begin(&mut sending, upstream, is_head, self.idle, limits).await? {
                Interim::Begun => return Ok(()),
                Interim::Continue if self.waits => {
                    self.waits = false;
                    self.tell(client, b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
                // Nobody asked for it.
                Interim::Continue => {}
                Interim::Hints => {
                    let head = hints(upstream);
                    self.hints += 1;
                    // HTTP/1.0 knows no interim responses.
                    if !self.facts.is_old && self.hints <= HINTS_MAX {
                        self.tell(client, &head).await?;
                    }
                }
            }
        }
    }

    /// Sends an interim response.
    async fn tell(&mut self, client: &mut Conn, head: &[u8]) -> Result<(), NoResponse> {
        let told = async {
            client.stream.write_all(head).await?;
            client.stream.flush().await
        };
        let limit = self.limits().body;
        match self.idle.within(limit, told).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(NoResponse::Gone),
        }
    }

    /// Passes the response on, while what is left of the request still goes the other way.
    async fn respond(
        &mut self,
        mut request: Transfer,
        client: &mut Conn,
        mut upstream: Conn,
    ) -> AfterExchange {
        let Some((facts, mut response, keeps)) = self.response(&mut upstream, &request) else {
            return AfterExchange::Refuse(ErrorResponse::BadGateway);
        };
        let (counters, limit) = (&self.worker.counters, self.limits().body);
        let (mut sends, mut waits) = (!request.is_done(), false);
        let idle = &mut *self.idle;
        let passed = poll_fn(|cx| {
            if sends {
                match request.poll(cx, client, &mut upstream.stream, &counters.up) {
                    Poll::Ready(Ok(()) | Err(TransferError::Sink { .. })) => sends = false,
                    Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                    Poll::Pending => {}
                }
            }
            let passed = response.poll(cx, &mut upstream, &mut client.stream, &counters.down);
            if passed.is_ready() {
                return passed;
            }
            if !sends && client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(TransferError::Gone));
            }
            if !waits {
                waits = true;
                idle.begin(limit);
            }
            let moved = request.moved() + response.moved();
            idle.poll_idle(cx, moved).map(|()| Err(TransferError::Stalled))
        });
        match passed.await {
            Ok(()) => {}
            Err(TransferError::Gone) => return AfterExchange::Reset(Refusal::Gone),
            Err(TransferError::Sink { .. }) => return AfterExchange::Reset(Refusal::Reset),
            Err(TransferError::Stalled) => return AfterExchange::Reset(Refusal::Stalled),
            Err(TransferError::Body { .. } | TransferError::Cut) => {
                return AfterExchange::Reset(Refusal::Response);
            }
        }
        // Who was not told to close goes on sending, and the next hop reading.
        if sends && keeps {
            idle.begin(limit);
            let rest =
                poll_fn(|cx| match request.poll(cx, client, &mut upstream.stream, &counters.up) {
                    Poll::Pending => {
                        idle.poll_idle(cx, request.moved()).map(|()| Err(TransferError::Stalled))
                    }
                    moved @ Poll::Ready(_) => moved,
                });
            match rest.await {
                Ok(()) | Err(TransferError::Sink { .. }) => {}
                Err(_) => return AfterExchange::Reset(Refusal::RequestBody),
            }
        }
        // Half a request leaves both connections in the middle of something.
        let is_whole = request.is_done();
        if is_whole && facts.keeps {
            self.replica.pool.put(upstream);
        }
        if is_whole && keeps { AfterExchange::Keep } else { AfterExchange::End }
    }

    /// Takes the response's head and makes the one that goes to the client, with whether its
    /// connection is kept.
    fn response(
        &self,
        upstream: &mut Conn,
        request: &Transfer,
    ) -> Option<(ResponseFacts, Transfer, bool)> {
        let mut head = Vec::with_capacity(HEAD_USUAL);
        let asked = &self.facts;
        let read = head::response(upstream.data(), asked.is_head, |response, facts| {
            let framing = match facts.framing {
                // HTTP/1.0 knows no chunks: there the end of the connection ends the body.
                Framing::Chunked | Framing::UntilClose if asked.is_old => Framing::UntilClose,
                Framing::Chunked | Framing::UntilClose => Framing::Chunked,
                framing => framing,
            };
            let goes_on = request.is_done() || (facts.keeps && !self.waits);
            let keeps = asked.keeps && framing != Framing::UntilClose && goes_on;
            let connection: &[u8] = match (keeps, asked.is_old) {
                (false, _) => b"Connection: close\r\n",
                (true, true) => b"Connection: keep-alive\r\n",
                (true, false) => b"",
            };
            rewrite::put_response(response, facts, framing, connection, &mut head);
            (framing, keeps)
        });
        let (facts, (framing, keeps)) = read.ok().flatten()?;
        upstream.take(facts.bytes);
        Some((facts, Transfer::new(head, facts.framing, framing), keeps))
    }
}

/// Takes an interim response as it goes on. It was found whole and sound before.
fn hints(upstream: &mut Conn) -> Vec<u8> {
    let mut head = Vec::new();
    let read = head::response(upstream.data(), false, |response, facts| {
        rewrite::put_response(response, facts, Framing::None, b"", &mut head);
    });
    if let Ok(Some((facts, ()))) = read {
        upstream.take(facts.bytes);
    }
    head
}

/// Heads of responses have 100 to 400 bytes.
const HEAD_USUAL: usize = 512;
