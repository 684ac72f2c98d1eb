//! **Commands.** What people type.
//!
//! One module a command; flags, their texts and their meaning stand together there.

mod check;
mod config;
mod daemon;
mod proxy;
mod serve;

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
    Proxy(proxy::Args),
}

/// Reads the command line and does what it says.
///
/// Exit codes: 0 done (`check`: all allowed); 1 refused (`check`: at least one denied) or
/// failed while running; 2 could not begin: usage, configuration, state directory.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(args),
        Command::Proxy(args) => proxy::run(&args),
    }
}

/// Says why nothing was begun.
fn cannot_begin(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("countersign: {error}");
    ExitCode::from(2)
}
