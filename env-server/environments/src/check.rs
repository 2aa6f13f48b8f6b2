//! The contract that every environment keeps, checked by one call.

use env_protocol::{Array, AutoresetMode, Data, Kwargs, LanePhase, Seed, Space, Value};

use crate::actions::{ActionRange, action_ranges};
use crate::catalogue;
use crate::render::{to_ansi, to_png};
use crate::vector::{Refusal, Reset, StepBatch, VectorEnvironment, VectorOf};
use crate::{Arguments, Catalogued, Pictured};

/// Lanes played at once.
const LANES: usize = 3;
/// Number of steps, more than an episode with the checked arguments takes.
const STEPS: usize = 900;

/// Returns checked arguments of an environment, from JSON.
///
/// # Panics
/// When they are refused.
pub fn arguments<E: Catalogued>(kwargs: serde_json::Value) -> Arguments {
    let kwargs: Kwargs = serde_json::from_value(kwargs).expect("an object");
    Arguments::resolve(&catalogue::parameters::<E>(), &kwargs).expect("arguments in range")
}

/// Checks an environment with these arguments:
/// - observations are in their space, rewards in their range, and episodes end;
/// - the same seed gives the same trajectory, alone or as a lane, and a different seed a different
///   one;
/// - saving and restoring in the middle changes nothing;
/// - an action outside the space is an error and changes nothing, just outside, NaN or infinite;
/// - a state from outside that is accepted leads neither to a panic, in steps or pictures, nor to
///   an observation outside the space;
/// - every state has a picture that is not empty.
///
/// # Panics
/// When the environment breaks one of these promises.
pub fn check_environment<E: Catalogued + Pictured>(kwargs: serde_json::Value) {
    let arguments = arguments::<E>(kwargs);
    let make = |num_envs, seed| {
        let seed = Seed::First(seed);
        VectorOf::<E>::new(&arguments, num_envs, AutoresetMode::SameStep, &seed).expect("arguments")
    };
    let batch = play(&mut make(LANES, 7), STEPS);
    stays_in_bounds(&E::new(&arguments).expect("arguments"), &batch);
    assert_eq!(batch, play(&mut make(LANES, 7), STEPS), "same seed");
    let mut other = make(LANES, 8);
    let undrawn = other.save().lanes[0].rng.clone();
    let other_batch = play(&mut other, STEPS);
    if other.save().lanes[0].rng != undrawn {
        assert_ne!(batch, other_batch, "another seed");
    }
    for lane in 0..LANES {
        let alone = play(&mut make(1, 7 + lane as u64), STEPS);
        for (t, (alone, batch)) in alone.iter().zip(&batch).enumerate() {
            assert_eq!(
                alone.rewards[0], batch.rewards[lane],
                "lane {lane}, step {t}"
            );
            let expected = row(&batch.observations, lane);
            assert_eq!(
                row(&alone.observations, 0),
                expected,
                "lane {lane}, step {t}"
            );
        }
    }
    snapshots_change_nothing(&make);
    pictures_can_be_drawn(&mut make(1, 7));
    bad_actions_change_nothing::<E>(&mut make(LANES, 7));
    hostile_states_are_harmless(&make);
}

/// Returns an action in the space that varies with the time `t`. The numbers of a `Box` are its bounds
/// and seven between them.
pub(crate) fn action(space: &Space, t: usize) -> Vec<f64> {
    let varied = |n: i64, position: usize| ((t * 7 + t / 5 + position) % 113) as i64 % n;
    let ranges = action_ranges(space).into_iter().enumerate();
    let numbers = ranges.map(|(i, range)| match range {
        ActionRange::Integers(range) => (range.start + varied(range.end - range.start, i)) as f64,
        ActionRange::Reals { low, high } => low + (high - low) * (varied(9, i) as f64 / 8.0),
    });
    numbers.collect()
}

/// Returns numbers that are just out of range, or that no range holds.
fn outside(range: &ActionRange) -> Vec<f64> {
    let mut numbers = match range {
        ActionRange::Integers(range) => vec![
            (range.start - 1) as f64,
            range.end as f64,
            range.start as f64 + 0.5,
            i64::MIN as f64,
        ],
        ActionRange::Reals { low, high } => vec![low.next_down(), high.next_up(), 1e300],
    };
    numbers.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    numbers
}

