//! Limits of HTTP/1.1 messages. Those of whole heads are an intermediary's; the load client takes
//! what curl takes, and has limits of its own.

/// Bytes of a head that an intermediary takes, 32 KiB: four times nginx's default.
pub(crate) const HEAD_MAX: usize = 32 << 10;
/// Fields of a head that an intermediary takes: three times as many as browsers and proxies send.
pub(crate) const FIELDS_MAX: usize = 100;
/// 15 hexadecimal digits are 2^60 bytes: no overflow, and no body is that long.
pub(super) const CHUNK_DIGITS_MAX: u8 = 15;
/// A chunk size with its extensions, or one trailer line, as an intermediary takes it: 4 KiB, half
/// of the usual limit of whole heads.
pub(super) const STRICT_LINE_MAX: u32 = 4 << 10;
/// The extensions of one chunk, or all trailers, as a client takes them: 16 KiB.
pub(super) const LENIENT_EXTRA_MAX: u32 = 16 << 10;
/// All trailers that an intermediary passes on: 16 KiB.
pub(super) const TRAILERS_MAX: usize = 16 << 10;
