//! Outcomes: the results of training and evaluating an agent.

use std::collections::BTreeMap;

use agent::evaluate::Mode;
use agent::views::heatmap::{Entries, EpisodeView, MemoryView as Recorded};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The results of training and evaluating an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Environment steps trained for.
    pub trained_steps: u64,
    /// Environment steps per second of training, everything included.
    pub steps_per_s: f64,
    /// Wall-clock seconds of training, summed over all parts of an interrupted run.
    pub train_duration_s: f64,
    /// Trained steps at which the mean return of the last 100 training episodes first reached
    /// [`Self::solved_threshold`].
    pub solved_at: Option<u64>,
    /// Mean return from which the task counts as solved; `None` for external programs, for tasks
    /// without a known threshold, and in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solved_threshold: Option<f64>,
    /// Totals over all training episodes; `None` for external programs and in records of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingTally>,
    /// Number of trained parameters, if known.
    #[serde(default)]
    pub parameters: Option<usize>,
    /// Bytes of one lane's memory while acting; `None` for external programs and in records of
    /// earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<usize>,
    /// Class of the processor that trained and judged it, such as `x86_64+avx2+fma`: bits are equal
    /// within a class only. `None` for external programs and in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Hyper-parameters of the training, defaults included.
    pub hyperparameters: BTreeMap<String, Value>,
    /// Pairs of trained steps and the mean return of recent training episodes, steps ascending.
    pub learning_curve: Vec<(u64, f64)>,
    /// The evaluations.
    pub evaluations: Vec<EvaluationRecord>,
    /// Contents of the memory during one greedy episode, for agents whose memory has slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_view: Option<MemoryView>,
    /// Share of attention on the cue's entry in the last step of that episode; `None` for memories
    /// without entries, for tasks whose cue is not the first observation, and in records of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cue_attention: Option<f64>,
    /// Remarks without which the numbers could mislead a reader.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Totals over all training episodes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrainingTally {
    /// Number of episodes that ended.
    pub episodes: u64,
    /// Sum of their undiscounted returns.
    pub return_sum: f64,
    /// Largest mean return of an epoch of 65,536 steps; `None` in a shorter training, and in records
    /// of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_epoch: Option<f64>,
}

/// One evaluation of a trained agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// The delay evaluated at; `None` for a task without one.
    pub delay: Option<u64>,
    /// How the agent acted, and how its memory was restricted.
    pub mode: Mode,
    /// Mean undiscounted return over the episodes.
    pub mean_return: f64,
    /// Sample standard deviation of the return over the episodes.
    pub std_return: f64,
    /// Number of episodes.
    pub episodes: u64,
}

/// Contents of a memory of slots during one episode. Arrays are `[columns, slots]`, time first,
/// flattened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryView {
    /// Number of slots, N.
    pub slots: usize,
    /// The step that each column shows, ascending. Long episodes leave out steps.
    pub steps: Vec<u32>,
    /// The step whose observation is the cue, if the task has one.
    pub cue_step: Option<u32>,
    /// The step at which each slot's entry was written; `None` for an empty slot.
    pub write_step: Vec<Option<u32>>,
    /// The learned usefulness of each slot's entry.
    pub usefulness: Vec<f32>,
    /// The share of attention on each slot, 0..=1.
    pub attention: Vec<f32>,
}

impl Outcome {
    /// Returns the evaluation at a delay in a mode, if there is one.
    pub fn evaluation(&self, delay: Option<u64>, mode: Mode) -> Option<&EvaluationRecord> {
        self.evaluations
            .iter()
            .find(|evaluation| evaluation.delay == delay && evaluation.mode == mode)
    }

    /// Checks that all numbers are finite and that array lengths match.
    ///
    /// # Errors
    /// The problem, in words.
    pub fn check(&self) -> Result<(), String> {
        for evaluation in &self.evaluations {
            if !(evaluation.mean_return.is_finite() && evaluation.std_return.is_finite()) {
                return Err(format!(
                    "the {} evaluation gave a return that is not a number",
                    evaluation.mode
                ));
            }
        }
        if let Some((steps, _)) = self
            .learning_curve
            .iter()
            .find(|(_, value)| !value.is_finite())
        {
            return Err(format!(
                "the mean return after {steps} steps is not a number: training diverged"
            ));
        }
        if !(self.steps_per_s.is_finite() && self.train_duration_s.is_finite()) {
            return Err("the training time is not a number".to_owned());
        }
        self.memory_view.as_ref().map_or(Ok(()), MemoryView::check)
    }
}

