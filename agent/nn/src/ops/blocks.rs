//! Modules side by side, each with weights of its own. A matrix holds the modules of a lane in rows below each other: row
//! `lane * blocks + block`.

use crate::graph::Graph;
use crate::kernels::activation::{Activation, activate, activation_gradient};
use crate::kernels::blocks::{
    EntryRead, gather_block, read_entry, read_entry_gradient, scatter_block,
};
use crate::kernels::elementwise::{add_sum_rows, add_to};
use crate::kernels::matmul::{Sizes, add_matmul_transposed, append_matmul_bias};
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// `activation(x · W + b)` with a weight and a bias for each block (the modules of Goyal et al. 2021, arXiv
    /// 1909.10893): row `r` of `x` `[B * blocks, K]` meets those of block `r % blocks`. `weight` `[blocks * K, N]` holds
    /// the blocks below each other, `bias` `[1, blocks * N]` beside each other. Returns `[B * blocks, N]`.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn block_linear(
        &mut self,
        x: &Tensor,
        weight: ParamId,
        bias: Option<ParamId>,
        blocks: usize,
        activation: Activation,
    ) -> Tensor {
        let (rows, inputs) = shape(x);
        let (weight_rows, outputs) = self.params().shape(weight);
        let name = self.params().name(weight);
        assert!(
            blocks > 0 && rows.is_multiple_of(blocks) && weight_rows == blocks * inputs,
            "`{name}` [{weight_rows}, {outputs}] in {blocks} blocks got [{rows}, {inputs}]"
        );
        let bias_values = bias.map_or(&[][..], |bias| self.params().data(bias));
        assert!(
            bias_values.is_empty() || bias_values.len() == blocks * outputs,
            "a bias has one value per output of each block"
        );
        let sizes = (rows / blocks, inputs, outputs);
        let mut y = forward(
            values(x),
            self.params().data(weight),
            bias_values,
            sizes,
            blocks,
        );
        activate(&mut y, activation);
        let y = self.constant(y, (rows, outputs));
        let x_key = self.key(x);
        let weight_key = self.param_key(weight);
        if weight_key.wanted() {
            let bias_key = bias.map(|bias| self.param_key(bias));
            let transposed = x_key.wanted().then(|| self.transposed(weight, blocks));
            let (x, y_again) = (x.clone(), y.clone());
            self.record(&y, move |mut dy, grads| {
                activation_gradient(&mut dy, values(&y_again), activation);
                if let Some(bias_key) = &bias_key {
                    grads.update(bias_key, |d| add_sum_rows(d, &dy, blocks * outputs));
                }
                grads.update(&weight_key, |d| {
                    add_weight_gradient(d, values(&x), &dy, sizes, blocks);
                });
                if let Some(transposed) = transposed {
                    grads.give(&x_key, input_gradient(&dy, &transposed, sizes, blocks));
                }
            });
        }
        y
    }

    /// The blocks of a lane attend to its one entry and to a row of zeros (Goyal et al. 2021, arXiv 1909.10893, eq. 3), so
    /// that the softmax is a sigmoid: `a = σ(q·k / √K)`, read `a · v`.
    ///
    /// Shapes: `queries` `[B * blocks, K]`, `entries` `[B, K + V]` with each key before its value. Returns what is read,
    /// `[B * blocks, V]`, and the scores `q·k / √K`. No gradient flows through the scores.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn read_entry(
        &mut self,
        queries: &Tensor,
        entries: &Tensor,
        blocks: usize,
    ) -> (Tensor, Vec<f32>) {
        let ((rows, key), (lanes, width)) = (shape(queries), shape(entries));
        assert!(
            rows == lanes * blocks && key <= width,
            "{blocks} queries [{rows}, {key}] for each entry of [{lanes}, {width}]"
        );
        let sizes = EntryRead {
            blocks,
            key,
            value: width - key,
            scale: 1.0 / (key as f32).sqrt(),
        };
        let (mut read, mut scores) = (vec![0.0; rows * sizes.value], vec![0.0; rows]);
        let operands = (values(queries), values(entries));
        read_entry((&mut read, &mut scores), operands.0, operands.1, sizes);
        let read = self.constant(read, (rows, sizes.value));
        let keys = [self.key(queries), self.key(entries)];
        if keys.iter().any(|key| key.wanted()) {
            let (queries, entries, scores) = (queries.clone(), entries.clone(), scores.clone());
            self.record(&read, move |d_read, grads| {
                let saved = (values(&queries), values(&entries), &scores[..]);
                let mut d_queries = vec![0.0; rows * key];
                let mut d_entries = vec![0.0; lanes * width];
                let gradients = (&mut d_queries[..], &mut d_entries[..]);
                read_entry_gradient(gradients, &d_read, saved, sizes);
                grads.give(&keys[0], d_queries);
                grads.give(&keys[1], d_entries);
            });
        }
        (read, scores)
    }

    /// Row `r` of the result is that of `new` where `mask[r]` is set, else that of `old`, bit for bit; both are `[M, N]`.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn where_rows(&mut self, mask: &[bool], new: &Tensor, old: &Tensor) -> Tensor {
        let (rows, columns) = shape(new);
        assert!(
            shape(old) == (rows, columns) && mask.len() == rows,
            "{} choices between the rows of [{rows}, {columns}] and of {:?}",
            mask.len(),
            shape(old)
        );
        let mut y = values(old).to_vec();
        let places = y.chunks_exact_mut(columns).zip(mask);
        for ((place, _), row) in places
            .zip(values(new).chunks_exact(columns))
            .filter(|((_, chosen), _)| **chosen)
        {
            place.copy_from_slice(row);
        }
        let y = self.constant(y, (rows, columns));
        let keys = [(self.key(new), true), (self.key(old), false)];
        if keys.iter().any(|(key, _)| key.wanted()) {
            let mask = mask.to_vec();
            self.record(&y, move |dy, grads| {
                for (key, kept) in keys.iter().filter(|(key, _)| key.wanted()) {
                    let mut d = dy.clone();
                    let rows = d.chunks_exact_mut(columns).zip(&mask);
                    for (row, _) in rows.filter(|(_, chosen)| **chosen != *kept) {
                        row.fill(0.0);
                    }
                    grads.give(key, d);
                }
            });
        }
        y
    }
}

