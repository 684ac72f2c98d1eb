//! What a client is told when the connection cannot go on.

use std::io;
use std::path::Path;

/// Why bytes of a client do not reach the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// They are HTTP/2, or ask for it.
    #[error(
        "HTTP/2 is not let through to this engine, because no authorization plugin sees what it carries; use HTTP/1.1"
    )]
    Http2,
    /// The engine might understand them in another way than we do.
    #[error("this is not plain HTTP/1.1: {0}")]
    Malformed(&'static str),
    /// The head does not end.
    #[error("the request's headers are over 1 MiB")]
    TooLarge,
}

impl Refusal {
    /// The whole answer, as HTTP/1.1.
    pub(super) fn answer(self) -> Vec<u8> {
        let status = match self {
            Self::Http2 => "505 HTTP Version Not Supported",
            Self::Malformed(_) => "400 Bad Request",
            Self::TooLarge => "431 Request Header Fields Too Large",
        };
        answer(status, &self.to_string())
    }
}

/// The whole answer where the engine does not accept a connection.
pub(super) fn engine_down(engine: &Path, error: &io::Error) -> Vec<u8> {
    let why = format!("Docker Engine does not answer on {}: {error}", engine.display());
    answer("502 Bad Gateway", &why)
}

/// In the form of the engine's own errors, which clients print.
fn answer(status: &str, message: &str) -> Vec<u8> {
    let message = format!("countersign proxy: {message}");
    let body = serde_json::json!({ "message": message }).to_string();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
