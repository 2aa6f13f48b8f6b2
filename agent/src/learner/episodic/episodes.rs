//! Episodes under way, until their returns are known.

use serde::{Deserialize, Serialize};

use super::not_finite;
use crate::experience::{Rollout, floats};
use crate::learner::Diverged;

/// Steps of an episode that are kept at most. A longer one is written in parts: the return of a part continues with the
/// value of the observation after it, as at a truncation.
const LONGEST: usize = 4_096;

/// An episode of T steps, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// `[T, width]`: what is to be remembered of each step.
    #[serde(with = "floats")]
    pub rows: Vec<f32>,
    /// `[T, components]`.
    pub actions: Vec<u32>,
    /// `[T]`.
    #[serde(with = "floats")]
    pub rewards: Vec<f32>,
    /// `[T]`: V of each observation, as acting saw it.
    #[serde(with = "floats")]
    pub values: Vec<f32>,
    /// V of the observation after the last action; 0 at a termination.
    pub beyond: f32,
}

impl Episode {
    /// Returns the number of steps.
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Returns the return of each step: `Σ_{j<n} γʲ r_{t+j} + γⁿ V_{t+n}`, or all rewards to the end and what lies beyond.
    pub fn returns(&self, gamma: f32, n: usize) -> Vec<f32> {
        let steps = self.len();
        let mut returns = vec![0.0; steps];
        if n >= steps {
            let mut following = self.beyond;
            for t in (0..steps).rev() {
                following = self.rewards[t] + gamma * following;
                returns[t] = following;
            }
            return returns;
        }
        for (t, found) in returns.iter_mut().enumerate() {
            let end = (t + n).min(steps);
            let last = self.values.get(end).copied().unwrap_or(self.beyond);
            let rewards = self.rewards[t..end].iter().rev();
            *found = rewards.fold(last, |following, reward| reward + gamma * following);
        }
        returns
    }
}

/// The episode under way in each lane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Episodes {
    open: Vec<Episode>,
}

impl Episodes {
    /// Records a rollout with the rewards to learn from; returns the episodes that ended in it, in order, and parts of
    /// long ones. `rows`: `[T*B, width]`. An episode that was given up in its middle (the lane was reset) is forgotten.
    ///
    /// # Errors
    /// A reward or a value that is no number. Then nothing is recorded.
    pub fn record(
        &mut self,
        rollout: &Rollout,
        rewards: &[f32],
        rows: &[f32],
    ) -> Result<Vec<Episode>, Diverged> {
        let numbers = rewards
            .iter()
            .chain(&rollout.values)
            .chain(&rollout.next_values);
        if let Some(&number) = numbers.into_iter().find(|number| !number.is_finite()) {
            return Err(not_finite(number));
        }
        let width = rows.len() / rewards.len();
        let components = rollout.actions.len() / rewards.len();
        let mut ended = Vec::new();
        self.open.resize(rollout.batch, Episode::default());
        for (row, &reward) in rewards.iter().enumerate() {
            let open = &mut self.open[row % rollout.batch];
            if rollout.starts[row] {
                *open = Episode::default();
            }
            open.rows.extend_from_slice(&rows[row * width..][..width]);
            let action = &rollout.actions[row * components..][..components];
            open.actions.extend_from_slice(action);
            open.rewards.push(reward);
            open.values.push(rollout.values[row]);
            if rollout.ends[row] || open.len() == LONGEST {
                open.beyond = rollout.next_values[row];
                ended.push(std::mem::take(open));
            }
        }
        Ok(ended)
    }
}

/// Returns the return of each step of each episode, over `n` steps and the value of what follows.
///
/// # Errors
/// A return that is no number.
pub fn returns(ended: &[Episode], gamma: f32, n: usize) -> Result<Vec<Vec<f32>>, Diverged> {
    let returns: Vec<Vec<f32>> = ended.iter().map(|e| e.returns(gamma, n)).collect();
    match returns.iter().flatten().find(|x| !x.is_finite()) {
        Some(&number) => Err(not_finite(number)),
        None => Ok(returns),
    }
}

