//! A real Kubernetes control plane for tests: etcd, kube-apiserver and kube-controller-manager on
//! loopback, with accounts, an audit log and the means to break things.
//!
//! It starts programs, talks to them and ends them, and judges nothing: tests do. What a cluster has
//! beyond a control plane is missing: nodes, the kubelet, Services.
//!
//! Modules are in order: a module uses only those above it.

pub mod wait;

pub mod assets;
pub mod audit;
pub mod folder;
pub mod http;
pub mod pki;
pub mod ports;
pub mod process;
pub mod proxy;

pub mod access;
pub mod plane;

mod cluster;
mod controller;
mod turn;

pub use cluster::{Cluster, Options};
pub use controller::Controller;
pub use turn::{LABEL, TRUST_NAMESPACE, Turn};
pub use wait::eventually;
