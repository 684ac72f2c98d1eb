//! A machine of a cluster: an engine, the plugin that guards it, and what is typed there.

use std::fmt;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::stage::Stage;

/// The program under test.
pub const COUNTERSIGN: &str = env!("CARGO_BIN_EXE_countersign");

const PLUGINS: &str = "/run/docker/plugins";

/// An engine and its guard; the engine ends first.
pub struct Node<'a> {
    pub engine: Engine<'a>,
    pub plugin: Plugin<'a>,
}

impl<'a> Node<'a> {
    /// A node that obeys this policy.
    #[track_caller]
    pub fn obeying(stage: &'a Stage, policy: &Policy) -> Self {
        Self::beginning(stage, Engine::absent(stage), policy)
    }

    /// A node whose engine has not been started yet.
    #[track_caller]
    pub fn beginning(stage: &'a Stage, engine: Engine<'a>, policy: &Policy) -> Self {
        let plugin = Plugin::start(stage, policy, &engine);
        engine.start(&["--plugin", &plugin.name]);
        Self { engine, plugin }
    }

    /// A node that an engine becomes which ran unguarded so far.
    #[track_caller]
    pub fn guarding(stage: &'a Stage, engine: Engine<'a>, policy: &Policy) -> Self {
        // First of all: one that is told to end can go on for seconds, half alive.
        stage.script(&["engine", "stop", &engine.name]);
        let plugin = Plugin::start(stage, policy, &engine);
        engine.start(&["--plugin", &plugin.name]);
        Self { engine, plugin }
    }

    /// A node that an engine becomes while it runs, by reading its configuration again.
    #[track_caller]
    pub fn guarding_at_once(stage: &'a Stage, engine: Engine<'a>, policy: &Policy) -> Self {
        let plugin = Plugin::start(stage, policy, &engine);
        let file = engine.socket().with_file_name("daemon.json");
        let text = std::fs::read_to_string(&file).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config["authorization-plugins"] = serde_json::json!([plugin.name]);
        std::fs::write(&file, config.to_string()).unwrap();
        let pid = stage.script(&["engine", "pid", &engine.name]);
        let mut hang_up = Command::new("kill");
        stage.run("kill -HUP", hang_up.args(["-HUP", pid.text()])).expect_ok();
        let denied = |outcome: &Outcome| outcome.says("authorization denied by plugin");
        engine.await_answer("commit none none:1", denied);
        Self { engine, plugin }
    }

    /// The docker CLI on this node.
    pub fn docker(&self, command: impl AsRef<str>) -> Outcome {
        self.engine.docker(command)
    }
}

/// Which engine, and where it keeps its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Make {
    /// One that `scripts/engines` fetches; else the machine's own.
    pub version: Option<&'static str>,
    pub containerd_store: bool,
}

impl Make {
    pub const INSTALLED: Self = Self { version: None, containerd_store: false };

    /// One that `scripts/engines` fetches.
    pub const fn fetched(version: &'static str) -> Self {
        Self { version: Some(version), containerd_store: false }
    }

    pub const fn with_containerd_store(self) -> Self {
        Self { containerd_store: true, ..self }
    }

    /// The folder with its programs, unless they are the machine's own.
    #[track_caller]
    pub fn folder(self, stage: &Stage) -> Option<PathBuf> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/engines");
        let command = format!("scripts/engines {}", self.version?);
        let fetched = stage.run(&command, Command::new(script).arg(self.version?)).expect_ok();
        Some(fetched.text().lines().last().expect("the folder's path").into())
    }
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version.unwrap_or("installed"))?;
        f.write_str(if self.containerd_store { "-containerd" } else { "" })
    }
}

/// A Docker engine; its data goes with it.
pub struct Engine<'a> {
    stage: &'a Stage,
    make: Make,
    name: String,
}

impl<'a> Engine<'a> {
    /// One that has not been started yet; its socket's path is known.
    pub fn absent(stage: &'a Stage) -> Self {
        Self::made(stage, stage.make())
    }

    /// The same, of another make than the story's engines are.
    pub fn made(stage: &'a Stage, make: Make) -> Self {
        Self { stage, make, name: stage.fresh_name() }
    }

    /// One that nobody guards.
    #[track_caller]
    pub fn unguarded(stage: &'a Stage) -> Self {
        let engine = Self::absent(stage);
        engine.start(&[]);
        engine
    }

