//! `trustd diff`: what a run would change, files against files.

use std::collections::BTreeMap;

use anyhow::Context as _;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use trustd_core::bundle::{Collector, Filters};
use trustd_core::certificate::Sha256;
use trustd_core::format::Rendered;
use trustd_core::names::{BundleName, Origin};
use trustd_core::plan::{Step, Write};
use trustd_core::time::Timestamp;
use trustd_core::world::{Observed, OwnerReference, Targets};

use super::offline::Loaded;
use super::preview::{self, Action, BundleJson, Preview, TargetJson};
use super::show::{cell, count, printable};
use super::{Answer, Env, offline};
use crate::cli::{Diff, Output};
use crate::exit::Exit;
use crate::files::Input;

pub(super) fn answer(arguments: &Diff, env: &Env) -> anyhow::Result<Answer> {
    let inputs = |paths: &[std::path::PathBuf]| -> Vec<Input> {
        paths.iter().map(|path| Input::from(path.as_path())).collect()
    };
    let against = (!arguments.against.is_empty()).then(|| inputs(&arguments.against));
    let settings = offline::settings(&arguments.offline)?;
    let filenames = inputs(&arguments.offline.filenames);
    let loaded =
        offline::load(&filenames, against.as_deref(), settings, &arguments.offline.namespace)?;
    let form = Form { output: arguments.output, strict: arguments.offline.strict };
    show(&loaded, &loaded.world.targets, form, env)
}

/// Options for printing and judging differences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) output: Output,
    /// A warning is a negative answer.
    pub(super) strict: bool,
}

/// Plans what was loaded and shows what would change; `held` are the targets as they are, as far as
/// their values are known.
pub(super) fn show(
    loaded: &Loaded,
    held: &BTreeMap<BundleName, Targets>,
    form: Form,
    env: &Env,
) -> anyhow::Result<Answer> {
    let previews = preview::of(loaded, env.now);
    let mut exit = preview::tell(loaded, &previews, form.strict);
    let differences: Vec<Difference<'_>> =
        previews.iter().map(|preview| Difference::of(preview, held)).collect();
    if differences.iter().any(|difference| !difference.changes.is_empty()) {
        exit = exit.and(Exit::Negative);
    }
    let text = match form.output {
        Output::Json => json(&differences)?,
        Output::Table => table(&differences, env),
    };
    Ok(Answer { text, exit })
}

/// The changes for one Bundle.
struct Difference<'l> {
    preview: &'l Preview<'l>,
    changes: Vec<(&'l Step, Option<String>)>,
    kept: usize,
    /// Certificates that come into some target, or leave one: subject by digest.
    added: BTreeMap<Sha256, String>,
    removed: BTreeMap<Sha256, String>,
}

impl<'l> Difference<'l> {
    fn of(preview: &'l Preview<'l>, held: &BTreeMap<BundleName, Targets>) -> Self {
        let none = Targets::new();
        let targets = held.get(&preview.spec.name).unwrap_or(&none);
        let mut difference = Self {
            preview,
            changes: Vec::new(),
            kept: 0,
            added: BTreeMap::new(),
            removed: BTreeMap::new(),
        };
        for step in &preview.plan.steps {
            let observed = targets.get(&(step.kind, step.namespace.clone()));
            if step.write == Write::Keep {
                difference.kept += 1;
                continue;
            }
            let why = match (&step.write, observed) {
                (Write::Refuse(refusal), _) => Some(refusal.to_string()),
                (Write::Update { rendered, .. }, Some(observed)) => {
                    difference.compare_certificates(observed);
                    Some(causes(preview, rendered, observed).join(", "))
                }
                _ => None,
            };
            difference.changes.push((step, why));
        }
        difference
    }

    fn compare_certificates(&mut self, observed: &Observed) {
        let wanted: BTreeMap<Sha256, String> = self
            .preview
            .plan
            .content
            .certificates
            .members()
            .iter()
            .map(|member| (member.certificate.sha256(), member.certificate.facts().subject))
            .collect();
        let held = certificates_in(self.preview, observed);
        let only = |a: &BTreeMap<Sha256, String>, b: &BTreeMap<Sha256, String>| {
            let only = a.iter().filter(|(sha256, _)| !b.contains_key(sha256));
            only.map(|(sha256, subject)| (*sha256, subject.clone())).collect::<Vec<_>>()
        };
        self.added.extend(only(&wanted, &held));
        self.removed.extend(only(&held, &wanted));
    }
}

/// The certificates under the target's key at present, as far as they can be read.
fn certificates_in(preview: &Preview<'_>, observed: &Observed) -> BTreeMap<Sha256, String> {
    let target = preview.spec.target.as_ref();
    let templates = target.into_iter().flat_map(|t| t.config_map.iter().chain(&t.secret));
    let mut collector = Collector::new(Filters::default(), Timestamp::from_unix(0));
    for template in templates {
        let Some(text) = observed.data.as_ref().and_then(|data| data.get(&template.key)) else {
            continue;
        };
        // A text that is no bundle holds no certificates of a bundle.
        let _ = collector.add(&Origin::InLine { index: 0 }, text);
    }
    let bundle = collector.finish();
    let members = bundle.members().iter();
    members.map(|m| (m.certificate.sha256(), m.certificate.facts().subject)).collect()
}

