//! Bytes that can be told from any others, and pauses.

use std::time::Duration;

/// Random bytes without an end: a block over and over, whose length no buffer's divides.
pub(super) struct Endless {
    block: Vec<u8>,
    pub(super) at: usize,
}

impl Endless {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        Self { block: (0..BLOCK).map(|_| random.next() as u8).collect(), at: 0 }
    }

    /// The next bytes, at most this many.
    pub(super) fn next(&mut self, max: usize) -> &[u8] {
        let begin = self.at;
        let end = self.block.len().min(begin + max);
        self.at = end % self.block.len();
        &self.block[begin..end]
    }

    pub(super) fn assert_next(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let part = self.next(bytes.len());
            assert!(part == &bytes[..part.len()], "other bytes than were sent");
            bytes = &bytes[part.len()..];
        }
    }
}

/// Marsaglia's xorshift: the same numbers each time.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Sometimes a pause, so that now one side is the slower and now the other.
    pub(super) async fn pause(&mut self) {
        if self.below(200) == 0 {
            tokio::time::sleep(Duration::from_micros(self.below(3_000))).await;
        }
    }
}

/// 1 GiB in the build that counts; a thirty-second of it where nothing is optimised.
pub(super) const BYTES: u64 = if cfg!(debug_assertions) { 32 << 20 } else { 1 << 30 };
/// A prime.
pub(super) const BLOCK: usize = 1_000_003;
