//! `trustd verify`: does a chain verify against a bundle, and if not, which link fails and why.
//!
//! The verdict is that of rustls-webpki; the explanation is a walk of our own over the same
//! certificates. Every certificate of the bundle is a trust anchor, self-signed or not, as in RFC
//! 5280 (6.1.1), webpki and Go. `openssl verify -CAfile` differs: without `-partial_chain` a path
//! must end at a self-signed certificate. It also refuses expired roots, roots that are no CAs and
//! issuers without keyCertSign, and holds common names against nameConstraints, which webpki does
//! not; those are warnings here. `docs/decisions/0005` says which differences have none.

mod check;
mod connect;
mod constraints;
mod finding;
mod judge;
mod pool;
mod print;
mod walk;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rustls_pki_types::ServerName;
use trustd_core::certificate::Certificate;
use trustd_core::time::Timestamp;

use super::contents::{self, Contents, Found};
use super::{Answer, Env};
use crate::cli::{Output, Purpose, Verify};
use crate::exit::{self, Exit, Hint as _};
use crate::files::Input;
use crate::settings::ServerAddress;
use judge::Verdict;
use pool::Pool;

/// The criteria that a chain is judged by.
struct Terms {
    now: Timestamp,
    purpose: Purpose,
    /// The name that the certificate must be valid for.
    name: Option<ServerName<'static>>,
}

pub(super) fn answer(arguments: &Verify, env: &Env) -> anyhow::Result<Answer> {
    let roots = Input::from(arguments.roots.as_path());
    let is_stdin = |path: &PathBuf| Input::from(path.as_path()) == Input::Stdin;
    if roots == Input::Stdin && arguments.source.cert.as_ref().is_some_and(is_stdin) {
        bail!("--roots and --cert cannot both be stdin");
    }
    let bundle = contents::read(&roots)?;
    for problem in &bundle.problems {
        exit::warn(&format!("`{roots}`, {problem}; it is left out"));
    }
    let Subject { chain, name, mut notes, proven } = subject(arguments)?;
    if name.is_none() {
        notes.push("no name was checked; --name does".to_owned());
    }
    let terms = Terms { now: arguments.at.unwrap_or(env.now), purpose: arguments.purpose, name };
    let pool = Pool::new(&chain, &bundle.found).context("cannot read the first certificate")?;
    let mut judgement = judge::judge(&pool, &terms);
    if !proven && judgement.verdict == Verdict::Verified {
        let reason = "the server did not prove that it holds the key of its certificate";
        judgement.verdict = Verdict::Undecided(reason.to_owned());
    }
    judgement.notes.extend(notes);
    let text = match arguments.output {
        Output::Json => print::json(&judgement, &terms)?,
        Output::Table => print::text(&judgement, &terms, &roots),
    };
    Ok(Answer { text, exit: exit_of(&judgement.verdict) })
}

const fn exit_of(verdict: &Verdict) -> Exit {
    match verdict {
        Verdict::NotVerified(_) => Exit::Negative,
        Verdict::Undecided(_) => Exit::Failed,
        Verdict::Verified => Exit::Fine,
    }
}

/// The chain to be judged.
struct Subject {
    /// The certificate to be judged, and what came with it.
    chain: Vec<Found>,
    /// The name it must be valid for.
    name: Option<ServerName<'static>>,
    notes: Vec<String>,
    /// False where a server showed a certificate without proof that it is its own.
    proven: bool,
}

fn subject(arguments: &Verify) -> anyhow::Result<Subject> {
    let name = arguments.name.as_deref().map(server_name).transpose()?;
    if let Some(address) = &arguments.source.connect {
        let name = match name {
            Some(name) => name,
            None => server_name(&address.host)?,
        };
        return from_server(address, name, arguments.timeout);
    }
    let Some(path) = &arguments.source.cert else {
        bail!("neither --cert nor --connect is given");
    };
    let input = Input::from(path.as_path());
    let Contents { found: chain, problems, .. } = contents::read(&input)?;
    if let Some(problem) = problems.first() {
        // Left out, it could be the very certificate that is to be judged.
        Err(anyhow!("`{input}`, {problem}"))
            .hint("a chain file holds certificates only, the one to be judged first")?;
    }
    Ok(Subject { chain, name, notes: Vec::new(), proven: true })
}

fn from_server(
    address: &ServerAddress,
    name: ServerName<'static>,
    timeout: Duration,
) -> anyhow::Result<Subject> {
    let presented = connect::chain_of(address, &name, timeout)
        .with_context(|| format!("cannot get the chain of `{address}`"))?;
    let mut chain = Vec::new();
    for (index, der) in presented.chain.iter().enumerate() {
        let certificate = Certificate::from_der(der).with_context(|| {
            format!("certificate {} that `{address}` sent is broken", index + 1)
        })?;
        chain.push(Found { certificate, line: None });
    }
    let notes = presented.note.into_iter().collect();
    Ok(Subject { chain, name: Some(name), notes, proven: presented.proven })
}

fn server_name(text: &str) -> anyhow::Result<ServerName<'static>> {
    ServerName::try_from(text.to_owned())
        .with_context(|| format!("`{text}` is neither a DNS name nor an IP address"))
}
