//! The engine's process and its `daemon.json`; reloading it, and proving that it asks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout_at};

use crate::doctor::{Probe, Setup, config_file, daemon, probe};
use crate::source::{Daemon, Engine, Host, PluginSocket, greet};

/// Between two looks at whether something is so by now.
const BREATH: Duration = Duration::from_millis(300);
/// The least that an engine is given for one answer, however busy it is.
const ANSWER: Duration = Duration::from_secs(2);
/// Longest that a reload command may take.
const COMMAND: Duration = Duration::from_secs(60);

/// The engine behind a socket, as it was started.
#[derive(Debug)]
pub struct EngineSetup {
    host: Host,
    socket: PathBuf,
    /// Its process, where one was found.
    pub daemon: Option<Daemon>,
    /// Its configuration file.
    pub file: PathBuf,
}

/// How an engine is told to read its configuration anew.
#[derive(Clone, Debug)]
pub enum Reload {
    /// SIGHUP to its process.
    Signal,
    /// A command for the shell.
    Command(String),
}

/// Why an engine was not told.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is nobody to tell.
    #[error("the engine does not run")]
    NotRunning,
    /// The signal cannot be sent.
    #[error("SIGHUP cannot be sent to the engine, process {pid}: {error}")]
    Signal {
        /// Its process.
        pid: i32,
        /// What the system says.
        error: std::io::Error,
    },
    /// The command failed.
    #[error("{command}: {cause}")]
    Command {
        /// As given.
        command: String,
        /// What came of it.
        cause: String,
    },
}

impl EngineSetup {
    /// Finds the engine behind a socket. Asks its API nothing, so that an engine whose plugin
    /// is dead is found as well. `file` is taken for its configuration where it is given.
    pub async fn find(host: &Host, socket: &Path, file: Option<PathBuf>) -> Self {
        let daemon = daemon(host, socket, greet(socket).await);
        let args = daemon.as_ref().map(|daemon| daemon.args.as_slice()).unwrap_or_default();
        let named = config_file(args);
        // A relative one is relative to where the engine was started.
        let named = match &daemon {
            Some(daemon) if named.is_relative() => {
                std::fs::read_link(format!("/proc/{}/cwd", daemon.pid))
                    .map_or(named.clone(), |folder| folder.join(&named))
            }
            _ => named,
        };
        let file = file.unwrap_or(named);
        Self { host: host.clone(), socket: socket.to_owned(), daemon, file }
    }

    /// The authorization plugins that its command line names.
    pub fn flagged(&self) -> Vec<String> {
        let args = self.daemon.as_ref().map(|daemon| daemon.args.as_slice()).unwrap_or_default();
        // Without a file nothing can be wrong with it.
        Setup::read(args, None).map(|setup| setup.flag_plugins).unwrap_or_default()
    }

    /// Whether the engine finds this text at its configuration's path. It does not where it
    /// lives in a container or a mount namespace of its own.
    pub fn sees(&self, text: &str) -> bool {
        let seen = self.host.text(&self.file, self.daemon.as_ref());
        matches!(seen, Ok(Some(seen)) if seen == text)
    }

    /// Whether its process still runs.
    pub fn runs(&self) -> bool {
        self.daemon.as_ref().is_some_and(|daemon| self.host.daemons().contains(daemon))
    }

    /// The engine that is behind the socket now, where it may have been started anew.
    pub async fn now(&self) -> Self {
        Self::find(&self.host, &self.socket, Some(self.file.clone())).await
    }

    /// Tells it to read its configuration anew.
    pub async fn reload(&self, how: &Reload) -> Result<(), ReloadError> {
        match how {
            Reload::Signal => self.hang_up(),
            Reload::Command(command) => run(command).await,
        }
    }

    fn hang_up(&self) -> Result<(), ReloadError> {
        // Looked at once more, so that no later process of that number is told.
        let daemon = self.daemon.as_ref().filter(|_| self.runs());
        let daemon = daemon.ok_or(ReloadError::NotRunning)?;
        let pid = Pid::from_raw(daemon.pid).ok_or(ReloadError::NotRunning)?;
        kill_process(pid, Signal::HUP)
            .map_err(|error| ReloadError::Signal { pid: daemon.pid, error: error.into() })
    }

