//! Time of the computations that dominate an agent's work: `cargo bench -p agent-nn --bench
//! kernels`.
//!
//! The benchmark uses one thread and the allocator of the `agent` binary. `train` is forward pass,
//! loss, backward pass and Adam with clipping; `forward` is a graph for inference.

use std::hint::black_box;
use std::rc::Rc;

use agent_nn::{
    Activation, Adam, Graph, GruGateParams, Head, Init, LstmParams, ParamId, Params, PpoBatch,
    PpoCoefficients, RelativeTerms, ScoreTerms, Tensor, Weighting, Windows, nearest, values,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Learning rate so small that the parameters hardly change and every iteration does the same work.
const LEARNING_RATE: f32 = 1e-9;

fn uniform(count: usize) -> Vec<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(count as u64);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Updates every parameter once, with the loss that `forward` builds.
fn train_step(
    params: &mut Params,
    adam: &mut Adam,
    forward: impl FnOnce(&mut Graph<'_>) -> Tensor,
) {
    let mut graph = Graph::training(params);
    let loss = forward(&mut graph);
    let gradients = graph.backward(&loss);
    black_box(adam.step(params, &gradients, LEARNING_RATE, Some(0.5)));
}

struct Mlp {
    hidden: [(ParamId, ParamId); 2],
    actor: (ParamId, ParamId),
    critic: (ParamId, ParamId),
}

const MLP_INPUTS: usize = 3;
const MLP_HIDDEN: usize = 64;

impl Mlp {
    fn new(params: &mut Params) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut layer = |name: &str, inputs: usize, outputs: usize| {
            let init = Init::Orthogonal { gain: 1.0 };
            let weight = params.add(&format!("{name}.weight"), (inputs, outputs), init, &mut rng);
            let bias = params.add(&format!("{name}.bias"), (1, outputs), Init::Zeros, &mut rng);
            (weight, bias)
        };
        Self {
            hidden: [
                layer("0", MLP_INPUTS, MLP_HIDDEN),
                layer("1", MLP_HIDDEN, MLP_HIDDEN),
            ],
            actor: layer("actor", MLP_HIDDEN, 2),
            critic: layer("critic", MLP_HIDDEN, 1),
        }
    }

    fn features(&self, graph: &mut Graph<'_>, observations: &[f32]) -> Tensor {
        let rows = observations.len() / MLP_INPUTS;
        let mut x = graph.constant(observations.to_vec(), (rows, MLP_INPUTS));
        for (weight, bias) in self.hidden {
            x = graph.linear(&x, weight, Some(bias), Activation::Tanh);
        }
        x
    }

    fn logits(&self, graph: &mut Graph<'_>, features: &Tensor) -> Tensor {
        graph.linear(
            features,
            self.actor.0,
            Some(self.actor.1),
            Activation::Identity,
        )
    }

    fn state_values(&self, graph: &mut Graph<'_>, features: &Tensor) -> Tensor {
        graph.linear(
            features,
            self.critic.0,
            Some(self.critic.1),
            Activation::Identity,
        )
    }
}

fn mlp(criterion: &mut Criterion) {
    let mut params = Params::new();
    let mlp = Mlp::new(&mut params);
    for rows in [1, 64, 1024] {
        let observations = uniform(rows * MLP_INPUTS);
        criterion.bench_function(&format!("mlp 3-64-64-2 forward, {rows} rows"), |bencher| {
            bencher.iter(|| {
                let mut graph = Graph::inference(&params);
                let features = mlp.features(&mut graph, &observations);
                let logits = mlp.logits(&mut graph, &features);
                black_box(values(&logits)[0])
            });
        });
    }
    for rows in [1, 64, 1024] {
        let observations = uniform(rows * MLP_INPUTS);
        let (target, weights) = (uniform(rows * 2), vec![1.0; rows]);
        let mut adam = Adam::new(&params);
        criterion.bench_function(&format!("mlp 3-64-64-2 train, {rows} rows"), |bencher| {
            bencher.iter(|| {
                train_step(&mut params, &mut adam, |graph| {
                    let features = mlp.features(graph, &observations);
                    let logits = mlp.logits(graph, &features);
                    graph.mse(&logits, &target, &weights)
                });
            });
        });
    }
}

fn ppo(criterion: &mut Criterion) {
    let rows = 1024;
    let mut params = Params::new();
    let mlp = Mlp::new(&mut params);
    let mut adam = Adam::new(&params);
    let observations = uniform(rows * MLP_INPUTS);
    let actions: Vec<u32> = (0..rows as u32).map(|row| row % 2).collect();
    let batch = PpoBatch {
        heads: &[Head::Categorical(2)],
        actions: &actions,
        old_log_probs: &vec![-0.7; rows],
        advantages: &uniform(rows),
        returns: &uniform(rows),
        old_values: &vec![0.0; rows],
        weights: &vec![1.0; rows],
    };
    let coefficients = PpoCoefficients {
        clip_coef: 0.2,
        clip_vloss: true,
        ent_coef: 0.01,
        vf_coef: 0.5,
    };
    criterion.bench_function("mlp 3-64-64-(2, 1) ppo train, 1024 rows", |bencher| {
        bencher.iter(|| {
            train_step(&mut params, &mut adam, |graph| {
                let features = mlp.features(graph, &observations);
                let logits = mlp.logits(graph, &features);
                let state_values = mlp.state_values(graph, &features);
                graph
                    .ppo_loss(&logits, &state_values, &batch, &coefficients)
                    .0
            });
        });
    });
}

fn lstm(criterion: &mut Criterion) {
    let (steps, batch, hidden) = (64, 64, 64);
    let rows = steps * batch;
    for inputs in [3, 64] {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut params = Params::new();
        let init = Init::Orthogonal { gain: 1.0 };
        let cell = LstmParams {
            w_ih: params.add("w_ih", (inputs, 4 * hidden), init, &mut rng),
            w_hh: params.add("w_hh", (hidden, 4 * hidden), init, &mut rng),
            bias: params.add("bias", (1, 4 * hidden), Init::Zeros, &mut rng),
        };
        let x = uniform(rows * inputs);
        let starts: Vec<bool> = (0..rows).map(|row| row % 37 == 0).collect();
        let state = vec![0.0; batch * hidden];
        let (target, weights) = (uniform(rows * hidden), vec![1.0; rows]);
        let forward = |graph: &mut Graph<'_>| {
            let x = graph.constant(x.clone(), (rows, inputs));
            graph.lstm(&x, &starts, &state, &state, &cell, batch).hidden
        };
        let title = format!("lstm {inputs}-64, 64 steps of 64");
        criterion.bench_function(&format!("{title}, forward"), |bencher| {
            bencher.iter(|| black_box(forward(&mut Graph::inference(&params))));
        });
        let mut adam = Adam::new(&params);
        criterion.bench_function(&format!("{title}, train"), |bencher| {
            bencher.iter(|| {
                train_step(&mut params, &mut adam, |graph| {
                    let hidden = forward(graph);
                    graph.mse(&hidden, &target, &weights)
                });
            });
        });
        let x = uniform(batch * inputs);
        criterion.bench_function(&format!("lstm {inputs}-64, act 64 rows"), |bencher| {
            bencher.iter(|| {
                let mut graph = Graph::inference(&params);
                let x = graph.constant(x.clone(), (batch, inputs));
                black_box(
                    graph
                        .lstm(&x, &starts[..batch], &state, &state, &cell, batch)
                        .h[0],
                )
            });
        });
    }
}

