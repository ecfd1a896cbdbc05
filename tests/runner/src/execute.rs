//! Running executables, a few at a time.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::cargo::Executable;
use crate::libtest;
use crate::summary::Ended;

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Executables at a time.
    pub jobs: usize,
    /// Further arguments of each: names to look for, `--exact`.
    pub arguments: Vec<String>,
}

/// Runs all executables and reports each as it ends: what it came to, and its output.
///
/// The order is that of the list, so whoever makes it puts the longest first.
///
/// # Errors
/// Fails if an executable cannot be started.
pub fn run(
    executables: Vec<Executable>,
    settings: &Settings,
    mut on_end: impl FnMut(&Ended, &str),
) -> Result<Vec<Ended>> {
    let queue = Mutex::new(executables.into_iter());
    let (sender, ended): (_, Receiver<Result<(Ended, String)>>) = channel();
    let mut all = Vec::new();
    thread::scope(|scope| {
        for _ in 0..settings.jobs.max(1) {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || {
                // A poisoned queue is as good as before: taking one executable cannot tear it.
                let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some(next) = take() {
                    if sender.send(one(&next, &settings.arguments)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for result in ended {
            let (ended, output) = result?;
            on_end(&ended, &output);
            all.push(ended);
        }
        Ok(all)
    })
}

fn one(executable: &Executable, arguments: &[String]) -> Result<(Ended, String)> {
    let start = Instant::now();
    let mut child = Command::new(&executable.path)
        .current_dir(&executable.folder)
        .args(["--show-output", "-Z", "unstable-options", "--report-time"])
        .args(arguments)
        // libtest of a stable toolchain reports times only if told that it may.
        .env("RUSTC_BOOTSTRAP", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", executable.path.display()))?;
    let mut errors = child.stderr.take();
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        // What was read until then is still worth showing.
        errors.as_mut().map(|pipe| pipe.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut output = String::new();
    let lines = child.stdout.take().map(BufReader::new);
    for line in lines.into_iter().flat_map(|pipe| pipe.split(b'\n')).map_while(Result::ok) {
        output.push_str(&String::from_utf8_lossy(&line));
        output.push('\n');
    }
    let status = child.wait().with_context(|| format!("cannot wait for {}", executable.name))?;
    output.push_str(&errors.join().unwrap_or_default());
    let ended = Ended {
        name: executable.name.clone(),
        tests: libtest::tests(&output),
        succeeded: status.success(),
        took: start.elapsed(),
    };
    Ok((ended, output))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::libtest::TestResult;

    fn script(folder: &Path, name: &str, text: &str) -> Executable {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Executable { name: name.into(), path, folder: folder.to_owned() }
    }

    #[test]
    fn each_runs_in_its_folder_with_the_arguments_and_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("here"), "").unwrap();
        let good = script(folder.path(), "good", "test -e here && echo \"test $5 ... ok <0.1s>\"");
        let bad =
            script(folder.path(), "bad", "echo 'test b ... FAILED <0.1s>'; echo why >&2; exit 101");
        let settings = Settings { jobs: 2, arguments: vec!["name".into()] };
        let mut outputs = Vec::new();
        let mut all = run(vec![good, bad], &settings, |ended, output| {
            outputs.push((ended.name.clone(), output.to_owned()));
        })
        .unwrap();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(all.len(), 2);
        assert!(!all[0].succeeded);
        assert_eq!(all[0].tests[0].result, TestResult::Failed);
        assert!(all[1].succeeded);
        assert_eq!(all[1].tests[0].name, "name");
        assert!(outputs.iter().any(|(name, output)| name == "bad" && output.contains("why")));
    }

    #[test]
    fn two_run_at_the_same_time() {
        let folder = tempfile::tempdir().unwrap();
        // Each waits for the other, so one after the other neither would end.
        let wait = |own: &str, other: &str| {
            format!(
                "touch {own}; for i in $(seq 100); do test -e {other} && exit 0; sleep 0.1; done; exit 1"
            )
        };
        let both = vec![
            script(folder.path(), "one", &wait("a", "b")),
            script(folder.path(), "two", &wait("b", "a")),
        ];
        let settings = Settings { jobs: 2, arguments: Vec::new() };
        let all = run(both, &settings, |_, _| {}).unwrap();
        assert!(all.iter().all(|ended| ended.succeeded));
    }

    #[test]
    fn an_executable_that_is_not_there_is_named() {
        let gone = Executable { name: "gone".into(), path: "/gone".into(), folder: "/".into() };
        let settings = Settings { jobs: 1, arguments: Vec::new() };
        let error = run(vec![gone], &settings, |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("/gone"), "{error}");
    }
}
