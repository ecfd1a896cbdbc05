//! The small HTTP servers of a controller: health and metrics, nothing else, without TLS as the
//! peer serves them.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A server cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on port {port}")]
pub struct ServeError {
    port: u16,
    source: std::io::Error,
}

/// A function from a path to its page: status code, content type and text; `None` if there is no
/// such page.
pub type Pages = Arc<dyn Fn(&str) -> Option<(StatusCode, &'static str, String)> + Send + Sync>;

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    pages: Pages,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on this port of every address, IPv6 and IPv4. Port 0 is any free one.
    ///
    /// # Errors
    /// When the port is taken or may not be used.
    pub async fn listen(port: u16, pages: Pages) -> Result<Self, ServeError> {
        let every = [
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        ];
        // The second only matters on a machine without IPv6.
        let listener = TcpListener::bind(every.as_slice()).await;
        Ok(Self { listener: listener.map_err(|source| ServeError { port, source })?, pages })
    }

    /// Returns the address of the listener.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Answers requests for ever.
    pub async fn run(self) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let pages = Arc::clone(&self.pages);
                    tokio::spawn(async move {
                        // Whoever keeps a connection open keeps others out.
                        let _ = tokio::time::timeout(CONNECTION_MAX, answer(stream, pages)).await;
                        drop(place);
                    });
                }
                // Out of file descriptors, most likely: that passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn answer(stream: TcpStream, pages: Pages) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = page(&pages, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    // A client that hangs up or talks nonsense is its own problem.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn page(pages: &Pages, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (status, content_type, text) = match pages(path) {
        None => (StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
        Some(_) if !matches!(*method, Method::GET | Method::HEAD) => {
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned())
        }
        Some(page) => page,
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
/// Two scrapers, a kubelet and a person, each a few times over.
const CONNECTIONS_MAX: usize = 64;
/// Longer than any scrape interval in use, so that a scraper may keep its connection.
const CONNECTION_MAX: Duration = Duration::from_secs(300);
/// Time for a client to send its request.
const HEADER_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_pages_are_answered_and_only_to_get() {
        let pages: Pages =
            Arc::new(|path| (path == "/a").then(|| (StatusCode::OK, TEXT, "text".to_owned())));
        assert_eq!(page(&pages, &Method::GET, "/a").status(), 200);
        assert_eq!(page(&pages, &Method::HEAD, "/a").status(), 200);
        assert_eq!(page(&pages, &Method::POST, "/a").status(), 405);
        assert_eq!(page(&pages, &Method::GET, "/b").status(), 404);
    }

    #[tokio::test]
    async fn a_page_is_served_over_ipv4_and_ipv6() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let pages: Pages = Arc::new(|_| Some((StatusCode::OK, TEXT, "alive".to_owned())));
        let server = Server::listen(0, pages).await.unwrap();
        let port = server.address().unwrap().port();
        let task = tokio::spawn(server.run());
        let mut hosts = vec![std::net::IpAddr::from(Ipv4Addr::LOCALHOST)];
        // A machine without IPv6 serves IPv4 alone.
        if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            hosts.push(Ipv6Addr::LOCALHOST.into());
        }
        for host in hosts {
            let mut stream = TcpStream::connect((host, port)).await.unwrap();
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("alive"), "{text}");
        }
        task.abort();
    }
}
