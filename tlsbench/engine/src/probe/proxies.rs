//! Proxies that are installed and can serve as hops.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::io::ioctl_fionbio;
use tlsbench_core::units::Nanos;

use crate::clock::Clock;

/// A proxy that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledProxy {
    /// The name, which is that of its program.
    pub name: &'static str,
    /// The version, where it told one in time.
    pub version: Option<String>,
    /// nginx's support for relays; `None` for the others, which relay without a module.
    pub stream: Option<NginxStream>,
}

/// nginx's `stream`, which relays TCP: part of it, or a module that distributions pack by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NginxStream {
    /// Part of the program.
    BuiltIn,
    /// The program takes the module, and it is not installed; or the program does not take it.
    Missing,
    /// The module's file.
    Module(PathBuf),
}

impl NginxStream {
    /// Reads what `nginx -V` says.
    fn read(said: &str) -> Self {
        let has = |flag: &str| said.split_whitespace().any(|word| word == flag);
        if has("--with-stream") {
            return Self::BuiltIn;
        }
        if !has("--with-stream=dynamic") {
            return Self::Missing;
        }
        let named = said.split_whitespace().find_map(|word| word.strip_prefix("--modules-path="));
        let known = MODULE_FOLDERS.iter().copied();
        let mut folders = named.into_iter().chain(known.filter(|_| named.is_none()));
        let module = |folder: &str| Path::new(folder).join("ngx_stream_module.so");
        let module = folders.find_map(|folder| Some(module(folder)).filter(|file| file.exists()));
        module.map_or(Self::Missing, Self::Module)
    }
}

/// Looks for proxies in the folders of `path`, which is written as the variable `PATH` is, and asks
/// each for its version.
#[must_use]
pub fn proxies(path: &OsStr) -> Vec<InstalledProxy> {
    let folders: Vec<_> = std::env::split_paths(path).collect();
    KNOWN
        .into_iter()
        .filter_map(|(name, flag)| {
            let program = folders.iter().map(|folder| folder.join(name)).find(|p| p.is_file())?;
            let said = ask(&program, flag).unwrap_or_default();
            let stream = (name == "nginx").then(|| NginxStream::read(&said));
            Some(InstalledProxy { name, version: version(&said), stream })
        })
        .collect()
}

/// Returns the output of a program on both of its streams; it is killed when it takes too long.
fn ask(program: &Path, flag: &str) -> io::Result<String> {
    let mut child = Command::new(program)
        .arg(flag)
        // Caddy makes itself a folder in its user's home before it says anything.
        .env("HOME", "/dev/null")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let ended = wait(&mut child);
    if !matches!(ended, Ok(true)) {
        child.kill()?;
        child.wait()?;
    }
    let mut said = String::new();
    if let Some(out) = child.stdout.take() {
        said.push_str(&what_is_there(out)?);
    }
    if let Some(err) = child.stderr.take() {
        said.push_str(&what_is_there(err)?);
    }
    Ok(said)
}

