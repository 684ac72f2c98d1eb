//! One refresh of one repository: drives an [`Update`] with files from disk and server.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tracing::{error, info, warn};

use super::repositories::{Kept, Registered};
use super::seen::Seen;
use super::{away, seen};
use crate::image::Repository;
use crate::policy::Gap;
use crate::source::{Deadline, Store, StoreError, Unavailable};
use crate::trust::notary::{Fault, FileName, History, Role, Update, Wanted};

/// What a refresh works with.
pub(super) struct Refresh<'r> {
    pub repository: &'r Repository,
    pub registered: &'r Registered,
    pub store: &'r Store,
    /// What this process remembers, beside what is on disk.
    pub memory: Option<Arc<Seen>>,
    /// Held while a file is verified.
    pub heavy: &'r Semaphore,
    /// Whether to ask the server first.
    pub use_network: bool,
    /// Whether to ask it after all where nothing on the node serves.
    pub may_ask_anyway: bool,
    pub now: Timestamp,
    pub deadline: Deadline,
}

/// What came of it.
pub(super) struct Refreshed {
    pub outcome: Result<Kept, Gap>,
    /// What went wrong without being the answer.
    pub note: Option<String>,
}

/// Why an attempt came to nothing.
enum Failure {
    /// The server could not be asked.
    Away(Unavailable),
    /// What is there is not to be trusted.
    Bad(Fault),
    /// The node's own files cannot be used.
    Disk(StoreError),
    /// There is nothing, at the server or on the node.
    Nothing,
}

/// Where the files of an attempt come from, beside those on disk that fit by hash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Server,
    Disk,
}

