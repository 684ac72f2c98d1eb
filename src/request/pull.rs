//! `POST /images/create` and `POST /images/{name}/tag`.
//!
//! Source: `postImagesCreate` and `postImagesTag` of Docker Engine 20.10, 26, 28 and 29.
//! Both read `Request.Form`, in which a form body comes before the query.

use crate::image::{NameError, Reference, Tag};

use super::body;
use super::intent::{Intent, Routed};
use super::permission::Permission;
use super::query::Query;
use super::refusal::{Refusal, excerpt};

/// The parameters of `POST /images/create` in API 1.24 to 1.53.
const PARAMETERS: [&str; 7] =
    ["fromImage", "fromSrc", "tag", "repo", "message", "changes", "platform"];

/// A pull, or an import where no `fromImage` is given.
///
/// An import is not read further. It has a body, which may be a form that turns it into
/// a pull: who may import may bring in anything.
pub(super) fn create(request: &Routed<'_>) -> Result<Intent, Refusal> {
    let query = Query::parse(request.target.query)?;
    query.only(&PARAMETERS)?;
    let from_image = query.one("fromImage")?.unwrap_or_default();
    let from_src = query.one("fromSrc")?;
    if from_image.is_empty() {
        return Ok(Intent::Guarded { permission: Permission::Import, route: request.route });
    }
    if from_src.is_some() {
        return ambiguous("both fromImage and fromSrc are given");
    }
    let parameter = query.one("tag")?.unwrap_or_default();
    query.one("platform")?;
    body::absent(request.call)?;
    pulled(from_image, parameter).map(Intent::Pull)
}

/// A tag gives an image one more name. What runs is judged by the image's identity, but
/// people and other programs go by names.
pub(super) fn tag(request: &Routed<'_>) -> Result<Intent, Refusal> {
    let query = Query::parse(request.target.query)?;
    let name = query.one("repo")?.unwrap_or_default();
    query.one("tag")?;
    body::absent(request.call)?;
    let name: Reference = name.parse().map_err(|error| bad("repo", name, error))?;
    let written = request.name()?.to_owned();
    Ok(Intent::Tag { written, name: name.repository })
}

/// The image a pull names by its two parameters.
fn pulled(from_image: &str, parameter: &str) -> Result<Reference, Refusal> {
    // What `docker pull --all-tags` of old sent; the engine cuts it off as well.
    let name = from_image.strip_suffix(':').unwrap_or(from_image);
    let written: Reference = name.parse().map_err(|error| bad("fromImage", name, error))?;
    let Reference { repository, tag, digest } = written;
    // No tag has a ':' and every digest has one, so the engine's guess is no guess.
    if parameter.contains(':') {
        if digest.is_some() {
            return ambiguous("both fromImage and tag have a digest");
        }
        let digest =
            parameter.parse().map_err(|error| bad("tag", parameter, NameError::Digest(error)))?;
        // The digest replaces the tag of fromImage, if any (`reference.TrimNamed`).
        return Ok(Reference { repository, tag: None, digest: Some(digest) });
    }
    if !parameter.is_empty() {
        if digest.is_some() {
            return ambiguous("fromImage has a digest and tag has a tag");
        }
        if tag.is_some() {
            return ambiguous("both fromImage and tag have a tag");
        }
        let tag: Tag = parameter.parse().map_err(|error| bad("tag", parameter, error))?;
        return Ok(Reference { repository, tag: Some(tag), digest: None });
    }
    match (tag, digest) {
        (None, None) => Err(Refusal::AllTags { repository: repository.to_string() }),
        // Where both are written, the digest alone is fetched.
        (_, Some(digest)) => Ok(Reference { repository, tag: None, digest: Some(digest) }),
        (tag, None) => Ok(Reference { repository, tag, digest: None }),
    }
}

fn ambiguous<T>(fault: &'static str) -> Result<T, Refusal> {
    Err(Refusal::AmbiguousPull { fault })
}

