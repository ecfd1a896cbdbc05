//! `trustd render`: the targets of Bundles in manifest files, without a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use trustd_api::manifest;
use trustd_api::object::{self, Applied};
use trustd_core::names::{Kind, Namespace};
use trustd_core::plan::{Ownership, Prepared, Write};
use trustd_core::time::Timestamp;

use super::offline::Loaded;
use super::preview::{self, BundleJson, Preview};
use super::show::count;
use super::{Answer, Env, offline};
use crate::cli::{Render, RenderOutput};
use crate::exit::{self, Reader};
use crate::files::{self, FileWatch, Input, WatchTiming, Wrote};

/// Renders once, or again and again until the process is stopped.
pub(super) fn run(arguments: &Render, env: &Env) -> anyhow::Result<Answer> {
    let inputs: Vec<Input> =
        arguments.offline.filenames.iter().map(|path| Input::from(path.as_path())).collect();
    if arguments.watch {
        if inputs.contains(&Input::Stdin) {
            bail!("--watch needs files; stdin can be read only once");
        }
        return watch(arguments, &inputs, env);
    }
    let mut written = Written::new();
    once(arguments, &inputs, env, &mut written)
}

fn watch(arguments: &Render, inputs: &[Input], env: &Env) -> anyhow::Result<Answer> {
    let mut watched = inputs.to_vec();
    watched.extend(arguments.offline.default_package_location.iter().cloned().map(Input::Path));
    let mut watch = FileWatch::new(&watched, WatchTiming::default())?;
    let mut written = Written::new();
    loop {
        let now = Env::of_process().now;
        match once(arguments, inputs, &Env { now, ..*env }, &mut written) {
            Ok(answer) => {
                let reader = exit::print(&answer.text).context("cannot write to stdout")?;
                if reader == Reader::Gone {
                    return Ok(Answer { text: String::new(), exit: answer.exit });
                }
            }
            // A file that is being edited may be broken for a while; what was rendered stays.
            Err(error) => exit::complain(error.as_ref()),
        }
        while watch.wait(WAIT).is_empty() {}
    }
}

fn once(
    arguments: &Render,
    inputs: &[Input],
    env: &Env,
    written: &mut Written,
) -> anyhow::Result<Answer> {
    let settings = offline::settings(&arguments.offline)?;
    let loaded = offline::load(inputs, None, settings, &arguments.offline.namespace)?;
    let previews = preview::of(&loaded, env.now);
    let exit = preview::tell(&loaded, &previews, arguments.offline.strict);
    let targets: Vec<RenderedTarget> = previews.iter().flat_map(targets).collect();
    let text = match &arguments.out {
        Some(folder) => {
            let retained = RetainedTargets::of(&loaded, &previews, env.now);
            let files = write(folder, &targets, &retained, written)?;
            summary(arguments.output, &previews, &files)?
        }
        None => print(arguments.output, &targets)?,
    };
    if loaded.specs.is_empty() && loaded.invalid.is_empty() {
        bail!("there is no Bundle among the files");
    }
    Ok(Answer { text, exit })
}

/// The files that this process has written, and the namespace and Bundle that each is for.
type Written = BTreeMap<PathBuf, (String, String)>;

/// Targets whose files stay as they are, as in a cluster the targets would: their Bundle has no
/// content at present, is paused or invalid, or they themselves are refused.
#[derive(Default)]
struct RetainedTargets {
    bundles: BTreeSet<String>,
    /// The namespace and the Bundle of each target.
    targets: BTreeSet<(String, String)>,
}

