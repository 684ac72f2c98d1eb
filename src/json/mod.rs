//! **Strict JSON.** One reader for everything hostile that is JSON: the bodies of API
//! calls and the trust data of a server.
//!
//! Go's `encoding/json` lets the last of two equal members win, merges repeated
//! objects and matches names without regard to case; other readers do not. What two
//! readers see differently can be used to show the judge one thing and the engine
//! another. So this reader refuses whatever is ambiguous: repeated members at any
//! level, invalid UTF-8, lone surrogates, numbers out of range, text after the value,
//! depth and size past a limit.
//!
//! The lexing is `serde_json`'s; the strictness is in `Seed`, below.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value, borrowing the text it was read from where it can.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object without repeated members.
    Object(Object<'a>),
}

/// A JSON number as read: an integer where it was written as one and fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer from -2^63 to -1.
    Negative(i64),
    /// An integer from 0 to 2^64-1.
    Unsigned(u64),
    /// Anything with a fraction or an exponent, and integers past 64 bits. Finite.
    Float(f64),
}

/// A JSON object: members in the order written, none twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Object<'a> {
    /// The member of exactly this name.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// All members, in the order written.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// All members, by value, in the order written.
    pub fn into_members(self) -> Vec<(Cow<'a, str>, Value<'a>)> {
        self.0
    }
}

impl<'a> Value<'a> {
    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }
}

/// When two member names of one object are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// When their bytes are.
    Exact,
    /// When Go's `encoding/json` would give both to the same field: without regard to
    /// ASCII case, and with U+017F read as `s` and U+212A as `k`.
    Go,
}

/// How much a document may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How deep arrays and objects may nest. At most 127, `serde_json`'s own bound.
    pub depth: u8,
    /// How many values it may hold in all, which bounds the memory it takes.
    pub values: u32,
}

/// Why a document was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not UTF-8.
    #[error("not UTF-8 (byte {valid_up_to})")]
    NotUtf8 {
        /// How many bytes before the fault are.
        valid_up_to: usize,
    },
    /// Not JSON, or JSON that readers disagree on; the text says what and where.
    #[error("{0}")]
    Refused(String),
}

/// Reads one document.
pub fn parse(bytes: &[u8], names: Names, limits: Limits) -> Result<Value<'_>, Error> {
    read(bytes, names, limits, None)
}

/// Takes the members of a large object, one by one.
pub trait Members<'de> {
    /// Takes a member by the text of its value, where that says all that is to be known: it
    /// then says how many values stand there. `None`: it is to be read.
    fn take_text(&mut self, _name: &str, _text: &'de str) -> Option<u32> {
        None
    }

    /// Takes a member that was read.
    fn take(&mut self, name: &str, value: &Value<'de>) -> Result<(), &'static str>;
}

impl<'de, F: FnMut(&str, &Value<'de>) -> Result<(), &'static str>> Members<'de> for F {
    fn take(&mut self, name: &str, value: &Value<'de>) -> Result<(), &'static str> {
        self(name, value)
    }
}

/// Reads one document whose object at `path` is large: each member of that object is shown
/// to `each` and not kept, so the value returned has an empty object there.
///
/// It is read as by [`parse`], names exactly, and one thing more is refused: members of that
/// object that are not in order of their names' bytes. In order, none can stand twice.
/// What was shown counts for nothing where the document is refused after all.
pub fn parse_along<'a>(
    bytes: &'a [u8],
    limits: Limits,
    path: &[&str],
    each: &mut dyn Members<'a>,
) -> Result<Value<'a>, Error> {
    read(bytes, Names::Exact, limits, Some(Along { path, each }))
}

