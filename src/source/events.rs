//! The engine's events: containers that start, whoever starts them.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;

use super::clock::now;
use super::containers::Running;
use super::engine::Engine;
use super::engine_error::EngineError;
use super::http::Failure;
use super::url::query_value;

/// Most bytes of one event. It holds the container's labels, and these as much as fits
/// into a call. A longer one ends the stream.
const MAX_EVENT: usize = 4 * 1024 * 1024;
/// Containers alone, and of these that they start: by a call, a restart policy, swarm.
const FILTERS: &str = r#"{"type":["container"],"event":["start"]}"#;

/// Containers that start, from when this was asked for.
pub struct Starts<'e> {
    engine: &'e Engine,
    body: Incoming,
    /// What came and is not a whole line yet.
    rest: Vec<u8>,
    /// How much of it is known to hold no line end.
    searched: usize,
}

impl Engine {
    /// Containers that start from now on. Engines send the answer's head before they
    /// begin to listen (`getEvents`), so what happens in between is asked for by time;
    /// that second's earlier events come too.
    pub async fn events(&self) -> Result<Starts<'_>, EngineError> {
        let since = now().as_second();
        let filters = query_value(FILTERS);
        let url = Self::url(&format!("events?since={since}&filters={filters}"))?;
        let body = self.stream(url).await?;
        Ok(Starts { engine: self, body, rest: Vec::new(), searched: 0 })
    }
}

impl Starts<'_> {
    /// The next container that starts; waits for it as long as it takes. Nothing is lost
    /// when the wait is given up. After an error there is nothing more to come.
    pub async fn next(&mut self) -> Result<Running, EngineError> {
        loop {
            if let Some(line) = self.line() {
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return parse(&line);
            }
            if self.rest.len() > MAX_EVENT {
                return Err(EngineError::TooLarge { max: MAX_EVENT as u64 });
            }
            let frame = self.body.frame().await.ok_or(EngineError::Ended)?;
            let frame = frame
                .map_err(|error| self.engine.explain(Failure::Broken(error), MAX_EVENT as u64))?;
            if let Ok(data) = frame.into_data() {
                self.rest.extend_from_slice(&data);
            }
        }
    }

    /// The next whole line that is here.
    fn line(&mut self) -> Option<Vec<u8>> {
        let new = self.rest.get(self.searched..)?;
        match new.iter().position(|byte| *byte == b'\n') {
            None => {
                self.searched = self.rest.len();
                None
            }
            Some(position) => {
                let line = self.rest.drain(..=self.searched + position).collect();
                self.searched = 0;
                Some(line)
            }
        }
    }
}

/// Source: `events.Message`. API 1.52 left `id` and `from` out; `Actor` is in all.
fn parse(line: &[u8]) -> Result<Running, EngineError> {
    let event: EventAnswer =
        serde_json::from_slice(line).map_err(|error| EngineError::BadAnswer(error.to_string()))?;
    Running::told(&event.actor.id, &event.actor.attributes.name)
}

#[derive(Deserialize)]
struct EventAnswer {
    #[serde(rename = "Actor")]
    actor: ActorAnswer,
}

#[derive(Deserialize)]
struct ActorAnswer {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: Attributes,
}

/// Labels stand among them; the engine writes its own over these.
#[derive(Deserialize)]
struct Attributes {
    #[serde(default)]
    name: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{Step, answer, start_engine};
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";

    fn event(id: &str, labels: &str) -> String {
        format!(
            "{{\"status\":\"start\",\"id\":\"{id}\",\"from\":\"h.io/x\",\"Type\":\"container\",\
             \"Action\":\"start\",\"Actor\":{{\"ID\":\"{id}\",\"Attributes\":\
             {{\"image\":\"h.io/x\",\"label\":\"{labels}\",\"name\":\"web\"}}}},\
             \"scope\":\"local\",\"time\":1,\"timeNano\":1}}\n"
        )
    }

    fn chunk(text: &str) -> Step {
        Step::Send(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
    }

    fn head() -> Step {
        Step::Send(HEAD.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn reads_events_however_they_are_cut() {
        let ids = ["a", "b", "c"].map(|digit| digit.repeat(64));
        let sent = ids.clone();
        let (_folder, seen, engine) = start_engine(move |_| {
            let two = format!("{}\n{}", event(&sent[0], ""), event(&sent[1], ""));
            let (first, second) = two.split_at(two.len() / 3);
            let long = event(&sent[2], &"x".repeat(100_000));
            let (third, fourth) = long.split_at(99);
            vec![
                head(),
                chunk(first),
                Step::Pause(Duration::from_millis(50)),
                chunk(second),
                chunk(third),
                Step::Pause(Duration::from_millis(50)),
                chunk(fourth),
                Step::Send(b"0\r\n\r\n".to_vec()),
            ]
        });
        let mut events = engine.events().await.unwrap();
        for id in ids {
            let started = events.next().await.unwrap();
            assert_eq!((started.id.as_str(), started.name.as_str()), (id.as_str(), "web"));
        }
        assert!(matches!(events.next().await, Err(EngineError::Ended)));
        let line = &seen.lines()[0];
        assert!(line.starts_with("GET /events?since="), "{line}");
        assert!(line.ends_with("&filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%5D%7D"), "{line}");
    }

    #[tokio::test]
    async fn a_stream_that_cannot_be_read_is_an_error() {
        type Steps = fn() -> Vec<Step>;
        let endings: [(Steps, &str); 5] = [
            (|| vec![chunk("{}\n")], "missing field `Actor`"),
            (|| vec![chunk(&event("web", ""))], "is not a container's ID"),
            (|| vec![chunk("{\"Actor\":"), Step::Close], "cannot be asked"),
            (|| vec![chunk(&"x".repeat(MAX_EVENT + 1))], "larger than 4194304 bytes"),
            (|| vec![Step::Send(b"zz\r\n".to_vec())], "cannot be asked"),
        ];
        for (steps, said) in endings {
            let (_folder, _seen, engine) =
                start_engine(move |_| [vec![head()], steps()].into_iter().flatten().collect());
            let error = engine.events().await.unwrap().next().await.unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
        let (_folder, _seen, engine) = start_engine(|_| answer("403 Forbidden", &[], "{}"));
        assert!(matches!(engine.events().await, Err(EngineError::Status { status: 403, .. })));
    }

    #[tokio::test]
    async fn giving_up_a_wait_loses_nothing() {
        let id = "d".repeat(64);
        let sent = id.clone();
        let (_folder, _seen, engine) = start_engine(move |_| {
            let whole = event(&sent, "");
            let (first, second) = whole.split_at(40);
            vec![head(), chunk(first), Step::Pause(Duration::from_millis(300)), chunk(second)]
        });
        let mut events = engine.events().await.unwrap();
        let short = Duration::from_millis(100);
        assert!(tokio::time::timeout(short, events.next()).await.is_err());
        assert_eq!(events.next().await.unwrap().id.as_str(), id);
    }
}
