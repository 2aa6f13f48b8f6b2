//! Shards: parts of a plan's jobs, for machines that share a plan and no queue.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most shards of a plan.
const MOST: usize = 10_000;

/// Every N-th job of a plan, beginning with the I-th; written `I/N`, such as `3/8`.
///
/// Jobs are counted over the whole plan, whether or not they have finished. So the shards `1/N` to
/// `N/N` have no job in common, and together they have all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Shard {
    /// I: from 1 to `count`.
    number: usize,
    /// N: from 1 to [`MOST`].
    count: usize,
}

impl Shard {
    /// Returns whether the shard has the job with this index in the plan, counted from 0.
    pub fn has(self, index: usize) -> bool {
        index % self.count == self.number - 1
    }

    /// Returns the name of the shard's run: `NAME-I-of-N`.
    pub fn run_name(self, name: &str) -> String {
        format!("{name}-{}-of-{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let numbers = parts
            .and_then(|(number, count)| Some((number.parse().ok()?, count.parse::<usize>().ok()?)));
        match numbers {
            Some((number, count)) if (1..=count).contains(&number) && count <= MOST => {
                Ok(Self { number, count })
            }
            _ => Err(format!(
                "a shard is given as I/N, such as 3/8, with I from 1 to N and N up to {MOST}"
            )),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.count)
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_shards_of_seven_jobs() {
        let jobs = |text: &str| -> Vec<usize> {
            let shard: Shard = text.parse().unwrap();
            (0..7).filter(|&index| shard.has(index)).collect()
        };
        assert_eq!(jobs("1/3"), [0, 3, 6]);
        assert_eq!(jobs("2/3"), [1, 4]);
        assert_eq!(jobs("3/3"), [2, 5]);
        assert_eq!(jobs("1/1"), [0, 1, 2, 3, 4, 5, 6]);
        assert!(jobs("8/10000").is_empty());
    }

    #[test]
    fn a_shard_is_written_as_it_is_read() {
        for text in ["1/1", "3/8", "10000/10000"] {
            let shard: Shard = text.parse().unwrap();
            assert_eq!(shard.to_string(), text);
        }
        let third: Shard = "3/8".parse().unwrap();
        assert_eq!(third.run_name("big"), "big-3-of-8");
        for text in [
            "", "3", "0/8", "9/8", "1/10001", "1/0", "-1/8", "1/8/2", "a/b",
        ] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
