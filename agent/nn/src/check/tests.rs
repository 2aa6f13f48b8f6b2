//! Comparison of every operation with finite differences.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::check_gradients;
use crate::{
    Activation, Calibration, ControllerParams, Graph, GridSize, GruGateParams, GruParams, Head,
    Heads, HopParams, Init, LruParams, LstmParams, MatrixMemory, MemorySizes, ModuleParams,
    ModuleSizes, ParamId, Params, PpoBatch, PpoCoefficients, RelativeTerms, ScoreTerms, Tensor,
    Weighting, Windows, values,
};

/// Uniform random numbers in -1..1.
pub(super) fn uniform(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Parameters with normal values, named by their position.
pub(super) fn normal_params<const N: usize>(shapes: [(usize, usize); N]) -> (Params, [ParamId; N]) {
    let (mut rng, mut params) = (Xoshiro256PlusPlus::seed_from_u64(11), Params::new());
    let ids = std::array::from_fn(|i| {
        params.add(
            &format!("p{i}"),
            shapes[i],
            Init::Normal { std: 0.7 },
            &mut rng,
        )
    });
    (params, ids)
}

/// A loss that gives every number of `x` a gradient of its own.
fn weighted_sum(graph: &mut Graph<'_>, x: &Tensor) -> Tensor {
    use dfdx::shapes::HasShape;
    let (rows, columns) = *x.shape();
    let target: Vec<f32> = (0..rows * columns)
        .map(|i| (i as f32 * 1.7).sin())
        .collect();
    graph.mse(x, &target, &vec![1.0; rows])
}

#[test]
fn linear_and_activations() {
    for activation in [
        Activation::Identity,
        Activation::Tanh,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::LogSigmoid,
    ] {
        let (mut params, [w1, b1, w2]) = normal_params([(3, 5), (1, 5), (5, 2)]);
        let input = uniform(4 * 3, 1);
        check_gradients(&mut params, |graph| {
            let x = graph.constant(input.clone(), (4, 3));
            let hidden = graph.linear(&x, w1, Some(b1), activation);
            let y = graph.linear(&hidden, w2, None, Activation::Identity);
            let y = graph.activate(&y, Activation::Tanh);
            weighted_sum(graph, &y)
        });
    }
}

#[test]
fn arithmetic_with_a_tensor_used_twice() {
    let (mut params, [a, b]) = normal_params([(2, 3), (2, 3)]);
    check_gradients(&mut params, |graph| {
        let (a, b) = (graph.param(a), graph.param(b));
        let square = graph.mul(&a, &a);
        let product = graph.mul(&square, &b);
        let double = graph.add(&product, &product);
        let scaled = graph.scale(&double, -0.3);
        let sum = graph.add(&scaled, &b);
        let one = weighted_sum(graph, &sum);
        let other = weighted_sum(graph, &a);
        graph.total(&[(0.5, &one), (2.0, &other), (0.0, &other)])
    });
}

#[test]
fn rows_and_columns() {
    let (mut params, [a, b, c]) = normal_params([(3, 2), (3, 4), (2, 6)]);
    check_gradients(&mut params, |graph| {
        let (a, b, c) = (graph.param(a), graph.param(b), graph.param(c));
        let constant = graph.constant(vec![0.5; 6], (1, 6));
        let beside = graph.concat_cols(&[&a, &b]);
        let below = graph.concat_rows(&[&beside, &constant, &c]);
        let middle = graph.columns(&below, 1..5);
        let below = graph.concat_cols(&[&middle, &below]);
        let picked = graph.gather_rows(&below, &[5, 0, 0, 2, 3]);
        let means = graph.segment_mean(&picked, &[0..2, 2..2, 1..5]);
        weighted_sum(graph, &means)
    });
}

#[test]
fn layer_norm() {
    let (mut params, [x, gain, bias]) = normal_params([(3, 6), (1, 6), (1, 6)]);
    check_gradients(&mut params, |graph| {
        let x = graph.param(x);
        let y = graph.layer_norm(&x, gain, bias);
        let y = graph.layer_norm(&y, gain, bias);
        weighted_sum(graph, &y)
    });
}

#[test]
fn attention_read() {
    let (mut params, [q, k, v, bias, offsets]) =
        normal_params([(3, 4), (5, 4), (5, 6), (5, 1), (3, 6)]);
    let index = [0, 1, 4, -1, 2, 2, -1, -1, -1];
    check_gradients(&mut params, |graph| {
        let [q, k, v, bias, offsets] = [q, k, v, bias, offsets].map(|id| graph.param(id));
        let terms = ScoreTerms {
            entry: Some(&bias),
            slot: Some(&offsets),
        };
        let read = graph.attention_read(&q, &k, &v, terms, &index, 2);
        weighted_sum(graph, &read.readout)
    });
}

#[test]
fn attention_over_keys_that_are_the_values() {
    let (mut params, [q, k]) = normal_params([(3, 4), (5, 4)]);
    let index = [0, 1, 4, -1, 2, 3, -1, 1, -1];
    check_gradients(&mut params, |graph| {
        let (q, k) = (graph.param(q), graph.param(k));
        let read = graph.attention_read(&q, &k, &k, ScoreTerms::NONE, &index, 1);
        weighted_sum(graph, &read.readout)
    });
}

#[test]
fn attention_by_breaking_a_stick() {
    let (mut params, [q, k, v, bias, offsets]) =
        normal_params([(4, 4), (5, 4), (5, 6), (5, 1), (4, 6)]);
    // With a first slot and without one, and with nothing else.
    let index = [0, 1, 4, 3, -1, 2, -1, 2, 4, 0, -1, -1];
    let heads = Heads {
        count: 2,
        weighting: Weighting::StickBreaking { margin: 0.5 },
    };
    check_gradients(&mut params, |graph| {
        let [q, k, v, bias, offsets] = [q, k, v, bias, offsets].map(|id| graph.param(id));
        let terms = ScoreTerms {
            entry: Some(&bias),
            slot: Some(&offsets),
        };
        let read = graph.attention_read(&q, &k, &v, terms, &index, heads);
        weighted_sum(graph, &read.readout)
    });
}

#[test]
fn pool_read() {
    let (mut params, [q, pool, bias, offsets]) = normal_params([(4, 6), (5, 3), (5, 1), (4, 6)]);
    let index = [0, 1, 4, 3, -1, 2, -1, 2, 4, 0, -1, -1];
    let ways = [Weighting::StickBreaking { margin: 0.5 }, Weighting::Softmax];
    check_gradients(&mut params, |graph| {
        let [q, pool, bias, offsets] = [q, pool, bias, offsets].map(|id| graph.param(id));
        let terms = ScoreTerms {
            entry: Some(&bias),
            slot: Some(&offsets),
        };
        let read = graph.pool_read(&q, &pool, terms, &index, &ways);
        weighted_sum(graph, &read.readout)
    });
}

#[test]
fn products_with_several_weights() {
    let (mut params, [x, first, second]) = normal_params([(3, 4), (4, 2), (4, 5)]);
    check_gradients(&mut params, |graph| {
        let x = graph.param(x);
        let both = graph.products(&x, &[first, second]);
        weighted_sum(graph, &both)
    });
    let graph = &mut Graph::inference(&params);
    let x = graph.param(x);
    let apart = [first, second].map(|weight| graph.linear(&x, weight, None, Activation::Identity));
    let apart = graph.concat_cols(&[&apart[0], &apart[1]]);
    let both = graph.products(&x, &[first, second]);
    for (one, other) in values(&both).iter().zip(values(&apart)) {
        assert!((one - other).abs() < 1e-6, "{one} {other}");
    }
}

#[test]
fn gather_dot_of_several_heads() {
    static TABLE: [f32; 6] = [1.0, 0.5, -0.25, 2.0, 0.0, -1.0];
    let (mut params, [rows]) = normal_params([(2, 4)]);
    let index = [0, 2, -1, 1, 2, 2];
    check_gradients(&mut params, |graph| {
        let rows = graph.param(rows);
        let out = graph.gather_dot(&rows, &TABLE, &index, 2);
        weighted_sum(graph, &out)
    });
    let graph = &mut Graph::inference(&params);
    let rows = graph.param(rows);
    let together = graph.gather_dot(&rows, &TABLE, &index, 2);
    let apart = [0..2, 2..4].map(|columns| {
        let head = graph.columns(&rows, columns);
        graph.gather_dot(&head, &TABLE, &index, 1)
    });
    let apart = graph.concat_cols(&[&apart[0], &apart[1]]);
    assert_eq!(values(&together), values(&apart));
}

#[test]
fn gather_dot() {
    static TABLE: [f32; 6] = [1.0, 0.5, -0.25, 2.0, 0.0, -1.0];
    let (mut params, [rows]) = normal_params([(3, 2)]);
    check_gradients(&mut params, |graph| {
        let rows = graph.param(rows);
        let out = graph.gather_dot(&rows, &TABLE, &[0, 2, -1, 1, 2, 2], 1);
        weighted_sum(graph, &out)
    });
    let graph = &mut Graph::inference(&params);
    let rows = graph.constant(vec![2.0, 4.0, 1.0, 1.0], (2, 2));
    let out = graph.gather_dot(&rows, &TABLE, &[0, 2, -1, 1], 1);
    assert_eq!(values(&out), [4.0, -4.0, 0.0, 1.75]);
}

#[test]
fn lstm_with_resets() {
    let (inputs, hidden, batch, steps) = (3, 4, 2, 4);
    let (mut params, [x, w_ih, w_hh, bias]) = normal_params([
        (steps * batch, inputs),
        (inputs, 4 * hidden),
        (hidden, 4 * hidden),
        (1, 4 * hidden),
    ]);
    let cell = LstmParams { w_ih, w_hh, bias };
    let starts = [false, true, false, false, true, false, false, false];
    let (h0, c0) = (uniform(batch * hidden, 2), uniform(batch * hidden, 3));
    check_gradients(&mut params, |graph| {
        let x = graph.param(x);
        let output = graph.lstm(&x, &starts, &h0, &c0, &cell, batch);
        weighted_sum(graph, &output.hidden)
    });
}

#[test]
fn ppo_loss() {
    let (mut params, [logits, values]) = normal_params([(6, 3), (6, 1)]);
    let batch = PpoBatch {
        heads: &[Head::Categorical(3)],
        actions: &[0, 1, 2, 0, 1, 2],
        old_log_probs: &[-1.0, -0.5, -2.0, -1.2, -0.9, -3.0],
        advantages: &uniform(6, 4),
        returns: &uniform(6, 5),
        old_values: &uniform(6, 6),
        weights: &[1.0, 0.0, 2.0, 1.0, 0.5, 1.0],
    };
    for clip_vloss in [false, true] {
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss,
            ent_coef: 0.1,
            vf_coef: 0.5,
        };
        check_gradients(&mut params, |graph| {
            let (logits, values) = (graph.param(logits), graph.param(values));
            let (loss, _) = graph.ppo_loss(&logits, &values, &batch, &coefficients);
            graph.total(&[(3.0, &loss)])
        });
    }
}

