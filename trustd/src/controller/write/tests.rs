use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use kube::Client;
use kube::client::Body as Payload;
use kube::core::Status;
use trustd_core::format::{Rendered, Value};
use trustd_core::names::Kind;
use trustd_core::outcome::Category;

use super::*;
use crate::telemetry::Metrics;

/// One request as the server got it.
#[derive(Clone, Debug)]
struct Asked {
    method: String,
    uri: String,
    accept: String,
    body: Json,
}

/// A server that gives these answers, one after the other, and remembers what it was asked.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Talk>>);

#[derive(Default)]
struct Talk {
    answers: VecDeque<(u16, Json)>,
    asked: Vec<Asked>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = (u16, Json)>) -> Self {
        let script = Self::default();
        script.0.lock().unwrap().answers.extend(answers);
        script
    }

    fn writer(&self) -> Writer {
        let script = self.clone();
        let service = tower::service_fn(move |request: Request<Payload>| {
            let script = script.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let accept = parts.headers.get("accept").map_or("", |v| v.to_str().unwrap());
                let asked = Asked {
                    method: parts.method.to_string(),
                    uri: parts.uri.to_string(),
                    accept: accept.to_owned(),
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                };
                let mut state = script.0.lock().unwrap();
                state.asked.push(asked);
                let (code, answer) = state.answers.pop_front().expect("one request too many");
                let body = Payload::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
            }
        });
        Writer::new(ApiClient::new(Client::new(service, "trust"), Metrics::new()))
    }

    fn asked(&self) -> Vec<Asked> {
        let state = self.0.lock().unwrap();
        assert!(state.answers.is_empty(), "{} answers were not asked for", state.answers.len());
        state.asked.clone()
    }
}

fn status(code: u16, extra: &Json) -> Json {
    let mut status = json!({ "kind": "Status", "apiVersion": "v1", "code": code });
    status.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    status
}

fn not_found() -> (u16, Json) {
    (404, status(404, &json!({ "reason": "NotFound", "details": { "kind": "configmaps" } })))
}

fn meta(extra: &Json) -> Json {
    let mut metadata =
        json!({ "name": "b", "namespace": "n", "uid": "u1", "resourceVersion": "5" });
    metadata.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
}

fn entry(manager: &str, operation: &str, key: &str) -> Json {
    json!({ "manager": manager, "operation": operation,
            "fieldsV1": { "f:data": { format!("f:{key}"): {} } } })
}

fn spec() -> Spec {
    let raw = json!({
        "apiVersion": labels::API_VERSION, "kind": "Bundle",
        "metadata": { "name": "b", "uid": "bundle-uid" },
        "spec": { "sources": [{ "useDefaultCAs": true }],
                  "target": { "configMap": { "key": "ca.crt" } } },
    });
    trustd_api::validate::read(&raw).unwrap()
}

fn rendered(kind: Kind) -> Arc<Rendered> {
    Arc::new(Rendered {
        kind,
        data: [("ca.crt".into(), Value::Text("pem \"quoted\"\n".into()))].into(),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        annotations: BTreeMap::new(),
        hash: "h".into(),
        hash_before_v0_25: None,
        digest: "c".into(),
    })
}

fn job(write: Write) -> Job {
    let unit = TargetRef { bundle: "b".into(), kind: Kind::ConfigMap, namespace: "n".into() };
    let rendered = rendered(Kind::ConfigMap);
    let metadata = TargetMetadata::new(&spec(), &unit, &rendered);
    let body = Body::new(&rendered).unwrap();
    Job { unit, write, metadata: Some(metadata), body: Some(Arc::new(body)) }
}

fn seen() -> Seen {
    Seen { uid: Some("u1".into()), resource_version: Some("5".into()) }
}

fn update(ownership: Ownership, force: bool) -> Write {
    let (rendered, by_patch) = (rendered(Kind::ConfigMap), PatchRemovals::default());
    Write::Update { seen: seen(), rendered, ownership, force, by_patch }
}

async fn carry_out(script: &Script, write: Write) -> Result<WriteOutcome, WriteError> {
    script.writer().carry_out(&job(write), &Leadership::unelected()).await
}

