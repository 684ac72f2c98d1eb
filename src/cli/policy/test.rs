//! `countersign policy test`

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::super::config::{LoadError, Places, load};
use super::super::paint::Paint;
use super::super::report::Report;
use super::Outcome;
use crate::gate::{Decision, Gate, Settings};
use crate::policy::{Case, cases};

/// Hold a policy against what is expected of it
///
/// Decides each image of a table as `countersign check` does, and says which of them come out
/// otherwise than written. Fetches trust data from the trust servers unless --offline; the
/// images themselves are not fetched.
///
/// Exit code: 0 all as expected, 1 at least one is not, 2 could not begin (usage, the table,
/// configuration, state directory).
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLE)]
pub struct Args {
    #[command(flatten)]
    places: Places,

    /// Decide by the trust data kept on this node alone
    #[arg(long)]
    offline: bool,

    /// Print one JSON object a line for each case
    ///
    /// Members: line (of the table), expected, `expected_code`, note, passed, difference, and
    /// those of `check --json`.
    #[arg(long)]
    json: bool,

    /// The table, in TOML
    ///
    /// An unknown key is an error.
    #[arg(value_name = "FILE")]
    table: PathBuf,
}

const EXAMPLE: &str = r#"A table:
  [[case]]
  image = "registry.example.com/app:1.0"
  expect = "allow"

  [[case]]
  image = "registry.example.com/prod/app:1.0"
  expect = "deny"                # or "allow"
  code = "signature-missing"     # optional: the code that check --json prints
  note = "security has not signed yet""#;

/// What `--json` prints of a case.
#[derive(Serialize)]
struct Told<'c> {
    line: usize,
    expected: &'static str,
    expected_code: Option<&'c str>,
    note: Option<&'c str>,
    passed: bool,
    difference: Option<&'c str>,
    #[serde(flatten)]
    report: Report<'c>,
}

pub fn run(args: Args) -> Outcome {
    let Args { places: Places { config, state_dir }, offline, json, table: path } = args;
    let text =
        fs::read_to_string(&path).map_err(|error| LoadError::Io { path: path.clone(), error })?;
    let table = cases(&text).map_err(|error| LoadError::Config { path, error })?;
    let gate = Gate::new(Settings { policy: load(&config)?, engine: None, state_dir, offline })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let paint = Paint::for_stdout();
    let mut failed = 0_usize;
    let mut out = io::stdout().lock();
    for case in &table {
        let decision = runtime.block_on(gate.check(case.image.clone()));
        let difference = case.difference(&decision.verdict);
        failed += usize::from(difference.is_some());
        if json {
            let told = told(case, &decision, difference.as_deref());
            writeln!(out, "{}", serde_json::to_string(&told)?)?;
        } else {
            writeln!(out, "{}", line(&paint, case, &decision, difference.as_deref()))?;
        }
    }
    if !json {
        let all = table.len();
        writeln!(out, "{} of {all} as expected", all - failed)?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told<'c>(case: &'c Case, decision: &'c Decision, difference: Option<&'c str>) -> Told<'c> {
    Told {
        line: case.line,
        expected: case.expect.word(),
        expected_code: case.code.as_deref(),
        note: case.note.as_deref(),
        passed: difference.is_none(),
        difference,
        report: Report::new(&case.written, decision),
    }
}

/// A case, for people; where it is otherwise than expected, with the verdict and its reason.
fn line(paint: &Paint, case: &Case, decision: &Decision, difference: Option<&str>) -> String {
    let Case { line, written, expect, note, .. } = case;
    let Some(difference) = difference else {
        let (ok, code) = (paint.paint("32", "ok"), decision.verdict.code());
        return format!("{ok}      {written}: {} ({code})", expect.word());
    };
    let mut text =
        format!("{}  {written} (line {line}): {difference}", paint.paint("31", "FAILED"));
    // Writing to a String cannot fail, here and below.
    if let Some(note) = note {
        let _ = write!(text, "\n  expected because: {}", note.escape_debug());
    }
    let _ = write!(text, "\n  {}", paint.report(written, decision).replace('\n', "\n  "));
    text
}
