use super::*;
use crate::random::SplitMix64;
use crate::record::RunRecord;
use crate::warning::Family;

fn observed(name: &str, values: &[(&str, Metric, f64)]) -> Observed {
    let values =
        values.iter().map(|(subject, metric, value)| (((*subject).to_owned(), *metric), *value));
    Observed {
        name: name.to_owned(),
        span: (name.to_owned(), "later".to_owned()),
        interrupted: None,
        parameters: BTreeMap::from([
            ("lab.engines.lb".to_owned(), "nginx".to_owned()),
            ("tls.version".to_owned(), "1.3".to_owned()),
        ]),
        values: values.collect(),
        failed: BTreeMap::new(),
        spoiled: BTreeSet::new(),
    }
}

/// Records of one subject's CPU time.
fn side(name: &str, values: &[f64]) -> Vec<Observed> {
    let one = |(index, value): (usize, &f64)| {
        observed(&format!("{name}{index}"), &[("shop", Metric::Cpu, *value)])
    };
    values.iter().enumerate().map(one).collect()
}

fn only(these: &[Observed], against: &[Observed], pairing: Pairing) -> MetricChange {
    let mut changes = changes(these, against, &[], pairing).unwrap().changes;
    assert_eq!(changes.len(), 1);
    changes.remove(0)
}

const BEFORE: [f64; 5] = [100.0, 102.0, 98.0, 101.0, 99.0];

fn times(factor: f64) -> Vec<f64> {
    BEFORE.iter().rev().map(|value| value * factor).collect()
}

#[test]
fn the_record_is_the_unit_and_five_a_side_are_needed_for_a_word() {
    let found = only(&side("a", &times(1.1)), &side("b", &BEFORE), Pairing::None);
    assert_eq!((found.verdict, found.words().as_str()), (Verdict::CostsMore, "more"));
    assert!((found.ratio.unwrap().value - 1.1).abs() < 1e-9);
    assert!((found.mean - 110.0).abs() < 1e-9 && (found.against - 100.0).abs() < 1e-9);
    assert_eq!(found.difference.unwrap().runs, 10);

    let few = only(&side("a", &times(1.1)[..4]), &side("b", &BEFORE), Pairing::None);
    assert_eq!(few.verdict, Verdict::Inconclusive { reason: InconclusiveReason::TooLittle });
    assert!(few.ratio.unwrap().low > 1.05, "numbers without a verdict");
    assert_eq!(few.words(), "no verdict: fewer than 5 records on a side");

    let single = only(&side("a", &[110.0]), &side("b", &[100.0]), Pairing::None);
    assert_eq!((single.mean, single.ratio, single.chance), (110.0, None, None));
}

#[test]
fn what_is_alike_is_equal_and_a_tail_never_is() {
    let found = only(&side("a", &times(1.0)), &side("b", &BEFORE), Pairing::None);
    assert_eq!(found.verdict, Verdict::Equal { within: 0.05 });
    let tails = |name: &str| -> Vec<Observed> {
        let one = |(index, value): (usize, &f64)| {
            observed(&format!("{name}{index}"), &[("shop", Metric::LatencyP99, *value)])
        };
        BEFORE.iter().enumerate().map(one).collect()
    };
    let found = only(&tails("a"), &tails("b"), Pairing::None);
    assert!(matches!(found.verdict, Verdict::CannotTell { .. }), "{found:?}");
}

#[test]
fn pairs_take_away_what_both_of_a_pair_share() {
    // Days differ by half; what was measured on one day differs by 4 %.
    let days = [100.0, 150.0, 120.0, 90.0, 140.0];
    let dearer: Vec<f64> =
        days.iter().zip([1.04, 1.05, 1.03, 1.04, 1.04]).map(|(d, f)| d * f).collect();
    let (these, against) = (side("a", &dearer), side("b", &days));
    assert_eq!(only(&these, &against, Pairing::InOrder).verdict, Verdict::CostsMore);
    assert!(matches!(only(&these, &against, Pairing::None).verdict, Verdict::CannotTell { .. }));
    let error = changes(&these[..4], &against, &[], Pairing::InOrder).unwrap_err();
    assert_eq!(error, ChangeError::Unpaired { this: 4, against: 5 });
}

