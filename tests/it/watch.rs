//! `countersign serve` beside an engine that says what a test wants: what it makes of the
//! containers told to it, and what it never does.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const IMAGE: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const WAITING: &str = "waiting for the engine";
const REPORTED: &str = "a container runs that may not";
const KILLED: &str = "a container that may not run: killed";

/// An engine's answers, and what it was asked.
#[derive(Default)]
struct Engine {
    running: Vec<usize>,
    /// How long it takes to say what a container is.
    slowness: Duration,
    /// The connection on which events are awaited.
    listener: Option<UnixStream>,
    sweeps: usize,
    looks: usize,
    looks_now: usize,
    most_looks: usize,
    killed: HashSet<String>,
}

type Shared = Arc<Mutex<Engine>>;

fn id(number: usize) -> String {
    format!("{number:064x}")
}

fn start(number: usize) -> String {
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
    if path == "/containers/json" {
        let mut engine = engine.lock().unwrap();
        engine.sweeps += 1;
        let entry =
            |number: &usize| format!(r#"{{"Id":"{}","Names":["/c{number}"]}}"#, id(*number));
        let entries: Vec<_> = engine.running.iter().map(entry).collect();
        return ("200 OK", format!("[{}]", entries.join(",")));
    }
    if path.starts_with("/images/") {
        return ("200 OK", format!(r#"{{"Id":"{IMAGE}","RepoDigests":[]}}"#));
    }
    let (id, what) = path.strip_prefix("/containers/").unwrap().split_once('/').unwrap();
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
            engine.lock().unwrap().looks_now -= 1;
            let image = r#""Config":{"Image":"quay.example/app:1"}"#;
            ("200 OK", format!(r#"{{"Id":"{id}","Image":"{IMAGE}",{image}}}"#))
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
struct Scene {
    dir: tempfile::TempDir,
    engine: Shared,
    process: Child,
}

impl Scene {
    fn new(on_violation: &str, engine: Engine) -> Self {
        let scene = Self::without_engine(on_violation, engine);
        scene.let_engine_start();
        scene
    }

    fn without_engine(on_violation: &str, engine: Engine) -> Self {
        Self::enforcing(true, on_violation, engine)
    }

    fn enforcing(enforced: bool, on_violation: &str, engine: Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let policy = format!(
            "[trust_configuration]\nrequire_content_trust = {enforced}\non_violation = {on_violation:?}\n"
        );
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

    fn let_engine_start(&self) {
        // Bound aside, so that nobody finds a socket without a listener.
        let [aside, socket] = ["aside.sock", "docker.sock"].map(|name| self.dir.path().join(name));
        serve(&aside, &self.engine);
        fs::rename(aside, socket).unwrap();
    }

    fn send(&self, text: &str) {
        self.wait("somebody listens", |scene| scene.engine().listener.is_some());
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        let mut listener = self.engine().listener.as_ref().unwrap().try_clone().unwrap();
        // Whoever does not want to hear more is gone by now.
        let _ = listener.write_all(chunk.as_bytes());
    }

    fn engine(&self) -> std::sync::MutexGuard<'_, Engine> {
        self.engine.lock().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn count(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}: not so\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the plugin as systemd does; within a second, whatever it waits for.
    fn end(mut self) {
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

#[test]
fn an_engine_that_is_not_there_yet_is_waited_for_in_silence() {
    let engine = Engine { running: vec![1], ..Engine::default() };
    let scene = Scene::without_engine("report", engine);
    scene.wait("it waits", |scene| scene.count(WAITING) == 1);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(scene.count(WAITING), 1);
    scene.let_engine_start();
    scene.wait("it reports", |scene| scene.count(REPORTED) == 1);
    assert_eq!(scene.count(WAITING), 1);
    scene.end();
}

#[test]
fn what_runs_and_what_starts_is_told_once() {
    let scene = Scene::new("report", Engine { running: vec![1, 2], ..Engine::default() });
    scene.wait("both are told", |scene| scene.count(REPORTED) == 2);
    for _ in 0..3 {
        scene.send(&format!("{}\n", start(3)));
        scene.send(&format!("{}\n", start(1)));
    }
    scene.wait("all are looked at", |scene| scene.engine().looks == 8);
    scene.wait("the third is told", |scene| scene.count(REPORTED) == 3);
    for number in 1..=3 {
        assert_eq!(scene.count(&id(number)), 1, "{}", scene.log());
        let told = ["WARN", "code=\"unregistered-registry\"", &format!("name=\"c{number}\"")];
        let log = scene.log();
        assert!(log.lines().any(|line| told.iter().all(|part| line.contains(part))), "{log}");
    }
    assert!(scene.engine().killed.is_empty(), "a report stops nothing");
    scene.end();
}

#[test]
fn what_the_policy_stops_is_killed_each_time() {
    let scene = Scene::new("stop", Engine { running: vec![1], ..Engine::default() });
    scene.wait("it is killed", |scene| scene.count(KILLED) == 1);
    scene.send(&format!("{}\n", start(1)));
    scene.wait("and again", |scene| scene.count(KILLED) == 2);
    assert_eq!(scene.engine().killed, HashSet::from([id(1)]));
    scene.end();
}

#[test]
fn few_are_looked_at_a_time() {
    let engine = Engine {
        running: (1..=60).collect(),
        slowness: Duration::from_millis(50),
        ..Engine::default()
    };
    let scene = Scene::new("report", engine);
    scene.wait("all are told", |scene| scene.count(REPORTED) == 60);
    assert_eq!(scene.engine().looks, 60);
    assert_eq!(scene.engine().most_looks, 4);
    scene.end();
}

/// What was missed while nobody listened is found by looking at all that runs.
#[test]
fn events_that_cannot_be_read_lose_nothing() {
    let long = "x".repeat(1024 * 1024);
    let endings: [&dyn Fn(&Scene); 3] = [
        &|scene| scene.send("nonsense\n"),
        &|scene| (0..5).for_each(|_| scene.send(&long)),
        &|scene| scene.engine().listener = None,
    ];
    let scene = Scene::new("report", Engine { running: vec![1], ..Engine::default() });
    for (round, end) in endings.iter().enumerate() {
        scene.wait("all are told", |scene| scene.count(REPORTED) == round + 1);
        scene.engine().running.push(round + 2);
        end(&scene);
    }
    scene.wait("all are told", |scene| scene.count(REPORTED) == 4);
    scene.end();
}

#[test]
fn it_ends_while_it_looks() {
    let engine = Engine {
        running: (1..=10).collect(),
        slowness: Duration::from_secs(5),
        ..Engine::default()
    };
    let scene = Scene::new("stop", engine);
    scene.wait("it looks", |scene| scene.engine().looks > 0);
    scene.end();
}

#[test]
fn where_nothing_is_enforced_nothing_is_looked_at() {
    let scene = Scene::enforcing(false, "stop", Engine { running: vec![1], ..Engine::default() });
    scene.let_engine_start();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(scene.engine().sweeps, 0);
    assert_eq!(scene.engine().looks, 0);
    scene.end();
}
