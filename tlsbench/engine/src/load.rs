//! Load of one shard: when connections and requests begin, in closed and open loops.
//!
//! [`LoadLoop`] decides; what connections are and what time it is, is behind [`shard_io::Io`], so
//! that tests run it in a world with a clock of its own.

mod shard_plan;
mod operation;
mod shard_context;
mod shard_io;
mod rounds;
mod round_timer;
mod monitor;
mod closed_loop;
mod open_loop;
mod schedule;
mod slots;
mod closing;
mod sockets;
mod load_loop;

pub(crate) use load_loop::LoadLoop;
pub(crate) use monitor::Monitor;
pub(crate) use shard_context::{LoadCounts, ShardContext};
pub(crate) use shard_plan::{AddressBook, ShardPlan, Work};
pub(crate) use sockets::Sockets;

#[cfg(test)]
pub(crate) use shard_io::{ConnectionId, Io, Wake};

#[cfg(test)]
mod tests;
