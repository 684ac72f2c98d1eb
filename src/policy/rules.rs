//! The policy in force: the document, checked.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::document::OnViolation;
use super::exception::Exception;
use super::freshness::Freshness;
use super::guard::GuardMode;
use super::scope::{Mode, Rule};
use crate::image::Repository;
use crate::request::Permission;
use crate::trust::KeyId;
use crate::trust::certificate::Certificate;
use crate::trust::notary::RootPolicy;

/// What an operator demands. Built by [`Policy::from_toml`] alone, so that one in hand
/// can be applied.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) enforced: bool,
    pub(super) mode: Mode,
    pub(super) required_teams: Vec<String>,
    pub(super) registries: Vec<Registry>,
    pub(super) teams: BTreeMap<String, BTreeSet<String>>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) users_ca: Vec<Certificate>,
    pub(super) count_nested: bool,
    pub(super) on_violation: OnViolation,
    pub(super) allowed: BTreeSet<Permission>,
    pub(super) guard_mode: GuardMode,
    pub(super) rules: Vec<Rule>,
    pub(super) exceptions: Vec<Exception>,
    pub(super) fingerprint: String,
    pub(super) freshness: Freshness,
}

/// A registered registry.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Host and, unless 443, port, in lower case: as it stands in image references.
    pub host: String,
    /// The CA of its TLS certificates as PEM, where one is registered.
    pub ca: Option<String>,
    /// The base URL of its Notary server, where it is not `https://host`.
    pub trust_server: Option<String>,
    /// The HTTP proxy that leads to both.
    pub proxy: Proxy,
    /// The text of a docker `config.json` with credentials for it.
    pub docker_config: Option<DockerConfig>,
    /// What makes a root of one of its repositories one to trust.
    pub root: RootPolicy,
}

/// How the servers of a registry are reached.
#[derive(Clone)]
pub enum Proxy {
    /// As `HTTPS_PROXY` and `NO_PROXY` say.
    Environment,
    /// Without a proxy.
    None,
    /// Through this one. The URL may hold a password, and is not to be printed.
    Url(String),
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::None => "None",
            Self::Url(_) => "Url(..)",
        })
    }
}

/// A docker `config.json`: secrets, which are not to be printed.
#[derive(Clone)]
pub struct DockerConfig(pub String);

impl std::fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DockerConfig(..)")
    }
}

/// A user of the policy.
#[derive(Clone, Debug, Default)]
pub(super) struct User {
    /// The user's keys, by canonical ID.
    pub keys: BTreeMap<KeyId, UserKey>,
    /// IDs of keys that count no more.
    pub revoked: BTreeSet<KeyId>,
}

/// A key of a user, with the dates of every certificate it came in. A bare public key
/// has none and is good for ever.
#[derive(Clone, Debug, Default)]
pub(super) struct UserKey {
    pub certificates: Vec<(Timestamp, Timestamp)>,
}

impl Policy {
    /// Whether anything is enforced at all (`require_content_trust`).
    pub fn is_enforced(&self) -> bool {
        self.enforced
    }

    /// All registered registries.
    pub fn registries(&self) -> &[Registry] {
        &self.registries
    }

    /// The registry registered for a host, as it stands in references.
    pub fn registry(&self, host: &str) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.host == host)
    }

    /// How many users it knows by key.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// The teams that must have signed, where no rule says otherwise.
    pub fn required_teams(&self) -> &[String] {
        &self.required_teams
    }

    /// What is done about containers that run and could not be started today.
    pub fn on_violation(&self) -> OnViolation {
        self.on_violation
    }

    pub(super) fn allows(&self, permission: Permission) -> bool {
        self.allowed.contains(&permission)
    }

    /// What tells this policy from others: the beginning of a hash of the file and of all that
    /// it names.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether a name of this repository may stand for signed images alone: where the policy
    /// says anything of it, and unless calls are allowed that give names unseen.
    pub(super) fn guards_name(&self, repository: &Repository) -> bool {
        use Permission::{Build, Commit, Import, Load};
        let free = [Build, Commit, Import, Load].into_iter().any(|one| self.allows(one));
        !free && self.knows(repository)
    }

    /// The teams of a user, in order of name.
    pub(super) fn teams_of(&self, user: &str) -> Vec<String> {
        let of = |(team, members): (&String, &BTreeSet<String>)| {
            members.contains(user).then(|| team.clone())
        };
        self.teams.iter().filter_map(of).collect()
    }

    pub(super) fn members(&self, team: &str) -> impl Iterator<Item = &str> {
        self.teams.get(team).into_iter().flatten().map(String::as_str)
    }
}
