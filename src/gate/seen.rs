//! What is remembered of a repository on disk: reading it, and writing it in an order that
//! a crash cannot turn against us.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::image::{Digest, Repository};
use crate::source::{Store, StoreError};
use crate::trust::notary::{Examined, History};

const ROOT: &str = "root.json";
/// The highest version seen of each role.
const VERSIONS: &str = "versions.json";
/// Which files were held against earlier lists.
const EXAMINED: &str = "examined.json";

/// An [`Examined`] as it is written.
#[derive(Serialize, Deserialize, PartialEq)]
struct Entry {
    payload: String,
    replay: bool,
}

/// What is remembered: on disk, and in memory where this process has seen more than it
/// could write.
pub fn load(
    store: &Store,
    repository: &Repository,
    memory: Option<&Arc<History>>,
) -> Result<History, StoreError> {
    let entries: BTreeMap<String, Entry> = store.read_json(repository, EXAMINED)?;
    let disk = History {
        root: store.read(repository, ROOT)?,
        versions: store.read_json(repository, VERSIONS)?,
        examined: entries
            .into_iter()
            .filter_map(|(role, entry)| Some((role, read(&entry)?)))
            .collect(),
    };
    Ok(match memory {
        Some(memory) => merge(disk, memory),
        None => disk,
    })
}

/// Writes the files that changed. The root first: files that the root on disk did not
/// vouch for must not outlive a crash. The versions last: they may lag behind the files,
/// never lead them.
pub(super) fn save(
    store: &Store,
    repository: &Repository,
    files: &BTreeMap<String, Vec<u8>>,
    history: &History,
) -> Result<(), StoreError> {
    let (root, others): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| *name == ROOT);
    for (name, bytes) in root.iter().chain(&others) {
        if store.read(repository, name)?.as_ref() != Some(*bytes) {
            store.write(repository, name, bytes)?;
        }
    }
    let entries: BTreeMap<_, _> = history
        .examined
        .iter()
        .map(|(role, one)| {
            let payload = Digest::from_bytes(one.payload).hex();
            (role.clone(), Entry { payload, replay: one.replay })
        })
        .collect();
    store.write_json(repository, EXAMINED, &entries)?;
    store.write_json(repository, VERSIONS, &history.versions)
}

/// The later of both: another process may have written since, or writing may have failed.
fn merge(disk: History, memory: &Arc<History>) -> History {
    let root = |history: &History| history.versions.get("root").copied();
    if root(&disk) > root(memory) {
        return disk;
    }
    let mut merged = History::clone(memory);
    // Under one root versions only grow; under another, earlier ones may not bind.
    if disk.root == merged.root {
        for (role, version) in disk.versions {
            let known = merged.versions.entry(role).or_default();
            *known = version.max(*known);
        }
    }
    merged
}

fn read(entry: &Entry) -> Option<Examined> {
    let payload = *Digest::from_hex(&entry.payload).ok()?.as_bytes();
    Some(Examined { payload, replay: entry.replay })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_disk_give_the_later() {
        let history = |root: &[u8], versions: &[(&str, u64)]| History {
            root: Some(root.to_vec()),
            versions: versions
                .iter()
                .map(|(role, version)| ((*role).to_owned(), *version))
                .collect(),
            examined: BTreeMap::new(),
        };
        let merged = |disk, memory| merge(disk, &Arc::new(memory)).versions;
        let (old, new) = (
            history(b"1", &[("root", 1), ("snapshot", 9)]),
            history(b"2", &[("root", 2), ("snapshot", 3)]),
        );
        assert_eq!(merged(old.clone(), new.clone())["snapshot"], 3, "a new root may reset it");
        assert_eq!(merged(new, old.clone())["root"], 2, "another process went on");
        let lagging = history(b"1", &[("root", 1), ("snapshot", 4), ("targets", 7)]);
        let both = merged(lagging, old);
        assert_eq!((both["snapshot"], both["targets"]), (9, 7));
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let repository: Repository = "h.io/a".parse().unwrap();
        let files = BTreeMap::from([(ROOT.to_owned(), b"r".to_vec())]);
        let history = History {
            root: Some(b"r".to_vec()),
            versions: BTreeMap::from([("root".to_owned(), 3)]),
            examined: BTreeMap::from([(
                "targets/a".to_owned(),
                Examined { payload: [7; 32], replay: true },
            )]),
        };
        save(&store, &repository, &files, &history).unwrap();
        let loaded = load(&store, &repository, None).unwrap();
        assert_eq!(loaded.root, history.root);
        assert_eq!(loaded.versions, history.versions);
        assert_eq!(loaded.examined, history.examined);
        store.write(&repository, VERSIONS, b"{").unwrap();
        assert!(load(&store, &repository, None).is_err());
    }
}
