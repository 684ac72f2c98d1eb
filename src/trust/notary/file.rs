//! A verified file of tags, and when it need not be verified again.

use std::sync::Arc;

use super::metadata::{Delegation, FileMeta, Header, RoleKeys};
use super::role::Role;
use super::tags::Tags;
use crate::trust::SigningKey;

/// What the verified bytes of a targets or delegation file say, whatever stands around
/// them: where the role is declared, when it is asked, what was seen before.
#[derive(Debug)]
pub struct RoleFile {
    pub role: Role,
    /// What its bytes were to be, and were.
    pub meta: FileMeta,
    /// How many bytes it has.
    pub length: u64,
    /// The keys by which it was verified, and how many of them had to sign.
    pub keys: RoleKeys,
    pub header: Header,
    /// The keys that really signed it.
    pub signers: Vec<SigningKey>,
    /// SHA-256 of the bytes they signed.
    pub payload: [u8; 32],
    pub tags: Arc<Tags>,
    /// The delegations it declares, in its order.
    pub delegations: Vec<Delegation>,
}

impl RoleFile {
    /// Whether reading and verifying a file that has to be `meta`, by `keys`, would come to
    /// this: the bytes are the same by every hash asked for, and so are the keys.
    ///
    /// The rest is to be checked again each time: its version against those seen, its
    /// expiry, and the paths it may speak of.
    pub fn would_be(&self, meta: &FileMeta, keys: &RoleKeys) -> bool {
        self.meta.answers(meta) && self.length <= meta.length && self.keys.is_same(keys)
    }

    /// Bytes of memory that it takes, its tags left out.
    pub fn weight(&self) -> usize {
        let keys = self.delegations.iter().map(|one| one.keys.keys.len()).sum::<usize>();
        let own = size_of::<Self>() + self.signers.len() * size_of::<SigningKey>();
        own + self.delegations.len() * size_of::<Delegation>() + keys * super::key::WEIGHT
    }
}
