use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use serde_json::{Value as Json, json};
use trustd_core::world::OwnerReference;

use super::*;

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap()
}

fn told(known: &mut KnownObjects, event: Event<ConfigMap>) -> Vec<String> {
    let reduce = |object: ConfigMap| trim::source(&Whole::ConfigMap(&object));
    let watch_events = known.take(event, &reduce).into_iter();
    watch_events
        .map(|watch_event| match watch_event {
            WatchEvent::Applied(ObjectKey::Source(_, name), _) => format!("is {name}"),
            WatchEvent::Deleted(ObjectKey::Source(_, name)) => format!("gone {name}"),
            WatchEvent::Synced => "synced".to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_new_list_tells_what_vanished_and_says_synced_once() {
    let mut known = KnownObjects::default();
    for name in ["a", "b"] {
        assert_eq!(told(&mut known, Event::InitApply(config_map(name))), [format!("is {name}")]);
    }
    assert_eq!(told(&mut known, Event::InitDone), ["synced"]);
    assert_eq!(told(&mut known, Event::Apply(config_map("c"))), ["is c"]);
    assert_eq!(told(&mut known, Event::Delete(config_map("a"))), ["gone a"]);
    // A list that breaks off half-way counts for nothing.
    told(&mut known, Event::Init);
    told(&mut known, Event::InitApply(config_map("b")));
    told(&mut known, Event::Init);
    told(&mut known, Event::InitApply(config_map("c")));
    assert_eq!(told(&mut known, Event::InitDone), ["gone b"]);
}

#[test]
fn a_bundle_is_kept_raw_however_odd_it_is() {
    let raw = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": { "name": "b", "managedFields": [
            { "manager": "m", "time": "2026-01-09T00:00:00Z" },
            { "manager": "old", "subresource": "status", "time": "2026-01-01T00:00:00Z" },
            { "manager": "new", "subresource": "status", "time": "2026-01-02T00:00:00Z" },
            { "manager": "trust-manager", "subresource": "status", "time": "2026-01-03T00:00:00Z" },
        ] },
        "spec": { "sources": "none", "later": 1 }, "status": [],
    });
    let (key, object) = trim::bundle(serde_json::from_value(raw).unwrap());
    assert_eq!(key, ObjectKey::Bundle("b".into()));
    let Some(WatchedObject::Bundle { raw: kept, status_writer }) = object else {
        panic!("{object:?}")
    };
    assert_eq!(kept["spec"]["sources"], "none");
    assert_eq!(kept["metadata"].get("managedFields"), None::<&Json>);
    assert_eq!(status_writer, Some("new".into()));
}

#[test]
fn a_target_is_reduced_to_what_ownership_needs() {
    let raw = json!({ "metadata": {
        "name": "b", "namespace": "n", "uid": "u", "resourceVersion": "7",
        "labels": { "trust.cert-manager.io/bundle": "b" },
        "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "huge", "a": "1" },
        "managedFields": [{ "manager": "trust-manager", "operation": "Apply",
                            "fieldsV1": { "f:data": { "f:k": {} } } }],
    }});
    let object: PartialObjectMeta<ConfigMap> = serde_json::from_value(raw).unwrap();
    let (key, object) = trim::target(Kind::ConfigMap)(object);
    assert_eq!(key, ObjectKey::Target(Kind::ConfigMap, "n".into(), "b".into()));
    let Some(WatchedObject::Target(observed)) = object else { panic!("{object:?}") };
    assert_eq!(observed.annotations.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(observed.managed.as_ref().unwrap().applied.len(), 1);
    assert_eq!(observed.owner, OwnerReference::None);
}

/// A server of Secrets `helm` and `ca`, whose watches stay open and say what the test says.
#[derive(Clone, Default)]
struct Secrets {
    asked: Arc<Mutex<Vec<String>>>,
    watches: Arc<Mutex<Vec<Sender<Bytes>>>>,
}

impl Secrets {
    fn secret(name: &str, version: &str) -> Json {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
            "metadata": { "name": name, "resourceVersion": version, "labels": { "owner": name } },
            "data": { "release": "AAAA" },
        })
    }

    fn event(kind: &str, object: &Json) -> Bytes {
        format!("{}\n", json!({ "type": kind, "object": object })).into()
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (mut sender, body) = Channel::<Bytes, Infallible>::new(16);
                let path = request.uri().path().to_owned();
                server.asked.lock().unwrap().push(path.clone());
                if let Some((_, name)) = path.split_once("/secrets/") {
                    let bytes = Self::secret(name, "9").to_string().into();
                    sender.send_data(bytes).await.unwrap();
                } else {
                    for name in ["helm", "ca"] {
                        let event = Self::event("ADDED", &Self::secret(name, "5"));
                        sender.send_data(event).await.unwrap();
                    }
                    let end = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": {
                        "resourceVersion": "6",
                        "annotations": { "k8s.io/initial-events-end": "true" } } });
                    sender.send_data(Self::event("BOOKMARK", &end)).await.unwrap();
                    server.watches.lock().unwrap().push(sender);
                }
                Ok::<_, Infallible>(Response::new(body))
            }
        });
        Client::new(service, "trust")
    }

    async fn says(&self, kind: &str, object: &Json) {
        let mut watch = self.watches.lock().unwrap().pop().unwrap();
        watch.send_data(Self::event(kind, object)).await.unwrap();
        self.watches.lock().unwrap().push(watch);
    }
}

