//! Gathering the facts. The only part that touches the world, and it changes nothing.

use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use super::facts::{
    EngineFacts, Facts, Greeting, NoGreeting, PluginFacts, PolicyFacts, Probe, ServerFacts,
    SetupFacts, StoredFacts, StoredRepository, UnitFacts,
};
use super::setup::{Setup, config_file};
use crate::gate::{NETWORK, doors, look_seen, remedy, remote, stored_ends};
use crate::image::Repository;
use crate::policy::{Policy, Registry};
use crate::source::{
    self, Daemon, Deadline, Engine, Greeted, Host, NodeInfo, PluginSocket, Remote, Store,
};
use crate::trust::notary::Update;

/// The package that holds dockerd on Debian and Ubuntu.
const PACKAGE: &str = "docker.io";
/// Where engines look for descriptions of plugins.
const DESCRIPTIONS: [&str; 2] = ["/etc/docker/plugins", "/usr/lib/docker/plugins"];

/// What to examine.
#[derive(Debug)]
pub struct Subject {
    /// The policy's file.
    pub config: PathBuf,
    /// The policy; or why there is none, in one line.
    pub policy: Result<Policy, String>,
    /// Where trust data is kept.
    pub state_dir: PathBuf,
    /// The engine's socket.
    pub engine: PathBuf,
    /// The plugin's name.
    pub plugin: String,
    /// Its socket.
    pub socket: PathBuf,
    /// Whether to leave the trust servers alone.
    pub offline: bool,
    /// The host.
    pub host: Host,
}

/// Asks everybody.
pub async fn gather(subject: Subject) -> Facts {
    let now = source::now();
    let Subject { host, policy, .. } = &subject;
    let greeted = source::greet(&subject.engine).await;
    let daemon = daemon(host, &subject.engine, greeted);
    let (engine, info) = ask_engine(&subject.engine).await;
    let plugin = plugin(&subject, engine.as_ref(), info.as_ref().ok()).await;
    let setup = setup(host, daemon.as_ref());
    let more = setup.setup.as_ref().map(Setup::sockets).unwrap_or_default();
    let engine = EngineFacts {
        socket: subject.engine.clone(),
        file: host.look(&subject.engine).ok().flatten(),
        info,
        group: host.group(&subject.engine),
        doors: doors(host, &subject.engine, &more).await,
        package: host.package(PACKAGE),
    };
    let registries = policy.as_ref().map(Policy::registries).unwrap_or_default();
    let (mut servers, mut unusable) = (Vec::new(), Vec::new());
    for registry in registries {
        match remote(registry) {
            Ok(_) if subject.offline => {}
            Ok(remote) => servers.push(server(&registry.host, &remote).await),
            Err(error) => unusable.push(error.to_string()),
        }
    }
    Facts {
        now,
        uptime: host.uptime(),
        engine,
        setup,
        plugin,
        units: units(host, &subject.plugin),
        stored: stored(&subject, registries, now),
        servers,
        policy: PolicyFacts { file: subject.config, policy: subject.policy, unusable },
    }
}

/// The dockerd behind a socket: the process that made it; where systemd made it, the only
/// dockerd there is, or the one that has no address of its own.
pub fn daemon(host: &Host, socket: &Path, greeted: Option<Greeted>) -> Option<Daemon> {
    let mut daemons = host.daemons();
    let own = greeted.and_then(|greeted| greeted.pid);
    if let Some(at) = daemons.iter().position(|daemon| Some(daemon.pid) == own) {
        return Some(daemons.swap_remove(at));
    }
    let socket = socket.to_string_lossy();
    let names = |daemon: &Daemon| daemon.args.iter().any(|arg| arg.ends_with(&*socket));
    let activated = |daemon: &Daemon| daemon.args.iter().any(|arg| arg.contains("fd://"));
    let at = daemons
        .iter()
        .position(names)
        .or_else(|| daemons.iter().position(activated))
        .or_else(|| (daemons.len() == 1).then_some(0))?;
    Some(daemons.swap_remove(at))
}

async fn ask_engine(socket: &Path) -> (Option<Engine>, Result<NodeInfo, String>) {
    match Engine::new(socket) {
        Ok(engine) => {
            let info = engine.info().await.map_err(|error| error.to_string());
            (Some(engine), info)
        }
        Err(error) => (None, Err(error.to_string())),
    }
}

fn setup(host: &Host, daemon: Option<&Daemon>) -> SetupFacts {
    let args = daemon.map(|daemon| daemon.args.as_slice()).unwrap_or_default();
    let file = config_file(args);
    let text = host.text(&file, daemon).map_err(|error| error.to_string());
    let setup = text.and_then(|text| Setup::read(args, text.as_deref()));
    SetupFacts { found: daemon.is_some(), file, setup }
}

