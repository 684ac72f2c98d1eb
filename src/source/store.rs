//! Trust data kept on this node: plain files, two folders a repository.
//!
//! `STATE/trust/HOST/PATH/_trust/` holds `root.json`, `timestamp.json` and so on, byte for
//! byte as they were verified; below `manifests/`, what released digests stand for; and one
//! copy of the repository's record, which is what must not be lost. The other copy stands
//! in `STATE/record/HOST/PATH/_record/`. No part of a repository's path can be called
//! `_trust` or `_record`, so folders cannot collide.
//!
//! Every file is put into its place in one step. Who reads and then writes a record holds
//! its repository's lock, so that no process undoes what another one wrote.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::node_id;
use super::place::{self, create_dir};
use crate::image::Repository;

pub use super::place::{Aside, Lock, Synced, put, sync};

/// Largest file read back, in bytes: the largest that is ever verified.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// The folder of a repository's files, below its name.
const TRUST: &str = "_trust";
/// The folder of the other copy of its record, below its name.
const RECORD: &str = "_record";
/// The record's name in both.
const RECORD_FILE: &str = "record.json";
/// What was forgotten on request, a line each.
const RESETS: &str = "resets.log";

/// The files of all repositories.
#[derive(Clone, Debug)]
pub struct Store {
    state: PathBuf,
    node: Arc<str>,
}

/// Why the store could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct StoreError {
    /// Which file or folder.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub error: io::Error,
}

