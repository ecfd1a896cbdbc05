//! Histograms of a run held against the samples of the same run, each kept as it was taken.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tlsbench_core::pace::Starts;

use super::*;
use crate::load::{ConnectionId, Io, Wake};
use crate::session::{Connection, Route, Session, Step, StepContext};

/// The times of requests, in order, and those of the ends of their responses.
type Samples = Rc<RefCell<Vec<(Nanos, Option<Nanos>)>>>;

/// Sockets, and somebody who listens.
struct Overheard {
    sockets: Sockets,
    samples: Samples,
}

/// A session of which every request is noted.
struct Noted {
    session: Session,
    samples: Samples,
    asked: usize,
}

impl Io for Overheard {
    type Connection = Noted;

    fn now(&self) -> Nanos {
        self.sockets.now()
    }

    fn open(
        &mut self,
        connection: &mut Noted,
        name: ConnectionId,
        route: Route,
        context: &mut StepContext<'_>,
    ) -> Result<(), Failure> {
        connection.samples = Rc::clone(&self.samples);
        self.sockets.open(&mut connection.session, name, route, context)
    }

    fn wake_at(&mut self, moment: Nanos) -> io::Result<()> {
        self.sockets.wake_at(moment)
    }

    fn wait(&mut self) -> io::Result<usize> {
        self.sockets.wait()
    }

    fn event(&self, index: usize) -> Option<Wake> {
        self.sockets.event(index)
    }

    fn heard_tick(&self) {
        self.sockets.heard_tick();
    }
}

impl Connection for Noted {
    fn vacant() -> Self {
        Self { session: Session::vacant(), samples: Samples::default(), asked: 0 }
    }

    fn is_vacant(&self) -> bool {
        self.session.is_vacant()
    }

    fn is_idle(&self) -> bool {
        self.session.is_idle()
    }

    fn is_busy(&self) -> bool {
        self.session.is_busy()
    }

    fn is_reusable(&self) -> bool {
        self.session.is_reusable()
    }

    fn free_slot(&self) -> Option<u32> {
        self.session.free_slot()
    }

    fn completed_slot(&self) -> Option<u32> {
        self.session.completed_slot()
    }

    fn last_response_at(&self) -> Nanos {
        self.session.last_response_at()
    }

    fn deadline(&self) -> Nanos {
        self.session.deadline()
    }

    fn step(&mut self, hung_up: bool, context: &mut StepContext<'_>) -> Step {
        let step = self.session.step(hung_up, context);
        if matches!(step, Step::Answered { .. }) {
            self.samples.borrow_mut()[self.asked].1 = Some(self.session.last_response_at());
        }
        step
    }

    fn resume(&mut self, context: &mut StepContext<'_>) -> Option<Step> {
        self.session.resume(context)
    }

    fn expire(&mut self, context: &mut StepContext<'_>) -> Step {
        self.session.expire(context)
    }

    fn request(
        &mut self,
        last: bool,
        now: Nanos,
        context: &mut StepContext<'_>,
    ) -> Result<(), Step> {
        let mut samples = self.samples.borrow_mut();
        self.asked = samples.len();
        samples.push((now, None));
        self.session.request(last, now, context)
    }

    fn rest(&mut self, context: &mut StepContext<'_>) {
        self.session.rest(context);
    }

    fn close(&mut self, context: &mut StepContext<'_>) -> Step {
        self.session.close(context)
    }

    fn abandon(&mut self) {
        self.session.abandon();
    }

    fn leave(&mut self, context: &mut StepContext<'_>) {
        self.session.leave(context);
    }
}

/// Returns the tally of a shard's only round, when the load began, and what was overheard.
fn overheard(
    scenario: &Scenario,
    lab: Option<&Lab>,
) -> (Tally, Nanos, Vec<(Nanos, Option<Nanos>)>) {
    let (samples, mut kept) = (Samples::default(), Kept::default());
    let begin = on_a_shard(scenario, lab, |context| {
        let sockets = Sockets::new().unwrap();
        let io = Overheard { sockets, samples: Rc::clone(&samples) };
        LoadLoop::new(context, io).run(&mut kept).unwrap();
    });
    let samples = samples.take();
    assert_eq!(kept.0.failures(), 0, "{:?}", kept.0.failed);
    (kept.0, begin, samples)
}

/// Returns whether each quantile of a series is that of the samples, to three digits.
#[track_caller]
fn assert_same(tally: &Tally, phase: Phase, mut samples: Vec<Nanos>) {
    let series = tally.histogram(phase);
    assert_eq!(series.len(), samples.len() as u64, "{phase:?}");
    assert!(samples.len() >= 500, "{} samples of {phase:?} show little", samples.len());
    samples.sort_unstable();
    for (rank, sample) in samples.iter().enumerate() {
        // In the middle between two ranks, where no rounding leads to another.
        let quantile = (rank as f64 + 0.5) / samples.len() as f64;
        let seen = series.value_at_quantile(quantile);
        assert!(
            seen.abs_diff(sample.0) as f64 <= sample.0 as f64 / 1e3,
            "{phase:?}, quantile {quantile}: {seen} ns, and {} ns as it was",
            sample.0
        );
    }
}

#[test]
fn a_closed_loop_s_quantiles_are_those_of_its_samples() {
    let lab = lab();
    let server = TestServer::start(lab.fake.clone()).unwrap();
    let mut scenario = scenario(server.address(), Scheme::Https);
    scenario.load = closed(4, None);
    // Long enough for every connection's first request, which begins with the connection.
    scenario.timing.warm_up = Nanos::from_millis(500);
    scenario.timing.round = Length::Count(NonZeroU64::new(2_000).unwrap());
    let (tally, begin, samples) = overheard(&scenario, Some(&lab));
    let from = begin + scenario.timing.warm_up;
    assert!(samples.iter().take(4).all(|(_, ended)| ended.is_some_and(|ended| ended < from)));
    // Those that begin in the round, and then as many as it has.
    let measured = samples.iter().filter(|(asked, _)| *asked >= from);
    let took: Vec<_> = measured.filter_map(|(asked, ended)| Some((*ended)? - *asked)).collect();
    assert_same(&tally, Phase::LastByte, took.clone());
    assert_same(&tally, Phase::Uncorrected, took);
}

#[test]
fn an_open_loop_s_quantiles_are_those_of_its_samples_from_when_they_should_have_begun() {
    let server = TestServer::start(TestServerConfig::plain(100)).unwrap();
    let mut scenario = scenario(server.address(), Scheme::Http);
    // One connection, so that requests are made in the order of their starts.
    let (rate, spread) = (Rate::per_second(2_000.0).unwrap(), Spread::Poisson { seed: 3 });
    let (arrivals, pool, wait_max) =
        (Arrivals::Requests, NonZeroU32::MIN, Nanos::from_millis(60_000));
    scenario.load = Load::Open { arrivals, rate, spread, pool, wait_max };
    scenario.timing.round = Length::Count(NonZeroU64::new(2_000).unwrap());
    let (tally, begin, samples) = overheard(&scenario, None);
    let shard = Shard::new(0, NonZeroU32::MIN).unwrap();
    let starts = Starts::new(rate, spread, Nanos(0), shard);
    let took =
        samples.iter().zip(starts).map(|((_, ended), start)| ended.unwrap() - (begin + start.0));
    assert_same(&tally, Phase::Corrected, took.collect());
}
