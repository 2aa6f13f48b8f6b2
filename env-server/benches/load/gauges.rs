//! Gauges that the server reports.

use env_protocol::Encoding;

use crate::support::{Connection, request};

/// Numbers of `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Environments, single and vector.
    pub environments: u64,
    /// Open connections, including the caller's.
    pub connections: u64,
}

impl Gauges {
    /// Reads the gauges, on a separate connection.
    pub fn read(address: &str) -> Self {
        let mut connection = Connection::open(address);
        let mut bytes = Vec::new();
        request("GET", "/metrics", Encoding::Json, b"", &mut bytes);
        connection.send(&bytes);
        let text = String::from_utf8_lossy(connection.receive()).into_owned();
        Gauges {
            environments: sum(&text, "env_server_environments"),
            connections: sum(&text, "env_server_connections"),
        }
    }
}

/// Returns the sum over a metric's labels.
fn sum(text: &str, metric: &str) -> u64 {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        let is_it = rest.starts_with(['{', ' ']);
        is_it.then(|| rest.rsplit(' ').next())?
    });
    values
        .map(|value| value.parse::<u64>().expect("a count"))
        .sum()
}
