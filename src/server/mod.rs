//! **The socket.** What the engine talks to.
//!
//! HTTP/1.1 over a Unix socket, as `docker.authz/1.0` wants it: no `Content-Type`, an
//! empty `Host`, connections kept alive without a time limit (the engine reuses them, and
//! a cut one makes it repeat its call with an empty body), as many at once as come.
//!
//! Knows `gate` and `request`. Whatever goes wrong here ends in a denial.

mod answer;
mod call;
mod listen;
mod probe;

pub use listen::{Access, ListenError, Listener, handed_over};

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::UnixStream;
use tracing::{debug, info, warn};

use crate::gate::SharedGate;
use probe::Probes;

/// How long calls under way may take once a shutdown was asked for. The slowest decision
/// asks the engine twice and the network once, each within its own time.
const DRAIN: Duration = Duration::from_secs(30);
/// How long to wait before accepting again after `accept` failed (too many open files).
const BREATH: Duration = Duration::from_millis(50);

/// Serves the plugin's protocol until `shutdown` completes, then drains: calls under way
/// are answered, for at most half a minute.
pub async fn serve(gate: SharedGate, listener: Listener, shutdown: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let probes = Arc::default();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => connect(&gate, &probes, stream, &graceful),
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                }
            },
        }
    }
    info!("shutting down");
    // An engine that finds no socket tries again, with its whole call. One that found a
    // socket nobody answers on would repeat its call empty.
    for stream in listener.close() {
        connect(&gate, &probes, stream, &graceful);
    }
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(DRAIN) => warn!("calls were still under way after {DRAIN:?}"),
    }
}

fn connect(
    gate: &SharedGate,
    probes: &Arc<Probes>,
    stream: UnixStream,
    graceful: &GracefulShutdown,
) {
    let (gate, probes) = (gate.clone(), Arc::clone(probes));
    let service = service_fn(move |request| {
        // Each call is decided by the policy in force when it came.
        let (gate, probes) = (gate.current(), Arc::clone(&probes));
        async move { Ok::<_, Infallible>(answer::answer(gate, probes, request).await) }
    });
    // No timer: a time limit on headers would also run while a connection is idle, and
    // close it under the engine (hyperium/hyper#3828). The peer is root.
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a connection ended early");
        }
    });
}
