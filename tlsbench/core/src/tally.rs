//! Counts and times: one [`Tally`] per shard and round, added up afterwards.
//!
//! Recording allocates nothing. Two kinds of start time are two types, so that a latency cannot be
//! taken from the wrong one by accident (coordinated omission).

mod address;
mod reason;
mod shape;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hdrhistogram::{Counter, Histogram};

use crate::hop::EngineCounters;
pub use crate::pace::{ActualStart, IntendedStart};
use crate::units::Nanos;
use crate::words::words;
pub use address::AddressTally;
pub use reason::{Detail, ErrorCode, Failed, Reason};
pub use shape::Shape;

/// The parts of an operation that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Time from connect to the established TCP connection.
    Connect,
    /// Time from there to the end of the client's part of the handshake.
    Handshake,
    /// Time from the start of the handshake to the server's confirmation of it.
    Confirmed,
    /// Time from the request's first byte sent to the response's first byte.
    FirstByte,
    /// Time from the request's first byte sent to the response's last byte.
    LastByte,
    /// A whole operation, from when it should have begun: the corrected series.
    Corrected,
    /// A whole operation, from when it did begin: the uncorrected series.
    Uncorrected,
    /// Lateness of starts.
    SendLag,
    /// Time from the end of a connection's last operation until both sides had closed it, or the
    /// client had given up waiting for that.
    Closing,
}

/// Reason why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The server ended the handshake with an alert, or rejected our certificate.
    Alert,
    /// The server agreed on no protocol, or on another than the one that was offered.
    Alpn,
    /// No local port was left (EADDRNOTAVAIL).
    AddressesExhausted,
    /// The chain does not lead to a trusted root.
    CertificateUnknownCa,
    /// The certificate is expired or not valid yet.
    CertificateTime,
    /// The certificate is for another name.
    CertificateName,
    /// The chain failed for another reason.
    CertificateOther,
    /// The connection was refused.
    ConnectRefused,
    /// The connection could not be made for another reason.
    ConnectOther,
    /// The kernel has the address family switched off (EAFNOSUPPORT).
    FamilyOff,
    /// No file descriptor was left (EMFILE, ENFILE).
    OpenFiles,
    /// The source address is none of this machine's (EADDRNOTAVAIL when it is bound).
    SourceNotLocal,
    /// Something took longer than the limit.
    Timeout,
    /// No route leads to the address, or no address of this machine can reach it (ENETUNREACH,
    /// EHOSTUNREACH, EADDRNOTAVAIL before any port was taken).
    Unroutable,
    /// The name could not be resolved.
    Resolve,
    /// The connection was reset during the handshake.
    ResetInHandshake,
    /// The connection was reset or closed after it, before the response was whole.
    ResponseTruncated,
    /// The response was no HTTP.
    ResponseMalformed,
    /// The status was not the one that counts as success.
    Status,
    /// The length was not the one that counts as success.
    Length,
    /// The server did not take the request: the stream was refused, or the server was leaving.
    StreamRefused,
    /// The server took the request and ended its stream before the response was whole.
    StreamReset,
    /// TLS failed for another reason.
    TlsOther,
    /// The server did not confirm the handshake, or closed without close_notify.
    Unconfirmed,
}

