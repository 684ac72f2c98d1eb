//! Image registries: which manifest a tag names there now.

use hyper::Method;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};

use super::auth::Session;
use super::clock::Deadline;
use super::http::Call;
use super::unavailable::{Unavailable, quote};
use super::url::Base;
use crate::image::{Digest, Repository, Tag};

/// The manifests engines run. A registry that is not offered the kind it holds converts
/// it, or answers 404: the digest would not be the one that is pulled.
const MANIFESTS: HeaderValue = HeaderValue::from_static(
    "application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json",
);
/// Where a registry says which digest it answers with.
const DIGEST: &str = "docker-content-digest";

/// An image registry (the OCI distribution API).
pub struct Registry {
    base: Base,
    session: Session,
}

impl Registry {
    pub(super) fn new(base: Base, session: Session) -> Self {
        Self { base, session }
    }

    /// The digest of the manifest or index that `tag` names now, or nothing if the
    /// registry has no such repository or tag.
    ///
    /// This is the registry's word alone: it may name another manifest to the engine a
    /// moment later. It is good for advice, never for proof.
    pub async fn manifest_digest(
        &self,
        repository: &Repository,
        tag: &Tag,
        deadline: Deadline,
    ) -> Result<Option<Digest>, Unavailable> {
        let path = repository.path();
        let at = self.session.at();
        let url = self
            .base
            .join(&format!("v2/{path}/manifests/{tag}"))
            .ok_or_else(|| Unavailable::bad_answer(at, "its URL cannot be built"))?;
        let headers = HeaderMap::from_iter([(ACCEPT, MANIFESTS)]);
        // The answer to a HEAD has no body, whatever length it announces.
        let call = Call { method: Method::HEAD, url, headers, max: 0, deadline };
        let answer = match self.session.send(&call, &format!("repository:{path}:pull")).await {
            Err(Unavailable::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        let digest =
            answer.headers.get(DIGEST).ok_or_else(|| Unavailable::NoDigest { at: at.clone() })?;
        let text = String::from_utf8_lossy(digest.as_bytes());
        text.parse().map(Some).map_err(|error| {
            let what = format!("the digest {} in its header: {error}", quote(&text));
            Unavailable::bad_answer(at, what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Asked, Server, Step, answer, patient};
    use super::*;

    const DIGEST: &str = "sha256:145efec3e7674af0ea621617610fabe76eb46cfa88a9b225311d118e1d70acd8";

    async fn ask(
        script: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static,
    ) -> (Server, Result<Option<Digest>, Unavailable>) {
        let (server, remote) = Server::trusted(script);
        let repository = format!("{}/qa/app", server.host).parse().unwrap();
        let tag = "1.0".parse().unwrap();
        let answer = remote.registry().manifest_digest(&repository, &tag, patient()).await;
        (server, answer)
    }

    /// The answer to a HEAD: a length, and no body.
    fn head(status: &str, header: &str) -> Vec<Step> {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 1234\r\n{header}\r\n");
        vec![Step::Send(text.into_bytes())]
    }

    #[tokio::test]
    async fn takes_the_digest_from_the_header() {
        let (server, answer) =
            ask(|_| head("200 OK", &format!("Docker-Content-Digest: {DIGEST}\r\n"))).await;
        assert_eq!(answer.unwrap(), Some(DIGEST.parse().unwrap()));
        let asked = &server.seen.requests()[0];
        assert_eq!(asked.line(), "HEAD /v2/qa/app/manifests/1.0");
        let accept = asked.header("accept").unwrap();
        assert_eq!(accept.split(", ").count(), 4, "{accept}");
    }

    #[tokio::test]
    async fn a_tag_that_is_not_there_is_no_error() {
        assert_eq!(ask(|_| head("404 Not Found", "")).await.1, Ok(None));
    }

    #[tokio::test]
    async fn a_digest_is_never_guessed() {
        let (_, answer) = ask(|_| head("200 OK", "")).await;
        assert!(matches!(answer, Err(Unavailable::NoDigest { .. })), "{answer:?}");
        let (_, answer) = ask(|_| head("200 OK", "Docker-Content-Digest: sha512:00\r\n")).await;
        assert!(matches!(answer, Err(Unavailable::BadAnswer { .. })), "{answer:?}");
    }

    #[tokio::test]
    async fn asks_for_a_token_without_the_host_in_its_scope() {
        let (server, found) = ask(|asked| {
            let host = asked.header("host").unwrap();
            let realm = format!("WWW-Authenticate: Bearer realm=\"https://{host}/token\"\r\n");
            if asked.line().starts_with("GET /token") {
                answer("200 OK", &[], r#"{"token":"t"}"#)
            } else if asked.header("authorization") == Some("Bearer t") {
                head("200 OK", &format!("Docker-Content-Digest: {DIGEST}\r\n"))
            } else {
                head("401 Unauthorized", &realm)
            }
        })
        .await;
        assert_eq!(found.unwrap(), Some(DIGEST.parse().unwrap()));
        assert_eq!(server.seen.lines()[1], "GET /token?scope=repository%3Aqa%2Fapp%3Apull");
    }
}
