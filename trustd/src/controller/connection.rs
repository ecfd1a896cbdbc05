//! The connections to the API server. Three things are different about them from kube's own:
//! watches begin at the newest state, a peer that is gone without a word is noticed by TCP itself,
//! and the lease has connections of its own.

use std::time::Duration;

use http::{Request, Uri};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tower::util::MapRequestLayer;
use tower::{BoxError, ServiceBuilder};

/// The connections of a controller.
#[derive(Clone)]
pub struct Connections {
    /// The client for watches and writes.
    pub work: Client,
    /// The client for the lease alone, as in client-go's controllers: a renewal that meets a dead
    /// connection finds a new one at its next try, and not another one that a burst of writes left
    /// behind.
    pub lease: Client,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

/// Clients for everything that the controller does. They never try again by themselves.
///
/// # Errors
/// When the configuration is of no use, for example a certificate that cannot be read.
pub fn connect(config: Config) -> kube::Result<Connections> {
    Ok(Connections { lease: client(config.clone())?, work: client(config)? })
}

/// kube's own stack without retries and tracing, over sockets that TCP looks after.
fn client(config: Config) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        // kube says which of its features a proxy needs; this program has none of them.
        return ClientBuilder::try_from(config).map(ClientBuilder::build);
    }
    let https = config.rustls_https_connector_with_connector(tcp())?;
    let mut connector = TimeoutConnector::new(https);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let http: Http<_, Body> = Http::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(MapRequestLayer::new(from_newest))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}

/// Returns a connector for TCP. The kernel closes a dead connection, whether it is silent
/// (keepalive) or waits for an acknowledgement (`TCP_USER_TIMEOUT`, RFC 5482); by default Linux
/// takes over two hours and about 15 minutes.
fn tcp() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE_IDLE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
    connector
}

/// Asks for the newest state where a watch asks for any.
///
/// kube begins a streaming list at version 0, which is whatever the API server happens to remember.
/// A process that has just started would then plan with a source older than the targets that
/// another wrote, and put the old content back. Without a version the server first catches up.
fn from_newest(mut request: Request<Body>) -> Request<Body> {
    if let Some(uri) = newest(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn newest(uri: &Uri) -> Option<Uri> {
    let query = uri.query().filter(|query| query.contains("sendInitialEvents=true"))?;
    let kept: Vec<&str> = query.split('&').filter(|it| *it != "resourceVersion=0").collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{}", uri.path(), kept.join("&")).parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Middleboxes forget idle connections after minutes, some after one; half of that.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// The time between probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Probes without an answer: a connection is dead after 30 + 3 × 10 s.
const KEEPALIVE_RETRIES: u32 = 3;
/// The same time as with probes: 30 + 3 × 10 s.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);
/// A burst of writes leaves one pooled connection per slot. A connection that was idle for as long
/// as keepalive leaves it unprobed is not used again.
const POOL_IDLE: Duration = KEEPALIVE_IDLE;

#[cfg(test)]
mod tests {
    use rustix::net::sockopt;
    use tower::Service as _;

    use super::*;

    #[test]
    fn a_streaming_list_begins_at_the_newest_state_and_nothing_else_changes() {
        let of = |text: &str| newest(&text.parse().unwrap()).map(|uri| uri.to_string());
        let kube = "/api/v1/secrets?watch=true&sendInitialEvents=true&resourceVersionMatch=\
                    NotOlderThan&resourceVersion=0";
        let wanted =
            "/api/v1/secrets?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(of(kube).unwrap(), wanted);
        assert_eq!(
            of("https://h:1/a?sendInitialEvents=true").unwrap(),
            "https://h:1/a?sendInitialEvents=true"
        );
        assert_eq!(of("/api/v1/secrets?watch=true&resourceVersion=0"), None);
        assert_eq!(of("/api/v1/secrets"), None);
    }

    #[tokio::test]
    async fn tcp_looks_after_every_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let stream = tcp().call(uri).await.unwrap().into_inner();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEPALIVE_IDLE);
        assert_eq!(sockopt::tcp_keepintvl(&stream).unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(sockopt::tcp_keepcnt(&stream).unwrap(), KEEPALIVE_RETRIES);
        let unacknowledged = sockopt::tcp_user_timeout(&stream).unwrap();
        assert_eq!(u128::from(unacknowledged), UNACKNOWLEDGED_MAX.as_millis());
        assert!(sockopt::tcp_nodelay(&stream).unwrap());
    }

    #[tokio::test]
    async fn a_proxy_that_cannot_be_honoured_is_an_error() {
        let mut config = Config::new("https://127.0.0.1:1".parse().unwrap());
        config.proxy_url = Some("http://127.0.0.1:2".parse().unwrap());
        assert!(connect(config).is_err());
    }
}
