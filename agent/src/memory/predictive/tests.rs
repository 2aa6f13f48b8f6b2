//! MERLIN against its paper: invariants, stop-gradients, and a forward pass that was computed from the equations.

use std::collections::HashMap;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;

use super::*;
use crate::hyper::Hyperparameters;
use crate::memory::{Previous, Writes};
use crate::nn::{ParamId, check::check_gradients, values};
use crate::spaces::actions::ActionHeads;

const SMALL: fn() -> Predictive = || Predictive {
    latent_size: 3,
    memory_rows: 4,
    ..Predictive::default()
};

/// The previous action, of two choices, and the previous reward are the last numbers of an input row.
fn previous(input_size: usize) -> Previous {
    Previous {
        action: input_size - 3..input_size - 1,
        reward: input_size - 1..input_size,
    }
}

/// Small networks over inputs of two numbers and the previous action and reward, with weights that are not tiny.
fn small(predictive: Predictive, writes: bool) -> (Params, Merlin) {
    let mut params = Params::new();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let hyper = Hyperparameters::new()
        .with(Network { hidden_size: 5 })
        .with(Writes {
            memory_writes: writes,
        })
        .with(predictive);
    let merlin = Merlin::new(&mut CoreContext {
        input_size: 5,
        columns: &[],
        previous: previous(5),
        heads: &ActionHeads::of(&[2]),
        hyper: &hyper,
        params: &mut params,
        rng: &mut rng,
    });
    for id in params.ids() {
        let jitter = |weight: &mut f32| *weight += rng.random_range(-0.3..0.3);
        params.data_mut(id).iter_mut().for_each(jitter);
    }
    (params, merlin)
}

/// Two lanes that play `steps` steps, the second of which starts an episode in the middle.
struct Played {
    inputs: Vec<f32>,
    starts: Vec<bool>,
    actions: Vec<u32>,
    numbers: Vec<f32>,
    initial: State,
    decisions: Vec<i32>,
    after: State,
}

fn play(params: &Params, merlin: &Merlin, steps: usize) -> Played {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    let mut noise = LaneGenerators::new(2, 0..2);
    let rows = 2 * steps;
    let numbers = |rng: &mut Xoshiro256PlusPlus, count: usize| -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    };
    let mut starts = vec![false; rows];
    (starts[0], starts[1], starts[steps / 2 * 2 + 1]) = (true, true, true);
    let initial = merlin.initial_state(2);
    let mut state = initial.clone();
    let mut inputs = numbers(&mut rng, rows * 5);
    for (row, input) in inputs.chunks_exact_mut(5).enumerate() {
        (input[2], input[3]) = if starts[row] { (0.0, 0.0) } else { (1.0, 0.0) };
    }
    let mut decisions = Vec::new();
    for first in (0..rows).step_by(2) {
        let (x, starts) = (&inputs[first * 5..][..10], &starts[first..first + 2]);
        let step = merlin.step(params, x, starts, &mut state, Some(&mut noise));
        decisions.extend(step.decisions);
    }
    Played {
        numbers: numbers(&mut rng, rows),
        actions: (0..rows).map(|_| rng.random_range(0..2)).collect(),
        inputs,
        starts,
        initial,
        decisions,
        after: state,
    }
}

impl Played {
    fn segment(&self) -> Segment<'_> {
        Segment {
            steps: self.starts.len() / 2,
            batch: 2,
            inputs: &self.inputs,
            starts: &self.starts,
            ends: &self.starts,
            actions: &self.actions,
            rewards: &self.numbers,
            goals: None,
            initial_state: &self.initial,
            decisions: &self.decisions,
            returns: &self.numbers,
            values: &self.inputs[..self.starts.len()],
        }
    }
}

