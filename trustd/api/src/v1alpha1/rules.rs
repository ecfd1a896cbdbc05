//! The rules of the CRD that are more than bounds on one value, in CEL.
//!
//! `trustd_api::validate` holds the same rules in Rust; recorded answers of a real API server keep
//! the two in step (tests/fixtures/admission). Where trust-manager's CRD has the rule, the text is
//! trust-manager's.

use kube::core::{Message, Reason, Rule};

/// `sources[]`.
pub(super) fn exactly_one_source() -> Rule {
    Rule::new(
        "(has(self.configMap)?1:0)+(has(self.secret)?1:0)+(has(self.inLine)?1:0)+\
         (has(self.useDefaultCAs)?1:0) == 1",
    )
    .message("exactly one of the fields in [configMap secret inLine useDefaultCAs] must be set")
}

/// `sources[].configMap` and `.secret`.
pub(super) fn name_or_selector() -> Rule {
    Rule::new("(has(self.name)?1:0)+(has(self.selector)?1:0) == 1")
        .message("exactly one of the fields in [name selector] must be set")
}

/// `sources[].configMap` and `.secret`.
pub(super) fn key_is_set(kind: &str) -> Rule {
    let message = format!(
        "\"key: ' ', includeAllKeys: false\": \
         source {kind} key must be defined when includeAllKeys is false"
    );
    Rule::new("has(self.key) || (has(self.includeAllKeys) && self.includeAllKeys)")
        .message(Message::Message(message))
}

/// `sources[].configMap` and `.secret`.
pub(super) fn key_is_not_set(kind: &str) -> Rule {
    let message = format!(
        "'\"key: ' + self.key + ', includeAllKeys: true\": \
         source {kind} key cannot be defined when includeAllKeys is true'"
    );
    Rule::new("!has(self.key) || !has(self.includeAllKeys) || !self.includeAllKeys")
        .message(Message::Expression(message))
}

/// `sources`.
pub(super) fn some_source() -> Rule {
    Rule::new("self.exists(s, !has(s.useDefaultCAs) || s.useDefaultCAs)")
        .message("must define at least one source")
        .reason(Reason::FieldValueForbidden)
}

/// `sources`. The exact number would cost more than the API server allows.
pub(super) fn default_cas_once() -> Rule {
    let message = "'must request default CAs either once or not at all but got ' + \
                   (self.filter(s, has(s.useDefaultCAs)).size() == 2 ? '2' : 'more than 2') + \
                   ' requests'";
    Rule::new("self.filter(s, has(s.useDefaultCAs)).size() <= 1")
        .message(Message::Expression(message.to_owned()))
        .reason(Reason::FieldValueForbidden)
}

/// The Bundle. No wider than trust-manager's rule: updates of the status run this one again, and a
/// wider one would lock old Bundles out.
pub(super) fn not_its_own_source(kind: &str) -> Rule {
    Rule::new(format!(
        "!has(self.spec.target) || !has(self.spec.target.{kind}) || \
         !self.spec.sources.exists(s, has(s.{kind}) && has(s.{kind}.name) && has(s.{kind}.key) && \
         s.{kind}.name == self.metadata.name && s.{kind}.key == self.spec.target.{kind}.key)"
    ))
    .message("cannot define the same source as target")
    .reason(Reason::FieldValueForbidden)
    .field_path(".spec.sources")
}

/// `target`.
pub(super) fn some_target() -> Rule {
    Rule::new("has(self.configMap)||has(self.secret)")
        .message("at least one of the fields in [configMap secret] must be set")
}

/// `target.additionalFormats`.
pub(super) fn some_format() -> Rule {
    Rule::new("has(self.jks)||has(self.pkcs12)")
        .message("at least one of the fields in [jks pkcs12] must be set")
}

/// `target`: the key of a store differs from the keys before it.
pub(super) fn unique_key(store: &str) -> Rule {
    let formats = "self.additionalFormats";
    let mut differs = format!(
        "(!has(self.configMap) || self.configMap.key != {formats}.{store}.key) && \
         (!has(self.secret) || self.secret.key != {formats}.{store}.key)"
    );
    if store == "pkcs12" {
        differs += " && (!has(self.additionalFormats.jks) || \
             self.additionalFormats.jks.key != self.additionalFormats.pkcs12.key)";
    }
    let message = format!(
        "'\"' + {formats}.{store}.key + '\": key must be unique across all target output keys'"
    );
    Rule::new(format!("!has({formats}) || !has({formats}.{store}) || ({differs})"))
        .message(Message::Expression(message))
        .field_path(format!(".additionalFormats.{store}.key"))
}

/// `matchLabels`, and labels of a target: every key is one that a label can have.
pub(super) fn label_keys() -> Rule {
    keys("k")
}

/// Annotations of a target: their keys may be in upper case.
pub(super) fn annotation_keys() -> Rule {
    keys("k.lowerAscii()")
}

fn keys(key: &str) -> Rule {
    let fault = format!("format.qualifiedName().validate({key})");
    let message = format!(
        "'\"' + self.filter(k, {fault}.hasValue())[0] + '\": {}'",
        QUALIFIED_NAME.replace('\'', "\\'")
    );
    Rule::new(format!("self.all(k, !{fault}.hasValue())")).message(Message::Expression(message))
}

/// Labels and annotations of a target.
pub(super) fn not_reserved(what: &str) -> Rule {
    let [first, second] = crate::labels::RESERVED_PREFIXES;
    let reserved = format!("(k.startsWith('{first}') || k.startsWith('{second}'))");
    let message = format!(
        "'\"' + self.filter(k, {reserved})[0] + '\": ' + \
         (self.exists(k, k.startsWith('{first}')) ? '{first}' : '{second}') + \
         '* {what} are not allowed'"
    );
    Rule::new(format!("self.all(k, !{reserved})")).message(Message::Expression(message))
}

/// `matchExpressions[]`.
pub(super) fn values_given() -> Rule {
    Rule::new("self.operator in ['In','NotIn'] ? has(self.values) && size(self.values) > 0 : true")
        .message("must be specified when `operator` is 'In' or 'NotIn'")
        .reason(Reason::FieldValueRequired)
        .field_path(".values")
}

/// `matchExpressions[]`.
pub(super) fn values_not_given() -> Rule {
    Rule::new(
        "self.operator in ['Exists','DoesNotExist'] ? \
         !has(self.values) || size(self.values) == 0 : true",
    )
    .message("may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    .reason(Reason::FieldValueForbidden)
    .field_path(".values")
}

/// Kubernetes' message for a bad key, which does not say which part is bad.
pub(crate) const QUALIFIED_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
     with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
     validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
