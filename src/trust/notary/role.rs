//! Roles and the names of their files.

use std::fmt;

use crate::image::Digest;

/// Longest role name (`data.IsDelegation`).
const MAX_ROLE: usize = 255;

/// A role of a Notary repository.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Names the keys of the other base roles; its own keys are the identity of the
    /// repository.
    Root,
    /// Freshness: the hash of the snapshot. Its key is on the server.
    Timestamp,
    /// Consistency: the hashes of all other files.
    Snapshot,
    /// The repository's own list of tags, and the top of the delegations.
    Targets,
    /// `targets/NAME[/NAME...]`.
    Delegation(DelegationName),
}

impl Role {
    /// The role of this name, or `None` where there can be none.
    pub fn named(name: &str) -> Option<Self> {
        let base = [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets];
        base.into_iter()
            .find(|role| role.as_str() == name)
            .or_else(|| DelegationName::new(name).map(Self::Delegation))
    }

    /// The role's name as Notary writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
            Self::Delegation(name) => name.as_str(),
        }
    }

    /// `_type` in the role's file; delegations are `Targets` too.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Root => "Root",
            Self::Timestamp => "Timestamp",
            Self::Snapshot => "Snapshot",
            Self::Targets | Self::Delegation(_) => "Targets",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a delegation: `targets/` and clean path parts of `[-a-z0-9_]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DelegationName(String);

impl DelegationName {
    /// Reads a name by Notary's rules (`data.IsDelegation`), or `None`.
    pub fn new(name: &str) -> Option<Self> {
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| {
                    byte.is_ascii_lowercase()
                        || byte.is_ascii_digit()
                        || byte == b'-'
                        || byte == b'_'
                })
        };
        let path = name.strip_prefix("targets/")?;
        (name.len() <= MAX_ROLE && path.split('/').all(part)).then(|| Self(name.to_owned()))
    }

    /// The whole name, `targets/` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `targets/releases`.
    pub fn releases() -> Self {
        Self("targets/releases".to_owned())
    }

    /// Whether it is `targets/releases`: Docker's list of what is published, which every
    /// signer signs as a whole.
    pub fn is_releases(&self) -> bool {
        self.0 == "targets/releases"
    }

    /// Whether `targets.json` itself, that is the repository's owner, declares it.
    pub fn is_top_level(&self) -> bool {
        self.0.matches('/').count() == 1
    }

    /// The name of the role that has to declare it.
    pub fn parent(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(parent, _)| parent)
    }
}

impl fmt::Display for DelegationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file of a repository as the trust server names it, below `_trust/tuf/`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum FileName {
    /// The current file of a role: `timestamp.json`.
    Current(Role),
    /// The file of a role with this SHA-256: `targets/jenkins.<hex>.json`.
    Hashed(Role, Digest),
    /// Version N of root: `3.root.json`.
    RootVersion(u64),
    /// Version N of `targets/releases`: `3.targets/releases.json`.
    ListVersion(u64),
}

impl FileName {
    /// The role whose file it is.
    pub fn role(&self) -> Role {
        match self {
            Self::Current(role) | Self::Hashed(role, _) => role.clone(),
            Self::RootVersion(_) => Role::Root,
            Self::ListVersion(_) => Role::Delegation(DelegationName::releases()),
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current(role) => write!(f, "{role}.json"),
            Self::Hashed(role, digest) => write!(f, "{role}.{}.json", digest.hex()),
            Self::RootVersion(version) => write!(f, "{version}.root.json"),
            Self::ListVersion(version) => write!(f, "{version}.targets/releases.json"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_delegations() {
        for (name, good) in [
            ("targets/releases", true),
            ("targets/a/b", true),
            ("targets/a_b-9", true),
            ("targets", false),
            ("targets/", false),
            ("targets//a", false),
            ("targets/a/", false),
            ("targets/../root", false),
            ("targets/A", false),
            ("targets/a.json", false),
            ("root/a", false),
        ] {
            assert_eq!(DelegationName::new(name).is_some(), good, "{name}");
            let role = Role::named(name).map(|role| role.to_string());
            let named = good || name == "targets";
            assert_eq!(role.as_deref(), named.then_some(name), "{name}");
        }
        assert!(DelegationName::new(&format!("targets/{}", "a".repeat(248))).is_none());
        assert_eq!(DelegationName::new("targets/a/b").unwrap().parent(), "targets/a");
    }

    #[test]
    fn files_as_the_server_names_them() {
        let role = Role::Delegation(DelegationName::new("targets/a").unwrap());
        assert_eq!(FileName::Current(Role::Root).to_string(), "root.json");
        assert_eq!(FileName::RootVersion(3).to_string(), "3.root.json");
        let hashed = FileName::Hashed(role, Digest::from_bytes([0xab; 32]));
        assert_eq!(hashed.to_string(), format!("targets/a.{}.json", "ab".repeat(32)));
    }
}
