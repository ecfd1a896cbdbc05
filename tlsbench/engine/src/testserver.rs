//! A small real server on threads of this process, which behaves well or badly as it is configured.
//!
//! It speaks HTTP/1.1 or a script of HTTP/2, with TLS or without, on 127.0.0.1, and counts what
//! clients did. Tests compare with its counts, and `doctor` measures the ceiling of the loopback
//! interface against it. One thread for each connection and blocking calls: simple, not fast.

mod error;
mod counters;
mod ending;
mod http2;
mod config;
mod http1;
mod server;

pub use config::{Answer, BodyEncoding, Handshake, TestServerConfig, TestServerTls};
pub use counters::Seen;
pub use error::TestServerError;
pub use http2::Script;
pub use server::TestServer;

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::*;

    fn body(status: u16, bytes: usize, framing: BodyEncoding, close: bool) -> Answer {
        Answer::Body { status, bytes, framing, close }
    }

    fn start(answer: Answer) -> TestServer {
        TestServer::start(TestServerConfig { answer, ..TestServerConfig::plain(0) }).unwrap()
    }

    fn exchange(server: &TestServer, request: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(server.address())?;
        stream.write_all(request.as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    }

    const LAST: &str = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    const MORE: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";

    #[test]
    fn answers_are_as_told() {
        for (answer, expected) in [
            (
                body(204, 0, BodyEncoding::Length, false),
                "HTTP/1.1 204 Fake\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                body(200, 3, BodyEncoding::Close, false),
                "HTTP/1.1 200 Fake\r\nConnection: close\r\n\r\nxxx",
            ),
            (
                body(200, 3, BodyEncoding::Chunks(2), true),
                "HTTP/1.1 200 Fake\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\nxx\r\n1\r\nx\r\n0\r\n\r\n",
            ),
            (
                Answer::Truncated { promised: 9, sent: 1 },
                "HTTP/1.1 200 Fake\r\nContent-Length: 9\r\n\r\nx",
            ),
            (Answer::Garbage, "\x00\x01 this is no response\r\n\r\n"),
        ] {
            let server = start(answer);
            assert_eq!(exchange(&server, LAST).unwrap(), expected);
            assert_eq!(server.seen().requests, 1);
        }
    }

    #[test]
    fn a_connection_is_kept_until_the_client_closes_it() {
        let server = start(body(200, 1, BodyEncoding::Length, false));
        let response = exchange(&server, &[MORE, MORE, LAST].concat()).unwrap();
        assert_eq!(response.matches("HTTP/1.1 200").count(), 3);
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(MORE.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.read_to_string(&mut String::new()).unwrap();
        let seen = server.wait_until(|seen| seen.orderly == 1);
        assert_eq!((seen.connections, seen.requests, seen.orderly), (2, 4, 1));
    }

    #[test]
    fn a_reset_is_a_reset() {
        let server = start(Answer::Reset);
        let error = exchange(&server, LAST).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn dropping_it_ends_connections_that_stall() {
        let server = start(Answer::Stall);
        let mut streams: Vec<TcpStream> =
            (0..20).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        for stream in streams.iter_mut().take(10) {
            stream.write_all(MORE.as_bytes()).unwrap();
        }
        server.wait_until(|seen| seen.requests == 10);
        let (address, begin) = (server.address(), Instant::now());
        drop(server);
        assert!(begin.elapsed() < Duration::from_secs(2));
        for mut stream in streams {
            drop(stream.read(&mut [0; 8]));
        }
        assert!(TcpStream::connect(address).is_err());
    }
}
