//! The instruments of tlsbench: clocks, probes of the machine, the load generator and the built-in
//! hops.
//!
//! Linux only: facts come from `/proc` and `/sys`, pacing from timerfd.

#[cfg(not(target_os = "linux"))]
compile_error!("tlsbench measures through /proc, /sys and timerfd, so it runs on Linux only");

pub mod clock;
pub mod affinity;
pub mod netns;
mod shard;
pub mod tls;
mod http1;
mod http2;
pub mod wire;
mod session;
mod load;
pub mod hop;
pub mod probe;
pub mod process;
pub mod topology;
pub mod calibrate;
pub mod testserver;
pub mod run;
pub mod trial;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
