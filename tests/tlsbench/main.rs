//! Black-box tests of the program `tlsbench`.

#![allow(clippy::unwrap_used, reason = "a broken set-up fails the test")]

mod doctor;
