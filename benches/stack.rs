//! The real stack: engines, registry, trust server and their real command lines, against
//! the same with countersign.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::lab::{Lab, lab};
use crate::policy::Policy;
use crate::process::Served;

/// The program that is measured.
pub const COUNTERSIGN: &str = env!("CARGO_BIN_EXE_countersign");
/// Where engines look for plugins.
const PLUGINS: &str = "/run/docker/plugins";

/// The lab, and a folder for what is written beside it.
pub struct Stack {
    pub lab: &'static Lab,
    dir: tempfile::TempDir,
}

impl Stack {
    /// The lab, which is started for whoever comes first.
    pub fn new() -> Self {
        let lab = lab().unwrap_or_else(|why| panic!("{why}"));
        Self { lab, dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `scripts/lab`, which shall succeed.
    pub fn script(&self, arguments: &[&str]) -> String {
        run(&mut self.lab.script(arguments))
    }

    /// The docker CLI as one of the lab's users, on the engine that nobody guards.
    pub fn docker(&self, user: &str, command: &str) -> String {
        let words: Vec<&str> =
            ["as", user, "docker"].into_iter().chain(command.split(' ')).collect();
        self.script(&words)
    }

    /// The notary CLI as one of the lab's users.
    pub fn notary(&self, user: &str, command: &str) -> String {
        let words: Vec<&str> =
            ["as", user, "notary"].into_iter().chain(command.split(' ')).collect();
        self.script(&words)
    }

    /// A repository in which jenkins signs.
    pub fn repository(&self, name: &str) -> String {
        let repository = format!("{}/bench/{name}", self.lab.registry());
        let certificate = self.lab.certificate("jenkins");
        self.docker(
            "admin",
            &format!("trust signer add --key {} jenkins {repository}", certificate.display()),
        );
        repository
    }

    /// Gives jenkins the key that signs.
    pub fn load_key(&self) {
        let key = self.lab.certificate("jenkins").with_file_name("key.pem");
        self.docker("jenkins", &format!("trust key load --name jenkins {}", key.display()));
    }

    /// Has jenkins sign so many tags of a repository into both of their roles: staged as
    /// `notary addhash` stages them, one file each, and published at once.
    pub fn sign_many(&self, repository: &str, digests: impl Iterator<Item = (String, [u8; 32])>) {
        let trust = self.lab.certificate("jenkins").with_file_name("docker").join("trust");
        let folder = trust.join("tuf").join(repository).join("changelist");
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
        // In memory: on ext4 without a journal files are made slowly, by whomever, where so many
        // have just been deleted.
        let staged = tempfile::tempdir_in("/dev/shm").unwrap();
        let _ = fs::remove_dir(&folder);
        std::os::unix::fs::symlink(staged.path(), &folder).unwrap();
        let mut number = 0;
        for (tag, digest) in digests {
            let digest = BASE64.encode(digest);
            let data =
                BASE64.encode(format!(r#"{{"length":523,"hashes":{{"sha256":"{digest}"}}}}"#));
            for role in ["targets/releases", "targets/jenkins"] {
                let change = format!(
                    r#"{{"action":"create","role":"{role}","type":"target","path":"{tag}","data":"{data}"}}"#
                );
                fs::write(folder.join(format!("{number:020}_bench.change")), change).unwrap();
                number += 1;
            }
        }
        self.notary("jenkins", &format!("publish {repository}"));
        fs::remove_file(&folder).unwrap();
    }

    /// A policy under which runs what jenkins signed.
    pub fn policy(&self) -> PathBuf {
        let policy = Policy::requiring(self.lab, &["CI"]);
        let policy = policy.team("CI", &["jenkins"]).user(self.lab, "jenkins");
        let path = self.path("countersign.toml");
        fs::write(&path, policy.to_string()).unwrap();
        path
    }

    /// The plugin that will guard this engine of the lab.
    pub fn plugin(&self, engine: &str) -> (Served, String) {
        let name = format!("countersign-bench-{}-{engine}", std::process::id());
        let socket = Path::new(PLUGINS).join(&name).with_extension("sock");
        fs::create_dir_all(PLUGINS).unwrap();
        let mut serve = self.serve(&socket, &self.lab.engine_socket(engine));
        (Served::start(&mut serve, &socket, &self.path("plugin.log")), name)
    }

    /// `countersign serve` of that policy, with a state directory of its own.
    pub fn serve(&self, socket: &Path, engine: &Path) -> Command {
        let mut serve = Command::new(COUNTERSIGN);
        serve.arg("serve").arg("--config").arg(self.policy());
        serve.arg("--state-dir").arg(self.path("state"));
        serve.arg("--socket").arg(socket).arg("--engine").arg(engine);
        serve
    }

    /// The docker CLI on any engine of the lab, without the detour over `scripts/lab`.
    pub fn docker_on(&self, engine: &str) -> Command {
        let mut docker = Command::new("docker");
        docker.arg("--host").arg(format!("unix://{}", self.lab.engine_socket(engine).display()));
        docker.env_remove("DOCKER_CONTEXT").env_remove("DOCKER_CONTENT_TRUST");
        docker.env("DOCKER_CONFIG", self.dir.path());
        docker
    }

    /// `notary lookup`, as alice, with trust data kept in this folder.
    pub fn lookup(&self, kept: &Path, repository: &str, tag: &str) -> Command {
        let settings = self.lab.certificate("alice").with_file_name("notary.json");
        let mut notary = Command::new("notary");
        notary.arg("-c").arg(settings).arg("-d").arg(kept).args(["lookup", repository, tag]);
        notary
    }

    /// `countersign check`, with trust data kept in this folder.
    pub fn check(&self, kept: &Path, image: &str) -> Command {
        let mut check = Command::new(COUNTERSIGN);
        check.arg("check").arg("--config").arg(self.path("countersign.toml"));
        check.arg("--state-dir").arg(kept).arg(image);
        check
    }
}

/// Runs a program that shall succeed; what it said.
pub fn run(program: &mut Command) -> String {
    let output = program.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?}: {}\n{said}\n{complained}", output.status);
    said
}

/// How long a program that shall succeed takes.
pub fn timed(program: &mut Command) -> Duration {
    let began = Instant::now();
    run(program);
    began.elapsed()
}
