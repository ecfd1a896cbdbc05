//! Servers that take their time to close.

use super::*;

/// A server that takes 1 ms, and so long to close.
fn closing_after(close: Nanos) -> Script {
    Script { close, ..Script::serving(|_| ms(1)) }
}

#[test]
fn no_operation_waits_for_a_connection_to_close() {
    let arrivals = Arrivals::Connections { requests: NonZeroU64::MIN };
    let (rate, spread) = (Rate::per_second(1_000.0).unwrap(), Spread::Even);
    let open = Work::Open { arrivals, rate, spread, pool: some(2), wait_max: ms(60_000) };
    for work in [closed(1, Some(1)), open] {
        let plan = shard_plan(work, Length::Time(ms(100)), 2);
        let rounds = run(&plan, closing_after(ms(50)));
        let ended: Vec<_> = rounds.iter().map(|(tally, _)| tally.succeeded).collect();
        // One that ends at the very edge of a closed loop's rounds may be in either.
        assert!(ended[0].abs_diff(100) <= 1 && ended.iter().sum::<u64>() >= 199, "{ended:?}");
        // Those that end in the last 50 ms are closed afterwards.
        let closed = |round: usize| rounds[round].0.histogram(Phase::Closing);
        assert_eq!((closed(0).min(), closed(0).max()), (closed(1).min(), closed(1).max()));
        assert!(closed(0).equivalent(closed(0).max(), 50 * MS), "{}", closed(0).max());
        assert!(closed(0).len().abs_diff(50) <= 1 && closed(1).len().abs_diff(100) <= 1);
    }
}

#[test]
fn of_connections_that_do_not_close_only_so_many_are_waited_for() {
    let plan = shard_plan(closed(4, Some(1)), Length::Time(ms(1_000)), 1);
    let rounds = run(&plan, closing_after(ms(30_000)));
    let (tally, _) = &rounds[0];
    assert!(tally.succeeded >= 3_990, "{}", tally.succeeded);
    // Four in a millisecond: 512 make way after 128 ms.
    let closed = tally.histogram(Phase::Closing);
    assert!(closed.len().abs_diff(tally.succeeded - 512) <= 4, "{}", closed.len());
    assert!(closed.equivalent(closed.value_at_quantile(0.5), 128 * MS), "{}", closed.max());
}
