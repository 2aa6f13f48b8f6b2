//! Comparison of every fused operation, forward and backward, with a composition of dfdx's own.
//!
//! dfdx is an independent implementation. Finite differences only compare a gradient with our own
//! forward pass; this comparison also finds mistakes in the formula of the forward pass.

use dfdx::prelude::*;

use super::tests::{normal_params, uniform};
use crate::{
    self as nn, Activation, Graph, Head, LstmParams, ParamId, Params, PpoBatch, PpoCoefficients,
};

type Taped = dfdx::tensor::Tensor<(usize, usize), f32, Cpu, OwnedTape<f32, Cpu>>;
type Scalar = dfdx::tensor::Tensor<Rank0, f32, Cpu, OwnedTape<f32, Cpu>>;

/// Compares value and gradients of our loss with dfdx's. `composition` receives every parameter as
/// a dfdx tensor with a tape.
fn assert_agree<const N: usize>(
    params: &Params,
    ids: [ParamId; N],
    ours: impl FnOnce(&mut Graph<'_>) -> nn::Tensor,
    composed: impl FnOnce(&Cpu, [Taped; N]) -> Scalar,
) {
    let mut graph = Graph::training(params);
    let our_loss = ours(&mut graph);
    let our_gradients = graph.backward(&our_loss);

    let device = Cpu::default();
    let leaves = ids.map(|id| device.tensor_from_vec(params.data(id).to_vec(), params.shape(id)));
    let loss = composed(&device, std::array::from_fn(|i| leaves[i].leaky_trace()));
    assert_close(&[our_loss[[0, 0]]], &[loss.array()], "loss");
    let gradients = loss.backward();
    for (id, leaf) in ids.into_iter().zip(&leaves) {
        let ours = our_gradients
            .of(id)
            .expect("every parameter has a gradient");
        assert_close(ours, &gradients.get(leaf).as_vec(), params.name(id));
    }
}

fn assert_close(ours: &[f32], theirs: &[f32], what: &str) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= 2e-6 + 2e-5 * b.abs(),
            "{what}[{i}]: {a} here, {b} by dfdx"
        );
    }
}

/// Both sides of [`assert_agree`] end in this loss, whose gradient is not constant.
fn our_mse(graph: &mut Graph<'_>, x: &nn::Tensor, target: &[f32]) -> nn::Tensor {
    let weights = vec![1.0; x.shape().0];
    graph.mse(x, target, &weights)
}

fn composed_mse(device: &Cpu, x: Taped, target: &[f32]) -> Scalar {
    let target = device.tensor_from_vec(target.to_vec(), *x.shape());
    (x - target).square().mean()
}

/// A row `[1, N]`, repeated to `[M, N]`.
fn repeat_row(row: Taped, rows: usize) -> Taped {
    let columns = row.shape().1;
    row.reshape_like(&(columns,))
        .broadcast_like::<_, Axis<0>>(&(rows, columns))
}

#[test]
fn linear() {
    let (rows, inputs, hidden, outputs) = (70, 5, 19, 2);
    let (params, ids) = normal_params([
        (rows, inputs),
        (inputs, hidden),
        (1, hidden),
        (hidden, outputs),
    ]);
    let target = uniform(rows * outputs, 1);
    for activation in [
        Activation::Tanh,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::LogSigmoid,
    ] {
        assert_agree(
            &params,
            ids,
            |graph| {
                let x = graph.param(ids[0]);
                let hidden = graph.linear(&x, ids[1], Some(ids[2]), activation);
                let y = graph.linear(&hidden, ids[3], None, Activation::Identity);
                our_mse(graph, &y, &target)
            },
            |device, [x, weight, bias, head]| {
                let z = x.matmul(weight) + repeat_row(bias, rows);
                let hidden = match activation {
                    Activation::Identity => z,
                    Activation::Tanh => z.tanh(),
                    Activation::Relu => z.relu(),
                    Activation::Sigmoid => z.sigmoid(),
                    Activation::LogSigmoid => z.sigmoid().ln(),
                };
                composed_mse(device, hidden.matmul(head), &target)
            },
        );
    }
}

