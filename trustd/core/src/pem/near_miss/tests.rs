use super::super::{Fault, Item, read};

/// `AQID` is the base64 of 1, 2, 3.
const GOOD: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
const ALPHA: &str = include_str!("../../../../../tests/fixtures/peer/ca/alpha.pem");

/// Line, label and fault of everything that is no block, and how many blocks there are.
fn found(text: &str) -> (Vec<(usize, String, Fault)>, usize) {
    let mut blocks = 0;
    let mut faults = Vec::new();
    for item in read(text.as_bytes()) {
        match item {
            Item::Block(_) => blocks += 1,
            Item::Unreadable(lost) => faults.push((lost.line, lost.label.into_owned(), lost.fault)),
        }
    }
    (faults, blocks)
}

fn body() -> String {
    ALPHA.lines().filter(|line| !line.starts_with('-')).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_misspelled_marker_is_reported_once_for_its_block_and_nothing_is_accepted() {
    let marks = [
        ("----BEGIN CERTIFICATE----", "----END CERTIFICATE----"),
        ("------BEGIN CERTIFICATE------", "------END CERTIFICATE------"),
        ("---- BEGIN CERTIFICATE ----", "---- END CERTIFICATE ----"),
        ("-----begin certificate-----", "-----end certificate-----"),
        ("-----Begin Certificate-----", "-----End Certificate-----"),
        ("–––––BEGIN CERTIFICATE–––––", "–––––END CERTIFICATE–––––"),
        ("—BEGIN CERTIFICATE—", "—END CERTIFICATE—"),
        ("\u{2212}\u{2212}BEGIN CERTIFICATE--", "--END CERTIFICATE--"),
        ("-----BEGIN\u{a0}CERTIFICATE-----", "-----END\u{a0}CERTIFICATE-----"),
        ("\u{a0}----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"),
        ("-----BEGINCERTIFICATE-----", "-----ENDCERTIFICATE-----"),
        ("-----BEGIN_CERTIFICATE-----", "-----END_CERTIFICATE-----"),
        ("BEGIN CERTIFICATE-----", "-----END CERTIFICATE"),
        ("BEGIN CERTIFICATE", "END CERTIFICATE"),
        ("\"----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----\""),
        ("\u{feff}----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"),
        ("-----\u{200b}BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"),
    ];
    for (begin, end) in marks {
        let text = format!("# roots\n{begin}\n{}{end}\n{GOOD}", body());
        // Six dashes hold the five of an exact marker, which is not at the start of its line.
        let fault =
            if begin.starts_with("------") { Fault::NotAtLineStart } else { Fault::Misspelled };
        let (faults, blocks) = found(&text);
        assert_eq!(blocks, 1, "{text}");
        let [(2, label, got)] = faults.as_slice() else { panic!("{text}\n{faults:?}") };
        assert_eq!((label.as_str(), *got), ("CERTIFICATE", fault), "{text}");
        // The whole on one line, as folded YAML and environment variables make it.
        let folded = text.replace(&body(), &body().replace('\n', " ")).replace("\nMII", " MII");
        assert!(!found(&folded).0.is_empty(), "{folded}");
    }
}

#[test]
fn a_lost_first_or_last_line_is_reported_at_the_other_one() {
    let lines = body().lines().count();
    let headless = format!("# a\n{}-----END CERTIFICATE-----\n{GOOD}", body());
    let wanted = vec![(lines + 2, "CERTIFICATE".to_owned(), Fault::NoBegin)];
    assert_eq!(found(&headless), (wanted, 1));
    let odd = format!("{}-----END SOMETHING ELSE-----\n", body());
    assert_eq!(found(&odd), (vec![(lines + 1, "?".to_owned(), Fault::NoBegin)], 0));
    let endless = format!("-----BEGIN CERTIFICATE-----\n{}{GOOD}", body());
    let wanted = vec![(1, "CERTIFICATE".to_owned(), Fault::NoEnd)];
    assert_eq!(found(&endless), (wanted, 1));
    // An END that belongs to a BEGIN which was reported is not reported as well.
    let broken = "-----BEGIN CERTIFICATE-----\nA*ID\n-----END CERTIFICATE-----\n";
    assert_eq!(found(broken).0.len(), 1);
    let marked = format!("\u{feff}{GOOD}{GOOD}");
    let wanted = vec![(1, "CERTIFICATE".to_owned(), Fault::ByteOrderMark)];
    assert_eq!(found(&marked), (wanted, 1));
}

#[test]
fn bare_base64_is_reported_from_the_length_of_a_certificate_on() {
    let twice = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(ALPHA)
    };
    let one_line = body().replace('\n', "");
    let cases = [
        (format!("# alpha\n{}", body()), 2, Fault::NoMarkers),
        (format!("{}\n", one_line), 1, Fault::NoMarkers),
        (format!("\r\n{}", body().replace('\n', "\r\n")), 2, Fault::NoMarkers),
        (format!("{}\n\n{GOOD}", body()), 1, Fault::NoMarkers),
        (format!("{GOOD}{}", body()), 4, Fault::NoMarkers),
        (twice, 1, Fault::EncodedTwice),
    ];
    for (text, line, fault) in cases {
        let wanted = vec![(line, "CERTIFICATE".to_owned(), fault)];
        assert_eq!(found(&text).0, wanted, "{text}");
    }
}

