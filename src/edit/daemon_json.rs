//! `daemon.json`, of which only our own bytes change.
//!
//! The engine's file belongs to its operator. So it is not written anew from what was read:
//! the plugin's name is spliced into the text, and whatever stands around it stays.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{self, Limits, Names};

/// The key under which engines know their authorization plugins.
const KEY: &str = "authorization-plugins";
/// More than any engine's configuration holds.
const LIMITS: Limits = Limits { depth: 32, values: 100_000 };
/// Engines take a mark of byte order, and so do we.
const BOM: char = '\u{feff}';

/// Why the file is left alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DaemonJsonError {
    /// It cannot be read unambiguously.
    #[error("it is not JSON that can be relied on: {0}")]
    Json(json::Error),
    /// It is JSON and no configuration.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// The key is there, and is not what engines want.
    #[error("{KEY:?} in it is not a list of names")]
    NotAList,
    /// The edit did not come out as meant. A fault of ours, found before anything was written.
    #[error("it has a form that countersign cannot edit; edit it by hand")]
    Unforeseen,
}

/// The text with the plugin named once, after any others. The same text where it is named.
pub fn name_plugin(text: &str, name: &str) -> Result<String, DaemonJsonError> {
    let (mark, body) = split_mark(text);
    if body.trim().is_empty() {
        return Ok(format!("{mark}{{\n  {KEY:?}: [{name:?}]\n}}\n"));
    }
    let before = read(body)?;
    if before.plugins.iter().any(|one| is(one, name)) {
        return Ok(text.to_owned());
    }
    let members = members(body)?;
    let mut edited = body.to_owned();
    match members.iter().find(|member| member.name == KEY) {
        Some(member) => {
            let list = slice(body, member.value.clone())?;
            edited.replace_range(member.value.clone(), &appended(list, name)?);
        }
        None if members.is_empty() => {
            let (open, close) = (body.find('{'), body.rfind('}'));
            let (open, close) = open.zip(close).ok_or(DaemonJsonError::Unforeseen)?;
            edited.replace_range(open + 1..close, &format!("\n  {KEY:?}: [{name:?}]\n"));
        }
        None => {
            let end = members.last().ok_or(DaemonJsonError::Unforeseen)?;
            let space = space_before(body, end.key);
            edited.insert_str(end.value.end, &format!(",{space}{KEY:?}: [{name:?}]"));
        }
    }
    let mut wanted = before;
    wanted.plugins.push(name.to_owned());
    if read(&edited)? != wanted {
        return Err(DaemonJsonError::Unforeseen);
    }
    Ok(format!("{mark}{edited}"))
}

/// The text without the plugin, and without the key where it named nothing else. The same
/// text where it is not named.
pub fn unname_plugin(text: &str, name: &str) -> Result<String, DaemonJsonError> {
    let (mark, body) = split_mark(text);
    if body.trim().is_empty() {
        return Ok(text.to_owned());
    }
    let mut wanted = read(body)?;
    if !wanted.plugins.iter().any(|one| is(one, name)) {
        return Ok(text.to_owned());
    }
    wanted.plugins.retain(|one| !is(one, name));
    let members = members(body)?;
    let at = members.iter().position(|member| member.name == KEY);
    let Some((at, member)) = at.and_then(|at| Some((at, members.get(at)?))) else {
        return Err(DaemonJsonError::Unforeseen);
    };
    let mut edited = body.to_owned();
    if wanted.plugins.is_empty() {
        let values: Vec<_> = members.iter().map(|member| member.value.clone()).collect();
        cut(&mut edited, &values, at, '{')?;
    } else {
        let mut list = slice(body, member.value.clone())?.to_owned();
        loop {
            let elements = elements(&list)?;
            let Some(at) = elements.iter().position(|(one, _)| is(one, name)) else { break };
            let values: Vec<_> = elements.into_iter().map(|(_, value)| value).collect();
            cut(&mut list, &values, at, '[')?;
        }
        edited.replace_range(member.value.clone(), &list);
    }
    if read(&edited)? != wanted {
        return Err(DaemonJsonError::Unforeseen);
    }
    Ok(format!("{mark}{edited}"))
}

/// Whether an entry names the plugin: engines take `name` and `name:latest` for the same.
fn is(entry: &str, name: &str) -> bool {
    entry.strip_suffix(":latest").unwrap_or(entry) == name
}

fn split_mark(text: &str) -> (&str, &str) {
    match text.strip_prefix(BOM) {
        Some(body) => text.split_at(text.len() - body.len()),
        None => ("", text),
    }
}

/// What the file says: the plugins, and all else, by which an edit is checked.
#[derive(Debug, PartialEq)]
struct Meaning<'t> {
    plugins: Vec<String>,
    others: Vec<(Cow<'t, str>, json::Value<'t>)>,
}

