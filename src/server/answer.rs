//! One request of the engine, answered.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::call::{self, Outcome, Undisturbed};
use super::probe::Probes;
use crate::gate::{Decision, Gate};
use crate::policy::{Grant, Reason, Verdict};
use crate::request::{self, ACTIVATE, Answer, Call, WireError};

/// Largest message taken from the engine, in bytes. Engines show bodies of up to 4 MiB,
/// which are 5.6 MB in base64, and in an `AuthZRes` the response beside it.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;

/// Answers one HTTP request. Always with status 200 where the path is known: the engine
/// takes any other for a broken plugin, and shows people that instead of the reason.
pub(super) async fn answer(
    gate: Arc<Gate>,
    probes: Arc<Probes>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/Plugin.Activate") => respond(StatusCode::OK, ACTIVATE),
        (&Method::POST, "/AuthZPlugin.AuthZReq") => {
            let decision = authorize(Arc::clone(&gate), probes, request.into_body());
            decided(&gate, decision).await
        }
        (&Method::POST, "/AuthZPlugin.AuthZRes") => {
            decided(&gate, review(Arc::clone(&gate), request.into_body())).await
        }
        (&Method::GET, "/countersign/seen") => match probes.answer(request.uri().query()) {
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
    gate: &Gate,
    decision: impl Future<Output = Answer> + Send + 'static,
) -> Response<Full<Bytes>> {
    let decision = Undisturbed::new(decision.instrument(info_span!("call")));
    match or_denial(gate, decision.await).to_json() {
        Cow::Borrowed(text) => respond(StatusCode::OK, text),
        Cow::Owned(text) => respond(StatusCode::OK, text),
    }
}

/// What was answered; where deciding panicked, a denial, unless nothing is refused.
fn or_denial(gate: &Gate, outcome: Outcome<Answer>) -> Answer {
    outcome.unwrap_or_else(|panic| {
        let decision = gate.refuse(Reason::Internal);
        let (error, code) = (call::said(&*panic), decision.verdict.code());
        error!(error, code, "a decision failed: this is a bug");
        answer_of(decision)
    })
}

async fn authorize(gate: Arc<Gate>, probes: Arc<Probes>, body: Incoming) -> Answer {
    let began = Instant::now();
    let call = match read(&gate, body, Call::from_json).await {
        Ok(call) => call,
        Err(refused) => return refused,
    };
    probes.saw(&call.uri);
    let decision = gate.decide(&call).await;
    record(&gate, &call, &decision, began);
    answer_of(decision)
}

/// What came of a call has happened already, but its caller does not know yet.
async fn review(gate: Arc<Gate>, body: Incoming) -> Answer {
    let began = Instant::now();
    let (call, response) = match read(&gate, body, request::Response::from_json).await {
        Ok(both) => both,
        Err(refused) => return refused,
    };
    let decision = gate.review(&call, &response).await;
    // That all is as it was decided before the call is not worth a second line.
    if !decision.verdict.is_allow() {
        record(&gate, &call, &decision, began);
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
        let decision = gate.refuse(Reason::Message { fault: fault.clone() });
        let verdict = if decision.verdict.is_allow() { "allow" } else { "deny" };
        warn!(verdict, code = "message-malformed", why = fault, "decided");
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

/// One line for each decision; calls that bring and run nothing only at debug.
fn record(gate: &Gate, call: &Call, decision: &Decision, began: Instant) {
    let verdict = &decision.verdict;
    let code = verdict.code();
    let (method, uri) = (call.method.as_str(), shown(&call.uri));
    let user = call.user.as_deref().unwrap_or_default();
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let subject = decision.subject.as_str();
    let rule = decision.rule.as_deref().unwrap_or_default();
    let policy = gate.generation();
    for note in &decision.notes {
        warn!(note, "note");
    }
    match verdict {
        Verdict::Allow(Grant::NotJudged) => {
            debug!(verdict = "allow", code, method, uri, user, %policy, micros, "decided");
        }
        Verdict::Allow(Grant::Excused { refusal, leave }) => {
            let (would, why, leave) =
                (refusal.reason().code(), refusal.summary(), leave.to_string());
            warn!(
                verdict = "allow",
                code,
                would,
                method,
                uri,
                user,
                subject,
                rule,
                %policy,
                why,
                leave,
                micros,
                "decided"
            );
        }
        Verdict::Allow(_) => {
            info!(
                verdict = "allow",
                code, method, uri, user, subject, rule, %policy, micros, "decided"
            );
        }
        Verdict::Deny(refusal) => {
            let why = refusal.summary();
            info!(
                verdict = "deny",
                code, method, uri, user, subject, rule, %policy, why, micros, "decided"
            );
        }
    }
}

/// The path, to know the call by. A query may hold secrets (build arguments, say); what it
/// says of an image is told as the subject.
fn shown(uri: &str) -> &str {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    path.char_indices().nth(300).and_then(|(end, _)| path.get(..end)).unwrap_or(path)
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
        for (mode, denied) in [("enforce", true), ("audit", false)] {
            let text =
                format!("[trust_configuration]\nrequire_content_trust = true\nmode = \"{mode}\"\n");
            let none = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
            let policy = Policy::from_toml(&text, &none).unwrap();
            let state_dir = dir.path().to_owned();
            let gate =
                Gate::new(Settings { policy, engine: None, state_dir, offline: true }).unwrap();
            assert_eq!(or_denial(&gate, Ok(Answer::Allow)), Answer::Allow);
            match or_denial(&gate, Err(Box::new("as if by a bug"))) {
                Answer::Deny(text) if denied => {
                    assert!(text.starts_with("countersign failed while it decided"), "{text}");
                }
                answer => assert_eq!((answer, denied), (Answer::Allow, false), "{mode}"),
            }
        }
    }
}
