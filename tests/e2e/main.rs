//! End to end: real engines guarded by the real plugin, images signed by the real clients.
//!
//! Every test is a story with a repository, a policy, an engine and a plugin of its own; they
//! share one lab (`scripts/lab`: a registry and a Notary server), started with the first test and
//! taken down after the last one. `cargo test` runs them, and a machine that cannot is a failure:
//! only `COUNTERSIGN_SKIP_E2E=1` leaves them out.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails loudly"
)]

mod clients;
mod containerd_store;
mod doctor;
mod effect;
mod enable;
mod explain;
mod faults;
mod freshness;
mod fuzz;
mod host_access;
mod lab;
mod lifecycle;
mod managed;
mod network;
mod node;
mod ordinary;
mod outcome;
mod platforms;
mod policy;
mod policy_tools;
mod prepared;
mod races;
mod record;
mod recorded;
mod relay;
mod rollout;
mod scan;
mod stage;
mod story_ci;
mod story_clusters;
mod trust;
mod unguarded;
mod verdicts;
mod watch;
mod wire;

use std::thread::available_parallelism;

use libtest_mimic::{Arguments, Trial};

use node::Make;
use stage::{Stage, Story};

/// Lists stories under the name of their module.
macro_rules! stories {
    ($($story:ident),+ $(,)?) => {
        pub const STORIES: &[(&str, $crate::stage::Story)] =
            &[$((concat!(module_path!(), "::", stringify!($story)), $story)),+];
    };
}
pub(crate) use stories;

/// Engines besides the machine's own, on which calls are tried that get by others.
const OTHER_ENGINES: [Make; 4] = [
    Make::fetched("26.1"),
    Make::fetched("26.1").with_containerd_store(),
    Make::fetched("28.5"),
    Make::fetched("28.5").with_containerd_store(),
];

/// More engines at a time than this make no machine faster.
const AT_MOST_AT_ONCE: usize = 4;

/// Whether a story compares what two engines say at almost the same time. What they show of
/// processes, times and progress differs now and then by itself, so that one is told twice
/// before it fails.
fn compares(story: Story) -> bool {
    clients::STORIES.iter().any(|(_, other)| std::ptr::fn_addr_eq(*other, story))
}

fn main() {
    let mut arguments = Arguments::from_args();
    let cores = available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(cores.min(AT_MOST_AT_ONCE));

    let skip = std::env::var_os("COUNTERSIGN_SKIP_E2E").is_some_and(|value| value == "1");
    if skip && !arguments.list {
        println!("\nEND-TO-END TESTS ARE LEFT OUT, as COUNTERSIGN_SKIP_E2E=1 asks.");
    }
    let stories = [
        story_ci::STORIES,
        story_clusters::STORIES,
        ordinary::STORIES,
        lifecycle::STORIES,
        races::STORIES,
        watch::STORIES,
        doctor::STORIES,
        enable::STORIES,
        scan::STORIES,
        explain::STORIES,
        policy_tools::STORIES,
        managed::STORIES,
        faults::STORIES,
        rollout::STORIES,
        freshness::STORIES,
        network::STORIES,
        trust::STORIES,
        platforms::STORIES,
        host_access::STORIES,
        verdicts::STORIES,
        record::STORIES,
        recorded::STORIES,
        unguarded::STORIES,
        fuzz::STORIES,
        clients::STORIES,
    ];
    let trial = |&(name, story): &(&str, Story), make: Make| {
        let name = name.trim_start_matches("e2e::");
        let name = if make == Make::INSTALLED { name.into() } else { format!("{name}[{make}]") };
        let play = move || match Stage::play(story, make) {
            Err(other) if compares(story) => {
                println!("ONCE MORE, as two engines differed: {}", other.message().unwrap_or("?"));
                Stage::play(story, make)
            }
            outcome => outcome,
        };
        Trial::test(name, play).with_ignored_flag(skip)
    };
    let mut trials: Vec<Trial> =
        stories.into_iter().flatten().map(|story| trial(story, Make::INSTALLED)).collect();
    for make in OTHER_ENGINES {
        let by_store =
            if make.containerd_store { containerd_store::STORIES } else { watch::STORIES };
        // What an engine makes of a reload has nothing to do with where it keeps images.
        let reloads = if make.containerd_store { &[] } else { enable::EVERYWHERE };
        let stories = recorded::STORIES.iter().chain(races::STORIES).chain(by_store);
        let stories = stories.chain(reloads);
        trials.extend(stories.map(|story| trial(story, make)));
    }
    if fuzz::Asked::read().is_some() {
        let makes = [Make::INSTALLED].into_iter().chain(OTHER_ENGINES);
        trials = makes.map(|make| trial(&fuzz::SEARCH, make)).collect();
    }

    let conclusion = libtest_mimic::run(&arguments, trials);
    lab::take_down();
    conclusion.exit();
}
