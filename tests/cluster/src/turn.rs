//! A test's turn on a cluster that others use too: alone while it lasts, on what the last left clean.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::cluster::{Cluster, SOON};
use crate::eventually;

/// The right to use a cluster alone, because controllers look at all of it. The next turn begins when
/// this one is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    cluster: &'a Cluster,
    number: tokio::sync::MutexGuard<'a, u32>,
}

impl Cluster {
    /// Waits for the tests before, and takes away what they left: Bundles, targets, what is in the
    /// trust namespace, and everything with the label [`LABEL`]. Cleaning comes first and not last
    /// because a test may end in a panic.
    ///
    /// # Errors
    /// Fails when what was left does not go.
    pub async fn turn(&self) -> Result<Turn<'_>> {
        let mut number = self.turns.lock().await;
        *number += 1;
        let turn = Turn { cluster: self, number };
        turn.clean().await?;
        self.namespace(TRUST_NAMESPACE, &[]).await?;
        Ok(turn)
    }
}

impl Turn<'_> {
    /// How long a test may wait for what takes a control plane a moment, on a busy machine.
    pub const SOON: Duration = SOON;

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        self.cluster
    }

    /// A name that no other turn uses.
    #[must_use]
    pub fn name(&self, base: &str) -> String {
        format!("{base}-{}", *self.number)
    }

    /// A label that this turn's namespaces carry and no others, as key and value.
    #[must_use]
    pub fn label(&self) -> (&'static str, String) {
        (LABEL, self.number.to_string())
    }

    /// Makes a namespace with these labels and [`Turn::label`], and gives its full name.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn namespace(&self, base: &str, labels: &[(&str, &str)]) -> Result<String> {
        let name = self.name(base);
        let (key, value) = self.label();
        let mut labels = labels.to_vec();
        labels.push((key, &value));
        self.cluster.namespace(&name, &labels).await?;
        Ok(name)
    }

    async fn clean(&self) -> Result<()> {
        let client = self.cluster.admin().await?;
        remove_bundles(&client).await?;
        let marked = ListParams::default().labels(LABEL);
        remove_all(&Api::<ValidatingWebhookConfiguration>::all(client.clone()), &marked).await?;
        remove_all(&Api::<MutatingWebhookConfiguration>::all(client.clone()), &marked).await?;
        remove_all(&Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()), &marked).await?;
        remove_all(&Api::<ValidatingAdmissionPolicy>::all(client.clone()), &marked).await?;
        remove_all(&Api::<FlowSchema>::all(client.clone()), &marked).await?;
        remove_all(&Api::<PriorityLevelConfiguration>::all(client.clone()), &marked).await?;
        // Their deletion goes on while the next test runs, in namespaces of other names.
        remove_all(&Api::<Namespace>::all(client.clone()), &marked).await?;
        remove_targets::<ConfigMap>(&client).await?;
        remove_targets::<Secret>(&client).await?;
        remove_sources::<ConfigMap>(&client).await?;
        remove_sources::<Secret>(&client).await?;
        remove_sources::<Lease>(&client).await
    }
}

async fn remove_bundles(client: &Client) -> Result<()> {
    let kind = GroupVersionKind::gvk("trust.cert-manager.io", "v1alpha1", "Bundle");
    let bundles = Api::<DynamicObject>::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let all = ListParams::default();
    // No answer: a test took the kind away.
    if bundles.delete_collection(&DeleteParams::default(), &all).await.is_ok() {
        eventually("earlier Bundles are gone", SOON, async || {
            let left = bundles.list_metadata(&all).await?.items.len();
            ensure!(left == 0, "{left} are there");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn remove_targets<K>(client: &Client) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned,
    K: std::fmt::Debug,
{
    let targets = ListParams::default().labels("trust.cert-manager.io/bundle");
    for target in Api::<K>::all(client.clone()).list_metadata(&targets).await?.items {
        let api = Api::<K>::namespaced(client.clone(), &target.namespace().unwrap_or_default());
        remove(&api, &target.name_any()).await?;
    }
    Ok(())
}

async fn remove_sources<K>(client: &Client) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned,
    K: std::fmt::Debug,
{
    let sources = Api::<K>::namespaced(client.clone(), TRUST_NAMESPACE);
    remove_all(&sources, &ListParams::default()).await
}

async fn remove_all<K>(api: &Api<K>, which: &ListParams) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    for item in api.list_metadata(which).await?.items {
        // The controller-manager puts this one into every namespace, again and again.
        if item.name_any() != "kube-root-ca.crt" {
            remove(api, &item.name_any()).await?;
        }
    }
    Ok(())
}

async fn remove<K: Clone + DeserializeOwned + std::fmt::Debug>(
    api: &Api<K>,
    name: &str,
) -> Result<()> {
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

/// What every turn's namespaces carry, and what cluster-wide objects must carry to be cleaned away.
pub const LABEL: &str = "tests.trustd/turn";

/// The namespace that `deploy/base` installs into and reads sources from.
pub const TRUST_NAMESPACE: &str = "cert-manager";
