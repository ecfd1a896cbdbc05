//! The programs that hops are made of, found on this machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use tlsbench_core::hop::HopKind;
use tlsbench_core::lab::{EngineName, Lab};
use tlsbench_core::placement::Role;
use tlsbench_core::proxyconf::{HAPROXY_RESPONSE_MAX, NginxBuild};
use tlsbench_engine::probe::{NginxStream, proxies};
use tlsbench_engine::topology::Engine;

/// The engine of each role's hop.
pub(super) struct EngineSet {
    by_role: BTreeMap<Role, Engine>,
    /// The same with another backend, where the one that is asked for cannot answer with more
    /// bytes.
    with_long_responses: BTreeMap<Role, Engine>,
    notes: Vec<String>,
}

impl EngineSet {
    /// Finds what the lab asks for.
    pub(super) fn find(lab: &Lab) -> anyhow::Result<Self> {
        let path = path();
        // Every program is looked for before any hop is started, so that a missing one is an error
        // of the first second and not of the third placement.
        let mut notes = Vec::new();
        let mut by_role = BTreeMap::new();
        for (role, name) in &lab.engines {
            by_role.insert(*role, engine(*name, &path)?);
        }
        // nginx without its stream module starts all the same where no placement relays with it.
        if proxies(&path).iter().any(|proxy| proxy.stream == Some(NginxStream::Missing)) {
            check_relays(lab)?;
        }
        let mut with_long_responses = by_role.clone();
        let longest = lab.workloads.iter().map(|workload| lab.response_bytes(*workload)).max();
        let is_haproxy = lab.engines.get(&Role::Backend) == Some(&EngineName::Haproxy);
        // A mix that is held out may have responses as long.
        let is_long = lab.hold_out || longest.is_some_and(|bytes| bytes > HAPROXY_RESPONSE_MAX);
        if is_haproxy && is_long {
            let nginx = engine(EngineName::Nginx, &path).context(
                "HAProxy cannot answer with more than 15,000 bytes, so nginx has to stand in as the \
                 backend of bulk workloads and of a mix that is held out",
            )?;
            // Only the backend changes: hops that pass a response on have no limit of its length.
            with_long_responses.insert(Role::Backend, nginx);
        }
        // Versions go into the record, because a figure of one nginx says little of another.
        for proxy in proxies(&path) {
            let version = proxy.version.unwrap_or_else(|| "of an unknown version".to_owned());
            let mut engines = by_role.values().chain(with_long_responses.values());
            if engines.any(|engine| engine.name() == proxy.name) {
                notes.push(format!("{} {version}", proxy.name));
            }
        }
        Ok(Self { by_role, with_long_responses, notes })
    }

    /// Engines for placements whose backend answers with so many bytes.
    pub(super) fn by_role(&self, bytes: u64) -> &BTreeMap<Role, Engine> {
        match bytes > HAPROXY_RESPONSE_MAX {
            true => &self.with_long_responses,
            false => &self.by_role,
        }
    }

    /// Returns notes on the engines: their versions.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Refuses relays of an nginx without its stream module: nginx itself only says `unknown
/// directive`.
fn check_relays(lab: &Lab) -> anyhow::Result<()> {
    let is_nginx = |role| lab.engines.get(&role) == Some(&EngineName::Nginx);
    let relay = lab.placements.iter().find_map(|placement| {
        let mut hops = placement.hops.iter();
        let relays = |kind| matches!(kind, HopKind::Relay | HopKind::SniRelay);
        let relay = hops.find(|hop| relays(hop.kind) && is_nginx(hop.role))?;
        Some((placement, relay))
    });
    let Some((placement, hop)) = relay else { return Ok(()) };
    bail!(
        "nginx has no stream module here, and the {} of `{}` relays with it; install the module (in \
         Debian libnginx-mod-stream, in Fedora and Alpine nginx-mod-stream), choose another engine for \
         it with --{}, or leave out placements that relay",
        hop.role,
        placement.name,
        hop.role
    )
}

fn engine(name: EngineName, path: &OsString) -> anyhow::Result<Engine> {
    Ok(match name {
        EngineName::Builtin => Engine::Builtin,
        EngineName::Caddy => Engine::Caddy(program(path, "caddy", "caddy")?),
        EngineName::Haproxy => Engine::Haproxy(program(path, "haproxy", "haproxy")?),
        EngineName::Nginx => {
            let program = program(path, "nginx", "nginx and libnginx-mod-stream")?;
            Engine::Nginx(program, build(path)?)
        }
    })
}

/// Returns the search path of programs; servers lie where only root's `PATH` leads.
fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    // Debian puts nginx and HAProxy into /usr/sbin, which the `PATH` of an ordinary user lacks.
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

fn program(path: &OsString, name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let found = std::env::split_paths(path).map(|folder| folder.join(name)).find(|p| p.is_file());
    found.with_context(|| {
        format!(
            "`{name}` is not on PATH; install it (in Debian {package}), or use --engine builtin"
        )
    })
}

fn build(path: &OsString) -> anyhow::Result<NginxBuild> {
    let known = proxies(path).into_iter().find(|proxy| proxy.name == "nginx");
    let nginx = known.context("nginx is there no more")?;
    let version = nginx.version.context("nginx does not tell its version")?;
    // Distributions append words to the last number (`1.22.1-9+deb12u2`); it decides nothing.
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    let version = (next(), next(), next());
    let stream_module = match nginx.stream {
        Some(NginxStream::Module(file)) => Some(file.to_string_lossy().into_owned()),
        Some(NginxStream::BuiltIn | NginxStream::Missing) | None => None,
    };
    Ok(NginxBuild { version, stream_module })
}
