//! Docker's canonical JSON: the bytes that were signed.
//!
//! Source: `docker/go/canonical/json` (`MarshalCanonical`) over a generic decode, as
//! `signed.VerifySignatures` of Notary 0.7 does it. It differs from OLPC canonical JSON
//! in what it makes of numbers, and from `olpc-cjson` in sorting and in leaving Unicode
//! as it is.

use std::io::Write;

use crate::json::{Number, Object, Value};

/// The canonical form of `value`:
///
/// 1. no white space; members sorted by the bytes of their unescaped names;
/// 2. in strings only `\` and `"` are escaped, all else stands as it is;
/// 3. numbers go through a 64-bit float, must be integral and are written as integers;
/// 4. `null`, `true` and `false` as they are.
///
/// `None` where a number is not integral or does not fit 64 bits: such a document was
/// never signed.
pub fn canonical(value: &Value<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Some(out)
}

/// Appends a member to the canonical members of an object. They have to come in order.
pub fn append(name: &str, value: &Value<'_>, members: &mut Vec<u8>) -> Option<()> {
    if !members.is_empty() {
        members.push(b',');
    }
    write_members([(name, value)].into_iter(), members)
}

/// The same, where `text` is the canonical form of the value.
pub fn append_text(name: &str, text: &str, members: &mut Vec<u8>) {
    if !members.is_empty() {
        members.push(b',');
    }
    write_string(name, members);
    members.push(b':');
    members.extend_from_slice(text.as_bytes());
}

/// The canonical form of `object`, where `members` are the canonical members of the object
/// that its member `name` really is.
pub fn canonical_around(object: &Object<'_>, name: &str, members: Vec<u8>) -> Option<Vec<u8>> {
    let (mut before, mut after) = (b"{".to_vec(), b"}".to_vec());
    let mut others: Vec<_> = object.iter().filter(|(other, _)| *other != name).collect();
    others.sort_unstable_by_key(|(other, _)| other.as_bytes());
    for (other, value) in others {
        if other.as_bytes() < name.as_bytes() {
            write_members([(other, value)].into_iter(), &mut before)?;
            before.push(b',');
        } else {
            after.push(b',');
            write_members([(other, value)].into_iter(), &mut after)?;
        }
    }
    write_string(name, &mut before);
    before.extend_from_slice(b":{");
    after.push(b'}');
    // In place: the members can be many megabytes.
    let mut out = members;
    out.splice(0..0, before);
    out.append(&mut after);
    Some(out)
}

fn write(value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write!(out, "{}", integer(*number)?).ok()?,
        Value::String(text) => write_string(text, out),
        Value::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(element, out)?;
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            // As they are in what was signed.
            if object.iter().is_sorted_by_key(|(name, _)| name) {
                write_members(object.iter(), out)?;
            } else {
                let mut members: Vec<_> = object.iter().collect();
                members.sort_unstable_by_key(|(name, _)| *name);
                write_members(members.into_iter(), out)?;
            }
            out.push(b'}');
        }
    }
    Some(())
}

