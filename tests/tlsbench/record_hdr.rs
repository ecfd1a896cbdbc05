//! Histograms of records are what other tools decode.

use tlsbench_core::record::{Measured, TargetRecord};
use tlsbench_core::tally::{Phase, Tally};
use tlsbench_core::units::Nanos;
use tlsbench_core::usage::Lap;

use crate::python::python;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tlsbench/record_hdr.py");

#[test]
fn the_python_library_reads_what_was_recorded() {
    let mut tally = Tally::new();
    for time in 1..=2_000_u64 {
        tally.record(Phase::LastByte, Nanos(time * 1_000_003));
    }
    tally.record(Phase::LastByte, Nanos(1));
    let mut target = TargetRecord::new("a");
    for round in 0..2 {
        target.push(&Measured { round, tally: &tally, lap: &Lap::default(), wait_max: Nanos(0) });
    }
    let json = serde_json::to_value(&target).unwrap();
    let text = json["histograms"]["last_byte"].as_str().unwrap();
    let Some(printed) = python(SCRIPT, "hdrh.histogram", "hdrhistogram", text) else { return };
    let seen: Vec<u64> = printed.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let ours = &target.histogram(Phase::LastByte).unwrap().0;
    let want = [
        ours.len(),
        ours.min(),
        ours.value_at_quantile(0.5),
        ours.value_at_quantile(0.99),
        ours.max(),
    ];
    assert_eq!(want[0], 4_002);
    assert_eq!(seen[0], want[0]);
    for (seen, want) in seen.iter().zip(want) {
        // Both round within a bucket, which is a thousandth wide.
        assert!(seen.abs_diff(want) as f64 <= want as f64 / 1e3, "{seen} instead of {want}");
    }
}
