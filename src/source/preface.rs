//! Does a socket speak HTTP/2?
//!
//! Docker Engine 29.2 and later take HTTP/2 with prior knowledge on their plain sockets and
//! hand gRPC calls to `BuildKit` without asking any authorization plugin. The sure sign is
//! the answer to HTTP/2's own opening: a SETTINGS frame.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The client's connection preface (RFC 9113, section 3.4), with an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Bytes of a frame's head: length (3), type, flags, stream (4).
const FRAME_HEAD: usize = 9;
/// Longest wait for an answer. An engine gives it at once, before any plugin is asked.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a socket answered, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeted {
    /// Whether it speaks HTTP/2; `None` if it answered nothing in time.
    pub http2: Option<bool>,
    /// The process that listens on it, where the system tells. Where systemd made the
    /// socket that is systemd.
    pub pid: Option<i32>,
}

/// Opens a connection as an HTTP/2 client does. `None`: nobody can be connected to.
pub async fn greet(socket: &Path) -> Option<Greeted> {
    let greeting = async {
        let stream = UnixStream::connect(socket).await.ok()?;
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        Some((pid, stream))
    };
    let (pid, mut stream) = tokio::time::timeout(PATIENCE, greeting).await.ok().flatten()?;
    let mut head = [0; FRAME_HEAD];
    let exchange = async {
        stream.write_all(PREFACE).await?;
        stream.read_exact(&mut head).await
    };
    let http2 = match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(_)) => Some(is_settings(head)),
        // Closed without nine bytes: whatever it is, it is no HTTP/2 server.
        Ok(Err(_)) => Some(false),
        Err(_) => None,
    };
    Some(Greeted { http2, pid })
}

/// A SETTINGS frame: type 4, on stream 0, whole entries of six bytes.
fn is_settings([a, b, c, kind, _flags, stream @ ..]: [u8; FRAME_HEAD]) -> bool {
    kind == 4 && stream == [0; 4] && u32::from_be_bytes([0, a, b, c]).is_multiple_of(6)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Step, engine};
    use super::*;

    async fn greeted(answer: Vec<u8>) -> Greeted {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        engine(&socket, move |_| vec![Step::Send(answer.clone()), Step::Close]);
        greet(&socket).await.unwrap()
    }

    #[tokio::test]
    async fn tells_http2_by_its_settings() {
        let own = i32::try_from(std::process::id()).ok();
        for (answer, http2) in [
            // Docker Engine 29: three settings.
            (&b"\0\0\x12\x04\0\0\0\0\0\0\x05\0\0\x40\0"[..], true),
            (&b"\0\0\0\x04\0\0\0\0\0"[..], true),
            // Docker Engine 20.10.
            (&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], false),
            (&b"short"[..], false),
            (&b""[..], false),
        ] {
            let found = greeted(answer.to_vec()).await;
            assert_eq!(found, Greeted { http2: Some(http2), pid: own }, "{answer:?}");
        }
        assert_eq!(greet(Path::new("/nonexistent/docker.sock")).await, None);
    }
}
