//! Steps, as a state keeps them and as a segment has them, and the windows that they make.

use super::layout::Layout;
use super::{DecisionTransformer, array};
use crate::memory::{Segment, State};

/// The steps of a [`Layout`], in its order.
#[derive(Default)]
pub struct Steps {
    /// Returns-to-go, `[M]`.
    pub goals: Vec<f32>,
    /// `[M, input_size]`.
    pub inputs: Vec<f32>,
    /// `[M, components]`.
    pub actions: Vec<u32>,
    /// Numbers in their episodes, `[M]`.
    pub numbers: Vec<u32>,
}

impl DecisionTransformer {
    /// Returns the number by which an embedding of a step is found.
    fn number(&self, step: usize) -> u32 {
        step.min(self.goal.timestep_embeddings - 1) as u32
    }

    /// Appends the step that a lane took `back` steps before the next one, 1 for the last.
    pub(super) fn append_kept(&self, steps: &mut Steps, state: &State, lane: usize, back: usize) {
        let row = |array: usize, width: usize| {
            &state.arrays[array].row(lane)[(back - 1) * width..][..width]
        };
        steps.goals.extend_from_slice(row(array::GOALS, 1));
        steps
            .inputs
            .extend_from_slice(row(array::INPUTS, self.input_size));
        let actions = row(array::ACTIONS, self.sizes.len());
        steps
            .actions
            .extend(actions.iter().map(|&choice| choice as u32));
        let next = state.arrays[array::STEP].row(lane)[0] as usize;
        steps.numbers.push(self.number(next.saturating_sub(back)));
    }

    /// Returns the returns-to-go of a segment's rows as acting keeps them, `[T*B]`.
    fn kept_goals(&self, segment: &Segment<'_>) -> Vec<f32> {
        let mut goals = segment.initial_state.arrays[array::GOAL].data.clone();
        let mut all = Vec::with_capacity(segment.starts.len());
        for (row, &start) in segment.starts.iter().enumerate() {
            let goal = &mut goals[row % segment.batch];
            if start {
                *goal = self.goal.target_return;
            }
            all.push(*goal);
            *goal -= segment.rewards[row];
        }
        all
    }

    /// Lays a segment out as windows.
    pub(super) fn lay_out(&self, segment: &Segment<'_>) -> (Steps, Layout) {
        let goals = match segment.goals {
            Some(goals) => goals.to_vec(),
            None => self.kept_goals(segment),
        };
        let rows = segment.starts.len();
        let (mut steps, mut layout) = (Steps::default(), Layout::default());
        for lane in 0..segment.batch {
            let mut past = Past::of(segment.initial_state, lane);
            let mut is_shared = false;
            for t in 0..segment.steps {
                let row = t * segment.batch + lane;
                if segment.starts[row] {
                    past = Past::beginning(t);
                    is_shared = false;
                }
                let before = (past.kept + t - past.first).min(self.window - 1);
                let is_full = past.kept + t - past.first >= self.window;
                let first = if is_shared && !is_full {
                    t
                } else {
                    t - before.min(t - past.first)
                };
                if !is_shared || is_full {
                    layout.begin();
                    for back in (1..=before - (t - first)).rev() {
                        self.append_kept(&mut steps, segment.initial_state, lane, back);
                        layout.push();
                    }
                    is_shared = !is_full;
                }
                for t in first..=t {
                    let row = t * segment.batch + lane;
                    let components = self.sizes.len();
                    steps.goals.push(goals[row]);
                    let inputs = &segment.inputs[row * self.input_size..][..self.input_size];
                    steps.inputs.extend_from_slice(inputs);
                    let actions = &segment.actions[row * components..][..components];
                    steps.actions.extend_from_slice(actions);
                    steps.numbers.push(self.number(past.steps + t - past.first));
                    layout.push();
                }
                layout.answer(row, rows);
            }
        }
        (steps, layout)
    }
}

/// Steps before the rows of a lane.
struct Past {
    /// The row at which the episode begins, or the segment.
    first: usize,
    /// Steps that were kept from before it.
    kept: usize,
    /// Steps of the episode before it.
    steps: usize,
}

impl Past {
    fn of(state: &State, lane: usize) -> Self {
        let number = |array: usize| state.arrays[array].row(lane)[0] as usize;
        Self {
            first: 0,
            kept: number(array::LENGTH),
            steps: number(array::STEP),
        }
    }

    fn beginning(first: usize) -> Self {
        Self {
            first,
            kept: 0,
            steps: 0,
        }
    }
}
