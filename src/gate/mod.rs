//! **The conductor.** One question's way from bytes to verdict.
//!
//! [`Gate::decide`] is the straight line: read the call, plan, gather what the plan wants,
//! judge. The plugin's socket and `countersign check` both go through here, so what an
//! operator sees is what the engine gets.
//!
//! Knows all rooms but `server` and `cli`. The only place where the failure of a source
//! becomes a reason.

mod account;
mod aftermath;
mod asked_ahead;
mod asking;
mod contents;
mod crossing;
mod doors;
mod endings;
mod entry;
mod feed;
mod gather;
mod glass;
mod in_use;
mod observed;
mod phases;
mod reach;
mod refresh;
mod rehearsal;
mod remembered;
mod repositories;
mod schedule;
mod seen;
mod shared;
mod sighting;
mod stored;
#[cfg(test)]
mod testing;
mod upkeep;
mod verdicts;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::warn;

use self::asked_ahead::AskedAhead;
use self::contents::Case;
use self::crossing::{Crossing, Way};
use self::gather::Gathered;
use self::phases::lap;
use self::remembered::Remembered;
use self::verdicts::{Judged, Verdicts};
use crate::image::{ContainerId, Reference};
use crate::policy::{self, Grant, Plan, Policy, Reason, Refusal, Subject, Verdict};
use crate::request::{self, Call, HostAccess, Intent};
use crate::source::{self, Engine, StoreError};

pub use account::{Account, Asked};
pub use doors::{Door, Standing, attend, doors};
pub use endings::stored_ends;
pub use glass::{Glass, GlassWatch};
pub use observed::{Observed, ObservedRegistry};
pub use phases::Phases;
pub use refresh::remedy;
pub use rehearsal::Holding;
pub use repositories::{Repositories, remote};
pub use seen::{Forgotten, Seen, look as look_seen, reset};
pub use shared::{Generation, SharedGate};
pub use stored::{Unusable, stored};
pub use upkeep::keep_fresh;
pub use watch::{Told, watch};

/// How long a decision waits for trust server and registry together. The engine itself
/// would wait for ever, and a person for a few seconds.
pub const NETWORK: Duration = Duration::from_secs(5);

/// Everything a decision needs.
pub struct Gate {
    policy: Arc<Policy>,
    generation: Generation,
    engine: Option<Arc<Engine>>,
    repositories: Arc<Repositories>,
    verdicts: Verdicts,
    /// How often trust data decided that had run out.
    graces: Arc<AtomicU64>,
    crossing: Arc<Crossing>,
    glass: Arc<Glass>,
    remembered: Arc<Remembered>,
    /// Folders that no container may reach.
    own: Vec<PathBuf>,
}

/// What a gate is made of.
pub struct Settings {
    /// The policy to judge by.
    pub policy: Policy,
    /// The engine to ask what it holds; none for `check`.
    pub engine: Option<Engine>,
    /// Where trust data is kept between runs.
    pub state_dir: PathBuf,
    /// Whether to decide by what is kept alone, without the network.
    pub offline: bool,
}

