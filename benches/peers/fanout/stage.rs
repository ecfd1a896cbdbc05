//! The scene: a control plane with namespaces, one Bundle, and one source that changes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::access::Account;
use cluster::audit::Mark;
use cluster::pki::Authority;
use cluster::{Cluster, Options, TRUST_NAMESPACE, eventually};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::{Size, say};

/// What all runners work on.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    pub(crate) size: Size,
    pub(crate) namespaces: BTreeSet<String>,
    /// The account of trustd, with the roles of `deploy/`.
    pub(crate) trustd: Account,
    /// The account of the peer, which may do anything.
    pub(crate) peer: Account,
    /// Certificates that stay.
    roots: String,
    /// The CA that is rotated: before and after.
    rotated: [String; 2],
}

impl Stage {
    /// Starts a control plane and sets everything up. Nothing, where there is none to start.
    pub(crate) async fn set(size: Size, roots: &Path) -> Result<Option<Self>> {
        let roots = first_of(roots, size.certificates - 1)?;
        let Some(cluster) = Cluster::start(&Options::default())? else { return Ok(None) };
        let Size { namespaces, certificates } = size;
        say(&format!("{namespaces} namespaces, {certificates} certificates: sets the stage"));
        let folder = cluster::assets::repository().join("deploy/base");
        cluster.namespace(TRUST_NAMESPACE, &[]).await?;
        cluster.apply(&folder).await?;
        let trustd = cluster.service_account(TRUST_NAMESPACE, "trustd").await?;
        let peer = cluster.service_account(TRUST_NAMESPACE, "peer").await?;
        let binding = ["create", "clusterrolebinding", "peer", "--clusterrole=cluster-admin"];
        let subject = format!("--serviceaccount={TRUST_NAMESPACE}:peer");
        cluster.kubectl(binding.map(str::to_owned).into_iter().chain([subject])).await?;
        let stage = Self {
            client: cluster.admin().await?,
            cluster,
            size,
            namespaces: (0..namespaces).map(|number| format!("tenant-{number:05}")).collect(),
            trustd,
            peer,
            roots,
            rotated: [Authority::new()?.certificate(), Authority::new()?.certificate()],
        };
        stage.make_namespaces().await?;
        stage.rotate(0).await?;
        let bundle = stage.cluster.folder().write("bundle.yaml", BUNDLE)?;
        let bundle = bundle.display().to_string();
        stage.cluster.kubectl(["apply", "--server-side", "-f", &bundle]).await?;
        Ok(Some(stage))
    }

    /// Puts one of the two CAs into the source, and gives the place in the audit log before that.
    pub(crate) async fn rotate(&self, to: usize) -> Result<Mark> {
        let mark = self.cluster.audit().mark()?;
        let rotated = self.rotated.get(to).context("there are two to choose from")?;
        let sources = Api::<ConfigMap>::namespaced(self.client.clone(), TRUST_NAMESPACE);
        let source = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SOURCE},
            "data": {"ca.crt": format!("{}{rotated}", self.roots)},
        });
        sources.patch(SOURCE, &PatchParams::apply("fanout"), &Patch::Apply(&source)).await?;
        Ok(mark)
    }

    /// Changes an annotation of this many namespaces, one after the other: nothing that a Bundle heeds.
    pub(crate) async fn annotate(&self, count: usize) -> Result<usize> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let now = Timestamp::now().to_string();
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"fanout/touched": now}}}));
        let chosen = self.namespaces.iter().take(count);
        let count = chosen.len();
        for namespace in chosen {
            namespaces.patch_metadata(namespace, &PatchParams::default(), &patch).await?;
        }
        Ok(count)
    }

    /// The target in the first namespace, as it is.
    pub(crate) async fn target(&self) -> Result<ConfigMap> {
        let first = self.namespaces.first().context("no namespace")?;
        let targets = Api::<ConfigMap>::namespaced(self.client.clone(), first);
        targets.get(BUNDLE_NAME).await.context("there is no target to take a body from")
    }

    async fn make_namespaces(&self) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let made = stream::iter(&self.namespaces).map(|name| {
            let namespaces = namespaces.clone();
            async move {
                let namespace = json!({"metadata": {"name": name, "labels": {"fanout": "yes"}}});
                let namespace = serde_json::from_value(namespace)?;
                namespaces.create(&PostParams::default(), &namespace).await?;
                anyhow::Ok(())
            }
        });
        made.buffer_unordered(SETTERS).try_collect::<()>().await?;
        // The controller-manager puts something into each; the measurement waits until it is done.
        let maps = Api::<ConfigMap>::all(self.client.clone());
        let named = ListParams::default().fields("metadata.name=kube-root-ca.crt");
        eventually("the controller-manager has seen every namespace", LONG, async || {
            let there = maps.list_metadata(&named).await?.items.len();
            ensure!(there >= self.namespaces.len(), "it has seen {there}");
            Ok(())
        })
        .await
    }
}

/// The first certificates of a PEM file.
fn first_of(path: &Path, count: usize) -> Result<String> {
    if count == 0 {
        return Ok(String::new());
    }
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("cannot read `{}`, of the package ca-certificates", path.display())
    })?;
    let blocks: Vec<&str> = text.split_inclusive(END).filter(|block| block.contains(END)).collect();
    let found = blocks.len();
    ensure!(count <= found, "`{}` holds {found} certificates, not {count}", path.display());
    Ok(blocks.into_iter().take(count).collect::<String>() + "\n")
}

/// What the Bundle and its targets are called.
pub(crate) const BUNDLE_NAME: &str = "fanout";

const BUNDLE: &str = "
apiVersion: trust.cert-manager.io/v1alpha1
kind: Bundle
metadata: {name: fanout}
spec:
  sources: [{configMap: {name: fanout-source, key: ca.crt}}]
  target:
    configMap: {key: ca-bundle.crt}
    namespaceSelector: {matchLabels: {fanout: 'yes'}}
";

const SOURCE: &str = "fanout-source";

const END: &str = "-----END CERTIFICATE-----\n";

/// Namespaces that are made at the same time.
const SETTERS: usize = 16;

/// 10,000 namespaces at 100 a second, and then some.
const LONG: Duration = Duration::from_secs(300);
