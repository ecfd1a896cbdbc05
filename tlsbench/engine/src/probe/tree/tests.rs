//! A stub that burns a known CPU time per line that it reads, in a thread that then ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;

/// CPU time per line.
const BURN: Nanos = Nanos(4_000_000);

/// A stub and not a test: the tests start it as a process of its own.
#[test]
#[ignore = "the stub that the other tests start"]
fn stub() {
    let mut burnt = Nanos(0);
    for line in io::stdin().lock().lines() {
        if line.unwrap() == "exit" {
            return;
        }
        let burning = std::thread::spawn(|| {
            let begin = Clock::ThreadCpu.now();
            while Clock::ThreadCpu.now() - begin < BURN {
                std::hint::black_box([0u8; 256]);
            }
            Clock::ThreadCpu.now()
        });
        burnt = burnt + burning.join().unwrap();
        // The harness of tests captures only what goes through its own macros.
        writeln!(io::stderr(), "{}", (burnt + Clock::ThreadCpu.now()).0).unwrap();
    }
}

/// A stub, or what starts some; killed at the end.
struct Started(Child, BufReader<std::process::ChildStderr>, Nanos);

impl Started {
    fn new(command: &mut Command) -> Self {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let words = BufReader::new(child.stderr.take().unwrap());
        let mut started = Self(child, words, Nanos(0));
        // What it needs to get going is not what is measured.
        started.2 = started.burn(1);
        started
    }

