//! The trust data of repositories: in memory, on disk, from the trust server.
//!
//! What the trust server confirmed within the policy's `max_staleness` serves without any
//! network. What is older and in date still serves, but the server is asked first, and waited
//! for briefly. Only where nothing on the node serves does a decision wait for the network.
//! A question to a server is nobody's own: many wait for it, and it goes on without them.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::{Notify, Semaphore};
use tracing::{info, warn};

use super::SetupError;
use super::asking::{One, Question, Told, unasked};
use super::endings::Warned;
use super::entry::Entry;
use super::in_use::InUse;
use super::observed::Failures;
use super::refresh::Failure;
use crate::image::{Digest, Repository, Tag};
use crate::policy::{self, Gap, Policy};
use crate::source::{
    Credentials, Deadline, ProxySetting, RegistrySettings, Remote, Store, Unavailable,
};
use crate::trust::notary::RootPolicy;

/// Repositories whose verified trust data is kept in memory.
const KEPT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Bytes of trust data kept in memory, about: a thousand repositories of a hundred tags take
/// a fifth of it. What is dropped is on disk.
const BUDGET: usize = 64 * 1024 * 1024;
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
    pub(super) policy: Arc<Policy>,
    /// Whether each decision asks, whatever the policy says.
    always_ask: AtomicBool,
    pub(super) entries: Mutex<LruCache<Repository, Arc<Entry>>>,
    pub(super) in_use: Arc<InUse>,
    pub(super) warned: Arc<Warned>,
    pub(super) heavy: Arc<Semaphore>,
}

/// A registered registry.
pub(super) struct Registered {
    pub remote: Remote,
    pub root: RootPolicy,
    /// When its trust server last failed to answer.
    away_since: Mutex<Option<Instant>>,
    pub failures: Failures,
    /// That a repository came into use, or the server came back: there is something to do.
    pub wanted: Notify,
}

impl Repositories {
    /// Prepares to ask the policy's registries.
    pub(super) fn new(
        policy: &Arc<Policy>,
        state: &Path,
        offline: bool,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            registries: registered(policy)?,
            store: Store::open(state)?,
            offline,
            policy: Arc::clone(policy),
            always_ask: AtomicBool::new(false),
            entries: Mutex::new(LruCache::new(KEPT)),
            in_use: Arc::default(),
            warned: Arc::default(),
            heavy: Arc::new(Semaphore::new(VERIFIED_AT_ONCE)),
        })
    }

    /// The same under another policy. What is in memory is kept of registries whose roots to
    /// trust are the same; all else it was verified with is the repository's own.
    pub(super) fn renewed(&self, policy: &Arc<Policy>) -> Result<Self, SetupError> {
        let registries = registered(policy)?;
        let is_kept = |repository: &Repository| {
            let [old, new] = [&self.registries, &registries].map(|of| of.get(repository.host()));
            old.zip(new).is_some_and(|(old, new)| old.root == new.root)
        };
        let mut entries = LruCache::new(KEPT);
        let known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for (repository, entry) in known.iter().rev().filter(|(one, _)| is_kept(one)) {
            entries.put(repository.clone(), Arc::clone(entry));
        }
        drop(known);
        Ok(Self {
            store: self.store.clone(),
            offline: self.offline,
            registries,
            policy: Arc::clone(policy),
            always_ask: AtomicBool::new(self.always_ask.load(Ordering::Relaxed)),
            entries: Mutex::new(entries),
            in_use: Arc::clone(&self.in_use),
            warned: Arc::clone(&self.warned),
            heavy: Arc::clone(&self.heavy),
        })
    }

    /// From now on each decision asks the trust server, whatever the policy says.
    pub(super) fn always_ask(&self) {
        self.always_ask.store(true, Ordering::Relaxed);
    }

    /// How old what a server confirmed may be, to be decided by unasked.
    pub(super) fn max_staleness(&self) -> Duration {
        if self.always_ask.load(Ordering::Relaxed) {
            Duration::ZERO
        } else {
            self.policy.max_staleness()
        }
    }

    /// The trust data of a repository, as fresh as the policy wants it.
    pub(super) async fn trust_data(
        self: &Arc<Self>,
        repository: &Repository,
        mut question: Question,
    ) -> Told {
        let Some(registered) = self.registries.get(repository.host()) else {
            return Told::without(Gap::Unregistered);
        };
        let entry = self.entry(repository);
        let one = One { all: self, repository, registered, entry: &entry };
        let on_node = match one.current(question.now) {
            Some(kept) => Ok(kept),
            None => one.load(question.now).await,
        };
        let (serves, graced, nothing) = match on_node {
            Ok(kept) if kept.data.check_current(question.now).is_ok() => (Some(kept), None, None),
            Ok(kept) => (None, Some(kept), None),
            Err(Failure::Disk(error)) => {
                return Told::without(one.refresh(question.now).unusable(&error));
            }
            Err(failure) => (None, None, Some(failure)),
        };
        question.anew |= self.max_staleness().is_zero();
        match serves {
            Some(kept) => one.with(kept, question).await,
            None if self.offline => match graced {
                Some(kept) => {
                    let note = one.refresh(question.now).note("the network is not to be used");
                    one.in_grace(kept, note)
                }
                None => Told::without(unasked(nothing)),
            },
            None => one.without(graced, question).await.beside(nothing.as_ref()),
        }
    }

    /// One that is in memory with verified data.
    pub(super) fn entry_in_memory(&self, repository: &Repository) -> Option<Arc<Entry>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.peek(repository).filter(|entry| entry.has_data()).cloned()
    }

    pub(super) fn entry(&self, repository: &Repository) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if !entries.contains(repository) {
            make_room(&mut entries);
        }
        Arc::clone(entries.get_or_insert(repository.clone(), Arc::default))
    }

    /// Keeps memory within the budget, once what is kept of a repository has changed. What
    /// was not used for longest goes first, that repository's own last.
    pub(super) fn settle(&self, changed: &Repository) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.promote(changed);
        settle(&mut entries, BUDGET);
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

