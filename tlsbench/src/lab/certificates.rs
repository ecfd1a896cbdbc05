//! The certificates of a run: made for it, or those of `--pki`.

use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tlsbench_core::hop::{PemIdentity, PrivatePem};
use tlsbench_core::lab::{ClientFiles, Lab, LabRequest};
use tlsbench_core::placement::{Role, Wiring};
use tlsbench_core::scenario::{KeyKind, ProtocolName};
use tlsbench_engine::tls::{self, Purpose};

/// Returns certificates and keys for hops and clients.
pub(super) fn wiring(asked: &LabRequest, folder: &Path) -> anyhow::Result<(Wiring, ClientFiles)> {
    let (root, server, client, files) = match &asked.pki {
        Some(pki) => existing(asked, pki)?,
        None => made(folder, asked.lab.key)?,
    };
    let Lab { pool, response_bytes, protocol, .. } = asked.lab;
    let wiring = Wiring {
        root,
        server,
        client,
        cryptography: asked.lab.cryptography(),
        tickets: TICKETS,
        alpn: match protocol {
            ProtocolName::Http1 => Vec::new(),
            ProtocolName::Http2 => vec![ProtocolName::Http2, ProtocolName::Http1],
        },
        pool,
        response_bytes,
        workers: NonZeroU32::MIN,
    };
    Ok((wiring, files))
}

type LabCertificates = (String, PemIdentity, PemIdentity, ClientFiles);

/// Those of a directory that `tlsbench pki` made; the bundle may be another file that trusts them,
/// such as what trustd made of its root.
fn existing(asked: &LabRequest, pki: &Path) -> anyhow::Result<LabCertificates> {
    // `tlsbench pki` makes a pair of files for every kind of key, and the lab uses one kind.
    let kind = asked.lab.key;
    let read = |name: &str| {
        let path = pki.join(name);
        let hint = "make the directory with `tlsbench pki`";
        fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}`; {hint}", path.display()))
    };
    let identity = |who: &str| -> anyhow::Result<PemIdentity> {
        let chain = read(&format!("{who}-{kind}.crt"))?;
        Ok(PemIdentity { chain, key: PrivatePem(read(&format!("{who}-{kind}.key"))?) })
    };
    let files = ClientFiles {
        ca_bundle: asked.ca_bundle.clone().unwrap_or(pki.join("ca-bundle.crt")),
        certificate: pki.join(format!("client-{kind}.crt")),
        key: pki.join(format!("client-{kind}.key")),
    };
    let root = match &asked.ca_bundle {
        Some(path) => {
            fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?
        }
        None => read("ca-bundle.crt")?,
    };
    Ok((root, identity("server")?, identity("client")?, files))
}

fn made(folder: &Path, kind: KeyKind) -> anyhow::Result<LabCertificates> {
    let now = SystemTime::now();
    let span = |by: Duration| (now.checked_sub(by), now.checked_add(by));
    // A clock that is set back a little during the run must not make the certificates invalid.
    let (Some(from), Some(to)) = span(A_WEEK) else { anyhow::bail!("this machine's clock is off") };
    let names: Vec<String> = Role::ALL.iter().map(|role| role.host()).collect();
    let mut lab = tls::Lab::make(&names, &[kind], from, to)?;
    // Certificates are moved out and not cloned, because a private key should exist once.
    let mut identity = |purpose| {
        let identity = lab.identities.remove(&(purpose, kind));
        identity.context("a certificate was not made")
    };
    let (server, client) = (identity(Purpose::Server)?, identity(Purpose::Client)?);
    let files = ClientFiles {
        ca_bundle: folder.join("ca-bundle.crt"),
        certificate: folder.join("client.crt"),
        key: folder.join("client.key"),
    };
    let all = [
        (&files.ca_bundle, &lab.root),
        (&files.certificate, &client.chain),
        (&files.key, &client.key.0),
    ];
    // Only the owner may look into the folder: private keys lie there in plain text.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the directory `{}`", folder.display()))?;
    claim(folder, &all.map(|(path, _)| path.as_path()))?;
    for (path, text) in all {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok((lab.root, server, client, files))
}

/// Marks the folder as a run's own. Where these files are in a folder without the mark, they are
/// somebody else's: a lab's root, perhaps, because `--record lab.json` and `tlsbench pki lab` mean
/// the same folder.
fn claim(folder: &Path, files: &[&Path]) -> anyhow::Result<()> {
    let mark = folder.join(MARK);
    if !mark.exists()
        && let Some(file) = files.iter().find(|file| file.exists())
    {
        anyhow::bail!(
            "`{}` was made by no run and would be replaced; name another `--record`, or move it",
            file.display()
        );
    }
    fs::write(&mark, "Files of `tlsbench run`; the next run of this name replaces them.\n")
        .with_context(|| format!("cannot write `{}`", mark.display()))
}

/// The file that a folder with a run's own certificates holds.
const MARK: &str = ".tlsbench-run";
/// Session tickets of each handshake, as many as OpenSSL gives.
const TICKETS: u8 = 2;
/// Longer than any run, and soon of no use.
const A_WEEK: Duration = Duration::from_secs(7 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_no_run_made_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("ca-bundle.crt");
        fs::write(&root, "mine").unwrap();
        let refused = made(folder.path(), KeyKind::EcdsaP256).err().unwrap().to_string();
        assert!(refused.contains("ca-bundle.crt` was made by no run"), "{refused}");
        assert_eq!(fs::read_to_string(&root).unwrap(), "mine");

        fs::remove_file(&root).unwrap();
        made(folder.path(), KeyKind::EcdsaP256).unwrap();
        let first = fs::read_to_string(&root).unwrap();
        made(folder.path(), KeyKind::EcdsaP256).unwrap();
        assert_ne!(fs::read_to_string(&root).unwrap(), first, "a run's own are made anew");
    }
}
