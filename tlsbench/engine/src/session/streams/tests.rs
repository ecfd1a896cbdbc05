//! What a server on a script cannot easily show: windows, floods, places and patience.

use tlsbench_core::plan::{Protocol, Request, Scheme, Target};

use super::*;

fn form(body: usize) -> Form {
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
    Form::new(&request, &target, "h", "tlsbench")
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

/// What goes out.
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
    assert_eq!((streams.place(), streams.news()), (Some(0), None));
    streams.request(&form(0), Nanos(0));
    assert_eq!(streams.place(), None);
    feed(&mut streams, &frames(|out| frame::put_settings(&[], out)));
    assert_eq!((streams.news(), streams.news()), (Some(8), None));
    assert_eq!(streams.place(), Some(1));
}

#[test]
fn a_lower_limit_of_the_server_is_obeyed_and_a_higher_one_used() {
    let mut streams = streams(8, &[(frame::MAX_CONCURRENT_STREAMS, 2)]);
    assert_eq!(streams.news(), Some(2));
    while streams.place().is_some() {
        streams.request(&form(0), Nanos(0));
    }
    assert_eq!(streams.open(), 2);
    let more = frames(|out| frame::put_settings(&[(frame::MAX_CONCURRENT_STREAMS, 100)], out));
    feed(&mut streams, &more);
    assert_eq!(streams.news(), Some(8));
    while streams.place().is_some() {
        streams.request(&form(0), Nanos(0));
    }
    assert_eq!(streams.open(), 8);
}

#[test]
fn numbers_whose_place_is_taken_are_skipped() {
    let mut streams = streams(2, &[]);
    // Four places; the first stays taken.
    streams.request(&form(0), Nanos(0));
    let mut numbers = Vec::new();
    for _ in 0..6 {
        let place = streams.place().unwrap();
        let id = streams.state.next.max(streams.state.free().unwrap());
        streams.request(&form(0), Nanos(0));
        numbers.push((id, place));
        respond(&mut streams, id);
        let outcome = streams.take().unwrap();
        assert_eq!((outcome.place, outcome.result.map(|answer| answer.status)), (place, Ok(200)));
    }
    assert_eq!(numbers, [(3, 1), (5, 2), (7, 3), (11, 1), (13, 2), (15, 3)]);
    respond(&mut streams, 1);
    assert_eq!(streams.take().unwrap().place, 0);
}

#[test]
fn a_place_is_taken_until_its_outcome_was() {
    let mut streams = streams(1, &[]);
    streams.request(&form(0), Nanos(0));
    respond(&mut streams, 1);
    assert_eq!((streams.place(), streams.due(), streams.open()), (None, Some(0), 1));
    streams.take().unwrap();
    assert_eq!((streams.place(), streams.due(), streams.open()), (Some(1), None, 0));
}

#[test]
fn bodies_go_out_as_far_as_both_windows_are_open() {
    let body = vec![b'x'; 100_000];
    let mut streams = streams(2, &[(frame::INITIAL_WINDOW_SIZE, 50_000)]);
    streams.request(&form(body.len()), Nanos(0));
    streams.request(&form(body.len()), Nanos(0));
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
    streams.request(&form(0), Nanos(0));
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
    assert_eq!(streams.state.received as usize, (batch + 1) * frame::PAYLOAD_MAX);
    // As if nothing had been given back.
    streams.state.table[0].received = STREAM_WINDOW;
    feed(&mut streams, &chunk);
    assert_eq!(streams.end(), Some(End::Fault(Fault::FlowControl)));
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
    assert_eq!(streams.end(), Some(End::Fault(Fault::Excess)));
}

#[test]
fn what_shows_no_sign_is_given_up_and_the_rest_waited_for() {
    let mut streams = streams(3, &[]);
    for _ in 0..3 {
        streams.request(&form(0), Nanos(10));
    }
    streams.stamp(Nanos(10));
    streams.set_now(Nanos(50));
    feed(&mut streams, &frames(|out| frame::put(frame::HEADERS, frame::END_HEADERS, 3, OK, out)));
    sent(&mut streams, &[]);
    assert_eq!(streams.expire(Nanos(100), Nanos(90)), Some(Nanos(140)));
    let given_up: Vec<_> = std::iter::from_fn(|| streams.take()).collect();
    let of = |outcome: &Outcome| (outcome.place, outcome.result.is_err(), outcome.first_byte);
    assert_eq!(given_up.iter().map(of).collect::<Vec<_>>(), [(0, true, None), (2, true, None)]);
    let resets = [(frame::RST_STREAM, 1, 4), (frame::RST_STREAM, 5, 4)];
    assert_eq!(outline(&sent(&mut streams, &[])), resets);
    assert_eq!(streams.open(), 1);
}

proptest::proptest! {
    #[test]
    fn any_bytes_of_a_server_are_taken_or_refused(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        kinds in proptest::collection::vec((0_u8..10, 0_u8..64, 0_u32..8, 0_usize..20), 0..12),
    ) {
        let mut streams = streams(4, &[]);
        for _ in 0..3 {
            streams.request(&form(10), Nanos(0));
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
