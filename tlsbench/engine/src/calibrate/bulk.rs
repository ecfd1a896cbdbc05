//! Primitives of bulk data: sealing and hashing, asked of the libraries themselves, since rustls
//! shows neither without a connection.

use tlsbench_core::scenario::Provider;

use super::primitive::{BoxError, CalibrateError, Primitive};

pub(super) fn primitives(provider: Provider) -> Result<Vec<Primitive>, CalibrateError> {
    let made = match provider {
        Provider::Ring => of_ring::primitives(),
        #[cfg(feature = "aws-lc")]
        Provider::AwsLcRs => of_aws_lc::primitives(),
        #[cfg(not(feature = "aws-lc"))]
        Provider::AwsLcRs => Ok(Vec::new()),
    };
    made.map_err(|source| CalibrateError::Provider { provider, source })
}

/// The two libraries have one interface, under two names.
macro_rules! primitives_of {
    ($module:ident, $library:ident, $provider:expr) => {
        mod $module {
            use $library::aead::{
                AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey,
                NONCE_LEN, Nonce, UnboundKey,
            };
            use $library::digest::{SHA256, digest};

            use super::{BoxError, LARGE, Primitive, SMALL};

            pub(super) fn primitives() -> Result<Vec<Primitive>, BoxError> {
                let mut all = Vec::new();
                for bytes in [SMALL, LARGE] {
                    all.push(seal("aes-128-gcm-seal", &AES_128_GCM, bytes)?);
                    all.push(seal("aes-256-gcm-seal", &AES_256_GCM, bytes)?);
                    all.push(seal("chacha20-poly1305-seal", &CHACHA20_POLY1305, bytes)?);
                }
                all.push(hash());
                Ok(all)
            }

            fn seal(
                name: &'static str,
                algorithm: &'static Algorithm,
                bytes: u32,
            ) -> Result<Primitive, BoxError> {
                let key = vec![7; algorithm.key_len()];
                let key = UnboundKey::new(algorithm, &key).map_err(|_| "a key was refused")?;
                let key = LessSafeKey::new(key);
                let mut record = vec![7; bytes as usize];
                let seal = Primitive::new(name, $provider, move || {
                    // What is sealed is thrown away, so the nonce need not differ.
                    let nonce = Nonce::assume_unique_for_key([7; NONCE_LEN]);
                    // The header of a record: type, version and length.
                    let header = Aad::from([23, 3, 3, 64, 17]);
                    let tag = key.seal_in_place_separate_tag(nonce, header, &mut record);
                    let _ = std::hint::black_box(tag.map_err(|_| "sealing was refused")?);
                    Ok(())
                });
                Ok(seal.with_bytes(bytes))
            }

            fn hash() -> Primitive {
                let data = vec![7; LARGE as usize];
                let hash = Primitive::new("sha-256", $provider, move || {
                    std::hint::black_box(digest(&SHA256, &data));
                    Ok(())
                });
                hash.with_bytes(LARGE)
            }
        }
    };
}

primitives_of!(of_ring, ring, tlsbench_core::scenario::Provider::Ring);
#[cfg(feature = "aws-lc")]
primitives_of!(of_aws_lc, aws_lc_rs, tlsbench_core::scenario::Provider::AwsLcRs);

/// Bytes of a small response.
const SMALL: u32 = 1 << 10;
/// The longest plaintext of a TLS record: 2^14 bytes (RFC 8446, section 5.1).
const LARGE: u32 = 1 << 14;
