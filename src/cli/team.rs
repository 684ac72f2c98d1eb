//! `countersign team`

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::cannot_begin;
use super::check::start_log;
use super::edit::{Editing, carry_out, failed};
use crate::node::{PolicyFile, PolicyFileError};

/// Say whose signatures are demanded: add, list and remove teams and their members
///
/// An image must be signed by a member of each required team. These commands edit the policy:
/// the change is shown first, comments stay, and an edit with which the policy would not load
/// is refused.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Add(Add),
    Remove(Remove),
    List(List),
}

/// Add a team, or members to one
#[derive(clap::Args, Debug)]
struct Add {
    #[command(flatten)]
    editing: Editing,

    /// Demand a signature of this team of every image
    #[arg(long)]
    require: bool,

    /// The team
    #[arg(value_name = "TEAM")]
    team: String,

    /// Users of the policy
    #[arg(value_name = "USER")]
    users: Vec<String>,
}

/// Remove a team, or members from one
///
/// A team whose signature is demanded cannot be removed: take it out of
/// `require_signature_from` first.
#[derive(clap::Args, Debug)]
struct Remove {
    #[command(flatten)]
    editing: Editing,

    /// The team
    #[arg(value_name = "TEAM")]
    team: String,

    /// Members to remove; without any the whole team is
    #[arg(value_name = "USER")]
    users: Vec<String>,
}

/// List the teams and their members
#[derive(clap::Args, Debug)]
struct List {
    /// The policy
    #[arg(long, value_name = "FILE", default_value = "/etc/countersign/countersign.toml")]
    config: PathBuf,

    /// Print one JSON object a line: team, members, required
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> ExitCode {
    start_log();
    let outcome = match &args.command {
        Command::Add(args) => add(args),
        Command::Remove(args) => remove(args),
        Command::List(args) => list(args),
    };
    outcome.unwrap_or_else(|error| match error.downcast_ref::<PolicyFileError>() {
        Some(error) => failed(error),
        None => cannot_begin(&error),
    })
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn add(args: &Add) -> Outcome {
    let mut file = PolicyFile::open(&args.editing.config)?;
    file.draft.add_to_team(&args.team, &args.users).map_err(PolicyFileError::from)?;
    if args.require {
        file.draft.require_team(&args.team).map_err(PolicyFileError::from)?;
    }
    let is_required = file.draft.required_teams().contains(&args.team);
    let done = if is_required {
        format!("every image needs a signature of a member of {}", args.team)
    } else {
        format!(
            "{} is a team. To demand its signature of every image: countersign team add --require \
             {0}",
            args.team
        )
    };
    Ok(carry_out(&file, &args.editing.consent, &done))
}

fn remove(args: &Remove) -> Outcome {
    let mut file = PolicyFile::open(&args.editing.config)?;
    let done = if args.users.is_empty() {
        file.draft.remove_team(&args.team).map_err(PolicyFileError::from)?;
        format!("{} is no team any more", args.team)
    } else {
        file.draft.remove_from_team(&args.team, &args.users).map_err(PolicyFileError::from)?;
        format!("{} is left by {}", args.team, args.users.join(", "))
    };
    Ok(carry_out(&file, &args.editing.consent, &done))
}

#[derive(Serialize)]
struct Listed {
    team: String,
    members: Vec<String>,
    required: bool,
}

fn list(args: &List) -> Outcome {
    let file = PolicyFile::open(&args.config)?;
    let required = file.draft.required_teams();
    let mut out = io::stdout().lock();
    for (team, members) in file.draft.teams() {
        let required = required.contains(&team);
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&Listed { team, members, required })?)?;
            continue;
        }
        let mark = if required { " (required)" } else { "" };
        let members = if members.is_empty() { "nobody".to_owned() } else { members.join(", ") };
        writeln!(out, "{}{mark}: {}", team.escape_debug(), members.escape_debug())?;
    }
    Ok(ExitCode::SUCCESS)
}
