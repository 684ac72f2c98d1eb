//! What is refused and may go on all the same: exceptions, and the audit of a policy that is
//! being rolled out.
//!
//! The last step of a judgement, so that everything before it is done as if all were
//! enforced, and what is told is what enforcement would do.

use jiff::Timestamp;

use super::evidence::{Evidence, Held, HeldImage, Host};
use super::guard;
use super::plan::{Subject, called};
use super::reason::Reason;
use super::rules::Policy;
use super::scope::Mode;
use super::verdict::{Grant, Leave, Refusal, Verdict};
use crate::image::{ImageName, Repository, RepositoryPattern};

/// Whose rules say what is done about a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Concern {
    /// Those for all of these: what is in question is asked for by their names.
    names: Vec<Repository>,
    /// The policy as a whole, since something in question is no repository's that it knows.
    whole: bool,
}

impl Concern {
    const WHOLE: Self = Self { names: Vec::new(), whole: true };
}

/// The verdict that stands: a refusal may be excused by an exception or an audit.
#[must_use]
pub fn lenient(
    policy: &Policy,
    subject: &Subject,
    evidence: &Evidence,
    verdict: Verdict,
    now: Timestamp,
) -> Verdict {
    let Verdict::Deny(refusal) = verdict else { return verdict };
    let concern = concern(policy, subject, &evidence.held);
    match except(policy, subject, evidence, (refusal, concern.as_ref()), now) {
        Err(refusal) => {
            let concern = concern.and_then(|concern| concern.by(refusal.reason()));
            audited(policy, concern, refusal)
        }
        Ok(grant) => Verdict::Allow(grant),
    }
}

/// The same, where something was decided before anything was gathered.
#[must_use]
pub fn lenient_unseen(policy: &Policy, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Deny(refusal) => {
            // `[api]` is the policy's as a whole; the rest was not understood or looked up.
            let is_clear = matches!(refusal.reason(), Reason::NotPermitted { .. });
            audited(policy, is_clear.then_some(Concern::WHOLE), refusal)
        }
        allowed @ Verdict::Allow(_) => allowed,
    }
}

/// The rule that counts for what was judged: of what proved it, else of what it is asked for by.
pub fn rule<'p>(
    policy: &'p Policy,
    subject: &Subject,
    evidence: &Evidence,
    verdict: &Verdict,
) -> Option<&'p RepositoryPattern> {
    let proven = match verdict {
        Verdict::Allow(Grant::Proven { repository, .. }) => Some(vec![repository.clone()]),
        _ => concern(policy, subject, &evidence.held).map(|concern| concern.names),
    };
    proven?.iter().find_map(|one| policy.rule_for(one)).map(|rule| &rule.repository)
}

/// Applies the exception for it, if one is in force; else names the one that ended.
fn except(
    policy: &Policy,
    subject: &Subject,
    evidence: &Evidence,
    (refusal, concern): (Refusal, Option<&Concern>),
    now: Timestamp,
) -> Result<Grant, Refusal> {
    let reason = refusal.reason();
    let of_the_host = matches!(reason, Reason::HostAccess { .. } | Reason::HostUnknown { .. });
    if !of_the_host && !reason.is_about_signatures() {
        return Err(refusal);
    }
    // What is nobody's as well is not excepted by a name.
    let names = concern.filter(|concern| !concern.whole).map(|concern| concern.names.as_slice());
    let found = policy.applying(subject, evidence, names.unwrap_or_default(), now);
    match found.in_force.filter(|exception| !of_the_host || exception.allow_host_access) {
        None => Err(refusal.after(found.ended)),
        Some(exception) => {
            let leave = Leave::Exception(exception.clone());
            admit(policy, Grant::Excused { refusal, leave }, &evidence.host)
        }
    }
}

/// An exception for signatures is none for access to the host.
fn admit(policy: &Policy, grant: Grant, host: &Host) -> Result<Grant, Refusal> {
    guard::admit(policy, grant, host).map_err(Refusal::new)
}

/// Lets it go on where all whose rules count audit. Where nobody can tell whose do, it could be
/// any: then nothing may be enforced at all.
fn audited(policy: &Policy, concern: Option<Concern>, refusal: Refusal) -> Verdict {
    let audits = match &concern {
        None => !policy.refuses(),
        Some(Concern { names, whole }) => {
            let of = names.iter().map(|name| policy.mode_of(name));
            of.chain(whole.then_some(policy.mode())).all(|mode| mode == Mode::Audit)
        }
    };
    if !audits {
        return Verdict::Deny(refusal);
    }
    let names = concern.map(|concern| concern.names).unwrap_or_default();
    let audits = |name| policy.rule(name, |rule| rule.mode.is_some().then_some(&rule.repository));
    let rule = names.iter().find_map(audits).cloned();
    Verdict::Allow(Grant::Excused { refusal, leave: Leave::Audit { rule } })
}

/// Whose rules count for a subject. `None` where that cannot be told.
fn concern(policy: &Policy, subject: &Subject, held: &Held) -> Option<Concern> {
    let mut concern = match (subject, held) {
        (Subject::Pull(one) | Subject::Service(one) | Subject::Name(one), _)
        | (
            Subject::Create { image: ImageName::Named(one), .. },
            Held::Absent | Held::Unknown(_) | Held::NotAsked,
        ) => Concern { names: vec![one.repository.clone()], whole: false },
        (_, Held::Image(image)) => {
            let names = policy.asked_for(image);
            Concern { whole: names.is_empty() || is_misnamed(image), names }
        }
        // Neither a volume nor a container of no image is any repository's.
        (Subject::Volume, _) | (_, Held::NoImage) => Concern::WHOLE,
        _ => return None,
    };
    if let Subject::Tag { name, .. } = subject {
        concern.names.push(name.clone());
    }
    Some(concern)
}

/// Whether an image is asked for by a digest below a name that it was never known from. Some
/// engines look at the digest alone then, so that the name could be anybody's choice.
fn is_misnamed(image: &HeldImage) -> bool {
    called(image)
        .filter(|one| one.digest.is_some())
        .is_some_and(|one| !image.names.contains(&one.repository))
}

impl Concern {
    /// The same for a refusal of this reason.
    fn by(mut self, reason: &Reason) -> Option<Self> {
        match reason {
            Reason::Request(_) | Reason::NothingThere { .. } | Reason::Internal => return None,
            // What proved the image has to let it have what it asks for, too.
            Reason::HostAccess { repository: Some(proved), .. } => {
                self.names.push(proved.clone());
            }
            _ => {}
        }
        Some(self)
    }
}
