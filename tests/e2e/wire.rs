//! HTTP/1.1 as nobody's client library would let us write it: exact bytes to an engine's socket.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How a body is announced and sent.
#[derive(Clone, Debug)]
pub enum Body {
    /// Neither a body nor a length.
    Absent,
    /// `Content-Length`, truthfully; `Length(vec![])` announces 0.
    Length(Vec<u8>),
    /// `Transfer-Encoding: chunked`, in pieces of at most 64 KiB.
    Chunked(Vec<u8>),
    /// These header lines, whatever they say, and then these bytes as they are.
    Announced(Vec<(String, String)>, Vec<u8>),
}

/// A request, sent as it is written here.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// The request target; nothing in it is encoded.
    pub target: Vec<u8>,
    /// In this order, repeated ones too. Without `Host` or `Connection`, `Host: docker` or
    /// `Connection: close` is added.
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

impl Request {
    pub fn new(method: &str, target: impl Into<Vec<u8>>) -> Self {
        let (method, target) = (method.to_owned(), target.into());
        Self { method, target, headers: Vec::new(), body: Body::Absent }
    }

    /// A request as the docker CLI makes it: JSON with its length.
    pub fn json(method: &str, target: &str, json: &str) -> Self {
        Self::new(method, target)
            .header("Content-Type", "application/json")
            .body(Body::Length(json.into()))
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// What is written to the socket.
    pub fn bytes(&self) -> Vec<u8> {
        let has = |wanted: &str| {
            self.headers.iter().any(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
        };
        let mut bytes = self.method.clone().into_bytes();
        bytes.push(b' ');
        bytes.extend_from_slice(&self.target);
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        let mut line = |name: &str, value: &str| {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        };
        if !has("Host") {
            line("Host", "docker");
        }
        self.headers.iter().for_each(|(name, value)| line(name, value));
        match &self.body {
            Body::Absent => {}
            Body::Length(body) => line("Content-Length", &body.len().to_string()),
            Body::Chunked(_) => line("Transfer-Encoding", "chunked"),
            Body::Announced(headers, _) => headers.iter().for_each(|(n, v)| line(n, v)),
        }
        if !has("Connection") {
            line("Connection", "close");
        }
        bytes.extend_from_slice(b"\r\n");
        match &self.body {
            Body::Absent => {}
            Body::Length(body) | Body::Announced(_, body) => bytes.extend_from_slice(body),
            Body::Chunked(body) => bytes.extend_from_slice(&chunked(body)),
        }
        bytes
    }

    /// Sends it on a connection of its own.
    pub fn send(&self, socket: &Path, limit: Duration) -> Exchange {
        exchange(socket, &self.bytes(), 1, Closing::AfterTheAnswer, limit)
    }
}

/// The bytes in chunks, with the last one.
pub fn chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 64);
    for piece in body.chunks(0x10000) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// When we end our side of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Once all is answered.
    AfterTheAnswer,
    /// Once all is written. Engines may take that for a client that went away.
    AfterTheRequest,
}

/// Why no more answers were waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is answered.
    Answered,
    /// The engine closed the connection.
    Closed,
    /// The engine switched to another protocol (101).
    Upgraded,
    /// Nothing more came in time.
    TimedOut,
}

/// What the engine answered on one connection, without interim answers (100).
#[derive(Clone, Debug)]
pub struct Exchange {
    pub answers: Vec<Answer>,
    pub end: End,
}

impl Exchange {
    /// The status of the last answer; `None` when there was none.
    pub fn status(&self) -> Option<u16> {
        self.answers.last().map(|answer| answer.status)
    }

    /// The last answer's body.
    pub fn text(&self) -> String {
        let body = self.answers.last().map(|answer| answer.body.as_slice()).unwrap_or_default();
        String::from_utf8_lossy(body).into_owned()
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status() {
            Some(status) => write!(f, "{status} {}", self.text().trim_end()),
            None => write!(f, "no answer ({:?})", self.end),
        }
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and header lines.
    pub head: String,
    pub body: Vec<u8>,
    /// Whether all of the body is there, as far as its head tells.
    pub whole: bool,
}

impl Answer {
    fn header(&self, wanted: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    }
}

/// Writes these bytes and reads what comes back until there are so many whole answers, the engine
/// ends the connection or switches protocols, or the time is over. That an engine stops reading
/// is no fault.
#[track_caller]
pub fn exchange(
    socket: &Path,
    bytes: &[u8],
    wanted: usize,
    closing: Closing,
    limit: Duration,
) -> Exchange {
    let start = Instant::now();
    let mut stream =
        UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
    stream.set_write_timeout(Some(limit)).unwrap();
    if stream.write_all(bytes).is_ok() && closing == Closing::AfterTheRequest {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut said = Vec::new();
    let mut buffer = [0; 0x4000];
    let end = loop {
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            break End::TimedOut;
        }
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) => break End::Closed,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock | ErrorKind::TimedOut => break End::TimedOut,
                _ => break End::Closed,
            },
        }
        let answers = answers(&said);
        if answers.iter().any(|answer| answer.status == 101) {
            break End::Upgraded;
        }
        if answers.iter().filter(|answer| answer.whole).count() >= wanted {
            break End::Answered;
        }
    };
    Exchange { answers: answers(&said), end }
}

/// The answers in what was said; the last one may be incomplete.
fn answers(mut said: &[u8]) -> Vec<Answer> {
    let mut all = Vec::new();
    while let Some((answer, length)) = answer(said) {
        said = &said[length..];
        if answer.status != 100 {
            all.push(answer);
        }
    }
    all
}

/// The first answer, and its length.
fn answer(said: &[u8]) -> Option<(Answer, usize)> {
    let head_end = said.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&said[..head_end]).into_owned();
    let status = head.split(' ').nth(1)?.get(..3)?.parse().ok()?;
    let rest = &said[head_end..];
    let mut answer = Answer { status, head, body: Vec::new(), whole: true };
    if answer.header("Transfer-Encoding") == Some("chunked") {
        let taken;
        (answer.body, taken, answer.whole) = unchunked(rest);
        return Some((answer, head_end + taken));
    }
    let length = match answer.header("Content-Length").and_then(|length| length.parse().ok()) {
        _ if matches!(status, 100..200 | 204 | 304) => Some(0),
        length => length,
    };
    let taken = length.unwrap_or(rest.len()).min(rest.len());
    answer.whole = length == Some(taken);
    answer.body = rest[..taken].to_vec();
    Some((answer, head_end + taken))
}

/// A chunked body as far as it goes, how many bytes it took, and whether it is whole.
fn unchunked(said: &[u8]) -> (Vec<u8>, usize, bool) {
    let (mut body, mut at) = (Vec::new(), 0);
    while let Some(line) = said[at..].windows(2).position(|bytes| bytes == b"\r\n") {
        let size = String::from_utf8_lossy(&said[at..at + line]).into_owned();
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        let start = at + line + 2;
        let end = (start + size).min(said.len());
        body.extend_from_slice(&said[start..end]);
        at = (end + 2).min(said.len());
        if size == 0 {
            return (body, at, true);
        }
    }
    (body, at, false)
}
