//! Readers of tlsbench's files and flags: records, scenarios, prices, profiles, hops, conditions.

use tlsbench_core::advice::{Prices, Profile};
use tlsbench_core::change::Condition;
use tlsbench_core::hop::Hop;
use tlsbench_core::record::RunRecord;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::report::Report;
use tlsbench_core::scenario::Draft;

/// Records of both kinds: what is written of one is read back equal, and a report can be made of
/// it.
pub(crate) fn record(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let mut report = Report::new("fuzz");
    if let Ok(record) = RunRecord::from_json(text) {
        let _ = record.scenario();
        report.add_run("fuzz", &record);
        let written = record.to_json().expect("a record can be written");
        let again = RunRecord::from_json(&written).expect("a record is read back");
        assert_eq!(again.to_json().expect("written"), written, "a record is read back otherwise");
    }
    if let Ok(record) = LabRecord::from_json(text) {
        report.add_lab("fuzz", &record);
        let written = record.to_json().expect("a record can be written");
        let again = LabRecord::from_json(&written).expect("a record is read back");
        assert_eq!(again.to_json().expect("written"), written, "a record is read back otherwise");
    }
    let _ = serde_json::to_string(&report).expect("a report can be written");
}

/// Scenarios: a valid one is written with every key said, and that gives the same scenario.
pub(crate) fn scenario(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(scenario) =
        Draft::from_toml(text).map_err(drop).and_then(|it| it.finish().map_err(drop))
    else {
        return;
    };
    let written = scenario.to_toml().expect("a valid scenario can be written");
    let again = Draft::from_toml(&written).expect("its own file is read").finish();
    assert_eq!(again.as_ref(), Ok(&scenario), "read back otherwise:\n{written}");
    let _ = scenario.redacted();
}

/// Prices: read or refused, each problem with its key.
pub(crate) fn prices(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Err(problems) = Prices::from_toml(text) {
        assert!(!problems.is_empty(), "refused without a reason");
    }
}

/// Profiles of traffic: read or refused, each problem with its key.
pub(crate) fn profile(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Err(problems) = Profile::from_toml(text) {
        assert!(!problems.is_empty(), "refused without a reason");
    }
}

/// Configurations of a hop: an accepted one has no problems.
pub(crate) fn hop(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(hop) = Hop::from_json(text) {
        assert!(hop.problems().is_empty());
        let written = serde_json::to_string(&hop).expect("a hop can be written");
        assert!(Hop::from_json(&written).is_ok_and(|again| again == hop), "read back otherwise");
    }
}

/// Conditions of `compare --fail-if`: what is printed of one is read back and printed the same.
pub(crate) fn condition(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(condition) = text.parse::<Condition>() {
        let printed = condition.to_string();
        let again: Condition = printed.parse().expect("its own text is read");
        assert_eq!(again.to_string(), printed, "read back otherwise");
    }
}
