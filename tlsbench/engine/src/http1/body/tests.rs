use proptest::prelude::*;

use super::*;
use crate::http1::limits::STRICT_LINE_MAX;
use crate::http1::{put_chunk, put_last_chunk};

/// Reads a body in pieces of these lengths; returns its data, and the bytes that are left.
fn read_pieces(
    framing: Framing,
    input: &[u8],
    cuts: &[usize],
) -> Result<(Vec<u8>, Vec<u8>, BodyDecoder), BadChunk> {
    let (mut decoder, mut data) = (BodyDecoder::new(framing, ChunkRules::Strict), Vec::new());
    let (mut buffer, mut rest) = (Vec::new(), input);
    let mut cuts = cuts.iter().cycle();
    loop {
        match decoder.next(&buffer)? {
            BodyPiece::End => return Ok((data, [&buffer, rest].concat(), decoder)),
            BodyPiece::Skip(bytes) => drop(buffer.drain(..bytes)),
            BodyPiece::Data(bytes) => data.extend(buffer.drain(..bytes)),
            BodyPiece::More if rest.is_empty() => return Ok((data, buffer, decoder)),
            BodyPiece::More => {
                let (part, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                buffer.extend_from_slice(part);
                rest = after;
            }
        }
    }
}

fn chunked(input: &str) -> Result<String, BadChunk> {
    let (data, left, decoder) = read_pieces(Framing::Chunked, input.as_bytes(), &[1000])?;
    let ended = decoder.is_done();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(format!("{}|{}|{}|{ended}", text(&data), text(decoder.trailers()), text(&left)))
}

#[test]
fn chunks_are_read_and_what_follows_is_left() {
    for (input, expected) in [
        ("0\r\n\r\nGET", "||GET|true"),
        ("3\r\nabc\r\n00\r\n\r\n", "abc|||true"),
        ("A;x=\"y\"\r\n0123456789\r\n0;last\r\n\r\n", "0123456789|||true"),
        ("1 ;x\r\na\r\n0\r\nA: b\r\nC: \r\n\r\n", "a|A: b\r\nC: \r\n||true"),
        // Fields that would change what was read before are not handed on.
        ("0\r\nContent-Length: 3\r\nhost: x\r\nX_Forwarded-For: y\r\n\r\n", "|||true"),
        ("3\r\nab", "ab|||false"),
        ("3\r\nabc\r", "abc||\r|false"),
    ] {
        assert_eq!(chunked(input).as_deref(), Ok(expected), "{input:?}");
    }
}

#[test]
fn what_two_readers_could_take_for_two_things_is_refused() {
    for input in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n",
        " 3\r\n",
        "+3\r\n",
        "-3\r\n",
        "0x3\r\n",
        "\r\n",
        "3 4\r\n",
        "3\t\r\n",
        "g\r\n",
        "1000000000000000\r\n",
        "3\r\r\nabc",
        "3;\0\r\nabc\r\n",
        "0\r\n bad: x\r\n\r\n",
        "0\r\nbad : x\r\n\r\n",
        "0\r\nbad\r\n\r\n",
        "0\r\na: b\n\r\n",
        "0\r\n\n",
    ] {
        assert_eq!(chunked(input), Err(BadChunk), "{input:?}");
    }
    let long = format!("1;{}", "x".repeat(STRICT_LINE_MAX as usize + 1));
    assert_eq!(chunked(&long), Err(BadChunk));
    let many = format!("0\r\n{}\r\n", format!("a: {}\r\n", "x".repeat(4_000)).repeat(5));
    assert_eq!(chunked(&many), Err(BadChunk));
}

#[test]
fn a_length_is_read_to_its_end_and_no_further() {
    let read = |length, input: &[u8]| {
        let (data, left, decoder) = read_pieces(Framing::Length(length), input, &[1000]).unwrap();
        (data.len(), left.len(), decoder.may_end())
    };
    assert_eq!(read(3, b"abcGET"), (3, 3, true));
    assert_eq!(read(0, b"GET"), (0, 3, true));
    assert_eq!(read(4, b"abc"), (3, 0, false));
    let (data, _, decoder) = read_pieces(Framing::UntilClose, b"abc", &[2]).unwrap();
    assert_eq!((data.len(), decoder.may_end()), (3, true));
}

proptest! {
    #[test]
    fn what_is_written_is_read_wherever_it_is_cut(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70_000), 0..4),
        cuts in prop::collection::vec(1_usize..9_000, 1..5),
    ) {
        let mut written = Vec::new();
        for part in &parts {
            put_chunk(part, &mut written);
        }
        put_last_chunk(b"T: 1\r\n", &mut written);
        written.extend_from_slice(b"GET /");
        let (data, left, decoder) = read_pieces(Framing::Chunked, &written, &cuts).unwrap();
        prop_assert!(data == parts.concat());
        prop_assert_eq!(left, b"GET /");
        prop_assert_eq!(decoder.trailers(), b"T: 1\r\n");
    }

    #[test]
    fn no_bytes_make_it_fail_otherwise_than_by_an_error(
        input in "[0-9a-f;\r\n: x]{0,60}", cuts in prop::collection::vec(1_usize..9, 1..5),
    ) {
        let cut = read_pieces(Framing::Chunked, input.as_bytes(), &cuts).map(|(data, ..)| data);
        let whole = read_pieces(Framing::Chunked, input.as_bytes(), &[1000]).map(|(data, ..)| data);
        prop_assert_eq!(cut.is_ok(), whole.is_ok());
    }
}
