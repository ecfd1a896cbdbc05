//! `tlsbench`: measures what TLS costs at the load balancer, the ingress and the backend.

use std::process::ExitCode;

use tlsbench::cli::Cli;
use tlsbench::cmd;
use tlsbench::exit::Exit;
use tlsbench_core::escape::printable;

fn main() -> ExitCode {
    let settings = Cli::read().settings();
    match cmd::run(&settings, &mut std::io::stdout().lock()) {
        Ok(exit) => exit.or_signal().into(),
        Err(error) => {
            eprintln!("error: {}", printable(&format!("{error:#}")));
            Exit::Failed.or_signal().into()
        }
    }
}
