//! How long what has run out may still serve where the trust server cannot be asked.

use jiff::SignedDuration;

use super::role::Role;

/// A grace for the two roles that a server signs of its own accord, and no others: that they
/// ran out says that nobody could be asked, not that somebody took a signature back. Whether
/// there is reason for grace is the caller's to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grace {
    /// For the timestamp.
    pub timestamp: SignedDuration,
    /// For the snapshot.
    pub snapshot: SignedDuration,
}

impl Grace {
    /// None at all.
    pub const NONE: Self = Self { timestamp: SignedDuration::ZERO, snapshot: SignedDuration::ZERO };

    /// For the file of a role.
    pub(super) fn of(self, role: &Role) -> SignedDuration {
        match role {
            Role::Timestamp => self.timestamp,
            Role::Snapshot => self.snapshot,
            Role::Root | Role::Targets | Role::Delegation(_) => SignedDuration::ZERO,
        }
    }
}
