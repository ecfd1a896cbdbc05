//! The three programs of a control plane, and how they are started, stopped and started again.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::access::{self, Credential};
use crate::assets::Assets;
use crate::audit;
use crate::folder::Folder;
use crate::pki::{self, Authority};
use crate::process::{Process, Program, Signal};
use crate::{eventually, http, ports};

/// etcd, kube-apiserver and, once it is asked for, kube-controller-manager.
#[derive(Debug)]
pub struct Plane {
    // In the order of their ends.
    controller_manager: Mutex<Option<Process>>,
    api_server: Mutex<Option<Process>>,
    etcd: Process,
    programs: Programs,
    folder: Folder,
    authority: Authority,
    admin: PathBuf,
}

/// How each program is started, and where it listens.
#[derive(Debug)]
struct Programs {
    etcd: Program,
    api_server: Program,
    controller_manager: Program,
    etcd_port: u16,
    api_server_port: u16,
}

impl Plane {
    /// Starts etcd and the API server, and waits until it is ready.
    ///
    /// # Errors
    /// Fails when one of them ends or is not ready in time, with the end of its log.
    pub async fn start(assets: &Assets, api_server_flags: &[String]) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::try_start(assets, api_server_flags).await {
                Err(error) if attempt < ATTEMPTS && format!("{error:#}").contains(PORT_TAKEN) => {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_start(assets: &Assets, api_server_flags: &[String]) -> Result<Self> {
        let folder = Folder::new()?;
        let authority = Authority::new()?;
        let programs = Programs::prepare(assets, &folder, &authority, api_server_flags)?;
        let identity = authority.client("admin", &["system:masters"])?;
        let admin = access::kubeconfig(
            &folder,
            "admin",
            &url(programs.api_server_port),
            &authority.certificate(),
            &Credential::Certificate(identity),
        )?;
        let etcd = programs.etcd.start(folder.join("etcd.log"))?;
        let plane = Self {
            controller_manager: Mutex::default(),
            api_server: Mutex::default(),
            etcd,
            programs,
            folder,
            authority,
            admin,
        };
        plane.start_api_server().await?;
        Ok(plane)
    }

    /// Starts the API server, at the port that it always had, and waits until it is ready.
    ///
    /// # Errors
    /// Fails when it runs already, ends, or is not ready in time.
    pub async fn start_api_server(&self) -> Result<()> {
        {
            let mut slot = lock(&self.api_server);
            if slot.is_some() {
                bail!("the API server runs already");
            }
            *slot = Some(self.programs.api_server.start(self.folder.join("kube-apiserver.log"))?);
        }
        self.until_ready().await
    }

    /// Waits until the API server says that it is ready.
    ///
    /// # Errors
    /// Fails when one of the programs ends, or time runs out.
    pub async fn until_ready(&self) -> Result<()> {
        let client = access::client(&self.admin).await?;
        let mut ended = None;
        let ready = eventually("the API server is ready", READY_WITHIN, async || {
            // There is nothing to wait for when one has ended: this attempt counts as the last.
            if let Err(error) = self.must_run() {
                ended = Some(error);
                return Ok(());
            }
            let request = ::http::Request::get("/readyz").body(Vec::new())?;
            client.request_text(request).await?;
            Ok(())
        });
        ready.await.with_context(|| self.end_of_log())?;
        ended.map_or(Ok(()), Err)
    }

    fn must_run(&self) -> Result<()> {
        self.etcd.must_run()?;
        lock(&self.api_server).as_ref().map_or(Ok(()), Process::must_run)
    }

    fn end_of_log(&self) -> String {
        lock(&self.api_server).as_ref().map(Process::end_of_log).unwrap_or_default()
    }

    /// Kills the API server. Its data stays in etcd.
    pub fn stop_api_server(&self) {
        let process = lock(&self.api_server).take();
        drop(process);
    }

    /// Sends a signal to the API server: `STOP` and `CONT` make it hang and go on.
    ///
    /// # Errors
    /// Fails when it does not run.
    pub fn signal_api_server(&self, signal: Signal) -> Result<()> {
        lock(&self.api_server).as_ref().context("the API server does not run")?.signal(signal)
    }

    /// Starts the controller-manager. Kinds that it should collect garbage of are best there before,
    /// for it looks for new ones every 30 s only.
    ///
    /// # Errors
    /// Fails when it runs already or cannot be started.
    pub fn start_controller_manager(&self) -> Result<()> {
        let mut slot = lock(&self.controller_manager);
        if slot.is_some() {
            bail!("the controller-manager runs already");
        }
        let log = self.folder.join("kube-controller-manager.log");
        *slot = Some(self.programs.controller_manager.start(log)?);
        Ok(())
    }

    /// Kills the controller-manager: nothing collects garbage or finishes the deletion of namespaces.
    pub fn stop_controller_manager(&self) {
        let process = lock(&self.controller_manager).take();
        drop(process);
    }

    /// Makes etcd forget every revision but the last, and gives that one. The API server remembers
    /// some of them until it is started again.
    ///
    /// # Errors
    /// Fails when etcd refuses.
    pub async fn compact(&self) -> Result<u64> {
        let port = self.programs.etcd_port;
        let key = BASE64_STANDARD.encode([0]);
        let answer = http::post(port, "/v3/kv/range", &json!({"key": key})).await?;
        let body: serde_json::Value = serde_json::from_str(&answer.body)?;
        let revision = body.pointer("/header/revision").and_then(|it| it.as_str());
        let revision = revision.context("etcd does not tell its revision")?;
        let order = json!({"revision": revision, "physical": true});
        let answer = http::post(port, "/v3/kv/compaction", &order).await?;
        if answer.status != 200 {
            bail!("etcd does not compact: {}", answer.body);
        }
        revision.parse().context("a revision of etcd that is no number")
    }

    /// The folder of this control plane: logs, keys, kubeconfigs.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The authority that signed the API server's certificate and those of clients.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A kubeconfig that may do anything.
    #[must_use]
    pub fn admin(&self) -> &PathBuf {
        &self.admin
    }

    /// The port of the API server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.programs.api_server_port
    }

    /// The API server.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port())
    }