/// Counts and times of one shard in one round. Of fixed size, 1.1 MB.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// Operations that succeeded: requests, or handshakes in a handshake-only run.
    pub succeeded: u64,
    /// Operations that failed, by why.
    pub failed: BTreeMap<Failure, u64>,
    /// Those of them of which a detail is known, by failure and detail.
    pub reasons: BTreeMap<(Failure, Reason), u64>,
    /// Whole responses by status, good and bad.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that were sent again on another connection, because the server had not taken them.
    pub resent: u64,
    /// Starts that waited longer than allowed and never began.
    pub missed: u64,
    /// Operations that should have begun in the round.
    pub scheduled: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Those that the server should have closed and the client did.
    pub closed_by_client: u64,
    /// Negotiated parameters.
    pub shape: Shape,
    /// Operations by the address that they ended at.
    pub addresses: BTreeMap<SocketAddr, AddressTally>,
    /// Bytes read from sockets.
    pub bytes_read: u64,
    /// Bytes written to sockets.
    pub bytes_written: u64,
    histograms: [Histogram<u32>; Phase::ALL.len()],
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// A tally of nothing. All that recording needs is allocated here.
    #[must_use]
    pub fn new() -> Self {
        Self {
            succeeded: 0,
            failed: BTreeMap::new(),
            reasons: BTreeMap::new(),
            statuses: BTreeMap::new(),
            resent: 0,
            missed: 0,
            scheduled: 0,
            connections: 0,
            closed_by_client: 0,
            shape: Shape::default(),
            addresses: BTreeMap::new(),
            bytes_read: 0,
            bytes_written: 0,
            // Allocated here once: recording must not allocate while it measures.
            histograms: std::array::from_fn(|_| series()),
        }
    }

    /// Times one operation's phase. Longer than [`LONGEST`] counts as that.
    pub fn record(&mut self, phase: Phase, took: Nanos) {
        // Saturating: an outlier beyond nine minutes still counts as one.
        self.histogram_mut(phase).saturating_record(took.0);
    }

    /// Counts a failure with its detail. The first of each kind allocates.
    pub fn fail(&mut self, failed: impl Into<Failed>) {
        let Failed { failure, reason } = failed.into();
        count_one(&mut self.failed, failure);
        if let Some(reason) = reason {
            count_one(&mut self.reasons, (failure, reason));
        }
    }

    /// Counts a whole response. The first of each status allocates.
    pub fn status(&mut self, status: u16) {
        count_one(&mut self.statuses, status);
    }

    /// Counts an operation at an address. The first of each address and failure allocates.
    pub fn end_at(&mut self, address: SocketAddr, result: Result<(), Failure>) {
        self.addresses.entry(address).or_default().end(result);
    }

    /// All failures.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Counters that a hop should have for this.
    #[must_use]
    pub const fn made(&self) -> EngineCounters {
        EngineCounters {
            connections: self.connections,
            full: self.shape.full,
            resumed: self.shape.resumed,
            requests: Some(self.succeeded),
            dialled_full: None,
            dialled_resumed: None,
        }
    }

    /// Histogram of a phase, in nanoseconds.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "there is a histogram for each phase")]
    pub const fn histogram(&self, phase: Phase) -> &Histogram<u32> {
        &self.histograms[phase as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "there is a histogram for each phase")]
    const fn histogram_mut(&mut self, phase: Phase) -> &mut Histogram<u32> {
        &mut self.histograms[phase as usize]
    }

    /// Adds what another shard, or another time, counted.
    pub fn add(&mut self, other: &Self) {
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        add_counts(&mut self.failed, &other.failed);
        add_counts(&mut self.reasons, &other.reasons);
        add_counts(&mut self.statuses, &other.statuses);
        self.resent = self.resent.saturating_add(other.resent);
        self.missed = self.missed.saturating_add(other.missed);
        self.scheduled = self.scheduled.saturating_add(other.scheduled);
        self.connections = self.connections.saturating_add(other.connections);
        self.closed_by_client = self.closed_by_client.saturating_add(other.closed_by_client);
        self.shape.add(&other.shape);
        for (address, theirs) in &other.addresses {
            self.addresses.entry(*address).or_default().add(theirs);
        }
        self.bytes_read = self.bytes_read.saturating_add(other.bytes_read);
        self.bytes_written = self.bytes_written.saturating_add(other.bytes_written);
        for phase in Phase::ALL.iter().copied() {
            add_series(self.histogram_mut(phase), other.histogram(phase));
        }
    }

    /// Forgets everything and keeps the histograms' memory.
    pub fn clear(&mut self) {
        self.succeeded = 0;
        self.failed.clear();
        self.reasons.clear();
        self.statuses.clear();
        self.resent = 0;
        self.missed = 0;
        self.scheduled = 0;
        self.connections = 0;
        self.closed_by_client = 0;
        self.shape = Shape::default();
        self.addresses.clear();
        self.bytes_read = 0;
        self.bytes_written = 0;
        for histogram in &mut self.histograms {
            histogram.reset();
        }
    }

    /// A quantile of the corrected series in which missed starts count as what they are: waits of
    /// more than `wait_max`. `None` if there is nothing to take it of.
    #[must_use]
    pub fn corrected(&self, quantile: f64, wait_max: Nanos) -> Option<Quantile> {
        quantile_with_missed(self.histogram(Phase::Corrected), self.missed, wait_max, quantile)
    }
}

/// A quantile of a series in which some values are only known to be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantile {
    /// The exact value.
    Is(Nanos),
    /// A lower bound: a missed start may lie below the quantile.
    AtLeast(Nanos),
}

