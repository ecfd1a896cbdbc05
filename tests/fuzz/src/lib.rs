//! Properties of every reader of foreign bytes in both programs: one function per target, which
//! panics where the property does not hold.
//!
//! `tests/fuzz/run` lets libFuzzer look for inputs that break them; `cargo test -p fuzz` replays
//! the corpora and the fixtures without it.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a property that does not hold is a panic, which is what libFuzzer looks for"
)]

mod tlsbench;
mod trustd;

use std::fs;
use std::path::{Path, PathBuf};

use tlsbench_engine::fuzzing;

/// A reader and the property that must hold for any input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of the target, and of the folder below `tests/fuzz/corpus` that holds its inputs.
    pub name: &'static str,
    /// Checks the property for one input.
    pub check: fn(&[u8]),
    /// Fixtures of the repository that serve as further inputs: a folder and the end of file names.
    pub fixtures: &'static [(&'static str, &'static str)],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "certificate", check: trustd::certificate, fixtures: &[] },
    Target { name: "chunked", check: fuzzing::chunked, fixtures: &[] },
    Target { name: "client-hello", check: fuzzing::client_hello, fixtures: &[] },
    Target { name: "condition", check: tlsbench::condition, fixtures: &[] },
    Target { name: "forwarded-request", check: fuzzing::forwarded_request, fixtures: &[] },
    Target { name: "forwarded-response", check: fuzzing::forwarded_response, fixtures: &[] },
    Target { name: "hop", check: tlsbench::hop, fixtures: &[] },
    Target { name: "hpack", check: fuzzing::hpack, fixtures: &[] },
    Target { name: "http1-response", check: fuzzing::http1_response, fixtures: &[] },
    Target { name: "http2-frames", check: fuzzing::http2_frames, fixtures: &[] },
    Target { name: "huffman", check: fuzzing::huffman, fixtures: &[] },
    Target {
        name: "manifest",
        check: trustd::manifest,
        fixtures: &[
            ("tests/fixtures/admission", ".yaml"),
            ("deploy/examples/internal-ca", ".yaml"),
        ],
    },
    Target {
        name: "pem",
        check: trustd::pem,
        fixtures: &[("tests/fixtures/certificates", ".pem")],
    },
    Target { name: "prices", check: tlsbench::prices, fixtures: &[("deploy/lab", "prices.toml")] },
    Target { name: "profile", check: tlsbench::profile, fixtures: &[("deploy/lab", "shop.toml")] },
    Target { name: "proxy-protocol", check: fuzzing::proxy_protocol, fixtures: &[] },
    Target {
        name: "record",
        check: tlsbench::record,
        fixtures: &[
            ("tests/fixtures/report", "closed.json"),
            ("tests/fixtures/report", "open.json"),
        ],
    },
    Target { name: "scenario", check: tlsbench::scenario, fixtures: &[] },
];

/// Returns the target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

impl Target {
    /// Lists the files of the target's corpus and its fixtures, sorted by path.
    ///
    /// # Panics
    /// If a folder cannot be read.
    #[must_use]
    pub fn inputs(&self) -> Vec<PathBuf> {
        let own = (repository().join("tests/fuzz/corpus").join(self.name), "");
        let shared = self.fixtures.iter().map(|(folder, end)| (repository().join(folder), *end));
        let mut inputs: Vec<_> = std::iter::once(own)
            .chain(shared)
            .flat_map(|(folder, end)| files(&folder, end))
            .collect();
        inputs.sort();
        inputs
    }
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot read `{}`: {error}", folder.display()));
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.is_file() && path.to_string_lossy().ends_with(end)).collect()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
