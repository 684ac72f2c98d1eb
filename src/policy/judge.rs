//! Is what is demanded met?

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::assess::Assessment;
use super::binding::Identity;
use super::evidence::{Evidence, Gap, Held, HeldImage, Served};
use super::guard::{self, GuardMode};
use super::plan::{Subject, called};
use super::reason::{Found, Place, Reason};
use super::rules::Policy;
use super::verdict::{Grant, Refusal, Verdict};
use crate::image::{ImageName, Reference, Repository};
use crate::trust::notary::TrustData;

/// Judges a subject by what was gathered about it.
pub fn judge(policy: &Policy, subject: &Subject, evidence: &Evidence, now: Timestamp) -> Verdict {
    let case = Case { policy, evidence, now };
    let outcome = match subject {
        Subject::Pull(reference) => case.pull(reference),
        Subject::Name(reference) | Subject::Service(reference) => case.named(reference),
        Subject::Create { written, image } => case.create(written, image),
        Subject::Tag { written, name } => case.tag(written, name),
        Subject::Container(container) => case.container(container),
        Subject::Running(container) => match case.container(container) {
            // Whether its image is signed was judged when it started; here it only tells
            // which rule counts.
            Err(_) if policy.guard_mode() != GuardMode::Enforce => Ok(Grant::NotJudged),
            outcome => outcome,
        },
        Subject::Volume => Ok(Grant::NotJudged),
        // The gate turns them into a `Service` and a `Running`, or decides; to get here is its
        // fault.
        Subject::Rollback(_) | Subject::Exec(_) => Err(Reason::Internal),
    };
    let outcome = outcome.map_err(|reason| case.unless_unread(reason));
    match outcome.and_then(|grant| guard::admit(policy, grant, &evidence.host)) {
        Ok(grant) => Verdict::Allow(grant),
        Err(reason) => Verdict::Deny(Refusal::new(reason)),
    }
}

/// When judging the same again may first come to something else, because a file, a
/// certificate or a key begins or ends: the earliest such date from `now` on, or none. What
/// serves by grace is left out.
pub fn next_change(policy: &Policy, evidence: &Evidence, now: Timestamp) -> Option<Timestamp> {
    let data = evidence.trust.iter().filter_map(|(_, data)| data.as_ref().ok());
    let dates = data.flat_map(|data| data.dates()).chain(policy.dates());
    dates.filter(|date| *date >= now).min()
}

struct Case<'a> {
    policy: &'a Policy,
    evidence: &'a Evidence,
    now: Timestamp,
}

