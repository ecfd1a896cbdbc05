//! Operations by address.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tally::AddressTally;

/// Operations that ended at one address of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRecord {
    /// Operations that succeeded.
    pub succeeded: u64,
    /// Operations that failed, by why.
    pub failed: BTreeMap<String, u64>,
}

impl From<&AddressTally> for AddressRecord {
    fn from(tally: &AddressTally) -> Self {
        let failed = tally.failed.iter().map(|(why, count)| (why.as_str().to_owned(), *count));
        Self { succeeded: tally.succeeded, failed: failed.collect() }
    }
}

impl AddressRecord {
    /// Adds those of another round or generator.
    pub fn add(&mut self, other: &Self) {
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        for (why, more) in &other.failed {
            let count = self.failed.entry(why.clone()).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// Operations that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().copied().fold(0, u64::saturating_add)
    }

    /// Operations that ended, well or not.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.succeeded.saturating_add(self.failures())
    }
}
