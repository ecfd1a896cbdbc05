//! Gauges on their way into the text format, which prometheus-client writes.

use std::collections::BTreeMap;

use anyhow::Context as _;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tlsbench_core::escape::printable_line;

/// The labels of a value.
#[derive(Clone, Debug)]
pub(super) struct LabelSet(Vec<(&'static str, String)>);

impl LabelSet {
    pub(super) fn new(name: &'static str, value: &str) -> Self {
        Self(vec![(name, printable_line(value).into_owned())])
    }

    /// The same with one more.
    pub(super) fn and(&self, name: &'static str, value: impl AsRef<str>) -> Self {
        let mut all = self.clone();
        all.0.push((name, printable_line(value.as_ref()).into_owned()));
        all
    }
}

/// Gauges by name, each with its values in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct MetricSet {
    order: Vec<String>,
    gauges: BTreeMap<String, (String, Vec<(LabelSet, f64)>)>,
}

impl MetricSet {
    /// Adds a value. All of one name stand together in the text.
    pub(super) fn add(&mut self, name: &str, help: &str, of: LabelSet, value: f64) {
        match self.gauges.get_mut(name) {
            Some((_, values)) => values.push((of, value)),
            None => {
                self.order.push(name.to_owned());
                self.gauges.insert(name.to_owned(), (help.to_owned(), vec![(of, value)]));
            }
        }
    }

    pub(super) fn write(self) -> anyhow::Result<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)
            .context("cannot write Prometheus text")?;
        Ok(text)
    }
}

impl Collector for MetricSet {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for name in &self.order {
            let Some((help, values)) = self.gauges.get(name) else { continue };
            let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (LabelSet(labels), value) in values {
                let value = ConstGauge::new(*value);
                value.encode(family.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}
