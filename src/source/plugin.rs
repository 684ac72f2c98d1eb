//! Our own plugin socket, asked as an engine would ask it.

use std::io;
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use hyper::header::{HOST, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::clock::Deadline;
use super::http::{Call, Failure, innermost};
use super::socket::SocketClient;
use super::unavailable::quote;

/// Most bytes of an answer; they are all one line.
const MAX_ANSWER: u64 = 64 * 1024;
/// Longest wait. Nothing asked here needs the network.
const PATIENCE: Duration = Duration::from_secs(3);

/// A plugin on its unix socket.
pub struct PluginSocket {
    client: SocketClient,
}

impl PluginSocket {
    /// The plugin on this socket. Connects to nothing yet.
    pub fn new(socket: &Path) -> Self {
        Self { client: SocketClient::new(socket) }
    }

    /// The handshake that engines begin with: what the plugin says it implements.
    pub async fn activate(&self) -> Result<Vec<String>, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Activated {
            implements: Vec<String>,
        }
        let answer: Activated = self.ask(Method::POST, "Plugin.Activate").await?;
        Ok(answer.implements)
    }

    /// Whether an engine has shown it the probe of this nonce.
    pub async fn has_seen(&self, nonce: &str) -> Result<bool, String> {
        #[derive(Deserialize)]
        struct Seen {
            seen: bool,
        }
        let answer: Seen =
            self.ask(Method::GET, &format!("countersign/seen?nonce={nonce}")).await?;
        Ok(answer.seen)
    }

    /// Shows it a call that reads and changes nothing, as an engine would: whether it lets the
    /// call be, and with its message where it does not.
    pub async fn would_allow(&self, target: &str) -> Result<Result<(), String>, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Verdict {
            allow: bool,
            #[serde(default)]
            msg: String,
        }
        let body = serde_json::json!({ "RequestMethod": "GET", "RequestUri": target }).to_string();
        let exchange = tokio::time::timeout(PATIENCE, self.post("AuthZPlugin.AuthZReq", &body));
        let answer = match exchange.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(format!("it cannot be asked: {error}")),
            Err(_) => return Err(format!("it did not answer in {} s", PATIENCE.as_secs())),
        };
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("200") {
            return Err(format!("it answered {}", quote(status)));
        }
        let verdict: Verdict =
            serde_json::from_str(body).map_err(|error| format!("it gave a bad answer: {error}"))?;
        Ok(if verdict.allow { Ok(()) } else { Err(verdict.msg) })
    }

    /// One exchange with a body, on a connection of its own.
    async fn post(&self, path: &str, body: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(self.client.path()).await?;
        let call = format!(
            "POST /{path} HTTP/1.1\r\nHost: countersign\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(call.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The error is a sentence that starts with "it".
    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, String> {
        let url = format!("/{path}")
            .parse()
            .map_err(|_| "its path cannot be that of a socket".to_owned())?;
        let call = Call {
            method,
            url,
            headers: HeaderMap::from_iter([(HOST, HeaderValue::from_static("countersign"))]),
            max: MAX_ANSWER,
            deadline: Deadline::after(PATIENCE),
        };
        let answer = self.client.exchange(&call).await.map_err(|failure| match failure {
            Failure::Timeout => format!("it did not answer in {} s", PATIENCE.as_secs()),
            Failure::TooLarge => "it gave an answer that is too large".to_owned(),
            Failure::Encoded => "it gave an answer that is compressed".to_owned(),
            Failure::Connect(error) => format!("it cannot be asked: {}", innermost(&error)),
            Failure::Exchange(error) => format!("it cannot be asked: {}", innermost(&error)),
            Failure::Broken(error) => format!("it cannot be asked: {}", innermost(&error)),
        })?;
        if !answer.status.is_success() {
            return Err(format!("it answered {}", answer.status.as_u16()));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| format!("it gave a bad answer: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, engine, ok};
    use super::*;

    #[tokio::test]
    async fn asks_as_an_engine_does() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("cs.sock");
        let seen = engine(&socket, |asked| match asked.line() {
            "POST /Plugin.Activate" => ok(r#"{"Implements":["authz"]}"#),
            "GET /countersign/seen?nonce=1" => ok(r#"{"seen":true}"#),
            "GET /countersign/seen?nonce=2" => ok("[]"),
            _ => answer("404 Not Found", &[], "{}"),
        });
        let plugin = PluginSocket::new(&socket);
        assert_eq!(plugin.activate().await.unwrap(), ["authz"]);
        assert_eq!(plugin.has_seen("1").await, Ok(true));
        assert!(plugin.has_seen("2").await.unwrap_err().starts_with("it gave a bad answer: "));
        assert_eq!(plugin.has_seen("3").await.unwrap_err(), "it answered 404");
        assert_eq!(seen.requests()[0].header("host"), Some("countersign"));

        let absent = PluginSocket::new(&folder.path().join("absent.sock"));
        let error = absent.activate().await.unwrap_err();
        assert!(error.starts_with("it cannot be asked: No such file"), "{error}");
    }
}