impl RetainedTargets {
    fn of(loaded: &Loaded, previews: &[Preview<'_>], now: Timestamp) -> Self {
        let mut retained = Self::default();
        retained.bundles.extend(loaded.invalid.iter().map(|(_, invalid)| invalid.name.clone()));
        for Preview { spec, plan, .. } in previews {
            let mut retain = |namespace: &Namespace| {
                retained.targets.insert((namespace.to_string(), spec.name.to_string()));
            };
            let refused = plan.steps.iter().filter(|step| matches!(step.write, Write::Refuse(_)));
            refused.for_each(|step| retain(&step.namespace));
            // Fail static, as a run does: targets keep their last good content.
            if plan.content.blocked.is_some() {
                // Clean-up goes on, so it matters which targets are still wanted.
                let prepared = Prepared::new(spec, &loaded.world, now);
                for (namespace, state) in &loaded.world.namespaces {
                    if Kind::ALL.into_iter().any(|kind| prepared.wants(kind, namespace, state)) {
                        retain(namespace);
                    }
                }
            }
            if plan.paused {
                retained.bundles.insert(spec.name.to_string());
            }
        }
        retained
    }

    fn contains(&self, target: &(String, String)) -> bool {
        self.bundles.contains(&target.1) || self.targets.contains(target)
    }
}

/// A target as it would be after a run.
struct RenderedTarget {
    namespace: String,
    bundle: String,
    object: Applied,
    data: BTreeMap<String, Vec<u8>>,
}

fn targets(preview: &Preview<'_>) -> Vec<RenderedTarget> {
    let Preview { spec, plan, .. } = preview;
    if plan.paused {
        return Vec::new();
    }
    let written = plan.steps.iter().filter_map(|step| {
        let ownership = match &step.write {
            Write::Create(_) | Write::Keep => Ownership::Ours,
            Write::Update { ownership, .. } => *ownership,
            Write::Delete(_) | Write::Refuse(_) | Write::Release { .. } => return None,
        };
        let rendered = plan.content.rendered.get(&step.kind)?;
        let data = rendered.data.iter();
        Some(RenderedTarget {
            namespace: step.namespace.to_string(),
            bundle: spec.name.to_string(),
            object: object::applied(spec, &step.namespace, rendered, ownership),
            data: data.map(|(key, value)| (key.to_string(), value.bytes().to_vec())).collect(),
        })
    });
    written.collect()
}

fn print(output: RenderOutput, targets: &[RenderedTarget]) -> anyhow::Result<String> {
    let objects = targets.iter().map(|target| match &target.object {
        Applied::ConfigMap(object) => serde_json::to_value(object),
        Applied::Secret(object) => serde_json::to_value(object),
    });
    let objects = objects.collect::<Result<Vec<_>, _>>().context("cannot write an object")?;
    match output {
        RenderOutput::Json => {
            let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
            let text = serde_json::to_string_pretty(&list).context("cannot write JSON")?;
            Ok(text + "\n")
        }
        RenderOutput::Yaml => {
            let mut text = String::new();
            for object in &objects {
                text.push_str("---\n");
                text.push_str(&manifest::to_yaml(object).context("cannot write YAML")?);
            }
            Ok(text)
        }
    }
}

/// A file of `--out`.
#[derive(Serialize)]
struct FileJson {
    path: String,
    changed: bool,
}

/// Writes `folder/<namespace>/<bundle>/<key>` for every target, and removes what an earlier pass of
/// this process wrote and nobody wants any more.
fn write(
    folder: &Path,
    targets: &[RenderedTarget],
    retained: &RetainedTargets,
    written: &mut Written,
) -> anyhow::Result<Vec<FileJson>> {
    let mut wanted = BTreeMap::new();
    for RenderedTarget { namespace, bundle, data, .. } in targets {
        for (key, bytes) in data {
            let mut path = folder.to_owned();
            for part in [namespace, bundle, key] {
                // Names come from files, and must not lead out of the folder.
                if part.is_empty() || part.contains('/') || part.starts_with("..") || part == "." {
                    bail!("`{part}` cannot be the name of a file; Kubernetes would not take it");
                }
                path.push(part);
            }
            wanted.insert(path, (bytes, (namespace.clone(), bundle.clone())));
        }
    }
    let mut files = Vec::new();
    for (path, (bytes, _)) in &wanted {
        let changed = files::write(path, bytes)? == Wrote::Changed;
        files.push(FileJson { path: path.display().to_string(), changed });
    }
    let mut now_there: Written =
        wanted.iter().map(|(path, (_, target))| (path.clone(), target.clone())).collect();
    for (stale, target) in written.iter().filter(|(path, _)| !wanted.contains_key(*path)) {
        if retained.contains(target) {
            now_there.insert(stale.clone(), target.clone());
            continue;
        }
        files::remove(stale)?;
    }
    *written = now_there;
    Ok(files)
}

fn summary(
    output: RenderOutput,
    previews: &[Preview<'_>],
    files: &[FileJson],
) -> anyhow::Result<String> {
    if output == RenderOutput::Json {
        #[derive(Serialize)]
        struct RenderJson<'f> {
            bundles: Vec<BundleJson>,
            files: &'f [FileJson],
        }
        let bundles = previews.iter().map(BundleJson::of).collect();
        let text = serde_json::to_string_pretty(&RenderJson { bundles, files });
        return Ok(text.context("cannot write JSON")? + "\n");
    }
    let mut text = String::new();
    for FileJson { path, changed } in files {
        let state = if *changed { "written  " } else { "unchanged" };
        text.push_str(&format!("{state}  {path}\n"));
    }
    for preview in previews.iter().filter(|preview| preview.conclusion.certificates.is_some()) {
        let targets = count(preview.conclusion.targets.synced, "target");
        let certificates = preview.certificates();
        text.push_str(&format!("Bundle {}: {certificates}, {targets}\n", preview.spec.name));
    }
    Ok(text)
}

/// The length of one wait; the loop begins the next at once.
const WAIT: Duration = Duration::from_secs(3600);
