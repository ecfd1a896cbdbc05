//! The loops in a world whose clock goes by itself: what they time is known to the nanosecond.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use tlsbench_core::pace::{Shard, Starts};
use tlsbench_core::scenario::{
    Arrivals, Close, Length, Protocol, Request, Scheme, Spread, Target, Timeout,
};
use tlsbench_core::tally::{Failure, Phase, Quantile, Tally};
use tlsbench_core::units::{Nanos, Rate, Share};
use tlsbench_core::usage::{Lap, UnderWay};

use super::slots::index_of;
use super::*;
use crate::wire::Rendered;
use scripted::{FakeWorld, Script, Served};

mod closing;
mod scripted;
mod unanswered;

const MS: u64 = 1_000_000;

fn ms(millis: u64) -> Nanos {
    Nanos::from_millis(millis)
}

fn some(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn count(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap()
}

fn shard() -> Shard {
    Shard::new(0, NonZeroU32::MIN).unwrap()
}

fn closed(connections: u32, requests: Option<u64>) -> Work {
    Work::Closed { connections: some(connections), requests: requests.map(count) }
}

/// Requests at a constant rate.
fn open(rate: f64, pool: u32, wait_max: Nanos) -> Work {
    let rate = Rate::per_second(rate).unwrap();
    let (arrivals, spread) = (Arrivals::Requests, Spread::Even);
    Work::Open { arrivals, rate, spread, pool: some(pool), wait_max }
}

fn request() -> Rendered {
    let request = Request {
        protocol: Protocol::Http1,
        method: "GET".to_owned(),
        headers: vec![],
        body: vec![],
        expect_status: None,
        expect_bytes: None,
    };
    let target = Target {
        name: "fake".to_owned(),
        scheme: Scheme::Http,
        host: "localhost".to_owned(),
        port: 80,
        path: "/".to_owned(),
        sni: None,
        connect_to: vec![],
    };
    Rendered::new(&request, &target)
}

fn shard_plan(work: Work, length: Length, rounds: u32) -> ShardPlan {
    ShardPlan {
        addresses: Arc::new(AddressBook::new(vec!["127.0.0.1:80".parse().unwrap()])),
        ca_bundle: None,
        sources: vec![],
        request: Some(request()),
        close: Close::Server,
        timeout: Timeout::DEFAULT,
        resume: Share::ZERO,
        work,
        shard: shard(),
        begin: BEGIN,
        warm_up: Nanos(0),
        ramp: Nanos(0),
        length,
        rounds: some(rounds),
        late_after: None,
    }
}

/// Rounds as they were given away, in order.
struct Given(Vec<(Tally, Lap)>);

impl Monitor for Given {
    fn look(&mut self, _: u32, _: LoadCounts) -> bool {
        true
    }

    fn take(&mut self, round: u32, tally: Tally, lap: Lap) {
        self.0.push((tally, lap));
        assert_eq!(self.0.len(), index_of(round).unwrap());
    }
}

fn run(plan: &ShardPlan, script: Script) -> Vec<(Tally, Lap)> {
    ended(plan, script).0
}

/// The rounds, and what had not ended when they had.
fn ended(plan: &ShardPlan, script: Script) -> (Vec<(Tally, Lap)>, UnderWay) {
    let mut drive = LoadLoop::new(ShardContext::new(plan, None), FakeWorld::new(script, START));
    let mut given = Given(vec![]);
    drive.run(&mut given).unwrap();
    (given.0, drive.ended().1)
}

/// Rounds of a run in which nothing failed and nothing was missed, and which took their time.
fn good(plan: &ShardPlan, script: Script) -> Vec<Tally> {
    let rounds = run(plan, script);
    for (tally, lap) in &rounds {
        assert_eq!((tally.failures(), tally.missed), (0, 0));
        assert_eq!(tally.scheduled, tally.succeeded);
        assert_eq!(Length::Time(lap.wall), plan.length);
    }
    rounds.into_iter().map(|(tally, _)| tally).collect()
}

/// Holds a whole series against values that were computed otherwise: every quantile at once.
#[track_caller]
fn assert_series(tally: &Tally, phase: Phase, expected: impl IntoIterator<Item = Nanos>) {
    let mut all = Tally::new();
    expected.into_iter().for_each(|value| all.record(phase, value));
    let (seen, expected) = (tally.histogram(phase), all.histogram(phase));
    assert_eq!(seen.len(), expected.len(), "{phase:?}");
    for quantile in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
        let of = [seen, expected].map(|series| series.value_at_quantile(quantile));
        assert_eq!(of[0], of[1], "{phase:?}, quantile {quantile}");
    }
    assert!(seen == expected, "{phase:?}");
}