fn wait(child: &mut Child) -> io::Result<bool> {
    let end = Clock::Monotonic.now() + ANSWER_WITHIN;
    while Clock::Monotonic.now() < end {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(false)
}

/// Does not wait for more: a process that the program left behind may hold the pipe open.
fn what_is_there(mut pipe: impl io::Read + AsFd) -> io::Result<String> {
    ioctl_fionbio(&pipe, true)?;
    let mut bytes = Vec::new();
    match pipe.by_ref().take(SAID_MAX).read_to_end(&mut bytes) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
        _ => {}
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first number with a point in it: `nginx/1.22.1`, `v2.7.6 h1:…`.
fn version(said: &str) -> Option<String> {
    said.split(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .map(|word| word.trim_matches('.'))
        .find(|word| word.contains('.'))
        .map(str::to_owned)
}

/// Names of programs, and how each is asked for its version.
const KNOWN: [(&str, &str); 5] = [
    ("nginx", "-V"),
    ("haproxy", "-v"),
    ("envoy", "--version"),
    ("traefik", "version"),
    ("caddy", "version"),
];

/// Folders where distributions put nginx's modules, unless it names another: Debian, Fedora,
/// Alpine.
const MODULE_FOLDERS: [&str; 3] =
    ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/var/lib/nginx/modules"];
/// All answer in well under a second; five of them may take 10 s at most.
const ANSWER_WITHIN: Nanos = Nanos::from_millis(2_000);
const PAUSE: Duration = Duration::from_millis(2);
/// Bytes of output that are read: as much as a pipe holds.
const SAID_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Whoever is left behind holds the pipe until it may go, or gives up after 30 s.
    const LEAVES_ONE_BEHIND: &str = "echo v2.7.6; cd \"$(dirname \"$0\")\"
        (for i in $(seq 600); do [ -e go ] && exit; sleep 0.05; done; touch gave-up) &";

    fn folder(programs: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in programs {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn the_stream_module_of_nginx_is_found_or_missed() {
        let folder = tempfile::tempdir().unwrap();
        let said =
            |flags: &str| format!("nginx version: nginx/1.22.1\nconfigure arguments: {flags}");
        let path = folder.path().display();
        let dynamic = said(&format!("--modules-path={path} --with-stream=dynamic --with-x"));
        assert_eq!(NginxStream::read(&dynamic), NginxStream::Missing);
        let file = folder.path().join("ngx_stream_module.so");
        fs::write(&file, "").unwrap();
        assert_eq!(NginxStream::read(&dynamic), NginxStream::Module(file));
        assert_eq!(NginxStream::read(&said("--with-stream --with-x")), NginxStream::BuiltIn);
        assert_eq!(NginxStream::read(&said("--with-stream_ssl_module")), NginxStream::Missing);
    }

    #[test]
    fn versions_are_found_in_what_each_proxy_says() {
        for (said, expected) in [
            ("nginx version: nginx/1.22.1\n", Some("1.22.1")),
            ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", Some("2.6.12")),
            ("envoy  version: d362e791eb9e4/1.30.1/Clean/RELEASE/BoringSSL", Some("1.30.1")),
            ("Version:      3.0.0\nCodename:     x\nGo version:   go1.22.2", Some("3.0.0")),
            ("v2.7.6 h1:w0NymbG2m9PcvKWsrXO6EEkY9Ru4FJK8uQbYcev1p3A=", Some("2.7.6")),
            ("no number. At all...", None),
        ] {
            assert_eq!(version(said).as_deref(), expected, "{said}");
        }
    }

    #[test]
    fn proxies_on_the_path_are_asked_and_do_not_keep_us_waiting() {
        // Whoever has a home leaves something there.
        let in_home = "[ -d \"$HOME\" ] && exit; echo nginx version: nginx/$1.9.9 >&2";
        let first = folder(&[("nginx", in_home)]);
        let second =
            folder(&[("nginx", "echo 1.1.1"), ("caddy", LEAVES_ONE_BEHIND), ("traefik", "exit 3")]);
        let path = std::env::join_paths([first.path(), second.path()]).unwrap();
        let found = proxies(&path);
        let proxy = |name, version: Option<&str>| {
            let stream = (name == "nginx").then_some(NginxStream::Missing);
            InstalledProxy { name, version: version.map(str::to_owned), stream }
        };
        // `-v` stands where `$1` does.
        let expected =
            [proxy("nginx", Some("9.9")), proxy("traefik", None), proxy("caddy", Some("2.7.6"))];
        assert_eq!(found, expected);
        assert!(!second.path().join("gave-up").exists(), "waited for who held the pipe");
        fs::write(second.path().join("go"), "").unwrap();
        assert_eq!(proxies(OsStr::new("")), []);

        // A program that does not end is ended. In this test, so that no script is being written
        // while another thread starts one, which the kernel refuses (ETXTBSY).
        let folder = folder(&[("envoy", "echo 1.2.3; exec sleep 600")]);
        let found = proxies(folder.path().as_os_str());
        assert_eq!(
            found,
            [InstalledProxy { name: "envoy", version: Some("1.2.3".into()), stream: None }]
        );
    }
}
