use proptest::prelude::*;

use super::*;

/// Bytes that are written in hexadecimal.
pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn small(limit: usize) -> HpackDecoder {
    HpackDecoder { limit, ..HpackDecoder::new() }
}

/// The sizes of what is in the table, the newest first.
fn sizes(decoder: &HpackDecoder) -> Vec<u32> {
    (1..=decoder.count).map(|at| decoder.find(fixed::FIELDS + at).unwrap().size).collect()
}

/// Appendix C.5 and C.6: the block, status, what is in the table, its size.
type Example = (&'static str, u16, &'static [u32], usize);

const PLAIN: [Example; 3] = [
    (
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 \
         303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 \
         6f6d",
        302,
        &[63, 65, 52, 42],
        222,
    ),
    ("4803 3330 37c1 c0bf", 307, &[42, 63, 65, 52], 222),
    (
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 \
         5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 \
         5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        200,
        &[98, 52, 65],
        215,
    ),
];

const CODED: [Example; 3] = [
    (
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b \
         ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        302,
        &[63, 65, 52, 42],
        222,
    ),
    ("4883 640e ffc1 c0bf", 307, &[42, 63, 65, 52], 222),
    (
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad \
         94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 \
         65c0 03ed 4ee5 b106 3d50 07",
        200,
        &[98, 52, 65],
        215,
    ),
];

#[test]
fn responses_of_the_rfc_leave_the_table_as_it_says() {
    for examples in [PLAIN, CODED] {
        let mut decoder = small(256);
        for (hex, status, table, size) in examples {
            let head = decoder.decode(&bytes(hex)).unwrap();
            assert_eq!(head, DecodedHead { status: Some(status), length: None, malformed: false });
            assert_eq!((sizes(&decoder).as_slice(), decoder.size), (table, size), "{hex}");
        }
    }
}

/// Appendix C.2 to C.4; requests, whose pseudo-headers no response may have.
#[test]
fn requests_of_the_rfc_leave_the_table_as_it_says_and_are_no_responses() {
    for examples in [
        &[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", &[57][..]),
            ("8286 84be 5808 6e6f 2d63 6163 6865", &[53, 57]),
            (
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
                &[54, 53, 57],
            ),
        ],
        &[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", &[57][..]),
            ("8286 84be 5886 a8eb 1064 9cbf", &[53, 57]),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", &[54, 53, 57]),
        ],
    ] {
        let mut decoder = HpackDecoder::new();
        for (hex, table) in examples {
            assert!(decoder.decode(&bytes(hex)).unwrap().malformed);
            assert_eq!(sizes(&decoder), *table, "{hex}");
        }
    }
    for (hex, table) in [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", &[55][..]),
        ("040c 2f73 616d 706c 652f 7061 7468", &[]),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", &[]),
        ("82", &[]),
    ] {
        let mut decoder = HpackDecoder::new();
        decoder.decode(&bytes(hex)).unwrap();
        assert_eq!(sizes(&decoder), table, "{hex}");
    }
}

#[test]
fn integers_are_those_of_the_rfc() {
    for (input, prefix, value) in
        [(&[0x0a][..], 5, 10), (&[0x1f, 0x9a, 0x0a], 5, 1_337), (&[0x2a], 8, 42)]
    {
        assert_eq!(integer(&mut { input }, prefix), Ok(value));
    }
    for input in [&[][..], &[0x1f], &[0x1f, 0x80], &[0x1f, 0xff, 0xff, 0xff, 0xff, 0x01]] {
        assert_eq!(integer(&mut { input }, 5), Err(Fault::Compression), "{input:x?}");
    }
}

#[test]
fn meanings_come_from_the_table_as_well() {
    let mut decoder = HpackDecoder::new();
    // `:status: 201` and `content-length: 12` are put there, and then named.
    let first = decoder.decode(b"\x48\x03201\x5c\x0212").unwrap();
    let again = decoder.decode(b"\xbf\xbe").unwrap();
    assert_eq!(first, DecodedHead { status: Some(201), length: Some(12), malformed: false });
    assert_eq!(again, first);
    // The name of the second, with another value.
    let other = decoder.decode(b"\x88\x7e\x0213").unwrap();
    assert_eq!(other, DecodedHead { status: Some(200), length: Some(13), malformed: false });
}

