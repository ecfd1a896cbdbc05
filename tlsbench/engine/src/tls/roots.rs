//! Roots that chains are verified against, and a file of them that may be replaced at any time.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tlsbench_core::units::Nanos;

use super::error::TlsError;
use super::pem::{self, Certificates, SkippedBlock};

/// Loaded roots.
#[derive(Debug)]
pub struct Roots {
    store: Arc<RootCertStore>,
    generation: u64,
    unusable: usize,
    left_out: Vec<SkippedBlock>,
}

impl Roots {
    /// Reads roots from PEM. What is no certificate, or none that can be a root, is left out.
    ///
    /// # Errors
    /// Fails when the text has a block that is cut or joined to another, and when no root is left.
    pub fn from_pem(text: &[u8]) -> Result<Self, TlsError> {
        let failed = |source: pem::PemError| TlsError::Roots { source: source.into() };
        let Certificates { found, mut left_out } = pem::certificates(text).map_err(failed)?;
        let mut store = RootCertStore::empty();
        for (at, certificate) in found {
            if let Err(error) = store.add(certificate) {
                left_out.push(SkippedBlock { at, why: error.to_string() });
            }
        }
        left_out.sort_by_key(|left_out| left_out.at.number);
        if store.is_empty() {
            return Err(match left_out.into_iter().next() {
                Some(first) => failed(pem::PemError::LeftOut(first)),
                None => TlsError::RootsEmpty,
            });
        }
        Ok(Self::new(store, left_out.len(), left_out))
    }

    /// Reads the roots of this machine, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    ///
    /// # Errors
    /// Fails when there are none.
    pub fn platform() -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty()
            && let Some(error) = found.errors.into_iter().next()
        {
            return Err(TlsError::Roots { source: error.into() });
        }
        Self::of(found.certs)
    }

    fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        let (usable, unusable) = store.add_parsable_certificates(certificates);
        if usable == 0 {
            return Err(TlsError::RootsEmpty);
        }
        Ok(Self::new(store, unusable, Vec::new()))
    }

    fn new(store: RootCertStore, unusable: usize, left_out: Vec<SkippedBlock>) -> Self {
        let generation = NEXT_GENERATION.fetch_add(1, Ordering::Relaxed);
        Self { store: Arc::new(store), generation, unusable, left_out }
    }

    /// A number that no other load of roots has, in this process.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Roots that chains can lead to.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.store.len()
    }

    /// Certificates that were read and are of no use as roots.
    #[must_use]
    pub fn unusable(&self) -> usize {
        self.unusable
    }

    /// Blocks of the PEM text that were left out, each with its position and why.
    #[must_use]
    pub fn left_out(&self) -> &[SkippedBlock] {
        &self.left_out
    }

    /// The roots themselves, for a server that verifies its clients.
    #[must_use]
    pub fn shared(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.store)
    }

    pub(super) fn store(&self) -> &RootCertStore {
        &self.store
    }
}

/// A file of roots, read again when it was replaced.
///
/// The file is looked at when somebody asks, and at most once a second; it is read when it is
/// another file than before, and its roots are taken when it says something else. A mounted
/// ConfigMap, replaced by swapping a symlink, is such a file.
#[derive(Debug)]
pub struct ReloadingRoots {
    path: PathBuf,
    generation: AtomicU64,
    look_due: AtomicU64,
    state: Mutex<ReloadState>,
}

#[derive(Debug)]
struct ReloadState {
    roots: Arc<Roots>,
    text: Vec<u8>,
    stamp: Option<FileStamp>,
    warning: Option<String>,
}

