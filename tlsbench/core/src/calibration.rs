//! CPU time that a machine needs for the operations that TLS and its connections are made of.
//!
//! `docs/calibration.md` says what each field means, and a test holds the two together. Costs that
//! were measured on one machine are scaled to another by the calibrations of both.

use serde::{Deserialize, Serialize};

use crate::record::Environment;
use crate::stats::{Estimate, median, spread};
use crate::units::Share;

/// The primitives of one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The version of this format, [`SCHEMA`].
    pub schema: u32,
    /// The program that wrote it, and its version.
    pub program: String,
    /// Time of the calibration: RFC 3339, in UTC with `Z`.
    pub made: String,
    /// The machine.
    pub machine: Environment,
    /// CPU features that matter to cryptography, as `tlsbench doctor` names them.
    pub cpu_features: Vec<String>,
    /// The primitives, as measured.
    pub primitives: Vec<Primitive>,
}

/// One operation: CPU time of a thread for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Primitive {
    /// Name of the operation.
    pub name: String,
    /// Provider of the cryptography: `ring` or `aws-lc-rs`.
    pub provider: Option<String>,
    /// Bytes that each operation handles, if it is about bytes.
    pub bytes: Option<u64>,
    /// Operations in each round.
    pub operations: u64,
    /// The median over rounds, in nanoseconds.
    pub ns: Estimate,
    /// The fastest round, in nanoseconds for each operation: noise only ever adds.
    pub fastest_ns: f64,
    /// Interquartile range over rounds, as a part of the median.
    pub spread: f64,
    /// True if that is little enough for the figure to be scaled with.
    pub steady: bool,
}

impl Primitive {
    /// Makes a primitive from rounds, in nanoseconds per operation. `None` if there are too few
    /// rounds for a median with an interval.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        provider: Option<String>,
        bytes: Option<u64>,
        operations: u64,
        rounds: &[f64],
    ) -> Option<Self> {
        let spread = spread(rounds)?;
        Some(Self {
            name: name.into(),
            provider,
            bytes,
            operations,
            ns: median(rounds)?,
            fastest_ns: rounds.iter().copied().fold(f64::INFINITY, f64::min),
            spread,
            steady: spread <= SPREAD_MAX.as_f64(),
        })
    }

    /// Bytes in each second, where the operation handles bytes.
    #[must_use]
    pub fn bytes_per_second(&self) -> Option<f64> {
        Some(self.bytes? as f64 * 1e9 / self.ns.value).filter(|rate| rate.is_finite())
    }
}

/// The version of the format that is written here.
pub const SCHEMA: u32 = 1;

/// The margin within which costs are called equal: a figure that is less sure decides nothing.
pub const SPREAD_MAX: Share = Share::from_percent(5);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;

    fn calm() -> Vec<f64> {
        (0..15).map(|n| 1_000.0 + f64::from(n)).collect()
    }

    fn primitive(rounds: &[f64]) -> Option<Primitive> {
        Primitive::new("sha-256", Some("ring".into()), Some(1_024), 7, rounds)
    }

    #[test]
    fn a_primitive_is_a_median_with_its_interval() {
        let of = primitive(&calm()).unwrap();
        assert_eq!(
            (of.ns.value, of.ns.low, of.ns.high, of.ns.runs),
            (1_007.0, 1_003.0, 1_011.0, 15)
        );
        assert_eq!((of.fastest_ns, of.steady), (1_000.0, true));
        let rate = of.bytes_per_second().unwrap();
        assert!((rate - 1_024.0 / 1_007e-9).abs() < 1.0, "{rate}");
        assert_eq!(primitive(&calm()[..5]), None);
        assert_eq!(Primitive { bytes: None, ..of }.bytes_per_second(), None);
    }

    #[test]
    fn a_burst_in_few_rounds_leaves_it_steady_and_rounds_that_differ_do_not() {
        let mut burst = calm();
        burst[..3].fill(9_000.0);
        assert!(primitive(&burst).unwrap().steady);
        let apart: Vec<f64> = (0..15).map(|n| 1_000.0 + 10.0 * f64::from(n)).collect();
        let of = primitive(&apart).unwrap();
        assert!(!of.steady && of.spread > 0.06, "{}", of.spread);
    }

    fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                let is_map = path.ends_with(".versions") || path.ends_with(".sysctls");
                for (key, value) in fields {
                    let key = if is_map { "*" } else { key };
                    let dot = if path.is_empty() { "" } else { "." };
                    paths(value, &format!("{path}{dot}{key}"), found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| {
                paths(item, &format!("{path}[]"), found);
            }),
            _ => {
                found.insert(path.to_owned());
            }
        }
    }

    #[test]
    fn the_documentation_names_every_field_and_no_other() {
        let named = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let calibration = Calibration {
            schema: SCHEMA,
            program: "tlsbench".into(),
            made: "2026-01-02T03:04:05Z".into(),
            machine: Environment {
                versions: named.clone(),
                sysctls: named,
                command: vec!["tlsbench".into()],
                ..Environment::default()
            },
            cpu_features: vec!["AES".into()],
            primitives: vec![primitive(&calm()).unwrap()],
        };
        let json = serde_json::to_string(&calibration).unwrap();
        assert_eq!(serde_json::from_str::<Calibration>(&json).unwrap(), calibration);
        let mut written = BTreeSet::new();
        paths(&serde_json::from_str(&json).unwrap(), "", &mut written);
        let page = include_str!("../../../docs/calibration.md");
        let documented: BTreeSet<String> = page
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
            .collect();
        assert_eq!(written, documented);
    }
}
