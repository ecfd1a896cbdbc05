//! Every reader of foreign bytes, on inputs that double: the work grows with them and no faster, or
//! a stated limit refuses them.
//!
//! Work is CPU time of the thread, so that a busy machine does not count. Four doublings may cost
//! three times their share: what is quadratic costs sixteen times it.

use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, IsCa, KeyPair};
use rustix::time::{ClockId, clock_gettime};
use trustd_api::{manifest, validate};
use trustd_core::bundle::{Collector, Filters};
use trustd_core::certificate::Certificate;
use trustd_core::names::Origin;
use trustd_core::time::Timestamp;

use crate::program::{Folder, trustd};

/// CPU time of this thread that `f` takes.
fn work(f: impl FnOnce()) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let before = now();
    f();
    now().saturating_sub(before)
}

/// Reads what `make` makes of a size and of sixteen times that, and compares.
fn grows_linearly(name: &str, size: usize, make: impl Fn(usize) -> Vec<u8>, read: impl Fn(&[u8])) {
    let (small, large) = (make(size), make(size * 16));
    // The least of several: interrupts and page faults only ever add.
    let least =
        |bytes: &[u8], times: usize| (0..times).map(|_| work(|| read(bytes))).min().unwrap();
    let (one, sixteen) = (least(&small, 5), least(&large, 2));
    let most = (one * 16 * 3).max(NOISE);
    assert!(sixteen <= most, "{name}: {one:?} became {sixteen:?}, of {} bytes", large.len());
}

/// The shortest time worth comparing. An input that is read faster than this at full size is no
/// burden.
const NOISE: Duration = Duration::from_millis(50);

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";

fn read_manifest(bytes: &[u8]) {
    // An error that names a limit is as good.
    drop(manifest::read(bytes));
}

fn repeated(before: &str, part: &str, times: usize, after: &str) -> Vec<u8> {
    [before, &part.repeat(times), after].concat().into_bytes()
}

#[test]
fn manifests_in_yaml() {
    let of = |name: &str, size: usize, before: &str, part: &str, after: &str| {
        let before = format!("{CONFIG_MAP}{before}");
        grows_linearly(name, size, |n| repeated(&before, part, n, after), read_manifest);
    };
    of("documents", 200, "", &format!("---\n{CONFIG_MAP}"), "");
    of("empty documents", 4_000, "", "---\n", "");
    of("a list", 2_000, "x: [", "a, ", "]\n");
    of("a list of lines", 1_000, "x:\n", "- a\n", "");
    of("anchors", 1_000, "x: [", "&a b, ", "]\n");
    of("aliases", 1_000, "y: &a b\nx: [", "*a, ", "]\n");
    of("depth", 500, "x: ", "[", "");
    of("depth of lines", 500, "x: ", "- ", "a\n");
    of("comments", 4_000, "", "# c\n", "");
    of("a plain text", 20_000, "x: a", " a", "\n");
    of("a quoted text", 20_000, "x: \"", "\\x41", "\"\n");
    of("a block of text", 4_000, "x: |\n", "  a\n", "");
    of("lines of blanks", 4_000, "x: |\n  a\n", " \n", "");
    of("quotes that do not end", 4_000, "x: ", "'", "\n");
    of("tags", 1_000, "x: [", "!t a, ", "]\n");
    of("question marks", 500, "", "? ", "");
    let keys = |n: usize| {
        let keys: String = (0..n).map(|key| format!("  k{key}: v\n")).collect();
        format!("{CONFIG_MAP}data:\n{keys}").into_bytes()
    };
    grows_linearly("keys", 500, keys, read_manifest);
    let merges = |n: usize| {
        let merged: String = (0..n).map(|key| format!("- {{<<: *a, k{key}: v}}\n")).collect();
        format!("{CONFIG_MAP}x: &a {{b: c}}\ny:\n{merged}").into_bytes()
    };
    grows_linearly("merged keys", 200, merges, read_manifest);
}

#[test]
fn manifests_in_json() {
    let of = |name: &str, size: usize, before: &str, part: &str, after: &str| {
        grows_linearly(name, size, |n| repeated(before, part, n, after), read_manifest);
    };
    let object = r#"{"apiVersion":"v1","kind":"Pod"}"#;
    of("documents", 1_000, "", &format!("{object}\n"), "");
    let list = r#"{"apiVersion":"v1","kind":"List","items":["#;
    of("a list", 1_000, list, &format!("{object},"), &format!("{object}]}}"));
    of("depth", 4_000, "{\"a\":", "[", "");
    of("a text", 20_000, "{\"a\":\"", "\\u0041", "\"}");
    let keys = |n: usize| {
        let keys: Vec<String> = (0..n).map(|key| format!("\"k{key}\":1")).collect();
        format!("{{{}}}", keys.join(",")).into_bytes()
    };
    grows_linearly("keys", 1_000, keys, read_manifest);
}

