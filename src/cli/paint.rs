//! Colours, where somebody sees them.

use std::io::{self, IsTerminal};

/// Whether to paint, and how.
pub(super) struct Paint {
    colours: bool,
}

impl Paint {
    /// For standard output: on a terminal, unless `NO_COLOR` is set.
    pub fn for_stdout() -> Self {
        Self { colours: shows_colours(&io::stdout()) }
    }

    /// No colours.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self { colours: false }
    }

    /// Text in bold and in a colour, by its ANSI number.
    pub fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\x1b[1;{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether to write colours there: to a terminal, unless `NO_COLOR` is set.
pub(super) fn shows_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