fn reads(bundle: &str, secret: &str) -> WatchEvent {
    let raw = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": { "name": bundle },
        "spec": { "sources": [{ "secret": { "name": secret, "key": "release" } }],
                  "target": { "configMap": { "key": "k" } } },
    });
    WatchEvent::Applied(
        ObjectKey::Bundle(bundle.into()),
        WatchedObject::Bundle { raw: Arc::new(raw), status_writer: None },
    )
}

/// Formats the next event.
async fn next(told: &mut mpsc::Receiver<WatchEvent>) -> String {
    let next = tokio::time::timeout(std::time::Duration::from_secs(60), told.recv()).await;
    match next.unwrap().unwrap() {
        WatchEvent::Applied(ObjectKey::Source(_, name), WatchedObject::Source(source)) => {
            format!("{name} with {} keys", source.data.len())
        }
        WatchEvent::Applied(ObjectKey::Source(_, name), WatchedObject::Withheld(source)) => {
            assert!(source.data.is_empty() && !source.labels.is_empty());
            format!("{name} without data")
        }
        WatchEvent::Deleted(ObjectKey::Source(_, name)) => format!("gone {name}"),
        WatchEvent::Synced => "synced".to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn the_data_of_what_no_bundle_reads_is_dropped_and_fetched_when_one_does() {
    let server = Secrets::default();
    let (says, interest) = interest::channel();
    let (tell, mut told) = mpsc::channel(64);
    let context = WatchContext::default();
    let heartbeat = context.heartbeats.add("source secrets", Instant::now());
    let watch = Watch {
        name: "source secrets",
        selector: None,
        heartbeat,
        context,
        says: None,
        withheld: None,
        tell,
    };
    let reduce = {
        let interest = interest.clone();
        move |object: Secret| interest::kept(&interest, trim::source(&Whole::Secret(&object)))
    };
    let api = Api::<Secret>::namespaced(server.client(), "trust");
    let task = tokio::spawn(watch.heeding(Kind::Secret, &interest).run(api, reduce));
    // Nothing is read before it is known what Bundles read: or the first list would drop it all.
    says.send_modify(|interest| assert!(interest.note(&reads("b", "ca"))));
    tokio::task::yield_now().await;
    assert_eq!(server.asked.lock().unwrap().len(), 0);
    says.send_modify(|interest| assert!(interest.note(&WatchEvent::Synced)));
    for wanted in ["helm without data", "ca with 1 keys", "synced"] {
        assert_eq!(next(&mut told).await, wanted);
    }
    // Read from now on, it is fetched, and that alone.
    says.send_modify(|interest| assert!(interest.note(&reads("c", "helm"))));
    assert_eq!(next(&mut told).await, "helm with 1 keys");
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[1], "/api/v1/namespaces/trust/secrets/helm");
    // What the watch says of versions before the one that was fetched is past.
    server.says("MODIFIED", &Secrets::secret("helm", "7")).await;
    server.says("DELETED", &Secrets::secret("helm", "8")).await;
    server.says("DELETED", &Secrets::secret("helm", "10")).await;
    assert_eq!(next(&mut told).await, "gone helm");
    // Read no more, it is dropped when next it is told of.
    says.send_modify(|interest| {
        assert!(interest.note(&WatchEvent::Deleted(ObjectKey::Bundle("c".into()))));
    });
    server.says("ADDED", &Secrets::secret("helm", "11")).await;
    assert_eq!(next(&mut told).await, "helm without data");
    assert_eq!(server.asked.lock().unwrap().len(), 2);
    drop(told);
    task.abort();
}

#[test]
fn a_status_or_a_target_changes_nothing_in_what_is_read() {
    let mut interest = Interest::default();
    assert!(interest.note(&reads("b", "ca")));
    assert!(!interest.note(&reads("b", "ca")));
    let name = "ca".into();
    assert!(interest.reads(Kind::Secret, &name, &Default::default()));
    assert!(!interest.reads(Kind::ConfigMap, &name, &Default::default()));
    let invalid = json!({ "metadata": { "name": "b" }, "spec": { "sources": 1 } });
    let key = ObjectKey::Bundle("b".into());
    let invalid = WatchedObject::Bundle { raw: Arc::new(invalid), status_writer: None };
    assert!(interest.note(&WatchEvent::Applied(key, invalid)));
    assert!(!interest.reads(Kind::Secret, &name, &Default::default()));
}
