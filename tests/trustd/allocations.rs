//! Allocations of trustd's decisions, counted. Bytes and counts do not depend on the machine.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a test")]

#[path = "../../benches/trustd/fixture.rs"]
mod fixture;

use allocation_counter::measure;
use trustd_core::plan::{Prepared, plan};

/// Debian's bundle; without it a developer's run skips, and CI fails.
fn debian_bundle() -> Option<String> {
    let text = fixture::debian_bundle();
    if text.is_none() {
        assert!(std::env::var_os("CI").is_none(), "install ca-certificates");
        eprintln!(
            "skipped: /etc/ssl/certs/ca-certificates.crt is not there; install ca-certificates"
        );
    }
    text
}

#[test]
fn debians_bundle_is_parsed_and_assembled_in_under_two_megabytes() {
    let Some(text) = debian_bundle() else { return };
    let mut pem = String::new();
    let counted = measure(|| pem = fixture::assemble(&text).to_pem());
    println!("{} bytes in {} allocations", counted.bytes_total, counted.count_total);
    assert!(pem.matches("BEGIN CERTIFICATE").count() >= 140);
    assert!(counted.bytes_total < 2_000_000, "{} bytes", counted.bytes_total);
}

#[test]
fn a_namespace_with_nothing_to_do_costs_no_allocation() {
    let Some(text) = debian_bundle() else { return };
    let spec = fixture::spec();
    let world = fixture::synced_world(&spec, &text, 100);
    let prepared = Prepared::new(&spec, &world, fixture::NOW);
    let mut write = None;
    let counted = measure(|| write = fixture::plan_one(&prepared, &world, "namespace-00042"));
    assert_eq!(write, Some(trustd_core::plan::Write::Keep));
    // One for the name in this test's own look-up.
    assert!(counted.count_total <= 1, "{} allocations", counted.count_total);
}

#[test]
fn planning_allocates_per_certificate_once_and_not_again_for_each_namespace() {
    let Some(text) = debian_bundle() else { return };
    let spec = fixture::spec();
    let allocations = |namespaces: usize| {
        let world = fixture::synced_world(&spec, &text, namespaces);
        measure(|| assert_eq!(plan(&spec, &world, fixture::NOW).steps.len(), namespaces))
            .count_total
    };
    let (few, many) = (allocations(100), allocations(2_100));
    // The list of steps grows by doubling; nothing else may depend on the number of namespaces.
    assert!(many - few < 20, "{few} allocations for 100 namespaces, {many} for 2,100");
}
