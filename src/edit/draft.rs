//! A policy file that is being changed.

use similar::{ChangeTag, TextDiff};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

/// What a policy starts from that is not there yet.
const BLANK: &str = "# Which images this host runs. countersign help serve tells of this file.\n\
    \n\
    [trust_configuration]\n\
    require_content_trust = true\n\
    # A member of each of these teams must have signed; none named: any known user.\n\
    require_signature_from = []\n";

/// Why a change could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// Something stands where a table or a list should.
    #[error("{0} is not written as {1} in the policy; edit it by hand")]
    Form(String, &'static str),
    /// It is there already.
    #[error("there is already a {what} {name:?} in the policy")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Which.
        name: String,
    },
    /// It is not there.
    #[error("there is no {what} {name:?} in the policy; there is {there}")]
    Absent {
        /// What kind of thing.
        what: &'static str,
        /// Which.
        name: String,
        /// Those that are there.
        there: String,
    },
}

impl EditError {
    pub(super) fn absent<'n>(
        what: &'static str,
        name: &str,
        there: impl Iterator<Item = &'n str>,
    ) -> Self {
        let there: Vec<_> = there.collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        Self::Absent { what, name: name.to_owned(), there }
    }
}

/// A policy file that is being changed. Comments, order and line ends stay.
pub struct Draft {
    pub(super) document: DocumentMut,
    original: String,
}

impl Draft {
    /// Opens the text of a file.
    pub fn open(text: &str) -> Result<Self, EditError> {
        // Its writer ends lines with a line feed; `text` gives lines back the ends they had.
        let document = text
            .replace("\r\n", "\n")
            .parse()
            .map_err(|error: toml_edit::TomlError| EditError::Syntax(error.to_string()))?;
        Ok(Self { document, original: text.to_owned() })
    }

    /// Begins a file: nothing is allowed yet but what any known user signs.
    pub fn begin() -> Result<Self, EditError> {
        let mut draft = Self::open(BLANK)?;
        draft.original.clear();
        Ok(draft)
    }

    /// Whether it says what it said before. A last line without an end gets one.
    pub fn is_unchanged(&self) -> bool {
        self.original.replace("\r\n", "\n").trim_end() == self.document.to_string().trim_end()
    }

    /// The text as it is now.
    pub fn text(&self) -> String {
        with_line_ends_of(&self.original, &self.document.to_string())
    }

    /// A section's table, made where there is none.
    pub(super) fn section(&mut self, name: &'static str) -> Result<&mut dyn TableLike, EditError> {
        let item = self.document.entry(name).or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(name == "users");
            Item::Table(table)
        });
        item.as_table_like_mut().ok_or(EditError::Form(format!("[{name}]"), "a table"))
    }

    /// A section's table, if it is there and one.
    pub(super) fn look(&self, name: &str) -> Option<&dyn TableLike> {
        self.document.get(name)?.as_table_like()
    }
}

/// The list at a key, made where there is none.
pub(super) fn list<'t>(
    table: &'t mut dyn TableLike,
    key: &str,
) -> Result<&'t mut Array, EditError> {
    let item = table.entry(key).or_insert_with(|| Item::Value(Value::Array(Array::new())));
    item.as_array_mut().ok_or_else(|| EditError::Form(key.to_owned(), "a list"))
}

/// The texts of a list.
pub(super) fn texts(item: Option<&Item>) -> Vec<String> {
    let list = item.and_then(Item::as_array).into_iter().flatten();
    list.filter_map(|value| value.as_str().map(ToOwned::to_owned)).collect()
}

/// A table for a new entry, in the form that the entries around it have.
pub(super) fn entry_for(parent: &dyn TableLike, is_inline: bool) -> Item {
    if is_inline || parent.iter().any(|(_, item)| item.is_inline_table()) {
        Item::Value(Value::InlineTable(InlineTable::new()))
    } else {
        Item::Table(Table::new())
    }
}

/// The new text, in which every line that stays ends as it did, and new ones as the first.
fn with_line_ends_of(original: &str, new: &str) -> String {
    if !original.contains("\r\n") {
        return new.to_owned();
    }
    let first = original.find('\n').and_then(|at| at.checked_sub(1));
    let first_is_crlf = first.and_then(|at| original.as_bytes().get(at)) == Some(&b'\r');
    let plain = original.replace("\r\n", "\n");
    let old_lines: Vec<_> = original.split_inclusive('\n').collect();
    let mut text = String::with_capacity(new.len() + old_lines.len());
    for change in TextDiff::from_lines(plain.as_str(), new).iter_all_changes() {
        match (change.tag(), change.old_index().and_then(|at| old_lines.get(at))) {
            (ChangeTag::Delete, _) => {}
            (ChangeTag::Equal, Some(line)) => text.push_str(line),
            (_, _) if first_is_crlf => text.push_str(&change.value().replace('\n', "\r\n")),
            (_, _) => text.push_str(change.value()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_by_itself() {
        for text in [
            "",
            "a = 1\n",
            "# c\r\n\r\n[teams] # t\r\nCI = [ 'a',\r\n  \"b\" ]\r\n",
            "x = \"\"\"\r\na\r\n\"\"\"\n[y]\r\n",
            "[ a . b ]\n  k   =  1\t# tab\n\n\n",
        ] {
            assert_eq!(Draft::open(text).unwrap().text(), text, "{text:?}");
        }
        let endless = Draft::open("a = 1").unwrap();
        assert!(endless.is_unchanged() && endless.text() == "a = 1\n");
        assert!(matches!(Draft::open("a = [").map(|_| ()), Err(EditError::Syntax(_))));
    }

    #[test]
    fn new_lines_end_as_the_others_do() {
        let new = "a = 1\nb = 2\nc = 3\n";
        for (original, expected) in [
            ("a = 1\nc = 3\n", "a = 1\nb = 2\nc = 3\n"),
            ("a = 1\r\nc = 3\r\n", "a = 1\r\nb = 2\r\nc = 3\r\n"),
            ("a = 1\nc = 3\r\n", "a = 1\nb = 2\nc = 3\r\n"),
            ("", new),
        ] {
            assert_eq!(with_line_ends_of(original, new), expected, "{original:?}");
        }
    }

    #[test]
    fn a_blank_policy_is_one() {
        let text = Draft::begin().unwrap().text();
        assert_eq!(text, BLANK);
    }
}
