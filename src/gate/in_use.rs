//! The repositories in use, and when their trust servers last confirmed what is kept of them.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lru::LruCache;

use crate::image::Repository;

/// Most repositories remembered; those of which nothing was heard for longest go first.
const MOST: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// A moment at which a trust server was asked, and had nothing newer than what is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirmed {
    at: Instant,
    /// The same by the host's clock, which goes on while the host sleeps.
    time: Timestamp,
}

impl Confirmed {
    /// The moment, by the clock of this process.
    pub fn moment(&self) -> Instant {
        self.at
    }

    /// At this moment.
    pub fn at(at: Instant, time: Timestamp) -> Self {
        Self { at, time }
    }

    /// At a time before this process began, by the date of a file. `None` where it lies
    /// ahead: a clock was set, and nobody knows.
    pub fn dated(time: Timestamp, now: Timestamp) -> Option<Self> {
        let age = Duration::try_from(now.duration_since(time)).ok()?;
        Some(Self { at: Instant::now().checked_sub(age)?, time })
    }

    /// How long ago that is: the longer of what both clocks say, since one may have been set
    /// and the other may have stood still.
    pub fn age(&self, now: Timestamp) -> Duration {
        let by_date = Duration::try_from(now.duration_since(self.time)).unwrap_or_default();
        self.at.elapsed().max(by_date)
    }
}

/// All of them.
pub(super) struct InUse(Mutex<LruCache<Repository, Option<Confirmed>>>);

impl Default for InUse {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl InUse {
    fn all(&self) -> MutexGuard<'_, LruCache<Repository, Option<Confirmed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When what is kept of a repository was confirmed.
    pub fn confirmed(&self, repository: &Repository) -> Option<Confirmed> {
        self.all().get(repository).copied().flatten()
    }

    /// Every confirmation.
    pub fn confirmations(&self) -> Vec<(Repository, Confirmed)> {
        let all = self.all();
        all.iter().filter_map(|(repository, one)| Some((repository.clone(), (*one)?))).collect()
    }

    /// The repositories of one registry.
    pub fn of(&self, host: &str) -> Vec<Repository> {
        let all = self.all();
        all.iter().map(|(one, _)| one).filter(|one| one.host() == host).cloned().collect()
    }

    /// When what is kept of a repository was confirmed, asked for by the upkeep, which does
    /// not use it.
    pub fn seen(&self, repository: &Repository) -> Option<Confirmed> {
        self.all().peek(repository).copied().flatten()
    }

    /// Takes note of a repository, and of a confirmation where there is one. Whether it was
    /// not in use before.
    pub fn note(&self, repository: &Repository, confirmed: Option<Confirmed>) -> bool {
        let mut all = self.all();
        let Some(known) = all.get_mut(repository) else {
            all.put(repository.clone(), confirmed);
            return true;
        };
        // One that was waited for longer may tell of an earlier moment.
        if let Some(confirmed) = confirmed
            && known.is_none_or(|known| known.at < confirmed.at)
        {
            *known = Some(confirmed);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn the_longer_age_counts() {
        let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let minute = Duration::from_secs(60);
        let confirmed = Confirmed::at(Instant::now(), now);
        assert!(confirmed.age(now) < minute);
        // The host slept, or its clock was set forward.
        let later = now + SignedDuration::from_secs(3600);
        assert!(confirmed.age(later) >= minute * 60);
        // Its clock was set back.
        let earlier = now - SignedDuration::from_secs(3600);
        assert!(confirmed.age(earlier) < minute);
        assert!(Confirmed::dated(later, now).is_none(), "the date of a file lies ahead");
        let dated = Confirmed::dated(now - SignedDuration::from_secs(90), now).unwrap();
        assert!(dated.age(now) >= minute && dated.age(now) < minute * 2);
    }

    #[test]
    fn a_later_confirmation_stands() {
        let (all, name): (_, Repository) = (InUse::default(), "h.io/a".parse().unwrap());
        let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        assert!(all.confirmed(&name).is_none());
        let early = Instant::now();
        assert!(all.note(&name, None));
        let late = early + Duration::from_secs(9);
        for at in [late, early] {
            assert!(!all.note(&name, Some(Confirmed::at(at, now))));
        }
        assert!(!all.note(&name, None));
        assert_eq!(all.confirmed(&name).unwrap().at, late);
        assert_eq!(all.of("h.io"), [name]);
        assert!(all.of("other.io").is_empty());
    }
}
