//! The head of one request: how its body is framed, and whether it may pass at all.
//!
//! Stricter than the engine, never laxer: whatever Go's `net/http` could understand in
//! another way is refused, so that the engine and we agree on where each request begins.

use super::refusal::Refusal;

/// Largest head, as in Go's `net/http`.
pub(super) const MAX_HEAD: usize = 1024 * 1024;

/// What a request's head says about the bytes after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) body: Body,
    /// The engine may answer by taking the connection out of HTTP (attach, exec, session).
    pub(super) may_switch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
}

/// Where the head ends, its blank line included: `None` if it does not yet. The first
/// `seen` bytes were looked at before and hold no end of a line that matters.
pub(super) fn end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Refusal> {
    // The end may begin in what was seen.
    let from = seen.saturating_sub(3);
    let fresh = bytes.get(from..).unwrap_or_default();
    let end = fresh.windows(4).position(|four| four == b"\r\n\r\n").map(|at| from + at + 4);
    // Go takes a bare line feed for the end of a line. Refused at once, or the client would
    // wait for an answer to what is a whole head for Go and none for us.
    let looked_at = bytes.get(from..end.unwrap_or(bytes.len())).unwrap_or_default();
    if looked_at.windows(2).any(|pair| matches!(pair, [before, b'\n'] if *before != b'\r')) {
        return Err(Refusal::Malformed("a line ends without a carriage return"));
    }
    if end.unwrap_or(bytes.len()) > MAX_HEAD {
        return Err(Refusal::TooLarge);
    }
    Ok(end)
}

/// Reads a whole head, its blank line included.
pub(super) fn read(head: &[u8]) -> Result<Head, Refusal> {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n').map(line);
    let request = lines.next().ok_or(Refusal::Malformed("there is no request line"))??;
    let (route, version) = request_line(request)?;

    let mut fields = Fields::default();
    for line in lines {
        match line? {
            [] => break,
            line => fields.take(line)?,
        }
    }
    let body = match (fields.chunked, fields.length) {
        (false, length) => Body::Length(length.unwrap_or(0)),
        // Go ignores it in HTTP/1.0, and reads no body.
        (true, _) if version == Version::Http10 => {
            return Err(Refusal::Malformed("HTTP/1.0 has no Transfer-Encoding"));
        }
        (true, Some(_)) => {
            return Err(Refusal::Malformed("Content-Length beside Transfer-Encoding"));
        }
        (true, None) => Body::Chunked,
    };
    let may_switch = match route {
        Route::Hijacking => true,
        Route::Upgradable => fields.upgrade,
        Route::Plain => false,
    };
    Ok(Head { body, may_switch })
}

/// A line without its CR LF, and without a carriage return of its own.
fn line(bytes: &[u8]) -> Result<&[u8], Refusal> {
    let line = bytes
        .strip_suffix(b"\r\n")
        .ok_or(Refusal::Malformed("a line ends without a carriage return"))?;
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\0')) {
        return Err(Refusal::Malformed("a control character in the head"));
    }
    Ok(line)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Engines take this connection over even when nobody asks for an upgrade.
    Hijacking,
    /// They do where an upgrade is asked for.
    Upgradable,
    /// They do not. `HEAD` belongs here: its answers do not show whether HTTP goes on.
    Plain,
}

fn request_line(line: &[u8]) -> Result<(Route, Version), Refusal> {
    let malformed = Refusal::Malformed("the request line is not METHOD TARGET VERSION");
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err(malformed);
    };
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(Refusal::Http2),
    };
    // Whatever its version says: it is reserved for the preface of HTTP/2.
    if method == b"PRI" {
        return Err(Refusal::Http2);
    }
    if !is_token(method) || target.is_empty() {
        return Err(malformed);
    }
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let route = match method {
        b"POST" if hijacks(path) => Route::Hijacking,
        b"POST" | b"GET" => Route::Upgradable,
        _ => Route::Plain,
    };
    Ok((route, version))
}

/// `/containers/NAME/attach` and `/exec/ID/start`, of whatever API version.
fn hijacks(path: &[u8]) -> bool {
    let mut steps = path.rsplit(|byte| *byte == b'/');
    match (steps.next(), steps.next(), steps.next()) {
        (Some(b"attach"), Some(_), Some(_)) => true,
        (Some(b"start"), Some(_), Some(before)) => before == b"exec",
        _ => false,
    }
}