#[test]
fn parameters_that_differ_are_refused_by_name_unless_they_are_the_axis() {
    let mut these = side("a", &BEFORE);
    for record in &mut these {
        record.parameters.insert("tls.version".to_owned(), "1.2".to_owned());
    }
    let against = side("b", &BEFORE);
    let refused = |axes: &[&str], these: &[Observed]| {
        let axes: Vec<String> = axes.iter().map(|axis| (*axis).to_owned()).collect();
        changes(these, &against, &axes, Pairing::None)
    };
    let error = refused(&[], &these).unwrap_err().to_string();
    assert!(error.contains("`a0` and `b0`"), "{error}");
    assert!(error.ends_with("\n  tls.version: `1.2` and `1.3`"), "{error}");
    for axis in ["tls.version", "tls"] {
        let found = refused(&[axis], &these).unwrap();
        assert_eq!(found.axes.len(), 1, "{axis}");
        assert_eq!(found.axes[0].to_string(), "tls.version: `1.2` and `1.3`");
    }
    // A prefix that is no table is no axis, and neither is what no record has.
    for axis in ["tls.ver", "tls.versions", "nonsense"] {
        let error = refused(&[axis], &these).unwrap_err();
        assert!(matches!(error, ChangeError::Axis { .. }), "{axis}: {error}");
        assert!(error.to_string().contains("lab.engines.lb, tls.version"), "{error}");
    }
    // On one side all must be the same, the axis too; and a parameter may be missing.
    these[3].parameters.remove("tls.version");
    let error = refused(&["tls"], &these).unwrap_err().to_string();
    assert!(error.contains("`a0` and `a3`") && error.contains("`1.2` and nothing"), "{error}");
    let mut against = side("b", &BEFORE);
    against[4].parameters.insert("new".to_owned(), "1".to_owned());
    let error = changes(&side("a", &BEFORE), &against, &[], Pairing::None).unwrap_err().to_string();
    assert!(error.contains("`b0` and `b4`") && error.contains("new: nothing and `1`"), "{error}");
}

#[test]
fn records_that_count_twice_or_ended_early_are_refused() {
    let (these, mut against) = (side("a", &BEFORE), side("b", &BEFORE));
    against[2].span = these[1].span.clone();
    let error = changes(&these, &against, &[], Pairing::None).unwrap_err();
    assert_eq!(error, ChangeError::Twice { one: "a1".to_owned(), other: "b2".to_owned() });
    against[2].span.0 = "b2".to_owned();
    against[4].interrupted = Some("it was asked to stop".to_owned());
    let error = changes(&these, &against, &[], Pairing::None).unwrap_err().to_string();
    assert!(error.contains("`b4` ended before its time (it was asked to stop)"), "{error}");
    let error = changes(&these, &[], &[], Pairing::None).unwrap_err();
    assert!(matches!(error, ChangeError::Nothing(_)));
}

#[test]
fn a_figure_that_one_record_lacks_is_left_out_and_none_in_common_is_refused() {
    let (mut these, against) = (side("a", &BEFORE), side("b", &BEFORE));
    these[2].values = BTreeMap::from([(("other".to_owned(), Metric::Cpu), 1.0)]);
    these[3].values.insert(("other".to_owned(), Metric::Cpu), 1.0);
    let error = changes(&these, &against, &[], Pairing::None).unwrap_err();
    assert_eq!(error, ChangeError::NothingCommon);
    these[2].values.insert(("shop".to_owned(), Metric::Cpu), 100.0);
    assert_eq!(only(&these, &against, Pairing::None).subject, "shop");
}

