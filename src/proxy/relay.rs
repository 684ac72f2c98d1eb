//! One client's connection: bytes carried both ways, unchanged.
//!
//! A client's connection has one connection to the engine at a time. A request that may
//! take the connection out of HTTP (attach, exec, session, whatever asks for an upgrade)
//! goes first on a new one: so the first answer there is known to be the answer to it, and
//! only an engine that says so ends our looking at what the client sends. An answer's body,
//! which somebody else may have written, cannot be taken for it.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tracing::{debug, info};

use super::carry::{LITTLE, carry};
use super::refusal::{Refusal, engine_down};
use super::reply::Reply;
use super::requests::{Requests, Step};

/// Most that is read at once of what a client sends, and kept of it for later. What was read
/// is written before more is read.
const BUFFER: usize = 128 * 1024;
/// How long a client that was answered may go on sending before its connection is closed.
/// Go's servers wait as long.
const LINGER: Duration = Duration::from_millis(500);

/// Serves one client until either side is done.
pub(super) async fn relay(mut client: UnixStream, engine: &Path) {
    if let Err(error) = connection(&mut client, engine).await {
        debug!(%error, "a connection ended early");
    }
}

async fn connection(client: &mut UnixStream, engine: &Path) -> io::Result<()> {
    // What the client sent and no engine was given yet.
    let mut pending = Vec::with_capacity(LITTLE);
    loop {
        // Not before there is a request: HTTP/2 never makes us connect to the engine.
        let may_switch = match first_request(client, &mut pending).await? {
            First::May(switch) => switch,
            First::Refused(refusal) => return refuse(client, refusal).await,
            First::Closed => return Ok(()),
        };
        let mut upstream = match UnixStream::connect(engine).await {
            Ok(upstream) => upstream,
            Err(error) => {
                info!(%error, engine = %engine.display(), "the engine does not answer");
                return part(client, &engine_down(engine, &error)).await;
            }
        };
        match exchange(client, &mut upstream, &mut pending, may_switch).await? {
            End::Switching => {}
            End::Refused(refusal) => return refuse(client, refusal).await,
            End::EngineClosed => return part(client, b"").await,
            End::Closed => return Ok(()),
        }
    }
}

enum First {
    /// A whole head is there; the engine may leave HTTP because of it, or not.
    May(bool),
    Refused(Refusal),
    Closed,
}

/// Reads until the head of a request is whole. It stays in `pending`.
async fn first_request(client: &mut UnixStream, pending: &mut Vec<u8>) -> io::Result<First> {
    let mut requests = Requests::new();
    loop {
        match requests.next(pending) {
            Ok(Step::Pass(_)) => return Ok(First::May(false)),
            Ok(Step::MaySwitch(_)) => return Ok(First::May(true)),
            Ok(Step::More) => {}
            Err(refusal) => return Ok(First::Refused(refusal)),
        }
        if client.read_buf(pending).await? == 0 {
            return Ok(First::Closed);
        }
    }
}

/// How an exchange with one connection to the engine ended.
enum End {
    /// The next request may leave HTTP, and needs a new connection. It stays in `pending`.
    Switching,
    /// The client's next bytes must not reach the engine. All answers to what came before
    /// were passed on.
    Refused(Refusal),
    /// The engine closed the connection, and HTTP with it.
    EngineClosed,
    /// There is nothing more to do.
    Closed,
}

async fn exchange(
    client: &mut UnixStream,
    engine: &mut UnixStream,
    pending: &mut Vec<u8>,
    may_switch: bool,
) -> io::Result<End> {
    let (from_client, to_client) = client.split();
    let (from_engine, to_engine) = engine.split();
    let (tell, told) = oneshot::channel();
    let (tell, told) = if may_switch { (Some(tell), Some(told)) } else { (None, None) };

    let mut up = Up { client: from_client, engine: to_engine, pending, requests: Requests::new() };
    let up = async {
        let stop = up.run(told).await;
        // The engine learns that no more comes, and closes when it has answered.
        let _ = up.engine.shutdown().await;
        stop
    };
    let down = down(from_engine, to_client, tell);
    tokio::pin!(up, down);

    tokio::select! {
        biased;
        stop = &mut up => {
            down.await?;
            Ok(stop)
        }
        switched = &mut down => if switched? {
            // Streams end one direction at a time: the client may still have something to say.
            Ok(up.await)
        } else {
            Ok(End::EngineClosed)
        },
    }
}

/// From the client to the engine.
struct Up<'a> {
    client: ReadHalf<'a>,
    engine: WriteHalf<'a>,
    pending: &'a mut Vec<u8>,
    requests: Requests,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The first request was passed on, with its body.
    Answerable,
    /// A request may leave HTTP.
    MaySwitch,
}

