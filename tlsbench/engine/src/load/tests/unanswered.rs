//! Requests that a server never answers.

use super::*;

/// A server that answers after a millisecond, but not one in this many requests.
fn mute_now_and_then(every: u32) -> Script {
    let mut index = 0;
    Script::of(move |asked| {
        index += 1;
        if index % every == 0 { Served::Never } else { Served::At(asked + ms(1)) }
    })
}

#[test]
fn what_is_under_way_at_the_end_of_a_round_and_of_the_run_is_counted_with_its_age() {
    let plan = shard_plan(closed(2, None), Length::Time(ms(100)), 2);
    let (rounds, unanswered) = ended(&plan, Script::of(|_| Served::Never));
    let under_way = |age| UnderWay { operations: 2, oldest_ns: ms(age) };
    let seen: Vec<_> = rounds.iter().map(|(_, lap)| lap.under_way).collect();
    assert_eq!(seen, [under_way(100), under_way(200)]);
    // A second more is waited for it.
    assert_eq!(unanswered, under_way(1_200));
}

#[test]
fn a_connection_that_hangs_is_seen_among_those_that_do_not() {
    let plan = shard_plan(closed(3, None), Length::Time(ms(1_000)), 2);
    // The 20th request is made in turn 7, 6 ms after the beginning.
    let mut index = 0;
    let script = Script::of(move |asked| {
        index += 1;
        if index == 20 { Served::Never } else { Served::At(asked + ms(1)) }
    });
    let (rounds, unanswered) = ended(&plan, script);
    let oldest: Vec<_> = rounds.iter().map(|(_, lap)| lap.under_way.oldest_ns).collect();
    assert_eq!(oldest, [ms(994), ms(1_994)]);
    assert_eq!(unanswered, UnderWay { operations: 1, oldest_ns: ms(2_994) });
}

#[test]
fn a_loop_that_gives_up_what_takes_too_long_loses_no_connection_to_it() {
    let mut plan = shard_plan(closed(2, None), Length::Time(ms(2_000)), 1);
    plan.timeout.operation = ms(100);
    let (rounds, unanswered) = ended(&plan, mute_now_and_then(50));
    let (tally, lap) = &rounds[0];
    let timeouts = tally.failed[&Failure::Timeout];
    // A hundred requests of the two take 50 ms, and the one of them that hangs 100 to 120 ms more.
    assert!((15..=30).contains(&timeouts), "{timeouts}");
    assert_eq!(tally.failures(), timeouts);
    assert!((49 * timeouts..50 * (timeouts + 3)).contains(&tally.succeeded), "{}", tally.succeeded);
    assert!(lap.under_way.oldest_ns <= ms(120), "{:?}", lap.under_way);
    assert_eq!(unanswered.operations, 0);
}

/// The number of operations were late at each look, once each.
struct Late(Vec<u64>);

impl Monitor for Late {
    fn look(&mut self, _: u32, counts: LoadCounts) -> bool {
        if self.0.last() != Some(&counts.late) {
            self.0.push(counts.late);
        }
        counts.late < 3
    }

    fn take(&mut self, _: u32, _: Tally, _: Lap) {}
}

#[test]
fn operations_that_are_late_are_counted_from_their_intended_start_and_outside_of_warm_ups() {
    // Of a hundred requests per second each 50th hangs, of the warm-up and of the round.
    let mut plan = shard_plan(open(100.0, 1_000, ms(1_000)), Length::Time(ms(2_000)), 1);
    (plan.warm_up, plan.late_after) = (ms(1_000), Some(ms(100)));
    let seen = |plan: &ShardPlan| {
        let world = FakeWorld::new(mute_now_and_then(50), START);
        let mut load = LoadLoop::new(ShardContext::new(plan, None), world);
        let mut late = Late(vec![]);
        load.run(&mut late).unwrap();
        (late.0, load.now - START)
    };
    // The 150th request is the first of the round that hangs, and the 250th, made at 2,490 ms, ends
    // it.
    let (late, ended) = seen(&plan);
    assert_eq!(late, [0, 1, 2, 3]);
    assert!((ms(2_590)..=ms(2_610)).contains(&ended), "{ended}");
    plan.late_after = None;
    assert_eq!(seen(&plan).0, [0]);
}
