//! `trustd verify` on chains of every kind, beside `openssl verify`.

use std::path::Path;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};

use crate::program::{Folder, Ran, openssl, repository, trustd};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

pub(crate) fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(crate) fn leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(crate) fn root(name: &str) -> Authority {
    CertifiedIssuer::self_signed(ca(name), key()).unwrap()
}

pub(crate) fn below(issuer: &Issuer<'_, KeyPair>, params: CertificateParams) -> Authority {
    CertifiedIssuer::signed_by(params, key(), issuer).unwrap()
}

pub(crate) fn issue(issuer: &Issuer<'_, KeyPair>, params: &CertificateParams) -> String {
    params.signed_by(&key(), issuer).unwrap().pem()
}

/// A bundle, a certificate and what comes with it.
pub(crate) struct Case {
    roots: String,
    leaf: String,
    sent: String,
    trustd: &'static [&'static str],
    openssl: &'static [&'static str],
}

impl Case {
    pub(crate) fn new(
        roots: impl Into<String>,
        leaf: impl Into<String>,
        sent: impl Into<String>,
    ) -> Self {
        let (roots, leaf, sent) = (roots.into(), leaf.into(), sent.into());
        Self { roots, leaf, sent, trustd: &[], openssl: &[] }
    }

    pub(crate) fn with(
        mut self,
        trustd: &'static [&'static str],
        openssl: &'static [&'static str],
    ) -> Self {
        (self.trustd, self.openssl) = (trustd, openssl);
        self
    }

    pub(crate) fn trustd(&self) -> Ran {
        self.trustd_with("-otable")
    }

    fn trustd_with(&self, output: &str) -> Ran {
        let folder = Folder::new();
        let roots = folder.file("roots.pem", &self.roots);
        let cert = folder.file("cert.pem", format!("{}{}", self.leaf, self.sent));
        let [verify, by, of, output] = ["verify", "--roots", "--cert", output].map(Path::new);
        let fixed = [verify, by, &roots, of, &cert, output];
        trustd(fixed.into_iter().chain(self.trustd.iter().map(Path::new)))
    }

    fn openssl(&self) -> bool {
        let folder = Folder::new();
        let roots = folder.file("roots.pem", &self.roots);
        let (leaf, sent) =
            (folder.file("leaf.pem", &self.leaf), folder.file("sent.pem", &self.sent));
        let mut arguments = vec![Path::new("verify"), Path::new("-CAfile"), &roots];
        if !self.sent.is_empty() {
            arguments.extend([Path::new("-untrusted"), &sent]);
        }
        arguments.extend(self.openssl.iter().map(Path::new));
        arguments.push(&leaf);
        openssl(arguments).code == 0
    }

    /// Both programs agree, and ours says why.
    pub(crate) fn agrees(&self, code: i32, says: &str) {
        let ran = self.trustd();
        assert_eq!(ran.code, code, "{}", ran.everything());
        assert!(ran.out.contains(says), "wanted {says:?} in\n{}", ran.everything());
        assert_eq!(self.openssl(), code == 0, "openssl disagrees with\n{}", ran.everything());
        if code == 0 {
            assert!(!ran.out.contains("NOT OK") && !ran.out.contains("warning:"), "{}", ran.out);
        }
        let verdict = ["verified", "notVerified", "undecided"][usize::try_from(code).unwrap()];
        assert_eq!(self.trustd_with("-ojson").json()["verdict"], verdict);
    }

    /// Ours verifies with a warning, and openssl refuses.
    pub(crate) fn warns(&self, says: &str) {
        let ran = self.trustd();
        assert_eq!(ran.code, 0, "{}", ran.everything());
        assert!(ran.out.contains(says), "wanted {says:?} in\n{}", ran.everything());
        assert!(!self.openssl(), "openssl takes what we warn of");
    }
}

