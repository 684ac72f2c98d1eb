//! Starts that were judged as calls just now. The watch is for all others: to look at these,
//! too, would ask the engine everything again while the container begins.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::gate::{Decision, Generation};
use crate::image::ContainerId;
use crate::policy::{Grant, Verdict};
use crate::request::Intent;

/// How long after its call a container is taken to be started by it.
const HOLDS: Duration = Duration::from_secs(30);
/// Most starts that are remembered. A container whose start is forgotten is looked at.
const MOST: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// What was judged of containers whose start is awaited.
pub(in crate::gate) struct JudgedStarts(Mutex<LruCache<ContainerId, Judged>>);

struct Judged {
    /// The number of the policy's generation.
    policy: u64,
    at: Instant,
}

impl Default for JudgedStarts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl JudgedStarts {
    /// Takes note that a container may be started, where that was proven by this policy. What
    /// starts by another leave is told when it runs; and where a bind leads may be another
    /// place once it is mounted.
    pub fn note(&self, container: ContainerId, decision: &Decision, policy: &Generation) {
        let is_proven = matches!(decision.verdict, Verdict::Allow(Grant::Proven { .. }));
        if is_proven && !decision.rests_on_paths {
            let judged = Judged { policy: policy.number, at: Instant::now() };
            self.lock().put(container, judged);
        }
    }

    /// Whether a container that starts was proven by this policy just now. One call starts it
    /// once.
    pub fn take(&self, container: &ContainerId, policy: &Generation) -> bool {
        let judged = self.lock().pop(container);
        judged.is_some_and(|judged| judged.policy == policy.number && judged.at.elapsed() < HOLDS)
    }

    /// Forgets all of them.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<ContainerId, Judged>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The container that a call starts, by its whole ID. What a name means could be another
/// container once it is started.
pub(in crate::gate) fn started(intent: &Intent) -> Option<ContainerId> {
    let Intent::Start { container, .. } = intent else { return None };
    ContainerId::from_hex(container)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::policy::{Leave, Reason, Refusal};

    fn id(number: u64) -> ContainerId {
        ContainerId::from_hex(&format!("{number:064x}")).unwrap()
    }

    fn policy(number: u64) -> Generation {
        Generation { number, fingerprint: String::new() }
    }

    fn proven() -> Decision {
        Decision::settled(Verdict::Allow(Grant::Proven {
            repository: "h.io/a".parse().unwrap(),
            tag: "1".to_owned(),
            digest: crate::image::Digest::from_bytes([0; 32]),
            signers: Vec::new(),
            also: Vec::new(),
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_was_proven_counts_once_and_soon_and_by_one_policy() {
        let judged = JudgedStarts::default();
        for (after, by, is_judged) in [(0, 1, true), (29, 1, true), (30, 1, false), (0, 2, false)] {
            judged.note(id(1), &proven(), &policy(1));
            advance(Duration::from_secs(after)).await;
            assert!(!judged.take(&id(2), &policy(by)), "another");
            assert_eq!(judged.take(&id(1), &policy(by)), is_judged, "{after} s, policy {by}");
            assert!(!judged.take(&id(1), &policy(by)), "once more");
        }
        let leave = Leave::BreakGlass { until: jiff::Timestamp::MAX, reason: String::new() };
        let refusal = Refusal::new(Reason::Internal);
        let others = [
            Verdict::Allow(Grant::NotJudged),
            Verdict::Allow(Grant::NothingThere),
            Verdict::Allow(Grant::Excused { refusal: refusal.clone(), leave }),
            Verdict::Deny(refusal),
        ];
        let bound = Decision { rests_on_paths: true, ..proven() };
        for other in others.map(Decision::settled).into_iter().chain([bound]) {
            judged.note(id(1), &other, &policy(1));
            assert!(!judged.take(&id(1), &policy(1)), "{other:?}");
        }
    }
}
