//! The authorization protocol, `docker.authz/1.0`: what the engine sends, and what it
//! takes for an answer.
//!
//! Source: Docker Engine 20.10, 26, 28 and 29, `pkg/authorization` (`Request`,
//! `Response`, `newAuthorizationRequest`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json::{self, Limits, Names, Number, Object, Value};

/// The answer to `/Plugin.Activate`.
pub const ACTIVATE: &str = r#"{"Implements":["authz"]}"#;

/// The message is flat; what it holds in number are headers and certificates.
const LIMITS: Limits = Limits { depth: 8, values: 200_000 };

/// An API call as the engine shows it: to `/AuthZPlugin.AuthZReq` before acting on it, and
/// again to `/AuthZPlugin.AuthZRes` with the response.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The HTTP method, as sent.
    pub method: String,
    /// The request target, as sent: neither decoded nor normalised.
    pub uri: String,
    /// The body. None when the caller sent none, and also when the engine withholds it;
    /// the two look the same.
    pub body: Option<Vec<u8>>,
    /// Who calls: the subject of a TLS client certificate. Nobody on a unix socket.
    pub user: Option<String>,
    /// How the caller was identified, `TLS` or nothing.
    pub user_authn_method: Option<String>,
    /// By lower-case name.
    headers: BTreeMap<String, String>,
}

impl Call {
    /// Reads the engine's message.
    ///
    /// Fields this version does not know are left alone, so that a newer engine is not
    /// refused for saying more.
    pub fn from_json(bytes: &[u8]) -> Result<Self, WireError> {
        let message = parse(bytes)?;
        Self::read(message.as_object().ok_or(WireError::NotAnObject)?)
    }

    fn read(message: &Object<'_>) -> Result<Self, WireError> {
        Ok(Self {
            method: required(message, "RequestMethod")?,
            uri: required(message, "RequestUri")?,
            body: decoded(message, "RequestBody")?,
            user: text(message, "User")?.map(str::to_owned),
            user_authn_method: text(message, "UserAuthNMethod")?.map(str::to_owned),
            headers: headers(message)?,
        })
    }

    /// The value of a header, whatever the case of its name.
    ///
    /// The engine shows the last of repeated headers and acts on the first
    /// (`authorization.headers`), so what is read here is no evidence, except for
    /// `Content-Length`, whose repetitions Go's server requires to be equal.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(&name.to_ascii_lowercase()).map(String::as_str)
    }
}

/// Without body and headers: they hold passwords (`POST /auth`) and tokens.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .field("body_len", &self.body.as_ref().map(Vec::len))
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What came of a call, as the engine shows it to `/AuthZPlugin.AuthZRes` before the caller
/// gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status. None where the handler failed, and where the response went out
    /// already: more than 64 KiB of it, or a stream.
    pub status: Option<u16>,
    /// The body, where it is JSON and was not sent yet.
    pub body: Option<Vec<u8>>,
}

impl Response {
    /// Reads the engine's message: the call again, and what came of it.
    pub fn from_json(bytes: &[u8]) -> Result<(Call, Self), WireError> {
        const STATUS: &str = "ResponseStatusCode";
        let message = parse(bytes)?;
        let message = message.as_object().ok_or(WireError::NotAnObject)?;
        let status = match message.get(STATUS) {
            None => None,
            Some(Value::Number(Number::Unsigned(status))) => {
                Some(u16::try_from(*status).map_err(|_| WireError::Field(STATUS))?)
            }
            Some(_) => return Err(WireError::Field(STATUS)),
        };
        let body = decoded(message, "ResponseBody")?;
        let status = status.filter(|status| *status != 0);
        Ok((Call::read(message)?, Self { status, body }))
    }
}

/// Without the body: it may hold secrets (`GET /swarm/unlockkey`).
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body_len", &self.body.as_ref().map(Vec::len))
            .finish()
    }
}

