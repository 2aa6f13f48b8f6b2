use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::hyper::Hyperparameters;
use crate::nn::{Params, values};
use crate::spaces::actions::ActionHeads;

const INPUTS: usize = 3;
const LANES: usize = 2;
const SIZE: usize = 4;

/// Modules of [`SIZE`] units each, with every weight moved from where it began.
fn rims(modules: usize, active_modules: usize) -> (RimsCell, Params) {
    let mut params = Params::new();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    let hyper = Hyperparameters::new()
        .with(Network {
            hidden_size: modules * SIZE,
        })
        .with(Modules {
            modules,
            active_modules,
        });
    let cell = RimsCell::new(&mut CoreContext {
        input_size: INPUTS,
        columns: &[],
        previous: crate::memory::Previous::default(),
        heads: &ActionHeads::of(&[2]),
        hyper: &hyper,
        params: &mut params,
        rng: &mut rng,
    });
    for id in params.ids() {
        for weight in params.data_mut(id) {
            *weight += rng.random_range(-0.3..0.3);
        }
    }
    (cell, params)
}

/// Inputs, and a state in the middle of an episode.
struct Moment {
    x: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
}

impl Moment {
    fn of(cell: &RimsCell) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut numbers = |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
        let units = LANES * cell.modules * cell.size;
        Self {
            x: numbers(LANES * INPUTS),
            h: numbers(units),
            c: numbers(units),
        }
    }

    fn tensors(&self, graph: &Graph<'_>, cell: &RimsCell) -> (Tensor, Vec<Tensor>) {
        let modules = cell.modules;
        let rows = |data: &[f32], width| graph.constant(data.to_vec(), (LANES, width));
        let active = vec![0.0; LANES * modules];
        let state = [
            (&self.h, modules * cell.size),
            (&self.c, modules * cell.size),
        ];
        let state = state.map(|(data, width)| rows(data, width));
        let x = graph.constant(self.x.clone(), (LANES, INPUTS));
        (x, [&state[..], &[rows(&active, modules)]].concat())
    }

    /// h, c and which were active after a step.
    fn step(&self, cell: &RimsCell, params: &Params) -> [Vec<f32>; 3] {
        let mut graph = Graph::inference(params);
        let (x, state) = self.tensors(&graph, cell);
        let entry = cell.prepare(&mut graph, &x);
        let (features, next) = cell.step(&mut graph, &entry, &state);
        assert_eq!(values(&features), values(&next[H]));
        [H, C, ACTIVE].map(|matrix| values(&next[matrix]).to_vec())
    }
}

/// Units of a module in a lane.
fn units(all: &[f32], (lane, module): (usize, usize), modules: usize) -> &[f32] {
    &all[(lane * modules + module) * SIZE..][..SIZE]
}

fn assert_close(a: &[f32], b: &[f32]) {
    let is_close = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(is_close, "{a:?}\n{b:?}");
}

/// Makes every module attend by its bias alone, with this much to the input: `q·k = bias · key` in every lane.
fn attend_by_bias(cell: &RimsCell, params: &mut Params, biases: &[f32]) {
    params.data_mut(cell.query.0).fill(0.0);
    params.data_mut(cell.encode.0).fill(0.0);
    params.data_mut(cell.encode.1).fill(9.0);
    for entry in params.data_mut(cell.entry).chunks_exact_mut(KEY + VALUE) {
        entry[..KEY].fill(1.0);
    }
    let all = params.data_mut(cell.query.1).chunks_exact_mut(KEY);
    for (bias, &to) in all.zip(biases) {
        bias.fill(to);
    }
}

#[test]
fn as_many_as_asked_for_are_active_and_the_others_stay() {
    for active_modules in 0..=5 {
        let (cell, params) = rims(5, active_modules);
        let moment = Moment::of(&cell);
        let [h, c, active] = moment.step(&cell, &params);
        for lane in 0..LANES {
            let active = &active[lane * 5..][..5];
            assert_eq!(active.iter().sum::<f32>(), active_modules as f32);
            for (module, &active) in active.iter().enumerate() {
                for (after, before) in [(&h, &moment.h), (&c, &moment.c)] {
                    let [after, before] = [after, before].map(|all| units(all, (lane, module), 5));
                    assert_eq!(
                        after != before,
                        active == 1.0,
                        "lane {lane}, module {module}"
                    );
                }
            }
        }
    }
}

