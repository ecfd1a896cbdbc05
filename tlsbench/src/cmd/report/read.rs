//! Records on their way into a report: each is read, judged and forgotten, so that a thousand take
//! no more memory than what is said of them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::bail;
use tlsbench_core::record::AnyRecord;
use tlsbench_core::report::{LabReport, Report, RunReport};

use crate::store::{self, StoreError};

/// The report of one record, of either kind.
enum RecordReport {
    Lab(Box<LabReport>),
    Run(Box<RunReport>),
}

/// A report of records in the order in which they are named. Of several that cannot be read, the
/// first is told.
pub(super) fn report(program: &str, records: &[PathBuf]) -> anyhow::Result<Report> {
    let mut report = Report::new(program);
    for one in all(records)? {
        match one {
            RecordReport::Lab(lab) => report.labs.push(*lab),
            RecordReport::Run(run) => report.runs.push(*run),
        }
    }
    Ok(report)
}

fn all(records: &[PathBuf]) -> anyhow::Result<Vec<RecordReport>> {
    // Judging takes longer than reading: histograms are inflated and merged for each record.
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let read = || {
        let mut own = Vec::new();
        // Records take turns by a counter and not by shares, since one may be a hundred times as
        // long as another.
        while let Some((index, path)) = taken(&next, records) {
            let one = one(path);
            let is_bad = one.is_err();
            own.push((index, one));
            if is_bad {
                // Nobody needs to begin with another.
                next.store(records.len(), Ordering::Relaxed);
            }
        }
        own
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = (0..threads.min(records.len())).map(|_| scope.spawn(read)).collect();
        started.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut all = Vec::with_capacity(records.len());
    for part in parts {
        let Ok(part) = part else { bail!("a thread that read records ended in a panic") };
        all.extend(part);
    }
    // Threads end in any order; columns of a report follow the command line.
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, one)| one).collect::<Result<_, _>>()?)
}

fn taken<'a>(next: &AtomicUsize, records: &'a [PathBuf]) -> Option<(usize, &'a PathBuf)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, records.get(index)?))
}

fn one(path: &Path) -> Result<RecordReport, StoreError> {
    let name = path.display().to_string();
    Ok(match store::read_any(path)? {
        AnyRecord::Lab(record) => RecordReport::Lab(Box::new(LabReport::new(name, &record))),
        AnyRecord::Run(record) => RecordReport::Run(Box::new(RunReport::new(name, &record))),
    })
}