/// A quantile, from 0 to 1, of what `timed` holds and of `missed` values of more than `wait_max`.
#[must_use]
pub fn quantile_with_missed<T: Counter>(
    timed: &Histogram<T>,
    missed: u64,
    wait_max: Nanos,
    quantile: f64,
) -> Option<Quantile> {
    let total = timed.len().saturating_add(missed);
    if total == 0 {
        return None;
    }
    // The rank that `Histogram::value_at_quantile` takes: at least the first, at most the last.
    let rank = ((quantile.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total);
    let within = match timed.len() {
        0 => 0,
        _ => timed.count_between(0, wait_max.0).min(timed.len()),
    };
    Some(match rank.checked_sub(within) {
        // The rank lies among values that no missed start can be below.
        None | Some(0) => Quantile::Is(value_at_rank(timed, rank)),
        Some(above) if missed == 0 || above > missed => {
            let value = value_at_rank(timed, rank.saturating_sub(missed));
            if missed == 0 { Quantile::Is(value) } else { Quantile::AtLeast(value) }
        }
        Some(_) => Quantile::AtLeast(wait_max),
    })
}

fn value_at_rank<T: Counter>(timed: &Histogram<T>, rank: u64) -> Nanos {
    let mut seen: u64 = 0;
    for step in timed.iter_recorded() {
        seen = seen.saturating_add(step.count_at_value().as_u64());
        if seen >= rank {
            return Nanos(step.value_iterated_to());
        }
    }
    Nanos(timed.max())
}

fn count_one<K: Ord>(into: &mut BTreeMap<K, u64>, key: K) {
    let count = into.entry(key).or_default();
    *count = count.saturating_add(1);
}

fn add_counts<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, more) in from {
        let count = into.entry(key.clone()).or_default();
        *count = count.saturating_add(*more);
    }
}

fn add_series(into: &mut Histogram<u32>, from: &Histogram<u32>) {
    let added = into.add(from);
    // hdrhistogram refuses other bounds; ours never differ.
    debug_assert!(added.is_ok(), "every series has the same bounds");
}

#[expect(clippy::expect_used, reason = "constants, and every test makes one")]
fn series() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST.0, DIGITS).expect("bounds that hdrhistogram takes")
}

words!(Phase {
    Connect = "connect",
    Handshake = "handshake",
    Confirmed = "confirmed",
    FirstByte = "first_byte",
    LastByte = "last_byte",
    Corrected = "corrected",
    Uncorrected = "uncorrected",
    SendLag = "send_lag",
    Closing = "closing",
});
words!(Failure {
    Alert = "alert",
    Alpn = "alpn",
    AddressesExhausted = "addresses_exhausted",
    CertificateUnknownCa = "certificate_unknown_ca",
    CertificateTime = "certificate_time",
    CertificateName = "certificate_name",
    CertificateOther = "certificate_other",
    ConnectRefused = "connect_refused",
    ConnectOther = "connect_other",
    FamilyOff = "family_off",
    OpenFiles = "open_files",
    SourceNotLocal = "source_not_local",
    Timeout = "timeout",
    Unroutable = "unroutable",
    Resolve = "resolve",
    ResetInHandshake = "reset_in_handshake",
    ResponseTruncated = "response_truncated",
    ResponseMalformed = "response_malformed",
    Status = "status",
    Length = "length",
    StreamRefused = "stream_refused",
    StreamReset = "stream_reset",
    TlsOther = "tls_other",
    Unconfirmed = "unconfirmed",
});

/// The longest time that is told apart, 9 minutes: limits on waiting lie below it.
///
/// At 1 ns and 3 digits a histogram has 1,024 counts for each doubling above 2,047 ns and twice
/// that below: 30 × 1,024 counts of 4 bytes for 2^39 ns, and 1,105,920 bytes for 9 phases.
pub const LONGEST: Nanos = Nanos((1 << 39) - 1);