    /// The audit log.
    #[must_use]
    pub fn audit(&self) -> audit::Audit {
        audit::Audit::of(self.folder.join(AUDIT_LOG))
    }
}

impl Programs {
    fn prepare(
        assets: &Assets,
        folder: &Folder,
        authority: &Authority,
        api_server_flags: &[String],
    ) -> Result<Self> {
        let [etcd_port, peer_port, api_server_port, manager_port] =
            [ports::free()?, ports::free()?, ports::free()?, ports::free()?];
        let (token_key, token_check) = pki::token_key()?;
        folder.write("tokens.key", token_key)?;
        folder.write("tokens.pub", token_check)?;
        folder.write("ca.crt", authority.certificate())?;
        folder.write("audit-policy.yaml", audit::POLICY)?;
        let server = authority.server("kube-apiserver")?;
        folder.write("server.crt", &server.certificate)?;
        folder.write("server.key", &server.key)?;
        let manager = access::kubeconfig(
            folder,
            "kube-controller-manager",
            &url(api_server_port),
            &authority.certificate(),
            &Credential::Certificate(authority.client("system:kube-controller-manager", &[])?),
        )?;
        let file = |name: &str| folder.join(name).display().to_string();

        let client = format!("http://127.0.0.1:{etcd_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        let etcd = Program::new("etcd", assets.program("etcd")).args([
            format!("--data-dir={}", file("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync".to_owned(),
        ]);

        let api_server = Program::new("kube-apiserver", assets.program("kube-apiserver"))
            .args([
                format!("--etcd-servers={client}"),
                format!("--secure-port={api_server_port}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
                format!("--cert-dir={}", folder.path().display()),
                format!("--tls-cert-file={}", file("server.crt")),
                format!("--tls-private-key-file={}", file("server.key")),
                format!("--client-ca-file={}", file("ca.crt")),
                "--authorization-mode=RBAC".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", file("tokens.pub")),
                format!("--service-account-signing-key-file={}", file("tokens.key")),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
                format!("--audit-policy-file={}", file("audit-policy.yaml")),
                format!("--audit-log-path={}", file(AUDIT_LOG)),
                format!("--audit-log-maxsize={AUDIT_LOG_MEGABYTES}"),
            ])
            .args(api_server_flags);

        let manager = manager.display();
        let controller_manager =
            Program::new("kube-controller-manager", assets.program("kube-controller-manager"))
                .args([
                    format!("--kubeconfig={manager}"),
                    format!("--authentication-kubeconfig={manager}"),
                    format!("--authorization-kubeconfig={manager}"),
                    format!("--secure-port={manager_port}"),
                    "--bind-address=127.0.0.1".to_owned(),
                    format!("--cert-dir={}", folder.path().display()),
                    "--leader-elect=false".to_owned(),
                    format!("--service-account-private-key-file={}", file("tokens.key")),
                    format!("--root-ca-file={}", file("ca.crt")),
                    "--use-service-account-credentials".to_owned(),
                    // By default 20 a second, and a minute to be rid of 500 namespaces.
                    "--kube-api-qps=1000".to_owned(),
                    "--kube-api-burst=1000".to_owned(),
                ]);
        Ok(Self { etcd, api_server, controller_manager, etcd_port, api_server_port })
    }
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some other program took a port between our look and the start.
const PORT_TAKEN: &str = "address already in use";

/// Four ports out of 12,000: two clashes in a row are unheard of.
const ATTEMPTS: u32 = 5;

/// Ready after two seconds alone on a machine; slow when ten others build.
const READY_WITHIN: Duration = Duration::from_secs(120);

const AUDIT_LOG: &str = "audit.log";

/// An event is 1 KB, so a hundred million of them: the log is never rotated away from its readers.
const AUDIT_LOG_MEGABYTES: u32 = 100_000;
