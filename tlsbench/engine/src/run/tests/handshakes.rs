//! Handshakes, and requests over TLS.

use super::*;

#[test]
fn handshakes_are_counted_as_the_server_counts_them() {
    let lab = lab();
    for version in [Version::Tls12, Version::Tls13] {
        for close in [Close::Server, Close::Fin, Close::Rst] {
            let server = TestServer::start(lab.fake.clone()).unwrap();
            let mut scenario = scenario(server.address(), Scheme::Https);
            scenario.request = None;
            scenario.tls.version = version.into();
            scenario.close = close;
            let tally = measure(&scenario, Some(&lab));
            let case = format!("{version:?} {close:?} {:?}", tally.failed);
            assert_eq!((tally.succeeded, tally.failures()), (120, 0), "{case}");
            assert_eq!((tally.shape.full, tally.shape.resumed), (120, 0), "{case}");
            assert_eq!(tally.histogram(Phase::Confirmed).len(), 120, "{case}");
            let seen = server.wait_until(|seen| seen.full == 120);
            assert_eq!((seen.full, seen.connections), (120, 120), "{case}");
        }
    }
}

#[test]
fn a_handshake_is_confirmed_by_a_server_without_tickets_too() {
    let mut lab = lab();
    lab.fake.tls.as_mut().unwrap().tickets = 0;
    for close in [Close::Server, Close::Fin, Close::Rst] {
        let server = TestServer::start(lab.fake.clone()).unwrap();
        let mut scenario = scenario(server.address(), Scheme::Https);
        scenario.request = None;
        scenario.close = close;
        let tally = measure(&scenario, Some(&lab));
        assert_eq!((tally.succeeded, tally.failures()), (120, 0), "{close:?} {:?}", tally.failed);
    }
}

#[test]
fn a_rejected_client_is_no_success() {
    let mut lab = lab();
    lab.fake.tls.as_mut().unwrap().client_roots = Some(Arc::clone(&lab.roots));
    for with_request in [false, true] {
        let server = TestServer::start(lab.fake.clone()).unwrap();
        let mut scenario = scenario(server.address(), Scheme::Https);
        if !with_request {
            scenario.request = None;
        }
        scenario.timing.round = Length::Count(NonZeroU64::new(4).unwrap());
        let tally = measure(&scenario, Some(&lab));
        assert_eq!((tally.succeeded, tally.failures()), (0, 8), "{:?}", tally.failed);
        let known = [Failure::Alert, Failure::ResetInHandshake];
        assert!(tally.failed.keys().all(|why| known.contains(why)), "{:?}", tally.failed);
        let identity = lab.pki.issue(&Subject::client("client.test")).unwrap().identity;
        let inputs = Inputs {
            addresses: vec![vec![server.address()]],
            roots: Some(Arc::clone(&lab.roots)),
            ca_bundle: None,
            identity: Some(identity),
            left_out: vec![],
        };
        let outcome = ran(&scenario, &inputs, &Stop::new(), |_| {});
        assert_eq!(total(&outcome).succeeded, 8);
    }
}

#[test]
fn bad_handshakes_are_named() {
    let lab = lab();
    for (handshake, failure) in
        [(Handshake::Alert, Failure::Alert), (Handshake::Reset, Failure::ResetInHandshake)]
    {
        let server = TestServer::start(TestServerConfig { handshake, ..lab.fake.clone() }).unwrap();
        let mut scenario = scenario(server.address(), Scheme::Https);
        scenario.timing.round = Length::Count(NonZeroU64::new(4).unwrap());
        let tally = measure(&scenario, Some(&lab));
        assert_eq!(tally.failed.into_iter().collect::<Vec<_>>(), [(failure, 8)], "{handshake:?}");
    }
}

#[test]
fn the_share_of_resumption_is_the_one_asked_for() {
    let lab = lab();
    for version in [Version::Tls12, Version::Tls13] {
        for request in [false, true] {
            let server = TestServer::start(lab.fake.clone()).unwrap();
            let mut scenario = scenario(server.address(), Scheme::Https);
            scenario.load = closed(1, Some(1));
            scenario.shards = NonZeroU32::MIN;
            scenario.tls.version = version.into();
            scenario.tls.resume = Share::new(0.75).unwrap();
            if !request {
                scenario.request = None;
            }
            let tally = measure(&scenario, Some(&lab));
            let case = format!("{version:?} {request} {:?} {:?}", tally.shape, tally.failed);
            assert_eq!(tally.succeeded, 120, "{case}");
            assert!((88..=90).contains(&tally.shape.resumed), "{case}");
            let seen = server.wait_until(|seen| seen.resumed == tally.shape.resumed);
            assert_eq!(seen.resumed, tally.shape.resumed, "{case}");
        }
    }
}

#[test]
fn requests_over_tls_are_counted_as_the_server_counts_them() {
    let lab = lab();
    for each in [None, Some(1), Some(7)] {
        let server = TestServer::start(lab.fake.clone()).unwrap();
        let mut scenario = scenario(server.address(), Scheme::Https);
        scenario.load = closed(4, each);
        let tally = measure(&scenario, Some(&lab));
        assert_eq!((tally.succeeded, tally.failures()), (120, 0), "{each:?} {:?}", tally.failed);
        assert_eq!(server.wait_until(|seen| seen.requests == 120).requests, 120);
    }
}

#[test]
fn early_data_is_sent_and_accepted() {
    let mut lab = lab();
    lab.fake.tls.as_mut().unwrap().early_data = 16_384;
    let server = TestServer::start(lab.fake.clone()).unwrap();
    let mut scenario = scenario(server.address(), Scheme::Https);
    scenario.load = closed(1, Some(1));
    scenario.shards = NonZeroU32::MIN;
    scenario.timing.round = Length::Count(NonZeroU64::new(10).unwrap());
    scenario.tls.resume = Share::ONE;
    scenario.tls.early_data = true;
    let tally = measure(&scenario, Some(&lab));
    assert_eq!((tally.succeeded, tally.failures()), (20, 0), "{:?}", tally.failed);
    assert_eq!((tally.shape.resumed, tally.shape.early_data), (19, 19), "{:?}", tally.shape);
    assert_eq!(server.wait_until(|seen| seen.requests == 20).early_data, 19);
}

#[test]
fn a_retry_is_paid_by_every_full_handshake_also_after_a_warm_up() {
    let mut lab = lab();
    lab.fake.tls.as_mut().unwrap().groups = vec![Group::P384];
    for resume in [Share::ZERO, Share::ONE] {
        let server = TestServer::start(lab.fake.clone()).unwrap();
        let mut scenario = scenario(server.address(), Scheme::Https);
        scenario.load = closed(4, Some(1));
        scenario.timing.warm_up = Nanos::from_millis(50);
        scenario.tls.resume = resume;
        let tally = measure(&scenario, Some(&lab));
        let shape = &tally.shape;
        assert_eq!((tally.succeeded, shape.retried), (120, shape.full), "{shape:?}");
        assert_eq!(shape.full + shape.resumed, 120, "{shape:?}");
        assert_eq!(shape.full == 120, resume == Share::ZERO, "{shape:?}");
    }
}
