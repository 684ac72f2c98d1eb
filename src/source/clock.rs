//! The one clock: what time it is, and how long a caller will wait.

use std::time::Duration;

use tokio::time::Instant;

/// The time now, by this host's clock.
///
/// Everything else takes the time as an argument, so that the judgement of one
/// question uses one `now` and a test can choose it.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The moment a caller stops waiting.
///
/// It bounds everything done under it together: connecting, every exchange a login
/// takes, retries, and the last byte of the body. Copy it to bound several fetches as
/// one.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    allowed: Duration,
}

impl Deadline {
    /// Waits this long, from now on.
    pub fn after(allowed: Duration) -> Self {
        /// Stands in for waits the clock cannot count.
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        let start = Instant::now();
        Self { at: start.checked_add(allowed).unwrap_or(start + YEAR), allowed }
    }

    /// How long was allowed in all, for messages.
    pub fn allowed(&self) -> Duration {
        self.allowed
    }

    /// How long there still is.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// The result of `work`, or nothing once the deadline has passed.
    pub(super) async fn bound<F: Future>(&self, work: F) -> Option<F::Output> {
        tokio::time::timeout_at(self.at, work).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_ends_what_never_ends() {
        let deadline = Deadline::after(Duration::from_millis(1));
        assert_eq!(deadline.bound(std::future::pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn an_endless_wait_is_no_panic() {
        assert_eq!(Deadline::after(Duration::MAX).bound(async { 1 }).await, Some(1));
    }
}