#[test]
fn of_equal_scores_the_first_modules_are_active() {
    let (cell, mut params) = rims(4, 2);
    attend_by_bias(&cell, &mut params, &[0.0; 4]);
    let [.., active] = Moment::of(&cell).step(&cell, &params);
    assert_eq!(active, [1.0, 1.0, 0.0, 0.0].repeat(LANES));
    attend_by_bias(&cell, &mut params, &[-0.001, 0.0, 0.001, 0.0]);
    let [.., active] = Moment::of(&cell).step(&cell, &params);
    assert_eq!(active, [0.0, 1.0, 1.0, 0.0].repeat(LANES));
}

/// A module that attends to the row of zeros alone reads zeros.
#[test]
fn what_is_not_read_of_the_input_is_zero() {
    let (cell, mut params) = rims(3, 2);
    attend_by_bias(&cell, &mut params, &[-50.0, 0.0, 50.0]);
    let mut graph = Graph::inference(&params);
    let (x, state) = Moment::of(&cell).tensors(&graph, &cell);
    let h = graph.reshape(&state[H], (LANES * 3, SIZE));
    let entry = cell.prepare(&mut graph, &x);
    let (read, scores) = cell.read_input(&mut graph, &entry, &h);
    assert!(scores[0] < -1000.0 && scores[1] == 0.0 && scores[2] > 1000.0);
    let rows: Vec<&[f32]> = values(&read).chunks_exact(VALUE).collect();
    let values = values(&entry).chunks_exact(KEY + VALUE);
    for (rows, entry) in rows.chunks_exact(3).zip(values) {
        let half: Vec<f32> = entry[KEY..].iter().map(|value| 0.5 * value).collect();
        assert_close(rows[0], &[0.0; VALUE]);
        assert_close(rows[1], &half);
        assert_close(rows[2], &entry[KEY..]);
    }
}

/// An inactive module's LSTM is idle; its stored state is heard.
#[test]
fn active_modules_hear_inactive_ones_and_see_nothing_of_their_inputs() {
    let (cell, mut params) = rims(3, 2);
    attend_by_bias(&cell, &mut params, &[0.001, -0.001, 0.001]);
    let mut moment = Moment::of(&cell);
    let [before, ..] = moment.step(&cell, &params);
    let len = (VALUE + SIZE) * 4 * SIZE;
    params.data_mut(cell.lstm.0)[len..2 * len].fill(7.0);
    let [idle, ..] = moment.step(&cell, &params);
    assert_eq!(idle, before);
    moment.h[SIZE] += 1.0;
    let [told, ..] = moment.step(&cell, &params);
    let lane = |all: &[f32], module| units(all, (0, module), 3).to_vec();
    assert_ne!(lane(&told, 0), lane(&before, 0));
    assert_ne!(lane(&told, 2), lane(&before, 2));
    assert_eq!(told[3 * SIZE..], before[3 * SIZE..], "the other lane");
}