/// Significant decimal digits of a recorded time.
pub const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(values: &[u64]) -> Tally {
        let mut tally = Tally::new();
        for value in values {
            tally.record(Phase::Corrected, Nanos(*value));
        }
        tally
    }

    #[test]
    fn a_phase_is_recorded_under_its_own_name() {
        let mut tally = Tally::new();
        for (index, phase) in (1..).zip(Phase::ALL.iter().copied()) {
            for _ in 0..index {
                tally.record(phase, Nanos(index));
            }
        }
        for (index, phase) in (1..).zip(Phase::ALL.iter().copied()) {
            let histogram = tally.histogram(phase);
            assert_eq!((histogram.len(), histogram.max()), (index, index), "{}", phase.as_str());
        }
    }

    #[test]
    fn times_keep_three_digits_and_the_longest_is_a_limit() {
        for value in [1, 999, 2_047, 123_456, 987_654_321, 60_000_000_000, LONGEST.0] {
            let seen = timed(&[value]).histogram(Phase::Corrected).max();
            assert!(seen.abs_diff(value) as f64 <= value as f64 / 1e3, "{value} became {seen}");
        }
        let longest = timed(&[u64::MAX, LONGEST.0 + 1]);
        assert_eq!(longest.histogram(Phase::Corrected).max(), LONGEST.0);
        assert_eq!(longest.histogram(Phase::Corrected).len(), 2);
    }

    #[test]
    fn a_tally_has_the_size_that_is_said() {
        let counts: usize =
            Phase::ALL.iter().map(|phase| Tally::new().histogram(*phase).distinct_values()).sum();
        assert_eq!(counts * size_of::<u32>(), 1_105_920);
    }

    #[test]
    fn adding_gives_what_one_tally_would_have_counted() {
        let fill = |tally: &mut Tally, values: std::ops::Range<u64>| {
            for value in values {
                tally.succeeded += 1;
                tally.missed += 2;
                tally.scheduled += 3;
                tally.connections += 4;
                tally.closed_by_client += 12;
                tally.bytes_read += 5;
                tally.bytes_written += 6;
                tally.shape.full += 7;
                tally.shape.resumed += 8;
                tally.shape.retried += 9;
                tally.shape.wanted_ticket += 10;
                tally.shape.early_data += 11;
                tally.shape.streams(if value % 2 == 0 { 8 } else { 9 });
                tally.shape.negotiated(if value % 2 == 0 { "TLSv1.3" } else { "TLSv1.2" });
                tally.fail(if value % 3 == 0 { Failure::Timeout } else { Failure::Alert });
                tally.fail(Failed::new(Failure::Status, Reason::Status(500 + value as u16 % 2)));
                tally.status(200 + value as u16 % 2);
                tally.resent += 12;
                let address = ([127, 0, 0, 1 + value as u8 % 2], 80).into();
                tally.end_at(address, if value % 3 == 0 { Err(Failure::Timeout) } else { Ok(()) });
                for phase in Phase::ALL.iter().copied() {
                    tally.record(phase, Nanos(value * 1_000));
                }
            }
        };
        let (mut both, mut left, mut right) = (Tally::new(), Tally::new(), Tally::new());
        fill(&mut both, 0..20);
        fill(&mut left, 0..7);
        fill(&mut right, 7..20);
        left.add(&right);
        assert_eq!(left, both);
        assert_eq!(left.failures(), 40);
        assert_eq!(left.reasons[&(Failure::Status, Reason::Status(501))], 10);
        assert_eq!((left.statuses[&200], left.resent), (10, 240));
        let ended = &left.addresses[&([127, 0, 0, 1], 80).into()];
        assert_eq!((ended.succeeded, ended.failed[&Failure::Timeout]), (6, 4));
        left.clear();
        assert_eq!(left, Tally::new());
    }

    #[test]
    fn counts_stop_at_the_largest() {
        let mut tally = Tally { succeeded: u64::MAX, ..Tally::new() };
        tally.add(&Tally { succeeded: 1, ..Tally::new() });
        assert_eq!(tally.succeeded, u64::MAX);
    }

    #[test]
    fn a_missed_start_counts_as_more_than_the_longest_wait() {
        let wait_max = Nanos(1_000);
        let corrected = |values: &[u64], missed, quantile| {
            Tally { missed, ..timed(values) }.corrected(quantile, wait_max)
        };
        assert_eq!(corrected(&[], 0, 0.5), None);
        assert_eq!(corrected(&[], 2, 0.0), Some(Quantile::AtLeast(Nanos(1_000))));
        for (missed, quantile, want) in [
            (0, 0.5, Quantile::Is(Nanos(20))),
            (0, 1.0, Quantile::Is(Nanos(2_000))),
            (1, 0.4, Quantile::Is(Nanos(20))),
            (1, 0.6, Quantile::Is(Nanos(30))),
            (1, 0.61, Quantile::AtLeast(Nanos(1_000))),
            (1, 0.8, Quantile::AtLeast(Nanos(1_000))),
            (1, 0.81, Quantile::AtLeast(Nanos(2_000))),
            (4, 0.37, Quantile::Is(Nanos(30))),
            (4, 0.38, Quantile::AtLeast(Nanos(1_000))),
            (4, 1.0, Quantile::AtLeast(Nanos(2_000))),
        ] {
            let seen = corrected(&[10, 20, 30, 2_000], missed, quantile);
            assert_eq!(seen, Some(want), "{missed} missed, quantile {quantile}");
        }
    }

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<&str> = Phase::ALL.iter().map(|of| of.as_str()).collect();
        names.extend(Failure::ALL.iter().map(|of| of.as_str()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
