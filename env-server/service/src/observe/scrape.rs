//! The text served at `/metrics`, generated from the table.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use env_protocol::SNAPSHOT_VERSION;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::figures::JournalStats;
use super::histogram::Histogram;
use super::metrics::{Census, Metrics, Work};
use super::table::{Metric, MetricKind};

/// `Content-Type` of the text: Prometheus' text format, version 0.0.4.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Renders all metrics of a server. Reads a file on Linux, so it may block briefly.
pub fn render(metrics: &Arc<Metrics>, census: Census) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape {
        metrics: Arc::clone(metrics),
        census,
        resident_bytes: resident_bytes(),
    }));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).expect("a string takes everything");
    text
}

/// The data of one scrape.
#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    census: Census,
    resident_bytes: Option<u64>,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for &metric in Metric::ALL {
            let is_absent = match metric {
                Metric::ResidentMemory => self.resident_bytes.is_none(),
                _ => metric.needs_journal() && self.census.journal.is_none(),
            };
            if is_absent {
                continue;
            }
            let (name, kind) = match metric.kind() {
                // The encoder adds the suffix again.
                MetricKind::Counter => (
                    metric.name().trim_end_matches("_total"),
                    MetricType::Counter,
                ),
                MetricKind::Gauge => (metric.name(), MetricType::Gauge),
                MetricKind::Histogram => (metric.name(), MetricType::Histogram),
            };
            let encoder = encoder.encode_descriptor(name, metric.help(), None, kind)?;
            self.write(&mut Family { metric, encoder })?;
        }
        Ok(())
    }
}

impl Scrape {
    fn write(&self, family: &mut Family) -> fmt::Result {
        let (metrics, census) = (&*self.metrics, &self.census);
        match family.metric {
            Metric::BuildInfo => {
                let snapshot_version = SNAPSHOT_VERSION.to_string();
                family.number(&[env!("CARGO_PKG_VERSION"), &snapshot_version], 1)
            }
            Metric::StartTime => {
                let begun = metrics.begun.duration_since(UNIX_EPOCH);
                family.seconds(begun.unwrap_or_default().as_secs_f64())
            }
            Metric::ResidentMemory => family.number(&[], self.resident_bytes.unwrap_or_default()),
            Metric::Memory => family.number(&[], census.memory_bytes),
            Metric::Environments => census
                .populations
                .iter()
                .try_for_each(|p| family.number(&[&p.spec_id, p.kind, p.state], p.environments)),
            Metric::Lanes => census
                .lanes()
                .into_iter()
                .try_for_each(|(spec_id, lanes)| family.number(&[spec_id], lanes)),
            Metric::Steps => {
                let mut steps = metrics.steps_by_spec().into_iter();
                steps.try_for_each(|(spec_id, n)| family.number(&[&spec_id], n))
            }
            Metric::Operations => Work::ALL.into_iter().try_for_each(|work| {
                family.number(&[work.as_str()], metrics.work[work as usize].get())
            }),
            Metric::Replays => family.number(&[], metrics.replays.get()),
            Metric::LeasesExpired => family.number(&[], census.leases_expired),
            Metric::Problems => metrics
                .problems()
                .try_for_each(|(code, n)| family.number(&[code.as_str()], n)),
            Metric::RequestDuration => metrics.routes().iter().try_for_each(|route| {
                route
                    .histograms()
                    .try_for_each(|(method, status, histogram)| {
                        let labels = [method, route.template(), status];
                        family.distribution(&labels, histogram)
                    })
            }),
            Metric::RequestsInFlight => family.number(&[], metrics.requests_in_flight()),
            Metric::Connections => family.number(&[], metrics.connections()),
            Metric::ConnectionsOpened => family.number(&[], metrics.connections_opened.get()),
            _ => match &census.journal {
                Some(journal) => self.write_journal(family, journal),
                None => Ok(()),
            },
        }
    }

    fn write_journal(&self, family: &mut Family, journal: &JournalStats) -> fmt::Result {
        let recovery = self.metrics.recovery.get().copied().unwrap_or_default();
        let number = match family.metric {
            Metric::JournalBytes => journal.bytes,
            Metric::JournalSegments => journal.segments,
            Metric::JournalRecords => journal.appended_records,
            Metric::JournalAppended => journal.appended_bytes,
            Metric::JournalLagRecords => journal.lag_records,
            Metric::JournalLagBytes => journal.lag_bytes,
            Metric::JournalSyncs => journal.syncs,
            Metric::JournalCompactions => journal.compactions,
            Metric::JournalFailed => journal.is_poisoned.into(),
            Metric::JournalRefusing => journal.is_failing.into(),
            Metric::JournalDamaged => recovery.damaged,
            Metric::JournalAppendDuration => {
                return family.distribution(&[], &self.metrics.journal_appends);
            }
            Metric::RecoveryDuration => return family.seconds(recovery.took.as_secs_f64()),
            Metric::RecoveredEnvironments => {
                family.number(&["recovered"], recovery.recovered)?;
                return family.number(&["lost"], recovery.lost);
            }
            other => unreachable!("{other:?} is not about the journal"),
        };
        family.number(&[], number)
    }
}

impl Census {
    /// Returns the number of lanes by spec.
    fn lanes(&self) -> Vec<(&str, u64)> {
        let mut lanes: Vec<(&str, u64)> = Vec::new();
        for population in &self.populations {
            match lanes.iter_mut().find(|(id, _)| *id == population.spec_id) {
                Some((_, n)) => *n += population.lanes,
                None => lanes.push((&population.spec_id, population.lanes)),
            }
        }
        lanes
    }
}

/// One metric being written; label values are given in the order of the table.
struct Family<'a> {
    metric: Metric,
    encoder: MetricEncoder<'a>,
}

impl Family<'_> {
    fn labels<'v>(&self, values: &[&'v str]) -> Vec<(&'static str, &'v str)> {
        let names = self.metric.labels();
        assert_eq!(names.len(), values.len(), "labels of {:?}", self.metric);
        names.iter().copied().zip(values.iter().copied()).collect()
    }

    fn number(&mut self, values: &[&str], number: u64) -> fmt::Result {
        let labels = self.labels(values);
        let mut encoder = self.encoder.encode_family(&labels)?;
        match self.metric.kind() {
            MetricKind::Counter => encoder.encode_counter::<NoLabelSet, u64, u64>(&number, None),
            _ => encoder.encode_gauge(&number),
        }
    }

    fn seconds(&mut self, seconds: f64) -> fmt::Result {
        self.encoder.encode_gauge(&seconds)
    }

    /// Writes a histogram, unless it is empty.
    fn distribution(&mut self, values: &[&str], histogram: &Histogram) -> fmt::Result {
        let found = histogram.distribution();
        if found.count == 0 {
            return Ok(());
        }
        let labels = self.labels(values);
        let mut encoder = self.encoder.encode_family(&labels)?;
        encoder.encode_histogram::<NoLabelSet>(found.sum_s, found.count, &found.buckets, None)
    }
}

/// Returns the process's resident memory, where the system reports it.
fn resident_bytes() -> Option<u64> {
    // `statm` would be shorter, but counts in pages, whose size would have to be queried.
    parse_resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_found() {
        let status = "VmHWM:\t    9000 kB\nVmRSS:\t    8192 kB\nThreads:\t1\n";
        assert_eq!(parse_resident(status), Some(8 << 20));
        assert_eq!(parse_resident("Threads:\t1\n"), None);
        assert_eq!(parse_resident("VmRSS:\tmany kB\n"), None);
    }
}