/// All active, each with the whole input and none talking: LSTMs side by side.
#[test]
fn modules_that_do_not_compete_are_lstms_of_their_own() {
    let (cell, mut params) = rims(2, 2);
    attend_by_bias(&cell, &mut params, &[50.0; 2]);
    params.data_mut(cell.answer).fill(0.0);
    let moment = Moment::of(&cell);
    let [h, c, _] = moment.step(&cell, &params);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    for module in 0..2 {
        let mut alone = Params::new();
        let mut copy = |name, id, shape: (usize, usize)| {
            let copy = alone.add(name, shape, Init::Zeros, &mut rng);
            let len = shape.0 * shape.1;
            let part = &params.data(id)[module * len..][..len];
            alone.data_mut(copy).copy_from_slice(part);
            copy
        };
        let weight = copy("weight", cell.lstm.0, (VALUE + SIZE, 4 * SIZE));
        let bias = copy("bias", cell.lstm.1, (1, 4 * SIZE));
        // The encoded input is tanh 9 = 1 everywhere, so the value is the sum of its weights' rows.
        let rows = params.data(cell.entry).chunks_exact(KEY + VALUE);
        let value: Vec<f32> = rows.fold(vec![0.0; VALUE], |sum, row| {
            sum.iter().zip(&row[KEY..]).map(|(a, b)| a + b).collect()
        });
        let mut graph = Graph::inference(&alone);
        let lanes = |all: &[f32]| -> Vec<f32> {
            let lane = |lane| units(all, (lane, module), 2);
            (0..LANES).flat_map(lane).copied().collect()
        };
        let of_module = |graph: &Graph<'_>, all: &[f32]| graph.constant(lanes(all), (LANES, SIZE));
        let [before, c_before] = [&moment.h, &moment.c].map(|all| of_module(&graph, all));
        let value = graph.constant(value.repeat(LANES), (LANES, VALUE));
        let joined = graph.concat_cols(&[&value, &before]);
        let gates = graph.linear(&joined, weight, Some(bias), Activation::Identity);
        let (expected_h, expected_c) = graph.lstm_cell(&gates, &c_before);
        assert_close(&lanes(&h), values(&expected_h));
        assert_close(&lanes(&c), values(&expected_c));
    }
}

/// Three steps in which the second module never wins: nothing of it is trained but what others hear of it.
#[test]
fn a_module_that_was_never_active_gets_no_gradient() {
    let (cell, mut params) = rims(3, 2);
    attend_by_bias(&cell, &mut params, &[0.001, -0.001, 0.001]);
    let mut graph = Graph::training(&params);
    let moment = Moment::of(&cell);
    let (x, mut state) = moment.tensors(&graph, &cell);
    let entry = cell.prepare(&mut graph, &x);
    let mut features = entry.clone();
    for _ in 0..3 {
        (features, state) = cell.step(&mut graph, &entry, &state);
    }
    let units = LANES * cell.feature_size();
    let loss = graph.mse(&features, &vec![0.3; units], &[1.0; LANES]);
    let gradients = graph.backward(&loss);
    for (id, len) in [
        (cell.query.0, SIZE * KEY),
        (cell.query.1, KEY),
        (cell.lstm.0, (VALUE + SIZE) * 4 * SIZE),
        (cell.lstm.1, 4 * SIZE),
        (cell.answer, HEADS * SIZE * SIZE),
    ] {
        let gradient = gradients.of(id).unwrap();
        for (module, of_module) in gradient.chunks_exact(len).enumerate() {
            let is_trained = of_module.iter().any(|&g| g != 0.0);
            assert_eq!(is_trained, module != 1, "{}, {module}", params.name(id));
        }
    }
}

#[test]
fn modules_may_change_places() {
    let (cell, mut params) = rims(3, 2);
    let mut moment = Moment::of(&cell);
    let before = moment.step(&cell, &params);
    // The second and the third module change places.
    let swap = |all: &mut [f32], blocks: usize| {
        let len = all.len() / blocks;
        for block in all.chunks_exact_mut(len) {
            let (_, rest) = block.split_at_mut(len / 3);
            rest.rotate_left(len / 3);
        }
    };
    for id in [
        cell.query.0,
        cell.query.1,
        cell.lstm.0,
        cell.lstm.1,
        cell.ask,
        cell.answer,
    ] {
        swap(params.data_mut(id), 1);
    }
    for all in [&mut moment.h, &mut moment.c] {
        swap(all, LANES);
    }
    let mut after = moment.step(&cell, &params);
    for (after, before) in after.iter_mut().zip(&before) {
        swap(after, LANES);
        assert_close(after, before);
    }
}

#[test]
fn without_active_modules_nothing_is_remembered() {
    let (cell, params) = rims(3, 0);
    let mut moment = Moment::of(&cell);
    for all in [&mut moment.h, &mut moment.c] {
        all.fill(0.0);
    }
    let [h, c, active] = moment.step(&cell, &params);
    assert!([h, c, active].concat().iter().all(|&x| x == 0.0));
}

