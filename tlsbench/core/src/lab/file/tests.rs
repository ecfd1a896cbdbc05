use super::super::{EngineName, LatencyPass, Workload};
use super::*;
use crate::hop::{HopKind, LinkSecurity, TicketKeys};
use crate::placement::Role;
use crate::scenario::{KeyKind, Version};
use crate::units::Nanos;

/// A CDN-like placement: TLS ends at the edge, and the edge begins it anew over a delaying relay.
const OWN: &str = r#"
placements = ["mine", "mtls"]
workloads = ["mix", "full"]
engine = "nginx"
key = "rsa2048"
seed = 7
idle_connections = 10

[engines]
sidecar = "builtin"

[tls]
version = "1.2"

[timing]
rounds = 4
round = "200ms"

[latency]
share = 0.5

[mix]
requests = 3

[[placement]]
name = "mine"
[[placement.hops]]
role = "lb"
kind = "http"
listen = "tls"
dial = "tls"
[[placement.hops]]
role = "sidecar"
kind = "relay"
delay = "2ms"
proxy_protocol = true
[[placement.hops]]
role = "backend"
kind = "backend"
listen = "tls"
replicas = 3
ticket_keys = "own"
"#;

fn asked(text: &str) -> Result<LabRequest, Vec<String>> {
    let draft = LabDraft::from_toml(text).map_err(|problem| vec![problem.to_string()])?;
    draft.finish().map_err(|problems| {
        let placed =
            problems.into_iter().map(|p| p.in_file(text, &LabDraft::default()).to_string());
        placed.collect()
    })
}

/// Problems of a file, one line each and without the cure.
fn refused(text: &str) -> Vec<String> {
    let all = asked(text).unwrap_err();
    all.iter().map(|problem| problem.split("\nhint").next().unwrap().to_owned()).collect()
}

#[test]
fn a_file_says_what_flags_say_and_describes_placements() {
    let LabRequest { lab, pki, ca_bundle } = asked(OWN).unwrap();
    assert_eq!((pki, ca_bundle), (None, None));
    let names: Vec<&str> = lab.placements.iter().map(|placement| &*placement.name).collect();
    assert_eq!(names, ["mine", "mtls", "mine-plain", "plaintext"]);
    let [lb, sidecar, backend] = lab.placements[0].hops.as_slice() else { panic!() };
    assert_eq!(
        (lb.kind, lb.listen, lb.dial),
        (HopKind::Http, LinkSecurity::Tls, LinkSecurity::Tls)
    );
    assert_eq!((sidecar.delay, sidecar.proxy_protocol), (Nanos::from_millis(2), true));
    assert_eq!((backend.replicas.count.get(), backend.replicas.tickets), (3, TicketKeys::Own));
    assert_eq!(lab.workloads, [Workload::Full, Workload::Mix]);
    assert_eq!(
        (lab.engines[&Role::Lb], lab.engines[&Role::Sidecar]),
        (EngineName::Nginx, EngineName::Builtin)
    );
    assert_eq!((lab.version, lab.key, lab.seed), (Version::Tls12, KeyKind::Rsa2048, 7));
    assert_eq!((lab.rounds, lab.slice_ns), (4, Nanos::from_millis(200)));
    let pass = lab.latency.unwrap();
    let warm_up_ns = LatencyPass::default().warm_up_ns;
    let wanted = LatencyPass { rounds: 4, slice_ns: lab.slice_ns, warm_up_ns, share: 0.5 };
    assert_eq!(pass, wanted);
    assert_eq!((lab.mix.requests, lab.mix.connections, lab.idle_connections), (3, 16, 10));
}

#[test]
fn what_is_printed_reads_back_equal() {
    let plain = LabDraft { passes: Some(vec![Pass::Cpu]), ..LabDraft::default() };
    let thorough = LabDraft { thorough: Some(true), ..LabDraft::default() };
    for draft in [LabDraft::default(), plain, thorough, LabDraft::from_toml(OWN).unwrap()] {
        let asked = draft.finish().unwrap();
        let text = asked.to_toml().unwrap();
        assert!(LabDraft::is_in(&text));
        assert_eq!(LabDraft::from_toml(&text).unwrap().finish().unwrap(), asked, "{text}");
    }
    assert_eq!(LabDraft::default().finish().unwrap().lab, Lab::default());
}

