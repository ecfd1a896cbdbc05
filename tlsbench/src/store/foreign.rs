//! Names what a file is that was given for a record and is none.

use serde_json::Value;
use serde_json::error::Category;

/// Names an encoding that is not plain UTF-8 by its byte order mark, as some editors and shells
/// write it.
pub(super) fn encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xEF, 0xBB, 0xBF, ..] => Some(
            "it begins with a byte order mark, which JSON has none of; save it as UTF-8 without one",
        ),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            Some("it is UTF-16, and a record is UTF-8; convert it")
        }
        _ => None,
    }
}

/// Names a document that has nothing of a record; `None` if it looks like one that is damaged.
pub(super) fn document(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some(format!("it is empty; {WANTED}"));
    }
    let value = match serde_json::from_str::<Value>(text) {
        Ok(value) => value,
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return match error.classify() {
                Category::Eof => Some(format!("it ends in the middle, in line {line}; {WANTED}")),
                // A record with something behind it begins well, and its end is named.
                Category::Syntax if !text.trim_start().starts_with('{') => {
                    Some(format!("it is no JSON (line {line}, column {column}); {WANTED}"))
                }
                _ => None,
            };
        }
    };
    let kind = match value {
        Value::Array(_) => "a JSON array",
        Value::Bool(_) => "a JSON boolean",
        Value::Null => "a JSON null",
        Value::Number(_) => "a JSON number",
        Value::String(_) => "a JSON string",
        Value::Object(fields) => {
            let has = |name: &str| fields.contains_key(name);
            // Redirecting standard output into a file is how most people keep a result, and this
            // document has the record inside of another.
            if has("recordPath") {
                return Some(
                    "it is what `tlsbench run -o json` printed; name the file that its `recordPath` tells"
                        .to_owned(),
                );
            }
            // Enough to say that it was a record: which field is missing or wrong is told by its
            // path then.
            if has("schema") && (has("scenario") || has("lab") || has("targets")) {
                return None;
            }
            return Some(match fields.keys().next() {
                Some(first) => {
                    format!("it is another JSON object, which begins with `{first}`; {WANTED}")
                }
                None => format!("it is an empty JSON object; {WANTED}"),
            });
        }
    };
    Some(format!("it is {kind}; {WANTED}"))
}

const WANTED: &str = "name a file that `tlsbench run`, `aa` or `merge` wrote, a JSON object with `schema` and `program`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_document_is_named_and_none_in_words_of_a_library() {
        for (text, wanted) in [
            ("", "it is empty; name a file that"),
            (" \n", "it is empty"),
            ("[]", "it is a JSON array; name a file that"),
            ("null", "it is a JSON null"),
            ("7", "it is a JSON number"),
            ("\"schema\"", "it is a JSON string"),
            ("{", "it ends in the middle, in line 1"),
            ("{}", "it is an empty JSON object"),
            ("{\"kind\": \"List\", \"schema\": 1}", "which begins with `kind`"),
            ("not json", "it is no JSON (line 1, column 2)"),
            ("{\"recordPath\": \"run.json\"}", "its `recordPath` tells"),
        ] {
            let what = document(text).unwrap();
            assert!(what.contains(wanted), "{text}: {what}");
        }
        assert_eq!(document("{\"schema\": 1, \"targets\": 7}"), None);
        assert_eq!(document("{\"schema\": 1, \"lab\": {}} x"), None);
        assert_eq!(encoding(b"{}"), None);
        assert!(encoding(b"\xEF\xBB\xBF{}").unwrap().contains("byte order mark"));
        assert!(encoding(b"\xFF\xFE{\0").unwrap().contains("UTF-16"));
    }
}
