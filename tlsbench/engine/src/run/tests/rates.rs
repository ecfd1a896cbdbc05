//! Open loops: what begins when, and what comes of a server that stalls.

use super::*;

#[test]
fn an_open_loop_begins_what_its_rate_says() {
    let server = TestServer::start(TestServerConfig::plain(100)).unwrap();
    for (arrivals, each) in [
        (Arrivals::Requests, 1),
        (Arrivals::Connections { requests: NonZeroU64::new(3).unwrap() }, 3),
    ] {
        let mut scenario = scenario(server.address(), Scheme::Http);
        scenario.load = open(arrivals, 200.0, 16, 60_000);
        scenario.timing.round = Length::Time(Nanos::from_millis(250));
        let outcome = outcome(&scenario, None);
        for slice in &outcome.slices {
            let tally = &slice.tally;
            assert_eq!((tally.scheduled, tally.succeeded), (50 * each, 50 * each), "{arrivals:?}");
            assert_eq!(tally.histogram(Phase::SendLag).len(), 50);
            assert_eq!(tally.histogram(Phase::Corrected).len(), 50 * each);
        }
    }
}

/// Answers requests, but for one second none, after half a second.
fn stalling() -> SocketAddr {
    let begin = std::time::Instant::now();
    pausing(move || {
        let (from, to) = (Duration::from_millis(500), Duration::from_millis(1_500));
        let now = begin.elapsed();
        if (from..to).contains(&now) { to - now } else { Duration::ZERO }
    })
}

#[test]
fn a_stall_is_seen_by_the_corrected_series_and_not_by_the_other() {
    let mut scenario = scenario(stalling(), Scheme::Http);
    scenario.shards = NonZeroU32::MIN;
    scenario.load = open(Arrivals::Requests, 500.0, 4, 60_000);
    scenario.timing.round = Length::Time(Nanos::from_millis(3_000));
    scenario.timing.rounds = NonZeroU32::MIN;
    let tally = measure(&scenario, None);
    assert_eq!((tally.succeeded, tally.missed), (1_500, 0), "{:?}", tally.failed);
    // How much less the others are is a matter of the machine's speed, and exact with the clock of
    // a simulation, in `drive::tests`.
    let at = |phase, quantile| tally.histogram(phase).value_at_quantile(quantile);
    let p99 = |phase| at(phase, 0.99);
    assert!(p99(Phase::Corrected) > 900_000_000, "{}", p99(Phase::Corrected));
    assert!(p99(Phase::Uncorrected) < p99(Phase::Corrected) / 2, "{}", p99(Phase::Uncorrected));
    // A third of all starts waited for the pool, and none of them for the generator.
    let p80 = |phase| at(phase, 0.8);
    assert!(p80(Phase::SendLag) < p80(Phase::Corrected) / 2, "{}", p80(Phase::SendLag));
}

#[test]
fn starts_that_wait_too_long_are_missed() {
    let mut scenario = scenario(stalling(), Scheme::Http);
    scenario.shards = NonZeroU32::MIN;
    scenario.load = open(Arrivals::Requests, 500.0, 4, 100);
    scenario.timing.round = Length::Time(Nanos::from_millis(2_000));
    scenario.timing.rounds = NonZeroU32::MIN;
    let tally = measure(&scenario, None);
    assert_eq!(tally.succeeded + tally.missed, 1_000, "{:?}", tally.failed);
    assert!((350..=500).contains(&tally.missed), "{}", tally.missed);
}

#[test]
fn more_shards_than_connections_lose_nothing_of_the_rate() {
    let server = TestServer::start(TestServerConfig::plain(100)).unwrap();
    let mut scenario = scenario(server.address(), Scheme::Http);
    scenario.shards = NonZeroU32::new(4).unwrap();
    scenario.load = open(Arrivals::Requests, 200.0, 2, 60_000);
    scenario.timing.round = Length::Time(Nanos::from_millis(250));
    let outcome = outcome(&scenario, None);
    assert_eq!(outcome.shards, 2);
    assert_eq!(total(&outcome).succeeded, 100);
}

#[test]
fn a_trial_ends_once_its_goal_is_out_of_reach_and_waits_for_no_timeout() {
    let config =
        TestServerConfig { answer: Answer::StallEvery(50), ..TestServerConfig::plain(100) };
    let server = TestServer::start(config).unwrap();
    let mut scenario = scenario(server.address(), Scheme::Http);
    scenario.load = open(Arrivals::Requests, 200.0, 64, 60_000);
    scenario.timing.round = Length::Time(Nanos::from_millis(1_000));
    scenario.timing.rounds = NonZeroU32::MIN;
    let late_after = Nanos::from_millis(100);
    let futility = |failed_max, late_max| Some(Futility { failed_max, late_max, late_after });
    // Of 200 requests four hang for 30 s, and three are too many.
    scenario.futility = futility(0, 2);
    let ended = outcome(&scenario, None);
    assert_eq!(ended.cut_short, Some(CutShort::Futile { late: 3 }));
    assert!(ended.wall < Nanos::from_millis(2_000), "{}", ended.wall);
    // Failures end it as well, and where neither is too much it goes on to its end.
    scenario.timeout.operation = Nanos::from_millis(300);
    scenario.futility = futility(0, 100);
    assert_eq!(outcome(&scenario, None).cut_short, Some(CutShort::Futile { late: 0 }));
    scenario.futility = futility(100, 100);
    let ended = outcome(&scenario, None);
    assert_eq!((ended.cut_short, total(&ended).scheduled), (None, 200));
}
