//! A search for calls that an engine carries out and its plugin understands otherwise: random
//! calls, near to those that are allowed, to a real engine that the plugin guards. What counts is
//! the effect, read back from the engine: nothing unsigned was made, started or scheduled, and
//! nothing reaches the host.
//!
//! `scripts/fuzz-engine` runs it for long, on engines of several versions; a short search, the same
//! each time, is one of the stories.

mod bend;
mod clean;
mod draft;
mod finding;
mod json;
mod recipe;
mod rng;
mod search;
mod seeds;
mod send;
mod smuggle;
mod state;
mod tally;
mod world;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use finding::Finding;
use search::{Bounds, Search};
use tally::Reach;
use world::{World, asleep, awake};

use crate::stage::{Stage, Story};

crate::stories![
    random_calls_bring_nothing_unsigned,
    a_guard_that_sleeps_is_caught,
    what_was_found_before_is_refused,
];

/// The long search, for engines of other versions too.
pub const SEARCH: (&str, Story) =
    (concat!(module_path!(), "::long_search"), random_calls_bring_nothing_unsigned);

/// The search of the stories begins with this.
const SEED: u64 = 20_260_822;

/// What `scripts/fuzz-engine` asks for, in the environment.
pub struct Asked {
    seed: u64,
    time: Duration,
    /// Where findings are kept.
    folder: PathBuf,
}

impl Asked {
    pub fn read() -> Option<Self> {
        let text = |name: &str| env::var(format!("COUNTERSIGN_FUZZ_{name}")).ok();
        let number = |name: &str| text(name).map(|text| text.parse().expect("a number"));
        Some(Self {
            time: Duration::from_secs(number("SECONDS")?),
            seed: number("SEED").unwrap_or(SEED),
            folder: text("FOLDER").map_or_else(env::temp_dir, PathBuf::from),
        })
    }
}

fn random_calls_bring_nothing_unsigned(stage: &Stage) {
    let short = Bounds { calls: 1500, time: Duration::from_secs(30), findings: 1 };
    let (seed, bounds, folder) = match Asked::read() {
        None => (SEED, short, stage.dir().join("findings")),
        Some(Asked { seed, time, folder }) => {
            (seed, Bounds { calls: usize::MAX, time, findings: 10 }, folder)
        }
    };
    let mut search = Search::new(World::build(stage, awake), seed);
    search.run(&bounds);
    let make = stage.make();
    println!("engine {make}, seed {seed}: {}", search.tally);
    if let Some((calls, time)) = search.first_finding {
        println!("the first finding came after {calls} calls, in {:.1} s", time.as_secs_f64());
    }
    for (number, finding) in search.findings.iter().enumerate() {
        finding.keep(&folder, &format!("{make}-{seed}-{number}"));
    }
    search.broken.iter().for_each(|told| println!("the plugin failed: {told}"));
    let findings: Vec<_> = search.findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    let log = search.plugin_log();
    assert!(!log.contains("panicked"), "the plugin panicked: {log}");
    let tally = &search.tally;
    assert!(tally.percent(Reach::Done) >= 10, "hardly a call was carried out: {tally}");
    assert!(tally.percent(Reach::Denied) >= 20, "hardly a call was denied: {tally}");
}

/// What a search sees where there is something to be seen, however it came about.
const SEEN: [&str; 16] = [
    "was made of unsigned image \"sha256:",
    "was made of unsigned image \"\"",
    "container /evil of unsigned image",
    "came to the engine",
    "would run unsigned image",
    "Privileged: true",
    "PidMode: ",
    "UsernsMode: ",
    "SecurityOpt: ",
    "Binds: ",
    "Mounts: ",
    "VolumesFrom: ",
    "volume n",
    "is privileged",
    "a file was planted",
    "managed plugin",
];

/// The search sees each kind of thing that must not be, and finds out which call did it; and what
/// was found before does its harm where nobody refuses it.
fn a_guard_that_sleeps_is_caught(stage: &Stage) {
    let mut search = Search::new(World::build(stage, asleep), SEED);
    for finding in found_before() {
        let effect = search.send_again(&finding);
        assert!(!effect.is_empty(), "nothing came of {finding}");
    }
    let seen = search.sweep(4).join("\n");
    for kind in SEEN {
        assert!(seen.contains(kind), "never seen: {kind}; but:\n{seen}\n{}", search.tally);
    }
    search.run(&Bounds { calls: usize::MAX, time: Duration::from_secs(60), findings: 1 });
    let finding = search.findings.first().expect("it finds something");
    assert!(!finding.effect.is_empty() && finding.sent.len() == 1, "{finding}");
}

/// Calls that searches have found, mostly with one of the plugin's checks left out.
fn found_before() -> Vec<Finding> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/calls/found.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).expect("a list");
    cases.iter().map(Finding::from_json).collect()
}

fn what_was_found_before_is_refused(stage: &Stage) {
    let mut search = Search::new(World::build(stage, awake), SEED);
    for finding in found_before() {
        let effect = search.send_again(&finding);
        assert!(effect.is_empty(), "{effect:?} by {finding}");
    }
}
