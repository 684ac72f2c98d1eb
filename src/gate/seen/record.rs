//! A repository's record as it is written: what must not be lost.
//!
//! JSON that a person can read: `{"checksum": …, "content": {…}}`. The checksum is the
//! SHA-256 of the content as it stands there, and tells damage, not forgery: whoever may
//! write the state directory may do anything.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::image::{Digest, Repository};
use crate::trust::crypto::sha256;
use crate::trust::notary::{Examined, History};

/// The form described here.
const FORMAT: u32 = 1;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    format: u32,
    /// The GUN: a record in another repository's place counts for nothing.
    pub repository: String,
    /// The node that wrote it.
    pub node: String,
    /// Grows when the repository is forgotten on request: the second of the last time.
    pub epoch: u64,
    /// Grows with each change: of two copies, the later one.
    pub serial: u64,
    /// When the first root was trusted.
    pub since: Option<Timestamp>,
    /// The highest version seen of each role.
    pub versions: BTreeMap<String, u64>,
    /// Which files were held against earlier lists.
    pub examined: BTreeMap<String, Entry>,
    /// SHA-256 of each role's file as it was verified last.
    pub files: BTreeMap<String, String>,
    /// The root file last trusted, byte for byte.
    pub root: Option<String>,
}

/// An [`Examined`] as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    payload: String,
    replay: bool,
}

/// What is wrong with a copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// It cannot be read.
    Unreadable(String),
    /// It is not what was written.
    Checksum,
    /// It is of another version of countersign.
    Format(u32),
    /// It is another repository's.
    Repository(String),
    /// It is another node's.
    Node(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            Self::Checksum => f.write_str("its content does not fit its checksum"),
            Self::Format(format) => write!(
                f,
                "it has format {format}, of another version of countersign; this one knows {FORMAT}"
            ),
            Self::Repository(other) => {
                write!(f, "it was written for {}", other.escape_debug())
            }
            Self::Node(other) => {
                write!(f, "it was written by another node ({})", other.escape_debug())
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'a> {
    checksum: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Form {
    format: u32,
}

impl Record {
    /// A record of nothing.
    pub fn new(repository: &Repository, node: &str) -> Self {
        Self {
            format: FORMAT,
            repository: repository.to_string(),
            node: node.to_owned(),
            epoch: 0,
            serial: 0,
            since: None,
            versions: BTreeMap::new(),
            examined: BTreeMap::new(),
            files: BTreeMap::new(),
            root: None,
        }
    }

    /// Reads a copy that shall be this repository's and this node's.
    pub fn read(bytes: &[u8], repository: &Repository, node: &str) -> Result<Self, Damage> {
        let unreadable = |error: serde_json::Error| Damage::Unreadable(error.to_string());
        let sealed: Sealed<'_> = serde_json::from_slice(bytes).map_err(unreadable)?;
        let content = sealed.content.get();
        if sealed.checksum != checksum(content) {
            return Err(Damage::Checksum);
        }
        let form: Form = serde_json::from_str(content).map_err(unreadable)?;
        if form.format != FORMAT {
            return Err(Damage::Format(form.format));
        }
        let record: Self = serde_json::from_str(content).map_err(unreadable)?;
        if record.repository != repository.as_str() {
            return Err(Damage::Repository(record.repository));
        }
        if record.node != node {
            return Err(Damage::Node(record.node));
        }
        Ok(record)
    }

    /// The bytes to write.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let content = serde_json::to_string_pretty(self)?;
        let checksum = checksum(&content);
        Ok(format!("{{\n\"checksum\": \"{checksum}\",\n\"content\": {content}\n}}\n").into_bytes())
    }

    /// What an update begins with.
    pub fn history(&self) -> History {
        History {
            root: self.root.clone().map(String::into_bytes),
            versions: self.versions.clone(),
            examined: self
                .examined
                .iter()
                .filter_map(|(role, entry)| Some((role.clone(), entry.read()?)))
                .collect(),
        }
    }

    /// Takes over what an update came to. Errors where the root is no text, as none is
    /// that was verified.
    pub fn set_history(&mut self, history: &History) -> Result<(), std::str::Utf8Error> {
        let root = history.root.as_deref().map(std::str::from_utf8).transpose()?;
        self.root = root.map(ToOwned::to_owned);
        self.versions.clone_from(&history.versions);
        self.examined =
            history.examined.iter().map(|(role, one)| (role.clone(), Entry::new(*one))).collect();
        Ok(())
    }

    /// Which of two copies, or of disk and memory, is the later.
    pub fn age(&self) -> (u64, u64) {
        (self.epoch, self.serial)
    }

    /// Whether a version seen here is higher than there, under the same root or a later one.
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        let root = |record: &Self| record.versions.get("root").copied();
        if root(self) != root(other) {
            return root(self) > root(other);
        }
        self.versions.iter().any(|(role, version)| other.versions.get(role) < Some(version))
    }

    /// The later of both, where neither was made from the other: two processes wrote, or
    /// writing failed. `other` counts where they contradict each other.
    pub fn merged_with(self, other: Self) -> Self {
        if self.epoch > other.epoch {
            return self;
        }
        let root = |record: &Self| record.versions.get("root").copied();
        if self.epoch < other.epoch || root(&self) < root(&other) {
            return other;
        }
        if root(&self) > root(&other) {
            return self;
        }
        let serial = self.serial.max(other.serial);
        let mut merged = Self { serial, ..other };
        // Under one root versions only grow; under another, earlier ones may not bind.
        if self.root == merged.root {
            if self.is_ahead_of(&merged) {
                merged.files = self.files;
                merged.examined = self.examined;
            }
            for (role, version) in self.versions {
                let known = merged.versions.entry(role).or_default();
                *known = version.max(*known);
            }
            merged.since = self.since.or(merged.since);
        }
        merged
    }
}

