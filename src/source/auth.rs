//! Logging in: Basic, and the Docker registry's token protocol.
//!
//! Notary servers speak it too, with the difference that a repository is named with its
//! host in a notary's scope (`repository:h.io:5443/qa/app:pull`) and without it in a
//! registry's (`repository:qa/app:pull`).

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use lru::LruCache;
use serde::Deserialize;
use tokio::time::Instant;

use super::challenge::{self, Challenge};
use super::clock::Deadline;
use super::credentials::Credentials;
use super::http::{Answer, Call};
use super::https::HttpsClient;
use super::retry_after::retry_after;
use super::unavailable::{Place, Role, Unavailable};
use super::url;

/// Tokens kept: one for each repository in use on a node, with room to spare.
const GRANTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// Most bytes of a token server's answer. Tokens are a few kilobytes.
const MAX_TOKEN_ANSWER: u64 = 64 * 1024;
/// A token's life where the server does not say (the protocol's own default).
const DEFAULT_LIFE: u64 = 60;
/// Longest life we believe in.
const MAX_LIFE: u64 = 3600;
/// A token is not used in its last seconds, so that it does not expire on the way.
const MARGIN: Duration = Duration::from_secs(10);

/// Requests to one server, logged in as it asks.
pub(super) struct Session {
    at: Place,
    client: Arc<HttpsClient>,
    credentials: Option<Credentials>,
    /// What worked last, by the scope it was needed for. In memory alone.
    grants: Mutex<LruCache<String, Grant>>,
}

/// An `Authorization` that was accepted.
#[derive(Clone)]
struct Grant {
    authorization: HeaderValue,
    /// When to stop using it; never for Basic.
    until: Option<Instant>,
}

impl Session {
    pub(super) fn new(
        at: Place,
        client: Arc<HttpsClient>,
        credentials: Option<Credentials>,
    ) -> Self {
        let grants = Mutex::new(LruCache::new(GRANTS));
        Self { at, client, credentials, grants }
    }

    /// The server's place in messages.
    pub(super) fn at(&self) -> &Place {
        &self.at
    }

