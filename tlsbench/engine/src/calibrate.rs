//! CPU time that this machine needs for single operations of cryptography and of the kernel.
//!
//! Everything runs on the calling thread and is timed by that thread's CPU clock. Nothing is judged
//! here: what comes back is the rounds.

mod primitive;
mod bulk;
mod handshake;
mod kernel;

use tlsbench_core::scenario::Provider;
use tlsbench_core::units::Nanos;

use crate::clock::Clock;

pub use primitive::{CalibrateError, Primitive};

/// The measurement of one primitive.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The name of the operation.
    pub name: &'static str,
    /// The provider; `None` for operations of the kernel.
    pub provider: Option<Provider>,
    /// The number of bytes each operation handles, where that is what it is about.
    pub bytes: Option<u32>,
    /// Operations in each round.
    pub operations: u64,
    /// CPU time for one operation in nanoseconds, round by round.
    pub rounds: Vec<f64>,
}

/// All primitives of this build, those of cryptography once for each provider.
///
/// # Errors
/// When keys, sockets or pipes cannot be had.
pub fn primitives() -> Result<Vec<Primitive>, CalibrateError> {
    let keys = handshake::Keys::make()?;
    let mut all = Vec::new();
    for provider in PROVIDERS {
        all.extend(handshake::primitives(*provider, &keys)?);
        all.extend(bulk::primitives(*provider)?);
    }
    all.extend(kernel::primitives()?);
    Ok(all)
}

/// Measures primitives in rounds, one batch of each in every round, and tells after each round how
/// many of how many are done. On a machine that is busy with other things it ends with fewer.
///
/// # Errors
/// When an operation fails.
pub fn measure(
    primitives: Vec<Primitive>,
    mut done: impl FnMut(u32, u32),
) -> Result<Vec<Measured>, CalibrateError> {
    let begin = Clock::Monotonic.now();
    let mut measured = Vec::with_capacity(primitives.len());
    for mut primitive in primitives {
        let of = Measured {
            name: primitive.name,
            provider: primitive.provider,
            bytes: primitive.bytes,
            operations: primitive.batch()?,
            rounds: Vec::new(),
        };
        measured.push((primitive, of));
    }
    // One batch of each primitive in every round, and not all rounds of one: a change of frequency
    // then hits all alike.
    for round in 0..ROUNDS {
        if round >= ROUNDS_MIN && Clock::Monotonic.now() - begin > TIME_MAX {
            break;
        }
        for (primitive, of) in &mut measured {
            let took = primitive.timed(of.operations)?;
            of.rounds.push(took.0 as f64 / of.operations as f64);
        }
        done(round + 1, ROUNDS);
    }
    Ok(measured.into_iter().map(|(_, of)| of).collect())
}

/// The providers of this build.
const PROVIDERS: &[Provider] =
    if cfg!(feature = "aws-lc") { &[Provider::Ring, Provider::AwsLcRs] } else { &[Provider::Ring] };

/// An odd number, so that the median is a round: 31 primitives × 15 × 10 ms = 4.7 s of CPU time.
const ROUNDS: u32 = 15;
/// Fewer than six rounds have no interval of 95 % around their median.
const ROUNDS_MIN: u32 = 7;
/// No further round begins then; one takes 0.3 s of CPU time, and this leaves 2 s for it.
const TIME_MAX: Nanos = Nanos::from_millis(8_000);

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn every_primitive_of_every_provider_works() {
        let mut names = BTreeSet::new();
        for mut primitive in primitives().unwrap() {
            primitive.repeat(3).unwrap();
            let Primitive { name, provider, bytes, .. } = primitive;
            assert!(names.insert((name, provider, bytes)), "{name} is there twice");
        }
        for name in ["ecdsa-p256-sign", "ecdsa-p256-verify", "x25519", "p256", "sha-256"] {
            for provider in PROVIDERS {
                assert!(names.iter().any(|n| n.0 == name && n.1 == Some(*provider)), "{name}");
            }
        }
        let of_hybrid = names.iter().filter(|n| n.0.starts_with("x25519mlkem768")).count();
        assert_eq!(of_hybrid, if cfg!(feature = "aws-lc") { 2 } else { 0 });
        assert_eq!(names.iter().filter(|n| n.1.is_none()).count(), 3);
    }

    #[test]
    fn the_documentation_names_every_primitive() {
        let page = include_str!("../../../docs/calibration.md");
        for Primitive { name, .. } in primitives().unwrap() {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn each_round_has_one_batch_of_all_and_a_batch_keeps_to_its_most() {
        let calls = Rc::new(Cell::new(0));
        let seen = Rc::clone(&calls);
        let once = move || {
            seen.set(seen.get() + 1);
            Ok(())
        };
        let few = Primitive::new("few", None, once).with_most(4);
        let mut told = Vec::new();
        let measured = measure(vec![few], |done, all| told.push((done, all))).unwrap();
        let Measured { operations, rounds, .. } = &measured[0];
        assert!((1..=4).contains(operations), "{operations}");
        // Sizing does 1, then 2, then 4, unless the machine is so slow that fewer are enough.
        let sizing = calls.get() - operations * u64::from(ROUNDS);
        assert!([1, 3, 7].contains(&sizing), "{sizing}");
        assert_eq!(rounds.len(), ROUNDS as usize);
        assert_eq!(told.last(), Some(&(ROUNDS, ROUNDS)));
    }

    #[test]
    fn an_operation_that_fails_is_named() {
        let failing = Primitive::new("odd", None, || Err("broken".into()));
        let error = measure(vec![failing], |_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "`odd` failed");
    }
}
