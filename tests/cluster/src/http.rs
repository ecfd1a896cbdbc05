//! One plain HTTP request to a port of the loopback interface: probes, metrics, etcd.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Asks for a path.
///
/// # Errors
/// Fails when nothing listens there, or there is no answer of HTTP within a few seconds.
pub async fn get(port: u16, path: &str) -> Result<Answer> {
    send(port, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")).await
}

/// Sends JSON to a path.
///
/// # Errors
/// Fails when nothing listens there, or there is no answer of HTTP within a few seconds.
pub async fn post(port: u16, path: &str, json: &serde_json::Value) -> Result<Answer> {
    let body = json.to_string();
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    send(port, &(head + &body)).await
}

async fn send(port: u16, request: &str) -> Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(BYTES_MAX).read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(LIMIT, exchange)
        .await
        .map_err(|_| anyhow!("no answer within {LIMIT:?}"))
        .flatten()
        .with_context(|| format!("cannot ask port {port} on loopback"))?;
    parse(&answer).with_context(|| format!("port {port} on loopback does not speak HTTP"))
}

fn parse(answer: &[u8]) -> Result<Answer> {
    let text = std::str::from_utf8(answer)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no end of the headers")?;
    let line = head.lines().next().unwrap_or_default();
    ensure!(line.starts_with("HTTP/1."), "the first line is `{line}`");
    let status = line.split(' ').nth(1).context("no status")?.parse().context("no status")?;
    Ok(Answer { status, body: body.to_owned() })
}

/// All these servers are on this machine; even a busy one answers within a second.
const LIMIT: Duration = Duration::from_secs(5);

/// Metrics of 1,000 Bundles at 1 KB each, ten times over.
const BYTES_MAX: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_status_and_body() {
        let answer =
            parse(b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nnot\r\n\r\nyet").unwrap();
        assert_eq!(answer, Answer { status: 503, body: "not\r\n\r\nyet".to_owned() });
        for bad in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
