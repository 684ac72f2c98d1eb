//! Containers that came another way.
//!
//! Swarm tasks, restart policies and the engine's own start never pass the API, and some
//! containers are older than the plugin. So those that run are looked at when the watch
//! begins, and every one that starts from then on, by the engine's events, unless its start
//! was proven as a call just now. What may not run is told, and killed where the policy says so.
//!
//! Bounds: a few looks at a time, a few thousand waiting, each container told once until
//! something changes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, Interval, interval, sleep};
use tracing::{debug, error, info, warn};

use super::shared::Changes;
use super::sighting::{Sighting, Sightings};
use super::{Decision, Gate, Generation, SharedGate};
use crate::image::ContainerId;
use crate::policy::{OnViolation, Refusal, Verdict};
use crate::source::{Engine, EngineError, Running, Starts};

/// Looks at a time: calls go before.
const AT_ONCE: usize = 4;
/// Most containers that wait for a look because they started. When more do, all that run
/// are looked at instead.
const WAITING: usize = 4096;
/// How long until what could not be checked is looked at again.
const AGAIN: Duration = Duration::from_secs(60);
/// First and longest pause before the engine is asked again: it may start after us, and
/// take its time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long a stream of events must have lasted for its end to be none of a row.
const LASTED: Duration = Duration::from_secs(60);

/// Who is told what the log is told of a container: what was decided about it, by which policy,
/// and whether it was killed.
pub type Told = dyn Fn(&Running, &Decision, &Generation, bool) + Send + Sync;

