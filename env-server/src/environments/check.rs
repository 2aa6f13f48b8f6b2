//! The contract every environment keeps, as one call.

use env_protocol::{AutoresetMode, Data, Kwargs, Seed, Space, Value};

use super::{Arguments, Environment};
use crate::render::{to_ansi, to_png};
use crate::session::vector::{Refusal, Reset, StepBatch, VectorEnvironment, VectorOf};

/// Lanes played at once.
const LANES: usize = 3;
/// More steps than an episode of a checked configuration takes.
const STEPS: usize = 500;

/// Checked arguments of an environment.
pub(crate) fn arguments<E: Environment>(kwargs: serde_json::Value) -> Arguments {
    let kwargs: Kwargs = serde_json::from_value(kwargs).expect("an object");
    Arguments::resolve(&E::spec().parameters, &kwargs).expect("arguments in range")
}

/// Checks an environment with these arguments:
/// - observations are in their space, rewards in their range, and episodes end;
/// - the same seed gives the same trajectory, alone or as a lane, and another seed another one;
/// - saving and restoring in the middle changes nothing;
/// - a picture can be drawn of every state, with something in it;
/// - an action outside the space is an error and changes nothing.
pub(crate) fn check_environment<E: Environment>(kwargs: serde_json::Value) {
    let arguments = arguments::<E>(kwargs);
    let make = |num_envs, seed| {
        let seed = Seed::First(seed);
        VectorOf::<E>::new(&arguments, num_envs, AutoresetMode::SameStep, &seed).expect("arguments")
    };
    let batch = play(&mut make(LANES, 7), STEPS);
    stays_in_bounds::<E>(&batch);
    assert_eq!(batch, play(&mut make(LANES, 7), STEPS), "same seed");
    assert_ne!(batch, play(&mut make(LANES, 8), STEPS), "another seed");
    for lane in 0..LANES {
        let alone = play(&mut make(1, 7 + lane as u64), STEPS);
        for (t, (alone, batch)) in alone.iter().zip(&batch).enumerate() {
            assert_eq!(
                alone.rewards[0], batch.rewards[lane],
                "lane {lane}, step {t}"
            );
            let row = row(&batch.observations, lane);
            let alone = array(&alone.observations).to_f64s();
            assert_eq!(alone, row, "lane {lane}, step {t}");
        }
    }
    snapshots_change_nothing(&make);
    pictures_can_be_drawn(&mut make(1, 7));
    bad_actions_change_nothing::<E>(&mut make(LANES, 7));
}

/// An action for lane `lane` at time `t` that varies over both and is in every space of the tests.
fn action<E: Environment>(t: usize, lane: usize) -> Vec<i64> {
    let varied = |n: i64, position: usize| ((t * 7 + lane * 3 + position) % 11) as i64 % n;
    match E::spec().action_space {
        Space::Discrete { n, start } => vec![start + varied(n, 0)],
        Space::MultiDiscrete { nvec } => {
            let positions = nvec.iter().enumerate();
            positions.map(|(i, &n)| varied(n, i)).collect()
        }
        other => panic!("actions must be integers, not of {other:?}"),
    }
}

/// Actions do not depend on how many lanes there are, but on their seeds: lane `i` of seed `s`
/// plays as a lane alone of seed `s + i` does.
fn step<E: Environment>(vector: &mut VectorOf<E>, t: usize) -> StepBatch {
    let actions: Vec<i64> = (0..vector.num_envs())
        .flat_map(|_| action::<E>(t, 0))
        .collect();
    vector.step(&actions).expect("actions in range")
}

fn play<E: Environment>(vector: &mut VectorOf<E>, steps: usize) -> Vec<StepBatch> {
    vector.reset(&Reset::default()).expect("a plain reset");
    (0..steps).map(|t| step(vector, t)).collect()
}

fn array(observations: &Value) -> &env_protocol::Array {
    observations.as_array().expect("a single array")
}

fn row(batch: &Value, lane: usize) -> Vec<f64> {
    let batch = array(batch);
    let width = batch.shape()[1..].iter().product::<usize>();
    batch.to_f64s()[lane * width..(lane + 1) * width].to_vec()
}

fn stays_in_bounds<E: Environment>(batches: &[StepBatch]) {
    let spec = E::spec();
    let [low, high] = spec.reward_range;
    let shape = spec.observation_space.shape().expect("a single array");
    for batch in batches {
        for lane in 0..LANES {
            let numbers = row(&batch.observations, lane);
            let data = match array(&batch.observations).data() {
                Data::Int64(_) => Data::Int64(numbers.iter().map(|&x| x as i64).collect()),
                _ => Data::Float32(numbers.iter().map(|&x| x as f32).collect()),
            };
            let observation = env_protocol::Array::new(shape.clone(), data).expect("a row");
            let observation = Value::from(observation);
            assert!(
                spec.observation_space.contains(&observation),
                "{observation:?}"
            );
        }
        assert!(batch.rewards.iter().all(|r| (low..=high).contains(r)));
    }
    for lane in 0..LANES {
        let ends = |b: &StepBatch| b.terminations[lane] || b.truncations[lane];
        assert!(batches.iter().any(ends), "lane {lane} never ended");
    }
}

fn snapshots_change_nothing<E: Environment>(make: &impl Fn(usize, u64) -> VectorOf<E>) {
    for at in 0..20 {
        let mut original = make(LANES, 7);
        play(&mut original, at);
        let saved = original.save();
        let mut copy = make(LANES, 99);
        copy.restore(&saved).expect("its own snapshot");
        assert_eq!(copy.save(), saved, "after {at} steps");
        for t in at..at + 50 {
            assert_eq!(step(&mut original, t), step(&mut copy, t), "saved at {at}");
        }
    }
}

fn pictures_can_be_drawn<E: Environment>(vector: &mut VectorOf<E>) {
    vector.reset(&Reset::default()).expect("a plain reset");
    for t in 0..STEPS {
        let picture = vector.picture(0).expect("a lane");
        let num_lines = to_ansi(&picture, false).lines().count();
        assert!(num_lines > 2, "only a title and a status after {t} steps");
        // An image costs more, so only some.
        if t % 50 == 0 {
            assert!(to_png(&picture).starts_with(b"\x89PNG"));
        }
        step(vector, t);
    }
    let middle = vector.save();
    vector.restore(&middle).expect("its own snapshot");
    let picture = vector.picture(0).expect("a lane");
    assert!(to_ansi(&picture, true).lines().count() > 2, "restored");
}

fn bad_actions_change_nothing<E: Environment>(vector: &mut VectorOf<E>) {
    vector.reset(&Reset::default()).expect("a plain reset");
    let before = vector.save();
    let mut actions: Vec<i64> = (0..LANES).flat_map(|_| action::<E>(0, 0)).collect();
    let last = actions.len() - 1;
    actions[last] = i64::MIN;
    let refusal = vector.step(&actions).expect_err("no space holds i64::MIN");
    assert!(matches!(refusal, Refusal::Action { lane, .. } if lane == LANES - 1));
    assert_eq!(vector.save(), before);
}
