//! How a call is made: a seed, and what is done to it, one step after the other. A step can be
//! left out, so that what was found gets as small as it can be.

use std::fmt;

use super::bend::{BENDS, Bend};
use super::draft::{Body, Draft, Framing};
use super::json::Json;
use super::rng::Rng;
use super::seeds::{self, Lure, SEEDS, Seed};
use super::smuggle::smuggle;
use super::world::{Names, World};

/// Calls that belong together.
#[derive(Clone)]
pub struct Case {
    pub number: u64,
    pub calls: Vec<Recipe>,
    /// Whether they are sent at the same time, on as many connections.
    pub at_once: bool,
}

/// A call, to be made.
#[derive(Clone)]
pub struct Recipe {
    pub seed: &'static Seed,
    pub steps: Vec<Step>,
}

/// One change of a call.
#[derive(Clone)]
pub struct Step {
    name: String,
    change: Change,
    /// What its choices begin with.
    rng: Rng,
}

#[derive(Clone, Copy)]
enum Change {
    Lure(Lure),
    Bend(Bend),
}

impl Case {
    /// The case that has this number. The same seed gives the same ones.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut rng = Rng::fork(seed, number);
        match rng.below(100) {
            0..5 => {
                let script = rng.pick(RACES);
                Self::played(number, &mut rng, script, true)
            }
            5..9 => {
                let script = rng.pick(SEQUENCES);
                Self::played(number, &mut rng, script, false)
            }
            _ => Self { number, calls: vec![Recipe::any(&mut rng)], at_once: false },
        }
    }

    /// These calls, in any order if they are sent at once; now and then one of them is bent.
    fn played(number: u64, rng: &mut Rng, script: &'static [Seed], at_once: bool) -> Self {
        let mut calls: Vec<_> = script.iter().map(Recipe::plain).collect();
        if at_once {
            (1..calls.len()).rev().for_each(|at| calls.swap(at, rng.below(at + 1)));
        }
        for call in &mut calls {
            if rng.percent(25) {
                call.bend(rng);
            }
        }
        Self { number, calls, at_once }
    }
}

impl Recipe {
    fn plain(seed: &'static Seed) -> Self {
        Self { seed, steps: Vec::new() }
    }

    /// A seed, mostly a lure, and mostly few changes: what is bent in many ways is refused for
    /// the first of them.
    fn any(rng: &mut Rng) -> Self {
        let total = SEEDS.iter().map(|seed| seed.weight).sum();
        let mut at = rng.below(total);
        let chosen = SEEDS.iter().find(|seed| {
            let here = at < seed.weight;
            at = at.saturating_sub(seed.weight);
            here
        });
        let mut recipe = Self::plain(chosen.expect("the weights add up"));
        let lures = recipe.seed.lures;
        if !lures.is_empty() && rng.percent(75) {
            recipe.put(rng.pick(lures), rng);
        }
        for _ in 0..rng.pick(&[0, 0, 0, 1, 1, 1, 1, 2, 2, 4]) {
            recipe.bend(rng);
        }
        recipe
    }

    fn put(&mut self, lure: Lure, rng: &mut Rng) {
        let name = match lure {
            Lure::Member(path, value) => format!("{path} = {value}"),
            Lure::Parameter(name, value) => format!("parameter {name} = {value}"),
            Lure::Path(path) => format!("path {path}"),
        };
        let rng = Rng::new(rng.next());
        self.steps.push(Step { name, change: Change::Lure(lure), rng });
    }

    fn bend(&mut self, rng: &mut Rng) {
        let (name, bend) = rng.weighted(BENDS);
        let rng = Rng::new(rng.next());
        self.steps.push(Step { name: name.to_owned(), change: Change::Bend(bend), rng });
    }

