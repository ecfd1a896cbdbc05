//! Advice on a run: its latency and the placement to take.

use super::*;

#[test]
fn a_latency_that_a_gate_spoils_is_not_told() {
    let mut record = woken();
    let is_timed = |trial: &&mut TrialRecord| {
        (trial.pass, trial.placement.as_str()) == (Pass::Latency, "lb-terminate")
    };
    let client = &mut record.trials.iter_mut().find(is_timed).unwrap().client;
    client.name = "lb-terminate/full at a rate".into();
    let mut tally = Tally::new();
    tally.record(Phase::Corrected, Nanos::from_micros(700));
    let (lap, wait_max) = (Lap::default(), Nanos(0));
    client.push(&Measured { round: 0, tally: &tally, lap: &lap, wait_max });
    let of = |spoiled: Option<&str>, spoils: &'static [Family]| {
        let gate = spoiled.map(|target| Gate {
            name: "send-lag",
            target: Some(target.to_owned()),
            warning: Warning { seen: "late".into(), cause: "it".into(), cure: "that".into() },
            spoils,
        });
        vec![gate.into_iter().collect::<Vec<Gate>>()]
    };
    let told = |gates: &[Vec<Gate>]| latency_withheld(&[&record], gates);
    let late = of(Some("lb-terminate/full at a rate"), &[Family::Latency]);
    assert_eq!(
        told(&late),
        ["gate `send-lag` of lb-terminate/full at a rate: late, likely because it; that"]
    );
    let seen = |gates: &[Vec<Gate>]| measured(&[&record], gates, "lb-terminate");
    assert_eq!(seen(&late), None);
    assert_eq!(told(&of(None, &[])), [""; 0]);
    let (took, rate) = seen(&of(None, &[])).unwrap();
    assert!((700_000..=710_000).contains(&took.0) && (rate - 100.0).abs() < 1e-9, "{took} {rate}");
    // Of the CPU pass it says nothing of times.
    assert_eq!(told(&of(Some("lb-terminate/full"), &[Family::Latency])), [""; 0]);
    assert_eq!(told(&of(Some("lb-terminate/full at a rate"), &[Family::Cpu])), [""; 0]);
}

#[test]
fn what_rounds_share_does_not_blur_which_placement_costs_less() {
    // Each third round takes 1.8 times as long, so that intervals of a month overlap by far.
    let pace = |round: u32| 1.0 + 0.4 * f64::from(round % 3);
    let record = checked_in(World { pace, ..World::new() }, truth);
    let advice = advised(&[&record], &plain_profile());
    let month = |known: KnownPlacement| placed(&advice, known).cheapest().unwrap().per_month;
    let (edge, ingress) =
        (month(KnownPlacement::LbTerminate), month(KnownPlacement::IngressTerminate));
    assert!(edge.low < ingress.high && ingress.low < edge.high, "{edge:?} {ingress:?}");
    let recommended = advice.recommendation.as_ref().unwrap();
    assert_eq!(recommended.confidence, Confidence::High, "{recommended:?}");
    let told = recommended.reasons.iter().any(|reason| reason.contains("a month costs "));
    assert!(told, "{recommended:?}");
}

#[test]
fn the_cheapest_that_is_not_ruled_out_is_recommended() {
    let record = checked(truth, truth);
    let advice = advised(&[&record], &plain_profile());
    let recommended = advice.recommendation.unwrap();
    let price = |known: KnownPlacement| placed_price(&advised(&[&record], &plain_profile()), known);
    let cheapest = KnownPlacement::PLACEMENTS
        .into_iter()
        .filter(|known| Tradeoffs::of(&known.placement()).tls_ends_at.is_some())
        .min_by(|one, other| price(*one).total_cmp(&price(*other)))
        .unwrap();
    assert_eq!(recommended.placement, cheapest.as_str());
    assert_eq!(recommended.confidence, Confidence::High, "{recommended:?}");

    let mut strict = plain_profile();
    (strict.requires.no_plaintext, strict.requires.client_identity) = (true, true);
    strict.requires.path_routing = true;
    let advice = advised(&[&record], &strict);
    let recommended = advice.recommendation.as_ref().unwrap();
    assert_eq!(recommended.placement, "mtls");
    let out = recommended.reasons.iter().any(|reason| reason.contains("`lb-terminate`"));
    assert!(out, "{recommended:?}");
    assert!(!placed(&advice, KnownPlacement::LbTerminate).ruled_out.is_empty());

    let unchecked = World::new().record();
    let recommended = advised(&[&unchecked], &plain_profile()).recommendation.unwrap();
    assert_eq!(recommended.confidence, Confidence::Moderate);
    // TLS at the load balancer or at the ingress costs the same: then the one that gives up less.
    let alike = |_: Role, kind: HopKind, term: Term| match kind {
        HopKind::Relay | HopKind::SniRelay => truth(Role::Lb, HopKind::Http, Term::Request),
        _ => truth(Role::Lb, HopKind::Http, term),
    };
    let noisy = World { cost: alike, noise: 0.5, ..World::new() }.record();
    let recommended = advised(&[&noisy], &plain_profile()).recommendation.unwrap();
    assert_eq!(recommended.confidence, Confidence::Low);
    assert!(recommended.reasons.iter().any(|reason| reason.contains("cannot be told from")));
    let advice = advised(&[&noisy], &plain_profile());
    let plaintext = |placed: &&PlacementAdvice| placed.keeps.plaintext_to.len();
    let with_tls = advice.placements.iter().filter(|placed| placed.keeps.tls_ends_at.is_some());
    let cores = |placed: &&PlacementAdvice| placed.cores.unwrap().value;
    let cheapest = with_tls.min_by(|a, b| cores(a).total_cmp(&cores(b))).unwrap();
    let taken = advice.placements.iter().find(|one| one.placement == recommended.placement);
    assert!(plaintext(&taken.unwrap()) < plaintext(&cheapest), "{recommended:?} {cheapest:?}");
    let says = |reason: &String| {
        reason.contains("cannot be told from") && reason.contains(&cheapest.placement)
    };
    assert!(recommended.reasons.iter().any(says), "{recommended:?}");
    assert_eq!(advised(&[], &plain_profile()).recommendation, None);
}

fn placed_price(advice: &Advice, known: KnownPlacement) -> f64 {
    placed(advice, known).cheapest().unwrap().per_month.value
}
