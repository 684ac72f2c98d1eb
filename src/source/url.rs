//! URLs: https alone, and nothing in a name can change where they lead.

use std::fmt::Write;

use hyper::Uri;

/// Longest encoded path part: the longest GUN and role file leave room to spare, and a
/// URL stays far below the 64 KiB at which parsers give up.
const MAX_PART: usize = 4096;

/// The https URL a server's paths are relative to.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// Without a slash at the end.
    text: String,
    host: String,
}

impl Base {
    pub(super) fn new(text: &str) -> Result<Self, UrlError> {
        let url = https(text)?;
        if url.query().is_some() {
            return Err(UrlError::Query);
        }
        Ok(Self { text: text.trim_end_matches('/').to_owned(), host: authority(&url) })
    }

    /// Host and, where given, port.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The URL of a path below this one; nothing if `path` (already encoded) is no path.
    pub(super) fn join(&self, path: &str) -> Option<Uri> {
        format!("{}/{path}", self.text).parse().ok()
    }
}

/// Why a text is not a URL we would go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not start with `https://`.
    #[error("it must start with https://")]
    NotHttps,
    /// It is not a URL.
    #[error("it is not a URL")]
    Malformed,
    /// `user@` before the host: credentials have their own place.
    #[error("it must not contain a user name")]
    UserInfo,
    /// A query or fragment, after which no path can follow.
    #[error("it must not contain a query or fragment")]
    Query,
}

/// An https URL, with or without a query.
pub(super) fn https(text: &str) -> Result<Uri, UrlError> {
    if text.contains('#') {
        return Err(UrlError::Query);
    }
    let url: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
    if url.scheme_str() != Some("https") {
        return Err(UrlError::NotHttps);
    }
    let authority = authority(&url);
    if authority.contains('@') {
        return Err(UrlError::UserInfo);
    }
    let host = url.host().unwrap_or_default();
    // hyper reads "host:99999" as a host without a port, and would go to 443.
    let port_fits = authority == host || url.port_u16().is_some();
    if host.is_empty() || !port_fits { Err(UrlError::Malformed) } else { Ok(url) }
}

/// The URL's host and, where given, port.
pub(super) fn authority(url: &Uri) -> String {
    url.authority().map(ToString::to_string).unwrap_or_default()
}

/// A name as a part of a path: slashes stay, as servers route on the decoded text, and
/// everything that could start a query, a fragment or an escape is encoded.
///
/// Nothing if no encoding can keep the name from leading elsewhere: servers clean
/// empty, `.` and `..` components out of the decoded path.
pub(super) fn path_part(name: &str) -> Option<String> {
    if name.split('/').any(|component| matches!(component, "" | "." | "..")) {
        return None;
    }
    let encoded = encode(name, b"/:@");
    (encoded.len() <= MAX_PART).then_some(encoded)
}

/// A value of a query parameter.
pub(super) fn query_value(text: &str) -> String {
    encode(text, b"")
}

/// The text that a percent-encoded one stands for; nothing where it stands for none.
pub(super) fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

/// Percent-encodes all but RFC 3986's unreserved characters and those in `keep`.
fn encode(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_below_the_base() {
        for (base, url) in [
            ("https://h.io", "https://h.io/v2/x"),
            ("https://h.io/", "https://h.io/v2/x"),
            ("https://h.io:4443/notary/", "https://h.io:4443/notary/v2/x"),
            ("https://[::1]:5/", "https://[::1]:5/v2/x"),
        ] {
            assert_eq!(Base::new(base).unwrap().join("v2/x").unwrap().to_string(), url);
        }
        assert_eq!(Base::new("https://h.io:4443/notary").unwrap().host(), "h.io:4443");
    }

    #[test]
    fn refuses_every_other_url() {
        for (text, error) in [
            ("http://h.io", UrlError::NotHttps),
            ("h.io", UrlError::NotHttps),
            ("/path", UrlError::NotHttps),
            ("ftp://h.io", UrlError::NotHttps),
            ("", UrlError::Malformed),
            ("https://", UrlError::Malformed),
            ("https:///x", UrlError::Malformed),
            ("https://h.io:99999", UrlError::Malformed),
            ("https://h.io:", UrlError::Malformed),
            ("https://user:pw@h.io", UrlError::UserInfo),
            ("https://h.io/?x=1", UrlError::Query),
            ("https://h.io/#x", UrlError::Query),
        ] {
            assert_eq!(Base::new(text).map(|base| base.text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_name_stays_one_part_of_the_path() {
        for (name, part) in [
            ("localhost:5443/fx/app:1.0", Some("localhost:5443/fx/app:1.0")),
            ("app@sha256:00", Some("app@sha256:00")),
            ("a?b#c%2f d\n", Some("a%3Fb%23c%252f%20d%0A")),
            ("é", Some("%C3%A9")),
            ("a\\b;c&d", Some("a%5Cb%3Bc%26d")),
            ("", None),
            ("/a", None),
            ("a/", None),
            ("a//b", None),
            ("a/./b", None),
            ("../containers/x", None),
            ("a/..", None),
        ] {
            assert_eq!(path_part(name).as_deref(), part, "{name:?}");
        }
        assert_eq!(path_part(&"x".repeat(MAX_PART + 1)), None);
    }

    #[test]
    fn what_was_encoded_comes_back() {
        for text in ["", "plain", "a:b/c@d=e f%", "é\n"] {
            assert_eq!(decode(&query_value(text)).as_deref(), Some(text));
        }
        for broken in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_value_stays_one_value() {
        assert_eq!(query_value("a:b/c&d=e f"), "a%3Ab%2Fc%26d%3De%20f");
    }
}
