//! HTTP/1.1 exchanges with a bound on everything: time, header size and count, body
//! size.

use std::error::Error;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::connect::Connect;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::clock::Deadline;

/// Idle connections are dropped after this long: most servers keep them for 60 s or
/// more, and a connection that both sides still hold is the only one worth holding.
pub(super) const IDLE: Duration = Duration::from_secs(50);
/// Idle connections kept per host: one repository's files come one after another.
pub(super) const IDLE_CONNECTIONS: usize = 4;
/// Tasks of a connection that have to run, one after the other, before it can be had again:
/// who asks for the next file at once would have another one made.
const HOPS: usize = 3;
/// Most bytes of an answer's head, and of what is read ahead of the body.
pub(super) const MAX_HEAD: usize = 32 * 1024;
/// Most header fields of an answer.
pub(super) const MAX_HEADERS: usize = 100;
/// Most bytes read of the body of an error, which at best explains it.
const MAX_ERROR_BODY: u64 = 16 * 1024;
/// What we call ourselves in a server's log.
pub(super) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("countersign/", env!("CARGO_PKG_VERSION")));

/// A request, and the bounds on its answer.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    /// Most bytes of body to take from a good answer.
    pub(super) max: u64,
    pub(super) deadline: Deadline,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body; of an error, what could be had of it.
    pub(super) body: Vec<u8>,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum Failure {
    Timeout,
    TooLarge,
    /// The body is in a form that was not asked for.
    Encoded,
    /// No connection to a socket came about.
    Connect(io::Error),
    Exchange(legacy::Error),
    /// A connection that stood broke.
    Broken(hyper::Error),
}

/// A pool of connections with our bounds on it.
pub(super) fn pool<C: Connect + Clone>(connector: C) -> Client<C, Empty<Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .http1_max_buf_size(MAX_HEAD)
        .http1_max_headers(MAX_HEADERS)
        .build(connector)
}

/// Sends a request and reads the whole answer, within the deadline.
pub(super) async fn exchange<C>(
    client: &Client<C, Empty<Bytes>>,
    call: &Call,
) -> Result<Answer, Failure>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let whole = async {
        let answer = whole(send(client, call).await?, call.max).await;
        for _ in 0..HOPS {
            tokio::task::yield_now().await;
        }
        answer
    };
    call.deadline.bound(whole).await.unwrap_or(Err(Failure::Timeout))
}

/// Reads the whole answer, and no more of a body than `max` bytes.
pub(super) async fn whole(response: Response<Incoming>, max: u64) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    if is_encoded(&head.headers) {
        return Err(Failure::Encoded);
    }
    let body = if head.status.is_success() {
        collect(body, max).await?
    } else {
        collect(body, MAX_ERROR_BODY).await.unwrap_or_default()
    };
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// The request that a call sends.
pub(super) fn request(call: &Call) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = call.url.clone();
    *request.headers_mut() = call.headers.clone();
    request.headers_mut().insert(USER_AGENT, AGENT);
    request
}

async fn send<C>(
    client: &Client<C, Empty<Bytes>>,
    call: &Call,
) -> Result<Response<Incoming>, Failure>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let request = request(call);
    let response = match client.request(request.clone()).await {
        // A kept connection may be closed by the server just as we use it. All our
        // requests read, or ask for an end that comes but once, so asking again can do
        // no harm.
        Err(error) if !error.is_connect() && is_lost(&error) => client.request(request).await,
        other => other,
    };
    response.map_err(Failure::Exchange)
}

/// Whether a body would have to be unpacked. None such is asked for, and it would be a way
/// past the limit on its size.
fn is_encoded(headers: &HeaderMap) -> bool {
    let has_other = |name, plain: &str| {
        headers
            .get_all(name)
            .iter()
            .any(|value| !value.as_bytes().eq_ignore_ascii_case(plain.as_bytes()))
    };
    has_other(CONTENT_ENCODING, "identity") || has_other(TRANSFER_ENCODING, "chunked")
}

/// Reads a body of at most `max` bytes: what announces more is not read at all.
async fn collect(mut body: Incoming, max: u64) -> Result<Vec<u8>, Failure> {
    if body.size_hint().lower() > max {
        return Err(Failure::TooLarge);
    }
    // In one piece; what is announced is at most what may come.
    let mut bytes = Vec::with_capacity(usize::try_from(body.size_hint().lower()).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Failure::Broken)?.into_data() else { continue };
        if (bytes.len() as u64).saturating_add(data.len() as u64) > max {
            return Err(Failure::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Whether a connection that stood was lost before any answer came.
pub(super) fn is_lost(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    causes(error).any(|cause| {
        let hyper = cause.downcast_ref::<hyper::Error>();
        let io = cause.downcast_ref::<io::Error>();
        hyper.is_some_and(hyper::Error::is_incomplete_message)
            || io.is_some_and(|io| {
                matches!(
                    io.kind(),
                    BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
                )
            })
    })
}

/// An error and everything under it.
///
/// `source()` of an `io::Error` skips the error it wraps, which is where rustls puts
/// its own.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The deepest cause, which says most.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}
