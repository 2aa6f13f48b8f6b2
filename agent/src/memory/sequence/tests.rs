//! Invariants of the window, of its clock and of the return that is asked for.

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::hyper::Hyperparameters;
use crate::memory::Previous;
use crate::memory::attention::parity;
use crate::nn;
use crate::spaces::actions::ActionHeads;

const LANES: usize = 2;
const STEPS: usize = 7;
const INPUTS: usize = 3;
const TARGET: f32 = 1.5;

/// Actions of a choice of two and one of three.
fn transformer(window: usize) -> (DecisionTransformer, Params) {
    let hyper = Hyperparameters::new()
        .with(Width { model_width: 8 })
        .with(Heads { memory_heads: 2 })
        .with(Layers { memory_layers: 2 })
        .with(Context {
            memory_window: window,
        })
        .with(Goal {
            target_return: TARGET,
            return_scale: 2.0,
            timestep_embeddings: 5,
        });
    let mut params = Params::new();
    let core = DecisionTransformer::new(&mut CoreContext {
        input_size: INPUTS,
        columns: &[],
        previous: Previous::default(),
        heads: &ActionHeads::of(&[2, 3]),
        hyper: &hyper,
        params: &mut params,
        rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
    });
    (core, params)
}

/// An episode in each lane. Rows are time-major.
#[derive(Clone)]
struct Played {
    inputs: Vec<f32>,
    actions: Vec<u32>,
    rewards: Vec<f32>,
    starts: Vec<bool>,
}

impl Played {
    fn new() -> Self {
        let rows = || (0..STEPS).flat_map(|step| (0..LANES).map(move |lane| (step, lane)));
        let action = |(step, lane): (usize, usize)| [(step + lane) % 2, (2 * step + lane) % 3];
        Self {
            inputs: (0..STEPS)
                .flat_map(|step| parity::inputs(step, LANES, INPUTS))
                .collect(),
            actions: rows()
                .flat_map(action)
                .map(|choice| choice as u32)
                .collect(),
            rewards: rows()
                .map(|(step, lane)| 0.25 * (step as f32 - lane as f32))
                .collect(),
            starts: rows().map(|(step, _)| step == 0).collect(),
        }
    }

    /// Returns the features of each step, as acting computes them.
    fn act(&self, core: &DecisionTransformer, params: &Params, state: &mut State) -> Vec<f32> {
        let mut features = Vec::new();
        for step in 0..STEPS {
            let rows = step * LANES..(step + 1) * LANES;
            let inputs = &self.inputs[rows.start * INPUTS..rows.end * INPUTS];
            let seen = core.step(params, inputs, &self.starts[rows.clone()], state, None);
            features.extend_from_slice(nn::values(&seen.features));
            let rewards: Vec<f64> = self.rewards[rows.clone()]
                .iter()
                .map(|&r| r.into())
                .collect();
            let actions = &self.actions[rows.start * 2..rows.end * 2];
            core.outcome(params, state, actions, &rewards, &[false; LANES]);
        }
        features
    }

    /// Returns the features of steps `first..end`, as learning computes them.
    fn unroll(
        &self,
        core: &DecisionTransformer,
        params: &Params,
        (first, end): (usize, usize),
        state: &State,
        goals: Option<&[f32]>,
    ) -> Vec<f32> {
        let rows = first * LANES..end * LANES;
        let zeros = vec![0.0; rows.len()];
        let segment = Segment {
            steps: end - first,
            batch: LANES,
            inputs: &self.inputs[rows.start * INPUTS..rows.end * INPUTS],
            starts: &self.starts[rows.clone()],
            ends: &vec![false; rows.len()],
            actions: &self.actions[rows.start * 2..rows.end * 2],
            rewards: &self.rewards[rows.clone()],
            goals: goals.map(|goals| &goals[rows]),
            initial_state: state,
            decisions: &[],
            returns: &zeros,
            values: &zeros,
        };
        let unrolled = core.unroll(&mut Graph::inference(params), &segment);
        nn::values(&unrolled.features).to_vec()
    }

    /// Returns what is still to be earned of the target at each row.
    fn goals(&self) -> Vec<f32> {
        let earned = |row: usize| self.rewards[row % LANES..row].iter().step_by(LANES);
        let rows = 0..self.rewards.len();
        rows.map(|row| TARGET - earned(row).sum::<f32>()).collect()
    }
}

/// Returns whether each step of lane 0 has the same features in both.
fn same(a: &[f32], b: &[f32]) -> Vec<bool> {
    let of_step = LANES * 8;
    let steps = a.chunks_exact(of_step).zip(b.chunks_exact(of_step));
    steps.map(|(a, b)| a[..8] == b[..8]).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }
}

