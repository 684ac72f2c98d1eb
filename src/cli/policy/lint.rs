//! `countersign policy lint`

use std::process::ExitCode;

use super::super::config::load;
use super::super::paint::Paint;
use super::{Outcome, Which, print};
use crate::doctor::{self, Severity};
use crate::source;

/// Say what is wrong with a policy, or soon will be
///
/// Looks at the file and at the certificates that it names, on any machine, without an engine
/// or a network: teams that nobody can sign for, keys and exceptions that have ended or will
/// within 30 days, rules that can never be met, what is not enforced. Each finding says why it
/// matters and what to do; `countersign doctor` finds the same on a node, and more.
///
/// Exit code: 0 nothing worse than notes, 1 at least one finding, 2 the policy cannot be read.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    which: Which,

    /// Take notes for findings, too
    #[arg(long)]
    strict: bool,

    /// Print one JSON object a line for each finding
    ///
    /// Members: id, severity (ok, note, warning or problem), title, why, remedy. An id does
    /// not change its meaning from one version to the next.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Outcome {
    let file = &args.which.config;
    let findings = doctor::lint(file, &load(file)?, source::now());
    if args.json {
        let lines = findings.iter().map(|one| Ok(serde_json::to_string(one)? + "\n"));
        print(&lines.collect::<Result<String, serde_json::Error>>()?)?;
    } else {
        print(&Paint::for_stdout().findings(&findings))?;
    }
    let least = if args.strict { Severity::Note } else { Severity::Warning };
    let found = findings.iter().any(|finding| finding.severity >= least);
    Ok(if found { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
