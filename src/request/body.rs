//! The body of a call: proven absent, or read strictly.
//!
//! Docker Engine 20.10 to 29 hand a body over only if its first `Content-Type` is
//! `application/json`, the request URL parses and the size is below a limit that
//! differs by version (`authorization.Ctx.AuthZRequest`, `sendBody`). A handler may act
//! on a body that was not handed over.

use crate::json::{self, Limits, Names, Object, Value, go_eq};

use super::refusal::{Refusal, excerpt};
use super::wire::Call;

/// The longest body that is read. No engine hands over more than 4 MiB.
const MAX_BODY: usize = 12 << 20;
const LIMITS: Limits = Limits { depth: 64, values: 200_000 };

/// Proves that the call has no body.
///
/// Handlers that go through `ParseForm` put the values of a form body before those of
/// the query, and the engine never shows a form. An explicit `Content-Length: 0` is the
/// only proof: chunked and HTTP/2 bodies show no length at all, and of repeated
/// `Content-Type` headers only the last is shown while the first counts.
pub(super) fn absent(call: &Call) -> Result<(), Refusal> {
    if call.body.is_none() && call.header("Content-Length").is_none() {
        return present("it shows no Content-Length to prove that".to_owned());
    }
    unseen(call)
}

/// Sees no body, though one of untold length may be there: for handlers that do not act on
/// such a body. `curl -X POST` tells no length of the body that it does not send.
pub(super) fn unseen(call: &Call) -> Result<(), Refusal> {
    if call.body.is_some() {
        return present("it has one".to_owned());
    }
    if let Some(length) = call.header("Content-Length").filter(|length| *length != "0") {
        return present(format!("its Content-Length is {:?}", excerpt(length)));
    }
    match call.header("Content-Type") {
        Some(kind) if is_form(kind) => {
            present(format!("its Content-Type is {:?}, a form", excerpt(kind)))
        }
        _ => Ok(()),
    }
}

fn present(evidence: String) -> Result<(), Refusal> {
    Err(Refusal::FormBody { evidence })
}

/// Reads the body as one JSON document.
pub(super) fn json(call: &Call) -> Result<Value<'_>, Refusal> {
    let body = call.body.as_deref().ok_or(Refusal::BodyWithheld)?;
    if body.len() > MAX_BODY {
        return malformed("the body", "is larger than 12 MiB");
    }
    if let Some(length) = call.header("Content-Length")
        && length.parse() != Ok(body.len())
    {
        return malformed("the body", "is not as long as its Content-Length says");
    }
    document(body)
}

/// Reads one JSON document.
pub(super) fn document(bytes: &[u8]) -> Result<Value<'_>, Refusal> {
    json::parse(bytes, Names::Go, LIMITS).or_else(|error| {
        malformed("the body", &format!("is not strict JSON: {}", excerpt(&error.to_string())))
    })
}

/// An object in the body, and where it stands.
///
/// Members are looked up by their documented spelling. One that Go's `encoding/json`
/// would take for the same field in another spelling is refused, never overlooked.
/// `null` is as good as absent: in an object without repetitions Go leaves the field at
/// its zero value.
#[derive(Debug)]
pub(super) struct Fields<'v> {
    object: &'v Object<'v>,
    place: String,
}

impl<'v> Fields<'v> {
    /// The document itself.
    pub fn root(document: &'v Value<'v>) -> Result<Self, Refusal> {
        match document {
            Value::Object(object) => Ok(Self { object, place: String::new() }),
            _ => malformed("the body", "is not an object"),
        }
    }

    /// Where a member of this object stands: `HostConfig.Mounts`.
    pub fn place(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// Whether a member is there and not null.
    pub fn has(&self, name: &str) -> Result<bool, Refusal> {
        self.get(name).map(|value| value.is_some())
    }

    /// A member that is text.
    pub fn text(&self, name: &str) -> Result<Option<&'v str>, Refusal> {
        match self.get(name)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => malformed(&self.place(name), "is not a string"),
        }
    }

    /// Whether a member is there and true.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name)? {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => malformed(&self.place(name), "is neither true nor false"),
        }
    }

    /// A member that is an array of texts.
    pub fn texts(&self, name: &str) -> Result<Vec<&'v str>, Refusal> {
        let elements = match self.get(name)? {
            None => return Ok(Vec::new()),
            Some(Value::Array(elements)) => elements,
            Some(_) => return malformed(&self.place(name), "is not an array"),
        };
        let texts = elements.iter().map(Value::as_str).collect::<Option<_>>();
        texts.map_or_else(|| malformed(&self.place(name), "holds what is not a string"), Ok)
    }

    /// A member that maps names to texts. The names are the caller's, and case counts.
    pub fn map(&self, name: &str) -> Result<Vec<(&'v str, &'v str)>, Refusal> {
        let members = match self.get(name)? {
            None => return Ok(Vec::new()),
            Some(Value::Object(members)) => members,
            Some(_) => return malformed(&self.place(name), "is not an object"),
        };
        let texts = members.iter().map(|(key, value)| Some((key, value.as_str()?)));
        let texts = texts.collect::<Option<_>>();
        texts.map_or_else(|| malformed(&self.place(name), "holds what is not a string"), Ok)
    }

    /// A member that is an object.
    pub fn object(&self, name: &str) -> Result<Option<Self>, Refusal> {
        match self.get(name)? {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Self { object, place: self.place(name) })),
            Some(_) => malformed(&self.place(name), "is not an object"),
        }
    }

    /// A member that is an array of objects.
    pub fn objects(&self, name: &str) -> Result<Vec<Self>, Refusal> {
        let elements = match self.get(name)? {
            None => return Ok(Vec::new()),
            Some(Value::Array(elements)) => elements,
            Some(_) => return malformed(&self.place(name), "is not an array"),
        };
        elements
            .iter()
            .enumerate()
            .map(|(at, element)| {
                let place = format!("{}[{at}]", self.place(name));
                match element {
                    Value::Object(object) => Ok(Self { object, place }),
                    _ => malformed(&place, "is not an object"),
                }
            })
            .collect()
    }

    fn get(&self, name: &str) -> Result<Option<&'v Value<'v>>, Refusal> {
        // None stands twice, in whatever spelling: beside the exact one there is no other.
        match self.object.get(name) {
            Some(Value::Null) => Ok(None),
            Some(value) => Ok(Some(value)),
            None => match self.object.iter().find(|(written, _)| go_eq(written, name)) {
                None => Ok(None),
                Some((written, _)) => {
                    let written = excerpt(written);
                    Err(Refusal::AmbiguousName { place: self.place(name), written })
                }
            },
        }
    }
}