    /// Whether it carries something that must not happen.
    pub fn is_lure(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.change, Change::Lure(_)))
    }

    /// The call, for this world.
    pub fn draft(&self, number: u64, world: &World) -> Draft {
        let names = Names::of(world, number);
        let mut draft = begin(self.seed, world, &names);
        names.fill(&mut draft);
        for step in &self.steps {
            let mut rng = step.rng.clone();
            match step.change {
                Change::Lure(lure) => put(&mut draft, lure, &names, &mut rng),
                Change::Bend(bend) => bend(&mut draft, &mut rng),
            }
            names.fill(&mut draft);
        }
        draft
    }
}

fn begin(seed: &Seed, world: &World, names: &Names<'_>) -> Draft {
    let (path, query) = seed.target.split_once('?').unwrap_or((seed.target, ""));
    let mut draft = Draft {
        method: seed.method.to_owned(),
        authority: String::new(),
        version: world.version.clone(),
        path: names.filled(path),
        query: query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect(),
        after_query: String::new(),
        protocol: "HTTP/1.1",
        headers: Vec::new(),
        body: Body::Absent,
        framing: Framing::Length,
        around: (Vec::new(), Vec::new()),
    };
    match seed.body {
        seeds::Body::Absent => {}
        seeds::Body::Json(text) => {
            let document = Json::parse(text);
            draft.body = Body::Json { before: Vec::new(), document, after: Vec::new() };
            draft.set_header("Content-Type", "application/json");
        }
        seeds::Body::Tar(name) => {
            draft.body = Body::Bytes(world.archive(name));
            draft.set_header("Content-Type", "application/x-tar");
        }
    }
    draft
}

fn pair(written: &str) -> (String, String) {
    let (name, value) = written.split_once('=').unwrap_or((written, ""));
    (name.to_owned(), value.to_owned())
}

fn put(draft: &mut Draft, lure: Lure, names: &Names<'_>, rng: &mut Rng) {
    match lure {
        Lure::Member(path, value) => {
            smuggle(draft, path, &Json::parse(&names.filled(value)), rng);
        }
        Lure::Parameter(name, value) => parameter(draft, name, &names.filled(value), rng),
        Lure::Path(target) => {
            let target = names.filled(target);
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            path.clone_into(&mut draft.path);
            if !query.is_empty() {
                draft.query = query.split('&').map(pair).collect();
            }
        }
    }
}

fn parameter(draft: &mut Draft, name: &str, value: &str, rng: &mut Rng) {
    let pair = (name.to_owned(), value.to_owned());
    match rng.below(5) {
        0 | 1 => draft.set_query(name, value),
        2 => draft.query.push(pair),
        3 => draft.query.insert(0, pair),
        _ => {
            draft.body = Body::Bytes(format!("{name}={value}").into_bytes());
            draft.set_header("Content-Type", "application/x-www-form-urlencoded");
            if rng.percent(70) {
                draft.add_header("Content-Type", rng.pick(&["text/plain", "application/json"]));
                draft.framing = Framing::chunked();
            }
        }
    }
}

/// What was done to make it.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seed.method, self.seed.target)?;
        self.steps.iter().try_for_each(|step| write!(f, "; {}", step.name))
    }
}

const fn scene(method: &'static str, target: &'static str, body: seeds::Body) -> Seed {
    Seed { weight: 0, method, target, body, lures: &[] }
}