    /// Sends a request and returns the answer if it is a 200.
    ///
    /// At most three exchanges: the request, the token, the request again. What is
    /// refused with a fresh grant is refused for good.
    pub(super) async fn send(&self, call: &Call, scope: &str) -> Result<Answer, Unavailable> {
        let known = self.recall(scope);
        let answer = self.attempt(call, known.as_ref()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return self.settle(answer);
        }
        self.grants().pop(scope);
        let challenge = challenge::choose(&answer.headers)
            .map_err(|error| Unavailable::bad_answer(&self.at, error.to_string()))?;
        let grant = match (challenge, &self.credentials) {
            (Some(Challenge::Bearer { realm, service, scope: asked }), _) => {
                let scope = asked.as_deref().unwrap_or(scope);
                self.fetch_token(&realm, service.as_deref(), scope, call.deadline).await?
            }
            (Some(Challenge::Basic), Some(credentials)) => {
                Grant { authorization: secret(&self.at, &credentials.basic())?, until: None }
            }
            (Some(Challenge::Basic), None) | (None, _) => {
                return Err(self.refused(answer.status));
            }
        };
        // The password that was just refused is not worth asking again with.
        if known.is_some_and(|known| known.authorization == grant.authorization) {
            return Err(self.refused(answer.status));
        }
        let answer = self.attempt(call, Some(&grant)).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            self.grants().put(scope.to_owned(), grant);
        }
        self.settle(answer)
    }

    async fn attempt(&self, call: &Call, grant: Option<&Grant>) -> Result<Answer, Unavailable> {
        let mut call = call.clone();
        if let Some(grant) = grant {
            call.headers.insert(AUTHORIZATION, grant.authorization.clone());
        }
        self.client.send(&self.at, &call).await
    }

    /// `GET realm?service=…&scope=…[&account=…]`, with the password if there is one.
    async fn fetch_token(
        &self,
        realm: &hyper::Uri,
        service: Option<&str>,
        scope: &str,
        deadline: Deadline,
    ) -> Result<Grant, Unavailable> {
        let at = Place::new(Role::TokenServer, &url::authority(realm));
        // A greeting needs no right to anything.
        let scope = if scope.is_empty() {
            String::new()
        } else {
            format!("scope={}", url::query_value(scope))
        };
        let mut query = match service {
            Some(service) => format!("service={}&{scope}", url::query_value(service)),
            None => scope,
        };
        let mut headers = HeaderMap::new();
        if let Some(credentials) = &self.credentials {
            query = format!("{query}&account={}", url::query_value(credentials.username()));
            headers.insert(AUTHORIZATION, secret(&at, &credentials.basic())?);
        }
        let separator = if realm.query().is_some() { '&' } else { '?' };
        let url = format!("{realm}{separator}{query}").parse().map_err(|_| {
            Unavailable::bad_answer(&self.at, "its WWW-Authenticate header makes no usable URL")
        })?;
        let call = Call { method: Method::GET, url, headers, max: MAX_TOKEN_ANSWER, deadline };
        let answer = self.client.send(&at, &call).await?;
        let answer = match expect_ok(&at, self.credentials.is_some(), answer) {
            // That there is no token server says nothing about what the token is for.
            Err(Unavailable::NotFound { at }) => {
                return Err(Unavailable::Status { at, status: StatusCode::NOT_FOUND.as_u16() });
            }
            other => other?,
        };
        let answer: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| Unavailable::bad_answer(&at, "it is not a token"))?;
        let token = [answer.token, answer.access_token].into_iter().find(|text| !text.is_empty());
        let token = token.ok_or_else(|| Unavailable::bad_answer(&at, "it contains no token"))?;
        let life = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_LIFE).min(MAX_LIFE));
        Ok(Grant {
            authorization: secret(&at, &format!("Bearer {token}"))?,
            until: Some(Instant::now() + life.saturating_sub(MARGIN)),
        })
    }

    fn recall(&self, scope: &str) -> Option<Grant> {
        let grant = self.grants().get(scope).cloned()?;
        grant.until.is_none_or(|until| Instant::now() < until).then_some(grant)
    }

    fn grants(&self) -> MutexGuard<'_, LruCache<String, Grant>> {
        // Whatever a panicking holder left behind is still a cache of grants.
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, answer: Answer) -> Result<Answer, Unavailable> {
        expect_ok(&self.at, self.credentials.is_some(), answer)
    }

    fn refused(&self, status: StatusCode) -> Unavailable {
        refused(&self.at, self.credentials.is_some(), status)
    }
}

/// What a token server answers (`distribution/docs/spec/auth/token.md`).
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    /// In seconds.
    expires_in: Option<u64>,
}

/// The answer if it is a 200, else what its status means.
fn expect_ok(at: &Place, logged_in: bool, answer: Answer) -> Result<Answer, Unavailable> {
    match answer.status {
        StatusCode::OK => Ok(answer),
        StatusCode::NOT_FOUND => Err(Unavailable::NotFound { at: at.clone() }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(refused(at, logged_in, answer.status))
        }
        StatusCode::TOO_MANY_REQUESTS => {
            let retry_after = retry_after(&answer.headers);
            Err(Unavailable::RateLimited { at: at.clone(), retry_after })
        }
        status => Err(match retry_after(&answer.headers) {
            retry_after @ Some(_) if status == StatusCode::SERVICE_UNAVAILABLE => {
                Unavailable::RateLimited { at: at.clone(), retry_after }
            }
            _ => Unavailable::Status { at: at.clone(), status: status.as_u16() },
        }),
    }
}

fn refused(at: &Place, logged_in: bool, status: StatusCode) -> Unavailable {
    let (at, status) = (at.clone(), status.as_u16());
    if logged_in {
        Unavailable::Unauthorized { at, status }
    } else {
        Unavailable::NoCredentials { at, status }
    }
}

