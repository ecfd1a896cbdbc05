//! Situations that a server on a script cannot easily show: windows, floods, slots and timeouts.

use tlsbench_core::scenario::{Protocol, Request, Scheme, Target, Timeout};
use tlsbench_core::tally::Detail;

use super::*;

mod beside_h2;

fn form(body: usize) -> RequestTemplate {
    let request = Request {
        protocol: Protocol::Http1,
        method: "GET".to_owned(),
        headers: vec![],
        body: vec![b'x'; body],
        expect_status: None,
        expect_bytes: None,
    };
    let target = Target {
        name: "t".to_owned(),
        scheme: Scheme::Https,
        host: "h".to_owned(),
        port: 443,
        path: "/".to_owned(),
        sni: None,
        connect_to: vec![],
    };
    RequestTemplate::new(&request, &target, "h", "tlsbench")
}

/// A connection on which the server said SETTINGS, with what went out taken.
fn streams(wanted: u32, settings: &[(u16, u32)]) -> Streams {
    let mut streams = Streams::new();
    streams.begin(wanted, false);
    let mut hello = Vec::new();
    frame::put_settings(settings, &mut hello);
    feed(&mut streams, &hello);
    sent(&mut streams, &[]);
    streams
}

fn feed(streams: &mut Streams, bytes: &[u8]) {
    assert_eq!(streams.push(bytes), Ok(None));
}

/// Returns what goes out.
fn sent(streams: &mut Streams, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let part = streams.unsent(body).to_vec();
        if part.is_empty() {
            return out;
        }
        streams.sent(part.len());
        out.extend(part);
    }
}

fn frames(build: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out);
    out
}

/// Types, streams and lengths of frames.
fn outline(mut bytes: &[u8]) -> Vec<(u8, u32, usize)> {
    let mut outline = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk() {
        let header = frame::Header::parse(*header);
        outline.push((header.kind, header.stream, header.length));
        bytes = &rest[header.length..];
    }
    outline
}

const OK: &[u8] = b"\x88";

fn respond(streams: &mut Streams, id: u32) {
    let flags = frame::END_HEADERS | frame::END_STREAM;
    feed(streams, &frames(|out| frame::put(frame::HEADERS, flags, id, OK, out)));
}

#[test]
fn only_the_first_request_goes_out_before_the_server_has_said_its_settings() {
    let mut streams = Streams::new();
    streams.begin(8, false);
    assert_eq!((streams.free_slot(), streams.news()), (Some(0), None));
    streams.request_since(&form(0), Nanos(0), Nanos(0));
    assert_eq!(streams.free_slot(), None);
    feed(&mut streams, &frames(|out| frame::put_settings(&[], out)));
    assert_eq!((streams.news(), streams.news()), (Some(8), None));
    assert_eq!(streams.free_slot(), Some(1));
}

#[test]
fn a_lower_limit_of_the_server_is_obeyed_and_a_higher_one_used() {
    let mut streams = streams(8, &[(frame::MAX_CONCURRENT_STREAMS, 2)]);
    assert_eq!(streams.news(), Some(2));
    while streams.free_slot().is_some() {
        streams.request_since(&form(0), Nanos(0), Nanos(0));
    }
    assert_eq!(streams.open(), 2);
    let more = frames(|out| frame::put_settings(&[(frame::MAX_CONCURRENT_STREAMS, 100)], out));
    feed(&mut streams, &more);
    assert_eq!(streams.news(), Some(8));
    while streams.free_slot().is_some() {
        streams.request_since(&form(0), Nanos(0), Nanos(0));
    }
    assert_eq!(streams.open(), 8);
}

#[test]
fn a_window_that_overflows_is_an_error_of_flow_control() {
    let more = |id| frames(|out| frame::put_window(id, frame::STREAM_MAX, out));
    let mut one = streams(1, &[]);
    one.request_since(&form(1), Nanos(0), Nanos(0));
    sent(&mut one, b"");
    feed(&mut one, &more(1));
    let told = sent(&mut one, b"");
    assert_eq!(outline(&told), [(frame::RST_STREAM, 1, 4)]);
    assert!(told.ends_with(&frame::FLOW_CONTROL_ERROR.to_be_bytes()), "{told:x?}");
    let failed = Failed::of(Failure::ResponseMalformed, Detail::FlowControl);
    assert_eq!(one.take().unwrap().result, Err(Lost::Failed(failed)));
    // Of the connection, and of a stream that is over: that one has no window any more.
    feed(&mut one, &more(1));
    assert_eq!(one.end(), None);
    feed(&mut one, &more(0));
    assert_eq!(one.end(), Some(ConnectionEnd::Fault(Fault::FlowControl)));
}

