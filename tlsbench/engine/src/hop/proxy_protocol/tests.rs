use proptest::prelude::*;

use super::*;

fn ends(from: &str, to: &str) -> Addresses {
    Addresses { from: from.parse().unwrap(), to: to.parse().unwrap() }
}

fn whole(bytes: &[u8], addresses: Option<Addresses>) -> Result<ProxyHeader, NotProxyHeader> {
    Ok(ProxyHeader::Whole { bytes: bytes.len(), addresses })
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

#[test]
fn lines_of_version_1_are_read() {
    for (line, expected) in [
        (
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
            Some(ends("192.0.2.1:56324", "192.0.2.2:443")),
        ),
        ("PROXY TCP6 2001:db8::1 ::1 1 0\r\n", Some(ends("[2001:db8::1]:1", "[::1]:0"))),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 whatever it says\r\n", None),
    ] {
        assert_eq!(read(line.as_bytes()), whole(line.as_bytes(), expected), "{line}");
    }
}

#[test]
fn what_is_no_line_of_version_1_is_refused() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1  192.0.2.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 056 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +56 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.1.1.1 1.1.1.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4\r\n",
        "PROXY \r\n",
        "PROXY UNKNOWNS\r\n",
    ] {
        assert_eq!(read(line.as_bytes()), Err(NotProxyHeader), "{line}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!((long.len(), read(long.as_bytes()).is_ok()), (LINE_MAX, true));
    let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(read(longer.as_bytes()), Err(NotProxyHeader));
    assert_eq!(read(&longer.as_bytes()[..LINE_MAX]), Err(NotProxyHeader), "known before its end");
}

#[test]
fn headers_of_version_2_are_read_and_further_fields_skipped() {
    let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb];
    let expected = Some(ends("192.0.2.1:56324", "192.0.2.2:443"));
    let fields = [&v4[..], &[2, 0, 3, b'a', b'b', b'c']].concat();
    for (bytes, expected) in [
        (binary(0x21, 0x11, &v4), expected),
        (binary(0x21, 0x11, &fields), expected),
        // LOCAL: the sender checks whether we are there.
        (binary(0x20, 0x11, &v4), None),
        (binary(0x20, 0, &[]), None),
        (binary(0x21, 0, &[9; 7]), None),
        // Sockets of files.
        (binary(0x21, 0x31, &[0; 216]), None),
    ] {
        assert_eq!(read(&bytes), whole(&bytes, expected), "{bytes:?}");
        let more = [&bytes[..], b"GET"].concat();
        assert_eq!(read(&more), whole(&bytes, expected), "{bytes:?}");
    }
}

#[test]
fn what_is_no_header_of_version_2_is_refused() {
    for bytes in [
        binary(0x11, 0x11, &[0; 12]),
        binary(0x22, 0x11, &[0; 12]),
        binary(0x21, 0x11, &[0; 11]),
        binary(0x21, 0x21, &[0; 35]),
        binary(0x21, 0, &[0; REST_MAX + 1]),
        SIGNATURE.map(|byte| byte ^ 1).to_vec(),
        // Known before the head is whole.
        [&SIGNATURE[..], &[0x11]].concat(),
        [&SIGNATURE[..], &[0x22]].concat(),
    ] {
        assert_eq!(read(&bytes), Err(NotProxyHeader), "{bytes:?}");
    }
    let longest = binary(0x21, 0, &[0; REST_MAX]);
    assert_eq!((longest.len(), read(&longest)), (HEADER_MAX, whole(&longest, None)));
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        from in any::<SocketAddr>(), to in any::<SocketAddr>(), cut in any::<prop::sample::Index>(),
    ) {
        let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        let mut bytes = Vec::new();
        write(&Addresses { from, to }, &mut bytes);
        let expected = Addresses { from: canonical(from), to: canonical(to) };
        prop_assert_eq!(read(&bytes), whole(&bytes, Some(expected)));
        let cut = cut.index(bytes.len());
        prop_assert_eq!(read(&bytes[..cut]), Ok(ProxyHeader::Unfinished));
    }

    #[test]
    fn a_line_is_read_however_it_is_cut(
        from in any::<std::net::SocketAddrV4>(), to in any::<std::net::SocketAddrV4>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let line =
            format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
        let expected = Addresses { from: from.into(), to: to.into() };
        prop_assert_eq!(read(line.as_bytes()), whole(line.as_bytes(), Some(expected)));
        let cut = cut.index(line.len());
        prop_assert_eq!(read(&line.as_bytes()[..cut]), Ok(ProxyHeader::Unfinished));
    }

    #[test]
    fn no_bytes_make_it_fail_otherwise_than_by_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..80), text in "PROXY [A-Z0-9 .:]{0,60}\r?\n?",
    ) {
        let _ = read(&bytes);
        let _ = read(text.as_bytes());
        let _ = read(&[&SIGNATURE[..], &bytes].concat());
    }
}
