//! HTTPS to the servers of one registered registry, and what its failures mean.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::LOCATION;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::CertificateError;

use super::http::{Answer, Call, Failure, causes, exchange, innermost, pool};
use super::http_proxy::Proxies;
use super::tls::Tls;
use super::tunnel::{ProxyFault, Way};
use super::unavailable::{Place, Unavailable, quote};

/// Longest wait for a TCP connection. Shorter than any deadline, so that a host that is
/// down is told from one that is slow.
const CONNECT: Duration = Duration::from_secs(3);

/// The HTTPS client of one registered registry: its own roots of trust, its own
/// connections.
pub(super) struct HttpsClient {
    client: Client<HttpsConnector<Way>, Empty<Bytes>>,
    /// What makes a certificate trusted here, for messages.
    trusted: String,
}

impl HttpsClient {
    pub(super) fn new(tls: Tls, proxies: Arc<Proxies>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        // The TLS connector above it is what refuses `http`.
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.config)
            .https_only()
            .enable_http1()
            .wrap_connector(Way::new(tcp, proxies));
        Self { client: pool(connector), trusted: tls.trusted }
    }

    /// Sends a request to `at` and returns the answer, whatever its status, except that
    /// redirects are refused: to follow one would be to let the server choose whom we
    /// ask, and tell.
    pub(super) async fn send(&self, at: &Place, call: &Call) -> Result<Answer, Unavailable> {
        let answer =
            exchange(&self.client, call).await.map_err(|error| self.explain(at, call, error))?;
        if answer.status.is_redirection() {
            let to = answer.headers.get(LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()));
            return Err(Unavailable::Redirect {
                at: at.clone(),
                to: to.map_or_else(|| "nowhere".to_owned(), |to| quote(&to)),
            });
        }
        Ok(answer)
    }

    fn explain(&self, at: &Place, call: &Call, failure: Failure) -> Unavailable {
        let at = at.clone();
        match failure {
            Failure::Timeout => Unavailable::Timeout { at, allowed: call.deadline.allowed() },
            Failure::TooLarge => Unavailable::TooLarge { at, max: call.max },
            Failure::Encoded => {
                Unavailable::bad_answer(&at, "its body is compressed, which was not asked for")
            }
            Failure::Exchange(error) if error.is_connect() => self.explain_connect(at, &error),
            Failure::Exchange(error) => self.explain_exchange(at, &error),
            Failure::Broken(error) => self.explain_exchange(at, &error),
            Failure::Connect(error) => Unavailable::Unreachable { at, cause: innermost(&error) },
        }
    }

    /// No connection came about.
    fn explain_connect(&self, at: Place, error: &(dyn Error + 'static)) -> Unavailable {
        let cause = innermost(error);
        for part in causes(error) {
            if let Some(ProxyFault { proxy, what }) = part.downcast_ref() {
                let (proxy, cause) = (proxy.clone(), what.clone());
                return Unavailable::Proxy { at, proxy, cause };
            }
            if let Some(tls) = part.downcast_ref::<rustls::Error>() {
                return self.explain_tls(at, tls);
            }
            // hyper-util says which of its steps failed in these words alone.
            if part.to_string() == "dns error" {
                return Unavailable::UnknownHost { at, cause };
            }
            match part.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::TimedOut) => {
                    return Unavailable::Timeout { at, allowed: CONNECT };
                }
                Some(io::ErrorKind::ConnectionRefused) => {
                    return Unavailable::ConnectionRefused { at };
                }
                _ => {}
            }
        }
        Unavailable::Unreachable { at, cause }
    }

    /// The connection stood, and no whole answer came.
    fn explain_exchange(&self, at: Place, error: &(dyn Error + 'static)) -> Unavailable {
        // TLS 1.3 servers refuse a client's certificate only after the handshake.
        if let Some(tls) = causes(error).find_map(|part| part.downcast_ref::<rustls::Error>()) {
            return self.explain_tls(at, tls);
        }
        let is_bad = |part: &(dyn Error + 'static)| {
            use io::ErrorKind::{InvalidData, InvalidInput};
            let hyper = part.downcast_ref::<hyper::Error>();
            let io = part.downcast_ref::<io::Error>();
            // The latter are chunks that are none.
            hyper.is_some_and(hyper::Error::is_parse)
                || io.is_some_and(|io| matches!(io.kind(), InvalidData | InvalidInput))
        };
        if causes(error).any(is_bad) {
            return Unavailable::BadAnswer { at, what: innermost(error) };
        }
        // What rustls says of it is for those who write programs.
        let is_end = |io: &io::Error| io.kind() == io::ErrorKind::UnexpectedEof;
        let ended = causes(error).filter_map(|part| part.downcast_ref()).any(is_end);
        let cause = if ended { "it ended in the middle".to_owned() } else { innermost(error) };
        Unavailable::Interrupted { at, cause }
    }

    fn explain_tls(&self, at: Place, error: &rustls::Error) -> Unavailable {
        use CertificateError::{
            Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
        };
        match error {
            rustls::Error::InvalidCertificate(UnknownIssuer) => {
                Unavailable::UnknownIssuer { at, trusted: self.trusted.clone() }
            }
            rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
                Unavailable::CertificateExpired { at }
            }
            rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
                Unavailable::CertificateName { at }
            }
            other => Unavailable::Tls { at, cause: other.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Asked, Server, Step, answer, ok, patient, settings};
    use super::super::{Deadline, Remote, Unavailable};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// A limit no test's answer comes near.
    const ROOM: u64 = 1 << 20;

    async fn fetch(remote: &Remote, max: u64, deadline: Deadline) -> Result<Vec<u8>, Unavailable> {
        let gun = "h.io:5443/qa/app".parse().unwrap();
        remote.trust_server().fetch(&gun, "root.json", max, deadline).await
    }

    /// What becomes of one answer.
    async fn outcome(script: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static) -> Unavailable {
        let (_server, remote) = Server::trusted(script);
        fetch(&remote, 10, patient()).await.unwrap_err()
    }

    fn send(text: impl Into<Vec<u8>>) -> Vec<Step> {
        vec![Step::Send(text.into()), Step::Close]
    }

    #[tokio::test]
    async fn asks_plainly_and_keeps_the_connection() {
        let (server, remote) = Server::trusted(|_| ok("body"));
        for _ in 0..3 {
            assert_eq!(fetch(&remote, 4, patient()).await.unwrap(), b"body");
        }
        assert_eq!(server.seen.connections(), 1);
        let asked = &server.seen.requests()[0];
        assert_eq!(asked.line(), "GET /v2/h.io:5443/qa/app/_trust/tuf/root.json");
        assert_eq!(asked.header("host"), Some(server.host.as_str()));
        assert_eq!(
            asked.header("user-agent"),
            Some(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        );
        assert_eq!(asked.header("accept-encoding"), None);
        assert_eq!(asked.header("authorization"), None);
    }

    #[tokio::test]
    async fn a_kept_connection_that_was_closed_costs_nothing() {
        let count = AtomicUsize::new(0);
        let (server, remote) = Server::trusted(move |_| {
            if count.fetch_add(1, Ordering::SeqCst) == 1 { vec![Step::Close] } else { ok("body") }
        });
        for _ in 0..2 {
            assert_eq!(fetch(&remote, ROOM, patient()).await.unwrap(), b"body");
        }
        assert_eq!(server.seen.requests().len(), 3);
    }

    #[tokio::test]
    async fn a_server_that_only_hangs_up_is_asked_twice_and_no_more() {
        let (server, remote) = Server::trusted(|_| vec![Step::Close]);
        let error = fetch(&remote, ROOM, patient()).await.unwrap_err();
        assert!(matches!(error, Unavailable::Interrupted { .. }), "{error}");
        assert_eq!(error.kind(), "unreachable");
        assert_eq!(server.seen.requests().len(), 2);
    }

    #[tokio::test]
    async fn a_body_past_the_limit_is_cut() {
        // One byte is sent; the length alone must be enough.
        let announced = |_: &Asked| send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nx");
        let chunked = |_: &Asked| {
            let mut steps =
                vec![Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec())];
            steps.extend((0..1000).map(|_| Step::Send(b"6\r\nabcdef\r\n".to_vec())));
            steps
        };
        let endless = |_: &Asked| {
            let mut steps = vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())];
            steps.extend((0..1000).map(|_| Step::Send(vec![b'x'; 1000])));
            steps
        };
        for error in [outcome(announced).await, outcome(chunked).await, outcome(endless).await] {
            assert!(matches!(error, Unavailable::TooLarge { max: 10, .. }), "{error}");
        }
        let (_server, remote) = Server::trusted(|_| ok("0123456789"));
        assert_eq!(fetch(&remote, 10, patient()).await.unwrap(), b"0123456789");
    }

    #[tokio::test]
    async fn a_slow_drip_ends_at_the_deadline() {
        let (_server, remote) = Server::trusted(|_| {
            let mut steps =
                vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n".to_vec())];
            for _ in 0..10_000 {
                steps.extend([Step::Pause(Duration::from_millis(20)), Step::Send(b"x".to_vec())]);
            }
            steps
        });
        let deadline = Deadline::after(Duration::from_millis(500));
        let error = fetch(&remote, ROOM, deadline).await.unwrap_err();
        assert!(error.to_string().ends_with("did not answer in 0.5 s"), "{error}");
        assert_eq!(error.kind(), "timeout");
    }

    #[tokio::test]
    async fn silence_ends_at_the_deadline() {
        let (_server, remote) = Server::trusted(|_| vec![Step::Pause(Duration::from_secs(300))]);
        let deadline = Deadline::after(Duration::from_millis(300));
        assert_eq!(fetch(&remote, ROOM, deadline).await.unwrap_err().kind(), "timeout");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let error =
            outcome(|_| answer("302 Found", &["Location: https://evil.example/x"], "")).await;
        assert!(
            error
                .to_string()
                .ends_with(r#" redirects to "https://evil.example/x", which is not followed"#),
            "{error}"
        );
        let error = outcome(|_| answer("304 Not Modified", &[], "")).await;
        assert!(matches!(error, Unavailable::Redirect { .. }), "{error}");
    }

    #[tokio::test]
    async fn every_status_has_its_meaning() {
        for (status, kind) in [
            ("404 Not Found", "not-found"),
            ("401 Unauthorized", "unauthorized"),
            ("403 Forbidden", "unauthorized"),
            ("429 Too Many Requests", "rate-limited"),
            ("500 Internal Server Error", "server-error"),
            ("503 Service Unavailable", "server-error"),
            ("400 Bad Request", "bad-answer"),
            ("206 Partial Content", "bad-answer"),
            ("204 No Content", "bad-answer"),
        ] {
            let error = outcome(move |_| answer(status, &[], "")).await;
            assert_eq!(error.kind(), kind, "{status}: {error}");
        }
    }

    #[tokio::test]
    async fn a_server_says_when_to_come_again() {
        for (status, headers, seconds, kind) in [
            ("429 Too Many Requests", &["Retry-After: 30"][..], Some(30), "rate-limited"),
            ("429 Too Many Requests", &["Retry-After: 99999999"], Some(3600), "rate-limited"),
            ("429 Too Many Requests", &[], None, "rate-limited"),
            ("503 Service Unavailable", &["Retry-After: 7"], Some(7), "rate-limited"),
            ("503 Service Unavailable", &["Retry-After: soon"], None, "server-error"),
            // Only the two that mean it.
            ("500 Internal Server Error", &["Retry-After: 7"], None, "server-error"),
        ] {
            let error = outcome(move |_| answer(status, headers, "")).await;
            let told = (error.retry_after(), error.kind());
            assert_eq!(told, (seconds.map(Duration::from_secs), kind), "{status} {headers:?}");
        }
    }

    #[tokio::test]
    async fn an_error_with_a_long_body_keeps_its_meaning() {
        let error = outcome(|_| answer("404 Not Found", &[], &"x".repeat(100_000))).await;
        assert!(error.is_not_found(), "{error}");
    }

    #[tokio::test]
    async fn a_connection_lost_in_the_body_is_no_answer() {
        let error = outcome(|_| send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")).await;
        assert!(matches!(error, Unavailable::Interrupted { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_http_or_too_much_of_it_is_refused() {
        let many = "X: y\r\n".repeat(200);
        let long = format!("X: {}\r\n", "y".repeat(100_000));
        for text in [
            "SSH-2.0-OpenSSH_9.0\r\n\r\n".to_owned(),
            format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\n{long}Content-Length: 0\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ] {
            let error = outcome(move |_| send(text.clone())).await;
            assert!(matches!(error, Unavailable::BadAnswer { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_host_without_a_server_says_so() {
        // The port was just free.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ca = Some(super::super::testing::Authority::new().pem());
        let remote = Remote::new(settings(&format!("127.0.0.1:{port}"), ca.clone())).unwrap();
        let error = fetch(&remote, ROOM, patient()).await.unwrap_err();
        assert!(matches!(error, Unavailable::ConnectionRefused { .. }), "{error}");

        // RFC 6761 reserves the name for never resolving.
        let remote = Remote::new(settings("registry.invalid", ca)).unwrap();
        let error = fetch(&remote, ROOM, patient()).await.unwrap_err();
        assert!(matches!(error, Unavailable::UnknownHost { .. }), "{error}");
        assert!(error.to_string().starts_with(
            "trust server registry.invalid cannot be reached: the name does not resolve ("
        ));
    }
}
