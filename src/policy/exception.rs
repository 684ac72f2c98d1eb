//! Exceptions: images that may run without the signatures demanded, for a while.
//!
//! One by digest is for what would run, whatever it is called. One by repository is for a
//! name: whoever can push there, and whoever could give an image such a name on the engine
//! before, may have it run. So names that exceptions are about are given to nothing else.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::binding::Identity;
use super::evidence::{Evidence, Held, Served};
use super::plan::Subject;
use super::rules::Policy;
use crate::image::{Digest, ImageName, Repository, RepositoryPattern};

/// An entry of `[[exceptions]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// What it is for.
    pub of: Excepted,
    /// Who answers for it.
    pub owner: String,
    /// What for.
    pub reason: String,
    /// The moment it ends.
    pub until: Timestamp,
    /// As the operator wrote that.
    pub written_until: String,
    /// Whether such images may reach the host.
    pub allow_host_access: bool,
}

/// What an exception is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excepted {
    /// The image of this ID or manifest digest.
    Digest(Digest),
    /// Images asked for by the name of such a repository.
    Repository(RepositoryPattern),
}

impl fmt::Display for Excepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Repository(pattern) => pattern.fmt(f),
        }
    }
}

impl Exception {
    /// Whether it is in force.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Whether it is for the names of a repository.
    pub(super) fn names(&self, repository: &Repository) -> bool {
        matches!(&self.of, Excepted::Repository(pattern) if pattern.matches(repository))
    }
}

/// The end of a day in UTC, or a moment with its time zone.
pub(super) fn end(written: &str) -> Option<Timestamp> {
    if let Ok(moment) = written.parse::<Timestamp>() {
        return Some(moment);
    }
    let is_date = written.len() == "2027-01-31".len();
    let next = written.parse::<Date>().ok().filter(|_| is_date)?.tomorrow().ok()?;
    Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The exceptions that are for a subject.
pub(super) struct Applying<'p> {
    /// One that is in force; where there are several, one that lets it reach the host.
    pub in_force: Option<&'p Exception>,
    /// The one that ended last.
    pub ended: Option<&'p Exception>,
}

impl Policy {
    /// All exceptions, those that ended among them.
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// Whether there are exceptions by digest.
    pub fn excepts_digests(&self) -> bool {
        self.exceptions.iter().any(|one| matches!(one.of, Excepted::Digest(_)))
    }

    /// Those for a subject, which is asked for by the names of these repositories.
    pub(super) fn applying(
        &self,
        subject: &Subject,
        evidence: &Evidence,
        names: &[Repository],
        now: Timestamp,
    ) -> Applying<'_> {
        let digests = digests(subject, evidence);
        let applying = |among: &dyn Fn(&Exception) -> bool| -> Vec<&Exception> {
            let among: Vec<_> = self.exceptions.iter().filter(|one| among(one)).collect();
            // Each name that counts has to be excepted, be it by exceptions of their own.
            let excepted = |name| among.iter().any(|one| one.names(name));
            let by_name = !names.is_empty() && names.iter().all(excepted);
            let applies = |exception: &&Exception| match &exception.of {
                Excepted::Digest(digest) => digests.contains(digest),
                Excepted::Repository(_) => by_name && names.iter().any(|one| exception.names(one)),
            };
            among.into_iter().filter(applies).collect()
        };
        let to_the_host = applying(&|one| one.is_in_force(now) && one.allow_host_access);
        let in_force = applying(&|one| one.is_in_force(now));
        let ended = applying(&|_| true).into_iter().filter(|one| !one.is_in_force(now));
        Applying {
            in_force: to_the_host.first().or(in_force.first()).copied(),
            ended: ended.max_by_key(|one| one.until),
        }
    }
}

/// What a subject is known by.
fn digests(subject: &Subject, evidence: &Evidence) -> Vec<Digest> {
    let reference = match (subject, &evidence.held) {
        (_, Held::Image(image)) => return evidence.covering(&Identity::held(image)),
        (Subject::Pull(one) | Subject::Service(one) | Subject::Name(one), _)
        | (Subject::Create { image: ImageName::Named(one), .. }, Held::Absent) => one,
        _ => return Vec::new(),
    };
    match (reference.digest, evidence.served) {
        (Some(digest), _) => evidence.covering(&Identity::named(digest)),
        // What comes of it is judged again before it runs.
        (None, Served::Digest(digest)) => vec![digest],
        (None, Served::Unknown) => Vec::new(),
    }
}
