//! Watching: tells when something below given paths has changed.
//!
//! The truth is the content: a change is reported when the digests of the files differ from the
//! last look, and never otherwise. inotify only says when to look; where it is silent (network file
//! systems, exhausted watches) a slow poll looks anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use trustd_core::certificate::Sha256;

use super::find::below;
use super::{FileError, Input, read};

/// The timing of a [`FileWatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchTiming {
    /// The time for which files must be quiet before a look, so that one save is one change.
    pub quiet: Duration,
    /// The longest a look is put off while things are not quiet.
    pub patience: Duration,
    /// The interval of looks without a notification.
    pub poll: Duration,
    /// Use inotify.
    pub listen: bool,
}

impl Default for WatchTiming {
    /// A change is seen well within a second.
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            patience: Duration::from_millis(500),
            poll: Duration::from_secs(10),
            listen: true,
        }
    }
}

/// Watches files, and the manifests below directories, from the moment it is made.
///
/// Make it first and read the files afterwards: then a change is either read or reported.
pub struct FileWatch {
    paths: Vec<PathBuf>,
    timing: WatchTiming,
    seen: Contents,
    looked: Instant,
    heard: Receiver<()>,
    hear: SyncSender<()>,
    ears: Option<RecommendedWatcher>,
}

/// The digest of each file, or nothing where it cannot be read.
type Contents = BTreeMap<PathBuf, Option<Sha256>>;

impl std::fmt::Debug for FileWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWatch").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl FileWatch {
    /// Starts to watch. Paths may be missing; they are then watched for. Stdin is not watched.
    ///
    /// # Errors
    /// When the working directory is unknown and a path is relative to it.
    pub fn new(inputs: &[Input], timing: WatchTiming) -> Result<Self, FileError> {
        let mut paths = Vec::new();
        for input in inputs {
            if let Input::Path(path) = input {
                let absolute = std::path::absolute(path)
                    .map_err(|source| FileError::Read { path: path.clone(), source })?;
                paths.push(absolute);
            }
        }
        // One slot: that something was heard is all there is to know.
        let (hear, heard) = sync_channel(1);
        let looked = Instant::now();
        let mut watch =
            Self { paths, timing, seen: Contents::new(), looked, heard, hear, ears: None };
        watch.seen = watch.look();
        Ok(watch)
    }

    /// Returns true if changes are noticed at once. If not (inotify is exhausted or unavailable),
    /// only the poll finds them.
    #[must_use]
    pub const fn listens(&self) -> bool {
        self.ears.is_some()
    }

    /// Waits for a change, at most this long. The answer names the files that changed, came or
    /// went; it is empty when the time passed without a change.
    pub fn wait(&mut self, at_most: Duration) -> BTreeSet<PathBuf> {
        let start = Instant::now();
        loop {
            let left = at_most.saturating_sub(start.elapsed());
            let until_poll = self.timing.poll.saturating_sub(self.looked.elapsed());
            if self.heard.recv_timeout(left.min(until_poll)).is_ok() {
                self.settle();
            } else if left <= until_poll {
                return BTreeSet::new();
            }
            let now = self.look();
            let changed = differences(&self.seen, &now);
            self.seen = now;
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    /// Waits until nothing was heard for a while, or patience ends.
    fn settle(&self) {
        let end = Instant::now() + self.timing.patience;
        while Instant::now() < end && self.heard.recv_timeout(self.timing.quiet).is_ok() {}
    }

    /// The contents as they are now, with ears on every directory that they depend on.
    fn look(&mut self) -> Contents {
        self.looked = Instant::now();
        let mut survey = Survey::of(&self.paths);
        // Ears are put up anew at each look: a directory that was removed and made again, or a
        // link that leads elsewhere now, has the old name and needs a new ear. What happens between
        // survey and ears is seen by a second survey.
        for _ in 0..SURVEYS_MAX {
            self.ears = if self.timing.listen { self.listen(&survey.folders) } else { None };
            let again = Survey::of(&self.paths);
            let settled = again.folders == survey.folders;
            survey = again;
            if settled {
                break;
            }
        }
        let digest = |path: PathBuf| {
            let digest = read(&Input::Path(path.clone())).ok().map(|bytes| Sha256::of(&bytes));
            (path, digest)
        };
        survey.files.into_iter().map(digest).collect()
    }

    fn listen(&self, folders: &BTreeSet<PathBuf>) -> Option<RecommendedWatcher> {
        let hear = self.hear.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            if !event.is_ok_and(|event| is_only_reading(event.kind)) {
                // A full slot means that it is known already.
                let _ = hear.try_send(());
            }
        };
        let mut ears = notify::recommended_watcher(on_event).ok()?;
        for folder in folders {
            match ears.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                // It went away meanwhile; the next survey knows.
                Err(error) if is_missing(&error) => {}
                Err(_) => return None,
            }
        }
        Some(ears)
    }
}

