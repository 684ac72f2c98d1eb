//! What a call is likely to be about, before it is read.

use super::endpoint::CREATE_CONTAINER;
use super::target::is_plain;
use super::wire::Call;

/// How much of a body is looked at, in bytes. The image comes after the command and the
/// environment, and clients of Docker write all that first.
const LOOKED_AT: usize = 64 * 1024;

/// The image that a new container is likely to be made of: what stands in the body where a
/// client of Docker would have written it.
///
/// A guess, so that the engine can be asked while the call is read. It proves nothing: what
/// [`read`](super::read) finds counts, and whoever went by this holds it against that.
pub fn likely_image(call: &Call) -> Option<&str> {
    let (path, _) = call.uri.split_once('?').unwrap_or((&call.uri, ""));
    if call.method != "POST" || !path.ends_with(CREATE_CONTAINER) {
        return None;
    }
    let body = call.body.as_deref()?;
    let mut quoted = body.get(..LOOKED_AT).unwrap_or(body).split(|byte| *byte == b'"');
    quoted.find(|text| text == b"Image")?;
    quoted.next().filter(|between| between.trim_ascii() == b":")?;
    let image = quoted.next().filter(|text| text.iter().copied().all(is_plain))?;
    std::str::from_utf8(image).ok().filter(|image| !image.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::recorded::call;
    use super::*;

    #[test]
    fn guesses_what_clients_mean() {
        let create = "/v1.41/containers/create?name=a";
        let far = format!(r#"{{"Env":["{}"],"Image":"h.io/x:1"}}"#, "x".repeat(LOOKED_AT));
        for (method, uri, body, image) in [
            ("POST", create, r#"{"Cmd":["a"],"Image":"h.io/x:1","Labels":{}}"#, Some("h.io/x:1")),
            ("POST", "/containers/create", r#"{"Image":"x"}"#, Some("x")),
            // Wrong, and found out when the call is read.
            ("POST", create, r#"{"Labels":{"Image":"y"},"Image":"x"}"#, Some("y")),
            ("POST", create, r#"{"Env":["\"Image\":\"y\""],"Image":"x"}"#, Some("x")),
            ("POST", create, r#"{"Image" : "x"}"#, Some("x")),
            ("POST", create, r#"{"Image":["x"]}"#, None),
            ("POST", create, r#"{"image":"x"}"#, None),
            ("POST", create, r#"{"Image":"\u0078"}"#, None),
            ("POST", create, r#"{"Image":""}"#, None),
            ("POST", create, r#"{"Image":"x"#, Some("x")),
            ("POST", create, r#"{"Image""#, None),
            ("POST", create, "", None),
            ("POST", create, &far, None),
            ("POST", "/v1.41/containers/a/start", r#"{"Image":"x"}"#, None),
            ("PUT", create, r#"{"Image":"x"}"#, None),
        ] {
            assert_eq!(
                likely_image(&call(method, uri, &[], body)),
                image,
                "{method} {uri} {body:.80}"
            );
        }
    }
}
