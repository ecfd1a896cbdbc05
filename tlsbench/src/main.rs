//! `tlsbench`: measures what TLS costs at the load balancer, the ingress and the backend.

use std::process::ExitCode;

use clap::Parser;
use tlsbench::cli::Cli;
use tlsbench::cmd;
use tlsbench::exit::Exit;

fn main() -> ExitCode {
    let settings = Cli::parse().settings();
    match cmd::run(&settings, &mut std::io::stdout().lock()) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::Failed.into()
        }
    }
}
