//! HTTP/2 against a server that follows a script, in the clear.

use super::*;
use crate::testserver::Script;

/// A response without a body: `:status: 200`, the end of the stream.
const GOOD: &[u8] = b"\x00\x00\x01\x01\x05\x7f\xff\xff\xff\x88";
const HEAD: &[u8] = b"\x00\x00\x01\x01\x04\x7f\xff\xff\xff\x88";

fn with(address: SocketAddr, scheme: Scheme, streams: u32) -> Scenario {
    let mut scenario = scenario(address, scheme);
    let request = scenario.request.as_mut().unwrap();
    request.protocol = Protocol::Http2 { streams: NonZeroU32::new(streams).unwrap() };
    scenario.close = Close::Fin;
    scenario
}

fn scripted(script: Script) -> TestServer {
    answering(Answer::Http2(script))
}

/// Runs 120 requests, 8 at a time on one connection, each answered like this.
fn answered(each: &'static [u8]) -> Tally {
    let server = scripted(Script { each, ..Script::plain() });
    let mut scenario = with(server.address(), Scheme::Http, 8);
    (scenario.load, scenario.shards) = (closed(1, None), NonZeroU32::MIN);
    measure(&scenario, None)
}

#[test]
fn counts_are_the_server_s_own() {
    let server = scripted(Script::plain());
    let mut scenario = with(server.address(), Scheme::Http, 8);
    // Otherwise one connection may have done the requests of two before the other heard a word.
    scenario.shards = NonZeroU32::new(4).unwrap();
    let tally = measure(&scenario, None);
    assert_eq!((tally.succeeded, tally.failures()), (120, 0), "{:?}", tally.failed);
    assert_eq!((tally.connections, tally.shape.streams.get(&8)), (4, Some(&4)));
    assert_eq!(tally.histogram(Phase::FirstByte).len(), 120);
    let seen = server.wait_until(|seen| seen.requests == 120 && seen.goodbyes == 4);
    assert_eq!((seen.requests, seen.connections, seen.goodbyes), (120, 4, 4));
}

#[test]
fn responses_of_every_make_are_read() {
    for (name, each, bytes) in [
        ("padding and priority", &b"\x00\x00\x0a\x01\x2c\x7f\xff\xff\xff\x03\0\0\0\0\x01\x88???\x00\x00\x07\x00\x09\x7f\xff\xff\xff\x02abcd??"[..], 4),
        ("a block in three frames", b"\x00\x00\x01\x01\x01\x7f\xff\xff\xff\x88\x00\x00\x02\x09\x00\x7f\xff\xff\xff\x40\x01\x00\x00\x03\x09\x04\x7f\xff\xff\xffa\x01b", 0),
        ("trailers", b"\x00\x00\x01\x01\x04\x7f\xff\xff\xff\x88\x00\x00\x03\x00\x00\x7f\xff\xff\xffabc\x00\x00\x05\x01\x05\x7f\xff\xff\xff\x00\x01a\x01b", 3),
        ("informational", b"\x00\x00\x05\x01\x04\x7f\xff\xff\xff\x08\x03103\x00\x00\x01\x01\x05\x7f\xff\xff\xff\x88", 0),
        ("a length", b"\x00\x00\x04\x01\x04\x7f\xff\xff\xff\x88\x5c\x013\x00\x00\x03\x00\x01\x7f\xff\xff\xffabc", 3),
        ("empty data", b"\x00\x00\x01\x01\x04\x7f\xff\xff\xff\x88\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00\x01\x7f\xff\xff\xff", 0),
        ("unknown frames, and priority", b"\x00\x00\x01\xbe\xff\x7f\xff\xff\xff?\x00\x00\x05\x02\x00\x7f\xff\xff\xff\0\0\0\0\x01\x00\x00\x01\x01\x05\x7f\xff\xff\xff\x88", 0),
    ] {
        // Padding ends with the frame's own end, so the length is that of both.
        let server = scripted(Script { each, ..Script::plain() });
        let mut scenario = with(server.address(), Scheme::Http, 8);
        scenario.request.as_mut().unwrap().expect_bytes = Some(bytes);
        let tally = measure(&scenario, None);
        assert_eq!((tally.succeeded, tally.failures()), (120, 0), "{name}: {:?}", tally.failed);
        assert_eq!(tally.connections, 4, "{name}");
    }
}

