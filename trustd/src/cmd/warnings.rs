//! Warnings about the inputs of `render` and `diff`, collected in one place: printed to stderr,
//! listed with their Bundle in JSON, and a reason for exit code 1 under `--strict`.
//!
//! Warnings that follow from a plan are worded by `Preview::warnings`, which lists these first.

use std::collections::BTreeMap;

use trustd_core::names::BundleName;

/// Warnings found while the inputs were read, before anything was planned.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    of_bundles: BTreeMap<BundleName, Vec<String>>,
    of_objects: Vec<String>,
}

impl Warnings {
    /// Adds a warning about a Bundle, valid or not; its name is printed in front of the text.
    pub(super) fn add(&mut self, bundle: &BundleName, text: impl Into<String>) {
        self.of_bundles.entry(bundle.clone()).or_default().push(text.into());
    }

    /// Adds a warning about an object that is no Bundle, whole as it is printed.
    pub(super) fn add_of_object(&mut self, text: impl Into<String>) {
        self.of_objects.push(text.into());
    }

    /// Returns the warnings about objects that are no Bundles.
    pub(super) fn of_objects(&self) -> &[String] {
        &self.of_objects
    }

    /// Returns the warnings about one Bundle, each with its name in front.
    pub(super) fn of_bundle(&self, bundle: &str) -> Vec<String> {
        let texts = self.of_bundles.get(bundle).into_iter().flatten();
        texts.map(|text| format!("Bundle {bundle}: {text}")).collect()
    }
}
