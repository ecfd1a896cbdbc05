use std::sync::Arc;

use proptest::prelude::*;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;

/// The ClientHello that rustls sends to a server of this name: one record.
fn real(name: &str) -> Vec<u8> {
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

fn named(name: &str) -> Result<ClientHello, ClientHelloError> {
    Ok(ClientHello::Whole(Some(name.to_owned())))
}

/// A message cut into records of these lengths, in turn.
fn records(message: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut rest, mut bytes) = (message, Vec::new());
    for length in lengths.iter().cycle() {
        let (fragment, after) = rest.split_at((*length).min(rest.len()));
        bytes.extend_from_slice(&[22, 3, 1]);
        bytes.extend_from_slice(&u16::try_from(fragment.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(fragment);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    bytes
}

fn with_length<const BYTES: usize>(bytes: &[u8]) -> Vec<u8> {
    let mut all = bytes.len().to_be_bytes()[8 - BYTES..].to_vec();
    all.extend_from_slice(bytes);
    all
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), with_length::<2>(body)].concat()
}

fn name_extension(name: &str) -> Vec<u8> {
    let entry = [vec![0], with_length::<2>(name.as_bytes())].concat();
    extension(0, &with_length::<2>(&entry))
}

/// A hello's message with this at its end.
fn message_with(tail: &[u8]) -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 19, 1], &[1, 0], tail].concat();
    [vec![1], with_length::<3>(&body)].concat()
}

fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
    message_with(&with_length::<2>(&extensions.concat()))
}

fn read_message(message: &[u8]) -> Result<ClientHello, ClientHelloError> {
    read(&records(message, &[1 << 14]))
}

#[test]
fn a_real_hello_is_unfinished_until_its_last_byte() {
    let bytes = real("Shop.Example");
    for length in 0..bytes.len() {
        assert_eq!(read(&bytes[..length]), Ok(ClientHello::Unfinished), "{length} bytes");
    }
    assert_eq!(read(&bytes), named("shop.example"));
    // Whatever a client sends behind it, early data for instance.
    assert_eq!(read(&[&bytes[..], b"\x17\x03\x03"].concat()), named("shop.example"));
}

#[test]
fn a_hello_without_a_name_has_none() {
    assert_eq!(read(&real("127.0.0.1")), Ok(ClientHello::Whole(None)));
    assert_eq!(read_message(&message(&[])), Ok(ClientHello::Whole(None)));
    assert_eq!(read_message(&message_with(&[])), Ok(ClientHello::Whole(None)));
}

#[test]
fn grease_is_skipped_and_of_two_names_the_outer_one_counts() {
    let inner = name_extension("inner.test");
    let extensions = [
        extension(0x0a0a, &[]),
        // ECH: what is in it is nobody's business but the server's.
        extension(0xfe0d, &[&[0, 0, 1, 0, 1][..], &inner].concat()),
        name_extension("Outer.test"),
        extension(0xfafa, &[0]),
    ];
    assert_eq!(read_message(&message(&extensions)), named("outer.test"));
}

#[test]
fn what_is_broken_is_malformed() {
    let two = [vec![0], with_length::<2>(b"a"), vec![0], with_length::<2>(b"b")].concat();
    let odd_kind = [vec![1], with_length::<2>(b"a")].concat();
    for (what, extensions) in [
        ("two extensions", vec![name_extension("a.test"), name_extension("b.test")]),
        ("two names", vec![extension(0, &with_length::<2>(&two))]),
        ("another kind of name", vec![extension(0, &with_length::<2>(&odd_kind))]),
        ("an empty list", vec![extension(0, &[0, 0])]),
        ("an empty name", vec![name_extension("")]),
        ("a name with a blank", vec![name_extension("a b")]),
        ("a name with a zero", vec![name_extension("a\0b")]),
        ("a list that is too short", vec![extension(0, &[0, 9, 0, 0, 1, b'a'])]),
        ("bytes behind the list", vec![extension(0, &[0, 4, 0, 0, 1, b'a', 0])]),
        ("an extension that is cut", vec![vec![0, 0, 0]]),
    ] {
        let read = read_message(&message(&extensions));
        assert_eq!(read, Err(ClientHelloError::Malformed), "{what}");
    }
    let behind = message_with(&[0, 0, 9]);
    assert_eq!(
        read_message(&behind),
        Err(ClientHelloError::Malformed),
        "bytes behind the extensions"
    );
    let server_hello = [&[2][..], &message(&[])[1..]].concat();
    assert_eq!(read_message(&server_hello), Err(ClientHelloError::Malformed));
    assert_eq!(read(&records(&[2], &[1])), Err(ClientHelloError::Malformed), "known by one byte");
    let alert_between = [records(&message(&[])[..9], &[9]), vec![21, 3, 3, 0, 2, 1, 0]].concat();
    assert_eq!(read(&alert_between), Err(ClientHelloError::Malformed));
    let empty_between = [records(&message(&[])[..9], &[9]), vec![22, 3, 3, 0, 0]].concat();
    assert_eq!(read(&empty_between), Err(ClientHelloError::Malformed));
}

#[test]
fn what_is_no_tls_is_known_by_its_first_bytes() {
    for bytes in
        [&b"G"[..], b"SSH-2.0-x", b"\x80\x2e\x01", &[22, 2], &[22, 3, 1, 0, 0], &[22, 3, 1, 64, 1]]
    {
        assert_eq!(read(bytes), Err(ClientHelloError::NotTls), "{bytes:?}");
    }
}

#[test]
fn a_hello_has_a_limit_and_one_just_below_it_passes() {
    let padded = |bytes: usize| {
        let padding = extension(21, &vec![0; bytes]);
        records(&message(&[padding, name_extension("a.test")]), &[4_000])
    };
    let fits = padded(16_000);
    assert!(fits.len() < HELLO_MAX, "{}", fits.len());
    assert_eq!(read(&fits), named("a.test"));
    assert_eq!(read(&padded(17_000)[..HELLO_MAX]), Err(ClientHelloError::TooLong));
    assert_eq!(read(&[22, 3, 1, 1, 0, 1, 0, 0x40, 1]), Err(ClientHelloError::TooLong), "announced");
    // A byte in each record: heads count too.
    let crumbs = records(&message(&[extension(21, &[0; 4_000])]), &[1]);
    assert_eq!(read(&crumbs[..HELLO_MAX]), Err(ClientHelloError::TooLong));
}

proptest! {
    #[test]
    fn where_records_are_cut_makes_no_difference(
        lengths in prop::collection::vec(1_usize..300, 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = real("shop.example");
        let bytes = records(&whole[5..], &lengths);
        prop_assert_eq!(read(&bytes), named("shop.example"));
        let cut = cut.index(bytes.len());
        prop_assert_eq!(read(&bytes[..cut]), Ok(ClientHello::Unfinished));
    }

    #[test]
    fn no_bytes_make_it_fail_otherwise_than_by_an_error(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let _ = read(&bytes);
        bytes = real("shop.example");
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn a_verdict_on_some_bytes_stands_whatever_follows(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        more in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let bytes = [&[22, 3, 1, 0, 20, 1][..], &bytes].concat();
        let before = read(&bytes);
        if before != Ok(ClientHello::Unfinished) {
            prop_assert_eq!(read(&[bytes, more].concat()), before);
        }
    }
}
