//! Where a path of this host leads, links followed.
//!
//! What is seen here must be what the engine sees: a plugin that runs with a file system of
//! its own (one that the engine manages; systemd's `PrivateTmp`) is shown other links.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::Semaphore;
use tokio::task;

use super::clock::Deadline;

/// Longest path the system takes.
const MAX_PATH: usize = 4096;

/// Looks at a time. One at a file server that is away may never end, and keeps its thread:
/// were these all that there are, nothing at all could be decided any more.
static LOOKS: Semaphore = Semaphore::const_new(32);

/// Where an absolute path without `.` and `..` leads. Of one that does not exist, the part
/// that does is followed: engines make the rest.
pub async fn leads_to(path: &str, deadline: Deadline) -> io::Result<String> {
    if path.len() > MAX_PATH {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let path = PathBuf::from(path);
    let end = look(&LOOKS, deadline, move || follow(&path)).await?;
    end.into_os_string().into_string().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Whether there is such a folder here.
pub async fn has_folder(path: &str, deadline: Deadline) -> io::Result<bool> {
    let path = PathBuf::from(path);
    match look(&LOOKS, deadline, move || fs::metadata(path)).await {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(error),
        Err(_) => Ok(false),
    }
}

/// Has the file system asked on a thread of its own, and waits no longer than the deadline.
/// It counts as long as it lasts, waited for or not.
async fn look<T: Send + 'static>(
    looks: &'static Semaphore,
    deadline: Deadline,
    ask: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let answer = async {
        let permit = looks.acquire().await.map_err(io::Error::other)?;
        let asked = task::spawn_blocking(move || {
            let answer = ask();
            drop(permit);
            answer
        });
        asked.await?
    };
    deadline.bound(answer).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut existing = path;
    let end = loop {
        match fs::canonicalize(existing) {
            Ok(end) => break end,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(error) => {
                // A link to nothing: it may lead to something by the time it counts.
                if fs::symlink_metadata(existing).is_ok() {
                    return Err(error);
                }
                existing = existing.parent().ok_or(error)?;
            }
        }
    };
    // `join` with nothing would add a slash.
    match path.strip_prefix(existing) {
        Ok(rest) if !rest.as_os_str().is_empty() => Ok(end.join(rest)),
        _ => Ok(end),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::super::testing::patient;
    use super::*;

    #[tokio::test]
    async fn follows_links_as_far_as_there_is_something() {
        let folder = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(base.join("real")).unwrap();
        fs::write(base.join("file"), "").unwrap();
        symlink("real", base.join("link")).unwrap();
        symlink(base.join("link"), base.join("chain")).unwrap();
        symlink("/etc", base.join("out")).unwrap();
        symlink("nowhere", base.join("dangling")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        let base = base.to_str().unwrap();
        for (path, end) in [
            ("real", Some(format!("{base}/real"))),
            ("link", Some(format!("{base}/real"))),
            ("chain", Some(format!("{base}/real"))),
            ("chain/new/er", Some(format!("{base}/real/new/er"))),
            ("new", Some(format!("{base}/new"))),
            ("out/new", Some("/etc/new".to_owned())),
            ("dangling", None),
            ("dangling/new", None),
            ("loop", None),
            ("file/new", None),
        ] {
            let found = leads_to(&format!("{base}/{path}"), patient()).await;
            assert_eq!(found.as_ref().ok(), end.as_ref(), "{path}: {found:?}");
        }
        for (path, is_folder) in [("real", true), ("chain", true), ("file", false), ("new", false)]
        {
            let found = has_folder(&format!("{base}/{path}"), patient()).await;
            assert_eq!(found.unwrap(), is_folder, "{path}");
        }
        assert_eq!(leads_to("/", patient()).await.unwrap(), "/");
        assert!(leads_to(&format!("/{}", "x/".repeat(MAX_PATH)), patient()).await.is_err());
    }

    #[tokio::test]
    async fn what_hangs_holds_no_more_than_its_share() {
        static TWO: Semaphore = Semaphore::const_new(2);
        let soon = || Deadline::after(Duration::from_millis(20));
        let mut ends = Vec::new();
        for at in 0..5 {
            let (end, hang) = mpsc::channel::<()>();
            let began = Instant::now();
            let outcome = look(&TWO, soon(), move || Ok(hang.recv().is_ok())).await;
            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut, "{at}");
            assert!(began.elapsed() < Duration::from_secs(5), "{at}");
            ends.push(end);
        }
        assert_eq!(TWO.available_permits(), 0);
        // What had no thread does not ask later on either.
        drop(ends);
        assert!(look(&TWO, patient(), || Ok(true)).await.unwrap());
    }
}