/// Makes room for one more. Whoever may ask for names must not have what is not on disk
/// dropped by asking for many: so that goes only where there is nothing else to drop.
fn make_room(entries: &mut LruCache<Repository, Arc<Entry>>) {
    if entries.len() < entries.cap().get() {
        return;
    }
    let oldest_first = entries.iter().rev();
    let dropped = oldest_first.into_iter().find(|(_, entry)| can_go(entry));
    match dropped.map(|(repository, _)| repository.clone()) {
        Some(repository) => drop(entries.pop(&repository)),
        None => drop(entries.pop_lru()),
    }
}

/// Whether nothing is lost with it: it is on disk, and nobody is about to add to it.
fn can_go(entry: &Arc<Entry>) -> bool {
    Arc::strong_count(entry) == 1 && entry.is_saved()
}

/// Drops what was not used for longest until all that is left weighs `budget` at most. What
/// is not on disk stays: it is all that is known of the versions seen.
fn settle(entries: &mut LruCache<Repository, Arc<Entry>>, budget: usize) {
    let mut weight: usize = entries.iter().map(|(_, entry)| entry.weight()).sum();
    let newest = entries.peek_mru().map(|(repository, _)| repository.clone());
    let droppable = |(repository, entry): (&Repository, &Arc<Entry>)| {
        let is_newest = Some(repository) == newest.as_ref();
        let drop = can_go(entry) && !is_newest;
        drop.then(|| (repository.clone(), entry.weight()))
    };
    let oldest_first: Vec<_> = entries.iter().rev().filter_map(droppable).collect();
    for (repository, own) in oldest_first {
        if weight <= budget {
            break;
        }
        entries.pop(&repository);
        weight = weight.saturating_sub(own);
    }
}

impl Registered {
    /// Whether its trust server did not answer when it was last asked.
    pub fn is_away(&self) -> bool {
        self.away_since.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether its trust server failed to answer a moment ago.
    pub fn is_left_alone(&self) -> bool {
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
                self.wanted.notify_one();
            }
            _ => {}
        }
        *away = failure.map(|_| Instant::now());
    }
}

/// Prepares to ask all registries of a policy.
fn registered(policy: &Policy) -> Result<HashMap<String, Arc<Registered>>, SetupError> {
    let one = |registry: &policy::Registry| {
        let registered = Registered {
            remote: remote(registry)?,
            root: registry.root.clone(),
            away_since: Mutex::default(),
            failures: Failures::default(),
            wanted: Notify::new(),
        };
        Ok((registry.host.clone(), Arc::new(registered)))
    };
    policy.registries().iter().map(one).collect()
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
        proxy: match &registry.proxy {
            policy::Proxy::Environment => ProxySetting::Environment,
            policy::Proxy::None => ProxySetting::Direct,
            policy::Proxy::Url(url) => ProxySetting::Url(url.clone()),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::testing;
    use super::*;

    #[test]
    fn what_was_used_last_fits_the_budget() {
        let kept = |saved| testing::kept("tags-1000", saved);
        let own = kept(true).data.weight();
        let name = |number: usize| format!("h.io/r{number}").parse::<Repository>().unwrap();
        for (budget, busy, unsaved, expected) in [
            (own * 9, vec![], vec![], vec![0, 1, 2, 3]),
            (own * 4, vec![], vec![], vec![0, 1, 2, 3]),
            (own * 4 - 1, vec![], vec![], vec![1, 2, 3]),
            (own * 2, vec![], vec![], vec![2, 3]),
            (0, vec![], vec![], vec![3]),
            (0, vec![1], vec![2], vec![1, 2, 3]),
            (own * 2, vec![0], vec![], vec![0, 3]),
        ] {
            let mut entries = LruCache::unbounded();
            let mut held = Vec::new();
            for number in 0..4 {
                let entry = Arc::new(Entry::default());
                entry.keep_loaded(None, &kept(!unsaved.contains(&number)));
                if busy.contains(&number) {
                    held.push(Arc::clone(&entry));
                }
                entries.put(name(number), entry);
            }
            settle(&mut entries, budget);
            let left: BTreeSet<_> = entries.iter().map(|(name, _)| name.to_string()).collect();
            let expected: BTreeSet<_> =
                expected.into_iter().map(|one| name(one).to_string()).collect();
            assert_eq!(left, expected, "{budget} {busy:?} {unsaved:?}");
        }
    }

    #[test]
    fn names_that_are_asked_for_drop_nothing_that_is_not_on_disk() {
        let name = |number: usize| format!("h.io/r{number}").parse::<Repository>().unwrap();
        let mut entries = LruCache::new(NonZeroUsize::new(3).unwrap());
        let unsaved = Arc::new(Entry::default());
        unsaved.keep_loaded(None, &testing::kept("tags-10", false));
        entries.put(name(0), unsaved);
        for number in 1..10 {
            make_room(&mut entries);
            entries.put(name(number), Arc::default());
            assert!(entries.contains(&name(0)), "{number}");
            assert!(entries.len() <= 3);
        }
        // Nothing but such ones: memory is bounded all the same.
        for number in 10..20 {
            let unsaved = Arc::new(Entry::default());
            unsaved.keep_loaded(None, &testing::kept("tags-10", false));
            make_room(&mut entries);
            entries.put(name(number), unsaved);
            assert!(entries.len() <= 3);
        }
    }
}
