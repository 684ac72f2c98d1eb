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

mod process;
mod sockets;
mod stats;
mod stub_engine;
mod table;
mod wire;
mod world;

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/builder/mod.rs"]
mod builder;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/node.rs"]
mod node;
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

/// What can be measured, by name.
const PARTS: [(&str, fn(Effort) -> Vec<Row>); 4] = [
    ("calls", sockets::calls),
    ("create", sockets::create),
    ("flat", sockets::flat),
    ("memory", sockets::memory),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == STUB_ENGINE).is_some() {
        stub_engine::serve(Path::new(&arguments.next().unwrap()));
    }
    let mut effort = Effort::Full;
    let mut names = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--quick" => effort = Effort::Quick,
            // What cargo adds.
            "--bench" => {}
            name if PARTS.iter().any(|(known, _)| *known == name) => names.push(argument),
            other => {
                eprintln!("there is no {other} to be measured");
                return ExitCode::from(2);
            }
        }
    }
    let mut rows = Vec::new();
    for (name, part) in PARTS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            eprintln!("bench: {name}");
            rows.extend(part(effort));
        }
    }
    print!("{}", table::plain(&rows));
    ExitCode::SUCCESS
}
