//! Every reader of files, on inputs that double: the work grows with them and no faster, or a stated
//! limit refuses them.
//!
//! Work is CPU time of the thread, so that a busy machine does not count. Four doublings may cost
//! three times their share: what is quadratic costs sixteen times it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value as Json;
use tlsbench_core::advice::{Prices, Profile};
use tlsbench_core::calibration::Calibration;
use tlsbench_core::lab::LabDraft;
use tlsbench_core::record::RunRecord;
use tlsbench_core::record::lab::LabRecord;
use tlsbench_core::report::{LabReport, RunReport};
use tlsbench_core::scenario::Draft;

/// CPU time of this thread that `f` takes.
fn work(f: impl FnOnce()) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let before = now();
    f();
    now().saturating_sub(before)
}

/// Reads what `make` makes of a size and of sixteen times that, and compares.
fn grows_linearly(name: &str, size: usize, make: impl Fn(usize) -> String, read: impl Fn(&str)) {
    let (small, large) = (make(size), make(size * 16));
    // The least of several: interrupts and page faults only ever add.
    let least = |text: &str, times: usize| (0..times).map(|_| work(|| read(text))).min().unwrap();
    let (one, sixteen) = (least(&small, 5), least(&large, 2));
    let most = (one * 16 * 3).max(NOISE);
    assert!(sixteen <= most, "{name}: {one:?} became {sixteen:?}, of {} bytes", large.len());
}

/// What is read faster than that at its full size is no burden, and too short to compare.
const NOISE: Duration = Duration::from_millis(50);
/// A record of placements.
const PLACEMENTS: &str = "../docs/reports/2026-11-21-placements/builtin-rsa.json";

/// Reads a scenario as `run` does, and looks for the line of each problem.
fn read_scenario(text: &str) {
    if let Ok(draft) = LabDraft::from_toml(text)
        && let Err(problems) = draft.finish()
    {
        let placed =
            problems.into_iter().map(|problem| problem.in_file(text, &LabDraft::default()));
        assert!(placed.count() > 0);
    }
    if let Ok(draft) = Draft::from_toml(text)
        && let Err(problems) = draft.finish()
    {
        let placed = problems.into_iter().map(|problem| problem.in_file(text, &Draft::default()));
        assert!(placed.count() > 0);
    }
}

#[test]
fn scenarios() {
    let of = |name: &str, size: usize, before: &str, part: &str, after: &str| {
        let make = |n: usize| [before, &part.repeat(n), after].concat();
        grows_linearly(name, size, make, read_scenario);
    };
    let placement = "[[placement]]\nname = 'a'\nhops = [{role = 'backend', kind = 'backend'}]\n";
    of("placements of one name", 600, "", placement, "");
    of("names of placements", 600, "placements = [", "'full', ", "]\n");
    let hop = "{role = 'lb', kind = 'relay'}, ";
    of("hops of one role", 600, "[[placement]]\nname = 'a'\nhops = [", hop, "]\n");
    of("workloads", 600, "workloads = [", "'full', ", "]\n");
    of("targets of one name", 600, "", "[[target]]\nname = 'a'\nurl = 'https://a/'\n", "");
    of("targets that are none", 600, "", "[[target]]\nurl = 'x'\n", "");
    let sources = "[[target]]\nurl = 'https://127.0.0.1/'\n";
    of("sources", 600, "sources = [", "'127.0.0.1', ", &format!("]\n{sources}"));
    of("a long key", 5_000, "", "k", " = 1\n");
    of("a long text", 5_000, "key = '", "k", "'\n");
    of("comments", 2_000, "", "# c\n", "");
    of("depth", 5_000, "key = ", "[", "");
    of("dots", 2_000, "key", ".a", " = 1\n");
    let tables = |n: usize| (0..n).map(|table| format!("[a.b{table}]\nc = 1\n")).collect();
    grows_linearly("tables", 300, tables, read_scenario);
    let keys = |n: usize| (0..n).map(|key| format!("key{key} = 1\n")).collect();
    grows_linearly("keys", 300, keys, read_scenario);
}

