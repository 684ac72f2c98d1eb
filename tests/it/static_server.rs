//! A trust server that serves recorded repositories over TLS, and can be told to fail.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use countersign::image::Digest;
use countersign::trust::crypto::sha256;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustix::net::sockopt::set_socket_linger;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::builder::Server;
use crate::node::until;
use crate::repositories::Recorded;

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Serve,
    /// Answers nothing but this status.
    Status(u16),
    /// Takes requests and never answers.
    Hang,
}

/// Whom the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Open,
    /// Who shows this `user:password`, in base64.
    Basic(&'static str),
    /// Who has a token, which is for those who show this.
    Token(&'static str),
}

/// A name of the server that no DNS knows (RFC 6761), but a proxy may.
pub const BEHIND_PROXY: &str = "notary.invalid";

const TOKEN: &str = "dG9rZW4";

/// A request, and the body of the honest answer to it.
pub struct Asked {
    /// The file of trust data, without hashes: `timestamp.json`; else the path.
    pub file: String,
    pub body: Vec<u8>,
    /// What the request shows of itself.
    pub authorization: String,
}

/// One step of an answer that is not the honest one.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// The same again and again, until the other side has enough.
    Endless(Vec<u8>),
    Pause(Duration),
    Cut(Cut),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// As TLS wants it: it says that nothing more comes.
    Close,
    /// FIN, in the middle of TLS.
    Fin,
    /// RST.
    Reset,
}

impl Cut {
    pub const ALL: [Self; 3] = [Self::Close, Self::Fin, Self::Reset];

    /// Cuts a connection of plain TCP.
    pub fn tcp(self, stream: &TcpStream) {
        if self == Self::Reset {
            set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
        } else {
            // Who has gone already needs none.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// What a hostile server makes of a request; `None`: the honest answer.
pub type Twist = Arc<dyn Fn(&Asked) -> Option<Vec<Step>> + Send + Sync>;

/// Certificates of a server, and the CA that signed them.
pub struct Identity {
    /// In PEM.
    pub ca: String,
    config: Arc<ServerConfig>,
}

/// The server, on a free port of `127.0.0.1`, for as long as the test process lives.
pub struct StaticServer {
    /// The CA of its certificate, in PEM.
    pub ca: String,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    config: Arc<ServerConfig>,
    twist: Option<Twist>,
    repositories: BTreeMap<String, Recorded>,
    /// What is served beside recordings, by its path without hashes.
    files: BTreeMap<String, Vec<u8>>,
    mood: Mood,
    door: Door,
    closed: bool,
    requests: Vec<String>,
}

impl StaticServer {
    /// A server of these recordings.
    pub fn new(recordings: &[&str]) -> Self {
        let Identity { ca, config } = Identity::new();
        let state = State {
            config,
            twist: None,
            repositories: BTreeMap::new(),
            files: BTreeMap::new(),
            mood: Mood::Serve,
            door: Door::Open,
            closed: false,
            requests: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            ca,
            address: listener.local_addr().unwrap(),
            state: Arc::new(Mutex::new(state)),
        };
        for recording in recordings {
            server.publish(recording);
        }
        server.accept(listener);
        server
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Serves a recording under its own name, in place of what was there.
    pub fn publish(&self, recording: &str) {
        let recorded = Recorded::open(recording);
        self.state.lock().unwrap().repositories.insert(recorded.gun.to_string(), recorded);
    }

    /// Serves a built repository's trust data.
    pub fn publish_built(&self, gun: &str, built: &Server) {
        for (name, bytes) in &built.0 {
            self.serve(&format!("/v2/{gun}/_trust/tuf/{name}"), bytes.clone());
        }
    }

    /// Serves bytes at a path.
    pub fn serve(&self, path: &str, bytes: Vec<u8>) {
        self.state.lock().unwrap().files.insert(path.to_owned(), bytes);
    }

    /// Serves there nothing any more.
    pub fn withdraw(&self, path: &str) {
        self.state.lock().unwrap().files.remove(path);
    }

    pub fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// Answers every request so, where it gives steps.
    pub fn twist(&self, twist: impl Fn(&Asked) -> Option<Vec<Step>> + Send + Sync + 'static) {
        self.state.lock().unwrap().twist = Some(Arc::new(twist));
    }

    /// From now on every answer is honest again.
    pub fn untwist(&self) {
        self.state.lock().unwrap().twist = None;
    }

    /// Shows who connects from now on these certificates.
    pub fn identify(&self, identity: &Identity) {
        self.state.lock().unwrap().config = Arc::clone(&identity.config);
    }

    /// Serves nothing but these files of a built repository.
    pub fn replace_built(&self, gun: &str, built: &Server) {
        self.state.lock().unwrap().files.clear();
        self.publish_built(gun, built);
    }

    pub fn lock(&self, door: Door) {
        self.state.lock().unwrap().door = door;
    }

    /// From now on its connections are refused.
    pub fn close(&self) {
        self.state.lock().unwrap().closed = true;
        // Each connection wakes the thread that accepts, until it has seen that it is over.
        until("the server's end", || TcpStream::connect(self.address).is_err());
    }

    /// The files asked for since this was last called, without what their names have in
    /// common: `GUN/FILE`.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    fn accept(&self, listener: TcpListener) {
        let state = self.state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if state.lock().unwrap().closed {
                    return;
                }
                let (config, state) = (state.lock().unwrap().config.clone(), state.clone());
                thread::spawn(move || {
                    let tls = ServerConnection::new(config).unwrap();
                    converse(StreamOwned::new(tls, stream.unwrap()), &state);
                });
            }
        });
    }
}

