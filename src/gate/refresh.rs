//! One refresh of one repository: drives an [`Update`] with files from disk and server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tracing::{debug, error, info, warn};

use super::repositories::Registered;
use super::seen::{Incoming, Seen, Writing};
use super::{NETWORK, away, seen};
use crate::image::Repository;
use crate::policy::Gap;
use crate::source::{Deadline, Store, StoreError, Unavailable};
use crate::trust::notary::{
    Fault, FileName, Grace, History, Role, TrustData, Update, Wanted, stated,
};

/// Verified trust data, and the timestamp file it was verified with.
#[derive(Clone)]
pub(super) struct Kept {
    pub data: Arc<TrustData>,
    pub timestamp: Arc<[u8]>,
    /// What was seen of the repository up to then.
    pub seen: Arc<Seen>,
    /// Whether it stands on disk as well.
    pub saved: bool,
}

/// What a refresh works with.
pub(super) struct Refresh<'r> {
    pub repository: &'r Repository,
    pub registered: &'r Registered,
    pub store: &'r Store,
    /// What this process remembers, beside what is on disk.
    pub memory: Option<Arc<Seen>>,
    /// Held while a file is verified.
    pub heavy: &'r Semaphore,
    pub now: Timestamp,
    /// What ran out lately and may be read from the disk all the same.
    pub grace: Grace,
}

/// Why an attempt came to nothing.
pub(super) enum Failure {
    /// The server could not be asked.
    Away(Unavailable),
    /// What is there is not to be trusted.
    Bad(Fault),
    /// The node's own files cannot be used.
    Disk(StoreError),
    /// There is nothing, at the server or on the node.
    Nothing,
}

/// Why asking a server came to nothing, as it is told.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    /// Where nothing on the node serves.
    pub gap: Gap,
    /// Beside a decision by what is on the node.
    pub note: String,
    /// What kept the server from being asked, so that what ran out may have grace; `None`
    /// where it answered.
    pub away: Option<Unavailable>,
}

/// Where the files of an attempt come from, beside those on disk that fit by hash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Server,
    Disk,
}

/// How an attempt has its files.
struct Source {
    origin: Origin,
    deadline: Deadline,
    writing: Writing,
}

/// What came of a file that was not wanted yet.
struct Ahead {
    file: FileName,
    came: Result<Option<Incoming>, Failure>,
}

/// How long a server has for all files of a repository, the large ones included: decisions
/// do not wait that long, but the next one finds what has come.
const WHOLE: Duration = Duration::from_secs(60);

#[cfg(test)]
impl Failing {
    pub fn for_tests() -> Self {
        Self { gap: Gap::NoTrustData, note: String::new(), away: None }
    }
}

