//! Where a path of this host leads, links followed.
//!
//! What is seen here must be what the engine sees: a plugin that runs with a file system of
//! its own (systemd's `PrivateTmp`, `ProtectHome`) is shown other links.

use std::io;
use std::path::{Path, PathBuf};

use super::clock::Deadline;

/// Longest path the system takes.
const MAX_PATH: usize = 4096;

/// Where an absolute path without `.` and `..` leads. Of one that does not exist, the part
/// that does is followed: engines make the rest. It may lie on a file server that is away, so
/// there is a deadline.
pub async fn leads_to(path: &str, deadline: Deadline) -> io::Result<String> {
    if path.len() > MAX_PATH {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let end = deadline.bound(follow(Path::new(path))).await.ok_or_else(late)??;
    end.into_os_string().into_string().map_err(|_| io::ErrorKind::InvalidData.into())
}

async fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut existing = path;
    let end = loop {
        match tokio::fs::canonicalize(existing).await {
            Ok(end) => break end,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(error) => {
                // A link to nothing: it may lead to something by the time it counts.
                if tokio::fs::symlink_metadata(existing).await.is_ok() {
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
    use std::fs;
    use std::os::unix::fs::symlink;

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
        assert_eq!(leads_to("/", patient()).await.unwrap(), "/");
        assert!(leads_to(&format!("/{}", "x/".repeat(MAX_PATH)), patient()).await.is_err());
    }
}
