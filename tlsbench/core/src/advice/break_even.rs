//! Traffic at which one placement becomes cheaper than another.

use serde::Serialize;

use super::{CoreEstimator, Profile};
use crate::placement::{KnownPlacement, Placement};
use crate::stats::{Estimate, mean};

/// A statement on two placements over a range of traffic. Costs are cores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BreakEven {
    /// One placement.
    pub placement: String,
    /// The other.
    pub against: String,
    /// The key of the profile that is varied.
    pub over: &'static str,
    /// The value at which the order changes; `None` if it does not, or if the rounds cannot tell.
    pub at: Option<f64>,
    /// The statement.
    pub words: String,
}

impl BreakEven {
    fn said(
        one: &Placement,
        other: &Placement,
        over: &'static str,
        at: Option<f64>,
        words: String,
    ) -> Self {
        Self { placement: one.name.clone(), against: other.name.clone(), over, at, words }
    }
}

/// All statements on placements that were measured.
pub(super) fn all(
    placements: &[&Placement],
    profile: &Profile,
    costing: &CoreEstimator<'_>,
) -> Vec<BreakEven> {
    let named = |known: KnownPlacement| {
        placements.iter().copied().find(|placement| placement.name == known.as_str())
    };
    // Resumption changes what ends TLS where; pooling changes what is dialled anew. Other pairs
    // have no order that traffic tips.
    let over_resumption = [
        (KnownPlacement::Passthrough, KnownPlacement::IngressTerminate),
        (KnownPlacement::Passthrough, KnownPlacement::LbTerminate),
        (KnownPlacement::IngressTerminate, KnownPlacement::LbTerminate),
    ];
    let over_kappa = [
        (KnownPlacement::LbReencrypt, KnownPlacement::LbTerminate),
        (KnownPlacement::IngressReencrypt, KnownPlacement::IngressTerminate),
    ];
    let pair = |(one, other): (KnownPlacement, KnownPlacement)| Some((named(one)?, named(other)?));
    let resumed = over_resumption.into_iter().filter_map(pair);
    let resumed = resumed.map(|(one, other)| over_resumed(one, other, profile, costing));
    let kappa = over_kappa.into_iter().filter_map(pair);
    resumed.chain(kappa.map(|(one, other)| over_pooling(one, other, profile, costing))).collect()
}

fn over_resumed(
    one: &Placement,
    other: &Placement,
    profile: &Profile,
    costing: &CoreEstimator<'_>,
) -> BreakEven {
    let over = "traffic.resumed";
    let (name, against) = (&one.name, &other.name);
    let says = |at, words| BreakEven::said(one, other, over, at, words);
    let at = |share: f64| {
        let mut changed = profile.clone();
        // Only one key of the profile is varied: a break-even over two would be a line and no
        // number.
        changed.traffic.resumed = share;
        more(one, other, &changed, costing)
    };
    let steps: Result<Vec<(f64, Estimate)>, String> = (0..=STEPS)
        .map(|step| f64::from(step) / f64::from(STEPS))
        .map(|share| Ok((share, at(share)?)))
        .collect();
    let steps = match steps {
        Ok(steps) => steps,
        Err(why) => return says(None, format!("`{name}` compared with `{against}`: {why}")),
    };
    let (Some((_, first)), Some((_, last))) = (steps.first(), steps.last()) else {
        return says(None, String::new());
    };
    // An interval that holds zero says nothing about the order.
    let is_certain = |all: &Estimate| all.low > 0.0 || all.high < 0.0;
    if !is_certain(first) && !is_certain(last) {
        return says(
            None,
            format!(
                "`{name}` compared with `{against}`: cannot tell which costs less, at any resumption"
            ),
        );
    }
    let word = |all: &Estimate| if all.value < 0.0 { "less" } else { "more" };
    // The cost is linear in resumption, so the sign changes at most once.
    let tips = steps.iter().skip(1).find(|(_, all)| (all.value < 0.0) != (first.value < 0.0));
    let Some((share, _)) = tips else {
        return says(
            None,
            format!("`{name}` costs {} than `{against}` at any resumption", word(first)),
        );
    };
    let unsure: Vec<f64> =
        steps.iter().filter(|(_, all)| !is_certain(all)).map(|(share, _)| *share).collect();
    let between = match (unsure.first(), unsure.last()) {
        (Some(low), Some(high)) if low < high => {
            format!(" (cannot tell from {low:.2} to {high:.2})")
        }
        _ => String::new(),
    };
    says(
        Some(*share),
        format!(
            "`{name}` becomes {} than `{against}` above rho = {share:.2}{between}",
            if last.value < 0.0 { "cheaper" } else { "dearer" }
        ),
    )
}

