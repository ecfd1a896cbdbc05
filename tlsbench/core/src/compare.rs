//! Comparisons of two placements measured in the same rounds: the effect with its interval, and a
//! word only if the rounds support it.
//!
//! Comparisons are declared before anything is measured. The chance of even one false word among
//! those is at most 5 %; all others get intervals and no words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stats::{
    BOOTSTRAP_MIN, Estimate, difference, holm, lag1_autocorrelation, ratio, sign_flip_test,
    studentised_bootstrap, t_test,
};
use crate::units::Share;

/// Two things side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Name of the one.
    pub name: String,
    /// Name of the other.
    pub against: String,
    /// Values of each round, in order: of `against`, of `name`.
    pub rounds: Vec<(f64, f64)>,
    /// True if the comparison was declared before the run.
    pub declared: bool,
    /// True if a gate spoils what was measured.
    pub spoiled: bool,
    /// Margin within which they count as equal; `None` if they never do.
    pub margin: Option<Share>,
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Name of the one.
    pub name: String,
    /// Name of the other.
    pub against: String,
    /// Mean paired difference, in the unit of the values.
    pub difference: Option<Estimate>,
    /// Geometric mean of the paired ratios.
    pub ratio: Option<Estimate>,
    /// Probability of a difference at least as large if there were none, adjusted over all declared
    /// comparisons (Holm 1979); `None` if it was not declared.
    pub chance: Option<f64>,
    /// The same of this comparison alone, by flipping signs.
    pub sign_flip: Option<f64>,
    /// Lag-1 autocorrelation of the differences.
    pub autocorrelation: Option<f64>,
    /// The word for it.
    pub verdict: Verdict,
}

/// The word for a finding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Verdict {
    /// Neither a difference nor equality is borne out.
    CannotTell {
        /// The smallest part by which it would have to differ to be seen with such rounds.
        visible: f64,
    },
    /// Less, beyond doubt.
    CostsLess,
    /// More, beyond doubt.
    CostsMore,
    /// The difference is smaller than the margin.
    Equal {
        /// The margin.
        within: f64,
    },
    /// The rounds allow no verdict.
    #[serde(rename = "none")]
    Inconclusive {
        /// The reason.
        #[serde(rename = "why")]
        reason: InconclusiveReason,
    },
}

/// Reason why a comparison has no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InconclusiveReason {
    /// Neighbouring rounds are alike, so they count for less than they are.
    Drifting,
    /// A gate spoils what was measured.
    Spoiled,
    /// There are too few rounds, or values that are not above zero.
    TooLittle,
    /// Nobody had asked before the run.
    Undeclared,
}

/// Judges all comparisons together and returns findings in their order. The seed decides which
/// values the bootstrap draws.
#[must_use]
pub fn compare(comparisons: &[Comparison], seed: u64) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        comparisons.iter().map(|comparison| Finding::new(comparison, seed)).collect();
    // Those of which nothing may be said are no part of the family.
    let mut family: Vec<(&mut Finding, f64)> = Vec::new();
    for (finding, comparison) in findings.iter_mut().zip(comparisons) {
        let chance = finding.chance.take();
        if let (true, Some(chance)) = (comparison.declared, chance) {
            family.push((finding, chance));
        }
    }
    let chances: Vec<f64> = family.iter().map(|(_, chance)| *chance).collect();
    for ((finding, _), adjusted) in family.into_iter().zip(holm(&chances)) {
        // Only declared comparisons share the 5 %; the others keep their interval and get no word.
        finding.chance = Some(adjusted);
    }
    for (finding, comparison) in findings.iter_mut().zip(comparisons) {
        finding.verdict = finding.judge(comparison);
    }
    findings
}

impl Finding {
    /// Everything but the verdict; the chance is of this comparison alone.
    fn new(comparison: &Comparison, seed: u64) -> Self {
        let rounds = &comparison.rounds;
        let differences: Vec<f64> = rounds.iter().map(|(against, this)| this - against).collect();
        Self {
            name: comparison.name.clone(),
            against: comparison.against.clone(),
            difference: match rounds.len() {
                // Below 20 rounds the bootstrap draws from too few values; Student's interval
                // covers better.
                ..BOOTSTRAP_MIN => difference(rounds),
                _ => studentised_bootstrap(&differences, seed),
            },
            ratio: ratio_of(rounds, seed),
            chance: t_test(&differences),
            sign_flip: sign_flip_test(&differences, seed),
            autocorrelation: lag1_autocorrelation(&differences),
            verdict: Verdict::Inconclusive { reason: InconclusiveReason::TooLittle },
        }
    }