fn read<'a>(
    bytes: &'a [u8],
    names: Names,
    limits: Limits,
    along: Option<Along<'_, 'a>>,
) -> Result<Value<'a>, Error> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::NotUtf8 { valid_up_to: error.valid_up_to() })?;
    let mut left = limits.values;
    let mut reader = serde_json::Deserializer::from_str(text);
    let refused = |error: serde_json::Error| Error::Refused(error.to_string());
    let along = along.map(|Along { path, each }| Along { path, each: &mut *each });
    let value = Seed { names, depth: limits.depth, left: &mut left, along }
        .deserialize(&mut reader)
        .map_err(refused)?;
    reader.end().map_err(refused)?;
    Ok(value)
}

/// `name` as Go's `encoding/json` compares it (`foldName`, go1.19 to go1.27): ASCII
/// letters without case, U+017F as `s`, U+212A as `k`, everything else as it is.
///
/// Later Go folds all of Unicode by simple case; only these two non-ASCII characters
/// fold to ASCII there as well, so for the engine's field names (all ASCII) the result
/// is the same.
pub fn go_fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        let changes = name.bytes().any(|byte| byte.is_ascii_uppercase());
        return if changes { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) };
    }
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    };
    Cow::Owned(name.chars().map(fold).collect())
}

/// Whether Go's `encoding/json` compares two names as equal ([`go_fold`]).
#[inline]
pub fn go_eq(one: &str, other: &str) -> bool {
    // Most names differ in their first letter. One that is not ASCII may fold to ASCII.
    let (first, second) = (one.bytes().next(), other.bytes().next());
    let differs = first.zip(second).is_some_and(|(first, second)| {
        first.is_ascii() && second.is_ascii() && !first.eq_ignore_ascii_case(&second)
    });
    !differs && folds_alike(one, other)
}

fn folds_alike(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        one.eq_ignore_ascii_case(other)
    } else {
        go_fold(one) == go_fold(other)
    }
}

/// Reads one value, counting down what the document may still hold.
struct Seed<'b, 'de> {
    names: Names,
    depth: u8,
    left: &'b mut u32,
    along: Option<Along<'b, 'de>>,
}

/// The way from a value to the object whose members are shown one by one.
struct Along<'b, 'de> {
    path: &'b [&'b str],
    each: &'b mut dyn Members<'de>,
}

impl<'de> Seed<'_, 'de> {
    /// The seed for a value inside this one.
    fn inner<E: serde::de::Error>(&mut self) -> Result<Seed<'_, 'de>, E> {
        let depth =
            self.depth.checked_sub(1).ok_or_else(|| E::custom("nested deeper than allowed"))?;
        Ok(Seed { names: self.names, depth, left: self.left, along: None })
    }

    /// The seed for the member of this name.
    fn member<E: serde::de::Error>(&mut self, name: &str) -> Result<Seed<'_, 'de>, E> {
        let along = self.along.as_mut().and_then(|along| match along.path.split_first() {
            Some((first, path)) if *first == name => Some(Along { path, each: &mut *along.each }),
            _ => None,
        });
        let depth =
            self.depth.checked_sub(1).ok_or_else(|| E::custom("nested deeper than allowed"))?;
        Ok(Seed { names: self.names, depth, left: self.left, along })
    }

    /// Shows all members to `each`.
    fn show<A: MapAccess<'de>>(
        mut self,
        each: &mut dyn Members<'de>,
        mut access: A,
    ) -> Result<Value<'de>, A::Error> {
        let mut last: Option<Cow<'de, str>> = None;
        while let Some(name) = access.next_key_seed(NameSeed)? {
            if last.as_ref().is_some_and(|last| *last >= name) {
                return Err(A::Error::custom("members out of order"));
            }
            let text = access.next_value::<&'de RawValue>()?.get();
            if let Some(values) = each.take_text(&name, text) {
                *self.left = self.left.checked_sub(values).ok_or_else(too_many)?;
            } else {
                let mut reader = serde_json::Deserializer::from_str(text);
                let value = self.inner()?.deserialize(&mut reader).map_err(A::Error::custom)?;
                each.take(&name, &value).map_err(A::Error::custom)?;
            }
            last = Some(name);
        }
        Ok(Value::Object(Object::default()))
    }
}

