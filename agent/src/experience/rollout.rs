//! A rollout: the steps that were played between two updates.

use serde::{Deserialize, Serialize};

use crate::experience::floats;
use crate::memory::{Segment, State};

/// The steps that were played between two updates. Columns are time-major: `row = t * batch + lane`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Steps T.
    pub steps: usize,
    /// Lanes B.
    pub batch: usize,
    /// `[T*B, input_size]`.
    #[serde(with = "floats")]
    pub inputs: Vec<f32>,
    /// `[T*B]`: first of its episode.
    pub starts: Vec<bool>,
    /// `[T*B]`: the action ended its episode.
    pub ends: Vec<bool>,
    /// The memory before the first row.
    pub initial_state: State,
    /// `[T*B, decision_width]`.
    pub decisions: Vec<i32>,
    /// `[T*B, components]`, as [`ActionHeads`](crate::spaces::actions::ActionHeads) has them.
    pub actions: Vec<u32>,
    /// `[T*B]`: log-probability of the action that was taken, under the behaviour that took it.
    #[serde(with = "floats")]
    pub log_probs: Vec<f32>,
    /// `[T*B]`: the task's own, never with a bonus.
    #[serde(with = "floats")]
    pub rewards: Vec<f32>,
    /// `[T*B, observation_size]`: the next observation, encoded; at an end the episode's last.
    #[serde(with = "floats")]
    pub next_observations: Vec<f32>,
    /// `[T*B]`: V of the observation.
    #[serde(with = "floats")]
    pub values: Vec<f32>,
    /// `[T*B]`: V of the next observation; 0 at a termination, V of the last observation at a truncation.
    #[serde(with = "floats")]
    pub next_values: Vec<f32>,
    /// Ends by truncation rather than by termination, in the order of their rows.
    pub cut_offs: Vec<CutOff>,
    /// Episodes that ended, in order: return and length.
    pub episodes: Vec<Episode>,
    /// Whether `max_steps` ended the rollout before every lane had ended an episode, where whole episodes were wanted.
    pub cut_short: bool,
}

/// An end by truncation: the task would have continued, and so does the return (Pardo et al. 2018, arXiv:1712.00378).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CutOff {
    /// Row of the last action.
    pub row: usize,
    /// `[input_size]`: the input row of the observation that followed it, as the agent would have seen it.
    #[serde(with = "floats")]
    pub inputs: Vec<f32>,
    /// `[decision_width]`: the decisions of the memory at that row.
    pub decisions: Vec<i32>,
}

/// An episode that ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Undiscounted sum of the task's rewards.
    pub episode_return: f64,
    /// Steps.
    pub length: u64,
}

impl Rollout {
    /// Returns a rollout before its first step.
    pub(crate) fn empty(batch: usize, initial_state: State) -> Self {
        Self {
            steps: 0,
            batch,
            inputs: Vec::new(),
            starts: Vec::new(),
            ends: Vec::new(),
            initial_state,
            decisions: Vec::new(),
            actions: Vec::new(),
            log_probs: Vec::new(),
            rewards: Vec::new(),
            next_observations: Vec::new(),
            values: Vec::new(),
            next_values: Vec::new(),
            cut_offs: Vec::new(),
            episodes: Vec::new(),
            cut_short: false,
        }
    }

    /// Returns whether every column is as long as a rollout of so many steps and lanes has it: what was sent need not be.
    /// `widths`: of inputs, encoded observations, actions and decisions.
    pub fn is_whole(&self, steps: usize, batch: usize, widths: [usize; 4]) -> bool {
        let rows = steps * batch;
        let [inputs, observation, components, decisions] = widths;
        let lengths = [
            (self.inputs.len(), inputs),
            (self.starts.len(), 1),
            (self.ends.len(), 1),
            (self.decisions.len(), decisions),
            (self.actions.len(), components),
            (self.log_probs.len(), 1),
            (self.rewards.len(), 1),
            (self.next_observations.len(), observation),
            (self.values.len(), 1),
            (self.next_values.len(), 1),
        ];
        let is_cut_off = |cut_off: &CutOff| {
            cut_off.row < rows
                && cut_off.inputs.len() == inputs
                && cut_off.decisions.len() == decisions
        };
        (self.steps, self.batch) == (steps, batch)
            && lengths
                .iter()
                .all(|&(length, width)| length == rows * width)
            && self.initial_state.rows() == batch
            && self.initial_state.is_whole()
            && self.cut_offs.iter().all(is_cut_off)
            && self.episodes.len() == self.ends.iter().filter(|&&end| end).count()
    }

    /// Returns which lanes have ended an episode.
    pub fn ended(&self) -> Vec<bool> {
        let mut ended = vec![false; self.batch];
        for step in self.ends.chunks_exact(self.batch.max(1)) {
            ended
                .iter_mut()
                .zip(step)
                .for_each(|(ended, &end)| *ended |= end);
        }
        ended
    }

