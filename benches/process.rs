//! Programs that are measured.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a program to answer on its socket.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that serves a Unix socket; it ends with this.
pub struct Served {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Served {
    /// Starts it, and waits until it listens.
    pub fn start(program: &mut Command, socket: &Path, log: &Path) -> Self {
        let said = File::create(log).unwrap();
        program.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        let child = program.spawn().unwrap_or_else(|error| panic!("{program:?}: {error}"));
        let mut served = Self { child, socket: socket.to_owned(), log: log.to_owned() };
        let began = Instant::now();
        while UnixStream::connect(socket).is_err() {
            if let Ok(Some(status)) = served.child.try_wait() {
                panic!("{program:?}: {status}\n{}", served.log());
            }
            assert!(began.elapsed() < PATIENCE, "{program:?} does not listen\n{}", served.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        served
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it has in memory, in bytes: its resident set, without what it shares with files.
    pub fn resident(&self) -> u64 {
        status(self.child.id(), "VmRSS:").expect("its status")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A size of `/proc/PID/status`, in bytes.
fn status(pid: u32, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("no such size"))
}
