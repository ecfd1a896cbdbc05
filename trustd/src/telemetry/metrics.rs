//! Metrics, as OpenMetrics text. Labels are few and bounded: never a namespace, never a text of an
//! error.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use trustd_core::outcome::TargetCounts;

/// Labels of a metric: names and values.
type Labels<const N: usize> = [(&'static str, String); N];

/// The metrics of this process. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    certificates: Family<Labels<1>, Gauge>,
    certificates_dropped: Family<Labels<2>, Gauge>,
    sources_without: Family<Labels<1>, Gauge>,
    earliest_expiry: Family<Labels<1>, Gauge>,
    targets: Family<Labels<2>, Gauge>,
    synced: Family<Labels<1>, Gauge>,
    last_sync: Family<Labels<1>, Gauge<f64, AtomicU64>>,
    latency: Histogram,
    writes: Family<Labels<3>, Counter>,
    planned: Counter,
    queue_depth: Gauge,
    in_flight: Gauge,
    leader: Gauge,
    contested: Family<Labels<1>, Counter>,
    watch_failures: Family<Labels<1>, Counter>,
    watch_age: Family<Labels<1>, Gauge<f64, AtomicU64>>,
    events_lost: Counter,
    package_failures: Counter,
    schema_outdated: Gauge,
}

/// The time from a change to the last target that it concerned.
pub type Latency = Duration;

/// Every metric: its name as it is served, its kind, its labels, and what it says. The registry and
/// docs/metrics.md are held to this list by tests.
pub const METRICS: [(&str, &str, &str, &str); 19] = [
    ("trustd_bundle_certificates", "gauge", "bundle", "Certificates in the bundle"),
    (
        "trustd_bundle_certificates_left_out",
        "gauge",
        "bundle, why",
        "Certificates and PEM blocks found and not in the bundle: filtered or skipped",
    ),
    (
        "trustd_bundle_sources_without_certificates",
        "gauge",
        "bundle",
        "Named keys and inline texts of the Bundle in which there is no certificate",
    ),
    (
        "trustd_bundle_earliest_expiry_timestamp_seconds",
        "gauge",
        "bundle",
        "When the first certificate of the bundle expires",
    ),
    (
        "trustd_bundle_targets",
        "gauge",
        "bundle, state",
        "Targets by state: desired, synced, failed, refused",
    ),
    ("trustd_bundle_synced", "gauge", "bundle", "1 while the condition Synced is True, else 0"),
    (
        "trustd_bundle_last_sync_timestamp_seconds",
        "gauge",
        "bundle",
        "When every target was last found or made as it should be",
    ),
    (
        "trustd_sync_duration_seconds",
        "histogram",
        "",
        "From a change of a Bundle or source that was seen to its last target written",
    ),
    (
        "trustd_api_writes_total",
        "counter",
        "verb, kind, outcome",
        "Writes sent to the API server; outcome is ok or the category of the error",
    ),
    ("trustd_targets_planned_total", "counter", "", "Targets looked at by the planner"),
    ("trustd_queue_depth", "gauge", "", "Targets that are due or will be tried again"),
    ("trustd_writes_in_flight", "gauge", "", "Target writes in flight"),
    ("trustd_leader", "gauge", "", "1 while this process holds the lease, else 0"),
    (
        "trustd_targets_contested_total",
        "counter",
        "bundle",
        "Targets that others undo again and again, counted when that is found out",
    ),
    (
        "trustd_watch_age_seconds",
        "gauge",
        "watch",
        "Since a watch last heard anything, be it a bookmark; of several of one name the oldest",
    ),
    ("trustd_watch_failures_total", "counter", "watch", "Watches and lists that failed"),
    ("trustd_events_lost_total", "counter", "", "Events that could not be written"),
    (
        "trustd_default_package_failures_total",
        "counter",
        "",
        "Times that the default CA package changed and could not be used",
    ),
    (
        "trustd_schema_outdated",
        "gauge",
        "",
        "1 while the CRD in the cluster lacks fields of this version, else 0",
    ),
];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them, at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix("trustd"),
            certificates: Family::default(),
            certificates_dropped: Family::default(),
            sources_without: Family::default(),
            earliest_expiry: Family::default(),
            targets: Family::default(),
            synced: Family::default(),
            last_sync: Family::default(),
            latency: Histogram::new(exponential_buckets(0.05, 2.0, LATENCY_BUCKETS)),
            writes: Family::default(),
            planned: Counter::default(),
            queue_depth: Gauge::default(),
            in_flight: Gauge::default(),
            leader: Gauge::default(),
            contested: Family::default(),
            watch_failures: Family::default(),
            watch_age: Family::default(),
            events_lost: Counter::default(),
            package_failures: Counter::default(),
            schema_outdated: Gauge::default(),
        };
        inner.register();
        Self(Arc::new(inner))
    }

    /// Every metric as OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }

    /// A Bundle's certificates: how many, how many left out, and when the first expires (seconds
    /// since 1970).
    pub fn certificates(
        &self,
        bundle: &str,
        total: usize,
        filtered: usize,
        skipped: usize,
        earliest: Option<i64>,
    ) {
        self.0.certificates.get_or_create(&of(bundle)).set(number(total));
        for (why, count) in [("filtered", filtered), ("skipped", skipped)] {
            let labels = [("bundle", bundle.to_owned()), ("why", why.to_owned())];
            self.0.certificates_dropped.get_or_create(&labels).set(number(count));
        }
        match earliest {
            Some(seconds) => {
                self.0.earliest_expiry.get_or_create(&of(bundle)).set(seconds);
            }
            None => drop(self.0.earliest_expiry.remove(&of(bundle))),
        }
    }

    /// Sets how many of a Bundle's named keys and inline texts hold no certificate.
    pub fn sources_without_certificates(&self, bundle: &str, count: usize) {
        self.0.sources_without.get_or_create(&of(bundle)).set(number(count));
    }

    /// A Bundle's targets, and whether it is synced.
    pub fn targets(&self, bundle: &str, counts: TargetCounts, synced: bool) {
        let TargetCounts { desired, synced: done, failed, refused } = counts;
        for (state, count) in STATES.into_iter().zip([desired, done, failed, refused]) {
            self.0.targets.get_or_create(&state_of(bundle, state)).set(number(count));
        }
        self.0.synced.get_or_create(&of(bundle)).set(i64::from(synced));
    }

    /// Every target of a Bundle is as it should be, at this time (seconds since 1970); `latency` is
    /// how long it took when something had changed.
    pub fn synced(&self, bundle: &str, now: i64, latency: Option<Latency>) {
        self.0.last_sync.get_or_create(&of(bundle)).set(now as f64);
        if let Some(latency) = latency {
            self.0.latency.observe(latency.as_secs_f64());
        }
    }

    /// A Bundle is gone, and its series with it.
    pub fn forget(&self, bundle: &str) {
        self.0.certificates.remove(&of(bundle));
        self.0.earliest_expiry.remove(&of(bundle));
        self.0.sources_without.remove(&of(bundle));
        self.0.synced.remove(&of(bundle));
        self.0.last_sync.remove(&of(bundle));
        self.0.contested.remove(&of(bundle));
        for state in STATES {
            self.0.targets.remove(&state_of(bundle, state));
        }
        for why in ["filtered", "skipped"] {
            let labels = [("bundle", bundle.to_owned()), ("why", why.to_owned())];
            self.0.certificates_dropped.remove(&labels);
        }
    }

    /// A write was answered, or not.
    pub fn written(&self, verb: &str, kind: &str, outcome: &str) {
        let labels =
            [("verb", verb.to_owned()), ("kind", kind.to_owned()), ("outcome", outcome.to_owned())];
        self.0.writes.get_or_create(&labels).inc();
    }

    /// The planner looked at so many targets.
    pub fn planned(&self, targets: u64) {
        self.0.planned.inc_by(targets);
    }

    /// Sets how many targets wait, and how many are being written.
    pub fn queue(&self, depth: usize, in_flight: usize) {
        self.0.queue_depth.set(number(depth));
        self.0.in_flight.set(number(in_flight));
    }

    /// Sets whether this process leads.
    pub fn leader(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }

    /// A target of a Bundle is contested.
    pub fn contested(&self, bundle: &str) {
        self.0.contested.get_or_create(&of(bundle)).inc();
    }

    /// A watch last heard something this long ago.
    pub fn watch_age(&self, watch: &str, age: Duration) {
        self.0.watch_age.get_or_create(&[("watch", watch.to_owned())]).set(age.as_secs_f64());
    }

    /// A watch or a list failed.
    pub fn watch_failed(&self, watch: &str) {
        self.0.watch_failures.get_or_create(&[("watch", watch.to_owned())]).inc();
    }

    /// An event could not be written.
    pub fn event_lost(&self) {
        self.0.events_lost.inc();
    }

    /// The default CA package changed and cannot be used.
    pub fn package_failed(&self) {
        self.0.package_failures.inc();
    }

    /// Sets whether the CRD in the cluster lacks fields of this version.
    pub fn schema_outdated(&self, outdated: bool) {
        self.0.schema_outdated.set(i64::from(outdated));
    }
}

