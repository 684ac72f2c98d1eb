//! Every decision passes here on its way out.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::{Level, debug, error, info, warn};

use super::destination::Destination;
use super::entry::{Asked, Entry, in_micros, outcome, path, text, would};
use super::file::Appended;
use super::journal::{self, Journal};
use super::metrics::Metrics;
use super::writer::{Sink, Writer};
use crate::gate::{Decision, Generation};
use crate::image::ContainerId;
use crate::policy::{Grant, Refusal, Verdict};
use crate::source;

/// What is recorded, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where records go.
    pub destination: Destination,
    /// Whether calls that bring and run nothing are recorded, too.
    pub everything: bool,
}

/// Logs, counts and records decisions.
pub struct Recorder {
    metrics: Metrics,
    writer: Option<Writer>,
    /// Whether records stand beside the log: then the log need not say it again.
    in_journal: bool,
    everything: bool,
    ids: Ids,
}

impl Recorder {
    /// Begins a record. Opens nothing: a file that cannot be written keeps nobody from
    /// deciding.
    pub fn new(settings: Settings, metrics: Metrics) -> io::Result<Self> {
        let Settings { destination, everything } = settings;
        let sink = match destination {
            Destination::Nowhere => None,
            Destination::Auto if !journal::is_standard_error() => None,
            Destination::Auto | Destination::Journal => {
                Some(Sink::Journal(Journal::at(Path::new(journal::SOCKET))))
            }
            Destination::Stdout => Some(Sink::Stdout),
            Destination::File(path) => Some(Sink::File(Appended::new(path))),
        };
        let in_journal = matches!(sink, Some(Sink::Journal(_))) && journal::is_standard_error();
        let writer = match sink {
            Some(sink) => Some(Writer::start(sink, metrics.records.clone())?),
            None => None,
        };
        Ok(Self { metrics, writer, in_journal, everything, ids: Ids::new() })
    }

    /// One that writes nothing, and counts.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        let settings = Settings { destination: Destination::Nowhere, everything: false };
        Self::new(settings, Metrics::new("test")).unwrap()
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Takes a decision. `read`: how long its message took to read; `began`: when that began.
    /// Costs one counter where the call brings and runs nothing.
    pub fn decided(
        &self,
        asked: Asked<'_>,
        decision: &Decision,
        policy: &Generation,
        read: Duration,
        began: Instant,
    ) {
        for note in &decision.notes {
            warn!(note, "note");
        }
        let not_judged = matches!(decision.verdict, Verdict::Allow(Grant::NotJudged));
        let passes = not_judged && decision.word == "pass";
        if passes {
            self.metrics.passed();
            if !self.everything && !tracing::enabled!(Level::DEBUG) {
                return;
            }
        }
        let total = began.elapsed();
        if !passes {
            self.metrics.decided(decision, read, total);
        }
        let id = self.ids.next();
        let recorded = (self.everything || !not_judged)
            && self.write(|| {
                let entry = Entry::new((id.clone(), source::now()), asked, decision, total);
                entry.by(policy)
            });
        if !(recorded && self.in_journal) {
            log(&id, asked, decision, policy, total);
        }
    }

    /// Takes what was told of a container that no call started. The watch has logged it.
    pub fn seen(&self, id: &ContainerId, decision: &Decision, policy: &Generation, killed: bool) {
        self.metrics.seen(decision.verdict.code(), killed);
        let asked = Asked::Container { id, killed };
        let took = decision.phases.named().into_iter().map(|(_, took)| took).sum();
        self.write(|| {
            Entry::new((self.ids.next(), source::now()), asked, decision, took).by(policy)
        });
    }

    /// Takes the decision on a message of the engine that could not be read.
    pub fn unreadable(&self, decision: &Decision, policy: &Generation, took: Duration) {
        let why = decision.verdict.refused().map(Refusal::summary).unwrap_or_default();
        self.lost(decision, policy, &why, took);
    }

    /// Takes the decision on a call that came to nothing by a fault of ours.
    pub fn failed(&self, error: &str, decision: &Decision, policy: &Generation) {
        error!(error, %policy, "a decision failed: this is a bug");
        self.lost(decision, policy, "a decision failed", Duration::ZERO);
    }

    /// Takes a decision on a call of which nothing is known.
    fn lost(&self, decision: &Decision, policy: &Generation, why: &str, took: Duration) {
        let id = self.ids.next();
        let (verdict, code) = (outcome(&decision.verdict), decision.verdict.code());
        let would = would(&decision.verdict).unwrap_or_default();
        warn!(id, verdict, code, would, %policy, why, "decided");
        self.metrics.count("unread", verdict, code);
        self.metrics.excused(&decision.verdict);
        self.write(|| {
            let entry = Entry::new((id.clone(), source::now()), Asked::Unreadable, decision, took);
            Entry { verb: "unread", reason: Some(text(why)), ..entry }.by(policy)
        });
    }

    /// Waits until all records are written, but no longer than this.
    pub fn flush(&self, patience: Duration) {
        if self.writer.as_ref().is_some_and(|writer| !writer.flush(patience)) {
            warn!("not all records could be written before the end");
        }
    }

    fn write(&self, entry: impl FnOnce() -> Entry) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.put(entry()))
    }
}

/// One line for each decision; calls that bring and run nothing only at debug.
fn log(id: &str, asked: Asked<'_>, decision: &Decision, policy: &Generation, total: Duration) {
    let verdict = &decision.verdict;
    let (outcome, code) = (outcome(verdict), verdict.code());
    let call = match asked {
        Asked::Request(call) | Asked::Response(call) => Some(call),
        Asked::Container { .. } | Asked::Unreadable => None,
    };
    let method = call.map_or("", |call| call.method.as_str());
    let uri = text(call.map_or("", |call| path(&call.uri)));
    let user = call.and_then(|call| call.user.as_deref()).unwrap_or_default();
    let micros = in_micros(total);
    let subject = decision.subject.as_str();
    let rule = decision.rule.as_deref().unwrap_or_default();
    match verdict {
        Verdict::Allow(Grant::NotJudged) => {
            debug!(id, verdict = outcome, code, method, uri, user, %policy, micros, "decided");
        }
        Verdict::Allow(Grant::Excused { refusal, leave }) => {
            let (would, why, leave) =
                (refusal.reason().code(), refusal.summary(), leave.to_string());
            warn!(
                id, verdict = outcome, code, would, method, uri, user, subject, rule, %policy, why,
                leave, micros, "decided"
            );
        }
        Verdict::Allow(_) => {
            info!(
                id, verdict = outcome, code, method, uri, user, subject, rule, %policy, micros,
                "decided"
            );
        }
        Verdict::Deny(refusal) => {
            let why = refusal.summary();
            info!(
                id, verdict = outcome, code, method, uri, user, subject, rule, %policy, why, micros,
                "decided"
            );
        }
    }
}

/// IDs of decisions: unlike all others of this node, and in order.
struct Ids {
    began: i64,
    next: AtomicU64,
}

impl Ids {
    fn new() -> Self {
        Self { began: source::now().as_microsecond(), next: AtomicU64::new(1) }
    }

    fn next(&self) -> String {
        format!("{:x}-{}", self.began, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