/// The numbers that the public port of the modules gives (`scripts/parity/rims.py`).
#[test]
fn steps_are_those_of_the_public_port() {
    let cases: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/parity/rims.json")).unwrap();
    let wave = |count: usize, phase: usize, scale: f64| -> Vec<f32> {
        let waves = (0..count).map(|i| scale * (phase as f64 + 0.7 * i as f64).sin());
        waves.map(|x| x as f32).collect()
    };
    for case in cases.as_array().unwrap() {
        let active = case["active_modules"].as_u64().unwrap() as usize;
        let (cell, mut params) = rims(3, active);
        for (place, id) in params.ids().enumerate() {
            let numbers = wave(params.data(id).len(), place, 0.3);
            params.data_mut(id).copy_from_slice(&numbers);
        }
        for bias in [cell.query.1, cell.lstm.1] {
            params.data_mut(bias).fill(0.0);
        }
        let units = LANES * cell.feature_size();
        let mut moment = Moment {
            x: Vec::new(),
            h: wave(units, 20, 0.9),
            c: wave(units, 21, 0.9),
        };
        for (i, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            moment.x = wave(LANES * INPUTS, 30 + i, 0.9);
            let [h, c, active] = moment.step(&cell, &params);
            for (name, found) in [("h", &h), ("c", &c), ("active", &active)] {
                let expected: Vec<f32> = serde_json::from_value(step[name].clone()).unwrap();
                assert_close(found, &expected);
            }
            (moment.h, moment.c) = (h, c);
        }
    }
}

/// Three steps, before the last of which the second lane begins an episode: values and gradients.
#[test]
fn the_fused_kernel_agrees_with_repeated_steps() {
    for active_modules in [0, 2, 3] {
        let (cell, params) = rims(3, active_modules);
        let moment = Moment::of(&cell);
        let units = cell.feature_size();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let inputs = (0..3 * LANES * INPUTS).map(|_| rng.random_range(-1.0..1.0));
        let inputs: Vec<f32> = inputs.collect();
        let starts = [false, false, false, false, false, true];
        let run = |is_fused: bool| {
            let mut graph = Graph::training(&params);
            let x = graph.constant(inputs.clone(), (3 * LANES, INPUTS));
            let (_, mut state) = moment.tensors(&graph, &cell);
            let (features, last) = if is_fused {
                let arrays = state.iter().map(|matrix| crate::memory::Array {
                    width: values(matrix).len() / LANES,
                    data: values(matrix).to_vec(),
                });
                let before = State::new(LANES, arrays.collect());
                let run = cell.fused(&mut graph, &x, &starts, &before).unwrap();
                (run.features, run.state)
            } else {
                let entries = cell.prepare(&mut graph, &x);
                let mut features = Vec::new();
                for step in 0..3 {
                    if step == 2 {
                        for matrix in &mut state {
                            let width = values(matrix).len() / LANES;
                            let mask = [vec![1.0; width], vec![0.0; width]].concat();
                            let mask = graph.constant(mask, (LANES, width));
                            *matrix = graph.mul(matrix, &mask);
                        }
                    }
                    let entry = graph.rows(&entries, step * LANES..(step + 1) * LANES);
                    let (of_step, next) = cell.step(&mut graph, &entry, &state);
                    features.push(of_step);
                    state = next;
                }
                let features = graph.concat_rows(&features.iter().collect::<Vec<_>>());
                let last = state.iter().map(|matrix| values(matrix).to_vec());
                (features, last.collect::<Vec<_>>())
            };
            let targets = vec![0.3; 3 * LANES * units];
            let loss = graph.mse(&features, &targets, &[1.0; 3 * LANES]);
            let features = values(&features).to_vec();
            let gradients = graph.backward(&loss);
            let of_params = params.ids().map(|id| {
                let zeros = || vec![0.0; params.data(id).len()];
                gradients.of(id).map_or_else(zeros, <[f32]>::to_vec)
            });
            [vec![features], last, of_params.collect()].concat()
        };
        for (fused, stepwise) in run(true).iter().zip(&run(false)) {
            assert_close(fused, stepwise);
        }
    }
}
