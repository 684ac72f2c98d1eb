//! `countersign man`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::{Cli, cannot_begin};

/// Administration commands.
const SECTION: &str = "8";

/// Write the manual pages into a folder
///
/// One for each command, countersign.8, countersign-serve.8 and so on, made of the same texts
/// as --help. The folder is made if it is not there. For packagers, and for nodes without a
/// package: countersign man /usr/local/share/man/man8
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where to
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(args: &Args) -> ExitCode {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    match fs::create_dir_all(&args.folder).and_then(|()| write(&command, &args.folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cannot_begin(&format_args!(
            "the manual pages cannot be written to {}: {error}",
            args.folder.display()
        )),
    }
}

fn write(command: &Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write(below, folder)?;
    }
    Man::new(command.clone()).section(SECTION).manual("countersign").generate_to(folder).map(drop)
}
