use super::super::head;
use super::*;

fn rewrite(forwarded: Forwarded) -> Rewrite {
    let addresses = Addresses {
        from: "192.0.2.7:1234".parse().unwrap(),
        to: "192.0.2.9:8443".parse().unwrap(),
    };
    Rewrite { forwarded, addresses, tls: true, closes: false }
}

fn requested(request: &str, rewrite: &Rewrite) -> Result<String, BadHead> {
    let mut out = Vec::new();
    let read = head::request(request.as_bytes(), |request, facts| {
        put_request(request, facts, rewrite, &mut out)
    });
    read.map(|found| {
        found.expect("a whole head");
        String::from_utf8(out).unwrap()
    })
}

#[test]
fn what_is_of_one_connection_stays_behind() {
    let request = "GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: x-mine, close, TE\r\nX-Mine: 1\r\n\
                   Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Connection: close\r\n\
                   Trailer: T\r\nCookie:  c \r\nExpect: 100-continue\r\n\r\n";
    let sent = requested(request, &rewrite(Forwarded::Keep)).unwrap();
    assert_eq!(sent, "GET /a?b HTTP/1.1\r\nHost: a\r\nTrailer: T\r\nCookie: c\r\n\r\n");
    let closing = Rewrite { closes: true, ..rewrite(Forwarded::Keep) };
    assert!(requested(request, &closing).unwrap().ends_with("\r\nConnection: close\r\n\r\n"));
}

#[test]
fn a_field_that_frames_the_body_cannot_be_named_away() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length, host\r\n\
                   Content-Length: 03\r\n\r\n";
    let sent = requested(request, &rewrite(Forwarded::Keep)).unwrap();
    assert_eq!(sent, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n";
    let sent = requested(request, &rewrite(Forwarded::Keep)).unwrap();
    assert_eq!(sent, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn the_first_hop_sets_who_the_client_is_and_later_ones_append() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\n\
                   x_forwarded_for: 10.0.0.2\r\nX-Forwarded-Proto: http\r\nForwarded: for=x\r\n\
                   X-Forwarded-Host: forged\r\nX-Forwarded-Port: 80\r\n\r\n";
    let set = requested(request, &rewrite(Forwarded::Set)).unwrap();
    assert_eq!(
        set,
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Port: 8443\r\n\r\n"
    );
    let append = requested(request, &rewrite(Forwarded::Append)).unwrap();
    assert_eq!(
        append,
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\nForwarded: for=x\r\n\
         X-Forwarded-Host: forged\r\nX-Forwarded-Port: 80\r\n\
         X-Forwarded-For: 10.0.0.1, 10.0.0.2, 192.0.2.7\r\n\r\n"
    );
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let first = requested(plain, &rewrite(Forwarded::Append)).unwrap();
    assert_eq!(first, requested(plain, &rewrite(Forwarded::Set)).unwrap());
    let kept = requested(request, &rewrite(Forwarded::Keep)).unwrap();
    assert_eq!(kept, request);
}

#[test]
fn a_target_with_a_host_becomes_one_without_and_its_host_wins() {
    let sent = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: b\r\n\r\n");
        requested(&request, &rewrite(Forwarded::Keep))
    };
    let good =
        |target: &str, host: &str| Ok(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(sent("http://a:8/x?y"), good("/x?y", "a:8"));
    assert_eq!(sent("HTTPS://a"), good("/", "a"));
    assert_eq!(sent("/http://a/"), good("/http://a/", "b"));
    for bad in ["a", "*", "http://", "http:///x", "http://u@a/", "http://a?x", "ftp://a/", "a:80"] {
        assert_eq!(sent(bad), Err(BadHead::Malformed), "{bad}");
    }
    let all = "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n";
    assert_eq!(requested(all, &rewrite(Forwarded::Keep)).unwrap(), all);
}

#[test]
fn a_response_is_framed_as_it_goes_on() {
    let responded = |response: &str, to_head: bool, framing: Framing, connection: &str| {
        let mut out = Vec::new();
        head::response(response.as_bytes(), to_head, |response, facts| {
            put_response(response, facts, framing, connection.as_bytes(), &mut out);
        })
        .unwrap()
        .unwrap();
        String::from_utf8(out).unwrap()
    };
    let length = "HTTP/1.0 200 Fine\r\nServer: x\r\nContent-Length: 3\r\nKeep-Alive: 5\r\n\
                  Connection: keep-alive, x-mine\r\nX-Mine: 1\r\n\r\n";
    assert_eq!(
        responded(length, false, Framing::Length(3), "Connection: close\r\n"),
        "HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(
        responded(length, false, Framing::Chunked, ""),
        "HTTP/1.1 200 Fine\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let told = "HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(responded(length, true, Framing::None, ""), told);
    let nothing = "HTTP/1.1 204 None\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(responded(nothing, false, Framing::None, ""), "HTTP/1.1 204 None\r\n\r\n");
}