#[test]
fn ppo_loss_of_actions_with_components() {
    let (mut params, [logits, values]) = normal_params([(4, 6), (4, 1)]);
    let batch = PpoBatch {
        heads: &[2, 1, 3].map(Head::Categorical),
        actions: &[0, 0, 2, 1, 0, 1, 1, 0, 0, 0, 0, 1],
        old_log_probs: &[-1.7, -1.4, -2.5, -1.2],
        advantages: &uniform(4, 4),
        returns: &uniform(4, 5),
        old_values: &uniform(4, 6),
        weights: &[1.0, 2.0, 0.5, 1.0],
    };
    let coefficients = PpoCoefficients {
        clip_coef: 0.2,
        clip_vloss: false,
        ent_coef: 0.1,
        vf_coef: 0.5,
    };
    // A component with a single choice has probability 1, so its logit must get no gradient.
    check_gradients(&mut params, |graph| {
        let (logits, values) = (graph.param(logits), graph.param(values));
        graph.ppo_loss(&logits, &values, &batch, &coefficients).0
    });
}

#[test]
fn ppo_loss_of_numbers_among_choices() {
    // Means and logits of a number, a choice of two and another number; then two log deviations.
    let (mut params, [logits, values]) = normal_params([(4, 6), (4, 1)]);
    let taken = uniform(8, 3);
    let actions: Vec<u32> = (0..4)
        .flat_map(|row| {
            [
                taken[2 * row].to_bits(),
                row as u32 % 2,
                taken[2 * row + 1].to_bits(),
            ]
        })
        .collect();
    let batch = PpoBatch {
        heads: &[Head::Gaussian, Head::Categorical(2), Head::Gaussian],
        actions: &actions,
        old_log_probs: &[-4.1, -2.7, -3.5, -3.2],
        advantages: &uniform(4, 4),
        returns: &uniform(4, 5),
        old_values: &uniform(4, 6),
        weights: &[1.0, 2.0, 0.5, 1.0],
    };
    let coefficients = PpoCoefficients {
        clip_coef: 5.0,
        clip_vloss: false,
        ent_coef: 0.1,
        vf_coef: 0.5,
    };
    check_gradients(&mut params, |graph| {
        let (logits, values) = (graph.param(logits), graph.param(values));
        graph.ppo_loss(&logits, &values, &batch, &coefficients).0
    });
}

