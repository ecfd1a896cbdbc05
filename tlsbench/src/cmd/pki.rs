//! `tlsbench pki`: the lab's certificates as files and as manifests for Kubernetes.
//!
//! Nothing that is there is replaced: whoever has handed out a root wants it to stay.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlsbench_engine::tls::{KeyKind, Lab, Purpose};

use super::answer::Answer;
use crate::exit::Exit;
use crate::settings::PkiSettings;

/// Makes the lab's certificates and writes them; says what it wrote.
pub(super) fn answer(settings: &PkiSettings) -> anyhow::Result<Answer> {
    let folder = &settings.folder;
    let bundle = folder.join(BUNDLE);
    // The bundle stands for the whole: it is what gets handed out and trusted.
    if bundle.exists() {
        anyhow::bail!(
            "`{}` is there already, and who trusts it would not trust another; name another \
             directory, or remove this one",
            bundle.display()
        );
    }
    // Clocks of other machines may be behind.
    let now = SystemTime::now();
    let from = now.checked_sub(HOUR).unwrap_or(now);
    let to = now
        .checked_add(Duration::from_secs(u64::from(settings.days.get()) * SECONDS_PER_DAY))
        .context("`--days` ends beyond what this machine's clock can tell")?;
    let mut names: Vec<String> = NAMES.map(str::to_owned).to_vec();
    names.extend(settings.names.iter().filter(|name| !NAMES.contains(&name.as_str())).cloned());
    let lab = Lab::make(&names, KeyKind::ALL, from, to)?;
    write(folder, &lab, &settings.namespace)?;
    Ok(Answer::new(said(settings, &names), Exit::Fine))
}

fn write(folder: &Path, lab: &Lab, namespace: &str) -> anyhow::Result<()> {
    let manifests = folder.join("manifests");
    for folder in [folder, &manifests] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .with_context(|| format!("cannot make the directory `{}`", folder.display()))?;
    }
    let root = [("ca.crt", lab.root.as_str())];
    let secret = manifest("tlsbench-root", namespace, "Opaque", &root);
    file(&manifests.join("root.yaml"), &secret, SECRET)?;
    for ((purpose, kind), identity) in &lab.identities {
        let name = file_name(*purpose, *kind);
        file(&folder.join(format!("{name}.crt")), &identity.chain, PUBLIC)?;
        file(&folder.join(format!("{name}.key")), &identity.key.0, SECRET)?;
        let data = [
            ("ca.crt", lab.root.as_str()),
            ("tls.crt", identity.chain.as_str()),
            ("tls.key", identity.key.0.as_str()),
        ];
        let secret = manifest(&format!("tlsbench-{name}"), namespace, "kubernetes.io/tls", &data);
        file(&manifests.join(format!("{name}.yaml")), &secret, SECRET)?;
    }
    // Last: a directory that has it is whole.
    file(&folder.join(BUNDLE), &lab.root, PUBLIC)
}

/// A new file; one that is there already is an error.
fn file(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// A Secret. Nothing in it needs quoting: names are checked, and the data is base64.
fn manifest(name: &str, namespace: &str, kind: &str, data: &[(&str, &str)]) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Secret\ntype: {kind}\nmetadata:\n  name: {name}\n  namespace: \
         {namespace}\ndata:\n"
    );
    for (key, value) in data {
        // Writing to text cannot fail.
        let _ = writeln!(text, "  {key}: {}", STANDARD.encode(value));
    }
    text
}

fn file_name(purpose: Purpose, kind: KeyKind) -> String {
    let purpose = match purpose {
        Purpose::Client => "client",
        Purpose::Server => "server",
    };
    format!("{purpose}-{}", kind.as_str())
}

fn said(settings: &PkiSettings, names: &[String]) -> String {
    let folder = settings.folder.display();
    let kinds: Vec<&str> = KeyKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let kinds = kinds.join(", ");
    format!(
        "{folder}/{BUNDLE}                the root: what `tlsbench run --ca-bundle` trusts\n\
         {folder}/server-KIND.crt, .key    for {}\n\
         {folder}/client-KIND.crt, .key    for clients\n\
         {folder}/manifests/               the same as Secrets for namespace `{}`\n\n\
         KIND is one of {kinds}. Valid for {} days. The authority's own keys were not kept.\n",
        names.join(", "),
        settings.namespace,
        settings.days,
    )
}

/// The names of the lab's hops: on this machine, and by role.
const NAMES: [&str; 7] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "lb.lab.test",
    "ingress.lab.test",
    "sidecar.lab.test",
    "backend.lab.test",
];
const BUNDLE: &str = "ca-bundle.crt";
const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;
const HOUR: Duration = Duration::from_secs(3_600);
const SECONDS_PER_DAY: u64 = 86_400;
