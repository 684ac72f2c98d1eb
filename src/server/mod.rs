//! **The socket.** What the engine talks to.
//!
//! HTTP/1.1 over a Unix socket, as `docker.authz/1.0` wants it: no `Content-Type`, an
//! empty `Host`, connections kept alive without a time limit (the engine reuses them, and
//! a cut one makes it repeat its call with an empty body), as many at once as come.
//!
//! Beside it, where that is asked for, a socket that shows metrics to Prometheus (`scrape`).
//!
//! Knows `gate`, `record` and `request`. Whatever goes wrong here ends in a denial.

mod answer;
mod call;
mod listen;
mod probe;
mod scrape;

pub use listen::{Access, ListenError, Listener, handed_over};
pub use scrape::{MetricsAddress, Scrapes};

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::UnixStream;
use tracing::{debug, info, warn};

use crate::gate::Gate;
use crate::record::Recorder;
use answer::Desk;
use probe::Probes;

/// How long calls under way may take once a shutdown was asked for. The slowest decision
/// asks the engine twice and the network once, each within its own time.
const DRAIN: Duration = Duration::from_secs(30);
/// How long to wait before accepting again after `accept` failed (too many open files).
const BREATH: Duration = Duration::from_millis(50);

/// Serves the plugin's protocol until `shutdown` completes, then drains: calls under way
/// are answered, for at most half a minute.
pub async fn serve(
    gate: Arc<Gate>,
    recorder: Arc<Recorder>,
    listener: Listener,
    shutdown: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let desk = Arc::new(Desk { gate, recorder, probes: Probes::default() });
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => connect(&desk, stream, &graceful),
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
        connect(&desk, stream, &graceful);
    }
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(DRAIN) => warn!("calls were still under way after {DRAIN:?}"),
    }
}

fn connect(desk: &Arc<Desk>, stream: UnixStream, graceful: &GracefulShutdown) {
    let desk = Arc::clone(desk);
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(answer::answer(desk, request).await) }
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
