//! Where configuration and state are, and how they are read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::edit::EditError;
use crate::policy::{ConfigError, Policy};

/// Where configuration and state are.
#[derive(clap::Args, Debug)]
pub struct Places {
    /// The policy
    ///
    /// Unknown keys are errors. Files it names are relative to it.
    #[arg(long, value_name = "FILE", default_value = "/etc/countersign/countersign.toml")]
    pub config: PathBuf,

    /// Where verified trust data is kept
    ///
    /// Holds what the node needs to decide while the trust server is away, and the highest
    /// versions seen, so that nothing older is taken for new. Made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/countersign")]
    pub state_dir: PathBuf,
}

/// Where engines listen unless they are told otherwise.
pub const ENGINE: &str = "/var/run/docker.sock";

/// The engine.
#[derive(clap::Args, Debug)]
pub struct EngineSocket {
    /// The engine's socket
    ///
    /// Asked which image a name, an ID or a container really stands for. A path, or a
    /// unix:// URL.
    #[arg(
        id = "engine",
        long = "engine",
        value_name = "PATH",
        env = "DOCKER_HOST",
        default_value = ENGINE,
        value_parser = socket_path
    )]
    pub path: PathBuf,
}

/// An engine's socket: a path, or a `unix://` URL.
pub fn socket_path(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    if path.starts_with('/') {
        Ok(PathBuf::from(path))
    } else {
        Err("the engine is asked over its unix socket: give its path".to_owned())
    }
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The file says something that cannot be.
    #[error("{}:{}:{}: {}", path.display(), error.line, error.column, error.what)]
    Config {
        /// Which file.
        path: PathBuf,
        /// What and where.
        error: ConfigError,
    },
    /// It is read as a policy, and its lines cannot be told.
    #[error("{}: {error}", path.display())]
    Unlocated {
        /// Which file.
        path: PathBuf,
        /// What is in the way.
        error: EditError,
    },
}

/// Reads the policy and the files it names.
pub fn load(path: &Path) -> Result<Policy, LoadError> {
    read(path).map(|(_, policy)| policy)
}

/// The same, with the text of the policy.
pub fn read(path: &Path) -> Result<(String, Policy), LoadError> {
    let text =
        fs::read_to_string(path).map_err(|error| LoadError::Io { path: path.to_owned(), error })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let policy = Policy::from_toml(&text, &|file| fs::read_to_string(folder.join(file)))
        .map_err(|error| LoadError::Config { path: path.to_owned(), error })?;
    Ok((text, policy))
}
