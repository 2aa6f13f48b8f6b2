//! Goals in hindsight (Andrychowicz et al. 2017, arXiv:1707.01495): an episode that missed its goal shows how to reach
//! what it did reach.
//!
//! A task has goals if its observation is a `Dict` with entries `achieved_goal` and `desired_goal` of one size, as in
//! Gymnasium's goal environments. Each step is taken to pay −1, but the one that achieves the goal, which pays 0 and ends
//! the episode.

use std::ops::Range;

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::experience::EpisodeBatch;
use crate::spaces::encoder::InputColumn;

/// Reward of a step that leaves the goal unachieved, and of one that achieves it.
const REWARDS: [f32; 2] = [-1.0, 0.0];

/// Where an input row shows goals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goals {
    achieved: Range<usize>,
    desired: Range<usize>,
}

impl Goals {
    /// Returns the goals that these columns show, if they do.
    pub fn of(columns: &[InputColumn]) -> Option<Self> {
        let named = |name: &str| {
            let is_named = |column: &InputColumn| column.name.as_deref() == Some(name);
            let first = columns.iter().position(is_named)?;
            let length = columns[first..].iter().take_while(|c| is_named(c)).count();
            Some(first..first + length)
        };
        let (achieved, desired) = (named("achieved_goal")?, named("desired_goal")?);
        (achieved.len() == desired.len()).then_some(Self { achieved, desired })
    }

    /// Gives sequences, each with probability `share`, a goal that they achieved: that of a random step of theirs. A
    /// sequence ends where it first achieves its goal. The goal is one for all of a sequence, since a memory sees it from
    /// the first step on.
    pub fn relabel(&self, batch: &mut EpisodeBatch, share: f32, rng: &mut Xoshiro256PlusPlus) {
        for lane in 0..batch.batch {
            if rng.random::<f32>() < share {
                self.relabel_lane(batch, lane, rng);
            }
        }
    }

    fn relabel_lane(&self, batch: &mut EpisodeBatch, lane: usize, rng: &mut Xoshiro256PlusPlus) {
        let lanes = batch.batch;
        let width = batch.inputs.len() / batch.starts.len();
        let steps = (0..batch.steps).take_while(|t| batch.weights[t * lanes + lane] > 0.0);
        let steps = steps.count();
        let part = |columns: &Range<usize>, t: usize| {
            let row = (t * lanes + lane) * width;
            row + columns.start..row + columns.end
        };
        // What a step achieved is seen after it. Where no row follows, the episode ended at its goal.
        let is_last = |t: usize| !batch.continues[t * lanes + lane];
        let after = |t: usize| match is_last(t) {
            true => part(&self.desired, t),
            false => part(&self.achieved, t + 1),
        };
        let achieved: Vec<Vec<f32>> = (0..steps)
            .map(|t| batch.inputs[after(t)].to_vec())
            .collect();
        let goal = &achieved[rng.random_range(0..steps)];
        if batch.inputs[part(&self.achieved, 0)] == goal[..] {
            // It is where it began: nothing to learn.
            return;
        }
        let end = achieved.iter().position(|at| at == goal);
        let end = end.expect("the goal is one of them");
        for t in 0..batch.steps {
            let row = t * lanes + lane;
            batch.inputs[part(&self.desired, t)].copy_from_slice(goal);
            if t >= end {
                batch.continues[row] = false;
                batch.ends[row] = t == end;
            }
            if t > end {
                (batch.weights[row], batch.rewards[row]) = (0.0, 0.0);
            } else {
                batch.rewards[row] = REWARDS[usize::from(t == end)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experience::{CutOff, Replay, Rollout, Sequence};
    use crate::memory::State;
    use crate::spaces::encoder::input_columns;

    fn columns(text: serde_json::Value) -> Vec<InputColumn> {
        input_columns(&serde_json::from_value(text).unwrap())
    }

    fn goals() -> Goals {
        let part = serde_json::json!({"type": "Box", "shape": [1], "dtype": "float32", "low": 0.0, "high": 9.0});
        Goals::of(&columns(serde_json::json!({
            "type": "Dict",
            "spaces": {"achieved_goal": part, "desired_goal": part, "observation": part},
        })))
        .unwrap()
    }

    #[test]
    fn goals_are_two_entries_of_one_size() {
        let goals = goals();
        assert_eq!((goals.achieved, goals.desired), (0..1, 1..2));
        let plain = columns(serde_json::json!({"type": "MultiBinary", "n": 3}));
        assert_eq!(Goals::of(&plain), None);
        let uneven = columns(serde_json::json!({"type": "Dict", "spaces": {
            "achieved_goal": {"type": "MultiBinary", "n": 3},
            "desired_goal": {"type": "MultiBinary", "n": 2},
        }}));
        assert_eq!(Goals::of(&uneven), None);
    }

    /// An episode of the places 5, 6, 7, 6 and then 8, cut off there, whose goal was 9.
    fn missed() -> EpisodeBatch {
        let places = [5.0, 6.0, 7.0, 6.0];
        let row = |place: f32| [place, 9.0, place];
        let mut rollout = Rollout::empty(1, State::new(1, Vec::new()));
        rollout.steps = 4;
        rollout.inputs = places.iter().flat_map(|&place| row(place)).collect();
        rollout.starts = vec![true, false, false, false];
        rollout.ends = vec![false, false, false, true];
        rollout.actions = vec![0; 4];
        rollout.rewards = vec![-1.0; 4];
        rollout.cut_offs.push(CutOff {
            row: 3,
            inputs: row(8.0).to_vec(),
            decisions: Vec::new(),
        });
        let mut replay = Replay::new(100, 10_000);
        replay.push(&rollout, &rollout.rewards);
        let whole = Sequence {
            episode: 0,
            first: 0,
            steps: usize::MAX,
        };
        replay.batch(&[whole], 1, State::new(1, Vec::new()))
    }

    #[test]
    fn what_was_reached_is_the_goal_in_hindsight() {
        use rand::SeedableRng;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut seen = [0; 3];
        for _ in 0..100 {
            let mut batch = missed();
            goals().relabel(&mut batch, 1.0, &mut rng);
            let desired: Vec<f32> = batch.inputs.chunks(3).map(|row| row[1]).collect();
            assert!(desired.iter().all(|&goal| goal == desired[0]));
            // 6 is reached by the first step and by the third, but the first counts.
            let (which, weights, rewards): (_, [f32; 5], [f32; 5]) = match desired[0] {
                6.0 => (0, [1., 0., 0., 0., 0.], [0.; 5]),
                7.0 => (1, [1., 1., 0., 0., 0.], [-1., 0., 0., 0., 0.]),
                8.0 => (2, [1., 1., 1., 1., 0.], [-1., -1., -1., 0., 0.]),
                goal => panic!("{goal} was never reached"),
            };
            seen[which] += 1;
            assert_eq!(
                (&batch.weights[..], &batch.rewards[..]),
                (&weights[..], &rewards[..])
            );
            let end = weights.iter().sum::<f32>() as usize - 1;
            let continues: Vec<bool> = (0..5).map(|t| t < end).collect();
            assert_eq!(batch.continues, continues);
            assert!(batch.ends[end]);
        }
        // 6 is drawn twice as often as each other.
        assert!(
            seen[0] > seen[1] && seen[0] > seen[2] && seen.iter().all(|&n| n > 10),
            "{seen:?}"
        );
        let mut batch = missed();
        goals().relabel(&mut batch, 0.0, &mut rng);
        assert_eq!(batch, missed());
    }
}
