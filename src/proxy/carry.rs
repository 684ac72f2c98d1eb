//! Bytes that nobody looks at, carried from one connection to another until they end.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};

/// What is read at once while little comes. A read that fills it tells that more is to come.
pub(super) const LITTLE: usize = 16 * 1024;
/// What a pipe is to hold: as much as systems allow everybody by default.
const MUCH: usize = 1024 * 1024;

/// Carries until no more comes: the end, or a connection that broke off. An error means that
/// nobody takes it any more.
///
/// Small answers are copied. Where much comes, the kernel moves it through a pipe, which
/// takes half the processor time.
pub(super) async fn carry(from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(LITTLE);
    let mut pipe = None;
    while let Ok(1..) = from.read_buf(&mut buffer).await {
        to.write_all(&buffer).await?;
        let is_much = buffer.len() >= LITTLE;
        buffer.clear();
        // Without a pipe (too many open files, say) it is copied on.
        if is_much && pipe.is_none() {
            pipe = Pipe::new().ok();
        }
        if let Some(pipe) = &pipe {
            while pipe.pass(from.as_ref(), to.as_ref()).await? {}
            break;
        }
    }
    Ok(())
}

struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A smaller one does as well.
        let _ = fcntl_setpipe_size(&into, MUCH);
        Ok(Self { out, into })
    }

    /// Moves what is there all the way. Whether more may come.
    async fn pass(&self, from: &UnixStream, to: &UnixStream) -> io::Result<bool> {
        const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
        let fill = || Ok(splice(from, None, &self.into, None, MUCH, FLAGS)?);
        // The pipe is empty, so that it is the connection that has nothing for it.
        let Ok(mut left @ 1..) = from.async_io(Interest::READABLE, fill).await else {
            return Ok(false);
        };
        while left > 0 {
            let empty = || Ok(splice(&self.out, None, to, None, left, FLAGS)?);
            left -= to.async_io(Interest::WRITABLE, empty).await?;
        }
        Ok(true)
    }
}
