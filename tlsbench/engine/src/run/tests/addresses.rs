//! Names with several addresses.

use std::collections::BTreeMap;

use super::*;

/// A server, its address, and one of its port where nothing listens.
fn one_of_two() -> (TestServer, SocketAddr, SocketAddr) {
    let server = TestServer::start(TestServerConfig::plain(100)).unwrap();
    let up = server.address();
    (server, up, ([127, 0, 0, 2], up.port()).into())
}

#[test]
fn an_address_of_a_name_that_does_not_answer_is_left_out_and_told() {
    let (_server, up, down) = one_of_two();
    let mut scenario = scenario(up, Scheme::Http);
    (scenario.targets[0].host, scenario.targets[0].connect_to) = ("a.test".to_owned(), vec![]);
    let inputs = Inputs::gather_by(&scenario, |_| Ok(vec![down, up])).unwrap();
    assert_eq!(inputs.addresses, [vec![up]]);
    let mut notes = Vec::new();
    let ran = ran(&scenario, &inputs, &Stop::new(), |progress| {
        if let Progress::Note(note) = progress {
            notes.push(note.clone());
        }
    });
    assert_eq!(notes, [format!("fake: {down} does not answer (connect_refused) and is left out")]);
    let tally = total(&ran);
    assert_eq!((tally.succeeded, tally.failures()), (120, 0));
    let seen: Vec<_> = tally.addresses.iter().map(|(at, of)| (*at, of.succeeded)).collect();
    assert_eq!(seen, [(up, 120)]);
}

#[test]
fn where_no_address_of_a_name_answers_each_is_tried_and_fails() {
    let (_, _, down) = one_of_two();
    let other = ([127, 0, 0, 3], down.port()).into();
    let mut scenario = scenario(down, Scheme::Http);
    (scenario.targets[0].host, scenario.targets[0].connect_to) = ("a.test".to_owned(), vec![]);
    scenario.timing.round = Length::Count(NonZeroU64::new(8).unwrap());
    let inputs = Inputs::gather_by(&scenario, |_| Ok(vec![down, other])).unwrap();
    assert!(inputs.notes(&scenario).is_empty());
    let tally = total(&ran(&scenario, &inputs, &Stop::new(), |_| {}));
    assert_eq!(tally.failures(), 16);
    let refused = |count| BTreeMap::from([(Failure::ConnectRefused, count)]);
    assert!(tally.addresses.len() == 2, "{:?}", tally.addresses);
    assert!(tally.addresses.values().all(|of| of.failed == refused(8)), "{:?}", tally.addresses);
}

#[test]
fn addresses_that_a_scenario_names_are_kept_and_failures_say_where() {
    let (_server, up, down) = one_of_two();
    for load in [closed(4, None), closed(4, Some(1))] {
        let mut scenario = scenario(up, Scheme::Http);
        (scenario.targets[0].connect_to, scenario.load) = (vec![up, down], load);
        let inputs = Inputs::gather(&scenario).unwrap();
        assert_eq!(inputs.addresses, [vec![up, down]]);
        let tally = total(&ran(&scenario, &inputs, &Stop::new(), |_| {}));
        let [up, down] = [&up, &down].map(|address| &tally.addresses[address]);
        assert_eq!((up.succeeded, up.failed.len(), down.succeeded), (tally.succeeded, 0, 0));
        assert_eq!(down.failed, tally.failed);
        assert!(tally.failures() > 0 && tally.succeeded > 0, "{:?}", tally.addresses);
    }
}
