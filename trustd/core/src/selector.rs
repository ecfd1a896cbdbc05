//! Label selectors: matching, and the text form that Kubernetes prints.
//!
//! Selectors are valid here: `trustd-api` validates them, and names the invalid field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A label selector (metav1.LabelSelector): every requirement must hold. Empty matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The condition on its value.
    pub condition: Condition,
}

/// A condition on a label's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The label does not exist.
    Absent,
    /// The label has this value (`matchLabels`).
    Equals(String),
    /// The label exists, with any value.
    Exists,
    /// The label has one of these values.
    In(BTreeSet<String>),
    /// The label does not exist, or has another value.
    NotIn(BTreeSet<String>),
}

impl Selector {
    /// Creates a selector of these requirements.
    #[must_use]
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        // Kubernetes prints selectors sorted by key; `matchLabels` come before expressions.
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements }
    }

    /// Returns true if every object matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Returns true if an object with these labels matches.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.condition {
                Condition::Absent => value.is_none(),
                Condition::Equals(wanted) => value == Some(wanted),
                Condition::Exists => value.is_some(),
                Condition::In(wanted) => value.is_some_and(|value| wanted.contains(value)),
                // Kubernetes lets `notin` match objects without the label.
                // https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
                Condition::NotIn(unwanted) => value.is_none_or(|value| !unwanted.contains(value)),
            }
        })
    }
}

impl fmt::Display for Selector {
    /// Prints the form of Kubernetes: `env=prod,team in (a,b),!legacy`, sorted by key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Requirement { key, condition }) in self.requirements.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            let list = |values: &BTreeSet<String>| {
                values.iter().map(String::as_str).collect::<Vec<_>>().join(",")
            };
            match condition {
                Condition::Absent => write!(f, "!{key}")?,
                Condition::Equals(value) => write!(f, "{key}={value}")?,
                Condition::Exists => write!(f, "{key}")?,
                Condition::In(values) => write!(f, "{key} in ({})", list(values))?,
                Condition::NotIn(values) => write!(f, "{key} notin ({})", list(values))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn one(condition: Condition) -> Selector {
        Selector::new(vec![Requirement { key: "env".into(), condition }])
    }

    #[test]
    fn each_condition_holds_for_the_labels_that_kubernetes_says() {
        let prod = labels(&[("env", "prod")]);
        let dev = labels(&[("env", "dev")]);
        let none = labels(&[("other", "x")]);
        let cases = [
            (Condition::Equals("prod".into()), [true, false, false]),
            (Condition::In(set(&["prod", "test"])), [true, false, false]),
            // A label that is not there is "not in" anything.
            (Condition::NotIn(set(&["prod"])), [false, true, true]),
            (Condition::Exists, [true, true, false]),
            (Condition::Absent, [false, false, true]),
        ];
        for (condition, wanted) in cases {
            let selector = one(condition);
            let got = [&prod, &dev, &none].map(|labels| selector.matches(labels));
            assert_eq!(got, wanted, "{selector}");
        }
        assert!(Selector::default().matches(&none));
    }

    #[test]
    fn all_requirements_must_hold() {
        let selector = Selector::new(vec![
            Requirement { key: "env".into(), condition: Condition::Exists },
            Requirement { key: "team".into(), condition: Condition::Equals("a".into()) },
        ]);
        assert!(!selector.matches(&labels(&[("env", "prod")])));
        assert!(selector.matches(&labels(&[("env", "prod"), ("team", "a")])));
    }

    #[test]
    fn is_printed_as_kubernetes_prints_it() {
        let selector = Selector::new(vec![
            Requirement { key: "z".into(), condition: Condition::Equals("1".into()) },
            Requirement { key: "team".into(), condition: Condition::In(set(&["b", "a"])) },
            Requirement { key: "m".into(), condition: Condition::NotIn(set(&["x"])) },
            Requirement { key: "legacy".into(), condition: Condition::Absent },
            Requirement { key: "e".into(), condition: Condition::Exists },
        ]);
        assert_eq!(selector.to_string(), "e,!legacy,m notin (x),team in (a,b),z=1");
    }
}