/// Each of 1 to 1,000 ns once, mixed: so short that a histogram keeps every nanosecond.
fn mixed() -> impl FnMut(Nanos) -> Nanos {
    let mut index = 0;
    move |_| {
        index += 271;
        Nanos(index % 1_000 + 1)
    }
}

#[track_caller]
fn assert_quantiles_of_mixed(tally: &Tally, phase: Phase) {
    for (quantile, value) in
        [(0.001, 1), (0.5, 500), (0.9, 900), (0.99, 990), (0.999, 999), (1.0, 1_000)]
    {
        assert_eq!(tally.histogram(phase).value_at_quantile(quantile), value, "{phase:?}");
    }
}

#[test]
fn quantiles_of_a_closed_loop_are_those_of_its_service_times() {
    let plan = shard_plan(closed(1, None), Length::Count(count(1_000)), 2);
    let rounds = run(&plan, Script::serving(mixed()));
    assert_eq!(rounds.len(), 2);
    for (tally, lap) in rounds {
        assert_eq!((tally.succeeded, tally.scheduled), (1_000, 1_000));
        assert_quantiles_of_mixed(&tally, Phase::Uncorrected);
        assert_quantiles_of_mixed(&tally, Phase::LastByte);
        assert_series(&tally, Phase::Corrected, []);
        // One after the other, and nothing in between: 1 + 2 + … + 1,000 ns.
        assert_eq!(lap.wall, Nanos(500_500));
    }
}

#[test]
fn quantiles_of_an_open_loop_are_those_of_its_service_times() {
    let plan = shard_plan(open(1_000.0, 1, ms(100)), Length::Time(ms(1_000)), 2);
    let rounds = run(&plan, Script::serving(mixed()));
    assert_eq!(rounds.len(), 2);
    for (tally, lap) in rounds {
        assert_eq!((tally.succeeded, tally.scheduled, tally.missed), (1_000, 1_000, 0));
        assert_quantiles_of_mixed(&tally, Phase::Corrected);
        assert_quantiles_of_mixed(&tally, Phase::Uncorrected);
        assert_series(&tally, Phase::SendLag, [Nanos(0); 1_000]);
        assert_eq!(lap.wall, ms(1_000));
    }
}

#[test]
fn a_closed_loop_counts_connecting_and_not_closing_and_cuts_rounds_by_time() {
    // Connections of 5 ms + 3 ms + 3 ms, one after the other: the first response of each ends 8 ms
    // after it began, the second 3 ms later. The 2 ms until it is closed are nobody's.
    let plan = shard_plan(closed(2, Some(2)), Length::Time(ms(1_000)), 2);
    let script = Script { connect: ms(5), close: ms(2), ..Script::serving(|_| ms(3)) };
    let rounds = good(&plan, script);
    assert_eq!(rounds.len(), 2);
    let ends = |first| (0..).map(move |turn| turn * 11 + first).take_while(|end| *end < 2_000);
    for (index, tally) in (0..).zip(&rounds) {
        let within = |first| ends(first).filter(|end| end / 1_000 == index).count();
        let (firsts, seconds) = (2 * within(8), 2 * within(11));
        let values = [vec![ms(8); firsts], vec![ms(3); seconds]].concat();
        assert_series(tally, Phase::Uncorrected, values);
        assert_series(tally, Phase::LastByte, vec![ms(3); firsts + seconds]);
    }
    // 90 turns of 11 ms bring two responses in the first second, and one more begins; two seconds
    // have 181, and again a first response.
    assert_eq!((rounds[0].succeeded, rounds[1].succeeded), (2 * 181, 2 * 182));
}

#[test]
fn random_arrivals_queue_for_the_pool_as_the_recursion_says() {
    let (rate, spread) = (Rate::per_second(900.0).unwrap(), Spread::Poisson { seed: 11 });
    // Rounds end between two ticks, and between two arrivals.
    let (service, pool, round) = (ms(3), 3, 1_995 * MS + 7);
    let arrivals = Arrivals::Requests;
    let work = Work::Open { arrivals, rate, spread, pool: some(pool), wait_max: ms(60_000) };
    let rounds =
        good(&shard_plan(work, Length::Time(Nanos(round)), 2), Script::serving(move |_| service));
    // Whoever comes takes the connection that is free first (Kiefer and Wolfowitz, 1955).
    let mut free: BinaryHeap<_> = vec![Reverse(Nanos(0)); 3].into();
    let mut expected = vec![vec![]; 2];
    for start in Starts::new(rate, spread, Nanos(0), shard()) {
        let Some(of_round) = expected.get_mut((start.0.0 / round) as usize) else { break };
        let Reverse(first) = free.pop().unwrap();
        let end = first.max(start.0) + service;
        free.push(Reverse(end));
        of_round.push(end - start.0);
    }
    let waited = expected.concat().into_iter().filter(|took| *took > service).count();
    assert!(waited > 1_000, "only {waited} waited: this shows nothing");
    for (tally, expected) in rounds.iter().zip(expected) {
        assert_series(tally, Phase::Uncorrected, vec![service; expected.len()]);
        assert_series(tally, Phase::Corrected, expected);
    }
}

