//! Our HTTP/2 client beside the crate `h2`: time and allocations per request, without sockets.
//!
//! ```text
//! cargo test --release -p tlsbench-engine --lib beside_h2 -- --ignored --nocapture
//! ```
//!
//! Both send the same requests, eight at a time on one connection, to the same responder in memory,
//! whose time is left out. Neither has a runtime: `h2` is polled when there is something to read,
//! which is what a load loop with sockets of its own could do with it.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

const STREAMS: u32 = 8;
const BATCHES: u32 = 2_500;
const TURNS: usize = 9;

/// The responder: 200 with a type, a length and 120 bytes for every request that it reads.
#[derive(Default)]
struct Responder {
    unread: Vec<u8>,
    is_greeted: bool,
}

impl Responder {
    fn respond(&mut self, sent: &[u8], out: &mut Vec<u8>) {
        self.unread.extend_from_slice(sent);
        let mut rest = &*self.unread;
        if !self.is_greeted {
            let Some(after) = rest.strip_prefix(frame::PREFACE) else { return };
            (rest, self.is_greeted) = (after, true);
            frame::put_settings(&[(frame::MAX_CONCURRENT_STREAMS, 128)], out);
        }
        while let Some((header, after)) = rest.split_first_chunk() {
            let header = frame::Header::parse(*header);
            let Some(after) = after.get(header.length..) else { break };
            rest = after;
            if header.kind == frame::HEADERS {
                // `:status: 200`, then two literals without indexing (RFC 7541, section 6.2.2).
                let fields = b"\x88\x0f\x10\x0atext/plain\x0f\x0d\x03120";
                frame::put(frame::HEADERS, frame::END_HEADERS, header.stream, fields, out);
                frame::put(frame::DATA, frame::END_STREAM, header.stream, &[b'x'; 120], out);
            }
        }
        let length = rest.len();
        self.unread.drain(..self.unread.len() - length);
    }
}

/// A client that makes [`STREAMS`] requests and reads their responses.
trait Client {
    /// Makes requests and appends what goes out.
    fn request(&mut self, out: &mut Vec<u8>);
    /// Reads responses, and returns the number that is complete.
    fn read(&mut self, input: &[u8]) -> u32;
}

struct Ours {
    streams: Streams,
    form: RequestTemplate,
}

impl Client for Ours {
    fn request(&mut self, out: &mut Vec<u8>) {
        while self.streams.free_slot().is_some() {
            self.streams.request_since(&self.form, Nanos(0), Nanos(0));
        }
        let unsent = self.streams.unsent(&[]);
        out.extend_from_slice(unsent);
        let length = unsent.len();
        self.streams.stamp(Nanos(0));
        self.streams.sent(length);
    }

    fn read(&mut self, input: &[u8]) -> u32 {
        feed(&mut self.streams, input);
        let mut complete = 0;
        while self.streams.completed_slot().is_some() {
            complete += u32::from(self.streams.take().unwrap().result.is_ok());
        }
        complete
    }
}

#[derive(Default)]
struct Memory {
    input: Vec<u8>,
    output: Vec<u8>,
}

#[derive(Clone, Default)]
struct MemorySocket(Rc<RefCell<Memory>>);

impl AsyncRead for MemorySocket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let input = &mut self.0.borrow_mut().input;
        if input.is_empty() {
            return Poll::Pending;
        }
        let length = input.len().min(buffer.remaining());
        buffer.put_slice(&input[..length]);
        input.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MemorySocket {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().output.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Crate {
    socket: MemorySocket,
    sender: h2::client::SendRequest<bytes::Bytes>,
    connection: h2::client::Connection<MemorySocket, bytes::Bytes>,
    template: http::Request<()>,
    waiting: Vec<h2::client::ResponseFuture>,
}

impl Crate {
    fn new() -> Self {
        let socket = MemorySocket::default();
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let handshake = pin!(builder.handshake(socket.clone()));
        let Poll::Ready(done) = handshake.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the preface is written at once")
        };
        let (sender, connection) = done.unwrap();
        let template = http::Request::get("https://h/").header("user-agent", "tlsbench");
        let template = template.body(()).unwrap();
        Self { socket, sender, connection, template, waiting: Vec::new() }
    }

    fn poll(&mut self) {
        let done = Pin::new(&mut self.connection).poll(&mut Context::from_waker(Waker::noop()));
        assert!(done.is_pending(), "{done:?}");
    }
}

impl Client for Crate {
    fn request(&mut self, out: &mut Vec<u8>) {
        for _ in 0..STREAMS {
            let (response, _) = self.sender.send_request(self.template.clone(), true).unwrap();
            self.waiting.push(response);
        }
        self.poll();
        out.append(&mut self.socket.0.borrow_mut().output);
    }

    fn read(&mut self, input: &[u8]) -> u32 {
        self.socket.0.borrow_mut().input.extend_from_slice(input);
        self.poll();
        let context = &mut Context::from_waker(Waker::noop());
        let mut complete = 0;
        for mut response in self.waiting.drain(..) {
            let Poll::Ready(response) = Pin::new(&mut response).poll(context) else { continue };
            let mut body = response.unwrap().into_body();
            while let Poll::Ready(Some(data)) = body.poll_data(context) {
                body.flow_control().release_capacity(data.unwrap().len()).unwrap();
            }
            complete += u32::from(body.is_end_stream());
        }
        complete
    }
}

/// Runs a client for some batches; returns the time that it took, the responder's left out.
fn drive(client: &mut impl Client, responder: &mut Responder, batches: u32) -> Duration {
    let (mut out, mut input) = (Vec::new(), Vec::new());
    let mut took = Duration::ZERO;
    let mut complete = 0;
    while complete < batches * STREAMS {
        let start = Instant::now();
        client.request(&mut out);
        took += start.elapsed();
        input.clear();
        responder.respond(&out, &mut input);
        out.clear();
        let start = Instant::now();
        complete += client.read(&input);
        took += start.elapsed();
    }
    took
}

fn measure(mut client: impl Client) -> (f64, f64, u64) {
    let mut responder = Responder::default();
    drive(&mut client, &mut responder, 100);
    let took = drive(&mut client, &mut responder, BATCHES);
    let requests = f64::from(BATCHES * STREAMS);
    let counted = allocation_counter::measure(|| {
        drive(&mut client, &mut responder, BATCHES);
    });
    // Vectors of `drive` grow once each; against 20,000 requests they do not show.
    let allocations = counted.count_total as f64 / requests;
    (
        took.as_nanos() as f64 / requests,
        allocations,
        counted.bytes_total / u64::from(BATCHES * STREAMS),
    )
}

#[test]
#[ignore = "a measurement, for an optimised build: decision 0008"]
fn a_request_over_our_streams_and_over_the_crate() {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let mut streams = Streams::new();
        streams.begin(STREAMS, false);
        ours.push(measure(Ours { streams, form: form(0) }));
        others.push(measure(Crate::new()));
    }
    for (name, turns) in [("ours", &mut ours), ("h2", &mut others)] {
        turns.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (nanos, allocations, bytes) = turns[TURNS / 2];
        println!("{name}: {nanos:.0} ns, {allocations:.2} allocations, {bytes} bytes per request");
    }
    println!("ratio: {:.2}", ours[TURNS / 2].0 / others[TURNS / 2].0);
    assert!(ours.iter().all(|(_, allocations, _)| *allocations < 0.01), "{ours:?}");
}
