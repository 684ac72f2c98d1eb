//! What can be wrong with trust data.

use jiff::Timestamp;

use super::role::Role;
use crate::trust::KeyId;

/// Why trust data was refused. Flat and precise: each variant is one rule of the
/// verification, with what and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A role's file ran out.
    #[error("{role} expired at {at}")]
    Expired {
        /// Whose file.
        role: Role,
        /// When.
        at: Timestamp,
    },
    /// First contact with a repository that has no pin, where the policy wants one.
    #[error("its root is not pinned and trust on first use is switched off")]
    FirstUse,
    /// A file is not the one its parent names.
    #[error("{role} is not the file that {parent} names (hash or length differ)")]
    Hash {
        /// Whose file.
        role: Role,
        /// Who names it.
        parent: Role,
    },
    /// A key is listed under an ID that is not its own.
    #[error("{role} lists a key under the ID {listed}, which is not the key's own")]
    KeyId {
        /// Whose key.
        role: Role,
        /// The ID it is listed under.
        listed: KeyId,
    },
    /// Not JSON, or not what the format says.
    #[error("{role} is malformed: {what}")]
    Malformed {
        /// Whose file.
        role: Role,
        /// What is wrong with it.
        what: String,
    },
    /// The server has no file that has to be there.
    #[error("the trust server has no {file}, which {parent} names")]
    Missing {
        /// The file's name.
        file: String,
        /// Who names it.
        parent: Role,
    },
    /// A file without a single signature.
    #[error("{role} has no signatures")]
    NoSignatures {
        /// Whose file.
        role: Role,
    },
    /// A file older than one already seen.
    #[error("{role} went back to version {offered}; version {seen} was seen before")]
    Rollback {
        /// Whose file.
        role: Role,
        /// The version offered.
        offered: u64,
        /// The highest version seen.
        seen: u64,
    },
    /// No certificate among the root's keys is for this repository.
    #[error("none of its root certificates is a valid one for {gun}")]
    RootName {
        /// The repository's name.
        gun: String,
    },
    /// The root is not one that the policy pins.
    #[error("its root key is none that the policy pins for it")]
    RootPin,
    /// A new root that the known one did not sign.
    #[error(
        "root version {offered} is not signed by the keys of the root known here (version {known})"
    )]
    RootRotation {
        /// The version known.
        known: u64,
        /// The version offered.
        offered: u64,
    },
    /// Too few valid signatures by the role's keys.
    #[error("valid signatures of {role} do not meet its threshold ({have} of {need})")]
    Threshold {
        /// Whose file.
        role: Role,
        /// How many distinct keys of the role signed.
        have: usize,
        /// How many have to.
        need: u64,
    },
    /// More of something than any honest repository has.
    #[error("{role} has more than {limit} {what}")]
    TooMany {
        /// Whose file.
        role: Role,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A key of a role is too weak to count.
    #[error("a key of {role} cannot be relied on: {why}")]
    WeakKey {
        /// Whose key.
        role: Role,
        /// Why.
        why: &'static str,
    },
}

impl Fault {
    /// [`Fault::Malformed`], with as much of `what` as a message can hold: it may quote
    /// text of the server's choosing.
    pub(super) fn malformed(role: &Role, what: &str) -> Self {
        const MOST: usize = 300;
        let what = match what.char_indices().nth(MOST) {
            Some((end, _)) => format!("{}…", what.get(..end).unwrap_or_default()),
            None => what.to_owned(),
        };
        Self::Malformed { role: role.clone(), what }
    }

    /// A stable word for logs, metrics and documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "trust-data-expired",
            Self::FirstUse => "root-not-pinned",
            Self::RootPin => "root-pin-mismatch",
            Self::RootName { .. } => "root-for-another-name",
            Self::RootRotation { .. } => "root-replaced",
            Self::Rollback { .. } => "trust-data-rollback",
            Self::Hash { .. }
            | Self::KeyId { .. }
            | Self::Malformed { .. }
            | Self::Missing { .. }
            | Self::NoSignatures { .. }
            | Self::Threshold { .. }
            | Self::TooMany { .. }
            | Self::WeakKey { .. } => "trust-data-invalid",
        }
    }

    /// Whether it is what an attack looks like, rather than neglect or an accident.
    pub fn is_attack_like(&self) -> bool {
        !matches!(self, Self::Expired { .. } | Self::FirstUse | Self::Missing { .. })
    }
}