#[test]
fn regressions() {
    let (mut params, [x, u]) = normal_params([(4, 3), (5, 1)]);
    check_gradients(&mut params, |graph| {
        let (x, u) = (graph.param(x), graph.param(u));
        let classes = graph.cross_entropy(&x, &[2, 0, 1, 1], &[1.0, 2.0, 0.0, 0.5]);
        let index = [0, 1, -1, 4, 1, 0];
        let slots = graph.slot_regression(&u, &index, &[0.5; 6], &[1.0, 0.0, 2.0]);
        let (never, always) = (f32::NEG_INFINITY, f32::INFINITY);
        let bounds = [
            [0.3, always],
            [never, -0.2],
            [never, always],
            [0.0, 0.9],
            [never, 1.0],
        ];
        let retention = graph.retention_score(&u, &bounds, &[1.0, -0.5, 1.0, 2.0, 0.3]);
        graph.total(&[(1.0, &classes), (0.7, &slots), (1.3, &retention)])
    });
}

#[test]
#[should_panic(expected = "on the tape")]
fn a_wrong_gradient_is_found() {
    let (mut params, [a]) = normal_params([(2, 2)]);
    check_gradients(&mut params, |graph| {
        // The constant hides half of the dependence on the parameter from the tape.
        let a = graph.param(a);
        let hidden = graph.constant(crate::values(&a).to_vec(), (2, 2));
        let product = graph.mul(&a, &hidden);
        weighted_sum(graph, &product)
    });
}

