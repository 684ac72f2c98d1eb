//! When which repository of a trust server is to be asked after next. Pure: the time comes in.

use std::collections::hash_map::{Entry, HashMap, RandomState};
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use crate::image::Repository;

/// How often a repository is asked after that a changefeed tells of, or of which each
/// decision asks: now and then, since a feed is signed by nobody.
const DIRECT: Duration = Duration::from_secs(3600);
/// The shortest time between two questions about one repository.
const SHORTEST: Duration = Duration::from_millis(500);
/// First and longest pause of a server that does not answer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The repositories of one server.
#[derive(Debug)]
pub(super) struct Schedule {
    max_staleness: Duration,
    repositories: HashMap<Repository, Plan>,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    due: Instant,
    step: Step,
}

/// What a changefeed that is followed tells of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: none is followed, or it was not asked after with success since.
    Out,
    /// When the server, which has none, gets trust data of it.
    Nothing,
    /// Whether what is kept is still the newest.
    In,
}

impl Schedule {
    pub fn new(max_staleness: Duration) -> Self {
        Self { max_staleness, repositories: HashMap::new() }
    }

    /// Takes the repositories that are in use now: new ones are due at once, or when their
    /// last confirmation has come of age.
    pub fn adopt(
        &mut self,
        in_use: &[Repository],
        confirmed: impl Fn(&Repository) -> Option<Instant>,
        now: Instant,
    ) {
        let period = self.period();
        for repository in in_use {
            if let Entry::Vacant(place) = self.repositories.entry(repository.clone()) {
                let due = confirmed(repository).map_or(now, |confirmed| confirmed + period);
                place.insert(Plan { due, step: Step::Out });
            }
        }
        if self.repositories.len() > in_use.len() {
            let known: std::collections::HashSet<_> = in_use.iter().collect();
            self.repositories.retain(|repository, _| known.contains(repository));
        }
    }

    /// Those that are due, the longest due first.
    pub fn due(&self, now: Instant) -> Vec<Repository> {
        let due = self.repositories.iter().filter(|(_, plan)| plan.due <= now);
        let mut due: Vec<_> = due.map(|(repository, plan)| (plan.due, repository)).collect();
        due.sort_unstable_by_key(|(due, _)| *due);
        due.into_iter().map(|(_, repository)| repository.clone()).collect()
    }

    /// When the next is due.
    pub fn next(&self) -> Option<Instant> {
        self.repositories.values().map(|plan| plan.due).min()
    }

    /// How long it is until a question of this kind comes again: well before what it answers
    /// is too old.
    pub fn period(&self) -> Duration {
        if self.max_staleness.is_zero() {
            return DIRECT.mul_f64(chance(0.75, 1.25));
        }
        SHORTEST.max(self.max_staleness.mul_f64(chance(0.5, 0.8)))
    }

    /// Takes note that a repository was asked after, and of what the changefeed tells from
    /// now on. `left`: until it runs out.
    pub fn asked(
        &mut self,
        repository: &Repository,
        step: Step,
        left: Option<Duration>,
        now: Instant,
    ) {
        let wait = match step {
            Step::Out => self.period(),
            Step::Nothing | Step::In => DIRECT.mul_f64(chance(0.75, 1.25)),
        };
        // Servers sign a new timestamp when the old one has run out, and not before.
        let wait = left.map_or(wait, |left| wait.min(left + SHORTEST));
        if let Some(plan) = self.repositories.get_mut(repository) {
            *plan = Plan { due: now + wait, step };
        }
    }

    /// Takes note of a change: it is due.
    pub fn changed(&mut self, repository: &Repository, now: Instant) {
        if let Some(plan) = self.repositories.get_mut(repository) {
            *plan = Plan { due: now, step: Step::Out };
        }
    }

    /// Those that are unchanged where the changefeed tells of no change.
    pub fn in_step(&self) -> impl Iterator<Item = &Repository> {
        let in_step = self.repositories.iter().filter(|(_, plan)| plan.step == Step::In);
        in_step.map(|(repository, _)| repository)
    }

    /// The changefeed tells of them no more: each is asked after as before.
    pub fn fall_out_of_step(
        &mut self,
        confirmed: impl Fn(&Repository) -> Option<Instant>,
        now: Instant,
    ) {
        let period = self.period();
        for (repository, plan) in &mut self.repositories {
            if plan.step == Step::Out {
                continue;
            }
            let due = confirmed(repository).map_or(now, |confirmed| confirmed + period);
            *plan = Plan { due: due.min(plan.due), step: Step::Out };
        }
    }
}