#[test]
fn a_shut_gate_of_one_record_takes_the_word_from_its_family_and_subject() {
    let both = |name: &str, factor: f64| -> Vec<Observed> {
        let one = |(index, value): (usize, &f64)| {
            let figures = [("shop", Metric::Cpu), ("shop", Metric::Rate), ("other", Metric::Cpu)];
            let figures = figures.map(|(subject, metric)| (subject, metric, value * factor));
            observed(&format!("{name}{index}"), &figures)
        };
        BEFORE.iter().enumerate().map(one).collect()
    };
    let (mut these, against) = (both("a", 1.2), both("b", 1.0));
    these[2].spoiled.insert(("shop".to_owned(), Family::Cpu));
    let found = changes(&these, &against, &[], Pairing::None).unwrap();
    let verdict = |subject: &str, metric| {
        let mut all = found.changes.iter();
        all.find(|one| one.subject == subject && one.metric == metric).unwrap().verdict
    };
    assert_eq!(
        verdict("shop", Metric::Cpu),
        Verdict::Inconclusive { reason: InconclusiveReason::Spoiled }
    );
    assert_eq!(verdict("shop", Metric::Rate), Verdict::CostsMore);
    assert_eq!(verdict("other", Metric::Cpu), Verdict::CostsMore);
    let condition: Condition = "cpu > +5%".parse().unwrap();
    let outcomes = condition.outcomes(&found);
    assert_eq!(
        outcomes,
        [("other", ConditionOutcome::Fails), ("shop", ConditionOutcome::CannotTell)]
    );
}

#[test]
fn a_condition_fails_only_when_the_whole_interval_is_past_it() {
    let found = changes(&side("a", &times(1.1)), &side("b", &BEFORE), &[], Pairing::None).unwrap();
    let ratio = found.changes[0].ratio.unwrap();
    assert!(ratio.low < 1.09 && 1.11 < ratio.high, "{ratio:?}");
    for (text, wanted) in [
        ("cpu > +5%", ConditionOutcome::Fails),
        ("cpu>+10%", ConditionOutcome::CannotTell),
        ("cpu > +20 %", ConditionOutcome::Holds),
        ("cpu < +5%", ConditionOutcome::Holds),
        ("cpu < +9.5%", ConditionOutcome::CannotTell),
        ("cpu < +50%", ConditionOutcome::Fails),
        ("cpu < -5%", ConditionOutcome::Holds),
    ] {
        let condition: Condition = text.parse().unwrap();
        assert_eq!(condition.outcomes(&found), [("shop", wanted)], "{text}");
    }
    let few =
        changes(&side("a", &times(3.0)[..4]), &side("b", &BEFORE), &[], Pairing::None).unwrap();
    let condition: Condition = "cpu > +5%".parse().unwrap();
    assert_eq!(condition.outcomes(&few), [("shop", ConditionOutcome::CannotTell)]);
}

#[test]
fn conditions_are_a_metric_a_comparison_and_a_signed_part() {
    for (text, shown) in [
        ("handshake_cpu > +5%", "handshake_cpu > +5%"),
        (" rate<-2.5 % ", "rate < -2.5%"),
        ("lb_cpu > +7%", "lb_cpu > +7%"),
    ] {
        assert_eq!(text.parse::<Condition>().unwrap().to_string(), shown);
    }
    for (text, wanted) in [
        ("cpu", "`cpu` compares nothing"),
        ("speed > +5%", "`speed` is no metric; write one of `cpu`"),
        ("cpu > 5%", "`5%` is no limit"),
        ("cpu > +5", "`+5` is no limit"),
        ("cpu > +%", "`+%` is no limit"),
        ("cpu >= +5%", "`= +5%` is no limit"),
        ("cpu < -100%", "`-100%` is no limit"),
        ("cpu > +1e3%", "`+1e3%` is no limit"),
        ("cpu > +inf%", "`+inf%` is no limit"),
    ] {
        let error = text.parse::<Condition>().unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{text}: {error}");
    }
}

#[test]
fn the_same_against_itself_seldom_is_said_to_differ() {
    let mut bits = SplitMix64::new(9);
    let mut noise = || {
        let sum: f64 = (0..12).map(|_| bits.unit()).sum();
        // In one record of ten the host was busy with something else.
        let spike = if bits.unit() < 0.1 { 15.0 } else { 0.0 };
        100.0 + 3.0 * (sum - 6.0) + spike
    };
    let mut side = |name: &str| -> Vec<Observed> {
        let one = |index: usize| {
            let subjects = ["a", "b", "c", "d", "e", "f"].map(|name| (name, Metric::Cpu, noise()));
            observed(&format!("{name}{index}"), &subjects)
        };
        (0..5).map(one).collect()
    };
    let mut wrong = 0;
    for _ in 0..EXPERIMENTS {
        let found = changes(&side("x"), &side("y"), &[], Pairing::None).unwrap();
        let differs = |change: &MetricChange| {
            matches!(change.verdict, Verdict::CostsLess | Verdict::CostsMore)
        };
        wrong += u32::from(found.changes.iter().any(differs));
    }
    let share = f64::from(wrong) / f64::from(EXPERIMENTS);
    // Two standard errors of 2,000 experiments at 5 % are one point.
    assert!(share <= 0.05, "{share} of experiments have a false word");
}

