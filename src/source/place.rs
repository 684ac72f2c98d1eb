//! Files put into their places, each in one step: written aside, synced, renamed, and the
//! folder synced. A reader sees the old one or the new one, whole; so does the next boot.
//!
//! What is synced for several files is synced side by side: a disk takes as long for ten at
//! once as for two.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::store::StoreError;

/// How the names of files begin that were never put into their place.
const ASIDE: &str = ".tmp";
/// How often a lock that another process holds is tried.
const RETRY: Duration = Duration::from_millis(10);

/// How often a file is begun anew that was swept away while it was begun.
const BEGINNINGS: usize = 8;

/// How many are synced at a time.
const AT_ONCE: usize = 8;

/// A file that is written and not in its place yet. Gone where it never gets there.
pub struct Aside {
    file: NamedTempFile,
    path: PathBuf,
}

impl Aside {
    /// Writes a file aside, in the folder where it belongs. Not synced yet.
    pub(super) fn write(path: PathBuf, bytes: &[u8]) -> Result<Self, StoreError> {
        let made = folder_of(&path).and_then(|folder| {
            create_dir(folder)?;
            write_in(folder, bytes)
        });
        Self::of(made, path)
    }

    /// Writes a file aside in another folder of the same file system, which is there. The one
    /// where it belongs is made when it is put there.
    pub(super) fn write_in(folder: &Path, path: PathBuf, bytes: &[u8]) -> Result<Self, StoreError> {
        Self::of(write_in(folder, bytes), path)
    }

    fn of(written: io::Result<NamedTempFile>, path: PathBuf) -> Result<Self, StoreError> {
        match written {
            Ok(file) => Ok(Self { file, path }),
            Err(error) => Err(StoreError { path, error }),
        }
    }

    /// Syncs it.
    pub fn sync(self) -> Result<Synced, StoreError> {
        let done = self.file.as_file().sync_all();
        self.synced(done)
    }

    fn synced(self, done: io::Result<()>) -> Result<Synced, StoreError> {
        let Self { file, path } = self;
        match done {
            Ok(()) => Ok(Synced { file, path }),
            Err(error) => Err(StoreError { path, error }),
        }
    }
}

fn write_in(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = begin(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Begins a file aside. Its lock is held while it is open, and tells it from what a process
/// left that was killed.
fn begin(folder: &Path) -> io::Result<NamedTempFile> {
    for _ in 0..BEGINNINGS {
        let file = tempfile::Builder::new().prefix(ASIDE).tempfile_in(folder)?;
        match file.as_file().try_lock() {
            Ok(()) if file.as_file().metadata()?.nlink() > 0 => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            // Somebody who sweeps came in between, and took it for a dead one's.
            Ok(()) | Err(TryLockError::WouldBlock) => {}
        }
    }
    Err(io::Error::other("what is written there is removed again and again"))
}

/// Whole on disk, and not in its place yet. Gone where it never gets there.
pub struct Synced {
    file: NamedTempFile,
    path: PathBuf,
}

/// Syncs files that are written aside. What came of each.
pub fn sync(files: Vec<Aside>) -> Vec<Result<Synced, StoreError>> {
    let done = at_once(&files, |one| one.file.as_file().sync_all());
    files.into_iter().zip(done).map(|(file, done)| file.synced(done)).collect()
}

/// Puts files into their places. What came of each; it is there to stay where that is good.
pub fn put(files: Vec<Synced>) -> Vec<Result<(), StoreError>> {
    let rename = |Synced { file, path }: Synced| {
        let made = folder_of(&path).and_then(create_dir);
        match made.and_then(|()| file.persist(&path).map_err(|error| error.error)) {
            Ok(_) => Ok(path),
            Err(error) => Err(StoreError { path, error }),
        }
    };
    let renamed: Vec<_> = files.into_iter().map(rename).collect();
    let folders = renamed.iter().flatten().filter_map(|path| path.parent());
    let folders: Vec<_> = folders.collect::<BTreeSet<_>>().into_iter().collect();
    let synced = at_once(&folders, |folder| File::open(folder)?.sync_all());
    let failed: BTreeMap<PathBuf, io::Error> = folders
        .into_iter()
        .map(Path::to_owned)
        .zip(synced)
        .filter_map(|(folder, done)| Some((folder, done.err()?)))
        .collect();
    let stays = |path: PathBuf| match path.parent().and_then(|folder| failed.get(folder)) {
        None => Ok(()),
        Some(error) => Err(StoreError { error: copy(error), path }),
    };
    renamed.into_iter().map(|one| one.and_then(stays)).collect()
}

/// Writes one file, in one step.
pub(super) fn write(path: PathBuf, bytes: &[u8]) -> Result<(), StoreError> {
    let files = vec![Aside::write(path, bytes)?];
    let synced = sync(files).into_iter().collect::<Result<_, _>>()?;
    put(synced).into_iter().collect()
}

/// The same error for another file.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Does the same with all of them, a few at a time, each in a thread of its own. In their order.
fn at_once<T: Sync, R: Send>(all: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let each = &each;
    let few = |few: &[T]| -> Vec<R> {
        thread::scope(|scope| {
            let (first, others) =
                few.split_first().map_or((None, few), |(one, all)| (Some(one), all));
            let start = |one| {
                thread::Builder::new().spawn_scoped(scope, move || each(one)).map_err(|_| one)
            };
            let others: Vec<_> = others.iter().map(start).collect();
            let first = first.map(each);
            let end = |started: Result<thread::ScopedJoinHandle<'_, R>, _>| match started {
                Ok(thread) => {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                }
                // The system has no thread to spare.
                Err(one) => each(one),
            };
            first.into_iter().chain(others.into_iter().map(end)).collect()
        })
    };
    all.chunks(AT_ONCE).flat_map(few).collect()
}

/// Opens a plain file to be read. Looked at before it is opened: a pipe in its place would
/// be waited for without end.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is no plain file"))
    }
}

/// A file of at most `most` bytes, or `None` where there is none.
pub(super) fn read(path: PathBuf, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other,
    };
    let read = |file: File| {
        // In one piece; a file that says it is larger than it may be is read to there.
        let length = file.metadata()?.len().min(most);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1));
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match file.and_then(read) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => Err(StoreError { path, error }),
    }
}

/// Makes a folder and those above it, for their owner alone, so that they outlive a crash.
pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let made: Vec<_> = path.ancestors().take_while(|folder| !folder.is_dir()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let above: Vec<_> = made.iter().filter_map(|folder| folder.parent()).collect();
    let sync = |folder: &&Path| {
        // A relative path ends in an empty one, which stands for here.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()
    };
    at_once(&above, sync).into_iter().collect()
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

/// Removes what was left aside in a folder by processes that are no more.
pub(super) fn sweep(folder: &Path) -> io::Result<()> {
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    for entry in fs::read_dir(folder)?.filter_map(Result::ok) {
        let aside = entry.file_name().to_str().is_some_and(|name| name.starts_with(ASIDE));
        if !aside || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let swept = match File::open(entry.path()) {
            Ok(file) => match file.try_lock() {
                Ok(()) => fs::remove_file(entry.path()),
                // It is being written.
                Err(TryLockError::WouldBlock) => Ok(()),
                Err(TryLockError::Error(error)) => Err(error),
            },
            Err(error) => Err(error),
        };
        match swept {
            Err(error) if !is_gone(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