/// Names of the parameters that a loss gives a gradient.
fn reached(params: &Params, loss: impl Fn(&mut Graph<'_>) -> Tensor) -> Vec<String> {
    let mut graph = Graph::training(params);
    let loss = loss(&mut graph);
    let gradients = graph.backward(&loss);
    let has_gradient = |id: &ParamId| {
        let gradient = gradients.of(*id).unwrap_or(&[]);
        gradient.iter().any(|&g| g != 0.0)
    };
    let ids = params.ids().filter(has_gradient);
    ids.map(|id| params.name(id).to_owned()).collect()
}

fn mean_square(graph: &mut Graph<'_>, x: &Tensor, rows: usize) -> Tensor {
    let targets = vec![0.3; values(x).len()];
    graph.mse(x, &targets, &vec![1.0; rows])
}

fn is_of_policy(name: &str) -> bool {
    name.starts_with("core.policy")
}

#[test]
fn the_policy_trains_nothing_of_the_predictor() {
    let (params, merlin) = small(SMALL(), true);
    let played = play(&params, &merlin, 8);
    let names = reached(&params, |graph| {
        let features = merlin.unroll(graph, &played.segment()).features;
        mean_square(graph, &features, 16)
    });
    assert!(names.iter().all(|name| is_of_policy(name)), "{names:?}");
    assert_eq!(
        names.len(),
        params.names().filter(|name| is_of_policy(name)).count()
    );
}

#[test]
fn the_value_trains_the_predictor_and_nothing_of_the_policy() {
    let (params, merlin) = small(SMALL(), true);
    let played = play(&params, &merlin, 8);
    let names = reached(&params, |graph| {
        let features = merlin.unroll(graph, &played.segment()).critic_features;
        mean_square(graph, &features.unwrap(), 16)
    });
    assert!(!names.iter().any(|name| is_of_policy(name)), "{names:?}");
    for part in [
        "encoder",
        "prior.1",
        "posterior.3",
        "predictor.gates",
        "predictor.interface",
    ] {
        assert!(
            names.contains(&format!("core.{part}.weight")),
            "{part}: {names:?}"
        );
    }
}

/// The input of a start is like any other, so that what tells it must come from the empty state, through the prior.
#[test]
fn z_must_tell_a_start_if_it_is_asked_to() {
    let hyper = Predictive {
        reconstruct_starts: true,
        ..SMALL()
    };
    let (params, merlin) = small(hyper, true);
    let played = play(&params, &merlin, 8);
    let names = reached(&params, |graph| {
        let losses = merlin.unroll(graph, &played.segment()).losses;
        let of_starts = losses.into_iter().find(|loss| loss.0 == "start_loss");
        of_starts.unwrap().2
    });
    for part in ["decoder.start", "decoder.1", "prior.3", "posterior.3"] {
        let name = format!("core.{part}.weight");
        assert!(names.contains(&name), "{part}: {names:?}");
    }
    assert!(!names.iter().any(|name| is_of_policy(name)), "{names:?}");
    let (params, _) = small(SMALL(), true);
    assert!(params.names().all(|name| !name.contains("start")));
}

/// R̂ = V + A: its error moves the advantage and z, and neither the policy nor the value.
#[test]
fn the_error_of_the_advantage_stops_at_the_value() {
    let (params, merlin) = small(SMALL(), true);
    let played = play(&params, &merlin, 8);
    let names = reached(&params, |graph| {
        let losses = merlin.unroll(graph, &played.segment()).losses;
        let of = |name| losses.iter().find(|loss| loss.0 == name).unwrap().2.clone();
        of("advantage_loss")
    });
    assert!(names.contains(&"core.advantage.1.weight".to_owned()));
    assert!(names.contains(&"core.encoder.weight".to_owned()));
    let others = ["core.value", "core.policy", "core.decoder"];
    assert!(
        !names
            .iter()
            .any(|name| others.iter().any(|other| name.starts_with(other)))
    );
}

#[test]
fn without_predictive_losses_the_policy_trains_all() {
    let hyper = Predictive {
        predictive_losses: false,
        ..SMALL()
    };
    let (params, merlin) = small(hyper, true);
    let played = play(&params, &merlin, 8);
    assert!(
        played
            .decisions
            .iter()
            .step_by(DECISIONS)
            .all(|&seed| seed == 0),
        "no noise"
    );
    let names = reached(&params, |graph| {
        let unrolled = merlin.unroll(graph, &played.segment());
        assert!(unrolled.losses.is_empty());
        mean_square(graph, &unrolled.features, 16)
    });
    let count = params
        .names()
        .filter(|name| !name.starts_with("core.value"))
        .count();
    assert_eq!(names.len(), count, "{names:?}");
}

#[test]
fn gradients_of_the_predictive_losses() {
    let hyper = Predictive {
        latent_size: 2,
        memory_rows: 3,
        reconstruction_weight: 1.0,
        reconstruct_starts: true,
        ..Predictive::default()
    };
    let (mut params, merlin) = small(hyper, true);
    let played = play(&params, &merlin, 5);
    check_gradients(&mut params, |graph| {
        let losses = merlin.unroll(graph, &played.segment()).losses;
        let losses: Vec<(f32, &Tensor)> =
            losses.iter().map(|(_, w, loss)| (w * 0.3, loss)).collect();
        graph.total(&losses)
    });
}

/// Rows 0 to 3 in turn, then others; a lane that starts writes nothing. The first halves of rows are what was written.
#[test]
fn rows_are_written_in_turn_and_keep_what_was_written() {
    let (params, merlin) = small(SMALL(), true);
    let played = play(&params, &merlin, 5);
    let rows: Vec<i32> = played
        .decisions
        .iter()
        .skip(1)
        .step_by(DECISIONS)
        .copied()
        .collect();
    assert_eq!(rows, [-1, -1, 0, 0, 1, -1, 2, 0, 3, 1]);
    let mut graph = Graph::inference(&params);
    let seeds: Vec<i32> = played
        .decisions
        .iter()
        .step_by(DECISIONS)
        .copied()
        .collect();
    let given = (&played.inputs[..], &played.starts[..]);
    let (latents, ..) = merlin.run(&mut graph, given, &seeds, Some(&rows), &played.initial);
    let memory = played.after.arrays[array::MEMORY].row(0);
    let z = |step: usize| &values(&latents[step].z)[..3];
    for row in 0..4 {
        assert_eq!(&memory[row * 6..][..3], z(row), "row {row}");
    }
    // What followed row 2 is z of step 3, once: (1 − γ) z.
    for (gathered, z) in memory[2 * 6 + 3..][..3].iter().zip(z(3)) {
        assert!((gathered - 0.04 * z).abs() < 1e-6);
    }
}

#[test]
fn without_writes_the_memory_stays_empty_and_without_reads_nothing_comes_of_it() {
    let (params, merlin) = small(SMALL(), false);
    let played = play(&params, &merlin, 6);
    assert!(
        played.after.arrays[array::MEMORY]
            .data
            .iter()
            .all(|&x| x == 0.0)
    );
    let hyper = Predictive {
        memory_reads: false,
        ..SMALL()
    };
    let (params, merlin) = small(hyper, true);
    let after = play(&params, &merlin, 6).after;
    assert!(after.arrays[array::MEMORY].data.iter().any(|&x| x != 0.0));
    let reads = [array::PREDICTOR + 2, array::POLICY + 2];
    assert!(
        reads
            .iter()
            .all(|&at| after.arrays[at].data.iter().all(|&x| x == 0.0))
    );
}

#[test]
fn noise_follows_from_its_seed() {
    assert_eq!(noise(0, 3), [0.0; 3]);
    assert_eq!(noise(7, 3), noise(7, 3));
    let many = noise(-5, 100_000);
    let mean = many.iter().sum::<f32>() / 1e5;
    let variance = many.iter().map(|x| x * x).sum::<f32>() / 1e5;
    assert!(
        mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02,
        "{mean} {variance}"
    );
}

#[derive(Deserialize)]
struct Case {
    sizes: HashMap<String, usize>,
    weights: HashMap<String, Vec<f32>>,
    inputs: Vec<f32>,
    starts: Vec<bool>,
    actions: Vec<u32>,
    rewards: Vec<f32>,
    returns: Vec<f32>,
    values: Vec<f32>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    prior: Vec<Vec<f32>>,
    posterior: Vec<Vec<f32>>,
    features: Vec<Vec<f32>>,
    critic_features: Vec<Vec<f32>>,
    policy_read: Vec<Vec<f32>>,
    rows: Vec<i32>,
    memory: Vec<Vec<f32>>,
    losses: HashMap<String, f32>,
}

fn of_case(case: &Case) -> (Params, Merlin) {
    let hyper = Hyperparameters::new()
        .with(Network {
            hidden_size: case.sizes["hidden_size"],
        })
        .with(Predictive {
            latent_size: case.sizes["latent_size"],
            memory_rows: case.sizes["memory_rows"],
            predictor_reads: case.sizes["predictor_reads"],
            retroactive_decay: 0.9,
            reconstruction_weight: 10.0,
            reconstruct_starts: true,
            kl_weight: 1.0,
            return_weight: 0.5,
            ..Predictive::default()
        });
    let mut params = Params::new();
    let merlin = Merlin::new(&mut CoreContext {
        input_size: case.inputs.len() / case.starts.len(),
        columns: &[],
        previous: previous(case.inputs.len() / case.starts.len()),
        heads: &ActionHeads::of(&[2]),
        hyper: &hyper,
        params: &mut params,
        rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
    });
    assert_eq!(params.ids().len(), case.weights.len());
    for id in params.ids() {
        let weights = &case.weights[params.name(id)];
        params.data_mut(id).copy_from_slice(weights);
    }
    (params, merlin)
}

#[track_caller]
fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{a}, not {b}");
    }
}