pub(super) fn malformed<T>(place: &str, fault: &str) -> Result<T, Refusal> {
    Err(Refusal::BodyMalformed { place: place.to_owned(), fault: fault.to_owned() })
}

/// Whether a media type is one of those that carry form values.
fn is_form(content_type: &str) -> bool {
    let kind = content_type.trim_start().to_ascii_lowercase();
    kind.starts_with("application/x-www-form-urlencoded") || kind.starts_with("multipart/")
}

#[cfg(test)]
mod tests {
    use super::super::recorded::call;
    use super::*;

    #[test]
    fn only_a_length_of_zero_proves_absence() {
        for (headers, proven) in [
            (&[("Content-Length", "0")][..], true),
            (&[("content-length", "0"), ("Content-Type", "text/plain")], true),
            (&[("Content-Length", "0"), ("Content-Type", "application/json")], true),
            (&[], false),
            (&[("Content-Type", "text/plain")], false),
            (&[("Content-Length", "35")], false),
            (&[("Content-Length", "00")], false),
            (
                &[
                    ("Content-Length", "0"),
                    ("Content-Type", "Application/X-WWW-Form-Urlencoded; charset=utf-8"),
                ],
                false,
            ),
            (&[("Content-Length", "0"), ("Content-Type", "multipart/form-data; a")], false),
        ] {
            let call = call("POST", "/v1.41/images/create", headers, "");
            assert_eq!(absent(&call).is_ok(), proven, "{headers:?}");
        }
        let shown = call("POST", "/", &[("Content-Length", "0")], "{}");
        assert!(absent(&shown).is_err());
    }

    #[test]
    fn a_body_is_unseen_where_nothing_tells_of_one() {
        for (headers, body, unseen_body) in [
            (&[][..], "", true),
            (&[("Content-Length", "0")], "", true),
            (&[("Content-Type", "text/plain")], "", true),
            (&[], "{}", false),
            (&[("Content-Length", "2")], "", false),
            (&[("Content-Type", "application/x-www-form-urlencoded")], "", false),
        ] {
            let call = call("POST", "/v1.41/containers/a/start", headers, body);
            assert_eq!(unseen(&call).is_ok(), unseen_body, "{headers:?} {body}");
        }
    }

    #[test]
    fn the_length_must_agree() {
        for (length, fits) in [("2", true), ("3", false), ("0", false), ("x", false)] {
            let call = call("POST", "/", &[("Content-Length", length)], "{}");
            assert_eq!(json(&call).is_ok(), fits, "{length}");
        }
        let chunked = call("POST", "/", &[], "{}");
        assert!(json(&chunked).is_ok());
        let huge = call("POST", "/", &[], &" ".repeat(MAX_BODY + 1));
        assert_eq!(json(&huge).unwrap_err().code(), "body-malformed");
        assert_eq!(json(&call("POST", "/", &[], "")), Err(Refusal::BodyWithheld));
    }

    #[test]
    fn members_have_one_spelling() {
        let text =
            "{\"Mount\u{17f}\":[],\"hostconfig\":{},\"Name\":null,\"Cmd\":1,\"Image\":\"x\"}";
        let call = call("POST", "/", &[], text);
        let document = json(&call).unwrap();
        let fields = Fields::root(&document).unwrap();
        assert_eq!(fields.text("Image"), Ok(Some("x")));
        assert_eq!(fields.text("Name"), Ok(None));
        assert_eq!(fields.has("Nothing"), Ok(false));
        assert_eq!(fields.objects("Mounts").unwrap_err().code(), "ambiguous-name");
        assert_eq!(fields.object("HostConfig").unwrap_err().code(), "ambiguous-name");
        assert_eq!(fields.text("Cmd").unwrap_err().to_string(), "Cmd is not a string");
    }
}
