//! What is seen of a container that runs, and what has been told of it already.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::Decision;
use crate::image::ContainerId;
use crate::policy::{Blame, Reason, Verdict};

/// Most containers remembered. One that is forgotten is told of again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What is seen of a container that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// It may run.
    Fine,
    /// It is gone.
    Gone,
    /// It may not run, for the reason of this code.
    Violation(&'static str),
    /// Whether it may run is not known, for the reason of this code.
    Unchecked(&'static str),
}

impl Sighting {
    /// What a decision on a container says of it. What is wrong with it is held against
    /// it; that a server or the engine is away, or that trust data cannot be relied on, is
    /// not.
    pub fn of(decision: &Decision) -> Self {
        let reason = match &decision.verdict {
            Verdict::Allow(_) => return Self::Fine,
            Verdict::Deny(refusal) => refusal.reason(),
        };
        match reason.blame() {
            _ if matches!(reason, Reason::NothingThere { .. }) => Self::Gone,
            Blame::Image | Blame::Policy | Blame::Request => Self::Violation(reason.code()),
            Blame::World | Blame::Ours => Self::Unchecked(reason.code()),
        }
    }
}

/// What was last seen of containers, where it was not fine.
pub(super) struct Sightings(LruCache<ContainerId, Sighting>);

impl Sightings {
    pub fn new() -> Self {
        Self(LruCache::new(REMEMBERED))
    }

    /// Takes note of a sighting. Whether it differs from the one before.
    pub fn note(&mut self, id: &ContainerId, seen: Sighting) -> bool {
        match seen {
            Sighting::Fine | Sighting::Gone => self.0.pop(id).is_some(),
            Sighting::Violation(_) | Sighting::Unchecked(_) => {
                self.0.put(id.clone(), seen) != Some(seen)
            }
        }
    }

    /// The containers that could not be checked.
    pub fn unchecked(&self) -> Vec<ContainerId> {
        let is_unchecked = |(_, seen): &(_, &Sighting)| matches!(seen, Sighting::Unchecked(_));
        self.0.iter().filter(is_unchecked).map(|(id, _)| id.clone()).collect()
    }

    /// Forgets a container.
    pub fn forget(&mut self, id: &ContainerId) {
        self.0.pop(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Grant, Refusal};

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
            (Reason::Engine { cause: text() }, Sighting::Unchecked("engine-unavailable")),
            (Reason::HostUnknown { cause: text() }, Sighting::Unchecked("host-unknown")),
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
            assert_eq!(sightings.note(&id(1), seen), is_new, "{seen:?}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut sightings = Sightings::new();
        for number in 0..REMEMBERED.get() + 10 {
            sightings.note(&id(number), Sighting::Unchecked("a"));
        }
        assert_eq!(sightings.unchecked().len(), REMEMBERED.get());
        sightings.note(&id(REMEMBERED.get()), Sighting::Violation("b"));
        assert_eq!(sightings.unchecked().len(), REMEMBERED.get() - 1);
        sightings.forget(&id(REMEMBERED.get() - 1));
        assert_eq!(sightings.unchecked().len(), REMEMBERED.get() - 2);
    }
}
