//! What is shown to Prometheus: `GET /metrics`, and nothing else.
//!
//! Read by programs of this host alone, over loopback or a Unix socket that is root's: there
//! is no TLS and no login. It may not be in the way of deciding, so a few connections are
//! served, for a short time each, and more are turned away.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{Access, BREATH, ListenError, Listener};
use crate::record::Recorder;

/// Connections served at once: a server that scrapes, one that takes its place, and somebody
/// who looks.
const AT_ONCE: usize = 8;
/// How long a connection may last. Prometheus makes a new one where it finds one closed.
const LASTS: Duration = Duration::from_secs(120);
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);
/// Most bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// `OpenMetrics` text, which Prometheus reads since 2.5.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where metrics are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// A port of this host's loopback.
    Loopback(SocketAddr),
    /// A Unix socket.
    Socket(PathBuf),
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Socket(path.into()));
        }
        let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        match named.as_deref().unwrap_or(text).parse::<SocketAddr>() {
            Ok(address) if is_loopback(address.ip()) => Ok(Self::Loopback(address)),
            Ok(_) => Err("metrics are shown on loopback alone, since there is neither TLS nor a \
                          login: say 127.0.0.1:PORT, and let a proxy of yours that has both pass \
                          them on"
                .to_owned()),
            Err(_) => Err("say an address of loopback with its port, such as 127.0.0.1:9618, or \
                           a Unix socket's path, such as /run/countersign/metrics.sock"
                .to_owned()),
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

/// A socket on which metrics are shown.
pub struct Scrapes(Inner);

enum Inner {
    Loopback(TcpListener),
    Socket(Listener),
}

impl Scrapes {
    /// Listens there.
    pub async fn bind(address: &MetricsAddress) -> Result<Self, ListenError> {
        match address {
            MetricsAddress::Loopback(address) => {
                let at = |error| ListenError::Io { path: address.to_string().into(), error };
                TcpListener::bind(address).await.map(|one| Self(Inner::Loopback(one))).map_err(at)
            }
            MetricsAddress::Socket(path) => {
                Listener::bind(path, Access::OWNER).map(|one| Self(Inner::Socket(one)))
            }
        }
    }

    /// Shows metrics for as long as it is polled.
    pub async fn serve(self, recorder: Arc<Recorder>) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            // Taken before a connection is: the others wait, and cost nothing here.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let recorder = Arc::clone(&recorder);
            let accepted = match &self.0 {
                Inner::Loopback(listener) => listener.accept().await.map(|(stream, _)| {
                    tokio::spawn(async move { (show(stream, recorder).await, place).0 });
                }),
                Inner::Socket(listener) => listener.accept().await.map(|stream| {
                    tokio::spawn(async move { (show(stream, recorder).await, place).0 });
                }),
            };
            if let Err(error) = accepted {
                warn!(%error, "cannot accept a connection for metrics");
                sleep(BREATH).await;
            }
        }
    }
}

async fn show(stream: impl AsyncRead + AsyncWrite + Unpin + Send, recorder: Arc<Recorder>) {
    let service = service_fn(move |request| {
        let recorder = Arc::clone(&recorder);
        async move { Ok::<_, Infallible>(answer(&request, recorder).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(LASTS, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => debug!(%error, "a connection for metrics ended early"),
    }
}

async fn answer(request: &Request<Incoming>, recorder: Arc<Recorder>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {}
        (_, "/metrics") => {
            let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "GET /metrics\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        _ => return said(StatusCode::NOT_FOUND, "there is /metrics, and nothing else\n"),
    }
    // Away from the threads that serve the engine: what is kept of thousands of repositories
    // is looked through.
    let text = tokio::task::spawn_blocking(move || recorder.metrics().text()).await;
    let Ok(Ok(text)) = text else {
        warn!("metrics could not be written down");
        return said(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written down\n");
    };
    let mut response = Response::new(Full::new(text.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

fn said(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_stay_on_this_host() {
        let socket = |path: &str| Ok(MetricsAddress::Socket(path.into()));
        for (text, read) in [
            ("127.0.0.1:9618", Ok(MetricsAddress::Loopback(([127, 0, 0, 1], 9618).into()))),
            ("localhost:1", Ok(MetricsAddress::Loopback(([127, 0, 0, 1], 1).into()))),
            ("[::1]:9618", Ok(MetricsAddress::Loopback("[::1]:9618".parse().unwrap()))),
            ("/run/m.sock", socket("/run/m.sock")),
            ("unix:///run/m.sock", socket("/run/m.sock")),
            ("0.0.0.0:9618", Err("loopback alone")),
            ("[::]:9618", Err("loopback alone")),
            ("192.0.2.1:9618", Err("loopback alone")),
            ("[::ffff:127.0.0.1]:9618", Err("loopback alone")),
            (":9618", Err("say an address")),
            ("9618", Err("say an address")),
            ("127.0.0.1", Err("say an address")),
            ("example.com:9618", Err("say an address")),
            ("", Err("say an address")),
        ] {
            match (text.parse::<MetricsAddress>(), read) {
                (Ok(address), Ok(wanted)) => assert_eq!(address, wanted, "{text}"),
                (Err(error), Err(wanted)) => assert!(error.contains(wanted), "{text}: {error}"),
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }
}
