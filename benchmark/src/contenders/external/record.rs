//! Scores from the server's own record of the episodes.

use std::time::Duration;

use agent::evaluate::{Evaluation, Mode, Tally};
use env_protocol::{OperationKind, Trajectory, TrajectoryEntry};
use serde::Deserialize;

use super::api::Api;
use super::arena::Prepared;
use crate::format::thousands;

/// Number of operations to request at once.
const PAGE: usize = 1_000;

/// Reads the score of environments that a contender has played: the returns of the first episode of
/// each lane.
///
/// # Errors
/// When an episode was not played to its end, or the record does not reach back to its beginning.
/// Unfinished episodes have no score: in several tasks, doing nothing would earn more than playing
/// badly.
pub fn read(api: &Api<'_>, prepared: &Prepared) -> Result<Evaluation, String> {
    let mut reading = Reading::new(prepared);
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
    reading.score()
}

/// The part of a record that has been read.
struct Reading {
    tally: Tally,
    episodes: usize,
    delay: Option<u64>,
    has_begun: bool,
    steps: u64,
}

/// The reply to a step of all lanes.
#[derive(Deserialize)]
struct Step {
    rewards: Vec<f64>,
    terminations: Vec<bool>,
    truncations: Vec<bool>,
}

impl Reading {
    fn new(prepared: &Prepared) -> Self {
        Self {
            tally: Tally::new(prepared.episodes, prepared.episodes_per_lifetime),
            episodes: prepared.episodes,
            delay: prepared.delay,
            has_begun: false,
            steps: 0,
        }
    }

    fn take(&mut self, entry: TrajectoryEntry) -> Result<(), String> {
        match entry.operation {
            // A reset after all episodes have ended changes nothing.
            OperationKind::Reset if self.has_begun && !self.tally.all_ended() => {
                return Err(self.unfinished("it reset them, and left"));
            }
            OperationKind::Reset => self.has_begun = true,
            OperationKind::Step => {
                let step: Step = serde_json::from_value(entry.reply)
                    .map_err(|error| format!("the record of step {}: {error}", entry.seq))?;
                let ends = step.terminations.iter().zip(&step.truncations);
                let ends: Vec<bool> = ends.map(|(&terminated, &cut)| terminated || cut).collect();
                if [step.rewards.len(), ends.len()] != [self.episodes; 2] {
                    return Err(format!(
                        "the record of step {} has another number of lanes",
                        entry.seq
                    ));
                }
                self.tally.push(&step.rewards, &ends);
                self.steps += self.episodes as u64;
            }
            OperationKind::Restore | OperationKind::Fork => {
                return Err(format!("operation {} is not a player's", entry.seq));
            }
        }
        Ok(())
    }

    fn score(self) -> Result<Evaluation, String> {
        if !self.tally.all_ended() {
            return Err(self.unfinished("it left"));
        }
        // The contender chose its actions itself, which counts as greedy. How long it took to
        // choose is unknown.
        Ok(self
            .tally
            .evaluation(Mode::Greedy, self.steps, Duration::ZERO))
    }

    fn unfinished(&self, left: &str) -> String {
        let at = self
            .delay
            .map(|delay| format!(" at delay {}", thousands(delay)));
        format!(
            "{left} {} of {} evaluation episodes{} unfinished",
            thousands((self.episodes - self.tally.num_ended()) as u64),
            thousands(self.episodes as u64),
            at.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Operation, rewards, terminations and truncations of two lanes.
    type Entry = (OperationKind, [f64; 2], [bool; 2], [bool; 2]);

    fn score(entries: &[Entry], delay: Option<u64>) -> Result<Evaluation, String> {
        let mut reading = Reading {
            tally: Tally::new(2, 1),
            episodes: 2,
            delay,
            has_begun: false,
            steps: 0,
        };
        for (seq, (operation, rewards, terminations, truncations)) in (0..).zip(entries) {
            let reply = json!({"rewards": rewards, "terminations": terminations, "truncations": truncations, "seq": seq + 1});
            reading.take(TrajectoryEntry {
                seq,
                operation: *operation,
                body: json!({}),
                reply,
            })?;
        }
        reading.score()
    }

    const NO: [bool; 2] = [false, false];
    const RESET: Entry = (OperationKind::Reset, [0.0; 2], NO, NO);
    const STEP: OperationKind = OperationKind::Step;

    #[test]
    fn the_first_episode_of_each_lane_counts() {
        let played = [
            RESET,
            (STEP, [1.0, 0.5], [true, false], NO),
            (STEP, [7.0, 0.25], NO, [false, true]),
            (STEP, [9.0, 9.0], [true, true], NO),
        ];
        let evaluation = score(&played, Some(4)).unwrap();
        assert_eq!(evaluation.returns, [1.0, 0.75]);
        assert_eq!(evaluation.steps, 6);
        // A reset after the end does not undo it.
        let again = [&played[..3], &[RESET]].concat();
        assert_eq!(score(&again, None).unwrap().returns, [1.0, 0.75]);
    }

    #[test]
    fn unfinished_episodes_are_counted_and_have_no_score() {
        let reason = |entries: &[Entry], delay| score(entries, delay).unwrap_err();
        let one = (STEP, [1.0, -0.5], [true, false], NO);
        let both = (STEP, [5.0, 5.0], [true, true], NO);
        assert_eq!(
            reason(&[], Some(1_024)),
            "it left 2 of 2 evaluation episodes at delay 1,024 unfinished"
        );
        assert_eq!(
            reason(&[RESET, one], None),
            "it left 1 of 2 evaluation episodes unfinished"
        );
        assert_eq!(
            reason(&[RESET, RESET, both], None),
            "it reset them, and left 2 of 2 evaluation episodes unfinished"
        );
        assert_eq!(
            reason(&[RESET, one, RESET, both], Some(4)),
            "it reset them, and left 1 of 2 evaluation episodes at delay 4 unfinished"
        );
    }
}