/// Returns the steps of all episodes, as episode and step, the latest steps first: rows that are written one after another
/// then have the same time, which search by time makes use of.
pub fn by_time(episodes: &[Episode]) -> impl Iterator<Item = (usize, usize)> {
    let longest = episodes.iter().map(Episode::len).max().unwrap_or(0);
    (0..longest).rev().flat_map(move |t| {
        let those = episodes
            .iter()
            .enumerate()
            .filter(move |(_, e)| t < e.len());
        those.map(move |(episode, _)| (episode, t))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::State;

    fn episode(beyond: f32) -> Episode {
        Episode {
            rewards: vec![1.0, 0.0, 2.0],
            values: vec![10.0, 20.0, 30.0],
            beyond,
            ..Episode::default()
        }
    }

    #[test]
    fn returns_are_suffix_sums_and_continue_beyond_a_truncation_alone() {
        assert_eq!(episode(0.0).returns(1.0, usize::MAX), [3.0, 2.0, 2.0]);
        assert_eq!(episode(0.0).returns(0.5, 3), [1.5, 1.0, 2.0]);
        assert_eq!(episode(8.0).returns(0.5, usize::MAX), [2.5, 3.0, 6.0]);
    }

    #[test]
    fn n_steps_end_in_a_value_and_one_step_is_q_learning() {
        assert_eq!(episode(8.0).returns(0.5, 1), [1.0 + 10.0, 15.0, 2.0 + 4.0]);
        assert_eq!(episode(8.0).returns(0.5, 2), [1.0 + 7.5, 1.0 + 2.0, 6.0]);
        assert_eq!(episode(0.0).returns(0.5, 2), [1.0 + 7.5, 1.0, 2.0]);
    }

    /// Two lanes; the second is cut off in the middle of the rollout.
    fn rollout(starts: [bool; 4], ends: [bool; 4]) -> Rollout {
        let mut rollout = Rollout::empty(2, State::new(2, Vec::new()));
        rollout.steps = 2;
        rollout.starts = starts.to_vec();
        rollout.ends = ends.to_vec();
        rollout.actions = vec![0, 1, 2, 3];
        rollout.values = vec![0.5; 4];
        rollout.next_values = vec![0.0, 7.0, 0.0, 0.0];
        rollout
    }

    #[test]
    fn episodes_are_recorded_lane_by_lane() {
        let mut episodes = Episodes::default();
        let (first, rewards) = ([true, true, false, true], [1.0, 2.0, 3.0, 4.0]);
        let ends = [false, true, false, false];
        let ended = episodes
            .record(&rollout(first, ends), &rewards, &rewards)
            .unwrap();
        assert_eq!(ended.len(), 1);
        assert_eq!((&ended[0].rewards[..], ended[0].beyond), (&[2.0][..], 7.0));
        // Lane 0 continues and ends; lane 1 is reset in its middle, so its first step is forgotten.
        let (starts, ends) = ([false, true, false, false], [true, false, false, true]);
        let ended = episodes
            .record(&rollout(starts, ends), &rewards, &rewards)
            .unwrap();
        assert_eq!(ended[0].rewards, [1.0, 3.0, 1.0]);
        assert_eq!(ended[0].actions, [0, 2, 0]);
        assert_eq!(ended[1].rewards, [2.0, 4.0]);
        let order: Vec<_> = by_time(&ended).collect();
        assert_eq!(order, [(0, 2), (0, 1), (1, 1), (0, 0), (1, 0)]);
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        let mut episodes = Episodes::default();
        let rollout = rollout([true; 4], [false; 4]);
        let rewards = [1.0, f32::INFINITY, 0.0, 0.0];
        assert!(episodes.record(&rollout, &rewards, &rewards).is_err());
        assert_eq!(episodes, Episodes::default());
    }

    #[test]
    fn an_endless_episode_is_written_in_parts() {
        let mut episodes = Episodes::default();
        let mut parts = Vec::new();
        for first in 0..LONGEST / 2 + 1 {
            let rollout = rollout([first == 0; 4], [false; 4]);
            let rollout = Rollout {
                starts: vec![first == 0, first == 0, false, false],
                ..rollout
            };
            parts.extend(episodes.record(&rollout, &[1.0; 4], &[0.0; 4]).unwrap());
        }
        assert_eq!(
            parts.iter().map(Episode::len).collect::<Vec<_>>(),
            [LONGEST; 2]
        );
        assert!(episodes.open.iter().all(|open| open.len() == 2));
    }
}
