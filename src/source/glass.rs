//! Broken glass: a file of root's that suspends enforcement for a while.
//!
//! `STATE/breakglass.json` is written by `countersign breakglass` and read by the plugin,
//! which need not run then. It counts only as root's own plain file that nobody else may
//! read or write, is small, and ends a day after it began at the latest.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Its name in the state directory.
const NAME: &str = "breakglass.json";
/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 4096;
/// Longest reason, in bytes.
const MAX_REASON: usize = 500;
/// Longest time for which it may be broken.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// That the glass is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Why.
    pub reason: String,
    /// Who says they did it: a name of the environment, which proves nothing.
    pub by: String,
    /// When.
    pub started: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// Why the glass cannot be broken, or is not taken for broken.
#[derive(Debug, thiserror::Error)]
pub enum GlassError {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Somebody else than root may have written it.
    #[error("{} must be a plain file that is root's alone, with mode 0600", path.display())]
    NotRoots {
        /// Which file.
        path: PathBuf,
    },
    /// It does not say what it should.
    #[error("{} is not one that countersign breakglass wrote: {fault}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
}

impl BreakGlass {
    /// From `started` on, for this long.
    pub fn new(
        reason: &str,
        by: &str,
        started: Timestamp,
        length: Duration,
    ) -> Result<Self, String> {
        let until = started.checked_add(length).map_err(|error| error.to_string())?;
        let (reason, by) = (reason.trim().to_owned(), by.to_owned());
        let glass = Self { reason, by, started, until };
        glass.check().map(|()| glass)
    }

    /// How long it is broken in all.
    pub fn length(&self) -> Duration {
        Duration::try_from(self.until.duration_since(self.started)).unwrap_or(Duration::ZERO)
    }

    fn check(&self) -> Result<(), String> {
        let texts = [&self.reason, &self.by];
        if self.reason.trim().is_empty() {
            Err("it gives no reason".to_owned())
        } else if texts.iter().any(|text| text.len() > MAX_REASON) {
            Err(format!("the reason is longer than {MAX_REASON} bytes"))
        } else if texts.iter().any(|text| text.chars().any(char::is_control)) {
            Err("the reason must be one line".to_owned())
        } else if self.length().is_zero() || self.length() > LONGEST {
            Err("it must last for more than nothing, and 24 hours at most".to_owned())
        } else {
            Ok(())
        }
    }

    /// What is broken by the file in a state directory; `None` where there is no such file.
    /// It may have ended.
    pub fn read(state: &Path) -> Result<Option<Self>, GlassError> {
        let path = state.join(NAME);
        let at = |error| GlassError::Io { path: path.clone(), error };
        // Looked at before it is opened: whoever else may write here, no link is followed and
        // no pipe waited for.
        let there = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(at)?,
        };
        let not_roots = || GlassError::NotRoots { path: path.clone() };
        if !there.is_file() {
            return Err(not_roots());
        }
        let file = File::open(&path).map_err(at)?;
        let opened = file.metadata().map_err(at)?;
        let same = (opened.dev(), opened.ino()) == (there.dev(), there.ino());
        let is_roots = opened.is_file() && opened.uid() == 0 && opened.mode() & 0o777 == 0o600;
        if !same || !is_roots {
            return Err(not_roots());
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(at)?;
        let malformed = |fault| GlassError::Malformed { path: path.clone(), fault };
        if bytes.len() as u64 > MAX_FILE {
            return Err(malformed(format!("it is over {MAX_FILE} bytes")));
        }
        let glass: Self =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        glass.check().map_err(malformed)?;
        Ok(Some(glass))
    }

    /// Writes the file, in place of one that is there.
    pub fn write(&self, state: &Path) -> Result<PathBuf, GlassError> {
        let path = state.join(NAME);
        let at = |error| GlassError::Io { path: path.clone(), error };
        if !state.exists() {
            fs::create_dir_all(state).map_err(at)?;
            fs::set_permissions(state, fs::Permissions::from_mode(0o700)).map_err(at)?;
        }
        let text = serde_json::to_vec(self).map_err(|error| at(error.into()))?;
        // Made for its owner alone.
        let mut file = tempfile::NamedTempFile::new_in(state).map_err(at)?;
        if file.as_file().metadata().map_err(at)?.uid() != 0 {
            return Err(at(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "only root can break the glass",
            )));
        }
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(at)?;
        file.persist(&path).map_err(|error| at(error.error))?;
        Ok(path)
    }

    /// Removes the file. Whether there was one.
    pub fn remove(state: &Path) -> Result<bool, GlassError> {
        let path = state.join(NAME);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(GlassError::Io { path, error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn glass() -> BreakGlass {
        let started = at("2026-12-01T00:00:00Z");
        BreakGlass::new("outage", "alice", started, Duration::from_secs(3600)).unwrap()
    }

    #[test]
    fn is_bounded() {
        let started = at("2026-12-01T00:00:00Z");
        for (reason, seconds, fine) in [
            ("outage", 1, true),
            ("outage", 24 * 3600, true),
            ("outage", 24 * 3600 + 1, false),
            ("outage", 0, false),
            (" ", 1, false),
            ("two\nlines", 1, false),
            ("\u{1b}[31m", 1, false),
            (&"x".repeat(MAX_REASON), 1, true),
            (&"x".repeat(MAX_REASON + 1), 1, false),
        ] {
            let made = BreakGlass::new(reason, "alice", started, Duration::from_secs(seconds));
            assert_eq!(made.is_ok(), fine, "{reason:?} {seconds}: {made:?}");
        }
        assert!(BreakGlass::new("x", "", started, Duration::MAX).is_err());
    }

    #[test]
    fn is_written_for_root_alone_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert_eq!(BreakGlass::read(&state).unwrap(), None);
        assert!(!BreakGlass::remove(&state).unwrap());
        let path = glass().write(&state).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(BreakGlass::read(&state).unwrap(), Some(glass()));
        assert!(BreakGlass::remove(&state).unwrap());
        assert_eq!(BreakGlass::read(&state).unwrap(), None);
    }

    #[test]
    fn what_others_may_have_written_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let (state, elsewhere) = (dir.path().join("state"), dir.path().join("elsewhere"));
        let path = glass().write(&state).unwrap();
        for mode in [0o644, 0o660, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(
                matches!(BreakGlass::read(&state), Err(GlassError::NotRoots { .. })),
                "{mode:o}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        assert!(matches!(BreakGlass::read(&state), Err(GlassError::NotRoots { .. })));
        fs::remove_file(&path).unwrap();
        fs::rename(glass().write(&elsewhere).unwrap(), dir.path().join("aside")).unwrap();
        symlink(dir.path().join("aside"), &path).unwrap();
        assert!(matches!(BreakGlass::read(&state), Err(GlassError::NotRoots { .. })));
    }

    #[test]
    fn what_is_malformed_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = glass().write(dir.path()).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        for text in [
            String::new(),
            "null".to_owned(),
            whole[..whole.len() - 1].to_owned(),
            whole.replace("2026-12-01T01", "2026-12-03T01"),
            whole.replace("2026-12-01T01", "2026-11-01T01"),
            whole.replace("outage", ""),
            whole.replace('{', "{\"more\":1,"),
            whole.replace("outage", &"x".repeat(5000)),
            "[".repeat(4096),
        ] {
            fs::write(&path, &text).unwrap();
            assert!(
                matches!(BreakGlass::read(dir.path()), Err(GlassError::Malformed { .. })),
                "{text:.80}"
            );
        }
        fs::write(&path, whole).unwrap();
        assert_eq!(BreakGlass::read(dir.path()).unwrap(), Some(glass()));
    }
}