fn over_pooling(
    one: &Placement,
    other: &Placement,
    profile: &Profile,
    costing: &CoreEstimator<'_>,
) -> BreakEven {
    let over = "traffic.upstream_requests_per_connection";
    let (name, against) = (&one.name, &other.name);
    let says = |at, words| BreakEven::said(one, other, over, at, words);
    let extra = |kappa: Option<f64>| -> Result<f64, String> {
        let mut changed = profile.clone();
        changed.traffic.upstream_requests_per_connection = kappa;
        let more = more(one, other, &changed, costing)?.value;
        let all = costing.cores(other, &changed)?;
        mean(&all).map(|all| more / all.value).ok_or_else(|| "too few rounds".to_owned())
    };
    let kept = match extra(None) {
        Ok(kept) => kept,
        Err(why) => return says(None, format!("`{name}` compared with `{against}`: {why}")),
    };
    let percent = kept * 100.0;
    if kept > SMALL {
        return says(
            None,
            format!(
                "`{name}` costs {percent:.0} % more than `{against}` even where upstream connections \
                 are kept"
            ),
        );
    }
    // Where dialling has no figure, what is kept has one.
    let found: Result<Vec<(f64, f64)>, String> =
        KAPPAS.into_iter().map(|kappa| Ok((kappa, extra(Some(kappa))?))).collect();
    match found {
        Err(why) => says(
            None,
            format!(
                "`{name}` costs {percent:+.0} % compared with `{against}` where upstream connections are \
                 kept; where they are not, nobody can tell: {why}"
            ),
        ),
        Ok(all) => match all.iter().find(|(_, more)| *more <= SMALL) {
            Some((kappa, _)) => says(
                Some(*kappa),
                format!(
                    "`{name}` costs at most 5 % more than `{against}` when kappa >= {kappa:.0} \
                     ({percent:+.0} % where connections are kept)"
                ),
            ),
            None => says(
                None,
                format!("`{name}` costs more than 5 % more than `{against}` up to kappa = 10,000"),
            ),
        },
    }
}

/// Additional cores of the one over the other.
fn more(
    one: &Placement,
    other: &Placement,
    profile: &Profile,
    costing: &CoreEstimator<'_>,
) -> Result<Estimate, String> {
    let (this, that) = (costing.cores(one, profile)?, costing.cores(other, profile)?);
    // Paired by round: what a round has in common cancels out.
    let differences: Vec<f64> = this.iter().zip(&that).map(|(a, b)| a - b).collect();
    mean(&differences).ok_or_else(|| "too few rounds".to_owned())
}

/// Steps of a hundredth.
const STEPS: u32 = 100;
/// A small difference: the margin within which costs count as equal.
const SMALL: f64 = 0.05;
/// Requests on an upstream connection, about ten to a decade.
const KAPPAS: [f64; 31] = [
    1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 32.0, 40.0, 50.0, 63.0, 80.0,
    100.0, 130.0, 160.0, 200.0, 250.0, 320.0, 400.0, 500.0, 700.0, 1_000.0, 2_000.0, 3_000.0,
    5_000.0, 10_000.0,
];
