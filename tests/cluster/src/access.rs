//! Ways in: kubeconfig files and clients made of them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

use crate::folder::Folder;
use crate::pki::Identity;
use crate::proxy::Proxy;

/// How one shows who one is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// With a certificate.
    Certificate(Identity),
    /// With a token, in a file that is read again and again.
    TokenFile(PathBuf),
}

/// Writes a kubeconfig into the folder `kubeconfigs`. `authority` is PEM.
///
/// # Errors
/// Fails when the file cannot be written.
pub fn kubeconfig(
    folder: &Folder,
    name: &str,
    server: &str,
    authority: &str,
    credential: &Credential,
) -> Result<PathBuf> {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let user = match credential {
        Credential::Certificate(identity) => json!({
            "client-certificate-data": encode(&identity.certificate),
            "client-key-data": encode(&identity.key),
        }),
        Credential::TokenFile(path) => json!({"tokenFile": path}),
    };
    // JSON is YAML.
    let content = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": server,
            "certificate-authority-data": encode(authority),
        }}],
        "users": [{"name": "test", "user": user}],
    });
    folder.write(format!("kubeconfigs/{name}"), format!("{content:#}\n"))
}

/// A client for this kubeconfig. It belongs to the async runtime that it is made in.
///
/// It does not repeat requests: a test that asks wants to see what is answered.
///
/// # Errors
/// Fails when the file is no kubeconfig.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let say = || format!("cannot make a client of `{}`", kubeconfig.display());
    let content = Kubeconfig::read_from(kubeconfig).with_context(say)?;
    let mut config = Config::from_custom_kubeconfig(content, &KubeConfigOptions::default())
        .await
        .with_context(say)?;
    config.default_retry = false;
    Client::try_from(config).with_context(say)
}

/// A service account of which we have a token.
#[derive(Clone, Debug)]
pub struct Account {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) token: PathBuf,
    pub(crate) kubeconfig: PathBuf,
}

impl Account {
    /// What the API server calls it, in audit events too.
    #[must_use]
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// A kubeconfig with its token as a file, straight to the API server.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The file that holds its token.
    #[must_use]
    pub fn token_file(&self) -> &Path {
        &self.token
    }

    /// A kubeconfig with its token as a file, through this proxy.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn through(&self, proxy: &Proxy) -> Result<PathBuf> {
        let straight = std::fs::read_to_string(&self.kubeconfig)
            .with_context(|| format!("cannot read `{}`", self.kubeconfig.display()))?;
        let mut content: serde_json::Value = serde_json::from_str(&straight)?;
        let server = content.pointer_mut("/clusters/0/cluster/server");
        *server.context("a kubeconfig without server")? = proxy.url().into();
        let path = self.kubeconfig.with_file_name(format!(
            "{}-{}-{}",
            self.namespace,
            self.name,
            proxy.port()
        ));
        std::fs::write(&path, content.to_string())
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }
}
