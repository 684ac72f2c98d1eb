//! Where a decision's time went.

use std::time::{Duration, Instant};

/// How long each part of a decision took. What was not done took no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Waiting for renames, or for starts by name, to be over.
    pub wait: Duration,
    /// Asking the engine what it holds.
    pub engine: Duration,
    /// Trust data, from wherever it came; and, meanwhile, what the registry serves and where
    /// binds lead.
    pub trust: Duration,
    /// Looking into signed indexes.
    pub contents: Duration,
    /// Judging.
    pub judge: Duration,
}

impl Phases {
    /// Every phase, with its name in records and metrics.
    pub fn named(&self) -> [(&'static str, Duration); 5] {
        let Self { wait, engine, trust, contents, judge } = *self;
        [
            ("wait", wait),
            ("engine", engine),
            ("trust", trust),
            ("contents", contents),
            ("judge", judge),
        ]
    }
}

/// What comes of it, and how long that took.
pub(super) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let outcome = work.await;
    (outcome, began.elapsed())
}
