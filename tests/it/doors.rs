//! `countersign serve` says where an engine lets calls in that no plugin is shown.
//!
//! The engines are stand-ins: none that takes HTTP/2 is packaged for where tests run.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::node::{Node, Plugin, until};

const STRICT: &str = "[trust_configuration]\nrequire_content_trust = true\n";
/// What Docker Engine 29 answers to the opening of HTTP/2: its settings.
const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const UNPROTECTED: &str = "this host is NOT protected";

/// What an engine was asked, and the connections on which its events are awaited.
#[derive(Default)]
struct Engine {
    knocks: usize,
    listeners: Vec<UnixStream>,
}

/// An engine that runs no containers and answers HTTP/2's opening with this.
fn engine(socket: &Path, to_preface: &'static [u8]) -> Arc<Mutex<Engine>> {
    let engine = Arc::new(Mutex::new(Engine::default()));
    let (listener, shared) = (UnixListener::bind(socket).unwrap(), Arc::clone(&engine));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let mut engine = shared.lock().unwrap();
            if head.starts_with("PRI ") {
                engine.knocks += 1;
                let _ = stream.write_all(to_preface);
            } else if head.starts_with("GET /events?") {
                let _ = stream.write_all(EVENTS);
                engine.listeners.push(stream);
            } else {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
            }
        }
    });
    engine
}

/// A node that systemd listens to.
struct Watched {
    node: Node,
    engine: Arc<Mutex<Engine>>,
    systemd: UnixDatagram,
}

impl Watched {
    /// With an engine's socket of this mode, in a folder of that mode.
    fn new(to_preface: &'static [u8], socket: u32, folder: u32) -> Self {
        let node = Node::new(STRICT);
        let path = node.path("engine.sock");
        let engine = engine(&path, to_preface);
        fs::set_permissions(&path, Permissions::from_mode(socket)).unwrap();
        fs::set_permissions(node.path(""), Permissions::from_mode(folder)).unwrap();
        let systemd = UnixDatagram::bind(node.path("notify")).unwrap();
        systemd.set_nonblocking(true).unwrap();
        Self { node, engine, systemd }
    }

    fn serve(&self) -> Plugin {
        let mut program = self.node.serve_command();
        self.node.start(program.env("NOTIFY_SOCKET", self.node.path("notify")))
    }

    /// Waits until systemd is told of a status.
    fn status(&self) -> String {
        let mut status = None;
        until("a status", || {
            let mut message = [0; 4096];
            while let Ok(length) = self.systemd.recv(&mut message) {
                let text = std::str::from_utf8(&message[..length]).unwrap();
                status =
                    text.lines().find_map(|line| Some(line.strip_prefix("STATUS=")?.to_owned()));
                if status.is_some() {
                    break;
                }
            }
            status.is_some()
        });
        status.unwrap()
    }

    fn await_knocks(&self, count: usize) {
        until("the engine is looked at", || self.engine.lock().unwrap().knocks >= count);
    }
}

#[test]
fn an_open_door_is_an_error_and_no_host_is_called_protected() {
    let watched = Watched::new(SETTINGS, 0o666, 0o755);
    let plugin = watched.serve();
    plugin.await_log(UNPROTECTED);
    let status = watched.status();
    let socket = fs::canonicalize(watched.node.path("engine.sock")).unwrap();
    assert!(status.starts_with("NOT protected: "), "{status}");
    assert!(status.contains(socket.to_str().unwrap()), "{status}");
    let log = plugin.log();
    let line = log.lines().find(|line| line.contains(UNPROTECTED)).unwrap();
    for part in ["ERROR", "code=\"engine.grpc\"", socket.to_str().unwrap(), "countersign proxy"] {
        assert!(line.contains(part), "{part}: {line}");
    }

    // Each time the engine comes again it is looked at again, and said once an hour.
    for again in 1..=3 {
        until("events are awaited", || !watched.engine.lock().unwrap().listeners.is_empty());
        watched.engine.lock().unwrap().listeners.clear();
        watched.await_knocks(2 + again);
    }
    assert_eq!(plugin.log().matches(UNPROTECTED).count(), 1, "{}", plugin.log());
}

#[test]
fn a_door_of_roots_alone_is_none_to_worry_about() {
    let watched = Watched::new(SETTINGS, 0o660, 0o700);
    if fs::metadata(watched.node.path("")).unwrap().uid() != 0 {
        return;
    }
    let plugin = watched.serve();
    watched.await_knocks(2);
    let status = watched.status();
    assert!(status.starts_with("judging the engine's calls; policy 1-"), "{status}");
    assert!(!plugin.log().contains(UNPROTECTED), "{}", plugin.log());
}

#[test]
fn neither_is_one_that_takes_no_http2() {
    let watched = Watched::new(BAD_REQUEST, 0o666, 0o755);
    let plugin = watched.serve();
    watched.await_knocks(2);
    let status = watched.status();
    assert!(status.starts_with("judging the engine's calls; policy 1-"), "{status}");
    assert!(!plugin.log().contains(UNPROTECTED), "{}", plugin.log());
}
