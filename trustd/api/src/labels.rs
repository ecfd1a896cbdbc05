//! The words of the API: group, kinds, labels, annotations and the field manager's name.
//!
//! They are trust-manager's wherever it has one, because objects in clusters carry them already.

/// The API group of [`Bundle`](crate::v1alpha1::Bundle).
pub const GROUP: &str = "trust.cert-manager.io";

/// The one version of [`GROUP`] that trustd serves and stores.
pub const VERSION: &str = "v1alpha1";

/// [`GROUP`] and [`VERSION`], as manifests and owner references write them.
pub const API_VERSION: &str = "trust.cert-manager.io/v1alpha1";

/// The kind of a Bundle.
pub const KIND: &str = "Bundle";

/// The name of the CRD: plural and [`GROUP`].
pub const CRD_NAME: &str = "bundles.trust.cert-manager.io";

/// Label on every target: the name of the Bundle that it belongs to.
pub const BUNDLE_LABEL: &str = trustd_core::names::BUNDLE_LABEL;

/// Annotation on every target: trust-manager's hash of what the target should hold.
pub const HASH_ANNOTATION: &str = "trust.cert-manager.io/hash";

/// Annotation that trustd's own writes add: a digest of keys, formats, parameters and metadata.
pub const CONTENT_ANNOTATION: &str = "trust.cert-manager.io/content";

/// Annotation on a target that someone else made: only our keys, labels and annotations are ours.
pub const SHARED_ANNOTATION: &str = "trust.cert-manager.io/shared";

/// Annotation by which the owner of an object lets trustd replace a key that is not trustd's.
pub const ALLOW_OVERWRITE_ANNOTATION: &str = "trust.cert-manager.io/allow-overwrite";

/// Annotation on a Bundle that stops its writes.
pub const PAUSED_ANNOTATION: &str = "trust.cert-manager.io/paused";

/// The value that switches an annotation on; every other value, `True` too, leaves it off.
pub const ON: &str = "true";

/// Prefixes of label and annotation keys that a Bundle may not ask for on its targets.
pub const RESERVED_PREFIXES: [&str; 2] = ["trust.cert-manager.io/", "trust-manager.io/"];

/// The name under which every field is applied: trust-manager's, so that a swap changes no owner.
pub const FIELD_MANAGER: &str = "trust-manager";

/// Label that the API server puts on every namespace: its own name.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The only condition type that trustd writes.
pub const SYNCED: &str = "Synced";

/// The password of a JKS store when a Bundle gives none.
pub const JKS_PASSWORD_DEFAULT: &str = "changeit";

/// The password of a PKCS#12 store when a Bundle gives none: neither encryption nor MAC.
pub const PKCS12_PASSWORD_DEFAULT: &str = "";
