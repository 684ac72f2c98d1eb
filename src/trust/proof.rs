//! What a verified signature shows.

use std::sync::Arc;

use jiff::Timestamp;

use super::KeyId;
use super::certificate::Certificate;
use crate::image::{Digest, Repository};

/// One fact that was verified: *this key signed that this tag of this repository is
/// this digest*.
///
/// Says nothing about people: the policy knows whose key it is. The fields are
/// readable through methods and settable by `trust` alone.
#[derive(Clone, Debug)]
pub struct Proof {
    pub(super) repository: Repository,
    pub(super) tag: String,
    pub(super) digest: Digest,
    pub(super) scheme: Scheme,
    pub(super) role: String,
    pub(super) key: SigningKey,
    pub(super) good_until: Timestamp,
}

impl Proof {
    /// The repository whose trust data says so.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag that was signed.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The manifest digest it was signed as.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The signature scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where the signature stands: for Notary v1 the role, `targets/NAME`.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The key that really signed, not one that merely might have.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// When the first of the files behind this proof expires.
    pub fn good_until(&self) -> Timestamp {
        self.good_until
    }
}

/// How a proof was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Docker Content Trust, Notary v1.
    NotaryV1,
}

/// A key that signed.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// The canonical key ID.
    pub id: KeyId,
    /// The certificates the trust data gives for the key: several where one was renewed,
    /// none for a bare key. They are signed content of the declaring role, but nobody has
    /// checked their issuers or dates.
    pub certificates: Vec<Arc<Certificate>>,
}