impl MemoryView {
    /// Copies the contents of a memory of slots from an episode. Returns `None` for a memory
    /// without slots, and for a memory of whole episodes, which have no place on an axis of steps.
    pub fn from_episode(episode: &EpisodeView) -> Option<Self> {
        match &episode.memory {
            Recorded::Slots(slots) if slots.entries == Entries::Steps => Some(Self {
                slots: slots.num_slots,
                steps: (0..episode.actions.len() as u32).collect(),
                cue_step: episode.cue_steps.first().copied(),
                write_step: slots.write_step.clone(),
                usefulness: slots.usefulness.clone(),
                attention: slots.attention.clone(),
            }),
            Recorded::Slots(_) | Recorded::Units(_) | Recorded::Vectors { .. } | Recorded::None => {
                None
            }
        }
    }

    /// Keeps at most `limit` columns, evenly spaced, including the first and the last.
    #[must_use]
    pub fn thinned(&self, limit: usize) -> Self {
        let columns = self.steps.len();
        if columns <= limit || limit < 2 {
            return self.clone();
        }
        let kept: Vec<usize> = (0..limit)
            .map(|i| i * (columns - 1) / (limit - 1))
            .collect();
        Self {
            slots: self.slots,
            steps: kept.iter().map(|&column| self.steps[column]).collect(),
            cue_step: self.cue_step,
            write_step: self.gather(&kept, &self.write_step),
            usefulness: self.gather(&kept, &self.usefulness),
            attention: self.gather(&kept, &self.attention),
        }
    }

    fn gather<T: Clone>(&self, columns: &[usize], values: &[T]) -> Vec<T> {
        columns
            .iter()
            .flat_map(|&column| values[column * self.slots..][..self.slots].to_vec())
            .collect()
    }

    fn check(&self) -> Result<(), String> {
        let cells = self.steps.len() * self.slots;
        for (name, length) in [
            ("write_step", self.write_step.len()),
            ("usefulness", self.usefulness.len()),
            ("attention", self.attention.len()),
        ] {
            if length != cells {
                return Err(format!(
                    "the memory view's {name} has {length} entries instead of {cells}"
                ));
            }
        }
        let finite = self
            .usefulness
            .iter()
            .chain(&self.attention)
            .all(|value| value.is_finite());
        if finite {
            Ok(())
        } else {
            Err("the memory view holds a value that is not a number".to_owned())
        }
    }
}

/// Beginning of the names under which a window's attention is recorded.
const BY_LAG: &str = "attention by steps ago";

/// Returns the share of attention on the cue's entry in an episode's last step, or the largest of
/// several attentions. `window` is the length of a memory that is a window.
pub fn cue_attention(episode: &EpisodeView, window: Option<usize>) -> Option<f64> {
    let cue = *episode.cue_steps.first()?;
    let last = episode.actions.len().checked_sub(1)?;
    match &episode.memory {
        Recorded::Slots(slots) if slots.entries == Entries::Steps => {
            let first = last * slots.num_slots;
            let written = slots.write_step.get(first..)?;
            let entries = written.iter().zip(slots.attention.get(first..)?);
            let of_cue = entries.filter(|(step, _)| **step == Some(cue));
            Some(of_cue.map(|(_, share)| f64::from(*share)).sum())
        }
        Recorded::Vectors { vectors } => {
            let attentions = vectors.iter().filter(|view| view.name.starts_with(BY_LAG));
            let shares = attentions.filter_map(|view| {
                // Without a place for the current step, the first place is one step ago.
                let passed = usize::from(Some(view.length) == window);
                let place = last.checked_sub(cue as usize)?.checked_sub(passed)?;
                let now = view.values.get(last * view.length..)?;
                now.get(place).map(|share| f64::from(*share))
            });
            shares.reduce(f64::max)
        }
        Recorded::Slots(_) | Recorded::Units(_) | Recorded::None => None,
    }
}

#[cfg(test)]
mod tests {
    use agent::views::heatmap::{SlotsView, VectorView};

    use super::*;