const EXPERIMENTS: u32 = 2_000;

fn recorded() -> RunRecord {
    let text = include_str!("../../../../tests/fixtures/report/closed.json");
    RunRecord::from_json(text).unwrap()
}

#[test]
fn versions_that_servers_chose_differently_are_refused_and_a_dead_side_is_not() {
    let key = "tls.version.negotiated.shop";
    let with = |name: &str, version: Option<&str>| {
        let mut side = side(name, &BEFORE);
        for record in &mut side {
            record.parameters.insert("tls.version".to_owned(), "1.2,1.3".to_owned());
            record.parameters.extend(version.map(|version| (key.to_owned(), version.to_owned())));
        }
        side
    };
    let compared = |against: Option<&str>, axes: &[String]| {
        changes(&with("a", Some("1.3")), &with("b", against), axes, Pairing::None)
    };
    let error = compared(Some("1.2"), &[]).unwrap_err().to_string();
    assert!(error.ends_with(&format!("\n  {key}: `1.3` and `1.2`")), "{error}");
    assert!(compared(Some("1.2"), &["tls.version".to_owned()]).is_ok());
    assert!(compared(Some("1.3"), &[]).is_ok());
    assert!(compared(None, &[]).is_ok(), "nothing was negotiated");
}

#[test]
fn what_targets_negotiated_is_a_parameter() {
    let parameters = Observed::of_run("closed.json", &recorded()).parameters;
    let negotiated: Vec<_> =
        parameters.iter().filter(|(key, _)| key.starts_with("tls.version.negotiated.")).collect();
    assert!(!negotiated.is_empty());
    assert!(negotiated.iter().all(|(_, version)| *version == "1.3"), "{negotiated:?}");
}

#[test]
fn an_endpoint_record_gives_its_figures_and_what_it_was_measured_under() {
    let record = recorded();
    let seen = Observed::of_run("closed.json", &record);
    let report = crate::report::RunReport::new("", &record);
    for target in report.targets.iter().filter(|target| target.succeeded > 0) {
        let value = |metric| seen.values.get(&(target.name.clone(), metric)).copied();
        let cpu = target.cpu_ns_per_operation.unwrap().value / 1e3;
        assert!((value(Metric::ClientCpu).unwrap() - cpu).abs() < 1e-6 * cpu, "{}", target.name);
        let rate = target.operations_per_second.unwrap().value;
        assert!((value(Metric::Rate).unwrap() - rate).abs() < 1e-6 * rate, "{}", target.name);
        let p50 = target.latency().unwrap().quantile("p50").unwrap().ns.0 as f64 / 1e3;
        assert_eq!(value(Metric::LatencyP50), Some(p50), "{}", target.name);
        // Four requests on each connection: its CPU time is not that of the handshake.
        assert_eq!(value(Metric::HandshakeCpu), None);
    }
    let parameter = |key: &str| seen.parameters.get(key).map(String::as_str);
    assert_eq!(parameter("tls.resume"), Some("0.5"));
    assert_eq!(parameter("tls.ca_bundle"), Some("given"));
    assert_eq!(parameter("target.plain.url"), Some("http://localhost:18080/"));
    assert_eq!(parameter("environment.cores"), Some("2"));
    assert!(seen.parameters.keys().all(|key| !key.contains("command") && key != "load.seed"));
}

