use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::Value;

use super::*;
use crate::hyper::Hyperparameters;
use crate::spaces::actions::ActionHeads;
use crate::spaces::encoder::input_columns;

const CHANNELS: usize = 4;
const FREE: usize = 0;
const GOAL: usize = 2;

/// Rasters of so many rows and columns, with numbers from 0 to 1.
fn columns(height: usize, width: usize) -> Vec<InputColumn> {
    let space = format!(
        r#"{{"type":"Box","shape":[{CHANNELS},{height},{width}],"dtype":"float32","low":0.0,"high":1.0}}"#
    );
    input_columns(&serde_json::from_str(&space).unwrap())
}

fn planner(
    (height, width): (usize, usize),
    planning: Planning,
    hidden_size: usize,
) -> (MvProp, Params) {
    let columns = columns(height, width);
    let mut params = Params::new();
    let core = MvProp::new(&mut CoreContext {
        input_size: columns.len(),
        columns: &columns,
        previous: crate::memory::Previous::default(),
        heads: &ActionHeads::of(&[4]),
        hyper: &Hyperparameters::new()
            .with(Network { hidden_size })
            .with(planning),
        params: &mut params,
        rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
    });
    (core, params)
}

/// A planner with weights set by hand: r is 1 (within 1e-6) where a goal is and else 0, p is σ(2) where a cell is free and
/// else 0.
fn by_hand(size: (usize, usize), planning: Planning) -> (MvProp, Params) {
    let (core, mut params) = planner(size, planning, 2);
    let middle = 4;
    let hidden = params.data_mut(core.hidden.0);
    hidden.fill(0.0);
    hidden[(middle * CHANNELS + GOAL) * 2] = 1.0;
    hidden[(middle * CHANNELS + FREE) * 2 + 1] = 1.0;
    let maps = params.data_mut(core.maps.0);
    maps.fill(0.0);
    // Rows are hidden numbers; r, then p, of each cell of the kernel.
    maps[middle * 2] = 40.0;
    maps[18 + middle * 2 + 1] = 22.0;
    params
        .data_mut(core.maps.1)
        .copy_from_slice(&[-20.0, -20.0]);
    (core, params)
}

/// An input row of a maze drawn as text: `#` wall, `A` agent, `G` goal.
fn drawn(rows: &[&str]) -> Vec<f32> {
    let cells: Vec<char> = rows.iter().flat_map(|row| row.chars()).collect();
    let channel = |is_marked: fn(char) -> bool| {
        let marks = cells
            .iter()
            .map(move |&cell| f32::from(u8::from(is_marked(cell))));
        marks.collect::<Vec<_>>()
    };
    [
        channel(|cell| cell != '#'),
        channel(|cell| cell == 'A'),
        channel(|cell| cell == 'G'),
        channel(|cell| cell == '#'),
    ]
    .concat()
}

/// Features and v after one lane's rows. The first begins an episode.
fn walked((core, params): &(MvProp, Params), rows: &[Vec<f32>]) -> (Vec<f32>, Vec<f32>) {
    let mut state = core.initial_state(1);
    let mut features = Vec::new();
    for (step, row) in rows.iter().enumerate() {
        let step = core.step(params, row, &[step == 0], &mut state, None);
        features = nn::values(&step.features).to_vec();
    }
    (features, state.arrays[VALUES].data.clone())
}

fn is_close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

const MAZE: [&str; 3] = ["A#G.", ".#.#", "...."];

/// v falls by σ(2) with each step of the shortest way, and is 0 in a wall.
#[test]
fn values_are_powers_of_the_way_to_the_goal() {
    let (_, v) = walked(&by_hand((3, 4), Planning::default()), &[drawn(&MAZE)]);
    let p = Activation::Sigmoid;
    let params = Params::new();
    let mut graph = Graph::inference(&params);
    let two = graph.constant(vec![2.0], (1, 1));
    let p = nn::values(&graph.activate(&two, p))[0];
    let steps = [
        Some(6),
        None,
        Some(0),
        Some(1), //
        Some(5),
        None,
        Some(1),
        None, //
        Some(4),
        Some(3),
        Some(2),
        Some(3),
    ];
    let expected = steps.map(|steps| steps.map_or(0.0, |steps| p.powi(steps)));
    assert!(is_close(&v, &expected), "{v:?}");
}

#[test]
fn few_iterations_do_not_reach_far() {
    let planning = Planning {
        iterations: 2,
        ..Planning::default()
    };
    let (_, v) = walked(&by_hand((3, 4), planning), &[drawn(&MAZE)]);
    let reached: Vec<bool> = v.iter().map(|&v| v > 0.01).collect();
    let near = [2, 3, 6, 10];
    assert!(
        reached
            .iter()
            .enumerate()
            .all(|(cell, &is)| is == near.contains(&cell))
    );
}

