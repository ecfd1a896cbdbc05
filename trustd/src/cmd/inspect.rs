//! `trustd inspect`: a table of every certificate in files.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;
use trustd_core::time::Timestamp;

use super::contents::{self, Contents, FileFormat};
use super::show::{cell, count, days, printable};
use super::{Answer, Env};
use crate::cli::{Inspect, Output};
use crate::exit::{self, Exit};
use crate::files::Input;

pub(super) fn answer(arguments: &Inspect, env: &Env) -> anyhow::Result<Answer> {
    let mut exit = Exit::Fine;
    let mut files = Vec::new();
    for path in &arguments.paths {
        let input = Input::from(path.as_path());
        let file = match contents::read(&input) {
            Ok(contents) => File::of(&input, &contents, env.now),
            Err(error) => {
                exit::complain(&error);
                File::failed(&input, exit::chain(&error))
            }
        };
        exit = exit.and(file.exit());
        files.push(file);
    }
    let text = match arguments.output {
        Output::Json => {
            let mut text = serde_json::to_string_pretty(&InspectJson { files })
                .context("cannot write JSON")?;
            text.push('\n');
            text
        }
        Output::Table => tables(&files, env),
    };
    Ok(Answer { text, exit })
}

/// The document that `-o json` prints.
#[derive(Serialize)]
struct InspectJson {
    /// One for each PATH, in their order.
    files: Vec<File>,
}

/// A file. Where it could not be read there is an `error` and nothing else.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    /// The path as given; `-` is stdin.
    path: String,
    /// The reason why there are no certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// `pem` or `der`.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    /// The certificates in the order of the file, duplicates too.
    certificates: Vec<Row>,
    /// The parts that are not sound certificates.
    problems: Vec<Fault>,
    /// Totals.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
}

/// A certificate.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// The position in the file, from 1.
    number: usize,
    /// Line of its BEGIN marker, from 1; none in DER.
    line: Option<usize>,
    /// Distinguished name, as trust-manager prints it.
    subject: String,
    /// Distinguished name of the issuer.
    issuer: String,
    /// The subject and the issuer are the same.
    self_issued: bool,
    /// Algorithm and size of the public key.
    key: String,
    /// The certificate is a CA, according to basicConstraints.
    ca: bool,
    /// X.509 version.
    version: u8,
    /// Serial number in hex.
    serial: String,
    /// First second of validity, RFC 3339.
    not_before: Option<String>,
    /// Last second of validity, RFC 3339.
    not_after: String,
    /// Whole days until then; negative when it has expired.
    days_left: i64,
    /// The validity has ended.
    expired: bool,
    /// SHA-256 of the DER, 64 hex digits.
    sha256: String,
    /// The alias in JKS and PKCS#12 stores.
    alias: String,
    /// The number of the same certificate further up.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<usize>,
}

/// Something that is not a sound certificate.
#[derive(Serialize)]
struct Fault {
    line: usize,
    message: String,
}

/// Totals of a file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// All certificates, duplicates too.
    certificates: usize,
    /// The number that repeat an earlier certificate.
    duplicates: usize,
    /// The number that have expired.
    expired: usize,
    /// The number of blocks that are not sound certificates.
    problems: usize,
    /// The earliest notAfter, RFC 3339; it may have passed.
    earliest_not_after: Option<String>,
    /// The number of that one.
    earliest_number: Option<usize>,
    /// Both of these, unprinted.
    #[serde(skip)]
    earliest: Option<(Timestamp, usize)>,
}

impl File {
    fn failed(input: &Input, error: String) -> Self {
        Self { path: input.to_string(), error: Some(error), ..Self::default() }
    }

    fn of(input: &Input, contents: &Contents, now: Timestamp) -> Self {
        let mut numbers = HashMap::new();
        let mut earliest: Option<(Timestamp, usize)> = None;
        let mut rows = Vec::with_capacity(contents.found.len());
        for (index, found) in contents.found.iter().enumerate() {
            let number = index + 1;
            let first = *numbers.entry(found.certificate.sha256()).or_insert(number);
            let row = Row::of(number, found, (first < number).then_some(first), now);
            let expiry = (found.certificate.not_after(), number);
            earliest = Some(earliest.map_or(expiry, |earlier| earlier.min(expiry)));
            rows.push(row);
        }
        let summary = Summary {
            certificates: rows.len(),
            duplicates: rows.len() - numbers.len(),
            expired: rows.iter().filter(|row| row.expired).count(),
            problems: contents.problems.len(),
            earliest_not_after: earliest.map(|(time, _)| time.to_string()),
            earliest_number: earliest.map(|(_, number)| number),
            earliest,
        };
        let problems = contents
            .problems
            .iter()
            .map(|problem| Fault { line: problem.line, message: problem.message.clone() })
            .collect();
        Self {
            path: input.to_string(),
            error: None,
            format: Some(match contents.format {
                FileFormat::Der => "der",
                FileFormat::Pem => "pem",
            }),
            certificates: rows,
            problems,
            summary: Some(summary),
        }
    }

