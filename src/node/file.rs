//! A file as it was found, replaced in one step.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Largest file that is edited, in bytes. People write these by hand.
const MAX: u64 = 4 * 1024 * 1024;
/// The mode of a file that was not there.
const NEW: u32 = 0o644;
/// What the name of a backup ends with.
const BACKUP: &str = ".before-countersign";

/// What went wrong with which file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// It is larger than what people write.
    #[error("{} is larger than {MAX} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// Its bytes are no text.
    #[error("{} is not UTF-8 text", path.display())]
    NotText {
        /// Which file.
        path: PathBuf,
    },
    /// Somebody else wrote it meanwhile.
    #[error("{} was changed by somebody else meanwhile; begin again", path.display())]
    Changed {
        /// Which file.
        path: PathBuf,
    },
}

impl FileError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { path: path.to_owned(), error }
    }
}

/// A file as it was found; one that is not there counts as empty.
#[derive(Debug)]
pub struct Found {
    path: PathBuf,
    text: Option<String>,
}

impl Found {
    /// Reads a file. Where the path is a link, the file it leads to is meant.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(FileError::at(path)(error)),
        };
        let text = read(&path)?;
        Ok(Self { path, text })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text; empty where it was not there.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Whether it was there.
    pub fn exists(&self) -> bool {
        self.text.is_some()
    }

    /// Puts another text in its place, in one step, and keeps owner and mode. Refused where
    /// the file is no longer what was found.
    pub fn replace(&self, text: &str) -> Result<(), FileError> {
        if read(&self.path)? != self.text {
            return Err(FileError::Changed { path: self.path.clone() });
        }
        self.put(text)
    }

    /// Keeps what was found beside it. Where; `None` where there was nothing.
    pub fn back_up(&self) -> Result<Option<PathBuf>, FileError> {
        let Some(text) = &self.text else { return Ok(None) };
        let mut name = self.path.as_os_str().to_owned();
        name.push(BACKUP);
        let backup = PathBuf::from(name);
        place(&backup, text, fs::metadata(&self.path).ok())?;
        Ok(Some(backup))
    }

    /// Puts back what was found, in the place of what was written; a file that was not there
    /// is removed. Refused where somebody else wrote it since.
    pub fn put_back(&self, written: &str) -> Result<(), FileError> {
        if read(&self.path)?.as_deref() != Some(written) {
            return Err(FileError::Changed { path: self.path.clone() });
        }
        match &self.text {
            Some(text) => self.put(text),
            None => remove(&self.path),
        }
    }

    fn put(&self, text: &str) -> Result<(), FileError> {
        place(&self.path, text, fs::metadata(&self.path).ok())
    }
}

/// Writes a file that must not be there yet, with the folders above it.
pub(super) fn create(path: &Path, text: &str) -> Result<(), FileError> {
    let at = FileError::at;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(at(folder))?;
    let file = written(folder, text, NEW).map_err(at(path))?;
    file.persist_noclobber(path).map_err(|error| at(path)(error.error))?;
    sync(folder)
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => sync(path.parent().unwrap_or(Path::new("."))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::at(path)(error)),
    }
}

/// Reads a text file of people's; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::at(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX + 1).read_to_end(&mut bytes).map_err(FileError::at(path))?;
    if bytes.len() as u64 > MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| FileError::NotText { path: path.to_owned() })
}

/// Writes a file aside and renames it, like the one whose place it takes.
fn place(path: &Path, text: &str, like: Option<fs::Metadata>) -> Result<(), FileError> {
    let at = FileError::at;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(at(folder))?;
    let mode = like.as_ref().map_or(NEW, |like| like.mode() & 0o7777);
    let file = written(folder, text, mode).map_err(at(path))?;
    if let Some(like) = like {
        let own = file.as_file().metadata().map_err(at(path))?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            fchown(file.as_file(), Some(like.uid()), Some(like.gid())).map_err(at(path))?;
        }
    }
    file.persist(path).map_err(|error| at(path)(error.error))?;
    sync(folder)
}

fn written(folder: &Path, text: &str, mode: u32) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn sync(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::at(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_puts_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/d.json");
        let absent = Found::read(&path).unwrap();
        assert!(!absent.exists() && absent.back_up().unwrap().is_none());
        absent.replace("1").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, NEW);

        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let one = Found::read(&path).unwrap();
        let backup = one.back_up().unwrap().unwrap();
        one.replace("2").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2");
        assert_eq!(fs::read_to_string(&backup).unwrap(), "1");
        for file in [&path, &backup] {
            assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o640);
        }
        let stale = one.replace("3").unwrap_err();
        assert!(matches!(stale, FileError::Changed { .. }), "{stale}");
        assert!(one.put_back("3").is_err(), "somebody else's stays");
        one.put_back("2").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
        absent.put_back("1").unwrap();
        assert!(!path.exists());
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "the backup alone");
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "1").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        Found::read(&link).unwrap().replace("2").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "2");
    }

    #[test]
    fn what_is_no_text_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, b"\xff").unwrap();
        assert!(matches!(Found::read(&path), Err(FileError::NotText { .. })));
        fs::write(&path, vec![b'x'; usize::try_from(MAX).unwrap() + 1]).unwrap();
        assert!(matches!(Found::read(&path), Err(FileError::TooLarge { .. })));
        assert!(matches!(Found::read(dir.path()), Err(FileError::Io { .. })));
        assert!(create(&path, "x").is_err(), "it is there already");
    }
}
