//! Operations by address, for names that have several.

use std::collections::BTreeMap;

use super::{Failure, add_counts, count_one};

/// Operations that ended at one address of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressTally {
    /// Operations that succeeded.
    pub succeeded: u64,
    /// Operations that failed, by why.
    pub failed: BTreeMap<Failure, u64>,
}

impl AddressTally {
    /// Counts an operation.
    pub(super) fn end(&mut self, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.succeeded = self.succeeded.saturating_add(1),
            Err(failure) => count_one(&mut self.failed, failure),
        }
    }

    /// Adds what another shard, or another time, counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        add_counts(&mut self.failed, &other.failed);
    }
}
