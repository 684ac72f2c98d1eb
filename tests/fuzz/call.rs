//! Calls of the engine: as its own message where the input starts with `{`, else written
//! down like HTTP, method, target, headers and body, and put into such a message.
//!
//! Whatever the spelling, a call that starts something or brings an image in is never
//! waved through, and where an image is read from a body, no other reader of the same
//! bytes finds another one there.

#![no_main]

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use countersign::request::{Call, Intent, read};
use countersign_fuzz::check_words;
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::json;
use serde_json::value::RawValue;

fuzz_target!(|input: &[u8]| {
    let message = if input.starts_with(b"{") { input.to_vec() } else { message(input) };
    let call = match Call::from_json(&message) {
        Ok(call) => call,
        Err(error) => return check_words(&error.to_string()),
    };
    let body = call.body.as_deref().unwrap_or_default();
    match read(&call) {
        Ok(Intent::Pass) => {
            assert!(!(call.method.eq_ignore_ascii_case("POST") && starts_something(&call.uri)));
        }
        Ok(Intent::Create { written, .. }) => {
            assert_eq!(texts(body, &["Image"]), [written]);
        }
        Ok(Intent::Service { image, .. }) => {
            let found = texts(body, &["TaskTemplate", "ContainerSpec", "Image"]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].parse(), Ok(image));
        }
        Ok(_) => {}
        Err(refusal) => {
            check_words(&refusal.to_string());
            check_words(refusal.remedy());
            check_words(refusal.code());
        }
    }
});

/// The engine's message about a call written like HTTP.
fn message(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let (method, uri) = line.split_once(' ').unwrap_or((line, ""));
    let headers: serde_json::Map<_, _> = headers
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let message = json!({
        "RequestMethod": method,
        "RequestUri": uri,
        "RequestHeaders": headers,
        "RequestBody": BASE64.encode(body),
    });
    message.to_string().into_bytes()
}

/// Whether any server could take the target for one of the routes that start something
/// or bring an image in: read with more good will than any engine has.
fn starts_something(uri: &str) -> bool {
    let path = uri
        .split_once("://")
        .map_or(uri, |(_, rest)| rest.find('/').map_or("", |slash| &rest[slash..]));
    let path = unescape(path.split('?').next().unwrap_or_default()).to_lowercase();
    let mut clean: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    let is_version = |part: &&str| {
        part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    if clean.first().is_some_and(is_version) {
        clean.remove(0);
    }
    matches!(
        clean.as_slice(),
        ["containers" | "services" | "images", "create"]
            | ["containers", _, .., "start" | "restart"]
            | ["services", _, "update"]
    )
}

fn unescape(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let escaped = piece.get(..2).and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(escaped.unwrap_or(b'%'));
        bytes.extend(piece.bytes().skip(if escaped.is_some() { 2 } else { 0 }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every text at `path` in a JSON document, repeated members and all spellings included.
fn texts(document: &[u8], path: &[&str]) -> Vec<String> {
    let Some((name, below)) = path.split_first() else {
        return serde_json::from_slice(document).into_iter().collect();
    };
    let Ok(Members(members)) = serde_json::from_slice(document) else { return Vec::new() };
    let same = |written: &str| written.to_uppercase().to_lowercase() == name.to_lowercase();
    let members = members.iter().filter(|(written, _)| same(written));
    members.flat_map(|(_, value)| texts(value.get().as_bytes(), below)).collect()
}

/// The members of an object as they stand, none lost.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        reader.deserialize_map(All)
    }
}
