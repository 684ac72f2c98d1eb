//! Containers that run: which there are, and how they end.

use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::engine::{Engine, read, refused};
use super::engine_error::EngineError;
use super::http::Answer;
use super::inspect::Mount;
use super::unavailable::quote;
use crate::image::ContainerId;

/// Most bytes of a list. An entry has a kilobyte or two, labels more; no host runs so
/// many containers.
const MAX_LIST: u64 = 64 * 1024 * 1024;
/// Most bytes of an answer that says little.
const MAX_WORD: u64 = 64 * 1024;

/// A container that runs, or did a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its ID.
    pub id: ContainerId,
    /// Its name then, for messages.
    pub name: String,
}

impl Running {
    /// As the engine told of it.
    pub(super) fn told(id: &str, name: &str) -> Result<Self, EngineError> {
        let id = ContainerId::from_hex(id).ok_or_else(|| {
            EngineError::BadAnswer(format!("{} is not a container's ID", quote(id)))
        })?;
        Ok(Self { id, name: name.strip_prefix('/').unwrap_or(name).to_owned() })
    }
}

impl Engine {
    /// The containers that run now, paused ones among them.
    pub async fn containers(&self) -> Result<Vec<Running>, EngineError> {
        let url = Self::url("containers/json")?;
        let found: Vec<ListAnswer> = read(&self.send(Method::GET, url, MAX_LIST).await?)?;
        let told = |one: &ListAnswer| {
            let names = one.names.as_deref().unwrap_or_default();
            Running::told(&one.id, names.first().map_or("", String::as_str))
        };
        found.iter().map(told).collect()
    }

    /// What is mounted in its containers, running or not.
    pub async fn mounts(&self) -> Result<Vec<Mount>, EngineError> {
        let url = Self::url("containers/json?all=1")?;
        let found: Vec<MountsAnswer> = read(&self.send(Method::GET, url, MAX_LIST).await?)?;
        Ok(found.into_iter().filter_map(|one| one.mounts).flatten().collect())
    }

    /// Removes a container with its nameless volumes, running or not. One that is gone is
    /// as good as removed.
    pub async fn remove(&self, id: &ContainerId) -> Result<(), EngineError> {
        let url = Self::url(&format!("containers/{id}?force=1&v=1"))?;
        let answer = self.send(Method::DELETE, url, MAX_WORD).await?;
        done(&answer, &[StatusCode::NOT_FOUND]).map(|_| ())
    }

    /// Kills what a container runs. Whether it did run: it may be gone, or have ended.
    /// Engines do not start one again that was killed so, whatever its restart policy
    /// (`HasBeenManuallyStopped`).
    pub async fn kill(&self, id: &ContainerId) -> Result<bool, EngineError> {
        let url = Self::url(&format!("containers/{id}/kill"))?;
        let answer = self.send(Method::POST, url, MAX_WORD).await?;
        done(&answer, &[StatusCode::NOT_FOUND, StatusCode::CONFLICT])
    }
}

/// Whether it was done, or with one of these statuses, did not have to be.
fn done(answer: &Answer, needless: &[StatusCode]) -> Result<bool, EngineError> {
    if answer.status.is_success() {
        Ok(true)
    } else if needless.contains(&answer.status) {
        Ok(false)
    } else {
        Err(refused(answer))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MountsAnswer {
    mounts: Option<Vec<Mount>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListAnswer {
    id: String,
    names: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, ok, start_engine};
    use super::*;

    fn id(digit: char) -> ContainerId {
        ContainerId::from_hex(&digit.to_string().repeat(64)).unwrap()
    }

    #[tokio::test]
    async fn lists_what_runs() {
        let (_folder, seen, engine) = start_engine(|_| {
            ok(&format!(
                r#"[{{"Id":"{}","Names":["/web","/front/web"],"Image":"h.io/x","State":"running"}},
                    {{"Id":"{}","Names":null}}]"#,
                id('a'),
                id('b')
            ))
        });
        let named = |id, name: &str| Running { id, name: name.to_owned() };
        assert_eq!(engine.containers().await.unwrap(), [named(id('a'), "web"), named(id('b'), "")]);
        assert_eq!(seen.lines(), ["GET /containers/json"]);
    }

    #[tokio::test]
    async fn lists_what_is_mounted() {
        let (_folder, seen, engine) = start_engine(|_| {
            ok(
                r#"[{"Id":"a","Mounts":[{"Type":"bind","Source":"/srv","Destination":"/s","RW":false},
                  {"Type":"volume","Name":"v","Source":"","RW":true}]},
                  {"Id":"b","Mounts":null},{"Id":"c"}]"#,
            )
        });
        let mounts = engine.mounts().await.unwrap();
        let told: Vec<_> = mounts.iter().map(|one| (one.kind.as_str(), one.writable)).collect();
        assert_eq!(told, [("bind", false), ("volume", true)]);
        assert_eq!(mounts[0].source, "/srv");
        assert_eq!(seen.lines(), ["GET /containers/json?all=1"]);
    }

    #[tokio::test]
    async fn a_list_that_cannot_be_read_is_an_error() {
        for (body, said) in [
            (r#"[{"Id":"web","Names":["/web"]}]"#, "\"web\" is not a container's ID"),
            ("{}", "the engine gave a bad answer"),
        ] {
            let (_folder, _seen, engine) = start_engine(move |_| ok(body));
            let error = engine.containers().await.unwrap_err().to_string();
            assert!(error.contains(said), "{body}: {error}");
        }
    }

    #[tokio::test]
    async fn ends_containers() {
        let (_folder, seen, engine) = start_engine(|asked| {
            let line = asked.line();
            if line.contains(id('a').as_str()) {
                answer("204 No Content", &[], "")
            } else if line.contains(id('b').as_str()) {
                answer("404 Not Found", &[], r#"{"message":"no such container"}"#)
            } else {
                answer("409 Conflict", &[], r#"{"message":"not running"}"#)
            }
        });
        engine.remove(&id('a')).await.unwrap();
        engine.remove(&id('b')).await.unwrap();
        let error = engine.remove(&id('c')).await.unwrap_err().to_string();
        assert_eq!(error, r#"the engine answered 409: "not running""#);
        for (digit, ran) in [('a', true), ('b', false), ('c', false)] {
            assert_eq!(engine.kill(&id(digit)).await.unwrap(), ran, "{digit}");
        }
        assert_eq!(seen.lines()[0], format!("DELETE /containers/{}?force=1&v=1", id('a')));
        assert_eq!(seen.lines()[3], format!("POST /containers/{}/kill", id('a')));
    }
}
