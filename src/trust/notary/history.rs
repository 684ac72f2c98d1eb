//! What a node remembers of a repository.

use std::collections::BTreeMap;

/// What this node knows of a repository from earlier updates.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The root file last trusted.
    pub root: Option<Vec<u8>>,
    /// The highest version seen of each role, by the role's name.
    pub versions: BTreeMap<String, u64>,
    /// Which files were held against earlier lists, by the role's name.
    pub examined: BTreeMap<String, Examined>,
}

/// That a role's file was held against the `targets/releases` of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Examined {
    /// SHA-256 of the bytes signed.
    pub payload: [u8; 32],
    /// Whether they were signed as `targets/releases`.
    pub replay: bool,
}
