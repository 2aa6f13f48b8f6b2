//! Parses the text of `/metrics`.

use std::collections::BTreeMap;

use crate::client::Client;

/// All numbers of a scrape, by name and labels as written.
pub struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    /// Scrapes and checks the form: every number belongs to a metric described before, no series
    /// appears twice, and buckets are cumulative up to the count.
    pub fn of(client: &Client) -> Self {
        let reply = client.get("/metrics");
        assert_eq!(reply.status, 200);
        let content_type = reply.header("content-type");
        assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
        let text = std::str::from_utf8(&reply.body).expect("UTF-8");
        let mut numbers = BTreeMap::new();
        let (mut helped, mut family, mut kind) = ("", "", "");
        let mut last_bucket = 0.0;
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped = help.split_once(' ').expect("name and help").0;
                continue;
            }
            if let Some(of_type) = line.strip_prefix("# TYPE ") {
                (family, kind) = of_type.split_once(' ').expect("name and type");
                assert_eq!(helped, family);
                continue;
            }
            let (series, number) = line.rsplit_once(' ').expect("series and number");
            let number: f64 = number.parse().expect("a number");
            let name = series.split('{').next().unwrap_or_default();
            match kind {
                "histogram" => {
                    let part = name.strip_prefix(family).expect("of its family");
                    match part {
                        "_sum" => last_bucket = 0.0,
                        "_count" => {}
                        "_bucket" => {
                            assert!(number >= last_bucket, "{line}");
                            last_bucket = number;
                            let labels = series.strip_prefix(name).unwrap_or_default();
                            if let Some(labels) = labels.strip_prefix("{le=\"+Inf\",") {
                                let count = format!("{family}_count{{{labels}");
                                assert_eq!(numbers.get(&count), Some(&number), "{line}");
                            }
                        }
                        other => panic!("{other} in {line}"),
                    }
                }
                "counter" | "gauge" => assert_eq!(name, family),
                other => panic!("{family} is a {other}"),
            }
            assert_eq!(numbers.insert(series.to_owned(), number), None, "{line}");
        }
        Numbers(numbers)
    }

    /// Returns a number; 0 for a combination of labels that does not appear.
    pub fn get(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or_default()
    }

    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