#[test]
fn it_computes_the_equations_of_the_paper() {
    let text = include_str!("../../../tests/parity/decision_transformer.json");
    let reference = parity::reference(text);
    let (core, mut params) = transformer(3);
    let names = reference["names"].as_array().unwrap();
    let phase = |name: &str| names.iter().position(|known| known == name).unwrap() as f64;
    parity::fill(&mut params, phase);
    let features = Played::new().act(&core, &params, &mut core.initial_state(LANES));
    for (step, features) in features.chunks_exact(LANES * 8).enumerate() {
        parity::assert_close(features, &reference, step);
    }
}

/// A token changes nothing before it: an action not the features of its own step.
#[test]
fn attention_is_causal() {
    let (core, params) = transformer(STEPS);
    let (played, state) = (Played::new(), core.initial_state(LANES));
    let goals = played.goals();
    let unroll = |played: &Played, goals: &[f32]| {
        played.unroll(&core, &params, (0, STEPS), &state, Some(goals))
    };
    let features = unroll(&played, &goals);
    let changed_from = |step: usize| (0..STEPS).map(|t| t < step).collect::<Vec<_>>();
    let at = 3 * LANES;

    let mut other = played.clone();
    other.actions[2 * at] = 1 - other.actions[2 * at];
    assert_eq!(same(&features, &unroll(&other, &goals)), changed_from(4));
    let mut other = played.clone();
    other.inputs[INPUTS * at] += 0.5;
    assert_eq!(same(&features, &unroll(&other, &goals)), changed_from(3));
    let mut goals = goals;
    goals[at] += 0.5;
    assert_eq!(same(&features, &unroll(&played, &goals)), changed_from(3));
}

/// Through no layer: the window is encoded anew.
#[test]
fn a_window_ends_where_it_ends() {
    let (core, params) = transformer(3);
    let played = Played::new();
    let mut other = played.clone();
    other.inputs[0] += 0.5;
    let [features, others] =
        [&played, &other].map(|p| p.act(&core, &params, &mut core.initial_state(LANES)));
    let expected: Vec<bool> = (0..STEPS).map(|step| step >= 3).collect();
    assert_eq!(same(&features, &others), expected);
}

/// Whole episodes, and windows from their middle that begin with the clock alone.
#[test]
fn learning_sees_a_window_as_acting_saw_it() {
    let (core, params) = transformer(3);
    let played = Played::new();
    let acted = played.act(&core, &params, &mut core.initial_state(LANES));
    let state = core.initial_state(LANES);
    let whole = played.unroll(&core, &params, (0, STEPS), &state, None);
    assert_close(&whole, &acted);
    for first in 1..STEPS - 2 {
        let state = core.state_at(&[first; LANES]);
        let goals = played.goals();
        let window = played.unroll(&core, &params, (first, first + 3), &state, Some(&goals));
        let last = (first + 2) * LANES * 8;
        assert_close(&window[2 * LANES * 8..], &acted[last..last + LANES * 8]);
    }
}

#[test]
fn the_return_that_is_asked_for_is_the_target_less_what_was_earned() {
    let (core, params) = transformer(3);
    let played = Played::new();
    let mut state = core.initial_state(LANES);
    played.act(&core, &params, &mut state);
    let goals = played.goals();
    let last = (STEPS - 1) * LANES;
    let left: Vec<f32> = (last..last + LANES)
        .map(|row| goals[row] - played.rewards[row])
        .collect();
    assert_eq!(state.arrays[array::GOAL].data, left);
    // Of the kept steps the latest comes first.
    let kept = [goals[last], goals[last - LANES], goals[last - 2 * LANES]];
    assert_eq!(state.arrays[array::GOALS].row(0), kept);
}

/// Places of a window that hold no step are padding.
#[test]
fn padding_changes_nothing() {
    let (core, params) = transformer(5);
    let played = Played::new();
    let features = played.act(&core, &params, &mut core.initial_state(LANES));
    let mut padded = core.initial_state(LANES);
    for array in [array::GOALS, array::INPUTS] {
        padded.arrays[array].data.fill(7.0);
    }
    padded.arrays[array::ACTIONS].data.fill(1.0);
    assert_eq!(played.act(&core, &params, &mut padded), features);
}

#[test]
fn attention_is_shown_by_steps_ago() {
    let (core, params) = transformer(5);
    let mut state = core.initial_state(LANES);
    Played::new().act(&core, &params, &mut state);
    let MemoryContents::Vectors(vectors) = core.inspect(&state, 1) else {
        panic!("vectors");
    };
    assert_eq!(vectors.len(), 1 + 2 * KINDS);
    for layer in vectors[1..].chunks_exact(KINDS) {
        let sum: f32 = layer.iter().flat_map(|(_, weights)| weights).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        // The action is not known yet when it is chosen.
        assert_eq!(layer[2].1[0], 0.0);
        assert!(layer[1].1[4] > 0.0);
    }
}