fn too_many<E: serde::de::Error>() -> E {
    E::custom("holds more values than allowed")
}

impl<'de> DeserializeSeed<'de> for Seed<'_, 'de> {
    type Value = Value<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value<'de>, D::Error> {
        *self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, 'de> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(Number::Negative(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(Number::Unsigned(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Number(Number::Float(value)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(self.inner()?)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value<'de>, A::Error> {
        if let Some(Along { path: [], each }) = self.along.take_if(|along| along.path.is_empty()) {
            return self.show(each, access);
        }
        let mut members: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(name) = access.next_key_seed(NameSeed)? {
            let value = access.next_value_seed(self.member(&name)?)?;
            members.push((name, value));
        }
        match repeated(&members, self.names) {
            Some(name) => {
                let (name, more) = excerpt(name);
                Err(A::Error::custom(format_args!("the member {name:?}{more} stands twice")))
            }
            None => Ok(Value::Object(Object(members))),
        }
    }
}

/// Enough of a name to find it by, and what stands for the rest.
fn excerpt(name: &str) -> (&str, &'static str) {
    const MOST: usize = 60;
    let cut = name.char_indices().nth(MOST).and_then(|(end, _)| name.get(..end));
    cut.map_or((name, ""), |cut| (cut, "…"))
}

/// Reads a member's name, borrowed where it has no escapes.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }
}

/// The first name that stands twice.
fn repeated<'m>(members: &'m [(Cow<'_, str>, Value<'_>)], names: Names) -> Option<&'m str> {
    /// Up to here comparing each with each costs less than a set.
    const FEW: usize = 8;
    let all = || members.iter().map(|(name, _)| name.as_ref());
    if members.len() <= FEW {
        let same = |one: &str, other: &str| match names {
            Names::Exact => one == other,
            Names::Go => go_eq(one, other),
        };
        let mut ranked = all().enumerate();
        let known = |(rank, name): &(usize, &str)| all().take(*rank).any(|one| same(one, name));
        return ranked.find(known).map(|(_, name)| name);
    }
    // Mostly none does, and these numbers tell so without a copy of any name.
    let mut marks: Vec<u64> = all().map(|name| mark(name, names)).collect();
    marks.sort_unstable();
    if marks.windows(2).all(|pair| pair.first() != pair.last()) {
        return None;
    }
    let compared = |name: &'m str| match names {
        Names::Exact => Cow::Borrowed(name),
        Names::Go => go_fold(name),
    };
    let mut seen = HashSet::with_capacity(members.len());
    all().find(|name| !seen.insert(compared(name)))
}

