//! What is seen of a container that runs, and what has been told of it already.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::Decision;
use crate::image::ContainerId;
use crate::policy::{Blame, Grant, Reason, Verdict};

/// Most containers remembered. One that is forgotten is told of again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// How long the engine may fail to answer about a container before that is told. One that is
/// told to end answers nothing more, and goes on with its stream of events until its
/// containers have stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is seen of a container that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// It may run.
    Fine,
    /// It is gone.
    Gone,
    /// It may not run, for the reason of this code.
    Violation(&'static str),
    /// It would not be let run, for the reason of this code; and may for now, by the leave of
    /// that code.
    Excused(&'static str, &'static str),
    /// Whether it may run is not known, for the reason of this code.
    Unchecked(&'static str),
    /// The same, as the engine could not be asked.
    Unasked(&'static str),
}

impl Sighting {
    /// What a decision on a container says of it. What is wrong with it is held against
    /// it; that a server or the engine is away, or that trust data cannot be relied on, is
    /// not.
    pub fn of(decision: &Decision) -> Self {
        let reason = match &decision.verdict {
            Verdict::Allow(Grant::Excused { refusal, leave }) => {
                return Self::Excused(refusal.reason().code(), leave.code());
            }
            Verdict::Allow(_) => return Self::Fine,
            Verdict::Deny(refusal) => refusal.reason(),
        };
        match reason.blame() {
            _ if matches!(reason, Reason::NothingThere { .. }) => Self::Gone,
            Blame::Image | Blame::Policy | Blame::Request => Self::Violation(reason.code()),
            _ if matches!(reason, Reason::Engine { .. } | Reason::HostUnknown { .. }) => {
                Self::Unasked(reason.code())
            }
            Blame::World | Blame::Ours => Self::Unchecked(reason.code()),
        }
    }
}

/// What was last seen of containers, where it was not fine.
pub(super) struct Sightings(LruCache<ContainerId, Last>);

/// What is known of a container.
#[derive(Clone, Copy, Default)]
struct Last {
    /// What has been told of it.
    told: Option<Sighting>,
    /// Whether it has to be looked at again.
    is_unchecked: bool,
    /// Since when the engine could not be asked about it.
    unasked_since: Option<Instant>,
}

impl Sightings {
    pub fn new() -> Self {
        Self(LruCache::new(REMEMBERED))
    }

    /// Takes note of a sighting. Whether it is to be told: where it differs from what was
    /// told before.
    pub fn note(&mut self, id: &ContainerId, seen: Sighting, now: Instant) -> bool {
        let last = self.0.get(id).copied().unwrap_or_default();
        let told = match seen {
            Sighting::Fine | Sighting::Gone => {
                self.0.pop(id);
                return last.told.is_some();
            }
            Sighting::Violation(_) | Sighting::Excused(..) | Sighting::Unchecked(_) => {
                let is_unchecked = matches!(seen, Sighting::Unchecked(_));
                Last { told: Some(seen), is_unchecked, unasked_since: None }
            }
            Sighting::Unasked(_) => {
                let since = last.unasked_since.unwrap_or(now);
                let told = if now - since < PATIENCE { last.told } else { Some(seen) };
                Last { told, is_unchecked: true, unasked_since: Some(since) }
            }
        };
        self.0.put(id.clone(), told);
        told.told != last.told
    }

    /// The containers that could not be checked.
    pub fn unchecked(&self) -> Vec<ContainerId> {
        let unchecked = self.0.iter().filter(|(_, last)| last.is_unchecked);
        unchecked.map(|(id, _)| id.clone()).collect()
    }

    /// Whether anything was seen of a container that was not fine.
    pub fn has(&self, id: &ContainerId) -> bool {
        self.0.contains(id)
    }

    /// Forgets a container.
    pub fn forget(&mut self, id: &ContainerId) {
        self.0.pop(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Refusal;

    fn seen(reason: Reason) -> Sighting {
        Sighting::of(&Decision::settled(Verdict::Deny(Refusal::new(reason))))
    }

    fn id(number: usize) -> ContainerId {
        ContainerId::from_hex(&format!("{number:064x}")).unwrap()
    }

    #[test]
    fn only_the_image_is_held_against_a_container() {
        let text = || "x".to_owned();
        assert_eq!(
            Sighting::of(&Decision::settled(Verdict::Allow(Grant::NotJudged))),
            Sighting::Fine
        );
        for (reason, sighting) in [
            (Reason::Unnamed { reference: text() }, Sighting::Violation("unnamed-image")),
            (Reason::NoImage { container: text() }, Sighting::Violation("no-image")),
            (Reason::NoTrustData { reference: text() }, Sighting::Violation("no-trust-data")),
            (Reason::Unregistered { host: text() }, Sighting::Violation("unregistered-registry")),
            (
                Reason::Unavailable { cause: text(), remedy: text(), reference: text() },
                Sighting::Unchecked("trust-data-unavailable"),
            ),
            (Reason::Engine { cause: text() }, Sighting::Unasked("engine-unavailable")),
            (Reason::HostUnknown { cause: text() }, Sighting::Unasked("host-unknown")),
            (
                Reason::Unread { cause: text(), remedy: text(), reference: text() },
                Sighting::Unchecked("manifest-unavailable"),
            ),
            (Reason::Internal, Sighting::Unchecked("internal")),
            (Reason::NothingThere { what: text() }, Sighting::Gone),
        ] {
            assert_eq!(seen(reason), sighting);
        }
    }

    #[test]
    fn the_same_is_told_once() {
        let mut sightings = Sightings::new();
        let (violation, unchecked) = (Sighting::Violation("a"), Sighting::Unchecked("b"));
        for (seen, is_new) in [
            (Sighting::Fine, false),
            (unchecked, true),
            (unchecked, false),
            (violation, true),
            (violation, false),
            (Sighting::Violation("c"), true),
            (Sighting::Fine, true),
            (Sighting::Fine, false),
            (violation, true),
            (Sighting::Gone, true),
            (violation, true),
        ] {
            assert_eq!(sightings.note(&id(1), seen, Instant::now()), is_new, "{seen:?}");
        }
    }

    #[test]
    fn an_engine_that_ends_is_not_told_of_each_container() {
        let mut sightings = Sightings::new();
        let (violation, unasked) = (Sighting::Violation("a"), Sighting::Unasked("b"));
        let began = Instant::now();
        for (after, seen, is_new) in [
            (0, unasked, false),
            (29, unasked, false),
            (30, unasked, true),
            (60, unasked, false),
            (61, violation, true),
            (62, unasked, false),
            (63, violation, false),
            (64, unasked, false),
            (94, unasked, true),
            (95, Sighting::Fine, true),
            (96, unasked, false),
            (97, Sighting::Fine, false),
        ] {
            let now = began + Duration::from_secs(after);
            assert_eq!(sightings.note(&id(1), seen, now), is_new, "{after}: {seen:?}");
            assert_eq!(sightings.unchecked().len(), usize::from(seen == unasked), "{after}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut sightings = Sightings::new();
        for number in 0..REMEMBERED.get() + 10 {
            sightings.note(&id(number), Sighting::Unchecked("a"), Instant::now());
        }
        assert_eq!(sightings.unchecked().len(), REMEMBERED.get());
        sightings.note(&id(REMEMBERED.get()), Sighting::Violation("b"), Instant::now());
        assert_eq!(sightings.unchecked().len(), REMEMBERED.get() - 1);
        sightings.forget(&id(REMEMBERED.get() - 1));
        assert_eq!(sightings.unchecked().len(), REMEMBERED.get() - 2);
    }
}