#[test]
fn a_window_of_all_streams_may_grow_though_one_is_over() {
    let mut one = streams(2, &[]);
    one.request_since(&form(0), Nanos(0), Nanos(0));
    feed(&mut one, &frames(|out| frame::put_window(1, frame::STREAM_MAX - 65_535, out)));
    respond(&mut one, 1);
    let larger = [(frame::INITIAL_WINDOW_SIZE, 70_000)];
    feed(&mut one, &frames(|out| frame::put_settings(&larger, out)));
    assert_eq!(one.end(), None);
}

#[test]
fn numbers_whose_place_is_taken_are_skipped() {
    let mut streams = streams(2, &[]);
    // Four places; the first stays taken.
    streams.request_since(&form(0), Nanos(0), Nanos(0));
    let mut numbers = Vec::new();
    for _ in 0..6 {
        let slot = streams.free_slot().unwrap();
        let id = streams.state.table.next.max(streams.state.free().unwrap());
        streams.request_since(&form(0), Nanos(0), Nanos(0));
        numbers.push((id, slot));
        respond(&mut streams, id);
        let outcome = streams.take().unwrap();
        assert_eq!((outcome.slot, outcome.result.map(|answer| answer.status)), (slot, Ok(200)));
    }
    assert_eq!(numbers, [(3, 1), (5, 2), (7, 3), (11, 1), (13, 2), (15, 3)]);
    respond(&mut streams, 1);
    assert_eq!(streams.take().unwrap().slot, 0);
}

#[test]
fn a_place_is_taken_until_its_outcome_was() {
    let mut streams = streams(1, &[]);
    streams.request_since(&form(0), Nanos(0), Nanos(0));
    respond(&mut streams, 1);
    assert_eq!((streams.free_slot(), streams.completed_slot(), streams.open()), (None, Some(0), 1));
    streams.take().unwrap();
    assert_eq!((streams.free_slot(), streams.completed_slot(), streams.open()), (Some(1), None, 0));
}

#[test]
fn bodies_go_out_as_far_as_both_windows_are_open() {
    let body = vec![b'x'; 100_000];
    let mut streams = streams(2, &[(frame::INITIAL_WINDOW_SIZE, 50_000)]);
    streams.request_since(&form(body.len()), Nanos(0), Nanos(0));
    streams.request_since(&form(body.len()), Nanos(0), Nanos(0));
    let data = |bytes: &[u8]| -> Vec<(u32, usize)> {
        let mut sums = vec![(1, 0), (3, 0)];
        for (kind, stream, length) in outline(bytes) {
            if kind == frame::DATA {
                assert!(length <= frame::PAYLOAD_MAX);
                sums[(stream / 2) as usize].1 += length;
            }
        }
        sums
    };
    // 65,535 bytes for the connection, 50,000 for each stream.
    assert_eq!(data(&sent(&mut streams, &body)), [(1, 50_000), (3, 15_535)]);
    feed(&mut streams, &frames(|out| frame::put_window(1, 10_000, out)));
    assert_eq!(data(&sent(&mut streams, &body)), [(1, 0), (3, 0)]);
    feed(&mut streams, &frames(|out| frame::put_window(0, 1_000_000, out)));
    assert_eq!(data(&sent(&mut streams, &body)), [(1, 10_000), (3, 34_465)]);
    // A smaller first window takes away what was given: below zero, and up again.
    let less = frames(|out| frame::put_settings(&[(frame::INITIAL_WINDOW_SIZE, 40_000)], out));
    feed(&mut streams, &less);
    feed(&mut streams, &frames(|out| frame::put_window(3, 10_001, out)));
    assert_eq!(data(&sent(&mut streams, &body)), [(1, 0), (3, 1)]);
    // An answer before the end of the request ends the request.
    respond(&mut streams, 1);
    let out = sent(&mut streams, &body);
    assert_eq!(outline(&out), [(frame::SETTINGS, 0, 0), (frame::RST_STREAM, 1, 4)][1..]);
}

#[test]
fn windows_are_given_back_in_batches_and_not_overrun() {
    let mut streams = streams(1, &[]);
    streams.request_since(&form(0), Nanos(0), Nanos(0));
    sent(&mut streams, &[]);
    feed(&mut streams, &frames(|out| frame::put(frame::HEADERS, frame::END_HEADERS, 1, OK, out)));
    let chunk = frames(|out| frame::put(frame::DATA, 0, 1, &[0; frame::PAYLOAD_MAX], out));
    let batch = STREAM_WINDOW as usize / 2 / frame::PAYLOAD_MAX;
    for _ in 0..batch {
        feed(&mut streams, &chunk);
    }
    assert_eq!(outline(&sent(&mut streams, &[])), []);
    feed(&mut streams, &chunk);
    assert_eq!(outline(&sent(&mut streams, &[])), [(frame::WINDOW_UPDATE, 1, 4)]);
    assert_eq!(streams.state.windows.received as usize, (batch + 1) * frame::PAYLOAD_MAX);
    // As if nothing had been given back.
    streams.state.table.get_mut(0).unwrap().received = STREAM_WINDOW;
    feed(&mut streams, &chunk);
    assert_eq!(streams.end(), Some(ConnectionEnd::Fault(Fault::FlowControl)));
}

