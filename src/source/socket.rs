//! HTTP/1.1 over a unix socket of this host.
//!
//! What is asked here is answered within microseconds. So whoever asks drives the connection,
//! too: a task of its own, as pools make them, would be woken on another thread and wake us
//! on yet another, which takes longer than the answer.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use http_body_util::Empty;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::http::{
    Answer, Call, Failure, IDLE, IDLE_CONNECTIONS, MAX_HEAD, MAX_HEADERS, is_lost, request, whole,
};

/// How often in a row a connection and who waits for it wake each other, before others have
/// their turn.
const ROUNDS: usize = 8;

/// Who asks a server on a unix socket.
pub(super) struct SocketClient {
    path: PathBuf,
    /// Connections that nobody uses, the last used last.
    idle: Mutex<Vec<(Line, Instant)>>,
}

/// A connection that goes on while it is polled.
struct Line {
    sender: SendRequest<Empty<Bytes>>,
    connection: Pin<Box<Connection>>,
}

type Connection = http1::Connection<TokioIo<UnixStream>, Empty<Bytes>>;

impl SocketClient {
    /// Connects to nothing yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default() }
    }

    /// The socket.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Sends a request and reads the whole answer, within the deadline.
    pub(super) async fn exchange(&self, call: &Call) -> Result<Answer, Failure> {
        let exchange = async {
            let line = match self.kept().await {
                Some(line) => line,
                None => self.connect().await?,
            };
            match self.over(line, call).await {
                // A kept connection may be closed by the server just as we use it. All our
                // requests read, or ask for an end that comes but once, so asking again can
                // do no harm.
                Err(Failure::Broken(error)) if is_lost(&error) || error.is_canceled() => {
                    self.over(self.connect().await?, call).await
                }
                other => other,
            }
        };
        call.deadline.bound(exchange).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Sends a request and reads the head of the answer, within the deadline. Its body may
    /// take as long as it likes, and is the caller's to bound.
    pub(super) async fn open(&self, call: &Call) -> Result<Response<Incoming>, Failure> {
        let head = async {
            let Line { mut sender, connection } = self.connect().await?;
            // What goes wrong is told to whoever reads the answer.
            tokio::spawn(connection);
            sender.send_request(request(call)).await.map_err(Failure::Broken)
        };
        call.deadline.bound(head).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn over(&self, mut line: Line, call: &Call) -> Result<Answer, Failure> {
        let Line { sender, connection } = &mut line;
        let answer = async {
            let response = sender.send_request(request(call)).await.map_err(Failure::Broken)?;
            whole(response, call.max).await
        };
        let (answer, is_open) = driven(connection.as_mut(), answer).await;
        if is_open && answer.is_ok() {
            let mut idle = self.idle();
            if idle.len() < IDLE_CONNECTIONS {
                idle.push((line, Instant::now()));
            }
        }
        answer
    }

    async fn connect(&self) -> Result<Line, Failure> {
        let stream = UnixStream::connect(&self.path).await.map_err(Failure::Connect)?;
        let mut settings = http1::Builder::new();
        settings.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
        let made = settings.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(Failure::Broken)?;
        Ok(Line { sender, connection: Box::pin(connection) })
    }

    /// A connection that was used before and still stands.
    async fn kept(&self) -> Option<Line> {
        loop {
            let (mut line, since) = self.idle().pop()?;
            if since.elapsed() >= IDLE {
                // All others are older.
                self.idle().clear();
                return None;
            }
            let Line { sender, connection } = &mut line;
            let is_ready = poll_fn(|context| match connection.as_mut().poll(context) {
                Poll::Ready(_) => Poll::Ready(false),
                Poll::Pending => {
                    Poll::Ready(matches!(sender.poll_ready(context), Poll::Ready(Ok(()))))
                }
            });
            if is_ready.await {
                return Some(line);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Line, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Polls a connection until `work`, which waits for it, is done. What came of that, and
/// whether the connection still stands.
async fn driven<T>(
    mut connection: Pin<&mut Connection>,
    work: impl Future<Output = T>,
) -> (T, bool) {
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(Arc::clone(&alarm));
    let mut work = pin!(work);
    let mut is_open = true;
    poll_fn(|context| {
        alarm.driver.register(context.waker());
        for _ in 0..ROUNDS {
            alarm.is_awake.store(true, Ordering::SeqCst);
            alarm.has_rung.store(false, Ordering::SeqCst);
            let mut both = Context::from_waker(&waker);
            if let Poll::Ready(done) = work.as_mut().poll(&mut both) {
                return Poll::Ready((done, is_open));
            }
            is_open = is_open && connection.as_mut().poll(&mut both).is_pending();
            alarm.is_awake.store(false, Ordering::SeqCst);
            if !alarm.has_rung.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// What a connection and who waits for it are woken by. While both are being polled that is
/// noted only, and they are polled again, without the runtime being told.
#[derive(Default)]
struct Alarm {
    driver: AtomicWaker,
    is_awake: AtomicBool,
    has_rung: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::SeqCst);
        if !self.is_awake.load(Ordering::SeqCst) {
            self.driver.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use hyper::Method;
    use hyper::header::HeaderMap;

    use super::super::testing::{Step, answer, engine, ok, patient};
    use super::*;

    fn call(path: &str) -> Call {
        let (method, url) = (Method::GET, path.parse().unwrap());
        Call { method, url, headers: HeaderMap::new(), max: 1 << 20, deadline: patient() }
    }

    async fn body(client: &SocketClient) -> Result<Vec<u8>, Failure> {
        client.exchange(&call("/x")).await.map(|answer| answer.body)
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_its_end_costs_nothing() {
        let count = AtomicUsize::new(0);
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s.sock");
        let seen = engine(&socket, move |_| match count.fetch_add(1, Ordering::SeqCst) {
            // Closed when it is idle, and when it is used.
            2 => ok("body").into_iter().chain([Step::Close]).collect(),
            5 => vec![Step::Close],
            _ => ok("body"),
        });
        let client = SocketClient::new(&socket);
        for _ in 0..3 {
            assert_eq!(body(&client).await.unwrap(), b"body");
        }
        assert_eq!(seen.connections(), 1);
        for _ in 0..4 {
            assert_eq!(body(&client).await.unwrap(), b"body");
        }
        assert_eq!(seen.connections(), 3);
    }

    /// A body that comes in pieces, larger than any buffer, to many who ask at once.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whatever_size_and_however_many() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s.sock");
        let text = "x".repeat(1 << 20);
        let expected = text.clone();
        engine(&socket, move |_| {
            let whole = answer("200 OK", &[], &text);
            let mut steps = Vec::new();
            for step in whole {
                match step {
                    Step::Send(bytes) => {
                        for piece in bytes.chunks(300_000) {
                            steps.push(Step::Send(piece.to_vec()));
                            steps.push(Step::Pause(Duration::from_millis(2)));
                        }
                    }
                    other => steps.push(other),
                }
            }
            steps
        });
        let client = Arc::new(SocketClient::new(&socket));
        let asked = (0..20).map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { body(&client).await.unwrap() })
        });
        for one in futures_util::future::join_all(asked).await {
            assert_eq!(one.unwrap(), expected.as_bytes());
        }
        assert!(client.idle().len() <= IDLE_CONNECTIONS);
    }

    #[tokio::test]
    async fn what_breaks_off_is_an_error_and_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s.sock");
        engine(&socket, |_| {
            let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec();
            vec![Step::Send(half), Step::Close]
        });
        let client = SocketClient::new(&socket);
        assert!(matches!(body(&client).await, Err(Failure::Broken(_))));
        assert!(client.idle().is_empty());
        let absent = SocketClient::new(&folder.path().join("absent.sock"));
        assert!(matches!(body(&absent).await, Err(Failure::Connect(_))));
    }
}
