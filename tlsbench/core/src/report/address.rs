//! Operations by address, as they are reported.

use std::collections::BTreeMap;

use serde::Serialize;

use super::text::number;
use crate::record::AddressRecord;

/// Operations that ended at one address of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressReport {
    /// Operations that succeeded.
    pub succeeded: u64,
    /// Operations that failed.
    pub failed: u64,
    /// The same, by why.
    pub failures: BTreeMap<String, u64>,
}

impl From<&AddressRecord> for AddressReport {
    fn from(of: &AddressRecord) -> Self {
        Self { succeeded: of.succeeded, failed: of.failures(), failures: of.failed.clone() }
    }
}

impl AddressReport {
    /// Lists the failures by name with their counts.
    #[must_use]
    pub fn why(&self) -> String {
        let each = self.failures.iter().map(|(why, count)| format!("{why} {}", number(*count)));
        each.collect::<Vec<_>>().join(", ")
    }
}