fn units(host: &Host, plugin: &str) -> UnitFacts {
    let unit = |name: &str| host.unit(&format!("{name}.service"));
    UnitFacts { name: plugin.to_owned(), engine: unit("docker"), plugin: unit(plugin) }
}

async fn plugin(
    subject: &Subject,
    engine: Option<&Engine>,
    info: Option<&NodeInfo>,
) -> PluginFacts {
    let Subject { host, plugin: name, socket, .. } = subject;
    let own = PluginSocket::new(socket);
    let activated = own.activate().await;
    // An engine that does not answer one call is not asked more.
    let engine = engine.filter(|_| info.is_some());
    let probe = match (engine, &activated) {
        (None, _) => Probe::Unknown("the engine does not answer".to_owned()),
        (_, Err(_)) => Probe::Unknown("the plugin does not answer".to_owned()),
        (Some(engine), Ok(_)) => probe(host, engine, &own).await,
    };
    let managed = match engine {
        Some(engine) => engine.managed_plugins().await.ok(),
        None => None,
    };
    let forms = ["{}.spec", "{}/{}.spec", "{}.json", "{}/{}.json"];
    let descriptions = DESCRIPTIONS
        .iter()
        .flat_map(|folder| forms.map(|form| Path::new(folder).join(form.replace("{}", name))))
        .filter(|path| host.look(path).is_ok_and(|file| file.is_some()))
        .collect();
    PluginFacts {
        name: name.clone(),
        socket: socket.clone(),
        file: host.look(socket).map_err(|error| error.to_string()),
        folder: socket.parent().and_then(|folder| host.look(folder).ok().flatten()),
        activated,
        listed: info.map(|info| info.authorization().to_vec()),
        probe,
        managed,
        descriptions,
    }
}

/// Makes a call that nobody else knows, and asks the plugin whether it was shown it.
pub async fn probe(host: &Host, engine: &Engine, plugin: &PluginSocket) -> Probe {
    let Some(nonce) = host.nonce() else {
        return Probe::Unknown("the kernel gives no random number".to_owned());
    };
    if let Err(error) = engine.probe(&nonce).await {
        return Probe::Unknown(error.to_string());
    }
    match plugin.has_seen(&nonce).await {
        Ok(true) => Probe::Shown,
        Ok(false) => Probe::NotShown,
        Err(cause) => Probe::Unknown(format!("the plugin was asked, and {cause}")),
    }
}

async fn server(registry: &str, remote: &Remote) -> ServerFacts {
    let server = remote.trust_server();
    let began = Instant::now();
    let answer = server.greet(Deadline::after(NETWORK)).await;
    let (took, now) = (began.elapsed(), source::now());
    let host = server.host().to_owned();
    let greeting = match answer {
        Ok(date) => {
            let proxy = remote.proxy().map(ToOwned::to_owned);
            Ok(Greeting { host, took, proxy, date, now })
        }
        Err(error) => {
            Err(NoGreeting { cause: error.to_string(), remedy: remedy(&error).to_owned() })
        }
    };
    ServerFacts { registry: registry.to_owned(), greeting }
}

fn stored(subject: &Subject, registries: &[Registry], now: Timestamp) -> StoredFacts {
    let repositories = Store::look(&subject.state_dir).and_then(|store| {
        let known = |one| repository(&store, one, registries, now);
        Ok(store.repositories()?.into_iter().filter_map(known).collect())
    });
    StoredFacts {
        state_dir: subject.state_dir.clone(),
        file: subject.host.look(&subject.state_dir).map_err(|error| error.to_string()),
        repositories: repositories.map_err(|error| error.to_string()),
    }
}

/// What is kept of a repository; nothing where it was forgotten.
fn repository(
    store: &Store,
    repository: Repository,
    registries: &[Registry],
    now: Timestamp,
) -> Option<StoredRepository> {
    let registry = registries.iter().find(|registry| registry.host == repository.host());
    let seen = look_seen(store, &repository);
    let names = store.names(&repository).unwrap_or_default();
    let damage = match &seen {
        Err(error) => Some(error.to_string()),
        Ok(seen) if seen.history().root.is_none() && names.is_empty() => return None,
        Ok(seen) => registry.and_then(|registry| {
            let begun = Update::new(&repository, &registry.root, seen.history(), now);
            begun.err().map(|fault| format!("the root that was trusted: {fault}"))
        }),
    };
    let mendable = seen.map(|seen| seen.damage().to_vec()).unwrap_or_default();
    let files = stored_ends(store, &repository);
    Some(StoredRepository { repository, registered: registry.is_some(), damage, mendable, files })
}