/// A header value that `Debug` does not show.
fn secret(at: &Place, text: &str) -> Result<HeaderValue, Unavailable> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Unavailable::bad_answer(at, "its token cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::super::Remote;
    use super::super::testing::{Asked, Authority, Server, Step, answer, ok, patient, settings};
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const GUN: &str = "localhost:5443/fx/app";
    /// `user:pass`
    const BASIC: &str = "Basic dXNlcjpwYXNz";
    const LOGIN: Option<(&str, &str)> = Some(("user", "pass"));

    async fn fetch(remote: &Remote) -> Result<Vec<u8>, Unavailable> {
        remote.trust_server().fetch(&GUN.parse().unwrap(), "root.json", 100, patient()).await
    }

    /// A 401 that sends the client for a token to the server itself.
    fn challenge(asked: &Asked) -> Vec<Step> {
        let host = asked.header("host").unwrap();
        let header = format!(
            "WWW-Authenticate: Bearer realm=\"https://{host}/token\",service=\"notary server\""
        );
        answer("401 Unauthorized", &[&header], "{}")
    }

    /// Answers with a token, and with a body to whoever shows it.
    fn token_server(token_answer: &'static str) -> impl Fn(&Asked) -> Vec<Step> {
        move |asked| {
            if asked.line().starts_with("GET /token?") {
                ok(token_answer)
            } else if asked.header("authorization") == Some("Bearer t0k3n") {
                ok("body")
            } else {
                challenge(asked)
            }
        }
    }

    #[tokio::test]
    async fn fetches_a_token_once_and_keeps_it() {
        let (server, remote) = Server::trusted_with(
            LOGIN,
            token_server(r#"{"token":"t0k3n","expires_in":300,"issued_at":"2020"}"#),
        );
        for _ in 0..2 {
            assert_eq!(fetch(&remote).await.unwrap(), b"body");
        }
        let file = format!("GET /v2/{GUN}/_trust/tuf/root.json");
        let token = "GET /token?service=notary%20server\
            &scope=repository%3Alocalhost%3A5443%2Ffx%2Fapp%3Apull&account=user";
        assert_eq!(server.seen.lines(), [&file, token, &file, &file]);
        let sent: Vec<_> = server
            .seen
            .requests()
            .iter()
            .map(|asked| asked.header("authorization").unwrap_or_default().to_owned())
            .collect();
        // The password goes to the realm, and to nobody else.
        assert_eq!(sent, ["", BASIC, "Bearer t0k3n", "Bearer t0k3n"]);
    }

    #[tokio::test]
    async fn a_token_about_to_expire_is_used_once() {
        let (server, remote) =
            Server::trusted(token_server(r#"{"access_token":"t0k3n","expires_in":5}"#));
        for _ in 0..2 {
            assert_eq!(fetch(&remote).await.unwrap(), b"body");
        }
        assert_eq!(server.seen.requests().len(), 6);
        assert_eq!(server.seen.requests()[1].header("authorization"), None);
    }

    #[tokio::test]
    async fn a_revoked_token_is_replaced() {
        let count = AtomicUsize::new(0);
        let (server, remote) = Server::trusted(move |asked| {
            if asked.line().starts_with("GET /token?") {
                let number = count.fetch_add(1, Ordering::SeqCst);
                return ok(&format!(r#"{{"token":"number{number}"}}"#));
            }
            let valid = format!("Bearer number{}", count.load(Ordering::SeqCst).wrapping_sub(1));
            // The first token is good for one request only.
            match asked.header("authorization") {
                Some(token) if token == valid => {
                    count.store(2, Ordering::SeqCst);
                    ok("body")
                }
                _ => challenge(asked),
            }
        });
        for _ in 0..2 {
            assert_eq!(fetch(&remote).await.unwrap(), b"body");
        }
        assert_eq!(server.seen.requests().len(), 6);
    }

    #[tokio::test]
    async fn a_refused_token_is_final() {
        let (server, remote) = Server::trusted_with(LOGIN, |asked| {
            if asked.line().starts_with("GET /token?") {
                ok(r#"{"token":"never good"}"#)
            } else {
                challenge(asked)
            }
        });
        let error = fetch(&remote).await.unwrap_err();
        assert!(error.to_string().ends_with("refused the credentials (401)"), "{error}");
        assert_eq!(server.seen.requests().len(), 3);
    }

    #[tokio::test]
    async fn a_token_server_that_refuses_is_named() {
        for (login, said) in [
            (LOGIN, "refused the credentials (401)"),
            (None, "asks for credentials, and none are configured (401)"),
        ] {
            let (server, remote) = Server::trusted_with(login, challenge);
            let error = fetch(&remote).await.unwrap_err();
            assert_eq!(error.to_string(), format!("token server {} {said}", server.host));
            assert_eq!(error.kind(), "unauthorized");
            assert_eq!(server.seen.requests().len(), 2);
        }
    }

    #[tokio::test]
    async fn a_bad_token_answer_is_no_token() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"token":""}"#,
            r#"{"token":"a\nb"}"#,
            r#"{"token":"t","expires_in":-1}"#,
        ] {
            let (_server, remote) = Server::trusted(token_server(body));
            let error = fetch(&remote).await.unwrap_err();
            assert!(matches!(error, Unavailable::BadAnswer { .. }), "{body}: {error}");
        }
    }

    #[tokio::test]
    async fn basic_is_sent_when_asked_for_and_remembered() {
        let (server, remote) =
            Server::trusted_with(LOGIN, |asked| match asked.header("authorization") {
                Some(BASIC) => ok("body"),
                _ => answer("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"x\""], ""),
            });
        for _ in 0..2 {
            assert_eq!(fetch(&remote).await.unwrap(), b"body");
        }
        let sent: Vec<_> = server
            .seen
            .requests()
            .iter()
            .map(|asked| asked.header("authorization").is_some())
            .collect();
        assert_eq!(sent, [false, true, true]);
    }

    #[tokio::test]
    async fn a_refused_password_is_sent_once() {
        for (login, requests) in [(LOGIN, 2), (None, 1)] {
            let (server, remote) = Server::trusted_with(login, |_| {
                answer("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"x\""], "")
            });
            assert_eq!(fetch(&remote).await.unwrap_err().kind(), "unauthorized");
            assert_eq!(server.seen.requests().len(), requests);
        }
    }

    #[tokio::test]
    async fn the_password_never_goes_to_a_realm_that_is_not_trusted() {
        let stranger = Server::start(Authority::new().issue().config(), |_| ok("{}"));
        let realm = stranger.host.clone();
        let (_server, remote) = Server::trusted_with(LOGIN, move |_| {
            let header = format!("WWW-Authenticate: Bearer realm=\"https://{realm}/token\"");
            answer("401 Unauthorized", &[&header], "")
        });
        let error = fetch(&remote).await.unwrap_err();
        assert!(matches!(error, Unavailable::UnknownIssuer { .. }), "{error}");
        assert!(stranger.seen.requests().is_empty());

        let (_server, remote) = Server::trusted_with(LOGIN, |_| {
            let header = "WWW-Authenticate: Bearer realm=\"http://127.0.0.1/token\"";
            answer("401 Unauthorized", &[header], "")
        });
        let error = fetch(&remote).await.unwrap_err();
        assert!(error.to_string().contains("must start with https://"), "{error}");
    }

    #[tokio::test]
    async fn the_deadline_covers_the_login() {
        let (_server, remote) = Server::trusted(|asked| {
            if asked.line().starts_with("GET /token?") {
                vec![Step::Pause(Duration::from_secs(300))]
            } else {
                challenge(asked)
            }
        });
        let gun = GUN.parse().unwrap();
        let deadline = Deadline::after(Duration::from_millis(500));
        let error =
            remote.trust_server().fetch(&gun, "root.json", 100, deadline).await.unwrap_err();
        assert!(error.to_string().starts_with("token server "), "{error}");
        assert_eq!(error.kind(), "timeout");
    }

    #[test]
    fn secrets_are_not_printed() {
        let at = Place::new(Role::Registry, "h.io");
        assert!(!format!("{:?}", secret(&at, BASIC).unwrap()).contains("dXNl"));
        let mut settings = settings("h.io", None);
        settings.credentials = Some(Credentials::new("user".into(), "s3cret".into()).unwrap());
        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}