fn create() -> Write {
    Write::Create(rendered(Kind::ConfigMap))
}

#[test]
fn a_spliced_body_is_what_would_be_serialised_whole() {
    for kind in Kind::ALL {
        let rendered = rendered(kind);
        let applied = object::applied(&spec(), &"n".into(), &rendered, Ownership::Ours);
        let whole = match &applied {
            object::Applied::ConfigMap(object) => serde_json::to_value(object),
            object::Applied::Secret(object) => serde_json::to_value(object),
        };
        let metadata = object::target_metadata(&spec(), &"n".into(), &rendered, Ownership::Ours);
        let spliced = Body::new(&rendered).unwrap().with(&metadata).unwrap();
        let spliced: Json = serde_json::from_slice(&spliced).unwrap();
        assert_eq!(spliced, whole.unwrap(), "{kind}");
    }
}

#[tokio::test]
async fn first_contact_looks_and_then_applies_without_force_and_without_a_uid() {
    let made = meta(&json!({ "labels": { labels::BUNDLE_LABEL: "b" } }));
    let script = Script::new([not_found(), (201, made)]);
    let succeeded = carry_out(&script, create()).await.unwrap();
    assert!(
        matches!(succeeded, WriteOutcome::Applied(observed) if observed.label == Some("b".into()))
    );
    let asked = script.asked();
    assert_eq!(
        (asked[0].method.as_str(), asked[0].uri.as_str()),
        ("GET", "/api/v1/namespaces/n/configmaps/b")
    );
    let apply = &asked[1];
    assert_eq!(apply.method, "PATCH");
    for part in ["fieldManager=trust-manager", "force=false", "timeout=5000ms"] {
        assert!(apply.uri.contains(part), "{}", apply.uri);
    }
    assert!(apply.accept.contains("as=PartialObjectMetadata"), "{}", apply.accept);
    assert_eq!(apply.body["metadata"].get("uid"), None);
    assert_eq!(apply.body["metadata"]["ownerReferences"][0]["uid"], "bundle-uid");
}

