//! What was gathered for a judgement.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::image::{Digest, ImageId, Repository};
use crate::request::HostAccess;
use crate::trust::Content;
use crate::trust::notary::{self, Grace, TrustData};

/// All that a judgement rests on. Gathered by `gate`, judged by
/// [`judge`](super::judge).
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What the engine holds for the image in question.
    pub held: Held,
    /// The trust data of each repository that may speak for it, or why there is none.
    pub trust: Vec<(Repository, Result<Arc<TrustData>, Gap>)>,
    /// The repositories whose trust server cannot be asked, and the grace that the policy
    /// gives to what ran out of theirs meanwhile.
    pub graces: BTreeMap<Repository, Grace>,
    /// What the registry would serve for the tag in question.
    pub served: Served,
    /// What is asked of the host, and what is known of it.
    pub host: Host,
    /// What signed digests stand for, where that was looked into.
    pub contents: BTreeMap<Digest, Look>,
    /// Whether more of them could have been looked into than were.
    pub cut_short: bool,
}

impl Evidence {
    /// The grace that what ran out of a repository's trust data has here.
    pub(super) fn grace(&self, repository: &Repository) -> Grace {
        self.graces.get(repository).copied().unwrap_or_default()
    }
}

/// What came of looking into a digest.
#[derive(Clone, Debug)]
pub enum Look {
    /// This is what it stands for.
    Into(Content),
    /// The registry has it no more.
    Nothing,
    /// It could not be had.
    Unavailable {
        /// One sentence with host and cause.
        cause: String,
        /// What to do about it, as the end of a sentence that begins "to do:".
        remedy: String,
    },
}

/// What is asked of the host, and what of the host has to be known to judge that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// All that is asked for: by the call, by the container that exists, and by its volumes.
    pub asked: Vec<HostAccess>,
    /// Where each clean path leads, links followed.
    pub leads_to: BTreeMap<String, String>,
    /// What containers and volumes that exist bind already.
    pub bound: Vec<Bound>,
    /// What is protected beside the usual folders: the engine's data, and our own.
    pub protected: Vec<String>,
    /// The engine's default OCI runtime.
    pub default_runtime: Option<String>,
    /// Why something of this could not be found out.
    pub unknown: Option<String>,
}

/// A folder or file of the host that some container or volume binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its clean path.
    pub path: String,
    /// Whether a container can write there.
    pub writable: bool,
}

/// What the engine holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Held {
    /// It was not asked, or it is not its image that decides.
    #[default]
    NotAsked,
    /// No such image.
    Absent,
    /// This image.
    Image(HeldImage),
    /// It is a container that was made of no image (`"Image": ""`).
    NoImage,
    /// It could not be asked; the text says why.
    Unknown(String),
}

/// An image that the engine holds, by what cannot be made up: IDs and digests. Names
/// are hints where to look for signatures and prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldImage {
    /// Its ID.
    pub id: ImageId,
    /// Every digest its content is known by: the ID, the descriptor's (containerd store),
    /// and those under which it was pulled or pushed.
    pub digests: Vec<Digest>,
    /// The repositories it was pulled from or pushed to.
    pub names: Vec<Repository>,
    /// The name it is asked for or was created with, for messages and as a hint.
    pub called: String,
    /// Whether its ID may be the digest of its configuration (graph drivers), not of its
    /// manifest (containerd store).
    pub id_is_config: bool,
    /// The architecture it says it is for: a hint which of an index's manifests is its own.
    pub architecture: String,
}

/// What the registry serves for a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Served {
    /// Not asked, or no answer: it cannot be known here, and what is pulled is judged
    /// again before it runs.
    #[default]
    Unknown,
    /// A manifest of this digest.
    Digest(Digest),
}

/// Why there is no trust data to judge by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The trust server has none for this repository.
    NoTrustData,
    /// The registry is not registered.
    Unregistered,
    /// It could not be had; nothing is said about the image.
    Unavailable {
        /// One sentence with host and cause.
        cause: String,
        /// What to do about it, as the end of a sentence that begins "to do:".
        remedy: String,
    },
    /// There is some, and it is not to be trusted.
    Refused(notary::Fault),
}
