//! Connections from kubectl's flags. A flag that cannot be honoured is an error.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::cli::Connection;
use crate::exit::Hint as _;

/// The configuration of the clients.
pub(super) async fn config(flags: &Connection) -> anyhow::Result<Config> {
    let mut config = match located(flags)? {
        Some(kubeconfig) => from_file(flags, kubeconfig).await?,
        None => Config::incluster()
            .context("there is no kubeconfig, and this is no Pod with a service account")
            .hint("give --kubeconfig, or set KUBECONFIG")?,
    };
    let auth = &mut config.auth_info;
    if let Some(token) = &flags.token {
        auth.token = Some(token.clone().into());
        auth.token_file = None;
    }
    if flags.as_user.is_none() && (flags.as_uid.is_some() || !flags.as_group.is_empty()) {
        bail!("--as-uid and --as-group mean nothing without --as");
    }
    if let Some(user) = &flags.as_user {
        auth.impersonate = Some(user.clone());
        auth.impersonate_uid.clone_from(&flags.as_uid);
        auth.impersonate_groups = Some(flags.as_group.clone()).filter(|groups| !groups.is_empty());
    }
    if let Some(certificate) = &flags.client_certificate {
        auth.client_certificate = Some(text(certificate)?);
        auth.client_certificate_data = None;
    }
    if let Some(key) = &flags.client_key {
        auth.client_key = Some(text(key)?);
        auth.client_key_data = None;
    }
    config.accept_invalid_certs =
        flags.insecure_skip_tls_verify.unwrap_or(config.accept_invalid_certs);
    if let Some(name) = &flags.tls_server_name {
        config.tls_server_name = Some(name.clone());
    }
    if let Some(namespace) = &flags.namespace {
        config.default_namespace.clone_from(namespace);
    }
    if !flags.request_timeout.is_zero() {
        config.read_timeout = Some(flags.request_timeout);
        config.reset_reader_on_write = true;
    }
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Ok(config)
}

/// The kubeconfig to use, if there is one: named by a flag, by `KUBECONFIG`, or at the usual place.
fn located(flags: &Connection) -> anyhow::Result<Option<Kubeconfig>> {
    if let Some(path) = &flags.kubeconfig {
        let read = Kubeconfig::read_from(path)
            .with_context(|| format!("cannot read kubeconfig `{}`", path.display()))?;
        return Ok(Some(read));
    }
    if let Some(read) = Kubeconfig::from_env().context("cannot read the files of `KUBECONFIG`")? {
        return Ok(Some(read));
    }
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if in_pod && flags.context.is_none() && flags.server.is_none() {
        return Ok(None);
    }
    match Kubeconfig::read() {
        Ok(read) => Ok(Some(read)),
        // A server named by a flag needs no file.
        Err(_) if flags.server.is_some() => Ok(Some(Kubeconfig::default())),
        Err(error) if flags.context.is_some() => Err(error).context("cannot read the kubeconfig"),
        Err(_) => Ok(None),
    }
}

async fn from_file(flags: &Connection, mut kubeconfig: Kubeconfig) -> anyhow::Result<Config> {
    if let Some(server) = &flags.server {
        overlay(&mut kubeconfig, flags, server)?;
    }
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        cluster: flags.cluster.clone(),
        user: flags.user.clone(),
    };
    let authority = flags.certificate_authority.as_deref();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .context("the kubeconfig does not lead to an API server")?;
    if let Some(path) = authority {
        config.root_cert_file = Some(path.to_owned());
        config.root_cert = Some(certificates(path)?);
    }
    Ok(config)
}

/// Puts the server of the flag into the context that is used, which is made where there is none.
fn overlay(kubeconfig: &mut Kubeconfig, flags: &Connection, server: &str) -> anyhow::Result<()> {
    let used = flags.context.clone().or_else(|| kubeconfig.current_context.clone());
    let context = kubeconfig.contexts.iter().find(|context| Some(&context.name) == used.as_ref());
    let cluster =
        flags.cluster.clone().or_else(|| Some(context?.context.as_ref()?.cluster.clone()));
    match cluster.and_then(|name| kubeconfig.clusters.iter_mut().find(|c| c.name == name)) {
        Some(cluster) => {
            cluster.cluster.get_or_insert_default().server = Some(server.to_owned());
            Ok(())
        }
        None if kubeconfig.contexts.is_empty() => {
            *kubeconfig = Kubeconfig::from_yaml(&format!(
                "{{apiVersion: v1, kind: Config, current-context: flags, \
                 clusters: [{{name: flags, cluster: {{server: {}}}}}], \
                 users: [{{name: flags, user: {{}}}}], \
                 contexts: [{{name: flags, context: {{cluster: flags, user: flags}}}}]}}",
                serde_json::Value::from(server)
            ))
            .context("cannot use --server")?;
            Ok(())
        }
        None => bail!("--server: the kubeconfig has no such context or cluster to take it"),
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;
    let read = CertificateDer::pem_file_iter(path)
        .and_then(|found| found.map(|der| der.map(|der| der.to_vec())).collect());
    read.with_context(|| format!("cannot read --certificate-authority `{}`", path.display()))
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("`{}` is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

/// A server that is there accepts a connection well within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
