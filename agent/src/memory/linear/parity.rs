//! Comparison with other programs, whose numbers `scripts/parity` recorded.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::lru::Lru;
use super::mingru::MinGru;
use super::stack::LinearRecurrence;
use super::stack::testing::{features, set, stack};
use crate::hyper::Hyperparameters;
use crate::memory::{Layers, Network};
use crate::nn::{Calibration, Graph, MatrixMemory, Params, values};

/// A memory of two layers of four units over three inputs, and one episode.
#[derive(Deserialize)]
struct Episode {
    inputs: Vec<f32>,
    weights: BTreeMap<String, Vec<f32>>,
    features: Vec<f32>,
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(
            (a - b).abs() < 2e-6 * b.abs().max(1.0),
            "[{i}] is {a}, not {b}"
        );
    }
}

fn compare<R: LinearRecurrence>(recorded: &str) {
    let episode: Episode = serde_json::from_str(recorded).expect("a recorded episode");
    let hyper = Hyperparameters::new()
        .with(Network { hidden_size: 4 })
        .with(Layers { memory_layers: 2 });
    let (core, mut params) = stack::<R>(3, &hyper);
    assert_eq!(params.ids().len(), episode.weights.len());
    for (name, numbers) in &episode.weights {
        set(&mut params, name, numbers);
    }
    assert_close(
        &features(&core, &params, &episode.inputs),
        &episode.features,
    );
}

#[test]
fn mingru_agrees_with_a_port_in_torch() {
    compare::<MinGru>(include_str!("../../../tests/parity/mingru.json"));
}

#[test]
fn lru_agrees_with_a_port_in_jax() {
    compare::<Lru>(include_str!("../../../tests/parity/lru.json"));
}

/// Sequences of 21 steps, time-major, and the reads of a memory of four columns.
#[derive(Deserialize)]
struct Reads {
    batch: usize,
    left: Vec<f32>,
    right: Vec<f32>,
    value: Vec<f32>,
    key: Vec<f32>,
    query: Vec<f32>,
    read: Vec<f32>,
}

fn compare_reads(recorded: &str, calibration: Calibration) {
    let reads: Reads = serde_json::from_str(recorded).expect("recorded reads");
    let rows = reads.right.len() / 4;
    let params = Params::new();
    let mut graph = Graph::inference(&params);
    let tensor = |numbers: Vec<f32>| {
        let columns = numbers.len() / rows;
        graph.constant(numbers, (rows, columns))
    };
    let inputs = MatrixMemory {
        left: tensor(reads.left),
        right: tensor(reads.right),
        value: tensor(reads.value),
        key: tensor(reads.key),
        query: tensor(reads.query),
    };
    let initial = vec![0.0; reads.batch * values(&inputs.value).len() / rows * 4];
    let starts = vec![false; rows];
    let (mut read, _) = graph.matrix_memory(&inputs, calibration, &starts, &initial, reads.batch);
    if calibration == Calibration::Outer {
        read = graph.divide_by_last(&read, 1e-6);
    }
    assert_close(values(&read), &reads.read);
}

#[test]
fn hadamard_memory_agrees_with_its_authors_code() {
    let recorded = include_str!("../../../tests/parity/shm.json");
    compare_reads(recorded, Calibration::Hadamard);
}

#[test]
fn galite_agrees_with_its_authors_code() {
    let recorded = include_str!("../../../tests/parity/galite.json");
    compare_reads(recorded, Calibration::Outer);
}

#[test]
fn mlstm_agrees_with_its_authors_code() {
    let recorded = include_str!("../../../tests/parity/mlstm.json");
    compare_reads(recorded, Calibration::Outer);
}