fn read(body: &str) -> Result<Meaning<'_>, DaemonJsonError> {
    // Engines match names without regard to case, so two of a kind are refused as well.
    let value = json::parse(body.as_bytes(), Names::Go, LIMITS).map_err(DaemonJsonError::Json)?;
    let json::Value::Object(object) = value else { return Err(DaemonJsonError::NotAnObject) };
    let mut others = object.into_members();
    let at = others.iter().position(|(name, _)| name == KEY);
    let plugins = match at.map(|at| others.remove(at).1) {
        None | Some(json::Value::Null) => Vec::new(),
        Some(json::Value::Array(elements)) => {
            let names = elements.iter().map(|one| one.as_str().map(ToOwned::to_owned));
            names.collect::<Option<_>>().ok_or(DaemonJsonError::NotAList)?
        }
        Some(_) => return Err(DaemonJsonError::NotAList),
    };
    Ok(Meaning { plugins, others })
}

/// A member of an object: where its key begins, and where its value stands.
struct Member {
    name: String,
    key: usize,
    value: Range<usize>,
}

fn members(body: &str) -> Result<Vec<Member>, DaemonJsonError> {
    let Raw(members) = serde_json::from_str(body).map_err(|_| DaemonJsonError::NotAnObject)?;
    let mut found: Vec<Member> = Vec::new();
    for (name, raw) in members {
        let value = place(body, raw)?;
        // Between one value and the next stand space, a comma, the key and a colon.
        let after = found.last().map_or(0, |last| last.value.end);
        let key = slice(body, after..value.start)?.find('"').map(|at| after + at);
        let key = key.ok_or(DaemonJsonError::Unforeseen)?;
        found.push(Member { name, key, value });
    }
    Ok(found)
}

fn elements(list: &str) -> Result<Vec<(String, Range<usize>)>, DaemonJsonError> {
    let raw: Vec<&RawValue> = serde_json::from_str(list).map_err(|_| DaemonJsonError::NotAList)?;
    raw.into_iter()
        .map(|raw| {
            let name = serde_json::from_str(raw.get()).map_err(|_| DaemonJsonError::NotAList)?;
            Ok((name, place(list, raw)?))
        })
        .collect()
}

/// Where a value that borrows from the text stands in it.
fn place(text: &str, raw: &RawValue) -> Result<Range<usize>, DaemonJsonError> {
    let start = raw.get().as_ptr().addr().checked_sub(text.as_ptr().addr());
    let start = start.ok_or(DaemonJsonError::Unforeseen)?;
    let place = start..start + raw.get().len();
    if text.get(place.clone()) == Some(raw.get()) {
        Ok(place)
    } else {
        Err(DaemonJsonError::Unforeseen)
    }
}

fn slice(text: &str, place: Range<usize>) -> Result<&str, DaemonJsonError> {
    text.get(place).ok_or(DaemonJsonError::Unforeseen)
}

/// A list with one more name at its end, in the form that its last one has.
fn appended(list: &str, name: &str) -> Result<String, DaemonJsonError> {
    if list == "null" {
        return Ok(format!("[{name:?}]"));
    }
    let elements = elements(list)?;
    let Some((_, end)) = elements.last() else { return Ok(format!("[{name:?}]")) };
    let space = match space_before(list, end.start) {
        "" if elements.len() == 1 => " ",
        space => space,
    };
    let mut list = list.to_owned();
    list.insert_str(end.end, &format!(",{space}{name:?}"));
    Ok(list)
}

/// The space that stands directly before a place.
fn space_before(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    before.get(before.trim_end_matches([' ', '\t', '\n', '\r']).len()..).unwrap_or_default()
}

/// Cuts one of the values out of an object or a list, with its key and one comma.
fn cut(
    text: &mut String,
    values: &[Range<usize>],
    at: usize,
    opening: char,
) -> Result<(), DaemonJsonError> {
    let value = values.get(at).ok_or(DaemonJsonError::Unforeseen)?;
    let start = match at.checked_sub(1).and_then(|before| values.get(before)) {
        Some(before) => before.end,
        None => text.find(opening).ok_or(DaemonJsonError::Unforeseen)? + 1,
    };
    let mut end = value.end;
    if at == 0 && values.len() > 1 {
        let comma = slice(text, end..text.len())?.find(',');
        end += comma.ok_or(DaemonJsonError::Unforeseen)? + 1;
    }
    text.replace_range(start..end, "");
    Ok(())
}

