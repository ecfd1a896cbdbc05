use super::*;

fn files() -> ClientFiles {
    ClientFiles {
        ca_bundle: "ca-bundle.crt".into(),
        certificate: "client.crt".into(),
        key: "client.key".into(),
    }
}

#[test]
fn the_default_measures_eight_placements_and_their_twins() {
    let lab = Lab::default();
    assert_eq!(lab.problems(), []);
    let names: Vec<&str> = lab.placements.iter().map(|placement| &*placement.name).collect();
    assert_eq!(names.len(), 10);
    for placement in &lab.placements {
        assert!(names.contains(&&*placement.twin().name), "{}", placement.name);
    }
    let text = toml::to_string(&lab).unwrap();
    assert_eq!(toml::from_str::<Lab>(&text).unwrap(), lab, "{text}");
}

#[test]
fn each_round_measures_everything_once_in_an_order_of_its_own() {
    let lab = Lab::default();
    let orders: Vec<_> = (0..8).map(|round| lab.order(round)).collect();
    for order in &orders {
        let mut indices: Vec<usize> = order.iter().map(|(index, _)| *index).collect();
        indices.sort_unstable();
        assert_eq!(indices, (0..10).collect::<Vec<_>>());
        for (index, workloads) in order {
            let mut sorted = workloads.clone();
            sorted.sort_unstable();
            let is_plain = lab.placements[*index].links()[0] == Carried::Plain;
            let wanted = if is_plain { &Workload::ALL[..2] } else { Workload::ALL };
            assert_eq!(sorted, wanted);
        }
    }
    let distinct: BTreeSet<Vec<usize>> =
        orders.iter().map(|order| order.iter().map(|(index, _)| *index).collect()).collect();
    assert_eq!(distinct.len(), 8);
    assert_eq!(lab.order(3), Lab::default().order(3));
    assert_ne!(lab.order(3), Lab { seed: 2, ..Lab::default() }.order(3));
}

#[test]
fn every_slice_can_be_run() {
    let lab = Lab::default();
    for placement in &lab.placements {
        for &workload in Workload::ALL.iter().filter(|load| load.suits(placement)) {
            let scenario = lab.scenario(placement, workload, &files()).unwrap();
            assert_eq!(scenario.timing.rounds.get(), 1);
            assert_eq!(scenario.targets[0].name, format!("{}/{workload}", placement.name));
            assert_eq!(
                scenario.tls.client_certificate.is_some(),
                placement.name == "mtls",
                "{}",
                placement.name
            );
        }
    }
}

#[test]
fn twins_come_along_once() {
    let chosen = [Known::LbTerminate, Known::Mtls, Known::Passthrough].map(Known::placement);
    let names: Vec<String> =
        Lab::with_twins(&chosen).into_iter().map(|placement| placement.name).collect();
    assert_eq!(names, ["lb-terminate", "mtls", "passthrough", "plaintext", "plaintext-l4l4"]);
}

#[test]
fn what_cannot_be_measured_is_named() {
    let keys = |lab: &Lab| lab.problems().into_iter().map(|p| p.key).collect::<Vec<_>>();
    assert_eq!(keys(&Lab { rounds: 0, ..Lab::default() }), ["rounds"]);
    assert_eq!(keys(&Lab { placements: Vec::new(), ..Lab::default() }), ["placements"]);
    let mut twice = Lab::default();
    twice.placements.push(Known::Mtls.placement());
    assert_eq!(keys(&twice), ["placements"]);
}