/// A number that equal names share, and others hardly ever: FNV-1a, 64 bits. Names can be made
/// that share it all the same, so it proves only that names differ.
fn mark(name: &str, names: Names) -> u64 {
    let add = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let begin = 0xcbf2_9ce4_8422_2325;
    match names {
        Names::Exact => name.bytes().fold(begin, add),
        Names::Go if name.is_ascii() => {
            name.bytes().fold(begin, |sum, byte| add(sum, byte.to_ascii_lowercase()))
        }
        Names::Go => go_fold(name).bytes().fold(begin, add),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { depth: 8, values: 100 };

    fn read(text: &str, names: Names) -> Result<Value<'_>, Error> {
        parse(text.as_bytes(), names, LIMITS)
    }

    #[test]
    fn reads_every_kind_of_value() {
        let value = read(r#"{"a":[1,-2,3.5,"x",true,null],"b":{}}"#, Names::Exact).unwrap();
        let object = value.as_object().unwrap();
        let elements = object.get("a").unwrap().as_array().unwrap();
        assert_eq!(elements[0], Value::Number(Number::Unsigned(1)));
        assert_eq!(elements[1], Value::Number(Number::Negative(-2)));
        assert_eq!(elements[2], Value::Number(Number::Float(3.5)));
        assert_eq!(elements[3].as_str(), Some("x"));
        assert_eq!(object.get("c"), None);
    }

    #[test]
    fn refuses_what_readers_disagree_on() {
        for text in [
            r#"{"Image":"good","Image":"evil"}"#,
            r#"{"Image":"good","\u0049mage":"evil"}"#,
            r#"{"a":[{"b":{"c":1,"c":2}}]}"#,
            r#"{"a":1}{"a":2}"#,
            r#"{"a":1}]"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e999}"#,
            r#"{"a":1,}"#,
            "\u{feff}{}",
            r"{'a':1}",
            "",
            "[[[[[[[[[]]]]]]]]]",
        ] {
            assert!(read(text, Names::Exact).is_err(), "{text}");
        }
        assert_eq!(
            parse(b"{\"a\":\"\xff\"}", Names::Exact, LIMITS),
            Err(Error::NotUtf8 { valid_up_to: 6 })
        );
    }

    #[test]
    fn folds_names_as_go_does() {
        for text in [
            r#"{"Image":1,"image":2}"#,
            r#"{"TaskTemplate":1,"Ta\u017fkTemplate":2}"#,
            "{\"ba\u{212a}e\":1,\"BAKE\":2}",
        ] {
            // Few members are compared one by one, many are looked up.
            let many = text.replacen('{', r#"{"a":0,"B":0,"c":0,"D":0,"e":0,"F":0,"g":0,"#, 1);
            for text in [text, &many] {
                assert!(read(text, Names::Go).is_err(), "{text}");
                assert!(read(text, Names::Exact).is_ok(), "{text}");
            }
        }
        for (one, other, equal) in [
            ("\u{17f}ize", "Size", true),
            ("Keep", "\u{212a}eep", true),
            ("\u{17f}", "\u{17f}", true),
            ("", "", true),
            ("", "a", false),
            ("Image", "imagE", true),
            ("Image", "Images", false),
            ("@", "`", false),
        ] {
            assert_eq!(go_eq(one, other), equal, "{one} {other}");
        }
        for text in ["{\"\u{131}mage\":1,\"Image\":2}", r#"{"Im_age":1,"Image":2}"#] {
            assert!(read(text, Names::Go).is_ok(), "{text}");
        }
    }

    #[test]
    fn names_that_share_a_mark_are_two() {
        let names = ["8yn0iYCKYHlIj4-BwPqk", "GReLUrM4wMqfg9yzV3KQ"];
        assert_eq!(mark(names[0], Names::Exact), mark(names[1], Names::Exact));
        let document = |last: &str| {
            let numbers = (0..20).fold(String::new(), |text, n| text + &format!(r#""{n}":0,"#));
            format!(r#"{{{numbers}"{}":1,"{last}":2}}"#, names[0])
        };
        assert!(read(&document(names[1]), Names::Exact).is_ok());
        assert!(read(&document(names[0]), Names::Exact).is_err());
    }

    #[test]
    fn a_long_name_is_not_repeated_whole() {
        let name = "é".repeat(1000);
        let error = read(&format!(r#"{{"{name}":1,"{name}":2}}"#), Names::Exact).unwrap_err();
        let told = format!("the member \"{}\"… stands twice", "é".repeat(60));
        assert!(error.to_string().starts_with(&told), "{error}");
    }

    #[test]
    fn shows_the_members_of_one_object() {
        let along = |text: &str| {
            let mut shown = Vec::new();
            let value = parse_along(text.as_bytes(), LIMITS, &["a", "b"], &mut |name: &str,
                                                                                value: &Value<
                '_,
            >| {
                shown.push((name.to_owned(), format!("{value:?}")));
                if name == "odd" { Err("odd") } else { Ok(()) }
            });
            value.map(|value| (format!("{value:?}"), shown)).map_err(|error| error.to_string())
        };
        let whole = |text| format!("{:?}", read(text, Names::Exact).unwrap());
        let text =
            r#"{"x":{"b":{"c":1}},"a":{"a":[{"b":{"c":1}}],"b":{"1":2,"\u0032":{"b":[3]}},"c":4}}"#;
        let (rest, shown) = along(text).unwrap();
        let expected = r#"{"x":{"b":{"c":1}},"a":{"a":[{"b":{"c":1}}],"b":{},"c":4}}"#;
        assert_eq!(rest, whole(expected));
        assert_eq!(
            shown,
            [("1", "2"), ("2", r#"{"b":[3]}"#)]
                .map(|(name, value)| (name.to_owned(), whole(value)))
        );
        for text in ["1", "[]", r#"{"a":1}"#, r#"{"a":{"b":[1]}}"#, r#"{"a":{"b":{}}}"#] {
            assert_eq!(along(text), Ok((whole(text), Vec::new())), "{text}");
        }
        for (text, error) in [
            (r#"{"a":{"b":{"1":1,"1":1}}}"#, "out of order"),
            (r#"{"a":{"b":{"2":1,"1":1}}}"#, "out of order"),
            (r#"{"a":{"b":{"\u0031":1,"1":1}}}"#, "out of order"),
            (r#"{"a":{"b":{"1":{"c":1,"c":2}}}}"#, "twice"),
            (r#"{"a":{"b":{"1":1},"b":{"2":1}}}"#, "twice"),
            (r#"{"a":{"b":{"1":1}},"a":{"b":{}}}"#, "twice"),
            (r#"{"a":{"b":{"odd":1}}}"#, "odd"),
            (r#"{"a":{"b":{"1":1}}"#, "EOF"),
            (r#"{"a":{"b":{"1":[[[[[[1]]]]]]}}}"#, "deeper"),
        ] {
            let told = along(text).unwrap_err();
            assert!(told.contains(error), "{text}: {told}");
        }
    }

    /// Takes what stands as a number, and reads the rest.
    #[derive(Default)]
    struct Taker(Vec<String>);

    impl<'de> Members<'de> for Taker {
        fn take_text(&mut self, name: &str, text: &'de str) -> Option<u32> {
            text.parse::<u32>().ok()?;
            self.0.push(format!("{name} {text}"));
            Some(3)
        }

        fn take(&mut self, name: &str, value: &Value<'de>) -> Result<(), &'static str> {
            self.0.push(format!("{name} read as {value:?}"));
            Ok(())
        }
    }

    #[test]
    fn what_is_taken_by_its_text_is_counted_and_in_order() {
        let along = |text: &'static str, values| {
            let mut taker = Taker::default();
            let limits = Limits { depth: 4, values };
            let read = parse_along(text.as_bytes(), limits, &["a"], &mut taker);
            (taker.0, read.map(|_| ()).map_err(|error| error.to_string()))
        };
        let text = r#"{"a":{"x":1, "y": true ,"z":[2]}}"#;
        let (taken, read) = along(text, 99);
        assert_eq!(taken[0], "x 1");
        assert_eq!(taken.len(), 3);
        assert_eq!(read, Ok(()));
        // Two objects, three for the text, one, two.
        assert_eq!(along(text, 8).1, Ok(()));
        for (text, values, told) in [
            (text, 7, "more values"),
            (r#"{"a":{"y":1,"x":1}}"#, 99, "out of order"),
            (r#"{"a":{"x":1,"x":1}}"#, 99, "out of order"),
            (r#"{"a":{"x":[[[[1]]]]}}"#, 99, "deeper"),
            (r#"{"a":{"x":"\ud800"}}"#, 99, "hex escape"),
            (r#"{"a":{"x":{"b":1,"b":1}}}"#, 99, "twice"),
            (r#"{"a":{"x":01}}"#, 99, "invalid number"),
            (r#"{"a":{"x":1]}"#, 99, "expected"),
        ] {
            let error = along(text, values).1.unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn bounds_the_number_of_values() {
        let many = format!("[{}1]", "1,".repeat(98));
        assert!(read(&many, Names::Exact).is_ok());
        let too_many = format!("[{}1]", "1,".repeat(99));
        assert!(read(&too_many, Names::Exact).is_err());
    }
}