/// Answers the requests of one connection. Every error is the client's leaving.
fn converse(mut stream: StreamOwned<ServerConnection, TcpStream>, state: &Mutex<State>) {
    while let Some(head) = read_head(&mut stream) {
        let (status, body, mood, challenge, twist) = {
            let mut state = state.lock().unwrap();
            if state.closed {
                return;
            }
            let (status, body) = state.answer(&head);
            let challenge = if status == 401 { state.challenge(&head) } else { String::new() };
            (status, body, state.mood, challenge, state.twist.clone())
        };
        if let Some(twist) = twist {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let file = path.split_once("/_trust/tuf/").map_or(path, |(_, file)| file);
            let authorization = header(&head, "authorization").unwrap_or_default().to_owned();
            let file = plain(file).0;
            let asked = Asked { file, body: body.clone(), authorization };
            if let Some(steps) = twist(&asked) {
                if !steps.into_iter().all(|step| take(&mut stream, step)) {
                    return;
                }
                continue;
            }
        }
        if mood == Mood::Hang {
            loop {
                thread::park();
            }
        }
        let head =
            format!("HTTP/1.1 {status} X\r\n{challenge}Content-Length: {}\r\n\r\n", body.len());
        let sent = stream.write_all(&[head.as_bytes(), &body].concat());
        if sent.and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// Takes one step of an answer. Whether the connection goes on.
fn take(stream: &mut StreamOwned<ServerConnection, TcpStream>, step: Step) -> bool {
    let mut send = |bytes: &[u8]| stream.write_all(bytes).and_then(|()| stream.flush()).is_ok();
    match step {
        Step::Send(bytes) => send(&bytes),
        Step::Endless(bytes) => {
            while send(&bytes) {}
            false
        }
        Step::Pause(time) => {
            thread::sleep(time);
            true
        }
        Step::Cut(cut) => {
            if cut == Cut::Close {
                stream.conn.send_close_notify();
                // Who has gone already does not hear it.
                let _ = stream.conn.complete_io(&mut stream.sock);
            }
            cut.tcp(&stream.sock);
            false
        }
    }
}

impl State {
    fn challenge(&self, head: &str) -> String {
        let host = header(head, "host").unwrap_or_default();
        match self.door {
            Door::Token(_) => {
                format!("WWW-Authenticate: Bearer realm=\"https://{host}/token\"\r\n")
            }
            _ => "WWW-Authenticate: Basic realm=\"notary\"\r\n".to_owned(),
        }
    }

    fn answer(&mut self, head: &str) -> (u16, Vec<u8>) {
        let path = head.split(' ').nth(1).unwrap();
        let shown = header(head, "authorization").unwrap_or_default();
        if let (Door::Token(password), true) = (self.door, path.starts_with("/token?")) {
            return if shown == format!("Basic {password}") {
                (200, format!(r#"{{"token":"{TOKEN}"}}"#).into_bytes())
            } else {
                (401, Vec::new())
            };
        }
        let Some((gun, file)) =
            path.strip_prefix("/v2/").and_then(|path| path.split_once("/_trust/tuf/"))
        else {
            if path.starts_with("/v2/_trust/changefeed?") {
                self.requests.push("changefeed".to_owned());
            }
            if let Some((_, manifest)) = path.rsplit_once("/manifests/") {
                self.requests.push(manifest.to_owned());
            }
            return self.files.get(path).map_or((404, Vec::new()), |file| (200, file.clone()));
        };
        self.requests.push(format!("{gun}/{}", plain(file).0));
        let wanted = match self.door {
            Door::Open => None,
            Door::Basic(password) => Some(format!("Basic {password}")),
            Door::Token(_) => Some(format!("Bearer {TOKEN}")),
        };
        if wanted.is_some_and(|wanted| shown != wanted) {
            return (401, Vec::new());
        }
        if let Mood::Status(status) = self.mood {
            return (status, Vec::new());
        }
        if let Some(file) = self.files.get(&format!("/v2/{gun}/_trust/tuf/{}", plain(file).0)) {
            return (200, file.clone());
        }
        match self.repositories.get(gun).and_then(|repository| find(repository, file)) {
            Some(bytes) => (200, bytes),
            None => (404, Vec::new()),
        }
    }
}

/// A recorded file, under its plain name or the one that its hash makes.
fn find(repository: &Recorded, name: &str) -> Option<Vec<u8>> {
    let (name, hash) = plain(name);
    let bytes = match name.as_str() {
        // One that has not run out since.
        "timestamp.json" => repository.long_timestamp(),
        name => repository.named(name),
    }?;
    let found = Digest::from_bytes(sha256(&bytes)).hex();
    hash.is_none_or(|hash| hash == found).then_some(bytes)
}

/// A file's name without its hash, and the hash.
fn plain(name: &str) -> (String, Option<&str>) {
    match name.strip_suffix(".json").and_then(|name| name.rsplit_once('.')) {
        Some((role, hash)) if hash.len() == 64 => (format!("{role}.json"), Some(hash)),
        _ => (name.to_owned(), None),
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn read_head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

impl Identity {
    /// A CA, and the certificate it gives a server on this host.
    pub fn new() -> Self {
        Self::with(&|_| {})
    }

    /// The same, with a certificate that ran out long ago.
    pub fn expired() -> Self {
        Self::with(&|params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    /// The same, for another host.
    pub fn elsewhere() -> Self {
        Self::with(&|params| {
            *params = CertificateParams::new(["elsewhere.example".to_owned()]).unwrap();
        })
    }

    fn with(change: &dyn Fn(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1".to_owned(), BEHIND_PROXY.to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            );
        Self { ca: ca.pem(), config: Arc::new(config.unwrap()) }
    }
}