/// Reading files is not changing them, and our own reading must not wake us.
fn is_only_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(cause) => cause.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn differences(before: &Contents, now: &Contents) -> BTreeSet<PathBuf> {
    let differs = |path: &&PathBuf| before.get(*path) != now.get(*path);
    before.keys().chain(now.keys()).filter(differs).cloned().collect()
}

/// The files that exist, and the directories in which a change of them would show.
#[derive(Default)]
struct Survey {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Survey {
    fn of(paths: &[PathBuf]) -> Self {
        let mut survey = Self::default();
        for path in paths {
            survey.follow(path);
            if !fs::metadata(path).is_ok_and(|data| data.is_dir()) {
                survey.files.insert(path.clone());
                continue;
            }
            // A directory that cannot be listed now counts as empty until it can.
            let found = below(path).unwrap_or_default();
            for file in found.files {
                if fs::symlink_metadata(&file).is_ok_and(|data| data.is_symlink()) {
                    survey.follow(&file);
                }
                survey.files.insert(file);
            }
            survey.folders.extend(found.folders);
        }
        survey
    }

    /// Notes the directories in which a step on the way to `path` could change: the one that
    /// holds it, that of each link on the way, and where the way ends early, the last there is.
    fn follow(&mut self, path: &Path) {
        let mut ahead = vec![path.to_owned()];
        for _ in 0..LINKS_MAX {
            let Some(path) = ahead.pop() else { return };
            let holder = path.ancestors().skip(1).find(|folder| folder.is_dir());
            self.folders.extend(holder.map(Path::to_owned));
            for step in path.ancestors() {
                let (Ok(target), Some(folder)) = (fs::read_link(step), step.parent()) else {
                    continue;
                };
                self.folders.insert(folder.to_owned());
                let rest = path.strip_prefix(step).unwrap_or(Path::new(""));
                ahead.push(tidy(&folder.join(target).join(rest)));
                // What lies above this link is walked with the target.
                break;
            }
        }
    }
}

/// The path without `.` and without `name/..`, so that a way has one name.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                tidied.pop();
            }
            Component::Normal(_) | Component::Prefix(_) | Component::RootDir => {
                tidied.push(component);
            }
        }
    }
    tidied
}

