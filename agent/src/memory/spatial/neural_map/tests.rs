use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::hyper::Hyperparameters;
use crate::nn::{Params, values};
use crate::spaces::actions::ActionHeads;
use crate::spaces::encoder::InputColumn;

const LANES: usize = 2;
/// Inputs: two numbers, and a position from 0 to 4.
const INPUTS: usize = 3;
const CELLS: usize = 5;
const CHANNELS: usize = 3;

fn uniform(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// A map of five cells with every weight moved from where it began.
fn neural_map(map: Map, memory_writes: bool) -> (NeuralMapCell, Params) {
    let map = Map {
        map_cells: CELLS,
        map_channels: CHANNELS,
        ..map
    };
    let column = |name: &str, bounds| InputColumn {
        source: 0,
        choice: None,
        name: Some(name.to_owned()),
        bounds: Some(bounds),
        place: None,
    };
    let seen = || column("observation", [-1.0, 1.0]);
    let mut params = Params::new();
    let cell = NeuralMapCell::new(&mut CoreContext {
        input_size: INPUTS,
        columns: &[seen(), seen(), column("position", [0.0, 4.0])],
        previous: crate::memory::Previous::default(),
        heads: &ActionHeads::of(&[2]),
        hyper: &Hyperparameters::new()
            .with(Network { hidden_size: 4 })
            .with(map)
            .with(Writes { memory_writes }),
        params: &mut params,
        rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
    });
    for (i, id) in params.ids().enumerate() {
        let moves = uniform(params.data(id).len(), i as u64);
        let pairs = params.data_mut(id).iter_mut().zip(moves);
        pairs.for_each(|(weight, by)| *weight += 0.3 * by);
    }
    (cell, params)
}

/// Features and the matrices of the state after a step with these positions, from this state.
fn step(
    (cell, params): &(NeuralMapCell, Params),
    positions: [f32; LANES],
    state: &[Vec<f32>],
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let mut graph = Graph::inference(params);
    let rows = positions.map(|position| [0.5, -0.25, position]);
    let x = graph.constant(rows.concat(), (LANES, INPUTS));
    let widths = cell.state_widths().into_iter().zip(state);
    let state: Vec<Tensor> = widths
        .map(|(width, data)| graph.constant(data.clone(), (LANES, width)))
        .collect();
    let x = cell.prepare(&mut graph, &x);
    let (features, next) = cell.step(&mut graph, &x, &state);
    let next = next.iter().map(|matrix| values(matrix).to_vec());
    (values(&features).to_vec(), next.collect())
}

/// A state in the middle of an episode.
fn written(cell: &NeuralMapCell) -> Vec<Vec<f32>> {
    let mut widths = cell.state_widths().into_iter();
    let map = widths.next().map(|width| uniform(LANES * width, 7));
    map.into_iter()
        .chain(widths.map(|width| vec![0.0; LANES * width]))
        .collect()
}

/// Cell `place` of a lane.
fn cell_of(map: &[f32], lane: usize, place: usize) -> &[f32] {
    &map[(lane * CELLS + place) * CHANNELS..][..CHANNELS]
}

fn is_close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn a_step_writes_the_cell_that_the_agent_is_on() {
    for map_write in [MapWrite::Gru, MapWrite::Plain] {
        let map = Map {
            map_write,
            ..Map::default()
        };
        let agent = neural_map(map, true);
        let before = written(&agent.0);
        let (features, after) = step(&agent, [1.0, 4.0], &before);
        for (lane, own) in [1, 4].into_iter().enumerate() {
            for place in 0..CELLS {
                let [before, after] =
                    [&before, &after].map(|state| cell_of(&state[MAP], lane, place));
                assert_eq!(before != after, place == own, "lane {lane}, cell {place}");
            }
            let features = &features[lane * 3 * CHANNELS..][..3 * CHANNELS];
            assert_eq!(features[2 * CHANNELS..], *cell_of(&after[MAP], lane, own));
        }
        assert_eq!(after[PLACE], [1.0, 1.0, 1.0, 4.0]);
    }
}

/// The weights of the context read are a distribution over the cells, what is read lies between the least and the
/// greatest of them, and cells that change places take their weights along.
#[test]
fn the_context_is_a_mean_of_the_cells() {
    let mut agent = neural_map(Map::default(), true);
    // The global read sees no places.
    let read = agent.0.read.0;
    agent.1.data_mut(read).fill(0.0);
    let before = written(&agent.0);
    let (features, after) = step(&agent, [0.0, 0.0], &before);
    for lane in 0..LANES {
        let weights = &after[ATTENTION][lane * CELLS..][..CELLS];
        assert!(weights.iter().all(|&weight| weight >= 0.0));
        assert!(is_close(&[weights.iter().sum()], &[1.0]));
        for channel in 0..CHANNELS {
            let cells = (0..CELLS).map(|place| cell_of(&before[MAP], lane, place)[channel]);
            let mean: f32 = cells
                .clone()
                .zip(weights)
                .map(|(cell, weight)| cell * weight)
                .sum();
            let context = features[(3 * lane + 1) * CHANNELS + channel];
            assert!(is_close(&[context], &[mean]));
            let (least, most) = (cells.clone().reduce(f32::min), cells.reduce(f32::max));
            assert!(least.unwrap() <= context && context <= most.unwrap());
        }
    }
    let mut turned = before.clone();
    let lanes = turned[MAP].chunks_exact_mut(CELLS * CHANNELS);
    lanes.for_each(|map| map.rotate_left(CHANNELS));
    let (_, turned) = step(&agent, [0.0, 0.0], &turned);
    let mut expected = after[ATTENTION].clone();
    expected
        .chunks_exact_mut(CELLS)
        .for_each(|weights| weights.rotate_left(1));
    assert!(is_close(&turned[ATTENTION], &expected));
}

#[test]
fn a_gated_write_keeps_and_forgets() {
    let (cell, mut params) = neural_map(Map::default(), true);
    let mut rewritten = |reset: f32, update: f32| {
        let bias = params.data_mut(cell.write.seen.1);
        bias[..CHANNELS].fill(reset);
        bias[CHANNELS..2 * CHANNELS].fill(update);
        [1, 2].map(|seed| {
            let mut graph = Graph::inference(&params);
            let width = 4 + 2 * CHANNELS;
            let seen = graph.constant(uniform(width, 3), (1, width));
            let old = graph.constant(uniform(CHANNELS, seed), (1, CHANNELS));
            values(&cell.rewrite(&mut graph, &seen, &old)).to_vec()
        })
    };
    assert_eq!(
        rewritten(0.0, -300.0),
        [1, 2].map(|seed| uniform(CHANNELS, seed))
    );
    let [first, second] = rewritten(-300.0, 300.0);
    assert!(is_close(&first, &second));
}

/// The agent stays in the middle; what it leaves behind moves the other way, and what leaves the map is lost.
#[test]
fn an_egocentric_map_moves() {
    let map = Map {
        egocentric: true,
        ..Map::default()
    };
    let agent = neural_map(map, true);
    let (_, start) = step(&agent, [1.0, 1.0], &written(&agent.0));
    let (_, after) = step(&agent, [2.0, 0.0], &start);
    let middle = CELLS / 2;
    for place in (0..CELLS).filter(|&place| place != middle) {
        // Lane 0 moved forward, lane 1 back.
        let sources = [place.checked_add(1), place.checked_sub(1)];
        for (lane, source) in sources.into_iter().enumerate() {
            let source = source.filter(|&source| source < CELLS);
            let expected = source.map_or(&[0.0; CHANNELS][..], |source| {
                cell_of(&start[MAP], lane, source)
            });
            assert_eq!(cell_of(&after[MAP], lane, place), expected);
        }
    }
    for lane in 0..LANES {
        let moved = cell_of(&start[MAP], lane, [middle + 1, middle - 1][lane]);
        assert_ne!(cell_of(&after[MAP], lane, middle), moved);
    }
}

#[test]
fn without_writes_nothing_is_remembered() {
    let agent = neural_map(Map::default(), false);
    let widths = agent.0.state_widths().into_iter();
    let fresh: Vec<Vec<f32>> = widths.map(|width| vec![0.0; LANES * width]).collect();
    let (first, after) = step(&agent, [1.0, 4.0], &fresh);
    assert_eq!(after[MAP], fresh[MAP]);
    let (second, _) = step(&agent, [1.0, 4.0], &after);
    assert_eq!(first, second);
}

/// The numbers of the paper's equations in numpy (`scripts/parity/neural_map.py`).
#[test]
fn steps_are_those_of_the_equations() {
    let cases: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/parity/neural_map.json")).unwrap();
    let numbers =
        |value: &serde_json::Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
    for case in cases.as_array().unwrap() {
        let map = Map {
            egocentric: case["egocentric"].as_bool().unwrap(),
            map_write: serde_json::from_value(case["map_write"].clone()).unwrap(),
            ..Map::default()
        };
        let (cell, mut params) = neural_map(map, true);
        for (place, id) in params.ids().enumerate() {
            for (i, weight) in params.data_mut(id).iter_mut().enumerate() {
                *weight = (0.5 * (place as f64 + 0.7 * i as f64).sin()) as f32;
            }
        }
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| case["lanes"][lane].as_array().unwrap())
            .collect();
        let widths = cell.state_widths();
        let mut graph = Graph::inference(&params);
        let zeros = widths
            .iter()
            .map(|&width| graph.constant(vec![0.0; LANES * width], (LANES, width)));
        let mut state: Vec<Tensor> = zeros.collect();
        for step in 0..lanes[0].len() {
            let all = |name: &str| -> Vec<f32> {
                lanes
                    .iter()
                    .flat_map(|steps| numbers(&steps[step][name]))
                    .collect()
            };
            let x = graph.constant(all("input"), (LANES, INPUTS));
            let x = cell.prepare(&mut graph, &x);
            let (features, next) = cell.step(&mut graph, &x, &state);
            state = next;
            assert!(is_close(values(&features), &all("features")), "step {step}");
            assert!(
                is_close(values(&state[ATTENTION]), &all("attention")),
                "step {step}"
            );
            assert!(is_close(values(&state[MAP]), &all("map")), "step {step}");
        }
    }
}
