//! What a file says of itself, for people who look after trust data.

use jiff::Timestamp;

use super::fault::Fault;
use super::metadata::Envelope;
use super::role::Role;
use crate::trust::KeyId;

/// What a role's file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Its version.
    pub version: u64,
    /// When it runs out.
    pub expires: Timestamp,
    /// The keys whose signatures it bears, by the IDs that stand there.
    pub key_ids: Vec<KeyId>,
}

/// What a role's file says of itself. No signature is verified, so nothing may be decided
/// by it.
pub fn stated(role: &Role, bytes: &[u8]) -> Result<Stated, Fault> {
    let file = Envelope::read(role.clone(), bytes)?;
    let header = file.header()?;
    let key_ids = file.signatures.iter().filter_map(|signature| signature.key_id).collect();
    Ok(Stated { version: header.version, expires: header.expires, key_ids })
}