    fn judge(&self, comparison: &Comparison) -> Verdict {
        let silent = |reason| Verdict::Inconclusive { reason };
        // The order of these checks is the order of reasons that a reader wants: the first that
        // applies is told.
        if !comparison.declared {
            return silent(InconclusiveReason::Undeclared);
        }
        if comparison.spoiled {
            return silent(InconclusiveReason::Spoiled);
        }
        // Values at or below zero have no ratio: there is nothing to say how many times.
        let (Some(chance), Some(ratio)) = (self.chance, self.ratio) else {
            return silent(InconclusiveReason::TooLittle);
        };
        if comparison.rounds.len() < ROUNDS_MIN {
            return silent(InconclusiveReason::TooLittle);
        }
        // Autocorrelated rounds are fewer independent samples than they seem, so intervals are too
        // narrow.
        if self.autocorrelation.is_some_and(|alike| alike > ALIKE_MAX) {
            return silent(InconclusiveReason::Drifting);
        }
        word(chance, &ratio, comparison.margin)
    }
}

/// The word for an effect that may have one.
pub(crate) fn word(chance: f64, ratio: &Estimate, margin: Option<Share>) -> Verdict {
    if chance < CHANCE_MAX && (ratio.value - 1.0).abs() >= EFFECT_MIN {
        // Both tests have to agree: certain, and large enough to matter.
        return if ratio.value > 1.0 { Verdict::CostsMore } else { Verdict::CostsLess };
    }
    let margin = margin.map(Share::as_f64);
    match margin.filter(|margin| ratio.low >= 1.0 - margin && ratio.high <= 1.0 + margin) {
        Some(within) => Verdict::Equal { within },
        // The interval is as wide to both sides in logarithms.
        None => Verdict::CannotTell { visible: (ratio.high / ratio.low).sqrt() - 1.0 },
    }
}

fn ratio_of(rounds: &[(f64, f64)], seed: u64) -> Option<Estimate> {
    if rounds.len() < BOOTSTRAP_MIN {
        return ratio(rounds);
    }
    // Ratios are symmetric in logarithms: twice and half are equally far from equal.
    let logs: Vec<f64> = rounds.iter().map(|(against, this)| this.ln() - against.ln()).collect();
    let Estimate { value, low, high, runs } = studentised_bootstrap(&logs, seed)?;
    Some(Estimate { value: value.exp(), low: low.exp(), high: high.exp(), runs })
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotTell { visible } => {
                write!(f, "cannot tell (smallest visible effect {:.1} %)", visible * 100.0)
            }
            Self::CostsLess => f.write_str("costs less"),
            Self::CostsMore => f.write_str("costs more"),
            Self::Equal { within } => write!(f, "equal within {:.0} %", within * 100.0),
            Self::Inconclusive { reason } => write!(f, "no verdict: {reason}"),
        }
    }
}

impl fmt::Display for InconclusiveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drifting => "neighbouring rounds are alike, so something drifts",
            Self::Spoiled => "a gate spoils what was measured",
            Self::TooLittle => "too few rounds",
            Self::Undeclared => "not declared before the run",
        })
    }
}

/// The probability of even one false word among the declared comparisons (Holm).
pub const CHANCE_MAX: f64 = 0.05;
/// The smallest effect that gets a word: what is smaller matters to nobody, however certain it is.
pub const EFFECT_MIN: f64 = 0.02;
/// The margin within which CPU times count as equal.
pub const CPU_MARGIN: Share = Share::from_percent(5);
/// The margin within which medians of times count as equal; tails never do.
pub const MEDIAN_MARGIN: Share = Share::from_percent(10);
/// Beyond, intervals are too narrow: at 0.6 and 10 rounds they cover under 85 % (see the tests of
/// `stats`).
const ALIKE_MAX: f64 = 0.4;
/// Minimum of rounds for a verdict: below six no order of signs is rarer than 5 % (2 × 1/2^5 = 6
/// %).
const ROUNDS_MIN: usize = 6;

#[cfg(test)]
mod tests;
