//! How far calls got: a search of which nothing gets through shows nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::wire::{End, Exchange};

/// How far one call got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The engine answered before it asked its plugin: no route, no HTTP.
    NotAsked,
    Denied,
    /// The plugin let it by, and the engine found fault with it.
    Failed,
    /// The plugin let it by, and the engine carried it out.
    Done,
    /// The engine handed the connection over.
    Upgraded,
    /// No answer in time, or none at all.
    Silent,
    /// The plugin could not be asked, or was not understood.
    Broken,
}

impl Reach {
    pub fn of(exchange: &Exchange) -> Self {
        let Some(answer) = exchange.answers.last() else { return Self::Silent };
        let text = String::from_utf8_lossy(&answer.body);
        if text.contains("authorization denied by plugin") {
            return Self::Denied;
        }
        if text.contains(" failed with error: ") && text.contains("plugin") {
            return Self::Broken;
        }
        match answer.status {
            101 => Self::Upgraded,
            200..300 if text.contains("\"errorDetail\"") => Self::Failed,
            200..400 if answer.status != 301 => Self::Done,
            // All that the engine says after it has asked is JSON; a route it does not know
            // it does not ask about.
            _ if text.starts_with('{') && !text.contains("page not found") => Self::Failed,
            _ if exchange.end == End::TimedOut => Self::Silent,
            _ => Self::NotAsked,
        }
    }
}

/// Counts.
#[derive(Clone, Default)]
pub struct Tally {
    pub calls: usize,
    by_reach: BTreeMap<&'static str, usize>,
    /// By method and route: all, denied, done.
    by_seed: BTreeMap<String, [usize; 3]>,
    /// Of those that carried something that must not happen: all, denied, done.
    lures: [usize; 3],
}

impl Tally {
    pub fn count(&mut self, seed: &str, is_lure: bool, reach: Reach) {
        let name = match reach {
            Reach::NotAsked => "refused by the engine before it asked",
            Reach::Denied => "denied by the plugin",
            Reach::Failed => "let by, and refused by the engine",
            Reach::Done => "let by, and carried out",
            Reach::Upgraded => "handed over",
            Reach::Silent => "without an answer",
            Reach::Broken => "the plugin failed",
        };
        self.calls += 1;
        *self.by_reach.entry(name).or_default() += 1;
        let row = self.by_seed.entry(seed.to_owned()).or_default();
        let is = [true, reach == Reach::Denied, reach == Reach::Done];
        let lures = is_lure.then_some(&mut self.lures);
        for counts in [Some(row), lures].into_iter().flatten() {
            counts.iter_mut().zip(is).for_each(|(count, is)| *count += usize::from(is));
        }
    }

    pub fn of(&self, name: &str) -> usize {
        let found = self.by_reach.iter().filter(|(known, _)| known.contains(name));
        found.map(|(_, count)| count).sum()
    }

    /// Of a hundred calls, so many were of this kind.
    pub fn percent(&self, name: &str) -> usize {
        self.of(name) * 100 / self.calls.max(1)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls", self.calls)?;
        for (name, count) in &self.by_reach {
            writeln!(f, "{count:8} {name} ({} %)", self.percent(name))?;
        }
        let [all, denied, done] = self.lures;
        writeln!(f, "{all:8} carried a lure: {denied} denied, {done} carried out without harm")?;
        writeln!(f, "   calls  denied    done")?;
        for (seed, [all, denied, done]) in &self.by_seed {
            writeln!(f, "{all:8}{denied:8}{done:8}  {seed}")?;
        }
        Ok(())
    }
}
