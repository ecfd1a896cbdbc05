//! The build of the program that measures: whoever reads a document must be able to tell.

/// The program, with its version.
pub(crate) const PROGRAM: &str = if cfg!(debug_assertions) {
    concat!("tlsbench ", env!("CARGO_PKG_VERSION"), " (debug build)")
} else {
    concat!("tlsbench ", env!("CARGO_PKG_VERSION"))
};

/// The warning beside figures of a record that a debug build left, as a line.
pub(crate) const MEASURED_UNOPTIMISED: &str = "warning: a record is of a debug build, whose figures say nothing of the machine; measure again \
     with a build made with `--release`\n";

/// The warning beside figures of this build, as a line; empty for a release build.
pub(crate) const WARNING: &str = if cfg!(debug_assertions) {
    // ring's C code is compiled without optimisation then: X25519 takes ten times as long.
    "warning: this is a debug build, whose figures say nothing of the machine; build with \
     `--release`\n"
} else {
    ""
};
