//! Connections to servers: straight, or through a proxy's tunnel (CONNECT, RFC 9110
//! section 9.3.6). TLS is made inside it, so that a proxy sees host names and nothing else.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tower_service::Service;

use super::http::{AGENT, causes, innermost};
use super::http_proxy::{HttpProxy, Proxies};
use super::unavailable::Seconds;

/// Longest wait for a proxy's way to a server. Shorter than the deadline of a decision, so
/// that a proxy that hangs is told from a server that does.
const OPENED: Duration = Duration::from_secs(4);
/// Most bytes of a proxy's answer; hyper takes no smaller limit.
const MAX_HEAD: usize = 8 * 1024;

/// A proxy that does not lead to the server.
#[derive(Debug, thiserror::Error)]
#[error("proxy {proxy}, which {what}")]
pub(super) struct ProxyFault {
    /// Host and port of the proxy.
    pub(super) proxy: String,
    /// Completes "the proxy HOST, which …".
    pub(super) what: String,
}

/// Makes TCP connections, through a proxy where one leads to the server.
#[derive(Clone)]
pub(super) struct Way {
    tcp: HttpConnector,
    proxies: Arc<Proxies>,
}

impl Way {
    pub(super) fn new(tcp: HttpConnector, proxies: Arc<Proxies>) -> Self {
        Self { tcp, proxies }
    }
}

type BoxError = Box<dyn Error + Send + Sync>;
type Stream = TokioIo<TcpStream>;

impl Service<Uri> for Way {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.leading_to(&server) else {
            let connecting = self.tcp.call(server);
            return Box::pin(async { connecting.await.map_err(Into::into) });
        };
        let (name, request) = (proxy.name(), connect(proxy, &server));
        let connecting = self.tcp.call(proxy.uri.clone());
        Box::pin(async move {
            let opening = async {
                let stream = connecting.await.map_err(|error| unreached(&error))?;
                open(stream, request?).await
            };
            let opened = tokio::time::timeout(OPENED, opening).await;
            let opened = opened
                .unwrap_or_else(|_| Err(format!("did not open the way in {}", Seconds(OPENED))));
            opened.map_err(|what| ProxyFault { proxy: name, what }.into())
        })
    }
}

/// `CONNECT HOST:PORT`
fn connect(proxy: &HttpProxy, server: &Uri) -> Result<Request<Empty<Bytes>>, String> {
    let host = server.host().unwrap_or_default();
    let server = format!("{host}:{}", server.port_u16().unwrap_or(443));
    let built = || {
        let mut request = Request::connect(&server).body(Empty::new()).ok()?;
        request.headers_mut().insert(HOST, HeaderValue::from_str(&server).ok()?);
        request.headers_mut().insert(hyper::header::USER_AGENT, AGENT);
        if let Some(authorization) = &proxy.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Some(request)
    };
    built().ok_or_else(|| "cannot be asked for this server".to_owned())
}

/// Asks for the way. An error completes "which …".
async fn open(stream: Stream, request: Request<Empty<Bytes>>) -> Result<Stream, String> {
    let has_credentials = request.headers().contains_key(PROXY_AUTHORIZATION);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(stream).await.map_err(|e| broken(&e))?;
    // Ends with this attempt, however it ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection.with_upgrades());
    let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
    match answer.status() {
        status if status.is_success() => {}
        // Some say 401 where they mean the other (tinyproxy, to a wrong password).
        StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED => {
            let status = answer.status().as_u16();
            return Err(if has_credentials {
                format!("refused the credentials ({status})")
            } else {
                format!("asks for credentials, and none are configured ({status})")
            });
        }
        status => return Err(format!("answered {}", status.as_u16())),
    }
    let tunnel = hyper::upgrade::on(answer).await.map_err(|error| broken(&error))?;
    match tunnel.downcast::<Stream>() {
        // In TLS the client speaks first.
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io),
        _ => Err("sent more than an answer".to_owned()),
    }
}

/// No connection to the proxy came about.
fn unreached(error: &(dyn Error + 'static)) -> String {
    let cause = innermost(error);
    for part in causes(error) {
        if part.to_string() == "dns error" {
            return format!("cannot be found: the name does not resolve ({cause})");
        }
        match part.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => return "did not answer".to_owned(),
            Some(io::ErrorKind::ConnectionRefused) => return "refused the connection".to_owned(),
            _ => {}
        }
    }
    format!("cannot be reached: {cause}")
}

/// The connection to the proxy stood, and no whole answer came.
fn broken(error: &hyper::Error) -> String {
    if error.is_parse() {
        format!("gave a bad answer: {}", innermost(error))
    } else {
        format!("closed the connection before its answer was complete ({})", innermost(error))
    }
}
