//! CPU time that was used.

use serde::{Deserialize, Serialize};

use crate::units::Nanos;

/// CPU time of a process, exited threads included. In nanoseconds where written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// All of it, by the process's CPU clock.
    #[serde(rename = "total_ns")]
    pub total: Nanos,
    /// In its own code, in the kernel's ticks of usually 10 ms.
    #[serde(rename = "user_ns")]
    pub user: Nanos,
    /// In the kernel, in the same ticks.
    #[serde(rename = "system_ns")]
    pub system: Nanos,
}

impl std::ops::Add for Cpu {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            total: self.total + more.total,
            user: self.user + more.user,
            system: self.system + more.system,
        }
    }
}

impl std::ops::Sub for Cpu {
    type Output = Self;

    /// What was used between two readings.
    fn sub(self, earlier: Self) -> Self {
        Self {
            total: self.total - earlier.total,
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_lies_between_two_readings() {
        let reading = |n| Cpu { total: Nanos(3 * n), user: Nanos(2 * n), system: Nanos(n) };
        assert_eq!(reading(5) - reading(3), reading(2));
        assert_eq!(reading(5) + reading(3), reading(8));
    }
}
