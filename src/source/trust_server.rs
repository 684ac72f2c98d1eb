//! Trust data: the files of a Notary v1 server.

use std::time::Duration;

use hyper::Method;
use hyper::header::{DATE, HeaderMap};
use jiff::Timestamp;

use super::auth::Session;
use super::changefeed::{self, Change};
use super::clock::Deadline;
use super::http::Call;
use super::retry_after::date;
use super::unavailable::{Unavailable, quote};
use super::url::{self, Base};
use crate::image::Repository;

/// A Notary v1 server (notary-server's HTTP API, as DTR and MSR serve it as well).
pub struct TrustServer {
    base: Base,
    session: Session,
}

impl TrustServer {
    pub(super) fn new(base: Base, session: Session) -> Self {
        Self { base, session }
    }

    /// The server's host and, where given, port.
    pub fn host(&self) -> &str {
        self.base.host()
    }

    /// Fetches one file of a repository's trust data: `timestamp.json`, or by its hash
    /// `targets/releases.<64 hex digits>.json`.
    ///
    /// Takes at most `max` bytes. The bytes are whatever the server chose to send;
    /// nothing about them has been verified.
    ///
    /// # Errors
    /// [`Unavailable::NotFound`] where the server has no such repository or file, which
    /// look the same; else whatever kept the answer from coming.
    pub async fn fetch(
        &self,
        gun: &Repository,
        file: &str,
        max: u64,
        deadline: Deadline,
    ) -> Result<Vec<u8>, Unavailable> {
        // Role names come out of the server's own files, so they are no safer than it.
        let url = url::path_part(file)
            .and_then(|file| self.base.join(&format!("v2/{gun}/_trust/tuf/{file}")))
            .ok_or_else(|| {
                let what = format!("it speaks of a file that no URL can name: {}", quote(file));
                Unavailable::bad_answer(self.session.at(), what)
            })?;
        let call = Call { method: Method::GET, url, headers: HeaderMap::new(), max, deadline };
        let answer = self.session.send(&call, &format!("repository:{gun}:pull")).await?;
        Ok(answer.body)
    }

    /// The newest `records` changes of all its repositories, in no certain order.
    ///
    /// # Errors
    /// Among them every answer that is none of a changefeed: not every server has one.
    pub async fn changes(
        &self,
        records: usize,
        deadline: Deadline,
    ) -> Result<Vec<Change>, Unavailable> {
        let at = self.session.at();
        let url = self
            .base
            .join(&changefeed::path(records))
            .ok_or_else(|| Unavailable::bad_answer(at, "its address makes no usable URL"))?;
        let max = changefeed::max_len(records);
        let call = Call { method: Method::GET, url, headers: HeaderMap::new(), max, deadline };
        let answer = self.session.send(&call, "registry:catalog:*").await?;
        changefeed::read(at, &answer.body, records)
    }

    /// That it was waited for in vain.
    pub fn overdue(&self, waited: Duration) -> Unavailable {
        Unavailable::Timeout { at: self.session.at().clone(), allowed: waited }
    }

    /// Greets the server (`GET /v2/`, which notary servers and registries both answer) and
    /// returns its own clock, where it tells. That it has nothing there is an answer too.
    pub async fn greet(&self, deadline: Deadline) -> Result<Option<Timestamp>, Unavailable> {
        /// Most bytes of an answer that says nothing.
        const MAX_GREETING: u64 = 64 * 1024;
        let url = self.base.join("v2/").ok_or_else(|| {
            Unavailable::bad_answer(self.session.at(), "its address makes no usable URL")
        })?;
        let headers = HeaderMap::new();
        let call = Call { method: Method::GET, url, headers, max: MAX_GREETING, deadline };
        match self.session.send(&call, "").await {
            Ok(answer) => Ok(date(&answer.headers, &DATE)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Remote;
    use super::super::testing::{Authority, Server, answer, ok, patient, settings};
    use super::*;

    #[tokio::test]
    async fn asks_for_files_below_the_base() {
        let authority = Authority::new();
        let server = Server::start(authority.issue().config(), |_| ok("{}"));
        let mut settings = settings("h.io", Some(authority.pem()));
        settings.trust_server = Some(format!("https://{}/notary/", server.host));
        let remote = Remote::new(settings).unwrap();
        let trust_server = remote.trust_server();
        assert_eq!(trust_server.host(), server.host);
        let gun = "h.io/app".parse().unwrap();
        for file in ["timestamp.json", "targets/releases.00ff.json", "targets/a?b.json"] {
            trust_server.fetch(&gun, file, 10, patient()).await.unwrap();
        }
        assert_eq!(
            server.seen.lines(),
            [
                "GET /notary/v2/h.io/app/_trust/tuf/timestamp.json",
                "GET /notary/v2/h.io/app/_trust/tuf/targets/releases.00ff.json",
                "GET /notary/v2/h.io/app/_trust/tuf/targets/a%3Fb.json",
            ]
        );
        for file in ["", "targets/../../../../other/_trust/tuf/root.json", "targets//x.json"] {
            let error = trust_server.fetch(&gun, file, 10, patient()).await.unwrap_err();
            assert!(matches!(error, Unavailable::BadAnswer { .. }), "{file}: {error}");
        }
        assert_eq!(server.seen.requests().len(), 3);
    }

    #[tokio::test]
    async fn greets_and_learns_the_time() {
        let (server, remote) =
            Server::trusted(|_| answer("200 OK", &["Date: Sun, 22 Nov 2026 03:00:05 GMT"], "{}"));
        let date = remote.trust_server().greet(patient()).await.unwrap();
        assert_eq!(date, Some("2026-11-22T03:00:05Z".parse().unwrap()));
        assert_eq!(server.seen.lines(), ["GET /v2/"]);

        for (status, headers) in [("404 Not Found", &[][..]), ("200 OK", &["Date: yesterday"][..])]
        {
            let (_server, remote) = Server::trusted(move |_| answer(status, headers, ""));
            assert_eq!(remote.trust_server().greet(patient()).await.unwrap(), None, "{status}");
        }
        let (_server, remote) = Server::trusted(|_| answer("503 Busy", &[], ""));
        assert!(remote.trust_server().greet(patient()).await.is_err());
    }

    #[tokio::test]
    async fn nothing_there_is_told_from_nothing_heard() {
        let (server, remote) = Server::trusted(|_| {
            answer("404 Not Found", &[], r#"{"errors":[{"code":"METADATA_NOT_FOUND"}]}"#)
        });
        let gun = "h.io/app".parse().unwrap();
        let error =
            remote.trust_server().fetch(&gun, "root.json", 10, patient()).await.unwrap_err();
        assert!(error.is_not_found());
        let text = format!("trust server {} has nothing at this name (404)", server.host);
        assert_eq!(error.to_string(), text);
    }
}
