//! A record on its way to disk: written now and then while a run goes on, and once more at its end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::store;

/// The file of a record that grows.
#[derive(Debug)]
pub(crate) struct RecordFile {
    path: PathBuf,
    written: Instant,
}

/// A finished record, and where it is.
#[derive(Debug)]
pub(crate) struct KeptRecord<R> {
    pub(crate) record: R,
    pub(crate) path: PathBuf,
    /// The error of the last writing: what was measured is only here then.
    pub(crate) failed: Option<anyhow::Error>,
}

impl RecordFile {
    /// A file that is written for the first time once something was measured.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, written: Instant::now() }
    }

    /// Returns true if it can be written before the end: what went into a pipe cannot be written
    /// again.
    pub(crate) fn is_rewritable(&self) -> bool {
        !store::is_stream(&self.path)
    }

    /// Returns true if it was not written for so long that a killed run would lose too much.
    pub(crate) fn is_due(&self) -> bool {
        self.written.elapsed() >= WRITE_EVERY && self.is_rewritable()
    }

    pub(crate) fn write(&mut self, json: &str) -> anyhow::Result<()> {
        store::write(&self.path, json)?;
        // Only a write that succeeded counts: one that failed is tried again with the next round.
        self.written = Instant::now();
        Ok(())
    }

    /// Writes the record for the last time. A failure is kept beside it, because what was measured
    /// can still be printed.
    pub(crate) fn keep<R, E>(mut self, record: R, json: Result<String, E>) -> KeptRecord<R>
    where
        anyhow::Error: From<E>,
    {
        let written = json.map_err(anyhow::Error::from).and_then(|json| self.write(&json));
        KeptRecord { record, path: self.path, failed: written.err() }
    }
}

/// `runs/20261121T120000Z.json`, with a number behind it where another run began in that second.
pub(crate) fn free_path(started: jiff::Timestamp) -> PathBuf {
    let name = started.strftime("%Y%m%dT%H%M%SZ").to_string();
    let path = |name: &str| Path::new("runs").join(name).with_extension("json");
    // Two runs that begin within a second are common in scripts, and neither may replace the
    // other's record.
    let numbered = (2..=RUNS_PER_SECOND_MAX).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !path(name).exists());
    path(free.as_deref().unwrap_or(&name))
}

/// The reason for an incomplete record that was written while its run went on.
pub(crate) const UNFINISHED: &str = "the run did not come to its end";
/// A killed run may lose so much; writing costs CPU time while others measure, so it is not done
/// often.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// More runs do not begin in one folder within a second.
const RUNS_PER_SECOND_MAX: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_cannot_be_written_is_kept_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let json: Result<String, std::io::Error> = Ok("{}".to_owned());
        let kept = RecordFile::new(path.clone()).keep(7, json);
        assert!(kept.failed.is_none() && kept.record == 7);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}");
        let json: Result<String, std::io::Error> = Ok("{}".to_owned());
        let kept = RecordFile::new(path.join("b.json")).keep(7, json);
        assert!(kept.failed.is_some() && kept.record == 7);
    }

    #[test]
    fn a_stream_is_written_once() {
        let stream = RecordFile::new(PathBuf::from("/dev/null"));
        assert!(!stream.is_rewritable() && !stream.is_due());
        let folder = tempfile::tempdir().unwrap();
        let file = RecordFile::new(folder.path().join("a.json"));
        assert!(file.is_rewritable() && !file.is_due(), "nothing is lost yet");
    }
}
