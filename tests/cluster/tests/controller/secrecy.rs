//! That no log and no event holds what a source holds.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cluster::{Cluster, Controller, TRUST_NAMESPACE, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use serde_json::{Value as Json, json};

use crate::alone::alone;
use crate::fixtures::pem;
use crate::scene::{self, KEY, SOON, Stage, apply, bundles, says};

/// Words that stand in the sources of this test, each in a place of its own, and nowhere else.
const SECRETS: [&str; 5] = [
    "a-password-beside-the-certificate",
    "the-key-of-a-ca-that-nobody-may-see",
    "the-key-of-a-tls-secret-in-the-clear",
    "what-a-tenant-keeps-under-our-key",
    "text-around-the-pem-blocks-of-a-source",
];

/// What must not be in a log: those words, plain and in base64 at every offset, and every line of the
/// PEM of the certificates.
fn forbidden() -> Vec<String> {
    let mut all: Vec<String> = SECRETS.map(str::to_owned).into();
    for secret in SECRETS {
        // As a key stands in PEM, and that in a Secret.
        for text in [secret.to_owned(), BASE64_STANDARD.encode(secret)] {
            for offset in 0..3 {
                let encoded = BASE64_STANDARD.encode(format!("{}{text}", "x".repeat(offset)));
                // The ends depend on what stands around them.
                all.push(encoded[4..encoded.len() - 4].to_owned());
            }
        }
    }
    let text = pem(&["alpha", "beta"]);
    let lines = text.lines().filter(|line| !line.starts_with('-'));
    for line in lines {
        all.push(line.to_owned());
        // The PEM itself in base64, as a Secret's data is on the wire.
        let encoded = BASE64_STANDARD.encode(line);
        all.push(encoded[4..encoded.len() - 4].to_owned());
    }
    all
}

fn search(what: &str, text: &str) -> Result<()> {
    ensure!(!text.is_empty(), "{what} is empty");
    for secret in forbidden() {
        if let Some(line) = text.lines().find(|line| line.contains(&secret)) {
            anyhow::bail!("{what} holds `{secret}`: {line}");
        }
    }
    Ok(())
}

async fn secret(client: &Client, name: &str, type_: &str, data: &[(&str, &str)]) -> Result<()> {
    let data: serde_json::Map<_, _> = data
        .iter()
        .map(|(key, text)| ((*key).to_owned(), json!(BASE64_STANDARD.encode(text))))
        .collect();
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": type_,
        "data": data,
    });
    apply(&Api::<Secret>::namespaced(client.clone(), TRUST_NAMESPACE), name, "tests", &object)
        .await?;
    Ok(())
}

/// Secrets `<name>-one`, `-bad`, `-tls` and `-odd` in the trust namespace, and a tenant's `-theirs` where
/// a target should be.
async fn sources(client: &Client, name: &str, place: &str) -> Result<()> {
    let [password, ca_key, tls_key, tenant, around] = SECRETS;
    let key = |text: &str| {
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64_STANDARD.encode(text)
        )
    };
    let good = format!("{around}\n{}{around}\n", pem(&["alpha", "beta"]));
    let one = format!("{name}-one");
    secret(client, &one, "Opaque", &[("ca.crt", &good), ("password", password)]).await?;
    let bad = format!("{name}-bad");
    let with_key = format!("{}{}", pem(&["alpha"]), key(ca_key));
    secret(client, &bad, "Opaque", &[("ca.crt", &with_key), ("key", &key(ca_key))]).await?;
    let tls = format!("{name}-tls");
    let pair = [("tls.crt", &*pem(&["alpha"])), ("tls.key", &*key(tls_key))];
    secret(client, &tls, "kubernetes.io/tls", &pair).await?;
    let odd = format!("{name}-odd");
    let broken = pem(&["beta"]).replace('\n', "\n!");
    secret(client, &odd, "Opaque", &[("ca.crt", &broken), ("password", password)]).await?;

    let theirs = format!("{name}-theirs");
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": theirs},
                         "data": {KEY: tenant}});
    apply(&Api::<ConfigMap>::namespaced(client.clone(), place), &theirs, "tenant", &foreign)
        .await?;
    Ok(())
}