#[test]
fn a_request_that_fails_alone_leaves_the_others_their_connection() {
    for (each, why, reason) in [
        (
            &b"\x00\x00\x04\x03\x00\x7f\xff\xff\xff\0\0\0\x07"[..],
            Failure::StreamRefused,
            "refused_stream",
        ),
        (b"\x00\x00\x04\x03\x00\x7f\xff\xff\xff\0\0\0\x02", Failure::StreamReset, "internal_error"),
        (b"\x00\x00\x02\x01\x05\x7f\xff\xff\xff\x88\x88", Failure::ResponseMalformed, "header"),
        (
            b"\x00\x00\x04\x01\x05\x7f\xff\xff\xff\x88\x5c\x013",
            Failure::ResponseMalformed,
            "content_length",
        ),
        (b"\x00\x00\x05\x01\x05\x7f\xff\xff\xff\x08\x03103", Failure::ResponseMalformed, "header"),
        (b"\x00\x00\x01\x00\x01\x7f\xff\xff\xffa", Failure::ResponseMalformed, "body_without_head"),
        (b"\x00\x00\x01\x01\x05\x7f\xff\xff\xff\x8d", Failure::Status, "404"),
    ] {
        let tally = answered(each);
        assert_eq!(tally.failed.get(&why), Some(&120), "{why:?}: {:?}", tally.failed);
        let of_why = tally.reasons.iter().filter(|((failure, _), _)| *failure == why);
        let told: Vec<_> = of_why.map(|((_, reason), n)| (reason.to_string(), *n)).collect();
        assert_eq!(told, [(reason.to_owned(), 120)], "{why:?}");
        // Sent again once, as the server said that it did not take it.
        let resent = if why == Failure::StreamRefused { 120 } else { 0 };
        assert_eq!((tally.resent, tally.connections), (resent, 1), "{why:?}");
    }
}

#[test]
fn what_breaks_the_protocol_fails_every_request_of_the_connection() {
    for each in [
        // Text, a push, a stream that was never opened, data on none, a broken block, no payload.
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"\x00\x00\x04\x05\x04\x7f\xff\xff\xff\0\0\0\x02",
        b"\x00\x00\x01\x01\x05\0\0\x7f\x01\x88",
        b"\x00\x00\x01\x00\x00\0\0\0\0?",
        b"\x00\x00\x01\x01\x05\x7f\xff\xff\xff\xff",
        b"\x00\x00\x00\x06\x00\0\0\0\0",
        b"\x00\x00\x06\x04\x00\0\0\0\0\x00\x04\x80\0\0\0",
        b"\x00\x00\x04\x08\x00\0\0\0\0\x7f\xff\xff\xfe",
        // A priority of the connection.
        b"\x00\x00\x05\x02\x00\0\0\0\0\0\0\0\0\x01",
    ] {
        let server = scripted(Script { each, ..Script::plain() });
        // One at a time, so that nothing that we do not read resets the connection under GOAWAY.
        let mut scenario = with(server.address(), Scheme::Http, 1);
        scenario.timing.round = Length::Count(NonZeroU64::new(8).unwrap());
        let tally = measure(&scenario, None);
        assert_eq!(
            tally.failed.get(&Failure::ResponseMalformed),
            Some(&16),
            "{each:x?} {:?}",
            tally.failed
        );
        let seen = server.wait_until(|seen| seen.goodbyes > 0);
        assert!(seen.goodbyes > 0, "{each:x?}");
    }
}

#[test]
fn a_goaway_ends_what_came_after_it_and_the_connection_once_the_rest_is_answered() {
    // It takes stream 1 and no more.
    let each =
        b"\x00\x00\x01\x01\x05\x7f\xff\xff\xff\x88\x00\x00\x08\x07\x00\0\0\0\0\0\0\0\x01\0\0\0\0";
    let server = scripted(Script { each, ..Script::plain() });
    let mut one = with(server.address(), Scheme::Http, 1);
    one.shards = NonZeroU32::MIN;
    one.timing.round = Length::Count(NonZeroU64::new(20).unwrap());
    let tally = measure(&one, None);
    assert_eq!((tally.succeeded, tally.failures()), (40, 0), "{:?}", tally.failed);
    assert_eq!(tally.connections, 40);
    // A server that leaves at once, and has taken nothing.
    let hello = b"\x00\x00\x08\x07\x00\0\0\0\0\0\0\0\0\0\0\0\x0b";
    let server = scripted(Script { hello, each: b"", ..Script::plain() });
    let mut none = one.clone();
    none.targets[0].connect_to = vec![server.address()];
    let tally = measure(&none, None);
    assert_eq!(tally.failed.get(&Failure::StreamRefused), Some(&40), "{:?}", tally.failed);
    let reason = Reason::ErrorCode(ErrorCode::from_wire(0xb));
    assert_eq!(tally.reasons.get(&(Failure::StreamRefused, reason)), Some(&40));
    assert_eq!(tally.resent, 40, "each was sent again once");
}

