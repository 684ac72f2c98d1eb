//! Bytes moved from socket to socket by the kernel, without a copy of them in here.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// What a pipe holds at most. More than systems allow users by default is not asked for.
const PIPE: usize = 1024 * 1024;

/// A pipe, through which the kernel moves bytes.
#[derive(Debug)]
pub(super) struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    pub(super) fn new() -> io::Result<Self> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A smaller one will do.
        let _ = fcntl_setpipe_size(&into, PIPE);
        Ok(Self { out, into })
    }

    /// Moves what is there, at most `limit` bytes, all the way. How much that was; 0 at the
    /// end of what comes.
    pub(super) async fn pass(
        &self,
        from: &UnixStream,
        to: &UnixStream,
        limit: u64,
    ) -> io::Result<usize> {
        const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(PIPE);
        let fill = || Ok(splice(from, None, &self.into, None, limit, FLAGS)?);
        let count = from.async_io(Interest::READABLE, fill).await?;
        let mut left = count;
        while left > 0 {
            let empty = || Ok(splice(&self.out, None, to, None, left, FLAGS)?);
            left -= to.async_io(Interest::WRITABLE, empty).await?;
        }
        Ok(count)
    }
}
