//! docs/advise.md names every key, term and field.

use super::*;

#[test]
fn the_page_names_every_key_and_every_term() {
    let page = include_str!("../../../../../docs/advise.md");
    let in_part = |heading: &str| -> Vec<String> {
        let part = page.split(heading).nth(1).unwrap().split("\n## ").next().unwrap();
        let names = part.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        names.map(|(name, _)| name.to_owned()).collect()
    };
    let terms: Vec<String> = Term::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(in_part("\n## Costs\n"), terms);
    let mut keys = BTreeSet::new();
    let mut full = profile(PROFILE);
    full.traffic.upstream_requests_per_connection = Some(1.0);
    paths(&serde_json::to_value(&full).unwrap(), "", &mut keys);
    let of_role = |key: &String| match key.split_once('.') {
        Some((table @ ("replicas" | "ticket_keys" | "rtt"), _)) => format!("{table}.ROLE"),
        _ => key.clone(),
    };
    let keys: BTreeSet<String> = keys.iter().map(of_role).collect();
    let named = in_part("\n## The profile\n").into_iter().collect();
    assert_eq!(keys, named);
    let mut keys = BTreeSet::new();
    paths(&serde_json::to_value(prices()).unwrap(), "", &mut keys);
    let named = in_part("\n## The prices\n").into_iter().collect();
    assert_eq!(keys, named);
}

#[test]
fn the_page_names_every_field_of_the_answer() {
    let page = include_str!("../../../../../docs/advise.md");
    let part = page.split("\n## The answer as JSON\n").nth(1).unwrap();
    let named: BTreeSet<&str> =
        part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let record = checked(truth, truth);
    let advice = advised(&[&record], &profile(PROFILE));
    let mut fields = BTreeSet::new();
    paths(&serde_json::to_value(&advice).unwrap(), "", &mut fields);
    assert!(fields.len() > 40, "{fields:?}");
    for field in fields {
        let path = field.replace("[]", "");
        assert!(path.split('.').all(|name| named.contains(name)), "{field}");
    }
}

fn paths(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    use serde_json::Value::{Array, Object};
    match value {
        Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                paths(value, &format!("{path}{dot}{name}"), found);
            }
        }
        Array(values) => values.iter().for_each(|value| paths(value, &format!("{path}[]"), found)),
        _ => drop(found.insert(path.to_owned())),
    }
}