#[test]
fn what_came_after_a_goaway_is_sent_again_and_no_failure() {
    // Of what is asked side by side it takes stream 1 and no more.
    let each =
        b"\x00\x00\x01\x01\x05\x7f\xff\xff\xff\x88\x00\x00\x08\x07\x00\0\0\0\0\0\0\0\x01\0\0\0\0";
    let server = scripted(Script { each, ..Script::plain() });
    let mut scenario = with(server.address(), Scheme::Http, 4);
    scenario.shards = NonZeroU32::MIN;
    scenario.timing.round = Length::Count(NonZeroU64::new(20).unwrap());
    let tally = measure(&scenario, None);
    assert_eq!((tally.succeeded, tally.failures()), (40, 0), "{:?}", tally.reasons);
    assert_eq!(tally.statuses, [(200, 40)].into());
}

#[test]
fn a_server_that_closes_in_the_middle_has_truncated_what_was_open() {
    let server = scripted(Script { each: HEAD, close_after: 1, ..Script::plain() });
    let tally = measure(&with(server.address(), Scheme::Http, 2), None);
    assert_eq!(tally.failed.get(&Failure::ResponseTruncated), Some(&120), "{:?}", tally.failed);
}

#[test]
fn pings_are_answered_and_settings_heeded() {
    // PING; then a window of 10 bytes, a table of 40, and two streams at a time.
    let hello = b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678\x00\x00\x12\x04\x00\0\0\0\0\
                  \x00\x04\0\0\0\x0a\x00\x01\0\0\0\x28\x00\x03\0\0\0\x02";
    let server = scripted(Script { hello, ..Script::plain() });
    let mut scenario = with(server.address(), Scheme::Http, 8);
    let request = scenario.request.as_mut().unwrap();
    (request.method, request.body) = ("POST".to_owned(), vec![b'x'; 1_000]);
    let tally = measure(&scenario, None);
    assert_eq!((tally.succeeded, tally.failures()), (120, 0), "{:?}", tally.failed);
    // The first SETTINGS said nothing of a limit.
    assert_eq!(tally.shape.streams.values().sum::<u64>(), 4, "{:?}", tally.shape);
    let seen = server.wait_until(|seen| seen.requests == 120 && seen.pongs == 4);
    assert_eq!((seen.requests, seen.pongs), (120, 4));
}

#[test]
fn an_open_loop_keeps_its_places_and_its_count() {
    let server = scripted(Script::plain());
    let mut scenario = with(server.address(), Scheme::Http, 16);
    scenario.load = open(Arrivals::Requests, 1_000.0, 2, 1_000);
    scenario.timing.round = Length::Time(Nanos::from_millis(200));
    let tally = measure(&scenario, None);
    assert_eq!((tally.succeeded, tally.missed), (400, 0), "{:?}", tally.failed);
    assert_eq!(tally.histogram(Phase::Corrected).len(), 400);
    assert!(tally.connections <= 2);
}

#[test]
fn a_server_that_agrees_on_http1_is_a_failure_of_its_own_name() {
    for agreed in [vec![], vec![Alpn::Http1]] {
        let mut lab = lab();
        lab.fake.tls.as_mut().unwrap().alpn = agreed;
        let server = TestServer::start(lab.fake.clone()).unwrap();
        let mut scenario = with(server.address(), Scheme::Https, 2);
        scenario.timing.round = Length::Count(NonZeroU64::new(4).unwrap());
        let tally = measure(&scenario, Some(&lab));
        assert_eq!(tally.failed.get(&Failure::Alpn), Some(&8), "{:?}", tally.failed);
    }
}

#[test]
fn early_data_carries_the_first_request() {
    let mut lab = lab();
    lab.fake.answer = Answer::Http2(Script::plain());
    let tls = lab.fake.tls.as_mut().unwrap();
    (tls.early_data, tls.alpn) = (16_384, vec![Alpn::Http2]);
    let server = TestServer::start(lab.fake.clone()).unwrap();
    let mut scenario = with(server.address(), Scheme::Https, 2);
    (scenario.load, scenario.shards) = (closed(1, Some(2)), NonZeroU32::MIN);
    scenario.timing.round = Length::Count(NonZeroU64::new(10).unwrap());
    (scenario.tls.resume, scenario.tls.early_data) = (Share::ONE, true);
    let tally = measure(&scenario, Some(&lab));
    assert_eq!((tally.succeeded, tally.failures()), (20, 0), "{:?}", tally.failed);
    assert_eq!((tally.shape.resumed, tally.shape.early_data), (9, 9), "{:?}", tally.shape);
}

#[test]
fn a_request_allocates_nothing() {
    let server = scripted(Script { each: GOOD, ..Script::plain() });
    let mut scenario = with(server.address(), Scheme::Http, 8);
    scenario.load = closed(2, None);
    // Buffers grow to what is answered at once, which differs from run to run.
    let (many, few) = (allocations(&scenario, None, 10_100), allocations(&scenario, None, 100));
    assert!(many.saturating_sub(few) < 10, "{many} and {few}");
}
