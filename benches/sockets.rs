//! What a call through the plugin's socket takes: calls that pass, decisions on creates,
//! and whether these depend on how much there is.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use countersign::source::Engine;

use crate::Effort;
use crate::process::Served;
use crate::stats::{Round, median};
use crate::table::{Row, Target, Unit, thousands};
use crate::wire::{self, Message};
use crate::world::World;

const NOOP: &str = "Go no-op";

/// The no-op plugin, running.
fn noop(dir: &Path) -> Served {
    let program = std::env::var_os(crate::NOOP).expect("scripts/bench builds it");
    let socket = dir.join("noop.sock");
    Served::start(Command::new(program).arg(&socket), &socket, &dir.join("noop.log"))
}

/// The median over rounds of one figure of them.
fn middle(rounds: &[Round], figure: fn(&Round) -> f64) -> f64 {
    median(rounds.iter().map(figure))
}

/// Measures by turns, each first in every other round: whatever the machine does besides
/// then meets all alike. The first round only warms up.
fn by_turns<const N: usize>(
    rounds: usize,
    mut measure: impl FnMut(usize) -> Round,
) -> [Vec<Round>; N] {
    let mut measured = std::array::from_fn(|_| Vec::new());
    for round in 0..=rounds {
        for turn in 0..N {
            let which = (turn + round) % N;
            let taken = measure(which);
            if round > 0 {
                measured[which].push(taken);
            }
        }
    }
    measured
}

/// Calls that bring and run nothing.
pub fn calls(effort: Effort) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let (world, noop) = (World::new(1, 10), noop(dir.path()));
    let (get, sockets) = (Message::get(), [world.plugin().socket(), noop.socket()]);
    let one = effort.of(200, 5_000);
    let [ours, theirs] =
        by_turns(effort.rounds(), |which| wire::one_by_one(sockets[which], &get, one));
    let many = effort.of(640, 20_000);
    let [ours_64, theirs_64] =
        by_turns(effort.rounds(), |which| wire::at_once(sockets[which], &get, 64, many));
    let row = |what, ours: &[Round], theirs: &[Round], figure: fn(&Round) -> f64, unit, target| {
        Row::against(what, middle(ours, figure), (NOOP, middle(theirs, figure)), unit, target)
    };
    vec![
        row("GET, 1 connection: p50", &ours, &theirs, |r| r.p50, Unit::Time, Target::AtMost(0.8)),
        row("GET, 1 connection: p99", &ours, &theirs, |r| r.p99, Unit::Time, Target::AtMost(0.8)),
        row(
            "GET, 64 connections: calls",
            &ours_64,
            &theirs_64,
            |r| r.per_second,
            Unit::PerSecond,
            Target::AtLeast(1.0),
        ),
        row(
            "GET, 64 connections: p99",
            &ours_64,
            &theirs_64,
            |r| r.p99,
            Unit::Time,
            Target::AtMost(0.3),
        ),
    ]
}

/// A whole decision on a create of a signed image.
pub fn create(effort: Effort) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let (world, noop) = (World::new(1, 10), noop(dir.path()));
    world.warm_up();
    let (create, image, calls) = (world.create(0), world.image(0), effort.of(100, 3_000));
    let [ours, theirs, inspects] = by_turns(effort.rounds(), |which| match which {
        0 => wire::one_by_one(world.plugin().socket(), &create, calls),
        1 => wire::one_by_one(noop.socket(), &create, calls),
        _ => inspect(&world.engine_socket(), &image, calls),
    });
    let (whole, inspect) = (middle(&ours, |r| r.p50), middle(&inspects, |r| r.p50));
    let note = format!(
        "the call takes {whole:.1} µs with the engine's inspect, which alone takes {inspect:.1} µs"
    );
    let row = Row::against(
        "create, signed, warm, without the inspect: p50",
        whole - inspect,
        (NOOP, middle(&theirs, |r| r.p50)),
        Unit::Time,
        Target::AtMost(1.2),
    );
    vec![row.noting(note)]
}

/// The same inspect as a decision makes, by the same client on the same kind of runtime.
fn inspect(socket: &Path, image: &str, calls: usize) -> Round {
    let (engine, image) = (Engine::new(socket).unwrap(), image.to_owned());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let asked = runtime.spawn(async move {
        engine.image(&image).await.unwrap().unwrap();
        let (mut times, began) = (Vec::with_capacity(calls), Instant::now());
        for _ in 0..calls {
            let asked = Instant::now();
            engine.image(&image).await.unwrap().unwrap();
            times.push(asked.elapsed());
        }
        (times, began.elapsed())
    });
    let (times, took): (Vec<Duration>, Duration) = runtime.block_on(asked).unwrap();
    Round::new(times, took)
}

/// The same decision, whatever there is besides.
pub fn flat(effort: Effort) -> Vec<Row> {
    let tags = [10, 1_000, effort.of(1_000, 10_000), effort.of(1_000, 100_000)];
    let repositories = [1, 100, effort.of(100, 10_000)];
    let mut rows = compared(effort, "tags", &tags.map(|tags| (1, tags, tags)));
    rows.extend(compared(effort, "repositories", &repositories.map(|count| (count, 10, count))));
    rows
}

/// Repositories, tags in each, and which of both is the number that a row is about.
type Shape = (usize, usize, usize);

/// Decisions on the last repository that was verified, against those in the first shape.
fn compared<const N: usize>(effort: Effort, of: &str, shapes: &[Shape; N]) -> Vec<Row> {
    let worlds = shapes.map(|(repositories, tags, _)| {
        let world = World::new(repositories, tags);
        world.warm_up();
        (world.create(repositories - 1), world)
    });
    let calls = effort.of(100, 2_000);
    let rounds: [Vec<Round>; N] = by_turns(effort.rounds(), |which| {
        let (create, world) = &worlds[which];
        wire::one_by_one(world.plugin().socket(), create, calls)
    });
    let base = middle(&rounds[0], |r| r.p50);
    let against = format!("with {}", thousands(shapes[0].2));
    let row = |(rounds, (.., count)): (&Vec<Round>, &Shape)| {
        Row::against(
            &format!("create, {} {of}: p50", thousands(*count)),
            middle(rounds, |r| r.p50),
            (&against, base),
            Unit::Time,
            Target::AtMost(1.2),
        )
    };
    rounds.iter().zip(shapes).skip(1).map(row).collect()
}

/// What the process has in memory.
pub fn memory(effort: Effort) -> Vec<Row> {
    let shapes = [
        (0, 0, 15e6),
        (effort.of(10, 1_000), effort.of(10, 100), 80e6),
        (1, effort.of(1_000, 100_000), 60e6),
    ];
    let row = |(repositories, tags, most): (usize, usize, f64)| {
        let what = match repositories {
            0 => "idle".to_owned(),
            1 => format!("1 repository of {} tags", thousands(tags)),
            count => format!("{} repositories of {} tags", thousands(count), thousands(tags)),
        };
        let world = World::new(repositories, tags);
        world.warm_up();
        let resident = world.plugin().resident() as f64;
        Row::alone(&format!("resident: {what}"), resident, Unit::Memory, Target::AtMost(most))
    };
    shapes.into_iter().map(row).collect()
}
