//! Over hops whose costs are known, for they were made up.

mod world;

use world::OPERATIONS;
pub(crate) use world::{World, shared, truth};

use super::*;
use crate::lab::{Mix, Pass, Workload};
use crate::placement::KnownPlacement;
use crate::record::lab::TrialRecord;
use crate::units::Nanos;

fn traffic() -> Traffic {
    Traffic {
        connections: 100.0,
        full: 60.0,
        resumed: 40.0,
        requests: 1_000.0,
        gbit: 0.01,
        kappa: 50.0,
        upstream_resumed: 0.75,
    }
}

fn count(counts: &TermCounts, term: Term) -> f64 {
    counts.get(&term).copied().unwrap_or_default()
}

#[test]
fn a_placement_switches_terms_of_its_hops_on() {
    use Term::{
        Connection, Dial, DialFull, DialMutual, DialResumed, Full, Gbit, Kept, Mutual, Request,
        Resumed, TlsGbit, TlsRequest,
    };
    let of = |known: KnownPlacement| flow(&known.placement(), &traffic());
    let exactly = |counts: &TermCounts, wanted: &[(Term, f64)]| {
        let wanted: TermCounts = wanted.iter().copied().collect();
        assert_eq!(counts.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        for (term, want) in &wanted {
            let seen = count(counts, *term);
            assert!((seen - want).abs() < 1e-9 * want, "{term}: {seen} instead of {want}");
        }
    };
    // 1,000 requests over upstream connections of 50 each.
    let body = [(Request, 1_000.0), (Gbit, 0.01)];
    let tls = |sides: f64| [(TlsRequest, sides * 1_000.0), (TlsGbit, sides * 0.01)];
    let reencrypt = of(KnownPlacement::LbReencrypt);
    // 1,000 requests over 100 connections go on on each of them.
    let edge = [(Connection, 100.0), (Kept, 100.0), (Full, 60.0), (Resumed, 40.0), (Dial, 20.0)];
    let dialled = [(DialFull, 5.0), (DialResumed, 15.0)];
    exactly(&reencrypt[0], &[&body[..], &tls(2.0), &edge, &dialled].concat());
    let inner = [(Connection, 20.0), (Kept, 20.0), (Full, 5.0), (Resumed, 15.0), (Dial, 20.0)];
    exactly(&reencrypt[1], &[&body[..], &tls(1.0), &inner].concat());
    exactly(&reencrypt[2], &[&body[..], &[(Connection, 20.0), (Kept, 20.0)]].concat());

    let passthrough = of(KnownPlacement::Passthrough);
    let passed = [(Connection, 100.0), (Kept, 100.0), (Full, 60.0), (Resumed, 40.0)];
    exactly(&passthrough[0], &[&body[..], &passed].concat());
    exactly(&passthrough[1], &[&body[..], &passed].concat());
    exactly(&passthrough[2], &[&body[..], &passed, &tls(1.0)].concat());

    let mutual = of(KnownPlacement::Mtls);
    assert_eq!((count(&mutual[0], Mutual), count(&mutual[0], DialMutual)), (60.0, 5.0));
    assert_eq!((count(&mutual[2], Mutual), count(&mutual[2], DialMutual)), (5.0, 0.0));
    let plain = of(KnownPlacement::PlaintextL4);
    exactly(&plain[0], &[&body[..], &[(Connection, 100.0), (Kept, 100.0)]].concat());
    assert_eq!(count(&plain[1], Dial), 20.0);

    // Who makes one request goes on nowhere, and of three requests over two connections one does.
    let kept = |connections: f64, requests: f64| {
        let traffic = Traffic { connections, requests, kappa: 1.0, ..traffic() };
        let all = flow(&KnownPlacement::PlaintextL4.placement(), &traffic);
        all.iter().map(|counts| count(counts, Kept)).collect::<Vec<_>>()
    };
    assert_eq!(kept(10.0, 10.0), [0.0, 0.0, 0.0]);
    assert_eq!(kept(10.0, 15.0), [5.0, 5.0, 0.0]);
    assert_eq!(kept(0.0, 15.0), [0.0, 0.0, 0.0]);
}

#[test]
fn known_costs_are_recovered_within_their_intervals() {
    let kept = World::new();
    let mut fresh = World::new();
    fresh.lab.pool = 0;
    let (kept, fresh) = (kept.record(), fresh.record());
    let fit = CostFit::of(&[&kept, &fresh]);
    let by = shared(kept.lab.rounds);
    let (mut held, mut all) = (0, 0);
    for block in &fit.blocks {
        assert!(block.misfit.unwrap() < 0.01, "{} {}: {:?}", block.role, block.kind, block.misfit);
        assert!(block.condition.unwrap() >= 1.0);
        for cost in &block.terms {
            let Some(micros) = cost.micros else { continue };
            let want = by * truth(block.role, block.kind, cost.term);
            let near = (micros.value - want).abs() < 0.1 * want;
            assert!(near, "{} {} {}: {micros:?}, {want}", block.role, block.kind, cost.term);
            all += 1;
            held += u32::from(micros.low <= want && want <= micros.high);
        }
    }
    // Of 95 % intervals; a few terms may miss by chance.
    assert!(all > 30 && held * 10 >= all * 9, "{held} of {all}");
    let lb = fit.block(Role::Lb, HopKind::Http).unwrap();
    for term in [Term::Connection, Term::Request, Term::Gbit, Term::Full, Term::Resumed] {
        assert!(lb.cost(term).unwrap().micros.is_some(), "{term}");
    }
}

#[test]
fn what_the_placements_cannot_tell_apart_is_withheld() {
    let record = World::new().record();
    let fit = CostFit::of(&[&record]);
    let lb = fit.block(Role::Lb, HopKind::Http).unwrap();
    // Upstream connections were kept, so that none was dialled.
    for term in [Term::Dial, Term::DialFull, Term::DialResumed, Term::Rest] {
        let cost = lb.cost(term).unwrap();
        assert_eq!(
            (cost.micros, cost.withheld),
            (None, Some(WithheldReason::NotMeasured)),
            "{term}"
        );
    }
    let predicted = fit.predict(&KnownPlacement::LbReencrypt.placement(), &traffic());
    let error = predicted[0].1.clone().unwrap_err();
    assert!(
        error.to_string().contains("`dial`") && error.to_string().contains("--upstream-pool 0"),
        "{error}"
    );

    // Every connection has one request, and every request a connection and a length: together they
    // have a cost. What TLS adds is told by who speaks it on one side, and on two.
    let mut world = World::new();
    world.lab.workloads = vec![Workload::Full];
    let fit = CostFit::of(&[&world.record()]);
    let lb = fit.block(Role::Lb, HopKind::Http).unwrap();
    for term in [Term::Connection, Term::Request, Term::Gbit, Term::TlsRequest, Term::TlsGbit] {
        let cost = lb.cost(term).unwrap();
        assert_eq!(
            (cost.withheld, cost.micros),
            (Some(WithheldReason::Inseparable), None),
            "{term}"
        );
    }
    for term in [Term::Full, Term::Mutual] {
        let want = shared(8) * truth(Role::Lb, HopKind::Http, term);
        let micros = lb.cost(term).unwrap().micros.unwrap();
        assert!((micros.value - want).abs() < 0.1 * want, "{term}: {micros:?} {want}");
    }
    // Of seven terms: connections, requests and bits are one, requests and bits by TLS another.
    assert_eq!(lb.rank, 4);
    let same = Traffic {
        connections: 7.0,
        full: 7.0,
        resumed: 0.0,
        requests: 7.0,
        gbit: 7.0 * 120.0 * 8.0 / 1e9,
        kappa: f64::INFINITY,
        upstream_resumed: 1.0,
    };
    let predicted =
        fit.predict(&KnownPlacement::LbTerminate.placement(), &same)[0].1.clone().unwrap();
    let counts = &flow(&KnownPlacement::LbTerminate.placement(), &same)[0];
    let want: f64 =
        counts.iter().map(|(term, n)| n * truth(Role::Lb, HopKind::Http, *term)).sum::<f64>();
    let want = want * shared(8);
    assert!((predicted.value - want).abs() < 0.02 * want, "{predicted:?} {want}");
    let other = Traffic { requests: 70.0, ..same };
    let error =
        fit.predict(&KnownPlacement::LbTerminate.placement(), &other)[0].1.clone().unwrap_err();
    assert!(matches!(error, PredictionError::Terms { role: Role::Lb, .. }), "{error}");
}

#[test]
fn a_cost_below_zero_is_held_at_zero() {
    let cost = |role: Role, kind: HopKind, term: Term| match term {
        Term::TlsRequest => -3.0,
        _ => truth(role, kind, term),
    };
    let fit = CostFit::of(&[&World { cost, ..World::new() }.record()]);
    let tls = fit.block(Role::Lb, HopKind::Http).unwrap().cost(Term::TlsRequest).unwrap();
    assert!(tls.at_bound && tls.withheld.is_none(), "{tls:?}");
    assert_eq!(tls.micros.map(|micros| (micros.value, micros.high)), Some((0.0, 0.0)));
    let fit = CostFit::of(&[&World::new().record()]);
    assert!(fit.blocks.iter().flat_map(|block| &block.terms).all(|cost| !cost.at_bound));
}

#[test]
fn one_round_gives_no_figure() {
    let mut world = World::new();
    world.lab.rounds = 1;
    let fit = CostFit::of(&[&world.record()]);
    let lb = fit.block(Role::Lb, HopKind::Http).unwrap();
    assert_eq!(lb.cost(Term::Full).unwrap().withheld, Some(WithheldReason::TooFewRounds));
    let kept = Traffic { kappa: f64::INFINITY, ..traffic() };
    let predicted = fit.predict(&KnownPlacement::LbTerminate.placement(), &kept);
    assert_eq!(predicted[0].1, Err(PredictionError::TooFewRounds));
    assert_eq!(CostFit::of(&[]).blocks, []);
}

/// A world that chose its mix and measured it, at costs of its own.
pub(crate) fn checked(
    cost: fn(Role, HopKind, Term) -> f64,
    of_mix: fn(Role, HopKind, Term) -> f64,
) -> LabRecord {
    checked_in(World { cost, ..World::new() }, of_mix)
}

fn checked_without_noise(of_mix: fn(Role, HopKind, Term) -> f64) -> LabRecord {
    checked_in(World { noise: 0.0, ..World::new() }, of_mix)
}

pub(crate) fn checked_in(mut world: World, of_mix: fn(Role, HopKind, Term) -> f64) -> LabRecord {
    let cost = world.cost;
    let fitted = world.record();
    let chosen = held_out(&fitted, world.lab.mixed_from());
    let from = chosen.from_round;
    world.lab.mix = chosen.mix;
    world.held_out = Some(chosen);
    world.cost = of_mix;
    let of_mix = world.lab.placements.iter().map(|placement| {
        let mut trial = world.trial(placement, Workload::Mix);
        trial.client.rounds.retain(|of| of.round >= from);
        trial.hops.iter_mut().for_each(|hop| hop.rounds.retain(|of| of.round >= from));
        trial
    });
    let mixed: Vec<TrialRecord> = of_mix.collect();
    let mut record = World { cost, ..world }.record();
    record.trials.extend(mixed);
    record
}

#[test]
fn a_fit_that_predicts_the_mix_stands_the_test() {
    let record = checked(truth, truth);
    let found = check(&CostFit::of(&[&record]), &[&record]);
    assert_eq!(found.unchecked, None, "{:?}", found.rows);
    assert_eq!(found.rows.len(), 30, "ten placements of three hops");
    let measured: f64 = found.rows.iter().map(|row| row.measured).sum();
    assert!(measured > 1.0, "{measured}");
}

#[test]
fn a_machine_that_changes_does_not_make_a_model_wrong() {
    // Three times as slow from the round on that measures the mix, so that the mean over all rounds
    // is a sixth too low.
    let pace = |round: u32| if round < 2 { 1.0 } else { 3.0 };
    let record = checked_in(World { pace, ..World::new() }, truth);
    assert_eq!(record.held_out.as_ref().map(|chosen| chosen.from_round), Some(2));
    let fit = CostFit::of(&[&record]);
    let found = check(&fit, &[&record]);
    assert_eq!((found.unchecked, found.rows.len()), (None, 30), "{:?}", found.rows);
    // Of rounds that were not fitted nothing is known.
    let mut beyond = record;
    let mixes = beyond.trials.iter_mut().filter(|trial| trial.workload == Workload::Mix);
    for trial in mixes {
        trial.client.rounds.iter_mut().for_each(|of| of.round += 8);
        trial.hops.iter_mut().flat_map(|hop| &mut hop.rounds).for_each(|of| of.round += 8);
    }
    let rows = check(&fit, &[&beyond]).rows;
    assert!(rows.iter().all(|row| row.predicted.is_none() && !row.holds), "{rows:?}");
}

#[test]
fn a_model_that_does_not_hold_gives_no_money() {
    // With many requests on a connection each of them costs a half more than was fitted.
    let dearer = |role: Role, kind: HopKind, term: Term| match term {
        Term::Request => 1.5 * truth(role, kind, term),
        _ => truth(role, kind, term),
    };
    let record = checked(truth, dearer);
    let found = check(&CostFit::of(&[&record]), &[&record]);
    let Some(UncheckedReason::Off { rows, of, worst }) = found.unchecked else {
        panic!("{found:?}")
    };
    assert!(rows > 10 && of == 30, "{rows} of {of}");
    assert!(worst.contains("predicted"), "{worst}");
}

#[test]
fn a_prediction_may_be_off_by_a_tenth_of_what_was_measured() {
    let of = |of_mix: fn(Role, HopKind, Term) -> f64| {
        let record = checked_without_noise(of_mix);
        check(&CostFit::of(&[&record]), &[&record]).unchecked
    };
    // Predicted are 0.905 and 0.895 of it.
    assert_eq!(of(|role, kind, term| truth(role, kind, term) / 0.905), None);
    let found = of(|role, kind, term| truth(role, kind, term) / 0.895);
    assert!(matches!(found, Some(UncheckedReason::Off { rows: 10.., .. })), "{found:?}");
}

#[test]
fn a_mix_that_another_fit_chose_is_no_test() {
    let record = checked(truth, truth);
    let mut edited = record.clone();
    for trial in edited.trials.iter_mut().filter(|trial| trial.workload == Workload::Full) {
        for round in trial.hops.iter_mut().flat_map(|hop| &mut hop.rounds) {
            round.usage.cpu.total.0 += 50_000 * OPERATIONS;
        }
    }
    let of = |record: &LabRecord| check(&CostFit::of(&[record]), &[record]).unchecked;
    assert_eq!(of(&edited), Some(UncheckedReason::OtherFit));
    let mut other = record.clone();
    other.lab.mix = Mix { requests: 4, ..other.lab.mix };
    assert_eq!(of(&other), Some(UncheckedReason::OtherFit));
    let mut none = record.clone();
    none.held_out = None;
    assert_eq!(of(&none), Some(UncheckedReason::NotMeasured));
    let mut once = record.clone();
    for mix in once.trials.iter_mut().filter(|trial| trial.workload == Workload::Mix) {
        mix.client.rounds.truncate(1);
        mix.hops.iter_mut().for_each(|hop| hop.rounds.truncate(1));
    }
    assert_eq!(of(&once), Some(UncheckedReason::TooFewRounds));
    let mut unmeasured = record.clone();
    unmeasured.trials.retain(|trial| trial.workload != Workload::Mix);
    assert_eq!(of(&unmeasured), Some(UncheckedReason::NotMeasured));
}

#[test]
fn the_mix_follows_from_the_fit_and_is_none_of_what_was_fitted() {
    let record = World::new().record();
    let chosen = held_out(&record, 2);
    assert_eq!(held_out(&record, 2), chosen);
    assert_eq!(chosen.fit_sha256.len(), 64);
    let dearer = |role: Role, kind: HopKind, term: Term| 1.3 * truth(role, kind, term);
    let other = held_out(&World { cost: dearer, ..World::new() }.record(), 2);
    assert_ne!(other.fit_sha256, chosen.fit_sha256);
    let mix = chosen.mix;
    // Workloads have 16, 32 or 8 connections, one request, four or no end of them, none or all
    // resumed, and responses of 120 bytes, 6, 16 or 64 KiB or 1 MiB.
    assert!(![16, 32, 8].contains(&mix.connections) && ![1, 4].contains(&mix.requests));
    assert!(mix.resume > 0.0 && mix.resume < 1.0);
    assert!(![120, 6 << 10, 64 << 10, 1 << 20].contains(&mix.response_bytes));
}

#[test]
fn the_latency_pass_tells_what_being_woken_up_costs_on_an_idle_core() {
    let busy = World { wakes: true, ..World::new() };
    let mut record = busy.record();
    let fit = CostFit::of(&[&record]);
    let of = |fit: &CostFit, term: Term| fit.blocks[0].cost(term).unwrap().clone();
    assert_eq!(of(&fit, Term::IdleWake).withheld, Some(WithheldReason::NotMeasured));
    let light = World { slack: 4.0, ..busy };
    for placement in &light.lab.placements {
        let trial = light.trial(placement, Workload::Full);
        record.trials.push(TrialRecord { pass: Pass::Latency, rate: Some(100.0), ..trial });
    }
    let fit = CostFit::of(&[&record]);
    for term in [Term::Wake, Term::IdleWake] {
        let micros = of(&fit, term).micros.unwrap();
        let want = shared(8) * truth(Role::Lb, HopKind::Http, term);
        assert!((micros.value - want).abs() < 0.1 * want, "{term}: {micros:?} {want}");
    }
    // A mix under which cores have time to spare is predicted, too.
    let chosen = held_out(&record, 0);
    let mut light = World { slack: 2.0, ..light };
    (light.lab.mix, record.lab.mix) = (chosen.mix, chosen.mix);
    record.held_out = Some(chosen);
    let placements = light.lab.placements.iter();
    record.trials.extend(placements.map(|placement| light.trial(placement, Workload::Mix)));
    let found = check(&fit, &[&record]);
    assert_eq!((found.unchecked, found.rows.len()), (None, 30));
    // How busy cores were is no part of what is predicted of it.
    let predicted = |record: &LabRecord| {
        let rows = check(&fit, &[record]).rows;
        rows.iter().map(|row| row.predicted.unwrap().value).collect::<Vec<f64>>()
    };
    let told = predicted(&record);
    let mixes = record.trials.iter_mut().filter(|trial| trial.workload == Workload::Mix);
    for round in mixes.flat_map(|trial| &mut trial.hops).flat_map(|hop| &mut hop.rounds) {
        round.usage.cpu.total.0 /= 2;
    }
    for (told, now) in told.iter().zip(predicted(&record)) {
        assert!((now - told).abs() < 1e-9 * told, "{now} {told}");
    }
}

#[test]
fn where_hops_have_no_cores_of_their_own_clients_keep_them_busy_too() {
    let mut record = World::new().record();
    let mut trial = record.trials[0].clone();
    let wall = trial.client.sum(|round| round.wall_ns.0) as f64;
    let clients = trial.client.rounds.len() as f64;
    for round in &mut trial.client.rounds {
        round.cpu.total = Nanos((wall / clients / 4.0) as u64);
    }
    let busy = |record: &LabRecord| design::HopCoreTime::of(record, &trial).busy(wall / 2.0);
    assert!((busy(&record) - 0.5).abs() < 1e-6, "one core of their own");
    (record.hop_cores, record.environment.cores) = (Vec::new(), 2);
    assert!((busy(&record) - (0.5 + 0.25) / 2.0).abs() < 1e-6, "{}", busy(&record));
}

/// A record whose hops are woken up, on busy cores and on cores that are not.
pub(crate) fn woken() -> LabRecord {
    let busy = World { wakes: true, ..World::new() };
    let mut record = busy.record();
    let light = World { slack: 4.0, ..busy };
    for placement in &light.lab.placements {
        let trial = light.trial(placement, Workload::Full);
        record.trials.push(TrialRecord { pass: Pass::Latency, rate: Some(100.0), ..trial });
    }
    record
}

#[test]
fn what_being_woken_up_costs_is_told_from_the_rest() {
    let record = checked_in(World { wakes: true, ..World::new() }, truth);
    let fit = CostFit::of(&[&record]);
    for block in &fit.blocks {
        // Of hops with few slices, too: it costs all the same.
        let micros = block.cost(Term::Wake).unwrap().micros.unwrap();
        let want = shared(8) * truth(block.role, block.kind, Term::Wake);
        let near = (micros.value - want).abs() < 0.1 * want;
        assert!(near, "{} {}: {micros:?} {want}", block.role, block.kind);
        // What relays take more is nobody else's.
        let of_relay = block.cost(Term::RelayWake).map(|cost| cost.micros.unwrap().value);
        assert_eq!(of_relay.is_some(), !block.kind.speaks_http(), "{}", block.kind);
        let want = shared(8) * truth(block.role, block.kind, Term::RelayWake);
        assert!(of_relay.is_none_or(|value| (value - want).abs() < 0.1 * want), "{of_relay:?}");
        assert!(block.misfit.unwrap() < 0.02, "{} {}: {:?}", block.role, block.kind, block.misfit);
    }
    let found = check(&fit, &[&record]);
    assert_eq!(found.unchecked, None, "{:?}", found.rows);
    let silent = CostFit::of(&[&World::new().record()]);
    let wake = silent.block(Role::Lb, HopKind::Http).unwrap().cost(Term::Wake).unwrap();
    assert_eq!(wake.withheld, Some(WithheldReason::NotMeasured));
}

#[test]
fn wakes_that_nothing_tells_from_the_rest_have_no_cost() {
    // A hop that was measured once has as many terms as figures.
    let mut world = World { wakes: true, ..World::new() };
    world.lab.placements = vec![KnownPlacement::Plaintext.placement()];
    world.lab.workloads = vec![Workload::Full];
    let fit = CostFit::of(&[&world.record()]);
    let lb = fit.block(Role::Lb, HopKind::Http).unwrap();
    assert_eq!(lb.cost(Term::Wake).unwrap().withheld, Some(WithheldReason::Inseparable));
    let woken = fit.rounds(Role::Lb, HopKind::Http, &TermCounts::from([(Term::Wake, 1.0)]));
    assert!(woken.unwrap_err().to_string().contains("`wake`"));
}

#[test]
fn being_woken_up_costs_nothing_rather_than_less() {
    let cost = |role: Role, kind: HopKind, term: Term| match term {
        Term::Wake => -2.0,
        _ => truth(role, kind, term),
    };
    let fit = CostFit::of(&[&World { wakes: true, cost, ..World::new() }.record()]);
    for block in &fit.blocks {
        let wake = block.cost(Term::Wake).unwrap();
        assert!(wake.at_bound && wake.withheld.is_none(), "{wake:?}");
        assert_eq!(wake.micros.map(|micros| (micros.value, micros.high)), Some((0.0, 0.0)));
    }
}

#[test]
fn long_bodies_may_cost_more_or_less_for_each_bit() {
    let fit = CostFit::of(&[&World::new().record()]);
    for block in &fit.blocks {
        let of = |term: Term| block.cost(term).unwrap().micros.unwrap().value;
        for term in [Term::Gbit, Term::Long, Term::Bulk] {
            let want = shared(8) * truth(block.role, block.kind, term);
            let near = (of(term) - want).abs() < 0.1 * want;
            assert!(near, "{} {} {term}: {} {want}", block.role, block.kind, of(term));
        }
    }
    // Bytes of ten responses that count as which.
    let parts = |bytes: f64| {
        let gbit = 10.0 * bytes * 8.0 / 1e9;
        let traffic = Traffic { requests: 10.0, gbit, ..traffic() };
        let counts = &flow(&KnownPlacement::Plaintext.placement(), &traffic)[2];
        [Term::Gbit, Term::Long, Term::Bulk].map(|term| (count(counts, term) * 1e9 / 80.0).round())
    };
    assert_eq!(parts(120.0), [120.0, 0.0, 0.0]);
    assert_eq!(parts(16_384.0), [16_384.0, 0.0, 0.0]);
    assert_eq!(parts(20_000.0), [16_384.0, 3_616.0, 0.0]);
    assert_eq!(parts(65_536.0), [16_384.0, 49_152.0, 0.0]);
    assert_eq!(parts(1_000_000.0), [16_384.0, 49_152.0, 934_464.0]);
}
