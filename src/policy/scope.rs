//! What counts for which repository: of each thing, what the most specific rule says that
//! says anything about it; else what the policy says of all.

use super::evidence::HeldImage;
use super::plan::called;
use super::rules::Policy;
use crate::image::{Reference, Repository, RepositoryPattern};
use crate::trust::notary::Grace;

/// What is done about what the policy refuses (`mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is allowed, and told in the log.
    Audit,
}

/// What the policy says about some repositories (`[[rules]]`).
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub repository: RepositoryPattern,
    pub required_teams: Option<Vec<String>>,
    pub mode: Option<Mode>,
    pub allow_host_access: Option<bool>,
    pub offline_grace: Option<Grace>,
}

impl Rule {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        let Self { repository: _, required_teams, mode, allow_host_access, offline_grace } = self;
        required_teams.is_none()
            && mode.is_none()
            && allow_host_access.is_none()
            && offline_grace.is_none()
    }
}

/// What is demanded of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Demand<'p> {
    /// Teams a member of each of which must have signed; any known user where there is none.
    pub teams: Vec<&'p str>,
    /// How many of them, from the first, are demanded by what vouches for the image.
    own: usize,
    /// The name it is asked for by, where that demands the others.
    asked: Option<String>,
}

impl Policy {
    /// The most specific rule for a repository.
    pub(super) fn rule_for(&self, repository: &Repository) -> Option<&Rule> {
        self.rule(repository, Some)
    }

    /// What the most specific of the rules for a repository says that say anything about it.
    pub(super) fn rule<'p, T>(
        &'p self,
        repository: &Repository,
        says: impl Fn(&'p Rule) -> Option<T>,
    ) -> Option<T> {
        let matching = self.rules.iter().filter(|rule| rule.repository.matches(repository));
        let saying = matching.filter_map(|rule| Some((rule.repository.specificity(), says(rule)?)));
        saying.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, said)| said)
    }

    /// The teams that must have signed for images of a repository.
    pub fn required_of(&self, repository: &Repository) -> &[String] {
        let own = self.rule(repository, |rule| rule.required_teams.as_deref());
        own.unwrap_or_else(|| self.required_teams())
    }

    /// What is done about what is refused of a repository.
    pub fn mode_of(&self, repository: &Repository) -> Mode {
        self.rule(repository, |rule| rule.mode).unwrap_or(self.mode)
    }

    /// Whether images that a repository proves may reach the host.
    pub(super) fn allows_host_access(&self, repository: &Repository) -> bool {
        self.rule(repository, |rule| rule.allow_host_access).unwrap_or(false)
    }

    /// What is done about what is refused, where no rule says otherwise.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether anything at all is refused. Where nothing is, no call may fail for us.
    pub fn refuses(&self) -> bool {
        let enforces = |rule: &Rule| rule.mode == Some(Mode::Enforce);
        self.enforced && (self.mode == Mode::Enforce || self.rules.iter().any(enforces))
    }

    /// Whether the policy says anything of a repository: then its name means something.
    pub(super) fn knows(&self, repository: &Repository) -> bool {
        self.registry(repository.host()).is_some()
            || self.rule_for(repository).is_some()
            || self.exceptions.iter().any(|exception| exception.names(repository))
    }

    /// What an image has to meet for `repository` to vouch for it.
    ///
    /// A name promises what the rule for it demands. So where an image is asked for by a name
    /// that the policy knows, that is demanded too, whichever repository vouches: else an
    /// image of a lax one would run under a strict one's name.
    pub(super) fn demand(&self, repository: &Repository, asked: &[&Reference]) -> Demand<'_> {
        let mut teams: Vec<&str> =
            self.required_of(repository).iter().map(String::as_str).collect();
        let own = teams.len();
        let mut by_name = None;
        for name in asked.iter().filter(|name| self.knows(&name.repository)) {
            for team in self.required_of(&name.repository).iter().map(String::as_str) {
                if !teams.contains(&team) {
                    teams.push(team);
                    by_name.get_or_insert_with(|| name.to_string());
                }
            }
        }
        Demand { teams, own, asked: by_name }
    }

    /// The repositories that an image is asked for by: the one it is called after, where the
    /// policy knows that; else all that it is known from and the policy knows.
    pub(super) fn asked_for(&self, image: &HeldImage) -> Vec<Repository> {
        let named = called(image).map(|one| one.repository).filter(|one| self.knows(one));
        match named {
            Some(named) => vec![named],
            None => image.names.iter().filter(|one| self.knows(one)).cloned().collect(),
        }
    }
}

impl<'p> Demand<'p> {
    /// The name that demands one of these teams, where what vouches does not.
    pub fn asked_with(&self, missing: &[&'p str]) -> Option<String> {
        let beyond = self.teams.get(self.own..).unwrap_or_default();
        self.asked.clone().filter(|_| missing.iter().any(|team| beyond.contains(team)))
    }
}
