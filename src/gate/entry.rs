//! One repository in memory: what is kept of it, and the one question to its trust server
//! that is under way. No lock in here is held across a wait but the one for reading the disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::refresh::{Failing, Kept};

/// How many questions in a row a repository's own decisions may cause, beyond one a second.
const IN_A_ROW: u32 = 5;
/// The time that each of them stands for.
const APART: Duration = Duration::from_secs(1);

/// One repository.
#[derive(Default)]
pub(super) struct Entry {
    state: Mutex<State>,
    /// Held while the disk is read, so that many callers read it once.
    pub loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    flight: Option<Flight>,
    last: Option<Asked>,
    /// Until when questions have been spent.
    spent: Option<Instant>,
}

/// That a trust server was asked about a repository, and what came of it.
#[derive(Clone)]
pub(super) struct Asked {
    /// When the question began: what was published before is in the answer.
    pub began: Instant,
    /// Why what is kept could not be confirmed or renewed, if so.
    pub failure: Option<Failing>,
}

/// A question under way. Nobody owns it: it goes on when nobody waits for it any more.
#[derive(Clone)]
pub(super) struct Flight {
    began: Instant,
    landing: watch::Receiver<Option<Asked>>,
}

/// Where the answer goes.
pub(super) type Landing = watch::Sender<Option<Asked>>;

/// What a question is to do next.
pub(super) enum Turn {
    /// Wait for one that is under way.
    Join(Flight),
    /// Be the one; what comes of it goes to [`Entry::land`].
    Begin(Flight, Landing),
    /// Nothing: this answers it already, or has to.
    Answered(Asked),
}

impl Flight {
    /// When it began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Waits for its end. `None` where it ended without an answer: by a fault of ours.
    pub async fn landed(mut self) -> Option<Asked> {
        let landed = self.landing.wait_for(Option::is_some).await.ok()?;
        landed.clone()
    }

    /// Whether whoever makes it is still there.
    fn is_under_way(&self) -> bool {
        self.landing.has_changed().is_ok()
    }
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept.
    pub fn kept(&self) -> Option<Kept> {
        self.state().kept.clone()
    }

    /// Whether anything is.
    pub fn has_data(&self) -> bool {
        self.state().kept.is_some()
    }

    /// About how many bytes of memory what is kept takes.
    pub fn weight(&self) -> usize {
        self.state().kept.as_ref().map_or(0, |kept| kept.data.weight())
    }

    /// Whether all that is kept can be read from the disk again.
    pub fn is_saved(&self) -> bool {
        self.state().kept.as_ref().is_none_or(|kept| kept.saved)
    }

    /// How long a question has been under way; zero where there is none.
    pub fn asking_for(&self) -> Duration {
        let state = self.state();
        let flight = state.flight.as_ref().filter(|flight| flight.is_under_way());
        flight.map_or(Duration::ZERO, |flight| flight.began.elapsed())
    }

    /// Keeps what was read from the disk, unless something else is there by now than what
    /// was there `before`.
    pub fn keep_loaded(&self, before: Option<&Kept>, loaded: &Kept) {
        let mut state = self.state();
        let same = match (before, &state.kept) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(&one.data, &other.data),
            _ => false,
        };
        if same {
            state.kept = Some(loaded.clone());
        }
    }

    /// What to do to have an answer by a question that began no earlier than `since`; any
    /// that is under way will do where that is `None`. Where it is `limited`, a repository
    /// is not asked about more often than its server should be bothered.
    pub fn turn(&self, since: Option<Instant>, limited: bool) -> Turn {
        let mut state = self.state();
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.is_under_way()) {
            return Turn::Join(flight.clone());
        }
        let now = Instant::now();
        if let Some(last) = &state.last
            && (since.is_some_and(|since| last.began >= since)
                || limited && !may_ask(state.spent, now))
        {
            return Turn::Answered(last.clone());
        }
        if limited {
            state.spent = Some(state.spent.map_or(now, |spent| spent.max(now)) + APART);
        }
        let (land, landing) = watch::channel(None);
        let flight = Flight { began: now, landing };
        state.flight = Some(flight.clone());
        Turn::Begin(flight, land)
    }

    /// Takes note of what came of a flight.
    pub fn land(&self, flight: &Flight, outcome: Result<Kept, Failing>) -> Asked {
        let mut state = self.state();
        let failure = match outcome {
            Ok(kept) => {
                state.kept = Some(kept);
                None
            }
            Err(failing) => Some(failing),
        };
        let asked = Asked { began: flight.began, failure };
        state.last = Some(asked.clone());
        state.flight = None;
        asked
    }
}

/// Whether there is a question left to spend.
fn may_ask(spent: Option<Instant>, now: Instant) -> bool {
    spent.is_none_or(|spent| spent.saturating_duration_since(now) <= APART * (IN_A_ROW - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(entry: &Entry, since: Option<Instant>) -> (Flight, Landing) {
        match entry.turn(since, false) {
            Turn::Begin(flight, land) => (flight, land),
            _ => panic!("nothing is under way"),
        }
    }

    fn failing() -> Failing {
        Failing::for_tests()
    }

    #[tokio::test]
    async fn one_question_answers_many() {
        let entry = Entry::default();
        let (flight, land) = begin(&entry, None);
        let Turn::Join(other) = entry.turn(None, false) else { panic!("two flights") };
        let asked = entry.land(&flight, Err(failing()));
        land.send(Some(asked)).unwrap();
        assert!(other.landed().await.unwrap().failure.is_some());
    }

    #[tokio::test]
    async fn an_answer_counts_for_questions_before_it() {
        let entry = Entry::default();
        let before = Instant::now();
        let (flight, _land) = begin(&entry, Some(before));
        entry.land(&flight, Err(failing()));
        assert!(matches!(entry.turn(Some(before), false), Turn::Answered(_)));
        assert!(matches!(entry.turn(Some(Instant::now()), false), Turn::Begin(..)));
    }

    #[tokio::test]
    async fn a_flight_that_crashed_is_no_longer_waited_for() {
        let entry = Entry::default();
        let (flight, land) = begin(&entry, None);
        drop(land);
        assert!(flight.landed().await.is_none());
        assert!(matches!(entry.turn(None, false), Turn::Begin(..)));
    }

    #[test]
    fn a_few_in_a_row_and_then_one_a_second() {
        let entry = Entry::default();
        for _ in 0..IN_A_ROW {
            let Turn::Begin(flight, _land) = entry.turn(None, true) else { panic!("too few") };
            entry.land(&flight, Err(failing()));
        }
        assert!(matches!(entry.turn(None, true), Turn::Answered(_)));
        let now = Instant::now();
        for (spent, may) in [(0, true), (4, true), (5, false), (9, false)] {
            assert_eq!(may_ask(Some(now + APART * spent), now), may, "{spent}");
        }
    }
}
