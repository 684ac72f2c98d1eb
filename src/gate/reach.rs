//! Reach: what would a container get of the host, and what has to be known to judge that?

use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::Gate;
use crate::policy::{self, Bound, GuardMode, Host, clean};
use crate::request::{self, HostAccess};
use crate::source::{self, Container, Deadline, Defaults, Engine, EngineError, Mount, Volume};

/// Most paths and volumes looked up for one container. One honestly has a dozen.
const MAX_LOOKUPS: usize = 128;

impl Gate {
    /// What is known of the host, for judging what is asked of it.
    pub(super) async fn host(&self, mut asked: Vec<HostAccess>, deadline: Deadline) -> Host {
        asked.sort();
        asked.dedup();
        let mut host = Host { asked, ..Host::default() };
        let Some(engine) = &self.engine else { return host };
        if host.asked.is_empty() || self.policy.guard_mode() == GuardMode::Off {
            return host;
        }
        if let Err(cause) = self.look_up(engine, &mut host, deadline).await {
            host.unknown = Some(cause.to_string());
        }
        host
    }

    async fn look_up(
        &self,
        engine: &Engine,
        host: &mut Host,
        deadline: Deadline,
    ) -> Result<(), LookupError> {
        if host.asked.len() > MAX_LOOKUPS {
            return Err(LookupError::TooMany);
        }
        let names: Vec<String> = host.asked.iter().filter_map(volume).collect();
        for name in names {
            host.asked.extend(engine.volume(&name).await?.as_ref().and_then(brought));
        }
        let sources: Vec<String> = host.asked.iter().filter_map(bound).collect();
        let runtimes: Vec<_> = host.asked.iter().filter_map(runtime).collect();
        if sources.is_empty() && runtimes.is_empty() {
            return Ok(());
        }
        // Nothing is refused by what it said before.
        let is_default = |said: &Defaults| runtimes.iter().all(|one| *one == said.default_runtime);
        let defaults = self.remembered.defaults.of(engine, is_default).await?;
        host.default_runtime = Some(defaults.default_runtime);
        if !sources.is_empty() {
            let data = &defaults.docker_root_dir;
            match source::has_folder(data, deadline).await {
                Ok(true) => {}
                Ok(false) => return Err(LookupError::Elsewhere { data: data.clone() }),
                Err(error) => return Err(LookupError::Files { path: data.clone(), error }),
            }
        }
        let own = self.own.iter().map(PathBuf::as_path);
        for folder in own.chain([Path::new(&defaults.docker_root_dir)]) {
            let path = folder.to_str().and_then(clean).ok_or(LookupError::OwnFolder)?;
            host.protected.extend(source::leads_to(&path, deadline).await.ok());
            host.protected.push(path);
        }
        for path in sources {
            // It is refused or not wherever it leads.
            if policy::is_protected(&path, &host.protected) {
                continue;
            }
            match source::leads_to(&path, deadline).await {
                Ok(end) => drop(host.leads_to.insert(path, end)),
                // The time is up for the others too, and each would keep a thread.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(LookupError::Files { path, error });
                }
                // What cannot be followed is refused by its not being known.
                Err(error) => warn!(path, %error, "where a bind leads is not known"),
            }
        }
        if !host.leads_to.is_empty() {
            host.bound = bound_already(engine).await?;
        }
        Ok(())
    }
}

/// Why it cannot be said what a container would get.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(
        "its data folder {data} is not to be seen from here, so neither is where binds lead; run \
         countersign as a service of the host to allow binds"
    )]
    Elsewhere { data: String },
    #[error("the file system does not say what {path} is: {error}")]
    Files {
        path: String,
        #[source]
        error: io::Error,
    },
    #[error("one call asks for more than {MAX_LOOKUPS} things of the host")]
    TooMany,
    #[error("a folder of countersign's or the engine's own has no absolute path of UTF-8")]
    OwnFolder,
}

/// What a container that exists may reach: by how it was made, and by what is mounted in it,
/// be it from other containers.
pub(super) fn of_container(container: &Container) -> Result<Vec<HostAccess>, request::Refusal> {
    let mut access = request::stored_access(&container.host_config)?;
    access.extend(container.mounts.iter().filter_map(mounted));
    Ok(access)
}

/// What containers and volumes bind already.
async fn bound_already(engine: &Engine) -> Result<Vec<Bound>, EngineError> {
    let (mounts, volumes) = tokio::try_join!(engine.mounts(), engine.local_volumes())?;
    let binds = mounts.iter().filter_map(mounted).chain(volumes.iter().filter_map(brought));
    let bound = binds.filter_map(|access| match access {
        HostAccess::Bind { source, read_only } => {
            Some(Bound { path: clean(&source)?, writable: !read_only })
        }
        _ => None,
    });
    Ok(bound.collect())
}

/// What a volume that exists brings in.
fn brought(volume: &Volume) -> Option<HostAccess> {
    let options = volume.options.iter().flatten();
    let options: Vec<_> = options.map(|(key, value)| (key.as_str(), value.as_str())).collect();
    request::volume_access(&volume.driver, &options)
}

fn mounted(mount: &Mount) -> Option<HostAccess> {
    match mount.kind.as_str() {
        "bind" => {
            let source = mount.source.clone();
            Some(HostAccess::Bind { source, read_only: !mount.writable })
        }
        "volume" => Some(HostAccess::Volume(mount.name.clone())),
        _ => None,
    }
}

fn runtime(access: &HostAccess) -> Option<&str> {
    if let HostAccess::Runtime(name) = access { Some(name) } else { None }
}

fn volume(access: &HostAccess) -> Option<String> {
    if let HostAccess::Volume(name) = access { Some(name.clone()) } else { None }
}

/// The clean path of a bind.
fn bound(access: &HostAccess) -> Option<String> {
    if let HostAccess::Bind { source, .. } = access { clean(source) } else { None }
}