/// The pause of a server that does not answer: longer each time, so that one that comes back
/// is not met by everybody at once.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    until: Option<Instant>,
}

impl Pause {
    /// Begins one, of the length that the server asks for, if it does.
    pub fn begin(&mut self, asked: Option<Duration>, now: Instant) {
        let grown = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        let length = grown.mul_f64(chance(0.75, 1.25)).max(asked.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + length);
    }

    /// The server answered.
    pub fn end(&mut self) {
        *self = Self::default();
    }

    /// Until when the server is left alone.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
}

/// A number between two, by chance, so that nodes that start together do not ask together.
fn chance(low: f64, high: f64) -> f64 {
    // Keyed by the system's randomness, a new key each time.
    let bits = RandomState::new().build_hasher().finish() >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what fits")]
    let part = bits as f64 / (1_u64 << 53) as f64;
    low + (high - low) * part
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn names(text: &str) -> Vec<Repository> {
        text.split(' ').map(|name| format!("h.io/{name}").parse().unwrap()).collect()
    }

    #[test]
    fn all_are_due_at_first_and_again_before_they_are_too_old() {
        let (mut schedule, now) = (Schedule::new(MINUTE * 5), Instant::now());
        schedule.adopt(&names("a b c"), |_| None, now);
        assert_eq!(schedule.due(now).len(), 3);
        for name in names("a b") {
            schedule.asked(&name, Step::Out, None, now);
        }
        assert_eq!(schedule.due(now + MINUTE * 2), names("c"));
        let due = schedule.due(now + MINUTE * 4 + MINUTE / 60);
        assert_eq!(due.len(), 3);
        assert_eq!(due[0], names("c")[0], "the longest due first");
        schedule.adopt(&names("a"), |_| None, now);
        assert_eq!(schedule.due(now + MINUTE * 5), names("a"));
    }

    #[test]
    fn what_was_confirmed_lately_is_not_due_at_once() {
        let (mut schedule, now) = (Schedule::new(MINUTE * 5), Instant::now());
        schedule.adopt(&names("a"), |_| Some(now), now);
        assert!(schedule.due(now + MINUTE * 2).is_empty());
        assert_eq!(schedule.due(now + MINUTE * 4), names("a"));
    }

    #[test]
    fn what_a_feed_tells_of_is_asked_after_by_the_hour_and_when_it_runs_out() {
        let (mut schedule, now) = (Schedule::new(MINUTE * 5), Instant::now());
        schedule.adopt(&names("a b"), |_| None, now);
        let [a, b] = [&names("a b")[0], &names("a b")[1]].map(Clone::clone);
        schedule.asked(&a, Step::In, None, now);
        schedule.asked(&b, Step::In, Some(MINUTE * 20), now);
        assert_eq!(schedule.in_step().count(), 2);
        assert!(schedule.due(now + MINUTE * 20).is_empty());
        assert_eq!(schedule.due(now + MINUTE * 21), names("b"));
        assert_eq!(schedule.due(now + MINUTE * 76).len(), 2);
        schedule.asked(&b, Step::Nothing, None, now);
        assert_eq!(schedule.in_step().count(), 1, "of nothing, nothing is the newest");
        schedule.changed(&a, now);
        assert_eq!(schedule.due(now), names("a"));
        assert_eq!(schedule.in_step().count(), 0);
        schedule.fall_out_of_step(|_| Some(now), now);
        assert_eq!(schedule.due(now + MINUTE * 4).len(), 2);
    }

    #[test]
    fn pauses_grow_and_are_as_long_as_the_server_asks() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        let mut lengths = Vec::new();
        for _ in 0..20 {
            pause.begin(None, now);
            lengths.push(pause.until().unwrap() - now);
        }
        assert!(lengths[0] >= FIRST_PAUSE.mul_f64(0.75) && lengths[0] <= FIRST_PAUSE.mul_f64(1.25));
        assert!(lengths.iter().all(|one| *one <= LONGEST_PAUSE.mul_f64(1.25)));
        assert!(lengths[19] >= LONGEST_PAUSE.mul_f64(0.75));
        pause.end();
        assert_eq!(pause.until(), None);
        pause.begin(Some(MINUTE * 3), now);
        assert_eq!(pause.until(), Some(now + MINUTE * 3));
    }
}
