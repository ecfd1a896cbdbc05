//! The flags of `tlsbench run` for placements on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use tlsbench_core::hop::POOL_MAX;
use tlsbench_core::lab::{EngineName, Pass, Workload};
use tlsbench_core::placement::Role;
use tlsbench_core::scenario::KeyKind;

use crate::settings;

#[derive(Args, Clone, Debug)]
pub(super) struct PlacementArgs {
    /// Placements to measure, with their baselines: known ones, and those of the scenario file
    /// [default: all eight; --show draws them].
    #[arg(long = "placement", value_name = "NAME,…", value_delimiter = ',')]
    placements: Vec<String>,

    /// Workloads: `full` handshakes, `keep-alive` requests, `resumed` handshakes, `short`
    /// connections, `bulk-16k`, `bulk-64k` and `bulk-1m` responses, `mix` [default: the first
    /// three].
    #[arg(long = "workload", value_name = "NAME,…", value_delimiter = ',')]
    workloads: Vec<Workload>,

    /// The passes: `cpu` time under the workloads, `latency` at a rate [default: both].
    #[arg(long = "pass", value_name = "NAME,…", value_delimiter = ',')]
    passes: Vec<Pass>,

    /// 20 rounds of 2 s, all workloads, a mix that checks the cost model, and the memory of idle
    /// connections: little more than an hour.
    #[arg(long)]
    thorough: bool,

    /// Hold so many idle connections, and see what memory each hop has for them [default: 0; 500
    /// with --thorough].
    #[arg(long, value_name = "NUMBER")]
    idle: Option<u32>,

    /// Idle upstream connections that an HTTP hop keeps; 0 makes one for each request [default:
    /// 64].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(..=i64::from(POOL_MAX)))]
    upstream_pool: Option<u32>,

    /// The engine of every hop: `builtin`, `nginx`, `haproxy` or, where none is a relay, `caddy`
    /// [default: builtin].
    #[arg(long, value_name = "NAME")]
    engine: Option<EngineName>,

    /// The engine of the load balancer.
    #[arg(long, value_name = "NAME")]
    lb: Option<EngineName>,

    /// The engine of the ingress, and of the backend where --engine does not say.
    #[arg(long, value_name = "NAME")]
    ingress: Option<EngineName>,

    /// Give each hop a network namespace of its own, joined to its neighbours by veth, so that each
    /// pays for the packets that it receives; takes root.
    #[arg(long)]
    netns: bool,

    /// The kind of every key: `ecdsa-p256`, `ecdsa-p384`, `ed25519`, `rsa2048` or `rsa3072`
    /// [default: ecdsa-p256].
    #[arg(long, value_name = "KIND")]
    key: Option<KeyKind>,

    /// Use the certificates of a directory that `tlsbench pki` made.
    #[arg(long, value_name = "DIR")]
    pki: Option<PathBuf>,

    /// Draw the placements and measure nothing.
    #[arg(long)]
    show: bool,
}

impl PlacementArgs {
    pub(super) fn settings(&self) -> settings::LabSettings {
        settings::LabSettings {
            placements: self.placements.clone(),
            workloads: self.workloads.clone(),
            passes: self.passes.clone(),
            thorough: self.thorough,
            idle: self.idle,
            pool: self.upstream_pool,
            netns: self.netns,
            key: self.key,
            engines: engines(self.engine, self.lb, self.ingress),
            pki: self.pki.clone(),
            show: self.show,
        }
    }
}

/// Returns the engine of each role's hop, where flags name one.
pub(in crate::cli) fn engines(
    all: Option<EngineName>,
    lb: Option<EngineName>,
    ingress: Option<EngineName>,
) -> BTreeMap<Role, EngineName> {
    let engines = [
        (Role::Lb, lb.or(all)),
        (Role::Ingress, ingress.or(all)),
        (Role::Sidecar, all),
        (Role::Backend, all.or(ingress)),
    ];
    engines.into_iter().filter_map(|(role, name)| Some((role, name?))).collect()
}
