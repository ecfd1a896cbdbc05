//! The connection to the API server, and the one thing that is different about it: watches begin at
//! the newest state.

use http::{Request, Uri};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::util::MapRequestLayer;

/// A client for everything that the controller does.
///
/// # Errors
/// When the configuration is of no use, for example a certificate that cannot be read.
pub fn connect(config: Config) -> kube::Result<Client> {
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&MapRequestLayer::new(from_newest)).build())
}

/// Asks for the newest state where a watch asks for any.
///
/// kube begins a streaming list at version 0, which is whatever the API server happens to remember. A
/// process that has just started would then plan with a source older than the targets that another
/// wrote, and put the old content back. Without a version the server first catches up.
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

#[cfg(test)]
mod tests {
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
}
