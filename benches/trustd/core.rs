//! Benchmarks of trustd's decisions: `cargo bench -p trustd-core`. Figures are in
//! docs/measuring.md.

#![allow(missing_docs, clippy::expect_used, clippy::disallowed_methods, reason = "a bench")]

mod fixture;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use trustd_core::plan::{Prepared, plan};

use fixture::NOW;

fn bundle(c: &mut Criterion) {
    let Some(text) = fixture::debian_bundle() else {
        eprintln!("skipped: /etc/ssl/certs/ca-certificates.crt is not there (ca-certificates)");
        return;
    };
    c.bench_function("parse and assemble Debian's bundle", |b| {
        b.iter(|| fixture::assemble(black_box(&text)).to_pem());
    });
}

fn planning(c: &mut Criterion) {
    let Some(text) = fixture::debian_bundle() else { return };
    let spec = fixture::spec();
    let mut group = c.benchmark_group("plan with nothing to do");
    group.sample_size(20);
    for namespaces in [500, 5_000] {
        let world = fixture::synced_world(&spec, &text, namespaces);
        group.bench_function(BenchmarkId::new("all namespaces", namespaces), |b| {
            b.iter(|| plan(black_box(&spec), &world, NOW));
        });
        let prepared = Prepared::new(&spec, &world, NOW);
        group.bench_function(BenchmarkId::new("one namespace of", namespaces), |b| {
            b.iter(|| fixture::plan_one(black_box(&prepared), &world, "namespace-00042"));
        });
    }
    group.finish();
}

criterion_group!(benches, bundle, planning);
criterion_main!(benches);