#[test]
fn pointwise_operations() {
    let (mut params, [x, factors, gates, c]) = normal_params([(3, 4), (3, 1), (2, 12), (2, 3)]);
    check_gradients(&mut params, |graph| {
        let [x, factors, gates, c] = [x, factors, gates, c].map(|id| graph.param(id));
        let soft = graph.softmax(&x);
        let plus = graph.softplus(&x);
        let moved = graph.affine(&plus, 0.5, -0.2);
        let scaled = graph.scale_rows(&moved, &factors);
        let dots = graph.row_dot(&soft, &scaled);
        let again = graph.scale_rows(&soft, &dots);
        let wide = graph.reshape(&again, (2, 6));
        let (h, c) = graph.lstm_cell(&gates, &c);
        let below = graph.concat_cols(&[&wide, &h, &c]);
        let last = graph.rows(&below, 1..2);
        let all = graph.concat_rows(&[&below, &last]);
        weighted_sum(graph, &all)
    });
}

#[test]
fn gru_through_time() {
    const STEPS: usize = 5;
    let (mut params, [x, w_ih, w_hh, bias, bias_hh]) =
        normal_params([(2 * STEPS, 2), (2, 9), (3, 9), (1, 9), (1, 9)]);
    let cell = GruParams {
        w_ih,
        w_hh,
        bias,
        bias_hh,
    };
    let mut starts = [false; 2 * STEPS];
    starts[5] = true;
    let initial = uniform(6, 3);
    check_gradients(&mut params, |graph| {
        let x = graph.param(x);
        let output = graph.gru(&x, &starts, &initial, &cell, 2);
        weighted_sum(graph, &output.hidden)
    });
}

#[test]
fn scans_through_time() {
    const STEPS: usize = 5;
    let (mut params, [x, w, b, input, nu, theta, log_gamma, output, bias]) = normal_params([
        (2 * STEPS, 2),
        (2, 4),
        (1, 4),
        (2, 6),
        (1, 3),
        (1, 3),
        (1, 3),
        (6, 2),
        (1, 2),
    ]);
    let units = LruParams {
        input,
        nu,
        theta,
        log_gamma,
        output,
        bias,
    };
    let mut starts = [false; 2 * STEPS];
    starts[5] = true;
    let initial = uniform(12, 3);
    check_gradients(&mut params, |graph| {
        let x = graph.param(x);
        let (gated, _) = graph.min_gru(&x, (w, b), &starts, &initial[..4], 2);
        let (complex, _) = graph.lru(&x, &units, &starts, &initial, 2);
        let both = graph.concat_cols(&[&gated, &complex]);
        weighted_sum(graph, &both)
    });
}

