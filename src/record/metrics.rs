//! Counters and histograms, for Prometheus.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::observed::Observer;
use super::writer::Tally;
use crate::gate::{Decision, Gate};
use crate::policy::{Grant, Verdict};

/// Labels whose names and values are words of this program: there are never many.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// From what a cached decision takes to what the network is waited for, in seconds.
const BUCKETS: [f64; 15] =
    [5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// All that is counted. Cheap for a call that is not judged: one counter.
pub struct Metrics {
    registry: Registry,
    /// The decisions on calls that bring and run nothing, which are nearly all.
    passes: Counter,
    decisions: Family<Labels<3>, Counter>,
    durations: Family<Labels<1>, Histogram, fn() -> Histogram>,
    containers: Family<Labels<2>, Counter>,
    open_door: Gauge,
    pub(super) records: Tally,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(version: &str) -> Self {
        let mut registry = Registry::with_prefix("countersign");
        let decisions = Family::<Labels<3>, Counter>::default();
        let durations: Family<Labels<1>, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let containers = Family::default();
        let (open_door, build) =
            (Gauge::default(), Family::<Vec<(&str, String)>, Gauge>::default());
        let records = Tally::default();
        let passes = decisions.get_or_create_owned(&labels("pass", "allow", "not-judged"));
        build.get_or_create(&vec![("version", version.to_owned())]).set(1);
        registry.register("build_info", "The version that runs", build);
        registry.register(
            "decisions",
            "Decisions, by what was asked, verdict and code",
            decisions.clone(),
        );
        registry.register_with_unit(
            "decision",
            "How long judged decisions took, by phase",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "containers",
            "What was told of containers that no call started, by code and by whether they were killed",
            containers.clone(),
        );
        registry.register(
            "engine_open_door",
            "1 where the engine takes calls past every plugin, 0 where it does not, -1 while that is not known",
            open_door.clone(),
        );
        registry.register("records_written", "Records written", records.written.clone());
        registry.register(
            "records_crowded_out",
            "Records lost since too many were waiting",
            records.crowded_out.clone(),
        );
        registry.register(
            "records_failed",
            "Records lost since they could not be written",
            records.failed.clone(),
        );
        open_door.set(-1);
        Self { registry, passes, decisions, durations, containers, open_door, records }
    }

    /// Has a gate looked at, too, at each scrape.
    #[must_use]
    pub fn observing(mut self, gate: Arc<Gate>) -> Self {
        self.registry.register_collector(Box::new(Observer(gate)));
        self
    }

    /// Counts a decision.
    pub(super) fn decided(&self, decision: &Decision, read: Duration, total: Duration) {
        let verdict = &decision.verdict;
        let outcome = if verdict.is_allow() { "allow" } else { "deny" };
        self.count(decision.word, outcome, verdict.code());
        if matches!(verdict, Verdict::Allow(Grant::NotJudged)) {
            return;
        }
        let named = decision.phases.named();
        for (phase, took) in named.into_iter().chain([("read", read), ("total", total)]) {
            if !took.is_zero() {
                let histogram = self.durations.get_or_create(&[("phase", phase)]);
                histogram.observe(took.as_secs_f64());
            }
        }
    }

    /// Counts a call that brings and runs nothing.
    pub(super) fn passed(&self) {
        self.passes.inc();
    }

    pub(super) fn count(&self, verb: &'static str, verdict: &'static str, code: &'static str) {
        self.decisions.get_or_create(&labels(verb, verdict, code)).inc();
    }

    /// Counts a container that was told of.
    pub(super) fn seen(&self, code: &'static str, killed: bool) {
        let killed = if killed { "yes" } else { "no" };
        self.containers.get_or_create(&[("code", code), ("killed", killed)]).inc();
    }

    /// Takes note of whether the engine takes calls past every plugin.
    pub fn door(&self, open: Option<bool>) {
        self.open_door.set(open.map_or(-1, i64::from));
    }

    /// All of it in `OpenMetrics` text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn labels(verb: &'static str, verdict: &'static str, code: &'static str) -> Labels<3> {
    [("verb", verb), ("verdict", verdict), ("code", code)]
}
