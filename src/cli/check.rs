//! `countersign check`

use std::io::{self, Write};
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use super::cannot_begin;
use super::config::{Places, load};
use super::paint::Paint;
use super::report::Report;
use crate::gate::{Gate, Settings};
use crate::image::{NameError, Reference};

/// Say whether images may run, and why
///
/// Decides as the plugin does, by the policy and the trust data of each image's
/// repository, without an engine. Fetches trust data from the trust server unless
/// --offline; the images themselves are not fetched. Goes through the proxy that the
/// policy names for a registry, or else `HTTPS_PROXY` (not to what `NO_PROXY` names): the
/// environment of the plugin, which systemd starts, may be another than yours.
///
/// Exit code: 0 all allowed, 1 at least one denied, 2 could not decide (usage,
/// configuration, state directory).
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    places: Places,

    /// Print one JSON object a line for each image
    ///
    /// Members: reference, verdict (allow or deny), code, message, digest, signers (user,
    /// teams, role, `key_id`, counts), `missing_teams`, notes.
    #[arg(long)]
    json: bool,

    /// Decide by the trust data kept on this node alone
    #[arg(long)]
    offline: bool,

    /// Ask the trust servers, however fresh what is kept on this node is
    #[arg(long, conflicts_with = "offline")]
    refresh: bool,

    /// Images, as in `docker pull`: NAME[:TAG], NAME@DIGEST
    #[arg(required = true, value_name = "REF")]
    references: Vec<String>,
}

/// Why nothing could be decided.
#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error("{written:?} is not an image name: {error}")]
    Reference { written: String, error: NameError },
}

pub fn run(args: Args) -> ExitCode {
    match decide(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => cannot_begin(&error),
    }
}

/// Whether all are allowed.
fn decide(args: Args) -> Result<bool, Box<dyn std::error::Error>> {
    start_log();
    let references = args.references.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let Places { config, state_dir } = args.places;
    let policy = load(&config)?;
    let settings = Settings { policy, engine: None, state_dir, offline: args.offline };
    let mut gate = Gate::new(settings)?;
    if args.refresh {
        gate = gate.asking_always();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let paint = Paint::for_stdout();
    let mut all_allowed = true;
    let mut out = io::stdout().lock();
    for (written, reference) in references {
        let decision = runtime.block_on(gate.check(reference));
        all_allowed &= decision.verdict.is_allow();
        let text = if args.json {
            serde_json::to_string(&Report::new(&written, &decision))?
        } else {
            paint.report(&written, &decision)
        };
        writeln!(out, "{text}")?;
    }
    Ok(all_allowed)
}

fn read(written: String) -> Result<(String, Reference), UsageError> {
    match written.parse::<Reference>() {
        Ok(reference) => Ok((written, reference.or_latest())),
        Err(error) => Err(UsageError::Reference { written, error }),
    }
}

/// Quiet: what matters is printed with the verdict. `RUST_LOG` shows more.
pub(super) fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}
