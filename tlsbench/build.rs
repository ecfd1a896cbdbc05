//! Tells the program which versions of the TLS library and its providers it is built with.

use std::path::Path;
use std::{env, fs};

fn main() {
    let lock =
        Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    // Without the lock file, as in a packaged crate, the versions stay unknown.
    let text = fs::read_to_string(lock).unwrap_or_default();
    for name in ["rustls", "ring", "aws-lc-rs"] {
        let versions = text.split("[[package]]").filter_map(|package| {
            let field = |key: &str| {
                let line = package.lines().find_map(|line| line.strip_prefix(key))?;
                Some(line.trim().trim_matches('"'))
            };
            (field("name = ")? == name).then(|| field("version = ")).flatten()
        });
        let versions: Vec<&str> = versions.collect();
        let variable = name.to_uppercase().replace('-', "_");
        println!("cargo::rustc-env=TLSBENCH_{variable}={}", versions.join(" "));
    }
}