/// Good and bad Bundles over sources that hold secrets; all are dealt with when this returns.
async fn play(client: &Client, name: &str, place: &str) -> Result<()> {
    sources(client, name, place).await?;
    let [one, bad, tls, odd] = ["one", "bad", "tls", "odd"].map(|it| format!("{name}-{it}"));
    let selected = |secret: &str, keys: Json| {
        let mut source = json!({"name": secret});
        source.as_object_mut().unwrap().extend(keys.as_object().cloned().unwrap_or_default());
        json!([{"secret": source}])
    };
    let ca = json!({"key": "ca.crt"});
    let all = json!({"includeAllKeys": true});
    let cases = [
        ("one", selected(&one, ca.clone()), "Synced"),
        ("all", selected(&one, all.clone()), "Synced"),
        ("theirs", selected(&one, ca.clone()), "TargetRefused"),
        ("bad", selected(&bad, ca.clone()), "SourceBuildError"),
        ("keys", selected(&bad, all.clone()), "SourceBuildError"),
        ("tls", selected(&tls, all), "SourceBuildError"),
        ("tls-key", selected(&tls, json!({"key": "tls.key"})), "SourceBuildError"),
        ("odd", selected(&odd, ca), "SourceNotFound"),
        ("missing", selected(&odd, json!({"key": "none"})), "SourceNotFound"),
    ];
    for (suffix, sources, _) in &cases {
        let bundle = json!({
            "apiVersion": "trust.cert-manager.io/v1alpha1", "kind": "Bundle",
            "metadata": {"name": format!("{name}-{suffix}")},
            "spec": {"sources": sources, "target": {
                "configMap": {"key": KEY}, "secret": {"key": KEY},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place}},
            }},
        });
        apply(&bundles(client), &format!("{name}-{suffix}"), "tests", &bundle).await?;
    }
    for (suffix, _, reason) in &cases {
        let status = if *reason == "Synced" { "True" } else { "False" };
        let message = says(client, &format!("{name}-{suffix}"), status, reason).await?;
        search("a status", &message)?;
    }
    // Roots come and go, and every target is taken back.
    secret(client, &one, "Opaque", &[("ca.crt", &pem(&["beta"])), ("password", SECRETS[0])])
        .await?;
    eventually("the roots that went are in an event", SOON, async || {
        let events = scene::events(client, &format!("{name}-one")).await?;
        ensure!(events.iter().any(|(_, reason, _)| reason == "RootRemoved"), "{events:#?}");
        Ok(())
    })
    .await?;
    for (suffix, ..) in &cases {
        bundles(client).delete(&format!("{name}-{suffix}"), &DeleteParams::default()).await?;
    }
    Ok(())
}

async fn search_all(cluster: &Cluster, client: &Client, trustd: &Controller) -> Result<()> {
    search("the log", &trustd.process().log())?;
    search("the metrics", &trustd.metrics().await?)?;
    let events = Api::<Event>::namespaced(client.clone(), "default");
    for event in events.list(&ListParams::default()).await? {
        search("an event", &serde_json::to_string(&event)?)?;
    }
    // That the search would find them: the API server was told them all.
    let told = cluster.kubectl(["get", "secrets", "--namespace=cert-manager", "--output=yaml"]);
    ensure!(search("the sources", &told.await?).is_err(), "nothing is found where it is");
    Ok(())
}

#[tokio::test]
async fn nothing_secret_is_in_a_log_of_json_at_any_level() -> Result<()> {
    let Some(stage) = Stage::shared()? else { return Ok(()) };
    let client = stage.cluster.admin().await?;
    stage.cluster.namespace("secrecy-json", &[]).await?;
    play(&client, "secrecy", "secrecy-json").await?;
    let log = stage.trustd.process().log();
    ensure!(log.contains("\"level\":\"DEBUG\""), "the highest level shows no detail");
    search_all(&stage.cluster, &client, &stage.trustd).await
}

#[tokio::test]
async fn nothing_secret_is_in_a_log_of_text_at_any_level() -> Result<()> {
    let turn = alone!();
    let cluster = turn.cluster();
    let client = cluster.admin().await?;
    let account = scene::install(cluster, "secret-targets").await?;
    let flags = ["--secret-targets-enabled=true", "--log-format=text", "--log-level=10"];
    let trustd = scene::start(cluster, &account, flags)?;
    let place = turn.namespace("secrecy", &[]).await?;
    play(&client, "secrecy", &place).await?;
    ensure!(trustd.process().log().contains(" DEBUG "), "the highest level shows no detail");
    search_all(cluster, &client, &trustd).await
}
