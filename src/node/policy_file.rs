//! The policy that is being edited, and the certificates that come with an edit.

use std::io;
use std::path::{Path, PathBuf};

use super::file::{self, FileError, Found};
use crate::edit::{Draft, EditError};
use crate::policy::{ConfigError, Policy};

/// A file that a new policy names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Where, relative to the policy.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// Why a policy was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is none.
    #[error("there is no policy {}; countersign registry add begins one", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The edit cannot be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The policy as it stands does not load.
    #[error("{}:{}:{}: {}", path.display(), error.line, error.column, error.what)]
    Before {
        /// The policy.
        path: PathBuf,
        /// What is wrong with it.
        error: ConfigError,
    },
    /// The policy would not load any more.
    #[error("the policy would not load any more, so it stays as it is: line {} would say: {}", error.line, error.what)]
    After {
        /// What would be wrong with it.
        error: ConfigError,
    },
}

/// A policy file, and what shall become of it.
pub struct PolicyFile {
    found: Found,
    /// What it says, being changed.
    pub draft: Draft,
    files: Vec<NewFile>,
}

impl PolicyFile {
    /// Opens a policy that is there.
    pub fn open(path: &Path) -> Result<Self, PolicyFileError> {
        let found = Found::read(path)?;
        if !found.exists() {
            return Err(PolicyFileError::Absent { path: path.to_owned() });
        }
        Self::of(found)
    }

    /// Opens a policy, or begins one.
    pub fn open_or_begin(path: &Path) -> Result<Self, PolicyFileError> {
        let found = Found::read(path)?;
        if found.exists() {
            return Self::of(found);
        }
        Ok(Self { found, draft: Draft::begin()?, files: Vec::new() })
    }

    fn of(found: Found) -> Result<Self, PolicyFileError> {
        match Draft::open(found.text()) {
            Ok(draft) => Ok(Self { found, draft, files: Vec::new() }),
            Err(edit) => {
                // The policy's own reader says best where the fault is.
                let read = |_: &Path| Err(io::ErrorKind::NotFound.into());
                let path = found.path().to_owned();
                match Policy::from_toml(found.text(), &read) {
                    Err(error) => Err(PolicyFileError::Before { path, error }),
                    Ok(_) => Err(edit.into()),
                }
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.found.path()
    }

    /// What it says on disk; empty where it is not there.
    pub fn before(&self) -> &str {
        self.found.text()
    }

    /// A file that the policy names.
    pub fn companion(&self, name: &Path) -> PathBuf {
        self.folder().join(name)
    }

    /// The text of a file that the policy names; `None` where there is none.
    pub fn read_companion(&self, name: &Path) -> Result<Option<String>, FileError> {
        file::read(&self.companion(name))
    }

    /// Has a file written with the policy.
    pub fn bring(&mut self, file: NewFile) {
        self.files.push(file);
    }

    /// The files that would be written with it.
    pub fn brought(&self) -> &[NewFile] {
        &self.files
    }

    /// The policy that the new text makes, by the same reader as the plugin's.
    pub fn would_be(&self) -> Result<Policy, PolicyFileError> {
        let read = |path: &Path| match self.files.iter().find(|file| file.path == path) {
            Some(file) => Ok(file.text.clone()),
            None => std::fs::read_to_string(self.companion(path)),
        };
        Policy::from_toml(&self.draft.text(), &read)
            .map_err(|error| PolicyFileError::After { error })
    }

    /// Writes the new files and then the policy. Where that fails, the files go again.
    pub fn write(&self) -> Result<(), PolicyFileError> {
        self.would_be()?;
        let mut written = Vec::new();
        let outcome = self.files.iter().try_for_each(|new| {
            let path = self.companion(&new.path);
            file::create(&path, &new.text)?;
            written.push(path);
            Ok(())
        });
        let outcome = outcome.and_then(|()| self.found.replace(&self.draft.text()));
        if let Err(error) = outcome {
            for path in written {
                file::remove(&path)?;
            }
            return Err(error.into());
        }
        Ok(())
    }

    fn folder(&self) -> &Path {
        self.found.path().parent().unwrap_or(Path::new("."))
    }
}
