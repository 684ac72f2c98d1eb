//! The trust data of repositories: in memory, on disk, from the trust server.
//!
//! One question, three places. While its server answers, each decision asks it for the
//! timestamp, so that a signature or its revocation is seen at once; where nothing has
//! changed, that is all there is to do. While the server is away, what was verified
//! before serves until it expires.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lru::LruCache;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::SetupError;
use super::refresh::{Refresh, Refreshed};
use super::seen::Seen;
use crate::image::{Digest, Repository, Tag};
use crate::policy::{self, Gap, Policy};
use crate::source::{Credentials, Deadline, RegistrySettings, Remote, Store, Unavailable};
use crate::trust::notary::{RootPolicy, TrustData};

/// Repositories whose verified trust data is kept in memory.
const KEPT: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Files verified at the same time.
const VERIFIED_AT_ONCE: usize = 2;
/// How long a server that did not answer is left alone, as long as cached data serves.
const LEFT_ALONE: Duration = Duration::from_secs(10);
/// Where engines keep the CAs of registries.
const CERTS_D: &str = "/etc/docker/certs.d";

/// All registered registries and what is known of their repositories.
pub struct Repositories {
    pub(super) store: Store,
    pub(super) offline: bool,
    pub(super) registries: HashMap<String, Arc<Registered>>,
    entries: Mutex<LruCache<Repository, Arc<Entry>>>,
    heavy: Semaphore,
}

/// A registered registry.
pub(super) struct Registered {
    pub remote: Remote,
    pub root: RootPolicy,
    /// When its trust server last failed to answer.
    away_since: Mutex<Option<Instant>>,
}

/// One repository. The lock is held over a whole refresh, so that many callers cause one.
#[derive(Default)]
struct Entry {
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    /// When the last refresh began, and what came of it.
    last: Option<(Instant, Answer)>,
}

/// Verified trust data, and the timestamp file it was verified with.
#[derive(Clone)]
pub(super) struct Kept {
    pub data: Arc<TrustData>,
    pub timestamp: Arc<[u8]>,
    /// What was seen of the repository up to then.
    pub seen: Arc<Seen>,
}

/// Trust data or why there is none, and what is worth saying beside it.
type Answer = (Result<Arc<TrustData>, Gap>, Option<String>);

impl Repositories {
    /// Prepares to ask the policy's registries.
    pub(super) fn new(policy: &Policy, state: &Path, offline: bool) -> Result<Self, SetupError> {
        let mut registries = HashMap::new();
        for registry in policy.registries() {
            let registered = Registered {
                remote: remote(registry)?,
                root: registry.root.clone(),
                away_since: Mutex::default(),
            };
            registries.insert(registry.host.clone(), Arc::new(registered));
        }
        Ok(Self {
            store: Store::open(state)?,
            offline,
            registries,
            entries: Mutex::new(LruCache::new(KEPT)),
            heavy: Semaphore::new(VERIFIED_AT_ONCE),
        })
    }

    /// The trust data of a repository, as fresh as can be had before the deadline.
    pub(super) async fn trust_data(
        &self,
        repository: &Repository,
        now: Timestamp,
        deadline: Deadline,
    ) -> Answer {
        let Some(registered) = self.registries.get(repository.host()) else {
            return (Err(Gap::Unregistered), None);
        };
        let asked = Instant::now();
        let entry = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(entries.get_or_insert(repository.clone(), Arc::default))
        };
        let mut state = entry.state.lock().await;
        // A refresh that began after this question was asked answers it as well.
        if let Some((began, answer)) = &state.last
            && *began >= asked
        {
            return answer.clone();
        }
        let began = Instant::now();
        let refresh = Refresh {
            repository,
            registered,
            store: &self.store,
            memory: state.kept.as_ref().map(|kept| Arc::clone(&kept.seen)),
            heavy: &self.heavy,
            use_network: !self.offline && !registered.is_left_alone(),
            may_ask_anyway: !self.offline,
            now,
            deadline,
        };
        let Refreshed { outcome, note } = refresh.run(state.kept.clone()).await;
        let answer = match outcome {
            Ok(kept) => {
                state.kept = Some(kept.clone());
                (Ok(kept.data), note)
            }
            Err(gap) => (Err(gap), note),
        };
        state.last = Some((began, answer.clone()));
        answer
    }

    /// The digest that a registry serves for a tag now. `None`: not to be asked.
    pub(super) async fn served(
        &self,
        repository: &Repository,
        tag: &Tag,
        deadline: Deadline,
    ) -> Option<Result<Option<Digest>, Unavailable>> {
        let registered = self.registries.get(repository.host())?;
        if self.offline {
            return None;
        }
        Some(registered.remote.registry().manifest_digest(repository, tag, deadline).await)
    }
}

impl Registered {
    /// Whether its trust server failed to answer a moment ago.
    fn is_left_alone(&self) -> bool {
        let away = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        away.is_some_and(|since| since.elapsed() < LEFT_ALONE)
    }

    /// Takes note of whether its trust server answers at all. That it has nothing, or
    /// nothing for us, of one repository says nothing about the others: or a name that
    /// anyone can ask for would keep it from being asked about theirs.
    pub fn heard(&self, failure: Option<&Unavailable>) {
        let failure = failure.filter(|error| error.is_of_the_server());
        let mut away = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        match (failure, *away) {
            (Some(error), None) => warn!(%error, kind = error.kind(), "trust server away"),
            (None, Some(_)) => {
                info!(host = self.remote.trust_server().host(), "trust server back");
            }
            _ => {}
        }
        *away = failure.map(|_| Instant::now());
    }
}

/// Prepares to ask a registry of the policy.
pub fn remote(registry: &policy::Registry) -> Result<Remote, SetupError> {
    let fault = |cause: String| SetupError::Registry { host: registry.host.clone(), cause };
    Remote::new(settings(registry).map_err(fault)?).map_err(|error| fault(error.to_string()))
}

fn settings(registry: &policy::Registry) -> Result<RegistrySettings, String> {
    let credentials = match &registry.docker_config {
        None => None,
        Some(config) => Credentials::from_docker_config(config.0.as_bytes(), &registry.host)
            .map_err(|error| format!("docker_config: {error}"))?,
    };
    Ok(RegistrySettings {
        host: registry.host.clone(),
        trust_server: registry.trust_server.clone(),
        ca: registry.ca.clone(),
        certs_d: PathBuf::from(CERTS_D),
        credentials,
    })
}
