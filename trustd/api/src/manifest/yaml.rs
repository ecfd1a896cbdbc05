//! Texts of several YAML documents, within limits on what their aliases stand for.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::Value;
use serde_saphyr::Error;
use serde_saphyr::budget::BudgetBreach;

use super::json::Unique;
use super::{Document, ManifestError, ManifestErrorKind};

/// Splits at lines that begin with `---`, as kubectl does, and parses each part that says anything.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, ManifestError> {
    let mut reader = Reader { number: 0, aliased_bytes_left: ALIASED_BYTES_MAX };
    let mut documents = Vec::new();
    let mut start = (0, 1);
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker && at > 0 {
            documents.extend(reader.document(text.get(start.0..at), start.1)?);
            start = (at, index + 1);
        }
        at += line.len();
    }
    documents.extend(reader.document(text.get(start.0..), start.1)?);
    Ok(documents)
}

struct Reader {
    /// Documents that said anything, so far.
    number: usize,
    /// Bytes that aliases of all further documents may still expand to.
    aliased_bytes_left: usize,
}

impl Reader {
    fn document(
        &mut self,
        text: Option<&str>,
        first_line: usize,
    ) -> Result<Option<Document>, ManifestError> {
        let text = text.unwrap_or_default();
        let says_nothing = |line: &str| {
            let line = line.trim();
            line.is_empty() || line.starts_with(['#', '%']) || matches!(line, "---" | "...")
        };
        let Some(skipped) = text.lines().position(|line| !says_nothing(line)) else {
            return Ok(None);
        };
        self.number += 1;
        let number = self.number;
        match self.parse(text) {
            Ok(Value::Null) => Ok(None),
            Ok(value) => Ok(Some(Document { number, line: first_line + skipped, value })),
            Err(error) => {
                let line = error.location().and_then(|at| usize::try_from(at.line()).ok());
                let line = first_line + line.map_or(skipped, |line| line.saturating_sub(1));
                let kind = ManifestErrorKind::Syntax(message(&error));
                Err(ManifestError { document: number, line, kind })
            }
        }
    }

    fn parse(&mut self, text: &str) -> Result<Value, Error> {
        // Without aliases the values are not larger than twice the text: an escape of two bytes
        // expands to three at most.
        let written = text.len().saturating_mul(2);
        // Snippets are off, so that no part of a broken Secret is shown or logged.
        let options = serde_saphyr::options! {
            with_snippet: false,
            legacy_octal_numbers: true,
            budget: serde_saphyr::budget! {
                max_events: written.saturating_add(ALIASED_EVENTS_MAX).saturating_add(EVENTS_EXTRA),
                max_nodes: written.saturating_add(ALIASED_EVENTS_MAX).saturating_add(EVENTS_EXTRA),
                max_total_scalar_bytes: written.saturating_add(self.aliased_bytes_left),
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: ALIASED_EVENTS_MAX,
            },
        };
        let read = Rc::new(Cell::new(0));
        let told = Rc::clone(&read);
        let options = options.with_budget_report(move |report| told.set(report.total_scalar_bytes));
        let value = serde_saphyr::from_str_with_options::<Unique>(text, options);
        let aliased = read.get().saturating_sub(written);
        self.aliased_bytes_left = self.aliased_bytes_left.saturating_sub(aliased);
        value.map(|Unique(value)| value)
    }
}

/// Describes an error without quoting the text.
fn message(error: &Error) -> String {
    let error = error.without_snippet();
    if is_of_aliases(error) {
        return format!(
            "its aliases (`*name`) stand for more than {ALIASED_EVENTS_MAX} values or {} MiB, the \
             most that is read; write out what they stand for",
            ALIASED_BYTES_MAX >> 20
        );
    }
    if let Some(limit) = passed(error) {
        return format!("it has more than {limit}, the most that is read");
    }
    if let Error::DuplicateMappingKey { key: Some(key), .. } = error {
        return format!("not valid YAML: key `{key}` is there twice; keep one of them");
    }
    let message = error.to_string();
    format!("not valid YAML: {}", message.lines().next().unwrap_or("not YAML"))
}

/// Returns true if a limit was exceeded that only aliases can exceed.
fn is_of_aliases(error: &Error) -> bool {
    match error {
        Error::AliasError { error, .. } => is_of_aliases(error),
        Error::AliasReplayLimitExceeded { .. } => true,
        Error::Budget { breach, .. } => {
            matches!(breach, BudgetBreach::ScalarBytes { .. })
        }
        _ => false,
    }
}

/// The limit that was passed, in words, if it is one of those that people can run into.
fn passed(error: &Error) -> Option<String> {
    let Error::Budget { breach, .. } = error else { return None };
    Some(match breach {
        BudgetBreach::Depth { depth } => format!("{} levels", depth.saturating_sub(1)),
        BudgetBreach::Anchors { anchors } => {
            format!("{} anchors (`&name`)", anchors.saturating_sub(1))
        }
        BudgetBreach::MergeKeys { merge_keys } => {
            format!("{} merge keys (`<<`)", merge_keys.saturating_sub(1))
        }
        _ => return None,
    })
}

/// Values that the aliases of one document may stand for: a map of 25 labels in 5,000 objects. Each
/// may take a kilobyte of memory.
const ALIASED_EVENTS_MAX: usize = 5_000 * 50;
/// Text that the aliases of a whole file may stand for: 70 times all public roots (220 KB). Each
/// byte may take a few of memory.
const ALIASED_BYTES_MAX: usize = 16 << 20;
/// Begin and end of stream and document, and an empty value.
const EVENTS_EXTRA: usize = 16;
