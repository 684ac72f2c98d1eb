//! The one table: what was measured, what had to be reached.

use std::fmt::Write as _;

/// What a row has to reach.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing wrong at all, in so many things that could have been.
    None,
}

/// What a figure is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Given in microseconds, shown in what people read best.
    Time,
    PerSecond,
    /// Given in bytes.
    Memory,
    Count,
}

/// A row of the table.
pub struct Row {
    pub what: String,
    pub ours: f64,
    /// What it is compared with, and its figure; nothing where the figure itself counts.
    pub peer: Option<(String, f64)>,
    pub unit: Unit,
    pub target: Target,
    /// What has to be known beside it.
    pub note: Option<String>,
}

impl Row {
    /// Ours by the peer's, as the target is stated.
    pub fn against(what: &str, ours: f64, peer: (&str, f64), unit: Unit, target: Target) -> Self {
        let (name, figure) = peer;
        let peer = Some((name.to_owned(), figure));
        Self { what: what.to_owned(), ours, peer, unit, target, note: None }
    }

    /// A figure that counts by itself.
    pub fn alone(what: &str, ours: f64, unit: Unit, target: Target) -> Self {
        Self { what: what.to_owned(), ours, peer: None, unit, target, note: None }
    }

    pub fn noting(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    /// What the target is about: a ratio where there is a peer, else the figure.
    fn reached(&self) -> f64 {
        let Some((_, peer)) = self.peer else { return self.ours };
        match self.target {
            // "20 x faster": how often ours fits into the peer's.
            Target::AtLeast(_) if self.unit == Unit::Time => peer / self.ours,
            _ => self.ours / peer,
        }
    }

    pub fn is_met(&self) -> bool {
        match self.target {
            Target::AtMost(most) => self.reached() <= most,
            Target::AtLeast(least) => self.reached() >= least,
            Target::None => self.ours == 0.0,
        }
    }

    fn cells(&self) -> [String; 7] {
        let (peer, figure) = self.peer.as_ref().map_or_else(
            || ("–".to_owned(), "–".to_owned()),
            |(name, figure)| (name.clone(), shown(*figure, self.unit)),
        );
        let ratio = if self.peer.is_some() { times(self.reached()) } else { "–".to_owned() };
        let limit = |bound: f64| {
            if self.peer.is_some() { times(bound) } else { shown(bound, self.unit) }
        };
        let target = match self.target {
            Target::AtMost(most) => format!("≤ {}", limit(most)),
            Target::AtLeast(least) => format!("≥ {}", limit(least)),
            Target::None => "none".to_owned(),
        };
        let met = if self.is_met() { "yes".to_owned() } else { self.missed() };
        [self.what.clone(), shown(self.ours, self.unit), peer, figure, ratio, target, met]
    }

    /// By how much the target is missed.
    fn missed(&self) -> String {
        match self.target {
            Target::AtMost(bound) | Target::AtLeast(bound) => {
                let off = (self.reached() / bound - 1.0) * 100.0;
                format!("NO, by {:.0} %", off.abs().ceil())
            }
            Target::None => "NO".to_owned(),
        }
    }
}

fn times(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0} ×") } else { format!("{ratio:.2} ×") }
}

fn shown(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::Time if figure >= 1e6 => format!("{:.2} s", figure / 1e6),
        Unit::Time if figure >= 1e3 => format!("{:.1} ms", figure / 1e3),
        Unit::Time => format!("{figure:.1} µs"),
        Unit::PerSecond => format!("{figure:.0}/s"),
        Unit::Memory => format!("{:.1} MB", figure / 1e6),
        Unit::Count => format!("{figure:.0}"),
    }
}

/// A number with commas.
pub fn thousands(number: usize) -> String {
    let text = number.to_string();
    match text.len() {
        0..=3 => text,
        length => format!("{},{}", &text[..length - 3], &text[length - 3..]),
    }
}

const HEADINGS: [&str; 7] = ["what", "ours", "against", "theirs", "ratio", "must reach", "met?"];

/// The table for the terminal: columns of equal width.
pub fn plain(rows: &[Row]) -> String {
    let cells: Vec<[String; 7]> = rows.iter().map(Row::cells).collect();
    let mut widths = HEADINGS.map(width);
    for row in &cells {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let mut text = String::new();
    let mut line = |cells: &[String; 7]| {
        for (number, (cell, widest)) in cells.iter().zip(widths).enumerate() {
            let space = " ".repeat(widest - width(cell));
            // Figures to the right, words to the left.
            let is_figure = matches!(number, 1 | 3 | 4);
            let (before, after) = if is_figure { (&*space, "") } else { ("", &*space) };
            write!(text, "{before}{cell}{after}  ").unwrap();
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    };
    line(&HEADINGS.map(str::to_owned));
    cells.iter().for_each(line);
    for note in notes(rows) {
        writeln!(text, "{note}").unwrap();
    }
    text
}

/// The table for `docs/benchmarks.md`.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n|---|--:|---|--:|--:|---|---|\n", HEADINGS.join(" | "));
    for row in rows {
        writeln!(text, "| {} |", row.cells().join(" | ")).unwrap();
    }
    for note in notes(rows) {
        writeln!(text, "\n{note}").unwrap();
    }
    text
}

fn notes(rows: &[Row]) -> impl Iterator<Item = String> {
    rows.iter().filter_map(|row| Some(format!("{}: {}", row.what, row.note.as_ref()?)))
}

fn width(text: &str) -> usize {
    text.chars().count()
}
