//! The engine this node runs, asked over its own socket.
//!
//! What we ask comes back to us as calls to authorize, so only such are used as are
//! answered without asking anybody, or we would wait for ourselves: `GET`s here, and what
//! stops or removes a container (`containers`).
//!
//! Paths carry no API version, so the engine answers in its newest: Docker Engine 20.10
//! speaks up to 1.41 and 29 no less than 1.44, and no version serves both.

use std::path::Path;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::clock::Deadline;
use super::engine_error::{EngineError, MAX_SOCKET};
use super::http::{Answer, Call, Failure, innermost};
use super::socket::SocketClient;
use super::unavailable::quote;
use super::url;
use crate::image::{Digest, ImageId};

/// Most bytes of one answer. A container's health log and environment can make it
/// large, but not this large.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;
/// Longest wait for one answer. The engine is on this host and only looks things up; a
/// minute would already be an engine in trouble.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest name asked for: a reference has at most 255 + 1 + 128 + 1 + 71 characters.
const MAX_NAME: usize = 512;

/// A Docker Engine on its unix socket.
pub struct Engine {
    client: SocketClient,
    patience: Duration,
}

/// An image the engine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalImage {
    /// Its ID, which commits to the content.
    pub id: ImageId,
    /// The digest of its manifest or index, where the engine says (API 1.48 and later).
    pub descriptor: Option<Digest>,
    /// Names and digests it was pulled or pushed under. The names are whatever a caller
    /// once used, and prove nothing. Entries of any other form are left out.
    pub repo_digests: Vec<(String, Digest)>,
    /// Whether a graph driver keeps it: then those digests are the engine's own and true, and
    /// the ID is the digest of its configuration.
    pub has_graph_driver: bool,
    /// The architecture it says it is for.
    pub architecture: String,
}

impl Engine {
    /// An engine on this socket. Connects to nothing yet.
    pub fn new(socket: &Path) -> Result<Self, EngineError> {
        let fits = socket.to_str().is_some_and(|path| (1..=MAX_SOCKET).contains(&path.len()));
        if !fits {
            return Err(EngineError::Socket { path: socket.to_owned() });
        }
        Ok(Self { client: SocketClient::new(socket), patience: PATIENCE })
    }

    /// The image the engine takes `name` for: a name, a whole ID or the start of one.
    /// Nothing if it holds none.
    pub async fn image(&self, name: &str) -> Result<Option<LocalImage>, EngineError> {
        let Some(image) = self.get::<ImageAnswer>("images", name).await? else { return Ok(None) };
        let digest = |text: &str| {
            text.parse().map_err(|error| {
                EngineError::BadAnswer(format!("the image ID {}: {error}", quote(text)))
            })
        };
        let has_graph_driver = image.has_graph_driver();
        let repo_digests = image.repo_digests.unwrap_or_default();
        Ok(Some(LocalImage {
            id: ImageId(digest(&image.id)?),
            descriptor: image.descriptor.map(|found| digest(&found.digest)).transpose()?,
            repo_digests: repo_digests
                .iter()
                .filter_map(|entry| {
                    let (name, digest) = entry.rsplit_once('@')?;
                    Some((name.to_owned(), digest.parse().ok()?))
                })
                .collect(),
            has_graph_driver,
            architecture: image.architecture,
        }))
    }

    /// `GET /KIND/NAME`, or the inspection below it. Nothing if the engine answers 404.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        kind: &str,
        name: &str,
    ) -> Result<Option<T>, EngineError> {
        let bad_name = || EngineError::Name { name: quote(name) };
        if name.len() > MAX_NAME {
            return Err(bad_name());
        }
        // A service's own path is the inspection, and a volume's; the others have it below.
        let tail = if matches!(kind, "services" | "volumes") { "" } else { "/json" };
        let name = url::path_part(name).ok_or_else(bad_name)?;
        self.ask(&format!("{kind}/{name}{tail}")).await
    }

    /// `GET /path`, where `path` is already encoded. Nothing if the engine answers 404.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Option<T>, EngineError> {
        let answer = self.fetch(path).await?;
        if answer.status == StatusCode::NOT_FOUND { Ok(None) } else { read(&answer).map(Some) }
    }

    /// `GET /path`, whatever the answer.
    pub(super) async fn fetch(&self, path: &str) -> Result<Answer, EngineError> {
        self.send(Method::GET, Self::url(path)?, MAX_ANSWER).await
    }

    /// The URL of a path that is already encoded.
    pub(super) fn url(path: &str) -> Result<Uri, EngineError> {
        let url = format!("/{path}").parse();
        url.map_err(|_| EngineError::Name { name: quote(path) })
    }

    /// One exchange.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Uri,
        max: u64,
    ) -> Result<Answer, EngineError> {
        let call = self.call(method, url, max);
        self.client.exchange(&call).await.map_err(|error| self.explain(error, max))
    }

    /// The answer's body, which goes on and on.
    pub(super) async fn stream(&self, url: Uri) -> Result<Incoming, EngineError> {
        let call = self.call(Method::GET, url, MAX_ANSWER);
        let answer = self.client.open(&call).await;
        let answer = answer.map_err(|error| self.explain(error, MAX_ANSWER))?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            status => Err(EngineError::Status {
                status: status.as_u16(),
                message: "no stream of events".to_owned(),
            }),
        }
    }

    fn call(&self, method: Method, url: Uri, max: u64) -> Call {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("docker"))]);
        Call { method, url, headers, max, deadline: Deadline::after(self.patience) }
    }

    pub(super) fn explain(&self, failure: Failure, max: u64) -> EngineError {
        let unreachable = |error: &(dyn std::error::Error + 'static)| EngineError::Unreachable {
            socket: self.client.path().to_owned(),
            cause: innermost(error),
        };
        match failure {
            Failure::Timeout => EngineError::Timeout {
                socket: self.client.path().to_owned(),
                allowed: self.patience,
            },
            Failure::TooLarge => EngineError::TooLarge { max },
            Failure::Encoded => EngineError::BadAnswer("it is compressed".to_owned()),
            Failure::Connect(error) => unreachable(&error),
            Failure::Exchange(error) => unreachable(&error),
            Failure::Broken(error) => unreachable(&error),
        }
    }
}