#[tokio::test]
async fn an_object_that_stands_there_is_met_and_not_written() {
    let script =
        Script::new([(200, meta(&json!({ "managedFields": [entry("x", "Update", "k")] })))]);
    let succeeded = carry_out(&script, create()).await.unwrap();
    let WriteOutcome::Conflicting(observed) = succeeded else { panic!("{succeeded:?}") };
    assert_eq!(observed.managed.unwrap().others.len(), 1);
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn whoever_came_between_look_and_apply_keeps_the_object() {
    let theirs = meta(&json!({ "uid": "theirs", "resourceVersion": "9" }));
    let script = Script::new([not_found(), (200, theirs.clone()), (200, theirs)]);
    carry_out(&script, create()).await.unwrap();
    let asked = script.asked();
    let second = &asked[2];
    assert!(second.uri.contains("force=false"), "{}", second.uri);
    assert_eq!(second.body["metadata"].get("ownerReferences"), None);
    assert_eq!(second.body["metadata"]["annotations"][labels::SHARED_ANNOTATION], "true");
    assert_eq!(second.body["metadata"]["uid"], "theirs");
    assert_eq!(second.body["metadata"]["resourceVersion"], "9");
}

#[tokio::test]
async fn an_update_is_pinned_and_only_ours_is_forced() {
    for (ownership, force) in [(Ownership::Ours, true), (Ownership::Shared, false)] {
        let script = Script::new([(200, meta(&json!({})))]);
        carry_out(&script, update(ownership, force)).await.unwrap();
        let apply = &script.asked()[0];
        assert!(apply.uri.contains(&format!("force={force}")), "{}", apply.uri);
        assert_eq!(apply.body["metadata"]["uid"], "u1");
        assert_eq!(apply.body["metadata"]["resourceVersion"], "5");
        let owned = apply.body["metadata"].get("ownerReferences").is_some();
        assert_eq!(owned, ownership == Ownership::Ours);
    }
}

#[tokio::test]
async fn a_delete_looks_first_and_spares_what_others_use() {
    let ours = meta(&json!({ "resourceVersion": "6",
        "managedFields": [entry("trust-manager", "Apply", "ca.crt")] }));
    let script = Script::new([(200, ours), (200, json!({ "kind": "Status" }))]);
    assert_eq!(carry_out(&script, Write::Delete(seen())).await.unwrap(), WriteOutcome::Absent);
    let asked = script.asked();
    assert_eq!(asked[1].method, "DELETE");
    let preconditions = json!({ "uid": "u1", "resourceVersion": "6" });
    assert_eq!(asked[1].body["preconditions"], preconditions);

    for other in [
        json!({ "managedFields": [entry("kubectl", "Update", "theirs")] }),
        json!({ "uid": "another" }),
        json!({ "annotations": { labels::SHARED_ANNOTATION: "true" } }),
    ] {
        let script = Script::new([(200, meta(&other))]);
        let succeeded = carry_out(&script, Write::Delete(seen())).await.unwrap();
        assert!(matches!(succeeded, WriteOutcome::Conflicting(_)), "{other}: {succeeded:?}");
        assert_eq!(script.asked().len(), 1, "{other}");
    }
    let script = Script::new([not_found()]);
    assert_eq!(carry_out(&script, Write::Delete(seen())).await.unwrap(), WriteOutcome::Absent);
}

#[tokio::test]
async fn a_release_gives_up_every_field_and_patches_out_what_an_apply_would_keep() {
    let script = Script::new([(200, meta(&json!({})))]);
    carry_out(&script, Write::Release { seen: seen(), by_patch: PatchRemovals::default() })
        .await
        .unwrap();
    let bare = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "b", "namespace": "n", "uid": "u1", "resourceVersion": "5" } });
    assert_eq!(script.asked()[0].body, bare);

    let fresh = meta(&json!({ "resourceVersion": "6",
        "managedFields": [entry("trust-manager", "Update", "a/b~c")] }));
    let patched = meta(&json!({ "resourceVersion": "7" }));
    let script = Script::new([(200, fresh), (200, patched), (200, meta(&json!({})))]);
    let by_patch = PatchRemovals { keys: vec!["a/b~c".into()], ..PatchRemovals::default() };
    carry_out(&script, Write::Release { seen: seen(), by_patch }).await.unwrap();
    let asked = script.asked();
    assert_eq!(
        asked[1].body,
        json!([
            { "op": "test", "path": "/metadata/resourceVersion", "value": "6" },
            { "op": "remove", "path": "/data/a~1b~0c" },
        ])
    );
    assert_eq!(asked[2].body["metadata"]["resourceVersion"], "7");
}

#[tokio::test]
async fn an_update_patches_out_what_an_apply_would_keep_before_it_applies() {
    let mut write = update(Ownership::Ours, true);
    let Write::Update { by_patch, .. } = &mut write else { unreachable!() };
    by_patch.keys.push("old".into());
    let fresh = meta(&json!({ "resourceVersion": "6",
        "managedFields": [entry("trust-manager", "Update", "old")] }));
    let patched = meta(&json!({ "resourceVersion": "7" }));
    let script = Script::new([(200, fresh), (200, patched.clone()), (200, meta(&json!({})))]);
    carry_out(&script, write.clone()).await.unwrap();
    let asked = script.asked();
    assert_eq!(asked[1].body[1], json!({ "op": "remove", "path": "/data/old" }));
    assert_eq!(asked[2].body["metadata"]["resourceVersion"], "7");
    assert_eq!(asked[2].body["data"]["ca.crt"], "pem \"quoted\"\n");

    // Another object stands there now: nothing is written.
    let script = Script::new([(200, meta(&json!({ "uid": "u2" })))]);
    assert!(matches!(
        carry_out(&script, write.clone()).await.unwrap(),
        WriteOutcome::Conflicting(_)
    ));
    script.asked();
    let script = Script::new([not_found()]);
    assert_eq!(carry_out(&script, write).await.unwrap(), WriteOutcome::Absent);
}

fn owner(uid: &str) -> Json {
    json!({ "apiVersion": labels::API_VERSION, "kind": "Bundle", "name": "b", "uid": uid,
            "controller": true })
}