impl Store {
    /// Opens the store below a state directory, making what is not there, for its owner
    /// alone. One that is there and cannot be written is no error: what it holds serves,
    /// and each attempt to write tells.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        let trust = state.join("trust");
        create_dir(&trust).map_err(|error| StoreError { path: trust, error })?;
        Ok(Self { node: node_id::open(state)?.into(), state: state.to_owned() })
    }

    /// The store below a state directory, to be read as it is: nothing is made.
    pub fn look(state: &Path) -> Result<Self, StoreError> {
        let node = node_id::look(state)?.unwrap_or_default();
        Ok(Self { node: node.into(), state: state.to_owned() })
    }

    /// The number of this node; empty where none was drawn yet.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// All repositories that have a folder, in order. None where the store is not there.
    pub fn repositories(&self) -> Result<Vec<Repository>, StoreError> {
        let mut found = below(&self.trust(), TRUST)?;
        found.extend(below(&self.state.join("record"), RECORD)?);
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The names of a repository's JSON files, `.json` left out, in order: `root`,
    /// `targets/jenkins`. None where it has no folder.
    pub fn names(&self, repository: &Repository) -> Result<Vec<String>, StoreError> {
        let top = self.folder(repository);
        let mut found = Vec::new();
        for folder in folders(&top)? {
            let at = |error| StoreError { path: folder.clone(), error };
            for entry in fs::read_dir(&folder).map_err(at)? {
                let entry = entry.map_err(at)?;
                if entry.file_type().map_err(at)?.is_dir() {
                    continue;
                }
                let path = entry.path();
                let name = path.strip_prefix(&top).ok().and_then(Path::to_str);
                let name = name.and_then(|name| name.strip_suffix(".json"));
                found.extend(name.map(ToOwned::to_owned));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The folder of all repositories' files.
    fn trust(&self) -> PathBuf {
        self.state.join("trust")
    }

    /// The folder of a repository's files.
    pub fn folder(&self, repository: &Repository) -> PathBuf {
        self.trust().join(repository.as_str()).join(TRUST)
    }

    /// The path of a repository's file.
    pub fn path(&self, repository: &Repository, name: &str) -> PathBuf {
        self.folder(repository).join(name)
    }

    /// A file of a repository, or `None` where there is none.
    pub fn read(&self, repository: &Repository, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        place::read(self.path(repository, name), MAX_FILE)
    }

    /// When a file of a repository was last written or dated. `None` where that is not known.
    pub fn date(&self, repository: &Repository, name: &str) -> Option<Timestamp> {
        let written = fs::metadata(self.path(repository, name)).ok()?.modified().ok()?;
        Timestamp::try_from(written).ok()
    }

    /// Dates a file of a repository. Not synced: a date that is lost costs a question.
    pub fn touch(
        &self,
        repository: &Repository,
        name: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let path = self.path(repository, name);
        let dated = place::open(&path).and_then(|file| file.set_modified(now.into()));
        dated.map_err(|error| StoreError { path, error })
    }

    /// Writes a file of a repository aside, to be put into its place.
    pub fn aside(
        &self,
        repository: &Repository,
        name: &str,
        bytes: &[u8],
    ) -> Result<Aside, StoreError> {
        Aside::write(self.path(repository, name), bytes)
    }

    /// Writes a file of a repository aside ahead of the others, and syncs it. Makes no folder:
    /// a repository of which nothing may ever be kept has none.
    pub fn ahead(
        &self,
        repository: &Repository,
        name: &str,
        bytes: &[u8],
    ) -> Result<Synced, StoreError> {
        Aside::write_in(&self.trust(), self.path(repository, name), bytes)?.sync()
    }

    /// Writes a file of a repository, and removes the oldest of its folder past `most`.
    pub fn write_among(
        &self,
        repository: &Repository,
        name: &str,
        bytes: &[u8],
        most: usize,
    ) -> Result<(), StoreError> {
        let path = self.path(repository, name);
        place::write(path.clone(), bytes)?;
        let folder = path.parent().unwrap_or(&self.state);
        let at = |error| StoreError { path: folder.to_owned(), error };
        // Others write there, too: what is gone by now need not be removed.
        let entries = fs::read_dir(folder).map_err(at)?.filter_map(Result::ok);
        let age =
            |entry: fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
        let mut files: Vec<_> = entries.filter_map(age).collect();
        files.sort_unstable();
        for (_, old) in files.iter().rev().skip(most) {
            remove(old).map_err(at)?;
        }
        Ok(())
    }

    /// Removes a file of a repository, if it is there.
    pub fn remove(&self, repository: &Repository, name: &str) -> Result<(), StoreError> {
        let path = self.path(repository, name);
        remove(&path).map_err(|error| StoreError { path, error })
    }

    /// Removes all of a repository's files but the copy of its record that stands apart.
    pub fn remove_all(&self, repository: &Repository) -> Result<(), StoreError> {
        let path = self.folder(repository);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError { path, error })
            }
            _ => Ok(()),
        }
    }

    /// Where the two copies of a repository's record stand: the one among its files last.
    pub fn records(&self, repository: &Repository) -> [PathBuf; 2] {
        [self.record_folder(repository).join(RECORD_FILE), self.path(repository, RECORD_FILE)]
    }

    /// A copy of a record, by its place, or `None` where there is none.
    pub fn read_record(&self, place: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        place::read(place.to_owned(), MAX_FILE)
    }

    /// Writes a copy of a record aside, to be put into its place.
    pub fn record_aside(&self, place: &Path, bytes: &[u8]) -> Result<Aside, StoreError> {
        Aside::write(place.to_owned(), bytes)
    }

    /// Writes a copy of a record, in one step.
    pub fn write_record(&self, place: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        place::write(place.to_owned(), bytes)
    }

    /// Takes a repository's lock, waiting at most this long for another process. Held while
    /// its record is read, changed and written.
    pub fn lock(&self, repository: &Repository, patience: Duration) -> Result<Lock, StoreError> {
        let path = self.record_folder(repository);
        if let Err(error) = create_dir(&path) {
            return Err(StoreError { path, error });
        }
        place::lock(&path, patience)
    }

    /// Removes what processes that were killed left aside of a repository, or ahead of any.
    pub fn sweep(&self, repository: &Repository) -> Result<(), StoreError> {
        let others = [self.record_folder(repository), self.trust()];
        for folder in folders(&self.folder(repository))?.into_iter().chain(others) {
            let swept = place::sweep(&folder);
            swept.map_err(|error| StoreError { path: folder, error })?;
        }
        Ok(())
    }

    /// Adds a line to the log of what was forgotten on request.
    pub fn log_reset(&self, line: &str) -> Result<(), StoreError> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.state.join(RESETS);
        let append = || {
            let mut log = File::options().append(true).create(true).mode(0o600).open(&path)?;
            log.write_all(format!("{line}\n").as_bytes())?;
            log.sync_all()
        };
        append().map_err(|error| StoreError { path: path.clone(), error })
    }

    /// How long that log is: it has grown when something was forgotten on request.
    pub fn resets(&self) -> u64 {
        fs::metadata(self.state.join(RESETS)).map_or(0, |log| log.len())
    }

    fn record_folder(&self, repository: &Repository) -> PathBuf {
        self.state.join("record").join(repository.as_str()).join(RECORD)
    }
}

/// The repositories that have a folder called `mark` below their name, below `top`.
fn below(top: &Path, mark: &str) -> Result<Vec<Repository>, StoreError> {
    let mut found = Vec::new();
    for folder in folders(top)? {
        if folder.file_name().is_some_and(|name| name == mark) {
            let name = folder.parent().and_then(|named| named.strip_prefix(top).ok()?.to_str());
            found.extend(name.and_then(|name| name.parse::<Repository>().ok()));
        }
    }
    Ok(found)
}

