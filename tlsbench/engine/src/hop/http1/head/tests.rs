use proptest::prelude::*;

use super::*;

fn facts(head: &str) -> Result<Option<RequestFacts>, BadHead> {
    Ok(request(head.as_bytes(), |_, _| Ok(()))?.map(|(facts, ())| facts))
}

fn with(fields: &str) -> Result<Option<RequestFacts>, BadHead> {
    facts(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

#[test]
fn a_head_says_how_its_body_ends_and_whether_the_connection_is_kept() {
    let good = |fields: &str| with(fields).unwrap().unwrap();
    assert_eq!(good("").framing, Framing::None);
    assert_eq!(good("Content-Length: 18446744073709551615\r\n").framing, Framing::Length(u64::MAX));
    assert_eq!(good("transfer-encoding: Chunked\r\n").framing, Framing::Chunked);
    assert!(good("").keeps && !good("Connection: x, Close\r\n").keeps);
    assert!(good("Content-Length: 1\r\nExpect: 100-continue\r\n").expects);
    assert!(
        !good("Expect: 100-continue\r\n").expects,
        "without a body there is nothing to ask for"
    );
    let old = |fields: &str| facts(&format!("GET / HTTP/1.0\r\n{fields}\r\n")).unwrap().unwrap();
    assert!(!old("").keeps && old("Connection: Keep-Alive\r\n").keeps);
    let head = facts("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nrest").unwrap().unwrap();
    assert!(head.is_head && head.is_idempotent);
    assert_eq!(head.bytes, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".len());
    assert!(!good("").is_idempotent);
}

#[test]
fn what_two_readers_could_take_for_two_requests_is_refused() {
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: \r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length : 3\r\n",
        " Content-Length: 3\r\n",
        "X: y\r\n Content-Length: 3\r\n",
        "X: y\nContent-Length: 3\r\n",
        "X: y\rContent-Length: 3\r\n",
        "X: y\0\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Host: b\r\n",
        ": x\r\n",
        "no colon\r\n",
    ] {
        assert_eq!(with(fields), Err(BadHead::Malformed), "{fields:?}");
    }
    for fields in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: \r\n",
    ] {
        assert!(matches!(with(fields), Err(BadHead::Unknown | BadHead::Malformed)), "{fields:?}");
    }
    for (head, why) in [
        ("GET / HTTP/1.1\r\n\r\n", BadHead::Malformed),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BadHead::Malformed),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", BadHead::Malformed),
        ("GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n", BadHead::Malformed),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", BadHead::Malformed),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BadHead::Malformed),
        ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", BadHead::Version),
        ("GET / HTTP/1.1\nHost: a\n\n", BadHead::Malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", BadHead::Malformed),
        ("GET / HTTP/1.2\r\n\r\n", BadHead::Malformed),
        ("GET / x HTTP/1.2\r\nHost: a\r\n\r\n", BadHead::Version),
        ("GET / HTTP/1.2\nHost: a\n\n", BadHead::Version),
        ("GET / HTTP/1.20\r\nHost: a\r\n\r\n", BadHead::Version),
        (
            "GET / HTTP/1.2\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            BadHead::Malformed,
        ),
        ("GET / HTTP/2.0\r\n\r\n", BadHead::Version),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", BadHead::Unknown),
        ("\x16\x03\x01\x02\x00\x01\x00", BadHead::Malformed),
    ] {
        assert_eq!(facts(head), Err(why), "{head:?}");
    }
}

#[test]
fn heads_have_limits() {
    let field = format!("X: {}\r\n", "x".repeat(993));
    assert!(with(&field.repeat(32)).unwrap().is_some());
    assert_eq!(with(&field.repeat(33)), Err(BadHead::TooLong));
    assert_eq!(with(&"X: y\r\n".repeat(FIELDS_MAX)), Err(BadHead::TooLong));
    let unfinished = format!("GET /{} ", "x".repeat(HEAD_MAX));
    assert_eq!(facts(&unfinished), Err(BadHead::TooLong));
}

#[test]
fn a_response_ends_by_its_status_the_method_and_its_head() {
    let read = |head: &str, to_head: bool| {
        let read = response(head.as_bytes(), to_head, |_, _| ());
        read.map(|found| found.map(|(facts, ())| (facts.framing, facts.keeps)))
    };
    let head = |status: u16, fields: &str| format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
    for (status, fields, to_head, expected) in [
        (200, "Content-Length: 3\r\n", false, (Framing::Length(3), true)),
        (200, "Content-Length: 3\r\n", true, (Framing::None, true)),
        (200, "Transfer-Encoding: chunked\r\n", false, (Framing::Chunked, true)),
        (
            200,
            "Transfer-Encoding: chunked\r\nConnection: close\r\n",
            false,
            (Framing::Chunked, false),
        ),
        (200, "", false, (Framing::UntilClose, false)),
        (204, "Content-Length: 3\r\n", false, (Framing::None, true)),
        (304, "Content-Length: 3\r\n", false, (Framing::None, true)),
        (304, "", false, (Framing::None, true)),
        (100, "", false, (Framing::None, true)),
    ] {
        assert_eq!(read(&head(status, fields), to_head), Ok(Some(expected)), "{status} {fields}");
    }
    let old = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(read(old, false), Ok(Some((Framing::Length(3), false))));
    for bad in [
        head(200, "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        head(200, "Content-Length: 3\r\nContent-Length: 4\r\n"),
        head(200, "Transfer-Encoding: gzip\r\n"),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\nContent-Length: 3\n\n".to_owned(),
    ] {
        assert!(read(&bad, false).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail_otherwise_than_by_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in "(GET|POST) /[a-z ]{0,4} HTTP/1.[01]\r?\n([A-Za-z-]{1,6}:? ?[ -~]{0,9}\r?\n){0,4}\r?\n?",
    ) {
        let _ = request(&bytes, |_, _| Ok(()));
        let _ = response(&bytes, false, |_, _| ());
        let _ = facts(&text);
    }

    #[test]
    fn a_head_is_unfinished_until_its_last_byte(cut in any::<prop::sample::Index>()) {
        let head = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: y z\r\n\r\n";
        let cut = cut.index(head.len());
        prop_assert_eq!(facts(&head[..cut]), Ok(None));
        prop_assert!(facts(head).unwrap().is_some());
    }
}
