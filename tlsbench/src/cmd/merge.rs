//! `tlsbench merge`: adds the records of several generators.

use std::path::{Path, PathBuf};

use anyhow::bail;
use tlsbench_core::escape::printable;
use tlsbench_core::record::{AnyRecord, merge as add};

use super::answer::Answer;
use crate::exit::Exit;
use crate::store;

/// Adds the records and writes the sum; says what it holds.
pub(super) fn answer(paths: &[PathBuf], to: &Path) -> anyhow::Result<Answer> {
    let mut records = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let shown = path.display();
        // The sum would replace one of its own parts, and a second merge would count it twice.
        if store::is_same(path, to) {
            bail!("`{shown}` is a record of this sum; write to another file");
        }
        if paths.iter().take(index).any(|before| store::is_same(path, before)) {
            bail!("`{shown}` is named twice, and its generator would count twice; name it once");
        }
        match store::read_any(path)? {
            AnyRecord::Run(record) => records.push(*record),
            AnyRecord::Lab(_) => bail!(
                "`{shown}` is a record of placements, which one machine measures by itself; `merge` adds \
                 records of one endpoint by several generators, and `report` and `compare` take several \
                 records of placements"
            ),
        }
    }
    // Counted before they are moved into the sum.
    let count = records.len();
    let sum = add(records).map_err(|error| {
        let added = error.index().and_then(|index| paths.get(index));
        let shown = match (added, paths.first()) {
            (Some(added), Some(first)) => format!("`{}` to `{}`", added.display(), first.display()),
            _ => "the records".to_owned(),
        };
        anyhow::Error::new(error).context(format!("cannot add {shown}"))
    })?;
    store::write(to, &sum.to_json()?)?;
    let rounds: usize = sum.targets.iter().map(|target| target.rounds.len()).sum();
    let said = format!("{count} records, {rounds} rounds: {}\n", to.display());
    Ok(Answer::new(printable(&said).into_owned(), Exit::Fine).beside(Some(to)))
}
