//! Calls recorded on real engines, and what this room must make of them.
//!
//! `tests/data/calls/cases.json` holds messages as Docker Engine 20.10.24 sent them. Where
//! that engine never asks (B06, B07, B21, B22, F12, H11), where no client could make it
//! (`P…`), and in A03, A04, A05, C34, C35, C37, C39, C48 and F13, they are written as it would.
//! `tests/e2e/recorded.rs` makes the same calls to real engines.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Call, HostAccess, Intent, Refusal, ServiceVerb, StartVerb, read, stored_access};

/// The header with which a caller proves that there is no body.
pub(super) const NO_BODY: &[(&str, &str)] = &[("Content-Length", "0")];

/// A call as the engine would show it.
pub(super) fn call(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Call {
    use base64::Engine as _;
    let headers: serde_json::Map<_, _> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let message = serde_json::json!({
        "RequestMethod": method,
        "RequestUri": uri,
        "RequestHeaders": headers,
        "RequestBody": base64::engine::general_purpose::STANDARD.encode(body),
    });
    Call::from_json(message.to_string().as_bytes()).unwrap()
}

/// What is made of a call, in a line.
pub(super) fn outcome(call: &Call) -> String {
    match read(call) {
        Ok(Intent::Pass) => "pass".to_owned(),
        Ok(Intent::Guarded { permission, .. }) => format!("guarded {permission}"),
        Ok(Intent::Pull(image)) => format!("pull {image}"),
        Ok(Intent::Tag { written, name }) => format!("tag {written} as {name}"),
        Ok(Intent::Create { image, access, .. }) => format!("create {image}{}", asking(&access)),
        Ok(Intent::Start { container, verb: StartVerb::Start }) => format!("start {container}"),
        Ok(Intent::Start { container, verb: StartVerb::Restart }) => format!("restart {container}"),
        Ok(Intent::Rename) => "rename".to_owned(),
        Ok(Intent::Service { image, verb, access }) => {
            let verb = if verb == ServiceVerb::Create { "create" } else { "update" };
            format!("service {verb} {image}{}", asking(&access))
        }
        Ok(Intent::Rollback { service }) => format!("rollback {service}"),
        Ok(Intent::Volume { access }) => format!("volume{}", asking(&access)),
        Ok(Intent::Exec { container, access, .. }) => {
            format!("exec {container}{}", asking(&access))
        }
        Ok(Intent::ExecStart { exec, .. }) => format!("exec start {exec}"),
        Ok(Intent::Update { container, access }) => {
            format!("update {container}{}", asking(&access))
        }
        Err(refusal) => {
            check_words(&refusal);
            format!("deny {}", refusal.code())
        }
    }
}

/// What a container's stored configuration reaches, in a line.
pub(super) fn reached(host_config: &str) -> String {
    match stored_access(host_config) {
        Ok(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Err(refusal) => format!("deny {}", refusal.code()),
    }
}

fn asking(access: &[HostAccess]) -> String {
    let told: Vec<String> = access.iter().map(ToString::to_string).collect();
    if told.is_empty() { String::new() } else { format!(" asking {}", told.join(", ")) }
}

/// A refusal is one line of sane length, and says what to do.
fn check_words(refusal: &Refusal) {
    let text = refusal.to_string();
    assert!(!text.contains(char::is_control) && text.len() < 1000, "{text:?}");
    assert!(refusal.remedy().ends_with('.'), "{text}");
}

#[derive(Deserialize)]
struct Case<'a> {
    id: &'a str,
    why: String,
    /// How long the body is, with spaces before its last brace.
    padded_to: Option<usize>,
    #[serde(borrow)]
    call: &'a RawValue,
    expect: String,
}

/// The call with its body as long as that.
fn padded(call: &RawValue, length: usize) -> String {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let mut call: serde_json::Value = serde_json::from_str(call.get()).unwrap();
    let mut body = base64.decode(call["RequestBody"].as_str().unwrap()).unwrap();
    let end = body.len() - 1;
    body.splice(end..end, std::iter::repeat_n(b' ', length - body.len()));
    call["RequestBody"] = base64.encode(body).into();
    call.to_string()
}

#[test]
fn recorded_calls_are_read_as_they_must_be() {
    let text = include_str!("../../tests/data/calls/cases.json");
    let cases: Vec<Case<'_>> = serde_json::from_str(text).unwrap();
    assert!(cases.len() > 100, "only {} cases", cases.len());
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|Case { id, why, padded_to, call, expect }| {
            let call = padded_to.map_or(call.get().to_owned(), |length| padded(call, length));
            let outcome = outcome(&Call::from_json(call.as_bytes()).unwrap());
            (outcome != expect).then(|| format!("{id} ({why}): {outcome}, not {expect}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
