//! Prices of cores and managed load balancers, as data that users edit.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::profile::Profile;
use crate::placement::Placement;
use crate::problem::{Problem, first};
use crate::toml_file::read_toml;

/// Prices. Keys of the file's top level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The day on which they were looked up, `2026-11-21`. Required.
    pub date: String,
    /// The currency of all of them. Required.
    pub currency: String,
    /// A virtual core of the machines that hops run on.
    pub vcpu: VcpuPrice,
    /// Load balancers that somebody else runs.
    #[serde(default)]
    pub balancer: Vec<LoadBalancerPrice>,
}

/// A virtual core: the table `[vcpu]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VcpuPrice {
    /// Price per hour. Required.
    pub per_hour: f64,
    /// Source of the price. Required.
    pub source: String,
}

/// A load balancer that somebody else runs: a table `[[balancer]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancerPrice {
    /// Name in tables. Required.
    pub name: String,
    /// Placements whose `lb` it can be. Required.
    pub placements: Vec<String>,
    /// Price per hour that it runs. Required.
    pub per_hour: f64,
    /// Price per unit and hour. Required.
    pub per_unit_hour: f64,
    /// Capacity of a unit, by dimension. Units are paid for the dimension that needs most.
    /// Required.
    pub dimension: Vec<BillingDimension>,
    /// Source of the pricing rule. Required.
    pub source: String,
}

/// Capacity of a unit in one dimension: a table `[[balancer.dimension]]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BillingDimension {
    /// The thing. Required.
    pub of: BillingMeasure,
    /// Amount that a unit holds. Required.
    pub per_unit: f64,
}

/// Dimensions that managed load balancers are billed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BillingMeasure {
    /// Connections that are open at a time.
    ActiveConnections,
    /// 10^9 bytes of bodies in an hour.
    GbPerHour,
    /// Connections that are made in a second.
    NewConnectionsPerSecond,
    /// Requests in a second.
    RequestsPerSecond,
}

impl Prices {
    /// Reads prices and checks them. Unknown keys are refused.
    ///
    /// # Errors
    /// What is wrong with them, by line and key.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Problem>> {
        let prices: Self = read_toml(text, "prices").map_err(|problem| vec![problem])?;
        let problems = prices.problems();
        if problems.is_empty() {
            return Ok(prices);
        }
        Err(first(problems).into_iter().map(|problem| problem.at_line_of(text)).collect())
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |is_well: bool, key: String, seen: String, cure: &str| {
            if !is_well {
                problems.push(Problem::new(key, seen, cure));
            }
        };
        let is_price = |price: f64| (0.0..=MOST).contains(&price);
        let no_price = "write a price of 0 or more";
        let vcpu = self.vcpu.per_hour;
        check(is_price(vcpu), "vcpu.per_hour".to_owned(), format!("{vcpu} is no price"), no_price);
        let seen = format!("`{}` is no day", self.date);
        let is_day = self.date.len() == DAY_LENGTH && self.date.parse::<Date>().is_ok();
        check(is_day, "date".to_owned(), seen, "write it as `2026-11-21`");
        for (index, balancer) in self.balancer.iter().enumerate() {
            let name = &balancer.name;
            let at = |key: &str| format!("balancer[{index}].{key}");
            let is_twice = self.balancer.iter().take(index).any(|before| before.name == *name);
            let seen = format!("there are two balancers `{name}`");
            check(!is_twice, at("name"), seen, "give each a name of its own");
            check(
                !name.is_empty(),
                at("name"),
                "it is empty".to_owned(),
                "write how tables call it",
            );
            for (key, price) in
                [("per_hour", balancer.per_hour), ("per_unit_hour", balancer.per_unit_hour)]
            {
                let seen = format!("{price} of `{name}` is no price");
                check(is_price(price), at(key), seen, no_price);
            }
            let none = balancer.dimension.is_empty();
            let seen = format!("`{name}` has none");
            let cure = "say what a unit holds of what it is paid by";
            check(!none, at("dimension"), seen, cure);
            for (part, dimension) in balancer.dimension.iter().enumerate() {
                let holds = dimension.per_unit;
                let seen = format!("a unit of `{name}` cannot hold {holds}");
                let is_well = holds > 0.0 && holds <= MOST;
                let key = at(&format!("dimension[{part}].per_unit"));
                check(is_well, key, seen, "write more than 0");
            }
        }
        problems
    }
}

impl Prices {
    /// Placements of balancers that are none of these, by line of the file that the prices are
    /// from.
    #[must_use]
    pub fn unknown_placements(&self, text: &str, known: &BTreeSet<&str>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, balancer) in self.balancer.iter().enumerate() {
            let unknown = balancer.placements.iter().find(|name| !known.contains(name.as_str()));
            let Some(unknown) = unknown else { continue };
            let all: Vec<&str> = known.iter().copied().collect();
            let seen = format!("`{}` has `{unknown}`, which is no placement", balancer.name);
            let cure = format!("write some of {}", all.join(", "));
            let key = format!("balancer[{index}].placements");
            problems.push(Problem::new(key, seen, cure).at_line_of(text));
        }
        problems
    }
}

impl LoadBalancerPrice {
    /// Returns true if it can be the load balancer of a placement.
    #[must_use]
    pub fn suits(&self, placement: &Placement) -> bool {
        self.placements.contains(&placement.name)
    }

    /// Units for the traffic: those of the dimension that needs most.
    #[must_use]
    pub fn units(&self, profile: &Profile) -> f64 {
        let traffic = &profile.traffic;
        let connections = traffic.connections_per_second;
        let requests = connections * traffic.requests_per_connection;
        let needed = self.dimension.iter().map(|dimension| {
            let amount = match dimension.of {
                BillingMeasure::ActiveConnections => {
                    connections * traffic.connection_time.0.as_secs_f64()
                }
                BillingMeasure::GbPerHour => requests * traffic.response_bytes * 3_600.0 / 1e9,
                BillingMeasure::NewConnectionsPerSecond => connections,
                BillingMeasure::RequestsPerSecond => requests,
            };
            amount / dimension.per_unit
        });
        needed.fold(0.0, f64::max)
    }

    /// Cost per month.
    #[must_use]
    pub fn per_month(&self, profile: &Profile) -> f64 {
        HOURS_PER_MONTH * (self.per_hour + self.per_unit_hour * self.units(profile))
    }
}

/// Hours of a month: 8,760 of a year by twelve.
pub const HOURS_PER_MONTH: f64 = 730.0;
const MOST: f64 = 1e9;
/// `2026-11-21`: jiff reads longer forms, with a time, and shorter ones too.
const DAY_LENGTH: usize = 10;
