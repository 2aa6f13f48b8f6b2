//! Comparison with PyTorch's cells, whose numbers `scripts/parity/torch_cells.py` recorded.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;

use super::cell::Cell;
use super::gru::GruCell;
use super::lstm::LstmCell;
use crate::hyper::Hyperparameters;
use crate::memory::{Array, CoreContext, Network, Previous, State};
use crate::nn::{Graph, Params, values};
use crate::spaces::actions::ActionHeads;

const INPUTS: usize = 3;
const WIDTH: usize = 4;

/// A sequence from a state that is not zero.
#[derive(Deserialize)]
struct Episode {
    inputs: Vec<f32>,
    before: Vec<Vec<f32>>,
    weights: BTreeMap<String, Vec<f32>>,
    features: Vec<f32>,
}

/// Compares the fused kernel over the whole sequence, and one step after the other.
fn compare<C: Cell>(new: fn(&mut CoreContext<'_>) -> C, recorded: &str) {
    let episode: Episode = serde_json::from_str(recorded).expect("a recorded episode");
    let mut params = Params::new();
    let cell = new(&mut CoreContext {
        input_size: INPUTS,
        columns: &[],
        previous: Previous::default(),
        heads: &ActionHeads::of(&[2]),
        hyper: &Hyperparameters::new().with(Network { hidden_size: WIDTH }),
        params: &mut params,
        rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
    });
    assert_eq!(params.ids().len(), episode.weights.len());
    for id in params.ids() {
        let weight = &episode.weights[params.name(id)];
        params.data_mut(id).copy_from_slice(weight);
    }
    let arrays = episode.before.iter().map(|data| Array {
        width: WIDTH,
        data: data.clone(),
    });
    let state = State::new(1, arrays.collect());
    let steps = episode.inputs.len() / INPUTS;
    let mut graph = Graph::inference(&params);
    let x = graph.constant(episode.inputs.clone(), (steps, INPUTS));
    let run = cell.fused(&mut graph, &x, &vec![false; steps], &state);
    assert_close(
        values(&run.expect("a fused kernel").features),
        &episode.features,
    );
    let of = |array: &Array| graph.constant(array.data.clone(), (1, WIDTH));
    let mut now: Vec<_> = state.arrays.iter().map(of).collect();
    let mut features = Vec::new();
    for step in 0..steps {
        let x = graph.rows(&x, step..step + 1);
        let (seen, next) = cell.step(&mut graph, &x, &now);
        features.extend_from_slice(values(&seen));
        now = next;
    }
    assert_close(&features, &episode.features);
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() < 2e-6, "[{i}] is {a}, not {b}");
    }
}

#[test]
fn a_gru_computes_what_torch_does() {
    compare(GruCell::new, include_str!("../../../tests/parity/gru.json"));
}

#[test]
fn an_lstm_computes_what_torch_does() {
    compare(
        LstmCell::new,
        include_str!("../../../tests/parity/lstm.json"),
    );
}