impl Refresh<'_> {
    /// Refreshes: the server first, where it may be asked; then what is kept in memory;
    /// then what is on disk.
    pub async fn run(&self, kept: Option<Kept>) -> Refreshed {
        let current = kept.filter(|kept| {
            let forgotten = kept.seen.is_forgotten(self.store, self.repository);
            !forgotten && kept.data.check_current(self.now).is_ok()
        });
        let refused = if self.use_network {
            match self.ask_server(current.as_ref()).await {
                Ok(kept) => return Refreshed { outcome: Ok(kept), note: None },
                Err(failure) => Some(failure),
            }
        } else {
            None
        };
        let on_node = match current {
            Some(kept) => Ok(kept),
            None => self.attempt(Origin::Disk, None).await,
        };
        match (on_node, refused) {
            (Ok(kept), Some(failure)) => {
                Refreshed { outcome: Ok(kept), note: Some(self.tell(failure)) }
            }
            (Ok(kept), None) => {
                let host = self.registered.remote.trust_server().host();
                let unasked = || {
                    format!(
                        "{}: trust server {host} was away a moment ago and not asked again; \
                         decided by what was verified before",
                        self.repository
                    )
                };
                Refreshed { outcome: Ok(kept), note: self.may_ask_anyway.then(unasked) }
            }
            (Err(Failure::Disk(error)), _) => {
                error!(repository = %self.repository, %error, "the stored trust data cannot be used");
                let cause = format!("this node's own record of it cannot be used: {error}");
                let remedy = format!(
                    "restore the file from a backup; or have what was seen of it forgotten: \
                     countersign trust reset {}",
                    self.repository
                );
                Refreshed { outcome: Err(Gap::Unavailable { cause, remedy }), note: None }
            }
            (Err(_), Some(failure)) => Refreshed { outcome: Err(self.gap(failure)), note: None },
            // The server was left alone for a while; now it is needed.
            (Err(_), None) if self.may_ask_anyway => {
                let outcome = self.ask_server(None).await.map_err(|failure| self.gap(failure));
                Refreshed { outcome, note: None }
            }
            (Err(Failure::Bad(fault)), None) => {
                Refreshed { outcome: Err(Gap::Refused(fault)), note: None }
            }
            (Err(_), None) => {
                let cause =
                    "nothing is cached for it, and the network is not to be used".to_owned();
                let remedy = "check it once with the network, without --offline".to_owned();
                Refreshed { outcome: Err(Gap::Unavailable { cause, remedy }), note: None }
            }
        }
    }

    /// Asks for the timestamp; where it is the one that is kept, nothing has changed.
    async fn ask_server(&self, kept: Option<&Kept>) -> Result<Kept, Failure> {
        let timestamp = match kept {
            None => None,
            Some(kept) => {
                let wanted = FileName::Current(Role::Timestamp).to_string();
                let bytes = match self.fetch(&wanted, TIMESTAMP_MAX).await {
                    Err(error) if error.is_not_found() => return Err(Failure::Nothing),
                    other => other.map_err(Failure::Away)?,
                };
                if *bytes == *kept.timestamp {
                    return Ok(kept.clone());
                }
                Some(bytes)
            }
        };
        self.attempt(Origin::Server, timestamp).await
    }

    /// One whole update. `timestamp`: already fetched.
    async fn attempt(
        &self,
        origin: Origin,
        mut timestamp: Option<Vec<u8>>,
    ) -> Result<Kept, Failure> {
        let seen = seen::load(self.store, self.repository, self.memory.as_deref())
            .map_err(Failure::Disk)?;
        let history = seen.history();
        let known = history.root.is_some();
        let mut root = history.root.clone();
        let mut update = Update::new(self.repository, &self.registered.root, history, self.now)
            .map_err(|fault| self.damaged(&fault))?;
        let mut fetched: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut current_timestamp = Vec::new();
        while let Some(wanted) = update.wanted() {
            let plain = plain_name(&wanted.file);
            let is_timestamp = wanted.file == FileName::Current(Role::Timestamp);
            let bytes = match (is_timestamp.then(|| timestamp.take()).flatten(), origin) {
                (Some(bytes), _) => Some(bytes),
                (None, Origin::Disk) => self.read(&plain),
                (None, Origin::Server) => match self.on_disk(&wanted, &plain) {
                    Some(bytes) => Some(bytes),
                    None => self.download(&wanted).await?,
                },
            };
            let Some(bytes) = bytes else {
                // A repository without root is one without trust data. One that was known
                // and whose server has no timestamp for it any more was deleted there.
                let deleted = known && is_timestamp && origin == Origin::Server;
                if deleted || !known && wanted.file == FileName::Current(Role::Root) {
                    return Err(Failure::Nothing);
                }
                update.absent().map_err(Failure::Bad)?;
                continue;
            };
            let (went_on, bytes) = self.offer(update, bytes).await?;
            update = went_on;
            match &wanted.file {
                // Passed on the way; what comes of them is what is kept.
                FileName::RootVersion(_) | FileName::ListVersion(_) => continue,
                FileName::Current(Role::Root) | FileName::Hashed(Role::Root, _) => {
                    root = Some(bytes.clone());
                }
                FileName::Current(Role::Timestamp) => current_timestamp.clone_from(&bytes),
                _ => {}
            }
            fetched.insert(plain, bytes);
        }
        let Some((data, history)) = update.finish() else { return Err(Failure::Nothing) };
        let mut seen = Arc::new(seen.followed_by(History { root, ..history }, self.now));
        for (role, fault) in data.left_out() {
            warn!(repository = %self.repository, %role, %fault, "a delegation was left out");
        }
        if origin == Origin::Server || !seen.damage().is_empty() {
            seen = self.save(fetched, &seen).await.unwrap_or(seen);
        }
        Ok(Kept { data: Arc::new(data), timestamp: current_timestamp.into(), seen })
    }

    /// Has a file verified away from the threads that serve connections, and not more than
    /// a few at a time: a large one takes a second, and ten times its size in memory.
    async fn offer(
        &self,
        mut update: Update,
        bytes: Vec<u8>,
    ) -> Result<(Update, Vec<u8>), Failure> {
        let now = self.now;
        let _permit = self.heavy.acquire().await;
        let work = move || {
            let outcome = update.offer(&bytes, now);
            outcome.map(|()| (update, bytes))
        };
        away(work).await.map_err(Failure::Bad)
    }

    /// A file on disk that is exactly the one wanted.
    fn on_disk(&self, wanted: &Wanted, plain: &str) -> Option<Vec<u8>> {
        self.read(plain).filter(|bytes| wanted.is(bytes))
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        seen::file(self.store, self.repository, name)
    }

    async fn download(&self, wanted: &Wanted) -> Result<Option<Vec<u8>>, Failure> {
        match self.fetch(&wanted.file.to_string(), wanted.max_len).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Failure::Away(error)),
        }
    }

    async fn fetch(&self, file: &str, max: u64) -> Result<Vec<u8>, Unavailable> {
        let server = self.registered.remote.trust_server();
        let answer = server.fetch(self.repository, file, max, self.deadline).await;
        // A large file of one repository may take too long without the server being slow.
        let is_small = !file.contains('/') && file.split('.').count() == 2;
        if answer.is_ok() || is_small {
            self.registered.heard(answer.as_ref().err());
        }
        answer
    }

    /// Keeps what was verified, and returns what then is on disk. That the disk is full
    /// changes no verdict, but the next start would begin without it, so it is said loudly.
    async fn save(&self, files: BTreeMap<String, Vec<u8>>, seen: &Arc<Seen>) -> Option<Arc<Seen>> {
        let (store, repository, ours) =
            (self.store.clone(), self.repository.clone(), Arc::clone(seen));
        let written =
            tokio::task::spawn_blocking(move || seen::save(&store, &repository, &files, &ours));
        match written.await {
            Ok(Ok(written)) => {
                info!(repository = %self.repository, "trust data refreshed");
                return Some(Arc::new(written));
            }
            Ok(Err(error)) => {
                error!(repository = %self.repository, %error, "trust data could not be kept");
            }
            Err(error) => error!(%error, "trust data could not be kept"),
        }
        None
    }

    /// The root on disk was verified before it was written: now it is damaged.
    fn damaged(&self, fault: &Fault) -> Failure {
        let [path, _] = self.store.records(self.repository);
        Failure::Disk(StoreError { path, error: std::io::Error::other(fault.to_string()) })
    }

    fn gap(&self, failure: Failure) -> Gap {
        match failure {
            Failure::Nothing => Gap::NoTrustData,
            Failure::Bad(fault) => {
                self.log(&fault);
                Gap::Refused(fault)
            }
            Failure::Away(error) => {
                Gap::Unavailable { cause: error.to_string(), remedy: remedy(&error).to_owned() }
            }
            Failure::Disk(error) => Gap::Unavailable {
                cause: error.to_string(),
                remedy: "see that the state directory can be used".to_owned(),
            },
        }
    }

    /// What is said of a failure that older data on the node makes up for.
    fn tell(&self, failure: Failure) -> String {
        let what = match failure {
            Failure::Nothing => "the trust server has no trust data for it any more".to_owned(),
            Failure::Away(error) => error.to_string(),
            Failure::Disk(error) => error.to_string(),
            Failure::Bad(fault) => {
                self.log(&fault);
                format!("what the trust server has now was refused: {fault}")
            }
        };
        format!("{}: {what}; decided by what was verified before", self.repository)
    }

    fn log(&self, fault: &Fault) {
        let (repository, code) = (self.repository, fault.code());
        if fault.is_attack_like() {
            error!(%repository, code, %fault, "trust data refused: this is what an attack looks like");
        } else {
            warn!(%repository, code, %fault, "trust data refused");
        }
    }
}

/// What an operator can do about a server that cannot be asked.
pub fn remedy(error: &Unavailable) -> &'static str {
    match error.kind() {
        "tls" => {
            "see that ca_file or ca_bundle of its [[registries]] entry is the CA that signs its \
             certificate"
        }
        "unauthorized" => "give its [[registries]] entry a login that may pull, with docker_config",
        "unreachable" | "timeout" | "server-error" => {
            "try again when it answers; see that its [[registries]] entry names the right server"
        }
        _ => "see that its [[registries]] entry names a Notary v1 server (trust_server)",
    }
}

/// Most bytes of a timestamp, asked for ahead of the update.
const TIMESTAMP_MAX: u64 = 1024 * 1024;

/// The name under which a file is kept: that of its role.
pub(super) fn plain_name(file: &FileName) -> String {
    match file {
        FileName::Hashed(role, _) => FileName::Current(role.clone()).to_string(),
        other => other.to_string(),
    }
}
