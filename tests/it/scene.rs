//! `countersign serve` beside an engine that says what a test wants.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::site::Site;

/// Every container is made of this one, which is also what jenkins signs at a [`Site`].
const IMAGE: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// And this one nobody signed.
const UNSIGNED: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// An engine's answers, and what it was asked.
#[derive(Default)]
pub struct Engine {
    /// What containers are made of, by name; where that is not told, an image of a registry
    /// that no policy registers.
    pub called: Option<String>,
    /// The tag under which it holds an image that nobody signed.
    pub unsigned: Option<&'static str>,
    /// The runtime of its containers, and the one it takes where none is named.
    pub runtimes: Option<(&'static str, &'static str)>,
    /// What it was asked, in order.
    pub asked: Vec<String>,
    pub running: Vec<usize>,
    /// How long it takes to say what a container is.
    pub slowness: Duration,
    /// Whether it fails to say so.
    pub is_broken: bool,
    /// The connection on which events are awaited.
    pub listener: Option<UnixStream>,
    pub sweeps: usize,
    pub looks: usize,
    pub looks_now: usize,
    pub most_looks: usize,
    pub killed: HashSet<String>,
    pub removed: HashSet<String>,
}

type Shared = Arc<Mutex<Engine>>;

pub fn id(number: usize) -> String {
    format!("{number:064x}")
}

pub fn start(number: usize) -> String {
    format!(
        r#"{{"Type":"container","Action":"start","Actor":{{"ID":"{}","Attributes":{{"name":"c{number}"}}}}}}"#,
        id(number)
    )
}

/// Serves until the test ends.
fn serve(socket: &Path, engine: &Shared) {
    let listener = UnixListener::bind(socket).unwrap();
    let engine = Arc::clone(engine);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let engine = Arc::clone(&engine);
            thread::spawn(move || converse(stream.unwrap(), &engine));
        }
    });
}

