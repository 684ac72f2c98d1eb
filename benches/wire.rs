//! Calls to a plugin's socket, as the engine makes them, and how long they take.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stats::Round;

/// What an engine 20.10 sent for `docker ps`.
const GET: &str = include_str!("messages/get.json");
/// What it sent for `docker run --rm --network none IMAGE`.
const CREATE: &str = include_str!("messages/create.json");
/// And for the start that followed.
const START: &str = include_str!("messages/start.json");
/// The image and the container of these.
const IMAGE: &str = "localhost:26443/team/app:1.0";
const CONTAINER: &str = "d8ec51dc479d41c6c2033ddeecdc1ac8807319a1d936bd58e4255bff75a643f3";

/// A call with the engine's HTTP head around it.
#[derive(Clone)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn get() -> Self {
        Self::new(GET)
    }

    /// `docker run` of this image.
    pub fn create(image: &str) -> Self {
        let mut message: serde_json::Value = serde_json::from_str(CREATE).unwrap();
        let body = BASE64.decode(message["RequestBody"].as_str().unwrap()).unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(IMAGE));
        let body = body.replace(IMAGE, image);
        message["RequestHeaders"]["Content-Length"] = body.len().to_string().into();
        message["RequestBody"] = BASE64.encode(body).into();
        Self::new(&message.to_string())
    }

    pub fn start(container: &str) -> Self {
        assert!(START.contains(CONTAINER));
        Self::new(&START.replace(CONTAINER, container))
    }

    fn new(body: &str) -> Self {
        let body = body.trim_end();
        let head = format!(
            "POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n\
             Content-Length: {}\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n\r\n",
            body.len()
        );
        Self([head.as_bytes(), body.as_bytes()].concat())
    }
}

/// What a plugin answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    Denied,
}

/// Reads an answer off the beginning of `bytes`; nothing while it is not whole.
fn answer(bytes: &[u8]) -> Option<Result<Verdict, String>> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let Some(length) = length else { return Some(Err(format!("no length: {text}"))) };
    if body.len() < length {
        return None;
    }
    let said = |what: &str| body.starts_with(&format!(r#"{{"Allow":{what}"#));
    Some(match (head.starts_with("HTTP/1.1 200 "), said("true"), said("false")) {
        (true, true, false) => Ok(Verdict::Allowed),
        (true, false, true) => Ok(Verdict::Denied),
        _ => Err(format!("no answer of docker.authz/1.0: {text}")),
    })
}

/// One connection that is kept.
pub struct Connection(UnixStream);

impl Connection {
    pub fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self(stream))
    }

    pub fn call(&mut self, message: &Message) -> Result<Verdict, String> {
        let failed = |error: io::Error| format!("a call failed: {error}");
        self.0.write_all(&message.0).map_err(failed)?;
        let (mut buffer, mut filled) = ([0; 4096], 0);
        loop {
            match self.0.read(&mut buffer[filled..]).map_err(failed)? {
                0 => return Err("a connection was closed".to_owned()),
                more => filled += more,
            }
            if let Some(answer) = answer(&buffer[..filled]) {
                return answer;
            }
        }
    }
}

/// One call after the other on one connection, each of which must be allowed.
pub fn one_by_one(socket: &Path, message: &Message, calls: usize) -> Round {
    let mut connection = Connection::open(socket).unwrap();
    allowed(connection.call(message));
    let mut times = Vec::with_capacity(calls);
    let began = Instant::now();
    for _ in 0..calls {
        let called = Instant::now();
        allowed(connection.call(message));
        times.push(called.elapsed());
    }
    Round::new(times, began.elapsed())
}

/// On so many connections at once, from one thread, so that the machine is the plugin's.
/// Each sends its next call when its last is answered, until all have sent `calls`
/// together.
pub fn at_once(socket: &Path, message: &Message, connections: usize, calls: usize) -> Round {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
            allowed(call(&mut stream, message).await);
            streams.push(stream);
        }
        let left = std::rc::Rc::new(std::cell::Cell::new(calls));
        let began = Instant::now();
        let each = streams.into_iter().map(|mut stream| {
            let left = std::rc::Rc::clone(&left);
            async move {
                let mut times = Vec::new();
                while let Some(fewer) = left.get().checked_sub(1) {
                    left.set(fewer);
                    let called = Instant::now();
                    allowed(call(&mut stream, message).await);
                    times.push(called.elapsed());
                }
                times
            }
        });
        let times = futures_util::future::join_all(each).await.concat();
        Round::new(times, began.elapsed())
    })
}

/// One call.
pub async fn call(
    stream: &mut tokio::net::UnixStream,
    message: &Message,
) -> Result<Verdict, String> {
    let failed = |error: io::Error| format!("a call failed: {error}");
    stream.write_all(&message.0).await.map_err(failed)?;
    let (mut buffer, mut filled) = ([0; 4096], 0);
    loop {
        match stream.read(&mut buffer[filled..]).await.map_err(failed)? {
            0 => return Err("a connection was closed".to_owned()),
            more => filled += more,
        }
        if let Some(answer) = answer(&buffer[..filled]) {
            return answer;
        }
    }
}

fn allowed(verdict: Result<Verdict, String>) {
    match verdict {
        Ok(Verdict::Allowed) => {}
        Ok(Verdict::Denied) => panic!("a call was refused that had to be allowed"),
        Err(error) => panic!("{error}"),
    }
}