/// Watches for as long as it is polled, tells whenever an engine `appeared`, and what it sees.
/// Waits as long as there is nothing to hold containers to, and looks at all of them anew by
/// each policy that comes in force. Returns at once where there is no engine.
pub async fn watch(gate: SharedGate, appeared: Arc<Notify>, told: Arc<Told>) {
    let Some(engine) = gate.current().engine.clone() else { return };
    let engine = engine.as_ref();
    let mut watch = Watch::new(gate, engine, appeared, told);
    let mut pause = FIRST_PAUSE;
    loop {
        watch.changes.enforced().await;
        let began = Instant::now();
        let Err(error) = watch.follow().await;
        watch.gate.current().remembered.forget();
        if began.elapsed() >= LASTED {
            pause = FIRST_PAUSE;
        }
        // Once: an engine that is not there yet is none to worry about.
        if std::mem::replace(&mut watch.is_waited_for, true) {
            debug!(%error, "still waiting for the engine");
        } else {
            info!(%error, "waiting for the engine, to look at its containers");
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

struct Watch<'e> {
    changes: Changes,
    gate: SharedGate,
    engine: &'e Engine,
    appeared: Arc<Notify>,
    told: Arc<Told>,
    /// Whether it has been told that the engine is waited for.
    is_waited_for: bool,
    waiting: VecDeque<Running>,
    /// Whether some found no place among those that wait.
    overflowed: bool,
    looks: JoinSet<Look>,
    /// The containers that are being looked at, by the task that does.
    looking: HashMap<task::Id, ContainerId>,
    /// Those of them that started once more meanwhile: the look may be over before that.
    started: HashSet<ContainerId>,
    sightings: Sightings,
}

/// A look at a container, and what was done.
struct Look {
    container: Running,
    decision: Decision,
    /// The policy by which it was judged.
    policy: Generation,
    sighting: Sighting,
    /// Whether it was killed, where that was to be.
    killed: Option<Result<bool, EngineError>>,
}

impl<'e> Watch<'e> {
    fn new(gate: SharedGate, engine: &'e Engine, appeared: Arc<Notify>, told: Arc<Told>) -> Self {
        Self {
            changes: gate.changes(),
            gate,
            engine,
            appeared,
            told,
            is_waited_for: false,
            waiting: VecDeque::new(),
            overflowed: false,
            looks: JoinSet::new(),
            looking: HashMap::new(),
            started: HashSet::new(),
            sightings: Sightings::new(),
        }
    }

    /// Looks at all that runs and all that starts, until the engine cannot be asked.
    async fn follow(&mut self) -> Result<Infallible, EngineError> {
        // Events first: what starts after the sweep's list is made is among them.
        let mut starts = self.engine.events().await?;
        self.gate.current().remembered.forget();
        self.appeared.notify_one();
        self.sweep().await?;
        info!(containers = self.waiting.len(), "looking at the containers that run");
        self.is_waited_for = false;
        let mut again = interval(AGAIN);
        loop {
            if self.overflowed && self.waiting.is_empty() {
                self.sweep().await?;
            }
            while self.looks.len() < AT_ONCE
                && let Some(container) = self.waiting.pop_front()
            {
                let id = container.id.clone();
                let task = self.looks.spawn(look(self.gate.current(), container));
                self.looking.insert(task.id(), id);
            }
            self.wait(&mut starts, &mut again).await?;
        }
    }

    /// Waits for the next thing to happen, and takes note of it.
    async fn wait(
        &mut self,
        starts: &mut Starts<'_>,
        again: &mut Interval,
    ) -> Result<(), EngineError> {
        tokio::select! {
            started = starts.next() => {
                let container = started?;
                if !self.is_judged(&container.id) {
                    self.enqueue(container);
                }
            }
            Some(look) = self.looks.join_next_with_id() => match look {
                Ok((task, look)) => {
                    self.looking.remove(&task);
                    self.note(&look);
                    if self.started.remove(&look.container.id) {
                        self.enqueue(look.container);
                    }
                }
                Err(error) => {
                    if let Some(id) = self.looking.remove(&error.id()) {
                        self.started.remove(&id);
                    }
                    error!(%error, "looking at a container failed");
                }
            },
            _ = again.tick() => self.look_again().await?,
            () = self.changes.next() => self.sweep().await?,
        }
        Ok(())
    }

    /// Everything that runs is to be looked at; of what waited already, what still runs.
    async fn sweep(&mut self) -> Result<(), EngineError> {
        let running = self.engine.containers().await?;
        let (looking, waiting): (Vec<_>, _) =
            running.into_iter().partition(|container| self.is_looking_at(&container.id));
        self.started.extend(looking.into_iter().map(|container| container.id));
        self.waiting = waiting.into();
        self.overflowed = false;
        Ok(())
    }

    /// What could not be checked is to be looked at again, where it still runs.
    async fn look_again(&mut self) -> Result<(), EngineError> {
        let unchecked = self.sightings.unchecked();
        if unchecked.is_empty() {
            return Ok(());
        }
        let running = self.engine.containers().await?;
        for id in unchecked {
            match running.iter().find(|container| container.id == id) {
                Some(container) => self.enqueue(container.clone()),
                None => self.sightings.forget(&id),
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, container: Running) {
        if self.waiting.iter().any(|other| other.id == container.id) {
            return;
        }
        // One look at a time: two would kill twice. The next waits for the end of the first.
        if self.is_looking_at(&container.id) {
            self.started.insert(container.id);
        } else if self.waiting.len() < WAITING {
            self.waiting.push_back(container);
        } else {
            self.overflowed = true;
        }
    }

    /// Whether the call that started it was judged, and there is nothing to take back that
    /// was told of it.
    fn is_judged(&self, id: &ContainerId) -> bool {
        let gate = self.gate.current();
        gate.remembered.starts.take(id, gate.generation()) && !self.sightings.has(id)
    }

    fn is_looking_at(&self, id: &ContainerId) -> bool {
        self.looking.values().any(|other| other == id)
    }

    fn note(&mut self, look: &Look) {
        let Look { container, decision, policy, sighting, killed } = look;
        let is_new = self.sightings.note(&container.id, *sighting, Instant::now());
        let (id, name) = (container.id.as_str(), container.name.as_str());
        let image = decision.subject.as_str();
        let why = first_line(&decision.verdict);
        if killed.is_some() || is_new && *sighting != Sighting::Gone {
            (self.told)(container, decision, policy, matches!(killed, Some(Ok(true))));
        }
        match (sighting, killed) {
            (Sighting::Violation(code), Some(Ok(true))) => {
                warn!(
                    container = id,
                    name, image, code, why, %policy, "a container that may not run: killed"
                );
            }
            (Sighting::Violation(code), Some(Err(error))) => {
                warn!(container = id, name, image, code, why, %policy, %error,
                    "a container that may not run cannot be killed");
            }
            (Sighting::Violation(code), _) if is_new => {
                warn!(container = id, name, image, code, why, %policy, "a container runs that may not");
            }
            (Sighting::Excused(code, leave), _) if is_new => {
                warn!(container = id, name, image, code, why, leave, %policy, "a container runs by leave");
            }
            (Sighting::Unchecked(code) | Sighting::Unasked(code), _) if is_new => {
                warn!(
                    container = id,
                    name, image, code, why, %policy, "whether a container may run could not be checked"
                );
            }
            (Sighting::Fine, _) if is_new => {
                info!(container = id, name, image, %policy, "a container may run now");
            }
            _ => debug!(container = id, name, image, ?sighting, "a container was looked at"),
        }
    }
}

/// Looks at a container by the line that every call takes, and does what the policy says.
async fn look(gate: Arc<Gate>, container: Running) -> Look {
    let decision = gate.look_at(&container.id).await;
    let sighting = Sighting::of(&decision);
    let killed = match (sighting, gate.policy.on_violation(), &gate.engine) {
        (Sighting::Violation(_), OnViolation::Stop, Some(engine)) => {
            Some(engine.kill(&container.id).await)
        }
        _ => None,
    };
    let policy = gate.generation().clone();
    Look { container, decision, policy, sighting, killed }
}

/// The first line of a refusal.
fn first_line(verdict: &Verdict) -> String {
    verdict.refused().map(Refusal::summary).unwrap_or_default()
}
