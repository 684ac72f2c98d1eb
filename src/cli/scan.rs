//! `countersign scan`

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use futures_util::StreamExt as _;
use serde::Serialize;

use super::cannot_begin;
use super::check::start_log;
use super::config::{EngineSocket, Places, load};
use super::paint::Paint;
use super::report::Report;

use crate::gate::{Decision, Gate, Holding, Settings};
use crate::source::Engine;

/// How many are judged at a time: enough that one slow registry does not hold up the rest,
/// few enough to leave the engine alone.
const AT_ONCE: usize = 4;

/// List what enforcement would refuse of what this engine holds
///
/// Judges all images, containers and services of the engine, as if each were run, started or
/// created now, by the policy and with the very code of the plugin. Changes nothing, and
/// needs no plugin: meant to be run before enforcement is switched on, and after each change
/// of the policy.
///
/// Exit code: 0 nothing would be refused, 1 something would be, 2 could not begin (usage,
/// configuration, state directory, engine).
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    places: Places,

    #[command(flatten)]
    engine: EngineSocket,

    /// Decide by the trust data kept on this node alone
    #[arg(long)]
    offline: bool,

    /// Show what would be allowed, too
    #[arg(long)]
    all: bool,

    /// Print one JSON object a line for each image, container and service
    ///
    /// Members: kind (image, container or service), runs (containers), and those of `check
    /// --json`. Allowed ones only with --all.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> ExitCode {
    start_log();
    match scan(args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => cannot_begin(&*error),
    }
}

/// Judges and prints. How many would be refused.
fn scan(args: &Args) -> Result<usize, Box<dyn std::error::Error>> {
    let Places { config, state_dir } = &args.places;
    let policy = load(config)?;
    let engine = Some(Engine::new(&args.engine.path)?);
    let state_dir = state_dir.clone();
    let gate = Gate::new(Settings { policy, engine, state_dir, offline: args.offline })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(judge(&gate, args))
}

async fn judge(gate: &Gate, args: &Args) -> Result<usize, Box<dyn std::error::Error>> {
    let holdings = gate.holdings().await?;
    let mut progress = Progress::new(holdings.len());
    let mut told = Told { paint: Paint::for_stdout(), json: args.json, kind: None };
    let mut counts = Counts::default();
    let judged = holdings.iter().map(|held| async move { (held, gate.rehearse(held).await) });
    let mut judged = futures_util::stream::iter(judged).buffered(AT_ONCE);
    while let Some((held, decision)) = judged.next().await {
        progress.step();
        counts.add(held, &decision);
        if args.all || !decision.verdict.is_allow() {
            progress.clear();
            told.tell(held, &decision)?;
        }
    }
    progress.clear();
    if !args.json {
        writeln!(io::stdout(), "{}", counts.summary())?;
    }
    Ok(counts.refused())
}

/// What was found, by kind: how many, and how many of them would be refused.
#[derive(Default)]
struct Counts([(usize, usize); 3]);

/// The kinds, in the order in which they are told.
const KINDS: [(&str, &str, &str); 3] = [
    ("image", "Images", "images"),
    ("container", "Containers", "containers"),
    ("service", "Services", "services"),
];

fn kind(held: &Holding) -> usize {
    match held {
        Holding::Image(_) => 0,
        Holding::Container(_) => 1,
        Holding::Service(_) => 2,
    }
}

impl Counts {
    fn add(&mut self, held: &Holding, decision: &Decision) {
        if let Some((all, refused)) = self.0.get_mut(kind(held)) {
            *all += 1;
            *refused += usize::from(!decision.verdict.is_allow());
        }
    }

    fn refused(&self) -> usize {
        self.0.iter().map(|(_, refused)| refused).sum()
    }

    fn summary(&self) -> String {
        let all: usize = self.0.iter().map(|(all, _)| all).sum();
        let of = |((all, refused), (_, _, many)): (&(usize, usize), &(&str, &str, &str))| {
            format!("{refused} of {all} {many}")
        };
        let parts: Vec<_> = self.0.iter().zip(&KINDS).map(of).collect();
        match self.refused() {
            0 if all == 0 => "This engine holds nothing that could be refused.".to_owned(),
            0 => format!("Nothing would be refused: {}.", parts.join(", ")),
            _ => format!("Enforcement would refuse {}.", parts.join(", ")),
        }
    }
}

/// What stands on standard output.
struct Told {
    paint: Paint,
    json: bool,
    /// The kind whose headline was written last.
    kind: Option<usize>,
}

/// What `--json` prints of one thing.
#[derive(Serialize)]
struct Entry<'d> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<bool>,
    #[serde(flatten)]
    report: Report<'d>,
}

impl Told {
    fn tell(&mut self, held: &Holding, decision: &Decision) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let (one, title, _) = KINDS.get(kind(held)).copied().unwrap_or_default();
        let runs = match held {
            Holding::Container(container) => Some(container.runs),
            _ => None,
        };
        if self.json {
            let entry = Entry { kind: one, runs, report: Report::new(held.name(), decision) };
            return writeln!(out, "{}", serde_json::to_string(&entry)?);
        }
        if self.kind.replace(kind(held)) != Some(kind(held)) {
            writeln!(out, "{}", self.paint.paint("1", title))?;
        }
        let name = match runs {
            Some(true) => format!("{} (running)", held.name()),
            _ => held.name().to_owned(),
        };
        writeln!(out, "{}", self.paint.report(&name, decision))
    }
}

/// How far it is, on standard error where somebody sees it.
struct Progress {
    shown: bool,
    done: usize,
    all: usize,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self { shown: io::stderr().is_terminal(), done: 0, all }
    }

    fn step(&mut self) {
        self.done += 1;
        if self.shown {
            eprint!("\rjudged {} of {} …", self.done, self.all);
        }
    }

    /// Makes room for a line.
    fn clear(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Grant, Reason, Refusal, Verdict};

    #[test]
    fn the_summary_counts_by_kind() {
        let decision = |verdict| Decision::on(String::new(), verdict);
        let image = Holding::Image("h.io/a:1".to_owned());
        let mut counts = Counts::default();
        assert_eq!(counts.summary(), "This engine holds nothing that could be refused.");
        counts.add(&image, &decision(Verdict::Allow(Grant::NothingThere)));
        assert_eq!(
            counts.summary(),
            "Nothing would be refused: 0 of 1 images, 0 of 0 containers, 0 of 0 services."
        );
        counts.add(&image, &decision(Verdict::Deny(Refusal::new(Reason::Internal))));
        assert_eq!(counts.refused(), 1);
        assert_eq!(
            counts.summary(),
            "Enforcement would refuse 1 of 2 images, 0 of 0 containers, 0 of 0 services."
        );
    }
}
