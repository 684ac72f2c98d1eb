//! `countersign policy`

mod lint;
mod show;
mod test;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::cannot_begin;
use super::check::start_log;

/// Look at a policy: what is in force, what is wrong with it, does it do what it shall
///
/// None of these commands changes anything.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Show(show::Args),
    Lint(lint::Args),
    Test(test::Args),
}

/// The policy that is looked at.
#[derive(clap::Args, Debug)]
struct Which {
    /// The policy
    ///
    /// Files it names are relative to it.
    #[arg(long, value_name = "FILE", default_value = "/etc/countersign/countersign.toml")]
    config: PathBuf,
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

pub fn run(args: Args) -> ExitCode {
    start_log();
    let outcome = match args.command {
        Command::Show(args) => show::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Test(args) => test::run(args),
    };
    outcome.unwrap_or_else(|error| cannot_begin(&error))
}

/// Prints a text.
fn print(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}
