//! What a digest stands for: one image, or an index that lists images.
//!
//! Whoever signs a digest signs the bytes that hash to it, and so all that these bytes
//! name by digest. An index of several platforms names the manifest of each, and a
//! manifest names its image's configuration, whose digest is the image's ID on engines
//! with graph drivers.

use crate::image::Digest;
use crate::json::{self, Limits, Names, Object, Value};
use crate::trust::crypto::sha256;

/// Most manifests of one index. Honest ones list a dozen platforms, and as many
/// attestations.
const MAX_LISTED: usize = 256;
/// Room for an index of that many, with annotations.
const LIMITS: Limits = Limits { depth: 16, values: 32_768 };
/// The media types of an index, and of one image's manifest.
const INDEX: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
];
const MANIFEST: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
];

/// The content of a digest: bytes that hash to it, read. Made by [`Content::read`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Image(Digest),
    Index(Vec<Listed>),
    /// Neither, or readers could disagree about which.
    Other,
}

/// A manifest that an index lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its digest.
    pub digest: Digest,
    /// The architecture that the index claims for it: a hint where to look first.
    pub architecture: Option<String>,
}

/// Bytes that are not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what it gave for {wanted} is {found}")]
pub struct WrongContent {
    /// The digest asked for.
    pub wanted: Digest,
    /// The digest of the bytes.
    pub found: Digest,
}

impl Content {
    /// Reads the content of `digest`. Bytes that hash to it and are no manifest or index,
    /// or that could be taken for both, name nothing.
    pub fn read(digest: Digest, bytes: &[u8]) -> Result<Self, WrongContent> {
        let found = Digest::from_bytes(sha256(bytes));
        if found != digest {
            return Err(WrongContent { wanted: digest, found });
        }
        Ok(Self(kind(bytes).unwrap_or(Kind::Other)))
    }

    /// The digest of the configuration, where it is one image's manifest.
    pub fn config(&self) -> Option<Digest> {
        if let Kind::Image(config) = &self.0 { Some(*config) } else { None }
    }

    /// The manifests that it lists, where it is an index.
    pub fn listed(&self) -> &[Listed] {
        if let Kind::Index(listed) = &self.0 { listed } else { &[] }
    }

    /// Whether it is an index that lists this manifest.
    pub fn lists(&self, manifest: Digest) -> bool {
        self.listed().iter().any(|listed| listed.digest == manifest)
    }
}

fn kind(bytes: &[u8]) -> Option<Kind> {
    // Engines match names without regard to case, so no two may differ in case alone.
    let document = json::parse(bytes, Names::Go, LIMITS).ok()?;
    let object = document.as_object()?;
    let has = |name: &str| object.iter().any(|(key, _)| json::go_fold(key) == name);
    if object.get("schemaVersion") != Some(&Value::Number(json::Number::Unsigned(2))) {
        return None;
    }
    let is_one_of = |types: &[&str]| match object.get("mediaType") {
        None => !has("mediatype"),
        Some(written) => written.as_str().is_some_and(|written| types.contains(&written)),
    };
    let is_image = has("config") || has("layers") || has("fslayers");
    match has("manifests") {
        true if !is_image && is_one_of(&INDEX) => index(object),
        false if is_image && is_one_of(&MANIFEST) => {
            let config = object.get("config")?.as_object()?;
            Some(Kind::Image(digest_in(config)?))
        }
        _ => None,
    }
}

fn index(object: &Object<'_>) -> Option<Kind> {
    let entries = object.get("manifests")?.as_array()?;
    if entries.len() > MAX_LISTED {
        return None;
    }
    let listed = |entry: &Value<'_>| {
        let entry = entry.as_object()?;
        let platform = entry.get("platform").and_then(Value::as_object);
        let architecture = platform.and_then(|one| one.get("architecture")).and_then(Value::as_str);
        Some(Listed { digest: digest_in(entry)?, architecture: architecture.map(str::to_owned) })
    };
    // What is named by another hash can be held by no engine as what was signed.
    Some(Kind::Index(entries.iter().filter_map(listed).collect()))
}

fn digest_in(descriptor: &Object<'_>) -> Option<Digest> {
    descriptor.get("digest")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn read(text: &str) -> Content {
        Content::read(Digest::from_bytes(sha256(text.as_bytes())), text.as_bytes()).unwrap()
    }

    fn digest(text: &str) -> Digest {
        text.parse().unwrap()
    }

    #[test]
    fn an_index_lists_manifests() {
        for media_type in
            INDEX.map(|one| format!(r#""mediaType":"{one}","#)).iter().chain([&String::new()])
        {
            let content = read(&format!(
                r#"{{"schemaVersion":2,{media_type}"manifests":[
                    {{"digest":"{A}","size":7,"platform":{{"os":"linux","architecture":"arm64"}}}},
                    {{"digest":"sha512:00","size":7}},
                    {{"digest":"{B}"}}],"annotations":{{"a":"b"}}}}"#
            ));
            let expected = [
                Listed { digest: digest(A), architecture: Some("arm64".to_owned()) },
                Listed { digest: digest(B), architecture: None },
            ];
            assert_eq!(content.listed(), expected);
            assert!(content.lists(digest(A)) && content.lists(digest(B)));
            assert_eq!(content.config(), None);
        }
    }

    #[test]
    fn a_manifest_names_its_configuration() {
        let content = read(&format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"digest":"{A}"}},"layers":[
                {{"digest":"{B}"}}]}}"#,
            MANIFEST[0]
        ));
        assert_eq!((content.config(), content.listed()), (Some(digest(A)), &[][..]));
    }

    /// Bytes that somebody signed, and that are not what they could be taken for.
    #[test]
    fn what_could_be_read_in_two_ways_names_nothing() {
        let entry = format!(r#"{{"digest":"{A}"}}"#);
        let many = vec![entry.clone(); MAX_LISTED + 1].join(",");
        for text in [
            String::new(),
            "text".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            format!(r#"{{"manifests":[{entry}]}}"#),
            format!(r#"{{"schemaVersion":1,"manifests":[{entry}]}}"#),
            format!(r#"{{"schemaVersion":2,"manifests":[{entry}],"config":{entry}}}"#),
            format!(r#"{{"schemaVersion":2,"manifests":[{entry}],"Layers":[]}}"#),
            format!(r#"{{"schemaVersion":2,"manifests":[{entry}],"fsLayers":[]}}"#),
            format!(r#"{{"schemaVersion":2,"manifests":[{entry}],"Manifests":[]}}"#),
            format!(r#"{{"schemaVersion":2,"Manifests":[{entry}]}}"#),
            format!(r#"{{"schemaVersion":2,"manifests":{entry}}}"#),
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{entry}]}}"#, MANIFEST[0]),
            format!(r#"{{"schemaVersion":2,"MediaType":"{}","manifests":[{entry}]}}"#, INDEX[0]),
            format!(r#"{{"schemaVersion":2,"mediaType":7,"manifests":[{entry}]}}"#),
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","config":{entry}}}"#, INDEX[0]),
            format!(r#"{{"schemaVersion":2,"layers":[{entry}]}}"#),
            format!(r#"{{"schemaVersion":2,"config":[{entry}]}}"#),
            format!(r#"{{"schemaVersion":2,"manifests":[{many}]}}"#),
            format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}{{}}"#),
        ] {
            assert_eq!(read(&text), Content(Kind::Other), "{text}");
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let error = Content::read(digest(A), b"{}").unwrap_err();
        assert_eq!((error.wanted, error.found), (digest(A), Digest::from_bytes(sha256(b"{}"))));
    }
}