/// Names the differences of a target, in a few words each.
fn causes(preview: &Preview<'_>, rendered: &Rendered, observed: &Observed) -> Vec<String> {
    let is_owner = matches!(observed.owner, OwnerReference::Bundle(_));
    if observed.label.as_ref() != Some(&preview.spec.name) && !is_owner {
        return vec!["somebody else's object has this name; only our keys are added".to_owned()];
    }
    let mut causes = Vec::new();
    for (key, value) in &rendered.data {
        let held = observed.data.as_ref().and_then(|data| data.get(key));
        match held {
            None => causes.push(format!("key {key} is missing")),
            Some(held) if **held != *value.bytes() => causes.push(format!("key {key} differs")),
            Some(_) => {}
        }
    }
    let surplus = observed.ours().into_iter().filter(|key| !rendered.data.contains_key(*key));
    causes.extend(surplus.map(|key| format!("key {key} is no longer wanted")));
    for (what, wanted, held) in [
        ("label", &rendered.labels, &observed.labels),
        ("annotation", &rendered.annotations, &observed.annotations),
    ] {
        let differs = wanted.iter().filter(|(key, value)| held.get(*key) != Some(*value));
        causes.extend(differs.map(|(key, _)| format!("{what} {key} differs")));
    }
    if observed.label.as_ref() != Some(&preview.spec.name) {
        causes.push("it does not bear the Bundle's label".to_owned());
    }
    if !observed.hash.as_deref().is_some_and(|hash| rendered.is_hash(hash)) {
        causes.push("its hash differs".to_owned());
    }
    if !observed.shared && !is_owner {
        causes.push("the Bundle is not its owner".to_owned());
    }
    if let (OwnerReference::Bundle(uid), Some(own)) = (&observed.owner, &preview.spec.uid)
        && uid != own
    {
        causes.push("its owner is an earlier Bundle of this name".to_owned());
    }
    if causes.is_empty() {
        causes.push("its marks or the managers of its keys differ".to_owned());
    }
    causes
}

fn table(differences: &[Difference<'_>], env: &Env) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    match env.columns {
        Some(columns) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns)
        }
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.set_header(["ACTION", "KIND", "NAMESPACE", "NAME", "WHY"]);
    for Difference { preview, changes, .. } in differences {
        for (step, why) in changes {
            table.add_row([
                Action::of(step).as_str().to_owned(),
                step.kind.to_string(),
                printable(step.namespace.as_str()),
                preview.spec.name.to_string(),
                cell(&printable(why.as_deref().unwrap_or_default())),
            ]);
        }
    }
    let mut text = String::new();
    if table.row_count() > 0 {
        for line in table.lines() {
            text.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
            text.push('\n');
        }
    }
    for Difference { preview, added, removed, .. } in differences {
        for (sign, certificates) in [('+', added), ('-', removed)] {
            for (sha256, subject) in certificates {
                let name = &preview.spec.name;
                text.push_str(&format!("{sign} {name}  {sha256}  {}\n", printable(subject)));
            }
        }
    }
    let changes: usize = differences.iter().map(|difference| difference.changes.len()).sum();
    let kept: usize = differences.iter().map(|difference| difference.kept).sum();
    text.push_str(&format!("{}, {kept} kept\n", count(changes, "change")));
    text
}

fn json(differences: &[Difference<'_>]) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct CertificateJson<'d> {
        sha256: String,
        subject: &'d str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct DifferenceJson<'d> {
        #[serde(flatten)]
        bundle: BundleJson,
        kept: usize,
        changes: Vec<TargetJson>,
        certificates_added: Vec<CertificateJson<'d>>,
        certificates_removed: Vec<CertificateJson<'d>>,
    }
    #[derive(Serialize)]
    struct DiffJson<'d> {
        bundles: Vec<DifferenceJson<'d>>,
    }
    fn list(certificates: &BTreeMap<Sha256, String>) -> Vec<CertificateJson<'_>> {
        let of = |(sha256, subject): (&Sha256, _)| (sha256.to_string(), subject);
        let all = certificates.iter().map(of);
        all.map(|(sha256, subject): (String, &String)| CertificateJson { sha256, subject })
            .collect()
    }
    let bundles = differences
        .iter()
        .map(|Difference { preview, changes, kept, added, removed }| DifferenceJson {
            bundle: BundleJson::of(preview),
            kept: *kept,
            changes: changes
                .iter()
                .map(|(step, why)| TargetJson::of(preview, step, why.clone()))
                .collect(),
            certificates_added: list(added),
            certificates_removed: list(removed),
        })
        .collect();
    let text = serde_json::to_string_pretty(&DiffJson { bundles }).context("cannot write JSON")?;
    Ok(text + "\n")
}
