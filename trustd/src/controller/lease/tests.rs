use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use kube::client::Body;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::record::{self, Seen};
use super::*;

fn at(seconds: u64) -> Instant {
    Instant::since_boot(Duration::from_secs(seconds))
}

const DURATION: Duration = Duration::from_secs(15);

fn lease(holder: &str, version: &str) -> Lease {
    let mut lease = record::first("l", holder, DURATION, jiff::Timestamp::UNIX_EPOCH);
    lease.metadata.resource_version = Some(version.to_owned());
    lease
}

#[test]
fn a_write_starts_only_if_it_ends_before_the_lease_does() {
    let leadership = Leadership::until(at(100));
    let permit = Permit { leadership: &leadership, timeout: Duration::from_secs(5) };
    assert_eq!(permit.check(at(94)), Ok(()));
    assert_eq!(permit.check(at(95)), Err(NotLeader), "it could end when the lease is another's");
    leadership.extend(at(110));
    assert_eq!(permit.check(at(104)), Ok(()));
    leadership.extend(at(90));
    assert_eq!(permit.check(at(104)), Ok(()), "an old renewal takes nothing back");
    leadership.end();
    assert_eq!(permit.check(at(1)), Err(NotLeader));
}

#[test]
fn who_is_not_elected_may_always_write() {
    assert!(Leadership::unelected().permit(Duration::from_secs(5)).is_ok());
    assert!(Leadership::until(Instant::default()).permit(Duration::ZERO).is_err());
}

#[test]
fn a_rivals_lease_is_takeable_when_it_stood_still_for_its_duration() {
    let seen = Seen::after(None, lease("rival", "1"), at(100));
    assert!(!seen.is_takeable("me", DURATION, at(114)));
    assert!(seen.is_takeable("me", DURATION, at(115)));
    let same = Seen::after(Some(seen.clone()), lease("rival", "1"), at(110));
    assert!(same.is_takeable("me", DURATION, at(115)), "reading it again restarts nothing");
    let renewed = Seen::after(Some(seen), lease("rival", "2"), at(110));
    assert!(!renewed.is_takeable("me", DURATION, at(124)));
    assert!(renewed.is_takeable("me", DURATION, at(125)));
}

#[test]
fn an_empty_holder_is_free_and_a_silent_duration_is_ours() {
    assert!(Seen::after(None, lease("", "1"), at(100)).is_takeable("me", DURATION, at(100)));
    assert!(Seen::after(None, lease("me", "1"), at(100)).is_takeable("me", DURATION, at(100)));
    let mut silent = lease("rival", "1");
    silent.spec.as_mut().unwrap().lease_duration_seconds = None;
    let seen = Seen::after(None, silent, at(100));
    assert!(
        !seen.is_takeable("me", DURATION, at(114)) && seen.is_takeable("me", DURATION, at(115))
    );
}

#[test]
fn a_claim_counts_transitions_and_a_release_leaves_what_client_go_leaves() {
    let date = jiff::Timestamp::from_second(1_000).unwrap();
    let spec = |lease: Lease| -> LeaseSpec { lease.spec.unwrap() };
    let taken = spec(Seen::after(None, lease("rival", "1"), at(0)).claimed("me", DURATION, date));
    assert_eq!((taken.holder_identity.as_deref(), taken.lease_transitions), (Some("me"), Some(1)));
    assert_eq!(taken.acquire_time.unwrap().0, date);
    let renewed = spec(Seen::after(None, lease("me", "1"), at(0)).claimed("me", DURATION, date));
    assert_eq!(renewed.lease_transitions, Some(0));
    assert_eq!(renewed.acquire_time.unwrap().0, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!((renewed.renew_time.unwrap().0, renewed.lease_duration_seconds), (date, Some(15)));
    let free = Seen::after(None, lease("me", "7"), at(0)).released(date);
    assert_eq!(free.metadata.resource_version.as_deref(), Some("7"));
    let free = spec(free);
    assert_eq!((free.holder_identity.as_deref(), free.lease_duration_seconds), (Some(""), Some(1)));
}

/// An API server that knows one Lease.
#[derive(Default)]
struct Server {
    lease: Option<Json>,
    version: u64,
    deaf: bool,
}

impl Server {
    fn answer(&mut self, method: &str, body: &[u8]) -> (u16, Json) {
        let status = |code: u16, reason: &str| {
            let text = json!({ "kind": "Status", "code": code, "reason": reason });
            (code, text)
        };
        match (method, &self.lease) {
            ("GET", Some(lease)) => (200, lease.clone()),
            ("GET", None) => status(404, "NotFound"),
            ("POST", Some(_)) => status(409, "AlreadyExists"),
            _ => {
                let mut lease: Json = serde_json::from_slice(body).unwrap();
                let sent = lease["metadata"]["resourceVersion"].clone();
                if method == "PUT" && sent != json!(self.version.to_string()) {
                    return status(409, "Conflict");
                }
                self.version += 1;
                lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
                self.lease = Some(lease.clone());
                (200, lease)
            }
        }
    }

    fn holder(&self) -> String {
        let lease = self.lease.as_ref().unwrap();
        lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    }
}

fn client(server: &Arc<Mutex<Server>>) -> Client {
    let server = Arc::clone(server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            if server.lock().unwrap().deaf {
                std::future::pending::<()>().await;
            }
            let (code, text) = server.lock().unwrap().answer(parts.method.as_str(), &body);
            let body = Body::from(text.to_string().into_bytes());
            Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
        }
    });
    Client::new(service, "trust")
}

struct Candidate {
    leading: watch::Receiver<Option<Leadership>>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Candidate {
    fn start(server: &Arc<Mutex<Server>>, identity: &str) -> Self {
        let settings = Settings {
            namespace: "trust".into(),
            identity: identity.into(),
            duration: Duration::from_secs(1),
            renew_deadline: Duration::from_millis(600),
        };
        let (tell, leading) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Elector::new(client(server), settings).run(tell, stopped));
        Self { leading, stop, task }
    }

    async fn leads(&mut self, wanted: bool) -> Option<Leadership> {
        let until = self.leading.wait_for(|leading| leading.is_some() == wanted);
        let waited = tokio::time::timeout(Duration::from_secs(30), until).await;
        waited.expect("neither won nor lost within 30 s").unwrap().clone()
    }
}

#[tokio::test]
async fn a_released_lease_goes_to_the_next_and_only_one_leads() {
    let server = Arc::new(Mutex::new(Server::default()));
    let mut first = Candidate::start(&server, "first");
    let leadership = first.leads(true).await.unwrap();
    let mut second = Candidate::start(&server, "second");
    first.stop.send_replace(true);
    second.leads(true).await;
    assert!(leadership.permit(Duration::ZERO).is_err(), "what was led by is worth nothing now");
    assert_eq!(server.lock().unwrap().holder(), "second");
    first.task.await.unwrap();
    second.stop.send_replace(true);
    second.task.await.unwrap();
    assert_eq!(server.lock().unwrap().holder(), "", "nobody holds it in the end");
}

#[tokio::test]
async fn a_leader_without_a_server_loses_and_campaigns_again_in_process() {
    let server = Arc::new(Mutex::new(Server::default()));
    let mut only = Candidate::start(&server, "only");
    let leadership = only.leads(true).await.unwrap();
    server.lock().unwrap().deaf = true;
    only.leads(false).await;
    assert!(leadership.permit(Duration::ZERO).is_err());
    server.lock().unwrap().deaf = false;
    only.leads(true).await;
    only.stop.send_replace(true);
    only.task.await.unwrap();
}
