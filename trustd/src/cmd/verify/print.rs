//! A judgement as text and as JSON.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Serialize;

use super::Terms;
use super::check::{Role, name_text};
use super::finding::Finding;
use super::judge::{Judgement, Link, Verdict, place};
use crate::cmd::show::{days, printable};
use crate::files::Input;

/// The path link by link, then the verdict on a line of its own.
pub(super) fn text(judgement: &Judgement<'_, '_>, terms: &Terms, roots: &Input) -> String {
    let mut out = String::new();
    for link in &judgement.links {
        let arrow = if link.role == Role::Leaf { "" } else { "<- " };
        let node = link.node;
        let not_after = node.certificate.not_after();
        let _ = writeln!(out, "{arrow}{}: {}", word(link.role), printable(&node.facts.subject));
        let _ = writeln!(out, "     {}, SHA-256 {}", place(node), node.certificate.sha256());
        let from = node.facts.not_before.map(|time| format!("from {time} ")).unwrap_or_default();
        let left = days(terms.now, not_after);
        let _ = writeln!(out, "     valid {from}to {not_after} ({left})");
        let (blocking, others): (Vec<_>, Vec<_>) = link.findings.iter().partition(|f| f.blocks);
        for Finding { message, .. } in &blocking {
            let _ = writeln!(out, "     NOT OK: {message}");
        }
        if blocking.is_empty() {
            out.push_str("     ok\n");
        }
        for Finding { message, .. } in &others {
            let _ = writeln!(out, "     warning: {message}");
        }
    }
    if let Some(missing) = &judgement.missing {
        let _ = writeln!(out, "<- ?\n     NOT OK: {missing}");
        for lookalike in &judgement.lookalikes {
            let _ = writeln!(out, "     {lookalike}");
        }
    }
    out.push('\n');
    for note in &judgement.notes {
        let _ = writeln!(out, "note: {note}");
    }
    let _ = match &judgement.verdict {
        Verdict::NotVerified(reason) => writeln!(out, "not verified: {reason}"),
        Verdict::Undecided(reason) => writeln!(out, "no verdict: {reason}"),
        Verdict::Verified => writeln!(out, "verified against `{roots}`"),
    };
    out
}

/// The same for programs.
pub(super) fn json(judgement: &Judgement<'_, '_>, terms: &Terms) -> anyhow::Result<String> {
    let (verdict, reason) = match &judgement.verdict {
        Verdict::NotVerified(reason) => ("notVerified", Some(reason.as_str())),
        Verdict::Undecided(reason) => ("undecided", Some(reason.as_str())),
        Verdict::Verified => ("verified", None),
    };
    let document = VerifyJson {
        verdict,
        reason,
        name: terms.name.as_ref().map(name_text),
        time: terms.now.to_string(),
        path: judgement.links.iter().map(JsonLink::of).collect(),
        missing: judgement.missing.as_deref(),
        lookalikes: &judgement.lookalikes,
        notes: &judgement.notes,
    };
    let mut text = serde_json::to_string_pretty(&document).context("cannot write JSON")?;
    text.push('\n');
    Ok(text)
}

/// The document that `-o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VerifyJson<'j> {
    /// `verified`, `notVerified` or `undecided`.
    verdict: &'static str,
    /// The first reason against it.
    reason: Option<&'j str>,
    /// The name that was checked.
    name: Option<String>,
    /// The time it was judged for, RFC 3339.
    time: String,
    /// The certificate that was judged, then its issuer, and so on.
    path: Vec<JsonLink>,
    /// The issuer that is missing at the end of the path.
    missing: Option<&'j str>,
    /// Certificates that are nearly what is missing.
    lookalikes: &'j [String],
    /// Remarks beside the verdict.
    notes: &'j [String],
}

/// One certificate of the path.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonLink {
    /// `leaf`, `intermediate` or `root`.
    role: &'static str,
    place: String,
    subject: String,
    issuer: String,
    sha256: String,
    not_before: Option<String>,
    not_after: String,
    /// There is no problem with it here.
    ok: bool,
    problems: Vec<JsonFinding>,
    /// Objections of stricter programs.
    warnings: Vec<JsonFinding>,
}

#[derive(Serialize)]
struct JsonFinding {
    kind: &'static str,
    message: String,
}

impl JsonLink {
    fn of(link: &Link<'_, '_>) -> Self {
        let facts = &link.node.facts;
        let findings = |blocks: bool| -> Vec<JsonFinding> {
            let chosen = link.findings.iter().filter(|finding| finding.blocks == blocks);
            chosen.map(|f| JsonFinding { kind: f.kind, message: f.message.clone() }).collect()
        };
        let problems = findings(true);
        Self {
            role: word(link.role),
            place: place(link.node),
            subject: facts.subject.clone(),
            issuer: facts.issuer.clone(),
            sha256: link.node.certificate.sha256().to_string(),
            not_before: facts.not_before.map(|time| time.to_string()),
            not_after: link.node.certificate.not_after().to_string(),
            ok: problems.is_empty(),
            problems,
            warnings: findings(false),
        }
    }
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::Intermediate => "intermediate",
        Role::Leaf => "leaf",
        Role::Root => "root",
    }
}