#[test]
fn layer_norm() {
    let (rows, columns) = (5, 37);
    let (params, ids) = normal_params([(rows, columns), (1, columns), (1, columns)]);
    let target = uniform(rows * columns, 2);
    assert_agree(
        &params,
        ids,
        |graph| {
            let x = graph.param(ids[0]);
            let y = graph.layer_norm(&x, ids[1], ids[2]);
            our_mse(graph, &y, &target)
        },
        |device, [x, gain, bias]| {
            let y = x.normalize::<Axis<1>>(1e-5) * repeat_row(gain, rows) + repeat_row(bias, rows);
            composed_mse(device, y, &target)
        },
    );
}

/// One head with every slot filled, with separate keys and values or the same table for both.
fn attention_agrees(shared: bool) {
    let (rows, entries, slots, d) = (6, 9, 4, 40);
    let (params, ids) = normal_params([(rows, d), (entries, d), (entries, d), (entries, 1)]);
    let index: Vec<usize> = (0..rows * slots)
        .map(|i| (i * 5 + i / slots) % entries)
        .collect();
    let our_index: Vec<i32> = index.iter().map(|&entry| entry as i32).collect();
    let target = uniform(rows * d, 3);
    assert_agree(
        &params,
        ids,
        |graph| {
            let [q, k, v, bias] = ids.map(|id| graph.param(id));
            let values = if shared { &k } else { &v };
            let terms = nn::ScoreTerms {
                entry: Some(&bias),
                slot: None,
            };
            let read = graph.attention_read(&q, &k, values, terms, &our_index, 1);
            let loss = our_mse(graph, &read.readout, &target);
            plus_mean_square(graph, loss, &v)
        },
        |device, [q, k, v, bias]| {
            let pick = device.tensor_from_vec(index.clone(), (rows, slots));
            let mean_square = v.retaped::<OwnedTape<f32, Cpu>>().square().mean();
            let keys = k.retaped::<OwnedTape<f32, Cpu>>().gather(pick.clone());
            let values = if shared { k } else { v }.gather(pick.clone());
            let bias = bias
                .gather::<(usize, usize, usize), _>(pick)
                .reshape_like(&(rows, slots));
            let q = q.broadcast_like::<_, Axis<1>>(&(rows, slots, d));
            let scores =
                (q * keys).sum::<(usize, usize), Axis<2>>() * (1.0 / (d as f32).sqrt()) + bias;
            let weights = scores.softmax::<Axis<1>>();
            let weights = weights.broadcast_like::<_, Axis<2>>(&(rows, slots, d));
            let readout = (weights * values).sum::<(usize, usize), Axis<1>>();
            composed_mse(device, readout, &target) + mean_square
        },
    );
}

/// Adds the mean square of `x`, so that it has a gradient even if nothing else uses it.
fn plus_mean_square(graph: &mut Graph<'_>, loss: nn::Tensor, x: &nn::Tensor) -> nn::Tensor {
    let (rows, columns) = *x.shape();
    let mean_square = our_mse(graph, x, &vec![0.0; rows * columns]);
    graph.total(&[(1.0, &loss), (1.0, &mean_square)])
}

#[test]
fn attention_read() {
    attention_agrees(false);
    attention_agrees(true);
}