#[test]
fn bundles_with_everything_wrong() {
    let judge = |bytes: &[u8]| {
        let bundle: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        drop(validate::read(&bundle));
        let _ = validate::unknown_fields(bundle.as_object().unwrap(), "Bundle");
    };
    let of = |name: &str, size: usize, spec: &dyn Fn(usize) -> String| {
        let bundle = |n| format!("{{\"metadata\":{{\"name\":\"b\"}},\"spec\":{}}}", spec(n));
        grows_linearly(name, size, |n| bundle(n).into_bytes(), judge);
    };
    let source = r#"{"secret":{"namespace":1,"sel":{}}},"#;
    of("sources", 500, &|n| format!("{{\"sources\":[{}{{}}]}}", source.repeat(n)));
    let fields = |n: usize| (0..n).map(|f| format!("\"f{f}\":1,")).collect::<String>();
    of("unknown fields", 500, &|n| format!("{{{}\"sources\":[]}}", fields(n)));
    of("a long field", 20_000, &|n| format!("{{\"{}\":1}}", "n".repeat(n)));
    let labels = |n: usize| (0..n).map(|l| format!("\"l{l}\":\"\",")).collect::<String>();
    of("labels", 500, &|n| {
        let selector = format!("{{\"matchLabels\":{{{}\"-\":1}}}}", labels(n));
        format!("{{\"target\":{{\"namespaceSelector\":{selector}}}}}")
    });
    let expression = r#"{"key":"-","operator":"In"},"#;
    of("expressions", 500, &|n| {
        let selector = format!("{{\"matchExpressions\":[{}{{}}]}}", expression.repeat(n));
        format!("{{\"target\":{{\"namespaceSelector\":{selector}}}}}")
    });
}

/// DER of an element.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let digits: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
    let header = match content.len() {
        short @ 0..0x80 => vec![tag, u8::try_from(short).unwrap()],
        _ => [vec![tag, 0x80 | u8::try_from(digits.len()).unwrap()], digits].concat(),
    };
    [header, content.to_vec()].concat()
}

/// A certificate with this subject, and nothing right but its form.
fn certificate(subject: &[u8], algorithm: &[u8]) -> Vec<u8> {
    let (oid, null) = (der(6, algorithm), der(5, &[]));
    let algorithm = der(0x30, &[oid, null].concat());
    let time = der(0x17, b"200101000000Z");
    let validity = der(0x30, &[time.clone(), time].concat());
    let key = der(0x30, &[algorithm.clone(), der(3, &[0, 1])].concat());
    let parts =
        [der(2, &[1]), algorithm.clone(), der(0x30, &[]), validity, der(0x30, subject), key];
    let to_be_signed = der(0x30, &parts.concat());
    der(0x30, &[to_be_signed, algorithm, der(3, &[0, 1])].concat())
}

fn attribute(oid: &[u8], value: &[u8]) -> Vec<u8> {
    der(0x31, &der(0x30, &[der(6, oid), value.to_vec()].concat()))
}

#[test]
fn certificates_and_their_names() {
    const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    const ODD: &[u8] = &[0x2a, 3];
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    let read = |bytes: &[u8]| {
        let certificate = Certificate::from_der(bytes).unwrap();
        assert!(!certificate.facts().key.is_empty());
        assert!(certificate.alias().len() > 8);
    };
    let of = |name: &str, size: usize, make: &dyn Fn(usize) -> Vec<u8>| {
        grows_linearly(name, size, |n| certificate(&make(n), RSA), read);
    };
    of("a common name", 20_000, &|n| attribute(COMMON_NAME, &der(12, &b"<".repeat(n))));
    of("common names", 1_000, &|n| attribute(COMMON_NAME, &der(12, b"a")).repeat(n));
    of("other attributes", 1_000, &|n| attribute(ODD, &der(12, b"a")).repeat(n));
    of("a value that is no text", 20_000, &|n| attribute(ODD, &der(4, &b"a".repeat(n))));
    of("an attribute's type", 5_000, &|n| {
        attribute(&[vec![0x2a], vec![0xff; n], vec![1]].concat(), &der(12, b"a"))
    });
    let key = |n: usize| certificate(&[], &[vec![0x2a], vec![0xff; n], vec![1]].concat());
    grows_linearly("a key's type", 5_000, key, read);
    let deep = |n: usize| (0..n).fold(Vec::new(), |inner, _| der(0x30, &inner));
    grows_linearly("depth", 200, deep, |bytes| drop(Certificate::from_der(bytes)));
}

#[test]
fn sources_of_many_parts() {
    let key = KeyPair::generate().unwrap();
    let pem = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
    let collect = |bytes: &[u8]| {
        let mut collector = Collector::new(Filters::default(), Timestamp::from_unix(0));
        drop(collector.add(&Origin::InLine { index: 0 }, bytes));
        assert!(collector.finish().to_pem().len() <= bytes.len());
    };
    grows_linearly("certificates", 50, |n| pem.repeat(n).into_bytes(), collect);
}

#[test]
fn a_table_is_as_wide_as_a_screen_can_be_whatever_a_name_is() {
    let key = KeyPair::generate().unwrap();
    let of = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::NoCa;
        params.distinguished_name.push(DnType::OrganizationName, name);
        params.self_signed(&key).unwrap().pem()
    };
    let long = "n".repeat(64 << 10);
    let folder = Folder::new();
    let file = folder.file("one.pem", format!("{}{}", of(&long), of("short").repeat(300)));
    let ran = trustd([Path::new("inspect"), &file]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.len() < 301 * 600, "{} bytes", ran.out.len());
    assert!(ran.out.contains("nnn…"), "the cut is not shown");
    let ran = trustd([Path::new("inspect"), &file, Path::new("-ojson")]);
    assert!(ran.out.contains(&long), "the whole name is in the JSON");
}
