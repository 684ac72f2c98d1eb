//! What was decided.

use jiff::Timestamp;

use super::exception::Exception;
use super::holder::Bar;
use super::reason::Reason;
use crate::image::{Digest, Repository, RepositoryPattern};
use crate::trust::KeyId;
use crate::trust::notary::Objection;

/// A decision on one call or one name.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It may go on.
    Allow(Grant),
    /// It may not.
    Deny(Refusal),
}

/// On what grounds something may go on.
#[derive(Clone, Debug)]
pub enum Grant {
    /// It brings and runs no image content, or the operator allows it unseen.
    NotJudged,
    /// The engine has nothing by that name or ID, and will say so itself.
    NothingThere,
    /// It is refused, and may go on all the same.
    Excused {
        /// Why it is refused.
        refusal: Refusal,
        /// Why it may go on.
        leave: Leave,
    },
    /// It was proven.
    Proven {
        /// By the trust data of this repository.
        repository: Repository,
        /// Under this tag.
        tag: String,
        /// As this digest.
        digest: Digest,
        /// By these signatures; those with a doubt did not count.
        signers: Vec<Signer>,
        /// The trust data of these repositories proves it as well, and nobody asked for it
        /// by the name of one of them.
        also: Vec<Repository>,
    },
}

/// Why something may go on that the policy refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// `mode = "audit"`.
    Audit {
        /// Of this rule; of the whole policy where there is none.
        rule: Option<RepositoryPattern>,
    },
    /// An exception.
    Exception(Exception),
    /// Somebody broke the glass.
    BreakGlass {
        /// Why, as they said.
        reason: String,
        /// Until when.
        until: Timestamp,
    },
}

/// That something may not go on, and why.
#[derive(Clone, Debug)]
pub struct Refusal {
    reason: Box<Reason>,
    /// An exception that let it go on until it ended.
    ended: Option<Box<Exception>>,
}

/// Somebody's signature on the tag in question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Who holds the key, where the policy knows.
    pub user: Option<String>,
    /// The user's teams.
    pub teams: Vec<String>,
    /// The role signed.
    pub role: String,
    /// The canonical ID of the key that signed.
    pub key_id: KeyId,
    /// Why the signature does not count, if so.
    pub doubt: Option<Doubt>,
}

/// Why a valid signature does not count towards the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It does not tell who vouches for the tag.
    Role(Objection),
    /// Its key is a known user's, and does not count.
    Key(Bar),
    /// It is on another digest than the one released.
    OtherDigest(Digest),
    /// Nobody in the policy holds the key.
    UnknownKey,
}

impl Refusal {
    /// A refusal for this reason.
    pub fn new(reason: Reason) -> Self {
        Self { reason: Box::new(reason), ended: None }
    }

    /// The same, where an exception applied until it ended.
    #[must_use]
    pub(super) fn after(self, ended: Option<&Exception>) -> Self {
        Self { ended: ended.cloned().map(Box::new), ..self }
    }

    /// The exception that let it go on until it ended, if there was one.
    pub fn ended(&self) -> Option<&Exception> {
        self.ended.as_deref()
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

impl Verdict {
    /// Whether it may go on.
    pub fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// Why the policy refuses it, whether or not it may go on all the same.
    pub fn refused(&self) -> Option<&Refusal> {
        match self {
            Self::Deny(refusal) | Self::Allow(Grant::Excused { refusal, .. }) => Some(refusal),
            Self::Allow(_) => None,
        }
    }

    /// Why it may go on although the policy refuses it.
    pub fn leave(&self) -> Option<&Leave> {
        if let Self::Allow(Grant::Excused { leave, .. }) = self { Some(leave) } else { None }
    }

    /// What enforcement would say: neither an audit nor broken glass lets anything go on.
    #[must_use]
    pub fn enforced(self) -> Self {
        match self {
            Self::Allow(Grant::Excused {
                refusal,
                leave: Leave::Audit { .. } | Leave::BreakGlass { .. },
            }) => Self::Deny(refusal),
            other => other,
        }
    }

    /// A stable word for it: `signed`, `not-judged`, `nothing-there`, `audit`, `exception`,
    /// `break-glass`, or the reason's.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Allow(Grant::NotJudged) => "not-judged",
            Self::Allow(Grant::NothingThere) => "nothing-there",
            Self::Allow(Grant::Proven { .. }) => "signed",
            Self::Allow(Grant::Excused { leave, .. }) => leave.code(),
            Self::Deny(refusal) => refusal.reason.code(),
        }
    }

    /// The digest it is about: proven, or released and not proven.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Allow(Grant::Proven { digest, .. }) => Some(*digest),
            _ => self.refused().and_then(|refusal| refusal.reason.digest()),
        }
    }

    /// The signatures it is about.
    pub fn signers(&self) -> &[Signer] {
        match self {
            Self::Allow(Grant::Proven { signers, .. }) => signers,
            _ => self.refused().map_or(&[], |refusal| refusal.reason.signers()),
        }
    }

    /// The required teams of which nobody signed.
    pub fn missing_teams(&self) -> Vec<&str> {
        self.refused().map(|refusal| refusal.reason.missing_teams()).unwrap_or_default()
    }
}

impl Leave {
    /// A stable word for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Audit { .. } => "audit",
            Self::Exception(_) => "exception",
            Self::BreakGlass { .. } => "break-glass",
        }
    }
}
