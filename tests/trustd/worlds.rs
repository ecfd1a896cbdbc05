//! Golden worlds: manifests in, what a run would do out (tests/fixtures/worlds/README.md).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value as Json;

use crate::program::{Folder, Ran, repository, run};

const WORLDS: &str = "tests/fixtures/worlds";
/// Fewer cases than this means that the folder was not found, or that cases were lost.
const CASES_MIN: usize = 45;

#[test]
fn every_world_is_planned_and_rendered_as_its_case_says() {
    let cases = cases();
    assert!(cases.len() >= CASES_MIN, "only {} cases in {WORLDS}", cases.len());
    let certificates = certificates();
    let half = cases.len() / 2;
    let faults: Vec<String> = thread::scope(|scope| {
        let halves = [&cases[..half], &cases[half..]];
        let check = |cases: &[PathBuf]| -> Vec<String> {
            cases.iter().flat_map(|case| faults(case, &certificates)).collect()
        };
        let threads = halves.map(|cases| scope.spawn(move || check(cases)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_world_is_in_the_table_of_the_readme_and_every_defect_has_one() {
    let readme = fs::read_to_string(repository(WORLDS).join("README.md")).unwrap();
    let (_, table) = readme.split_once("## The cases").unwrap();
    let rows: BTreeMap<&str, &str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(case, section)| (case, section.trim_end_matches(" |")))
        .collect();
    let folders: BTreeSet<String> = cases().iter().map(|case| name(case)).collect();
    let listed: BTreeSet<String> = rows.keys().map(|case| (*case).to_owned()).collect();
    let apart: Vec<&String> = listed.symmetric_difference(&folders).collect();
    assert!(apart.is_empty(), "in the table or a folder, not both: {apart:?}");
    for defect in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13] {
        let wanted = format!("no. {defect}");
        let has = |section: &&str| section.split(", ").any(|part| part.ends_with(&wanted));
        assert!(rows.values().any(has), "no case for defect {defect} of section 2.9");
    }
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository(WORLDS)).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

fn name(case: &Path) -> String {
    case.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Returns the problems of a case, or of trustd's answer to it.
fn faults(case: &Path, certificates: &Certificates) -> Vec<String> {
    let mut faults = strangers(case);
    let flags = fs::read_to_string(case.join("flags")).unwrap_or_default();
    let flags: Vec<&str> = flags.lines().collect();
    match fs::read_to_string(case.join("want/plan.txt")) {
        Err(error) => faults.push(format!("{}: want/plan.txt: {error}", name(case))),
        Ok(want) => {
            let arguments = ["diff", "-o", "json", "-f", "in"];
            let got = plan_text(&trustd_in(case, &arguments, &flags), certificates);
            faults.extend(difference(&format!("{}: want/plan.txt", name(case)), &want, &got));
        }
    }
    if let Ok(want) = fs::read_to_string(case.join("want/files.txt")) {
        let folder = Folder::new();
        let out = folder.path().join("out");
        trustd_in(case, &["render", "--out", out.to_str().unwrap(), "-f", "in"], &flags);
        for fault in wrong_files(&out, &want, certificates) {
            faults.push(format!("{}: want/files.txt: {fault}", name(case)));
        }
    }
    faults
}

/// Files that no case has: a misspelt expectation would never be looked at.
fn strangers(case: &Path) -> Vec<String> {
    let list = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let known = |name: &String| ["in", "want", "flags", "package.json"].contains(&name.as_str());
    let wanted = |name: &String| ["plan.txt", "files.txt"].contains(&name.as_str());
    let mut strangers: Vec<String> = list(case).into_iter().filter(|name| !known(name)).collect();
    let want = list(&case.join("want")).into_iter().filter(|name| !wanted(name));
    strangers.extend(want.map(|name| format!("want/{name}")));
    strangers.into_iter().map(|file| format!("{}: what is `{file}`?", name(case))).collect()
}

/// Runs trustd in the folder of the case, so that paths in its messages are short.
fn trustd_in(case: &Path, arguments: &[&str], flags: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trustd"));
    run(command.current_dir(case).args(arguments).args(flags), b"")
}

/// The short form of `trustd diff -o json`: see the README beside the cases.
fn plan_text(ran: &Ran, certificates: &Certificates) -> String {
    let mut text = format!("exit {}\n", ran.code);
    let mut told: Vec<String> = ran.err.lines().map(str::to_owned).collect();
    if ran.out.is_empty() {
        text.push_str("stdout is empty\n");
    } else {
        for bundle in ran.json()["bundles"].as_array().unwrap() {
            bundle_text(bundle, &mut text, &mut told);
        }
    }
    // What the JSON says of a Bundle is told on stderr too; here is the rest.
    told.iter().for_each(|line| text.push_str(&format!("stderr: {line}\n")));
    certificates.by_name(&text)
}

/// Adds a Bundle to the short form, and strikes what it says from what was told on stderr.
fn bundle_text(bundle: &Json, text: &mut String, told: &mut Vec<String>) {
    let [name, reason, message] = ["name", "reason", "message"].map(|field| string(&bundle[field]));
    assert_eq!(bundle["synced"] == true, reason == "Synced", "{bundle}");
    let mut lines = vec![format!("{name}: {reason}: {message}")];
    if let Some(counts) = bundle.get("certificates") {
        let first = counts.get("earliestNotAfter").map(string);
        let first = first.map(|time| format!(", first expires {time}")).unwrap_or_default();
        let counts = numbers(counts, &["total", "filtered", "skipped"]);
        lines.push(format!("  certificates: {counts}{first}"));
    }
    let targets = numbers(&bundle["targets"], &["desired", "synced", "failed", "refused"]);
    lines.push(format!("  targets: {targets}"));
    if let Some(version) = bundle.get("defaultCaVersion") {
        lines.push(format!("  default CAs: {}", string(version)));
    }
    for change in bundle["changes"].as_array().unwrap() {
        assert_eq!(change["name"], bundle["name"], "a target is named as its Bundle");
        let [action, kind, namespace] =
            ["action", "kind", "namespace"].map(|field| string(&change[field]));
        let why = change.get("why").map(|why| format!(": {}", string(why))).unwrap_or_default();
        lines.push(format!("  {action} {kind} {namespace}{why}"));
    }
    for (sign, field) in [("+", "certificatesAdded"), ("-", "certificatesRemoved")] {
        for certificate in bundle[field].as_array().unwrap() {
            lines.push(format!("  {sign} {}", string(&certificate["sha256"])));
        }
    }
    for (word, field) in [("warning", "warnings"), ("note", "notes")] {
        for remark in bundle[field].as_array().unwrap().iter().map(string) {
            let line = format!("{word}: {remark}");
            let at = told.iter().position(|told| *told == line);
            told.remove(at.unwrap_or_else(|| panic!("not on stderr: {line}\n{told:?}")));
            let of_bundle = format!("Bundle {name}: ");
            let own = remark.strip_prefix(&of_bundle).unwrap();
            // Reason and message are in the first line already.
            if own != format!("{reason}: {message}") {
                lines.push(format!("  {word}: {own}"));
            }
        }
    }
    lines.push(format!("  kept: {}", bundle["kept"].as_u64().unwrap()));
    lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
}

fn string(value: &Json) -> String {
    value.as_str().unwrap_or_else(|| panic!("no string: {value}")).to_owned()
}

fn numbers(of: &Json, names: &[&str]) -> String {
    let each = names.iter().map(|name| format!("{} {name}", of[*name].as_u64().unwrap()));
    each.collect::<Vec<_>>().join(", ")
}

/// The certificates of the fixtures by name: the PEM block and its digest, made here.
struct Certificates(BTreeMap<String, (Vec<u8>, String)>);

fn certificates() -> Certificates {
    let folders = ["tests/fixtures/peer/ca", "tests/fixtures/certificates"].map(repository);
    let mut all = BTreeMap::new();
    for path in folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let path = path.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let digest = digest_of(&text);
            all.entry(name).or_insert((text.trim_end().as_bytes().to_vec(), digest));
        }
    }
    Certificates(all)
}

/// SHA-256 over the content of the first block, in hex.
fn digest_of(text: &str) -> String {
    use rustls_pki_types::pem::PemObject as _;
    let der = rustls_pki_types::CertificateDer::from_pem_slice(text.as_bytes());
    der.map(|der| trustd_core::certificate::Sha256::of(&der).to_string()).unwrap_or_default()
}

impl Certificates {
    /// `text` with names in `<>` for the digests of certificates.
    fn by_name(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, (_, digest)) in self.0.iter().filter(|(_, (_, digest))| !digest.is_empty()) {
            text = text.replace(digest, &format!("<{name}>"));
        }
        text
    }

    /// Returns the exact bytes that a bundle of these certificates must hold.
    fn bundle(&self, names: &str) -> Vec<u8> {
        let named = names.split_whitespace().map(|name| {
            let (text, digest) = self.0.get(name).unwrap_or_else(|| panic!("who is `{name}`?"));
            (digest, text.as_slice())
        });
        let by_digest: BTreeMap<_, _> = named.collect();
        by_digest.into_values().collect::<Vec<_>>().join(&b"\n"[..])
    }
}

/// Lines of `want` and files below `out` that do not agree.
fn wrong_files(out: &Path, want: &str, certificates: &Certificates) -> Vec<String> {
    let mut held = BTreeMap::new();
    collect(out, "", &mut held);
    let mut faults = Vec::new();
    for line in want.lines().filter(|line| !line.starts_with('#')) {
        let (path, names) = line.split_once(": ").unwrap_or_else(|| panic!("`{line}` names what?"));
        match held.remove(path) {
            None => faults.push(format!("{path} is missing")),
            Some(bytes) if bytes != certificates.bundle(names) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                faults.push(format!("{path} should hold {names}, and holds\n{text}"));
            }
            Some(_) => {}
        }
    }
    faults.extend(held.into_keys().map(|path| format!("{path} should not be there")));
    faults
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// Both texts line by line where they differ; comments in `want` do not count.
fn difference(what: &str, want: &str, got: &str) -> Option<String> {
    let want: Vec<&str> = want.lines().filter(|line| !line.starts_with('#')).collect();
    let got: Vec<&str> = got.lines().collect();
    if want == got {
        return None;
    }
    let mut text = format!("{what} (- wanted, + is):\n");
    for line in &want {
        text.push_str(&format!("{} {line}\n", if got.contains(line) { ' ' } else { '-' }));
    }
    let surplus = got.iter().filter(|line| !want.contains(line));
    surplus.for_each(|line| text.push_str(&format!("+ {line}\n")));
    Some(text)
}
