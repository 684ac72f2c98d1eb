//! **Commands.** What people type.
//!
//! One module a command; flags, their texts and their meaning stand together there.

mod breakglass;
mod check;
mod config;
mod daemon;
mod doctor;
mod explain;
mod paint;
mod proxy;
mod report;
mod scan;
mod serve;
mod status;
mod tree;
mod trust;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Run only images signed by the people your policy names.
///
/// countersign is an authorization plugin of Docker Engine. The engine shows it every API
/// call; it lets an image run only if Docker Content Trust data proves that a member of
/// each required team signed it.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100, after_long_help = GETTING_STARTED)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const GETTING_STARTED: &str = r#"Getting started:
  1. Write /etc/countersign/countersign.toml ("countersign help serve" shows one).
  2. Try it without an engine:  countersign check registry.example.com/app:1.0
  3. Start the plugin:          countersign serve
  4. Tell the engine of it, in /etc/docker/daemon.json, and restart it:
       "authorization-plugins": ["countersign"]"#;

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::Args),
    Check(check::Args),
    Explain(explain::Args),
    Scan(scan::Args),
    Doctor(doctor::Args),
    Proxy(proxy::Args),
    Breakglass(breakglass::Args),
    Trust(trust::Args),
}

/// Reads the command line and does what it says.
///
/// Exit codes: 0 done (`check`, `explain`, `scan`: all allowed); 1 refused (these: at least one
/// denied; `trust`: nothing is kept of the repository, or it was not forgotten after all) or
/// failed while running; 2 could not begin: usage, configuration, state directory.
/// `doctor` has its own, which monitoring systems know: 0 nothing worse than notes, 1
/// warnings, 2 problems, 3 could not begin.
pub fn run() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(Cli { command }) => command,
        Err(error) => return usage(&error),
    };
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Scan(args) => scan::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Proxy(args) => proxy::run(&args),
        Command::Breakglass(args) => breakglass::run(&args),
        Command::Trust(args) => trust::run(&args),
    }
}

/// Shows help, or what is wrong with the command line.
fn usage(error: &clap::Error) -> ExitCode {
    // Where nobody listens there is nobody to tell.
    let _ = error.print();
    let is_doctor = std::env::args_os().nth(1).is_some_and(|command| command == "doctor");
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if is_doctor => ExitCode::from(doctor::COULD_NOT_BEGIN),
        _ => ExitCode::from(2),
    }
}

/// Says why nothing was begun.
fn cannot_begin(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("countersign: {error}");
    ExitCode::from(2)
}
