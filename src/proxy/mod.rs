//! **The engine's door.** What stands between clients and the engine's socket.
//!
//! Docker Engine 29.2 and later serve HTTP/2 on their socket and hand gRPC calls to
//! BuildKit past every authorization plugin. `countersign proxy` takes the place of that
//! socket and lets HTTP/1.1 through, byte for byte, and nothing else.
//!
//! What Go's `net/http` takes for HTTP/2 is not only a connection that begins with the
//! preface: a later request `PRI * HTTP/2.0` also reaches the engine's handler as HTTP/2.
//! So the proxy looks at the head of every request, following bodies by their declared
//! length without reading them, for as long as the engine reads HTTP from the connection:
//!
//! ```text
//! client ─▶ head: HTTP/1.x, unambiguous? ─▶ body: counted, not read ─▶ next head …
//!              │ no: 505, 400                └─▶ engine answers 101 ─▶ plain bytes both ways
//! ```
//!
//! A stream begins only when the engine says so, after its plugins were asked about the
//! call. Then the engine's HTTP server reads nothing more from that connection, so what
//! flows there cannot become a call; `POST /session` and `POST /grpc` are such calls, which
//! policy allows or denies.
//!
//! Knows of `server` the socket alone.

mod carry;
mod chunked;
mod head;
mod refusal;
mod relay;
mod reply;
mod requests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::server::Listener;

/// How long to wait before accepting again after `accept` failed (too many open files).
const BREATH: Duration = Duration::from_millis(50);

/// Relays connections to the engine's socket until `shutdown` completes. Then no new ones
/// are taken, and those that are there may go on for `drain` before they are cut.
pub async fn serve(
    listener: Listener,
    engine: &Path,
    drain: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let engine: Arc<Path> = Arc::from(engine);
    let relay = |client| {
        let engine = Arc::clone(&engine);
        async move { relay::relay(client, &engine).await }
    };
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(client) => drop(connections.spawn(relay(client))),
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                }
            },
        }
    }
    // Before the wait: a client that comes now is told so, or waits at systemd's socket.
    for client in listener.close() {
        connections.spawn(relay(client));
    }
    info!(connections = connections.len(), "shutting down");
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, ended).await.is_err() {
        warn!(connections = connections.len(), "cut after {drain:?}");
    }
}