/// What the engine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go ahead.
    Allow,
    /// Refuse with this text, which the caller gets to see.
    Deny(String),
}

impl Answer {
    /// The body of a `200 OK` answer. The engine ignores `Err` there, so the text goes
    /// into `Msg`.
    pub fn to_json(&self) -> Cow<'static, str> {
        match self {
            Self::Allow => Cow::Borrowed(r#"{"Allow":true}"#),
            Self::Deny(message) => {
                Cow::Owned(serde_json::json!({ "Allow": false, "Msg": message }).to_string())
            }
        }
    }
}

/// Why the engine's message cannot be read. Always to be answered with a denial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No message at all. The engine repeats a call this way after its connection to
    /// the plugin broke (`plugins.Client.callWithRetry` drains the buffer on the first
    /// attempt), and acts on the original call if the repetition is allowed.
    #[error("the engine sent an empty call, as it does after its connection to the plugin broke")]
    Empty,
    /// Not JSON, or not unambiguous JSON.
    #[error("the engine's message is not strict JSON: {0}")]
    Json(#[from] json::Error),
    /// JSON, but not an object.
    #[error("the engine's message is not an object")]
    NotAnObject,
    /// A field is missing, of the wrong type or not decodable.
    #[error("the engine's message has no usable {0}")]
    Field(&'static str),
}

fn parse(bytes: &[u8]) -> Result<Value<'_>, WireError> {
    if bytes.is_empty() {
        return Err(WireError::Empty);
    }
    Ok(json::parse(bytes, Names::Go, LIMITS)?)
}

/// A field of bytes, in base64; absent and empty are the same to the engine.
fn decoded(message: &Object<'_>, name: &'static str) -> Result<Option<Vec<u8>>, WireError> {
    let bytes = STANDARD
        .decode(text(message, name)?.unwrap_or_default())
        .map_err(|_| WireError::Field(name))?;
    Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
}

/// A field that is text; absent and empty are the same to the engine (`omitempty`).
fn text<'m>(message: &'m Object<'_>, name: &'static str) -> Result<Option<&'m str>, WireError> {
    match message.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_ref()).filter(|text| !text.is_empty())),
        Some(_) => Err(WireError::Field(name)),
    }
}

fn required(message: &Object<'_>, name: &'static str) -> Result<String, WireError> {
    text(message, name)?.map(str::to_owned).ok_or(WireError::Field(name))
}

