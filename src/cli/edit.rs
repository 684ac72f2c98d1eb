//! What commands that change files have in common: the change shown first, a question, and
//! then all of it or nothing.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::cannot_begin;
use super::paint::Paint;
use crate::edit::{Line, diff};
use crate::node::{PolicyFile, PolicyFileError};

/// How a change is agreed to.
#[derive(clap::Args, Debug)]
pub struct Consent {
    /// Make the change without asking
    #[arg(long, short)]
    yes: bool,

    /// Show the change, and make none
    #[arg(long)]
    pub dry_run: bool,
}

/// Which policy is edited, and how.
#[derive(clap::Args, Debug)]
pub struct Editing {
    /// The policy
    ///
    /// What the plugin reads. Certificates that come with the edit are put beside it.
    #[arg(long, value_name = "FILE", default_value = "/etc/countersign/countersign.toml")]
    pub config: PathBuf,

    #[command(flatten)]
    pub consent: Consent,
}

/// What the operator said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// There is nobody to ask.
    Nobody,
}

impl Consent {
    /// Asks, unless the answer was given on the command line.
    pub(super) fn ask(&self, question: &str) -> Answer {
        if self.yes {
            return Answer::Yes;
        }
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Answer::Nobody;
        }
        eprint!("{question} [y/N] ");
        let _ = io::stderr().flush();
        let mut line = String::new();
        match stdin.lock().read_line(&mut line) {
            Ok(_) if matches!(line.trim(), "y" | "Y" | "yes") => Answer::Yes,
            _ => Answer::No,
        }
    }

    /// Asks for the change that was just shown. `None`: go on. Else the command ends so.
    pub(super) fn refused(&self, question: &str) -> Option<ExitCode> {
        match self.ask(question) {
            Answer::Yes => None,
            Answer::No => {
                eprintln!("countersign: nothing was changed");
                Some(ExitCode::FAILURE)
            }
            Answer::Nobody => Some(cannot_begin(
                &"nothing was changed: there is no terminal to ask on; add --yes to make this change",
            )),
        }
    }
}

impl Paint {
    /// A unified diff of a file.
    pub(super) fn diff(&self, file: &str, before: &str, after: &str) -> String {
        let mut text = self.paint("39", &format!("--- {file}\n+++ {file}")) + "\n";
        for line in diff(before, after) {
            let line = match line {
                Line::Place(place) => self.paint("36", &place),
                Line::Kept(line) => format!(" {line}"),
                Line::Added(line) => self.paint("32", &format!("+{line}")),
                Line::Removed(line) => self.paint("31", &format!("-{line}")),
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// Shows what an edit changes, asks, and writes it.
pub(super) fn carry_out(file: &PolicyFile, consent: &Consent, done: &str) -> ExitCode {
    if file.draft.is_unchanged() && file.brought().is_empty() {
        println!("nothing to change: {} says so already", file.path().display());
        return ExitCode::SUCCESS;
    }
    let paint = Paint::for_stdout();
    for new in file.brought() {
        println!("new file {}", file.companion(&new.path).display());
    }
    let path = file.path().display().to_string();
    print!("{}", paint.diff(&path, file.before(), &file.draft.text()));
    if let Err(error) = file.would_be() {
        return failed(&error);
    }
    if consent.dry_run {
        return ExitCode::SUCCESS;
    }
    if let Some(refused) = consent.refused("Make this change?") {
        return refused;
    }
    if let Err(error) = file.write() {
        return failed(&error);
    }
    println!("{done}");
    println!(
        "A plugin that runs goes by it once it has read it anew: systemctl reload countersign, \
         or kill -HUP"
    );
    ExitCode::SUCCESS
}

/// An edit that could not be made. What stood there stands there still.
pub(super) fn failed(error: &PolicyFileError) -> ExitCode {
    eprintln!("countersign: {error}");
    match error {
        PolicyFileError::After { .. } | PolicyFileError::Edit(_) => ExitCode::FAILURE,
        PolicyFileError::Before { .. }
        | PolicyFileError::Absent { .. }
        | PolicyFileError::File(_) => ExitCode::from(2),
    }
}
