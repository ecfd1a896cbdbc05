//! A server that stands still now and then: the corrected series shows it, the uncorrected cannot.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::bench::Bench;
use crate::servers::{Nginx, Served};

#[test]
fn only_the_corrected_series_shows_that_a_server_stalls() {
    let bench = Bench::new();
    let certificate = bench.certificate();
    let Some(server) = Nginx::start(&Served::new(&certificate)) else { return };
    // While it stands still, 4 requests of the 1,000 of a second are under way: fewer than 1 in 100.
    // Of those that should have begun it is nearly every third.
    let load = ["--rate", "1000", "--pool", "4", "--max-wait", "5s", "--keep-alive"];
    let time = ["--round", "3s", "--rounds", "1", "--warm-up", "200ms"];
    let mut run = bench.start(bench.command(server.0.address, &[&load[..], &time].concat()));
    while run.child.try_wait().unwrap().is_none() {
        server.0.signal_all(Signal::STOP);
        thread::sleep(STALL);
        server.0.signal_all(Signal::CONT);
        thread::sleep(EVERY - STALL);
    }
    let ran = run.wait();
    assert_eq!((ran.sum(&["missed"]), ran.failures()), (0, vec![]), "{ran:#?}");
    let p99 = |series: &str| ran.rounds()[0]["quantiles"][series]["p99_ns"].as_u64().unwrap();
    let (corrected, uncorrected) = (p99("corrected"), p99("uncorrected"));
    assert!(u128::from(corrected) >= STALL.as_nanos() / 2, "{corrected} ns");
    assert!(uncorrected * 3 < corrected, "{uncorrected} ns, and {corrected} ns corrected");
}

const STALL: Duration = Duration::from_millis(300);
const EVERY: Duration = Duration::from_secs(1);
