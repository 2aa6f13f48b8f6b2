use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::hyper::Hyperparameters;
use crate::memory::Network;

/// One number of input, two actions, queries of two numbers, two slots.
fn lifetime(learn_retention: bool, max_steps: usize) -> (EpisodeMemory, Params) {
    let hyper = Hyperparameters::new()
        .with(Network { hidden_size: 4 })
        .with(Episodes {
            context_length: max_steps,
        })
        .with(Slots {
            mem_dim: 4,
            max_entries: 2,
            memory_learn_retention: learn_retention,
            memory_retention_coef: 0.5,
        });
    let mut params = Params::new();
    let lifetime = EpisodeMemory::new(
        &mut CoreContext {
            input_size: 1,
            columns: &[],
            previous: crate::memory::Previous::default(),
            heads: &ActionHeads::of(&[2]),
            hyper: &hyper,
            params: &mut params,
            rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
        },
        0,
        2,
        true,
    );
    (lifetime, params)
}

fn fresh(lifetime: &EpisodeMemory, lanes: usize) -> State {
    State::new(lanes, lifetime.arrays(lanes))
}

/// Plays an episode in a state of one lane: inputs, then action 1 and the reward at its end.
fn play(lifetime: &EpisodeMemory, params: &Params, state: &mut State, inputs: &[f32], reward: f64) {
    for (i, &input) in inputs.iter().enumerate() {
        lifetime.begin_step(state, &[input], &[i == 0]);
        let end = i + 1 == inputs.len();
        let reward = if end { reward } else { 0.0 };
        lifetime.outcome(params, state, &[1], &[reward], &[end]);
    }
}

#[test]
fn an_entry_is_an_episodes_inputs_actions_and_rewards() {
    let (lifetime, params) = lifetime(true, 4);
    let mut state = fresh(&lifetime, 1);
    play(&lifetime, &params, &mut state, &[5.0, 6.0], -1.0);
    assert_eq!(
        lifetime.entry(&state, 0, 0),
        [5., 0., 1., 0., 6., 0., 1., -1.]
    );
    assert!(lifetime.entry(&state, 0, 1).is_empty());
}

#[test]
fn a_long_episode_keeps_its_first_and_its_last_half() {
    let (lifetime, params) = lifetime(true, 4);
    let mut state = fresh(&lifetime, 1);
    play(
        &lifetime,
        &params,
        &mut state,
        &[0., 1., 2., 3., 4., 5.],
        1.0,
    );
    let inputs: Vec<f32> = lifetime
        .entry(&state, 0, 0)
        .chunks(4)
        .map(|step| step[0])
        .collect();
    assert_eq!(inputs, [0., 1., 4., 5.]);
    assert_eq!(lifetime.entry(&state, 0, 0)[15], 1.0, "the outcome is in");
}

#[test]
fn an_episode_that_was_broken_off_is_no_entry() {
    let (lifetime, params) = lifetime(true, 4);
    let mut state = fresh(&lifetime, 1);
    lifetime.begin_step(&mut state, &[9.0], &[true]);
    lifetime.outcome(&params, &mut state, &[0], &[0.0], &[false]);
    play(&lifetime, &params, &mut state, &[5.0], 1.0);
    assert_eq!(lifetime.entry(&state, 0, 0), [5., 0., 1., 1.]);
}

/// Which first inputs the two slots hold after a third episode.
fn kept_after_three(learn_retention: bool, usefulness: [f32; 2]) -> [f32; 2] {
    let (lifetime, params) = lifetime(learn_retention, 4);
    let mut state = fresh(&lifetime, 1);
    play(&lifetime, &params, &mut state, &[1.0], 0.0);
    play(&lifetime, &params, &mut state, &[2.0], 0.0);
    state.arrays[array::USEFULNESS]
        .data
        .copy_from_slice(&usefulness);
    play(&lifetime, &params, &mut state, &[3.0], 0.0);
    [0, 1].map(|slot| lifetime.entry(&state, 0, slot)[0])
}

#[test]
fn the_least_useful_entry_goes() {
    assert_eq!(kept_after_three(true, [0.5, -0.5]), [1.0, 3.0]);
    assert_eq!(kept_after_three(true, [-0.5, 0.5]), [3.0, 2.0]);
}

#[test]
fn the_oldest_goes_where_usefulness_is_not_learned() {
    assert_eq!(kept_after_three(false, [0.5, -0.5]), [3.0, 2.0]);
}

/// With queries and scores of zero an entry's gate is σ(0) = ½ and the null slot's 1: of two entries each gets ¼. The
/// usefulness loss at return 2 is the mean of (0 − ¼·2)² = ¼.
#[test]
fn attention_and_the_usefulness_loss_by_hand() {
    let (lifetime, mut params) = lifetime(true, 4);
    params.data_mut(lifetime.query).fill(0.0);
    params.data_mut(lifetime.usefulness.0).fill(0.0);
    params.data_mut(lifetime.null).fill(8.0);
    let mut state = fresh(&lifetime, 1);
    play(&lifetime, &params, &mut state, &[1.0, 0.0], 1.0);
    play(&lifetime, &params, &mut state, &[0.0], -1.0);
    lifetime.refresh(&params, &mut state);

    let mut graph = Graph::inference(&params);
    let queries = graph.constant(vec![1.0, 1.0], (1, 2));
    let readout = lifetime.read(&mut graph, &mut state, &queries);
    assert_eq!(state.arrays[array::ATTENTION].data, [0.25, 0.25]);
    let encodings = &state.arrays[array::ENCODING].data;
    for (i, found) in nn::values(&readout).iter().enumerate() {
        let expected = 4.0 + 0.25 * (encodings[i] + encodings[4 + i]);
        assert!((found - expected).abs() < 1e-6);
    }

    let segment = Segment {
        steps: 1,
        batch: 1,
        inputs: &[0.0],
        starts: &[true],
        ends: &[true],
        actions: &[0],
        rewards: &[0.0],
        goals: None,
        initial_state: &state,
        decisions: &[-2, -3],
        returns: &[2.0],
        values: &[0.0],
    };
    let read = lifetime.unroll(&mut graph, &segment, &queries, segment.decisions);
    assert_eq!(nn::values(&read.readout), nn::values(&readout));
    let (name, weight, loss) = &read.losses[0];
    assert_eq!((*name, *weight), ("usefulness_loss", 0.5));
    assert!((nn::values(loss)[0] - 0.25).abs() < 1e-6);
}

#[test]
fn new_lanes_take_over_entries_but_not_the_episode_under_way() {
    let (lifetime, params) = lifetime(true, 4);
    let mut trained = fresh(&lifetime, 1);
    play(&lifetime, &params, &mut trained, &[1.0, 2.0], 1.0);
    lifetime.begin_step(&mut trained, &[9.0], &[true]);
    let mut state = fresh(&lifetime, 2);
    lifetime.copy_entries(&mut state, 1, &trained, 0);
    assert!(lifetime.entry(&state, 0, 0).is_empty());
    assert_eq!(lifetime.entry(&state, 1, 0), lifetime.entry(&trained, 0, 0));
    assert!(lifetime.episode(&state, 1).is_empty());
    // It continues to count, so that the oldest stays the oldest.
    play(&lifetime, &params, &mut trained, &[3.0], 1.0);
    assert_eq!(lifetime.contents(&trained, 0)[1].unwrap().written_at, 1);
}
