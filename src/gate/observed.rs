//! What can be seen of a gate from outside: what it knows, how old that is, when it ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::Gate;
use crate::policy::{Bar, Policy};
use crate::trust::certificate::Certificate;
use crate::trust::notary::Role;

/// A gate, at one moment. Its size goes by the policy, never by what callers ask for.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Every registered registry.
    pub registries: Vec<ObservedRegistry>,
    /// When the first certificate of each kind ends that the policy names: `user`, `users_ca`,
    /// `root_ca`, `registry_ca`.
    pub certificates: BTreeMap<&'static str, Timestamp>,
    /// Decisions by trust data that had run out, by `offline_grace`.
    pub graces: u64,
}

/// A registered registry and what is known of its repositories.
#[derive(Clone, Debug, Default)]
pub struct ObservedRegistry {
    /// As in image names.
    pub host: String,
    /// Whether its trust server did not answer when it was last asked.
    pub is_away: bool,
    /// How often it failed to, by kind ([`Unavailable::kind`](crate::source::Unavailable::kind)).
    pub failures: BTreeMap<&'static str, u64>,
    /// How many of its repositories have verified trust data in memory.
    pub repositories: u64,
    /// How long ago trust data was confirmed: the newest and the oldest.
    pub age: Option<(Duration, Duration)>,
    /// When the first file of each role ends.
    pub ends: BTreeMap<&'static str, Timestamp>,
}

/// How often something failed, by kind.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<BTreeMap<&'static str, u64>>);

impl Failures {
    pub fn count(&self, kind: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gate {
    /// What can be seen of it now. Looks through all that is in memory, so not to be called
    /// where anybody is served.
    pub fn observe(&self, now: Timestamp) -> Observed {
        let all = self.repositories();
        let mut found: BTreeMap<&str, ObservedRegistry> = all
            .registries
            .iter()
            .map(|(host, registered)| {
                let observed = ObservedRegistry {
                    host: host.clone(),
                    is_away: registered.is_away(),
                    failures: registered.failures.all(),
                    ..ObservedRegistry::default()
                };
                (host.as_str(), observed)
            })
            .collect();
        for (repository, confirmed) in all.in_use.confirmations() {
            if let Some(registry) = found.get_mut(repository.host()) {
                let age = confirmed.age(now);
                let (least, most) = registry.age.unwrap_or((age, age));
                registry.age = Some((least.min(age), most.max(age)));
            }
        }
        let entries: Vec<_> = {
            let entries = all.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect()
        };
        for (repository, entry) in entries {
            let Some(registry) = found.get_mut(repository.host()) else { continue };
            let Some(kept) = entry.kept() else { continue };
            registry.repositories += 1;
            for (role, _, end) in kept.data.files() {
                earlier(&mut registry.ends, kind(role), end);
            }
        }
        Observed {
            registries: found.into_values().collect(),
            certificates: certificates(self.policy(), now),
            graces: self.graces(),
        }
    }
}

fn kind(role: &Role) -> &'static str {
    match role {
        Role::Root => "root",
        Role::Timestamp => "timestamp",
        Role::Snapshot => "snapshot",
        Role::Targets => "targets",
        Role::Delegation(_) => "delegation",
    }
}

fn certificates(policy: &Policy, now: Timestamp) -> BTreeMap<&'static str, Timestamp> {
    let mut ends = BTreeMap::new();
    for key in policy.user_keys(now) {
        // One that was revoked has no end that anybody waits for.
        let end = key.last.filter(|_| key.bar != Some(Bar::Revoked));
        if let Some(end) = end {
            earlier(&mut ends, "user", end);
        }
    }
    for ca in policy.users_authorities() {
        earlier(&mut ends, "users_ca", ca.not_after);
    }
    for registry in policy.registries() {
        for ca in &registry.root.ca {
            earlier(&mut ends, "root_ca", ca.not_after);
        }
        let bundle = registry.ca.as_deref().map(|pem| Certificate::from_pem(pem.as_bytes()));
        for ca in bundle.and_then(Result::ok).unwrap_or_default() {
            earlier(&mut ends, "registry_ca", ca.not_after);
        }
    }
    ends
}

fn earlier(ends: &mut BTreeMap<&'static str, Timestamp>, kind: &'static str, end: Timestamp) {
    let first = ends.entry(kind).or_insert(end);
    *first = end.min(*first);
}
