//! Trust data kept on this node: plain files, one folder a repository.
//!
//! `STATE/trust/HOST/PATH/_trust/` holds `root.json`, `timestamp.json` and so on, byte for
//! byte as they were verified, and `versions.json`, the highest version seen of each role;
//! below `manifests/`, what released digests stand for. No part of a repository's path can
//! be called `_trust`, so folders cannot collide.
//!
//! Every file is written aside, synced and renamed into place, so that a reader sees the
//! old one or the new one, whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::image::Repository;

/// Largest file read back, in bytes: the largest that is ever verified.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// The files of all repositories.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
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
    /// alone.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        let dir = state.join("trust");
        create_dir(&dir)?;
        Ok(Self { dir })
    }

    /// The store below a state directory, to be read as it is: nothing is made.
    pub fn look(state: &Path) -> Self {
        Self { dir: state.join("trust") }
    }

    /// All repositories that have a folder, in order. None where the store is not there.
    pub fn repositories(&self) -> Result<Vec<Repository>, StoreError> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.clone()];
        while let Some(folder) = folders.pop() {
            let at = |error| StoreError { path: folder.clone(), error };
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(at)?,
            };
            for entry in entries {
                let entry = entry.map_err(at)?;
                // Links are not followed: the store makes none.
                if !entry.file_type().map_err(at)?.is_dir() {
                    continue;
                }
                if entry.file_name() == TRUST {
                    let name = folder.strip_prefix(&self.dir).ok().and_then(Path::to_str);
                    found.extend(name.and_then(|name| name.parse().ok()));
                } else {
                    folders.push(entry.path());
                }
            }
        }
        found.sort_unstable_by(|one: &Repository, other| one.as_str().cmp(other.as_str()));
        Ok(found)
    }

    /// The names of a repository's JSON files, `.json` left out, in order: `root`,
    /// `targets/jenkins`.
    pub fn names(&self, repository: &Repository) -> Result<Vec<String>, StoreError> {
        let top = self.folder(repository);
        let mut found = Vec::new();
        let mut folders = vec![top.clone()];
        while let Some(folder) = folders.pop() {
            let at = |error| StoreError { path: folder.clone(), error };
            for entry in fs::read_dir(&folder).map_err(at)? {
                let entry = entry.map_err(at)?;
                let path = entry.path();
                if entry.file_type().map_err(at)?.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&top).ok().and_then(Path::to_str);
                    let name = name.and_then(|name| name.strip_suffix(".json"));
                    found.extend(name.map(ToOwned::to_owned));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The folder of a repository: what to remove to forget it.
    pub fn folder(&self, repository: &Repository) -> PathBuf {
        self.dir.join(repository.as_str()).join(TRUST)
    }

    /// A file of a repository, or `None` where there is none.
    pub fn read(&self, repository: &Repository, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.folder(repository).join(name);
        let at = |error| StoreError { path: path.clone(), error };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(at)?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes).map_err(at)?;
        Ok(Some(bytes))
    }

    /// Writes a file of a repository, in one step.
    pub fn write(
        &self,
        repository: &Repository,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let path = self.folder(repository).join(name);
        let parent = path.parent().unwrap_or(&self.dir);
        create_dir(parent)?;
        let at = |error| StoreError { path: path.clone(), error };
        let mut file = tempfile::NamedTempFile::new_in(parent).map_err(at)?;
        file.write_all(bytes).map_err(at)?;
        file.as_file().sync_all().map_err(at)?;
        file.persist(&path).map_err(|error| at(error.error))?;
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(at)
    }

    /// When a file of a repository was last written or dated. `None` where that is not known.
    pub fn date(&self, repository: &Repository, name: &str) -> Option<Timestamp> {
        let written = fs::metadata(self.folder(repository).join(name)).ok()?.modified().ok()?;
        Timestamp::try_from(written).ok()
    }

    /// Dates a file of a repository. Not synced: a date that is lost costs a question.
    pub fn touch(
        &self,
        repository: &Repository,
        name: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let path = self.folder(repository).join(name);
        let dated = File::open(&path).and_then(|file| file.set_modified(now.into()));
        dated.map_err(|error| StoreError { path, error })
    }

    /// Writes a file of a repository, and removes the oldest of its folder past `most`.
    pub fn write_among(
        &self,
        repository: &Repository,
        name: &str,
        bytes: &[u8],
        most: usize,
    ) -> Result<(), StoreError> {
        self.write(repository, name, bytes)?;
        let path = self.folder(repository).join(name);
        let folder = path.parent().unwrap_or(&self.dir);
        let at = |error| StoreError { path: folder.to_owned(), error };
        // Others write there, too: what is gone by now need not be removed.
        let entries = fs::read_dir(folder).map_err(at)?.filter_map(Result::ok);
        let age =
            |entry: fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
        let mut files: Vec<_> = entries.filter_map(age).collect();
        files.sort_unstable();
        for (_, old) in files.iter().rev().skip(most) {
            match fs::remove_file(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// A JSON file of a repository, or an empty value where there is none. One that cannot
    /// be read is an error: to take it for empty would forget what was seen.
    pub fn read_json<T: DeserializeOwned + Default>(
        &self,
        repository: &Repository,
        name: &str,
    ) -> Result<T, StoreError> {
        let Some(bytes) = self.read(repository, name)? else { return Ok(T::default()) };
        serde_json::from_slice(&bytes).map_err(|error| self.fault(repository, name, error.into()))
    }

    /// Writes a JSON file of a repository, unless that is what it holds.
    pub fn write_json<T: Serialize>(
        &self,
        repository: &Repository,
        name: &str,
        value: &T,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(value)
            .map_err(|error| self.fault(repository, name, error.into()))?;
        if self.read(repository, name)?.as_ref() == Some(&text) {
            return Ok(());
        }
        self.write(repository, name, &text)
    }

    fn fault(&self, repository: &Repository, name: &str, error: io::Error) -> StoreError {
        StoreError { path: self.folder(repository).join(name), error }
    }
}

/// The folder of a repository's files, below its name.
const TRUST: &str = "_trust";

fn create_dir(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| StoreError { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_files_apart_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let outer: Repository = "h.io:5/a".parse().unwrap();
        let inner: Repository = "h.io:5/a/root.json".parse().unwrap();
        assert_eq!(store.read(&outer, "root.json").unwrap(), None);
        for (repository, text) in [(&outer, "1"), (&inner, "2"), (&outer, "3")] {
            store.write(repository, "root.json", text.as_bytes()).unwrap();
            store.write(repository, "targets/a/b.json", text.as_bytes()).unwrap();
        }
        assert_eq!(store.read(&outer, "root.json").unwrap().unwrap(), b"3");
        assert_eq!(store.read(&inner, "targets/a/b.json").unwrap().unwrap(), b"2");
        assert_eq!(Store::look(dir.path()).repositories().unwrap(), [outer.clone(), inner]);
        assert_eq!(store.names(&outer).unwrap(), ["root", "targets/a/b"]);
        let left: Vec<_> = fs::read_dir(store.folder(&outer)).unwrap().collect();
        assert_eq!(left.len(), 2, "no temporary files stay: {left:?}");
    }

    #[test]
    fn looking_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Store::look(&dir.path().join("state")).repositories().unwrap().is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let repository: Repository = "h.io/a".parse().unwrap();
        for number in 0..5 {
            store.write_among(&repository, &format!("m/{number}.json"), b"x", 3).unwrap();
            let path = store.folder(&repository).join(format!("m/{number}.json"));
            let age = std::time::Duration::from_secs(100 - number);
            let written = std::time::SystemTime::UNIX_EPOCH
                + std::time::Duration::from_secs(1_000_000_000)
                - age;
            File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
        }
        assert_eq!(store.names(&repository).unwrap(), ["m/2", "m/3", "m/4"]);
    }

    #[test]
    fn damaged_json_is_not_empty() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let repository: Repository = "h.io/a".parse().unwrap();
        let read = || store.read_json::<Vec<u64>>(&repository, "x.json");
        assert!(read().unwrap().is_empty());
        store.write_json(&repository, "x.json", &[3]).unwrap();
        assert_eq!(read().unwrap(), [3]);
        store.write(&repository, "x.json", b"[3").unwrap();
        assert!(read().is_err());
    }
}