fn bad(place: &str, written: &str, error: NameError) -> Refusal {
    Refusal::BadReference { place: place.to_owned(), written: excerpt(written), error }
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{NO_BODY, call, outcome};

    const D: &str = "sha256:145efec3e7674af0ea621617610fabe76eb46cfa88a9b225311d118e1d70acd8";
    const E: &str = "sha256:f735af828eecd6d4406110e2565aa53fdc84061052bf6e94dffbc68314032914";

    fn pull(query: &str) -> String {
        outcome(&call("POST", &format!("/v1.41/images/create?{query}"), NO_BODY, ""))
    }

    #[test]
    fn reads_the_one_image_a_pull_names() {
        for (query, meant) in [
            ("fromImage=busybox&tag=1", "pull docker.io/library/busybox:1"),
            ("fromImage=busybox%3A1", "pull docker.io/library/busybox:1"),
            ("fromImage=h.io:5/x&tag=latest&platform=linux%2Farm64", "pull h.io:5/x:latest"),
            ("fromImage=h.io/x:&tag=1", "pull h.io/x:1"),
            ("fromImage=h.io/x:1:", "pull h.io/x:1"),
            ("fromImage=h.io/x:1&tag=", "pull h.io/x:1"),
        ] {
            assert_eq!(pull(query), meant, "{query}");
        }
        // What the docker CLI sends for x:1@D, other clients for x@D.
        for query in [
            format!("fromImage=h.io/x&tag={D}"),
            format!("fromImage=h.io/x%40{D}"),
            format!("fromImage=h.io/x:1@{D}&tag="),
            format!("fromImage=h.io/x:1&tag={}", D.replace(':', "%3A")),
        ] {
            assert_eq!(pull(&query), format!("pull h.io/x@{D}"), "{query}");
        }
    }

    #[test]
    fn refuses_what_names_none_or_several() {
        for (query, code) in [
            ("fromImage=h.io/x", "all-tags"),
            ("fromImage=h.io/x:", "all-tags"),
            ("fromImage=h.io/x:1&tag=1", "ambiguous-pull"),
            ("fromImage=h.io/x&tag=1&fromSrc=", "ambiguous-pull"),
            ("fromImage=h.io/x&tag=1&fromSrc=-", "ambiguous-pull"),
            ("fromImage=h.io/x&tag=1&tag=2", "query-malformed"),
            ("fromImage=h.io/x&tag=1&platform=a&platform=b", "query-malformed"),
            ("fromImage=h.io/x&fromImage=&tag=1", "query-malformed"),
            ("fromImage=h.io/x&tag=1&fromimage=h.io/y", "query-malformed"),
            ("fromImage=h.io/x&tag=1&size=1", "query-malformed"),
            ("fromImage=H.io/x&tag=1", "bad-reference"),
            ("fromImage=h.io/x+y&tag=1", "bad-reference"),
            ("fromImage=h.io/x&tag=sha512:00", "bad-reference"),
            ("fromImage=h.io/x&tag=sha256:", "bad-reference"),
            ("fromImage=h.io/x&tag=-1", "bad-reference"),
            (&format!("fromImage={}&tag=1", &D[7..]), "bad-reference"),
            (&format!("fromImage=h.io/x@{D}&tag=1"), "ambiguous-pull"),
            (&format!("fromImage=h.io/x@{D}&tag={E}"), "ambiguous-pull"),
        ] {
            assert_eq!(pull(query), format!("deny {code}"), "{query}");
        }
    }

    #[test]
    fn no_image_is_an_import() {
        for query in ["", "fromSrc=-&repo=h.io/x&tag=1&changes=CMD+a&changes=USER+b", "fromImage="]
        {
            assert_eq!(pull(query), "guarded import", "{query}");
        }
    }

    #[test]
    fn a_pull_and_a_tag_have_no_body() {
        for uri in [
            "/v1.41/images/create?fromImage=h.io/x&tag=1",
            "/v1.41/images/h.io/x:1/tag?repo=y&tag=1",
        ] {
            assert!(!outcome(&call("POST", uri, NO_BODY, "")).starts_with("deny"), "{uri}");
            for headers in [
                &[][..],
                &[("Content-Type", "text/plain")],
                &[("Content-Length", "35")],
                &[("Content-Length", "0"), ("Content-Type", "application/x-www-form-urlencoded")],
            ] {
                let outcome = outcome(&call("POST", uri, headers, ""));
                assert_eq!(outcome, "deny form-body", "{uri} {headers:?}");
            }
        }
    }
}