#[test]
fn ten_thousand_placements_of_one_name_are_refused_in_a_line() {
    let placement = "[[placement]]\nname = 'a'\nhops = [{role = 'backend', kind = 'backend'}]\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.toml");
    fs::write(&path, placement.repeat(10_000)).unwrap();
    let said = run(folder.path(), &["run", "-c", "many.toml"]);
    assert!(
        said.contains("`placement`: 10000 placements\nhint: keep at most 200 to a run"),
        "{said}"
    );
    assert_eq!(said.matches("hint:").count(), 1, "{said}");
    // More than a few problems are counted.
    let wrong = "[[target]]\nname = 'a'\nurl = 'https://127.0.0.1/'\nsni = '!'\n".repeat(60);
    fs::write(&path, wrong).unwrap();
    let said = run(folder.path(), &["run", "-c", "many.toml"]);
    assert!(said.ends_with("more problems\nhint: mend these first\n"), "{said}");
    assert_eq!(said.matches("hint:").count(), 21, "{said}");
}

#[test]
fn files_of_people_have_a_size_that_people_write() {
    let folder = tempfile::tempdir().unwrap();
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join(PLACEMENTS);
    fs::copy(record, folder.path().join("a.json")).unwrap();
    for arguments in [
        &["run", "-c", "/dev/zero"][..],
        &["advise", "a.json", "--profile", "/dev/zero", "--prices", "/dev/zero"],
    ] {
        let said = run(folder.path(), arguments);
        assert!(said.contains("`/dev/zero` is larger than 1048576 bytes"), "{said}");
    }
}

/// What the program says on stderr when it cannot do what was asked.
fn run(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsbench"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn profiles_prices_and_calibrations() {
    let prices = "date = '2026-11-21'\ncurrency = 'EUR'\n[vcpu]\nper_hour = 1\nsource = 'a'\n";
    let balancer = "[[balancer]]\nname = 'a'\nplacements = ['full']\nper_hour = -1\n\
                    per_unit_hour = -1\ndimension = []\nsource = 'a'\n";
    grows_linearly(
        "balancers",
        100,
        |n| format!("{prices}{}", balancer.repeat(n)),
        |text| drop(Prices::from_toml(text)),
    );
    let profile = "target_utilisation = 7\n[traffic]\nconnections_per_second = -1\n[rtt]\n";
    grows_linearly(
        "links",
        500,
        |n| format!("{profile}{}", "lb = '1ms'\n".repeat(n)),
        |text| drop(Profile::from_toml(text)),
    );
    grows_linearly(
        "primitives",
        2_000,
        |n| format!("{{\"schema\":1,\"primitives\":[{}1]}}", "{},".repeat(n)),
        |text| drop(serde_json::from_str::<Calibration>(text)),
    );
}

/// The committed record, changed.
fn record(change: impl FnOnce(&mut Json)) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/report/closed.json");
    let mut record: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    change(&mut record);
    record.to_string()
}

fn read_record(text: &str) {
    let record = RunRecord::from_json(text).unwrap();
    assert!(!RunReport::new("a", &record).targets.is_empty());
}

#[test]
fn records() {
    // One item of a list as often as asked.
    let often = |list: &mut Json, n: usize| {
        let item = list[0].clone();
        *list = Json::Array(vec![item; n]);
    };
    grows_linearly(
        "targets",
        2,
        |n| record(|record| often(&mut record["targets"], n)),
        read_record,
    );
    // Tables pad their rows to the longest name.
    let long = record(|record| record["targets"][0]["name"] = "n".repeat(101).into());
    let refused = format!("{:?}", RunRecord::from_json(&long).unwrap_err());
    assert!(refused.contains("a name of 101 bytes, and none has more than 100"), "{refused}");
    let rounds = |n| record(|record| often(&mut record["targets"][0]["rounds"], n));
    grows_linearly("rounds", 20, rounds, read_record);
    grows_linearly(
        "environments",
        20,
        |n| record(|record| often(&mut record["environments"], n)),
        read_record,
    );
}

#[test]
fn records_of_placements() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PLACEMENTS);
    let record: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let read = |text: &str| {
        let record = LabRecord::from_json(text).unwrap();
        assert!(!LabReport::new("a", &record).placements.is_empty());
    };
    let often = |field: &str, n: usize| {
        let mut record = record.clone();
        let items = record[field].as_array_mut().unwrap();
        items.truncate(1);
        let item = items[0].clone();
        items.resize(n, item);
        record.to_string()
    };
    grows_linearly("trials", 4, |n| often("trials", n), read);
    // What is compared with each other has a limit.
    let mut many = record.clone();
    let placements = many["lab"]["placements"].as_array_mut().unwrap();
    let one = placements[0].clone();
    placements.resize(1_001, one);
    let refused = format!("{:?}", LabRecord::from_json(&many.to_string()).unwrap_err());
    assert!(refused.contains("1001 placements, and no run has more than 1,000"), "{refused}");
}
