//! Where starts by name and renames meet.
//!
//! A start that names its container is judged by what the name means now; the engine
//! looks the name up again afterwards. Were another container renamed to it in between,
//! that one would start unjudged. So starts by name and renames take turns: any number of
//! either at once, never both. Starts by a whole ID do not come here. What else is judged by
//! the container it names (`exec --privileged`, `update`) goes the way of starts.
//!
//! The engine gives its calls no IDs, so a call's end is known by method and target, which
//! `AuthZRes` repeats. Calls that have both in common are exchangeable here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::request::Call;

/// How long a call waits for those going the other way. The engine waits with it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a call that was allowed is taken to be under way, should its end never be
/// told: an engine that died tells none.
const AT_MOST: Duration = Duration::from_secs(30);

/// The crossing.
#[derive(Default)]
pub(super) struct Crossing {
    calls: Mutex<Calls>,
    left: Notify,
}

/// Which way a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It starts a container by name, or changes what one may do.
    Start,
    /// It gives a container a name.
    Rename,
}

#[derive(Default)]
struct Calls {
    under_way: Vec<UnderWay>,
    /// How many there ever were.
    count: u64,
}

struct UnderWay {
    number: u64,
    way: Way,
    method: String,
    uri: String,
    /// Until when at most. None while it is still being decided; its [`Passage`] ends it.
    until: Option<Instant>,
}

/// That a call may be decided now. Dropped, the call is over: it was refused, or deciding
/// it failed.
pub(super) struct Passage<'c> {
    crossing: &'c Crossing,
    number: u64,
}

impl Crossing {
    /// Lets a call in, once none goes the other way. Nothing if that takes too long.
    pub async fn enter(&self, way: Way, call: &Call) -> Option<Passage<'_>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Listens from here on, so that nobody leaves unheard after the look.
            let left = self.left.notified();
            let next = match self.calls().enter(way, call) {
                Ok(number) => return Some(Passage { crossing: self, number }),
                Err(expiry) => expiry.map_or(deadline, |expiry| expiry.min(deadline)),
            };
            if Instant::now() >= deadline {
                return None;
            }
            tokio::select! {
                () = left => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Takes note of the end of a call: the engine shows what came of it.
    pub fn leave(&self, call: &Call) {
        self.calls().leave(call);
        self.left.notify_waiters();
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    /// The number of a call let in. Otherwise, when the first of those in its way expires,
    /// where that is known.
    fn enter(&mut self, way: Way, call: &Call) -> Result<u64, Option<Instant>> {
        let now = Instant::now();
        self.under_way.retain(|other| other.until.is_none_or(|until| until > now));
        let mut opposed = self.under_way.iter().filter(|other| other.way != way).peekable();
        if opposed.peek().is_some() {
            return Err(opposed.filter_map(|other| other.until).min());
        }
        self.count += 1;
        self.under_way.push(UnderWay {
            number: self.count,
            way,
            method: call.method.clone(),
            uri: call.uri.clone(),
            until: None,
        });
        Ok(self.count)
    }

    fn leave(&mut self, call: &Call) {
        let is_it = |one: &UnderWay| {
            one.until.is_some() && one.method == call.method && one.uri == call.uri
        };
        if let Some(index) = self.under_way.iter().position(is_it) {
            self.under_way.remove(index);
        }
    }
}

impl Passage<'_> {
    /// Keeps the way until the call's end, or half a minute: it was allowed.
    pub fn keep(self) {
        let mut calls = self.crossing.calls();
        if let Some(call) = calls.under_way.iter_mut().find(|call| call.number == self.number) {
            call.until = Some(Instant::now() + AT_MOST);
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let mut calls = self.crossing.calls();
        calls.under_way.retain(|call| call.number != self.number || call.until.is_some());
        drop(calls);
        self.crossing.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(uri: &str) -> Call {
        let message = serde_json::json!({ "RequestMethod": "POST", "RequestUri": uri });
        Call::from_json(message.to_string().as_bytes()).unwrap()
    }

    fn start() -> Call {
        call("/containers/web/start")
    }

    fn rename() -> Call {
        call("/containers/other/rename?name=web")
    }

    /// How long a call waited, and whether it was let in.
    async fn waited(crossing: &Crossing, way: Way, call: &Call) -> (u64, bool) {
        let began = Instant::now();
        let passage = crossing.enter(way, call).await;
        (began.elapsed().as_secs(), passage.is_some())
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_goes_one_way() {
        let crossing = Crossing::default();
        for way in [Way::Start, Way::Rename] {
            let _first = crossing.enter(way, &start()).await.unwrap();
            crossing.enter(way, &start()).await.unwrap().keep();
            assert_eq!(waited(&crossing, way, &rename()).await, (0, true), "{way:?}");
            crossing.leave(&start());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_way_waits_for_the_end() {
        for (way, other) in [(Way::Start, Way::Rename), (Way::Rename, Way::Start)] {
            let crossing = Crossing::default();
            crossing.enter(way, &start()).await.unwrap().keep();
            let end = async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                crossing.leave(&start());
            };
            let call = rename();
            let (waited, ()) = tokio::join!(waited(&crossing, other, &call), end);
            assert_eq!(waited, (3, true), "{other:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_way_waits_while_a_call_is_decided() {
        let crossing = Crossing::default();
        let passage = crossing.enter(Way::Start, &start()).await.unwrap();
        // The end of another call of the same form is not this one's.
        crossing.leave(&start());
        let refusal = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            drop(passage);
        };
        let call = rename();
        let (waited, ()) = tokio::join!(waited(&crossing, Way::Rename, &call), refusal);
        assert_eq!(waited, (4, true));
    }

    #[tokio::test(start_paused = true)]
    async fn each_end_ends_one_of_equal_calls() {
        let crossing = Crossing::default();
        for _ in 0..2 {
            crossing.enter(Way::Start, &start()).await.unwrap().keep();
        }
        crossing.leave(&rename());
        crossing.leave(&start());
        assert_eq!(waited(&crossing, Way::Rename, &rename()).await, (10, false));
        crossing.leave(&start());
        assert_eq!(waited(&crossing, Way::Rename, &rename()).await, (0, true));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_is_never_told_locks_nobody_out() {
        let crossing = Crossing::default();
        crossing.enter(Way::Start, &start()).await.unwrap().keep();
        assert_eq!(waited(&crossing, Way::Rename, &rename()).await, (10, false));
        tokio::time::sleep(Duration::from_secs(12)).await;
        assert_eq!(waited(&crossing, Way::Rename, &rename()).await, (8, true));
        assert_eq!(waited(&crossing, Way::Start, &start()).await, (0, true));
    }
}
