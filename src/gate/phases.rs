//! Where a decision's time went.

use std::time::{Duration, Instant};

/// How long each part of a decision took. What was not done took no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Waiting for renames, or for starts by name, to be over.
    pub wait: Duration,
    /// Waiting for the engine to say what it holds.
    pub engine: Duration,
    /// Trust data and contents, from wherever they came; and, meanwhile, what the registry
    /// serves and where binds lead.
    pub trust: Duration,
    /// Judging.
    pub judge: Duration,
}

impl Phases {
    /// Every phase, with its name in records and metrics.
    pub fn named(&self) -> [(&'static str, Duration); 4] {
        let Self { wait, engine, trust, judge } = *self;
        [("wait", wait), ("engine", engine), ("trust", trust), ("judge", judge)]
    }
}

/// How long it is since the last lap, or the beginning.
pub(super) fn lap(since: &mut Instant) -> Duration {
    let now = Instant::now();
    now - std::mem::replace(since, now)
}
