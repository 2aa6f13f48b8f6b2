//! Steps, as a state keeps them and as a segment has them, and the windows that they make.

use super::layout::Layout;
use crate::hyper::section::section;
use crate::memory::{Segment, State};

section! {
    /// The return that a sequence model is asked for.
    pub struct Goal, overridden by GoalOverrides {
        /// Return that is asked for while acting.
        target_return: f32 = 1.0, |&v| v.is_finite(), "a number";
        /// Size of returns: the model reads them divided by it.
        return_scale: f32 = 1.0, |&v| v > 0.0 && v.is_finite(), "above 0";
        /// Steps of an episode that have an embedding of their own; later ones share the last.
        timestep_embeddings: usize = 256, |&v| (1..=65_536).contains(&v), "1 to 65536";
    }
}

/// Indices of the state's arrays. Of the kept steps the latest comes first.
pub mod array {
    /// Steps kept of the episode, at most K.
    pub const LENGTH: usize = 0;
    /// Number of the next step in its episode, as far as steps have embeddings of their own.
    pub const STEP: usize = 1;
    /// Return-to-go of the next step.
    pub const GOAL: usize = 2;
    /// Returns-to-go of the kept steps, K.
    pub const GOALS: usize = 3;
    /// Their inputs, K rows.
    pub const INPUTS: usize = 4;
    /// Their actions, K rows, each a number for each component.
    pub const ACTIONS: usize = 5;
    /// Attention of each layer in the last step to each kind of token, K numbers each: the mean over heads.
    pub const ATTENTION: usize = 6;
}

/// Sizes of a window and of its steps, and the return that is asked for.
pub struct Form {
    /// The return that is asked for, and how steps are numbered.
    pub goal: Goal,
    /// Steps of a window, K.
    pub window: usize,
    /// Numbers in an input row.
    pub input_size: usize,
    /// Components of an action.
    pub components: usize,
}

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

impl Form {
    /// Returns the number by which an embedding of a step is found.
    fn number(&self, step: usize) -> u32 {
        step.min(self.goal.timestep_embeddings - 1) as u32
    }

    /// Appends the step that a lane took `back` steps before the next one, 1 for the last.
    pub fn append_kept(&self, steps: &mut Steps, state: &State, lane: usize, back: usize) {
        let row = |array: usize, width: usize| {
            &state.arrays[array].row(lane)[(back - 1) * width..][..width]
        };
        steps.goals.extend_from_slice(row(array::GOALS, 1));
        steps
            .inputs
            .extend_from_slice(row(array::INPUTS, self.input_size));
        let actions = row(array::ACTIONS, self.components);
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
    pub fn lay_out(&self, segment: &Segment<'_>) -> (Steps, Layout) {
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
                    let components = self.components;
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