/// Why a gate cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The state directory cannot be used.
    #[error("the state directory cannot be used: {0}")]
    Store(#[from] StoreError),
    /// A registry's entry cannot be used.
    #[error("registry {host}: {cause}")]
    Registry {
        /// Which.
        host: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// A verdict, and what is worth saying beside it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// What it is about, for people; empty where nothing was judged.
    pub subject: String,
    /// What went wrong without changing the verdict, such as a server that is away while
    /// cached data is still good.
    pub notes: Vec<String>,
    /// The `[[rules]]` entry that counted, as it is written.
    pub rule: Option<String>,
    /// What was asked, in one word of a closed list: [`Intent::word`], `unread` where the call
    /// could not be read; `created`, what a create made; `container`, one that no call started;
    /// `image`, a name alone.
    pub word: &'static str,
    /// Whether it rests on where a bind leads that was followed, which may change at any time.
    pub rests_on_paths: bool,
    /// Where the time went.
    pub phases: Phases,
}

impl Decision {
    /// A decision on nothing in particular.
    fn settled(verdict: Verdict) -> Self {
        Self::on(String::new(), verdict)
    }

    /// A decision on something, and nothing beside it.
    pub fn on(subject: String, verdict: Verdict) -> Self {
        let phases = Phases::default();
        let notes = Vec::new();
        Self { verdict, subject, notes, rule: None, word: "pass", rests_on_paths: false, phases }
    }

    fn not_judged() -> Self {
        Self::settled(Verdict::Allow(Grant::NotJudged))
    }
}

impl Gate {
    /// Builds a gate. Opens the state directory and connects to nothing.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let Settings { policy, engine, state_dir, offline } = settings;
        let policy = Arc::new(policy);
        let repositories = Repositories::new(&policy, &state_dir, offline)?;
        Ok(Self {
            generation: Generation { number: 1, fingerprint: policy.fingerprint().to_owned() },
            policy,
            engine: engine.map(Arc::new),
            repositories: Arc::new(repositories),
            verdicts: Verdicts::default(),
            graces: Arc::default(),
            crossing: Arc::default(),
            glass: Arc::default(),
            remembered: Arc::default(),
            own: Vec::new(),
        })
    }

    /// The same gate with another policy. What was verified of repositories is kept where the
    /// roots to trust are the same; certificates and logins are read anew.
    fn renewed(&self, policy: Policy) -> Result<Self, SetupError> {
        let policy = Arc::new(policy);
        let number = self.generation.number + 1;
        Ok(Self {
            generation: Generation { number, fingerprint: policy.fingerprint().to_owned() },
            engine: self.engine.clone(),
            repositories: Arc::new(self.repositories.renewed(&policy)?),
            verdicts: Verdicts::default(),
            policy,
            graces: Arc::clone(&self.graces),
            crossing: Arc::clone(&self.crossing),
            glass: Arc::clone(&self.glass),
            remembered: Arc::clone(&self.remembered),
            own: self.own.clone(),
        })
    }

    /// Which policy it judges by.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Protects folders of countersign's own from containers.
    #[must_use]
    pub fn protecting(mut self, own: impl IntoIterator<Item = PathBuf>) -> Self {
        self.own.extend(own);
        self
    }

    /// Lets everything pass while this glass is broken.
    #[must_use]
    pub fn behind(mut self, glass: Arc<Glass>) -> Self {
        self.glass = glass;
        self
    }

    /// From now on each decision asks the trust servers, however fresh what is kept is.
    #[must_use]
    pub fn asking_always(self) -> Self {
        self.repositories.always_ask();
        self
    }

    /// How often since the start trust data decided that had run out, by `offline_grace`.
    pub fn graces(&self) -> u64 {
        self.graces.load(Ordering::Relaxed)
    }

    /// The policy it judges by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Decides a call of the engine (`AuthZReq`).
    pub async fn decide(&self, call: &Call) -> Decision {
        // The engine answers while the call is read.
        let ahead = self.ask_ahead(call).await;
        let intent = request::read(call);
        let word = intent.as_ref().map_or("unread", Intent::word);
        // The policy first: where nothing is enforced, nobody waits.
        let mut wait = Duration::ZERO;
        let passage = match self.way(&intent) {
            None => None,
            Some((way, refused)) => {
                let began = Instant::now();
                let passage = self.crossing.enter(way, call).await;
                wait = began.elapsed();
                if passage.is_none() {
                    let phases = Phases { wait, ..Phases::default() };
                    return Decision { word, phases, ..self.refuse(refused) };
                }
                passage
            }
        };
        let started = intent.as_ref().ok().and_then(remembered::started);
        let decision = match policy::plan(&self.policy, intent) {
            Plan::Settled(verdict) => self.unseen(Decision::settled(verdict)),
            // Apart: most calls need none of this, and a future is copied before it begins.
            Plan::Prove(subject, access) => {
                Box::pin(self.prove_asked(subject, access, source::now(), ahead)).await
            }
        };
        if let Some(passage) = passage.filter(|_| decision.verdict.is_allow()) {
            passage.keep();
        }
        if let Some(container) = started {
            self.remembered.starts.note(container, &decision, &self.generation);
        }
        Decision { word, phases: Phases { wait, ..decision.phases }, ..decision }
    }

    /// The way of a call that depends on what a container's name means, and what is told
    /// should it be closed.
    fn way(&self, intent: &Result<Intent, request::Refusal>) -> Option<(Way, Reason)> {
        let way = match intent {
            Ok(Intent::Rename) => Some((Way::Rename, Reason::StartUnderWay)),
            // What exec and update ask of the host depends on which container it is, too.
            Ok(
                Intent::Start { container, .. }
                | Intent::Exec { container, .. }
                | Intent::Update { container, .. },
            ) if ContainerId::from_hex(container).is_none() => {
                Some((Way::Start, Reason::RenameUnderWay { container: container.clone() }))
            }
            _ => None,
        };
        // Where nothing is refused, nobody waits.
        way.filter(|_| self.policy.refuses() && self.glass.leave().is_none())
    }

    /// Decides whether a name may run, by its trust data alone.
    pub async fn check(&self, reference: Reference) -> Decision {
        self.check_at(reference, source::now()).await
    }

    /// The same, as a clock decides that says `now`.
    pub async fn check_at(&self, reference: Reference, now: Timestamp) -> Decision {
        let decision = self.prove(Subject::Name(reference), Vec::new(), now).await;
        Decision { word: "image", ..decision }
    }

    /// Decides on a subject for which nothing was asked ahead.
    fn prove(
        &self,
        subject: Subject,
        access: Vec<HostAccess>,
        now: Timestamp,
    ) -> impl Future<Output = Decision> {
        self.prove_asked(subject, access, now, None)
    }

    async fn prove_asked(
        &self,
        subject: Subject,
        access: Vec<HostAccess>,
        now: Timestamp,
        ahead: Option<AskedAhead<'_>>,
    ) -> Decision {
        let gathered = match self.gather(subject, access, now, ahead).await {
            Ok(gathered) => gathered,
            Err(decision) => return self.unseen(*decision),
        };
        match self.verdicts.recall(&gathered.case) {
            Some((verdict, warning)) => {
                self.remember(&gathered.case, &verdict);
                let rule = self.rule(&gathered.case, &verdict);
                let rests_on_paths = gathered.case.rests_on_paths();
                let notes = gathered.case.notes.into_values().chain(warning).collect();
                let phases = gathered.phases;
                let decision = Decision::on(gathered.told, verdict);
                Decision { notes, rule, rests_on_paths, phases, ..decision }
            }
            None => self.weigh_gathered(gathered).await.0,
        }
    }

    /// Gathers and judges, whatever was judged before. The decision, and what it rests on, where
    /// anything was gathered.
    async fn weigh(
        &self,
        subject: Subject,
        access: Vec<HostAccess>,
        now: Timestamp,
    ) -> (Decision, Option<Case>) {
        match self.gather(subject, access, now, None).await {
            Ok(gathered) => {
                let (decision, case) = self.weigh_gathered(gathered).await;
                (decision, Some(case))
            }
            Err(decision) => (self.unseen(*decision), None),
        }
    }

    async fn weigh_gathered(&self, gathered: Gathered) -> (Decision, Case) {
        let Gathered { case, told, question, mut phases } = gathered;
        let mut began = Instant::now();
        let (mut judged, mut case) = self.judge(case).await;
        // What is refused is looked into, from what costs least: the image, contents on the
        // node, then the trust servers, since nothing is refused by old data, then the registry.
        for step in [Step::Engine, Step::Node, Step::TrustServer, Step::Registry] {
            let is_to_ask = match step {
                Step::Engine => matches!(judged.0, Verdict::Deny(_)),
                _ => is_about_the_image(&judged.0),
            };
            if !is_to_ask {
                break;
            }
            phases.judge += lap(&mut began);
            let is_new = match step {
                Step::Engine => self.ask_engine_after_all(&mut case, question).await,
                Step::Node => self.look_into(&mut case, None).await,
                Step::TrustServer => self.ask_after_all(&mut case, question).await,
                Step::Registry => self.look_into(&mut case, Some(question.deadline)).await,
            };
            phases.trust += lap(&mut began);
            if is_new {
                (judged, case) = self.judge(case).await;
            }
        }
        self.verdicts.keep(&self.policy, &case, &judged);
        self.remember(&case, &judged.0);
        phases.judge += lap(&mut began);
        let (verdict, warning) = judged;
        let grace = self.use_of_grace(&case);
        let verdict =
            policy::lenient(&self.policy, &case.subject, &case.evidence, verdict, case.now);
        let verdict = self.unless_broken(verdict);
        let notes = case.notes.values().cloned().chain(grace).chain(warning).collect();
        let rule = self.rule(&case, &verdict);
        let rests_on_paths = case.rests_on_paths();
        let decision = Decision::on(told, verdict);
        (Decision { notes, rule, rests_on_paths, phases, ..decision }, case)
    }

    /// Remembers what the engine said of an image.
    fn remember(&self, case: &Case, verdict: &Verdict) {
        if !case.remembered {
            self.remembered.images.keep(&case.evidence.held, verdict);
        }
    }

    /// The rule that counted.
    fn rule(&self, case: &Case, verdict: &Verdict) -> Option<String> {
        let rule = policy::rule(&self.policy, &case.subject, &case.evidence, verdict);
        rule.map(ToString::to_string)
    }

    /// The decision on a call that is to be refused for this, unless nothing is.
    pub fn refuse(&self, reason: Reason) -> Decision {
        self.unseen(Decision::settled(Verdict::Deny(Refusal::new(reason))))
    }

    /// What stands of a decision that nothing was gathered for.
    fn unseen(&self, decision: Decision) -> Decision {
        let verdict = policy::lenient_unseen(&self.policy, decision.verdict);
        Decision { verdict: self.unless_broken(verdict), ..decision }
    }

    /// A refusal stands unless the glass is broken.
    fn unless_broken(&self, verdict: Verdict) -> Verdict {
        let Verdict::Deny(refusal) = verdict else { return verdict };
        match self.glass.leave() {
            Some(leave) => Verdict::Allow(Grant::Excused { refusal, leave }),
            None => Verdict::Deny(refusal),
        }
    }

    /// Tells and counts what has run out and was decided by all the same.
    fn use_of_grace(&self, case: &Case) -> Option<String> {
        let names: Vec<_> = case.evidence.graces.keys().map(ToString::to_string).collect();
        if names.is_empty() {
            return None;
        }
        self.graces.fetch_add(1, Ordering::Relaxed);
        let repositories = names.join(", ");
        warn!(%repositories, "decided by trust data that has run out, by offline_grace");
        Some(format!("offline_grace: trust data of {repositories} has run out and serves for now"))
    }

    /// Judges. Away from the threads that serve connections where that may take longer than a
    /// moment: hostile trust data can name very many signers.
    async fn judge(&self, case: Case) -> (Judged, Case) {
        let policy = Arc::clone(&self.policy);
        let is_small = case.is_small();
        let judge = move || {
            let verdict = policy::judge(&policy, &case.subject, &case.evidence, case.now);
            let warning = policy::warning(&policy, &verdict, &case.evidence.host);
            ((verdict, warning), case)
        };
        if is_small { judge() } else { away(judge).await }
    }

    /// The trust data of one repository; for [`gather`] and for tests of the whole line.
    pub(crate) fn repositories(&self) -> &Arc<Repositories> {
        &self.repositories
    }
}

/// What is done about a refusal, before it is given.
#[derive(Clone, Copy)]
enum Step {
    Engine,
    Node,
    TrustServer,
    Registry,
}

/// Does heavy work away from the threads that serve connections. A panic goes on where a
/// panic is waited for: at the edge of the call.
async fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Whether something is refused for its image: then it is worth looking further. Where only
/// what it asks of the host is refused, its image is proven.
fn is_about_the_image(verdict: &Verdict) -> bool {
    let of_the_host = |reason: &Reason| matches!(reason, Reason::HostAccess { .. });
    matches!(verdict, Verdict::Deny(refusal) if !of_the_host(refusal.reason()))
}
