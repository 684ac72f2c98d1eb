//! What countersign costs, against what people use otherwise. `scripts/bench` runs it.

#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a measurement that cannot be made ends loudly, and counts fit into a float"
)]

mod commands;
mod load;
mod process;
mod sockets;
mod stack;
mod stats;
mod stub_engine;
mod table;
mod wire;
mod world;

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/builder/mod.rs"]
mod builder;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/e2e/lab.rs"]
mod lab;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/node.rs"]
mod node;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/e2e/policy.rs"]
mod policy;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/repositories.rs"]
mod repositories;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/static_server.rs"]
mod static_server;

use std::path::Path;
use std::process::ExitCode;

use table::Row;

/// Where the no-op plugin is.
const NOOP: &str = "COUNTERSIGN_BENCH_NOOP";
/// How many minutes of load.
const MINUTES: &str = "COUNTERSIGN_BENCH_MINUTES";
/// What this program is called with to be an engine.
const STUB_ENGINE: &str = "--stub-engine";

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// As little as shows that it can be measured at all.
    Quick,
    Full,
}

impl Effort {
    fn of(self, quick: usize, full: usize) -> usize {
        if self == Self::Quick { quick } else { full }
    }

    fn rounds(self) -> usize {
        self.of(1, 15)
    }
}

/// Measures, for some rows of the table.
type Part = fn(Effort) -> Vec<Row>;

/// What can be measured, by name, and whether it is where nothing is named.
const PARTS: [(&str, Part, bool); 7] = [
    ("calls", sockets::calls, true),
    ("create", sockets::create, true),
    ("run", commands::docker_run, true),
    ("notary", commands::notary, true),
    ("flat", sockets::flat, true),
    ("memory", sockets::memory, true),
    ("load", load::load, false),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == STUB_ENGINE).is_some() {
        stub_engine::serve(Path::new(&arguments.next().unwrap()));
    }
    let mut effort = Effort::Full;
    let mut names = Vec::new();
    let mut document = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => effort = Effort::Quick,
            "--table" => document = arguments.next(),
            // What cargo adds.
            "--bench" => {}
            name if PARTS.iter().any(|(known, ..)| *known == name) => names.push(argument),
            other => {
                eprintln!("there is no {other} to be measured");
                return ExitCode::from(2);
            }
        }
    }
    let rows = std::panic::catch_unwind(|| measure(effort, &names));
    lab::take_down();
    let Ok(rows) = rows else { return ExitCode::FAILURE };
    print!("{}", table::plain(&rows));
    if let Some(document) = document {
        std::fs::write(document, table::markdown(&rows)).unwrap();
    }
    ExitCode::SUCCESS
}

fn measure(effort: Effort, names: &[String]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, part, always) in PARTS {
        if names.iter().any(|wanted| wanted == name) || names.is_empty() && always {
            eprintln!("bench: {name}");
            rows.extend(part(effort));
        }
    }
    rows
}
