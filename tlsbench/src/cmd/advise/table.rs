//! The answer of `advise` for people.

use comfy_table::{Table, presets};
use tlsbench_core::advice::{Advice, PlacementAdvice, Profile};
use tlsbench_core::cost::{CostModel, TermCost, WithheldReason};
use tlsbench_core::stats::Estimate;
use tlsbench_core::units::Nanos;

/// The whole of it.
pub(super) fn text(advice: &Advice, profile: &Profile) -> String {
    let mut text = format!("{}\n\n", costs(advice).trim_fmt());
    for block in &advice.fit.blocks {
        text.push_str(&identified(block));
    }
    text.push_str(&check(advice));
    let busy = profile.target_utilisation * 100.0;
    text.push_str(&format!("\ncores that are busy on average, at {busy:.0} % of each\n"));
    text.push_str(&format!("{}\n\n", placements(advice).trim_fmt()));
    text.push_str(&withheld(advice));
    for placed in &advice.placements {
        for why in &placed.ruled_out {
            text.push_str(&format!("{} is ruled out: {why}\n", placed.placement));
        }
    }
    for why in &advice.money_withheld {
        text.push_str(&format!("no money is told: {why}\n"));
    }
    for why in &advice.latency_withheld {
        text.push_str(&format!("no latency is told: {why}\n"));
    }
    text.push('\n');
    for placed in advice.placements.iter().filter(|placed| placed.keeps.tls_ends_at.is_some()) {
        text.push_str(&format!("{}: {}\n", placed.placement, placed.keeps.words().join("; ")));
    }
    text.push('\n');
    for statement in &advice.break_evens {
        text.push_str(&format!("{}\n", statement.words));
    }
    text.push_str(&recommendation(advice));
    text
}

fn costs(advice: &Advice) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["hop", "thing", "µs of CPU time (95 %)", ""]);
    for block in &advice.fit.blocks {
        for cost in &block.terms {
            let TermCost { term, micros, at_bound, withheld } = cost;
            let why = match withheld {
                Some(WithheldReason::Inseparable) => "withheld: nothing tells it from others",
                Some(WithheldReason::NotMeasured) => "withheld: not measured",
                Some(WithheldReason::TooFewRounds) => "withheld: too few rounds",
                None if *at_bound => "at bound",
                None => "",
            };
            table.add_row([
                format!("{} ({})", block.role, block.kind),
                term.to_string(),
                micros.as_ref().map_or_else(|| "-".to_owned(), |of| estimate(of, 1)),
                why.to_owned(),
            ]);
        }
    }
    table
}

fn identified(block: &CostModel) -> String {
    let CostModel { role, kind, rank, rows, rounds, .. } = block;
    let condition = block.condition.map_or_else(|| "-".to_owned(), |of| format!("{of:.0}"));
    let misfit =
        block.misfit.map_or_else(|| "-".to_owned(), |misfit| format!("{:.1} %", misfit * 100.0));
    format!(
        "{role} ({kind}): rank {rank}, condition {condition}, misfit {misfit}, {rows} slices of \
         {rounds} rounds\n"
    )
}

/// Lists why hops have no cores, each reason once with its placements.
fn withheld(advice: &Advice) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for placed in &advice.placements {
        for why in placed.hops.iter().filter_map(|hop| hop.withheld.as_ref()) {
            let why = why.to_string();
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, names)) => names.push(&placed.placement),
                None => reasons.push((why, vec![&placed.placement])),
            }
        }
    }
    let lines = reasons.iter().map(|(why, names)| format!("{}: {why}\n", names.join(", ")));
    lines.collect()
}

fn check(advice: &Advice) -> String {
    let rows = advice.check.rows.len();
    let held = advice.check.rows.iter().filter(|row| row.holds).count();
    match &advice.check.unchecked {
        Some(why) => format!("not checked: {why}\n"),
        None => format!(
            "checked: {held} of {rows} predictions of a held-out mix are within 10 % or 0.01 core\n"
        ),
    }
}

fn placements(advice: &Advice) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["".to_owned()];
    let roles: Vec<String> = advice
        .placements
        .iter()
        .max_by_key(|placed| placed.hops.len())
        .map(|placed| placed.hops.iter().map(|hop| hop.role.to_string()).collect())
        .unwrap_or_default();
    header.extend(roles.iter().cloned());
    let money = format!("{} a month", advice.currency);
    header.extend(
        ["all (95 %)", "resumed", "p50 here", "links, new", "links, kept"].map(str::to_owned),
    );
    header.push(money);
    table.set_header(header);
    for placed in &advice.placements {
        let mut row = vec![placed.placement.clone()];
        row.extend(roles.iter().map(|role| {
            let hop = placed.hops.iter().find(|hop| hop.role.to_string() == *role);
            let cores = hop.and_then(|hop| hop.cores);
            cores.map_or_else(|| "-".to_owned(), |cores| format!("{:.3}", cores.value))
        }));
        row.push(placed.cores.as_ref().map_or_else(|| "-".to_owned(), |of| estimate(of, 3)));
        row.push(format!("{:.0} %", placed.resumption * 100.0));
        let here = placed.latency.measured_p50_ns.map(|time| time.to_string());
        row.push(here.unwrap_or_else(|| "-".to_owned()));
        row.push(time(placed.latency.network.full_ns));
        row.push(time(placed.latency.network.kept_ns));
        row.push(price(placed));
        table.add_row(row);
    }
    table
}

fn price(placed: &PlacementAdvice) -> String {
    let all = placed.money.iter().map(|money| {
        let with = match &money.balancer {
            Some(name) => format!(" with {name}"),
            None => String::new(),
        };
        let Estimate { value, low, high, .. } = money.per_month;
        format!("{value:.2} ({low:.2} to {high:.2}){with}")
    });
    let all: Vec<String> = all.collect();
    if all.is_empty() { "-".to_owned() } else { all.join("; ") }
}

fn recommendation(advice: &Advice) -> String {
    let Some(recommended) = &advice.recommendation else {
        return "\nno recommendation: no placement with TLS towards the client is left whose cores \
                are known\n"
            .to_owned();
    };
    let with = match &recommended.balancer {
        Some(name) => format!(" with {name}"),
        None => String::new(),
    };
    let mut text = format!(
        "\nrecommended: {}{with} (confidence: {})\n",
        recommended.placement,
        recommended.confidence.as_str()
    );
    for reason in &recommended.reasons {
        text.push_str(&format!("  {reason}\n"));
    }
    text
}

fn time(time: Nanos) -> String {
    if time.0 == 0 { "-".to_owned() } else { format!("+{time}") }
}

fn estimate(of: &Estimate, digits: usize) -> String {
    format!("{:.*} ± {:.*}", digits, of.value, digits, (of.high - of.low) / 2.0)
}