/// Eighteen steps, more than the backward pass computes again at once.
#[test]
fn matrix_memory_with_resets() {
    // Columns that are part of a register, and more than one.
    for key_size in [3, 17] {
        let (rows, value_size, batch) = (36, 2, 2);
        let (high, wide) = ((rows, value_size), (rows, key_size));
        let (mut params, ids) = normal_params([high, wide, high, wide, wide]);
        let starts: Vec<bool> = (0..rows).map(|row| row % 13 == 9).collect();
        let initial = uniform(batch * value_size * key_size, 2);
        for calibration in [Calibration::Hadamard, Calibration::Outer] {
            check_gradients(&mut params, |graph| {
                let [left, right, value, key, query] = ids.map(|id| graph.param(id));
                let inputs = MatrixMemory {
                    left,
                    right,
                    value,
                    key,
                    query,
                };
                let (y, _) = graph.matrix_memory(&inputs, calibration, &starts, &initial, batch);
                weighted_sum(graph, &y)
            });
        }
    }
}

#[test]
fn divide_by_last() {
    let (mut params, [x, w]) = normal_params([(4, 3), (3, 3)]);
    check_gradients(&mut params, |graph| {
        let x = graph.param(x);
        let x = graph.linear(&x, w, None, Activation::Sigmoid);
        let y = graph.divide_by_last(&x, 0.5);
        weighted_sum(graph, &y)
    });
}

/// Numbers between 0 and 1 that depend on a parameter.
fn shares(graph: &mut Graph<'_>, id: ParamId) -> Tensor {
    let x = graph.param(id);
    graph.activate(&x, Activation::Sigmoid)
}

#[test]
fn content_reads() {
    let (mut params, [memory, keys, strengths]) = normal_params([(2, 12), (2, 6), (2, 2)]);
    let filled = [true, true, false, true, false, false, false, true];
    for filled in [None, Some(&filled[..])] {
        check_gradients(&mut params, |graph| {
            let strengths = graph.param(strengths);
            let strengths = graph.softplus(&strengths);
            let (memory, keys) = (graph.param(memory), graph.param(keys));
            let read = graph.content_read(&memory, &keys, &strengths, filled);
            weighted_sum(graph, &read.reads)
        });
    }
}

#[test]
fn steps_of_a_dnc() {
    for (heads, writes) in [(1, true), (2, true), (2, false)] {
        let sizes = MemorySizes {
            slots: 4,
            width: 3,
            heads,
            writes,
        };
        let [words, memory, slots, _, reading, _, links] = sizes.dnc_state_parts();
        let interface = sizes.dnc_interface_parts().iter().sum();
        let (mut params, [before, after, interface]) = normal_params([
            (2, words + memory + slots),
            (2, reading + slots + links),
            (2, interface),
        ]);
        // No gradient flows from the write weights into usage, so they are constants here.
        let written: Vec<f32> = uniform(2 * slots, 7)
            .iter()
            .map(|x| x.abs() / 20.0)
            .collect();
        // The order of slots by usage is a constant of the gradient: usages lie apart, so that differences do not
        // change it.
        let apart: Vec<f32> = (0..2 * slots)
            .map(|i| 0.1 + 0.2 * (i % slots) as f32)
            .collect();
        check_gradients(&mut params, |graph| {
            let [before, after] = [before, after].map(|id| shares(graph, id));
            let usage = graph.columns(&before, words + memory..words + memory + slots);
            let usage = graph.affine(&usage, 0.1, 0.0);
            let apart = graph.constant(apart.clone(), (2, slots));
            let usage = graph.add(&usage, &apart);
            let before = graph.columns(&before, 0..words + memory);
            let written = graph.constant(written.clone(), (2, slots));
            let state = graph.concat_cols(&[&before, &usage, &written, &after]);
            let interface = graph.param(interface);
            let next = graph.dnc_step(&state, &interface, sizes);
            weighted_sum(graph, &next)
        });
    }
}