impl Case<'_> {
    /// A pull brings what the registry serves. Where that is known to be another image
    /// than the signed one, it is refused; where it is not known, what comes is judged
    /// before it runs.
    fn pull(&self, reference: &Reference) -> Result<Grant, Reason> {
        let grant = self.named(reference)?;
        match (&grant, self.evidence.served) {
            (Grant::Proven { digest: signed, .. }, Served::Digest(found)) if *signed != found => {
                Err(Reason::OtherImage {
                    reference: reference.to_string(),
                    signed: *signed,
                    found: Found::Manifest(found),
                    place: Place::Registry,
                })
            }
            _ => Ok(grant),
        }
    }

    /// A name, by the trust data of its repository alone.
    fn named(&self, reference: &Reference) -> Result<Grant, Reason> {
        let reference = reference.clone().or_latest();
        let found =
            self.evidence.trust.iter().find(|(repository, _)| *repository == reference.repository);
        let (repository, data) = found.ok_or(Reason::Internal)?;
        let assessment = self.assessment(repository, data, &reference.to_string(), &[])?;
        match (&reference.tag, reference.digest) {
            (_, Some(digest)) => {
                let covering = self.evidence.covering(&Identity::named(digest));
                assessment.digest(&reference, digest, &covering)
            }
            (Some(tag), None) => assessment.tag(&reference, tag),
            (None, None) => Err(Reason::Internal),
        }
    }

    /// A container to be made: of the image that the engine holds, else of the one that
    /// will have to be pulled for it.
    fn create(&self, written: &str, image: &ImageName) -> Result<Grant, Reason> {
        match (&self.evidence.held, image) {
            (Held::Image(held), _) => self.held(held, None),
            (Held::Absent, ImageName::Named(reference)) => self.named(reference),
            (Held::Absent, ImageName::Id(_)) => Ok(Grant::NothingThere),
            (Held::Unknown(cause), _) => Err(Reason::Engine { cause: cause.clone() }),
            (Held::NoImage, _) => Err(Reason::Internal),
            (Held::NotAsked, _) => Err(Reason::Unnamed { reference: written.to_owned() }),
        }
    }

    /// An image that is to get a name: by what it is, and by what that name promises.
    fn tag(&self, written: &str, name: &Repository) -> Result<Grant, Reason> {
        match &self.evidence.held {
            Held::Image(held) => self.held(held, Some(name)),
            // The engine says so, and no name moves.
            Held::Absent => Ok(Grant::NothingThere),
            Held::Unknown(cause) => Err(Reason::Engine { cause: cause.clone() }),
            Held::NoImage => Err(Reason::Internal),
            Held::NotAsked => Err(Reason::Unnamed { reference: written.to_owned() }),
        }
    }

    /// A container that exists: by the image it was made of.
    fn container(&self, container: &str) -> Result<Grant, Reason> {
        match &self.evidence.held {
            Held::Image(held) => self.held(held, None),
            // The engine would say so too; but a container of that name may turn up
            // between its looking and ours.
            Held::Absent => Err(Reason::NothingThere { what: format!("container {container}") }),
            Held::NoImage => Err(Reason::NoImage { container: container.to_owned() }),
            Held::Unknown(cause) => Err(Reason::Engine { cause: cause.clone() }),
            Held::NotAsked => Err(Reason::Internal),
        }
    }

    /// An image that the engine holds: any repository's trust data may speak for it; of
    /// several refusals the most telling is told, the first of equals.
    ///
    /// Where the repository it is asked for by proves it, that is the one that counts. Else
    /// all that prove it do, in order of name: the engine's order is nobody's choice. What the
    /// name it is asked for by demands has to be met whoever proves it, and so has what the
    /// name demands that it is to get.
    fn held(&self, image: &HeldImage, to_be: Option<&Repository>) -> Result<Grant, Reason> {
        let called = called(image);
        let covering = self.evidence.covering(&Identity::held(image));
        let reference = called.as_ref().map_or(image.called.clone(), ToString::to_string);
        let to_be =
            to_be.map(|name| Reference { repository: name.clone(), tag: None, digest: None });
        let asked: Vec<&Reference> = called.iter().chain(&to_be).collect();
        let mut proven = BTreeMap::new();
        let mut told: Option<Reason> = None;
        for (repository, data) in &self.evidence.trust {
            let outcome = self
                .assessment(repository, data, &reference, &asked)
                .and_then(|assessment| assessment.held(image, &covering, called.as_ref()));
            match outcome {
                Ok(grant) if called.as_ref().is_some_and(|one| one.repository == *repository) => {
                    return Ok(grant);
                }
                Ok(grant) => drop(proven.insert(repository, grant)),
                Err(reason) => {
                    if told.as_ref().is_none_or(|other| reason.rank() > other.rank()) {
                        told = Some(reason);
                    }
                }
            }
        }
        let Some((_, mut grant)) = proven.pop_first() else {
            return Err(told.unwrap_or(Reason::Unnamed { reference }));
        };
        if let Grant::Proven { also, .. } = &mut grant {
            also.extend(proven.into_keys().cloned());
        }
        Ok(grant)
    }

    /// Where something could not be looked into that might have covered the image, that is
    /// the reason, and not what was concluded without it.
    fn unless_unread(&self, reason: Reason) -> Reason {
        let gap = self.evidence.unavailable().or_else(|| {
            let is_open = self.evidence.cut_short && matches!(reason, Reason::NotSigned { .. });
            is_open.then_some((
                "its repository has more signed images than are looked into for one call",
                "name the tag beside the digest, as NAME:TAG@sha256:DIGEST; or try again: what \
                 was looked into is remembered",
            ))
        });
        match (&reason, gap) {
            (
                Reason::NotSigned { reference, .. } | Reason::OtherImage { reference, .. },
                Some((cause, remedy)),
            ) => Reason::Unread {
                reference: reference.clone(),
                cause: cause.to_owned(),
                remedy: remedy.to_owned(),
            },
            _ => reason,
        }
    }

    fn assessment<'a>(
        &'a self,
        repository: &Repository,
        data: &'a Result<Arc<TrustData>, Gap>,
        reference: &str,
        asked: &[&Reference],
    ) -> Result<Assessment<'a>, Reason> {
        let reference = reference.to_owned();
        match data {
            Ok(data) => match data.check_within(self.now, self.evidence.grace(repository)) {
                Ok(()) => {
                    let demand = self.policy.demand(repository, asked);
                    Ok(Assessment::new(self.policy, demand, data, self.now))
                }
                Err(fault) => Err(Reason::TrustData { repository: repository.clone(), fault }),
            },
            Err(Gap::NoTrustData) => Err(Reason::NoTrustData { reference }),
            Err(Gap::Unregistered) => {
                Err(Reason::Unregistered { host: repository.host().to_owned() })
            }
            Err(Gap::Unavailable { cause, remedy }) => {
                Err(Reason::Unavailable { cause: cause.clone(), remedy: remedy.clone(), reference })
            }
            Err(Gap::Refused(fault)) => {
                Err(Reason::TrustData { repository: repository.clone(), fault: fault.clone() })
            }
        }
    }
}
