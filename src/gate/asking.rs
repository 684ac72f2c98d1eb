//! Asking for the trust data of one repository, on behalf of a decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::timeout;
use tracing::error;
use tracing::instrument::WithSubscriber;

use super::entry::{Asked, Entry, Flight, Landing, Turn};
use super::in_use::Confirmed;
use super::refresh::{Failing, Failure, Kept, Refresh, TIMESTAMP_FILE, remedy};
use super::repositories::{Registered, Repositories};
use crate::image::Repository;
use crate::policy::Gap;
use crate::source::Deadline;
use crate::trust::notary::{Grace, TrustData};

/// How long a question is waited for where what is on the node serves.
const BRIEFLY: Duration = Duration::from_secs(1);
/// How much longer than the server has is waited for it, to hear what kept it.
const AFTERWARDS: Duration = Duration::from_millis(250);

/// What is asked for a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// When the decision began, by both clocks.
    pub began: Instant,
    pub now: Timestamp,
    /// Until when it waits.
    pub deadline: Deadline,
    /// Whether the server has to have been asked since the decision began.
    pub anew: bool,
}

/// Trust data or why there is none, and what is worth saying beside it.
pub(super) struct Told {
    pub data: Result<Arc<TrustData>, Gap>,
    pub note: Option<String>,
    /// Whether nothing newer can be had: the server was asked since the decision began, or
    /// is not to be asked now.
    pub asked: bool,
    /// Where the data has run out and the server cannot be asked: the grace that lets it serve.
    pub grace: Option<Grace>,
}

/// What came of asking for a decision.
enum Heard {
    /// A question was answered, or why it was not.
    Asked(Asked),
    /// The server was not waited for any longer.
    Overdue,
}

impl Told {
    fn with(kept: Kept, asked: bool, note: Option<String>) -> Self {
        Self { data: Ok(kept.data), note, asked, grace: None }
    }

    /// Says as well what is wrong with what is on the node, where the server cannot be asked.
    pub fn beside(mut self, on_node: Option<&Failure>) -> Self {
        if let Err(Gap::Unavailable { cause, .. }) = &mut self.data
            && let Some(Failure::Bad(fault)) = on_node
        {
            *cause = format!("{cause}; what this node has of it does not serve: {fault}");
        }
        self
    }

    /// Nothing that asking again would change.
    pub fn without(gap: Gap) -> Self {
        Self { data: Err(gap), note: None, asked: true, grace: None }
    }
}

/// Why nothing serves where the network is not to be used.
pub(super) fn unasked(nothing: Option<Failure>) -> Gap {
    if let Some(Failure::Bad(fault)) = nothing {
        return Gap::Refused(fault);
    }
    let cause = "nothing is cached for it, and the network is not to be used".to_owned();
    let remedy = "check it once with the network, without --offline".to_owned();
    Gap::Unavailable { cause, remedy }
}

/// One repository that is asked about.
pub(super) struct One<'r> {
    pub all: &'r Arc<Repositories>,
    pub repository: &'r Repository,
    pub registered: &'r Arc<Registered>,
    pub entry: &'r Arc<Entry>,
}

