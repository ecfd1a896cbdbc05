//! Notices about sources that are not what their authors take them for.

use super::*;

/// Reason and note of every warning since the last time this was asked.
fn warnings(bench: &mut Bench) -> Vec<(&'static str, String)> {
    let warnings =
        bench.reconciler.take_notices().into_iter().filter(|n| n.severity == Severity::Warning);
    warnings.map(|notice| (notice.reason, notice.note)).collect()
}

#[test]
fn a_named_key_that_turns_empty_is_an_event_a_metric_and_in_the_status() {
    let mut bench = Bench::new(&["a"], 8);
    let both = [("k".into(), Arc::from(ALPHA.as_bytes()))].into();
    let source = SourceObject { data: both, ..SourceObject::default() };
    let key = ObjectKey::Source(Kind::ConfigMap, "t".into());
    bench.reconciler.see(key, Some(WatchedObject::Source(Box::new(source))));
    let mut raw = bundle(2, "ca.crt");
    raw["spec"]["sources"] = json!([
        { "configMap": { "name": "s", "key": "k" } }, { "configMap": { "name": "t", "key": "k" } },
    ]);
    bench.bundle(raw);
    bench.source(BETA);
    bench.sync(at(1));
    let _ = bench.status(at(2));
    assert_eq!(warnings(&mut bench), []);
    let gauge = "trustd_bundle_sources_without_certificates{bundle=\"b\"}";
    assert!(bench.metrics.text().contains(&format!("{gauge} 0")), "{}", bench.metrics.text());

    bench.source("");
    let note = "ConfigMap cert-manager/s at key \"k\" holds no certificate: it is empty";
    assert_eq!(warnings(&mut bench), [("SourceHasNoCertificate", note.to_owned())]);
    bench.sync(at(20));
    bench.reconciler.settle(at(30));
    let job = bench.reconciler.statuses(at(30)).pop().unwrap();
    let status = &job.body["status"];
    assert_eq!(
        (&status["certificates"]["total"], &status["certificates"]["skipped"]),
        (&1.into(), &1.into())
    );
    let condition = &status["conditions"][0];
    assert_eq!(condition["status"], "True");
    let message = condition["message"].as_str().unwrap();
    assert!(message.ends_with(&format!("; left out: {note}")), "{message}");
    assert!(bench.metrics.text().contains(&format!("{gauge} 1")), "{}", bench.metrics.text());

    // The same again is no news; another fault is.
    bench.source(" ");
    assert_eq!(warnings(&mut bench), []);
    bench.source("<html>");
    assert_eq!(warnings(&mut bench).len(), 1);
}

#[test]
fn everything_filtered_is_told_certificate_by_certificate() {
    let mut bench = Bench::new(&["a"], 8);
    bench.reconciler.world.settings.filters = Filters { expired: true, non_ca: false };
    let _ = warnings(&mut bench);
    let expired = include_str!("../../../../../tests/fixtures/peer/ca/expired.pem");
    bench.source(expired);
    let told = warnings(&mut bench);
    let [("CertificateLeftOut", note)] = told.as_slice() else { panic!("{told:?}") };
    assert!(note.contains("line 1: certificate ") && note.contains("expired"), "{note}");
}

#[test]
fn a_default_package_that_cannot_be_used_is_told_to_the_bundles_that_read_it() {
    let mut bench = Bench::new(&["a"], 8);
    bench.reconciler.keep_default_cas("why".to_owned());
    assert_eq!(warnings(&mut bench), [], "no Bundle reads it");
    let mut raw = bundle(2, "ca.crt");
    raw["spec"]["sources"] = json!([{ "useDefaultCAs": true }]);
    let package = DefaultCas { identity: "n-1-abc".into(), pem: ALPHA.into() };
    bench.reconciler.use_default_cas(package);
    bench.bundle(raw);
    let _ = warnings(&mut bench);
    bench.reconciler.keep_default_cas("why".to_owned());
    let note = "the default CA package cannot be used, so the last good one stays: why";
    let wanted = [("DefaultPackageUnusable", note.to_owned())];
    assert_eq!(warnings(&mut bench), wanted);
    // Whoever leads next says so too.
    bench.reconciler.stop_leading();
    bench.reconciler.keep_default_cas("why".to_owned());
    assert_eq!(warnings(&mut bench), [], "another process leads");
    bench.reconciler.start_leading();
    assert_eq!(warnings(&mut bench), wanted);
}