#[test]
fn what_is_no_response_is_malformed_and_the_table_is_in_step() {
    for block in [
        &b"\x88\x88"[..],
        b"\x5c\x011\x88",
        b"\x48\x0299",
        b"\x48\x03abc",
        b"\x48\x03099",
        b"\x88\x5c\x011\x5c\x012",
        b"\x88\x5c\x01x",
        b"\x88\x5c\x00",
        b"\x88\x40\x01A\x01b",
        b"\x88\x40\x00\x01b",
        b"\x88\x40\x0aconnection\x05close",
        b"\x88\x40\x01a\x02b\n",
        b"\x88\x40\x04:odd\x01b",
        b"\x88\x79\x07chunked",
        b"\x82",
    ] {
        let mut decoder = HpackDecoder::new();
        assert!(decoder.decode(block).unwrap().malformed, "{block:x?}");
        let sum: u32 = sizes(&decoder).iter().sum();
        assert_eq!(decoder.size, sum as usize);
    }
    let long =
        [b"\x88\x40\x01a\x7f\x81\x7e".to_vec(), vec![b'x'; 16_256], b"\xbe".to_vec()].concat();
    assert_eq!(
        HpackDecoder::new().decode(&long),
        Err(Fault::Compression),
        "it was too large to keep"
    );
    let list = [b"\x88\x40\x01a\x7f\xa1\x1e".to_vec(), vec![b'x'; 4_000], vec![0xbe; 80]].concat();
    assert!(HpackDecoder::new().decode(&list).unwrap().malformed);
}

#[test]
fn what_cannot_be_decompressed_is_a_fault() {
    for block in [
        &b"\x80"[..],
        b"\xbe",
        b"\x40",
        b"\x40\x05abc",
        b"\x40\x01a\x05abc",
        b"\x88\x20",
        b"\x3f\xe2\x1f",
        b"\x40\x81\xff\x01b",
    ] {
        assert_eq!(HpackDecoder::new().decode(block), Err(Fault::Compression), "{block:x?}");
    }
}

#[test]
fn the_table_shrinks_when_the_server_says_so_and_is_never_larger_than_we_said() {
    let mut decoder = HpackDecoder::new();
    for _ in 0..200 {
        decoder.decode(b"\x88\x40\x00\x00").unwrap();
    }
    assert_eq!((decoder.count, decoder.size), (ENTRIES, TABLE_MAX));
    decoder.decode(b"\x3f\x21\x88").unwrap();
    assert_eq!((decoder.count, decoder.size), (2, 64));
    decoder.decode(b"\x20\x3f\xe1\x1f\x88").unwrap();
    assert_eq!((decoder.count, decoder.limit), (0, TABLE_MAX));
    decoder.reset();
    assert_eq!((decoder.count, decoder.size), (0, 0));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused_and_the_table_keeps_its_size(
        blocks in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..200), 1..8)
    ) {
        let mut decoder = HpackDecoder::new();
        for block in blocks {
            let _ = decoder.decode(&block);
            let sum: u32 = sizes(&decoder).iter().sum();
            prop_assert_eq!(decoder.size, sum as usize);
            prop_assert!(decoder.size <= decoder.limit && decoder.limit <= TABLE_MAX);
        }
    }

    #[test]
    fn fields_that_are_put_are_found_again(
        fields in proptest::collection::vec(("[a-z-]{1,40}", "[ -~]{0,300}"), 0..6)
    ) {
        let mut decoder = HpackDecoder::new();
        let mut block = vec![0x88];
        let mut kept = 0;
        for (name, value) in &fields {
            kept += put_field(name, value, Indexing::Kept, &mut block).unwrap_or_default();
            put_field(name, value, Indexing::None, &mut block);
            put_field(name, value, Indexing::Never, &mut block);
        }
        decoder.decode(&block).unwrap();
        prop_assert_eq!(decoder.size, kept);
    }
}
