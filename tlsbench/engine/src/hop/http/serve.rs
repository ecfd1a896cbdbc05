//! The loop of one HTTP/1.1 client: a request, its response, and so on, in order.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::conn::{Conn, ROOM_USUAL};
use super::head::{self, BadHead, RequestFacts};
use super::reply::Reply;
use crate::hop::count::{Counts, Refusal};

/// A request's head, or why there is none.
pub(in crate::hop) enum Next<T> {
    /// The client has nothing more to ask.
    End,
    /// A head, which was taken from the buffer.
    Request(RequestFacts, T),
    /// None that can be served; the client is to be told and let go.
    Refuse(Reply),
}

/// Reads the next head. Idle clients are waited for, clients in the middle of a head only so long.
pub(in crate::hop) async fn next<T>(
    client: &mut Conn,
    mut then: impl FnMut(&httparse::Request<'_, '_>, &RequestFacts) -> Result<T, BadHead>,
) -> Next<T> {
    client.shrink(ROOM_USUAL);
    // RFC 9112, section 2.2: an empty line before a request is nothing.
    while client.data().is_empty() || client.data() == b"\r\n" {
        let length = client.data().len();
        client.take(length);
        match client.fill(ROOM_USUAL).await {
            Ok(0) | Err(_) => return Next::End,
            Ok(_) => {}
        }
    }
    // Most heads come whole, and then there is no need of a timer.
    if let Some(next) = parse(client, &mut then) {
        return next;
    }
    let reading = async {
        loop {
            match client.fill(ROOM_USUAL).await {
                Ok(0) | Err(_) => return Next::End,
                Ok(_) => {}
            }
            if let Some(next) = parse(client, &mut then) {
                return next;
            }
        }
    };
    timeout(HEAD_WAIT_MAX, reading).await.unwrap_or(Next::Refuse(Reply::RequestTimeout))
}

/// Takes a head, or finds that there is none to come; nothing while it is not whole.
fn parse<T>(
    client: &mut Conn,
    then: impl FnOnce(&httparse::Request<'_, '_>, &RequestFacts) -> Result<T, BadHead>,
) -> Option<Next<T>> {
    match head::request(client.data(), then) {
        Ok(Some((facts, then))) => {
            client.take(facts.bytes);
            Some(Next::Request(facts, then))
        }
        Ok(None) => None,
        Err(bad) => Some(Next::Refuse(bad.into())),
    }
}

/// Ends a connection whose requests were all answered.
pub(in crate::hop) async fn end(mut client: Conn) {
    // A client that is gone does not mind.
    let _ = client.stream.shutdown().await;
}

/// Tells a client why, and lets it go.
pub(in crate::hop) async fn refuse(
    mut client: Conn,
    counts: &Counts,
    why: Reply,
    to_head: bool,
) -> Result<(), Refusal> {
    let mut out = Vec::new();
    why.put(true, to_head, &mut out);
    counts.down.add(out.len() as u64);
    if client.stream.write_all(&out).await.is_ok() {
        client.linger().await;
    }
    Err(why.refusal())
}

/// One minute for a head, as nginx waits.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(60);