#[test]
fn a_pool_that_is_too_small_shows_in_the_corrected_series_alone() {
    // 1,000 per second, and two connections that do 400 each: a fifth too much.
    let plan = shard_plan(open(1_000.0, 2, ms(60_000)), Length::Time(ms(200)), 1);
    let rounds = good(&plan, Script::serving(|_| Nanos(2_500_000)));
    let (first, second) = ((0..100).map(|turn| turn * 5 + 5), (0..100).map(|turn| turn * 5 + 5));
    // The turns of each connection, in half milliseconds; the second begins 1 ms after the first.
    let corrected = first
        .map(|turn| turn * MS / 2)
        .zip((0..).step_by(2))
        .chain(second.map(|turn| turn * MS / 2 + MS).zip((1..).step_by(2)))
        .map(|(end, start)| Nanos(end - start * MS));
    assert_series(&rounds[0], Phase::Corrected, corrected);
    assert_series(&rounds[0], Phase::Uncorrected, [Nanos(2_500_000); 200]);
}

#[test]
fn a_start_that_waits_too_long_is_missed_and_counts_as_longer_than_allowed() {
    // Twenty a second, of which one connection does ten. Each second start waits 50 ms and then
    // takes 100 ms; the others would wait 100 ms, which is more than is allowed.
    let plan = shard_plan(open(20.0, 1, ms(75)), Length::Time(ms(1_000)), 1);
    let rounds = run(&plan, Script::serving(|_| ms(100)));
    let (tally, _) = &rounds[0];
    assert_eq!((tally.scheduled, tally.succeeded, tally.missed), (20, 11, 9));
    assert_series(tally, Phase::Uncorrected, [ms(100); 11]);
    let corrected = [vec![ms(100)], vec![ms(150); 10]].concat();
    assert_series(tally, Phase::Corrected, corrected);
    // 9 that were missed, then 100 ms, then 150 ms.
    for (quantile, value) in [(0.45, 75), (0.5, 100), (0.55, 150), (0.99, 150)] {
        let Some(Quantile::AtLeast(seen)) = tally.corrected(quantile, ms(75)) else {
            panic!("quantile {quantile} is not only known to be large")
        };
        assert!(tally.histogram(Phase::Corrected).equivalent(seen.0, value * MS), "{quantile}");
    }
}

#[test]
fn a_connection_that_arrives_counts_from_its_arrival_and_its_later_requests_by_themselves() {
    let rate = Rate::per_second(100.0).unwrap();
    let arrivals = Arrivals::Connections { requests: count(3) };
    let work =
        Work::Open { arrivals, rate, spread: Spread::Even, pool: some(2), wait_max: ms(60_000) };
    // Each holds its place for 5 + 3 × 3 = 14 ms, so that two are enough.
    let script = Script { connect: ms(5), close: ms(1), ..Script::serving(|_| ms(3)) };
    let rounds = good(&shard_plan(work, Length::Time(ms(1_000)), 1), script);
    let values = || [vec![ms(8); 100], vec![ms(3); 200]].concat();
    assert_eq!(rounds[0].connections, 100);
    assert_series(&rounds[0], Phase::Connect, [ms(5); 100]);
    assert_series(&rounds[0], Phase::Corrected, values());
    assert_series(&rounds[0], Phase::Uncorrected, values());
}

#[test]
fn a_generator_that_does_not_run_shows_in_the_send_lag_and_the_corrected_series() {
    let plan = shard_plan(open(1_000.0, 64, ms(60_000)), Length::Time(ms(1_000)), 1);
    let suspended = BEGIN + ms(200)..BEGIN + ms(250);
    let script = Script { suspended, ..Script::serving(|_| Nanos(100)) };
    let rounds = good(&plan, script);
    // The start that was due when it began is 50 ms late, the next 49 ms, and so on.
    let late = || [vec![Nanos(0); 950], (1..=50).map(ms).collect()].concat();
    assert_series(&rounds[0], Phase::SendLag, late());
    assert_series(&rounds[0], Phase::Corrected, late().into_iter().map(|late| late + Nanos(100)));
    assert_series(&rounds[0], Phase::Uncorrected, [Nanos(100); 1_000]);
    // 10 of 1,000 are later than the 99th percentile.
    let p99 = rounds[0].histogram(Phase::Corrected).value_at_quantile(0.99);
    assert!(rounds[0].histogram(Phase::Corrected).equivalent(p99, 40 * MS + 100));
}

