//! The request target, split by hand.
//!
//! Docker Engine 20.10 to 29 route on the decoded path (`gorilla/mux`), accept the
//! absolute form under any scheme, and keep '#' as part of path or query where other
//! URL parsers cut. So nothing is normalised here: one plain form is read, all else is
//! refused, whatever the method.

use std::borrow::Cow;

use super::refusal::Refusal;

/// A request target in origin form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'u> {
    /// The API version of the path's prefix; the engine's newest where there is none.
    pub version: Option<(u32, u32)>,
    /// The path after the version.
    pub segments: Vec<Segment<'u>>,
    /// Everything after the first '?', as sent.
    pub query: &'u str,
}

/// One piece of the path between slashes, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment<'u> {
    pub text: Cow<'u, str>,
    /// Whether it was written with percent escapes, as a literal never is.
    pub escaped: bool,
}

impl<'u> Target<'u> {
    pub fn parse(uri: &'u str) -> Result<Self, Refusal> {
        // U+FFFD, which the engine writes for bytes it could not show, is among these.
        if uri.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'\\')) {
            return refuse("has a character that must be percent-encoded");
        }
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let Some(path) = path.strip_prefix('/') else {
            return refuse("is not a path that starts with '/'");
        };
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let version = api_version(first)?;
        let path = if version.is_some() { rest } else { path };
        // Every route starts with a literal, so no call needs an escape there.
        if path.split('/').next().is_some_and(|word| word.contains('%')) {
            return refuse("has a percent escape where the API has a fixed word");
        }
        let segments = segments(path)?;
        Ok(Self { version, segments, query })
    }

    /// The decoded path, without version and query.
    pub fn path(&self) -> String {
        self.segments.iter().fold(String::new(), |path, segment| path + "/" + &segment.text)
    }
}

/// Whether a target that cannot be read further starts with a collection of which every
/// route passes under this method, written out plainly.
///
/// Networks and volumes of drivers may have any name, and somebody has to get rid of them.
/// `GET /debug/*`, `/session` and `/grpc` are not among these, nor what ends a checkpoint, a
/// plugin or a node. A path that climbs out of its collection is unclean, and engines redirect
/// it without effect.
pub(super) fn is_open(method: &str, uri: &str) -> bool {
    const READ: [&str; 13] = [
        "configs",
        "containers",
        "distribution",
        "events",
        "images",
        "networks",
        "nodes",
        "plugins",
        "secrets",
        "services",
        "system",
        "tasks",
        "volumes",
    ];
    const REMOVED: [&str; 6] = ["configs", "images", "networks", "secrets", "services", "volumes"];
    const CHANGED: [&str; 1] = ["networks"];
    let open: &[&str] = match method {
        "GET" | "HEAD" => &READ,
        "DELETE" => &REMOVED,
        "POST" => &CHANGED,
        _ => return false,
    };
    let Some(path) = uri.strip_prefix('/') else { return false };
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let collection = match api_version(first) {
        Ok(None) => first,
        Ok(Some(_)) => rest.split('/').next().unwrap_or_default(),
        Err(_) => return false,
    };
    open.contains(&collection.split('?').next().unwrap_or_default())
}

/// Whether this is a character of names: of containers, images, services.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'@' | b'-')
}

fn refuse<T>(fault: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Target { fault })
}

/// The version, if the segment is one to the engine (`v{version:[0-9.]+}`).
fn api_version(segment: &str) -> Result<Option<(u32, u32)>, Refusal> {
    let numeric = |numbers: &&str| {
        !numbers.is_empty() && numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let Some(numbers) = segment.strip_prefix('v').filter(numeric) else { return Ok(None) };
    let parsed = numbers
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parsed
        .map_or_else(|| refuse("has an API version that is not like v1.41"), |both| Ok(Some(both)))
}

/// The path's pieces as the engine routes them: split after decoding.
fn segments(path: &str) -> Result<Vec<Segment<'_>>, Refusal> {
    let mut segments = Vec::with_capacity(8);
    for raw in path.split('/') {
        if raw.contains('%') {
            let decoded = decode(raw)?;
            let pieces = decoded.split('/').map(|text| Cow::Owned(text.to_owned()));
            segments.extend(pieces.map(|text| Segment { text, escaped: true }));
        } else {
            segments.push(Segment { text: Cow::Borrowed(raw), escaped: false });
        }
    }
    // The engine redirects such paths to their clean form, and never asks about them.
    let empty_inside = segments.iter().rev().skip(1).any(|segment| segment.text.is_empty());
    if empty_inside || segments.iter().any(|segment| matches!(&*segment.text, "." | "..")) {
        return refuse("has an empty, '.' or '..' segment");
    }
    Ok(segments)
}