impl Entry {
    fn new(one: Examined) -> Self {
        Self { payload: Digest::from_bytes(one.payload).hex(), replay: one.replay }
    }

    pub fn read(&self) -> Option<Examined> {
        let payload = *Digest::from_hex(&self.payload).ok()?.as_bytes();
        Some(Examined { payload, replay: self.replay })
    }
}

fn checksum(content: &str) -> String {
    Digest::from_bytes(sha256(content.as_bytes())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "0123";

    fn repository() -> Repository {
        "h.io/a".parse().unwrap()
    }

    fn record(root: &str, versions: &[(&str, u64)]) -> Record {
        Record {
            root: Some(root.to_owned()),
            versions: versions.iter().map(|(role, one)| ((*role).to_owned(), *one)).collect(),
            ..Record::new(&repository(), NODE)
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut written = record("{\"signed\":\"é\n\"}", &[("root", 3)]);
        written.since = Some("2026-11-22T03:00:00Z".parse().unwrap());
        let mut history = written.history();
        history
            .examined
            .insert("targets/a".to_owned(), Examined { payload: [7; 32], replay: true });
        written.set_history(&history).unwrap();
        let bytes = written.write().unwrap();
        let read = Record::read(&bytes, &repository(), NODE).unwrap();
        assert_eq!(read, written);
        assert_eq!(read.history().examined, history.examined);
        assert_eq!(read.history().root, history.root);
    }

    #[test]
    fn every_flipped_bit_is_seen_or_changes_nothing() {
        let written = record("{}", &[("root", 3), ("targets/jenkins", 9)]);
        let bytes = written.write().unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                if let Ok(read) = Record::read(&flipped, &repository(), NODE) {
                    assert_eq!(read, written, "bit {bit} of byte {at}");
                }
            }
            let cut = Record::read(&bytes[..at], &repository(), NODE);
            assert!(cut.is_err() || at + 1 == bytes.len(), "the newline alone may be missing");
        }
    }

    #[test]
    fn what_is_not_ours_is_named() {
        let ours = record("{}", &[]);
        let read = |record: &Record| {
            Record::read(&record.write().unwrap(), &repository(), NODE).unwrap_err()
        };
        let other = Record { repository: "h.io/b".to_owned(), ..ours.clone() };
        assert_eq!(read(&other), Damage::Repository("h.io/b".to_owned()));
        assert_eq!(
            read(&Record { node: "4".to_owned(), ..ours.clone() }),
            Damage::Node("4".into())
        );
        assert_eq!(read(&Record { format: 2, ..ours }), Damage::Format(2));
    }

    #[test]
    fn two_that_went_their_own_ways_give_the_later() {
        let (old, new) = (
            record("1", &[("root", 1), ("snapshot", 9)]),
            record("2", &[("root", 2), ("snapshot", 3)]),
        );
        let merged = |disk: &Record, memory: &Record| disk.clone().merged_with(memory.clone());
        assert_eq!(merged(&old, &new).versions["snapshot"], 3, "a new root may reset it");
        assert_eq!(merged(&new, &old).versions["root"], 2, "another process went on");
        let lagging = record("1", &[("root", 1), ("snapshot", 4), ("targets", 7)]);
        for both in [merged(&lagging, &old), merged(&old, &lagging)] {
            assert_eq!((both.versions["snapshot"], both.versions["targets"]), (9, 7));
        }
        let forgotten = Record { epoch: 1, ..record("", &[]) };
        for both in [merged(&forgotten, &new), merged(&new, &forgotten)] {
            assert_eq!(both.versions.len(), 0, "what was forgotten does not come back");
        }
    }

    #[test]
    fn who_is_ahead() {
        let versions = |root, snapshot| record("1", &[("root", root), ("snapshot", snapshot)]);
        for (one, other, ahead) in [
            (versions(1, 2), versions(1, 1), true),
            (versions(1, 1), versions(1, 1), false),
            (versions(1, 1), versions(1, 2), false),
            (versions(2, 1), versions(1, 2), true),
            (versions(1, 2), versions(2, 1), false),
            (versions(1, 1), record("1", &[("root", 1)]), true),
        ] {
            assert_eq!(one.is_ahead_of(&other), ahead, "{one:?} {other:?}");
        }
    }
}
