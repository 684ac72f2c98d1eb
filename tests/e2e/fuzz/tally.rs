//! How far calls got: a search of which nothing gets through shows nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::wire::{End, Exchange};

/// How far one call got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The engine answered before it asked its plugin: no route, no HTTP.
    NotAsked,
    Denied,
    /// The plugin let it by, and the engine found fault with it.
    Failed,
    /// The plugin let it by, and the engine carried it out.
    Done,
    /// The engine handed the connection over.
    HandedOver,
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
            101 => Self::HandedOver,
            200..300 if text.contains("\"errorDetail\"") => Self::Failed,
            200..400 if answer.status != 301 => Self::Done,
            // All that the engine says after it has asked is JSON; a route it does not know
            // it does not ask about.
            _ if text.starts_with('{') && !text.contains("page not found") => Self::Failed,
            _ if exchange.end == End::TimedOut => Self::Silent,
            _ => Self::NotAsked,
        }
    }

    const fn told(self) -> &'static str {
        match self {
            Self::NotAsked => "refused by the engine before it asked",
            Self::Denied => "denied by the plugin",
            Self::Failed => "let by, and refused by the engine",
            Self::Done => "let by, and carried out",
            Self::HandedOver => "let by, and the connection was handed over",
            Self::Silent => "without an answer",
            Self::Broken => "refused since the plugin failed",
        }
    }
}

/// All, those denied, and those carried out.
type Counts = [usize; 3];

/// Counts of many calls.
#[derive(Clone, Default)]
pub struct Tally {
    pub calls: usize,
    by_reach: BTreeMap<Reach, usize>,
    by_route: BTreeMap<String, Counts>,
    /// Of those that carried something that must not happen.
    lures: Counts,
}

impl Tally {
    pub fn count(&mut self, route: &str, is_lure: bool, reach: Reach) {
        self.calls += 1;
        *self.by_reach.entry(reach).or_default() += 1;
        let row = self.by_route.entry(route.to_owned()).or_default();
        let is = [true, reach == Reach::Denied, reach == Reach::Done];
        for counts in [Some(row), is_lure.then_some(&mut self.lures)].into_iter().flatten() {
            counts.iter_mut().zip(is).for_each(|(count, is)| *count += usize::from(is));
        }
    }

    /// Of a hundred calls, so many got that far.
    pub fn percent(&self, reach: Reach) -> usize {
        let count = self.by_reach.get(&reach).copied().unwrap_or_default();
        count * 100 / self.calls.max(1)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls", self.calls)?;
        for (reach, count) in &self.by_reach {
            writeln!(f, "{count:8} {} ({} %)", reach.told(), self.percent(*reach))?;
        }
        let [all, denied, done] = self.lures;
        writeln!(f, "{all:8} carried a lure: {denied} denied, {done} carried out without harm")?;
        writeln!(f, "   calls  denied    done")?;
        for (route, [all, denied, done]) in &self.by_route {
            writeln!(f, "{all:8}{denied:8}{done:8}  {route}")?;
        }
        Ok(())
    }
}