/// Steps all lanes with the action of time `t`. Actions do not depend on the number of lanes, so
/// lane `i` of seed `s` plays like a single lane of seed `s + i`.
fn step<E: Catalogued + Pictured>(vector: &mut VectorOf<E>, t: usize) -> StepBatch {
    let actions: Vec<f64> = (0..vector.num_envs())
        .flat_map(|_| action(vector.action_space(), t))
        .collect();
    vector.step(&actions).expect("actions in range")
}

fn play<E: Catalogued + Pictured>(vector: &mut VectorOf<E>, steps: usize) -> Vec<StepBatch> {
    vector.reset(&Reset::default()).expect("a plain reset");
    (0..steps).map(|t| step(vector, t)).collect()
}

/// Returns one lane's observation of a batch.
fn lane_value(batch: &Value, lane: usize) -> Value {
    match batch {
        Value::Array(array) => {
            let shape = array.shape()[1..].to_vec();
            let width = shape.iter().product::<usize>();
            let columns = lane * width..(lane + 1) * width;
            let data = match array.data() {
                Data::Bool(x) => Data::Bool(x[columns].to_vec()),
                Data::Uint8(x) => Data::Uint8(x[columns].to_vec()),
                Data::Int64(x) => Data::Int64(x[columns].to_vec()),
                Data::Float32(x) => Data::Float32(x[columns].to_vec()),
                Data::Float64(x) => Data::Float64(x[columns].to_vec()),
            };
            Array::new(shape, data).expect("a row").into()
        }
        Value::Tuple(parts) => Value::Tuple(parts.iter().map(|v| lane_value(v, lane)).collect()),
        Value::Dict(parts) => {
            let parts = parts.iter();
            Value::Dict(
                parts
                    .map(|(k, v)| (k.clone(), lane_value(v, lane)))
                    .collect(),
            )
        }
    }
}

/// Returns the numbers of a value in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(array) => array.to_f64s(),
        Value::Tuple(parts) => parts.iter().flat_map(numbers).collect(),
        Value::Dict(parts) => parts.values().flat_map(numbers).collect(),
    }
}

fn row(batch: &Value, lane: usize) -> Vec<f64> {
    numbers(&lane_value(batch, lane))
}

fn stays_in_bounds<E: Catalogued + Pictured>(environment: &E, batches: &[StepBatch]) {
    let [low, high] = environment.reward_range();
    let space = environment.observation_space();
    for batch in batches {
        for lane in 0..LANES {
            let observation = lane_value(&batch.observations, lane);
            assert!(space.contains(&observation), "{observation:?}");
        }
        assert!(batch.rewards.iter().all(|r| (low..=high).contains(r)));
    }
    for lane in 0..LANES {
        let ends = |b: &StepBatch| b.terminations[lane] || b.truncations[lane];
        assert!(batches.iter().any(ends), "lane {lane} never ended");
    }
}

fn snapshots_change_nothing<E: Catalogued + Pictured>(make: &impl Fn(usize, u64) -> VectorOf<E>) {
    for at in 0..20 {
        let mut original = make(LANES, 7);
        play(&mut original, at);
        let saved = original.save();
        let mut copy = make(LANES, 99);
        copy.restore(&saved.observations, &saved.lanes)
            .expect("its own snapshot");
        assert_eq!(copy.save(), saved, "after {at} steps");
        for t in at..at + 50 {
            assert_eq!(step(&mut original, t), step(&mut copy, t), "saved at {at}");
        }
    }
}

fn pictures_can_be_drawn<E: Catalogued + Pictured>(vector: &mut VectorOf<E>) {
    vector.reset(&Reset::default()).expect("a plain reset");
    for t in 0..STEPS {
        let picture = vector.picture(0).expect("a lane");
        let num_lines = to_ansi(&picture, false).lines().count();
        assert!(num_lines > 2, "only a title and a status after {t} steps");
        // Images cost more, so only some steps have one.
        if t % 50 == 0 {
            assert!(to_png(&picture).starts_with(b"\x89PNG"));
        }
        step(vector, t);
    }
    let middle = vector.save();
    vector
        .restore(&middle.observations, &middle.lanes)
        .expect("its own snapshot");
    let picture = vector.picture(0).expect("a lane");
    assert!(to_ansi(&picture, true).lines().count() > 2, "restored");
}