    /// Whether the engine shows the plugin its calls.
    pub async fn asks(&self, plugin: &Path) -> Probe {
        match Engine::new(&self.socket) {
            Ok(engine) => probe(&self.host, &engine, &PluginSocket::new(plugin)).await,
            Err(error) => Probe::Unknown(error.to_string()),
        }
    }

    /// Waits until the engine shows the plugin its calls. What was the case last, where it
    /// did not in time.
    pub async fn await_asking(&self, plugin: &Path, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        let mut last = "it answered nothing".to_owned();
        loop {
            match timeout_at(end, self.asks(plugin)).await {
                Ok(Probe::Shown) => return Ok(()),
                Ok(Probe::NotShown) => {
                    "it carries out calls without asking the plugin".clone_into(&mut last);
                }
                Ok(Probe::Unknown(cause)) => last = cause,
                Err(_) => return Err(last),
            }
            // One that was started anew is another process.
            if self.daemon.is_some() && !self.runs() && self.now().await.daemon.is_none() {
                return Err("the engine's process has ended".to_owned());
            }
            if Instant::now() >= end {
                return Err(last);
            }
            sleep(BREATH).await;
        }
    }

    /// Waits until the engine answers a call without showing it to the plugin. A plugin that
    /// is dead is shown none.
    pub async fn await_letting_go(&self, plugin: &Path, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        self.await_answer(patience).await?;
        while self.asks(plugin).await == Probe::Shown {
            if Instant::now() >= end {
                return Err("it goes on showing the plugin its calls".to_owned());
            }
            sleep(BREATH).await;
        }
        Ok(())
    }

    /// Waits until the engine answers a call. No single call is waited for as long as that: an
    /// engine that was told to let go of a plugin that hangs may have shown it the first of them,
    /// and then keeps that one while it answers the next.
    pub async fn await_answer(&self, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        let one = ANSWER.max(patience / 4);
        let mut last = "it answered nothing".to_owned();
        loop {
            let nonce = self.host.nonce().unwrap_or_default();
            let answer = async { Engine::new(&self.socket)?.probe(&nonce).await };
            match timeout_at(end.min(Instant::now() + one), answer).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => "it did not answer".clone_into(&mut last),
            }
            if Instant::now() >= end {
                return Err(last);
            }
            sleep(BREATH).await;
        }
    }
}

async fn run(command: &str) -> Result<(), ReloadError> {
    let fault = |cause: String| ReloadError::Command { command: command.to_owned(), cause };
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(std::process::Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(COMMAND, shell.status()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(fault(status.to_string())),
        Ok(Err(error)) => Err(fault(error.to_string())),
        Err(_) => Err(fault(format!("it did not end in {} s", COMMAND.as_secs()))),
    }
}

/// Whether the plugin does what engines will want of it: it says that it is one, lets a call
/// be that only reads, and has seen it. The error is a sentence that starts with "it".
pub async fn self_test(host: &Host, socket: &Path) -> Result<(), String> {
    let plugin = PluginSocket::new(socket);
    let implements = plugin.activate().await?;
    if !implements.iter().any(|one| one == "authz") {
        return Err("it is no authorization plugin".to_owned());
    }
    let nonce = host.nonce().ok_or("it was not asked: the kernel gives no random number")?;
    match plugin.would_allow(&format!("/_ping?countersign-nonce={nonce}")).await? {
        Ok(()) => {}
        Err(message) => return Err(format!("it refuses a ping: {}", message.escape_debug())),
    }
    if plugin.has_seen(&nonce).await? { Ok(()) } else { Err("it is not countersign".to_owned()) }
}

/// A managed plugin of the same name, which the engine would ask instead of the socket.
/// `None` also where the engine does not say.
pub async fn managed_namesake(engine: &Path, name: &str) -> Option<String> {
    let plugins = Engine::new(engine).ok()?.managed_plugins().await.ok()?;
    let is = |one: &str| one.strip_suffix(":latest").unwrap_or(one) == name;
    plugins.into_iter().map(|plugin| plugin.name).find(|one| is(one))
}
