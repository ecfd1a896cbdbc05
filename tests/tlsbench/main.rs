//! Black-box tests of the program `tlsbench`.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop"
)]

mod aa;
mod addresses;
mod advise;
mod bench;
mod breakdowns;
mod browser;
mod calibrate;
mod client_certificates;
mod cover;
mod compare;
mod doctor;
mod doubling;
mod faults;
mod h2spec;
mod hop;
mod http2;
mod lab;
mod negotiation;
mod netns;
mod outputs;
mod pki;
mod placements;
mod ports;
mod python;
mod reasons;
mod record_hdr;
mod refusals;
mod report_forms;
mod report_page;
mod requests;
mod resumption;
mod run;
mod search;
mod servers;
mod slices;
mod stall;
mod stand;
mod summary;
mod topologies;
mod unanswered;
mod verification;
