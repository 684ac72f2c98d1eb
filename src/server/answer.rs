//! One request of the engine, answered.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use tracing::debug;

use super::call::{self, Outcome, Undisturbed};
use super::probe::Probes;
use crate::gate::{Decision, Gate, SharedGate};
use crate::policy::{Reason, Verdict};
use crate::record::{Asked, Recorder};
use crate::request::{self, ACTIVATE, Answer, Call, WireError};

/// Largest message taken from the engine, in bytes. Engines show bodies of up to 4 MiB,
/// which are 5.6 MB in base64, and in an `AuthZRes` the response beside it.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;

/// What answers rest on, for as long as the program runs.
pub(super) struct Desk {
    pub gate: SharedGate,
    pub recorder: Arc<Recorder>,
    pub probes: Probes,
}

/// Answers one HTTP request. Always with status 200 where the path is known: the engine
/// takes any other for a broken plugin, and shows people that instead of the reason.
pub(super) async fn answer(desk: Arc<Desk>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    // Each call is decided by the policy in force when it came.
    let gate = desk.gate.current();
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/Plugin.Activate") => respond(StatusCode::OK, ACTIVATE),
        (&Method::POST, "/AuthZPlugin.AuthZReq") => {
            let decision = authorize(Arc::clone(&desk), Arc::clone(&gate), request.into_body());
            decided(&desk, &gate, decision).await
        }
        (&Method::POST, "/AuthZPlugin.AuthZRes") => {
            let decision = review(Arc::clone(&desk), Arc::clone(&gate), request.into_body());
            decided(&desk, &gate, decision).await
        }
        (&Method::GET, "/countersign/seen") => match desk.probes.answer(request.uri().query()) {
            Some(seen) => respond(StatusCode::OK, format!(r#"{{"seen":{seen}}}"#)),
            None => respond(StatusCode::BAD_REQUEST, r#"{"Err":"ask with nonce=32 hex digits"}"#),
        },
        (method, path) => {
            debug!(%method, path, "not a call of docker.authz/1.0");
            respond(StatusCode::NOT_FOUND, r#"{"Err":"countersign speaks docker.authz/1.0 only"}"#)
        }
    }
}

/// A panic in a decision becomes a denial.
async fn decided(
    desk: &Desk,
    gate: &Gate,
    decision: impl Future<Output = Answer> + Send + 'static,
) -> Response<Full<Bytes>> {
    let decision = Undisturbed::new(decision).await;
    match or_denial(decision, gate, &desk.recorder).to_json() {
        Cow::Borrowed(text) => respond(StatusCode::OK, text),
        Cow::Owned(text) => respond(StatusCode::OK, text),
    }
}

/// What was answered; where deciding panicked, a denial, unless nothing is refused.
fn or_denial(outcome: Outcome<Answer>, gate: &Gate, recorder: &Recorder) -> Answer {
    outcome.unwrap_or_else(|panic| {
        let decision = gate.refuse(Reason::Internal);
        recorder.failed(call::said(&*panic), &decision, gate.generation());
        answer_of(decision)
    })
}

async fn authorize(desk: Arc<Desk>, gate: Arc<Gate>, body: Incoming) -> Answer {
    let began = Instant::now();
    let call = match read(&gate, &desk.recorder, began, body, Call::from_json).await {
        Ok(call) => call,
        Err(refused) => return refused,
    };
    let read = began.elapsed();
    desk.probes.saw(&call.uri);
    let decision = gate.decide(&call).await;
    desk.recorder.decided(Asked::Request(&call), &decision, gate.generation(), read, began);
    answer_of(decision)
}

/// What came of a call has happened already, but its caller does not know yet.
async fn review(desk: Arc<Desk>, gate: Arc<Gate>, body: Incoming) -> Answer {
    let began = Instant::now();
    let message = request::Response::from_json;
    let (call, response) = match read(&gate, &desk.recorder, began, body, message).await {
        Ok(both) => both,
        Err(refused) => return refused,
    };
    let read = began.elapsed();
    let decision = gate.review(&call, &response).await;
    // That all is as it was decided before the call is not worth a second line.
    if !decision.verdict.is_allow() {
        desk.recorder.decided(Asked::Response(&call), &decision, gate.generation(), read, began);
    }
    answer_of(decision)
}

fn answer_of(decision: Decision) -> Answer {
    match decision.verdict {
        Verdict::Allow(_) => Answer::Allow,
        Verdict::Deny(refusal) => Answer::Deny(refusal.to_string()),
    }
}

/// Reads the engine's message, or refuses the call.
async fn read<T>(
    gate: &Gate,
    recorder: &Recorder,
    began: Instant,
    body: Incoming,
    message: impl FnOnce(&[u8]) -> Result<T, WireError>,
) -> Result<T, Answer> {
    let read = match receive(body).await {
        // An empty one is what engines send when they repeat a call whose answer they
        // missed (`pkg/plugins`, callWithRetry): it says nothing, so it allows nothing.
        Ok(bytes) => message(&bytes).map_err(|error| {
            format!("the engine's message about this call cannot be read: {error}")
        }),
        Err(why) => Err(why),
    };
    read.map_err(|fault| {
        let decision = gate.refuse(Reason::Message { fault });
        recorder.unreadable(&decision, gate.generation(), began.elapsed());
        answer_of(decision)
    })
}

async fn receive(body: Incoming) -> Result<Bytes, String> {
    match Limited::new(body, MAX_MESSAGE).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(format!("the engine's message about this call is over {MAX_MESSAGE} bytes"))
        }
        Err(error) => Err(format!("the engine's message broke off: {error}")),
    }
}

fn respond(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/vnd.docker.plugins.v1.2+json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Settings;
    use crate::policy::Policy;

    #[test]
    fn a_panic_is_a_denial_unless_nothing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::nowhere();
        for (mode, denied) in [("enforce", true), ("audit", false)] {
            let text =
                format!("[trust_configuration]\nrequire_content_trust = true\nmode = \"{mode}\"\n");
            let none = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
            let policy = Policy::from_toml(&text, &none).unwrap();
            let state_dir = dir.path().to_owned();
            let gate =
                Gate::new(Settings { policy, engine: None, state_dir, offline: true }).unwrap();
            assert_eq!(or_denial(Ok(Answer::Allow), &gate, &recorder), Answer::Allow);
            match or_denial(Err(Box::new("as if by a bug") as _), &gate, &recorder) {
                Answer::Deny(text) if denied => {
                    assert!(text.starts_with("countersign failed while it decided"), "{text}");
                }
                answer => assert_eq!((answer, denied), (Answer::Allow, false), "{mode}"),
            }
        }
        let metrics = recorder.metrics().text().unwrap();
        for (verdict, code) in [("deny", "internal"), ("allow", "audit")] {
            let counted = format!(
                r#"countersign_decisions_total{{verb="unread",verdict="{verdict}",code="{code}"}} 1"#
            );
            assert!(metrics.contains(&counted), "{metrics}");
        }
    }
}