#[test]
fn steps_of_an_ntm() {
    for (heads, writes) in [(1, true), (2, true), (1, false)] {
        let sizes = MemorySizes {
            slots: 4,
            width: 3,
            heads,
            writes,
        };
        let (mut params, [state, interface]) = normal_params([
            (2, sizes.ntm_state_parts().iter().sum()),
            (2, sizes.ntm_interface_parts().iter().sum()),
        ]);
        check_gradients(&mut params, |graph| {
            let mut state = shares(graph, state);
            let interface = graph.param(interface);
            for _ in 0..2 {
                state = graph.ntm_step(&state, &interface, sizes);
            }
            weighted_sum(graph, &state)
        });
    }
}

/// Of an LSTM and of a dense layer, with a reset.
#[test]
fn controlled_memories_through_time() {
    const BATCH: usize = 2;
    const ROWS: usize = 3 * BATCH;
    let (inputs, hidden) = (2, 3);
    let sizes = MemorySizes {
        slots: 3,
        width: 2,
        heads: 1,
        writes: true,
    };
    let interface: usize = sizes.ntm_interface_parts().iter().sum();
    let width: usize = sizes.ntm_state_parts().iter().sum();
    for is_lstm in [true, false] {
        let layer = match is_lstm {
            true => (inputs + sizes.width + hidden, 4 * hidden),
            false => (inputs + sizes.width, hidden),
        };
        let (mut params, [x, w, b, to_interface, interface_bias]) = normal_params([
            (ROWS, inputs),
            layer,
            (1, layer.1),
            (hidden, interface),
            (1, interface),
        ]);
        let controller = ControllerParams {
            layer: (w, b),
            interface: (to_interface, interface_bias),
        };
        let mut starts = [false; ROWS];
        starts[3] = true;
        let shares = uniform(BATCH * width, 4);
        let memory: Vec<f32> = shares.iter().map(|x| 0.1 * (x + 1.0)).collect();
        let units = uniform(BATCH * hidden, 5);
        let state = [&memory[..], &units, &units];
        let state = &state[..if is_lstm { 3 } else { 1 }];
        check_gradients(&mut params, |graph| {
            let x = graph.param(x);
            let output = graph.controlled_ntm(&x, &starts, state, &controller, sizes);
            weighted_sum(graph, &output.seen)
        });
    }
}

#[test]
fn attention_in_two_parts() {
    let (mut params, [q, k, v, bias, offsets, times]) =
        normal_params([(3, 4), (5, 4), (5, 6), (5, 1), (3, 6), (6, 2)]);
    let index = [0, 1, 4, -1, 2, 2, 3, -1, -1];
    check_gradients(&mut params, |graph| {
        let [q, k, v, bias, offsets] = [q, k, v, bias, offsets].map(|id| graph.param(id));
        let terms = ScoreTerms {
            entry: Some(&bias),
            slot: Some(&offsets),
        };
        let weights = graph.attention_weights(&q, &k, terms, &index, 2, 0.8);
        let read = graph.weighted_read(&weights, &v, &index, 2);
        let times = graph.linear(&weights, times, None, Activation::Identity);
        let both = graph.concat_cols(&[&read, &times]);
        weighted_sum(graph, &both)
    });
}

#[test]
fn hops_over_windows() {
    let (mut params, [question, key, value, keys, values, keep]) =
        normal_params([(4, 3), (3, 2), (2, 3), (3, 3), (3, 3), (3, 3)]);
    let entries = uniform(5 * 2, 1);
    let index = [0, 1, 4, 2, -1, -1, -1, -1, -1, 3, 2, -1];
    for times in [None, Some((keys, values))] {
        let hop = HopParams {
            key,
            value,
            times,
            hop: keep,
        };
        check_gradients(&mut params, |graph| {
            let question = graph.param(question);
            let entries = graph.constant(entries.clone(), (5, 2));
            let read = graph.window_hops(&question, &entries, &index, &hop, 2);
            weighted_sum(graph, &read.question)
        });
    }
}

#[test]
fn rectified_columns() {
    let (mut params, [x, w]) = normal_params([(4, 5), (5, 3)]);
    check_gradients(&mut params, |graph| {
        let x = graph.param(x);
        let y = graph.rectify_columns(&x, 1..4);
        let y = graph.linear(&y, w, None, Activation::Tanh);
        weighted_sum(graph, &y)
    });
}