impl Inner {
    fn register(&mut self) {
        let help = |name: &str| {
            let found = METRICS.iter().find(|(known, ..)| {
                known.strip_prefix("trustd_").is_some_and(|known| {
                    known.trim_end_matches("_total").trim_end_matches("_seconds") == name
                })
            });
            found.map_or("", |(.., help)| help)
        };
        let registry = &mut self.registry;
        macro_rules! register {
            ($($name:literal $field:ident,)*) => {
                $(registry.register($name, help($name), self.$field.clone());)*
            };
        }
        register! {
            "bundle_certificates" certificates,
            "bundle_certificates_left_out" certificates_dropped,
            "bundle_sources_without_certificates" sources_without,
            "bundle_targets" targets,
            "bundle_synced" synced,
            "api_writes" writes,
            "targets_planned" planned,
            "queue_depth" queue_depth,
            "writes_in_flight" in_flight,
            "leader" leader,
            "targets_contested" contested,
            "watch_failures" watch_failures,
            "events_lost" events_lost,
            "default_package_failures" package_failures,
            "schema_outdated" schema_outdated,
        }
        macro_rules! register_seconds {
            ($($name:literal $field:ident,)*) => {
                $(registry.register_with_unit(
                    $name, help($name), Unit::Seconds, self.$field.clone());)*
            };
        }
        register_seconds! {
            "bundle_earliest_expiry_timestamp" earliest_expiry,
            "bundle_last_sync_timestamp" last_sync,
            "sync_duration" latency,
            "watch_age" watch_age,
        }
    }
}

