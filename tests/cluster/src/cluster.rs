//! A cluster for tests: a control plane with our kinds in it, and what one does to a cluster.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{OnceLock, atomic};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::access::{self, Account, Credential};
use crate::assets::{self, Assets};
use crate::audit::{Audit, Event, Mark};
use crate::eventually;
use crate::folder::Folder;
use crate::plane::Plane;
use crate::process::Signal;
use crate::proxy::Proxy;

/// A running cluster. It ends when it is dropped, and when the process ends in whatever way.
#[derive(Debug)]
pub struct Cluster {
    plane: Plane,
    assets: Assets,
    accounts: atomic::AtomicU32,
    pub(crate) turns: tokio::sync::Mutex<u32>,
}

/// What is unlike the usual cluster.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More flags for kube-apiserver, which win over those that it gets anyway.
    pub api_server_flags: Vec<String>,
    /// Leave our kinds out: [`Cluster::install_crds`] adds them.
    pub without_crds: bool,
    /// Start no controller-manager: no garbage collection, no end of namespaces.
    pub without_controller_manager: bool,
}

impl Cluster {
    /// Starts a cluster of one's own, for a test that would disturb others. It takes some three
    /// seconds and 430 MB. Nothing, where [`Assets::find`] finds nothing.
    ///
    /// # Errors
    /// Fails when a program is missing, ends or is not ready in time.
    pub fn start(options: &Options) -> Result<Option<Self>> {
        // Chosen by name: in a workspace build rustls may be compiled with two providers. The error
        // means that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let Some(assets) = Assets::find()? else { return Ok(None) };
        // On a thread of its own, for the caller's runtime may not be blocked on.
        let start = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(Self::start_from(assets, options))
        };
        std::thread::scope(|scope| scope.spawn(start).join())
            .map_err(|_| anyhow!("the start of the cluster panicked"))?
            .map(Some)
    }

    /// The cluster that all tests of this process share, started by the first that asks.
    /// Take a [`Cluster::turn`] on it. Nothing, where [`Assets::find`] finds nothing.
    ///
    /// # Errors
    /// Fails, for every caller, when the start failed.
    pub fn shared() -> Result<Option<&'static Self>> {
        static SHARED: OnceLock<Result<Option<Cluster>, String>> = OnceLock::new();
        let shared = SHARED
            .get_or_init(|| Self::start(&Options::default()).map_err(|error| format!("{error:#}")));
        match shared {
            Ok(cluster) => Ok(cluster.as_ref()),
            Err(text) => Err(anyhow!("{text}").context("the shared cluster did not start")),
        }
    }

    async fn start_from(assets: Assets, options: &Options) -> Result<Self> {
        let cluster = Self {
            plane: Plane::start(&assets, &options.api_server_flags).await?,
            assets,
            accounts: atomic::AtomicU32::new(0),
            turns: tokio::sync::Mutex::new(0),
        };
        if !options.without_crds {
            cluster.install_crds().await?;
        }
        if !options.without_controller_manager {
            cluster.plane.start_controller_manager()?;
        }
        Ok(cluster)
    }

    /// The control plane: stop its programs, compact etcd, look at its folder.
    #[must_use]
    pub fn plane(&self) -> &Plane {
        &self.plane
    }

    /// The folder of the cluster, for files that should go with it.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        self.plane.folder()
    }

    /// A client that may do anything. It belongs to the async runtime that it is made in.
    ///
    /// # Errors
    /// Fails when there is no such client.
    pub async fn admin(&self) -> Result<Client> {
        access::client(self.admin_kubeconfig()).await
    }

    /// A kubeconfig that may do anything.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        self.plane.admin()
    }

    /// Who asked for what.
    #[must_use]
    pub fn audit(&self) -> Audit {
        self.plane.audit()
    }

    /// Where the audit log ends, with everything in it that has been answered.
    ///
    /// # Errors
    /// Fails when the API server does not answer, or the log does not catch up.
    pub async fn mark(&self) -> Result<Mark> {
        let before = self.audit().mark()?;
        self.asked_since(before).await?;
        self.audit().mark()
    }

    /// What was asked after the mark and has been answered. It makes a request of its own and waits for
    /// that, for an event is written after its answer.
    ///
    /// # Errors
    /// Fails when the API server does not answer, or the log does not catch up.
    pub async fn asked_since(&self, mark: Mark) -> Result<Vec<Event>> {
        static NUMBER: atomic::AtomicU32 = atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, atomic::Ordering::Relaxed);
        let path = format!("/version?asked-since={number}");
        let request = ::http::Request::get(&path).body(Vec::new())?;
        self.admin().await?.request_text(request).await?;
        eventually("the audit log has caught up", SOON, async || {
            let events = self.audit().since(mark)?;
            ensure!(events.iter().any(|event| event.uri == path), "{path} is not in it");
            Ok(events)
        })
        .await
    }

    /// What this user asked to change after the mark, as [`Cluster::asked_since`].
    ///
    /// # Errors
    /// Fails as [`Cluster::asked_since`].
    pub async fn writes_of(&self, user: &str, mark: Mark) -> Result<Vec<Event>> {
        let mut events = self.asked_since(mark).await?;
        events.retain(|event| event.user == user && event.is_write());
        Ok(events)
    }

    /// A proxy to the API server.
    ///
    /// # Errors
    /// Fails when it cannot listen.
    pub fn proxy(&self) -> Result<Proxy> {
        Proxy::to(self.plane.port())
    }

    /// Kills the API server.
    pub fn stop_server(&self) {
        self.plane.stop_api_server();
    }

    /// Starts the API server again and waits until it is ready.
    ///
    /// # Errors
    /// Fails when it runs already, ends, or is not ready in time.
    pub async fn start_server(&self) -> Result<()> {
        self.plane.start_api_server().await
    }

    /// Makes the API server hang, as it stands.
    ///
    /// # Errors
    /// Fails when it does not run.
    pub fn pause_server(&self) -> Result<()> {
        self.plane.signal_api_server(Signal::STOP)
    }

    /// Lets the API server go on.
    ///
    /// # Errors
    /// Fails when it does not run.
    pub fn resume_server(&self) -> Result<()> {
        self.plane.signal_api_server(Signal::CONT)
    }

    /// Makes etcd forget its past. The API server remembers some of it until it is started again:
    /// after both, who reads on from an earlier version gets 410 Gone.
    ///
    /// # Errors
    /// Fails when etcd refuses.
    pub async fn compact(&self) -> Result<u64> {
        self.plane.compact().await
    }

    /// Applies what is in `deploy/crds` and waits until the API server serves it.
    ///
    /// # Errors
    /// Fails when the API server refuses one: its schema may be wrong or its rules too costly.
    pub async fn install_crds(&self) -> Result<()> {
        let folder = assets::repository().join("deploy/crds");
        let read = || std::fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>();
        let files = read().with_context(|| format!("cannot list `{}`", folder.display()))?;
        ensure!(!files.is_empty(), "`{}` is empty", folder.display());
        for file in files {
            self.install_crd(&std::fs::read_to_string(file.path())?)
                .await
                .with_context(|| format!("cannot install `{}`", file.path().display()))?;
        }
        Ok(())
    }

    /// Applies one CustomResourceDefinition, YAML or JSON, over what may be there, and waits until the
    /// API server serves it.
    ///
    /// # Errors
    /// Fails when the API server refuses it.
    pub async fn install_crd(&self, text: &str) -> Result<()> {
        let crd: CustomResourceDefinition = serde_saphyr::from_str(text)?;
        let crds = Api::<CustomResourceDefinition>::all(self.admin().await?);
        let name = crd.name_any();
        let params = PatchParams::apply(MANAGER).force();
        crds.patch(&name, &params, &Patch::Apply(&crd)).await?;
        eventually(&format!("`{name}` is served"), SOON, async || {
            let crd = crds.get(&name).await?;
            let status = crd.status.context("no status")?;
            let conditions = status.conditions.unwrap_or_default();
            let is_established =
                conditions.iter().any(|it| it.type_ == "Established" && it.status == "True");
            ensure!(is_established, "its conditions are {conditions:?}");
            // Storage comes up a moment after discovery says so.
            let version = crd.spec.versions.iter().find(|it| it.served).context("not served")?;
            let path = format!(
                "/apis/{}/{}/{}?limit=1",
                crd.spec.group, version.name, crd.spec.names.plural
            );
            let request = ::http::Request::get(path).body(Vec::new())?;
            crds.clone().into_client().request_text(request).await?;
            Ok(())
        })
        .await
    }

    /// Deletes one CustomResourceDefinition with all its objects and waits until it is gone.
    ///
    /// # Errors
    /// Fails when it is not gone in time.
    pub async fn remove_crd(&self, name: &str) -> Result<()> {
        let crds = Api::<CustomResourceDefinition>::all(self.admin().await?);
        crds.delete(name, &DeleteParams::default()).await?;
        eventually(&format!("`{name}` is gone"), SOON, async || {
            let left = crds.get_opt(name).await?;
            ensure!(left.is_none(), "it is there");
            Ok(())
        })
        .await
    }

    /// Runs kubectl as the administrator and gives what it prints.
    ///
    /// # Errors
    /// Fails when it fails, with what it complained of.
    pub async fn kubectl<S: Into<OsString>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let mut command = Command::new(self.kubectl_path());
        command
            .arg("--kubeconfig")
            .arg(self.admin_kubeconfig())
            .arg("--cache-dir")
            .arg(self.folder().join("kubectl-cache"))
            .arg("--request-timeout=60s")
            .args(&arguments)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await?.context("cannot run kubectl")?;
        ensure!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The kubectl that [`Cluster::kubectl`] runs.
    #[must_use]
    pub fn kubectl_path(&self) -> PathBuf {
        self.assets.program("kubectl")
    }

    /// Applies a folder with a kustomization, such as `deploy/base`, as a user would.
    ///
    /// # Errors
    /// Fails when there is none or the API server refuses a part of it.
    pub async fn apply(&self, kustomization: &Path) -> Result<String> {
        let mut arguments: Vec<OsString> =
            ["apply", "--server-side", "--force-conflicts", "-k"].map(Into::into).into();
        arguments.push(kustomization.into());
        self.kubectl(arguments).await
    }

    /// A service account with a token of a day, both made if need be, and its namespace too.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Account> {
        let client = self.admin().await?;
        let place: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        let made = Api::all(client.clone()).create(&PostParams::default(), &place).await;
        if !matches!(&made, Err(kube::Error::Api(status)) if status.is_already_exists()) {
            made?;
        }
        let accounts = Api::<ServiceAccount>::namespaced(client, namespace);
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace},
        });
        accounts.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(&account)).await?;
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec!["https://kubernetes.default.svc".to_owned()]),
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let token = answer.status.and_then(|status| status.token);
        let token = token.context("an answer without a token")?;
        let number = self.accounts.fetch_add(1, atomic::Ordering::Relaxed);
        let file = format!("{namespace}-{name}-{number}");
        let token = self.folder().write(format!("tokens/{file}"), token)?;
        let kubeconfig = access::kubeconfig(
            self.folder(),
            &file,
            &self.plane.url(),
            &self.plane.authority().certificate(),
            &Credential::TokenFile(token.clone()),
        )?;
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Ok(Account { namespace, name, token, kubeconfig })
    }

    /// A namespace with these labels, made if need be. Labels from an earlier call that are not among
    /// them go.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn namespace(&self, name: &str, labels: &[(&str, &str)]) -> Result<Namespace> {
        let labels: serde_json::Map<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": labels},
        });
        let namespaces = Api::<Namespace>::all(self.admin().await?);
        let params = PatchParams::apply(MANAGER).force();
        Ok(namespaces.patch(name, &params, &Patch::Apply(&namespace)).await?)
    }
}

/// Who applies what tests set up.
pub(crate) const MANAGER: &str = "tests";

/// What takes a control plane a moment, on a machine that is busy with other things.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A day: longer than any test.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;