/// The numbers of `scripts/parity/merlin.py`, which takes the steps in the order of the paper.
#[test]
fn the_forward_pass_is_that_of_the_equations() {
    let case = include_str!("../../../tests/parity/merlin.json");
    let case: Case = serde_json::from_str(case).unwrap();
    let expected = &case.expected;
    let (params, merlin) = of_case(&case);
    let initial_state = merlin.initial_state(1);
    let mut state = initial_state.clone();
    let width = case.inputs.len() / case.starts.len();
    let mut decisions = Vec::new();
    for (t, x) in case.inputs.chunks_exact(width).enumerate() {
        let step = merlin.step(&params, x, &case.starts[t..=t], &mut state, None);
        close(values(&step.features), &expected.features[t]);
        close(
            values(&step.critic_features.unwrap()),
            &expected.critic_features[t],
        );
        close(
            &state.arrays[array::POLICY + 2].data,
            &expected.policy_read[t],
        );
        decisions.extend(step.decisions);
    }
    close(&state.arrays[array::MEMORY].data, &expected.memory.concat());
    let written = decisions.iter().skip(1).step_by(DECISIONS).copied();
    let written: Vec<i32> = written.filter(|&row| row >= 0).collect();
    assert_eq!(written, expected.rows);

    let segment = Segment {
        steps: case.starts.len(),
        batch: 1,
        inputs: &case.inputs,
        starts: &case.starts,
        ends: &case.starts,
        actions: &case.actions,
        rewards: &case.rewards,
        goals: None,
        initial_state: &initial_state,
        decisions: &decisions,
        returns: &case.returns,
        values: &case.values,
    };
    let mut graph = Graph::inference(&params);
    let unrolled = merlin.unroll(&mut graph, &segment);
    close(values(&unrolled.features), &expected.features.concat());
    assert_eq!(unrolled.losses.len(), expected.losses.len());
    for (name, weight, loss) in &unrolled.losses {
        close(&[weight * values(loss)[0]], &[expected.losses[*name]]);
    }
    let rows: Vec<i32> = decisions
        .iter()
        .skip(1)
        .step_by(DECISIONS)
        .copied()
        .collect();
    let given = (&case.inputs[..], &case.starts[..]);
    let seeds = vec![0; case.starts.len()];
    let (latents, ..) = merlin.run(&mut graph, given, &seeds, Some(&rows), &initial_state);
    for (t, latent) in latents.iter().enumerate() {
        close(values(&latent.prior), &expected.prior[t]);
        close(values(&latent.posterior), &expected.posterior[t]);
    }
}
