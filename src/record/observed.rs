//! What the gate shows of itself, asked for at each scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::gate::{Gate, Observed};
use crate::source;

/// A gate that is looked at, at each scrape.
pub(super) struct Observer(pub Arc<Gate>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer(..)")
    }
}

impl Collector for Observer {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = source::now();
        encode(&self.0.observe(now), encoder)
    }
}

fn encode(seen: &Observed, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
    let mut shown = Shown(&mut encoder);
    let registries = || seen.registries.iter();
    shown.gauges(
        "trust_server_away",
        "1 where the trust server did not answer when it was last asked",
        registries().map(|one| ([("registry", one.host.as_str())], i64::from(one.is_away))),
    )?;
    shown.counters(
        "trust_server_failures",
        "Answers of trust servers that did not come or could not be used, by kind",
        registries().flat_map(|one| {
            let failures = one.failures.iter();
            failures
                .map(|(kind, count)| ([("registry", one.host.as_str()), ("kind", *kind)], *count))
        }),
    )?;
    shown.gauges(
        "repositories",
        "Repositories whose verified trust data is in memory",
        registries().map(|one| ([("registry", one.host.as_str())], signed(one.repositories))),
    )?;
    shown.seconds(
        "trust_data_age",
        "How long ago a trust server confirmed what is kept: the newest (min) and the oldest (max)",
        registries().flat_map(|one| {
            let bounds =
                one.age.into_iter().flat_map(|(least, most)| [("min", least), ("max", most)]);
            bounds.map(|(bound, age)| {
                ([("registry", one.host.as_str()), ("bound", bound)], age.as_secs_f64())
            })
        }),
    )?;
    shown.seconds(
        "trust_data_expiry_timestamp",
        "When the first file of a role ends",
        registries().flat_map(|one| {
            one.ends.iter().map(|(role, end)| {
                ([("registry", one.host.as_str()), ("role", *role)], end.as_second())
            })
        }),
    )?;
    shown.seconds(
        "certificate_expiry_timestamp",
        "When the first certificate of a kind ends that the policy names",
        seen.certificates.iter().map(|(kind, end)| ([("kind", *kind)], end.as_second())),
    )?;
    shown.counters::<0>(
        "grace_uses",
        "Decisions by trust data that had run out, by offline_grace",
        [([], seen.graces)].into_iter(),
    )
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Metrics that are made up for one answer.
struct Shown<'e, 'w>(&'e mut DescriptorEncoder<'w>);

impl Shown<'_, '_> {
    fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = ([(&'l str, &'l str); N], i64)>,
    ) -> fmt::Result {
        self.all(name, help, None, values.map(|(labels, value)| (labels, ConstGauge::new(value))))
    }

    fn seconds<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = ([(&'l str, &'l str); N], V)>,
    ) -> fmt::Result
    where
        ConstGauge<V>: EncodeMetric,
    {
        let values = values.map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.all(name, help, Some(&Unit::Seconds), values)
    }

    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = ([(&'l str, &'l str); N], u64)>,
    ) -> fmt::Result {
        self.all(name, help, None, values.map(|(labels, value)| (labels, ConstCounter::new(value))))
    }

    fn all<'l, const N: usize, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl Iterator<Item = ([(&'l str, &'l str); N], M)>,
    ) -> fmt::Result {
        let mut values = values.peekable();
        let Some((_, first)) = values.peek() else { return Ok(()) };
        let mut encoder = self.0.encode_descriptor(name, help, unit, first.metric_type())?;
        for (labels, metric) in values {
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