fn write_members<'m>(
    members: impl Iterator<Item = (&'m str, &'m Value<'m>)>,
    out: &mut Vec<u8>,
) -> Option<()> {
    for (index, (name, member)) in members.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write(member, out)?;
    }
    Some(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if !text.bytes().any(|byte| matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    for part in text.split_inclusive(['"', '\\']) {
        let (plain, escaped) = match part.as_bytes().split_last() {
            Some((last @ (b'"' | b'\\'), plain)) => (plain, Some(*last)),
            _ => (part.as_bytes(), None),
        };
        out.extend_from_slice(plain);
        if let Some(escaped) = escaped {
            out.extend_from_slice(&[b'\\', escaped]);
        }
    }
    out.push(b'"');
}

/// Go decodes every number into a float64 and prints the integral ones as int64.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "losing the precision that Go loses is the point; the range is checked"
)]
fn integer(number: Number) -> Option<i64> {
    let float = match number {
        Number::Negative(value) => value as f64,
        Number::Unsigned(value) => value as f64,
        Number::Float(value) => value,
    };
    // 2^63: the first float past int64.
    let fits = float.fract() == 0.0
        && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float);
    fits.then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Limits, Names, parse};

    fn form(text: &str) -> Option<String> {
        let limits = Limits { depth: 16, values: 10_000 };
        let value = parse(text.as_bytes(), Names::Exact, limits).unwrap();
        canonical(&value).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn writes_what_notary_signs() {
        for (text, canonical) in [
            (r#" { "b" : [ 1 , true , null ] , "a" : {} } "#, r#"{"a":{},"b":[1,true,null]}"#),
            // sorted by raw name: a quoted sort would put "a b" before "a"
            (
                r#"{"a b":1,"a\"b":2,"aA":3,"a":4,"a!":5}"#,
                r#"{"a":4,"a b":1,"a!":5,"a\"b":2,"aA":3}"#,
            ),
            (r#""\u003chtml\u003e\u0026""#, r#""<html>&""#),
            (r#""\u0001\n\/""#, "\"\u{1}\n/\""),
            (r#""a\"b\\c""#, r#""a\"b\\c""#),
            (r"[1e3,2.0,-0,-0.0,-5]", "[1000,2,0,0,-5]"),
            ("9007199254740993", "9007199254740992"),
            ("\"e\u{301}\u{e9}\"", "\"e\u{301}\u{e9}\""),
        ] {
            assert_eq!(form(text).as_deref(), Some(canonical), "{text}");
        }
    }

    #[test]
    fn members_may_be_written_one_by_one() {
        for (text, name) in [
            (r#"{"b":{"x":1,"\"":[2.0]},"a":1,"c":{"z":1,"y":2}}"#, "b"),
            (r#"{"b":{}}"#, "b"),
            (r#"{"b":1,"a\"\u003c":{"x":"\\"}}"#, "a\"<"),
            (r#"{"b":1,"a":2,"z":{"x":{"2":1,"1":2}}}"#, "z"),
            (r#"{"b":1,"a":2,"":{"x":1}}"#, ""),
        ] {
            let limits = Limits { depth: 16, values: 10_000 };
            let value = parse(text.as_bytes(), Names::Exact, limits).unwrap();
            let object = value.as_object().unwrap();
            let mut own: Vec<_> = object.get(name).unwrap().as_object().unwrap().iter().collect();
            own.sort_by_key(|(name, _)| name.as_bytes());
            let mut members = Vec::new();
            for (name, value) in own {
                append(name, value, &mut members).unwrap();
            }
            assert_eq!(canonical_around(object, name, members), canonical(&value), "{text}");
        }
    }

    #[test]
    fn refuses_numbers_that_cannot_be_signed() {
        for text in ["1.5", "1e300", "18446744073709551615", "9223372036854775808"] {
            assert_eq!(form(text), None, "{text}");
        }
    }

    /// The text of any document, drawn from `state`.
    fn any(state: &mut u64, depth: u32) -> String {
        const NAMES: [&str; 8] =
            ["", "a", "a b", "aA", r#"\""#, r"\\", r"\u003c\u00e9>", "e\u{301}\u{1d11e}"];
        let mut draw = |bound: u64| {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 27)) % bound
        };
        let (kind, from, count) = (draw(if depth == 0 { 5 } else { 7 }), draw(8), draw(5));
        let names = NAMES.iter().cycle().skip(usize::try_from(from).unwrap());
        let names = names.take(usize::try_from(count).unwrap());
        match kind {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => draw(1 << 62).to_string(),
            3 => format!("-{}.0e2", draw(1 << 40)),
            4 => format!("\"{}\"", names.copied().collect::<String>()),
            5 => {
                format!("[{}]", names.map(|_| any(state, depth - 1)).collect::<Vec<_>>().join(","))
            }
            _ => {
                let member = |name| format!("\"{name}\" : {}", any(state, depth - 1));
                format!("{{{}}}", names.map(member).collect::<Vec<_>>().join(" , "))
            }
        }
    }

    #[test]
    fn the_canonical_form_is_its_own() {
        let mut state = 1;
        for _ in 0..500 {
            let text = any(&mut state, 5);
            let once = form(&text).unwrap();
            assert_eq!(form(&once).as_ref(), Some(&once), "{text}");
        }
    }
}
