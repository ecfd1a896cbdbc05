//! A run over placements in sentences.

use super::super::text::{number, ratio};
use super::{EffectReport, GateReport, PlacementHopReport, TrialReport, WorkloadStatement};
use crate::hop::LinkSecurity;
use crate::lab::{Pass, Workload};
use crate::placement::{KnownPlacement, Role};
use crate::stats::Estimate;
use crate::warning::Family;

/// Sentence on where TLS ends, and who passes it on.
pub(super) fn ends(hops: &[PlacementHopReport]) -> String {
    let with_tls = || hops.iter().filter(|hop| hop.link != LinkSecurity::Plain);
    let ends: Vec<&str> =
        with_tls().filter(|hop| !hop.passes_on).map(|hop| name(hop.role)).collect();
    let Some((first, rest)) = ends.split_first() else { return "No TLS anywhere.".to_owned() };
    let is_mutual = with_tls().all(|hop| hop.link == LinkSecurity::Mtls);
    let what = if is_mutual { "TLS with certificates of both sides" } else { "TLS" };
    let mut text = format!("{what} ends at the {first}");
    if !rest.is_empty() {
        text.push_str(&format!(", and again at the {}", listed(rest)));
    }
    let passing: Vec<&str> =
        with_tls().filter(|hop| hop.passes_on).map(|hop| name(hop.role)).collect();
    if let [only] = passing.as_slice() {
        text.push_str(&format!("; the {only} passes it on"));
    } else if !passing.is_empty() {
        text.push_str(&format!("; {} pass it on", listed(&passing)));
    }
    if hops.first().is_some_and(|hop| hop.link == LinkSecurity::Plain) {
        text.push_str("; clients come without it");
    }
    text + "."
}

const fn name(role: Role) -> &'static str {
    match role {
        Role::Lb => "load balancer",
        Role::Ingress => "ingress",
        Role::Sidecar => "sidecar",
        Role::Backend => "backend",
    }
}

fn listed(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Sentences on each workload: the places where TLS can end beside each other, or else each
/// placement beside its baseline.
pub(super) fn statements(
    trials: &[TrialReport],
    effects: &[EffectReport],
    gates: &[GateReport],
) -> Vec<WorkloadStatement> {
    let mut statements = Vec::new();
    for pass in Pass::ALL {
        for workload in Workload::ALL {
            let all = effects.iter().filter(|effect| effect.is_of(*workload, *pass));
            // Where TLS should end is the question; the baseline answers only what TLS costs.
            let (twins, pairs): (Vec<_>, Vec<_>) = all.partition(|effect| effect.is_twin);
            let told = if pairs.is_empty() { twins } else { pairs };
            let mut rates = trials.iter().filter(|trial| trial.pass == *pass);
            let rate = rates.find_map(|trial| trial.rate);
            let text = sentence(*workload, rate, &told, gates);
            let (workload, pass) = (*workload, *pass);
            statements.extend(text.map(|text| WorkloadStatement { workload, pass, text }));
        }
    }
    statements
}

/// Sentence on one workload; with a rate, it is about latency.
fn sentence(
    workload: Workload,
    rate: Option<f64>,
    told: &[&EffectReport],
    gates: &[GateReport],
) -> Option<String> {
    let (subject, family, measure) = match rate {
        Some(rate) => {
            let rate = number(rate.round() as u64);
            (format!("At {rate} connections per second"), Family::Latency, "the median time")
        }
        None => (subject(workload), Family::Cpu, "CPU time of all hops"),
    };
    let first = told.first()?;
    // One reason for all is one sentence, with the cure where a gate is the reason.
    if told.iter().all(|effect| effect.verdict == SILENT) {
        let spoils_all =
            |gate: &&GateReport| gate.target.is_none() && gate.spoils.contains(&family);
        return Some(match gates.iter().find(spoils_all) {
            Some(gate) => format!("{subject}, no verdict: {}; {}.", gate.seen, gate.cure),
            None => format!("{subject}, {}.", first.says),
        });
    }
    if let (None, Some(text)) = (rate, cheapest(told)) {
        return Some(format!("{subject}, all hops together use {text}."));
    }
    let clauses: Vec<String> = told.iter().map(|effect| clause(effect)).collect();
    Some(format!("{subject}, in {measure}: {}.", clauses.join("; ")))
}

/// Subject of a sentence: an operation of a workload.
fn subject(workload: Workload) -> String {
    let words = match workload {
        Workload::Bulk1m => "for 1 MiB",
        Workload::Bulk16k => "for 16 KiB",
        Workload::Bulk64k => "for 64 KiB",
        Workload::Full => "with a full handshake",
        Workload::KeepAlive => "over a kept connection",
        Workload::Mix => "of the mix",
        Workload::Resumed => "with a resumed handshake",
        Workload::Short => "of a short connection",
    };
    format!("Per {} {words}", workload.operation())
}

/// The place where TLS costs the least CPU time, if one of three places is shown to.
fn cheapest(told: &[&EffectReport]) -> Option<String> {
    // How many times as much CPU time as `known` the other place of a pair takes.
    let over = |known: KnownPlacement, other: KnownPlacement| {
        let of = |name: &str, against: &str, word: &str| {
            let is_it = |effect: &&&EffectReport| {
                (effect.placement.as_str(), effect.against.as_str(), effect.verdict)
                    == (name, against, word)
            };
            told.iter().find(is_it).and_then(|effect| effect.ratio)
        };
        let more = of(other.as_str(), known.as_str(), "costs-more");
        let less = of(known.as_str(), other.as_str(), "costs-less");
        more.or_else(|| {
            let Estimate { value, low, high, runs } = less?;
            Some(Estimate { value: 1.0 / value, low: 1.0 / high, high: 1.0 / low, runs })
        })
    };
    PLACES.into_iter().find_map(|(known, place)| {
        let others = PLACES.into_iter().filter(|(other, _)| *other != known);
        let clauses = others.enumerate().map(|(index, (other, place))| {
            let ratio = over(known, other)?;
            let Estimate { value, low, high, .. } = ratio;
            let words = if index == 0 { " they use" } else { "" };
            let much = if index == 0 { " as much" } else { "" };
            Some(format!("at {place}{words} {value:.2} ×{much} ({low:.2} to {high:.2})"))
        });
        let clauses = clauses.collect::<Option<Vec<String>>>()?;
        Some(format!("least CPU where TLS ends at {place}; {}", clauses.join(", ")))
    })
}

fn clause(effect: &EffectReport) -> String {
    let EffectReport { placement, against, says, .. } = effect;
    let ratio = ratio(effect.ratio.as_ref());
    match effect.verdict {
        "costs-more" | "costs-less" => format!("{placement} {says} than {against} ({ratio})"),
        "equal" => format!("{placement} and {against} are {says} ({ratio})"),
        _ => format!("{placement} beside {against}: {says}"),
    }
}

/// Places where TLS can end, in the words of a sentence.
const PLACES: [(KnownPlacement, &str); 3] = [
    (KnownPlacement::LbTerminate, "the load balancer"),
    (KnownPlacement::IngressTerminate, "the ingress"),
    (KnownPlacement::Passthrough, "the backend"),
];
/// The word of a comparison of which nothing may be said.
const SILENT: &str = "none";
