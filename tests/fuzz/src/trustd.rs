//! Readers of trustd: PEM, certificates, manifests.

use std::fmt::Debug;

use serde::Serialize;
use trustd_api::manifest::{self, Manifest};
use trustd_api::object::Object;
use trustd_api::validate;
use trustd_core::bundle::{Collector, Filters, TrustBundle};
use trustd_core::certificate::{Certificate, Sha256};
use trustd_core::names::Origin;
use trustd_core::pem::{self, Block, Item};
use trustd_core::time::Timestamp;

/// PEM: a bundle reads its own output back equal, and what follows a text changes no block of it.
pub(crate) fn pem(input: &[u8]) {
    if let Some(bundle) = bundle(input) {
        let text = bundle.to_pem();
        let again = bundle_of_sound_text(text.as_bytes());
        assert_eq!(again.to_pem(), text, "a bundle that is read back gives other bytes");
        assert_eq!(digests(&again), digests(&bundle), "a bundle loses certificates on its way");
        assert!(again.dropped().is_empty(), "a bundle drops what it wrote itself");
    }
    let cut = input.first().map_or(0, |first| input.len() * usize::from(*first) / 256);
    let (before, after) = input.split_at(cut);
    let mut whole = before.to_vec();
    whole.push(b'\n');
    let alone = blocks(&whole).len();
    let expected: Vec<_> = blocks(&whole).into_iter().map(|block| block.content).collect();
    whole.extend_from_slice(after);
    let found = blocks(&whole);
    assert!(found.len() >= alone, "what follows a text takes a block away");
    for (block, expected) in found.iter().zip(&expected) {
        assert_eq!(&block.content, expected, "what follows a text changes a block before it");
    }
}

fn digests(bundle: &TrustBundle) -> Vec<Sha256> {
    bundle.members().iter().map(|member| member.certificate.sha256()).collect()
}

fn blocks(text: &[u8]) -> Vec<Block<'_>> {
    let items = pem::read(text).into_iter();
    items
        .filter_map(|item| if let Item::Block(block) = item { Some(block) } else { None })
        .collect()
}

fn collect(text: &[u8]) -> Result<TrustBundle, String> {
    let mut collector = Collector::new(Filters::default(), Timestamp::from_unix(0));
    let refused = |errors: Vec<_>| errors.iter().map(ToString::to_string).collect::<String>();
    collector.add(&Origin::InLine { index: 0 }, text).map_err(refused)?;
    Ok(collector.finish())
}

fn bundle(text: &[u8]) -> Option<TrustBundle> {
    collect(text).ok()
}

fn bundle_of_sound_text(text: &[u8]) -> TrustBundle {
    collect(text).unwrap_or_else(|error| panic!("a bundle refuses its own output: {error}"))
}

/// Certificates: one fills its bytes exactly, so neither a part of it nor more than it is one.
pub(crate) fn certificate(input: &[u8]) {
    let Ok(certificate) = Certificate::from_der(input) else { return };
    assert_eq!(certificate.der(), input);
    let _ = (certificate.facts(), certificate.alias(), certificate.is_ca());
    let mut longer = input.to_vec();
    longer.push(0);
    assert!(Certificate::from_der(&longer).is_err(), "a byte behind a certificate is accepted");
    assert!(Certificate::from_der(&input[..input.len() - 1]).is_err(), "a cut one is accepted");
}

/// Manifests: what is printed of an object is read back equal, and validation takes any Bundle.
pub(crate) fn manifest(input: &[u8]) {
    let Ok(found) = manifest::read(input) else { return };
    for found in found {
        match &found.manifest {
            Manifest::Bundle(bundle) => {
                let _ = validate::read(bundle);
                read_back(bundle, &found.manifest);
            }
            Manifest::ConfigMap(object) => {
                let _ = (Object::ConfigMap(object).source(), Object::ConfigMap(object).observed());
                read_back(object, &found.manifest);
            }
            Manifest::Secret(object) => {
                let _ = (Object::Secret(object).source(), Object::Secret(object).observed());
                read_back(object, &found.manifest);
            }
            Manifest::Namespace(object) => {
                let _ = trustd_api::object::namespace(object);
                read_back(object, &found.manifest);
            }
            Manifest::Ignored { .. } => {}
        }
    }
}

fn read_back(object: &(impl Serialize + Debug), expected: &Manifest) {
    let text = manifest::to_yaml(object).expect("an object can be printed as YAML");
    let again = manifest::read(text.as_bytes())
        .unwrap_or_else(|error| panic!("its own YAML is refused: {error}\n{text}"));
    let again: Vec<_> = again.into_iter().map(|found| found.manifest).collect();
    assert_eq!(again, std::slice::from_ref(expected), "read back otherwise:\n{text}");
}