/// The part of a parameter that belongs to a block.
fn part(all: &[f32], block: usize, len: usize) -> &[f32] {
    &all[block * len..(block + 1) * len]
}

fn forward(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    (batch, inputs, outputs): Sizes,
    blocks: usize,
) -> Vec<f32> {
    let mut y = vec![0.0; batch * blocks * outputs];
    let (mut rows, mut products) = (Vec::new(), Vec::with_capacity(batch * outputs));
    for block in 0..blocks {
        gather_block(&mut rows, x, inputs, (block, blocks));
        let bias = match bias {
            [] => bias,
            _ => part(bias, block, outputs),
        };
        products.clear();
        let weight = part(weight, block, inputs * outputs);
        append_matmul_bias(&mut products, &rows, weight, bias, (batch, inputs, outputs));
        scatter_block(&mut y, &products, outputs, (block, blocks));
    }
    y
}

/// Adds the gradient of the weights to `d`; an empty `d` counts as zeros.
fn add_weight_gradient(
    d: &mut Vec<f32>,
    x: &[f32],
    dy: &[f32],
    (batch, inputs, outputs): Sizes,
    blocks: usize,
) {
    let len = inputs * outputs;
    d.resize(blocks * len, 0.0);
    let (mut x_rows, mut dy_rows) = (Vec::new(), Vec::new());
    for (block, d) in d.chunks_exact_mut(len).enumerate() {
        gather_block(&mut x_rows, x, inputs, (block, blocks));
        gather_block(&mut dy_rows, dy, outputs, (block, blocks));
        let mut product = Vec::new();
        add_matmul_transposed(&mut product, &x_rows, &dy_rows, (inputs, batch, outputs));
        add_to(d, &product);
    }
}