#[test]
fn the_example_verifies() {
    let folder = Folder::new();
    let secret =
        std::fs::read_to_string(repository("deploy/examples/internal-ca/secret.yaml")).unwrap();
    let encoded = secret.lines().find_map(|line| line.strip_prefix("  ca.crt: ")).unwrap();
    let decoded =
        crate::program::run(std::process::Command::new("base64").arg("-d"), encoded.as_bytes());
    let roots = folder.file("ca-bundle.crt", decoded.out);
    for (cert, name) in [("payments.crt", "payments"), ("orders-chain.pem", "orders")] {
        let cert = repository("deploy/examples/internal-ca").join(cert);
        let name = format!("{name}.production.svc");
        let arguments = [Path::new("--roots"), &roots, Path::new("--cert"), &cert];
        let named = [Path::new("--name"), Path::new(&name)];
        let ran = trustd([Path::new("verify")].into_iter().chain(arguments).chain(named));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        assert!(ran.out.ends_with(&format!("verified against `{}`\n", roots.display())), "{ran:?}");
    }
}

#[test]
fn a_good_chain_verifies_with_and_without_intermediates() {
    let root = root("Root");
    Case::new(root.pem(), issue(&root, &leaf("a.example")), "").agrees(0, "verified against");
    let middle = below(&root, ca("Middle"));
    let case = Case::new(root.pem(), issue(&middle, &leaf("a.example")), middle.pem())
        .with(&["--name", "a.example"], &["-verify_hostname", "a.example"]);
    case.agrees(0, "<- intermediate: CN=Middle");
    let json = case.trustd_with("-ojson").json();
    let roles: Vec<_> =
        json["path"].as_array().unwrap().iter().map(|link| link["role"].clone()).collect();
    assert_eq!(roles, ["leaf", "intermediate", "root"]);
}

#[test]
fn a_missing_intermediate_is_named() {
    let root = root("Root");
    let middle = below(&root, ca("Middle"));
    Case::new(root.pem(), issue(&middle, &leaf("a.example")), "").agrees(
        1,
        "the issuer of `CN=a.example`, `CN=Middle`, is neither in the bundle (1 certificate) nor in \
         the chain",
    );
}

#[test]
fn dates_are_checked_and_shown() {
    let root = root("Root");
    let mut params = leaf("a.example");
    params.not_after = date_time_ymd(2020, 1, 1);
    let case = Case::new(root.pem(), issue(&root, &params), "");
    case.agrees(1, "NOT OK: it expired at 2020-01-01T00:00:00Z");
    case.with(&["--at", "2019-12-31T23:59:59Z"], &["-attime", "1577836799"]).agrees(0, "verified");
    params.not_before = date_time_ymd(3000, 1, 1);
    params.not_after = date_time_ymd(3001, 1, 1);
    Case::new(root.pem(), issue(&root, &params), "")
        .agrees(1, "NOT OK: it is valid only from 3000-01-01T00:00:00Z on");
    let mut params = ca("Middle");
    params.not_after = date_time_ymd(2020, 1, 1);
    let middle = below(&root, params);
    Case::new(root.pem(), issue(&middle, &leaf("a.example")), middle.pem())
        .agrees(1, "not verified: `CN=Middle`: it expired at");
}

#[test]
fn a_root_of_the_same_name_with_another_key_is_told_apart() {
    let (right, wrong) = (root("Root"), root("Root"));
    let leaf = issue(&right, &leaf("a.example"));
    Case::new(wrong.pem(), &leaf, "").agrees(
        1,
        "certificate 1 of the bundle, line 1 has that name and another key: the signature is not by it",
    );
    Case::new(format!("{}{}", wrong.pem(), right.pem()), &leaf, "")
        .agrees(0, "certificate 2 of the bundle");
}

#[test]
fn a_root_that_was_sent_is_not_trusted_for_it() {
    let (ours, theirs) = (root("Ours"), root("Theirs"));
    Case::new(ours.pem(), issue(&theirs, &leaf("a.example")), theirs.pem())
        .agrees(1, "`CN=Theirs` names itself as its issuer and is not in the bundle");
}

#[test]
fn who_is_no_ca_cannot_issue() {
    let root = root("Root");
    let mut params = ca("Middle");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = Vec::new();
    let middle = below(&root, params);
    Case::new(root.pem(), issue(&middle, &leaf("a.example")), middle.pem())
        .agrees(1, "NOT OK: it is not a CA (basicConstraints)");
}

#[test]
fn a_path_can_be_too_long() {
    let root = root("Root");
    let mut params = ca("Upper");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let upper = below(&root, params);
    let lower = below(&upper, ca("Lower"));
    let sent = format!("{}{}", lower.pem(), upper.pem());
    Case::new(root.pem(), issue(&lower, &leaf("a.example")), sent)
        .agrees(1, "it allows 0 CA certificates below it (pathLenConstraint), and there are 1");
    Case::new(root.pem(), issue(&upper, &leaf("a.example")), upper.pem()).agrees(0, "verified");
}

