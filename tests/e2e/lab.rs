//! The one lab of this run, and the process that takes it down whatever happens to us.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// What keeps the lab alive: while this process holds the pipe to it, it waits.
static GUARD: Mutex<Option<Child>> = Mutex::new(None);
const GUARD_SCRIPT: &str = r#"
read -r _
if said=$("$0" --dir "$1/lab" down 2>&1); then rm -rf "$1"; else echo "$said" >&2; exit 1; fi
"#;

static LAB: OnceLock<Result<Lab, String>> = OnceLock::new();

/// A registry, a Notary server, users to sign as, and a folder for what the tests write.
pub struct Lab {
    root: PathBuf,
    ports: u16,
}

/// The lab, started by the first who asks.
pub fn lab() -> Result<&'static Lab, &'static str> {
    LAB.get_or_init(Lab::start).as_ref().map_err(String::as_str)
}

/// Ends the lab and everything in it. Without a lab, nothing.
pub fn take_down() {
    let guard = GUARD.lock().unwrap().take();
    if let Some(mut guard) = guard {
        drop(guard.stdin.take());
        let status = guard.wait().expect("the lab's guard ends");
        assert!(status.success(), "the lab could not be taken down: {status}");
    }
}

impl Lab {
    fn start() -> Result<Self, String> {
        if !is_root() {
            return Err("the end-to-end tests start Docker engines, which needs root: run \
                 `sudo scripts/test`; or leave them out with COUNTERSIGN_SKIP_E2E=1"
                .into());
        }
        // Short, as the path of a Unix socket may have 107 bytes only.
        let root = std::env::temp_dir().join(format!("countersign-e2e-{}", std::process::id()));
        std::fs::create_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
        let lab = Self { root, ports: free_ports()? };
        *GUARD.lock().unwrap() = Some(lab.guard()?);
        let up = lab.script(["up"]).output().map_err(|error| format!("scripts/lab: {error}"))?;
        if up.status.success() {
            Ok(lab)
        } else {
            Err(format!("the lab did not start:\n{}", String::from_utf8_lossy(&up.stderr)))
        }
    }

    /// Waits for the end of its input, which comes when this process ends in any way at all; in a
    /// process group of its own, so that Ctrl-C on the terminal does not reach it.
    fn guard(&self) -> Result<Child, String> {
        Command::new("bash")
            .args(["-c", GUARD_SCRIPT])
            .args([script_path().as_os_str(), self.root.as_os_str()])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("bash: {error}"))
    }

    /// `scripts/lab` with this lab and no standard input.
    pub fn script<I>(&self, arguments: I) -> Command
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", "90"])
            .arg(script_path())
            .arg("--dir")
            .arg(self.dir())
            .args(["--port-base", &self.ports.to_string()])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Where tests may write.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn dir(&self) -> PathBuf {
        self.root.join("lab")
    }

    pub fn registry(&self) -> String {
        format!("localhost:{}", self.ports)
    }

    pub fn trust_port(&self) -> u16 {
        self.ports + 1
    }

    pub fn trust_server(&self) -> String {
        format!("https://localhost:{}", self.trust_port())
    }

    /// The CA of both servers' certificates.
    pub fn ca(&self) -> PathBuf {
        self.dir().join("pki/ca.crt")
    }

    /// The CA of the users' certificates.
    pub fn client_ca(&self) -> PathBuf {
        self.dir().join("pki/client-ca.crt")
    }

    pub fn certificate(&self, user: &str) -> PathBuf {
        self.dir().join("users").join(user).join("cert.pem")
    }

    pub fn engine_socket(&self, engine: &str) -> PathBuf {
        self.dir().join("engines").join(engine).join("docker.sock")
    }
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab")
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// Four consecutive ports that nobody has, below the range that the kernel gives to clients.
fn free_ports() -> Result<u16, String> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let offset = u16::try_from(std::process::id() % 1000).expect("less than 1000");
    (0..1000)
        .map(|step| 20_000 + (offset + step) % 1000 * 4)
        .find(|&base| (base..base + 4).all(is_free))
        .ok_or_else(|| "no four free ports from 20000 to 24000".into())
}