/// The block of values around the agent, then the map's: nothing is left of the first column.
#[test]
fn features_are_what_is_around_the_agent() {
    let (features, v) = walked(&by_hand((3, 4), Planning::default()), &[drawn(&MAZE)]);
    let at = [
        None,
        None,
        None,
        None,
        Some(0),
        Some(1),
        None,
        Some(4),
        Some(5),
    ];
    let expected = at.map(|cell| cell.map_or(0.0, |cell: usize| v[cell]));
    assert_eq!(features[..BLOCK], expected);
    let free = features[BLOCK..].chunks(CHANNELS).map(|cell| cell[FREE]);
    let expected = [0., 0., 0., 0., 1., 0., 0., 1., 0.];
    assert!(free.eq(expected));
    assert_eq!(features[BLOCK + 4 * CHANNELS + AGENT], 1.0);
}

/// A goal that was drawn once stays on the map of an episode, unless nothing is kept; the agent's cell does not.
#[test]
fn the_map_keeps_what_was_drawn() {
    let later = drawn(&[".#..", "A#.#", "...."]);
    let rows = [drawn(&MAZE), later.clone()];
    let goal_seen = drawn(&[".#G.", "A#.#", "...."]);
    for map_memory in [MapMemory::Accumulate, MapMemory::None] {
        let planning = Planning {
            map_memory,
            ..Planning::default()
        };
        let planner = by_hand((3, 4), planning);
        let expected = match map_memory {
            MapMemory::Accumulate => walked(&planner, std::slice::from_ref(&goal_seen)),
            MapMemory::None => walked(&planner, std::slice::from_ref(&later)),
        };
        assert_eq!(walked(&planner, &rows), expected, "{map_memory:?}");
        // Another episode knows nothing of it.
        let (core, params) = &planner;
        let mut state = core.initial_state(1);
        core.step(params, &rows[0], &[true], &mut state, None);
        core.step(params, &later, &[true], &mut state, None);
        let (_, alone) = walked(&planner, std::slice::from_ref(&later));
        assert_eq!(state.arrays[VALUES].data, alone);
    }
}

/// The same parameters in a larger maze: what a small one shows in its corner, the large one shows there.
#[test]
fn parameters_do_not_depend_on_the_size() {
    let (small, params) = planner((3, 4), Planning::default(), 5);
    let (large, others) = planner((11, 9), Planning::default(), 5);
    let shapes = |params: &Params| -> Vec<_> { params.ids().map(|id| params.shape(id)).collect() };
    assert_eq!(shapes(&params), shapes(&others));
    assert_eq!(small.feature_size(), large.feature_size());
    assert!(small.plays_any_size());
}

#[test]
fn tasks_without_a_raster_are_refused() {
    let plays = |space: &str| MvProp::plays(&input_columns(&serde_json::from_str(space).unwrap()));
    let boxed = |shape: &str, high: f32| {
        format!(r#"{{"type":"Box","shape":{shape},"dtype":"float32","low":0.0,"high":{high:?}}}"#)
    };
    assert_eq!(plays(&boxed("[4,3,3]", 1.0)), Ok(()));
    for space in [
        boxed("[36]", 1.0),
        boxed("[1,6,6]", 1.0),
        r#"{"type":"MultiDiscrete","nvec":[2,2]}"#.into(),
    ] {
        assert!(
            plays(&space)
                .unwrap_err()
                .contains("channels, rows and columns")
        );
    }
    assert!(
        plays(&boxed("[4,3,3]", 255.0))
            .unwrap_err()
            .contains("from 0 to 1")
    );
}

/// The numbers of the paper's equations in numpy (`scripts/parity/mvprop.py`).
#[test]
fn steps_are_those_of_the_equations() {
    let cases: Value =
        serde_json::from_str(include_str!("../../../../tests/parity/mvprop.json")).unwrap();
    let numbers = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
    for case in cases.as_array().unwrap() {
        let planning = Planning {
            iterations: serde_json::from_value(case["iterations"].clone()).unwrap(),
            map_memory: serde_json::from_value(case["map_memory"].clone()).unwrap(),
        };
        let (core, mut params) = planner((3, 4), planning, 3);
        for (place, id) in params.ids().enumerate() {
            for (i, weight) in params.data_mut(id).iter_mut().enumerate() {
                *weight = (0.5 * (place as f64 + 0.7 * i as f64).sin()) as f32;
            }
        }
        let lanes: Vec<_> = (0..2)
            .map(|lane| case["lanes"][lane].as_array().unwrap())
            .collect();
        let mut state = core.initial_state(2);
        for step in 0..lanes[0].len() {
            let all = |name: &str| -> Vec<f32> {
                lanes
                    .iter()
                    .flat_map(|steps| numbers(&steps[step][name]))
                    .collect()
            };
            let starts = [step == 0; 2];
            let stepped = core.step(&params, &all("input"), &starts, &mut state, None);
            assert!(
                is_close(nn::values(&stepped.features), &all("features")),
                "step {step}"
            );
            assert!(
                is_close(&state.arrays[VALUES].data, &all("values")),
                "step {step}"
            );
            assert!(
                is_close(&state.arrays[PASSAGE].data, &all("passage")),
                "step {step}"
            );
        }
    }
}