#[test]
fn relative_attention() {
    let (mut params, [q, k, v, content, distance, keys]) =
        normal_params([(6, 4), (8, 4), (8, 4), (1, 4), (1, 4), (3, 4)]);
    // The first sequence continues from two entries, the second begins anew at its last step.
    let windows = std::rc::Rc::new(Windows {
        entries: vec![1, 0, 2, 4, 6, 3, 5, 7],
        counts: vec![5, 3],
        lengths: vec![3, 1, 3, 2, 2, 1],
    });
    check_gradients(&mut params, |graph| {
        let [q, k, v, content, distance, keys] =
            [q, k, v, content, distance, keys].map(|id| graph.param(id));
        let terms = RelativeTerms {
            content_bias: &content,
            distance_bias: &distance,
            distances: &keys,
        };
        let read = graph.relative_attention(&q, &k, &v, terms, &windows, 2);
        weighted_sum(graph, &read)
    });
}

#[test]
fn gru_gate() {
    let (mut params, [x, y, gates, candidate, bias]) =
        normal_params([(4, 3), (4, 3), (6, 6), (6, 3), (1, 3)]);
    let ids = GruGateParams {
        gates,
        candidate,
        bias,
    };
    check_gradients(&mut params, |graph| {
        let (x, y) = (graph.param(x), graph.param(y));
        let out = graph.gru_gate(&x, &y, &ids);
        let again = graph.gru_gate(&out, &y, &ids);
        weighted_sum(graph, &again)
    });
}

#[test]
fn blocks_and_choices_of_rows() {
    let (mut params, [x, weight, bias, other]) = normal_params([(6, 2), (6, 4), (1, 12), (6, 4)]);
    let mask = [true, false, false, true, true, false];
    check_gradients(&mut params, |graph| {
        let (x, other) = (graph.param(x), graph.param(other));
        let y = graph.block_linear(&x, weight, Some(bias), 3, Activation::Tanh);
        let chosen = graph.where_rows(&mask, &y, &other);
        weighted_sum(graph, &chosen)
    });
}

/// Two lanes of three modules, of which some are active; the second lane begins an episode at its second step.
#[test]
fn modules() {
    let (mut params, [entries, query, query_bias, lstm, lstm_bias, ask, answer]) =
        normal_params([(6, 5), (6, 2), (1, 6), (15, 8), (1, 24), (6, 12), (12, 2)]);
    let ids = ModuleParams {
        query: (query, query_bias),
        lstm: (lstm, lstm_bias),
        ask,
        answer,
    };
    let sizes = ModuleSizes {
        modules: 3,
        key: 2,
        heads: 2,
    };
    let starts = [false, false, false, true, false, false];
    let before: Vec<f32> = (0..12).map(|i| (i as f32).sin()).collect();
    check_gradients(&mut params, |graph| {
        let entries = graph.param(entries);
        let state = (&before[..], &before[..]);
        let choose = |_: &[f32]| vec![true, false, true, false, true, true];
        let out = graph.modules(&entries, &starts, state, &ids, sizes, choose);
        weighted_sum(graph, &out.hidden)
    });
}

#[test]
fn an_entry_for_several_blocks() {
    let (mut params, [queries, entries]) = normal_params([(6, 3), (2, 5)]);
    check_gradients(&mut params, |graph| {
        let (queries, entries) = (graph.param(queries), graph.param(entries));
        let (read, _) = graph.read_entry(&queries, &entries, 3);
        weighted_sum(graph, &read)
    });
}

#[test]
fn rows_of_a_map() {
    let (mut params, [table, rows, share]) = normal_params([(4, 3), (2, 3), (4, 3)]);
    check_gradients(&mut params, |graph| {
        let [table, rows, share] = [table, rows, share].map(|id| graph.param(id));
        let written = graph.write_rows(&table, &rows, &[3, 1]);
        let moved = graph.rows_or_zeros(&written, &[1, -1, 0, 1]);
        let between = graph.between(&table, &moved, &share);
        weighted_sum(graph, &between)
    });
}

/// A random r and p have kinks where two neighbours are equal, which are nowhere near here.
#[test]
fn rasters() {
    let size = GridSize {
        height: 3,
        width: 4,
    };
    let (mut params, [x, weight, bias]) = normal_params([(2 * 12, 2), (2, 9 * 2), (1, 2)]);
    for iterations in [2, 20] {
        check_gradients(&mut params, |graph| {
            let x = graph.param(x);
            let maps = graph.convolve(&x, (weight, bias), size);
            let maps = graph.activate(&maps, Activation::Sigmoid);
            let v = graph.propagate(&maps, size, iterations);
            weighted_sum(graph, &v)
        });
    }
}