    fn exit(&self) -> Exit {
        if self.error.is_some() {
            Exit::Failed
        } else if self.problems.is_empty() {
            Exit::Fine
        } else {
            Exit::Negative
        }
    }
}

impl Row {
    fn of(
        number: usize,
        found: &contents::Found,
        duplicate_of: Option<usize>,
        now: Timestamp,
    ) -> Self {
        let certificate = &found.certificate;
        let facts = certificate.facts();
        Self {
            number,
            line: found.line,
            subject: facts.subject,
            issuer: facts.issuer,
            self_issued: facts.self_issued,
            key: facts.key,
            ca: certificate.is_ca(),
            version: facts.version,
            serial: facts.serial,
            not_before: facts.not_before.map(|time| time.to_string()),
            not_after: certificate.not_after().to_string(),
            days_left: now.days_until(certificate.not_after()),
            expired: certificate.is_expired(now),
            sha256: certificate.sha256().to_string(),
            alias: certificate.alias(),
            duplicate_of,
        }
    }
}

fn tables(files: &[File], env: &Env) -> String {
    let mut out = String::new();
    for file in files.iter().filter(|file| file.error.is_none()) {
        if !out.is_empty() {
            out.push('\n');
        }
        if files.len() > 1 {
            let _ = writeln!(out, "{}:", printable(&file.path));
        }
        out.push_str(&table(&file.certificates, env.columns));
        summarize(file, env.now, &mut out);
    }
    out
}

fn table(rows: &[Row], columns: Option<u16>) -> String {
    let whole = draw(rows, SHA256_DIGITS, None);
    let width = whole.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    match columns {
        Some(columns) if width > usize::from(columns) => {
            // Eight digits are what aliases in stores begin with; all of them are in the JSON.
            draw(rows, SHA256_DIGITS_SHORT, Some(columns))
        }
        _ => whole,
    }
}

fn draw(rows: &[Row], sha256_digits: usize, columns: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    match columns {
        Some(columns) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns)
        }
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.set_header(["#", "SUBJECT", "ISSUER", "KEY", "CA", "NOT AFTER", "DAYS", "SHA-256"]);
    for row in rows {
        let number = match row.duplicate_of {
            Some(first) => format!("{} (= {first})", row.number),
            None => row.number.to_string(),
        };
        table.add_row([
            number,
            cell(&printable(&row.subject)),
            if row.self_issued { "self".to_owned() } else { cell(&printable(&row.issuer)) },
            cell(&row.key),
            if row.ca { "yes" } else { "no" }.to_owned(),
            row.not_after.clone(),
            row.days_left.to_string(),
            row.sha256.chars().take(sha256_digits).collect(),
        ]);
    }
    if let Some(days) = table.column_mut(DAYS_COLUMN) {
        days.set_cell_alignment(CellAlignment::Right);
    }
    let mut out = String::new();
    for line in table.lines() {
        out.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
        out.push('\n');
    }
    out
}

fn summarize(file: &File, now: Timestamp, out: &mut String) {
    let Some(summary) = &file.summary else { return };
    let _ = writeln!(
        out,
        "\n{}, {}, {}",
        count(summary.certificates, "certificate"),
        count(summary.duplicates, "duplicate"),
        count(summary.problems, "problem"),
    );
    for problem in &file.problems {
        let _ = writeln!(out, "line {}: {}", problem.line, problem.message);
    }
    if summary.expired > 0 {
        let _ = writeln!(out, "expired: {}", summary.expired);
    }
    if let Some((not_after, number)) = summary.earliest {
        let left = days(now, not_after);
        let _ = writeln!(out, "earliest expiry: {not_after} ({left}), number {number}");
    }
}

const SHA256_DIGITS: usize = 64;
const SHA256_DIGITS_SHORT: usize = 8;
const DAYS_COLUMN: usize = 6;
