//! h2spec against the HTTP hop: every case of RFC 7540 and RFC 7541 that it knows, strict ones
//! included. It is built once, with Go, from the module beside this file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tlsbench_core::hop::HopKind;
use tlsbench_core::scenario::ProtocolName;

use crate::bench::Bench;
use crate::hop::{self, HopProcess};
use crate::servers::skip;

#[test]
fn h2spec_finds_nothing_in_the_http_hop() {
    let Some(program) = h2spec() else { return };
    let bench = Bench::new();
    let last = HopProcess::start(&hop::backend(1_000));
    let mut http = hop::hop(HopKind::Http, Some(last.address));
    http.dial.as_mut().unwrap().pool = 4;
    http.listen.tls = hop::listen_tls(&bench.certificate(), &[ProtocolName::Http2]);
    let http = HopProcess::start(&http);
    let report = bench.file("h2spec.xml");
    let mut command = Command::new(program);
    command.args(["--strict", "--tls", "--insecure", "--timeout", TIMEOUT, "--host", "127.0.0.1"]);
    command.args(["--port", &http.address.port().to_string(), "--junit-report"]).arg(&report);
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let said = said + &String::from_utf8_lossy(&ran.stderr);
    let report = fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {said}"));
    let (passed, failed) = cases(&report);
    assert!(failed.is_empty(), "{failed:#?}\n{said}");
    assert_eq!(passed, CASES, "{said}");
    assert!(ran.status.success(), "{}: {said}", ran.status);
}

/// How many cases of a JUnit report passed, and which did not: those that failed, and those that were
/// left out.
fn cases(report: &str) -> (usize, Vec<&str>) {
    let cases = report.split("<testcase ").skip(1).map(|case| {
        let name = case.split_once('>').map_or(case, |(name, _)| name);
        let bad = ["<failure", "<error", "<skipped"].iter().any(|mark| case.contains(mark));
        (name, bad)
    });
    let (failed, passed): (Vec<_>, Vec<_>) = cases.partition(|(_, bad)| *bad);
    (passed.len(), failed.into_iter().map(|(name, _)| name).collect())
}

#[test]
fn a_report_names_the_cases_that_did_not_pass() {
    let report = r#"<testsuites><testsuite package="a"><testcase package="a" classname="one"></testcase>
        <testcase package="a" classname="two"><failure>why</failure></testcase></testsuite>
        <testsuite package="b"><testcase classname="three"/><testcase classname="four"><skipped/>
        </testcase></testsuite></testsuites>"#;
    let failed = vec!["package=\"a\" classname=\"two\"", "classname=\"four\""];
    assert_eq!(cases(report), (2, failed));
}

/// The program, from an earlier build or a new one. Without Go a test can say nothing, and only the CI
/// fails.
fn h2spec() -> Option<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tlsbench/h2spec");
    let pinned = fs::read_to_string(module.join("go.mod")).unwrap();
    let (_, rest) = pinned.split_once(&format!("{PACKAGE_ROOT} v")).unwrap();
    let version = rest.split_whitespace().next().unwrap().replace('+', "-");
    // A folder of cargo's own below `target`, which other builds of this test find again.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("h2spec-{version}"));
    if program.is_file() {
        return Some(program);
    }
    if Command::new("go").arg("version").output().is_err() {
        skip("h2spec against the HTTP hop: install Go 1.26 or newer (https://go.dev/dl)");
        return None;
    }
    let new = folder.join(format!("h2spec-{}", std::process::id()));
    let mut build = Command::new("go");
    build.args(["build", "-buildvcs=false", "-trimpath", "-o"]).arg(&new);
    let built = build.arg(format!("{PACKAGE_ROOT}/cmd/h2spec")).current_dir(module).output();
    let built = built.unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // It appears when it is whole.
    fs::rename(&new, &program).unwrap();
    Some(program)
}

const PACKAGE_ROOT: &str = "github.com/summerwind/h2spec";
/// All that v2.2.1 has, strict ones included.
const CASES: usize = 146;
/// Seconds for each answer: a hundred times what one takes.
const TIMEOUT: &str = "10";