impl Up<'_> {
    /// `told` comes with a first request that may leave HTTP, and says whether it did.
    async fn run(&mut self, told: Option<oneshot::Receiver<bool>>) -> End {
        if let Some(told) = told {
            if let Some(end) = self.pass(Until::Answerable).await {
                return end;
            }
            match self.hold(told).await {
                Some(true) => return self.copy().await,
                Some(false) => {}
                None => return End::Closed,
            }
        }
        self.pass(Until::MaySwitch).await.unwrap_or(End::Switching)
    }

    /// Passes requests on. `None` when what it went on for has come.
    async fn pass(&mut self, until: Until) -> Option<End> {
        loop {
            let (ready, stop) = self.survey(until);
            // An engine that takes no more may still have an answer on its way: an error here
            // ends this direction alone.
            if self.send(ready).await.is_err() {
                return Some(End::EngineClosed);
            }
            match stop {
                Stop::Come => return None,
                Stop::Refused(refusal) => return Some(End::Refused(refusal)),
                Stop::ReadOn => {}
            }
            match self.client.read_buf(self.pending).await {
                Ok(1..) => self.widen(),
                Ok(0) | Err(_) => return Some(End::Closed),
            }
        }
    }

    /// How much of what is pending may be passed on, and what then.
    fn survey(&mut self, until: Until) -> (usize, Stop) {
        let mut ready = 0;
        loop {
            match self.requests.next(self.pending.get(ready..).unwrap_or_default()) {
                Ok(Step::MaySwitch(_)) if until == Until::MaySwitch => return (ready, Stop::Come),
                Ok(Step::Pass(count) | Step::MaySwitch(count)) => {
                    ready += count;
                    if until == Until::Answerable && self.requests.is_between() {
                        return (ready, Stop::Come);
                    }
                }
                Ok(Step::More) => return (ready, Stop::ReadOn),
                Err(refusal) => return (ready, Stop::Refused(refusal)),
            }
        }
    }

    /// Waits for the engine's answer. What the client sends meanwhile is kept, up to a
    /// buffer's worth.
    async fn hold(&mut self, mut told: oneshot::Receiver<bool>) -> Option<bool> {
        loop {
            tokio::select! {
                switched = &mut told => return switched.ok(),
                read = self.client.read_buf(self.pending), if self.pending.len() < BUFFER => {
                    match read {
                        Ok(1..) => {}
                        // A client that sends no more, as the engine then learns. Bytes that
                        // it sent before would have to be judged first.
                        Ok(0) | Err(_) if self.pending.is_empty() => return None,
                        Ok(0) | Err(_) => return told.await.ok(),
                    }
                }
            }
        }
    }

    /// Passes everything on.
    async fn copy(&mut self) -> End {
        let ready = self.pending.len();
        if self.send(ready).await.is_err() {
            return End::EngineClosed;
        }
        match carry(&mut self.client, &mut self.engine).await {
            Ok(()) => End::Closed,
            Err(_) => End::EngineClosed,
        }
    }

    /// Most requests are small. Where one is not, more is read at once from then on.
    fn widen(&mut self) {
        if self.pending.len() == self.pending.capacity() && self.pending.capacity() < BUFFER {
            self.pending.reserve(self.pending.capacity());
        }
    }

    async fn send(&mut self, count: usize) -> io::Result<()> {
        self.engine.write_all(self.pending.get(..count).unwrap_or_default()).await?;
        self.pending.drain(..count);
        Ok(())
    }
}

enum Stop {
    Come,
    Refused(Refusal),
    ReadOn,
}

/// From the engine to the client, until the engine closes its side. Whether HTTP ended
/// before; if so, the client has been told that no more comes.
///
/// An error means that the client is gone.
async fn down(
    mut engine: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    tell: Option<oneshot::Sender<bool>>,
) -> io::Result<bool> {
    let switched = match tell {
        Some(tell) => first_answer(&mut engine, &mut client, tell).await?,
        None => false,
    };
    // A connection that the engine broke off ends as one that it closed.
    carry(&mut engine, &mut client).await?;
    if switched {
        client.shutdown().await?;
    }
    Ok(switched)
}

/// Passes on what comes until it is clear whether HTTP ends with it.
async fn first_answer(
    engine: &mut ReadHalf<'_>,
    client: &mut WriteHalf<'_>,
    tell: oneshot::Sender<bool>,
) -> io::Result<bool> {
    let mut reply = Reply::default();
    let mut buffer = Vec::with_capacity(LITTLE);
    while let Ok(1..) = engine.read_buf(&mut buffer).await {
        client.write_all(&buffer).await?;
        if let Some(switched) = reply.read(&buffer) {
            // The other direction may be over already.
            let _ = tell.send(switched);
            return Ok(switched);
        }
        buffer.clear();
    }
    Ok(false)
}

async fn refuse(client: &mut UnixStream, refusal: Refusal) -> io::Result<()> {
    let peer = client.peer_cred().ok();
    let (pid, uid) = (peer.and_then(|peer| peer.pid()), peer.map(|peer| peer.uid()));
    info!(pid, uid, why = %refusal, "refused");
    part(client, &refusal.answer()).await
}

/// Says a last word and closes. A client that is still sending is read for a moment, so
/// that it sees the answer and not a broken connection.
async fn part(client: &mut UnixStream, answer: &[u8]) -> io::Result<()> {
    client.write_all(answer).await?;
    client.shutdown().await?;
    let mut ignored = Vec::with_capacity(LITTLE);
    let drained = async {
        while let Ok(1..) = client.read_buf(&mut ignored).await {
            ignored.clear();
        }
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
    Ok(())
}
