//! `trustd`: distributes CA bundles to Kubernetes namespaces.

use std::process::ExitCode;

use clap::Parser as _;
use trustd::{cli, cmd, exit};

fn main() -> ExitCode {
    // Chosen by name: in a workspace build rustls may be compiled with two providers, and then
    // refuses to pick one. The error means that one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let arguments = cli::Cli::parse();
    let ended = match cmd::run(&arguments, &cmd::Env::of_process()) {
        Ok(ended) => ended,
        Err(error) => {
            exit::complain(error.as_ref());
            exit::Exit::Failed
        }
    };
    ended.into()
}
