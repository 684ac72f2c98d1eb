//! Why something is refused.

use super::verdict::Signer;
use crate::image::{Digest, ImageId, Repository};
use crate::request::{self, HostAccess, Permission};
use crate::trust::notary;

/// Why something is refused: a closed list, each with a stable code that is one word in
/// messages, logs, metrics and documentation. The text is in `message`.
#[derive(Clone, Debug)]
pub enum Reason {
    /// The image is in the trust data, but what stands under the name is another one.
    OtherImage {
        /// The name.
        reference: String,
        /// What was signed under it.
        signed: Digest,
        /// What is there instead.
        found: Found,
        /// Where.
        place: Place,
    },
    /// No trust data for the repository.
    NoTrustData {
        /// The name asked for.
        reference: String,
    },
    /// The trust data releases no such tag or digest.
    NotSigned {
        /// The name asked for.
        reference: String,
        /// Whose trust data: that of the name, or one that the engine has the image from.
        repository: Repository,
        /// Who signed the tag without its being released.
        signers: Vec<Signer>,
        /// What of the trust data could not be relied on, and why.
        left_out: Vec<String>,
    },
    /// It is released, but the people that the policy wants have not signed it.
    SignatureMissing(Box<Shortfall>),
    /// The engine's image comes from no repository that could speak for it.
    Unnamed {
        /// The image as asked for.
        reference: String,
    },
    /// The container was made of no image: what it runs came from elsewhere.
    NoImage {
        /// The container.
        container: String,
    },
    /// The registry is not registered.
    Unregistered {
        /// Its host.
        host: String,
    },
    /// The call cannot be read in one way only, or is none that is known.
    Request(request::Refusal),
    /// The operator's `[api]` section does not allow it.
    NotPermitted {
        /// What it would have to allow.
        permission: Permission,
        /// The route.
        route: &'static str,
    },
    /// It would reach the host, and so what enforces this policy.
    HostAccess {
        /// What proved the image, where an image is in question: a rule would have to name it.
        repository: Option<Repository>,
        /// Another one that proves it too, and that a rule names: under its name, it may.
        instead: Option<Repository>,
        /// Whose exception lets the image run, and not have this.
        excepted: Option<String>,
        /// All that is asked for and may not be had.
        access: Vec<HostAccess>,
    },
    /// There is trust data, and it is not to be trusted.
    TrustData {
        /// Whose.
        repository: Repository,
        /// What is wrong with it.
        fault: notary::Fault,
    },
    /// Trust data could not be had, and none is on the node.
    Unavailable {
        /// Host and cause.
        cause: String,
        /// What to do about it.
        remedy: String,
        /// The name asked for.
        reference: String,
    },
    /// Whether what was signed covers the image is not known: that could not be looked into.
    Unread {
        /// The name asked for.
        reference: String,
        /// Host and cause.
        cause: String,
        /// What to do about it.
        remedy: String,
    },
    /// The engine could not be asked what it holds.
    Engine {
        /// What went wrong.
        cause: String,
    },
    /// What it asks of the host could not be found out.
    HostUnknown {
        /// What went wrong.
        cause: String,
    },
    /// A start, or another call judged by what a container is, by name, while containers are
    /// being renamed.
    RenameUnderWay {
        /// The name.
        container: String,
    },
    /// A rename, while such a call is under way.
    StartUnderWay,
    /// The engine's own message about the call cannot be read.
    Message {
        /// What is wrong, as a sentence.
        fault: String,
    },
    /// The engine has no such container or service.
    NothingThere {
        /// What it has none of.
        what: String,
    },
    /// A fault of the plugin itself.
    Internal,
}

/// How far the signatures on a released tag fall short of the policy.
#[derive(Clone, Debug)]
pub struct Shortfall {
    /// The tag.
    pub reference: String,
    /// What is released under it.
    pub digest: Digest,
    /// The required teams of which nobody signed, with their members. Empty where any
    /// known user would do, and none signed.
    pub teams: Vec<(String, Vec<String>)>,
    /// The name the image is asked for by, where the rule for that wants more than the rule
    /// for what vouches for it.
    pub asked: Option<String>,
    /// Who did sign.
    pub signers: Vec<Signer>,
    /// What of the trust data could not be relied on, and why.
    pub left_out: Vec<String>,
}

/// An image that is not the one that was signed, by what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The digest of its manifest or index.
    Manifest(Digest),
    /// Its ID, which is the digest of its configuration: no signature names such.
    Image(ImageId),
}

