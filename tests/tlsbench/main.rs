//! Black-box tests of the program `tlsbench`.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop"
)]

mod calibrate;
mod doctor;
mod http2;
mod record_hdr;
mod report;
mod run;
