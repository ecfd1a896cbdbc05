//! What the program is to do, once its arguments are read: values without syntax.

/// One verb with everything it needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settings {
    /// Say whether this machine is fit to measure.
    Doctor {
        /// How to print it.
        output: Output,
    },
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For programs.
    Json,
    /// For people.
    Table,
}