    fn stub() -> Self {
        Self::new(Command::new(std::env::current_exe().unwrap()).args(ARGUMENTS))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Lets it burn this many times; what it has burnt by then, by the clocks of its own threads.
    fn burn(&mut self, times: u64) -> Nanos {
        let mut word = String::new();
        for _ in 0..times {
            self.0.stdin.as_mut().unwrap().write_all(b"burn\n").unwrap();
            word.clear();
            self.1.read_line(&mut word).unwrap();
        }
        Nanos(word.trim().parse().unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Whoever reads it ends with its standard input, what it started included.
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const ARGUMENTS: [&str; 4] = ["--exact", "probe::tree::tests::stub", "--ignored", "--nocapture"];

fn assert_about(used: Nanos, expected: Nanos) {
    let ratio = used.0 as f64 / expected.0 as f64;
    assert!((0.95..1.05).contains(&ratio), "{used} instead of {expected}");
}

#[test]
fn what_works_for_a_process_without_descending_from_it_is_measured_with_it() {
    let (mut stub, mut other) = (Started::stub(), Started::stub());
    let mut tree = Tree::with_threads(stub.pid(), &[other.pid()]).unwrap();
    let mut alone = Tree::of_threads(&[other.pid()]).unwrap();
    let (before, before_alone) = (tree.read().unwrap(), alone.read().unwrap());
    let of_other = other.burn(100) - other.2;
    let burnt = stub.burn(100) - stub.2;
    let (after, after_alone) = (tree.read().unwrap(), alone.read().unwrap());
    assert_about((after.usage - before.usage).cpu.total, Nanos(burnt.0 + of_other.0));
    assert_about((after_alone.usage - before_alone.usage).cpu.total, of_other);
    assert_eq!((after.processes, after_alone.processes), (2, 1));
    // It may go first; what it used is not lost.
    drop(other);
    let last = tree.read().unwrap();
    assert_eq!((last.processes, last.ended), (1, 1));
    assert!(last.usage.cpu.total >= after.usage.cpu.total);
    assert_eq!(Tree::of_threads(&[]).unwrap().read().unwrap().usage.cpu.total, Nanos(0));
}

#[test]
fn threads_that_end_are_measured_within_5_percent() {
    let mut stub = Started::stub();
    let mut tree = Tree::of(stub.pid()).unwrap();
    let before = tree.read().unwrap();
    let burnt = stub.burn(100) - stub.2;
    let after = tree.read().unwrap();
    let used = after.usage - before.usage;
    assert_about(used.cpu.total, burnt);
    assert!(burnt.0 >= 100 * BURN.0);
    // In ticks, of both kinds, each cut off.
    let split = used.cpu.user + used.cpu.system;
    assert!(split.0.abs_diff(used.cpu.total.0) <= 4 * tree.tick.0, "{used:?}");
    // It waits for each line and for each thread.
    assert!(used.voluntary_switches >= 100, "{used:?}");
    assert_eq!((after.processes, after.ended), (1, 0));
    assert!(after.at > before.at && after.threads >= 1);
    let Memory { resident_bytes, peak_bytes } = after.memory;
    assert!(resident_bytes > 100_000 && peak_bytes >= resident_bytes, "{:?}", after.memory);
}

#[test]
fn children_count_and_what_they_used_stays_when_they_end() {
    let stub = std::env::current_exe().unwrap();
    // The shell waits, so the stub is its child; it lives on after it.
    let script =
        format!("{} {} >/dev/null; read line; exit 0", stub.display(), ARGUMENTS.join(" "));
    let mut shell = Started::new(Command::new("sh").args(["-c", &script]));
    let mut tree = Tree::of(shell.pid()).unwrap();
    let before = tree.read().unwrap();
    assert_eq!(before.processes, 2);
    let burnt = shell.burn(50) - shell.2;
    let after = tree.read().unwrap();
    assert_about((after.usage - before.usage).cpu.total, burnt);

    shell.0.stdin.as_mut().unwrap().write_all(b"exit\n").unwrap();
    let ended = until(|| Some(tree.read().unwrap()).filter(|reading| reading.processes == 1));
    assert_eq!(ended.ended, 1);
    assert!(ended.usage.cpu.total >= after.usage.cpu.total, "{ended:?} after {after:?}");
}

#[test]
fn a_process_that_starts_meanwhile_is_found() {
    let stub = std::env::current_exe().unwrap();
    let script = format!("read first; echo 0 >&2; {} {}", stub.display(), ARGUMENTS.join(" "));
    let mut shell = Started::new(Command::new("sh").args(["-c", &script]));
    let mut tree = Tree::of(shell.pid()).unwrap();
    let before = tree.read().unwrap();
    let burnt = shell.burn(100);
    let after = tree.read().unwrap();
    assert_eq!(after.processes, 2);
    // All of it, and what starting takes.
    let used = (after.usage - before.usage).cpu.total;
    assert!(used >= burnt && used.0 < burnt.0 + 50 * BURN.0, "{used} instead of {burnt}");
}

#[test]
fn others_are_those_that_are_not_ours_the_busiest_first() {
    let (mut one, mut two) = (Started::stub(), Started::stub());
    let others = Others::begin().unwrap();
    one.burn(10);
    two.burn(30);
    let pids = [one.pid(), two.pid()];
    let seen = others.since(|pid| !pids.contains(&pid)).unwrap();
    assert_eq!(seen.iter().map(|other| other.pid).collect::<Vec<_>>(), [two.pid(), one.pid()]);
    assert!(seen[0].cpu.0 >= 30 * BURN.0 && !seen[0].name.is_empty(), "{seen:?}");
    let none = others.since(|_| true).unwrap();
    assert_eq!(none, []);
}

#[test]
fn a_process_that_is_not_there_is_an_error_with_its_number() {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let error = Tree::of(child.id()).unwrap_err();
    assert_eq!(error.to_string(), format!("process {} is not there", child.id()));

    let mut stub = Started::stub();
    let mut tree = Tree::of(stub.pid()).unwrap();
    stub.0.kill().unwrap();
    stub.0.wait().unwrap();
    assert!(matches!(tree.read(), Err(TreeError::Gone { pid }) if pid == stub.pid()));
}

fn until<T>(mut what: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3_000 {
        if let Some(value) = what() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come about within 30 s");
}
