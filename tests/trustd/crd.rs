//! `trustd crd` beside the file that is shipped.

use crate::program::{repository, trustd};

#[test]
fn the_shipped_crd_is_the_one_that_is_printed() {
    let ran = trustd(["crd"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let shipped = std::fs::read_to_string(repository("deploy/crds/bundles.yaml")).unwrap();
    assert!(
        ran.out == shipped,
        "regenerate it: cargo run -p trustd -- crd > deploy/crds/bundles.yaml"
    );
}