#[test]
fn of_placements_the_cpu_pass_is_compared_and_no_mix_that_was_held_out() {
    use crate::cost::tests::{World, checked, truth};
    use crate::lab::{Pass, Workload};
    let record = checked(truth, truth);
    let seen = |record: &crate::record::lab::LabRecord| Observed::of_lab("run.json", record);
    let once = seen(&record);
    let subject = ("passthrough/full".to_owned(), Metric::Cpu);
    assert!(once.values.contains_key(&subject));
    assert!(once.values.keys().all(|(subject, _)| !subject.ends_with("/mix")));
    assert!(once.parameters.keys().all(|key| !key.starts_with("lab.mix")));
    let mut with_latency = record.clone();
    let mut trial = World::new().trial(record.placement("passthrough").unwrap(), Workload::Full);
    (trial.pass, trial.rate) = (Pass::Latency, Some(100.0));
    trial.hops.iter_mut().flat_map(|hop| &mut hop.rounds).for_each(|round| {
        round.usage.cpu.total.0 *= 3;
    });
    with_latency.trials.push(trial);
    assert_eq!(seen(&with_latency).values, once.values);
    let mut asked_for = record;
    asked_for.held_out = None;
    assert!(seen(&asked_for).values.contains_key(&("passthrough/mix".to_owned(), Metric::Cpu)));
    assert!(seen(&asked_for).parameters.contains_key("lab.mix.requests"));
}

#[test]
fn how_hops_were_joined_and_who_was_charged_are_parameters() {
    use crate::record::lab::{LabRecord, Receiving};
    let text = include_str!("../../../../tests/fixtures/report/placements.json");
    let mut record = LabRecord::from_json(text).unwrap();
    let seen = |record: &LabRecord| Observed::of_lab("run.json", record).parameters;
    let of = |record: &LabRecord| ["lab.netns", "receiving"].map(|key| seen(record)[key].clone());
    assert_eq!(of(&record), ["false", "sender"]);
    (record.lab.netns, record.receiving) = (true, Receiving::Receiver);
    assert_eq!(of(&record), ["true", "receiver"]);
    let again = LabRecord::from_json(&record.to_json().unwrap()).unwrap();
    assert_eq!(of(&again), of(&record));
}

#[test]
fn limits_that_a_record_does_not_say_are_the_default_ones() {
    let old = recorded();
    let with = |scenario| Observed::of_run("a", &RunRecord { scenario, ..old.clone() }).parameters;
    let said = old.scenario().unwrap().to_toml().unwrap();
    assert!(!old.scenario.contains("[timeout]") && said.contains("[timeout]"));
    let unsaid = with(old.scenario.clone());
    assert_eq!(unsaid, with(said));
    let limited = with(format!("{}\n[timeout]\nconnect = '2s'\n", old.scenario));
    let differing: Vec<_> =
        unsaid.iter().filter(|(key, of)| limited.get(*key) != Some(of)).collect();
    assert_eq!(differing, [(&"timeout.connect".to_owned(), &"5s".to_owned())]);
}