    #[track_caller]
    pub fn start(&self, options: &[&str]) {
        let store: &[&str] = if self.make.containerd_store { &["--containerd-store"] } else { &[] };
        let arguments = [&["engine", "start", &self.name], store, options].concat();
        let mut lab = self.stage.lab().script(&arguments);
        lab.envs(self.make.folder(self.stage).map(|folder| ("ENGINE_BIN_DIR", folder)));
        self.stage.run(&format!("scripts/lab {}", arguments.join(" ")), &mut lab).expect_ok();
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn socket(&self) -> PathBuf {
        self.stage.lab().engine_socket(&self.name)
    }

    /// The docker CLI, as somebody who signs nothing would type it.
    pub fn docker(&self, command: impl AsRef<str>) -> Outcome {
        self.stage.user("mallory").docker_on(&self.name, command.as_ref())
    }

    /// The same, with something to read.
    pub fn docker_with_input(&self, command: &str, input: &str) -> Outcome {
        self.stage.user("mallory").docker_with_input_on(&self.name, command, input)
    }

    /// The same, while the story goes on.
    pub fn in_background(&self, command: &str) -> Background {
        let process = self.stage.user("mallory").process(&self.name, command);
        let command = format!("(in the background) docker {command}");
        Background::start(command, process)
    }

    /// A call to the engine's API without the docker CLI, which would ask for its version first.
    pub fn post_in_background(&self, route: &str, json: &str) -> Background {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "60"])
            .arg("--unix-socket")
            .arg(self.socket())
            .args(["--header", "Content-Type: application/json", "--data", json])
            .arg(format!("http://localhost/v1.41/{route}"));
        Background::start(format!("(in the background) POST /{route} {json}"), curl)
    }

    /// Asks until the answer is as wanted.
    #[track_caller]
    pub fn await_answer(&self, command: &str, is_wanted: impl Fn(&Outcome) -> bool) -> Outcome {
        let start = Instant::now();
        loop {
            let outcome = self.docker(command);
            if is_wanted(&outcome) {
                return outcome;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "still not as wanted: {outcome}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        let purge = ["engine", "stop", &self.name, "--purge"];
        if self.socket().parent().is_some_and(Path::exists) {
            self.stage.run("(the engine ends)", &mut self.stage.lab().script(purge));
        }
    }
}

/// A command that has been started.
pub struct Background(JoinHandle<Outcome>);

impl Background {
    /// Starts it; `command` is what a person would have typed.
    pub fn start(command: String, mut process: Command) -> Self {
        Self(thread::spawn(move || Outcome::of(&command, &mut process)))
    }

    /// Waits for its end.
    pub fn outcome(self, stage: &Stage) -> Outcome {
        let outcome = self.0.join().expect("it says what came of it");
        stage.remember(&outcome);
        outcome
    }
}

/// A running `countersign serve`, killed when the story lets go of it or dies itself.
pub struct Plugin<'a> {
    stage: &'a Stage,
    name: String,
    files: Files,
    process: Child,
}

/// What a plugin says when it has put another policy in force.
const IN_FORCE: &str = "the policy was read anew and is in force";

/// Where a plugin's policy and memory are.
#[derive(Clone)]
pub struct Files {
    pub policy: PathBuf,
    pub state: PathBuf,
    log: PathBuf,
    engine: PathBuf,
}

impl Files {
    pub fn new(stage: &Stage, policy: &str, engine: &Engine<'_>) -> Self {
        let name = stage.fresh_name();
        let files = Self {
            policy: stage.dir().join(format!("{name}.toml")),
            state: stage.dir().join(format!("{name}.state")),
            log: stage.log_file(&format!("{name}.log")),
            engine: engine.socket(),
        };
        std::fs::write(&files.policy, policy).unwrap();
        files
    }

    /// `countersign serve` with these files, dying with the thread that starts it.
    pub fn serve(&self, prefix: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(prefix)
            .args([COUNTERSIGN, "serve", "--config"])
            .arg(&self.policy)
            .arg("--state-dir")
            .arg(&self.state)
            .arg("--engine")
            .arg(&self.engine)
            .stdin(Stdio::null())
            .stdout(self.log())
            .stderr(self.log())
            // One that is stopped in a group whose shell has gone is told to go on by the kernel,
            // as soon as anything else in the group ends.
            .process_group(0);
        command
    }

    /// What a command says of these files and their engine.
    pub fn ask(&self, stage: &Stage, command: &str, arguments: &str) -> Outcome {
        let engine = format!("--engine {} ", self.engine.display());
        self.run(stage, command, &(engine + arguments))
    }

    /// A command with these files.
    fn run(&self, stage: &Stage, name: &str, arguments: &str) -> Outcome {
        let mut command = Command::new("timeout");
        command
            .args(["120", COUNTERSIGN, name, "--config"])
            .arg(&self.policy)
            .arg("--state-dir")
            .arg(&self.state)
            .args(arguments.split_whitespace())
            .stdin(Stdio::null());
        stage.run(&format!("countersign {name} {arguments}"), &mut command)
    }