/// Where another image was found than was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the engine, under the name.
    Engine,
    /// On the registry, under the tag.
    Registry,
    /// In the reference itself, as its digest.
    Reference,
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The image's: somebody has to sign.
    Image,
    /// The policy's: it would have to say something else.
    Policy,
    /// The call's: it would have to be made otherwise.
    Request,
    /// The world's: a server, the network, the engine.
    World,
    /// Ours.
    Ours,
}

impl Reason {
    /// The reason's stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherImage { .. } => "other-image",
            Self::NoTrustData { .. } => "no-trust-data",
            Self::NotSigned { .. } => "not-signed",
            Self::SignatureMissing(_) => "signature-missing",
            Self::Unnamed { .. } => "unnamed-image",
            Self::NoImage { .. } => "no-image",
            Self::Unregistered { .. } => "unregistered-registry",
            Self::Request(refusal) => refusal.code(),
            Self::NotPermitted { .. } => "not-permitted",
            Self::HostAccess { .. } => "host-access",
            Self::TrustData { fault, .. } => fault.code(),
            Self::Unavailable { .. } => "trust-data-unavailable",
            Self::Unread { .. } => "manifest-unavailable",
            Self::Engine { .. } => "engine-unavailable",
            Self::HostUnknown { .. } => "host-unknown",
            Self::RenameUnderWay { .. } => "rename-under-way",
            Self::StartUnderWay => "start-under-way",
            Self::Message { .. } => "message-malformed",
            Self::NothingThere { .. } => "nothing-there",
            Self::Internal => "internal",
        }
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::OtherImage { .. }
            | Self::NoTrustData { .. }
            | Self::NotSigned { .. }
            | Self::SignatureMissing(_)
            | Self::Unnamed { .. }
            | Self::NoImage { .. } => Blame::Image,
            Self::Unregistered { .. } | Self::NotPermitted { .. } | Self::HostAccess { .. } => {
                Blame::Policy
            }
            Self::Request(_)
            | Self::RenameUnderWay { .. }
            | Self::StartUnderWay
            | Self::Message { .. }
            | Self::NothingThere { .. } => Blame::Request,
            Self::TrustData { .. }
            | Self::Unavailable { .. }
            | Self::Unread { .. }
            | Self::Engine { .. }
            | Self::HostUnknown { .. } => Blame::World,
            Self::Internal => Blame::Ours,
        }
    }

    /// Which of several reasons to tell: the higher, the more it explains. That something
    /// could not be looked up comes before all that was concluded without it.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Internal => 10,
            Self::Engine { .. }
            | Self::HostUnknown { .. }
            | Self::Unavailable { .. }
            | Self::Unread { .. }
            | Self::TrustData { .. } => 9,
            Self::SignatureMissing(_) => 8,
            Self::OtherImage { .. } => 7,
            Self::NotSigned { .. } => 6,
            Self::Unregistered { .. } | Self::NoTrustData { .. } => 5,
            Self::Unnamed { .. } | Self::NoImage { .. } => 4,
            Self::Request(_)
            | Self::NotPermitted { .. }
            | Self::RenameUnderWay { .. }
            | Self::StartUnderWay
            | Self::Message { .. }
            | Self::HostAccess { .. }
            | Self::NothingThere { .. } => 3,
        }
    }

    /// Whether it is for the image's signatures alone that something is refused, or for want
    /// of knowing them: what an exception can lift.
    pub(super) fn is_about_signatures(&self) -> bool {
        match self {
            Self::OtherImage { .. }
            | Self::NoTrustData { .. }
            | Self::NotSigned { .. }
            | Self::SignatureMissing(_)
            | Self::Unnamed { .. }
            | Self::Unregistered { .. }
            | Self::TrustData { .. }
            | Self::Unavailable { .. }
            | Self::Unread { .. } => true,
            Self::NoImage { .. }
            | Self::Request(_)
            | Self::NotPermitted { .. }
            | Self::HostAccess { .. }
            | Self::Engine { .. }
            | Self::HostUnknown { .. }
            | Self::RenameUnderWay { .. }
            | Self::StartUnderWay
            | Self::Message { .. }
            | Self::NothingThere { .. }
            | Self::Internal => false,
        }
    }

    pub(super) fn digest(&self) -> Option<Digest> {
        match self {
            Self::SignatureMissing(short) => Some(short.digest),
            Self::OtherImage { signed, .. } => Some(*signed),
            _ => None,
        }
    }

    pub(super) fn signers(&self) -> &[Signer] {
        match self {
            Self::SignatureMissing(short) => &short.signers,
            Self::NotSigned { signers, .. } => signers,
            _ => &[],
        }
    }

    pub(super) fn missing_teams(&self) -> Vec<&str> {
        match self {
            Self::SignatureMissing(short) => {
                short.teams.iter().map(|(team, _)| team.as_str()).collect()
            }
            _ => Vec::new(),
        }
    }
}
