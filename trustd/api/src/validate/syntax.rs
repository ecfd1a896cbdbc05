//! The syntaxes that Kubernetes has for names, keys and values.

use crate::v1alpha1;

/// Returns true if `text` matches one of the CRD's patterns. They are few and written out here,
/// which is less than a regular expression engine. An unknown pattern matches nothing, and a test
/// fails.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        v1alpha1::LABEL_VALUE_PATTERN => text.is_empty() || is_name(text),
        v1alpha1::LABEL_KEY_PATTERN => match text.rsplit_once('/') {
            Some((prefix, name)) => is_subdomain_of_any_length(prefix) && is_name_part(name),
            None => is_name_part(text),
        },
        _ => false,
    }
}

/// Returns the problem with a label's key, if there is one.
pub(crate) fn label_key_fault(key: &str) -> Option<&'static str> {
    let good = match key.split_once('/') {
        Some((prefix, name)) => subdomain_fault(prefix).is_none() && is_name_part(name),
        None => is_name_part(key),
    };
    (!good).then_some(v1alpha1::QUALIFIED_NAME)
}

/// Returns the problem with an object's name, if there is one.
pub(crate) fn subdomain_fault(name: &str) -> Option<&'static str> {
    if name.len() > SUBDOMAIN_MAX {
        Some("must be no more than 253 characters")
    } else if is_subdomain_of_any_length(name) {
        None
    } else {
        Some(SUBDOMAIN)
    }
}

/// Returns the problem with a namespace's name, if there is one.
pub(crate) fn dns_label_fault(name: &str) -> Option<&'static str> {
    if name.len() > NAME_PART_MAX {
        Some("must be no more than 63 characters")
    } else if is_dns_label(name) {
        None
    } else {
        Some(DNS_LABEL)
    }
}

/// Returns the problem with a key below `data`, if there is one.
pub(crate) fn data_key_fault(key: &str) -> Option<&'static str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if key.len() > SUBDOMAIN_MAX {
        Some("must be no more than 253 characters")
    } else if key.is_empty() || !key.bytes().all(good) {
        Some(DATA_KEY)
    // Keys become file names in volumes; the kubelet reserves names that begin with `..`.
    } else if key == "." {
        Some("must not be '.'")
    } else if key == ".." {
        Some("must not be '..'")
    } else if key.starts_with("..") {
        Some("must not start with '..'")
    } else {
        None
    }
}

/// The part of a label's key after the slash.
fn is_name_part(name: &str) -> bool {
    name.len() <= NAME_PART_MAX && is_name(name)
}

/// Letters and digits, with `-`, `_` and `.` between them.
fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    outer(bytes.first()) && outer(bytes.last()) && name.bytes().all(inner)
}

fn is_subdomain_of_any_length(name: &str) -> bool {
    name.split('.').all(is_dns_label)
}

fn is_dns_label(label: &str) -> bool {
    let outer = |byte: Option<&u8>| byte.is_some_and(|b| *b != b'-');
    let bytes = label.as_bytes();
    outer(bytes.first())
        && outer(bytes.last())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The maximum length of the name part, and of a label's value.
pub(super) const NAME_PART_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
    characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
    '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DATA_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or \
    '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is \
    '[-._a-zA-Z0-9]+')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_keys_are_what_the_api_server_takes() {
        for good in ["a", "ca-bundle.crt", ".hidden", "A_b-1"] {
            assert_eq!(data_key_fault(good), None, "{good}");
        }
        let long = "k".repeat(254);
        for bad in ["", "a b", "a/b", "ä", ".", "..", "..a", long.as_str()] {
            assert!(data_key_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn keys_of_labels_have_a_prefix_of_bounded_length() {
        let long = format!("{}/c", "p".repeat(254));
        let full = format!("{}/{}", "p".repeat(253), "n".repeat(63));
        for good in ["a", "a/b", "a.b/C_d", "x-y.z/1", full.as_str()] {
            assert_eq!(label_key_fault(good), None, "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a/b/c", "A/b", "a../b", "-a", "a-", long.as_str()] {
            assert!(label_key_fault(bad).is_some(), "{bad}");
        }
        assert!(matches(v1alpha1::LABEL_KEY_PATTERN, "a.b/c"));
        for bad in ["a/b/c", "A.b/c", "/c", "a/", "a/-b", "a\n"] {
            assert!(!matches(v1alpha1::LABEL_KEY_PATTERN, bad), "{bad}");
        }
    }
}