    /// Puts rollouts of equal length side by side, lane after lane: what one rollout of all lanes would have been. Whether that
    /// was cut short is for the caller to say.
    ///
    /// # Panics
    /// Without a part, or if their lengths differ.
    pub fn join(parts: &[Self]) -> Self {
        let steps = parts[0].steps;
        assert!(
            parts.iter().all(|part| part.steps == steps),
            "parts of equal length"
        );
        fn column<T: Copy>(parts: &[Rollout], of: impl Fn(&Rollout) -> &[T]) -> Vec<T> {
            let columns: Vec<&[T]> = parts.iter().map(of).collect();
            let steps = parts[0].steps.max(1);
            let mut joined = Vec::with_capacity(columns.iter().map(|part| part.len()).sum());
            for step in 0..steps {
                for part in &columns {
                    let width = part.len() / steps;
                    joined.extend_from_slice(&part[step * width..][..width]);
                }
            }
            joined
        }
        let states: Vec<&State> = parts.iter().map(|part| &part.initial_state).collect();
        let mut joined = Self {
            steps,
            batch: parts.iter().map(|part| part.batch).sum(),
            inputs: column(parts, |part| &part.inputs),
            starts: column(parts, |part| &part.starts),
            ends: column(parts, |part| &part.ends),
            initial_state: State::join(&states),
            decisions: column(parts, |part| &part.decisions),
            actions: column(parts, |part| &part.actions),
            log_probs: column(parts, |part| &part.log_probs),
            rewards: column(parts, |part| &part.rewards),
            next_observations: column(parts, |part| &part.next_observations),
            values: column(parts, |part| &part.values),
            next_values: column(parts, |part| &part.next_values),
            cut_offs: Vec::new(),
            episodes: Vec::new(),
            cut_short: false,
        };
        joined.join_ends(parts);
        joined
    }

    /// Puts what parts have for some of their rows in the order of all rows.
    fn join_ends(&mut self, parts: &[Self]) {
        let mut episodes: Vec<_> = parts.iter().map(|part| part.episodes.iter()).collect();
        for step in 0..self.steps {
            for (part, episodes) in parts.iter().zip(&mut episodes) {
                let ends = &part.ends[step * part.batch..][..part.batch];
                let count = ends.iter().filter(|&&end| end).count();
                self.episodes.extend(episodes.by_ref().take(count));
            }
        }
        let mut first = 0;
        for part in parts {
            self.cut_offs.extend(part.cut_offs.iter().map(|cut_off| {
                let (step, lane) = (cut_off.row / part.batch, cut_off.row % part.batch);
                CutOff {
                    row: step * self.batch + first + lane,
                    ..cut_off.clone()
                }
            }));
            first += part.batch;
        }
        self.cut_offs.sort_by_key(|cut_off| cut_off.row);
    }

    /// Returns the chosen lanes as a rollout of their own (without the list of episodes).
    pub fn lanes(&self, lanes: &[usize]) -> Self {
        let rows: Vec<usize> = (0..self.steps)
            .flat_map(|t| lanes.iter().map(move |&lane| t * self.batch + lane))
            .collect();
        fn take<T: Copy>(column: &[T], width: usize, rows: &[usize]) -> Vec<T> {
            let mut taken = Vec::with_capacity(rows.len() * width);
            for &row in rows {
                taken.extend_from_slice(&column[row * width..(row + 1) * width]);
            }
            taken
        }
        let total = self.steps * self.batch;
        Self {
            steps: self.steps,
            batch: lanes.len(),
            inputs: take(&self.inputs, self.inputs.len() / total, &rows),
            starts: take(&self.starts, 1, &rows),
            ends: take(&self.ends, 1, &rows),
            initial_state: self.initial_state.gather(lanes),
            decisions: take(&self.decisions, self.decisions.len() / total, &rows),
            actions: take(&self.actions, self.actions.len() / total, &rows),
            log_probs: take(&self.log_probs, 1, &rows),
            rewards: take(&self.rewards, 1, &rows),
            next_observations: take(
                &self.next_observations,
                self.next_observations.len() / total,
                &rows,
            ),
            values: take(&self.values, 1, &rows),
            next_values: take(&self.next_values, 1, &rows),
            cut_offs: self.cut_offs_of(lanes),
            episodes: Vec::new(),
            cut_short: false,
        }
    }

    fn cut_offs_of(&self, lanes: &[usize]) -> Vec<CutOff> {
        let mut cut_offs: Vec<CutOff> = self
            .cut_offs
            .iter()
            .flat_map(|cut_off| {
                let (step, lane) = (cut_off.row / self.batch, cut_off.row % self.batch);
                let places = (0..lanes.len()).filter(move |&place| lanes[place] == lane);
                places.map(move |place| CutOff {
                    row: step * lanes.len() + place,
                    inputs: cut_off.inputs.clone(),
                    decisions: cut_off.decisions.clone(),
                })
            })
            .collect();
        cut_offs.sort_by_key(|cut_off| cut_off.row);
        cut_offs
    }

    /// Returns the segment that a memory core reads.
    pub fn segment<'a>(&'a self, returns: &'a [f32]) -> Segment<'a> {
        Segment {
            steps: self.steps,
            batch: self.batch,
            inputs: &self.inputs,
            starts: &self.starts,
            ends: &self.ends,
            actions: &self.actions,
            rewards: &self.rewards,
            goals: None,
            initial_state: &self.initial_state,
            decisions: &self.decisions,
            returns,
            values: &self.values,
        }
    }
}