impl Refresh<'_> {
    /// What is on disk, verified anew. It may have run out as far as the grace goes.
    pub async fn load(&self) -> Result<Kept, Failure> {
        self.attempt(Origin::Disk, None, None, Deadline::after(WHOLE)).await
    }

    /// What the server has now. `kept`: what is known already.
    pub async fn ask(&self, kept: Option<&Kept>) -> Result<Kept, Failing> {
        // What was forgotten on disk since is had anew, all of it.
        let known = kept.filter(|kept| !kept.seen.is_forgotten(self.store, self.repository));
        self.ask_server(known).await.map_err(|failure| self.failing(failure))
    }

    /// Asks whether the timestamp on disk is still the server's, without verifying anything:
    /// that is done by who reads it. Until when it serves; `None`: it is another one, or has
    /// run out.
    pub async fn confirm(&self) -> Result<Option<Timestamp>, Failing> {
        let (store, repository) = (self.store.clone(), self.repository.clone());
        let read = move || store.read(&repository, TIMESTAMP_FILE).ok().flatten();
        let Some(known) = away(read).await else { return Ok(None) };
        let expires = stated(&Role::Timestamp, &known).map(|stated| stated.expires).ok();
        let Some(expires) = expires.filter(|expires| *expires >= self.now) else {
            return Ok(None);
        };
        match self.fetch(TIMESTAMP_FILE, TIMESTAMP_MAX, Deadline::after(NETWORK)).await {
            Ok(bytes) if bytes == known => {
                self.touch(true);
                Ok(Some(expires))
            }
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Err(self.failing(Failure::Nothing)),
            Err(error) => Err(self.failing(Failure::Away(error))),
        }
    }

    /// Asks for the timestamp; where it is the one that is kept, nothing has changed.
    async fn ask_server(&self, kept: Option<&Kept>) -> Result<Kept, Failure> {
        let deadline = Deadline::after(WHOLE);
        let current = kept.filter(|kept| kept.data.check_current(self.now).is_ok());
        // What is on disk as well need not be had again, as far as it has not changed.
        let known = kept.filter(|kept| kept.saved).map(|kept| Arc::clone(&kept.data));
        let timestamp = match current {
            None => None,
            Some(kept) => {
                let bytes = match self.fetch(TIMESTAMP_FILE, TIMESTAMP_MAX, deadline).await {
                    Err(error) if error.is_not_found() => return Err(Failure::Nothing),
                    other => other.map_err(Failure::Away)?,
                };
                if *bytes == *kept.timestamp {
                    self.touch(kept.saved);
                    return Ok(kept.clone());
                }
                Some(bytes)
            }
        };
        self.attempt(Origin::Server, known, timestamp, deadline).await
    }

    /// Dates the timestamp on disk, for processes to come: so long was it known to be the
    /// server's.
    fn touch(&self, saved: bool) {
        if !saved {
            return;
        }
        if let Err(error) = self.store.touch(self.repository, TIMESTAMP_FILE, self.now) {
            debug!(%error, "the date of a confirmation could not be kept");
        }
    }

    /// One whole update. `before`: what was verified earlier; `timestamp`: already fetched.
    async fn attempt(
        &self,
        origin: Origin,
        before: Option<Arc<TrustData>>,
        timestamp: Option<Vec<u8>>,
        deadline: Deadline,
    ) -> Result<Kept, Failure> {
        let (writing, writers) = Writing::new();
        let from = Source { origin, deadline, writing };
        let outcome = self.update(from, before, timestamp).await;
        // Of one that failed nothing is left on disk.
        writers.end().await;
        outcome
    }

    async fn update(
        &self,
        from: Source,
        before: Option<Arc<TrustData>>,
        mut timestamp: Option<Vec<u8>>,
    ) -> Result<Kept, Failure> {
        let origin = from.origin;
        let seen = seen::load(self.store, self.repository, self.memory.as_deref())
            .map_err(Failure::Disk)?;
        let history = seen.history();
        let known = history.root.is_some();
        let mut root = history.root.clone();
        let mut update = Update::new(self.repository, &self.registered.root, history, self.now)
            .map_err(|fault| self.damaged(&fault))?
            .knowing(before);
        if origin == Origin::Disk {
            update = update.of_kept_files(self.grace);
        }
        let mut fetched: BTreeMap<String, Incoming> = BTreeMap::new();
        let mut current_timestamp: Arc<[u8]> = Arc::default();
        // The one that was had while another was verified.
        let mut ahead: Option<Ahead> = None;
        while let Some(wanted) = update.wanted() {
            let plain = plain_name(&wanted.file);
            let is_timestamp = wanted.file == FileName::Current(Role::Timestamp);
            let file = if let Some(ahead) = ahead.take_if(|ahead| ahead.file == wanted.file) {
                ahead.came?
            } else if let Some(bytes) = is_timestamp.then(|| timestamp.take()).flatten() {
                Some(Incoming::new(bytes, &wanted.file))
            } else {
                self.have(&from, &wanted).await?
            };
            let Some(file) = file else {
                // A repository without root is one without trust data. One that was known
                // and whose server has no timestamp for it any more was deleted there.
                let deleted = known && is_timestamp && origin == Origin::Server;
                if deleted || !known && wanted.file == FileName::Current(Role::Root) {
                    return Err(Failure::Nothing);
                }
                update.absent().map_err(Failure::Bad)?;
                continue;
            };
            // One alone: it stays in memory until its turn comes.
            let upcoming = if ahead.is_none() { update.upcoming() } else { None };
            let is_set_back = update.setback().is_some();
            let (went_on, next) =
                tokio::try_join!(self.offer(update, Arc::clone(&file.bytes)), async {
                    Ok(self.have_ahead(&from, upcoming).await)
                })?;
            (update, ahead) = (went_on, ahead.or(next));
            if update.setback().is_some() && !is_set_back {
                // Nothing of it counts: all is had again under another root.
                fetched.clear();
                continue;
            }
            match &wanted.file {
                // Passed on the way; what comes of them is what is kept.
                FileName::RootVersion(_) | FileName::ListVersion(_) => continue,
                FileName::Current(Role::Root) | FileName::Hashed(Role::Root, _) => {
                    root = Some(file.bytes.to_vec());
                }
                FileName::Current(Role::Timestamp) => {
                    current_timestamp = file.bytes.as_slice().into();
                }
                _ => {}
            }
            fetched.insert(plain, file);
        }
        let Some((data, history)) = update.finish() else { return Err(Failure::Nothing) };
        let mut seen = Arc::new(seen.followed_by(History { root, ..history }, self.now));
        for (role, fault) in data.left_out() {
            warn!(repository = %self.repository, %role, %fault, "a delegation was left out");
        }
        let mut saved = true;
        if origin == Origin::Server || seen.is_to_be_written() {
            let written = self.save(fetched, Arc::clone(&seen)).await;
            saved = written.is_some();
            seen = written.unwrap_or(seen);
        }
        if origin == Origin::Server {
            self.touch(saved);
        }
        Ok(Kept { data: Arc::new(data), timestamp: current_timestamp, seen, saved })
    }

    /// Has a file verified away from the threads that serve connections, and not more than
    /// a few at a time: a large one takes a tenth of a second, an odd one a second and ten
    /// times its size in memory.
    async fn offer(&self, mut update: Update, bytes: Arc<Vec<u8>>) -> Result<Update, Failure> {
        let now = self.now;
        let _permit = self.heavy.acquire().await;
        let work = move || {
            let outcome = update.offer(&bytes, now);
            outcome.map(|()| update)
        };
        away(work).await.map_err(Failure::Bad)
    }

    /// The file wanted. One of the server's that is known by its hash begins to be written at
    /// once.
    async fn have(&self, from: &Source, wanted: &Wanted) -> Result<Option<Incoming>, Failure> {
        let Source { origin, deadline, writing } = from;
        let plain = plain_name(&wanted.file);
        let from_disk = match *origin {
            Origin::Disk => self.read(&plain),
            Origin::Server => self.on_disk(wanted, &plain),
        };
        let incoming = |bytes| Incoming::new(bytes, &wanted.file);
        if from_disk.is_some() || *origin == Origin::Disk {
            return Ok(from_disk.map(incoming));
        }
        let file = self.download(wanted, *deadline).await?.map(incoming);
        Ok(match wanted.file {
            FileName::Hashed(Role::Targets | Role::Delegation(_), _) => {
                file.map(|file| file.written_by(writing, self.store, self.repository, &plain))
            }
            _ => file,
        })
    }

    /// What comes of one that is not wanted yet.
    async fn have_ahead(&self, from: &Source, wanted: Option<Wanted>) -> Option<Ahead> {
        let wanted = wanted?;
        let came = self.have(from, &wanted).await;
        Some(Ahead { file: wanted.file, came })
    }

    /// A file on disk that is exactly the one wanted.
    fn on_disk(&self, wanted: &Wanted, plain: &str) -> Option<Vec<u8>> {
        self.read(plain).filter(|bytes| wanted.is(bytes))
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        seen::file(self.store, self.repository, name)
    }

    async fn download(
        &self,
        wanted: &Wanted,
        deadline: Deadline,
    ) -> Result<Option<Vec<u8>>, Failure> {
        match self.fetch(&wanted.file.to_string(), wanted.max_len, deadline).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Failure::Away(error)),
        }
    }

    async fn fetch(
        &self,
        file: &str,
        max: u64,
        deadline: Deadline,
    ) -> Result<Vec<u8>, Unavailable> {
        let server = self.registered.remote.trust_server();
        // A large file of one repository may take too long without the server being slow.
        let is_small = !file.contains('/') && file.split('.').count() == 2;
        let small = Deadline::after(NETWORK);
        let fetched =
            server.fetch(self.repository, file, max, if is_small { small } else { deadline });
        let answer = fetched.await;
        if answer.is_ok() || is_small {
            self.registered.heard(answer.as_ref().err());
        }
        if let Some(error) = answer.as_ref().err().filter(|error| !error.is_not_found()) {
            self.registered.failures.count(error.kind());
        }
        answer
    }

    /// Keeps what was verified, and returns what is remembered once it is on disk. That the
    /// disk is full changes no verdict, but the next start would begin without it, so it is
    /// said loudly.
    async fn save(&self, files: BTreeMap<String, Incoming>, seen: Arc<Seen>) -> Option<Arc<Seen>> {
        let (store, repository) = (self.store.clone(), self.repository.clone());
        let written =
            tokio::task::spawn_blocking(move || seen::save(&store, &repository, files, &seen));
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

    /// What is told of a failure, and logged once.
    fn failing(&self, failure: Failure) -> Failing {
        let away = match &failure {
            Failure::Away(error) => Some(error.clone()),
            _ => None,
        };
        let (gap, what) = match failure {
            Failure::Nothing => {
                (Gap::NoTrustData, "the trust server has no trust data for it any more".to_owned())
            }
            Failure::Bad(fault) => {
                self.log(&fault);
                let what = format!("what the trust server has now was refused: {fault}");
                (Gap::Refused(fault), what)
            }
            Failure::Away(error) => {
                self.log_answer(&error);
                let (cause, remedy) = (error.to_string(), remedy(&error).to_owned());
                (Gap::Unavailable { cause: cause.clone(), remedy }, cause)
            }
            Failure::Disk(error) => (self.unusable(&error), error.to_string()),
        };
        let note = self.note(&what);
        Failing { gap, note, away }
    }

    /// What is told beside a decision by what is on the node.
    pub fn note(&self, what: &str) -> String {
        format!("{}: {what}; decided by what was verified before", self.repository)
    }

    /// What is told of a decision that the node's own record does not allow.
    pub fn unusable(&self, error: &StoreError) -> Gap {
        error!(repository = %self.repository, %error, "the stored trust data cannot be used");
        let cause = format!("this node's own record of it cannot be used: {error}");
        let remedy = format!(
            "restore the file from a backup; or have what was seen of it forgotten: countersign \
             trust reset {}",
            self.repository
        );
        Gap::Unavailable { cause, remedy }
    }

    /// An ordinary failure is told with the decision.
    fn log_answer(&self, error: &Unavailable) {
        if error.is_attack_like() {
            let (repository, kind) = (self.repository, error.kind());
            error!(%repository, kind, %error, "answer refused: this is what an attack looks like");
        }
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
        "proxy" => {
            "see that the proxy works and lets this host through: it is named by proxy in its \
             [[registries]] entry, or by HTTPS_PROXY; proxy = \"none\" goes without"
        }
        "rate-limited" => "try again later; ask its operator for a higher limit for this node",
        "unreachable" | "timeout" | "server-error" => {
            "try again when it answers; see that its [[registries]] entry names the right server"
        }
        _ => "see that its [[registries]] entry names a Notary v1 server (trust_server)",
    }
}

/// The name under which a timestamp is kept.
pub(super) const TIMESTAMP_FILE: &str = "timestamp.json";
/// Most bytes of a timestamp, asked for ahead of the update.
const TIMESTAMP_MAX: u64 = 1024 * 1024;

/// The name under which a file is kept: that of its role.
pub(super) fn plain_name(file: &FileName) -> String {
    match file {
        FileName::Hashed(role, _) => FileName::Current(role.clone()).to_string(),
        other => other.to_string(),
    }
}