#[test]
fn what_only_rustls_objects_to_is_said_in_words() {
    let root = root("Root");
    let mut chain = vec![below(&root, ca("CA 1"))];
    for number in 2..=7 {
        let next = below(&chain[0], ca(&format!("CA {number}")));
        chain.insert(0, next);
    }
    let sent = |chain: &[Authority]| chain.iter().map(CertifiedIssuer::pem).collect::<String>();
    let case = Case::new(root.pem(), issue(&chain[0], &leaf("a.example")), sent(&chain));
    let ran = case.trustd();
    assert_eq!(ran.code, 1, "{ran:?}");
    let wanted = "NOT OK: there are more than 6 intermediates, the most that rustls takes";
    assert!(ran.out.contains(wanted), "{ran:?}");
    assert!(case.openssl());
    let shorter = &chain[1..];
    Case::new(root.pem(), issue(&shorter[0], &leaf("a.example")), sent(shorter)).agrees(0, "CA 6");
}

#[test]
fn a_certificate_for_other_names_is_refused_with_its_names() {
    let root = root("Root");
    let mut params =
        CertificateParams::new(["a.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "b.example");
    let cert = issue(&root, &params);
    Case::new(root.pem(), &cert, "")
        .with(&["--name", "c.example"], &["-verify_hostname", "c.example"])
        .agrees(1, "it is not valid for c.example: it is valid for a.example, 10.0.0.1");
    Case::new(root.pem(), &cert, "")
        .with(&["--name", "10.0.0.1"], &["-verify_ip", "10.0.0.1"])
        .agrees(0, "verified");
}

#[test]
fn name_constraints_hold() {
    let dns = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let chain = |permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>| {
        let mut params = ca("Root");
        params.name_constraints =
            Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
        let root = CertifiedIssuer::self_signed(params, key()).unwrap();
        let leaf = issue(&root, &leaf("a.example"));
        Case::new(root.pem(), leaf, "")
    };
    chain(vec![dns("example")], vec![]).agrees(0, "verified");
    chain(vec![dns("ample")], vec![]).agrees(1, "it does not permit a.example (nameConstraints)");
    chain(vec![], vec![dns("a.example")]).agrees(1, "it excludes a.example (nameConstraints)");
    chain(vec![], vec![dns("b.example")]).agrees(0, "verified");
}

#[test]
fn of_several_ways_the_one_that_holds_is_taken() {
    let (old, new) = (root("Old"), root("New"));
    // One CA, certified by both roots; by the old one only until 2020.
    let middle_key = key();
    let mut by_old = ca("Middle");
    by_old.not_after = date_time_ymd(2020, 1, 1);
    let by_old = by_old.signed_by(&middle_key, &old).unwrap().pem();
    let middle = CertifiedIssuer::signed_by(ca("Middle"), middle_key, &new).unwrap();
    let leaf = issue(&middle, &leaf("a.example"));
    let sent = format!("{by_old}{}", middle.pem());
    let both = format!("{}{}", old.pem(), new.pem());
    Case::new(&both, &leaf, &sent).agrees(0, "<- root: CN=New");
    Case::new(new.pem(), &leaf, &sent).agrees(0, "<- root: CN=New");
    Case::new(old.pem(), &leaf, &sent).agrees(1, "`CN=Middle`: it expired at 2020-01-01");
    Case::new(&both, &leaf, &by_old).agrees(1, "`CN=Middle`: it expired at 2020-01-01");
}

#[test]
fn purposes_are_told_apart() {
    let root = root("Root");
    let mut params = leaf("a.example");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client = issue(&root, &params);
    Case::new(root.pem(), &client, "")
        .with(&[], &["-purpose", "sslserver"])
        .agrees(1, "its extendedKeyUsage does not list serverAuth");
    Case::new(root.pem(), &client, "")
        .with(&["--purpose", "client"], &["-purpose", "sslclient"])
        .agrees(0, "verified");
    let middle = below(&root, ca("Middle"));
    Case::new(root.pem(), middle.pem(), "").with(&["--purpose=any"], &[]).agrees(0, "verified");
    let refused = Case::new(root.pem(), middle.pem(), "").trustd();
    assert!(refused.code == 1 && refused.out.contains("--purpose any"), "{refused:?}");
}

#[test]
fn where_openssl_is_stricter_a_warning_says_so() {
    let mut params = ca("Root");
    params.not_after = date_time_ymd(2020, 1, 1);
    let expired = CertifiedIssuer::self_signed(params, key()).unwrap();
    Case::new(expired.pem(), issue(&expired, &leaf("a.example")), "").warns(
        "warning: it expired at 2020-01-01T00:00:00Z; rustls does not look at that in a root",
    );

    let root = root("Root");
    let mut params = ca("Middle");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let middle = below(&root, params);
    Case::new(root.pem(), issue(&middle, &leaf("a.example")), middle.pem())
        .warns("warning: its keyUsage lacks keyCertSign");

    // An anchor that is not self-signed.
    let middle = below(&root, ca("Middle"));
    let case = Case::new(middle.pem(), issue(&middle, &leaf("a.example")), "");
    case.warns("note: the path ends at a certificate that is not self-signed");
    assert!(case.with(&[], &["-partial_chain"]).openssl());
}

#[test]
fn what_cannot_be_checked_gets_no_verdict() {
    let folder = Folder::new();
    let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
    let ran = openssl([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-521",
        "-nodes",
        "-subj",
        "/CN=a.example",
        "-addext",
        "subjectAltName=DNS:a.example",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-days",
        "9",
        "-keyout",
        key.to_str().unwrap(),
        "-out",
        cert.to_str().unwrap(),
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let pem = std::fs::read_to_string(&cert).unwrap();
    let ran = Case::new(&pem, &pem, "").trustd();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.out.contains("no verdict: `CN=a.example`: its signature (algorithm"), "{ran:?}");
}

#[test]
fn a_chain_made_to_waste_time_does_not() {
    let root = root("Root");
    let top = below(&root, ca("Same"));
    // Every one of them could be the issuer of every other.
    let many: Vec<Authority> = (0..120).map(|_| below(&top, ca("Same"))).collect();
    let sent: String = many.iter().map(CertifiedIssuer::pem).collect();
    let case = Case::new(root.pem(), issue(&many[60], &leaf("a.example")), sent)
        .with(&["--at", "2026-11-21T00:00:00Z"], &[]);
    let start = Instant::now();
    let (first, second) = (case.trustd(), case.trustd());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(first.code, 1, "{first:?}");
    assert!(first.out.contains("the search was cut short"), "{first:?}");
    assert_eq!(first.out, second.out);
}

#[test]
fn wrong_inputs_end_with_2_and_quote_nothing() {
    let folder = Folder::new();
    let root = root("Root");
    let secret = root.key().serialize_pem();
    let good = folder.file("good.pem", root.pem());
    let cases = [
        (good.clone(), folder.path().join("missing"), "No such file"),
        (folder.path().join("missing"), good.clone(), "No such file"),
        (good.clone(), folder.path().to_owned(), "is a directory"),
        (good.clone(), folder.file("empty", ""), "is empty"),
        (folder.file("random", [7; 999]), good.clone(), "neither PEM nor a DER certificate"),
        (good.clone(), folder.file("key", &secret), "a private key"),
        (good, folder.file("both", format!("{}{secret}", root.pem())), "a private key"),
        ("-".into(), "-".into(), "cannot both be stdin"),
    ];
    for (roots, cert, message) in cases {
        let [verify, by, of] = ["verify", "--roots", "--cert"].map(Path::new);
        let ran = trustd([verify, by, &roots, of, &cert]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{message}: {ran:?}");
        assert!(ran.err.contains(message), "{message}: {ran:?}");
        let body = secret.lines().nth(1).unwrap();
        assert!(!ran.err.contains(&body[..16]), "{ran:?}");
    }
}

#[test]
fn a_private_key_in_the_bundle_is_warned_of_and_the_rest_is_used() {
    let root = root("Root");
    let roots = format!("{}{}", root.key().serialize_pem(), root.pem());
    let ran = Case::new(roots, issue(&root, &leaf("a.example")), "").trustd();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.err.starts_with("warning: ") && ran.err.contains("line 1: a private key"),
        "{ran:?}"
    );
}
