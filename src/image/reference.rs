//! Image references: Docker's own grammar, read strictly.
//!
//! Source: `distribution/reference` (`ParseAnyReference`, `ParseNormalizedNamed`) as
//! vendored by Docker Engine 20.10, 26, 28 and 29. Engines from 26 on also take
//! upper-case hosts (`EVIL/x`) and IPv6 literals, which 20.10 refuses; such names are
//! refused here, since no one reading of them holds on every engine.

use std::fmt;
use std::str::FromStr;

use super::digest::{Digest, DigestError, ImageId};

/// Longest repository name, host included (`NameTotalLengthMax`).
const MAX_NAME: usize = 255;
/// Longest tag.
const MAX_TAG: usize = 128;

/// A repository: registry host and path. Written out it is the GUN, Notary's
/// "globally unique name" (`docker.io/library/busybox`, `localhost:5443/qa/app`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    text: String,
    host_len: usize,
}

impl Repository {
    /// The registry's host and, where given, port: what a `[[registries]]` entry names.
    pub fn host(&self) -> &str {
        self.text.get(..self.host_len).unwrap_or_default()
    }

    /// The path within the registry, without a leading slash.
    pub fn path(&self) -> &str {
        self.text.get(self.host_len + 1..).unwrap_or_default()
    }

    /// Host and path: the GUN.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Repository {
    type Err = NameError;

    /// Reads and normalises a repository name: `busybox` is `docker.io/library/busybox`.
    fn from_str(name: &str) -> Result<Self, NameError> {
        let (host, path) = split_host(name);
        if !is_host(host) {
            return Err(NameError::Host);
        }
        if !path.split('/').all(is_path_component) {
            return Err(NameError::Path);
        }
        let library = if host == "docker.io" && !path.contains('/') { "library/" } else { "" };
        let text = format!("{host}/{library}{path}");
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        Ok(Self { host_len: host.len(), text })
    }
}

/// A tag: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Tag(String);

impl Tag {
    /// The tag an engine takes where a reference names none.
    pub fn latest() -> Self {
        Self("latest".to_owned())
    }

    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let mut bytes = text.bytes();
        let fits = text.len() <= MAX_TAG
            && bytes.next().is_some_and(word)
            && bytes.all(|byte| word(byte) || byte == b'.' || byte == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::Tag) }
    }
}

/// A reference to an image by name: repository, and a tag, a digest, both or neither.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reference {
    /// Where the image lives.
    pub repository: Repository,
    /// The tag as written; none is not `latest` until [`Reference::or_latest`] says so.
    pub tag: Option<Tag>,
    /// The digest as written. Where both are given, engines go by the digest.
    pub digest: Option<Digest>,
}

impl Reference {
    /// The same reference with the tag an engine would take: `latest` where neither
    /// tag nor digest is written.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(Tag::latest());
        }
        self
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_id(text) {
            return Err(NameError::ImageId);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(NameError::Digest)?)),
            None => (text, None),
        };
        // A ':' after the last '/' starts a tag; before it, a port.
        let name_end = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.get(name_end..).and_then(|last| last.find(':')) {
            Some(colon) => (
                rest.get(..name_end + colon).unwrap_or_default(),
                Some(rest.get(name_end + colon + 1..).unwrap_or_default().parse()?),
            ),
            None => (rest, None),
        };
        Ok(Self { repository: name.parse()?, tag, digest })
    }
}

/// What a caller wrote where the engine expects an image: a name or an ID.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ImageName {
    /// A whole image ID: `sha256:` and 64 hex digits, or the digits alone.
    Id(ImageId),
    /// A name. It may still be meant as a short ID (`4e38e3`), which only the engine
    /// that holds the images can tell.
    Named(Reference),
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Named(reference) => reference.fmt(f),
        }
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        match Digest::from_hex(hex) {
            Ok(digest) => Ok(Self::Id(ImageId(digest))),
            Err(_) => text.parse().map(Self::Named),
        }
    }
}

/// Why a text is not an image name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The host part is not a lower-case DNS name or IPv4 address with an optional port.
    #[error(
        "the registry host must be a lower-case DNS name or IPv4 address, with an optional port"
    )]
    Host,
    /// 64 hex digits are an image ID, never a name.
    #[error("64 hex digits are an image ID, not a name")]
    ImageId,
    /// A path component breaks the grammar (lower-case letters, digits, single separators).
    #[error("the repository path must be lower-case letters, digits and single separators")]
    Path,
    /// The tag breaks the grammar.
    #[error(
        "a tag is up to 128 letters, digits, '_', '.' and '-', and starts with a letter, digit or '_'"
    )]
    Tag,
    /// The name is longer than 255 characters.
    #[error("a repository name has at most 255 characters")]
    TooLong,
    /// The digest after '@' cannot be used.
    #[error("{0}")]
    Digest(DigestError),
}

/// `splitDockerDomain`: the first component is a host only if it looks like one.
fn split_host(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                // Engines from 26 on read these as hosts, 20.10 as an error: both refuse here.
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            if first == "index.docker.io" { ("docker.io", rest) } else { (first, rest) }
        }
        _ => ("docker.io", name),
    }
}

/// A lower-case `host[:port]`.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.split('.').all(label)
        && port.is_none_or(|port| {
            !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// `alphanumeric (separator alphanumeric)*`, separator = `.`, `_`, `__` or dashes.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_well = |byte: Option<u8>| byte.is_some_and(alphanumeric);
    if !ends_well(text.bytes().next()) || !ends_well(text.bytes().next_back()) {
        return false;
    }
    text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|separator| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    })
}

