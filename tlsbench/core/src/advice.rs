//! Cores, money and latency of each placement under a given traffic profile, and a recommendation
//! with its reasons.
//!
//! Money is told only of costs that were checked, on a machine that is known.

mod break_even;
mod keeps;
mod network;
mod prices;
mod profile;
mod recommend;
mod scale;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;

pub use break_even::BreakEven;
pub use keeps::Tradeoffs;
pub use network::Network;
pub use prices::{
    BillingDimension, BillingMeasure, HOURS_PER_MONTH, LoadBalancerPrice, Prices, VcpuPrice,
};
pub use profile::{Profile, Requirements, SpanText, TrafficProfile};
pub use recommend::{Confidence, Recommendation};
pub use scale::{MachineScale, ScaleError};

use crate::cost::{CostFit, HoldOutCheck, Term, UncheckedReason, check, flow};
use crate::lab::{Pass, Workload};
use crate::placement::{Placement, Role};
use crate::record::lab::{LabRecord, TrialRecord};
use crate::stats::{Estimate, mean};
use crate::tally::{Phase, Quantile};
use crate::units::{MICROS_PER_SECOND, Nanos};
use crate::verdicts::{is_spoiled, verdicts};
use crate::warning::{Family, Gate};

/// Input of [`advise`].
#[derive(Clone, Copy, Debug)]
pub struct AdviceRequest<'a> {
    /// Records of placements, of one machine.
    pub records: &'a [&'a LabRecord],
    /// The traffic, and what is asked of a placement.
    pub profile: &'a Profile,
    /// Prices of cores and of managed load balancers.
    pub prices: &'a Prices,
    /// Scale from the machine that was measured to the one that is priced, or why there is none.
    pub scale: &'a Result<MachineScale, String>,
}

/// Advice on placements under a traffic profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The version of this format, [`SCHEMA`].
    pub schema: u32,
    /// The currency of all money.
    pub currency: String,
    /// The day of the prices.
    pub prices_of: String,
    /// Reasons why no money is given; empty if it is.
    pub money_withheld: Vec<String>,
    /// Reasons why the measured latency of a placement is not given.
    pub latency_withheld: Vec<String>,
    /// The cost models, with how well each term is identified.
    pub fit: CostFit,
    /// Result of the hold-out check.
    pub check: HoldOutCheck,
    /// Placement by placement, in the order of the records.
    pub placements: Vec<PlacementAdvice>,
    /// Traffic at which one placement becomes cheaper than another.
    pub break_evens: Vec<BreakEven>,
    /// The placement to take; `None` if none is left.
    pub recommendation: Option<Recommendation>,
}

/// A placement under the traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlacementAdvice {
    /// The placement.
    pub placement: String,
    /// Requirements that it does not meet; empty if it meets all.
    pub ruled_out: Vec<String>,
    /// Properties that it gives up or keeps.
    pub keeps: Tradeoffs,
    /// Share of client handshakes that resume there.
    pub resumption: f64,
    /// Cores that are busy on average, hop by hop, from the client on.
    pub hops: Vec<HopCores>,
    /// Cores of all hops together.
    pub cores: Option<Estimate>,
    /// Cost of a month with each load balancer that it can have, cheapest first.
    pub money: Vec<MonthlyCost>,
    /// Latency of operations.
    pub latency: LatencyEstimate,
}

/// A hop under the traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopCores {
    /// The hop.
    pub role: Role,
    /// Cores that are busy on average.
    pub cores: Option<Estimate>,
    /// Reason why the figure is withheld.
    pub withheld: Option<String>,
}

/// A month.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MonthlyCost {
    /// The managed load balancer; `None` if all hops are one's own.
    pub balancer: Option<String>,
    /// Cost of all hops together.
    pub per_month: Estimate,
    /// The same by each round's figures, which placements have in common.
    #[serde(skip)]
    rounds: Vec<f64>,
}

/// Latency of operations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyEstimate {
    /// Median of a new connection with a full handshake and a request, as it was measured on one
    /// machine without links, at the rate of the latency pass; `None` if that was not measured.
    pub measured_p50_ns: Option<Nanos>,
    /// Rate at which it was measured, in connections per second.
    pub measured_at: Option<f64>,
    /// Latency that the links add.
    pub network: Network,
}

/// Estimator of cores, from cost models and the machine's scale.
pub(crate) struct CoreEstimator<'a> {
    fit: &'a CostFit,
    scale: MachineScale,
}

