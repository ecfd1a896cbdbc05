//! Costs of one machine on another, scaled by the primitives that each term depends on.
//!
//! An approximation: a handshake is more than its signature, and the rest of it is scaled with it.

use std::collections::BTreeMap;

use crate::calibration::{Calibration, Primitive};
use crate::cost::{Term, TermCounts};
use crate::lab::Lab;
use crate::record::Environment;
use crate::scenario::{Group, KeyKind, Suite};

/// Ratios of the time that each term takes on the machine that is priced to the one measured.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineScale(BTreeMap<Term, f64>);

/// Costs that cannot be scaled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// A build without optimisation made it.
    #[error(
        "the calibration of the machine {of} is of a debug build; make it with a release build"
    )]
    DebugBuild {
        /// The machine: `measured` or `priced`.
        of: &'static str,
    },
    /// The calibration is of another machine than the record.
    #[error(
        "the record is of `{record}` and the calibration of `{calibration}`; calibrate the machine \
         that was measured"
    )]
    OtherMachine {
        /// The record's CPU.
        record: String,
        /// The calibration's.
        calibration: String,
    },
    /// A primitive is missing.
    #[error(
        "the calibration of the machine {of} has no `{primitive}`; calibrate with the same build"
    )]
    Missing {
        /// The machine: `measured` or `priced`.
        of: &'static str,
        /// The primitive.
        primitive: String,
    },
    /// A primitive was not steady.
    #[error(
        "`{primitive}` of the machine {of} is not steady; calibrate again where nothing else runs"
    )]
    NotSteady {
        /// The machine: `measured` or `priced`.
        of: &'static str,
        /// The primitive.
        primitive: String,
    },
}

impl MachineScale {
    /// The machine that was measured is the one that is priced.
    #[must_use]
    pub fn same() -> Self {
        Self(BTreeMap::new())
    }

    /// Computes the scale from the machine that was measured to the one that is priced.
    ///
    /// # Errors
    /// When a calibration is not of the record's machine, or lacks what is needed.
    pub fn between(
        measured: &Calibration,
        priced: &Calibration,
        lab: &Lab,
        machine: &Environment,
    ) -> Result<Self, ScaleError> {
        let of_machine = |of: &Environment| format!("{}, {}", of.cpu_model, of.architecture);
        let (record, calibration) = (of_machine(machine), of_machine(&measured.machine));
        // Ratios between two other machines would scale costs that were never measured there.
        if record != calibration {
            return Err(ScaleError::OtherMachine { record, calibration });
        }
        for (of, calibration) in [("measured", measured), ("priced", priced)] {
            // Without optimisation, our own primitives are slow and assembly is not.
            if calibration.program.contains("debug build") {
                return Err(ScaleError::DebugBuild { of });
            }
        }
        let provider = lab.provider.as_str();
        let ratio = |parts: &[ScaledPart]| -> Result<f64, ScaleError> {
            let sum = |of, calibration: &Calibration| -> Result<f64, ScaleError> {
                parts.iter().map(|part| part.nanos(of, calibration, provider)).sum()
            };
            Ok(sum("priced", priced)? / sum("measured", measured)?)
        };
        let (sign, verify) = signature(lab.key);
        let exchange = exchange(lab.groups.first().copied());
        let record_of = |bytes| ScaledPart { name: sealing(lab.suites.first().copied()), bytes };
        let (sign, verify) = (ScaledPart::of(sign), ScaledPart::of(verify));
        let exchange = ScaledPart::of(exchange);
        let mut factors = BTreeMap::new();
        let mut set = |terms: &[Term], factor: f64| {
            factors.extend(terms.iter().map(|term| (*term, factor)));
        };
        // Signing is what a server does in a full handshake, and what a client with a certificate
        // does.
        set(&[Term::Full, Term::DialMutual], ratio(&[sign, exchange])?);
        // Verifying is the other side's part.
        set(&[Term::Mutual, Term::DialFull], ratio(&[verify, exchange])?);
        // A resumed handshake has no signature; the key exchange remains (psk_dhe_ke, RFC 8446,
        // 4.2.9).
        set(&[Term::Resumed, Term::DialResumed], ratio(&[exchange])?);
        // A request is a short record; bulk goes in records of 16 KiB, the most that TLS allows.
        set(&[Term::TlsRequest], ratio(&[record_of(Some(1 << 10))])?);
        set(&[Term::TlsGbit], ratio(&[record_of(Some(16 << 10))])?);
        set(
            &[Term::Connection, Term::Kept, Term::Dial],
            ratio(&[ScaledPart::of("tcp-connection")])?,
        );
        set(
            &[
                Term::Request,
                Term::Gbit,
                Term::Long,
                Term::Bulk,
                Term::Wake,
                Term::IdleWake,
                Term::RelayWake,
                Term::Rest,
            ],
            ratio(&[ScaledPart::of("pipe")])?,
        );
        Ok(Self(factors))
    }