/// Slots filled as a memory fills them: the newest entry replaces one of 16, so that consecutive
/// rows read mostly the same entries.
fn sliding_index(rows: usize, slots: usize) -> Vec<i32> {
    let mut held = vec![-1; slots];
    let mut index = Vec::with_capacity(rows * slots);
    for row in 0..rows {
        held[row * 7 % slots] = row as i32;
        index.extend_from_slice(&held);
    }
    index
}

/// Number of features that describe the age of an entry.
const LAG_FEATURES: usize = 12;
/// The features of each lag.
static LAG_TABLE: [f32; 1_024 * LAG_FEATURES] = [0.1; 1_024 * LAG_FEATURES];

fn attention(criterion: &mut Criterion) {
    let (rows, slots, d) = (4096, 16, 32);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut params = Params::new();
    let mut table = |name: &str, columns: usize| {
        params.add(name, (rows, columns), Init::Normal { std: 0.5 }, &mut rng)
    };
    let (q, k, v, bias, ages) = (
        table("q", d),
        table("k", d),
        table("v", d),
        table("bias", 1),
        table("ages", LAG_FEATURES),
    );
    let index = sliding_index(rows, slots);
    let (target, weights) = (uniform(rows * d), vec![1.0; rows]);
    // The choice of rows does not matter.
    let lags: Vec<i32> = index.iter().map(|&entry| entry.min(1_023)).collect();
    for (title, v, heads, by_age) in [
        ("values apart", v, 1, false),
        ("values are keys", k, 1, false),
        ("values are keys, by age", k, 1, true),
        ("4 heads, values apart", v, 4, false),
    ] {
        let forward = |graph: &mut Graph<'_>| {
            let [q, k, v, bias, ages] = [q, k, v, bias, ages].map(|id| graph.param(id));
            let offsets = by_age.then(|| graph.gather_dot(&ages, &LAG_TABLE, &lags, 1));
            let terms = ScoreTerms {
                entry: Some(&bias),
                slot: offsets.as_ref(),
            };
            graph
                .attention_read(&q, &k, &v, terms, &index, heads)
                .readout
        };
        let title = format!("attention 4096 rows, 16 slots, d 32, {title}");
        both_ways(criterion, &title, &params, (&target, &weights), &forward);
    }
}