/// The members of an object in order, unread.
struct Raw<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Raw(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_bytes_change() {
        // before, with the plugin, after it was taken out again (where not as before)
        for (before, with, after) in [
            ("", "{\n  \"authorization-plugins\": [\"cs\"]\n}\n", "{\n}\n"),
            ("{}", "{\n  \"authorization-plugins\": [\"cs\"]\n}", "{\n}"),
            (" { } \n", " {\n  \"authorization-plugins\": [\"cs\"]\n} \n", " {\n} \n"),
            ("{\n}\n", "{\n  \"authorization-plugins\": [\"cs\"]\n}\n", "{\n}\n"),
            (r#"{"a":1}"#, r#"{"a":1,"authorization-plugins": ["cs"]}"#, r#"{"a":1}"#),
            (
                "{\n\t\"a\" : [1,\n2],\n\t\"b\":{\"}\":\",\"}\n}\n",
                "{\n\t\"a\" : [1,\n2],\n\t\"b\":{\"}\":\",\"},\n\t\"authorization-plugins\": [\"cs\"]\n}\n",
                "{\n\t\"a\" : [1,\n2],\n\t\"b\":{\"}\":\",\"}\n}\n",
            ),
            (
                "{\r\n  \"a\": \"\\u00e9\\\"\"\r\n}\r\n",
                "{\r\n  \"a\": \"\\u00e9\\\"\",\r\n  \"authorization-plugins\": [\"cs\"]\r\n}\r\n",
                "{\r\n  \"a\": \"\\u00e9\\\"\"\r\n}\r\n",
            ),
            (
                r#"{"authorization-plugins":[],"a":1}"#,
                r#"{"authorization-plugins":["cs"],"a":1}"#,
                r#"{"a":1}"#,
            ),
            (
                r#"{"a":1,"authorization-plugins":null}"#,
                r#"{"a":1,"authorization-plugins":["cs"]}"#,
                r#"{"a":1}"#,
            ),
            (
                r#"{"authorization-plugins": ["opa"]}"#,
                r#"{"authorization-plugins": ["opa", "cs"]}"#,
                r#"{"authorization-plugins": ["opa"]}"#,
            ),
            (
                r#"{"authorization-plugins":["a","b"], "x":{}}"#,
                r#"{"authorization-plugins":["a","b","cs"], "x":{}}"#,
                r#"{"authorization-plugins":["a","b"], "x":{}}"#,
            ),
            (
                "{\"authorization-plugins\": [\n    \"a\"\n  ]}",
                "{\"authorization-plugins\": [\n    \"a\",\n    \"cs\"\n  ]}",
                "{\"authorization-plugins\": [\n    \"a\"\n  ]}",
            ),
            (
                "\u{feff}{\"a\":1}",
                "\u{feff}{\"a\":1,\"authorization-plugins\": [\"cs\"]}",
                "\u{feff}{\"a\":1}",
            ),
        ] {
            assert_eq!(name_plugin(before, "cs").as_deref(), Ok(with), "{before:?}");
            assert_eq!(name_plugin(with, "cs").as_deref(), Ok(with), "named twice: {before:?}");
            assert_eq!(unname_plugin(with, "cs").as_deref(), Ok(after), "{before:?}");
            assert_eq!(unname_plugin(after, "cs").as_deref(), Ok(after), "twice: {before:?}");
        }
    }

    #[test]
    fn takes_out_every_name_of_ours_and_no_other() {
        for (before, after) in [
            (r#"{"authorization-plugins":["cs:latest"]}"#, "{}"),
            (
                r#"{"authorization-plugins":["cs", "opa", "cs:latest"]}"#,
                r#"{"authorization-plugins":[ "opa"]}"#,
            ),
            (
                r#"{"authorization-plugins":["css", "cs:1"]}"#,
                r#"{"authorization-plugins":["css", "cs:1"]}"#,
            ),
            (r#"{"authorization-plugins":["cs"],"z":[",\""]}"#, r#"{"z":[",\""]}"#),
        ] {
            assert_eq!(unname_plugin(before, "cs").as_deref(), Ok(after), "{before}");
        }
        let named = r#"{"authorization-plugins":["cs:latest"]}"#;
        assert_eq!(name_plugin(named, "cs").as_deref(), Ok(named));
    }

    #[test]
    fn what_cannot_be_relied_on_is_left_alone() {
        for (text, error) in [
            ("[]", "not a JSON object"),
            ("nonsense", "not JSON"),
            ("{\"a\":1,}", "not JSON"),
            ("{\"a\":1} {}", "not JSON"),
            ("// engines take no comments\n{}", "not JSON"),
            (r#"{"a":1,"a":2}"#, "not JSON"),
            (r#"{"authorization-plugins":["x"],"Authorization-Plugins":[]}"#, "not JSON"),
            (r#"{"authorization-plugins":"opa"}"#, "not a list of names"),
            (r#"{"authorization-plugins":["opa",1]}"#, "not a list of names"),
        ] {
            for edited in [name_plugin(text, "cs"), unname_plugin(text, "cs")] {
                let said = edited.unwrap_err().to_string();
                assert!(said.contains(error), "{text}: {said}");
            }
        }
    }
}
