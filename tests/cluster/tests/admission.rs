//! What the API server itself makes of Bundles: the rules that stand in the CRD, live.
//!
//! The cases and the answers lie in `tests/fixtures/admission`; `trustd-api` answers the same without
//! a server. So three agree: the schema, this API server and our own validation.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use cluster::Cluster;
use cluster::assets::repository;
use http::{Method, Request, StatusCode};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Recorded {
    server: String,
    cases: BTreeMap<String, Answer>,
}

/// What was answered; `record.py` writes the same.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Answer {
    accepted: bool,
    spec: Value,
    code: u16,
    errors: Vec<(String, String)>,
}

#[tokio::test]
async fn a_bundle_is_created_or_refused_as_recorded() -> Result<()> {
    let turn = crate::turn!();
    let client = turn.cluster().admin().await?;
    let (texts, recorded) = fixtures()?;
    let words = Words::of_server(&client, &recorded).await?;
    let mut wrong = Vec::new();
    for (name, text) in &texts {
        let path = format!("{BUNDLES}?{DRY_RUN}");
        let answer = ask(&client, Method::POST, &path, "application/yaml", text.clone()).await?;
        compare(name, &recorded, &answer, words, &mut wrong);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_bundle_is_changed_or_refused_as_recorded() -> Result<()> {
    let turn = crate::turn!();
    let client = turn.cluster().admin().await?;
    let (texts, recorded) = fixtures()?;
    let words = Words::of_server(&client, &recorded).await?;
    let before = ask(&client, Method::POST, BUNDLES, "application/yaml", VALID.to_owned()).await?;
    ensure!(before.accepted, "{before:?}");
    let path = format!("{BUNDLES}/b");
    let before: Value =
        serde_json::from_str(&client.request_text(Request::get(&path).body(Vec::new())?).await?)?;

    let mut wrong = Vec::new();
    let mut tried = 0;
    for (name, text) in &texts {
        let mut bundle: Value = serde_saphyr::from_str(text)?;
        // The others are about names, and a name does not change.
        if bundle["metadata"]["name"] != "b" {
            continue;
        }
        bundle["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        let path = format!("{path}?{DRY_RUN}");
        let body = bundle.to_string();
        let answer = ask(&client, Method::PUT, &path, "application/json", body).await?;
        compare(name, &recorded, &answer, words, &mut wrong);
        tried += 1;
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(tried > 90, "only {tried} cases can be changes");
    Ok(())
}

/// The cost of rules is limited twice: estimated for the schema, and counted for each Bundle.
#[tokio::test]
async fn a_bundle_as_large_as_can_be_stored_is_not_too_costly() -> Result<()> {
    let turn = crate::turn!();
    let client = turn.cluster().admin().await?;
    let labels = |count: usize| -> Value {
        (0..count).map(|n| (format!("example.com/label-{n}"), json!("value"))).collect()
    };
    let expressions: Vec<Value> = (0..256)
        .map(|n| json!({"key": format!("example.com/{n}"), "operator": "In", "values": ["v"]}))
        .collect();
    // 100 sources of 10 KB: a megabyte, of the one and a half that etcd takes.
    let source = |n: usize| match n {
        0 => json!({"inLine": "x"}),
        1 => json!({"secret": {"key": "k", "selector": {"matchExpressions": expressions}}}),
        _ => json!({"configMap": {"key": "k", "selector": {"matchLabels": labels(256)}}}),
    };
    let sources: Vec<Value> = (0..100).map(source).collect();
    let metadata = json!({"labels": labels(512), "annotations": labels(512)});
    let bundle = json!({
        "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
        "metadata": {"name": "large"},
        "spec": {"sources": sources, "target": {
            "configMap": {"key": "a", "metadata": metadata},
            "secret": {"key": "b", "metadata": metadata},
            "additionalFormats": {"jks": {"key": "c"}, "pkcs12": {"key": "d"}},
            "namespaceSelector": {"matchLabels": labels(256), "matchExpressions": expressions},
        }},
    });
    let answer =
        ask(&client, Method::POST, BUNDLES, "application/json", bundle.to_string()).await?;
    ensure!(answer.accepted, "{} bytes: {answer:?}", bundle.to_string().len());
    Ok(())
}

/// trust-manager's CRD has no rules in its schema for what its webhook checks, so a cluster may hold
/// Bundles that ours would refuse. They must stay deletable, and their status writable.
#[tokio::test]
async fn a_bundle_from_before_the_rules_can_be_labelled_and_its_status_be_written() -> Result<()> {
    let options = cluster::Options { without_crds: true, ..cluster::Options::default() };
    let Some(cluster) = Cluster::start(&options)? else { return Ok(()) };
    cluster.install_crd(&without_rules()?).await?;
    let client = cluster.admin().await?;
    let (texts, recorded) = fixtures()?;
    let mut stored = Vec::new();
    for (number, (name, text)) in texts.iter().enumerate() {
        let mut bundle: Value = serde_saphyr::from_str(text)?;
        if bundle["metadata"]["name"] != "b" || recorded.cases[name].accepted {
            continue;
        }
        let object = format!("old-{number}");
        bundle["metadata"]["name"] = json!(object);
        let made =
            ask(&client, Method::POST, BUNDLES, "application/json", bundle.to_string()).await?;
        if made.accepted {
            stored.push((name, object));
        }
    }
    ensure!(stored.len() > 30, "only {} could be stored", stored.len());

    cluster.install_crds().await?;
    let refused = cluster::eventually("the rules hold", cluster::Turn::SOON, async || {
        let bad = VALID.replace("key: k", "includeAllKeys: false");
        let answer = ask(&client, Method::POST, BUNDLES, "application/yaml", bad).await?;
        ensure!(!answer.accepted, "a Bundle without key was stored");
        Ok(())
    });
    refused.await?;
    let mut wrong = Vec::new();
    for (name, object) in &stored {
        for (path, patch) in [
            (format!("{BUNDLES}/{object}"), json!({"metadata": {"labels": {"a": "b"}}})),
            (format!("{BUNDLES}/{object}/status"), json!({"status": {"defaultCAVersion": "1"}})),
        ] {
            let kind = "application/merge-patch+json";
            let answer = ask(&client, Method::PATCH, &path, kind, patch.to_string()).await?;
            if !answer.accepted {
                wrong.push(format!("{name}: {path}: {answer:?}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn without_rules() -> Result<String> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for key in ["x-kubernetes-validations", "pattern", "maxLength", "maxProperties"] {
                    // Of a field that is called so, the value is a schema.
                    if fields.get(key).is_some_and(|it| !it.is_object()) {
                        fields.remove(key);
                    }
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let text = std::fs::read_to_string(repository().join("deploy/crds/bundles.yaml"))?;
    let mut crd: Value = serde_saphyr::from_str(&text)?;
    strip(&mut crd);
    Ok(crd.to_string())
}

fn fixtures() -> Result<(BTreeMap<String, String>, Recorded)> {
    let folder = repository().join("tests/fixtures/admission");
    let text = std::fs::read_to_string(folder.join("cases.yaml"))?;
    let cases: BTreeMap<String, String> = text
        .split("\n---\n")
        .skip(1)
        .map(|text| {
            let name = text.lines().next().and_then(|line| line.strip_prefix("# "));
            Ok((name.context("a case without a name")?.to_owned(), text.to_owned()))
        })
        .collect::<Result<_>>()?;
    let recorded: Recorded =
        serde_json::from_str(&std::fs::read_to_string(folder.join("answers.json"))?)?;
    ensure!(cases.keys().eq(recorded.cases.keys()), "run tests/fixtures/admission/record.py");
    Ok((cases, recorded))
}

fn compare(
    name: &str,
    recorded: &Recorded,
    answer: &Answer,
    words: Words,
    wrong: &mut Vec<String>,
) {
    let recorded = words.of(&recorded.cases[name]);
    if recorded != *answer {
        wrong.push(format!("{name}:\n  recorded {recorded:?}\n  answered {answer:?}"));
    }
}

/// How a server words what it refuses.
#[derive(Clone, Copy)]
enum Words {
    /// As the one that the answers were recorded from.
    Recorded,
    /// Kubernetes 1.33 names the type of what a rule refuses, too.
    Older,
}

impl Words {
    async fn of_server(client: &Client, recorded: &Recorded) -> Result<Self> {
        let version = client.apiserver_version().await?;
        let recorded = recorded.server.split('.').nth(1).context("no version recorded")?;
        let is_older = version.minor.parse::<u32>()? < recorded.parse::<u32>()?;
        Ok(if is_older { Self::Older } else { Self::Recorded })
    }

    fn of(self, recorded: &Answer) -> Answer {
        let mut answer = recorded.clone();
        if matches!(self, Self::Recorded) {
            return answer;
        }
        for (_, message) in &mut answer.errors {
            let Some(rest) = message.strip_prefix("Invalid value: ") else { continue };
            let is_of_a_rule = OF_RULES.iter().any(|text| rest.contains(text));
            if let Some(rest) = rest.strip_prefix("null: ") {
                *message = format!("Invalid value: \"null\": {rest}");
            } else if is_of_a_rule {
                *message = format!("Invalid value: \"object\": {rest}");
            }
        }
        answer.errors.sort();
        answer
    }
}

/// What rules say that refuse an object as an invalid value.
const OF_RULES: [&str; 6] = [
    "one of the fields in [",
    "when includeAllKeys is ",
    "key must be unique across all target output keys",
    " annotations are not allowed",
    " labels are not allowed",
    "name part must consist of",
];

async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: String,
) -> Result<Answer> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", content_type)
        .body(kube::client::Body::from(body.into_bytes()))?;
    let response = client.send(request).await?;
    let code = response.status();
    let body: Value = serde_json::from_slice(&response.into_body().collect_bytes().await?)?;
    if code == StatusCode::OK || code == StatusCode::CREATED {
        let spec = body["spec"].clone();
        return Ok(Answer { accepted: true, spec, ..Answer::default() });
    }
    let causes = body["details"]["causes"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut errors: Vec<_> =
        causes.iter().map(|it| (text(&it["field"]), text(&it["message"]))).collect();
    errors.sort();
    errors.dedup();
    Ok(Answer { code: code.as_u16(), errors, ..Answer::default() })
}

const BUNDLES: &str = "/apis/trust.cert-manager.io/v1alpha1/bundles";
const DRY_RUN: &str = "dryRun=All&fieldValidation=Ignore";

const VALID: &str = "
apiVersion: trust.cert-manager.io/v1alpha1
kind: Bundle
metadata: { name: b }
spec:
  sources: [{ secret: { name: s, key: k } }]
";