/// 64 lower-case hex digits, with or without `sha256:` before them: an ID, which no
/// reference may look like. By the grammar the longer form is also a repository called
/// `sha256` with a tag, which no engine lets anybody make.
fn is_id(text: &str) -> bool {
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:145efec3e7674af0ea621617610fabe76eb46cfa88a9b225311d118e1d70acd8";

    #[test]
    fn normalises_as_the_engine_does() {
        for (written, meant) in [
            ("busybox", "docker.io/library/busybox"),
            ("me/app:1.0", "docker.io/me/app:1.0"),
            ("index.docker.io/busybox", "docker.io/library/busybox"),
            ("docker.io/busybox:1", "docker.io/library/busybox:1"),
            ("registry-1.docker.io/library/x", "registry-1.docker.io/library/x"),
            ("localhost/x", "localhost/x"),
            ("localhost:5443/fx/jenkins:1.0", "localhost:5443/fx/jenkins:1.0"),
            ("a__b", "docker.io/library/a__b"),
            ("a---b/c", "docker.io/a---b/c"),
            ("127.0.0.1:5000/x/y", "127.0.0.1:5000/x/y"),
            ("x:_ok.-", "docker.io/library/x:_ok.-"),
            ("4e38e3", "docker.io/library/4e38e3"),
        ] {
            assert_eq!(written.parse::<Reference>().map(|r| r.to_string()), Ok(meant.to_owned()));
        }
        let both = format!("h.io/x:1@{D}").parse::<Reference>().unwrap();
        assert_eq!(both.to_string(), format!("h.io/x:1@{D}"));
    }

    #[test]
    fn refuses_what_engines_refuse_or_read_differently() {
        use NameError::{Host, ImageId, Path, Tag};
        for (written, error) in [
            ("EVIL/x", Host),
            ("LOCALHOST/x", Host),
            ("Docker.IO/x", Host),
            ("[::1]:5000/x", Host),
            ("host.:5/x", Host),
            ("h.io:/x", Host),
            ("foo_bar.com/x", Host),
            ("a/B", Path),
            ("Upper", Path),
            ("a___b", Path),
            ("a.-b", Path),
            ("a..b", Path),
            ("x//y", Path),
            ("/x", Path),
            ("x/", Path),
            ("http://x/y", Host),
            ("", Path),
            ("x:1:2", Tag),
            ("x:", Tag),
            ("x:-a", Tag),
            ("x:.a", Tag),
            ("alpine:täg", Tag),
            ("x y", Path),
            ("pý", Path),
            (&D[7..], ImageId),
            (D, ImageId),
        ] {
            assert_eq!(written.parse::<Reference>(), Err(error), "{written:?}");
        }
        assert_eq!(format!("x:{}", "a".repeat(129)).parse::<Reference>(), Err(Tag));
        assert!(format!("x:{}", "a".repeat(128)).parse::<Reference>().is_ok());
        assert_eq!("a".repeat(256).parse::<Reference>(), Err(NameError::TooLong));
        assert!(matches!("x@md5:00".parse::<Reference>(), Err(NameError::Digest(_))));
        assert!(matches!(format!("x@{D}@{D}").parse::<Reference>(), Err(NameError::Digest(_))));
    }

    #[test]
    fn an_id_is_never_a_name() {
        assert!(matches!(D.parse(), Ok(ImageName::Id(_))));
        assert!(matches!(D[7..].parse(), Ok(ImageName::Id(_))));
        assert!(matches!(D[7..20].parse(), Ok(ImageName::Named(_))));
        assert!(D[7..].to_uppercase().parse::<ImageName>().is_err());
    }

    /// As engines answered `{"Image": NAME}`: with the name they looked for, or that it is none.
    #[derive(serde::Deserialize)]
    struct Recorded {
        image: String,
        #[serde(rename = "20.10")]
        old: Option<String>,
        #[serde(rename = "26.1 and later")]
        new: Option<String>,
    }

    #[test]
    fn names_are_read_as_recorded_engines_do_or_not_at_all() {
        let text = include_str!("../../tests/data/calls/names.json");
        let names: Vec<Recorded> = serde_json::from_str(text).unwrap();
        let mut read = 0;
        for Recorded { image, old, new } in names {
            // What engines call it where people see it.
            let shown = |text: String| match text.strip_prefix("docker.io/") {
                Some(rest) => rest.strip_prefix("library/").unwrap_or(rest).to_owned(),
                None => text,
            };
            let ours = match image.parse() {
                Err(_) => continue,
                Ok(ImageName::Id(id)) => id.to_string(),
                Ok(ImageName::Named(reference)) => shown(reference.or_latest().to_string()),
            };
            read += 1;
            assert!(old.is_some() || new.is_some(), "{image}: engines refuse it");
            for theirs in [old, new].into_iter().flatten() {
                assert_eq!(ours, theirs, "{image}");
            }
        }
        assert_eq!(read, 21, "of the recorded names");
    }

    #[test]
    fn latest_is_explicit() {
        let plain = "h.io/x".parse::<Reference>().unwrap();
        assert_eq!(plain.tag, None);
        assert_eq!(plain.or_latest().to_string(), "h.io/x:latest");
        let digest = format!("h.io/x@{D}").parse::<Reference>().unwrap();
        assert_eq!(digest.clone().or_latest(), digest);
    }
}
