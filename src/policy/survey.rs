//! What a policy amounts to at a moment: who could sign, what is open.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::build::ALLOWED_BY_DEFAULT;
use super::holder::{Bar, Holder, listed_bar};
use super::rules::Policy;
use super::scope::Mode;
use crate::image::RepositoryPattern;
use crate::request::Permission;
use crate::trust::certificate::Certificate;
use crate::trust::{KeyId, SigningKey};

/// A key of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserKeyState<'p> {
    /// Whose.
    pub user: &'p str,
    /// Which.
    pub id: KeyId,
    /// Why it does not count now, if so.
    pub bar: Option<Bar>,
    /// The last day of the certificate that lasts longest; a bare key has none.
    pub last: Option<Timestamp>,
}

/// A team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamState<'p> {
    /// Its name.
    pub name: &'p str,
    /// Whether a member must have signed.
    pub required: bool,
    /// Its members.
    pub members: &'p BTreeSet<String>,
    /// Whether one of them has a key that counts now, or could be given one by the CA of
    /// users.
    pub can_sign: bool,
}

impl Policy {
    /// All keys of all users, in order of name.
    pub fn user_keys(&self, now: Timestamp) -> impl Iterator<Item = UserKeyState<'_>> {
        self.users.iter().flat_map(move |(name, user)| {
            user.keys.iter().map(move |(id, key)| UserKeyState {
                user: name,
                id: *id,
                bar: listed_bar(user, *id, now),
                last: key.certificates.iter().map(|(_, last)| *last).max(),
            })
        })
    }

    /// All teams, in order of name.
    pub fn teams(&self, now: Timestamp) -> impl Iterator<Item = TeamState<'_>> {
        let certified = self.users_ca.iter().any(|ca| ca.is_current(now));
        let able: BTreeSet<&str> =
            self.user_keys(now).filter(|key| key.bar.is_none()).map(|key| key.user).collect();
        self.teams.iter().map(move |(name, members)| TeamState {
            name,
            required: self.demanded().any(|team| team == name),
            members,
            can_sign: members.iter().any(|member| certified || able.contains(member.as_str())),
        })
    }

    /// The users, in order of name, who are in no team.
    pub fn users_in_no_team(&self) -> impl Iterator<Item = &str> {
        let in_one = |user: &String| self.teams.values().any(|members| members.contains(user));
        self.users.keys().filter(move |user| !in_one(user)).map(String::as_str)
    }

    /// The rules for repositories of registries that are not registered: whatever they demand,
    /// nothing of such a repository can be proven.
    pub fn rules_of_nothing(&self) -> impl Iterator<Item = &RepositoryPattern> {
        let patterns = self.rules.iter().map(|rule| &rule.repository);
        patterns.filter(|pattern| self.registry(pattern.host()).is_none())
    }

    /// The teams that must have signed for some repository or other.
    fn demanded(&self) -> impl Iterator<Item = &String> {
        let own = self.rules.iter().filter_map(|rule| rule.required_teams.as_ref());
        own.flatten().chain(&self.required_teams)
    }

    /// The user who holds a key, and why it does not count now, if so.
    pub fn user_of(&self, key: &SigningKey, now: Timestamp) -> Option<(String, Option<Bar>)> {
        match self.holder(key, now) {
            Holder::User(name) => Some((name, None)),
            Holder::Barred(name, bar) => Some((name, Some(bar))),
            Holder::Unknown => None,
        }
    }

    /// The CAs whose certificates name users.
    pub fn users_authorities(&self) -> &[Certificate] {
        &self.users_ca
    }

    /// The repositories whose images may reach the host, as `[[rules]]` names them.
    pub fn host_access(&self) -> impl Iterator<Item = &RepositoryPattern> {
        self.rules
            .iter()
            .filter(|rule| rule.allow_host_access == Some(true))
            .map(|rule| &rule.repository)
    }

    /// The repositories for which `[[rules]]` says that what is refused is let pass.
    pub fn audited(&self) -> impl Iterator<Item = &RepositoryPattern> {
        self.rules.iter().filter(|rule| rule.mode == Some(Mode::Audit)).map(|rule| &rule.repository)
    }

    /// What `[api]` allows that is denied by default.
    pub fn opened(&self) -> impl Iterator<Item = Permission> {
        let closed = |one: &Permission| !ALLOWED_BY_DEFAULT.contains(one);
        self.allowed.iter().copied().filter(closed)
    }
}
