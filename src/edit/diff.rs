//! What would change, for people to see first.

use similar::{ChangeTag, TextDiff};

/// Lines shown around what changes.
const CONTEXT: usize = 3;

/// A line of a unified diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Where the next lines stand.
    Place(String),
    /// Stays.
    Kept(String),
    /// Comes.
    Added(String),
    /// Goes.
    Removed(String),
}

/// What turns one text into the other. Control characters are shown escaped.
pub fn diff(before: &str, after: &str) -> Vec<Line> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        lines.push(Line::Place(hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let text = change.value().trim_end_matches(['\n', '\r']);
            let shown: String = text
                .chars()
                .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
                .collect();
            lines.push(match change.tag() {
                ChangeTag::Equal => Line::Kept(shown),
                ChangeTag::Insert => Line::Added(shown),
                ChangeTag::Delete => Line::Removed(shown),
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_changes_with_what_is_around_it() {
        let before = "1\n2\n3\n4\n5\n6\n";
        let after = "1\n2\n3\n4\nfive\u{1b}[2J\n6\n";
        assert_eq!(
            diff(before, after),
            [
                Line::Place("@@ -2,5 +2,5 @@".to_owned()),
                Line::Kept("2".to_owned()),
                Line::Kept("3".to_owned()),
                Line::Kept("4".to_owned()),
                Line::Removed("5".to_owned()),
                Line::Added("five\u{fffd}[2J".to_owned()),
                Line::Kept("6".to_owned()),
            ]
        );
        assert!(diff(before, before).is_empty());
    }
}
