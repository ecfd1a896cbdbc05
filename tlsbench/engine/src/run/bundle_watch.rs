//! The CA bundle, watched while a run goes on.

use super::inputs::Inputs;
use super::progress::Progress;
use crate::clock::Clock;
use crate::tls::ReloadingRoots;

/// Tells once of each time that the CA bundle was replaced.
pub(super) struct BundleWatch<'w> {
    bundle: Option<&'w ReloadingRoots>,
    generation: u64,
}

impl<'w> BundleWatch<'w> {
    pub(super) fn new(inputs: &'w Inputs) -> Self {
        let bundle = inputs.ca_bundle.as_deref();
        let generation = bundle.map(|bundle| bundle.current().generation()).unwrap_or_default();
        Self { bundle, generation }
    }

    /// Tells what of the bundle is no root.
    pub(super) fn tell_left_out(&self, progress: &mut impl FnMut(Progress)) {
        let Some(bundle) = self.bundle else { return };
        let (path, roots) = (bundle.path().display(), bundle.current());
        for left_out in roots.left_out().iter().take(LEFT_OUT_MAX) {
            progress(Progress::Note(format!("CA bundle `{path}`: {left_out}")));
        }
        let more = roots.left_out().len().saturating_sub(LEFT_OUT_MAX);
        if more > 0 {
            progress(Progress::Note(format!("CA bundle `{path}`: {more} more are left out")));
        }
    }

    pub(super) fn look(&mut self, progress: &mut impl FnMut(Progress)) {
        let Some(bundle) = self.bundle else { return };
        if let Some(newer) = bundle.newer_than(self.generation, Clock::Monotonic.now()) {
            self.generation = newer.generation();
            let path = bundle.path().display();
            let roots = newer.usable();
            progress(Progress::Note(format!("CA bundle `{path}` was replaced: {roots} roots now")));
            self.tell_left_out(progress);
        }
        if let Some(warning) = bundle.take_warning() {
            progress(Progress::Note(warning));
        }
    }
}

/// Certificates of a bundle that are named where they are left out: whoever sees that many looks at
/// the file.
const LEFT_OUT_MAX: usize = 10;