/// Returns when a server that takes 1 ms has answered, which stands still from 4 s to 5 s of every
/// 10 s.
fn stalling(asked: Nanos) -> Nanos {
    let (asked, left) = (asked - BEGIN, MS);
    let into = asked.0 % (10_000 * MS);
    let (stall, goes_on) = (4_000 * MS, 5_000 * MS);
    // What it has not done when it stops, it does afterwards.
    let took = match into {
        _ if into + left <= stall || into >= goes_on => left,
        _ if into >= stall => goes_on - into + left,
        _ => left + (goes_on - stall),
    };
    Nanos(took)
}

#[test]
fn a_server_that_stalls_for_a_second_of_ten_is_seen_by_the_corrected_p99_alone() {
    let work = open(1_000.0, 4, ms(60_000));
    let rounds = good(&shard_plan(work, Length::Time(ms(10_000)), 3), Script::serving(stalling));
    assert_eq!(rounds.len(), 3);
    for tally in &rounds {
        // Of the 10,000 requests of a round, the four that are out when it stops wait for it:
        // those of the first four milliseconds.
        let out = (0..4).map(|start| ms(1_001 - start));
        assert_series(tally, Phase::Uncorrected, out.chain(vec![ms(1); 9_996]));
        // Start i after it stops is in the turn i/4 of the four connections. Turns end from 1,001
        // ms on, each 1 ms after the one before, until at i = 1,333 there is nobody left who waits.
        let delayed = (0..1_333).map(|start| ms(1_001 + start / 4 - start));
        assert_series(tally, Phase::Corrected, delayed.chain(vec![ms(1); 8_667]));
        // 100 of 10,000 are above the 99th percentile: it is start 100, of turn 25.
        let p99 = |phase| tally.histogram(phase).value_at_quantile(0.99);
        let is = |phase, value: u64| tally.histogram(phase).equivalent(p99(phase), value * MS);
        assert!(is(Phase::Corrected, 1_001 + 25 - 100), "{}", p99(Phase::Corrected));
        assert!(is(Phase::Uncorrected, 1), "{}", p99(Phase::Uncorrected));
    }
}

#[test]
fn what_the_generator_spends_on_a_connection_is_no_part_of_the_next() {
    // Three connections begin one after the other, 1 ms each, before any of them goes on; then
    // their requests take 10 ms at the same time, and all three begin again.
    let rate = Rate::per_second(1_000.0).unwrap();
    let arrivals = Arrivals::Connections { requests: NonZeroU64::MIN };
    let (spread, wait_max) = (Spread::Even, ms(60_000));
    let open = Work::Open { arrivals, rate, spread, pool: some(3), wait_max };
    for work in [closed(3, Some(1)), open] {
        let script = Script { dial: ms(1), ..Script::serving(|_| ms(10)) };
        let rounds = run(&shard_plan(work, Length::Count(count(30)), 1), script);
        let expected = [ms(11), ms(12), ms(13)].repeat(10);
        assert_series(&rounds[0].0, Phase::Uncorrected, expected);
    }
}

#[test]
fn what_goes_wrong_is_counted_once_and_the_loop_goes_on() {
    // Of each five requests, one has another status, one breaks the connection, and one is the last
    // that the server takes.
    let served = |asked: Nanos, index: u32| match index % 5 {
        1 => Served::Wrong(asked + ms(1), Failure::Status),
        2 => Served::Broken(asked + ms(1), Failure::ResponseTruncated),
        4 => Served::Last(asked + ms(1)),
        _ => Served::At(asked + ms(1)),
    };
    let of = move || {
        let mut index = 0;
        Script::of(move |asked| {
            index += 1;
            served(asked, index - 1)
        })
    };
    for work in [closed(1, None), open(100.0, 1, ms(60_000))] {
        let rounds = run(&shard_plan(work, Length::Count(count(100)), 1), of());
        let (tally, _) = &rounds[0];
        assert_eq!((tally.succeeded, tally.scheduled, tally.connections), (60, 100, 40));
        let failed = [(Failure::ResponseTruncated, 20), (Failure::Status, 20)];
        assert_eq!(tally.failed.clone().into_iter().collect::<Vec<_>>(), failed);
        assert_series(tally, Phase::Uncorrected, [ms(1); 60]);
    }
}

