//! Sending a batch of calls, on several connections at a time.

use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::draft::Framing;
use super::recipe::Case;
use super::world::World;
use crate::effect::get;
use crate::wire::{Closing, Exchange, Request, exchange};

/// Nothing that is asked for takes longer.
const LIMIT: Duration = Duration::from_secs(15);

/// A case, written out.
pub struct Written {
    pub calls: Vec<Sendable>,
    pub at_once: bool,
}

/// Bytes, how many answers there are to them, and when our side of the connection ends.
pub type Sendable = (Vec<u8>, usize, Closing);

/// Containers that shall keep their names.
pub type Baits = Vec<(String, String)>;

impl Written {
    pub fn of(case: &Case, world: &World<'_>) -> Self {
        let write = |recipe: &super::recipe::Recipe| {
            let draft = recipe.draft(case.number, world);
            // Who announces more than they send would be waited for. For all others the end of
            // our stream would look as if nobody wanted the answer any more.
            let closing = match draft.framing {
                Framing::Claim(_) => Closing::AfterTheRequest,
                _ => Closing::AfterTheAnswer,
            };
            (draft.bytes(), draft.answers(), closing)
        };
        Self { calls: case.calls.iter().map(write).collect(), at_once: case.at_once }
    }

    /// Sends it, and says what was answered to each call.
    pub fn send(&self, socket: &Path, baits: &Baits) -> Vec<Exchange> {
        let send =
            |(bytes, wanted, closing): &Sendable| exchange(socket, bytes, *wanted, *closing, LIMIT);
        let answers = if self.at_once {
            thread::scope(|scope| {
                let calls: Vec<_> =
                    self.calls.iter().map(|call| scope.spawn(move || send(call))).collect();
                calls.into_iter().map(|call| call.join().expect("it answers")).collect()
            })
        } else {
            self.calls.iter().map(send).collect()
        };
        if self.calls.len() > 1 {
            restore_names(socket, baits);
        }
        answers
    }
}

/// Sends all of them, so many at a time; the answers stand in the same order.
pub fn send_all(
    batch: &[Written],
    socket: &Path,
    baits: &Baits,
    lanes: usize,
) -> Vec<Vec<Exchange>> {
    let next = Mutex::new(0..batch.len());
    let answers = Mutex::new(vec![Vec::new(); batch.len()]);
    thread::scope(|scope| {
        let lane = || {
            loop {
                let Some(at) = next.lock().unwrap().next() else { return };
                let said = batch[at].send(socket, baits);
                answers.lock().unwrap()[at] = said;
            }
        };
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        for lane in lanes {
            if let Err(panic) = lane.join() {
                let told = panic.downcast_ref::<String>();
                panic!("sending: {}", told.map_or("it panicked", String::as_str));
            }
        }
    });
    answers.into_inner().unwrap()
}

/// Gives baits their names back, which renames have taken.
pub fn restore_names(socket: &Path, baits: &Baits) {
    let listed = get(socket, "/containers/json?all=1");
    let name_of = |id: &str| {
        let found = listed.as_array()?.iter().find(|one| one["Id"] == id)?;
        let names = found["Names"].as_array()?.iter().filter_map(Value::as_str);
        names.map(|name| name.trim_start_matches('/').to_owned()).next()
    };
    let rename = |id: &str, name: &str| {
        let target = format!("/containers/{id}/rename?name={name}");
        let call = Request::new("POST", target).body(crate::wire::Body::Length(Vec::new()));
        call.send(socket, LIMIT)
    };
    let lost: Vec<_> =
        baits.iter().filter(|(id, name)| name_of(id).is_some_and(|now| now != *name)).collect();
    for (id, _) in &lost {
        rename(id, &format!("lost-{}", &id[..8]));
    }
    for (id, name) in &lost {
        rename(id, name);
    }
}
