//! **Commands.** What people type.
//!
//! One module a command; flags, their texts and their meaning stand together there.

mod breakglass;
mod check;
mod completions;
mod config;
mod daemon;
mod disable;
mod doctor;
mod edit;
mod enable;
mod explain;
mod man;
mod paint;
mod policy;
mod proxy;
mod registry;
mod report;
mod scan;
mod serve;
mod status;
mod team;
mod tree;
mod trust;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Run only images signed by the people your policy names.
///
/// countersign is an authorization plugin of Docker Engine. The engine shows it every API
/// call; it lets an image run only if Docker Content Trust data proves that a member of
/// each required team signed it.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100, after_long_help = format!("{GETTING_STARTED}\n\n{EXIT_CODES}"))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const GETTING_STARTED: &str = r#"Getting started:
  1. Register the registry:     countersign registry add registry.example.com --ca ca.pem
  2. Say who signs:             countersign user add jenkins ucp-bundle-jenkins.zip
     and whose signature it takes:
                                countersign team add CI jenkins --require
  3. Try it without an engine:  countersign check registry.example.com/app:1.0
  4. Switch it on:              countersign enable
  5. And off, at any time:      countersign disable

The commands of 1 and 2 write the policy, /etc/countersign/countersign.toml ("countersign help
serve" shows one). They and "enable" show what they change, and ask."#;

/// The one table that all commands keep. The same is in docs/operations.md.
const EXIT_CODES: &str = "Exit codes:
  0  done; where images were judged, all may run
  1  refused, not found, amiss, or failed; where images were judged, at least one may not run
  2  not begun: the command line, the policy or the state directory cannot be used
doctor has its own, which monitoring systems know:
  0  nothing worse than notes
  1  warnings
  2  problems
  3  not begun";

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::Args),
    Check(check::Args),
    Enable(enable::Args),
    Disable(disable::Args),
    Registry(registry::Args),
    User(user::Args),
    Team(team::Args),
    Policy(policy::Args),
    Explain(explain::Args),
    Scan(scan::Args),
    Doctor(doctor::Args),
    Proxy(proxy::Args),
    Breakglass(breakglass::Args),
    Trust(trust::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Reads the command line, does what it says, and keeps to the table of exit codes that
/// `countersign --help` shows.
pub fn run() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(Cli { command }) => command,
        Err(error) => return usage(&error),
    };
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(args),
        Command::Enable(args) => enable::run(&args),
        Command::Disable(args) => disable::run(&args),
        Command::Registry(args) => registry::run(&args),
        Command::User(args) => user::run(&args),
        Command::Team(args) => team::run(&args),
        Command::Policy(args) => policy::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Scan(args) => scan::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Proxy(args) => proxy::run(&args),
        Command::Breakglass(args) => breakglass::run(&args),
        Command::Trust(args) => trust::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
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
