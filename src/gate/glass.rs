//! Whether the glass is broken: then everything is let pass, and told.
//!
//! It ends by the wall clock, and by the time that has passed since this process saw it: a
//! clock that is set back prolongs nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{error, warn};

use crate::policy::Leave;
use crate::source::{self, BreakGlass};

/// How often the file is looked at.
const AGAIN: Duration = Duration::from_secs(1);

/// The glass of a node.
#[derive(Default)]
pub struct Glass {
    broken: Mutex<Option<Broken>>,
}

/// Broken glass, as this process knows it.
#[derive(Clone, Debug)]
struct Broken {
    glass: BreakGlass,
    /// When it ends whatever the wall clock says.
    ends: Instant,
}

impl Broken {
    fn seen(glass: BreakGlass, now: Timestamp, at: Instant) -> Option<Self> {
        let left = Duration::try_from(glass.until.duration_since(now)).ok()?;
        let ends = at + left.min(glass.length());
        (!left.is_zero()).then_some(Self { glass, ends })
    }

    fn is_in_force(&self, now: Timestamp, at: Instant) -> bool {
        now < self.glass.until && at < self.ends
    }
}

impl Glass {
    /// Why everything is let pass now, if so.
    pub(super) fn leave(&self) -> Option<Leave> {
        let BreakGlass { reason, until, .. } = self.broken(source::now(), Instant::now())?;
        Some(Leave::BreakGlass { reason, until })
    }

    fn broken(&self, now: Timestamp, at: Instant) -> Option<BreakGlass> {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.as_ref().filter(|one| one.is_in_force(now, at)).map(|one| one.glass.clone())
    }

    /// Takes note of what the file says.
    fn note(&self, read: Option<BreakGlass>, now: Timestamp, at: Instant) -> Change {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        match (broken.take(), read) {
            (Some(known), Some(glass)) if known.glass == glass => {
                if known.is_in_force(now, at) {
                    *broken = Some(known);
                    Change::None
                } else {
                    Change::Over
                }
            }
            (known, read) => match read.map(|glass| Broken::seen(glass, now, at)) {
                Some(Some(seen)) => {
                    let glass = seen.glass.clone();
                    *broken = Some(seen);
                    Change::Broken(glass)
                }
                // One that ended while nobody looked.
                Some(None) => Change::Over,
                None if known.is_some() => Change::Ended,
                None => Change::None,
            },
        }
    }
}

/// What came of a look at the file.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    None,
    /// It was broken.
    Broken(BreakGlass),
    /// Its time is over.
    Over,
    /// Somebody ended it.
    Ended,
}

/// Looks at the file in a state directory.
pub struct GlassWatch<T> {
    glass: Arc<Glass>,
    state: PathBuf,
    /// Told of every change: until when everything is let pass, and why.
    tell: T,
    /// What was last said to be wrong with the file.
    complaint: String,
}

impl<T: Fn(Option<&BreakGlass>)> GlassWatch<T> {
    /// Looks for the first time, so that no call comes before.
    pub fn new(glass: Arc<Glass>, state: PathBuf, tell: T) -> Self {
        let mut watch = Self { glass, state, tell, complaint: String::new() };
        watch.look();
        watch
    }

    /// Watches for as long as it is polled.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(AGAIN).await;
            self.look();
        }
    }

    /// One look: a question to the file system, and most often nothing more.
    fn look(&mut self) {
        let read = BreakGlass::read(&self.state).unwrap_or_else(|error| {
            let complaint = error.to_string();
            if self.complaint != complaint {
                error!(%error, "break-glass is not in force");
                self.complaint = complaint;
            }
            None
        });
        match self.glass.note(read, source::now(), Instant::now()) {
            Change::None => {}
            Change::Broken(broken) => {
                let (reason, by) = (broken.reason.as_str(), broken.by.as_str());
                let until = broken.until;
                warn!(reason, by, %until, "BREAK-GLASS: every call is allowed from now on");
                (self.tell)(Some(&broken));
            }
            Change::Over => {
                warn!("break-glass is over: the policy is enforced again");
                // So that no clock revives it.
                if let Err(error) = BreakGlass::remove(&self.state) {
                    error!(%error, "the file of a break-glass that is over cannot be removed");
                }
                (self.tell)(None);
            }
            Change::Ended => {
                warn!("break-glass was ended: the policy is enforced again");
                (self.tell)(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        "2026-12-01T00:00:00Z".parse::<Timestamp>().unwrap()
            + jiff::SignedDuration::from_secs(seconds)
    }

    fn broken(started: i64) -> BreakGlass {
        BreakGlass::new("outage", "alice", at(started), Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn ends_by_either_clock() {
        let began = Instant::now();
        // Seconds by the wall clock, and since it was seen.
        for (what, wall, since, in_force) in [
            ("at once", 0, 0, true),
            ("before its end", 59, 59, true),
            ("at its end", 60, 60, false),
            ("the clock went on", 3600, 1, false),
            ("the clock was set back", -3600, 59, true),
            ("the clock was set back, and the time is over", -3600, 60, false),
        ] {
            let glass = Glass::default();
            assert_eq!(glass.note(Some(broken(0)), at(0), began), Change::Broken(broken(0)));
            let then = began + Duration::from_secs(since);
            assert_eq!(glass.broken(at(wall), then).is_some(), in_force, "{what}");
            let change = glass.note(Some(broken(0)), at(wall), then);
            assert_eq!(change, if in_force { Change::None } else { Change::Over }, "{what}");
            assert_eq!(glass.broken(at(0), began).is_some(), in_force, "{what}, for good");
        }
    }

    #[test]
    fn a_start_in_the_future_lasts_no_longer() {
        let (glass, began) = (Glass::default(), Instant::now());
        glass.note(Some(broken(3600)), at(0), began);
        assert!(glass.broken(at(59), began + Duration::from_secs(59)).is_some());
        assert!(glass.broken(at(60), began + Duration::from_secs(60)).is_none());
    }

    #[test]
    fn each_change_is_told_once() {
        let (glass, began) = (Glass::default(), Instant::now());
        let told = |read: Option<&BreakGlass>, seconds: u16| {
            let then = began + Duration::from_secs(seconds.into());
            glass.note(read.cloned(), at(seconds.into()), then)
        };
        let (one, other) = (broken(0), broken(20));
        assert_eq!(told(None, 0), Change::None);
        assert_eq!(told(Some(&one), 1), Change::Broken(one.clone()));
        assert_eq!(told(Some(&one), 2), Change::None);
        assert_eq!(told(None, 3), Change::Ended);
        assert_eq!(told(None, 4), Change::None);
        assert_eq!(told(Some(&one), 5), Change::Broken(one.clone()));
        assert_eq!(told(Some(&other), 20), Change::Broken(other.clone()));
        assert_eq!(told(Some(&other), 79), Change::None);
        assert_eq!(told(Some(&other), 80), Change::Over);
        // Where nobody ran while it was in force.
        assert_eq!(told(Some(&one), 90), Change::Over);
    }
}
