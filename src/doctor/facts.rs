//! What was seen of a node, before anything is made of it.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::setup::Setup;
use crate::gate::Door;
use crate::image::Repository;
use crate::policy::Policy;
use crate::source::{FileFacts, Group, ManagedPlugin, NodeInfo};
use crate::trust::notary::{Fault, Role};

/// Everything that is examined.
#[derive(Debug)]
pub struct Facts {
    pub(super) now: Timestamp,
    pub(super) uptime: Option<Duration>,
    pub(super) engine: EngineFacts,
    pub(super) setup: SetupFacts,
    pub(super) plugin: PluginFacts,
    pub(super) units: UnitFacts,
    pub(super) policy: PolicyFacts,
    pub(super) stored: StoredFacts,
    pub(super) servers: Vec<ServerFacts>,
}

/// The engine, asked over its socket.
#[derive(Clone, Debug)]
pub(super) struct EngineFacts {
    pub socket: PathBuf,
    pub file: Option<FileFacts>,
    /// What it says of itself, or why it does not.
    pub info: Result<NodeInfo, String>,
    /// Who may use its socket by the group that the file has, where that is not root's.
    pub group: Option<Group>,
    /// Its sockets, and what may stand in front of them.
    pub doors: Vec<Door>,
    /// The version of the distribution's package, `docker.io`.
    pub package: Option<String>,
}

/// How the engine was started.
#[derive(Clone, Debug)]
pub(super) struct SetupFacts {
    /// Whether its process was found, so that its command line is known.
    pub found: bool,
    /// Its configuration file.
    pub file: PathBuf,
    /// Command line and file, read together; or why the file cannot be.
    pub setup: Result<Setup, String>,
}

/// What systemd was told.
#[derive(Clone, Debug)]
pub(super) struct UnitFacts {
    /// The plugin's name, which its units have too.
    pub name: String,
    /// The engine's unit with what is added to it, where systemd starts the engine.
    pub engine: Option<String>,
    /// The plugin's.
    pub plugin: Option<String>,
}

/// The plugin, asked as an engine asks it, and the engine asked of it.
#[derive(Clone, Debug)]
pub(super) struct PluginFacts {
    pub name: String,
    pub socket: PathBuf,
    pub file: Result<Option<FileFacts>, String>,
    pub folder: Option<FileFacts>,
    /// What it implements; or why it does not answer.
    pub activated: Result<Vec<String>, String>,
    /// The authorization plugins that the engine says it has.
    pub listed: Option<Vec<String>>,
    /// Whether the engine shows it calls.
    pub probe: Probe,
    /// The engine's managed plugins; `None` where it does not say.
    pub managed: Option<Vec<ManagedPlugin>>,
    /// Files that could also tell an engine where the plugin is.
    pub descriptions: Vec<PathBuf>,
}

/// What came of a call that only its sender knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The plugin was shown it.
    Shown,
    /// The engine answered it, and the plugin was not asked.
    NotShown,
    /// It could not be found out.
    Unknown(String),
}

/// The policy.
#[derive(Clone, Debug)]
pub(super) struct PolicyFacts {
    pub file: PathBuf,
    /// The policy; or what is wrong with it and where, in one line.
    pub policy: Result<Policy, String>,
    /// Registries whose entries cannot be used, and why.
    pub unusable: Vec<String>,
}

/// What is kept on the node.
#[derive(Debug)]
pub(super) struct StoredFacts {
    pub state_dir: PathBuf,
    pub file: Result<Option<FileFacts>, String>,
    pub repositories: Result<Vec<StoredRepository>, String>,
}

/// The trust data of one repository.
#[derive(Debug)]
pub(super) struct StoredRepository {
    pub repository: Repository,
    /// Whether the policy registers its registry.
    pub registered: bool,
    /// Why what is kept cannot be used at all.
    pub damage: Option<String>,
    /// What is damaged and will be mended from its copy.
    pub mendable: Vec<String>,
    /// When each file says it runs out.
    pub files: Vec<(Role, Result<Timestamp, Fault>)>,
}

/// A trust server, greeted.
#[derive(Clone, Debug)]
pub(super) struct ServerFacts {
    /// The registry whose trust server it is.
    pub registry: String,
    pub greeting: Result<Greeting, NoGreeting>,
}

/// Its answer.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    pub host: String,
    pub took: Duration,
    /// The HTTP proxy through which it was asked.
    pub proxy: Option<String>,
    /// Its clock.
    pub date: Option<Timestamp>,
    /// This host's, at the same time.
    pub now: Timestamp,
}

/// Why it did not answer, and what to do.
#[derive(Clone, Debug)]
pub(super) struct NoGreeting {
    pub cause: String,
    pub remedy: String,
}