/// `transposed` holds the transposed blocks of the weight.
fn input_gradient(
    dy: &[f32],
    transposed: &[f32],
    (batch, inputs, outputs): Sizes,
    blocks: usize,
) -> Vec<f32> {
    forward(dy, transposed, &[], (batch, outputs, inputs), blocks)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::{Init, Params};

    /// Two lanes of two blocks: the first doubles and adds 1, the second swaps two numbers.
    #[test]
    fn by_hand() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut params = Params::new();
        let weight = params.add("weight", (4, 2), Init::Zeros, &mut rng);
        let numbers = [2.0, 0.0, 0.0, 2.0, 0.0, 1.0, 1.0, 0.0];
        params.data_mut(weight).copy_from_slice(&numbers);
        let bias = params.add("bias", (1, 4), Init::Zeros, &mut rng);
        params.data_mut(bias)[..2].fill(1.0);
        let mut graph = Graph::inference(&params);
        let x = graph.constant((1u8..9).map(f32::from).collect(), (4, 2));
        let y = graph.block_linear(&x, weight, Some(bias), 2, Activation::Identity);
        assert_eq!(values(&y), [3.0, 5.0, 4.0, 3.0, 11.0, 13.0, 8.0, 7.0]);
        let chosen = graph.where_rows(&[true, false, false, true], &y, &x);
        assert_eq!(values(&chosen), [3.0, 5.0, 3.0, 4.0, 5.0, 6.0, 8.0, 7.0]);
    }

    /// Two queries of one number each for an entry with key 2 and value (3, 4): scores 0 and ln 3, weights ½ and ¾.
    #[test]
    fn an_entry_is_read_by_a_sigmoid() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let queries = graph.constant(vec![0.0, 0.5 * 3.0f32.ln()], (2, 1));
        let entries = graph.constant(vec![2.0, 3.0, 4.0], (1, 3));
        let (read, scores) = graph.read_entry(&queries, &entries, 2);
        assert_eq!(scores, [0.0, 3.0f32.ln()]);
        for (read, expected) in values(&read).iter().zip([1.5, 2.0, 2.25, 3.0]) {
            assert!((read - expected).abs() < 1e-6);
        }
    }

    /// The same as attention over the entry and a row of zeros, in values and gradients.
    #[test]
    fn a_read_equals_attention_with_a_null_row() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let mut params = Params::new();
        let normal = Init::Normal { std: 1.0 };
        let queries = params.add("queries", (6, 4), normal, &mut rng);
        let entries = params.add("entries", (2, 7), normal, &mut rng);
        let targets = [0.5; 18];
        let run = |is_fused: bool| {
            let mut graph = Graph::training(&params);
            let (q, e) = (graph.param(queries), graph.param(entries));
            let read = match is_fused {
                true => graph.read_entry(&q, &e, 3).0,
                false => {
                    let null = graph.constant(vec![0.0; 7], (1, 7));
                    let table = graph.concat_rows(&[&e, &null]);
                    let (k, v) = (graph.columns(&table, 0..4), graph.columns(&table, 4..7));
                    let index = [[0, 2].repeat(3), [1, 2].repeat(3)].concat();
                    let terms = crate::ScoreTerms::NONE;
                    graph.attention_read(&q, &k, &v, terms, &index, 1).readout
                }
            };
            let loss = graph.mse(&read, &targets, &[1.0; 6]);
            let gradients = graph.backward(&loss);
            let gradients = [queries, entries].map(|id| gradients.of(id).unwrap().to_vec());
            [values(&read), &gradients[0], &gradients[1]].concat()
        };
        let pairs = run(true).into_iter().zip(run(false));
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));
    }

    /// Each block equals a linear layer of its own, in values and gradients.
    #[test]
    fn blocks_equal_layers_of_their_own() {
        const BLOCKS: usize = 3;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut params = Params::new();
        let normal = Init::Normal { std: 0.7 };
        let weight = params.add_blocks("weight", BLOCKS, (4, 5), normal, &mut rng);
        let bias = params.add("bias", (1, 5 * BLOCKS), normal, &mut rng);
        let own: Vec<(ParamId, ParamId)> = (0..BLOCKS)
            .map(|block| {
                let copies = [(weight, (4, 5)), (bias, (1, 5))].map(|(all, shape)| {
                    let name = format!("{block}/{}", shape.0);
                    let id = params.add(&name, shape, Init::Zeros, &mut rng);
                    let part = part(params.data(all), block, shape.0 * shape.1).to_vec();
                    params.data_mut(id).copy_from_slice(&part);
                    id
                });
                copies.into()
            })
            .collect();
        let numbers: Vec<f32> = (0..2 * BLOCKS * 4).map(|i| (i as f32).sin()).collect();
        let targets: Vec<f32> = (0..2 * BLOCKS * 5).map(|i| (i as f32).cos()).collect();
        let mut graph = Graph::training(&params);
        let x = graph.constant(numbers, (2 * BLOCKS, 4));
        let together = graph.block_linear(&x, weight, Some(bias), BLOCKS, Activation::Tanh);
        let rows = |block: usize| [block as u32, (block + BLOCKS) as u32];
        let apart: Vec<Tensor> = (0..BLOCKS)
            .map(|block| {
                let x = graph.gather_rows(&x, &rows(block));
                graph.linear(&x, own[block].0, Some(own[block].1), Activation::Tanh)
            })
            .collect();
        let apart = graph.concat_rows(&apart.iter().collect::<Vec<_>>());
        // Rows stand block by block here, lane by lane there.
        let apart = graph.gather_rows(&apart, &[0, 2, 4, 1, 3, 5]);
        assert_eq!(values(&together), values(&apart));
        let losses = [&together, &apart].map(|y| graph.mse(y, &targets, &[1.0; 2 * BLOCKS]));
        let loss = graph.total(&[(1.0, &losses[0]), (1.0, &losses[1])]);
        let gradients = graph.backward(&loss);
        for (block, (w, b)) in own.iter().enumerate() {
            for (all, own, len) in [(weight, *w, 20), (bias, *b, 5)] {
                let own = gradients.of(own).unwrap();
                let all = part(gradients.of(all).unwrap(), block, len);
                assert!(own.iter().zip(all).all(|(a, b)| (a - b).abs() < 1e-6));
            }
        }
    }
}
