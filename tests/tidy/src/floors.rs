//! Floors: a product crate depends only on lower floors of its own program.
//!
//! The arguments and the printing of errors (clap, anyhow) belong to the top floor.

use crate::finding::Finding;
use crate::manifest::packages;
use crate::tree::Tree;

/// A product crate and where it stands.
struct Place {
    package: &'static str,
    program: &'static str,
    floor: u8,
}

const PLACES: [Place; 6] = [
    Place { package: "trustd", program: "trustd", floor: TOP },
    Place { package: "trustd-api", program: "trustd", floor: 1 },
    Place { package: "trustd-core", program: "trustd", floor: 0 },
    Place { package: "tlsbench", program: "tlsbench", floor: TOP },
    Place { package: "tlsbench-engine", program: "tlsbench", floor: 1 },
    Place { package: "tlsbench-core", program: "tlsbench", floor: 0 },
];

const TOP: u8 = 2;

/// Crates that only the top floor may know.
const TOP_ONLY: [&str; 2] = ["anyhow", "clap"];

/// Finds dependencies, of whatever kind, that go up, sideways or to the other program.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    let (packages, mut findings) = packages(tree);
    for package in &packages {
        let Some(own) = place_of(&package.name) else {
            if ["trustd", "tlsbench"].iter().any(|program| {
                package.folder() == *program || package.folder().starts_with(&format!("{program}/"))
            }) {
                let what = format!("package `{}` stands on no floor", package.name);
                let remedy = "give it one in tests/tidy/src/floors.rs and docs/architecture.md";
                findings.push(Finding::new(&package.manifest, 1, what, remedy));
            }
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.package.as_str();
            let fault = match place_of(name) {
                Some(other) if other.program != own.program => Some((
                    format!("`{}` depends on `{name}`, the other program", package.name),
                    "let the programs meet through files",
                )),
                Some(other) if other.floor >= own.floor => Some((
                    format!(
                        "`{}` (floor {}) depends on `{name}` (floor {})",
                        package.name, own.floor, other.floor
                    ),
                    "move what both need to a lower floor",
                )),
                None if TOP_ONLY.contains(&name) && own.floor < TOP => Some((
                    format!("`{}` (floor {}) depends on `{name}`", package.name, own.floor),
                    "keep arguments and the printing of errors on the top floor",
                )),
                _ => None,
            };
            findings.extend(fault.map(|(what, remedy)| {
                Finding::new(&package.manifest, dependency.line, what, remedy)
            }));
        }
    }
    findings
}

fn place_of(package: &str) -> Option<&'static Place> {
    PLACES.iter().find(|place| place.package == package)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(package: &str, dependencies: &str) -> Vec<String> {
        let manifest = format!("[package]\nname = \"{package}\"\n{dependencies}\n");
        let tree = Tree::of([("x/Cargo.toml", manifest.as_str())]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dependencies_go_down_only() {
        for (package, dependency) in [
            ("trustd-core", "trustd-api"),
            ("trustd-core", "trustd"),
            ("trustd-api", "trustd"),
            ("tlsbench-core", "tlsbench-engine"),
            ("trustd", "tlsbench-core"),
            ("tlsbench", "trustd-core"),
            ("trustd-core", "clap"),
            ("tlsbench-engine", "anyhow"),
        ] {
            for kind in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
                let found = faults(package, &format!("[{kind}]\n{dependency} = \"1\""));
                assert_eq!(found.len(), 1, "{package} -> {dependency} as {kind}");
                assert!(found[0].starts_with("x/Cargo.toml:4: "), "{found:?}");
            }
        }
        for (package, dependency) in [
            ("trustd", "trustd-core"),
            ("trustd", "clap"),
            ("trustd-api", "trustd-core"),
            ("tlsbench-engine", "tlsbench-core"),
            ("trustd-core", "serde"),
            ("tidy", "trustd"),
        ] {
            let found = faults(package, &format!("[dependencies]\n{dependency} = \"1\""));
            assert!(found.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn a_rename_does_not_hide_a_dependency() {
        let found = faults(
            "trustd-core",
            "[dependencies]\nquiet = { package = \"clap\", version = \"4\" }",
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn a_new_package_below_a_program_needs_a_floor() {
        let check = |path, name| {
            let manifest = format!("[package]\nname = \"{name}\"\n");
            check(&Tree::of([(path, manifest.as_str())])).len()
        };
        assert_eq!(check("trustd/extra/Cargo.toml", "trustd-extra"), 1);
        assert_eq!(check("tests/extra/Cargo.toml", "extra"), 0);
    }
}
