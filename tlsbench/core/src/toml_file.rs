//! Files that people write in TOML: an error names line, key and cure.
//!
//! Scenarios, labs, prices and traffic profiles are read alike. What cannot be read shows no value
//! of the file, which may be a secret.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::DeTable;

use crate::problem::Problem;

/// Reads a file of any form that refuses unknown keys; `name` is what the whole of it is called.
pub(crate) fn read_toml<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, Problem> {
    toml::from_str(text).map_err(|error| problem(text, name, &error))
}

impl Problem {
    /// The same with the line that says its key.
    pub(crate) fn at_line_of(self, text: &str) -> Self {
        let path: Vec<_> = self.key.split('.').map(step).collect();
        let line = self.line.or_else(|| line_of(text, &path));
        Self { line, ..self }
    }

    /// The same with its line in the scenario file, where that said the key and the flags, which
    /// win over it, did not.
    #[must_use]
    pub fn in_file(self, text: &str, flags: &impl Serialize) -> Self {
        let line = self.line.or_else(|| line_of_key(text, &self.key, flags));
        Self { line, ..self }
    }
}

/// The line of a scenario file that says a key such as `tls.resume` or `placement[1].name`, unless
/// the flags, which win over it, say it too.
fn line_of_key(text: &str, key: &str, flags: &impl Serialize) -> Option<usize> {
    let path: Vec<(&str, Option<usize>)> = key.split('.').map(step).collect();
    let names: Vec<&str> = path.iter().map(|(name, _)| *name).collect();
    // A flag wins over the file; naming the file's line would send the reader to the wrong place.
    line_of(text, &path).filter(|_| !says(flags, &names))
}

/// A part of a key: its name, and which of several it is.
fn step(part: &str) -> (&str, Option<usize>) {
    let several = part.strip_suffix(']').and_then(|part| part.split_once('['));
    match several.and_then(|(name, index)| Some((name, index.parse().ok()?))) {
        Some((name, index)) => (name, Some(index)),
        None => (part, None),
    }
}

/// The line that says a key; of one of several tables that does not say it, the line that this
/// begins with. `None` if none does, or where it may be any of several tables.
fn line_of(text: &str, path: &[(&str, Option<usize>)]) -> Option<usize> {
    let (last, tables) = path.split_last()?;
    let root = DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut begin = None;
    for (name, index) in tables {
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
        let value = match (value.get_ref().as_array(), index) {
            (Some(several), Some(index)) => several.get(*index)?,
            // Which of several tables is meant, nobody said.
            (Some(several), None) if several.len() > 1 => return None,
            (Some(one), None) => one.first()?,
            (None, _) => value,
        };
        begin = index.and(Some(value.span().start)).or(begin);
        table = value.get_ref().as_table()?;
    }
    let said = table.iter().find(|(key, _)| key.get_ref() == last.0);
    line_at(text, said.map(|(key, _)| key.span().start).or(begin)?)
}

/// Returns true if a draft says a key, in any of several tables.
fn says(draft: &impl Serialize, path: &[&str]) -> bool {
    fn within(value: &toml::Value, path: &[&str]) -> bool {
        match (path, value) {
            ([], _) => true,
            (path, toml::Value::Array(several)) => several.iter().any(|one| within(one, path)),
            ([name, rest @ ..], table) => table.get(name).is_some_and(|value| within(value, rest)),
        }
    }
    toml::Value::try_from(draft).is_ok_and(|value| within(&value, path))
}

fn line_at(text: &str, start: usize) -> Option<usize> {
    Some(text.get(..start)?.matches('\n').count() + 1)
}

fn problem(text: &str, name: &str, error: &toml::de::Error) -> Problem {
    let line = error.span().and_then(|span| line_at(text, span.start));
    let source = line.and_then(|line| text.lines().nth(line - 1)).unwrap_or_default();
    let key = key_at(text, name, line, source);
    let message = &*without_value(error.message());
    // serde's words: "unknown field `ratee`, expected one of `rate`, `spread`".
    // Our own words for the most common mistake: a misspelled key.
    if let Some(rest) = message.strip_prefix("unknown field `")
        && let Some((field, known)) = rest.split_once('`')
    {
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let cure = match nearest(field, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys here are {}", known.join(", ")),
        };
        return Problem { line, key, seen: "no such key".to_owned(), cure };
    }
    let cure = match message {
        _ if message.contains("expected") => "write what is expected there",
        _ if message.contains("is none of") => "write one of these",
        _ if message.contains("missing field") => "add it",
        _ if message.contains("duplicate") => "keep one of them",
        _ => "see TOML's rules at <https://toml.io>, and docs of the key",
    };
    Problem { line, key, seen: message.replace('\n', ", "), cure: cure.to_owned() }
}

/// serde's words without a text that they quote, which may be a secret: "invalid type: string
/// "hush", expected a sequence".
fn without_value(message: &str) -> Cow<'_, str> {
    match (message.find("string \""), message.rfind("\", expected")) {
        (Some(begin), Some(end)) if begin < end => {
            let (before, after) = (message.get(..begin), message.get(end + 1..));
            Cow::Owned(format!("{}a text{}", before.unwrap_or(""), after.unwrap_or("")))
        }
        _ => Cow::Borrowed(message),
    }
}

/// The key of a line, with the table that it stands in.
fn key_at(text: &str, name: &str, line: Option<usize>, source: &str) -> String {
    let header = |line: &str| {
        let line = line.trim();
        let inner = line.strip_prefix('[')?.split(']').next()?;
        Some(inner.trim_start_matches('[').trim().to_owned())
    };
    let table = text.lines().take(line.unwrap_or_default()).filter_map(header).last();
    let key = source.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.is_empty());
    match (table, key) {
        (Some(table), Some(key)) => format!("{table}.{key}"),
        (Some(table), None) => table,
        (None, Some(key)) => key.to_owned(),
        (None, None) => name.to_owned(),
    }
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // Keys are short; the comparison takes the product of both lengths.
    if word.len() > KEY_MAX {
        return None;
    }
    let near = known.iter().map(|known| (distance(word, known), *known)).min();
    // Two edits: one typo, or two swapped letters.
    near.filter(|(distance, _)| *distance <= 2).map(|(_, known)| known)
}

/// Levenshtein's distance, by Wagner and Fischer's rows.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, l) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut last = index + 1;
        for (cell, r) in row.iter_mut().skip(1).zip(right.chars()) {
            let replaced = diagonal + usize::from(l != r);
            diagonal = *cell;
            last = replaced.min(last + 1).min(diagonal + 1);
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Takes each field from the draft above, and from the one below what is not said there.
macro_rules! layered {
    ($type:ident { $($field:ident),+ $(,)? }) => {
        impl $type {
            /// This, with what it leaves open taken from `below`.
            #[must_use]
            pub fn or(self, below: Self) -> Self {
                Self { $($field: self.$field.or(below.$field)),+ }
            }
        }
    };
}

pub(crate) use layered;

/// Spans of time as text.
pub(crate) mod span {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::units::Nanos;

    pub(crate) fn serialize<S: Serializer>(span: &Option<Nanos>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => to.serialize_some(&span.exact()),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Nanos>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// The longest key that is compared with known ones; the longest of those has 24 bytes.
const KEY_MAX: usize = 40;
