//! Chains that rustls takes and `openssl verify` does not: each is verified with a warning.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{
    CertificateParams, CidrSubnet, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose,
    GeneralSubtree, KeyUsagePurpose, NameConstraints, SanType,
};

use crate::verify::{Authority, Case, below, ca, issue, leaf, root};

fn dns(name: &str) -> GeneralSubtree {
    GeneralSubtree::DnsName(name.to_owned())
}

/// A CA with name constraints, below no other.
fn constrained(permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>) -> Authority {
    let mut params = ca("Constrained");
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
    rcgen::CertifiedIssuer::self_signed(params, crate::verify::key()).unwrap()
}

/// A server's certificate of this common name, for these addresses and nothing else.
fn server(common_name: &str, addresses: &[IpAddr]) -> CertificateParams {
    let mut params = leaf("unused");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = addresses.iter().map(|ip| SanType::IpAddress(*ip)).collect();
    params
}

fn case(root: &Authority, params: &CertificateParams) -> Case {
    Case::new(root.pem(), issue(root, params), "")
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn a_common_name_is_held_against_constraints_where_no_other_name_is_one_of_dns() {
    let permits = constrained(vec![dns("a.example")], vec![]);
    let excludes = constrained(vec![], vec![dns("example")]);
    for (root, how) in [(&permits, "does not permit"), (&excludes, "excludes")] {
        case(root, &server("b.example", &[LOOPBACK])).warns(&format!(
            "warning: it {how} b.example, the common name of the certificate (nameConstraints); \
             rustls does not look at common names, OpenSSL does"
        ));
        // Without any subjectAltName at all.
        case(root, &server("b.example", &[])).warns(&format!("warning: it {how} b.example, the"));
    }
    // What reads like a name of DNS is one to OpenSSL, an address too.
    case(&permits, &server("10.0.0.1", &[LOOPBACK])).warns("warning: it does not permit 10.0.0.1");
    for fine in
        ["a.example", "x.A.Example", "localhost", "Some Server", "*.b.example", "-b.example"]
    {
        case(&permits, &server(fine, &[LOOPBACK])).agrees(0, "verified against");
    }
    // Where there is a name of DNS, that counts.
    let mut params = server("b.example", &[]);
    params.subject_alt_names = vec![SanType::DnsName("a.example".try_into().unwrap())];
    case(&permits, &params).agrees(0, "verified against");
    // In intermediates as in roots.
    let top = root("Root");
    let mut params = ca("Middle");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![dns("a.example")],
        excluded_subtrees: vec![],
    });
    let middle = below(&top, params);
    let cert = issue(&middle, &server("b.example", &[LOOPBACK]));
    Case::new(top.pem(), cert, middle.pem()).warns("warning: it does not permit b.example");
}

#[test]
fn addresses_are_held_against_ranges_as_openssl_does() {
    let four = CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8);
    let root = constrained(vec![GeneralSubtree::IpAddress(four)], vec![]);
    case(&root, &server("x", &[LOOPBACK])).agrees(0, "verified against");
    for (address, text) in
        [(IpAddr::from([10, 0, 0, 1]), "10.0.0.1"), (IpAddr::V6(Ipv6Addr::LOCALHOST), "::1")]
    {
        case(&root, &server("x", &[LOOPBACK, address]))
            .agrees(1, &format!("it does not permit {text} (nameConstraints)"));
    }
    let excluded = constrained(vec![], vec![GeneralSubtree::IpAddress(four)]);
    case(&excluded, &server("x", &[LOOPBACK])).agrees(1, "it excludes 127.0.0.1");
    case(&excluded, &server("x", &[IpAddr::V6(Ipv6Addr::LOCALHOST)])).agrees(0, "verified");
}

#[test]
fn an_email_address_in_the_subject_is_held_against_constraints() {
    let email = |base: &str| GeneralSubtree::Rfc822Name(base.to_owned());
    let from = |address: &str| {
        let mut params = leaf("a.example");
        let attribute = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
        params.distinguished_name.push(attribute, DnValue::Ia5String(address.try_into().unwrap()));
        params
    };
    for base in ["b.example", ".example", "me@b.example"] {
        let permits = constrained(vec![email(base)], vec![]);
        case(&permits, &from("me@b.example")).agrees(0, "verified against");
        case(&permits, &from("me@c.test"))
            .warns("warning: it does not permit me@c.test, the email address in the subject");
        let excludes = constrained(vec![], vec![email(base)]);
        case(&excludes, &from("me@b.example")).warns("warning: it excludes me@b.example");
        case(&excludes, &from("me@c.test")).agrees(0, "verified against");
    }
}

#[test]
fn extensions_of_a_root_are_looked_at() {
    let mut params = ca("Odd");
    let mut odd = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    odd.set_criticality(true);
    params.custom_extensions.push(odd);
    let root = rcgen::CertifiedIssuer::self_signed(params, crate::verify::key()).unwrap();
    case(&root, &leaf("a.example")).warns(
        "warning: it has a critical extension that OpenSSL does not know (1.3.6.1.4.1.99999.1)",
    );

    let mut params = ca("Of clients");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let root = rcgen::CertifiedIssuer::self_signed(params, crate::verify::key()).unwrap();
    case(&root, &leaf("a.example"))
        .with(&[], &["-purpose", "sslserver"])
        .warns("warning: its extendedKeyUsage does not list serverAuth");
}

#[test]
fn the_key_usage_of_a_server_allows_a_handshake() {
    let root = root("Root");
    let mut params = leaf("a.example");
    params.key_usages = vec![KeyUsagePurpose::ContentCommitment];
    case(&root, &params)
        .with(&[], &["-purpose", "sslserver"])
        .warns("warning: its keyUsage has none of digitalSignature, keyEncipherment");
    params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    case(&root, &params).with(&[], &["-purpose", "sslserver"]).agrees(0, "verified against");
}

#[test]
fn more_comparisons_of_names_than_rustls_makes_are_refused() {
    let many = |names: usize, subtrees: usize| {
        let permitted = (0..subtrees).map(|index| dns(&format!("d{index}.example"))).collect();
        let mut params = leaf("unused");
        params.subject_alt_names = (0..names)
            .map(|index| SanType::DnsName(format!("x{index}.d0.example").try_into().unwrap()))
            .collect();
        case(&constrained(permitted, vec![]), &params)
    };
    many(400, 500).agrees(0, "verified against");
    let ran = many(1_000, 500).trustd();
    assert_eq!(ran.code, 1, "{}", ran.out);
    let told = "its 500 nameConstraints and the 1000 names of the certificate take 500000 comparisons, \
                and rustls makes at most 250000";
    assert!(ran.out.contains(told), "{}", ran.out);
}
