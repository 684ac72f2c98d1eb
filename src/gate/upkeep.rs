//! Upkeep: trust data is asked after before a decision needs it.
//!
//! All repositories in use are kept well within `max_staleness`: those that a decision asked
//! for since the start, those kept on the node lately, and those that the policy lists. A
//! failure changes nothing that is kept. Each server has a loop of its own, asks a few things
//! at a time, and is left alone while it does not answer: one question then finds out for all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::asking::One;
use super::feed::{Feed, News};
use super::in_use::Confirmed;
use super::refresh::{Failing, Kept, TIMESTAMP_FILE};
use super::repositories::{Registered, Repositories};
use super::schedule::{Pause, Schedule, Step};
use super::{SharedGate, away};
use crate::image::Repository;
use crate::policy::Gap;
use crate::source;
use crate::source::Unavailable;

/// Questions to one server at a time.
const AT_ONCE: usize = 4;
/// How many repositories are asked after before anything else is looked at.
const IN_A_ROW: usize = 512;
/// How long what is kept on the node counts as in use without a decision that asks for it.
const LATELY: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long nothing may happen until it is looked whether there is something to do.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Keeps trust data fresh for as long as it is polled. Returns at once where the policy
/// enforces nothing.
pub async fn keep_fresh(gate: SharedGate) {
    if !gate.policy.is_enforced() {
        return;
    }
    let repositories = Arc::clone(gate.repositories());
    repositories.find_in_use(source::now()).await;
    let servers = repositories
        .registries
        .iter()
        .map(|(host, registered)| Server::new(host, registered, &repositories).keep());
    tokio::join!(join_all(servers), repositories.warn_of_endings());
}

/// One trust server, and what is to be asked of it.
struct Server<'r> {
    host: &'r str,
    registered: &'r Arc<Registered>,
    all: &'r Arc<Repositories>,
    schedule: Schedule,
    pause: Pause,
    feed: Feed,
    /// When the changefeed is to be asked next.
    feed_due: Instant,
    /// Whether the server was away when it was last looked.
    was_away: bool,
}

/// What came of asking after a repository.
struct Renewed {
    repository: Repository,
    began: Instant,
    /// Until when it serves, where that is known.
    outcome: Result<Option<Timestamp>, Failing>,
}

impl<'r> Server<'r> {
    fn new(host: &'r str, registered: &'r Arc<Registered>, all: &'r Arc<Repositories>) -> Self {
        Self {
            host,
            registered,
            all,
            schedule: Schedule::new(all.max_staleness()),
            pause: Pause::default(),
            feed: Feed::default(),
            feed_due: Instant::now(),
            was_away: false,
        }
    }

    async fn keep(mut self) {
        loop {
            let now = Instant::now();
            let in_use = self.all.in_use.of(self.host);
            self.schedule.adopt(&in_use, |one| self.all.confirmed_at(one), now);
            // A decision may have found it to be back.
            let is_back = std::mem::replace(&mut self.was_away, self.registered.is_away());
            if is_back && !self.was_away {
                self.pause.end();
            }
            if self.pause.until().is_none_or(|until| until <= now) {
                self.ask_feed(now).await;
                self.ask_due().await;
            }
            self.sleep().await;
        }
    }

    /// Sleeps until something is due, or a repository comes into use, or the server is back.
    async fn sleep(&self) {
        let now = Instant::now();
        let feed = self.feed.is_followed().then_some(self.feed_due);
        let due = self.schedule.next().map(|next| feed.map_or(next, |feed| feed.min(next)));
        let wake = match self.pause.until().filter(|until| *until > now) {
            Some(until) => until,
            None => due.unwrap_or(now + LONGEST_SLEEP).min(now + LONGEST_SLEEP),
        };
        let wait = wake.saturating_duration_since(now);
        let _ = timeout(wait, self.registered.wanted.notified()).await;
    }

    /// Asks the changefeed where there is one: what it does not tell of is unchanged.
    async fn ask_feed(&mut self, now: Instant) {
        let is_due = self.feed_due <= now && self.feed.is_to_be_tried(now);
        if !is_due || self.schedule.next().is_none() || self.all.max_staleness().is_zero() {
            return;
        }
        let (began, time) = (now, source::now());
        let news = self.feed.poll(self.registered.remote.trust_server()).await;
        self.feed_due = began + self.schedule.period();
        self.registered.heard(news.as_ref().err());
        match news {
            Ok(News::Changed(changed)) => {
                self.pause.end();
                for repository in &changed {
                    self.schedule.changed(repository, began);
                }
                for repository in self.schedule.in_step() {
                    self.all.in_use.note(repository, Some(Confirmed::at(began, time)));
                }
                debug!(host = self.host, changed = changed.len(), "changefeed");
            }
            Ok(News::Begun) => self.pause.end(),
            Ok(News::Absent) => {
                self.schedule.fall_out_of_step(|one| self.all.confirmed_at(one), began);
            }
            Err(error) => self.leave_alone(&error),
        }
    }

