//! Key IDs.

use std::fmt;
use std::str::FromStr;

use crate::image::{Digest, DigestError};

/// The ID of a public key: 64 hex digits.
///
/// Notary hashes a key as it is written (its *TUF key ID*) and, for people, the bare
/// public key (its *canonical key ID*), which stays the same when a certificate is
/// renewed. Proofs and policies speak of canonical IDs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Digest);

impl KeyId {
    /// The ID with these raw bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The first twelve digits: enough for a person to tell keys apart.
    pub fn short(&self) -> String {
        self.0.hex().chars().take(12).collect()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Digest::from_hex(text).map(Self)
    }
}
