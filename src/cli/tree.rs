//! A tree in text, as `tree` and `systemctl list-dependencies` draw it.

/// A line, and what hangs below it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    text: String,
    below: Vec<Tree>,
}

impl Tree {
    /// A line with nothing below it yet.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), below: Vec::new() }
    }

    /// Hangs something below it.
    pub fn push(&mut self, below: Self) {
        self.below.push(below);
    }

    /// The same, a line.
    pub fn leaf(&mut self, text: impl Into<String>) {
        self.push(Self::new(text));
    }

    /// The whole of it, a line each, with a newline after each.
    pub fn draw(&self) -> String {
        let mut drawn = format!("{}\n", self.text);
        self.draw_below("", &mut drawn);
        drawn
    }

    fn draw_below(&self, margin: &str, drawn: &mut String) {
        let last = self.below.len().saturating_sub(1);
        for (place, below) in self.below.iter().enumerate() {
            let (branch, beside) =
                if place == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            // What goes on over several lines stays within its branch.
            for (number, line) in below.text.lines().enumerate() {
                let lead = if number == 0 { branch } else { beside };
                drawn.push_str(margin);
                drawn.push_str(lead);
                drawn.push_str(line);
                drawn.push('\n');
            }
            below.draw_below(&format!("{margin}{beside}"), drawn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_end_where_nothing_follows() {
        let mut tree = Tree::new("top");
        let mut first = Tree::new("first\nand more");
        first.leaf("leaf");
        tree.push(first);
        tree.leaf("second");
        assert_eq!(
            tree.draw(),
            "top\n\
             ├─ first\n\
             │  and more\n\
             │  └─ leaf\n\
             └─ second\n"
        );
    }
}
