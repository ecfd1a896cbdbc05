//! The placement to take, and how certain the choice is.

use serde::Serialize;

use super::{CoreEstimator, MonthlyCost, PlacementAdvice, Profile};
use crate::compare::EFFECT_MIN;
use crate::placement::Placement;
use crate::stats::{Estimate, mean};

/// The placement to take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recommendation {
    /// The placement.
    pub placement: String,
    /// The managed load balancer that makes it the cheapest, if one does.
    pub balancer: Option<String>,
    /// Confidence in the choice.
    pub confidence: Confidence,
    /// Reasons for the choice.
    pub reasons: Vec<String>,
}

/// Confidence in a recommendation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Costs were checked, and it costs less than the next beyond doubt.
    High,
    /// The next one costs more beyond doubt, but the costs were not checked.
    Moderate,
    /// Another may cost as little, or the costs did not stand their check.
    Low,
}

impl Confidence {
    /// The confidence as documents spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
            Self::Moderate => "moderate",
        }
    }
}

/// The cheapest of those that have TLS towards the client and are not ruled out, by money if it is
/// given, else by cores. Of those whose cost cannot be told from it, the one that gives up least.
pub(super) fn among(
    placed: &[PlacementAdvice],
    placements: &[&Placement],
    profile: &Profile,
    costing: &CoreEstimator<'_>,
) -> Option<Recommendation> {
    let mut left: Vec<(&PlacementAdvice, &Placement, f64)> = placed
        .iter()
        .zip(placements.iter().copied())
        .filter(|(one, _)| one.ruled_out.is_empty() && one.keeps.tls_ends_at.is_some())
        .filter_map(|(one, placement)| Some((one, placement, price(one)?)))
        .collect();
    left.sort_by(|(.., one), (.., other)| one.total_cmp(other));
    let (cheapest, its, _) = *left.first()?;
    let alike: Vec<&(&PlacementAdvice, &Placement, f64)> = left
        .iter()
        .skip(1)
        .filter(|(one, placement, _)| {
            !costs_more((one, placement), (cheapest, its), profile, costing)
        })
        .collect();
    let given_up = |one: &PlacementAdvice| {
        let keeps = &one.keeps;
        let lost =
            [keeps.client_identity, keeps.forwarded_headers, !keeps.paths_seen_by.is_empty()];
        (keeps.plaintext_to.len(), lost.iter().filter(|kept| !**kept).count())
    };
    let best = alike.iter().map(|(one, ..)| *one).chain([cheapest]).min_by_key(|one| given_up(one));
    let best = best.unwrap_or(cheapest);
    let is_checked = best.cheapest().is_some();
    let confidence = match (alike.is_empty(), is_checked) {
        (false, _) => Confidence::Low,
        (true, true) => Confidence::High,
        (true, false) => Confidence::Moderate,
    };
    let next = left.iter().map(|(one, ..)| *one).find(|one| one.placement != best.placement);
    // The cheapest is one of them, where another that gives up less is taken in its place.
    let alike = alike.iter().map(|(one, ..)| *one).chain([cheapest]);
    let alike: Vec<&PlacementAdvice> =
        alike.filter(|one| one.placement != best.placement).collect();
    Some(Recommendation {
        placement: best.placement.clone(),
        balancer: best.cheapest().and_then(|money| money.balancer.clone()),
        confidence,
        reasons: reasons(best, next, &alike, placed),
    })
}

fn price(one: &PlacementAdvice) -> Option<f64> {
    let money = one.cheapest().map(|money| money.per_month.value);
    money.or_else(|| one.cores.map(|cores| cores.value))
}

/// Returns true if one costs more than the other beyond doubt, and by at least 2 %. Rounds are
/// paired, because they share conditions. Compares money if it is given, which holds for all or
/// none.
fn costs_more(
    one: (&PlacementAdvice, &Placement),
    other: (&PlacementAdvice, &Placement),
    profile: &Profile,
    costing: &CoreEstimator<'_>,
) -> bool {
    let rounds = |(placed, placement): (&PlacementAdvice, &Placement)| match placed.cheapest() {
        Some(money) => Some(money.rounds.clone()),
        None => costing.cores(placement, profile).ok(),
    };
    let Some((this, that)) = rounds(one).zip(rounds(other)) else { return false };
    let more: Vec<f64> = this.iter().zip(&that).map(|(this, that)| this - that).collect();
    let (Some(more), Some(that)) = (mean(&more), mean(&that)) else { return false };
    more.low > 0.0 && more.value >= EFFECT_MIN * that.value
}

fn reasons(
    best: &PlacementAdvice,
    next: Option<&PlacementAdvice>,
    alike: &[&PlacementAdvice],
    placed: &[PlacementAdvice],
) -> Vec<String> {
    let cores = |one: &PlacementAdvice| match one.cores {
        Some(Estimate { value, low, high, .. }) => {
            format!("{value:.3} cores ({low:.3} to {high:.3})")
        }
        None => "an unknown number of cores".to_owned(),
    };
    let mut reasons = vec![match next {
        Some(next) => {
            format!("it takes {} on average, and `{}` {}", cores(best), next.placement, cores(next))
        }
        None => format!("it takes {} on average, and no other is left", cores(best)),
    }];
    if let Some((this, that)) = best.cheapest().zip(next.and_then(PlacementAdvice::cheapest)) {
        let month = |money: &MonthlyCost| {
            let Estimate { value, low, high, .. } = money.per_month;
            format!("{value:.2} ({low:.2} to {high:.2})")
        };
        let other = next.map(|next| next.placement.as_str()).unwrap_or_default();
        reasons.push(format!("a month costs {}, and with `{other}` {}", month(this), month(that)));
    }
    if !alike.is_empty() {
        let names: Vec<String> = alike.iter().map(|one| format!("`{}`", one.placement)).collect();
        let names = names.join(", ");
        reasons.push(format!(
            "what it costs cannot be told from {names}; it gives up no more than these"
        ));
    }
    reasons.push(best.keeps.words().join("; "));
    let out = placed.iter().filter(|one| !one.ruled_out.is_empty());
    let out: Vec<String> = out.map(|one| format!("`{}`", one.placement)).collect();
    if !out.is_empty() {
        reasons.push(format!("ruled out by what is required: {}", out.join(", ")));
    }
    reasons
}