    /// Counts of things on the machine that was measured which take as long as these on the one
    /// that is priced. What a relay does in a handshake that it passes on is bytes, not
    /// cryptography.
    #[must_use]
    pub fn apply(&self, counts: &TermCounts, is_relay: bool) -> TermCounts {
        let factor = |term: &Term| {
            let like = match term {
                // A relay takes no part in the handshake: it copies bytes, as for a request.
                Term::Full | Term::Resumed if is_relay => &Term::Request,
                term => term,
            };
            self.0.get(like).copied().unwrap_or(1.0)
        };
        counts.iter().map(|(term, count)| (*term, count * factor(term))).collect()
    }
}

/// A primitive with its number of bytes.
#[derive(Clone, Copy)]
struct ScaledPart {
    name: &'static str,
    bytes: Option<u64>,
}

impl ScaledPart {
    const fn of(name: &'static str) -> Self {
        Self { name, bytes: None }
    }

    fn nanos(
        self,
        of: &'static str,
        calibration: &Calibration,
        provider: &str,
    ) -> Result<f64, ScaleError> {
        let is_it = |primitive: &&Primitive| {
            primitive.name == self.name
                && (self.bytes.is_none() || primitive.bytes == self.bytes)
                && primitive.provider.as_deref().is_none_or(|by| by == provider)
        };
        let primitive = self.name.to_owned();
        match calibration.primitives.iter().find(is_it) {
            None => Err(ScaleError::Missing { of, primitive }),
            Some(found) if !found.steady => Err(ScaleError::NotSteady { of, primitive }),
            Some(found) => Ok(found.ns.value),
        }
    }
}

const fn signature(key: KeyKind) -> (&'static str, &'static str) {
    match key {
        KeyKind::EcdsaP256 => ("ecdsa-p256-sign", "ecdsa-p256-verify"),
        KeyKind::EcdsaP384 => ("ecdsa-p384-sign", "ecdsa-p384-verify"),
        KeyKind::Ed25519 => ("ed25519-sign", "ed25519-verify"),
        KeyKind::Rsa2048 => ("rsa2048-sign", "rsa2048-verify"),
        KeyKind::Rsa3072 => ("rsa3072-sign", "rsa3072-verify"),
    }
}

const fn exchange(group: Option<Group>) -> &'static str {
    match group {
        None | Some(Group::X25519) => "x25519",
        Some(Group::P256) => "p256",
        Some(Group::P384) => "p384",
        Some(Group::X25519MlKem768) => "x25519mlkem768-server",
    }
}

const fn sealing(suite: Option<Suite>) -> &'static str {
    match suite {
        None | Some(Suite::Aes128Gcm) => "aes-128-gcm-seal",
        Some(Suite::Aes256Gcm) => "aes-256-gcm-seal",
        Some(Suite::ChaCha20) => "chacha20-poly1305-seal",
    }
}