/// What a good answer says.
pub(super) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, EngineError> {
    if answer.status != StatusCode::OK {
        return Err(refused(answer));
    }
    serde_json::from_slice(&answer.body).map_err(|error| EngineError::BadAnswer(error.to_string()))
}

/// An answer that is an error.
pub(super) fn refused(answer: &Answer) -> EngineError {
    EngineError::Status { status: answer.status.as_u16(), message: words(answer) }
}

/// IDs and names of containers, services and volumes hold no slash. What holds one would be
/// another path of the API.
pub(super) fn no_slash(id: &str) -> Result<&str, EngineError> {
    if id.contains('/') { Err(EngineError::Name { name: quote(id) }) } else { Ok(id) }
}

/// The engine's own words in an error.
fn words(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct ErrorAnswer {
        message: String,
    }
    serde_json::from_slice::<ErrorAnswer>(&answer.body)
        .map_or_else(|_| "no reason given".to_owned(), |error| quote(&error.message))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageAnswer {
    id: String,
    descriptor: Option<DescriptorAnswer>,
    repo_digests: Option<Vec<String>>,
    graph_driver: Option<GraphDriverAnswer>,
    #[serde(default)]
    architecture: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriverAnswer {
    name: String,
}

impl ImageAnswer {
    /// Whether the engine keeps images with a graph driver, and so makes the digests in
    /// `RepoDigests` itself, from what it pulled or pushed.
    ///
    /// The containerd store takes them from the *names* of images instead: one loaded as
    /// `good@sha256:<signed>` shows that digest whatever it contains (Docker Engine 28.5).
    /// There the ID is the manifest's digest and all there is to go by. These are the names
    /// of graph drivers alone (`daemon/graphdriver`); names that containerd snapshotters
    /// have too are not among them.
    fn has_graph_driver(&self) -> bool {
        const DRIVERS: [&str; 5] = ["aufs", "devicemapper", "overlay", "overlay2", "vfs"];
        self.descriptor.is_none()
            && self.graph_driver.as_ref().is_some_and(|driver| DRIVERS.contains(&&*driver.name))
    }
}

#[derive(Deserialize)]
struct DescriptorAnswer {
    digest: String,
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Step, answer, ok, start_engine as start};
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[tokio::test]
    async fn reads_images_of_both_stores() {
        let (_folder, seen, engine) = start(|asked| {
            if asked.line().contains("graph") {
                ok(&format!(
                    r#"{{"Id":"{A}","RepoTags":["h.io/x:1"],"RepoDigests":["h.io/x@{B}",
                        "h.io/y@sha512:00","nonsense"],"Os":"linux","Architecture":"arm64","Config":null,
                        "GraphDriver":{{"Name":"overlay2","Data":{{}}}}}}"#
                ))
            } else if asked.line().contains("containerd") {
                ok(&format!(
                    r#"{{"Id":"{A}","RepoDigests":["h.io:5000/x@{A}","h.io/x@{B}"],
                        "GraphDriver":{{"Name":"overlayfs","Data":null}},"Descriptor":{{"mediaType":"m","digest":"{A}","size":1}}}}"#
                ))
            } else {
                ok(&format!(r#"{{"Id":"{A}","RepoDigests":null,"Descriptor":null}}"#))
            }
        });
        let (a, b): (Digest, Digest) = (A.parse().unwrap(), B.parse().unwrap());
        let expected = |descriptor, repo_digests, has_graph_driver| {
            let architecture = if has_graph_driver { "arm64" } else { "" }.to_owned();
            let id = ImageId(a);
            Some(LocalImage { id, descriptor, repo_digests, has_graph_driver, architecture })
        };
        assert_eq!(
            engine.image("graph").await.unwrap(),
            expected(None, vec![("h.io/x".to_owned(), b)], true)
        );
        assert_eq!(
            engine.image("containerd").await.unwrap(),
            expected(Some(a), vec![("h.io:5000/x".to_owned(), a), ("h.io/x".to_owned(), b)], false)
        );
        assert_eq!(engine.image(A).await.unwrap(), expected(None, vec![], false));
        assert_eq!(seen.connections(), 1);
        assert_eq!(seen.requests()[0].header("host"), Some("docker"));
    }

    #[tokio::test]
    async fn a_hostile_name_stays_a_name() {
        let (_folder, seen, engine) = start(|_| answer("404 Not Found", &[], "{}"));
        for (name, path) in [
            ("h.io:5443/qa/app:1.0", "/images/h.io:5443/qa/app:1.0/json"),
            ("x?all=1", "/images/x%3Fall%3D1/json"),
            ("x#", "/images/x%23/json"),
            ("x%2f..", "/images/x%252f../json"),
            ("x HTTP/1.1\r\nX: y", "/images/x%20HTTP/1.1%0D%0AX:%20y/json"),
            ("get", "/images/get/json"),
        ] {
            assert_eq!(engine.image(name).await.unwrap(), None, "{name:?}");
            assert_eq!(seen.lines().last().unwrap(), &format!("GET {path}"), "{name:?}");
        }
        let asked = seen.requests().len();
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", "/", "..", "../containers/x", "a/../../containers/x", "a//b", "a/", &long]
        {
            let error = engine.image(name).await.unwrap_err();
            assert!(matches!(error, EngineError::Name { .. }), "{name:?}: {error}");
        }
        for id in ["", "a/b", "../images/x", "x/logs"] {
            assert!(matches!(engine.container(id).await, Err(EngineError::Name { .. })), "{id}");
            assert!(matches!(engine.service(id).await, Err(EngineError::Name { .. })), "{id}");
            assert!(matches!(engine.volume(id).await, Err(EngineError::Name { .. })), "{id}");
        }
        assert_eq!(seen.requests().len(), asked);
    }

    #[tokio::test]
    async fn an_engine_in_trouble_is_an_error() {
        let (_folder, _seen, engine) = start(|asked| match asked.line() {
            "GET /images/denied/json" => {
                answer("403 Forbidden", &[], r#"{"message":"denied by \u001b[2J"}"#)
            }
            "GET /images/broken/json" => answer("500 Internal Server Error", &[], "oops"),
            "GET /images/moved/json" => answer("301 Moved", &["Location: /x"], ""),
            "GET /images/large/json" => {
                answer("200 OK", &[], &"x".repeat(usize::try_from(MAX_ANSWER).unwrap() + 1))
            }
            "GET /images/half/json" => vec![
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()),
                Step::Close,
            ],
            "GET /images/text/json" => ok("text"),
            "GET /images/no-id/json" => ok("{}"),
            _ => ok(r#"{"Id":"sha512:00"}"#),
        });
        for (name, said) in [
            ("denied", r#"the engine answered 403: "denied by \u{1b}[2J""#),
            ("broken", "the engine answered 500: no reason given"),
            ("moved", "the engine answered 301: no reason given"),
            ("large", "the engine gave an answer larger than 8388608 bytes"),
            ("half", "cannot be asked"),
            ("text", "the engine gave a bad answer"),
            ("no-id", "the engine gave a bad answer: missing field `Id`"),
            ("other", "only sha256 digests can be verified"),
        ] {
            let error = engine.image(name).await.unwrap_err().to_string();
            assert!(error.contains(said), "{name}: {error}");
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_or_hangs_is_an_error() {
        let (folder, _seen, mut hanging) = start(|_| vec![Step::Pause(Duration::from_secs(300))]);
        hanging.patience = Duration::from_millis(300);
        let error = hanging.image("x").await.unwrap_err().to_string();
        assert!(error.ends_with("did not answer in 0.3 s"), "{error}");

        let absent = Engine::new(&folder.path().join("absent.sock")).unwrap();
        let error = absent.image("x").await.unwrap_err().to_string();
        assert!(error.contains("absent.sock cannot be asked: No such file"), "{error}");

        for path in ["", "x".repeat(MAX_SOCKET + 1).as_str()] {
            let error = Engine::new(Path::new(path)).map(|_| ()).unwrap_err();
            assert!(matches!(error, EngineError::Socket { .. }), "{error}");
        }
    }
}
