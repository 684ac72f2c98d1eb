//! `countersign explain`

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ArgGroup;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::cannot_begin;
use super::check::start_log;
use super::config::{EngineSocket, Places, load};
use super::paint::Paint;
use super::report::Report;

use super::tree::Tree;
use crate::gate::{Account, Asked, Decision, Gate, Settings};
use crate::policy::{
    Grant, HeldPart, Leave, Mode, RepositoryPart, SignaturePart, TagPart, Verdict,
};
use crate::source::{self, BreakGlass, Engine};

/// Show how a verdict comes about, step by step
///
/// From what is asked for to the image that the engine holds, the digests it is known by, the
/// trust data of its repository and when its server last confirmed that, the roles and keys that
/// signed, whose keys they are, the teams that the policy demands and the rule that says so.
/// Decides as the plugin does, and runs nothing. While the glass is broken the plugin allows
/// everything; what it would say otherwise is explained all the same.
///
/// Exit code: 0 allowed, 1 denied, 2 could not begin (usage, configuration, state directory).
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
#[command(group(ArgGroup::new("what").required(true).args(["image", "container", "service"])))]
pub struct Args {
    #[command(flatten)]
    places: Places,

    #[command(flatten)]
    engine: EngineSocket,

    /// Explain a name by the trust data alone, without an engine
    #[arg(long, conflicts_with_all = ["container", "service"])]
    no_engine: bool,

    /// Decide by the trust data kept on this node alone
    #[arg(long)]
    offline: bool,

    /// Print one JSON object
    ///
    /// Members: those of `check --json`; image (id, `covered_by`, `known_from`) and
    /// repositories (repository, gap, `root_keys`, roles, `left_out`, tags with their
    /// signatures, confirmed, demand with its rules, teams); rule (the one that counted), leave (why
    /// it may run although the policy refuses it) and `break_glass` (reason, until).
    #[arg(long)]
    json: bool,

    /// A container, by name or ID: may it start?
    #[arg(long, value_name = "NAME")]
    container: Option<String>,

