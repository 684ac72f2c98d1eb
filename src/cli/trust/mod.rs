//! `countersign trust`: what this node keeps of repositories.

mod facts;
mod list;
mod reset;
mod show;

use std::process::ExitCode;

use clap::Subcommand;
use jiff::Timestamp;

use super::cannot_begin;
use super::check::start_log;
use super::config::Places;
use crate::image::{NameError, Repository};

/// Look after the trust data that this node keeps
///
/// What was verified of each repository is kept in plain files below the state directory,
/// with the highest version seen of every role, so that nothing older is ever taken for
/// new. These commands show it, and have it forgotten. They ask no server, and the plugin
/// may run meanwhile.
///
/// Exit code: 0 done; 1 nothing is kept of the repository, or it was not forgotten; 2 could
/// not begin (usage, configuration, state directory).
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    List(List),
    Show(Show),
    Reset(Reset),
}

/// List the repositories that trust data is kept of
///
/// For each: how many tags are released, when the trust server last confirmed what is kept,
/// when its timestamp ends (until then it can serve without the server), and its state:
/// good; expired; unusable (its files will be fetched again); damaged (what was seen cannot
/// be told any more; its images are refused); unregistered (the policy does not name its
/// registry).
#[derive(clap::Args, Debug)]
struct List {
    #[command(flatten)]
    places: Places,

    /// Print one JSON object a line for each repository
    ///
    /// Members: repository, state, why, tags, confirmed, `timestamp_ends`, `serves_until`.
    #[arg(long)]
    json: bool,
}

/// Show what is kept of a repository
///
/// Every role with its version, its end and who signed it; the root of trust; until when it
/// serves while the trust server is away; what was left out, and why.
#[derive(clap::Args, Debug)]
struct Show {
    #[command(flatten)]
    places: Places,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    /// Show the released tags, too: digests, and who signed them
    #[arg(long)]
    tags: bool,

    /// The repository with its host, as in image names, without a tag
    #[arg(value_name = "GUN", value_parser = repository)]
    repository: Repository,
}

/// Forget what was seen of repositories
///
/// The only way to forget: the root of trust, the highest versions seen and the files. What
/// the trust server serves next is believed as on first contact, unless the policy pins its
/// root: do it only if you know why the server went back, as after it was restored from a
/// backup, or its keys were made anew. A plugin that runs takes note of it with its next
/// decision on the repository.
///
/// It is told to the host's log and kept in resets.log in the state directory.
#[derive(clap::Args, Debug)]
struct Reset {
    #[command(flatten)]
    places: Places,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Print one JSON object a line for each repository: what was forgotten
    #[arg(long)]
    json: bool,

    /// The repositories with their hosts, as in image names, without a tag
    #[arg(required = true, value_name = "GUN", value_parser = repository)]
    repositories: Vec<Repository>,
}

/// What goes wrong before or while a command runs.
type Failure = Box<dyn std::error::Error>;

pub fn run(args: &Args) -> ExitCode {
    start_log();
    let outcome = match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Reset(args) => reset::run(args),
    };
    outcome.unwrap_or_else(|error| cannot_begin(&*error))
}

fn repository(text: &str) -> Result<Repository, String> {
    text.parse().map_err(|error: NameError| format!("{error}; a repository is named without a tag"))
}

/// A moment, to the second.
fn moment(at: Timestamp) -> String {
    format!("{at:.0}")
}
