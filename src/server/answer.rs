//! One request of the engine, answered.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use tracing::{Instrument, debug, info_span};

use super::call::{self, Outcome, Undisturbed};
use super::probe::Probes;
use crate::gate::{Decision, Gate};
use crate::policy::{Reason, Verdict};
use crate::record::{Asked, Recorder};
use crate::request::{self, ACTIVATE, Answer, Call, WireError};

/// Largest message taken from the engine, in bytes. Engines show bodies of up to 4 MiB,
/// which are 5.6 MB in base64, and in an `AuthZRes` the response beside it.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;

/// What answers rest on, for as long as the program runs.
pub(super) struct Desk {
    pub gate: Arc<Gate>,
    pub recorder: Arc<Recorder>,
    pub probes: Probes,
}

/// Answers one HTTP request. Always with status 200 where the path is known: the engine
/// takes any other for a broken plugin, and shows people that instead of the reason.
pub(super) async fn answer(desk: Arc<Desk>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/Plugin.Activate") => respond(StatusCode::OK, ACTIVATE),
        (&Method::POST, "/AuthZPlugin.AuthZReq") => {
            decided(&desk, authorize(Arc::clone(&desk), request.into_body())).await
        }
        (&Method::POST, "/AuthZPlugin.AuthZRes") => {
            decided(&desk, review(Arc::clone(&desk), request.into_body())).await
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
    decision: impl Future<Output = Answer> + Send + 'static,
) -> Response<Full<Bytes>> {
    let decision = Undisturbed::new(decision.instrument(info_span!("call")));
    match or_denial(decision.await, &desk.recorder).to_json() {
        Cow::Borrowed(text) => respond(StatusCode::OK, text),
        Cow::Owned(text) => respond(StatusCode::OK, text),
    }
}

/// What was answered; where deciding panicked, a denial.
fn or_denial(outcome: Outcome<Answer>, recorder: &Recorder) -> Answer {
    outcome.unwrap_or_else(|panic| {
        recorder.failed(call::said(&*panic));
        Answer::Deny(Reason::Internal.to_string())
    })
}

async fn authorize(desk: Arc<Desk>, body: Incoming) -> Answer {
    let began = Instant::now();
    let call = match read(&desk.recorder, began, body, Call::from_json).await {
        Ok(call) => call,
        Err(refused) => return refused,
    };
    let read = began.elapsed();
    desk.probes.saw(&call.uri);
    let decision = desk.gate.decide(&call).await;
    desk.recorder.decided(Asked::Request(&call), &decision, read, began);
    answer_of(decision)
}

/// What came of a call has happened already, but its caller does not know yet.
async fn review(desk: Arc<Desk>, body: Incoming) -> Answer {
    let began = Instant::now();
    let (call, response) =
        match read(&desk.recorder, began, body, request::Response::from_json).await {
            Ok(both) => both,
            Err(refused) => return refused,
        };
    let read = began.elapsed();
    let decision = desk.gate.review(&call, &response).await;
    // That all is as it was decided before the call is not worth a second line.
    if !decision.verdict.is_allow() {
        desk.recorder.decided(Asked::Response(&call), &decision, read, began);
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
    read.map_err(|why| {
        recorder.unreadable(&why, began.elapsed());
        Answer::Deny(why)
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

    #[test]
    fn a_panic_is_a_denial() {
        let recorder = Recorder::nowhere();
        assert_eq!(or_denial(Ok(Answer::Allow), &recorder), Answer::Allow);
        let panicked = Err(Box::new("as if by a bug") as _);
        let Answer::Deny(text) = or_denial(panicked, &recorder) else { panic!("allowed") };
        assert!(text.starts_with("countersign failed while it decided"), "{text}");
        let counted =
            r#"countersign_decisions_total{verb="unread",verdict="deny",code="internal"} 1"#;
        let metrics = recorder.metrics().text().unwrap();
        assert!(metrics.contains(counted), "{metrics}");
    }
}
