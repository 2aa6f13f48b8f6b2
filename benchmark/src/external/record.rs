//! Scores from the server's own record of what was played.

use std::time::Duration;

use agent::evaluate::{Evaluation, Mode, Tally};
use env_protocol::{OperationKind, Trajectory, TrajectoryEntry};
use serde::Deserialize;

use super::api::Api;
use super::arena::Prepared;
use crate::format::thousands;

/// Operations asked for at once.
const PAGE: usize = 1_000;

/// What a contender made of its evaluation.
#[derive(Debug)]
pub struct Score {
    /// Returns of the first episode of each lane.
    pub evaluation: Evaluation,
    /// Episodes that were left by a reset; they count with what they had then.
    pub left: usize,
}

/// Reads the score of environments that a contender was given.
///
/// # Errors
/// When episodes are missing, or the record cannot be read from its beginning.
pub fn read(api: &Api, prepared: &Prepared) -> Result<Score, String> {
    let mut reading = Reading::new(prepared.episodes, prepared.episodes_per_lifetime);
    let mut from = 0;
    loop {
        let id = &prepared.judged_id;
        let path = format!("/v1/vector-envs/{id}/trajectory?from={from}&limit={PAGE}");
        let page: Trajectory = api.get(&path).map_err(|error| error.to_string())?;
        for entry in page.entries {
            reading.take(entry)?;
        }
        match page.next {
            Some(next) if !reading.tally.all_ended() => from = next,
            _ => break,
        }
    }
    reading.score(prepared.delay)
}

/// A record, as far as it has been read.
struct Reading {
    tally: Tally,
    episodes: usize,
    has_begun: bool,
    left: usize,
    steps: u64,
}

/// What a step of all lanes has answered.
#[derive(Deserialize)]
struct Step {
    rewards: Vec<f64>,
    terminations: Vec<bool>,
    truncations: Vec<bool>,
}

impl Reading {
    fn new(episodes: usize, episodes_per_lifetime: usize) -> Self {
        Self {
            tally: Tally::new(episodes, episodes_per_lifetime),
            episodes,
            has_begun: false,
            left: 0,
            steps: 0,
        }
    }

    fn take(&mut self, entry: TrajectoryEntry) -> Result<(), String> {
        match entry.operation {
            OperationKind::Reset if self.has_begun => self.left += self.tally.leave(),
            OperationKind::Reset => self.has_begun = true,
            OperationKind::Step => {
                let step: Step = serde_json::from_value(entry.reply)
                    .map_err(|error| format!("the record of step {}: {error}", entry.seq))?;
                let ends = step.terminations.iter().zip(&step.truncations);
                let ends: Vec<bool> = ends.map(|(&terminated, &cut)| terminated || cut).collect();
                if [step.rewards.len(), ends.len()] != [self.episodes; 2] {
                    return Err(format!(
                        "the record of step {} is of other lanes",
                        entry.seq
                    ));
                }
                self.tally.push(&step.rewards, &ends);
                self.steps += self.episodes as u64;
            }
            OperationKind::Restore | OperationKind::Fork => {
                return Err(format!("operation {} is none of a player", entry.seq));
            }
        }
        Ok(())
    }

    fn score(self, delay: Option<u64>) -> Result<Score, String> {
        if !self.tally.all_ended() {
            let at = delay.map(|delay| format!(" at delay {}", thousands(delay)));
            return Err(format!(
                "it played {} of {} evaluation episodes{} to their end",
                thousands(self.tally.num_ended() as u64),
                thousands(self.episodes as u64),
                at.unwrap_or_default()
            ));
        }
        Ok(Score {
            // It chose its actions itself, which is greedy as far as anybody can tell; nobody knows how long it thought.
            evaluation: self
                .tally
                .evaluation(Mode::Greedy, self.steps, Duration::ZERO),
            left: self.left,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Operation, rewards, terminations and truncations of two lanes.
    type Entry = (OperationKind, [f64; 2], [bool; 2], [bool; 2]);

    fn reading(entries: &[Entry]) -> Reading {
        let mut reading = Reading::new(2, 1);
        for (seq, (operation, rewards, terminations, truncations)) in (0..).zip(entries) {
            let reply = json!({"rewards": rewards, "terminations": terminations, "truncations": truncations, "seq": seq + 1});
            reading
                .take(TrajectoryEntry {
                    seq,
                    operation: *operation,
                    body: json!({}),
                    reply,
                })
                .unwrap();
        }
        reading
    }

    const NO: [bool; 2] = [false, false];
    const RESET: Entry = (OperationKind::Reset, [0.0; 2], NO, NO);
    const STEP: OperationKind = OperationKind::Step;

    #[test]
    fn the_first_episode_of_each_lane_counts() {
        let score = reading(&[
            RESET,
            (STEP, [1.0, 0.5], [true, false], NO),
            (STEP, [7.0, 0.25], NO, [false, true]),
            (STEP, [9.0, 9.0], [true, true], NO),
        ])
        .score(Some(4))
        .unwrap();
        assert_eq!(score.evaluation.returns, [1.0, 0.75]);
        assert_eq!((score.left, score.evaluation.steps), (0, 6));
    }

    #[test]
    fn an_episode_that_is_left_counts_with_what_it_had() {
        let entries = [RESET, (STEP, [1.0, -0.5], [true, false], NO), RESET];
        let score = reading(&entries).score(None).unwrap();
        assert_eq!((score.evaluation.returns, score.left), (vec![1.0, -0.5], 1));
        // Resetting before the first step leaves every episode.
        let score = reading(&[RESET, RESET, (STEP, [5.0, 5.0], [true, true], NO)])
            .score(None)
            .unwrap();
        assert_eq!((score.evaluation.returns, score.left), (vec![0.0, 0.0], 2));
    }

    #[test]
    fn episodes_that_are_missing_are_told() {
        let reason = |reading: Reading, delay| reading.score(delay).unwrap_err();
        assert_eq!(
            reason(reading(&[]), Some(1_024)),
            "it played 0 of 2 evaluation episodes at delay 1,024 to their end"
        );
        assert_eq!(
            reason(
                reading(&[RESET, (STEP, [1.0, 0.0], [true, false], NO)]),
                None
            ),
            "it played 1 of 2 evaluation episodes to their end"
        );
    }
}