/// Directories that appear while others are being watched; a tree that grows faster is polled.
const SURVEYS_MAX: usize = 3;
/// Links on the way to one file; Linux itself follows 40.
const LINKS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A timing in which the poll never helps.
    const HEARD: WatchTiming = WatchTiming {
        quiet: Duration::from_millis(100),
        patience: Duration::from_millis(500),
        poll: Duration::from_secs(600),
        listen: true,
    };
    /// "Within a second" is the promise; a loaded machine is given more.
    const SOON: Duration = Duration::from_secs(5);
    const NEVER: Duration = Duration::from_millis(400);

    struct Stage {
        folder: tempfile::TempDir,
    }

    impl Stage {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }
        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().canonicalize().unwrap().join(name)
        }
        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
            fs::write(self.at(name), text).unwrap();
        }
        fn watch(&self, name: &str, timing: WatchTiming) -> FileWatch {
            FileWatch::new(&[Input::Path(self.at(name))], timing).unwrap()
        }
        fn expect(&self, watch: &mut FileWatch, names: &[&str]) {
            let wanted: BTreeSet<PathBuf> = names.iter().map(|name| self.at(name)).collect();
            assert_eq!(watch.wait(SOON), wanted);
        }
    }

    #[test]
    fn a_change_is_reported_once_and_within_a_second() {
        let stage = Stage::new();
        stage.write("d/a.yaml", "1");
        let mut watch = stage.watch("d", HEARD);
        assert!(watch.listens());
        let start = Instant::now();
        stage.write("d/a.yaml", "2");
        stage.write("d/a.yaml", "3");
        stage.expect(&mut watch, &["d/a.yaml"]);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(watch.wait(NEVER), BTreeSet::new());
    }

    #[test]
    fn what_does_not_count_is_not_reported() {
        let stage = Stage::new();
        stage.write("d/a.yaml", "1");
        let mut watch = stage.watch("d", HEARD);
        stage.write("d/notes.txt", "1");
        // The same bytes again, as `touch` or a careless tool leaves them.
        stage.write("d/a.yaml", "1");
        fs::read(stage.at("d/a.yaml")).unwrap();
        assert_eq!(watch.wait(NEVER), BTreeSet::new());
    }

    #[test]
    fn files_and_directories_that_come_and_go_are_seen() {
        let stage = Stage::new();
        stage.write("d/a.yaml", "1");
        let mut watch = stage.watch("d", HEARD);
        stage.write("d/new/deep/b.yaml", "1");
        stage.expect(&mut watch, &["d/new/deep/b.yaml"]);
        stage.write("d/new/deep/b.yaml", "2");
        stage.expect(&mut watch, &["d/new/deep/b.yaml"]);
        fs::remove_dir_all(stage.at("d/new")).unwrap();
        stage.expect(&mut watch, &["d/new/deep/b.yaml"]);
    }

    #[test]
    fn an_editor_that_replaces_the_file_does_not_shake_it_off() {
        let stage = Stage::new();
        stage.write("a.yaml", "1");
        let mut watch = stage.watch("a.yaml", HEARD);
        for text in ["2", "3"] {
            stage.write("a.yaml.swp", text);
            fs::rename(stage.at("a.yaml.swp"), stage.at("a.yaml")).unwrap();
            stage.expect(&mut watch, &["a.yaml"]);
        }
    }

    #[test]
    fn a_directory_that_is_removed_and_made_again_is_watched_again() {
        let stage = Stage::new();
        stage.write("top/d/a.yaml", "1");
        let mut watch = stage.watch("top/d", HEARD);
        for text in ["2", "3"] {
            fs::remove_dir_all(stage.at("top")).unwrap();
            assert!(watch.wait(SOON).contains(&stage.at("top/d/a.yaml")));
            stage.write("top/d/a.yaml", text);
            assert!(watch.wait(SOON).contains(&stage.at("top/d/a.yaml")));
        }
        stage.write("top/d/a.yaml", "4");
        stage.expect(&mut watch, &["top/d/a.yaml"]);
    }

    #[test]
    fn a_mounted_config_map_that_is_swapped_is_seen_whether_directory_or_file_is_watched() {
        for watched in ["mount", "mount/a.yaml", "mount/..data/a.yaml"] {
            let stage = Stage::new();
            stage.write("mount/..1/a.yaml", "1");
            symlink("..1", stage.at("mount/..data")).unwrap();
            symlink("..data/a.yaml", stage.at("mount/a.yaml")).unwrap();
            let mut watch = stage.watch(watched, HEARD);
            for version in ["2", "3"] {
                stage.write(&format!("mount/..{version}/a.yaml"), version);
                symlink(format!("..{version}"), stage.at("mount/..data_tmp")).unwrap();
                fs::rename(stage.at("mount/..data_tmp"), stage.at("mount/..data")).unwrap();
                let file = if watched == "mount" { "mount/a.yaml" } else { watched };
                stage.expect(&mut watch, &[file]);
            }
        }
    }

    #[test]
    fn a_file_behind_links_is_seen_when_it_or_a_link_changes() {
        let stage = Stage::new();
        stage.write("far/real.yaml", "1");
        stage.write("far/other.yaml", "9");
        fs::create_dir(stage.at("near")).unwrap();
        symlink("../far/real.yaml", stage.at("near/link.yaml")).unwrap();
        let mut watch = stage.watch("near", HEARD);
        stage.write("far/real.yaml", "2");
        stage.expect(&mut watch, &["near/link.yaml"]);
        symlink("../far/other.yaml", stage.at("near/tmp")).unwrap();
        fs::rename(stage.at("near/tmp"), stage.at("near/link.yaml")).unwrap();
        stage.expect(&mut watch, &["near/link.yaml"]);
    }

    #[test]
    fn the_poll_finds_what_nobody_heard() {
        let stage = Stage::new();
        stage.write("d/a.yaml", "1");
        let timing = WatchTiming { listen: false, poll: Duration::from_millis(50), ..HEARD };
        let mut watch = stage.watch("d", timing);
        assert!(!watch.listens());
        stage.write("d/a.yaml", "2");
        stage.expect(&mut watch, &["d/a.yaml"]);
    }

    #[test]
    fn a_wait_without_a_change_ends_in_time() {
        let stage = Stage::new();
        stage.write("d/a.yaml", "1");
        let mut watch = stage.watch("d", HEARD);
        let start = Instant::now();
        assert_eq!(watch.wait(Duration::from_millis(50)), BTreeSet::new());
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