    /// Asks after all that is due, a few at a time, until the server does not answer.
    async fn ask_due(&mut self) {
        if self.pause.until().is_some_and(|until| until > Instant::now()) {
            return;
        }
        let mut due = self.schedule.due(Instant::now());
        // Until it has answered, one question has to do.
        let is_silent = self.registered.is_away() || self.pause.until().is_some();
        let (row, at_once) = if is_silent { (1, 1) } else { (IN_A_ROW, AT_ONCE) };
        due.truncate(row);
        let (all, registered) = (self.all, self.registered);
        let mut renewals = stream::iter(due)
            .map(|repository| all.renew(registered, repository))
            .buffer_unordered(at_once);
        while let Some(renewed) = renewals.next().await {
            self.take(renewed);
            if self.pause.until().is_some() {
                break;
            }
        }
    }

    fn take(&mut self, renewed: Renewed) {
        let Renewed { repository, began, outcome } = renewed;
        let ends = outcome.as_ref().ok().copied().flatten();
        let left = ends.and_then(|end| Duration::try_from(end.duration_since(source::now())).ok());
        let step = match &outcome {
            _ if !self.feed.is_followed() => Step::Out,
            Ok(_) => Step::In,
            Err(failing) if failing.gap == Gap::NoTrustData => Step::Nothing,
            Err(_) => Step::Out,
        };
        self.schedule.asked(&repository, step, left, began);
        let Err(failing) = outcome else { return self.pause.end() };
        if let Some(error) = failing.away.as_ref().filter(|error| is_of_all(error)) {
            self.leave_alone(error);
        } else {
            // It is asked after again at its time, and what is kept serves on.
            debug!(%repository, note = failing.note, "not renewed");
        }
    }

    fn leave_alone(&mut self, error: &Unavailable) {
        let now = Instant::now();
        self.pause.begin(error.retry_after(), now);
        let pause = self.pause.until().unwrap_or(now) - now;
        debug!(host = self.host, %error, ?pause, "the trust server is left alone");
    }
}

/// Whether no repository of the server can be asked after, as far as can be told.
pub(super) fn is_of_all(error: &Unavailable) -> bool {
    error.is_of_the_server() || matches!(error.kind(), "server-error" | "rate-limited")
}

impl Repositories {
    /// Takes what is kept on the node, and what the policy lists, for in use.
    async fn find_in_use(&self, now: Timestamp) {
        let store = self.store.clone();
        let read = move || {
            let known = store.repositories().unwrap_or_else(|error| {
                warn!(%error, "what is kept cannot be listed");
                Vec::new()
            });
            let dated = |one: Repository| Some((store.date(&one, TIMESTAMP_FILE)?, one));
            let mut dated: Vec<_> = known.into_iter().filter_map(dated).collect();
            dated.retain(|(date, _)| now.duration_since(*date) <= LATELY);
            dated.sort_unstable_by_key(|(date, _)| *date);
            dated
        };
        let dated = away(read).await;
        info!(
            repositories = dated.len(),
            listed = self.policy.prefetch().len(),
            "trust data is kept fresh"
        );
        for (date, repository) in dated {
            self.in_use.note(&repository, Confirmed::dated(date, now));
        }
        for repository in self.policy.prefetch() {
            self.in_use.note(repository, None);
        }
    }

    fn confirmed_at(&self, repository: &Repository) -> Option<Instant> {
        self.in_use.seen(repository).map(|confirmed| confirmed.moment())
    }

    /// Asks after a repository. One that is not in memory stays out of it while it is
    /// unchanged.
    async fn renew(
        self: &Arc<Self>,
        registered: &Arc<Registered>,
        repository: Repository,
    ) -> Renewed {
        let (began, now) = (Instant::now(), source::now());
        let entry = self.entry_in_memory(&repository);
        let is_out = entry.is_none();
        let entry = entry.unwrap_or_default();
        let one = One { all: self, repository: &repository, registered, entry: &entry };
        let confirmed = if is_out { one.refresh(now).confirm().await } else { Ok(None) };
        let outcome = match confirmed {
            Ok(None) => {
                let entry = self.entry(&repository);
                let one = One { entry: &entry, ..one };
                let asked = one.ask_now(now).await;
                let ends = |kept: Kept| kept.data.files().map(|(_, _, end)| end).min();
                asked.map(|()| one.current(now).and_then(ends))
            }
            Ok(Some(end)) => {
                one.note(Some(Confirmed::at(began, now)));
                Ok(Some(end))
            }
            Err(failing) => Err(failing),
        };
        Renewed { repository, began, outcome }
    }
}
