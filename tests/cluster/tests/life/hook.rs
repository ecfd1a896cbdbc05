//! An admission webhook that hangs for as long as it is told to, served over TLS by the test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::pki::Authority;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value as Json, json};

/// A webhook. It answers nobody until it is released, and then allows everything.
pub(crate) struct Hook {
    port: u16,
    hangs: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Hook {
    /// Serves on a free port, with a certificate of this authority.
    pub(crate) fn serve(authority: &Authority) -> Result<Self> {
        let identity = authority.server("webhook")?;
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (hangs, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (flag, count) = (Arc::clone(&hangs), Arc::clone(&asked));
        // The threads end with the process: there is one webhook in it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, flag, count) = (config.clone(), flag.clone(), count.clone());
                std::thread::spawn(move || {
                    // Whoever hangs up is given up.
                    let _ = answer(stream, config, &flag, &count);
                });
            }
        });
        Ok(Self { port, hangs, asked })
    }

    /// The configuration that makes the API server ask it about ConfigMaps in namespaces with this label.
    pub(crate) fn configuration(&self, authority: &Authority, label: &str) -> Json {
        use base64::Engine as _;
        let bundle = base64::prelude::BASE64_STANDARD.encode(authority.certificate());
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "hangs", "labels": {cluster::LABEL: "fault"}},
            "webhooks": [{
                "name": "hangs.tests.invalid", "sideEffects": "None", "failurePolicy": "Fail",
                "admissionReviewVersions": ["v1"], "timeoutSeconds": 30,
                "clientConfig": {
                    "url": format!("https://127.0.0.1:{}/", self.port), "caBundle": bundle,
                },
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                    "operations": ["CREATE", "UPDATE"],
                }],
                "namespaceSelector": {"matchExpressions": [{"key": label, "operator": "Exists"}]},
            }],
        })
    }

    /// How often it has been asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Lets everything pass from now on.
    pub(crate) fn release(&self) {
        self.hangs.store(false, Ordering::SeqCst);
    }
}

fn answer(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    hangs: &AtomicBool,
    asked: &AtomicUsize,
) -> Result<()> {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config)?, stream));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        asked.fetch_add(1, Ordering::SeqCst);
        while hangs.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let review: Json = serde_json::from_slice(&body)?;
        let uid = review.pointer("/request/uid").context("a review without uid")?;
        let said = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": uid, "allowed": true},
        })
        .to_string();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
        let stream = stream.get_mut();
        stream.write_all(format!("{head}{}\r\n\r\n{said}", said.len()).as_bytes())?;
        stream.flush()?;
    }
}