/// Measures an operation forward, and with its gradient from the squared error to a target with weights of rows.
fn both_ways(
    criterion: &mut Criterion,
    title: &str,
    params: &Params,
    (target, weights): (&[f32], &[f32]),
    forward: &dyn Fn(&mut Graph<'_>) -> Tensor,
) {
    criterion.bench_function(&format!("{title}, forward"), |bencher| {
        bencher.iter(|| black_box(forward(&mut Graph::inference(params))));
    });
    criterion.bench_function(&format!("{title}, forward and backward"), |bencher| {
        bencher.iter(|| {
            let mut graph = Graph::training(params);
            let out = forward(&mut graph);
            let loss = graph.mse(&out, target, weights);
            black_box(graph.backward(&loss))
        });
    });
}

/// The parts of a layer of GTrXL, on a minibatch of 16 episodes of 16 steps.
fn gated_transformer(criterion: &mut Criterion) {
    let (sequences, steps, width, heads) = (16, 16, 32, 2);
    let rows = sequences * steps;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut params = Params::new();
    let mut add = |name: &str, rows: usize, columns: usize| {
        params.add(name, (rows, columns), Init::Normal { std: 0.2 }, &mut rng)
    };
    let [x, y, z] = ["x", "y", "z"].map(|name| add(name, rows, width));
    let [gain, bias, other] = ["gain", "bias", "other"].map(|name| add(name, 1, width));
    let distances = add("distances", steps, width);
    let gate = GruGateParams {
        gates: add("gates", 2 * width, 2 * width),
        candidate: add("candidate", 2 * width, width),
        bias,
    };
    let of_sequence = |s: usize| (0..steps).map(move |t| (t * sequences + s) as u32);
    let windows = Rc::new(Windows {
        entries: (0..sequences).flat_map(of_sequence).collect(),
        counts: vec![steps; sequences],
        lengths: (0..rows).map(|row| (row / sequences + 1) as u32).collect(),
    });
    let (target, weights) = (uniform(rows * width), vec![1.0; rows]);
    type Part<'a> = &'a dyn Fn(&mut Graph<'_>) -> Tensor;
    let norm: Part<'_> = &|graph| {
        let x = graph.param(x);
        graph.layer_norm(&x, gain, bias)
    };
    let attention: Part<'_> = &|graph| {
        let [x, y, z, u, v, r] = [x, y, z, bias, other, distances].map(|id| graph.param(id));
        let terms = RelativeTerms {
            content_bias: &u,
            distance_bias: &v,
            distances: &r,
        };
        graph.relative_attention(&x, &y, &z, terms, &windows, heads)
    };
    let gate: Part<'_> = &|graph| {
        let [x, y] = [x, y].map(|id| graph.param(id));
        graph.gru_gate(&x, &y, &gate)
    };
    for (title, part) in [("norm", norm), ("attention", attention), ("gate", gate)] {
        let title = format!("gtrxl {title}, 256 rows of 32");
        both_ways(criterion, &title, &params, (&target, &weights), part);
    }
}