    /// A service, by name or ID: could it be created anew?
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// An image, as in `docker run`: NAME[:TAG], NAME@DIGEST, or its ID
    #[arg(value_name = "IMAGE")]
    image: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  countersign explain registry.example.com/app:1.0
  countersign explain --container web
  countersign explain --service web_front --json";

pub fn run(args: Args) -> ExitCode {
    start_log();
    match explain(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => cannot_begin(&*error),
    }
}

/// Explains, and prints. Whether it is allowed.
fn explain(args: Args) -> Result<bool, Box<dyn std::error::Error>> {
    let Places { config, state_dir } = args.places;
    let policy = load(&config)?;
    let glass = broken(&state_dir);
    let engine = if args.no_engine { None } else { Some(Engine::new(&args.engine.path)?) };
    let gate = Gate::new(Settings { policy, engine, state_dir, offline: args.offline })?;
    let (asked, name) = match (args.image, args.container, args.service) {
        (_, Some(name), _) => (Asked::Container(name.clone()), format!("container {name}")),
        (_, _, Some(name)) => (Asked::Service(name.clone()), format!("service {name}")),
        (image, ..) => {
            let name = image.unwrap_or_default();
            let read = name.parse().map_err(|error| format!("{name:?} is no image: {error}"))?;
            (Asked::Image { written: name.clone(), image: read }, name)
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let account = runtime.block_on(gate.account(asked));
    let text = if args.json {
        let Account { decision, explanation, .. } = &account;
        let whole = Whole {
            report: Report::new(&name, decision),
            explanation,
            rule: decision.rule.as_deref(),
            leave: decision.verdict.leave().map(ToString::to_string),
            break_glass: glass.as_ref().map(Broken::new),
        };
        serde_json::to_string(&whole)? + "\n"
    } else {
        let teller = Teller { paint: Paint::for_stdout(), now: account.now };
        teller.account(&name, &account, glass.as_ref())
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(account.decision.verdict.is_allow())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: Report<'a>,
    #[serde(flatten)]
    explanation: &'a crate::policy::Explanation,
    rule: Option<&'a str>,
    leave: Option<String>,
    break_glass: Option<Broken<'a>>,
}

/// What `--json` prints of broken glass.
#[derive(Serialize)]
struct Broken<'a> {
    reason: &'a str,
    until: Timestamp,
}

impl<'a> Broken<'a> {
    fn new(glass: &'a BreakGlass) -> Self {
        Self { reason: &glass.reason, until: glass.until }
    }
}

/// The glass, while it is broken. A file that cannot be read breaks none.
fn broken(state_dir: &Path) -> Option<BreakGlass> {
    let glass = BreakGlass::read(state_dir).ok().flatten();
    glass.filter(|glass| source::now() < glass.until)
}

/// Tells an account to people.
struct Teller {
    paint: Paint,
    now: Timestamp,
}

impl Teller {
    fn account(&self, name: &str, account: &Account, glass: Option<&BreakGlass>) -> String {
        let mut tree = Tree::new(name);
        if let Some(image) = &account.explanation.image {
            tree.push(held(image));
        }
        for repository in &account.explanation.repositories {
            tree.push(self.repository(repository));
        }
        tree.push(self.verdict(&account.decision));
        if let Some(BreakGlass { reason, until, .. }) = glass.cloned() {
            let leave = Leave::BreakGlass { reason, until };
            tree.leaf(format!("{leave}: the plugin lets every call pass"));
        }
        tree.draw()
    }

    fn verdict(&self, decision: &Decision) -> Tree {
        let mut tree = match &decision.verdict {
            Verdict::Allow(Grant::Excused { refusal, leave }) => {
                let mut tree = Tree::new(format!("{}: {leave}", self.paint.paint("33", "allowed")));
                let code = refusal.reason().code();
                tree.leaf(format!("else {} ({code}): {refusal}", self.paint.paint("31", "denied")));
                tree
            }
            Verdict::Allow(grant) => Tree::new(format!(
                "{}: {}",
                self.paint.paint("32", "allowed"),
                super::report::allowed(grant)
            )),
            Verdict::Deny(refusal) => Tree::new(format!(
                "{} ({}): {refusal}",
                self.paint.paint("31", "denied"),
                decision.verdict.code()
            )),
        };
        if let Some(rule) = &decision.rule {
            tree.leaf(format!("the rule for {rule} counts"));
        }
        for note in &decision.notes {
            tree.leaf(format!("{}: {note}", self.paint.paint("33", "note")));
        }
        tree
    }

    fn repository(&self, part: &RepositoryPart) -> Tree {
        let mut tree = Tree::new(format!("repository {}", part.repository));
        if let Some(gap) = &part.gap {
            tree.leaf(self.paint.paint("31", gap));
        }
        if !part.roles.is_empty() {
            tree.push(self.trust_data(part));
        }
        for tag in &part.tags {
            tree.push(self.tag(tag));
        }
        if part.tags.is_empty() && part.gap.is_none() {
            tree.leaf("no tag of it names this image");
        }
        if let Some(confirmed) = part.confirmed {
            let ago = self.now.duration_since(confirmed).max(SignedDuration::ZERO);
            tree.leaf(format!("confirmed by its trust server {} ago", span(ago)));
        }
        tree.push(self.demanded(part));
        tree.leaf(mode(part));
        tree
    }

    fn trust_data(&self, part: &RepositoryPart) -> Tree {
        let keys: Vec<_> = part.root_keys.iter().map(|id| short(id)).collect();
        let mut tree = Tree::new(format!("trust data, under the root key {}", keys.join(", ")));
        for role in &part.roles {
            tree.leaf(format!(
                "{} version {}, {}",
                role.role,
                role.version,
                self.end(role.expires)
            ));
        }
        for why in &part.left_out {
            tree.leaf(format!("{}: {why}", self.paint.paint("33", "left out")));
        }
        tree
    }

    fn tag(&self, tag: &TagPart) -> Tree {
        let mut tree = Tree::new(match (&tag.released, tag.is_the_image) {
            (Some(digest), Some(true)) => format!("tag {} is this image, {digest}", tag.tag),
            (Some(digest), Some(false)) => {
                format!("tag {} is {}, {digest}", tag.tag, self.paint.paint("31", "another image"))
            }
            (Some(digest), None) => format!("tag {} is released as {digest}", tag.tag),
            (None, _) => format!("tag {} is {}", tag.tag, self.paint.paint("31", "not released")),
        });
        for signature in &tag.signatures {
            tree.push(self.signature(tag, signature));
        }
        if tag.signatures.is_empty() {
            tree.leaf("signed by nobody");
        }
        tree
    }

    fn signature(&self, tag: &TagPart, signature: &SignaturePart) -> Tree {
        let mut tree = Tree::new(format!("signed in {}", signature.role));
        let key = short(&signature.key_id);
        let who = match (&signature.user, signature.teams.as_slice()) {
            (None, _) => format!("key {key}, which nobody in the policy holds"),
            (Some(user), []) => format!("key {key} of {user}, in no team"),
            (Some(user), teams) => format!("key {key} of {user}, in {}", teams.join(", ")),
        };
        tree.leaf(format!("{who}; {}", self.end(signature.good_until)));
        if tag.released.as_ref().is_some_and(|digest| *digest != signature.digest) {
            tree.leaf(format!("signed {}", signature.digest));
        }
        let does_not = || self.paint.paint("33", "does not count");
        tree.leaf(match (&signature.objection, &signature.user) {
            (None, _) => self.paint.paint("32", "counts"),
            // Said already.
            (Some(_), None) => does_not(),
            (Some(why), Some(_)) => format!("{}: {why}", does_not()),
        });
        tree
    }

    fn demanded(&self, part: &RepositoryPart) -> Tree {
        let RepositoryPart { teams, demand, .. } = part;
        let by = by(demand.rule.as_deref());
        if teams.is_empty() {
            let any = "a signature by any user that the policy knows";
            return Tree::new(format!("demanded by {by}: {any}"));
        }
        let mut tree = Tree::new(format!("demanded by {by}: a signature by a member of each of"));
        for team in teams {
            let mut text = match (team.signed.as_slice(), team.members.as_slice()) {
                ([], []) => format!("{}: {}", team.team, self.paint.paint("31", "nobody is in it")),
                ([], members) => format!(
                    "{}: {} of {}",
                    team.team,
                    self.paint.paint("31", "none"),
                    members.join(", ")
                ),
                (signed, _) => {
                    format!("{}: {}", team.team, self.paint.paint("32", &signed.join(", ")))
                }
            };
            if let Some(name) = &team.asked {
                text = format!("{text} (demanded by the name asked for, {name})");
            }
            tree.leaf(text);
        }
        tree
    }

    /// When something runs out, as a day and from now.
    fn end(&self, at: Timestamp) -> String {
        let left = at.duration_since(self.now);
        let day = at.strftime("%Y-%m-%d");
        if left.is_negative() {
            let ago = format!("ran out on {day}, {} ago", span(left.abs()));
            self.paint.paint("31", &ago)
        } else {
            format!("good until {day}, {} from now", span(left))
        }
    }
}

/// What is done about what is refused of a repository, and where that is said.
fn mode(part: &RepositoryPart) -> String {
    let by = by(part.demand.mode_rule.as_deref());
    match part.demand.mode {
        Mode::Enforce => format!("mode: enforce, by {by}"),
        Mode::Audit => format!("mode: audit, by {by}: what is refused is told, and let pass"),
    }
}

/// What says something.
fn by(rule: Option<&str>) -> String {
    rule.map_or_else(|| "the policy for all".to_owned(), |rule| format!("the rule for {rule}"))
}

fn held(image: &HeldPart) -> Tree {
    let mut tree = Tree::new(format!("image {} on the engine", image.id));
    for digest in image.covered_by.iter().filter(|digest| **digest != image.id) {
        tree.leaf(format!("known by {digest}"));
    }
    if !image.known_from.is_empty() {
        tree.leaf(format!("pulled from or pushed to {}", image.known_from.join(", ")));
    }
    tree
}

/// Enough of an ID for a person to tell keys apart.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// A length of time, in the largest unit that says something.
fn span(length: SignedDuration) -> String {
    let minutes = length.as_secs() / 60;
    let (number, unit) = match minutes {
        0..60 => (minutes, "minute"),
        60..2880 => (minutes / 60, "hour"),
        2880..1_051_200 => (minutes / 1440, "day"),
        _ => (minutes / 525_600, "year"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_the_unit_that_says_something() {
        for (seconds, told) in [
            (0, "0 minutes"),
            (61, "1 minute"),
            (3600, "1 hour"),
            (86_400, "24 hours"),
            (2 * 86_400, "2 days"),
            (700 * 86_400, "700 days"),
            (3 * 365 * 86_400, "3 years"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), told, "{seconds}");
        }
    }
}
