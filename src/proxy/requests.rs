//! The requests on one connection, told apart. No IO: bytes come in, and how many of them
//! may be passed on comes out.

use super::chunked::Chunked;
use super::head::{self, Body};
use super::refusal::Refusal;

/// Follows a client's bytes from request to request.
#[derive(Debug)]
pub(super) struct Requests {
    at: At,
}

#[derive(Debug)]
enum At {
    /// Before or in a head, of which so many bytes were looked at.
    Head { seen: usize },
    /// In a body of which so much is left.
    Length(u64),
    /// In a chunked body.
    Chunks(Chunked),
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes may be passed on.
    Pass(usize),
    /// So many bytes are the head of a request that the engine may answer by leaving HTTP.
    MaySwitch(usize),
    /// They are the beginning of a head. Nothing of it is passed on before it is whole.
    More,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self { at: At::Head { seen: 0 } }
    }

    /// Whether the next byte begins a request.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.at, At::Head { .. })
    }

    /// Looks at bytes that were not passed on yet.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        match &mut self.at {
            At::Head { seen } => {
                let Some(end) = head::end(bytes, *seen)? else {
                    *seen = bytes.len();
                    return Ok(Step::More);
                };
                let head = head::read(bytes.get(..end).unwrap_or_default())?;
                self.at = match head.body {
                    Body::Length(0) => At::Head { seen: 0 },
                    Body::Length(length) => At::Length(length),
                    Body::Chunked => At::Chunks(Chunked::default()),
                };
                Ok(if head.may_switch { Step::MaySwitch(end) } else { Step::Pass(end) })
            }
            _ if bytes.is_empty() => Ok(Step::More),
            At::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left = left.saturating_sub(here as u64);
                if *left == 0 {
                    self.at = At::Head { seen: 0 };
                }
                Ok(Step::Pass(here))
            }
            At::Chunks(chunks) => {
                let here = chunks.pass(bytes)?;
                if chunks.is_over() {
                    self.at = At::Head { seen: 0 };
                }
                Ok(Step::Pass(here))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const PING: &str = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
    const LOAD: &str = "POST /images/load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                        18\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\r\n0\r\n\r\n";
    const TAG: &str =
        "POST /build HTTP/1.1\r\nContent-Length: 24\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// Feeds pieces of `step` bytes; says how many bytes passed before the end or a refusal.
    fn passed(bytes: &str, step: usize) -> (usize, Option<Refusal>) {
        let mut requests = Requests::new();
        let mut pending = Vec::new();
        let mut passed = 0;
        for piece in bytes.as_bytes().chunks(step) {
            pending.extend_from_slice(piece);
            loop {
                match requests.next(&pending) {
                    Ok(Step::Pass(count) | Step::MaySwitch(count)) => {
                        passed += count;
                        pending.drain(..count);
                    }
                    Ok(Step::More) => break,
                    Err(refusal) => return (passed, Some(refusal)),
                }
            }
        }
        (passed, None)
    }

    #[test]
    fn refuses_the_preface_wherever_a_request_may_stand() {
        for before in ["", PING, LOAD, TAG, "\r\n", "\r\n\r\n"] {
            let bytes = format!("{before}{PREFACE}");
            let whole = if before.starts_with('\r') { 0 } else { before.len() };
            for step in 1..=bytes.len() {
                let (count, refusal) = passed(&bytes, step);
                assert_eq!(count, whole, "{bytes:?} by {step}");
                assert!(refusal.is_some(), "{bytes:?} by {step}");
            }
        }
    }

    #[test]
    fn passes_whole_requests_whatever_their_bodies_say() {
        let bytes = format!("{PING}{LOAD}{TAG}{PING}");
        for step in 1..=bytes.len() {
            assert_eq!(passed(&bytes, step), (bytes.len(), None), "by {step}");
        }
    }

    #[test]
    fn passes_nothing_of_a_head_that_is_not_whole() {
        for length in 0..PREFACE.len() {
            assert_eq!(passed(&PREFACE[..length], 1).0, 0);
        }
        assert_eq!(passed(&PING[..PING.len() - 1], 5), (0, None));
    }

    #[test]
    fn tells_of_requests_that_may_leave_http() {
        let attach = "POST /containers/a/attach HTTP/1.1\r\nUpgrade: tcp\r\n\r\n";
        let mut requests = Requests::new();
        assert_eq!(requests.next(attach.as_bytes()), Ok(Step::MaySwitch(attach.len())));
        assert!(requests.is_between());
    }
}
