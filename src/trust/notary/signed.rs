//! Whose signatures stand on a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::Fault;
use super::key::Key;
use super::limits;
use super::metadata::{Envelope, RoleKeys};
use super::role::Role;
use crate::trust::crypto;
use crate::trust::{KeyId, SigningKey};

/// The keys of a role that really signed its file, each once however many certificates
/// or signatures it has, by canonical key ID.
pub struct Signers(BTreeMap<KeyId, SigningKey>);

impl Signers {
    /// The keys.
    pub fn into_keys(self) -> impl Iterator<Item = SigningKey> {
        self.0.into_values()
    }

    /// How many distinct keys they are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Finds which of `keys` signed `file`.
///
/// Source: `signed.VerifySignatures`. It differs where Notary is wrong: Notary counts
/// key *IDs*, so that two certificates of one private key meet a threshold of two; here
/// the private key counts, once.
///
/// Errors: no signature at all; a signature by a key whose listed ID is not its own; more
/// signatures than the budget.
pub fn signers<'k>(
    file: &Envelope<'_>,
    keys: impl Iterator<Item = &'k Arc<Key>>,
) -> Result<Signers, Fault> {
    if file.signatures.is_empty() {
        return Err(Fault::NoSignatures { role: file.role.clone() });
    }
    let keys: BTreeMap<KeyId, &Arc<Key>> = keys.map(|key| (key.listed_id, key)).collect();
    let mut signers = BTreeMap::new();
    let mut checked = 0;
    for signature in &file.signatures {
        let Some(&key) = signature.key_id.and_then(|id| keys.get(&id)) else { continue };
        if key.tuf_id != key.listed_id {
            return Err(Fault::KeyId { role: file.role.clone(), listed: key.listed_id });
        }
        let (Some(public), Some(method)) = (&key.public, signature.method) else { continue };
        // By the key itself, too: one key can be encoded in several ways.
        let known = |other: &&&Arc<Key>| other.public.as_ref() == Some(public);
        let mut same = keys.values().filter(known).map(|other| other.signing.id);
        if same.any(|id| signers.contains_key(&id)) {
            continue;
        }
        checked += 1;
        if checked > limits::SIGNATURES {
            return Err(Fault::TooMany {
                role: file.role.clone(),
                what: "signatures",
                limit: limits::SIGNATURES as u64,
            });
        }
        if crypto::verify(public, method, &file.payload, &signature.bytes) {
            // All of its certificates: whichever was signed under, the key is the same.
            let same = keys.values().filter(|other| other.signing.id == key.signing.id);
            let certificates = same.flat_map(|other| other.signing.certificates.iter().cloned());
            let certificates = certificates.collect();
            signers.insert(key.signing.id, SigningKey { id: key.signing.id, certificates });
        }
    }
    Ok(Signers(signers))
}

/// As [`signers`], and enough of them to meet the role's threshold.
pub fn threshold(file: &Envelope<'_>, role: &RoleKeys) -> Result<Signers, Fault> {
    let signers = signers(file, role.keys.iter())?;
    meets(&file.role, signers.count(), role.threshold)?;
    Ok(signers)
}

/// Whether `have` distinct keys meet a threshold of `need`.
pub fn meets(role: &Role, have: usize, need: u64) -> Result<(), Fault> {
    if have as u64 >= need {
        Ok(())
    } else {
        Err(Fault::Threshold { role: role.clone(), have, need })
    }
}
