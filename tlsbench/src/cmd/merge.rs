//! `tlsbench merge`: adds the records of several generators.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tlsbench_core::record::merge as add;

use crate::store;

/// Adds the records and writes the sum; says what it holds.
pub(super) fn merge(paths: &[PathBuf], to: &Path) -> anyhow::Result<String> {
    let mut records = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let shown = path.display();
        if store::is_same(path, to) {
            bail!("`{shown}` is a record of this sum; write to another file");
        }
        if paths.iter().take(index).any(|before| store::is_same(path, before)) {
            bail!("`{shown}` is named twice, and its generator would count twice; name it once");
        }
        records.push(store::read(path)?);
    }
    let count = records.len();
    let sum = add(records).context("cannot add the records")?;
    store::write(to, &sum.to_json()?)?;
    let rounds: usize = sum.targets.iter().map(|target| target.rounds.len()).sum();
    Ok(format!("{count} records, {rounds} rounds: {}\n", to.display()))
}
