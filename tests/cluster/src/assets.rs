//! The binaries of the control plane, and of the peer: found, or built once with Go.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// A folder with the four programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assets {
    etcd: PathBuf,
    kubernetes: PathBuf,
}

impl Assets {
    /// Finds the programs: in the folder that `KUBEBUILDER_ASSETS` names, in the cache below `target/`,
    /// or by building them into that cache, which takes minutes the first time.
    ///
    /// `CLUSTER_KUBERNETES=1.33` chooses an older Kubernetes, of the module `kubernetes-1.33`.
    /// Nothing, at a desk without Go: then it says on standard error what to install.
    ///
    /// # Errors
    /// Fails when programs are missing that were promised, when they cannot be built, and without Go
    /// where `CI` is set, for there nobody would read that tests were skipped.
    pub fn find() -> Result<Option<Self>> {
        let release = variable(RELEASE);
        if let Some(folder) = variable(ASSETS) {
            ensure!(
                release.is_none(),
                "both `{ASSETS}` and `{RELEASE}` are set, and either says which Kubernetes to run: \
                 unset one"
            );
            return Self::in_folder(Path::new(&folder)).map(Some);
        }
        let kubernetes = release.map_or("kubernetes".to_owned(), |it| format!("kubernetes-{it}"));
        let modules = ["etcd", kubernetes.as_str()];
        let cache = cache()?;
        let [etcd, kubernetes] = modules.map(|module| folder_of(&cache, module));
        let found = Self { etcd: etcd?, kubernetes: kubernetes? };
        if found.missing().is_none() {
            return Ok(Some(found));
        }
        let otherwise = format!(", or set `{ASSETS}` to a folder with {}", NAMES.join(", "));
        if !has_go("a Kubernetes control plane", &otherwise)? {
            return Ok(None);
        }
        let what = "a Kubernetes control plane for tests; some five minutes";
        build(&cache, what, &[(&found.etcd, modules[0]), (&found.kubernetes, modules[1])], || {
            found.missing()
        })?;
        Ok(Some(found))
    }

    fn in_folder(folder: &Path) -> Result<Self> {
        let found = Self { etcd: folder.to_owned(), kubernetes: folder.to_owned() };
        match found.missing() {
            None => Ok(found),
            Some(path) => bail!("`{ASSETS}` is set, and there is no `{}`", path.display()),
        }
    }

    fn missing(&self) -> Option<PathBuf> {
        NAMES.iter().map(|name| self.program(name)).find(|path| !path.is_file())
    }

    /// One of the programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        if name == "etcd" { self.etcd.join(name) } else { self.kubernetes.join(name) }
    }
}

/// The peer, which tests swap with trustd: from the cache below `target/`, or built into it.
/// Nothing, at a desk without Go: then it says on standard error what to install.
///
/// # Errors
/// Fails when it cannot be built, and without Go where `CI` is set.
pub fn peer() -> Result<Option<PathBuf>> {
    let cache = cache()?;
    let folder = folder_of(&cache, PEER)?;
    let program = folder.join(PEER);
    let missing = || (!program.is_file()).then(|| program.clone());
    if missing().is_some() {
        if !has_go("trust-manager", "")? {
            return Ok(None);
        }
        build(&cache, "trust-manager, for comparison; a minute", &[(&folder, PEER)], missing)?;
    }
    Ok(Some(program))
}

/// Whether there is a Go to build this with. At a desk without, it says what to install.
fn has_go(what: &str, otherwise: &str) -> Result<bool> {
    let has_go = Command::new("go").arg("version").output().is_ok();
    if !has_go {
        let cure = format!("install Go 1.26 or newer (https://go.dev/dl){otherwise}");
        ensure!(variable("CI").is_none(), "there is no {what} to test against: {cure}");
        // Caught by libtest, and found there by `tests/run`.
        eprintln!("skipped: tests against {what}; to run them, {cure}");
    }
    Ok(has_go)
}

/// Builds modules into their folders. `missing` names the first program that is not there.
fn build(
    cache: &Path,
    what: &str,
    modules: &[(&PathBuf, &str)],
    missing: impl Fn() -> Option<PathBuf>,
) -> Result<()> {
    fs::create_dir_all(cache)
        .with_context(|| format!("cannot make the folder `{}`", cache.display()))?;
    let lock = File::create(cache.join("lock")).context("cannot make the lock of the cache")?;
    // Several test binaries may start at once; those that wait find everything built.
    lock.lock().context("cannot lock the cache of the control plane")?;
    if missing().is_none() {
        return Ok(());
    }
    say(&format!("building {what}, this once"));
    for (folder, module) in modules {
        let status = Command::new("bash")
            .arg(control_plane().join("build.sh"))
            .arg(folder)
            .arg(module)
            .status()
            .context("cannot run bash")?;
        ensure!(status.success(), "building the module `{module}` failed: {status}");
    }
    match missing() {
        None => Ok(()),
        Some(path) => bail!("the build ended well, and there is no `{}`", path.display()),
    }
}

/// Where a module's binaries are kept: below a name that changes with all that they are made of.
fn folder_of(cache: &Path, module: &str) -> Result<PathBuf> {
    let source = control_plane();
    ensure!(
        source.join(module).join("go.mod").is_file(),
        "`{RELEASE}` asks for the module `{module}`, and {} has no such folder",
        source.display()
    );
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    for file in [&format!("{module}/go.mod"), &format!("{module}/go.sum"), "build.sh"] {
        let path = source.join(file);
        let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        hash.update(&bytes);
        hash.update(b"\0");
    }
    let digest = hash.finish();
    let hex: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(cache.join(format!("{module}-{hex}")))
}

/// `control-plane` in cargo's target folder, which is the one that this program was built into.
fn cache() -> Result<PathBuf> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    // Cargo marks a folder that it made itself by the one, and keeps the other in any.
    let is_target = |folder: &&Path| {
        [".rustc_info.json", "CACHEDIR.TAG"].iter().any(|mark| folder.join(mark).is_file())
    };
    let target = program.ancestors().find(is_target);
    let target = target.map_or_else(|| repository().join("target"), Path::to_owned);
    Ok(target.join("control-plane"))
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

fn control_plane() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane")
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Not `eprintln!`: a test's output is caught, and shown only when it fails.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

const NAMES: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];

/// As in the tests of other controllers (envtest).
const ASSETS: &str = "KUBEBUILDER_ASSETS";

const RELEASE: &str = "CLUSTER_KUBERNETES";

/// The module, and the program in it.
const PEER: &str = "trust-manager";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_one_of_the_programs_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in NAMES.iter().filter(|name| **name != "kubectl") {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let error = Assets::in_folder(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("/kubectl`"), "{error}");
        fs::write(folder.path().join("kubectl"), "").unwrap();
        assert!(Assets::in_folder(folder.path()).is_ok());
    }

    #[test]
    fn the_cache_knows_modules_apart_and_refuses_strangers() {
        let cache = Path::new("/cache");
        let [etcd, kubernetes] =
            ["etcd", "kubernetes"].map(|module| folder_of(cache, module).unwrap());
        assert_ne!(etcd, kubernetes);
        assert!(folder_of(cache, "kubernetes-0.1").is_err());
    }

    #[test]
    fn the_repository_is_the_one_of_this_file() {
        assert!(repository().join("tests/cluster/src/assets.rs").is_file());
    }
}
