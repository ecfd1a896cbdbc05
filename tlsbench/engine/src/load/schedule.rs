//! The two ways to decide when operations begin.

use super::closed_loop::ClosedLoop;
use super::open_loop::OpenLoop;
use super::shard_plan::ShardPlan;

/// A loop of either kind.
#[derive(Debug)]
pub(super) enum Schedule {
    Closed(ClosedLoop),
    Open(OpenLoop),
}

impl Schedule {
    pub(super) fn of(plan: &ShardPlan) -> Self {
        OpenLoop::of(plan).map_or_else(|| Self::Closed(ClosedLoop::new()), Self::Open)
    }

    pub(super) const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    pub(super) const fn closed_mut(&mut self) -> Option<&mut ClosedLoop> {
        match self {
            Self::Closed(closed) => Some(closed),
            Self::Open(_) => None,
        }
    }

    pub(super) const fn open(&self) -> Option<&OpenLoop> {
        match self {
            Self::Closed(_) => None,
            Self::Open(open) => Some(open),
        }
    }

    pub(super) const fn open_mut(&mut self) -> Option<&mut OpenLoop> {
        match self {
            Self::Closed(_) => None,
            Self::Open(open) => Some(open),
        }
    }
}
