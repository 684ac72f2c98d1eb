//! The proxy as a process, and an engine that does what a test says.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::{activated, until};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    dir: TempDir,
    proxy: Proxy,
    engine: Receiver<UnixStream>,
}

/// A running proxy, killed where a test leaves it running.
pub struct Proxy(Child);

impl World {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With flags of the proxy.
    pub fn with(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let (sender, engine) = channel();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                if sender.send(stream).is_err() {
                    break;
                }
            }
        });
        let log = File::create(dir.path().join("log")).unwrap();
        let mut program = command(dir.path());
        let proxy = Proxy(program.args(flags).stderr(log).spawn().unwrap());
        let world = Self { dir, proxy, engine };
        let began = Instant::now();
        while world.try_connect().is_err() {
            assert!(began.elapsed() < PATIENCE, "the proxy does not start");
            thread::sleep(Duration::from_millis(5));
        }
        world
    }

    pub fn try_connect(&self) -> std::io::Result<UnixStream> {
        let stream = UnixStream::connect(self.dir.path().join("docker.sock"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    pub fn client(&self) -> UnixStream {
        self.try_connect().unwrap()
    }

    /// The next connection that the proxy made to the engine.
    pub fn engine(&self) -> UnixStream {
        self.engine.recv_timeout(PATIENCE).unwrap()
    }

    /// Whether no more connections were made to the engine.
    pub fn engine_was_left_alone(&self) -> bool {
        self.engine.recv_timeout(Duration::from_millis(50)).is_err()
    }

    pub fn stop_engine(&self) {
        std::fs::remove_file(self.dir.path().join("engine.sock")).unwrap();
    }

    /// A proxy between the sockets of a folder, the clients' one given to it as systemd does.
    pub fn activated(dir: &Path, listener: UnixListener) -> Proxy {
        let mut program = activated(&command(dir), listener);
        Proxy(program.spawn().unwrap())
    }

    pub fn terminate(&self) {
        self.proxy.terminate();
    }

    pub fn signal(&self, name: &str) {
        self.proxy.signal(name);
    }

    pub fn await_log(&self, text: &str) {
        let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap();
        until(text, || log().contains(text));
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.proxy.wait()
    }
}

/// The proxy between the sockets of a folder.
fn command(dir: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_countersign"));
    program.arg("proxy");
    program.arg("--listen").arg(dir.join("docker.sock"));
    program.arg("--engine").arg(dir.join("engine.sock"));
    program
}

impl Proxy {
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.0.id().to_string()];
        assert!(Command::new("kill").args(arguments).status().unwrap().success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn say(stream: &mut UnixStream, bytes: impl AsRef<[u8]>) {
    stream.write_all(bytes.as_ref()).unwrap();
}

/// Reads as much as is expected, and compares.
pub fn hear(stream: &mut UnixStream, expected: impl AsRef<[u8]>) {
    let mut heard = vec![0; expected.as_ref().len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(expected.as_ref()));
}

/// Everything until the other side closes.
pub fn hear_all(stream: &mut UnixStream) -> String {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Ok(_) => {}
        // What Linux says of a peer that closed and left something unread.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    String::from_utf8(heard).unwrap()
}

/// Says no more, but listens.
pub fn finish(stream: &UnixStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}