fn converse(mut stream: UnixStream, engine: &Shared) {
    while let Some((method, path)) = read_head(&mut stream) {
        if path.starts_with("/events?") {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            engine.lock().unwrap().listener = Some(stream);
            return;
        }
        let (status, body) = answer(engine, &method, &path);
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(engine: &Shared, method: &str, path: &str) -> (&'static str, String) {
    // What asks whether it takes HTTP/2.
    if method == "PRI" {
        return ("400 Bad Request", String::new());
    }
    engine.lock().unwrap().asked.push(path.to_owned());
    if path == "/info" {
        let (_, default) = engine.lock().unwrap().runtimes.unwrap();
        let body = format!(r#"{{"DockerRootDir":"/var/lib/docker","DefaultRuntime":"{default}"}}"#);
        return ("200 OK", body);
    }
    if path == "/containers/json" {
        let mut engine = engine.lock().unwrap();
        engine.sweeps += 1;
        let entry =
            |number: &usize| format!(r#"{{"Id":"{}","Names":["/c{number}"]}}"#, id(*number));
        let entries: Vec<_> = engine.running.iter().map(entry).collect();
        return ("200 OK", format!("[{}]", entries.join(",")));
    }
    if path.starts_with("/images/") {
        let unsigned = engine.lock().unwrap().unsigned;
        let is_unsigned = unsigned.is_some_and(|tag| path.ends_with(&format!(":{tag}/json")));
        let image = if is_unsigned { UNSIGNED } else { IMAGE };
        return ("200 OK", format!(r#"{{"Id":"{image}","RepoDigests":[]}}"#));
    }
    let name = path.strip_prefix("/containers/").unwrap();
    if method == "DELETE" {
        let id = name.strip_suffix("?force=1&v=1").unwrap().to_owned();
        engine.lock().unwrap().removed.insert(id);
        return ("204 No Content", String::new());
    }
    let (id, what) = name.split_once('/').unwrap();
    match (method, what) {
        ("GET", "json") => {
            let slowness = {
                let mut engine = engine.lock().unwrap();
                engine.looks += 1;
                engine.looks_now += 1;
                engine.most_looks = engine.most_looks.max(engine.looks_now);
                engine.slowness
            };
            thread::sleep(slowness);
            let mut engine = engine.lock().unwrap();
            engine.looks_now -= 1;
            if engine.is_broken {
                return ("500 Internal Server Error", r#"{"message":"out of order"}"#.to_owned());
            }
            let called = engine.called.as_deref().unwrap_or("quay.example/app:1");
            let runtime = engine.runtimes.map_or("", |(runtime, _)| runtime);
            let made = format!(
                r#""Config":{{"Image":"{called}"}},"HostConfig":{{"Runtime":"{runtime}"}}"#
            );
            ("200 OK", format!(r#"{{"Id":"{id}","Image":"{IMAGE}",{made},"Mounts":[]}}"#))
        }
        ("POST", "kill") => {
            engine.lock().unwrap().killed.insert(id.to_owned());
            ("204 No Content", String::new())
        }
        _ => panic!("nobody asks for {method} {path}"),
    }
}

fn read_head(stream: &mut UnixStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut words = head.split(' ');
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

/// A running plugin, and the engine it believes in.
pub struct Scene {
    dir: tempfile::TempDir,
    engine: Shared,
    process: Child,
}

impl Scene {
    pub fn new(on_violation: &str, engine: Engine) -> Self {
        let scene = Self::without_engine(on_violation, engine);
        scene.let_engine_start();
        scene
    }

    pub fn without_engine(on_violation: &str, engine: Engine) -> Self {
        Self::enforcing(true, on_violation, engine)
    }

    pub fn enforcing(enforced: bool, on_violation: &str, engine: Engine) -> Self {
        let policy = format!(
            "[trust_configuration]\nrequire_content_trust = {enforced}\non_violation = {on_violation:?}\n"
        );
        Self::begin(tempfile::tempdir().unwrap(), &policy, engine)
    }

    /// By the policy of a site.
    pub fn at(site: &Site, engine: Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), &site.server.ca).unwrap();
        let scene = Self::begin(dir, &site.policy(), engine);
        scene.let_engine_start();
        scene
    }

    fn begin(dir: tempfile::TempDir, policy: &str, engine: Engine) -> Self {
        let [config, log] = ["policy.toml", "log"].map(|name| dir.path().join(name));
        fs::write(&config, policy).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args([Path::new("serve"), Path::new("--config"), &config])
            .args([Path::new("--state-dir"), &dir.path().join("state")])
            .args([Path::new("--socket"), &dir.path().join("plugin.sock")])
            .args([Path::new("--engine"), &dir.path().join("docker.sock")])
            .stdin(Stdio::null())
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap();
        Self { dir, engine: Arc::new(Mutex::new(engine)), process }
    }

    pub fn let_engine_start(&self) {
        // Bound aside, so that nobody finds a socket without a listener.
        let [aside, socket] = ["aside.sock", "docker.sock"].map(|name| self.dir.path().join(name));
        serve(&aside, &self.engine);
        fs::rename(aside, socket).unwrap();
    }

    pub fn send(&self, text: &str) {
        self.wait("somebody listens", |scene| scene.engine().listener.is_some());
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        let mut listener = self.engine().listener.as_ref().unwrap().try_clone().unwrap();
        // Whoever does not want to hear more is gone by now.
        let _ = listener.write_all(chunk.as_bytes());
    }

    /// Asks the plugin as an engine does, and gives its answer.
    pub fn ask(&self, path: &str, message: &serde_json::Value) -> serde_json::Value {
        let socket = self.dir.path().join("plugin.sock");
        self.wait("it listens", |_| UnixStream::connect(&socket).is_ok());
        let mut stream = UnixStream::connect(socket).unwrap();
        let body = message.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: \r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    pub fn engine(&self) -> std::sync::MutexGuard<'_, Engine> {
        self.engine.lock().unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub fn count(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    #[track_caller]
    pub fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}: not so\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the plugin as systemd does; within a second, whatever it waits for.
    pub fn end(mut self) {
        let pid = self.process.id().to_string();
        let began = Instant::now();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.process.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
