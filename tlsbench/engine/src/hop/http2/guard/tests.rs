use super::*;

fn header(kind: u8, length: usize, stream: u32) -> frame::Header {
    frame::Header { length, kind, flags: 0, stream }
}

#[test]
fn what_a_response_makes_necessary_costs_a_client_nothing() {
    let mut budget = FloodBudget::new();
    // One that has used up all that it began with opens the windows of each frame, of one byte.
    while budget.left > 2 {
        assert!(budget.spend(header(frame::PING, 8, 0), false));
    }
    for stream in 0..100_000 {
        assert!(budget.spend(header(frame::HEADERS, 9, stream), true));
        budget.earn(header(frame::DATA, 1, stream));
        for stream in [0, stream] {
            assert!(budget.spend(header(frame::WINDOW_UPDATE, 4, stream), false));
        }
        budget.earn(header(frame::DATA, 0, stream));
        assert!(budget.spend(header(frame::RST_STREAM, 4, stream), false), "{stream}");
    }
    // Data that comes is held back by windows, and not by this.
    assert!((0..100_000).all(|_| budget.spend(header(frame::DATA, 9, 1), false)));
}

#[test]
fn streams_that_are_only_begun_and_reset_use_up_the_budget_with_what_else_is_said() {
    let mut budget = FloodBudget::new();
    let mut afforded = |stream| {
        budget.spend(header(frame::HEADERS, 9, stream), true)
            && budget.spend(header(frame::PRIORITY, 5, stream), false)
            && budget.spend(header(frame::RST_STREAM, 4, stream), false)
    };
    assert!((0..100_000).any(|stream| !afforded(stream)));
}

#[test]
fn requests_under_way_count_until_they_have_ended() {
    let watch = Arc::new(StreamMonitor::default());
    let (first, second) = (watch.begin(2).unwrap(), watch.begin(2).unwrap());
    assert!(watch.begin(2).is_none());
    drop(first);
    assert_eq!(watch.under_way(), 1);
    assert!(watch.begin(2).is_some());
    drop(second);
    assert_eq!(watch.under_way(), 0);
}

/// Streams whose trailers are found malformed in what a client sends, cut into pieces of this size.
fn malformed(sent: &[u8], size: usize) -> Vec<u32> {
    let (mut scan, mut fields, mut found) =
        (FrameScanner::after(0), HeaderBlocks::new(), Vec::new());
    for mut piece in sent.chunks(size) {
        while let Some(seen) = scan.next(&mut piece) {
            if let ScanItem::Header(header) = seen {
                fields.begin(header);
            }
            found.extend(fields.take(seen, scan.rest()));
        }
    }
    found
}

#[test]
fn trailers_are_told_from_requests_however_they_come() {
    let mut sent = Vec::new();
    // `:path: /x` comes to stand first in the table, and is named by its place.
    let request = b"\x83\x87\x44\x02/x\x01\x03hop";
    let padded = [&[3, 0, 0, 0, 0, 9][..], request, &[0; 3]].concat();
    let flags = frame::END_HEADERS | frame::PADDED | frame::WITH_PRIORITY;
    frame::put(frame::HEADERS, flags, 1, &padded, &mut sent);
    frame::put(frame::HEADERS, frame::END_HEADERS, 3, b"\x83\x87\xbe\x01\x03hop", &mut sent);
    frame::put(frame::DATA, 0, 3, b"\x84\x84", &mut sent);
    frame::put(frame::HEADERS, frame::END_HEADERS, 3, b"\x00\x01t\x01x", &mut sent);
    frame::put(frame::HEADERS, 0, 1, b"\x00\x01", &mut sent);
    frame::put(frame::CONTINUATION, 0, 1, b"", &mut sent);
    frame::put(frame::CONTINUATION, frame::END_HEADERS, 1, b"t\x01x\xbe", &mut sent);
    for size in 1..=sent.len() {
        assert_eq!(malformed(&sent, size), [1], "{size}");
    }
    // Where the table is out of step, no trailers can be read.
    let mut sent = Vec::new();
    frame::put(frame::HEADERS, frame::END_HEADERS, 1, b"\xff\xff\xff\xff", &mut sent);
    frame::put(frame::HEADERS, frame::END_HEADERS, 1, b"\x00\x01t\x01x", &mut sent);
    assert_eq!(malformed(&sent, sent.len()), [1]);
}