#[test]
fn a_file_of_placements_is_told_from_one_of_endpoints() {
    for (text, is) in [
        (OWN, true),
        ("passes = ['cpu']", true),
        ("[latency]\nshare = 0.1", true),
        ("[[target]]\nurl = 'https://a.test/'\n[load]\nseed = 1", false),
        ("[timing]\nrounds = 3", false),
        ("", false),
        ("no = toml =", false),
    ] {
        assert_eq!(LabDraft::is_in(text), is, "{text}");
    }
    let both = format!("{OWN}\n[[target]]\nurl = 'https://a.test/'\n");
    assert_eq!(refused(&both), ["line 44: `target`: an endpoint, in a scenario of placements"]);
}

#[test]
fn flags_win_over_the_file() {
    let file = || LabDraft::from_toml(OWN).unwrap();
    let flags = LabDraft {
        placements: Some(vec!["mine".to_owned()]),
        engine: Some(EngineName::Haproxy),
        timing: TimingDraft { rounds: Some(9), ..TimingDraft::default() },
        ..LabDraft::default()
    };
    let lab = flags.or(file()).finish().unwrap().lab;
    let names: Vec<&str> = lab.placements.iter().map(|placement| &*placement.name).collect();
    assert_eq!(names, ["mine", "mine-plain"]);
    assert!(lab.engines.values().all(|engine| *engine == EngineName::Haproxy), "{:?}", lab.engines);
    assert_eq!((lab.rounds, lab.slice_ns, lab.seed), (9, Nanos::from_millis(200), 7));
    // More rounds are for the CPU pass, unless the latency pass is named.
    assert_eq!(lab.latency.unwrap().rounds, 6);
    assert_eq!(LabDraft::default().or(file()), file());
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let replaced = |from: &str, to: &str| refused(&OWN.replacen(from, to, 1));
    assert_eq!(replaced("seed = 7", "sede = 7"), ["line 6: `sede`: no such key"]);
    assert_eq!(
        replaced("kind = \"relay\"", "kind = \"tunnel\""),
        ["line 34: `placement.hops.kind`: `tunnel` is none of `backend`, `http`, `relay`, \
             `sni-relay`"]
    );
    for from in ["\"mtls\"]", "\"mine\", \"mtls\"]"] {
        // Where no other is left, that follows, and is not said beside it.
        let said = replaced(from, "\"mtsl\"]");
        let [said] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!(said.split(" is none").next(), Some("line 2: `placements`: `mtsl`"));
    }
    assert_eq!(replaced("rounds = 4", "rounds = 0")[0], "line 16: `timing.rounds`: 0 rounds");
    assert_eq!(
        replaced("version = \"1.2\"", "resume = 0.5"),
        ["line 13: `tls.resume`: a key of endpoints, in a run over placements"]
    );
    assert_eq!(
        replaced("version = \"1.2\"", "ca_bundle = 'ca.crt'"),
        ["line 13: `tls.ca_bundle`: a root of your own, which trusts no certificate that is made \
          for this run"]
    );
    assert_eq!(
        replaced("kind = \"backend\"\nlisten = \"tls\"", "kind = \"backend\""),
        ["line 31: `placement[0].hops[0].dial`: it dials tls, and the next hop gets plain"]
    );
    assert_eq!(
        replaced("role = \"sidecar\"", "role = \"lb\""),
        ["line 33: `placement[0].hops[1].role`: `lb` stands there twice, as in a loop"]
    );
    assert_eq!(
        replaced("kind = \"backend\"\nlisten", "kind = \"relay\"\nlisten"),
        ["line 27: `placement[0].hops`: no backend is at their end"]
    );
    assert_eq!(
        replaced("name = \"mine\"", "name = \"plaintext\"")[0],
        "line 26: `placement[0].name`: `plaintext` is another placement already"
    );
    let twice = format!("{OWN}\n[[placement]]\nname = 'mine-plain'\nhops = []\n");
    assert!(refused(&twice).contains(
        &"line 45: `placement[1].name`: `mine-plain` is another placement already".to_owned()
    ));
    // A key that is not said is looked for where its table begins.
    assert_eq!(
        replaced("dial = \"tls\"\n", "")[0],
        "line 27: `placement[0].hops[0].dial`: it dials plain, and the next hop gets tls"
    );
    assert_eq!(
        replaced("seed = 7", "hold_out = true"),
        ["line 6: `hold_out`: a mix that is held out, beside the mix that is a workload"]
    );
    assert_eq!(refused("passes = []"), ["`workloads`: nothing is to be measured"]);
}
