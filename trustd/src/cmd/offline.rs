//! Manifest files, read into a world that can be planned, as if an API server had accepted them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::Context as _;
use trustd_api::labels;
use trustd_api::manifest::{self, Manifest};
use trustd_api::object::{self, Object};
use trustd_api::validate::{self, Invalid};
use trustd_core::names::{BundleName, Kind, Namespace, ObjectName};
use trustd_core::plan::rings;
use trustd_core::spec::Spec;
use trustd_core::world::{Observed, Settings, World};

use super::show::printable;
use super::warnings::Warnings;
use crate::cli::Offline;
use crate::files::{self, Input};
use crate::settings;

/// The contents of the manifests.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// The world that they describe.
    pub(super) world: World,
    /// The valid Bundles, by name.
    pub(super) specs: BTreeMap<BundleName, Spec>,
    /// The others, with where they were found.
    pub(super) invalid: Vec<(Location, Invalid)>,
    /// Remarks about what was ignored or looks like a mistake.
    pub(super) notes: Vec<String>,
    /// Warnings about the inputs; with `--strict` each of them is exit code 1.
    pub(super) warnings: Warnings,
    /// Properties of each Bundle that may surprise, by name.
    pub(super) surprises: BTreeMap<BundleName, Vec<String>>,
}

/// The location of an object: a file, and a line in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    file: String,
    line: usize,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

impl Location {
    /// An object of the cluster itself.
    pub(super) fn cluster() -> Self {
        Self { file: "the cluster".to_owned(), line: 0 }
    }
}

/// Two manifests of one object.
#[derive(Debug, thiserror::Error)]
#[error("{object} is there twice, at {first} and {second}; keep one of them")]
struct Twice {
    object: String,
    first: Location,
    second: Location,
}

/// The flags that planning heeds, resolved: the default CA package is read here.
///
/// # Errors
/// When the package cannot be read or is not one.
pub(super) fn settings(arguments: &Offline) -> anyhow::Result<Settings> {
    let default_cas = match &arguments.default_package_location {
        None => None,
        Some(path) => {
            let bytes = files::read(&Input::Path(path.clone()))?;
            let package = settings::default_package(path, &bytes)
                .with_context(|| format!("cannot use default CA package `{}`", path.display()))?;
            Some(package)
        }
    };
    Ok(Settings {
        trust_namespace: arguments.trust_namespace.as_str().into(),
        target_namespaces: arguments
            .target_namespaces
            .iter()
            .filter(|namespace| !namespace.is_empty())
            .map(|namespace| Namespace::from(namespace.as_str()))
            .collect(),
        secret_targets: arguments.secret_targets_enabled,
        filters: trustd_core::bundle::Filters {
            expired: arguments.filter_expired_certificates,
            non_ca: arguments.filter_non_ca_certs,
        },
        default_cas,
    })
}

/// Reads manifests. With `against`, targets are looked for in those files, and not in the others.
///
/// # Errors
/// When a file cannot be read or is no manifest, or an object is there twice.
pub(super) fn load(
    filenames: &[Input],
    against: Option<&[Input]>,
    settings: Settings,
    default_namespace: &str,
) -> anyhow::Result<Loaded> {
    let mut objects = Objects::read(filenames, default_namespace)?;
    let observed = match against {
        None => None,
        Some(inputs) => Some(Objects::read(inputs, default_namespace)?),
    };
    let mut loaded = Loaded {
        world: World { settings, ..World::default() },
        notes: std::mem::take(&mut objects.notes),
        warnings: std::mem::take(&mut objects.warnings),
        surprises: std::mem::take(&mut objects.surprises),
        ..Loaded::default()
    };
    for (name, (place, raw)) in &objects.bundles {
        match validate::read(raw) {
            Ok(spec) => {
                loaded.specs.insert(BundleName::from(name.as_str()), spec);
            }
            Err(invalid) => loaded.invalid.push((place.clone(), invalid)),
        }
    }
    loaded.describe(&objects);
    loaded.observe(observed.as_ref().unwrap_or(&objects));
    let specs: Vec<&Spec> = loaded.specs.values().collect();
    loaded.world.rings = rings(&specs, &loaded.world);
    loaded.look_for_mistakes(&objects);
    Ok(loaded)
}

impl Loaded {
    fn describe(&mut self, objects: &Objects) {
        for (_, namespace) in objects.namespaces.values() {
            let (name, state) = object::namespace(namespace);
            self.world.namespaces.insert(name, state);
        }
        let trust = self.world.settings.trust_namespace.clone();
        for ((kind, namespace, name), (_, held)) in &objects.held {
            // As in a cluster, where sources are read in the trust namespace only.
            if namespace.as_str() == trust.as_str() {
                let (_, source) = held.object().source();
                self.world.sources.insert((*kind, ObjectName::from(name.as_str())), source);
            }
        }
    }

    fn observe(&mut self, objects: &Objects) {
        for ((kind, namespace, name), (_, held)) in &objects.held {
            if self.specs.contains_key(name.as_str()) {
                let observed: Observed = held.object().observed();
                let targets = self.world.targets.entry(name.as_str().into()).or_default();
                targets.insert((*kind, namespace.as_str().into()), observed);
            }
        }
    }

    /// Says what commonly goes wrong with files and could not with a cluster.
    fn look_for_mistakes(&mut self, objects: &Objects) {
        if objects.namespaces.is_empty() && !self.specs.is_empty() {
            let note = "there is no Namespace among the files, so no Bundle has a target; add \
                        their manifests, or `kubectl get namespaces -o yaml`";
            self.notes.push(note.to_owned());
        }
        let trust = &self.world.settings.trust_namespace;
        let here = objects.held.keys().any(|(_, namespace, _)| namespace == trust.as_str());
        if !here && !objects.held.is_empty() {
            self.notes.push(format!(
                "no ConfigMap or Secret among the files is in the trust namespace `{trust}`, where \
                 sources are read; set --trust-namespace, or `metadata.namespace` in the manifests"
            ));
        }
    }
}

