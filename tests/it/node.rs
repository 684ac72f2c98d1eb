//! A node: a configuration, a state directory, and the real program on them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything. No working test comes near it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with `countersign.toml`, the state directory and the sockets of one node.
pub struct Node {
    dir: TempDir,
}

impl Node {
    pub fn new(config: &str) -> Self {
        let node = Self { dir: tempfile::tempdir().unwrap() };
        node.configure(config);
        node
    }

    pub fn configure(&self, config: &str) {
        fs::write(self.path("countersign.toml"), config).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The plugin's socket.
    pub fn socket(&self) -> PathBuf {
        self.path("plugin.sock")
    }

    /// `countersign COMMAND`, told where things are, in an environment that says nothing.
    pub fn command(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_countersign"));
        program.arg(command).arg("--config").arg(self.path("countersign.toml"));
        program.arg("--state-dir").arg(self.path("state"));
        program.env_clear().stdin(Stdio::null());
        program
    }

    /// `countersign serve`, not started yet. What it says goes to the file `log`.
    pub fn serve_command(&self) -> Command {
        let mut program = self.command("serve");
        program.arg("--socket").arg(self.socket()).arg("--engine").arg(self.path("engine.sock"));
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        program.stdout(Stdio::null()).stderr(log);
        program
    }

    /// Starts the plugin, and waits until its socket is there.
    pub fn serve(&self) -> Plugin {
        let plugin = self.start(&mut self.serve_command());
        until("the plugin's socket", || UnixStream::connect(self.socket()).is_ok());
        plugin
    }

    pub fn start(&self, program: &mut Command) -> Plugin {
        Plugin { child: program.spawn().unwrap(), log: self.path("log") }
    }

    /// A connection to the plugin, as the engine makes one.
    pub fn connect(&self) -> Connection {
        Connection::new(&self.socket())
    }

    /// Runs `countersign check` to its end.
    pub fn check(&self, arguments: &[&str]) -> Checked {
        let output = self.command("check").args(arguments).output().unwrap();
        Checked {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// What became of a `countersign check`.
#[derive(Debug)]
pub struct Checked {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Checked {
    /// The reports of `--json`, one a line.
    pub fn reports(&self) -> Vec<Value> {
        assert_eq!(self.err, "", "{}", self.out);
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only one.
    pub fn report(&self) -> Value {
        let mut reports = self.reports();
        assert_eq!(reports.len(), 1, "{}", self.out);
        reports.remove(0)
    }
}

/// The running plugin. Killed where a test leaves it running.
pub struct Plugin {
    child: Child,
    log: PathBuf,
}

impl Plugin {
    /// Tells it to end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        // The shell's own `kill`; std has no signals.
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the plugin's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has logged something.
    pub fn await_log(&self, text: &str) {
        until(text, || self.log().contains(text));
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the plugin's log:\n{}", self.log());
        }
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// An answer of the plugin.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The verdict: `Ok` or the message. Only what the protocol knows may be in it.
    pub fn verdict(&self) -> Result<(), String> {
        assert_eq!(self.status, 200, "{self:?}");
        let answer: Value = serde_json::from_str(&self.body).unwrap();
        let members: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        match (members.as_slice(), &answer["Allow"], &answer["Msg"]) {
            (["Allow"], Value::Bool(true), _) => Ok(()),
            (["Allow", "Msg"], Value::Bool(false), Value::String(text)) => Err(text.clone()),
            _ => panic!("no answer of docker.authz/1.0: {answer}"),
        }
    }

    pub fn denial(&self) -> String {
        self.verdict().expect_err("a denial")
    }
}

/// A connection to the plugin that says what Go's client says, byte for byte.
pub struct Connection(pub UnixStream);

impl Connection {
    pub fn new(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// The bytes of a call: no `Content-Type`, an empty `Host`.
    pub fn bytes(path: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n\
             Content-Length: {}\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    pub fn send(&mut self, path: &str, body: &[u8]) {
        self.0.write_all(&Self::bytes(path, body)).unwrap();
    }

    pub fn receive(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.strip_prefix("http/1.1 ").unwrap()[..3].parse().unwrap();
        let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        Answer { status, body: String::from_utf8(body).unwrap() }
    }

    pub fn call(&mut self, path: &str, body: &[u8]) -> Answer {
        self.send(path, body);
        self.receive()
    }

    /// The engine's question about one API call.
    pub fn ask(&mut self, method: &str, uri: &str, body: &str) -> Answer {
        self.call("/AuthZPlugin.AuthZReq", question(method, uri, body).as_bytes())
    }
}

/// The engine's message about one API call.
pub fn question(method: &str, uri: &str, body: &str) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(body);
    serde_json::json!({ "RequestMethod": method, "RequestUri": uri, "RequestBody": body })
        .to_string()
}

/// A command that gives the plugin a listening socket as systemd does: as file descriptor
/// 3, with `LISTEN_FDS` and `LISTEN_PID`.
pub fn activated(program: &Command, listener: UnixListener) -> Command {
    let hand_over = r#"exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@""#;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", hand_over]).arg(program.get_program()).args(program.get_args());
    shell.env_clear().stdin(OwnedFd::from(listener)).stderr(Stdio::null());
    shell
}
