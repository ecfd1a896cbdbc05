use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop::{consume_budget, has_budget_remaining};
use tokio::time::timeout;

use super::*;
use crate::hop::stream::{Socket, Stream};

/// Runs a test, and fails it when it hangs.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(TEST_MAX, test).await.expect("the test hangs") });
}

/// A connection as the pool keeps it, and the next hop's end of it.
async fn connected() -> (Conn, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (Conn::new(Stream::Plain(Socket::new(tcp))), listener.accept().await.unwrap().0)
}

/// A pool of one connection, of which something is known by now.
async fn pool_of(conn: Conn) -> Pool {
    conn.stream.tcp().readable().await.unwrap();
    let pool = Pool::new(1);
    pool.put(conn);
    pool
}

/// Pools of one connection each, with the next hop's end while it is open: what it says before it
/// is asked would be taken for the response to the next request, and what it ended carries none.
async fn dead() -> [(Pool, Option<TcpStream>); 2] {
    let (spoken, mut peer) = connected().await;
    peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let (ended, _) = connected().await;
    [(pool_of(spoken).await, Some(peer)), (pool_of(ended).await, None)]
}

#[test]
fn a_connection_that_waits_in_silence_is_taken_once() {
    run(async {
        let (conn, _peer) = connected().await;
        let pool = Pool::new(1);
        pool.put(conn);
        assert!(pool.take().is_some());
        assert!(pool.take().is_none());
    });
}

#[test]
fn a_connection_on_which_the_next_hop_spoke_or_that_it_ended_carries_no_request() {
    run(async {
        for (pool, _peer) in dead().await {
            assert!(pool.take().is_none());
        }
    });
}

/// Tokio has a task that did much at once find nothing ready until it has yielded.
#[test]
fn a_task_that_did_much_at_once_finds_it_dead_all_the_same() {
    run(async {
        for (pool, _peer) in dead().await {
            while has_budget_remaining() {
                consume_budget().await;
            }
            assert!(pool.take().is_none());
        }
    });
}

/// A thousand times what it takes.
const TEST_MAX: Duration = Duration::from_secs(10);
