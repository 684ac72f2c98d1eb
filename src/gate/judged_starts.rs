//! Starts that were judged as calls just now. The watch is for all others: to look at these,
//! too, would ask the engine everything again while the container begins.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::Generation;
use crate::image::ContainerId;
use crate::policy::{Grant, Verdict};
use crate::request::Intent;

/// How long after its call a container is taken to be started by it.
const HOLDS: Duration = Duration::from_secs(30);
/// Most starts that are remembered. A container whose start is forgotten is looked at.
const MOST: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// What was judged of containers whose start is awaited.
pub(super) struct JudgedStarts(Mutex<LruCache<ContainerId, Judged>>);

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
    /// Takes note that a container may be started, where that was proven by this policy. By
    /// what another leave lets start is told when it runs.
    pub fn note(&self, container: ContainerId, verdict: &Verdict, policy: &Generation) {
        if matches!(verdict, Verdict::Allow(Grant::Proven { .. })) {
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

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<ContainerId, Judged>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The container that a call starts, by its whole ID. What a name means could be another
/// container once it is started.
pub(super) fn started(intent: &Intent) -> Option<ContainerId> {
    let Intent::Start { container, .. } = intent else { return None };
    ContainerId::from_hex(container)
}
