//! A Unix socket: made here, or handed over by systemd.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// A socket that engines, or clients of one, may connect to. One made here is removed when
/// it is dropped; one of systemd's is systemd's.
pub struct Listener {
    inner: UnixListener,
    made: Option<Made>,
}

struct Made {
    path: PathBuf,
    /// Which file it was: another process may have put its own in the place since.
    inode: u64,
}

/// Who may connect to a socket made here.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The file's mode.
    pub mode: u32,
    /// The file's group, where it is not that of the process.
    pub group: Option<u32>,
}

impl Access {
    /// Its owner alone.
    pub const OWNER: Self = Self { mode: 0o600, group: None };
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process answers on it.
    #[error("{} is in use: another countersign answers on it", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something that is not a socket is in the way.
    #[error("{} is not a socket; it is left alone", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot listen on {}: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// What systemd handed over cannot be used.
    #[error("the socket handed over by systemd cannot be used: {0}")]
    Activation(io::Error),
}

/// The socket that systemd handed over, if it did (`LISTEN_FDS`).
///
/// To be called before any thread is started: it takes the variables out of the
/// environment, so that no program started from here believes that they are meant for it.
pub fn handed_over() -> Result<Option<std::os::unix::net::UnixListener>, ListenError> {
    listenfd::ListenFd::from_env().take_unix_listener(0).map_err(ListenError::Activation)
}

impl Listener {
    /// Listens on a socket that systemd handed over ([`handed_over`]).
    pub fn adopt(listener: std::os::unix::net::UnixListener) -> Result<Self, ListenError> {
        listener.set_nonblocking(true).map_err(ListenError::Activation)?;
        let inner = UnixListener::from_std(listener).map_err(ListenError::Activation)?;
        Ok(Self { inner, made: None })
    }

    /// Makes a socket. A dead one in its place is replaced. Bound aside and renamed, so that
    /// nobody ever finds a socket that anyone else may use.
    pub fn bind(path: &Path, access: Access) -> Result<Self, ListenError> {
        let at = |error| ListenError::Io { path: path.to_owned(), error };
        make_way(path)?;
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(at)?;
        }
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", std::process::id()));
        let aside = PathBuf::from(aside);
        let _ = fs::remove_file(&aside);
        let inner = UnixListener::bind(&aside).map_err(at)?;
        let placed = chown(&aside, None, access.group)
            .and_then(|()| fs::set_permissions(&aside, fs::Permissions::from_mode(access.mode)))
            .and_then(|()| fs::rename(&aside, path))
            .and_then(|()| inode(path));
        match placed {
            Ok(inode) => Ok(Self { inner, made: Some(Made { path: path.to_owned(), inode }) }),
            Err(error) => {
                let _ = fs::remove_file(&aside);
                Err(at(error))
            }
        }
    }

    /// Where it can be connected to. Only a socket that systemd handed over can have no path.
    pub fn path(&self) -> Option<PathBuf> {
        match &self.made {
            // It was bound under another name.
            Some(made) => Some(made.path.clone()),
            None => Some(self.inner.local_addr().ok()?.as_pathname()?.to_owned()),
        }
    }

    /// Waits for the next connection.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        self.inner.accept().await.map(|(stream, _)| stream)
    }

    /// Listens no more. The connections that clients made meanwhile and nobody accepted,
    /// which would be lost with the socket. Those at a socket of systemd's wait there for
    /// whoever comes next.
    pub(crate) fn close(self) -> Vec<UnixStream> {
        let Self { inner, made } = self;
        if made.is_none() {
            return Vec::new();
        }
        // First the file, so that no more come.
        drop(made);
        let Ok(listener) = inner.into_std() else { return Vec::new() };
        let accept = || listener.accept().ok().map(|(stream, _)| stream);
        let adopt = |stream: std::os::unix::net::UnixStream| {
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        };
        std::iter::from_fn(accept).filter_map(|stream| adopt(stream).ok()).collect()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a dead socket. One that answers, or is none, stays.
fn make_way(path: &Path) -> Result<(), ListenError> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ListenError::Io { path: path.to_owned(), error }),
        Ok(metadata) => metadata.file_type(),
    };
    if !kind.is_socket() {
        return Err(ListenError::NotASocket { path: path.to_owned() });
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(ListenError::InUse { path: path.to_owned() }),
        Err(_) => Ok(()),
    }
}

fn inode(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(path).map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[tokio::test]
    async fn what_waits_is_not_lost_with_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cs.sock");
        let connect = || std::os::unix::net::UnixStream::connect(&path);
        let listener = Listener::bind(&path, Access::OWNER).unwrap();
        let _clients = [connect().unwrap(), connect().unwrap(), connect().unwrap()];
        assert_eq!(listener.close().len(), 3);
        assert!(!path.exists());

        let systemds = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let listener = Listener::adopt(systemds.try_clone().unwrap()).unwrap();
        assert_eq!(listener.path().as_ref(), Some(&path));
        let _client = connect().unwrap();
        assert_eq!(listener.close().len(), 0);
        assert!(systemds.accept().is_ok(), "it waits for whoever comes next");
    }

    #[tokio::test]
    async fn replaces_a_dead_socket_and_no_live_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugins/cs.sock");
        let first = Listener::bind(&path, Access::OWNER).unwrap();
        assert_eq!(first.path().as_ref(), Some(&path));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(Listener::bind(&path, Access::OWNER), Err(ListenError::InUse { .. })));
        drop(first);
        assert!(!path.exists());

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead socket stays behind");
        let group = fs::metadata(dir.path()).unwrap().gid();
        let access = Access { mode: 0o660, group: Some(group) };
        let second = Listener::bind(&path, access).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(fs::metadata(&path).unwrap().gid(), group);
        drop(second);

        fs::write(&path, "").unwrap();
        assert!(matches!(
            Listener::bind(&path, Access::OWNER),
            Err(ListenError::NotASocket { .. })
        ));
    }
}
