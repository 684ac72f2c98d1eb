//! The engine's answer to a request that may take the connection out of HTTP: does it?

/// Largest head of an answer that is waited for.
const MAX_HEAD: usize = 64 * 1024;

/// The first answer on a connection to the engine, read until it is clear what it means.
#[derive(Debug, Default)]
pub(super) struct Reply {
    held: Vec<u8>,
}

impl Reply {
    /// Whether HTTP has ended on this connection; `None` while that is open.
    ///
    /// If in doubt, it has not: then the client's bytes go on being looked at.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<bool> {
        self.held.extend_from_slice(bytes);
        loop {
            let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") else {
                return (self.held.len() > MAX_HEAD).then_some(false);
            };
            match verdict(self.held.get(..end + 2).unwrap_or_default()) {
                None => drop(self.held.drain(..end + 4)),
                verdict => return verdict,
            }
        }
    }
}

/// `None` for a provisional answer (100 Continue), which another one follows.
fn verdict(head: &[u8]) -> Option<bool> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let status = lines.next().and_then(|line| line.split(|byte| *byte == b' ').nth(1));
    match status {
        Some(b"101") => Some(true),
        Some([b'1', _, _]) => None,
        // Engines answer so where no upgrade was asked for, and take the connection over. No
        // length is declared: whatever comes, no other answer can follow on this connection.
        Some(b"200") => Some(!lines.any(is_framed)),
        _ => Some(false),
    }
}

fn is_framed(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
    [&b"content-length"[..], b"transfer-encoding"]
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str, step: usize) -> Option<bool> {
        let mut reply = Reply::default();
        answer.as_bytes().chunks(step).find_map(|piece| reply.read(piece))
    }

    #[test]
    fn http_ends_with_101_and_with_an_answer_of_no_length() {
        for (answer, ended) in [
            ("HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nbytes", Some(true)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 UPGRADED\r\n\r\n", Some(true)),
            (
                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n",
                Some(true),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", Some(false)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Some(false)),
            ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", Some(false)),
            ("HTTP/1.1 204 No Content\r\n\r\n", Some(false)),
            ("HTTP/1.1 100 Continue\r\n\r\n", None),
            ("HTTP/1.1 101 UPGRADED\r\n", None),
            ("nonsense\r\n\r\n", Some(false)),
        ] {
            for step in 1..=answer.len() {
                assert_eq!(read(answer, step), ended, "{answer:?} by {step}");
            }
        }
        assert_eq!(read(&"x".repeat(MAX_HEAD + 1), MAX_HEAD + 1), Some(false));
    }
}