/// A folder and all below it; none where it is not there. Links are not followed: the
/// store makes none.
fn folders(top: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    let mut unread = vec![top.to_owned()];
    while let Some(folder) = unread.pop() {
        let at = |error| StoreError { path: folder.clone(), error };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(at)?,
        };
        for entry in entries {
            let entry = entry.map_err(at)?;
            if entry.file_type().map_err(at)?.is_dir() {
                unread.push(entry.path());
            }
        }
        found.push(folder);
    }
    Ok(found)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(30);

    fn write(store: &Store, repository: &Repository, name: &str, bytes: &[u8]) {
        place::write(store.path(repository, name), bytes).unwrap();
    }

    #[test]
    fn keeps_files_apart_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let outer: Repository = "h.io:5/a".parse().unwrap();
        let inner: Repository = "h.io:5/a/root.json".parse().unwrap();
        assert_eq!(store.read(&outer, "root.json").unwrap(), None);
        for (repository, text) in [(&outer, "1"), (&inner, "2"), (&outer, "3")] {
            write(&store, repository, "root.json", text.as_bytes());
            write(&store, repository, "targets/a/b.json", text.as_bytes());
        }
        assert_eq!(store.read(&outer, "root.json").unwrap().unwrap(), b"3");
        assert_eq!(store.read(&inner, "targets/a/b.json").unwrap().unwrap(), b"2");
        assert_eq!(store.names(&outer).unwrap(), ["root", "targets/a/b"]);
        let left: Vec<_> = fs::read_dir(store.folder(&outer)).unwrap().collect();
        assert_eq!(left.len(), 2, "no temporary files stay: {left:?}");
        let third: Repository = "h.io:5/b".parse().unwrap();
        store.write_record(&store.records(&third)[0], b"x").unwrap();
        let looked = Store::look(dir.path()).unwrap();
        assert_eq!(looked.repositories().unwrap(), [outer.clone(), inner, third]);
        assert_eq!(looked.node(), store.node());
        store.remove_all(&outer).unwrap();
        assert_eq!(store.names(&outer).unwrap(), [""; 0]);
    }

    #[test]
    fn looking_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::look(&dir.path().join("state")).unwrap();
        assert!(store.repositories().unwrap().is_empty());
        assert_eq!(store.resets(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let repository: Repository = "h.io/a".parse().unwrap();
        for number in 0..5 {
            store.write_among(&repository, &format!("m/{number}.json"), b"x", 3).unwrap();
            let path = store.path(&repository, &format!("m/{number}.json"));
            let age = Duration::from_secs(100 - number);
            let written =
                std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000) - age;
            File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
        }
        assert_eq!(store.names(&repository).unwrap(), ["m/2", "m/3", "m/4"]);
    }

    #[test]
    fn what_is_not_put_into_its_place_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let repository: Repository = "h.io/a".parse().unwrap();
        write(&store, &repository, "root.json", b"1");
        drop(store.aside(&repository, "root.json", b"2").unwrap());
        drop(sync(vec![store.aside(&repository, "root.json", b"3").unwrap()]));
        assert_eq!(store.read(&repository, "root.json").unwrap().unwrap(), b"1");
        assert_eq!(fs::read_dir(store.folder(&repository)).unwrap().count(), 1);
    }

    #[test]
    fn what_was_left_aside_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let repository: Repository = "h.io/a".parse().unwrap();
        write(&store, &repository, "targets/a.json", b"1");
        write(&store, &repository, "manifests/b.json", b"1");
        store.write_record(&store.records(&repository)[0], b"x").unwrap();
        let left = |name: &str| {
            let path = store.path(&repository, name);
            File::create(&path).unwrap();
            path
        };
        let own = store.records(&repository)[0].with_file_name(".tmpAAAAAA");
        File::create(&own).unwrap();
        let ahead = store.state.join("trust/.tmpAAAAAA");
        File::create(&ahead).unwrap();
        let dead = [
            left(".tmpAAAAAA"),
            left("targets/.tmpAAAAAA"),
            left("manifests/.tmpAAAAAA"),
            own,
            ahead,
        ];
        let under_way = [
            store.aside(&repository, "targets/a.json", b"2").unwrap().sync().unwrap(),
            store.ahead(&repository, "manifests/b.json", b"2").unwrap(),
        ];
        store.sweep(&repository).unwrap();
        assert!(dead.iter().all(|path| !path.exists()), "{dead:?}");
        assert_eq!(store.names(&repository).unwrap(), ["manifests/b", "targets/a"]);
        // What is being written stays, and gets to its place.
        put(under_way.into()).into_iter().collect::<Result<(), _>>().unwrap();
        for name in ["manifests/b.json", "targets/a.json"] {
            assert_eq!(store.read(&repository, name).unwrap().unwrap(), b"2", "{name}");
        }
    }

    #[test]
    fn a_lock_is_had_by_one_and_waited_for_in_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (a, b) = ("h.io/a".parse().unwrap(), "h.io/b".parse().unwrap());
        let held = store.lock(&a, SHORT).unwrap();
        assert_eq!(store.lock(&a, SHORT).unwrap_err().error.kind(), io::ErrorKind::WouldBlock);
        store.lock(&b, SHORT).unwrap();
        let waiting = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| store.lock(&a, Duration::from_secs(60)));
            drop(held);
            waiting.join().unwrap()
        });
        waiting.unwrap();
    }
}