fn of(bundle: &str) -> Labels<1> {
    [("bundle", bundle.to_owned())]
}

fn state_of(bundle: &str, state: &str) -> Labels<2> {
    [("bundle", bundle.to_owned()), ("state", state.to_owned())]
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

const STATES: [&str; 4] = ["desired", "synced", "failed", "refused"];
/// Buckets that double from 50 ms to about 27 minutes: from one target to tens of thousands.
const LATENCY_BUCKETS: u16 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Metrics {
        let metrics = Metrics::new();
        metrics.certificates("b", 3, 1, 2, Some(7));
        metrics.sources_without_certificates("b", 1);
        metrics.targets("b", TargetCounts { desired: 4, ..TargetCounts::default() }, true);
        metrics.synced("b", 9, Some(Duration::from_secs(1)));
        metrics.written("apply", "ConfigMap", "ok");
        metrics.contested("b");
        metrics.watch_failed("bundles");
        metrics.watch_age("bundles", Duration::from_secs(1));
        metrics
    }

    #[test]
    fn what_is_served_is_what_the_list_says() {
        let text = filled().text();
        let served: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        assert_eq!(served.len(), METRICS.len(), "{text}");
        for (name, kind, _, help) in METRICS {
            let family = name.trim_end_matches("_total");
            assert!(served.contains(&(family, kind)), "{name} {kind}: {served:?}");
            assert!(text.contains(&format!("# HELP {family} {help}.")), "{name}");
            assert!(text.lines().any(|line| line.starts_with(name)), "{name} has no sample");
        }
    }

    #[test]
    fn the_page_lists_every_metric_and_no_other() {
        let page = include_str!("../../../docs/metrics.md");
        let rows: Vec<String> =
            page.lines().filter(|line| line.starts_with("| `trustd_")).map(str::to_owned).collect();
        let wanted: Vec<String> = METRICS
            .iter()
            .map(|(name, kind, labels, help)| format!("| `{name}` | {kind} | {labels} | {help} |"))
            .collect();
        assert_eq!(rows, wanted);
    }

    #[test]
    fn the_series_of_a_deleted_bundle_go() {
        let metrics = filled();
        assert!(metrics.text().contains("bundle=\"b\""));
        metrics.forget("b");
        assert!(!metrics.text().contains("bundle=\"b\""), "{}", metrics.text());
    }
}