/// Judges placements.
#[must_use]
pub fn advise(question: &AdviceRequest<'_>) -> Advice {
    let AdviceRequest { records, profile, prices, scale } = *question;
    let fit = CostFit::of(records);
    let check = check(&fit, records);
    let costing =
        CoreEstimator { fit: &fit, scale: scale.clone().unwrap_or_else(|_| MachineScale::same()) };
    let mut placements: Vec<&Placement> = Vec::new();
    for placement in records.iter().flat_map(|record| &record.lab.placements) {
        // Several records may hold the same placement; it is advised on once.
        if !placements.iter().any(|known| known.name == placement.name) {
            placements.push(placement);
        }
    }
    let gates: Vec<Vec<Gate>> = records.iter().map(|record| verdicts(record).gates).collect();
    let money_withheld = withheld(question, &check, &gates);
    let placed: Vec<PlacementAdvice> = placements
        .iter()
        .map(|placement| {
            let seen = measured(records, &gates, &placement.name);
            PlacementAdvice::of(placement, question, &costing, seen, money_withheld.is_empty())
        })
        .collect();
    let break_evens = break_even::all(&placements, profile, &costing);
    let mut recommendation = recommend::among(&placed, &placements, profile, &costing);
    if let (Some(taken), Some(why @ UncheckedReason::Off { .. })) =
        (&mut recommendation, &check.unchecked)
    {
        // Costs that failed their own check cannot make anybody certain.
        taken.confidence = Confidence::Low;
        taken.reasons.push(why.to_string());
    }
    Advice {
        schema: SCHEMA,
        currency: prices.currency.clone(),
        prices_of: prices.date.clone(),
        money_withheld,
        latency_withheld: latency_withheld(records, &gates),
        check,
        placements: placed,
        break_evens,
        recommendation,
        fit,
    }
}

/// Reasons why money is withheld.
fn withheld(
    question: &AdviceRequest<'_>,
    check: &HoldOutCheck,
    gates: &[Vec<Gate>],
) -> Vec<String> {
    let mut reasons: Vec<String> = check.unchecked.iter().map(ToString::to_string).collect();
    reasons.extend(question.scale.as_ref().err().cloned());
    for (record, gates) in question.records.iter().zip(gates) {
        if record.program.contains("debug build") {
            reasons.push("a debug build measured it; measure with a release build".to_owned());
        }
        let gates = gates.iter().filter(|gate| {
            gate.spoils.contains(&Family::Money) || gate.spoils.contains(&Family::Cpu)
        });
        reasons.extend(gates.map(reason));
    }
    // Records of one machine often share a reason.
    reasons.dedup();
    reasons
}

/// Reasons why measured latencies are withheld.
fn latency_withheld(records: &[&LabRecord], gates: &[Vec<Gate>]) -> Vec<String> {
    let of_record = |(record, gates): (&&LabRecord, &Vec<Gate>)| -> Vec<String> {
        let timed = record.trials.iter().filter(|trial| trial.pass == Pass::Latency);
        let timed: BTreeSet<&str> = timed.map(TrialRecord::target).collect();
        let is_of_it = |gate: &&Gate| {
            let is_timed = gate.target.as_deref().is_none_or(|target| timed.contains(target));
            !timed.is_empty() && is_timed && gate.spoils.contains(&Family::Latency)
        };
        gates.iter().filter(is_of_it).map(reason).collect()
    };
    records.iter().zip(gates).flat_map(of_record).collect()
}

fn reason(gate: &Gate) -> String {
    let of = gate.target.as_ref().map(|target| format!(" of {target}")).unwrap_or_default();
    format!("gate `{}`{of}: {}", gate.name, gate.warning)
}

impl CoreEstimator<'_> {
    /// Cores that are busy with all hops, round by round; or why nobody can tell.
    fn cores(&self, placement: &Placement, profile: &Profile) -> Result<Vec<f64>, String> {
        let hops: Result<Vec<Vec<f64>>, String> =
            self.hops(placement, profile).into_iter().map(|(_, cores)| cores).collect();
        Ok(sum(&hops?))
    }

    /// The same of each hop.
    fn hops(
        &self,
        placement: &Placement,
        profile: &Profile,
    ) -> Vec<(Role, Result<Vec<f64>, String>)> {
        let traffic = profile.traffic(placement);
        let hops = placement.hops.iter().zip(flow(placement, &traffic));
        hops.map(|(hop, mut counts)| {
            let count = |term: Term| counts.get(&term).copied().unwrap_or_default();
            let idle = 1.0 - profile.target_utilisation;
            // What comes at random finds a server idle as often as it is (Wolff, *Poisson arrivals
            // see time averages*, Operations Research 30, 1982), and its core is.
            let woken = (count(Term::Connection) + count(Term::Request)) * idle;
            let block = self.fit.block(hop.role, hop.kind);
            let is_told = |term: Term| {
                let cost = block.and_then(|block| block.cost(term));
                cost.is_some_and(|cost| cost.micros.is_some())
            };
            let is_relay = !hop.kind.speaks_http();
            let of_relay = if is_relay { woken } else { 0.0 };
            let wakes = [(Term::Wake, woken), (Term::IdleWake, woken), (Term::RelayWake, of_relay)];
            counts.extend(wakes.into_iter().filter(|(term, _)| is_told(*term)));
            // Each of its servers stands for all of the second.
            let servers = profile.replicas.get(&hop.role).copied().unwrap_or(1);
            counts.insert(Term::Rest, f64::from(servers));
            let counts = self.scale.apply(&counts, is_relay);
            let micros = self.fit.rounds(hop.role, hop.kind, &counts);
            let cores = micros
                .map(|micros| micros.values().map(|micros| micros / MICROS_PER_SECOND).collect());
            (hop.role, cores.map_err(|error| error.to_string()))
        })
        .collect()
    }
}