#[tokio::test]
async fn an_owner_reference_that_others_hold_is_patched_out_with_a_test_of_its_uid() {
    let landlord = json!({ "apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "p" });
    let owners = json!({ "resourceVersion": "6",
        "ownerReferences": [owner("old"), landlord, owner("bundle-uid")] });
    let patched = meta(&json!({ "resourceVersion": "7" }));
    let by_patch = || PatchRemovals { owner: true, ..PatchRemovals::default() };
    let remove = |at: u32, uid: &str| {
        let path = format!("/metadata/ownerReferences/{at}");
        vec![
            json!({ "op": "test", "path": format!("{path}/uid"), "value": uid }),
            json!({ "op": "remove", "path": path }),
        ]
    };
    let version = json!({ "op": "test", "path": "/metadata/resourceVersion", "value": "6" });
    let cases = [
        (Ownership::Shared, vec![remove(2, "bundle-uid"), remove(0, "old")]),
        // The Bundle's own stays where the target stays the Bundle's.
        (Ownership::Ours, vec![remove(0, "old")]),
    ];
    for (ownership, removals) in cases {
        let mut write = update(ownership, true);
        let Write::Update { by_patch: taken, .. } = &mut write else { unreachable!() };
        *taken = by_patch();
        let script =
            Script::new([(200, meta(&owners)), (200, patched.clone()), (200, meta(&json!({})))]);
        carry_out(&script, write).await.unwrap();
        let asked = script.asked();
        let wanted = [vec![version.clone()], removals.concat()].concat();
        assert_eq!(asked[1].body, Json::Array(wanted), "{ownership:?}");
        assert_eq!(asked[2].body["metadata"]["resourceVersion"], "7");
    }
    let release = Write::Release { seen: seen(), by_patch: by_patch() };
    let script = Script::new([(200, meta(&owners)), (200, patched), (200, meta(&json!({})))]);
    carry_out(&script, release).await.unwrap();
    assert_eq!(script.asked()[1].body.as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_binary_value_in_our_keys_place_is_patched_out_where_that_is_allowed() {
    let mut write = update(Ownership::Ours, true);
    let Write::Update { by_patch, .. } = &mut write else { unreachable!() };
    by_patch.binary.push("ca.crt".into());
    let held = json!({ "manager": "script", "operation": "Update",
                       "fieldsV1": { "f:binaryData": { "f:ca.crt": {} } } });
    let fresh = meta(&json!({ "managedFields": [held] }));
    let script = Script::new([(200, fresh), (200, meta(&json!({}))), (200, meta(&json!({})))]);
    carry_out(&script, write).await.unwrap();
    let remove = json!({ "op": "remove", "path": "/binaryData/ca.crt" });
    assert_eq!(script.asked()[1].body[1], remove);
}

#[tokio::test]
async fn a_placeholder_is_filled_and_nothing_else_is_taken() {
    let conflict = |field: &str| {
        let cause = json!({ "reason": "FieldManagerConflict", "field": field });
        (409, status(409, &json!({ "details": { "causes": [cause] } })))
    };
    let whole = |value: &str| {
        let metadata = meta(&json!({ "resourceVersion": "8" }))["metadata"].clone();
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
                             "data": { "ca.crt": value, "theirs": "x" } });
        (200, object)
    };
    for value in ["", " \n", "# filled by trustd"] {
        let script = Script::new([conflict(".data.ca.crt"), whole(value), (200, meta(&json!({})))]);
        carry_out(&script, update(Ownership::Shared, false)).await.unwrap();
        let apply = &script.asked()[2];
        assert!(apply.uri.contains("force=true"), "{}", apply.uri);
        assert_eq!(apply.body["metadata"]["resourceVersion"], "8", "what was read, and no other");
    }
    let certificate = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    let script = Script::new([conflict(".data.ca.crt"), whole(certificate)]);
    let fault = carry_out(&script, update(Ownership::Shared, false)).await.unwrap_err();
    assert_eq!(fault.consequence(), Consequence::Refused);
    script.asked();
    // A label that is in the way is no placeholder, and is not looked at.
    let script = Script::new([conflict(".metadata.labels.team")]);
    let fault = carry_out(&script, update(Ownership::Shared, false)).await.unwrap_err();
    assert_eq!(fault.consequence(), Consequence::Refused);
    script.asked();
}

#[tokio::test]
async fn without_the_lease_nothing_is_written() {
    let script = Script::new([]);
    let deposed = Leadership::until(crate::controller::clock::Instant::default());
    for write in [
        update(Ownership::Ours, true),
        Write::Release { seen: seen(), by_patch: PatchRemovals::default() },
    ] {
        let fault = script.writer().carry_out(&job(write), &deposed).await.unwrap_err();
        assert_eq!(fault.consequence(), Consequence::NotLeader);
    }
    assert_eq!(script.asked().len(), 0);
}

/// The answers of proof/api-server-facts, as the API server words them.
#[test]
fn every_refusal_of_the_server_has_its_name() {
    let of = |code: u16, extra: Json| {
        let status: Status = serde_json::from_value(status(code, &extra)).unwrap();
        WriteError::Api(Box::new(status), None).consequence()
    };
    let cause = |reason: &str, field: &str| json!({ "details": { "causes": [{ "reason": reason, "field": field }] } });
    let message = |text: &str| json!({ "message": text });
    let again = |why: &'static str| Consequence::TryAgain(Category(why));
    assert_eq!(of(409, cause("FieldManagerConflict", ".data.k")), Consequence::Refused);
    assert_eq!(of(409, message("the object has been modified")), Consequence::LookAgain);
    assert_eq!(of(422, cause("FieldValueInvalid", "metadata.uid")), Consequence::LookAgain);
    let test = "the server rejected our request due to an error in our request";
    assert_eq!(of(422, message(test)), Consequence::LookAgain);
    assert_eq!(of(404, json!({ "details": { "kind": "configmaps" } })), Consequence::LookAgain);
    assert_eq!(of(404, json!({ "details": { "kind": "namespaces" } })), Consequence::NamespaceGone);
    assert_eq!(of(403, cause("NamespaceTerminating", "")), Consequence::NamespaceGone);
    assert_eq!(
        of(403, message("configmaps \"b\" is forbidden: exceeded quota: q")),
        again("quota")
    );
    assert_eq!(of(403, message("cannot patch resource")), again("forbidden"));
    let duplicate = "data[ca.crt]: Invalid value: duplicate of key present in binaryData";
    assert_eq!(of(422, message(duplicate)), Consequence::RefusedBinary);
    assert_eq!(of(413, json!({})), Consequence::TooLarge(Large::Request));
    let etcd = "etcdserver: request is too large";
    assert_eq!(of(500, message(etcd)), Consequence::TooLarge(Large::Request));
    assert_eq!(of(422, cause("FieldValueTooLong", "")), Consequence::TooLarge(Large::Data));
    assert_eq!(
        of(422, cause("FieldValueTooLong", "metadata.annotations")),
        Consequence::TooLarge(Large::Annotations)
    );
    assert_eq!(of(422, message("field is immutable when `immutable` is set")), again("immutable"));
    assert_eq!(of(422, message("a valid config key must consist of")), again("invalid"));
    assert_eq!(of(500, message("failed calling webhook \"w\"")), again("webhook"));
    assert_eq!(of(400, message("admission webhook \"w\" denied the request")), again("webhook"));
    // A policy answers with the code of its `reason`, a webhook with any, and either with any text.
    let policy = "configmaps \"b\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' \
                  denied request: no, says the admission webhook \"w\"";
    let webhook = "admission webhook \"w\" denied the request: exceeded quota: all of it";
    for code in [400, 401, 403, 404, 409, 413, 422, 429, 500, 504] {
        assert_eq!(of(code, message(policy)), again("policy"), "{code}");
        assert_eq!(of(code, message(webhook)), again("webhook"), "{code}");
    }
    assert_eq!(of(504, json!({ "reason": "Timeout" })), again("timeout"));
    assert_eq!(of(503, json!({})), again("server-error"));
    assert_eq!(of(429, json!({})), Consequence::Wait(Duration::from_secs(1)));
}
