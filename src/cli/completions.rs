//! `countersign completions`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{Cli, cannot_begin};

/// Print what makes a shell complete this command line
///
/// For bash, as root:
///
///   countersign completions bash >/usr/share/bash-completion/completions/countersign
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: &Args) -> ExitCode {
    let mut text = Vec::new();
    generate(args.shell, &mut Cli::command(), "countersign", &mut text);
    match io::stdout().lock().write_all(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cannot_begin(&format_args!("the completions cannot be written: {error}")),
    }
}