#[test]
fn what_stands_between_blocks_of_real_bundles_is_no_near_miss() {
    let comments = [
        "# Issuer: CN=GlobalSign Root CA O=GlobalSign nv-sa OU=Root CA",
        "# MD5 Fingerprint: 3e:45:52:15:09:51:92:e1:b7:5d:37:9f:b1:87:29:8a",
        "Bag Attributes\n    friendlyName: alpha\nsubject=CN = alpha",
        "Certificate:\n    Data:\n        Version: 3 (0x2)\n                    00:d4:2f:9c",
        "=====================================",
        "----- Corporate roots, begin -----",
        "----- BEGIN CORPORATE ROOTS -----",
        "The end certificate of the chain is below.",
        "Beginning with certificate 3, all are expired",
        "end",
        "BEGIN",
        "Ende gut",
        "alpha\nbeta\ngamma\ndelta",
        "cb5dc8d8ba25f53d0ce25bb3bff1f5cb5dc8d8ba25f53d0ce25bb3bff1f5cb5d\n\
         cb5dc8d8ba25f53d0ce25bb3bff1f5cb5dc8d8ba25f53d0ce25bb3bff1f5cb5d\n\
         cb5dc8d8ba25f53d0ce25bb3bff1f5cb5dc8d8ba25f53d0ce25bb3bff1f5cb5d\n\
         cb5dc8d8ba25f53d0ce25bb3bff1f5cb5dc8d8ba25f53d0ce25bb3bff1f5cb5d",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEN3 alice@example.org",
    ];
    for comment in comments {
        let text = format!("{comment}\n{GOOD}{comment}\n{GOOD}{comment}\n");
        assert_eq!(found(&text), (Vec::new(), 2), "{comment}");
    }
}

#[test]
fn base64_that_is_no_der_is_no_near_miss() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    // Scattered bytes, as a token has; a picture; a private key (PKCS #8); a PKCS #12 key store.
    let scattered: Vec<u8> = (0_u32..600).map(|n| (n * n * 31 + 7 * n) as u8).collect();
    let starts: [&[u8]; 4] = [
        &[],
        b"\x89PNG\r\n\x1a\n",
        &[0x30, 0x82, 0x02, 0x58, 0x02, 0x01, 0x00, 0x30, 0x0d],
        &[0x30, 0x82, 0x02, 0x58, 0x02, 0x01, 0x03, 0x30, 0x82],
    ];
    for start in starts {
        let value = STANDARD.encode([start, &scattered].concat());
        let wrapped: String = value
            .as_bytes()
            .chunks(64)
            .map(|line| format!("{}\n", str::from_utf8(line).unwrap()))
            .collect();
        for text in [&value, &wrapped] {
            assert_eq!(found(&format!("{GOOD}{text}")), (Vec::new(), 1), "{text}");
        }
    }
}

#[test]
fn a_certificate_in_der_behind_pem_is_reported_and_a_key_store_is_not() {
    let Some(Item::Block(block)) = read(ALPHA.as_bytes()).pop() else { panic!("no block") };
    let der = block.content;
    for between in ["", "\n", "\r\n# beta\n"] {
        let text = [GOOD.as_bytes(), between.as_bytes(), &der, b"\n", GOOD.as_bytes()].concat();
        let items = read(&text);
        let [Item::Block(_), Item::Unreadable(lost), Item::Block(_)] = items.as_slice() else {
            panic!("{items:?}")
        };
        let line = 4 + between.matches('\n').count();
        assert_eq!((lost.line, lost.fault), (line, Fault::Der), "{between:?}");
    }
    let store = [b"\xfe\xed\xfe\xed\n", der.as_slice()].concat();
    assert_eq!(read(&store), []);
}

#[test]
fn a_block_that_lost_its_line_ends_is_told_as_that() {
    for end in ["", " ", "\\n", "\r"] {
        let text = ALPHA.trim_end().replace('\n', end);
        let wanted = vec![(1, "CERTIFICATE".to_owned(), Fault::OneLine)];
        assert_eq!(found(&format!("{text}\n{GOOD}")), (wanted, 1), "{text}");
    }
}
