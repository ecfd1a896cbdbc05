//! What a run says of itself: its exit code, its summary, and what its record holds besides counts.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use tlsbench_engine::testserver::{Answer, TestServer, TestServerConfig};

use crate::bench::Bench;
use crate::servers::{free_address, installed};

/// A server that answers by a few bytes.
fn server(bench: &Bench) -> TestServer {
    TestServer::start(TestServerConfig::tls(bench.certificate().identity, 10)).unwrap()
}

#[test]
fn a_run_without_a_success_is_a_no_and_spoiled_however_few_failed() {
    let ran = Bench::new().run(free_address(), &["--round-count", "1", "-n", "1"]);
    assert_eq!((ran.code, ran.sum(&["failed", "connect_refused"])), (Some(1), 2), "{ran:#?}");
    assert!(ran.out.contains("(errors; no verdict on capacity, cpu, latency, money)"), "{ran:#?}");
    assert!(ran.out.contains(": 2 failed: connect_refused\n"), "{ran:#?}");
    // With their cure.
    assert!(ran.out.contains("see that the server runs"), "{ran:#?}");
}

#[test]
fn a_record_goes_to_the_folder_runs_unless_it_is_told_where() {
    let bench = Bench::new();
    let server = TestServer::start(TestServerConfig::plain(10)).unwrap();
    let target = format!("http://{}/", server.address());
    let mut command = bench.anywhere();
    command.args(["--target", &target, "--round-count", "5", "--rounds", "1", "--warm-up", "0s"]);
    let output = command.output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let path = out.lines().last().unwrap().strip_prefix("record: ").unwrap();
    assert!(path.starts_with("runs/") && path.ends_with("Z.json"), "{path}");
    let record: Json =
        serde_json::from_str(&fs::read_to_string(bench.file(path)).unwrap()).unwrap();
    let started = record["started"].as_str().unwrap();
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    assert_eq!(digits(path), digits(started.split('.').next().unwrap()));
}

#[test]
fn a_debug_build_says_so_in_its_record_and_beside_its_figures() {
    let bench = Bench::new();
    let server = server(&bench);
    let ran = bench.run(server.address(), &["--round-count", "5"]);
    let is_debug = cfg!(debug_assertions);
    let program = ran.record["program"].as_str().unwrap();
    assert_eq!(program.ends_with(" (debug build)"), is_debug, "{program}");
    assert_eq!(ran.out.contains("warning: this is a debug build"), is_debug, "{ran:#?}");
}

#[test]
fn secrets_stay_out_of_the_record_and_the_summary() {
    let bench = Bench::new();
    let server = server(&bench);
    let secrets = ["-H", "Authorization: Bearer hunter2", "-H", "Cookie: id=hunter3"];
    let odd = ["-H=X-Whatever: hunter5", "-H=Accept: text/html"];
    let body = [&odd[..], &["-X", "POST", "-kd", "hunter4", "--round-count", "5"]].concat();
    for output in ["json", "table"] {
        let flags = [&secrets[..], &body, &["-o", output]].concat();
        let ran = bench.run(server.address(), &flags);
        ran.assert_all_succeeded(10);
        let text = fs::read_to_string(bench.file("run.json")).unwrap() + &ran.out;
        assert!(text.contains("redacted") && !text.contains("hunter"), "{text}");
        assert!(text.contains("text/html"), "{text}");
    }
}