fn bad_actions_change_nothing<E: Catalogued + Pictured>(vector: &mut VectorOf<E>) {
    vector.reset(&Reset::default()).expect("a plain reset");
    let before = vector.save();
    let actions: Vec<f64> = (0..LANES)
        .flat_map(|_| action(vector.action_space(), 0))
        .collect();
    let last = actions.len() - 1;
    let range = action_ranges(vector.action_space()).pop().expect("a range");
    for number in outside(&range) {
        let mut actions = actions.clone();
        actions[last] = number;
        let refusal = vector.step(&actions).expect_err("a number out of range");
        assert!(matches!(refusal, Refusal::Action { lane, .. } if lane == LANES - 1));
        assert_eq!(vector.save(), before, "{number}");
    }
}

fn hostile_states_are_harmless<E: Catalogued + Pictured>(
    make: &impl Fn(usize, u64) -> VectorOf<E>,
) {
    for at in [0, 1, 2, 7] {
        let mut vector = make(1, 3);
        play(&mut vector, at);
        let saved = vector.save();
        let state = &saved.lanes[0].state;
        for pointer in pointers(state) {
            let original = state.pointer(&pointer).expect("its own pointer").clone();
            for replacement in replacements(&original) {
                let mut hostile = saved.clone();
                *hostile.lanes[0].state.pointer_mut(&pointer).expect("there") = replacement;
                for phase in [LanePhase::New, LanePhase::Running, LanePhase::Ended] {
                    hostile.lanes[0].phase = phase;
                    let mut vector = make(1, 3);
                    if vector
                        .restore(&hostile.observations, &hostile.lanes)
                        .is_ok()
                    {
                        to_ansi(&vector.picture(0).expect("a lane"), false);
                        continue_play(&mut vector, phase);
                    }
                }
            }
        }
    }
}

fn continue_play<E: Catalogued + Pictured>(vector: &mut VectorOf<E>, phase: LanePhase) {
    if phase != LanePhase::Running {
        vector.reset(&Reset::default()).expect("a plain reset");
    }
    for t in 0..40 {
        let batch = step(vector, t);
        let observation = lane_value(&batch.observations, 0);
        let space = vector.observation_space();
        assert!(
            space.contains(&observation),
            "{observation:?} at {t}: {:?}",
            vector.save()
        );
        to_ansi(&vector.picture(0).expect("a lane"), false);
    }
}

/// Returns JSON pointers to all values of a document. Of a list, to the first two items and the
/// last.
fn pointers(json: &serde_json::Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut inside = |key: String, value: &serde_json::Value| {
        found.extend(
            pointers(value)
                .into_iter()
                .map(|rest| format!("/{key}{rest}")),
        );
    };
    match json {
        serde_json::Value::Object(entries) => {
            entries
                .iter()
                .for_each(|(key, value)| inside(key.clone(), value));
        }
        serde_json::Value::Array(items) => {
            let is_edge = |i: usize| i < 2 || i + 1 == items.len();
            let edges = items.iter().enumerate().filter(|(i, _)| is_edge(*i));
            edges.for_each(|(i, value)| inside(i.to_string(), value));
        }
        _ => {}
    }
    found
}

/// Returns hostile values to put in place of a value.
fn replacements(original: &serde_json::Value) -> Vec<serde_json::Value> {
    use serde_json::{Value, json};
    let mut found = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(-1),
        json!(0),
        json!(1),
        json!(2),
        json!(200),
        json!(u32::MAX),
        json!(i64::MAX),
        json!(1e300),
        json!(0.5),
        json!([]),
        json!({}),
    ];
    if let Some(number) = original.as_i64() {
        found.extend([json!(number + 1), json!(number - 1)]);
    }
    if let Some(items) = original.as_array() {
        found.push(Value::from(&items[..items.len().saturating_sub(1)]));
        found.push(items.iter().chain(items).cloned().collect());
        found.push(items.iter().rev().cloned().collect());
    }
    found
}
