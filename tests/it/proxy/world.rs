//! The proxy as a process, and an engine that does what a test says.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    dir: TempDir,
    proxy: Child,
    engine: Receiver<UnixStream>,
}

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
        let proxy = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .arg("proxy")
            .arg("--listen")
            .arg(dir.path().join("docker.sock"))
            .arg("--engine")
            .arg(dir.path().join("engine.sock"))
            .args(flags)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
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

    pub fn terminate(&self) {
        let killed = Command::new("kill").arg(self.proxy.id().to_string()).status().unwrap();
        assert!(killed.success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.proxy.wait().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
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
