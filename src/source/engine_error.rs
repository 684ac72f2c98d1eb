//! Why the engine could not be asked.

use std::path::PathBuf;
use std::time::Duration;

use super::unavailable::Seconds;

/// Longest path of a socket, by the system's own `sun_path`.
pub(super) const MAX_SOCKET: usize = 107;

/// Why the engine could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No socket can have this path.
    #[error("{} cannot be a socket: its path must be UTF-8 of 1 to {MAX_SOCKET} bytes", path.display())]
    Socket {
        /// As given.
        path: PathBuf,
    },
    /// No path of the API can carry this name.
    #[error("{name} names nothing an engine could hold")]
    Name {
        /// As given; quoted and cut.
        name: String,
    },
    /// No answer in time.
    #[error("the engine at {} did not answer in {}", socket.display(), Seconds(*allowed))]
    Timeout {
        /// Its socket.
        socket: PathBuf,
        /// How long was waited.
        allowed: Duration,
    },
    /// No connection, or it broke.
    #[error("the engine at {} cannot be asked: {cause}", socket.display())]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// The engine answered with an error.
    #[error("the engine answered {status}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its own words; quoted and cut.
        message: String,
    },
    /// The answer is larger than we take.
    #[error("the engine gave an answer larger than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// The stream of events ended.
    #[error("the engine ended its stream of events")]
    Ended,
    /// The answer is not what the API says.
    #[error("the engine gave a bad answer: {0}")]
    BadAnswer(String),
}