fn headers(message: &Object<'_>) -> Result<BTreeMap<String, String>, WireError> {
    const NAME: &str = "RequestHeaders";
    let headers = match message.get(NAME) {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(headers)) => headers,
        Some(_) => return Err(WireError::Field(NAME)),
    };
    headers
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().ok_or(WireError::Field(NAME))?;
            Ok((name.to_ascii_lowercase(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_engine_sends() {
        let call = Call::from_json(
            br#"{"User":"jane","UserAuthNMethod":"TLS","RequestMethod":"POST",
                "RequestUri":"/v1.41/containers/create?name=a\u0026x=1","RequestBody":"e30=",
                "RequestHeaders":{"Content-Length":"2"},
                "RequestPeerCertificates":["LS0t"],"New":1}"#,
        )
        .unwrap();
        assert_eq!(call.method, "POST");
        assert_eq!(call.uri, "/v1.41/containers/create?name=a&x=1");
        assert_eq!(call.body.as_deref(), Some(&b"{}"[..]));
        assert_eq!(call.user.as_deref(), Some("jane"));
        assert_eq!(call.user_authn_method.as_deref(), Some("TLS"));
        assert_eq!(call.header("content-length"), Some("2"));
        assert_eq!(call.header("Content-Type"), None);
    }

    #[test]
    fn an_empty_body_is_none() {
        for message in [
            r#"{"RequestMethod":"GET","RequestUri":"/_ping"}"#,
            r#"{"RequestMethod":"GET","RequestUri":"/_ping","RequestBody":""}"#,
        ] {
            let call = Call::from_json(message.as_bytes()).unwrap();
            assert_eq!((call.body, call.user), (None, None), "{message}");
        }
    }

    #[test]
    fn refuses_what_is_no_call() {
        use WireError::{Empty, Field, NotAnObject};
        for (message, error) in [
            ("", Empty),
            ("[]", NotAnObject),
            ("{}", Field("RequestMethod")),
            (r#"{"RequestMethod":"GET"}"#, Field("RequestUri")),
            (r#"{"RequestMethod":1,"RequestUri":"/"}"#, Field("RequestMethod")),
            (r#"{"RequestMethod":"GET","RequestUri":"/","RequestBody":"*"}"#, Field("RequestBody")),
            (
                r#"{"RequestMethod":"GET","RequestUri":"/","RequestHeaders":{"A":["b"]}}"#,
                Field("RequestHeaders"),
            ),
        ] {
            assert_eq!(Call::from_json(message.as_bytes()), Err(error), "{message}");
        }
        for message in [
            "{",
            r#"{"RequestMethod":"GET","RequestMethod":"POST","RequestUri":"/"}"#,
            r#"{"RequestMethod":"GET","RequestUri":"/","RequestHeaders":{"A":"1","a":"2"}}"#,
        ] {
            assert!(
                matches!(Call::from_json(message.as_bytes()), Err(WireError::Json(_))),
                "{message}"
            );
        }
    }

    #[test]
    fn reads_what_came_of_a_call() {
        let call = r#""RequestMethod":"POST","RequestUri":"/containers/create""#;
        for (response, status, body) in [
            (r#","ResponseStatusCode":201,"ResponseBody":"e30=""#, Some(201), Some(&b"{}"[..])),
            (r#","ResponseStatusCode":204,"ResponseHeaders":{"Server":"x"}"#, Some(204), None),
            (r#","ResponseStatusCode":0,"ResponseBody":"""#, None, None),
            ("", None, None),
        ] {
            let message = format!("{{{call}{response}}}");
            let (call, read) = Response::from_json(message.as_bytes()).unwrap();
            assert_eq!((call.method.as_str(), call.uri.as_str()), ("POST", "/containers/create"));
            assert_eq!((read.status, read.body.as_deref()), (status, body), "{message}");
        }
        for (response, field) in [
            (r#","ResponseStatusCode":"201""#, "ResponseStatusCode"),
            (r#","ResponseStatusCode":201.5"#, "ResponseStatusCode"),
            (r#","ResponseStatusCode":65737"#, "ResponseStatusCode"),
            (r#","ResponseBody":"*""#, "ResponseBody"),
        ] {
            let message = format!("{{{call}{response}}}");
            let error = Response::from_json(message.as_bytes()).unwrap_err();
            assert_eq!(error, WireError::Field(field), "{message}");
        }
        assert_eq!(Response::from_json(b"").unwrap_err(), WireError::Empty);
    }

    #[test]
    fn answers_in_the_engine_s_words() {
        assert_eq!(Answer::Allow.to_json(), r#"{"Allow":true}"#);
        let denial = Answer::Deny("not \"signed\"\nby CI".to_owned());
        assert_eq!(denial.to_json(), r#"{"Allow":false,"Msg":"not \"signed\"\nby CI"}"#);
        assert_eq!(ACTIVATE, serde_json::json!({ "Implements": ["authz"] }).to_string());
    }

    #[test]
    fn keeps_secrets_out_of_its_debug_text() {
        let call = Call::from_json(
            br#"{"RequestMethod":"POST","RequestUri":"/auth","RequestBody":"aHVudGVyMg==",
                "RequestHeaders":{"X-Token":"hunter2"}}"#,
        )
        .unwrap();
        let shown = format!("{call:?}");
        assert!(shown.contains("body_len: Some(7)") && !shown.contains("hunter2"), "{shown}");
    }
}
