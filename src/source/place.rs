//! One file put into its place in one step: written aside, synced, renamed, and the
//! folder synced. A reader sees the old one or the new one, whole; so does the next boot.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::{NamedTempFile, TempPath};

use super::store::StoreError;

/// How the names of files begin that were never put into their place.
const ASIDE: &str = ".tmp";
/// How often a lock that another process holds is tried.
const RETRY: Duration = Duration::from_millis(10);

/// A file that is written and not in its place yet. Gone where it never gets there.
pub struct Aside {
    file: TempPath,
    path: PathBuf,
}

impl Aside {
    /// Writes a file aside, in the folder where it belongs.
    pub(super) fn write(path: PathBuf, bytes: &[u8]) -> Result<Self, StoreError> {
        let written = || {
            let folder = folder_of(&path)?;
            create_dir(folder)?;
            let mut file = tempfile::Builder::new().prefix(ASIDE).tempfile_in(folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            Ok(NamedTempFile::into_temp_path(file))
        };
        match written() {
            Ok(file) => Ok(Self { file, path }),
            Err(error) => Err(StoreError { path, error }),
        }
    }

    /// Puts it into its place.
    pub fn put(self) -> Result<(), StoreError> {
        let Self { file, path } = self;
        let at = |error| StoreError { path: path.clone(), error };
        file.persist(&path).map_err(|error| at(error.error))?;
        folder_of(&path).and_then(File::open).and_then(|folder| folder.sync_all()).map_err(at)
    }
}

/// A file of at most `most` bytes, or `None` where there is none.
pub(super) fn read(path: PathBuf, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other,
    };
    let mut bytes = Vec::new();
    match file.and_then(|file| file.take(most).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) => Err(StoreError { path, error }),
    }
}

/// Makes a folder and those above it, for their owner alone, so that they outlive a crash.
pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    let made: Vec<_> = path.ancestors().take_while(|folder| !folder.is_dir()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for folder in made.iter().filter_map(|folder| folder.parent()) {
        // A relative path ends in an empty one, which stands for here.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Held by one process at a time. Given up when dropped, and when its process ends.
#[derive(Debug)]
pub struct Lock {
    _folder: File,
}

/// Takes the lock of a folder, waiting at most this long for another process.
pub(super) fn lock(path: &Path, patience: Duration) -> Result<Lock, StoreError> {
    let at = |error| StoreError { path: path.to_owned(), error };
    let folder = File::open(path).map_err(at)?;
    let start = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(Lock { _folder: folder }),
            Err(TryLockError::Error(error)) => return Err(at(error)),
            Err(TryLockError::WouldBlock) if start.elapsed() >= patience => {
                let what = format!("another process has held its lock for {patience:?}");
                return Err(at(io::Error::new(io::ErrorKind::WouldBlock, what)));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(RETRY),
        }
    }
}

/// Removes what was left aside in a folder, where `is_dead` says so of it.
pub(super) fn sweep(folder: &Path, is_dead: impl Fn(&fs::DirEntry) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.filter_map(Result::ok) {
        let aside = entry.file_name().to_str().is_some_and(|name| name.starts_with(ASIDE));
        if aside && entry.file_type().is_ok_and(|kind| kind.is_file()) && is_dead(&entry) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
