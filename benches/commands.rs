//! What people wait for at the command line.

use std::time::Duration;

use crate::Effort;
use crate::process::Served;
use crate::stack::{Stack, timed};
use crate::stats::{Round, median};
use crate::stub_engine::digest_of;
use crate::table::{Row, Target, Unit, thousands};
use crate::wire::{self, Message};
use crate::world::stub_engine;

/// Does both by turns, each first in every other round. The first round only warms up.
/// Medians, in microseconds.
fn both(
    rounds: usize,
    mut ours: impl FnMut() -> Duration,
    mut theirs: impl FnMut() -> Duration,
) -> (f64, f64) {
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (our_time, their_time) = if round % 2 == 0 {
            let our_time = ours();
            (our_time, theirs())
        } else {
            let their_time = theirs();
            (ours(), their_time)
        };
        if round > 0 {
            our_times.push(our_time.as_secs_f64() * 1e6);
            their_times.push(their_time.as_secs_f64() * 1e6);
        }
    }
    (median(our_times), median(their_times))
}

/// `docker run --rm` of a small image that is there.
pub fn docker_run(effort: Effort) -> Vec<Row> {
    let stack = Stack::new();
    stack.load_key();
    let image = format!("{}:1", stack.repository("run"));
    stack.script(&["image", &image]);
    stack.docker("jenkins", &format!("trust sign {image}"));
    let (plugin, name) = stack.plugin("guarded");
    stack.script(&["engine", "start", "guarded", "--plugin", &name]);
    stack.script(&["engine", "start", "bare"]);
    let on = |engine: &str, words: &[&str]| {
        let mut docker = stack.docker_on(engine);
        docker.args(words);
        docker
    };
    for engine in ["guarded", "bare"] {
        timed(&mut on(engine, &["pull", "--quiet", &image]));
    }
    let run =
        |engine| timed(&mut on(engine, &["run", "--rm", "--network", "none", &image, "/bin/true"]));
    let (guarded, bare) = both(effort.of(1, 40), || run("guarded"), || run("bare"));
    for engine in ["guarded", "bare"] {
        stack.script(&["engine", "stop", engine, "--purge"]);
    }
    drop(plugin);
    let target = Target::AtMost(1.05);
    vec![Row::against("docker run --rm, warm", guarded, ("no plugin", bare), Unit::Time, target)]
}

/// One tag among many, against `notary lookup`.
pub fn notary(effort: Effort) -> Vec<Row> {
    let (stack, rounds) = (Stack::new(), effort.of(1, 15));
    stack.load_key();
    let key = stack.lab.certificate("jenkins").with_file_name("key.pem");
    stack.notary("jenkins", &format!("key import {}", key.display()));
    let repository = stack.repository("many");
    let count = effort.of(100, 10_000);
    let tag = |number: usize| format!("v{}.{}", number / 100, number % 100);
    let digests = (0..count).map(|number| {
        let image = format!("{repository}:{}", tag(number));
        (tag(number), digest_of(&image))
    });
    stack.sign_many(&repository, digests);
    let tag = tag(count / 2);
    let image = format!("{repository}:{tag}");
    stack.policy();
    let [ours, theirs] = ["state", "notary"].map(|name| stack.path(name));
    let check = || timed(&mut stack.check(&ours, &image));
    let lookup = || timed(&mut stack.lookup(&theirs, &repository, &tag));
    let warm = both(rounds, check, lookup);
    let (cold_check, cold_lookup) = {
        let [ours, theirs] = ["cold-state", "cold-notary"].map(|name| stack.path(name));
        let fresh = |folder: &std::path::Path| {
            let _ = std::fs::remove_dir_all(folder);
        };
        let check = || {
            fresh(&ours);
            timed(&mut stack.check(&ours, &image))
        };
        let lookup = || {
            fresh(&theirs);
            timed(&mut stack.lookup(&theirs, &repository, &tag))
        };
        both(rounds, check, lookup)
    };
    // The plugin that runs, with an engine that takes no time.
    let engine = stub_engine(&stack.path("engine.sock"), &stack.path("engine.log"));
    let socket = stack.path("plugin.sock");
    let mut serve = stack.serve(&socket, engine.socket());
    let plugin = Served::start(&mut serve, &socket, &stack.path("plugin.log"));
    let create = Message::create(&image);
    wire::one_by_one(plugin.socket(), &create, 1);
    let decided = median((0..rounds).map(|_| {
        let Round { p50, .. } = wire::one_by_one(plugin.socket(), &create, effort.of(10, 500));
        p50
    }));
    let tags = format!("one tag of {}", thousands(count));
    let row = |what: String, ours, theirs, times| {
        Row::against(&what, ours, ("notary lookup", theirs), Unit::Time, Target::AtLeast(times))
    };
    vec![
        row(format!("{tags}, warm: countersign check"), warm.0, warm.1, 20.0),
        row(format!("{tags}, warm: the plugin's decision"), decided, warm.1, 20.0),
        row(format!("{tags}, cold: countersign check"), cold_check, cold_lookup, 8.0),
    ]
}
