//! `countersign check`

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::cannot_begin;
use super::config::{Places, load};
use super::paint::Paint;
use crate::gate::{Decision, Gate, Settings};
use crate::image::{NameError, Reference};
use crate::policy::{Doubt, Grant, Signer, Verdict};

/// Say whether images may run, and why
///
/// Decides as the plugin does, by the policy and the trust data of each image's
/// repository, without an engine. Fetches trust data from the trust server unless
/// --offline; the images themselves are not fetched.
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

/// What `--json` prints for one image.
#[derive(Serialize)]
struct Report<'d> {
    reference: &'d str,
    verdict: &'static str,
    code: &'static str,
    message: String,
    digest: Option<String>,
    signers: Vec<SignerReport<'d>>,
    missing_teams: Vec<&'d str>,
    notes: &'d [String],
}

#[derive(Serialize)]
struct SignerReport<'d> {
    user: Option<&'d str>,
    teams: &'d [String],
    role: &'d str,
    key_id: String,
    counts: bool,
}

impl<'d> Report<'d> {
    fn new(reference: &'d str, decision: &'d Decision) -> Self {
        let verdict = &decision.verdict;
        let message = match verdict {
            Verdict::Allow(grant) => allowed(grant),
            Verdict::Deny(refusal) => refusal.to_string(),
        };
        Self {
            reference,
            verdict: if verdict.is_allow() { "allow" } else { "deny" },
            code: verdict.code(),
            message,
            digest: verdict.digest().map(|digest| digest.to_string()),
            signers: people(verdict.signers()).map(SignerReport::new).collect(),
            missing_teams: verdict.missing_teams(),
            notes: &decision.notes,
        }
    }
}

impl<'d> SignerReport<'d> {
    fn new(signer: &'d Signer) -> Self {
        Self {
            user: signer.user.as_deref(),
            teams: &signer.teams,
            role: &signer.role,
            key_id: signer.key_id.to_string(),
            counts: signer.doubt.is_none(),
        }
    }
}

/// Those who signed in a role of people: not the lists that everyone re-signs.
fn people(signers: &[Signer]) -> impl Iterator<Item = &Signer> {
    use crate::trust::notary::Objection::{Owner, Releases};
    signers.iter().filter(|signer| !matches!(signer.doubt, Some(Doubt::Role(Owner | Releases))))
}

fn allowed(grant: &Grant) -> String {
    match grant {
        Grant::Proven { repository, tag, .. } => format!("signed as {repository}:{tag}"),
        Grant::NotJudged => "content trust is not required by this policy".to_owned(),
        Grant::NothingThere => "there is nothing to judge".to_owned(),
        Grant::Excused { refusal, leave } => format!("{leave}: {refusal}"),
    }
}

impl Paint {
    fn report(&self, written: &str, decision: &Decision) -> String {
        let mut text = match &decision.verdict {
            Verdict::Allow(Grant::Excused { refusal, leave }) => {
                let word = self.paint("33", "allowed");
                format!("{word} {written}\n  {leave}\n  else denied: {refusal}")
                    .replace("\n    ", "\n  ")
            }
            Verdict::Allow(grant) => {
                let mut text = format!("{} {written}", self.paint("32", "allowed"));
                let _ = write!(text, "\n  {}", allowed(grant));
                if let Grant::Proven { digest, signers, .. } = grant {
                    let _ = write!(text, "\n  digest: {digest}");
                    for signer in signers.iter().filter(|signer| signer.doubt.is_none()) {
                        let _ = write!(text, "\n  signed by: {}", person(signer));
                    }
                }
                text
            }
            Verdict::Deny(refusal) => {
                format!("{}  {written}\n  {refusal}", self.paint("31", "denied"))
                    .replace("\n    ", "\n  ")
            }
        };
        for note in &decision.notes {
            let _ = write!(text, "\n  {}: {note}", self.paint("33", "note"));
        }
        text
    }
}

fn person(signer: &Signer) -> String {
    let who = signer.user.as_deref().unwrap_or("?");
    let teams = match signer.teams.as_slice() {
        [] => String::new(),
        teams => format!(" (team {})", teams.join(", ")),
    };
    format!("{}{teams} in {}, key {}", who.escape_debug(), signer.role, signer.key_id.short())
}

/// Quiet: what matters is printed with the verdict. `RUST_LOG` shows more.
pub(super) fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}