#[test]
fn lstm() {
    let (steps, batch, inputs, hidden) = (5, 3, 4, 7);
    let rows = steps * batch;
    let (params, ids) = normal_params([
        (rows, inputs),
        (inputs, 4 * hidden),
        (hidden, 4 * hidden),
        (1, 4 * hidden),
    ]);
    let [_, w_ih, w_hh, bias] = ids;
    let mut starts = vec![false; rows];
    for start in [1, 2 * batch, 4 * batch + 2] {
        starts[start] = true;
    }
    let (h0, c0) = (uniform(batch * hidden, 4), uniform(batch * hidden, 5));
    let target = uniform(rows * hidden, 6);
    assert_agree(
        &params,
        ids,
        |graph| {
            let x = graph.param(ids[0]);
            let cell = LstmParams { w_ih, w_hh, bias };
            let output = graph.lstm(&x, &starts, &h0, &c0, &cell, batch);
            our_mse(graph, &output.hidden, &target)
        },
        |device, [x, w_ih, w_hh, bias]| {
            let state = |s: &[f32]| device.tensor_from_vec(s.to_vec(), (batch, hidden));
            let (mut h, mut c): (Taped, Taped) = (state(&h0).retaped(), state(&c0).retaped());
            let mut outputs: Vec<Taped> = Vec::new();
            for t in 0..steps {
                let step_starts = &starts[t * batch..(t + 1) * batch];
                let keep = step_starts
                    .iter()
                    .flat_map(|&start| vec![f32::from(!start); hidden]);
                let keep = state(&keep.collect::<Vec<_>>());
                let x: Taped = x.retaped();
                let z = x
                    .slice((t * batch..(t + 1) * batch, ..))
                    .matmul(w_ih.retaped::<OwnedTape<f32, Cpu>>())
                    + (h * keep.clone()).matmul(w_hh.retaped::<OwnedTape<f32, Cpu>>())
                    + repeat_row(bias.retaped(), batch);
                // Each tape has to arrive at the loss once: the last gate carries that of `z`, and
                // `h` all of them.
                let gate = |z: Taped, i: usize| z.slice((.., i * hidden..(i + 1) * hidden));
                let (i, f) = (
                    gate(z.retaped(), 0).sigmoid(),
                    gate(z.retaped(), 1).sigmoid(),
                );
                let (g, o) = (gate(z.retaped(), 2).tanh(), gate(z, 3).sigmoid());
                let c_after = f * (c * keep) + i * g;
                c = c_after.retaped();
                h = o * c_after.tanh();
                outputs.push(h.retaped());
            }
            outputs.pop();
            outputs.push(h);
            let join = |a: Taped, b: Taped| (a, b).concat_along(Axis::<0>);
            let joined = outputs.into_iter().reduce(join).expect("there are steps");
            composed_mse(device, joined, &target)
        },
    );
}

#[test]
fn ppo_loss() {
    let (rows, num_actions) = (40, 3);
    let (params, ids) = normal_params([(rows, num_actions), (rows, 1)]);
    let actions: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
    let old_log_probs: Vec<f32> = uniform(rows, 7).iter().map(|x| x - 1.2).collect();
    let (advantages, returns, old_values) = (uniform(rows, 8), uniform(rows, 9), uniform(rows, 10));
    for clip_vloss in [false, true] {
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss,
            ent_coef: 0.03,
            vf_coef: 0.7,
        };
        let batch = PpoBatch {
            heads: &[Head::Categorical(num_actions)],
            actions: &actions,
            old_log_probs: &old_log_probs,
            advantages: &advantages,
            returns: &returns,
            old_values: &old_values,
            weights: &vec![1.0; rows],
        };
        assert_agree(
            &params,
            ids,
            |graph| {
                let (logits, values) = (graph.param(ids[0]), graph.param(ids[1]));
                graph.ppo_loss(&logits, &values, &batch, &coefficients).0
            },
            |device, [logits, values]| {
                let vector = |numbers: &[f32]| device.tensor_from_vec(numbers.to_vec(), (rows,));
                let log_probs = logits.log_softmax::<Axis<1>>();
                let probs: Taped = log_probs.retaped::<OwnedTape<f32, Cpu>>().exp();
                let entropy = -(probs * log_probs.retaped::<NoneTape>())
                    .sum::<(usize,), Axis<1>>()
                    .mean();
                let chosen =
                    device.tensor_from_vec(actions.iter().map(|&a| a as usize).collect(), (rows,));
                let log_prob = log_probs.select(chosen);
                let ratio = (log_prob - vector(&old_log_probs)).exp();
                let clipped =
                    ratio.retaped::<OwnedTape<f32, Cpu>>().clamp(0.8, 1.2) * -vector(&advantages);
                let policy_loss = (ratio * -vector(&advantages)).maximum(clipped).mean();

                let values = values.reshape_like(&(rows,));
                let change = values.retaped::<OwnedTape<f32, Cpu>>() - vector(&old_values);
                let clipped = change.clamp(-0.2, 0.2) + vector(&old_values) - vector(&returns);
                let error = (values - vector(&returns)).square();
                let error = if clip_vloss {
                    error.maximum(clipped.square())
                } else {
                    error
                };
                policy_loss - entropy * 0.03 + error.mean() * (0.5 * 0.7)
            },
        );
    }
}

