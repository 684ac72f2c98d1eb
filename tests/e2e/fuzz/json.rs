//! JSON that need not be good: members may repeat, and any piece may be raw bytes.

use serde_json::Value;

/// An object's members, in the order in which they are written; their names without quotes.
pub type Members = Vec<(Vec<u8>, Json)>;

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// Numbers, `true`, `null`, text with its quotes; or what is no JSON at all.
    Raw(Vec<u8>),
    List(Vec<Json>),
    Object(Members),
}

impl Json {
    pub fn raw(text: &str) -> Self {
        Self::Raw(text.as_bytes().to_vec())
    }

    pub fn text(text: &str) -> Self {
        Self::raw(&Value::from(text).to_string())
    }

    /// A document of our own writing.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        Self::of(&value)
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Array(elements) => Self::List(elements.iter().map(Self::of).collect()),
            Value::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(name, value)| (name.clone().into_bytes(), Self::of(value)))
                    .collect(),
            ),
            plain => Self::raw(&plain.to_string()),
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Raw(bytes) => out.extend(bytes),
            Self::List(elements) => {
                out.push(b'[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    element.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    out.push(b'"');
                    out.extend(name);
                    out.extend(b"\":");
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    pub fn members(&mut self) -> Option<&mut Members> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The first member of this name.
    pub fn get(&mut self, name: &str) -> Option<&mut Self> {
        let found = self.members()?.iter_mut().find(|(written, _)| written == name.as_bytes());
        found.map(|(_, value)| value)
    }

    /// The member of this name, an object; made where it is missing or something else.
    pub fn object(&mut self, name: &str) -> &mut Self {
        if self.get(name).is_none_or(|found| found.members().is_none()) {
            self.set(name, Self::Object(Vec::new()));
        }
        self.get(name).expect("just made")
    }

    /// Replaces the member of this name, or adds it. Nothing else than an object has members.
    pub fn set(&mut self, name: &str, value: Self) {
        match self.get(name) {
            Some(found) => *found = value,
            None => self.push(name.as_bytes().to_vec(), value),
        }
    }

    /// Adds a member after all others.
    pub fn push(&mut self, name: Vec<u8>, value: Self) {
        if let Some(members) = self.members() {
            members.push((name, value));
        }
    }

    /// Every object in here, itself included, is shown to `each`.
    pub fn each_object(&mut self, each: &mut impl FnMut(&mut Members)) {
        match self {
            Self::Raw(_) => {}
            Self::List(elements) => elements.iter_mut().for_each(|one| one.each_object(each)),
            Self::Object(members) => {
                for (_, value) in members.iter_mut() {
                    value.each_object(each);
                }
                each(members);
            }
        }
    }
}
