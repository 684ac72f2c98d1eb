//! `countersign trust list`

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::facts::Facts;
use super::{Failure, List, moment};
use crate::cli::config::load;
use crate::cli::paint::Paint;
use crate::source::{Store, now};
use crate::trust::notary::Role;

/// A line of the list.
#[derive(Serialize)]
struct Line {
    repository: String,
    state: &'static str,
    why: Option<String>,
    tags: Option<usize>,
    confirmed: Option<String>,
    timestamp_ends: Option<String>,
    serves_until: Option<String>,
    #[serde(skip)]
    colour: &'static str,
}

pub fn run(args: &List) -> Result<ExitCode, Failure> {
    let policy = load(&args.places.config)?;
    let store = Store::look(&args.places.state_dir)?;
    let now = now();
    let paint = Paint::for_stdout();
    let mut out = io::stdout().lock();
    let mut lines = Vec::new();
    for repository in store.repositories()? {
        let Some(facts) = Facts::gather(&store, repository, &policy, now)? else { continue };
        let line = Line::new(&facts, now);
        // As they come: to verify a thousand takes a while.
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
        } else {
            lines.push(line);
        }
    }
    if !args.json {
        out.write_all(paint.list(&lines).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Line {
    fn new(facts: &Facts, now: Timestamp) -> Self {
        let state = facts.state();
        Self {
            repository: facts.repository.to_string(),
            state: state.word(),
            why: state.why().map(ToOwned::to_owned),
            tags: facts.data.as_ref().ok().map(|data| data.released_tags(now).count()),
            confirmed: facts.confirmed.map(moment),
            timestamp_ends: facts.ends(&Role::Timestamp).map(moment),
            serves_until: facts.serves_until().map(|(until, _)| moment(until)),
            colour: state.colour(),
        }
    }
}

impl Paint {
    fn list(&self, lines: &[Line]) -> String {
        if lines.is_empty() {
            return "no trust data is kept yet\n".to_owned();
        }
        let names = lines.iter().map(|line| line.repository.len());
        let width = names.chain(["REPOSITORY".len()]).max().unwrap_or_default();
        let mut text = format!(
            "{:width$}  {:>6}  {:20}  {:20}  STATE\n",
            "REPOSITORY", "TAGS", "CONFIRMED", "TIMESTAMP ENDS"
        );
        for line in lines {
            let tags = line.tags.map_or_else(|| "-".to_owned(), |tags| tags.to_string());
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:width$}  {tags:>6}  {:20}  {:20}  {}",
                line.repository,
                line.confirmed.as_deref().unwrap_or("-"),
                line.timestamp_ends.as_deref().unwrap_or("-"),
                self.paint(line.colour, line.state),
            );
            if let Some(why) = &line.why {
                let _ = writeln!(text, "  {why}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_table() {
        let good = Line {
            repository: "h.io/app".to_owned(),
            state: "good",
            why: None,
            tags: Some(12),
            confirmed: Some("2026-11-27T07:00:00Z".to_owned()),
            timestamp_ends: Some("2026-12-11T07:00:00Z".to_owned()),
            serves_until: None,
            colour: "32",
        };
        let damaged = Line {
            repository: "h.io/team/other".to_owned(),
            state: "damaged",
            why: Some("the reason".to_owned()),
            tags: None,
            confirmed: None,
            timestamp_ends: None,
            serves_until: None,
            colour: "31",
        };
        assert_eq!(
            Paint::plain().list(&[good, damaged]),
            "\
REPOSITORY         TAGS  CONFIRMED             TIMESTAMP ENDS        STATE
h.io/app             12  2026-11-27T07:00:00Z  2026-12-11T07:00:00Z  good
h.io/team/other       -  -                     -                     damaged
  the reason
"
        );
        assert_eq!(Paint::plain().list(&[]), "no trust data is kept yet\n");
    }
}