#[test]
fn a_server_that_asks_and_does_not_read_is_left() {
    let mut streams = streams(1, &[]);
    let ping = frames(|out| frame::put(frame::PING, 0, 0, &[7; 8], out));
    for _ in 0..10_000 {
        feed(&mut streams, &ping);
    }
    assert_eq!(streams.end(), None);
    feed(&mut streams, &ping);
    assert_eq!(streams.end(), Some(ConnectionEnd::Fault(Fault::Excess)));
}

/// Writes a frame.
type Put = Box<dyn Fn(&mut Vec<u8>)>;

/// Returns how many of these frames end the connection, if each answer is read, and by which fault.
fn taken(
    streams: &mut Streams,
    body: &[u8],
    put: impl Fn(&mut Vec<u8>),
) -> (usize, Option<ConnectionEnd>) {
    let one = frames(put);
    for count in 1..=100_000 {
        feed(streams, &one);
        if streams.end().is_some() {
            return (count, streams.end());
        }
        sent(streams, body);
    }
    (usize::MAX, None)
}

#[test]
fn a_server_that_sends_frames_that_nothing_asked_for_is_left() {
    let window = |id| move |out: &mut Vec<u8>| frame::put_window(id, 1, out);
    let put = |kind, flags, id, payload: &'static [u8]| {
        move |out: &mut Vec<u8>| frame::put(kind, flags, id, payload, out)
    };
    let (ack, end) = (frame::ACK, frame::END_HEADERS);
    let floods: [(&str, Put); 14] = [
        ("windows of the connection", Box::new(window(0))),
        ("windows of a stream", Box::new(window(1))),
        ("windows of a stream that is over", Box::new(window(3))),
        ("pings", Box::new(put(frame::PING, 0, 0, &[7; 8]))),
        ("answers to pings", Box::new(put(frame::PING, ack, 0, &[7; 8]))),
        ("settings without one", Box::new(put(frame::SETTINGS, 0, 0, b""))),
        ("answers to settings", Box::new(put(frame::SETTINGS, ack, 0, b""))),
        ("data without a byte", Box::new(put(frame::DATA, 0, 1, b""))),
        ("padding", Box::new(put(frame::DATA, frame::PADDED, 1, b"\x03abc"))),
        ("informational responses", Box::new(put(frame::HEADERS, end, 5, b"\x08\x03103"))),
        ("heads of a stream that is over", Box::new(put(frame::HEADERS, end, 3, OK))),
        ("resets of a stream that is over", Box::new(put(frame::RST_STREAM, 0, 3, &[0; 4]))),
        ("priorities", Box::new(put(frame::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]))),
        ("unknown frames", Box::new(put(0xee, 0, 0, b"abc"))),
    ];
    for (name, flood) in floods {
        let mut one = streams(4, &[]);
        for _ in 0..3 {
            one.request_since(&form(0), Nanos(0), Nanos(0));
        }
        respond(&mut one, 3);
        feed(&mut one, &frames(|out| frame::put(frame::HEADERS, frame::END_HEADERS, 1, OK, out)));
        sent(&mut one, b"");
        let (count, end) = taken(&mut one, b"", flood);
        assert_eq!(end, Some(ConnectionEnd::Fault(Fault::Excess)), "{name}");
        assert_eq!(count, 9_999, "{name}: two heads came before, and the last is too much");
    }
    // Each setting counts, because each may change the window of every stream.
    let many = [(frame::INITIAL_WINDOW_SIZE, 1); 99];
    let (count, end) = taken(&mut streams(4, &[]), b"", |out| frame::put_settings(&many, out));
    assert_eq!((count, end), (101, Some(ConnectionEnd::Fault(Fault::Excess))));
    // A block in pieces of a byte each, long before it is too long.
    let mut one = streams(1, &[]);
    one.request_since(&form(0), Nanos(0), Nanos(0));
    feed(&mut one, &frames(|out| frame::put(frame::HEADERS, 0, 1, OK, out)));
    let (count, end) = taken(&mut one, b"", put(frame::CONTINUATION, 0, 1, b"\x88"));
    assert_eq!((count, end), (10_000, Some(ConnectionEnd::Fault(Fault::Excess))));
}