#[test]
fn a_request_without_an_answer_fails_when_its_time_is_over_and_the_run_ends() {
    let mut index = 0;
    let script = Script::of(move |asked| {
        index += 1;
        if index == 3 { Served::Never } else { Served::At(asked + ms(1)) }
    });
    let rounds = run(&shard_plan(open(100.0, 2, ms(60_000)), Length::Count(count(50)), 1), script);
    let (tally, _) = &rounds[0];
    assert_eq!(tally.failed, [(Failure::Timeout, 1)].into());
    // The other connection takes over.
    assert_series(tally, Phase::Corrected, [ms(1); 49]);
}

#[test]
fn a_request_that_was_not_taken_is_sent_again_once_and_its_time_goes_on() {
    // Of each four operations one is not taken; of each three, one is not twice.
    for (untaken, each, succeeded, failed, resent) in [(1, 5, 80, 0, 20), (2, 4, 40, 20, 20)] {
        let of = move || {
            let mut index = 0;
            Script::of(move |asked| {
                index += 1;
                match (index - 1) % each {
                    request_slot if request_slot < untaken => Served::Untaken(asked + ms(1)),
                    _ => Served::At(asked + ms(1)),
                }
            })
        };
        let all = succeeded + failed;
        for work in [closed(1, None), open(100.0, 1, ms(60_000)), open(100.0, 3, ms(60_000))] {
            let rounds = run(&shard_plan(work, Length::Count(count(all)), 1), of());
            let (tally, _) = &rounds[0];
            assert_eq!((tally.succeeded, tally.failures()), (succeeded, failed));
            assert_eq!((tally.scheduled, tally.resent), (all, resent));
            assert_eq!(tally.statuses, [(200, succeeded)].into());
            let twice = usize::try_from(succeeded / 4).unwrap();
            if untaken == 1 {
                let expected = [vec![ms(2); twice], vec![ms(1); 3 * twice]].concat();
                assert_series(tally, Phase::Uncorrected, expected);
            }
        }
    }
}

#[test]
fn what_is_sent_again_goes_to_a_new_connection() {
    // Two connections answer a request each, and lose the next; the third request is lost while the
    // second connection, which is about to be lost as well, has just become free.
    for lost in [vec![3, 5], vec![3, 5, 8]] {
        let (mut index, missing) = (0, lost.len());
        let script = Script::of(move |asked| {
            index += 1;
            match index {
                index if lost.contains(&index) => Served::Untaken(asked),
                4 => Served::At(asked),
                _ => Served::At(asked + ms(1)),
            }
        });
        let rounds = run(&shard_plan(closed(2, None), Length::Count(count(20)), 1), script);
        let (tally, _) = &rounds[0];
        assert_eq!((tally.succeeded, tally.failures()), (20, 0));
        assert_eq!(tally.resent, missing as u64);
    }
}

#[test]
fn an_arrival_s_other_requests_follow_the_one_that_is_sent_again() {
    let rate = Rate::per_second(100.0).unwrap();
    let arrivals = Arrivals::Connections { requests: NonZeroU64::new(4).unwrap() };
    let work =
        Work::Open { arrivals, rate, spread: Spread::Even, pool: some(3), wait_max: ms(60_000) };
    let mut index = 0;
    let script = Script::of(move |asked| {
        index += 1;
        if index % 5 == 2 { Served::Untaken(asked) } else { Served::At(asked) }
    });
    let rounds = run(&shard_plan(work, Length::Count(count(40)), 1), script);
    let (tally, _) = &rounds[0];
    assert_eq!((tally.succeeded, tally.failures(), tally.scheduled), (40, 0, 40));
    assert_eq!((tally.resent, tally.connections), (10, 20));
}

#[test]
fn a_closed_loop_takes_no_longer_than_its_rounds() {
    let script = Script::of(|_| Served::Never);
    let rounds = run(&shard_plan(closed(2, None), Length::Time(ms(100)), 2), script);
    let seen: Vec<_> = rounds.iter().map(|(tally, lap)| (tally.scheduled, lap.wall)).collect();
    assert_eq!(seen, [(0, ms(100)), (0, ms(100))]);
}

/// The beginning of the load.
const BEGIN: Nanos = Nanos(1_000_000_000);
/// The beginning of the shard: one tick before, as a closed loop looks for work by ticks.
const START: Nanos = Nanos(990_000_000);
