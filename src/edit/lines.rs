//! Where in a policy file each of its settings is written.

use toml_edit::{Document, Item, Value};

use super::draft::EditError;

/// A policy file, read for the places of what it says.
pub struct Lines {
    document: Document<String>,
}

/// What a step of a path leads to.
enum Place<'d> {
    Item(&'d Item),
    Table(&'d toml_edit::Table),
    Value(&'d Value),
}

impl Lines {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// Where it is no TOML.
    pub fn of(text: &str) -> Result<Self, EditError> {
        let document = Document::parse(text.to_owned())
            .map_err(|error| EditError::Syntax(error.to_string()))?;
        Ok(Self { document })
    }

    /// The line, from 1, on which something is written: a key by its name, an entry of a list
    /// by its number. `None` where it is not written.
    pub fn line(&self, path: &[&str]) -> Option<usize> {
        let mut place = Place::Item(self.document.as_item());
        let mut start = None;
        for step in path {
            (place, start) = place.step(step)?;
        }
        let before = self.document.raw().get(..start?)?;
        Some(before.matches('\n').count() + 1)
    }
}

impl<'d> Place<'d> {
    /// What is found there, and where it begins.
    fn step(&self, name: &str) -> Option<(Self, Option<usize>)> {
        let number = || name.parse::<usize>().ok();
        let (item, list) = match self {
            Self::Item(item) => (item.as_table_like(), Some(*item)),
            Self::Table(table) => {
                let table: &'d dyn toml_edit::TableLike = *table;
                (Some(table), None)
            }
            Self::Value(value) => {
                let table =
                    value.as_inline_table().map(|one| -> &'d dyn toml_edit::TableLike { one });
                (table, None)
            }
        };
        if let Some(table) = item {
            let (key, found) = table.get_key_value(name)?;
            let start = key.span().or_else(|| found.span()).map(|span| span.start);
            return Some((Self::Item(found), start));
        }
        match list? {
            Item::ArrayOfTables(tables) => {
                let table = tables.get(number()?)?;
                Some((Self::Table(table), table.span().map(|span| span.start)))
            }
            Item::Value(Value::Array(values)) => {
                let value = values.get(number()?)?;
                Some((Self::Value(value), value.span().map(|span| span.start)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_everything_that_can_be_written() {
        let text = "# a policy\n\
            [trust_configuration]\n\
            require_content_trust = true\n\
            mode = \"audit\" # until May\n\
            \n\
            [[rules]]\n\
            repository = \"h.io/a\"\n\
            [[rules]]\n\
            # the second\n\
            repository = \"h.io/b\"\n\
            [users.alice]\n\
            certificates = []\n\
            [teams]\n\
            \"a team\" = [\n  \"alice\",\n]\n";
        let lines = Lines::of(text).unwrap();
        for (path, line) in [
            (&["trust_configuration", "mode"][..], Some(4)),
            (&["trust_configuration", "users_ca"], None),
            (&["rules", "0"], Some(6)),
            (&["rules", "1"], Some(8)),
            (&["rules", "1", "repository"], Some(10)),
            (&["rules", "2", "repository"], None),
            (&["rules", "x"], None),
            (&["users", "alice"], Some(11)),
            (&["users", "bob"], None),
            (&["teams", "a team"], Some(14)),
            (&["teams", "a team", "0"], Some(15)),
            (&["guard", "mode"], None),
            (&[], None),
        ] {
            assert_eq!(lines.line(path), line, "{path:?}");
        }
    }

    #[test]
    fn entries_may_stand_in_braces() {
        let text = "teams = { CI = [] }\r\nrules = [\r\n  { repository = \"h.io/a\" },\r\n]\r\n";
        let lines = Lines::of(text).unwrap();
        assert_eq!(lines.line(&["teams", "CI"]), Some(1));
        assert_eq!(lines.line(&["rules", "0", "repository"]), Some(3));
        assert!(Lines::of("a = [").is_err());
    }
}
