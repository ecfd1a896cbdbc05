//! `deploy/`: what it holds is accepted, and lets trustd do what it must and nothing else.

use anyhow::{Result, anyhow, ensure};
use cluster::assets::repository;
use cluster::{TRUST_NAMESPACE, Turn, eventually};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::json;

const ACCOUNT: &str = "system:serviceaccount:cert-manager:trustd";

/// The verbs that there are, each of which must be granted or not.
const VERBS: [&str; 8] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// Group, resource with subresource, namespace (empty: the whole cluster), name, verbs granted.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const READ: &[&str] = &["get", "list", "watch"];
const TARGET: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
const BUNDLES: &str = "trust.cert-manager.io";

const BASE: [Row; 16] = [
    (BUNDLES, "bundles", "", "b", READ),
    (BUNDLES, "bundles/status", "", "b", &["patch"]),
    (BUNDLES, "bundles/finalizers", "", "b", &["update"]),
    ("", "namespaces", "", "n", READ),
    ("", "namespaces/finalize", "", "n", &[]),
    ("", "configmaps", "", "b", TARGET),
    ("", "secrets", TRUST_NAMESPACE, "s", READ),
    ("", "serviceaccounts", TRUST_NAMESPACE, "trustd", &[]),
    ("", "serviceaccounts/token", TRUST_NAMESPACE, "trustd", &[]),
    ("", "pods", "", "p", &[]),
    ("coordination.k8s.io", "leases", TRUST_NAMESPACE, LEASE, &["get", "create", "update"]),
    ("coordination.k8s.io", "leases", TRUST_NAMESPACE, "other", &["create"]),
    ("coordination.k8s.io", "leases", "", LEASE, &[]),
    ("events.k8s.io", "events", "default", "", &["create", "patch"]),
    ("events.k8s.io", "events", "", "", &[]),
    ("rbac.authorization.k8s.io", "clusterroles", "", "trustd", &[]),
];

const LEASE: &str = "trust-manager-leader-election";

#[tokio::test]
async fn the_base_grants_what_is_needed_and_no_more() -> Result<()> {
    let turn = crate::turn!();
    turn.cluster()
        .kubectl(["delete", "-k", &folder("secret-targets"), "--ignore-not-found"])
        .await?;
    turn.cluster().apply(folder("base").as_ref()).await?;
    let mut rows = BASE.to_vec();
    rows.push(("", "secrets", "", "s", &[]));
    check(&turn, &rows).await
}

#[tokio::test]
async fn secret_targets_add_secrets_and_nothing_else() -> Result<()> {
    let turn = crate::turn!();
    turn.cluster().apply(folder("secret-targets").as_ref()).await?;
    let mut rows = BASE.to_vec();
    rows.retain(|(_, resource, ..)| *resource != "secrets");
    rows.push(("", "secrets", "", "s", TARGET));
    check(&turn, &rows).await?;

    let deployments = Api::<Deployment>::namespaced(turn.cluster().admin().await?, TRUST_NAMESPACE);
    let deployment = json!(deployments.get("trustd").await?);
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let wanted = ["run", "--trust-namespace=cert-manager", "--secret-targets-enabled=true"];
    assert_eq!(*arguments, json!(wanted));
    Ok(())
}

#[tokio::test]
async fn target_namespaces_grant_nothing_in_others() -> Result<()> {
    let turn = crate::turn!();
    let cluster = turn.cluster();
    cluster.kubectl(["delete", "-k", &folder("secret-targets"), "--ignore-not-found"]).await?;
    cluster.namespace("production", &[]).await?;
    cluster.apply(folder("target-namespaces").as_ref()).await?;
    let mut rows = BASE.to_vec();
    rows.retain(|(_, resource, ..)| *resource != "configmaps");
    rows.extend::<[Row; 5]>([
        ("", "configmaps", "", "b", &[]),
        ("", "configmaps", "production", "b", TARGET),
        ("", "configmaps", TRUST_NAMESPACE, "b", READ),
        ("", "secrets", "production", "b", &[]),
        ("", "secrets", "", "s", &[]),
    ]);
    check(&turn, &rows).await
}

#[tokio::test]
async fn the_pods_satisfy_the_restricted_standard() -> Result<()> {
    let turn = crate::turn!();
    turn.cluster().apply(folder("base").as_ref()).await?;
    let client = turn.cluster().admin().await?;
    let deployments = Api::<Deployment>::namespaced(client.clone(), TRUST_NAMESPACE);
    let deployment = json!(deployments.get("trustd").await?);

    let strict =
        turn.namespace("strict", &[("pod-security.kubernetes.io/enforce", "restricted")]).await?;
    turn.cluster().service_account(&strict, "trustd").await?;
    let pods = Api::<Pod>::namespaced(client, &strict);
    let dry_run = PostParams { dry_run: true, field_manager: None };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trustd"},
        "spec": deployment["spec"]["template"]["spec"],
    });
    // First that the standard is in force: the API server takes a moment to see the label.
    let mut lax = pod.clone();
    lax["spec"]["containers"][0]["securityContext"] = json!({});
    let lax: Pod = serde_json::from_value(lax)?;
    eventually("a pod with every capability is refused", Turn::SOON, async || {
        match pods.create(&dry_run, &lax).await {
            Err(kube::Error::Api(status)) if status.message.contains("PodSecurity") => Ok(()),
            Err(other) => Err(other.into()),
            Ok(_) => Err(anyhow!("it is accepted")),
        }
    })
    .await?;
    pods.create(&dry_run, &serde_json::from_value(pod)?).await?;
    Ok(())
}

async fn check(turn: &Turn<'_>, rows: &[Row]) -> Result<()> {
    let reviews = Api::<SubjectAccessReview>::all(turn.cluster().admin().await?);
    let mut wrong = Vec::new();
    for (group, resource, namespace, name, granted) in rows {
        for verb in VERBS {
            // RBAC cannot tell names apart where a request has none.
            let named = !matches!(verb, "list" | "watch" | "create" | "deletecollection");
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let review = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    user: Some(ACCOUNT.to_owned()),
                    groups: Some(vec!["system:serviceaccounts".to_owned()]),
                    resource_attributes: Some(ResourceAttributes {
                        group: Some((*group).to_owned()),
                        resource: Some(resource.to_owned()),
                        subresource: Some(subresource.to_owned()),
                        namespace: Some((*namespace).to_owned()),
                        name: named.then(|| (*name).to_owned()),
                        verb: Some(verb.to_owned()),
                        ..ResourceAttributes::default()
                    }),
                    ..SubjectAccessReviewSpec::default()
                },
                ..SubjectAccessReview::default()
            };
            let answer = reviews.create(&PostParams::default(), &review).await?;
            let allowed = json!(answer)["status"]["allowed"] == true;
            if allowed != granted.contains(&verb) {
                let place = if namespace.is_empty() { "anywhere" } else { namespace };
                let may = if allowed { "may" } else { "may not" };
                wrong.push(format!("{may} {verb} {resource}/{subresource} {name} {place}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "trustd\n{}", wrong.join("\n"));
    Ok(())
}

fn folder(name: &str) -> String {
    repository().join("deploy").join(name).display().to_string()
}