    /// All that the plugin has written to its log.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn log(&self) -> File {
        File::options().create(true).append(true).open(&self.log).unwrap()
    }
}

impl<'a> Plugin<'a> {
    /// Starts the plugin and waits until it listens.
    #[track_caller]
    pub fn start(stage: &'a Stage, policy: &Policy, engine: &Engine<'a>) -> Self {
        Self::start_as(stage, policy, engine, &[])
    }

    /// The same, with words before its own on the command line.
    #[track_caller]
    pub fn start_as(
        stage: &'a Stage,
        policy: &Policy,
        engine: &Engine<'a>,
        prefix: &[&str],
    ) -> Self {
        let files = Files::new(stage, &policy.to_string(), engine);
        let name = stage.fresh_name();
        let process = spawn(&files, &socket(&name), prefix);
        let mut plugin = Self { stage, name, files, process };
        plugin.await_socket();
        plugin
    }

    /// Takes care of one that the story has started in its own way.
    pub fn adopt(stage: &'a Stage, name: String, files: Files, process: Child) -> Self {
        Self { stage, name, files, process }
    }

    /// Starts it again after its end, with another policy.
    #[track_caller]
    pub fn start_obeying(&mut self, policy: &Policy) {
        std::fs::write(&self.files.policy, policy.to_string()).unwrap();
        self.start_again();
    }

    /// Has it read another policy, and waits until that is in force.
    #[track_caller]
    pub fn reload(&self, policy: &Policy) {
        self.reload_text(&policy.to_string());
    }

    #[track_caller]
    pub fn reload_text(&self, policy: &str) {
        let done = self.logged(&[IN_FORCE]).len();
        std::fs::write(&self.files.policy, policy).unwrap();
        self.signal("HUP");
        self.await_log(&[IN_FORCE], done + 1);
    }

    /// `countersign breakglass` on this plugin's state directory.
    pub fn breakglass(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(COUNTERSIGN);
        command.arg("breakglass").arg("--state-dir").arg(&self.files.state).args(arguments);
        self.stage.run(&format!("countersign breakglass {}", arguments.join(" ")), &mut command)
    }

    /// Lines of its log that contain all of these.
    pub fn logged(&self, parts: &[&str]) -> Vec<String> {
        let log = std::fs::read_to_string(&self.files.log).unwrap();
        let wanted = |line: &&str| parts.iter().all(|part| line.contains(part));
        log.lines().filter(wanted).map(ToOwned::to_owned).collect()
    }

    /// Waits until so many lines of its log contain all of these.
    #[track_caller]
    pub fn await_log(&self, parts: &[&str], times: usize) {
        let start = Instant::now();
        while self.logged(parts).len() < times {
            assert!(start.elapsed() < Duration::from_secs(30), "{parts:?} is not logged");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts it again after its end, with the same files.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.start_again_as(&[]);
    }

    /// The same, with words before its own on the command line.
    #[track_caller]
    pub fn start_again_as(&mut self, prefix: &[&str]) {
        self.process = spawn(&self.files, &self.socket(), prefix);
        self.await_socket();
    }

    #[track_caller]
    pub fn await_socket(&mut self) {
        let start = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert_eq!(ended, None, "the plugin ended instead of listening");
            assert!(start.elapsed() < Duration::from_secs(20), "the plugin does not listen");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn socket(&self) -> PathBuf {
        socket(&self.name)
    }

    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The process that answers.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Starts it again after its end, with a policy file of the story's.
    #[track_caller]
    pub fn obey(&mut self, policy: &Path) {
        policy.clone_into(&mut self.files.policy);
        self.start_again();
    }

    /// Sends it a signal, as `kill` does.
    pub fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let kill = format!("kill -{signal} {pid}");
        self.stage.run(&kill, Command::new("bash").args(["-c", &kill])).expect_ok();
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub fn await_end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "the plugin does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// `countersign check` with this plugin's policy and memory.
    pub fn check(&self, arguments: impl AsRef<str>) -> Outcome {
        check(self.stage, &self.files, arguments.as_ref())
    }
}

impl Drop for Plugin<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(self.socket());
    }
}

/// `countersign check` with these files.
pub fn check(stage: &Stage, files: &Files, arguments: &str) -> Outcome {
    files.run(stage, "check", arguments)
}

/// Where an engine looks for the plugin of this name.
pub fn socket(name: &str) -> PathBuf {
    Path::new(PLUGINS).join(format!("{name}.sock"))
}

fn spawn(files: &Files, socket: &Path, prefix: &[&str]) -> Child {
    std::fs::create_dir_all(PLUGINS).unwrap();
    files.serve(prefix).arg("--socket").arg(socket).spawn().unwrap()
}
