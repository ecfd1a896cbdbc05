//! `trustd render --watch`: what is rendered follows the files.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::*;

/// `trustd render --watch`, stopped at the end whatever happens.
struct Watcher {
    child: Child,
    manifests: Folder,
    scratch: Folder,
}

impl Watcher {
    fn start() -> Self {
        let (manifests, scratch) = (manifests(), Folder::new());
        let stderr = File::create(scratch.path().join("stderr")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_trustd"));
        command.args(["render", "--watch", "-f"]).arg(manifests.path());
        command.arg("--out").arg(scratch.path().join("out"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let watcher = Self { child: command.spawn().unwrap(), manifests, scratch };
        watcher.wait_until("the first files are there", |w| w.file("prod") == bundle(&["alpha"]));
        watcher
    }

    /// The file of a namespace, or nothing.
    fn file(&self, namespace: &str) -> Option<String> {
        let path = format!("out/{namespace}/roots/ca-bundle.crt");
        fs::read_to_string(self.scratch.path().join(path)).ok()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.scratch.path().join("stderr")).unwrap()
    }

    /// A second is what is promised; a loaded machine is given five.
    #[track_caller]
    fn wait_until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is(self) {
            assert!(start.elapsed() < SOON, "not seen in {SOON:?}: {what}\n{}", self.stderr());
            sleep(Duration::from_millis(10));
        }
        eprintln!("{what}: {:?}", start.elapsed());
    }

    fn kill(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < SOON, "it does not end");
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SOON: Duration = Duration::from_secs(5);

fn bundle(names: &[&str]) -> Option<String> {
    Some(pem(names).trim_end().to_owned())
}

#[test]
fn a_watch_renders_again_when_a_file_is_written_or_replaced() {
    let watcher = Watcher::start();
    watcher.manifests.file("source.yaml", source(&pem(&["beta"])));
    watcher.wait_until("a file was written", |w| w.file("prod") == bundle(&["beta"]));
    // As editors do, twice, for a watch on the old file would see the first time only.
    for name in ["gamma", "delta"] {
        let new = watcher.manifests.file(".source.yaml.swp", source(&pem(&[name])));
        fs::rename(new, watcher.manifests.path().join("source.yaml")).unwrap();
        watcher.wait_until("a file was replaced", |w| w.file("prod") == bundle(&[name]));
    }
    watcher.manifests.file(
        "more.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: { name: new, labels: { env: prod } }\n",
    );
    watcher.wait_until("a file came", |w| w.file("new") == bundle(&["delta"]));
    fs::remove_file(watcher.manifests.path().join("more.yaml")).unwrap();
    watcher.wait_until("a file went, and what it led to", |w| w.file("new").is_none());
    assert_eq!(watcher.file("prod"), bundle(&["delta"]));
}

#[test]
fn a_watch_outlives_a_broken_edit_and_keeps_what_was_rendered() {
    let mut watcher = Watcher::start();
    let inode = |w: &Watcher| {
        fs::metadata(w.scratch.path().join("out/prod/roots/ca-bundle.crt")).unwrap().ino()
    };
    let before = inode(&watcher);
    watcher.manifests.file("source.yaml", "apiVersion: v1\nkind: [");
    watcher.wait_until("the error is told", |w| {
        w.stderr().contains("error: ") && w.stderr().contains("source.yaml")
    });
    assert_eq!(watcher.file("prod"), bundle(&["alpha"]));
    // A source that is missing breaks the Bundle, not the file that was made of it.
    fs::remove_file(watcher.manifests.path().join("source.yaml")).unwrap();
    watcher.wait_until("the missing source is told", |w| w.stderr().contains("SourceNotFound"));
    assert_eq!(watcher.file("prod"), bundle(&["alpha"]), "fail static");
    assert_eq!(inode(&watcher), before);
    // Nor does a Bundle that is invalid for a while.
    watcher.manifests.file("bundle.yaml", BUNDLE.replace("name: source", "nome: source"));
    watcher.wait_until("the invalid Bundle is told", |w| w.stderr().contains("is invalid"));
    assert_eq!(inode(&watcher), before);
    watcher.manifests.file("bundle.yaml", BUNDLE);
    watcher.manifests.file("source.yaml", source(&pem(&["beta"])));
    watcher.wait_until("it is sound again", |w| w.file("prod") == bundle(&["beta"]));
    let before_again = watcher.stderr().matches("SourceNotFound").count();
    // Clean-up goes on all the same: `prod` is no longer selected, and the source is gone.
    fs::remove_file(watcher.manifests.path().join("source.yaml")).unwrap();
    watcher.wait_until("the missing source is told again", |w| {
        w.stderr().matches("SourceNotFound").count() > before_again
    });
    assert_eq!(watcher.file("prod"), bundle(&["beta"]));
    let renamed = NAMESPACES.replace("env: prod", "env: test");
    watcher.manifests.file("namespaces.yaml", renamed);
    watcher.wait_until("a namespace is deselected", |w| w.file("prod").is_none());
    watcher.manifests.file("namespaces.yaml", NAMESPACES);
    watcher.manifests.file("source.yaml", source(&pem(&["beta"])));
    watcher.wait_until("all is well", |w| w.file("prod") == bundle(&["beta"]));
    let ended = watcher.kill();
    assert_eq!(ended.signal(), Some(15), "{ended}");
    assert_eq!(watcher.file("prod"), bundle(&["beta"]), "files outlive the watch");
}

#[test]
fn stdin_cannot_be_watched() {
    let ran = trustd_with_stdin(["render", "--watch", "-f", "-"], BUNDLE.as_bytes());
    assert!(ran.code == 2 && ran.err.contains("stdin"), "{ran:?}");
}
