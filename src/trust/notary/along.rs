//! Targets as they are read, one by one: files of them are large.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::canonical::{append, append_text};
use super::metadata::target_digest;
use super::tags::TagsBuilder;
use crate::image::Digest;
use crate::json::{Members, Value};

/// Targets as they are read: the tags, and their canonical form.
pub struct TargetsAlong {
    pub tags: TagsBuilder,
    pub members: Vec<u8>,
}

impl TargetsAlong {
    /// Nothing yet; `bytes` is how long the file is.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { tags: TagsBuilder::default(), members: Vec::with_capacity(bytes) }
    }
}

impl<'a> Members<'a> for TargetsAlong {
    fn take_text(&mut self, name: &str, text: &'a str) -> Option<u32> {
        let digest = plain_target(text)?;
        self.tags.push(name, digest)?;
        append_text(name, text, &mut self.members);
        Some(PLAIN_VALUES)
    }

    fn take(&mut self, name: &str, value: &Value<'a>) -> Result<(), &'static str> {
        let target = value.as_object().ok_or("an odd target")?;
        if let Some(digest) = target_digest(target) {
            self.tags.push(name, digest).ok_or("too many tags")?;
        }
        append(name, value, &mut self.members).ok_or("a number nobody can sign")
    }
}

/// How many values stand in a plain target: two objects, a hash and a length.
const PLAIN_VALUES: u32 = 4;

/// The digest of a target as docker writes it, which is the canonical form already:
/// `{"hashes":{"sha256":"…"},"length":523}`. `None`: it is to be read as JSON.
fn plain_target(text: &str) -> Option<Digest> {
    let (hash, rest) = text.strip_prefix(r#"{"hashes":{"sha256":""#)?.split_at_checked(44)?;
    let length = rest.strip_prefix(r#""},"length":"#)?.strip_suffix('}')?.as_bytes();
    // Short of where a float rounds.
    let is_plain = matches!(length, [b'0'] | [b'1'..=b'9', ..])
        && length.len() <= 15
        && length.iter().all(u8::is_ascii_digit);
    if !is_plain {
        return None;
    }
    // The decoder wants room for a byte more.
    let mut bytes = [0; 33];
    let decoded = BASE64.decode_slice(hash, &mut bytes).ok()?;
    Some(Digest::from_bytes(bytes.get(..decoded)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::canonical::canonical;
    use super::super::limits;
    use super::*;
    use crate::json::{Names, parse};

    const HASH: &str = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

    /// What reading a target as JSON comes to: its digest and its canonical form.
    fn read(text: &str) -> Option<(Digest, String)> {
        let value = parse(text.as_bytes(), Names::Exact, limits::JSON).ok()?;
        let canonical = String::from_utf8(canonical(&value)?).ok()?;
        Some((target_digest(value.as_object()?)?, canonical))
    }

    fn is_plain(text: &str) -> bool {
        let Some(digest) = plain_target(text) else { return false };
        assert_eq!(read(text), Some((digest, text.to_owned())), "{text}");
        true
    }

    #[test]
    fn a_plain_target_is_what_reading_it_comes_to() {
        let target = |hash: &str, length: &str| {
            format!(r#"{{"hashes":{{"sha256":"{hash}"}},"length":{length}}}"#)
        };
        for (text, plain) in [
            (target(HASH, "523"), true),
            (target(HASH, "0"), true),
            (target(HASH, "999999999999999"), true),
            // Past what a float holds, and what no reader takes for the same.
            (target(HASH, "9007199254740993"), false),
            (target(HASH, "00"), false),
            (target(HASH, "-1"), false),
            (target(HASH, "1.0"), false),
            (target(HASH, "1e3"), false),
            (target(HASH, ""), false),
            (target(HASH, "\"1\""), false),
            (target(HASH, "1,\"length\":2"), false),
            (target(HASH, "1}"), false),
            (target(&HASH.replace("0=", "1="), "1"), false),
            (target(&HASH.replace('/', "\\/"), "1"), false),
            (target(&HASH.replace("a0=", "a0"), "1"), false),
            (target(HASH, "1").replace(':', ": "), false),
            (target(HASH, "1").replace("sha256", "sha512"), false),
            (format!(r#"{{"custom":{{}},{}"#, &target(HASH, "1")[1..]), false),
        ] {
            assert_eq!(is_plain(&text), plain, "{text}");
        }
    }

    #[test]
    fn no_change_of_a_plain_target_is_read_otherwise() {
        let text = format!(r#"{{"hashes":{{"sha256":"{HASH}"}},"length":523}}"#);
        let mut plain = 0;
        for at in 0..text.len() {
            for byte in 0x20..0x7f {
                let mut changed = text.clone().into_bytes();
                changed[at] = byte;
                plain += usize::from(is_plain(std::str::from_utf8(&changed).unwrap()));
            }
            is_plain(&text[..at]);
        }
        assert!(plain > 2000, "{plain}");
    }
}
