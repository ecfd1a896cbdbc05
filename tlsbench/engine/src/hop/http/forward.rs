//! A reverse proxy: requests of one client go to the next hop, and responses come back.

use std::future::poll_fn;
use std::task::Poll;

use tokio::io::AsyncWriteExt as _;

use super::body::Framing;
use super::conn::Conn;
use super::head::{self, RequestFacts, ResponseFacts};
use super::reply::Reply;
use super::rewrite::{self, Rewrite};
use super::serve::{self, Next};
use super::transfer::{Broken, FromClient, Transfer};
use super::upstream::{self, Interim, NoResponse, Patience};
use crate::hop::count::Refusal;
use crate::hop::preamble::Ends;
use crate::hop::stream::Stream;
use crate::hop::worker::{Client, Replica, Worker};

/// Serves a client that speaks HTTP/1.1.
pub(in crate::hop) async fn forward(worker: &Worker, client: Client) -> Result<(), Refusal> {
    let Client { stream, ends, replica } = client;
    let replica = worker.replica(replica);
    let rewrite = Rewrite {
        forwarded: worker.shared.hop.forwarded,
        ends,
        tls: !matches!(stream, Stream::Plain(_)),
        closes: !replica.pool.keeps(),
    };
    let mut client = Conn::new(stream);
    let mut head = Vec::new();
    let mut patience = Patience::new();
    loop {
        let next = serve::next(&mut client, |request, facts| {
            head.clear();
            rewrite::put_request(request, facts, &rewrite, &mut head)
        });
        let facts = match next.await {
            Next::End => break,
            Next::Refuse(why) => return serve::refuse(client, &worker.counts, why, false).await,
            Next::Request(facts, ()) => facts,
        };
        worker.counts.requests.one();
        let waits = facts.expects;
        let mut exchange =
            Exchange { worker, replica, ends, facts, head: &head, waits, patience: &mut patience };
        match exchange.run(&mut client).await {
            After::Keep => {}
            After::End => {
                // What the client still sends of a body that nobody wanted must not reset it.
                client.linger().await;
                return Ok(());
            }
            After::Reply(why) => {
                return serve::refuse(client, &worker.counts, why, facts.is_head).await;
            }
            After::Reset(why) => {
                client.stream.reset_on_close();
                return Err(why);
            }
        }
    }
    serve::end(client).await;
    Ok(())
}

/// What becomes of the client's connection after a request.
enum After {
    /// Another request may come.
    Keep,
    /// It ends.
    End,
    /// It is told why there is no response, and let go.
    Reply(Reply),
    /// It is reset, so that nobody takes half a message for a whole one.
    Reset(Refusal),
}

/// One request and its response.
struct Exchange<'e> {
    worker: &'e Worker,
    replica: &'e Replica,
    ends: Ends,
    facts: RequestFacts,
    /// The head as it goes on.
    head: &'e [u8],
    /// Whether the client waits for leave to send the body, and may never send it.
    waits: bool,
    patience: &'e mut Patience,
}

impl Exchange<'_> {
    async fn run(&mut self, client: &mut Conn) -> After {
        let mut fresh = false;
        loop {
            let conn = upstream::connection(self.worker, self.replica, &self.ends, fresh).await;
            let mut upstream = match conn {
                Ok(conn) => conn,
                Err(why) => return After::Reply(why),
            };
            let framing = self.facts.framing;
            let mut request = Transfer::new(self.head.to_vec(), framing, framing);
            match self.begin(&mut request, client, &mut upstream).await {
                Ok(()) => return self.respond(request, client, upstream).await,
                // With a body it cannot be sent again, for the body is gone.
                Err(NoResponse::Stale) if self.facts.is_idempotent && !self.has_body() => {
                    self.worker.counts.retried.one();
                    fresh = true;
                }
                Err(NoResponse::Stale) => return After::Reply(Reply::BadGateway),
                Err(NoResponse::Client) => return After::Reply(Reply::BadRequestBody),
                Err(NoResponse::Reply(why)) => return After::Reply(why),
            }
        }
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
        let count = &self.worker.counts.up;
        loop {
            let mut sending = FromClient { transfer: &mut *request, client: &mut *client, count };
            match upstream::begin(&mut sending, upstream, self.facts.is_head, self.patience).await?
            {
                Interim::Begun => return Ok(()),
                Interim::Continue if self.waits => {
                    self.waits = false;
                    let told = async {
                        client.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                        client.stream.flush().await
                    };
                    told.await.map_err(|_| NoResponse::Client)?;
                }
                // Nobody asked for it.
                Interim::Continue => {}
            }
        }
    }

    /// Passes the response on, while what is left of the request still goes the other way.
    async fn respond(&self, mut request: Transfer, client: &mut Conn, mut upstream: Conn) -> After {
        let Some((facts, mut response, keeps)) = self.response(&mut upstream, &request) else {
            return After::Reply(Reply::BadGateway);
        };
        let counts = &self.worker.counts;
        let mut sends = !request.is_done();
        let passed = poll_fn(|cx| {
            if sends {
                match request.poll(cx, client, &mut upstream.stream, &counts.up) {
                    Poll::Ready(Ok(()) | Err(Broken::Sink { .. })) => sends = false,
                    Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                    Poll::Pending => {}
                }
            }
            response.poll(cx, &mut upstream, &mut client.stream, &counts.down)
        });
        match passed.await {
            Ok(()) => {}
            Err(Broken::Sink { .. }) => return After::Reset(Refusal::Reset),
            Err(_) => return After::Reset(Refusal::Response),
        }
        // Who was not told to close goes on sending, and the next hop reading.
        if sends && keeps {
            let rest = poll_fn(|cx| request.poll(cx, client, &mut upstream.stream, &counts.up));
            match rest.await {
                Ok(()) | Err(Broken::Sink { .. }) => {}
                Err(_) => return After::Reset(Refusal::RequestBody),
            }
        }
        // Half a request leaves both connections in the middle of something.
        let is_whole = request.is_done();
        if is_whole && facts.keeps {
            self.replica.pool.put(upstream);
        }
        if is_whole && keeps { After::Keep } else { After::End }
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

/// Heads of responses have 100 to 400 bytes.
const HEAD_USUAL: usize = 512;