    fn view() -> MemoryView {
        MemoryView {
            slots: 2,
            steps: vec![0, 1, 2, 3, 4],
            cue_step: Some(0),
            write_step: (0..10).map(Some).collect(),
            usefulness: (0..10u8).map(f32::from).collect(),
            attention: vec![0.5; 10],
        }
    }

    #[test]
    fn only_slots_that_hold_steps_have_a_view() {
        let recorded = SlotsView {
            num_slots: 2,
            entries: Entries::Steps,
            write_step: vec![Some(0), None, Some(0), Some(1)],
            usefulness: vec![2.0, 0.0, 2.0, -1.0],
            attention: vec![0.5, 0.0, 0.75, 0.25],
        };
        let of = |memory| {
            MemoryView::from_episode(&EpisodeView {
                title: String::new(),
                observations: vec![vec![1.0]; 2],
                actions: vec![vec![0.0]; 2],
                rewards: vec![0.0; 2],
                cue_steps: vec![0],
                memory,
            })
        };
        let expected = MemoryView {
            slots: 2,
            steps: vec![0, 1],
            cue_step: Some(0),
            write_step: recorded.write_step.clone(),
            usefulness: recorded.usefulness.clone(),
            attention: recorded.attention.clone(),
        };
        assert_eq!(of(Recorded::Slots(recorded.clone())), Some(expected));
        let entries = Entries::Episodes;
        assert_eq!(
            of(Recorded::Slots(SlotsView {
                entries,
                ..recorded
            })),
            None
        );
        assert_eq!(of(Recorded::None), None);
    }

    fn episode(memory: Recorded) -> EpisodeView {
        EpisodeView {
            title: String::new(),
            observations: vec![vec![1.0]; 3],
            actions: vec![vec![0.0]; 3],
            rewards: vec![0.0; 3],
            cue_steps: vec![0],
            memory,
        }
    }

    #[test]
    fn attention_to_the_cue_is_that_of_the_last_step() {
        let mut slots = SlotsView {
            num_slots: 2,
            entries: Entries::Steps,
            write_step: vec![None, None, Some(0), None, Some(0), Some(1)],
            usefulness: vec![0.0; 6],
            attention: vec![0.0, 0.0, 0.5, 0.0, 0.75, 0.25],
        };
        let of = |slots: &SlotsView| cue_attention(&episode(Recorded::Slots(slots.clone())), None);
        assert_eq!(of(&slots), Some(0.75));
        slots.write_step[4] = Some(2);
        assert_eq!(of(&slots), Some(0.0), "the cue was dropped");
        slots.entries = Entries::Episodes;
        assert_eq!(of(&slots), None);
        assert_eq!(cue_attention(&episode(Recorded::None), None), None);
    }

    #[test]
    fn attention_of_a_window_is_found_by_its_lag() {
        let vector = |name: &str, values: &[f32]| VectorView {
            name: name.to_owned(),
            length: values.len(),
            values: [vec![0.0; 2 * values.len()], values.to_vec()].concat(),
        };
        let of = |vectors: &[VectorView]| {
            cue_attention(
                &episode(Recorded::Vectors {
                    vectors: vectors.to_vec(),
                }),
                Some(2),
            )
        };
        // The cue is two steps ago: the second place, or the third if the current step has one.
        let first = vector("attention by steps ago (hop 1)", &[0.75, 0.25]);
        let second = vector("attention by steps ago (layer 2)", &[0.0, 0.5, 0.5]);
        assert_eq!(of(std::slice::from_ref(&first)), Some(0.25));
        assert_eq!(of(&[first, second]), Some(0.5));
        assert_eq!(of(&[vector("usage", &[1.0, 1.0])]), None);
    }

    #[test]
    fn thinning_keeps_the_ends() {
        let thin = view().thinned(3);
        assert_eq!(thin.steps, [0, 2, 4]);
        assert_eq!(thin.usefulness, [0.0, 1.0, 4.0, 5.0, 8.0, 9.0]);
        assert_eq!(thin.check(), Ok(()));
        assert_eq!(view().thinned(5), view());
    }

    #[test]
    fn a_view_with_wrong_lengths_is_an_error() {
        let mut torn = view();
        torn.attention.pop();
        assert_eq!(
            torn.check().unwrap_err(),
            "the memory view's attention has 9 entries instead of 10"
        );
    }
}
