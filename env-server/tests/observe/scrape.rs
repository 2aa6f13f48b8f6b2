//! What `/metrics` says, read by a parser that is not ours.

use std::collections::BTreeMap;

use prometheus_parse::{Scrape, Value};

use crate::client::Client;

/// All numbers of a scrape, by name and sorted labels.
pub struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    pub fn of(client: &Client) -> Self {
        let reply = client.get("/metrics");
        assert_eq!(reply.status, 200);
        let content_type = reply.header("content-type");
        assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
        let text = String::from_utf8(reply.body.to_vec()).expect("UTF-8");
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let scrape = Scrape::parse(lines).expect("the text format");
        let numbers = scrape.samples.into_iter().map(|sample| {
            let name = format!("{}{{{}}}", sample.metric, sample.labels);
            let number = match sample.value {
                Value::Counter(n) | Value::Gauge(n) | Value::Untyped(n) => n,
                Value::Histogram(buckets) => {
                    assert!(buckets.is_sorted_by_key(|bucket| bucket.count), "{name}");
                    buckets.last().expect("+Inf").count
                }
                Value::Summary(_) => panic!("{name} is a summary"),
            };
            (name, number)
        });
        Numbers(numbers.collect())
    }

    /// A number; 0 for a combination of labels that is not there.
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