/// The metadata of a file that change when it is replaced, wherever a symlink leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl ReloadingRoots {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Fails when it cannot be read or holds no roots.
    pub fn open(path: &Path, now: Nanos) -> Result<Self, TlsError> {
        let failed = |source| TlsError::RootsFile { path: path.to_owned(), source };
        let stamp = stamp(path).ok();
        let text = read(path).map_err(|error| failed(error.into()))?;
        let roots = Roots::from_pem(&text).map_err(|error| match error {
            TlsError::Roots { source } => failed(source),
            other => failed(other.into()),
        })?;
        let roots = Arc::new(roots);
        Ok(Self {
            path: path.to_owned(),
            generation: AtomicU64::new(roots.generation()),
            look_due: AtomicU64::new(now.0.saturating_add(LOOK_EVERY.0)),
            state: Mutex::new(ReloadState { roots, text, stamp, warning: None }),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest good roots.
    #[must_use]
    pub fn current(&self) -> Arc<Roots> {
        Arc::clone(&self.state().roots)
    }

    /// The newest good roots if they are others than those of a generation. Costs two loads from
    /// memory, except once a second, when the file is looked at.
    #[must_use]
    pub fn newer_than(&self, generation: u64, now: Nanos) -> Option<Arc<Roots>> {
        let due = self.look_due.load(Ordering::Relaxed);
        if now.0 >= due {
            let next = now.0.saturating_add(LOOK_EVERY.0);
            let mine =
                self.look_due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
            if mine.is_ok() {
                self.look();
            }
        }
        (self.generation.load(Ordering::Acquire) != generation).then(|| self.current())
    }

    /// The reason why a replaced file was not taken, said once for each such file.
    pub fn take_warning(&self) -> Option<String> {
        self.state().warning.take()
    }

    fn look(&self) {
        let found = stamp(&self.path);
        let mut state = self.state();
        if let Ok(found) = &found
            && state.stamp == Some(*found)
        {
            return;
        }
        // A file that is not there is complained about once, not every second.
        if found.is_err() && state.stamp.is_none() {
            return;
        }
        state.stamp = found.as_ref().ok().copied();
        let text = found.and_then(|_| read(&self.path));
        match text {
            Err(error) => state.warning = Some(self.refused(&error)),
            Ok(text) if text == state.text => {}
            Ok(text) => match Roots::from_pem(&text) {
                Ok(roots) => {
                    self.generation.store(roots.generation(), Ordering::Release);
                    state.roots = Arc::new(roots);
                    state.text = text;
                    state.warning = None;
                }
                Err(error) => state.warning = Some(self.refused(&error)),
            },
        }
    }

    fn refused(&self, error: &dyn std::error::Error) -> String {
        let mut text =
            format!("CA bundle `{}` was replaced and is of no use: ", self.path.display());
        text.push_str(&error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text.push_str("; the roots before it stay");
        text
    }

    fn state(&self) -> MutexGuard<'_, ReloadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(path: &Path) -> io::Result<FileStamp> {
    let found = fs::metadata(path)?;
    Ok(FileStamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut text = Vec::new();
    fs::File::open(path)?.take(BUNDLE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > BUNDLE_BYTES_MAX {
        let what = format!("more than {BUNDLE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(text)
}

/// The shortest interval between two looks at a file: a swap is seen well within the minute or
/// so that a kubelet takes to bring it.
const LOOK_EVERY: Nanos = Nanos::from_millis(1_000);

/// Ten times what a ConfigMap may hold (1 MiB), and forty times the roots of Mozilla (240 KB).
const BUNDLE_BYTES_MAX: u64 = 10 * 1024 * 1024;

static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::tls::LabPki;

    fn root() -> String {
        LabPki::generate().unwrap().root_pem()
    }

    fn chain_of(error: &dyn std::error::Error) -> String {
        error.source().map_or(error.to_string(), |cause| format!("{error}: {}", chain_of(cause)))
    }

    #[test]
    fn roots_are_read_from_pem_with_comments_between() {
        let text = format!("# one\n{}# two\n{}", root(), root());
        let roots = Roots::from_pem(text.as_bytes()).unwrap();
        assert_eq!((roots.usable(), roots.unusable()), (2, 0));
        assert_ne!(roots.generation(), Roots::from_pem(text.as_bytes()).unwrap().generation());
    }

    #[test]
    fn no_certificate_is_passed_over_in_silence() {
        let (one, two) = (root(), root());
        let joined = [one.trim_end(), &two].concat();
        let indented = one.replace('\n', "\n  ");
        let cut = &one[..one.len() - 30];
        for (text, expected) in [
            (
                "",
                "cannot read the roots: no certificate in it: none begins with \
                 `-----BEGIN CERTIFICATE-----`",
            ),
            (
                &joined,
                "cannot read the roots: line 11: a marker that does not stand in a line of its own, \
                 or not at its beginning; break or unindent the line",
            ),
            (
                &format!("  {indented}"),
                "cannot read the roots: line 1: a marker that does not stand in a line of its own, \
                 or not at its beginning; break or unindent the line",
            ),
            (
                cut,
                "cannot read the roots: line 1: a BEGIN without its END: the file was cut; write it \
                 whole again",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "cannot read the roots: certificate 1 (line 1) is left out: it holds something else, \
                 or one that was cut, not a certificate",
            ),
        ] {
            let error = Roots::from_pem(text.as_bytes()).unwrap_err();
            assert_eq!(chain_of(&error), expected);
        }
    }

    #[test]
    fn a_block_that_is_no_certificate_is_left_out_and_named() {
        let (one, two) = (root(), root());
        let broken = "-----BEGIN CERTIFICATE-----\nMIIB%%%%\n-----END CERTIFICATE-----\n";
        let trusted = one.replace(" CERTIFICATE", " TRUSTED CERTIFICATE");
        let text = format!("# of us\n{one}{broken}{trusted}{two}");
        let roots = Roots::from_pem(text.as_bytes()).unwrap();
        assert_eq!((roots.usable(), roots.unusable()), (2, 2));
        let told: Vec<String> = roots.left_out().iter().map(ToString::to_string).collect();
        let lines = one.lines().count();
        let begin = format!("certificate 2 (line {}) is left out: ", lines + 2);
        assert!(told[0].starts_with(&begin), "{told:?}");
        let begin = format!("certificate 3 (line {}) is left out: it is a `TRUSTED", lines + 5);
        assert!(told[1].starts_with(&begin) && told[1].contains("openssl x509"), "{told:?}");
    }

    /// A mounted ConfigMap: the file is a link through `..data`, which is swapped.
    struct Mount {
        folder: tempfile::TempDir,
        versions: u32,
    }

    impl Mount {
        fn new(text: &str) -> Self {
            let mut mount = Self { folder: tempfile::tempdir().unwrap(), versions: 0 };
            symlink("..data/ca-bundle.crt", mount.file()).unwrap();
            mount.swap(text);
            mount
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("ca-bundle.crt")
        }

        fn swap(&mut self, text: &str) {
            self.versions += 1;
            let version = format!("..version_{}", self.versions);
            fs::create_dir(self.folder.path().join(&version)).unwrap();
            fs::write(self.folder.path().join(&version).join("ca-bundle.crt"), text).unwrap();
            let link = self.folder.path().join("..data_tmp");
            symlink(version, &link).unwrap();
            fs::rename(link, self.folder.path().join("..data")).unwrap();
        }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_swapped_file_is_taken_and_looked_at_once_a_second() {
        let mut mount = Mount::new(&root());
        let roots = ReloadingRoots::open(&mount.file(), Nanos(0)).unwrap();
        let first = roots.current().generation();
        mount.swap(&format!("{}{}", root(), root()));
        assert!(roots.newer_than(first, Nanos(SECOND - 1)).is_none());
        let newer = roots.newer_than(first, Nanos(SECOND)).unwrap();
        assert_eq!(newer.usable(), 2);
        // Others who ask get it without a look at the file.
        assert!(roots.newer_than(first, Nanos(SECOND)).is_some());
        assert!(roots.newer_than(newer.generation(), Nanos(9 * SECOND)).is_none());
        assert_eq!(roots.take_warning(), None);
    }

    #[test]
    fn the_same_text_in_another_file_changes_nothing() {
        let text = root();
        let mut mount = Mount::new(&text);
        let roots = ReloadingRoots::open(&mount.file(), Nanos(0)).unwrap();
        let first = roots.current().generation();
        mount.swap(&text);
        assert!(roots.newer_than(first, Nanos(SECOND)).is_none());
    }

    #[test]
    fn a_bad_file_leaves_the_last_good_roots_and_a_warning() {
        let mut mount = Mount::new(&root());
        let roots = ReloadingRoots::open(&mount.file(), Nanos(0)).unwrap();
        let first = roots.current().generation();
        mount.swap("no certificates");
        for second in [1, 2] {
            assert!(roots.newer_than(first, Nanos(second * SECOND)).is_none());
        }
        let expected = format!(
            "CA bundle `{}` was replaced and is of no use: cannot read the roots: \
             no certificate in it: none begins with `-----BEGIN CERTIFICATE-----`; the roots before it stay",
            mount.file().display()
        );
        assert_eq!(roots.take_warning(), Some(expected));
        assert_eq!(roots.take_warning(), None);

        fs::remove_file(mount.file()).unwrap();
        for second in [3, 4, 5] {
            assert!(roots.newer_than(first, Nanos(second * SECOND)).is_none());
            assert_eq!(roots.take_warning().is_some(), second == 3);
        }
        symlink("..data/ca-bundle.crt", mount.file()).unwrap();
        mount.swap(&root());
        assert!(roots.newer_than(first, Nanos(6 * SECOND)).is_some());
        assert_eq!(roots.take_warning(), None);
    }

    #[test]
    fn a_file_that_never_was_there_is_an_error_with_its_name() {
        let error = ReloadingRoots::open(Path::new("/nowhere/ca.crt"), Nanos(0)).unwrap_err();
        assert_eq!(error.to_string(), "cannot read CA bundle `/nowhere/ca.crt`");
        let mount = Mount::new("nothing");
        let error = ReloadingRoots::open(&mount.file(), Nanos(0)).unwrap_err();
        let expected = format!(
            "cannot read CA bundle `{}`: no certificate in it: none begins with `-----BEGIN CERTIFICATE-----`",
            mount.file().display()
        );
        assert_eq!(chain_of(&error), expected);
    }

    #[test]
    fn the_roots_of_the_machine_are_some_or_an_error() {
        if let Ok(roots) = Roots::platform() {
            assert!(roots.usable() > 0);
        }
    }
}