/// Reads from a pool by three heads, two of which take the newest match, with terms of ages: TraceRL's settings for many pairs.
fn pool(criterion: &mut Criterion) {
    let (rows, slots, d, heads) = (4096, 25, 32, 3);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut params = Params::new();
    let mut table = |name: &str, columns: usize| {
        params.add(name, (rows, columns), Init::Normal { std: 0.5 }, &mut rng)
    };
    let (q, entries, gates, ages) = (
        table("q", heads * d),
        table("entries", d),
        table("gates", 1),
        table("ages", heads * LAG_FEATURES),
    );
    let newest = Weighting::StickBreaking { margin: 3.0 };
    let ways = [Weighting::Softmax, newest, newest];
    let index = sliding_index(rows, slots);
    let lags: Vec<i32> = index.iter().map(|&entry| entry.min(1_023)).collect();
    let (target, weights) = (uniform(rows * heads * d), vec![1.0; rows]);
    let forward = |graph: &mut Graph<'_>| {
        let [q, entries, gates, ages] = [q, entries, gates, ages].map(|id| graph.param(id));
        let offsets = graph.gather_dot(&ages, &LAG_TABLE, &lags, heads);
        let terms = ScoreTerms {
            entry: Some(&gates),
            slot: Some(&offsets),
        };
        let read = graph.pool_read(&q, &entries, terms, &index, &ways);
        read.readout
    };
    let title = "pool 4096 rows, 25 slots, d 32, 3 heads";
    both_ways(criterion, title, &params, (&target, &weights), &forward);
}

/// Search for the 11 nearest of 10,000 keys in 16 lanes. The rate is that of distances.
fn nearest_keys(criterion: &mut Criterion) {
    let (rows, lanes, neighbours) = (10_000, 16, 11);
    let mut group = criterion.benchmark_group("nearest");
    for width in [32, 104] {
        let (mut keys, mut queries) = (uniform(rows * width), uniform(lanes * width));
        group.throughput(Throughput::Elements((rows * lanes) as u64));
        for (title, times) in [("", 1), (", 8 times", 8)] {
            // Blocks of rows of equal time; all queries ask for one time.
            for (row, key) in keys.chunks_exact_mut(width).enumerate() {
                key[0] = 100.0 * ((row / 16) % times) as f32;
            }
            queries
                .chunks_exact_mut(width)
                .for_each(|query| query[0] = 0.0);
            let title = format!("16 of 10000 keys of {width}{title}");
            group.bench_function(title, |bencher| {
                bencher.iter(|| black_box(nearest(&keys, &queries, width, neighbours)));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = kernels;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(300)).measurement_time(std::time::Duration::from_secs(2));
    targets = mlp, ppo, lstm, attention, pool, gated_transformer, nearest_keys
}
criterion_main!(kernels);
