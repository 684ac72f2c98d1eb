//! The search: calls in batches, a look at what they did after each, and, where that must not be,
//! a hunt for the call that did it.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::clean::clean;
use super::finding::Finding;
use super::recipe::Case;
use super::send::{Baits, Written, restore_names, send_all};
use super::state::State;
use super::tally::{Reach, Tally};
use super::world::World;

/// Cases between two looks.
const BATCH: u64 = 150;

/// Connections at a time.
const LANES: usize = 6;

/// When a search ends.
pub struct Bounds {
    pub calls: usize,
    pub time: Duration,
    pub findings: usize,
}

/// A search on one engine.
pub struct Search<'a> {
    world: World<'a>,
    seed: u64,
    socket: PathBuf,
    baits: Baits,
    /// The engine as it was made.
    first: State,
    /// The engine before the calls that are being made.
    before: State,
    pub tally: Tally,
    pub findings: Vec<Finding>,
    /// When the first finding was made: after how many calls, and how long.
    pub first_finding: Option<(usize, Duration)>,
    /// Answers that tell of a plugin that failed.
    pub broken: Vec<String>,
}

impl<'a> Search<'a> {
    pub fn new(mut world: World<'a>, seed: u64) -> Self {
        let socket = world.socket();
        world.look_up_versions();
        let first = State::of(&world);
        let baits = first
            .held
            .containers
            .iter()
            .map(|(id, one)| (id.clone(), one.name.trim_start_matches('/').to_owned()))
            .collect();
        Self {
            world,
            seed,
            socket,
            baits,
            before: first.clone(),
            first,
            tally: Tally::default(),
            findings: Vec::new(),
            first_finding: None,
            broken: Vec::new(),
        }
    }

    /// Makes calls until something ends it.
    pub fn run(&mut self, bounds: &Bounds) {
        let start = Instant::now();
        let mut told = start;
        let mut number = 1;
        while self.tally.calls < bounds.calls
            && start.elapsed() < bounds.time
            && self.findings.len() < bounds.findings
        {
            let batch = self.cases(number);
            number += BATCH;
            let violations = self.play(&batch, LANES, true);
            if !violations.is_empty() {
                self.first_finding.get_or_insert((self.tally.calls, start.elapsed()));
                self.hunt(&batch, &violations);
            }
            if told.elapsed() > Duration::from_secs(60) {
                told = Instant::now();
                let (calls, seconds) = (self.tally.calls, start.elapsed().as_secs());
                println!("{seconds:5} s: {calls} calls, {} findings", self.findings.len());
            }
        }
    }

    fn cases(&self, first: u64) -> Vec<Case> {
        (first..first + BATCH).map(|number| Case::of(self.seed, number)).collect()
    }

    /// Makes so many batches of calls, but none that takes the engine out of its swarm, and says
    /// all that came about and must not, without looking for what did it.
    pub fn sweep(&mut self, batches: u64) -> Vec<String> {
        let mut violations = Vec::new();
        for batch in 0..batches {
            let mut cases = self.cases(1 + batch * BATCH);
            cases.retain(|case| case.calls.iter().all(|call| !call.to_string().contains("leave")));
            violations.extend(self.play(&cases, LANES, true));
        }
        violations
    }

    /// Sends these cases, and says what came about that must not; then puts things in order.
    fn play(&mut self, cases: &[Case], lanes: usize, is_counted: bool) -> Vec<String> {
        self.world.look_up_versions();
        let written: Vec<_> = cases.iter().map(|case| Written::of(case, &self.world)).collect();
        let answers = send_all(&written, &self.socket, &self.baits, lanes);
        let mut violations = Vec::new();
        for (case, answers) in cases.iter().zip(&answers) {
            for (recipe, exchange) in case.calls.iter().zip(answers) {
                let reach = Reach::of(exchange);
                if reach == Reach::HandedOver {
                    violations.push(format!("the engine handed a connection over: {recipe}"));
                }
                if is_counted {
                    let seed = recipe.seed;
                    let route = seed.target.split('?').next().unwrap_or_default();
                    let name = format!("{} {route}", seed.method);
                    self.tally.count(&name, recipe.is_lure(), reach);
                    if reach == Reach::Broken && self.broken.len() < 20 {
                        self.broken.push(format!("{recipe}: {exchange}"));
                    }
                }
            }
        }
        violations.extend(self.look());
        violations
    }

    /// What came about since the last look; things are put in order after it.
    fn look(&mut self) -> Vec<String> {
        restore_names(&self.socket, &self.baits);
        let after = State::of(&self.world);
        let violations = after.violations_since(&self.before, &self.world);
        clean(&self.world, &self.first.held, &after.held);
        self.before = State::of(&self.world);
        violations
    }

    /// Sends what was found before, and says what came about that must not.
    pub fn send_again(&mut self, finding: &Finding) -> Vec<String> {
        self.world.look_up_versions();
        let answers = finding.written(&self.world).send(&self.socket, &self.baits);
        let handed_over = answers.iter().filter(|one| Reach::of(one) == Reach::HandedOver);
        let mut violations: Vec<_> = handed_over.map(ToString::to_string).collect();
        violations.extend(self.look());
        violations
    }

    /// Looks for the one case that did it, and makes it as small as it can be.
    fn hunt(&mut self, batch: &[Case], violations: &[String]) {
        println!("found: {}", violations.join("; "));
        let Some(case) = self.narrow(batch) else {
            let mut what = violations.join("; ");
            let _ = write!(
                what,
                " (no case of {} to {} does it alone)",
                batch[0].number,
                batch[batch.len() - 1].number
            );
            self.findings.push(Finding::unexplained(what));
            return;
        };
        let (case, effect) = self.shrink(case);
        let finding = Finding::of(&case, &self.world, &effect);
        println!("{finding}");
        self.findings.push(finding);
    }

    fn narrow(&mut self, cases: &[Case]) -> Option<Case> {
        if self.play(cases, 1, false).is_empty() {
            return None;
        }
        if let [case] = cases {
            return Some(case.clone());
        }
        let (left, right) = cases.split_at(cases.len() / 2);
        self.narrow(left).or_else(|| self.narrow(right))
    }

    /// Leaves out what can be left out: calls, and steps of each.
    fn shrink(&mut self, mut case: Case) -> (Case, Vec<String>) {
        let mut effect = self.play(std::slice::from_ref(&case), 1, false);
        let mut smaller: Vec<Case> = Vec::new();
        loop {
            smaller.clear();
            for call in 0..case.calls.len() {
                if case.calls.len() > 1 {
                    let mut less = case.clone();
                    less.calls.remove(call);
                    smaller.push(less);
                }
                for step in 0..case.calls[call].steps.len() {
                    let mut less = case.clone();
                    less.calls[call].steps.remove(step);
                    smaller.push(less);
                }
            }
            let found = smaller.drain(..).find_map(|less| {
                let violations = self.play(std::slice::from_ref(&less), 1, false);
                (!violations.is_empty()).then_some((less, violations))
            });
            match found {
                Some(less) => (case, effect) = less,
                None => return (case, effect),
            }
        }
    }

    pub fn plugin_log(&self) -> String {
        self.world.plugin.files().said()
    }
}