impl PlacementAdvice {
    fn of(
        placement: &Placement,
        question: &AdviceRequest<'_>,
        costing: &CoreEstimator<'_>,
        seen: Option<(Nanos, f64)>,
        tells_money: bool,
    ) -> Self {
        let AdviceRequest { records, profile, prices, .. } = *question;
        let keeps = Tradeoffs::of(placement);
        let hops = costing.hops(placement, profile);
        let cores = costing.cores(placement, profile).ok();
        let money = match tells_money {
            true => money(placement, profile, prices, &hops),
            false => Vec::new(),
        };
        let hop_cores = hops.iter().map(|(role, cores)| HopCores {
            role: *role,
            cores: cores.as_ref().ok().and_then(|cores| mean(cores)),
            withheld: cores.as_ref().err().cloned(),
        });
        let version = records.first().map(|record| record.lab.version);
        let (measured_p50_ns, measured_at) = seen.unzip();
        Self {
            placement: placement.name.clone(),
            ruled_out: keeps.ruled_out(&profile.requires),
            keeps,
            resumption: profile.effective_resumption(placement),
            hops: hop_cores.collect(),
            cores: cores.and_then(|cores| mean(&cores)),
            money,
            latency: LatencyEstimate {
                measured_p50_ns,
                measured_at,
                network: Network::of(
                    placement,
                    profile,
                    version.unwrap_or(crate::scenario::Version::Tls13),
                ),
            },
        }
    }

    /// The cheapest way to run it.
    #[must_use]
    pub fn cheapest(&self) -> Option<&MonthlyCost> {
        self.money.first()
    }
}

/// A month in each way, cheapest first. Nothing where a hop's cores are not known.
fn money(
    placement: &Placement,
    profile: &Profile,
    prices: &Prices,
    hops: &[(Role, Result<Vec<f64>, String>)],
) -> Vec<MonthlyCost> {
    // Cores are bought for the peak: at 60 % utilisation each busy core costs 1/0.6 of its price.
    let core = HOURS_PER_MONTH * prices.vcpu.per_hour / profile.target_utilisation;
    let with =
        |balancer: Option<String>, managed: Option<Role>, fixed: f64| -> Option<MonthlyCost> {
            // A managed load balancer takes the place of the hop that was measured in its role.
            let own = hops.iter().filter(|(role, _)| Some(*role) != managed);
            // One hop without a figure leaves the sum without one.
            let own: Option<Vec<Vec<f64>>> = own.map(|(_, cores)| cores.clone().ok()).collect();
            let rounds: Vec<f64> = sum(&own?).iter().map(|cores| cores * core + fixed).collect();
            Some(MonthlyCost { balancer, per_month: mean(&rounds)?, rounds })
        };
    let mut all: Vec<MonthlyCost> = with(None, None, 0.0).into_iter().collect();
    for balancer in prices.balancer.iter().filter(|balancer| balancer.suits(placement)) {
        let name = Some(balancer.name.clone());
        all.extend(with(name, Some(Role::Lb), balancer.per_month(profile)));
    }
    all.sort_by(|one, other| one.per_month.value.total_cmp(&other.per_month.value));
    all
}

/// The median and the rate that the latency pass measured for a placement; `None` if a gate spoils
/// it.
fn measured(records: &[&LabRecord], gates: &[Vec<Gate>], placement: &str) -> Option<(Nanos, f64)> {
    records.iter().zip(gates).find_map(|(record, gates)| {
        let trial = record.latency_trial(placement, Workload::Full)?;
        if is_spoiled(gates, Family::Latency, trial) {
            return None;
        }
        let timed = trial.client.quantile(Phase::Corrected, 0.5, Nanos(0))?;
        match timed {
            Quantile::Is(time) => Some((time, trial.rate?)),
            // A bound is no latency to add round trips to.
            Quantile::AtLeast(_) => None,
        }
    })
}

/// Round by round; as many as all have.
fn sum(all: &[Vec<f64>]) -> Vec<f64> {
    // A round counts if every hop was seen in it.
    let rounds = all.iter().map(Vec::len).min().unwrap_or_default();
    let of_round = |round: usize| all.iter().filter_map(|one| one.get(round)).sum();
    (0..rounds).map(of_round).collect()
}

/// The version of the format that is written here.
pub const SCHEMA: u32 = 1;