#[test]
fn requests_their_bodies_and_time_let_a_server_send_more_frames() {
    let extra = |out: &mut Vec<u8>| {
        frame::put(frame::PING, 0, 0, &[7; 8], out);
        frame::put_window(0, 1, out);
    };
    // Eight frames beside the head of each response, five times as many as a connection begins
    // with.
    let mut one = streams(1, &[]);
    for id in (1..12_500).step_by(2) {
        one.request_since(&form(0), Nanos(0), Nanos(0));
        (0..4).for_each(|_| feed(&mut one, &frames(extra)));
        respond(&mut one, id);
        sent(&mut one, b"");
        assert_eq!((one.end(), one.take().is_some()), (None, true), "{id}");
    }
    // A window for each 64 bytes of a body, which pass through the connection and the stream.
    let body = vec![b'x'; 4 << 20];
    let mut one = streams(1, &[]);
    one.request_since(&form(body.len()), Nanos(0), Nanos(0));
    while one.state.table.get(0).unwrap().unsent > 0 {
        let gone: usize = outline(&sent(&mut one, &body)).iter().map(|(_, _, length)| length).sum();
        for _ in 0..gone.div_ceil(128) {
            feed(&mut one, &frames(|out| frame::put_window(0, 128, out)));
            feed(&mut one, &frames(|out| frame::put_window(1, 128, out)));
        }
        assert_eq!(one.end(), None, "{} left", one.state.table.get(0).unwrap().unsent);
    }
    // A ping for each 10 ms, for an hour.
    let mut one = streams(1, &[]);
    for at in 0..360_000 {
        one.set_now(Nanos::from_millis(at * 10));
        feed(&mut one, &frames(|out| frame::put(frame::PING, 0, 0, &[7; 8], out)));
        sent(&mut one, b"");
    }
    assert_eq!(one.end(), None);
}

#[test]
fn what_has_no_first_byte_is_given_up_before_what_has_one() {
    let mut streams = streams(3, &[]);
    for _ in 0..3 {
        streams.request_since(&form(0), Nanos(10), Nanos(10));
    }
    streams.stamp(Nanos(10));
    streams.set_now(Nanos(50));
    feed(&mut streams, &frames(|out| frame::put(frame::HEADERS, frame::END_HEADERS, 3, OK, out)));
    sent(&mut streams, &[]);
    let timeout = Timeout { operation: Nanos(200), first_byte: Nanos(90), ..Timeout::DEFAULT };
    assert_eq!(streams.expire(Nanos(99), timeout), Some(Nanos(100)));
    assert_eq!(streams.expire(Nanos(100), timeout), Some(Nanos(210)));
    let given_up: Vec<_> = std::iter::from_fn(|| streams.take()).collect();
    let of = |outcome: &StreamOutcome| (outcome.slot, outcome.result.is_err(), outcome.first_byte);
    assert_eq!(given_up.iter().map(of).collect::<Vec<_>>(), [(0, true, None), (2, true, None)]);
    let resets = [(frame::RST_STREAM, 1, 4), (frame::RST_STREAM, 5, 4)];
    assert_eq!(outline(&sent(&mut streams, &[])), resets);
    assert_eq!(streams.open(), 1);
    // A body that drips shows signs for ever, and is given up all the same.
    streams.set_now(Nanos(209));
    feed(&mut streams, &frames(|out| frame::put(frame::DATA, 0, 3, b"x", out)));
    assert_eq!(streams.expire(Nanos(209), timeout), Some(Nanos(210)));
    assert_eq!(streams.expire(Nanos(210), timeout), None);
    assert!(streams.take().is_some_and(|outcome| outcome.result.is_err()));
    assert_eq!(outline(&sent(&mut streams, &[])), [(frame::RST_STREAM, 3, 4)]);
}

#[test]
fn an_operation_counts_from_its_connection_s_beginning_where_it_is_the_first() {
    let mut streams = streams(1, &[]);
    streams.request_since(&form(0), Nanos(50), Nanos(10));
    streams.stamp(Nanos(50));
    let timeout = Timeout { operation: Nanos(90), first_byte: Nanos(90), ..Timeout::DEFAULT };
    assert_eq!(streams.expire(Nanos(60), timeout), Some(Nanos(100)));
}

proptest::proptest! {
    #[test]
    fn any_bytes_of_a_server_are_taken_or_refused(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        kinds in proptest::collection::vec((0_u8..10, 0_u8..64, 0_u32..8, 0_usize..20), 0..12),
    ) {
        let mut streams = streams(4, &[]);
        for _ in 0..3 {
            streams.request_since(&form(10), Nanos(0), Nanos(0));
        }
        for (kind, flags, stream, length) in kinds {
            let payload = &bytes[..length.min(bytes.len())];
            streams.push(&frames(|out| frame::put(kind, flags, stream, payload, out))).unwrap();
            sent(&mut streams, &[b'x'; 10]);
        }
        streams.push(&bytes).unwrap();
        while streams.take().is_some() {}
        proptest::prop_assert!(streams.open() <= 3);
    }
}