#[test]
fn a_terminal_is_shown_rate_and_p99_while_it_goes_on_and_nothing_afterwards() {
    if installed("script", "bsdutils").is_none() {
        return;
    }
    let bench = Bench::new();
    let server = server(&bench);
    let flags = ["--round", "700ms", "--rounds", "3", "-n", "2"];
    let run = bench.command(server.address(), &flags);
    let words = [run.get_program()].into_iter().chain(run.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    // It gives the command a terminal, and copies here what appears on it.
    let mut terminal = Command::new("script");
    terminal.args(["-q", "-e", "-E", "never", "-c", &line.join(" "), "/dev/null"]);
    terminal.env("TERM", "xterm").current_dir(run.get_current_dir().unwrap());
    let output = terminal.stdin(Stdio::null()).output().unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{seen}");
    let lines: Vec<&str> =
        seen.split(['\r', '\n']).filter(|line| line.contains(" rounds ")).collect();
    let of = |line: &&str| {
        let (rate, rest) = line.split_once("/s, p99 ")?;
        let rate: u64 = rate.rsplit(' ').next()?.parse().ok()?;
        Some((rate, rest.contains("s, 0 failed, 0 missed")))
    };
    let told: Vec<(u64, bool)> = lines.iter().filter_map(of).collect();
    assert!(told.iter().any(|(rate, rest)| *rate > 0 && *rest), "{seen:?}");
    // The line is wiped away before the summary comes.
    let (last, summary) = seen.rsplit_once(" rounds ").unwrap();
    assert!(!last.contains("record: ") && summary.contains("\x1b[2K"), "{seen:?}");
    assert!(summary.contains("run.json"), "{seen:?}");
}

#[test]
fn a_run_that_cannot_be_pinned_says_so() {
    let bench = Bench::new();
    let server = server(&bench);
    for (threads, is_pinned) in [("1", true), ("2", false)] {
        let flags = ["--pin", "--threads", threads, "--round-count", "8"];
        let run = bench.command(server.address(), &flags);
        let mut on_one_cpu = Command::new("taskset");
        on_one_cpu.args(["-c", "0"]).arg(run.get_program()).args(run.get_args());
        let output = on_one_cpu.current_dir(run.get_current_dir().unwrap()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        let record = fs::read_to_string(bench.file("run.json")).unwrap();
        let record: Json = serde_json::from_str(&record).unwrap();
        let said = record["notes"].to_string();
        for text in [&err, &said] {
            assert_eq!(!text.contains("not pinned: 2 threads"), is_pinned, "{threads}: {text}");
        }
    }
}

#[test]
fn flags_win_over_the_scenario_file() {
    let bench = Bench::new();
    let file = "[[target]]\nname = \"a\"\nurl = \"https://localhost/\"\nsni = \"file.test\"\n\
                [tls]\nresume = 0.25\nversion = \"1.2\"\n[load]\nrequests_per_connection = 3\n";
    bench.write("scenario.toml", file);
    let printed = |flags: &[&str]| {
        let mut command = bench.anywhere();
        command.args(["-c", "scenario.toml", "--print-scenario"]).args(flags);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let says = |text: &str, lines: &[&str]| {
        lines.iter().all(|line| text.lines().any(|said| said == *line))
    };
    let all = printed(&[]);
    let lines = [
        "sni = \"file.test\"",
        "resume = 0.25",
        "version = \"1.2\"",
        "requests_per_connection = 3",
    ];
    assert!(says(&all, &lines), "{all}");
    let flags = ["--resume", "0.5", "--sni", "flag.test", "--connect-to", "127.0.0.1:1"];
    let all = printed(&flags);
    let lines = [
        "sni = \"flag.test\"",
        "connect_to = [\"127.0.0.1:1\"]",
        "resume = 0.5",
        "version = \"1.2\"",
        "requests_per_connection = 3",
    ];
    assert!(says(&all, &lines), "{all}");
}

#[test]
fn rounds_have_their_time_and_what_the_generator_used_of_it() {
    let bench = Bench::new();
    let server = server(&bench);
    let ran = bench.run(server.address(), &["--round", "300ms", "--keep-alive"]);
    // The end of a round may be noticed late, which the next one lacks, and the beginning of the first.
    assert!(ran.sum(&["wall_ns"]) >= 300_000_000, "{ran:#?}");
    for round in ran.rounds() {
        let of = |key: &str| round[key].as_u64().unwrap();
        let (wall, busiest) = (of("wall_ns"), of("busiest_thread_ns"));
        let cpu = round["cpu"]["total_ns"].as_u64().unwrap();
        assert!(0 < busiest && busiest <= wall, "{round:#}");
        assert!(cpu > 0 && of("succeeded") > 0, "{round:#}");
        let rate = of("succeeded") as f64 / (wall as f64 / 1e9);
        let recorded = round["operations_per_second"].as_f64().unwrap();
        assert!((recorded - rate).abs() <= rate * 1e-6, "{round:#}");
    }
    let rounds: Vec<_> = ran.rounds().iter().map(|round| round["round"].clone()).collect();
    assert_eq!(rounds, [0, 1]);
}

#[test]
fn missed_starts_are_quantiles_of_at_least_the_longest_wait() {
    let bench = Bench::new();
    let mut fake = TestServerConfig::tls(bench.certificate().identity, 10);
    fake.answer = Answer::Stall;
    let server = TestServer::start(fake).unwrap();
    let load = ["--rate", "100", "--pool", "1", "--max-wait", "50ms", "--keep-alive"];
    let ran = bench.run(server.address(), &[&load[..], &["--round", "500ms"]].concat());
    assert_eq!((ran.code, ran.succeeded()), (Some(1), 0), "{ran:#?}");
    let missed = ran.sum(&["missed"]);
    // One start is under way for good.
    assert!((90..100).contains(&missed), "{missed} {ran:#?}");
    assert_eq!(ran.sum(&["scheduled"]), 100, "{ran:#?}");
    for round in ran.rounds() {
        let corrected = &round["quantiles"]["corrected"];
        assert_eq!(corrected["p50_at_least"], true, "{round:#}");
        assert_eq!(corrected["p50_ns"], 50_000_000, "{round:#}");
    }
    assert!(ran.out.contains("> 50"), "{ran:#?}");
}

#[test]
fn targets_take_turns_and_each_has_its_rounds() {
    let bench = Bench::new();
    let servers = [server(&bench), server(&bench)];
    let mut command = bench.bare(&["--verify=off", "--round-count", "10", "--rounds", "3"]);
    for (name, server) in ["one", "two"].iter().zip(&servers) {
        let port = server.address().port();
        command.args(["--target", &format!("{name}=https://127.0.0.1:{port}/")]);
    }
    let ran = bench.finish(command);
    let targets = ran.record["targets"].as_array().unwrap();
    for (target, name) in targets.iter().zip(["one", "two"]) {
        assert_eq!(target["name"], name);
        let rounds = target["rounds"].as_array().unwrap();
        let counts: Vec<_> =
            rounds.iter().map(|round| (&round["round"], &round["succeeded"])).collect();
        let counts: Vec<_> = counts.iter().map(|(r, s)| (r.as_u64(), s.as_u64())).collect();
        assert_eq!(counts, [(Some(0), Some(10)), (Some(1), Some(10)), (Some(2), Some(10))]);
    }
    assert!(ran.out.contains("one") && ran.out.contains("two"), "{ran:#?}");
}
