//! The loopback ceiling: how many plain requests this machine serves and sends at once.

use tlsbench_core::scenario::Draft;
use tlsbench_core::units::Nanos;
use tlsbench_engine::run::{self, Inputs, Progress, Stop};
use tlsbench_engine::testserver::{TestServer, TestServerConfig};

/// Requests per second of the generator against a server of this process, for half a second.
/// Nothing where that cannot be run, or nothing succeeds.
pub(super) fn requests_per_second() -> Option<f64> {
    let server = TestServer::start(TestServerConfig::plain(BODY_BYTES)).ok()?;
    let scenario = format!("{SCENARIO}url = 'http://{}/'\n", server.address());
    let scenario = Draft::from_toml(&scenario).ok()?.finish().ok()?;
    let inputs = Inputs::gather(&scenario).ok()?;
    let (mut succeeded, mut wall) = (0_u64, Nanos::default());
    let told = |progress| {
        if let Progress::Slice(slice) = progress {
            succeeded = succeeded.saturating_add(slice.tally.succeeded);
            wall = wall + slice.lap.wall;
        }
    };
    run::run(&scenario, &inputs, &Stop::new(), told).ok()?;
    (succeeded > 0 && wall > Nanos(0)).then(|| succeeded as f64 / wall.as_secs_f64())
}

/// A small response: the ceiling is of requests, not of bytes.
const BODY_BYTES: usize = 100;
/// Eight connections keep both sides busy; 0.1 s of warm-up and 4 × 0.1 s are half a second.
const SCENARIO: &str = "\
load = { loop = 'closed', connections = 8, keep = true }
timing = { round = '100ms', rounds = 4, warm_up = '100ms' }
[[target]]
name = 'loopback'
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_requests_are_served_on_any_machine() {
        assert!(requests_per_second().unwrap() > 0.0);
    }
}
