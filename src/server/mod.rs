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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::gate::SharedGate;
use crate::record::Recorder;
use answer::Desk;
use probe::Probes;

/// How long calls under way may take once a shutdown was asked for. The slowest decision
/// asks the engine three times and the network once, each within its own time.
const DRAIN: Duration = Duration::from_secs(30);
/// How long a connection that has brought no call yet is waited for once a shutdown was asked
/// for: its first call is on its way.
const FIRST_CALL: Duration = Duration::from_secs(5);
/// The same for one whose calls were all answered: another may be on its way.
const NEXT_CALL: Duration = Duration::from_millis(300);
/// How long to wait before accepting again after `accept` failed (too many open files).
const BREATH: Duration = Duration::from_millis(50);

/// Serves the plugin's protocol until `shutdown` completes, then drains: calls under way
/// are answered, for at most half a minute.
pub async fn serve(
    gate: SharedGate,
    recorder: Arc<Recorder>,
    listener: Listener,
    shutdown: impl Future<Output = ()>,
) {
    let stopping = watch::Sender::new(false);
    let desk = Arc::new(Desk { gate, recorder, probes: Probes::default() });
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => connect(&desk, stream, &stopping),
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                }
            },
        }
    }
    info!("shutting down");
    stopping.send_replace(true);
    // An engine that finds no socket tries again, with its whole call. One that found a
    // socket nobody answers on would repeat its call empty.
    for stream in listener.close() {
        connect(&desk, stream, &stopping);
    }
    // Each connection listens to it as long as it is there.
    if timeout(DRAIN, stopping.closed()).await.is_err() {
        warn!("calls were still under way after {DRAIN:?}");
    }
}

/// Serves a connection. Once a shutdown was asked for, the answer to its next call says that
/// it is the last. Merely closing it (hyper's graceful shutdown) would lose a call that was
/// sent and not read yet, which an engine repeats empty.
fn connect(desk: &Arc<Desk>, stream: UnixStream, stopping: &watch::Sender<bool>) {
    let desk = Arc::clone(desk);
    let mut stopping = stopping.subscribe();
    let is_last = stopping.clone();
    let was_called = Arc::new(AtomicBool::new(false));
    let called = Arc::clone(&was_called);
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        let is_last = is_last.clone();
        called.store(true, Ordering::Relaxed);
        async move {
            let mut answer = answer::answer(desk, request).await;
            if *is_last.borrow() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    // No timer: a time limit on headers would also run while a connection is idle, and
    // close it under the engine (hyperium/hyper#3828). The peer is root.
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::spawn(async move {
        tokio::pin!(connection);
        let told = tokio::select! {
            ended = connection.as_mut() => return tell(ended),
            told = stopping.wait_for(|stopping| *stopping) => told.is_ok(),
        };
        let first = told && !was_called.load(Ordering::Relaxed);
        let patience = if first { FIRST_CALL } else { NEXT_CALL };
        if let Ok(ended) = timeout(patience, connection.as_mut()).await {
            return tell(ended);
        }
        // Nothing came, or a call takes its time: that one is still answered.
        connection.as_mut().graceful_shutdown();
        tell(connection.await);
    });
}

fn tell(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}
