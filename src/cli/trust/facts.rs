//! What is kept of a repository, gathered for people.

use jiff::Timestamp;

use crate::gate::{Seen, Unusable, look_seen, stored};
use crate::image::Repository;
use crate::policy::Policy;
use crate::source::{Store, StoreError};
use crate::trust::notary::{Fault, Role, RootPolicy, Stated, TrustData, stated};

/// What is kept of a repository.
pub struct Facts {
    pub repository: Repository,
    /// Whether the policy registers its registry.
    pub registered: bool,
    /// Whether the policy pins its root.
    pub pinned: bool,
    pub seen: Result<Seen, StoreError>,
    pub data: Result<TrustData, Unusable>,
    /// What each role's file says of itself.
    pub files: Vec<(Role, Result<Stated, Fault>)>,
    /// When the timestamp on disk was last written or confirmed.
    pub confirmed: Option<Timestamp>,
}

/// How what is kept would serve.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    Good,
    /// A role without which nothing holds has run out.
    Expired(String),
    /// The files do not verify; they will be fetched again.
    Unusable(String),
    /// What was seen cannot be told.
    Damaged(String),
    /// Its registry is not the policy's.
    Unregistered,
}

impl State {
    /// One word, which keeps its meaning.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Expired(_) => "expired",
            Self::Unusable(_) => "unusable",
            Self::Damaged(_) => "damaged",
            Self::Unregistered => "unregistered",
        }
    }

    /// The colour of the word.
    pub fn colour(&self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Unregistered => "36",
            Self::Expired(_) | Self::Unusable(_) => "33",
            Self::Damaged(_) => "31",
        }
    }

    /// Why, where there is a reason.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Good | Self::Unregistered => None,
            Self::Expired(why) | Self::Unusable(why) | Self::Damaged(why) => Some(why),
        }
    }
}

impl Facts {
    /// Gathers them. `None` where nothing is kept, or all was forgotten.
    pub fn gather(
        store: &Store,
        repository: Repository,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let seen = look_seen(store, &repository);
        let names = store.names(&repository)?;
        let is_known = seen.as_ref().is_ok_and(|seen| seen.history().root.is_some());
        if seen.is_ok() && !is_known && names.is_empty() {
            return Ok(None);
        }
        let registry = policy.registry(repository.host());
        let root = registry.map_or_else(RootPolicy::default, |registry| registry.root.clone());
        let mut roles: Vec<_> = names.iter().filter_map(|name| Role::named(name)).collect();
        roles.sort();
        let file = |role: Role| {
            let bytes = store.read(&repository, &format!("{role}.json")).ok()??;
            let stated = stated(&role, &bytes);
            Some((role, stated))
        };
        Ok(Some(Self {
            registered: registry.is_some(),
            pinned: root.is_pinned(),
            data: stored(store, &repository, &root, now),
            files: roles.into_iter().filter_map(file).collect(),
            confirmed: store.date(&repository, "timestamp.json"),
            seen,
            repository,
        }))
    }

    /// How it would serve.
    pub fn state(&self) -> State {
        match &self.data {
            Err(Unusable::Record(_) | Unusable::Root(_)) if self.registered => {
                State::Damaged(self.damage().unwrap_or_default())
            }
            _ if !self.registered => State::Unregistered,
            Ok(_) => State::Good,
            Err(Unusable::Files(fault @ Fault::Expired { .. })) => {
                State::Expired(fault.to_string())
            }
            Err(other) => State::Unusable(other.to_string()),
        }
    }

    fn damage(&self) -> Option<String> {
        match &self.data {
            Err(Unusable::Record(error)) => Some(error.to_string()),
            Err(Unusable::Root(fault)) => Some(format!(
                "the root that was trusted cannot be used any more: {fault}; have it forgotten: \
                 countersign trust reset {}",
                self.repository
            )),
            _ => None,
        }
    }

    /// When a role's file says that it runs out.
    pub fn ends(&self, role: &Role) -> Option<Timestamp> {
        let file = self.files.iter().find(|(name, _)| name == role)?;
        Some(file.1.as_ref().ok()?.expires)
    }

    /// Until when it serves without the server, and the role that ends it.
    pub fn serves_until(&self) -> Option<(Timestamp, Role)> {
        let files = self.data.as_ref().ok()?.files();
        let base = files.filter(|(role, ..)| !matches!(role, Role::Delegation(_)));
        base.map(|(role, _, expires)| (expires, role.clone())).min()
    }
}