/// The fields that matter here.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl Fields {
    fn take(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = colon
            .and_then(|colon| line.split_at_checked(colon))
            .and_then(|(name, rest)| Some((name, rest.split_first()?.1.trim_ascii())))
            .ok_or(Refusal::Malformed("a header line without a colon"))?;
        // A line that continues the one before begins with a space, and is refused here.
        if !is_token(name) {
            return Err(Refusal::Malformed("a header's name is not a token"));
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.replace(length(value)?).is_some() {
                return Err(Refusal::Malformed("Content-Length twice"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") || self.chunked {
                return Err(Refusal::Malformed("a Transfer-Encoding other than chunked"));
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else if name.eq_ignore_ascii_case(b"http2-settings") {
            // What tells an upgrade of the whole connection to HTTP/2 (RFC 7540, 3.2) from
            // `Upgrade: h2c` on /session and /grpc, which the engine's plugins are asked about.
            return Err(Refusal::Http2);
        }
        Ok(())
    }
}

fn length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)
        .and_then(|value| value.parse().ok())
        // Go counts in signed numbers.
        .filter(|length| i64::try_from(*length).is_ok())
        .ok_or(Refusal::Malformed("Content-Length is not a number"))
}

/// RFC 9110, 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(head: &str) -> Result<Body, Refusal> {
        read(head.as_bytes()).map(|head| head.body)
    }

    #[test]
    fn says_how_the_body_is_framed() {
        assert_eq!(framed("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"), Ok(Body::Length(0)));
        assert_eq!(framed("GET / HTTP/1.0\r\n\r\n"), Ok(Body::Length(0)));
        assert_eq!(
            framed("POST / HTTP/1.1\r\ncontent-length:  12\t\r\n\r\n"),
            Ok(Body::Length(12))
        );
        assert_eq!(
            framed("PUT / HTTP/1.1\r\nTRANSFER-ENCODING:Chunked\r\n\r\n"),
            Ok(Body::Chunked)
        );
    }

    #[test]
    fn refuses_every_version_but_http_1() {
        for line in [
            "PRI * HTTP/2.0",
            "PRI * HTTP/1.1",
            "pri * HTTP/2.0",
            "PRI / HTTP/2.0",
            "GET /_ping HTTP/2.0",
            "GET /_ping HTTP/2",
            "GET /_ping HTTP/1.2",
            "GET /_ping http/1.1",
            "GET  /_ping HTTP/1.1",
            "GET /_ping HTTP/1.1 ",
            "PRI * HTTP/1.1 HTTP/2.0",
        ] {
            assert_eq!(
                framed(&format!("{line}\r\nHost: d\r\n\r\n")),
                Err(Refusal::Http2),
                "{line}"
            );
        }
        let upgrade = "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                       HTTP2-Settings: AAMAAABk\r\n\r\n";
        assert_eq!(framed(upgrade), Err(Refusal::Http2));
    }

    #[test]
    fn refuses_what_could_be_framed_in_another_way() {
        for head in [
            "\r\nGET / HTTP/1.1\r\n\r\n",
            "GET /\r\n\r\n",
            "G(T / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\n Content-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nX: a\rContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nX: a\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nno colon\r\n\r\n",
        ] {
            let refused = framed(head);
            assert!(
                matches!(refused, Err(Refusal::Malformed(_) | Refusal::Http2)),
                "{head:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn knows_which_requests_may_leave_http() {
        let switches = |head: &str| read(head.as_bytes()).unwrap().may_switch;
        assert!(switches("POST /v1.41/containers/a/attach?stdin=1 HTTP/1.1\r\n\r\n"));
        assert!(switches("POST /exec/0a/start HTTP/1.1\r\nContent-Length: 2\r\n\r\n"));
        assert!(switches("POST /grpc HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"));
        assert!(switches("GET /containers/a/attach/ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"));
        assert!(!switches("POST /containers/a/start HTTP/1.1\r\n\r\n"));
        assert!(!switches("GET /exec/0a/json HTTP/1.1\r\n\r\n"));
        assert!(!switches("HEAD /_ping HTTP/1.1\r\nUpgrade: tcp\r\n\r\n"));
    }

    #[test]
    fn finds_the_end_wherever_the_pieces_part() {
        let bytes = b"GET / HTTP/1.1\r\nHost: d\r\n\r\nrest";
        let whole = bytes.len() - 4;
        for seen in 0..whole {
            assert_eq!(end(bytes, seen), Ok(Some(whole)), "seen {seen}");
            assert_eq!(end(&bytes[..seen], 0), Ok(None));
        }
        assert!(end(b"PRI * HTTP/2.0\n\n", 0).is_err());
        assert!(end(b"\n", 0).is_ok(), "a line feed is the first byte: the request line is empty");
        assert_eq!(end(&vec![b'a'; MAX_HEAD + 1], 0), Err(Refusal::TooLarge));
    }
}