impl One<'_> {
    /// Where something on the node serves: as it is while it is fresh, else after a word
    /// with the server, which is not waited for where it is known to be away.
    pub async fn with(&self, kept: Kept, question: Question) -> Told {
        let Question { now, anew, .. } = question;
        if !anew && self.is_fresh(now) {
            return Told::with(kept, false, None);
        }
        if self.all.offline {
            return Told::with(kept, true, None);
        }
        if self.registered.is_left_alone() {
            return Told::with(kept, true, Some(self.left_alone(now)));
        }
        match self.hear(question, (!anew).then_some(BRIEFLY)).await {
            Heard::Asked(Asked { began, failure }) => {
                let asked = began >= question.began;
                match failure {
                    None => Told::with(self.entry.kept().unwrap_or(kept), asked, None),
                    Some(failing) => Told::with(kept, asked, Some(failing.note)),
                }
            }
            Heard::Overdue => {
                let host = self.registered.remote.trust_server().host();
                // One that was waited for to the end is not asked again.
                let what = if anew {
                    self.overdue().0
                } else {
                    format!("trust server {host} has not answered yet")
                };
                Told::with(kept, anew, Some(self.refresh(now).note(&what)))
            }
        }
    }

    /// Where nothing on the node serves; `graced` would, while the server cannot be asked.
    pub async fn without(&self, graced: Option<Kept>, question: Question) -> Told {
        let patience = match &graced {
            Some(kept) if self.registered.is_left_alone() => {
                return self.in_grace(kept.clone(), self.left_alone(question.now));
            }
            Some(_) if self.registered.is_away() => Some(Duration::ZERO),
            _ => None,
        };
        match (self.hear(question, patience).await, graced) {
            (Heard::Asked(Asked { failure: Some(failing), .. }), Some(kept))
                if failing.away.is_some() =>
            {
                self.in_grace(kept, failing.note)
            }
            (Heard::Asked(Asked { began, failure }), _) => {
                let asked = began >= question.began;
                match (failure, self.entry.kept()) {
                    (None, Some(kept)) => Told::with(kept, asked, None),
                    (Some(failing), _) => Told { asked, ..Told::without(failing.gap) },
                    (None, None) => Told::without(lost()),
                }
            }
            (Heard::Overdue, Some(kept)) => {
                self.in_grace(kept, self.refresh(question.now).note(&self.overdue().0))
            }
            (Heard::Overdue, None) => {
                let (cause, remedy) = self.overdue();
                Told::without(Gap::Unavailable { cause, remedy })
            }
        }
    }

    /// What has run out, and serves since the server cannot be asked.
    pub fn in_grace(&self, kept: Kept, note: String) -> Told {
        Told { data: Ok(kept.data), note: Some(note), asked: true, grace: Some(self.grace()) }
    }

    /// Asks, or waits for whoever does: as long as the decision has, or with patience for a
    /// while from the beginning of the question.
    async fn hear(&self, question: Question, patience: Option<Duration>) -> Heard {
        let wait = match patience {
            // It goes on without us.
            Some(_) if self.registered.is_away() => Duration::ZERO,
            Some(patience) => patience.saturating_sub(self.entry.asking_for()),
            None => question.deadline.left() + AFTERWARDS,
        };
        timeout(wait, self.answer(question)).await.map_or(Heard::Overdue, Heard::Asked)
    }

    async fn answer(&self, question: Question) -> Asked {
        let since = question.anew.then_some(question.began);
        let limited = !self.all.max_staleness().is_zero();
        loop {
            let flight = match self.entry.turn(since, limited) {
                Turn::Answered(asked) => return asked,
                Turn::Begin(flight, land) => {
                    self.launch(flight.clone(), land, question.now);
                    flight
                }
                Turn::Join(flight) => flight,
            };
            match flight.landed().await {
                Some(asked) if since.is_none_or(|since| asked.began >= since) => return asked,
                Some(_) => {}
                None => return self.crashed(question.began, question.now),
            }
        }
    }

    /// Asks now, whatever was heard before, or waits for whoever does.
    pub async fn ask_now(&self, now: Timestamp) -> Result<(), Failing> {
        let flight = match self.entry.turn(None, false) {
            Turn::Answered(asked) => return asked.failure.map_or(Ok(()), Err),
            Turn::Begin(flight, land) => {
                self.launch(flight.clone(), land, now);
                flight
            }
            Turn::Join(flight) => flight,
        };
        let asked = match flight.landed().await {
            Some(asked) => asked,
            None => self.crashed(Instant::now(), now),
        };
        asked.failure.map_or(Ok(()), Err)
    }

    /// Has the server asked, whoever waits for it.
    fn launch(&self, flight: Flight, land: Landing, now: Timestamp) {
        let all = Arc::clone(self.all);
        let (repository, registered) = (self.repository.clone(), Arc::clone(self.registered));
        let entry = Arc::clone(self.entry);
        let flying = async move {
            let one =
                One { all: &all, repository: &repository, registered: &registered, entry: &entry };
            let kept = entry.kept();
            let outcome = one.refresh(now).ask(kept.as_ref()).await;
            let is_new = |new: &Kept| kept.is_none_or(|kept| !Arc::ptr_eq(&kept.data, &new.data));
            if let Some(new) = outcome.as_ref().ok().filter(|new| is_new(new)) {
                all.warned.tell_of(&new.data, now);
            }
            let asked = entry.land(&flight, outcome);
            // Kept first: what it replaces is not what was confirmed.
            if asked.failure.is_none() {
                one.note(Some(Confirmed::at(flight.began(), now)));
            }
            // Whoever waited may have gone.
            let _ = land.send(Some(asked));
            all.settle(&repository);
        };
        // What it logs goes where whoever began it logs.
        tokio::spawn(flying.with_current_subscriber());
    }

    /// Reads the disk, once for many callers. What has run out is given as far as grace goes.
    pub async fn load(&self, now: Timestamp) -> Result<Kept, Failure> {
        let _reading = self.entry.loading.lock().await;
        let before = match self.entry.kept() {
            Some(kept) if self.serves(&kept, now, self.grace()) => return Ok(kept),
            other => other,
        };
        let loaded = self.refresh(now).load().await?;
        self.entry.keep_loaded(before.as_ref(), &loaded);
        self.all.settle(self.repository);
        let dated = self.all.store.date(self.repository, TIMESTAMP_FILE);
        self.note(dated.and_then(|dated| Confirmed::dated(dated, now)));
        Ok(loaded)
    }

    /// Takes note that it is in use, and was confirmed.
    pub fn note(&self, confirmed: Option<Confirmed>) {
        if self.all.in_use.note(self.repository, confirmed) {
            self.registered.wanted.notify_one();
        }
    }

    /// What is kept in memory, where it serves.
    pub fn current(&self, now: Timestamp) -> Option<Kept> {
        self.entry.kept().filter(|kept| self.serves(kept, now, Grace::NONE))
    }

    /// Whether what is kept is in date, and was not forgotten on request since.
    fn serves(&self, kept: &Kept, now: Timestamp, grace: Grace) -> bool {
        kept.data.check_within(now, grace).is_ok()
            && !kept.seen.is_forgotten(&self.all.store, self.repository)
    }

    pub fn refresh(&self, now: Timestamp) -> Refresh<'_> {
        Refresh {
            repository: self.repository,
            registered: self.registered,
            store: &self.all.store,
            memory: self.entry.kept().map(|kept| kept.seen),
            heavy: &self.all.heavy,
            now,
            grace: self.grace(),
        }
    }

    fn grace(&self) -> Grace {
        self.all.policy.offline_grace(self.repository)
    }

    /// Whether what is kept may serve unasked.
    fn is_fresh(&self, now: Timestamp) -> bool {
        let confirmed = self.all.in_use.confirmed(self.repository);
        confirmed.is_some_and(|confirmed| confirmed.age(now) < self.all.max_staleness())
    }

    fn left_alone(&self, now: Timestamp) -> String {
        let host = self.registered.remote.trust_server().host();
        let what = format!("trust server {host} was away a moment ago and not asked again");
        self.refresh(now).note(&what)
    }

    /// That a decision waited in vain, and what to do about it.
    fn overdue(&self) -> (String, String) {
        let error = self.registered.remote.trust_server().overdue(super::NETWORK);
        (error.to_string(), remedy(&error).to_owned())
    }

    /// A question that ended without an answer. What made it end so is in the log already.
    fn crashed(&self, began: Instant, now: Timestamp) -> Asked {
        error!(repository = %self.repository, "asking for trust data ended by a fault of countersign");
        let note = self.refresh(now).note("asking for newer trust data failed");
        let failing = Failing { gap: lost(), note, away: None };
        Asked { began, failure: Some(failing) }
    }
}

/// Nothing came of it, by a fault of ours.
fn lost() -> Gap {
    Gap::Unavailable {
        cause: "asking its trust server ended by a fault of countersign".to_owned(),
        remedy: "try again; its log says more".to_owned(),
    }
}
