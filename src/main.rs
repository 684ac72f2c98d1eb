//! The `countersign` program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    countersign::cli::run()
}