/// Decodes percent escapes of plain characters; there is no honest need for others.
fn decode(raw: &str) -> Result<String, Refusal> {
    let mut pieces = raw.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let byte = piece
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| is_plain(*byte));
        let (Some(byte), Some(rest)) = (byte, piece.get(2..)) else {
            return refuse("has a percent escape of something that no name contains");
        };
        decoded.push(char::from(byte));
        decoded.push_str(rest);
    }
    if !decoded.bytes().all(is_plain) {
        return refuse("has a percent escape in something that is no name");
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_plain_targets() {
        for (uri, version, path, query) in [
            ("/_ping", None, "/_ping", ""),
            ("/_ping?nonce=1?2", None, "/_ping", "nonce=1?2"),
            ("/v1.41/containers/create?name=a", Some((1, 41)), "/containers/create", "name=a"),
            ("/v01.041/info", Some((1, 41)), "/info", ""),
            ("/v1.410/info", Some((1, 410)), "/info", ""),
            ("/version", None, "/version", ""),
            ("/v1.41", Some((1, 41)), "/", ""),
            ("/", None, "/", ""),
            ("/networks/", None, "/networks/", ""),
            (
                "/images/h.io:5/a/b%40sha256%3a00/json",
                None,
                "/images/h.io:5/a/b@sha256:00/json",
                "",
            ),
            ("/images/a%2Fb/json", None, "/images/a/b/json", ""),
            ("/networks/a+b,c", None, "/networks/a+b,c", ""),
        ] {
            let target = Target::parse(uri).unwrap_or_else(|refusal| panic!("{uri}: {refusal}"));
            assert_eq!(
                (target.version, target.path(), target.query),
                (version, path.to_owned(), query)
            );
        }
    }

    #[test]
    fn what_is_oddly_named_can_still_be_read_and_removed() {
        for (method, uri, open) in [
            ("GET", "/networks/my%20net", true),
            ("HEAD", "/v1.41/volumes/a%C3%A9", true),
            ("GET", "/v1.41/containers/json?filters={\"a\":\"é\"}", true),
            ("GET", "/debug/vars%20", false),
            ("GET", "/v1.41/%64ebug/vars%20", false),
            ("GET", "/session#", false),
            ("GET", "http://h/networks/x#", false),
            ("GET", "/v1.x/networks/%20", false),
            ("DELETE", "/v1.41/networks/my%20net", true),
            ("POST", "/v1.41/networks/my%20net/disconnect", true),
            ("DELETE", "/volumes/a%C3%A9?force=1", true),
            ("DELETE", "/images/%5B::1%5D:5000/a", true),
            ("DELETE", "/containers/a%20/checkpoints/b", false),
            ("DELETE", "/plugins/a%20", false),
            ("DELETE", "/nodes/a%20", false),
            ("POST", "/volumes/create?#%zz", false),
            ("POST", "/containers/a%20b/start", false),
            ("POST", "/images/a%20b/tag", false),
            ("PUT", "/networks/a%20", false),
        ] {
            assert_eq!(is_open(method, uri), open, "{method} {uri}");
        }
    }

    #[test]
    fn refuses_every_other_form() {
        for uri in [
            "",
            "*",
            "v1.41/info",
            "http://docker/v1.41/info",
            "http:///v1.41/info",
            "x:/v1.41/info",
            "unix:///v1.41/info",
            "//containers/create",
            "/v1.41//containers/create",
            "/v1.41/x/../containers/create",
            "/v1.41/./containers/create",
            "/v1.41/containers/..",
            "/v1.41/containers/%2e%2e/create",
            "/v1.41/containers/%2Fa/start",
            "/v1.41/containers%2Fcreate",
            "/v1.41/%63ontainers/create",
            "/v1%2E41/containers/create",
            "/%64ebug/vars",
            "/v1.41/containers/a%00/start",
            "/v1.41/containers/a%20b/start",
            "/v1.41/containers/a%25/start",
            "/v1.41/containers/a%c3%a4/start",
            "/v1.41/containers/a%zz/start",
            "/v1.41/containers/a%+1/start",
            "/v1.41/containers/a%4/start",
            "/v1.41/containers/a%41+/start",
            "/v1.41/containers/create#x",
            "/v1.41/containers/create?x=#%zz",
            "/v1.41/containers\\create",
            "/v1.41/containers/cr\u{e9}ate",
            "/v1.41/images/create?fromImage=good\u{fffd}",
            "/v1.41/containers/json?a b",
            "/v1.41/containers/json\r\n",
            "/v1.41.0.0/containers/create",
            "/v1/containers/create",
            "/v1./containers/create",
            "/v./containers/create",
            "/v1.99999999999/containers/create",
        ] {
            assert!(matches!(Target::parse(uri), Err(Refusal::Target { .. })), "{uri:?}");
        }
    }
}
