//! Image registries: which manifest a tag names there now, and what a digest stands for.

use hyper::Method;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};

use super::auth::Session;
use super::clock::Deadline;
use super::http::{Answer, Call};
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
/// Most bytes of a manifest or index: what engines and registries take.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

/// An image registry (the OCI distribution API).
pub struct Registry {
    base: Base,
    session: Session,
}

impl Registry {
    pub(super) fn new(base: Base, session: Session) -> Self {
        Self { base, session }
    }

    /// The host that is asked and, where given, its port.
    pub fn host(&self) -> &str {
        self.base.host()
    }

    /// Greets the registry (`GET /v2/`), with the login where it asks for one.
    pub async fn greet(&self, deadline: Deadline) -> Result<(), Unavailable> {
        /// Most bytes of an answer that says nothing.
        const MAX_GREETING: u64 = 64 * 1024;
        let url = self
            .base
            .join("v2/")
            .ok_or_else(|| Unavailable::bad_answer(self.session.at(), "its URL cannot be built"))?;
        let headers = HeaderMap::new();
        let call = Call { method: Method::GET, url, headers, max: MAX_GREETING, deadline };
        self.session.send(&call, "").await.map(|_| ())
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
        let at = self.session.at();
        // The answer to a HEAD has no body, whatever length it announces.
        let Some(answer) = self.ask(Method::HEAD, repository, tag.as_str(), 0, deadline).await?
        else {
            return Ok(None);
        };
        let digest =
            answer.headers.get(DIGEST).ok_or_else(|| Unavailable::NoDigest { at: at.clone() })?;
        let text = String::from_utf8_lossy(digest.as_bytes());
        text.parse().map(Some).map_err(|error| {
            let what = format!("the digest {} in its header: {error}", quote(&text));
            Unavailable::bad_answer(at, what)
        })
    }

    /// What the registry gives for a digest, or nothing if it has none such. The bytes are
    /// whatever it chose to send: that they hash to the digest is for the caller to see.
    pub async fn manifest(
        &self,
        repository: &Repository,
        digest: Digest,
        deadline: Deadline,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        let digest = digest.to_string();
        let answer = self.ask(Method::GET, repository, &digest, MAX_MANIFEST, deadline).await?;
        Ok(answer.map(|answer| answer.body))
    }

    /// Asks for a manifest, by tag or digest. Nothing if there is none.
    async fn ask(
        &self,
        method: Method,
        repository: &Repository,
        which: &str,
        max: u64,
        deadline: Deadline,
    ) -> Result<Option<Answer>, Unavailable> {
        let path = repository.path();
        let url = self
            .base
            .join(&format!("v2/{path}/manifests/{which}"))
            .ok_or_else(|| Unavailable::bad_answer(self.session.at(), "its URL cannot be built"))?;
        let headers = HeaderMap::from_iter([(ACCEPT, MANIFESTS)]);
        let call = Call { method, url, headers, max, deadline };
        match self.session.send(&call, &format!("repository:{path}:pull")).await {
            Err(Unavailable::NotFound { .. }) => Ok(None),
            other => other.map(Some),
        }
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
    async fn greets_and_is_answered() {
        let (server, remote) = Server::trusted(|_| answer("200 OK", &[], "{}"));
        remote.registry().greet(patient()).await.unwrap();
        assert_eq!(server.seen.lines(), ["GET /v2/"]);
        assert_eq!(remote.registry().host(), server.host);
        let (_server, remote) = Server::trusted(|_| answer("404 Not Found", &[], ""));
        assert!(remote.registry().greet(patient()).await.unwrap_err().is_not_found());
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
    async fn gives_whatever_a_digest_stands_for_there() {
        let (server, remote) = Server::trusted(|asked| match asked.line() {
            line if line.ends_with("aa") => answer("404 Not Found", &[], ""),
            line if line.ends_with("bb") => answer("200 OK", &[], &"x".repeat(5 << 20)),
            _ => answer("200 OK", &[], "any bytes"),
        });
        let repository = format!("{}/qa/app", server.host).parse().unwrap();
        let get = |digest: Digest| remote.registry().manifest(&repository, digest, patient());
        let bytes = get(DIGEST.parse().unwrap()).await.unwrap();
        assert_eq!(bytes.as_deref(), Some(&b"any bytes"[..]));
        let asked = &server.seen.requests()[0];
        assert_eq!(asked.line(), format!("GET /v2/qa/app/manifests/{DIGEST}"));
        assert_eq!(asked.header("accept").unwrap().split(", ").count(), 4);
        assert_eq!(get(Digest::from_bytes([0xaa; 32])).await, Ok(None));
        let large = get(Digest::from_bytes([0xbb; 32])).await;
        assert!(matches!(large, Err(Unavailable::TooLarge { .. })), "{large:?}");
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