#[test]
fn seeds_and_addresses_of_the_generator_are_no_parameters() {
    let text = include_str!("../../../../tests/fixtures/report/open.json");
    let mut record = RunRecord::from_json(text).unwrap();
    let seen = |record: &RunRecord| Observed::of_run("open.json", record).parameters;
    let even = seen(&record);
    record.scenario =
        record.scenario.replace(r#"spread = "even""#, "spread = \"poisson\"\nseed = 7");
    record.scenario = record.scenario.replace("sources = []", r#"sources = ["127.0.0.2"]"#);
    let poisson = seen(&record);
    assert_eq!(poisson.get("load.spread").map(String::as_str), Some("poisson"));
    assert!(!poisson.contains_key("load.seed") && !poisson.contains_key("sources"));
    assert_eq!(even.len(), poisson.len());
}

#[test]
fn handshakes_have_a_cpu_time_where_they_are_most_of_the_work() {
    let mut record = recorded();
    record.scenario =
        record.scenario.replace("requests_per_connection = 4", "requests_per_connection = 1");
    let seen = Observed::of_run("a", &record);
    let target = &record.targets[0];
    let handshakes = target.sum(|round| round.shape.full + round.shape.resumed) as f64;
    let cpu = target.sum(|round| round.cpu.total.0) as f64 / 1e3;
    let value = seen.values[&(target.name.clone(), Metric::HandshakeCpu)];
    assert!((value - cpu / handshakes).abs() < 1e-9 * value);
    assert!(!seen.values.contains_key(&("plain".to_owned(), Metric::HandshakeCpu)));
}

#[test]
fn two_generators_that_were_merged_have_one_rate() {
    let record = recorded();
    let once = Observed::of_run("a", &record);
    let mut other = record.clone();
    for round in other.targets.iter_mut().flat_map(|target| &mut target.rounds) {
        round.cpu.total.0 += 1;
    }
    let both = crate::record::merge([record, other]).unwrap();
    let twice = Observed::of_run("b", &both);
    let rate = |seen: &Observed| seen.values[&("plain".to_owned(), Metric::Rate)];
    assert!((rate(&twice) - 2.0 * rate(&once)).abs() < 1e-6 * rate(&twice));
}

#[test]
fn the_page_names_every_metric_and_every_field() {
    let page = include_str!("../../../../docs/compare.md");
    let in_table = |heading: &str| -> BTreeSet<String> {
        let part = page.split(heading).nth(1).unwrap().split("\n## ").next().unwrap();
        let names = part.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        names.map(|(name, _)| name.to_owned()).collect()
    };
    let metrics: BTreeSet<String> = Metric::all().map(|metric| metric.to_string()).collect();
    assert_eq!(in_table("\n## Metrics\n"), metrics);
    for metric in Metric::all() {
        assert_eq!(metric.to_string().parse(), Ok(metric));
        assert!(page.contains(&format!("| `{metric}` | {} |", metric.unit())), "{metric}");
    }
    let mut these = side("a", &times(1.1));
    these
        .iter_mut()
        .for_each(|one| drop(one.parameters.insert("tls.version".into(), "1.2".into())));
    let found = changes(&these, &side("b", &BEFORE), &["tls".into()], Pairing::None).unwrap();
    let mut written = BTreeSet::new();
    paths(&serde_json::to_value(&found).unwrap(), "", &mut written);
    written.extend(["conditions[].condition", "conditions[].outcome"].map(str::to_owned));
    written.extend(["conditions[].subjects.*".to_owned()]);
    assert_eq!(in_table("\n## JSON\n"), written);
}

fn paths(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    use serde_json::Value::{Array, Object};
    match value {
        Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                paths(value, &format!("{path}{dot}{name}"), found);
            }
        }
        Array(values) => values.iter().for_each(|value| paths(value, &format!("{path}[]"), found)),
        _ => drop(found.insert(path.to_owned())),
    }
}

#[test]
fn a_side_where_nothing_succeeds_is_worse_however_few_records_there_are() {
    let mut these = side("a", &[110.0]);
    let mut against = side("b", &[100.0]);
    these[0].values.clear();
    these[0].failed.insert("shop".to_owned(), 1.0);
    against[0].failed.insert("shop".to_owned(), 0.002);
    let found = only(&these, &against, Pairing::None);
    assert_eq!((found.metric, found.verdict), (Metric::Failed, Verdict::CostsMore));
    assert_eq!((found.words().as_str(), found.mean, found.against), ("worse", 100.0, 0.2));
    let outcome = |these: &[Observed], against: &[Observed]| {
        let changes = changes(these, against, &[], Pairing::None).unwrap();
        let condition: Condition = "cpu > +5%".parse().unwrap();
        condition.outcomes(&changes).iter().map(|(_, outcome)| *outcome).max()
    };
    assert_eq!(outcome(&these, &against), Some(ConditionOutcome::Fails));

    let found = only(&against, &these, Pairing::None);
    assert_eq!(found.words(), "better");
    assert_eq!(outcome(&against, &these), Some(ConditionOutcome::Holds));

    // Without a figure on either side nothing is told but that.
    let mut both = side("b", &[100.0]);
    both[0].values.clear();
    both[0].failed.insert("shop".to_owned(), 1.0);
    let found = only(&these, &both, Pairing::None);
    assert_eq!(found.verdict, Verdict::Inconclusive { reason: InconclusiveReason::Spoiled });
    assert_eq!(outcome(&these, &both), Some(ConditionOutcome::CannotTell));
}

#[test]
fn one_dead_record_of_five_does_not_hide_its_subject() {
    let mut these = side("a", &times(1.1));
    these[2].values.clear();
    these[2].failed.insert("shop".to_owned(), 1.0);
    let found = only(&these, &side("b", &BEFORE), Pairing::None);
    assert_eq!((found.metric, found.words().as_str()), (Metric::Failed, "worse"));
}
