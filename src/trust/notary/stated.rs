//! What a file says of itself, for people who look after trust data.

use jiff::Timestamp;

use super::fault::Fault;
use super::metadata::Envelope;
use super::role::Role;

/// When a role's file says that it runs out. No signature is verified, so nothing may be
/// decided by it.
pub fn stated_expiry(role: &Role, bytes: &[u8]) -> Result<Timestamp, Fault> {
    Ok(Envelope::read(role.clone(), bytes)?.header()?.expires)
}