/// A ConfigMap or Secret.
#[derive(Debug)]
enum Held {
    ConfigMap(Box<k8s_openapi::api::core::v1::ConfigMap>),
    Secret(Box<k8s_openapi::api::core::v1::Secret>),
}

impl Held {
    const fn object(&self) -> Object<'_> {
        match self {
            Self::ConfigMap(object) => Object::ConfigMap(object),
            Self::Secret(object) => Object::Secret(object),
        }
    }
}

/// The objects of some files, each once.
#[derive(Debug, Default)]
struct Objects {
    bundles: BTreeMap<String, (Location, serde_json::Value)>,
    namespaces: BTreeMap<String, (Location, Box<k8s_openapi::api::core::v1::Namespace>)>,
    /// The ConfigMaps and Secrets, by kind, namespace and name.
    held: BTreeMap<(Kind, String, String), (Location, Held)>,
    notes: Vec<String>,
    warnings: Warnings,
    surprises: BTreeMap<BundleName, Vec<String>>,
}

impl Objects {
    fn read(inputs: &[Input], default_namespace: &str) -> anyhow::Result<Self> {
        let mut objects = Self::default();
        for input in files::manifests(inputs)? {
            let bytes = files::read(&input)?;
            let found = manifest::read(&bytes).with_context(|| format!("`{input}`"))?;
            for found in found {
                let place = Location { file: input.to_string(), line: found.line };
                objects.warn(&place, &found);
                objects.add(place, found.manifest, default_namespace)?;
            }
        }
        Ok(objects)
    }

    /// Says which fields an object has that the API server would drop.
    fn warn(&mut self, place: &Location, found: &manifest::Found) {
        let fields = found.unknown.iter().map(|field| printable(&field.to_string()));
        let (kind, name) = match &found.manifest {
            Manifest::Bundle(raw) => {
                let name = raw.pointer("/metadata/name").and_then(serde_json::Value::as_str);
                let name = BundleName::from(name.unwrap_or_default());
                fields.for_each(|field| self.warnings.add(&name, format!("{field} ({place})")));
                self.surprises.entry(name).or_default().extend(validate::empty_selectors(raw));
                return;
            }
            Manifest::ConfigMap(object) => ("ConfigMap", object.metadata.name.as_deref()),
            Manifest::Namespace(object) => ("Namespace", object.metadata.name.as_deref()),
            Manifest::Secret(object) => ("Secret", object.metadata.name.as_deref()),
            Manifest::Ignored { .. } => return,
        };
        let name = name.unwrap_or_default();
        for field in fields {
            self.warnings.add_of_object(format!("{place}: {kind} {name}: {field}"));
        }
    }

    fn add(
        &mut self,
        place: Location,
        manifest: Manifest,
        default_namespace: &str,
    ) -> Result<(), Twice> {
        match manifest {
            Manifest::Bundle(raw) => {
                let name = raw.pointer("/metadata/name").and_then(serde_json::Value::as_str);
                let name = name.unwrap_or_default().to_owned();
                let described = format!("Bundle {name}");
                put(&mut self.bundles, name, described, (place, raw))
            }
            Manifest::ConfigMap(object) => {
                self.hold(place, Held::ConfigMap(object), default_namespace)
            }
            Manifest::Secret(object) => self.hold(place, Held::Secret(object), default_namespace),
            Manifest::Namespace(object) => {
                let name = object.metadata.name.clone().unwrap_or_default();
                let described = format!("Namespace {name}");
                put(&mut self.namespaces, name, described, (place, object))
            }
            Manifest::Ignored { api_version, kind, name, meant: Some(meant) } => {
                self.warnings.add_of_object(format!(
                    "{place}: {kind} {name} ({api_version}) is ignored; did you mean {meant}?"
                ));
                Ok(())
            }
            Manifest::Ignored { api_version, kind, name, meant: None }
                if api_version.split_once('/').is_some_and(|(group, _)| group == labels::GROUP) =>
            {
                self.warnings.add_of_object(format!(
                    "{place}: {kind} {name} ({api_version}) is ignored; trustd reads {} of {}",
                    labels::KIND,
                    labels::API_VERSION
                ));
                Ok(())
            }
            Manifest::Ignored { api_version, kind, name, meant: None } => {
                self.notes.push(format!("{place}: {kind} {name} ({api_version}) is ignored"));
                Ok(())
            }
        }
    }

    fn hold(&mut self, place: Location, held: Held, default_namespace: &str) -> Result<(), Twice> {
        let (kind, metadata) = (held.object().kind(), held.object().metadata());
        let namespace = metadata.namespace.as_deref().filter(|name| !name.is_empty());
        let namespace = namespace.unwrap_or(default_namespace).to_owned();
        let name = metadata.name.clone().unwrap_or_default();
        let described = format!("{kind} {namespace}/{name}");
        put(&mut self.held, (kind, namespace, name), described, (place, held))
    }
}

/// Adds an object, unless there is one of that name.
fn put<K: Ord, T>(
    map: &mut BTreeMap<K, (Location, T)>,
    key: K,
    object: String,
    (place, value): (Location, T),
) -> Result<(), Twice> {
    match map.entry(key) {
        Entry::Vacant(free) => {
            free.insert((place, value));
            Ok(())
        }
        Entry::Occupied(held) => Err(Twice { object, first: held.get().0.clone(), second: place }),
    }
}