/// Two numbers with means and log deviations, and a choice between them. No ratio is clipped.
#[test]
fn ppo_loss_of_numbers() {
    let rows = 30;
    let (params, ids) = normal_params([(rows, 1), (rows, 3), (rows, 1), (1, 1), (1, 1)]);
    let taken = [uniform(rows, 5), uniform(rows, 6)];
    let choices: Vec<usize> = (0..rows).map(|row| row % 3).collect();
    let action = |row: usize| {
        let [first, second] = [0, 1].map(|number: usize| taken[number][row].to_bits());
        [first, choices[row] as u32, second]
    };
    let old_log_probs: Vec<f32> = uniform(rows, 7).iter().map(|x| x - 3.5).collect();
    let (advantages, zeros) = (uniform(rows, 8), vec![0.0; rows]);
    let batch = PpoBatch {
        heads: &[Head::Gaussian, Head::Categorical(3), Head::Gaussian],
        actions: &(0..rows).flat_map(action).collect::<Vec<_>>(),
        old_log_probs: &old_log_probs,
        advantages: &advantages,
        returns: &zeros,
        old_values: &zeros,
        weights: &vec![1.0; rows],
    };
    let coefficients = PpoCoefficients {
        clip_coef: 1e6,
        clip_vloss: false,
        ent_coef: 0.03,
        vf_coef: 0.0,
    };
    assert_agree(
        &params,
        ids,
        |graph| {
            let [first, logits, second, s1, s2] = ids.map(|id| graph.param(id));
            let [s1, s2] = [s1, s2].map(|s| graph.gather_rows(&s, &vec![0; rows]));
            let outputs = graph.concat_cols(&[&first, &logits, &second, &s1, &s2]);
            let values = graph.constant(vec![0.0; rows], (rows, 1));
            graph.ppo_loss(&outputs, &values, &batch, &coefficients).0
        },
        |device, [first, logits, second, s1, s2]| {
            let vector = |numbers: &[f32]| device.tensor_from_vec(numbers.to_vec(), (rows,));
            let half_ln_tau = 0.5 * std::f32::consts::TAU.ln();
            let number = |mean: Taped, s: Taped, taken: &[f32]| {
                let s = repeat_row(s, rows).reshape_like(&(rows,));
                let precision = (-s.retaped::<OwnedTape<f32, Cpu>>()).exp();
                let entropy = s.retaped::<OwnedTape<f32, Cpu>>().mean() + (0.5 + half_ln_tau);
                let apart = (mean.reshape_like(&(rows,)) - vector(taken)) * precision;
                (-(apart.square() * 0.5) - s - half_ln_tau, entropy)
            };
            let (first, of_first) = number(first, s1, &taken[0]);
            let (second, of_second) = number(second, s2, &taken[1]);
            let log_probs = logits.log_softmax::<Axis<1>>();
            let probs: Taped = log_probs.retaped::<OwnedTape<f32, Cpu>>().exp();
            let of_choice = -(probs * log_probs.retaped::<NoneTape>())
                .sum::<(usize,), Axis<1>>()
                .mean();
            let chosen = device.tensor_from_vec(choices.clone(), (rows,));
            let log_prob = first + log_probs.select(chosen) + second;
            let ratio = (log_prob - vector(&old_log_probs)).exp();
            let policy_loss = (ratio * -vector(&advantages)).mean();
            policy_loss - (of_first + of_second + of_choice) * 0.03
        },
    );
}