const LANE: seeds::Body = seeds::Body::Json(r#"{"Image":"lane:race","Cmd":["/bin/true"]}"#);

/// Calls that are sent at the same time: a name shall mean something else when the engine looks.
const RACES: &[&[Seed]] = &[
    &[
        scene("POST", "/images/$EVIL/tag?repo=lane&tag=race", seeds::Body::Absent),
        scene("POST", "/containers/create?name=$NEW", LANE),
        scene("POST", "/images/$GOOD/tag?repo=lane&tag=race", seeds::Body::Absent),
        scene("POST", "/containers/$NEW/start", seeds::Body::Absent),
    ],
    &[
        scene("POST", "/images/$EVIL_ID/tag?repo=lane&tag=race", seeds::Body::Absent),
        scene("POST", "/containers/create?name=$NEW", LANE),
        scene("POST", "/containers/$NEW/start", seeds::Body::Absent),
    ],
    &[
        scene("POST", "/containers/idle/rename?name=$NEW", seeds::Body::Absent),
        scene("POST", "/containers/evil/rename?name=idle", seeds::Body::Absent),
        scene("POST", "/containers/idle/start", seeds::Body::Absent),
        scene("POST", "/containers/$NEW/start", seeds::Body::Absent),
    ],
    &[
        scene("POST", "/containers/$EVIL_CID/rename?name=$NEW", seeds::Body::Absent),
        scene("POST", "/containers/create?name=$NEW", seeds::Body::Json(r#"{"Image":"$GOOD"}"#)),
        scene("POST", "/containers/$NEW/start", seeds::Body::Absent),
        scene("POST", "/containers/$NEW/restart?t=0", seeds::Body::Absent),
    ],
    &[
        scene("POST", "/containers/create?name=$NEW", seeds::Body::Json(r#"{"Image":"$GOOD"}"#)),
        scene("POST", "/containers/$NEW/rename?name=$NEW-b", seeds::Body::Absent),
        scene("POST", "/containers/strong/rename?name=$NEW", seeds::Body::Absent),
        scene("POST", "/containers/$NEW/start", seeds::Body::Absent),
    ],
    // A name that is also the beginning of another container's ID.
    &[
        scene("POST", "/containers/idle/rename?name=$EVIL_CID_SHORT", seeds::Body::Absent),
        scene("POST", "/containers/$EVIL_CID_SHORT/start", seeds::Body::Absent),
        scene("POST", "/containers/$IDLE_CID/rename?name=idle", seeds::Body::Absent),
        scene("POST", "/containers/$EVIL_CID_SHORT/restart?t=0", seeds::Body::Absent),
    ],
    &[
        scene("POST", "/images/$EVIL/tag?repo=lane&tag=race", seeds::Body::Absent),
        scene("POST", "/images/create?fromImage=$APP&tag=1", seeds::Body::Absent),
        scene("POST", "/commit?container=evil&repo=lane&tag=race", seeds::Body::Absent),
        scene("POST", "/containers/create?name=$NEW", LANE),
    ],
];

/// Calls that are sent one after the other.
const SEQUENCES: &[&[Seed]] = &[
    &[
        scene("POST", "/containers/idle/rename?name=$EVIL_CID_SHORT", seeds::Body::Absent),
        scene("POST", "/containers/$EVIL_CID_SHORT/start", seeds::Body::Absent),
        scene("POST", "/containers/$IDLE_CID/rename?name=idle", seeds::Body::Absent),
        scene("POST", "/containers/$EVIL_CID_SHORT/start", seeds::Body::Absent),
    ],
    &[
        scene("POST", "/containers/create?name=$NEW", LANE),
        scene("POST", "/images/$EVIL/tag?repo=lane&tag=race", seeds::Body::Absent),
        scene("POST", "/containers/$NEW/start", seeds::Body::Absent),
    ],
    &[
        scene("POST", "/containers/idle/rename?name=$NEW", seeds::Body::Absent),
        scene("POST", "/containers/evil/rename?name=idle", seeds::Body::Absent),
        scene("POST", "/containers/idle/start", seeds::Body::Absent),
    ],
    &[
        scene("POST", "/images/$EVIL/tag?repo=lane&tag=race", seeds::Body::Absent),
        scene("POST", "/containers/create?name=$NEW", LANE),
        scene("POST", "/containers/$NEW/start", seeds::Body::Absent),
    ],
    &[
        scene(
            "POST",
            "/services/create",
            seeds::Body::Json(
                r#"{"Name":"$NEW","Mode":{"Replicated":{"Replicas":0}},
                "TaskTemplate":{"ContainerSpec":{"Image":"$PINNED"}}}"#,
            ),
        ),
        scene(
            "POST",
            "/services/$NEW/update?version=$VERSION&rollback=previous",
            seeds::Body::Json("{}"),
        ),
    ],
];
