//! `trustd verify --connect` against servers on loopback: good, wrong, silent, not TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, DnType};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::PrivateKeyDer;

use crate::program::{Folder, Ran, trustd};
use crate::verify::{Authority, below, ca, key, root};

/// The way in which a server treats a connection.
enum Manner {
    /// Accepts connections and sends nothing.
    Silent,
    /// Answers with something other than TLS.
    Http,
    /// Completes handshakes.
    Tls(Arc<ServerConfig>),
}

/// Serves connections until the test ends.
fn serve(manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            match &manner {
                Manner::Silent => kept.push(stream),
                Manner::Http => {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                }
                Manner::Tls(config) => {
                    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
                    while connection.is_handshaking() {
                        if connection.complete_io(&mut stream).is_err() {
                            break;
                        }
                    }
                    let _ = stream.read(&mut [0; 16]);
                }
            }
        }
    });
    address
}

/// A server's configuration: a leaf for `names` below `issuer`, and that certificate.
fn tls(issuer: &Authority, names: &[&str], clients: Option<&Authority>) -> Arc<ServerConfig> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "server");
    let key = key();
    let leaf = params.signed_by(&key, issuer).unwrap();
    let chain = vec![leaf.der().clone(), issuer.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = if let Some(clients) = clients {
        let mut roots = RootCertStore::empty();
        roots.add(clients.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
    } else {
        builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
    };
    Arc::new(config.unwrap())
}

fn verify(roots: &Authority, address: &dyn ToString, more: &[&str]) -> Ran {
    let folder = Folder::new();
    let roots = folder.file("roots.pem", roots.pem());
    let address = address.to_string();
    let mut arguments = vec!["verify", "--connect", &address, "--roots"];
    arguments.push(roots.to_str().unwrap());
    arguments.extend(more);
    trustd(arguments.into_iter().map(Path::new))
}

#[test]
fn a_server_with_a_good_chain_verifies() {
    let root = root("Root");
    let middle = below(&root, ca("Middle"));
    let address = serve(Manner::Tls(tls(&middle, &["localhost", "127.0.0.1"], None)));
    let ran = verify(&root, &address, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("<- intermediate: CN=Middle"), "{ran:?}");
    let by_name = verify(&root, &format!("localhost:{}", address.port()), &["-ojson"]);
    assert_eq!((by_name.code, by_name.json()["name"].as_str()), (0, Some("localhost")));
}

#[test]
fn a_server_of_another_name_or_root_is_refused() {
    let (root, other) = (root("Root"), root("Other"));
    let address = serve(Manner::Tls(tls(&root, &["a.example"], None)));
    let ran = verify(&root, &address, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("not valid for 127.0.0.1: it is valid for a.example"), "{ran:?}");
    assert_eq!(verify(&root, &address, &["--name", "a.example"]).code, 0);
    let ran = verify(&other, &address, &["--name", "a.example"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("`CN=Root` names itself as its issuer"), "{ran:?}");
}

#[test]
fn a_server_that_wants_a_client_certificate_is_judged_all_the_same() {
    let root = root("Root");
    let address = serve(Manner::Tls(tls(&root, &["127.0.0.1"], Some(&root))));
    let ran = verify(&root, &address, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("note: the handshake then failed: "), "{ran:?}");
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let address = serve(Manner::Silent);
    let start = Instant::now();
    let ran = verify(&root("Root"), &address, &["--timeout", "300ms"]);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    let wanted = format!("error: cannot get the chain of `{address}`: no answer within 300ms\n");
    assert_eq!(ran.err, wanted);
}

#[test]
fn what_is_no_tls_server_ends_with_2() {
    let ran = verify(&root("Root"), &serve(Manner::Http), &[]);
    assert!(ran.code == 2 && ran.err.contains("no TLS handshake: "), "{ran:?}");
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = verify(&root("Root"), &address, &[]);
    assert!(ran.code == 2 && ran.err.contains("Connection refused"), "{ran:?}");
}
