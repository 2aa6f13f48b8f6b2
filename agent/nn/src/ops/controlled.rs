//! A controller and the memory that it addresses, over a sequence with resets inside it.
//!
//! A step is made of many small operations. Here all steps are one operation, because each operation of a tape costs time of
//! its own, whatever its size.

use std::ops::Range;

use super::addressing::StepKernel;
use super::dnc::Dnc;
use super::ntm::Ntm;
use super::sequence::{Sizes, state_before, zero_started};
use crate::graph::{GradKey, GradStore, Graph};
use crate::kernels::activation::{Activation, activate, activation_gradient};
use crate::kernels::addressing::{LaneSizes, MemorySizes, Saved};
use crate::kernels::elementwise::{add_sum_rows, add_to};
use crate::kernels::lstm::{StepState, lstm_step, lstm_step_gradient};
use crate::kernels::matmul::{add_matmul, add_matmul_transposed, append_matmul_bias};
use crate::kernels::transpose::transpose;
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

/// The parameters of a controller and of its interface: weights and biases.
#[derive(Clone, Copy, Debug)]
pub struct ControllerParams {
    /// A dense layer, `[inputs + words, hidden]`, with tanh; or the four gates i, f, g, o of an LSTM,
    /// `[inputs + words + hidden, 4 * hidden]`, which also sees its output at the step before.
    pub layer: (ParamId, ParamId),
    /// `[hidden, interface]`.
    pub interface: (ParamId, ParamId),
}

/// The result of [`Graph::controlled_ntm`] and [`Graph::controlled_dnc`].
pub struct ControlledOutput {
    /// The controller's output and the words that were read, after every step, `[T * batch, hidden + words]`.
    pub seen: Tensor,
    /// The state after the last step, in the form of the one before the first.
    pub state: Vec<Vec<f32>>,
}

impl Graph<'_> {
    /// Runs a neural Turing machine (Graves et al. 2014, arXiv:1410.5401) over `x` `[T * batch, inputs]`. At each step the
    /// controller sees the inputs and the words of the step before, and its output, by a linear map, is the interface of
    /// [`Graph::ntm_step`].
    ///
    /// `state` has the memory's `[batch, S]`, whose words come first, and then those of an LSTM, h and c `[batch, hidden]`.
    /// They are zeroed in sequence `b` before step `t` where `starts[t * batch + b]` is set, and get no gradient.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn controlled_ntm(
        &mut self,
        x: &Tensor,
        starts: &[bool],
        state: &[&[f32]],
        params: &ControllerParams,
        sizes: MemorySizes,
    ) -> ControlledOutput {
        let words = sizes.heads * sizes.width;
        self.controlled(x, starts, state, params, (Ntm(sizes), words))
    }

    /// Runs a differentiable neural computer (Graves et al. 2016, doi:10.1038/nature20101), with the interface of
    /// [`Graph::dnc_step`], as [`Graph::controlled_ntm`] does.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn controlled_dnc(
        &mut self,
        x: &Tensor,
        starts: &[bool],
        state: &[&[f32]],
        params: &ControllerParams,
        sizes: MemorySizes,
    ) -> ControlledOutput {
        let words = sizes.heads * sizes.width;
        self.controlled(x, starts, state, params, (Dnc(sizes), words))
    }

    fn controlled<K: StepKernel>(
        &mut self,
        x: &Tensor,
        starts: &[bool],
        state: &[&[f32]],
        params: &ControllerParams,
        (kernel, words): (K, usize),
    ) -> ControlledOutput {
        let (rows, inputs) = shape(x);
        let lane = kernel.lane();
        let batch = state[0].len() / lane.state;
        let widths = self.widths(params, (inputs, words), lane);
        widths.check(rows, batch, starts, state);
        let ids = [
            params.layer.0,
            params.layer.1,
            params.interface.0,
            params.interface.1,
        ];
        let over = Over {
            starts,
            initial: state,
            batch,
        };
        let weights = ids.map(|id| self.params().data(id));
        let run = Run::of(values(x), weights, over, &kernel, widths);
        let seen = self.constant(run.joined(words, widths), (rows, widths.hidden + words));
        let after = run.last(over, widths);
        let (x_key, keys) = (self.key(x), ids.map(|id| self.param_key(id)));
        if keys[0].wanted() {
            let initial: Vec<Vec<f32>> = state.iter().map(|part| part.to_vec()).collect();
            let (starts, weights) = (starts.to_vec(), [ids[0], ids[2]].map(|id| self.param(id)));
            self.record(&seen, move |d_seen, grads| {
                let initial: Vec<&[f32]> = initial.iter().map(Vec::as_slice).collect();
                let over = Over {
                    starts: &starts,
                    initial: &initial,
                    batch,
                };
                let skipped = if x_key.wanted() { 0 } else { inputs };
                let weights = weights.each_ref().map(values);
                let mut back = Back::new(weights, skipped, (rows, batch), widths);
                back.run(&run, &d_seen, (&kernel, over), (grads, &keys));
                grads.give(&x_key, back.dx);
            });
        }
        ControlledOutput { seen, state: after }
    }

    fn widths(
        &self,
        params: &ControllerParams,
        (inputs, words): (usize, usize),
        lane: LaneSizes,
    ) -> Widths {
        let ids = [
            params.layer.0,
            params.layer.1,
            params.interface.0,
            params.interface.1,
        ];
        let [layer, bias, interface, interface_bias] = ids.map(|id| self.params().shape(id));
        let hidden = interface.0;
        let is_lstm = layer.1 == 4 * hidden;
        let widths = Widths {
            inputs,
            words,
            hidden,
            is_lstm,
            lane,
        };
        assert!(
            layer == (widths.seen(), widths.sums())
                && bias == (1, layer.1)
                && interface.1 == lane.interface
                && interface_bias == (1, lane.interface),
            "the parameters do not match a controller of {hidden} units with {inputs} inputs and {words} numbers of words"
        );
        widths
    }
}

/// Numbers of a row.
#[derive(Clone, Copy)]
struct Widths {
    inputs: usize,
    words: usize,
    hidden: usize,
    is_lstm: bool,
    /// Of the memory.
    lane: LaneSizes,
}

impl Widths {
    /// Inputs of the controller: inputs, words and, of an LSTM, its output at the step before.
    fn seen(self) -> usize {
        self.inputs + self.words + if self.is_lstm { self.hidden } else { 0 }
    }

    /// The controller's gates, or its output.
    fn sums(self) -> usize {
        self.hidden * if self.is_lstm { 4 } else { 1 }
    }

    /// Checks starts and the parts of the state before the first step.
    fn check(self, rows: usize, batch: usize, starts: &[bool], state: &[&[f32]]) {
        let of_controller = if self.is_lstm { 2 } else { 0 };
        assert_eq!(state.len(), 1 + of_controller, "parts of a state");
        for (number, part) in state.iter().enumerate() {
            self.sizes((rows, batch), number).check(starts, part);
        }
    }

    /// Sizes of a part of the state.
    fn sizes(self, (rows, batch): (usize, usize), part: usize) -> Sizes {
        Sizes {
            rows,
            batch,
            inputs: self.inputs,
            hidden: if part == 0 {
                self.lane.state
            } else {
                self.hidden
            },
        }
    }
}

/// Parts of a state: the memory's, then h and c of an LSTM.
const MEMORY: usize = 0;
const H: usize = 1;
const C: usize = 2;

/// Sequences.
#[derive(Clone, Copy)]
struct Over<'a> {
    starts: &'a [bool],
    /// Parts of the state before the first step.
    initial: &'a [&'a [f32]],
    batch: usize,
}

impl<'a> Over<'a> {
    /// The rows of step `t`.
    fn step(self, t: usize) -> Range<usize> {
        t * self.batch..(t + 1) * self.batch
    }

    /// Returns a part of the state before step `t`, after resets; `states` has it after every step before.
    fn before<'s>(
        self,
        (part, states): (usize, &'s [f32]),
        t: usize,
        widths: Widths,
        scratch: &'s mut Vec<f32>,
    ) -> &'s [f32]
    where
        'a: 's,
    {
        let sizes = widths.sizes((self.starts.len(), self.batch), part);
        state_before(states, self.initial[part], self.starts, t, sizes, scratch)
    }
}

fn numbers(rows: &Range<usize>, columns: usize) -> Range<usize> {
    rows.start * columns..rows.end * columns
}

/// Results of all steps, row by row.
struct Run {
    /// Inputs of the controller.
    seen: Vec<f32>,
    /// Its gates, or its output, after their activation.
    sums: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
    tanh_c: Vec<f32>,
    /// The interface before its activation.
    interface: Vec<f32>,
    /// The memory's state after the step, and its trace.
    states: Vec<f32>,
    traces: Vec<f32>,
}

impl Run {
    /// `weights` has those of the controller and of the interface, each with its bias.
    fn of<K: StepKernel>(
        x: &[f32],
        [weight, bias, to_interface, interface_bias]: [&[f32]; 4],
        over: Over<'_>,
        kernel: &K,
        widths: Widths,
    ) -> Self {
        let rows = over.starts.len();
        let (hidden, lane) = (widths.hidden, widths.lane);
        let zeros = |width: usize| vec![0.0; rows * width];
        let of_lstm = if widths.is_lstm { hidden } else { 0 };
        let mut run = Self {
            seen: Vec::with_capacity(rows * widths.seen()),
            sums: Vec::with_capacity(rows * widths.sums()),
            h: zeros(hidden),
            c: zeros(of_lstm),
            tanh_c: zeros(of_lstm),
            interface: Vec::with_capacity(rows * lane.interface),
            states: zeros(lane.state),
            traces: zeros(lane.trace),
        };
        let mut scratch = Vec::new();
        for t in 0..rows / over.batch {
            let step = over.step(t);
            run.see(&x[numbers(&step, widths.inputs)], over, t, widths);
            let seen = &run.seen[numbers(&step, widths.seen())];
            let sizes = (over.batch, widths.seen(), widths.sums());
            append_matmul_bias(&mut run.sums, seen, weight, bias, sizes);
            run.control(over, t, widths);
            let h = &run.h[numbers(&step, hidden)];
            let sizes = (over.batch, hidden, lane.interface);
            append_matmul_bias(&mut run.interface, h, to_interface, interface_bias, sizes);
            let (past, now) = run.states.split_at_mut(step.start * lane.state);
            let before = over.before((MEMORY, past), t, widths, &mut scratch);
            let results = (
                &mut now[..over.batch * lane.state],
                &mut run.traces[numbers(&step, lane.trace)],
            );
            kernel.step(
                results,
                before,
                &run.interface[numbers(&step, lane.interface)],
            );
        }
        run
    }

    /// Appends what the controller sees at step `t`.
    fn see(&mut self, x: &[f32], over: Over<'_>, t: usize, widths: Widths) {
        let (mut scratch, mut h_scratch) = (Vec::new(), Vec::new());
        let states = over.before((MEMORY, &self.states), t, widths, &mut scratch);
        let h = match widths.is_lstm {
            true => over.before((H, &self.h), t, widths, &mut h_scratch),
            false => &[],
        };
        for lane in 0..over.batch {
            let inputs = &x[lane * widths.inputs..][..widths.inputs];
            self.seen.extend_from_slice(inputs);
            let words = &states[lane * widths.lane.state..][..widths.words];
            self.seen.extend_from_slice(words);
            if widths.is_lstm {
                let h = &h[lane * widths.hidden..][..widths.hidden];
                self.seen.extend_from_slice(h);
            }
        }
    }

    /// Computes the controller's output at step `t` from its sums.
    fn control(&mut self, over: Over<'_>, t: usize, widths: Widths) {
        let step = over.step(t);
        let sums = &mut self.sums[numbers(&step, widths.sums())];
        let units = numbers(&step, widths.hidden);
        if !widths.is_lstm {
            activate(sums, Activation::Tanh);
            self.h[units].copy_from_slice(sums);
            return;
        }
        let mut scratch = Vec::new();
        let (past, now) = self.c.split_at_mut(units.start);
        let before = over.before((C, past), t, widths, &mut scratch);
        let state = StepState {
            h: &mut self.h[units.clone()],
            c: &mut now[..units.len()],
            tanh_c: &mut self.tanh_c[units],
        };
        lstm_step(state, sums, before, widths.hidden);
    }

    /// Returns the controller's output next to the words, row by row.
    fn joined(&self, words: usize, widths: Widths) -> Vec<f32> {
        let rows = self.h.chunks_exact(widths.hidden);
        let mut joined = Vec::with_capacity(rows.len() * (widths.hidden + words));
        for (h, state) in rows.zip(self.states.chunks_exact(widths.lane.state)) {
            joined.extend_from_slice(h);
            joined.extend_from_slice(&state[..words]);
        }
        joined
    }

    /// Returns the state after the last step.
    fn last(&self, over: Over<'_>, widths: Widths) -> Vec<Vec<f32>> {
        let parts = [&self.states, &self.h, &self.c].into_iter().enumerate();
        let parts = parts.zip(over.initial);
        let last = parts.map(|((number, states), initial)| {
            let sizes = widths.sizes((over.starts.len(), over.batch), number);
            sizes.last(states, initial)
        });
        last.collect()
    }
}

/// Least rows for which the gradients of weights are computed together.
const BLOCK_ROWS: usize = 64;

/// The backward pass: gradients that go from a step to the one before, and buffers.
struct Back {
    widths: Widths,
    batch: usize,
    /// The weight of the controller, without the rows of inputs that need no gradient, and that of the interface,
    /// transposed.
    layer: Vec<f32>,
    interface: Vec<f32>,
    /// Inputs that need no gradient.
    skipped: usize,
    dx: Vec<f32>,
    d_state: Vec<f32>,
    dh: Vec<f32>,
    dc: Vec<f32>,
    /// Of the steps of a block.
    d_sums: Vec<f32>,
    d_interface: Vec<f32>,
}

impl Back {
    fn new(
        [layer, interface]: [&[f32]; 2],
        skipped: usize,
        (rows, batch): (usize, usize),
        widths: Widths,
    ) -> Self {
        let (hidden, lane) = (widths.hidden, widths.lane);
        let zeros = |rows: usize, width: usize| vec![0.0; rows * width];
        let kept = &layer[skipped * widths.sums()..];
        Self {
            widths,
            batch,
            layer: transpose(kept, widths.seen() - skipped, widths.sums()),
            interface: transpose(interface, hidden, lane.interface),
            skipped,
            dx: zeros(rows, widths.inputs - skipped),
            d_state: zeros(batch, lane.state),
            dh: zeros(batch, hidden),
            dc: zeros(batch, hidden),
            d_sums: Vec::new(),
            d_interface: Vec::new(),
        }
    }

    fn run<K: StepKernel>(
        &mut self,
        run: &Run,
        d_seen: &[f32],
        (kernel, over): (&K, Over<'_>),
        (grads, keys): (&mut GradStore<'_>, &[GradKey; 4]),
    ) {
        let steps = over.starts.len() / over.batch;
        let of_block = BLOCK_ROWS.div_ceil(over.batch);
        for first in (0..steps).step_by(of_block).rev() {
            let block = first..steps.min(first + of_block);
            let rows = block.start * over.batch..block.end * over.batch;
            self.d_sums.resize(rows.len() * self.widths.sums(), 0.0);
            self.d_interface.clear();
            self.d_interface
                .resize(rows.len() * self.widths.lane.interface, 0.0);
            for t in block.rev() {
                let within = numbers(&(t - first..t - first + 1), over.batch);
                self.add_result(&d_seen[numbers(&over.step(t), self.joined())]);
                self.remember(run, (kernel, over), (t, &within));
                self.control(run, over, (t, &within));
                self.see(over, (t, &within));
            }
            self.add_weight_gradients(run, rows, (grads, keys));
        }
    }

    fn joined(&self) -> usize {
        self.widths.hidden + self.widths.words
    }

    /// Adds the gradient of a step's result.
    fn add_result(&mut self, d_seen: &[f32]) {
        let Widths {
            hidden,
            words,
            lane,
            ..
        } = self.widths;
        let lanes = self.dh.chunks_exact_mut(hidden);
        let lanes = lanes.zip(self.d_state.chunks_exact_mut(lane.state));
        for ((dh, d_state), d) in lanes.zip(d_seen.chunks_exact(hidden + words)) {
            add_to(dh, &d[..hidden]);
            add_to(&mut d_state[..words], &d[hidden..]);
        }
    }

    /// Goes back through the memory at step `t`, whose rows are `within` the block.
    fn remember<K: StepKernel>(
        &mut self,
        run: &Run,
        (kernel, over): (&K, Over<'_>),
        (t, within): (usize, &Range<usize>),
    ) {
        let (step, lane) = (over.step(t), self.widths.lane);
        let mut scratch = Vec::new();
        let before = over.before((MEMORY, &run.states), t, self.widths, &mut scratch);
        let mut d_before = vec![0.0; self.d_state.len()];
        let d_interface = &mut self.d_interface[numbers(within, lane.interface)];
        let saved = Saved {
            before,
            interface: &run.interface[numbers(&step, lane.interface)],
            after: &run.states[numbers(&step, lane.state)],
            trace: &run.traces[numbers(&step, lane.trace)],
        };
        kernel.gradient((&mut d_before, d_interface), &mut self.d_state, saved);
        self.d_state = d_before;
        let sizes = (self.batch, lane.interface, self.widths.hidden);
        add_matmul(&mut self.dh, d_interface, &self.interface, sizes);
    }

    /// Goes back from the controller's output at step `t` to its sums.
    fn control(&mut self, run: &Run, over: Over<'_>, (t, within): (usize, &Range<usize>)) {
        let (step, hidden) = (over.step(t), self.widths.hidden);
        let sums = &run.sums[numbers(&step, self.widths.sums())];
        let d_sums = &mut self.d_sums[numbers(within, self.widths.sums())];
        if !self.widths.is_lstm {
            d_sums.copy_from_slice(&self.dh);
            activation_gradient(d_sums, sums, Activation::Tanh);
            return;
        }
        let mut scratch = Vec::new();
        let before = over.before((C, &run.c), t, self.widths, &mut scratch);
        let tanh_c = &run.tanh_c[numbers(&step, hidden)];
        lstm_step_gradient(d_sums, &mut self.dc, sums, before, tanh_c, &self.dh, hidden);
    }

    /// Goes back from the controller's sums at step `t` to what it saw, and past the resets of the step.
    fn see(&mut self, over: Over<'_>, (t, within): (usize, &Range<usize>)) {
        let Widths {
            inputs,
            words,
            hidden,
            is_lstm,
            lane,
        } = self.widths;
        let seen = self.widths.seen() - self.skipped;
        let d_sums = &self.d_sums[numbers(within, self.widths.sums())];
        let mut d_seen = Vec::new();
        let sizes = (self.batch, self.widths.sums(), seen);
        append_matmul_bias(&mut d_seen, d_sums, &self.layer, &[], sizes);
        let inputs = inputs - self.skipped;
        let dx = &mut self.dx[numbers(&over.step(t), inputs)];
        for (number, d) in d_seen.chunks_exact(seen).enumerate() {
            dx[number * inputs..][..inputs].copy_from_slice(&d[..inputs]);
            let d_words = &mut self.d_state[number * lane.state..][..words];
            add_to(d_words, &d[inputs..inputs + words]);
            if is_lstm {
                self.dh[number * hidden..][..hidden].copy_from_slice(&d[inputs + words..]);
            }
        }
        if !is_lstm {
            self.dh.fill(0.0);
        }
        let starts = &over.starts[over.step(t)];
        zero_started(&mut self.d_state, starts, lane.state);
        zero_started(&mut self.dh, starts, hidden);
        zero_started(&mut self.dc, starts, hidden);
    }

    /// Adds the gradients of the weights from the rows of a block.
    fn add_weight_gradients(
        &self,
        run: &Run,
        rows: Range<usize>,
        (grads, keys): (&mut GradStore<'_>, &[GradKey; 4]),
    ) {
        let (widths, count) = (self.widths, rows.len());
        let [layer, bias, interface, interface_bias] = keys;
        let seen = &run.seen[numbers(&rows, widths.seen())];
        let sums = widths.sums();
        grads.update(layer, |d| {
            add_matmul_transposed(d, seen, &self.d_sums, (widths.seen(), count, sums));
        });
        grads.update(bias, |d| add_sum_rows(d, &self.d_sums, sums));
        let h = &run.h[numbers(&rows, widths.hidden)];
        let columns = widths.lane.interface;
        grads.update(interface, |d| {
            add_matmul_transposed(d, h, &self.d_interface, (widths.hidden, count, columns));
        });
        grads.update(interface_bias, |d| {
            add_sum_rows(d, &self.d_interface, columns);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, Params};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    const INPUTS: usize = 3;
    const HIDDEN: usize = 4;
    const BATCH: usize = 2;
    /// More rows than a block has.
    const STEPS: usize = BLOCK_ROWS / BATCH + 5;
    const SIZES: MemorySizes = MemorySizes {
        slots: 4,
        width: 2,
        heads: 2,
        writes: true,
    };

    /// Parameters, of which the first are the inputs.
    fn parameters(is_lstm: bool, interface: usize) -> (Params, ParamId, ControllerParams) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let mut params = Params::new();
        let mut add = |name: &str, shape| {
            let normal = Init::Normal { std: 0.5 };
            params.add(name, shape, normal, &mut rng)
        };
        let x = add("x", (STEPS * BATCH, INPUTS));
        let inputs = INPUTS + SIZES.heads * SIZES.width;
        let layer = match is_lstm {
            true => (inputs + HIDDEN, 4 * HIDDEN),
            false => (inputs, HIDDEN),
        };
        let controller = ControllerParams {
            layer: (add("layer", layer), add("layer_bias", (1, layer.1))),
            interface: (
                add("interface", (HIDDEN, interface)),
                add("interface_bias", (1, interface)),
            ),
        };
        (params, x, controller)
    }

    /// A step of composed operations: what [`ControlledOutput`] has, and the next state.
    fn composed<K: StepKernel>(
        graph: &mut Graph<'_>,
        x: &Tensor,
        state: &[Tensor],
        params: &ControllerParams,
        kernel: K,
    ) -> (Tensor, Vec<Tensor>) {
        let words = graph.columns(&state[MEMORY], 0..SIZES.heads * SIZES.width);
        let ((weight, bias), identity) = (params.layer, Activation::Identity);
        let of_controller = match state {
            [_, h, c] => {
                let seen = graph.concat_cols(&[x, &words, h]);
                let gates = graph.linear(&seen, weight, Some(bias), identity);
                let (h, c) = graph.lstm_cell(&gates, c);
                vec![h, c]
            }
            _ => {
                let seen = graph.concat_cols(&[x, &words]);
                vec![graph.linear(&seen, weight, Some(bias), Activation::Tanh)]
            }
        };
        let (weight, bias) = params.interface;
        let interface = graph.linear(&of_controller[0], weight, Some(bias), identity);
        let after = graph.memory_step(&state[MEMORY], &interface, kernel);
        let words = graph.columns(&after, 0..SIZES.heads * SIZES.width);
        let seen = graph.concat_cols(&[&of_controller[0], &words]);
        let mut next = vec![after];
        next.extend(of_controller.into_iter().filter(|_| state.len() > 1));
        (seen, next)
    }

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(1e-6f32, |most, x| most.max(x.abs()));
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-4 * largest, "{a} is not {b}");
        }
    }

    /// Values and gradients, with resets.
    fn compare<K: StepKernel>(is_lstm: bool, kernel: fn() -> K) {
        let lane = kernel().lane();
        let (params, x, controller) = parameters(is_lstm, lane.interface);
        let wave = |len: usize| -> Vec<f32> { (0..len).map(|i| (i as f32 * 1.3).sin()).collect() };
        let starts: Vec<bool> = (0..STEPS * BATCH).map(|row| row % 17 == 8).collect();
        let memory: Vec<f32> = wave(BATCH * lane.state)
            .iter()
            .map(|x| 0.1 * x * x)
            .collect();
        let units = wave(BATCH * HIDDEN);
        let initial = [&memory[..], &units, &units];
        let initial = &initial[..if is_lstm { 3 } else { 1 }];
        let words = SIZES.heads * SIZES.width;
        let (targets, ones) = (
            wave(STEPS * BATCH * (HIDDEN + words)),
            vec![1.0; STEPS * BATCH],
        );

        let mut graph = Graph::training(&params);
        let input = graph.param(x);
        let fused = graph.controlled(&input, &starts, initial, &controller, (kernel(), words));
        let loss = graph.mse(&fused.seen, &targets, &ones);
        let gradients = graph.backward(&loss);

        let mut graph = Graph::training(&params);
        let input = graph.param(x);
        let parts = initial.iter().map(|part| {
            let shape = (BATCH, part.len() / BATCH);
            graph.constant(part.to_vec(), shape)
        });
        let mut state: Vec<Tensor> = parts.collect();
        let mut all = Vec::new();
        for (t, starts) in starts.chunks(BATCH).enumerate() {
            let kept = starts.iter().map(|starts| if *starts { 0.0 } else { 1.0 });
            let kept = graph.constant(kept.collect(), (BATCH, 1));
            for part in &mut state {
                *part = graph.scale_rows(part, &kept);
            }
            let x = graph.rows(&input, t * BATCH..(t + 1) * BATCH);
            let (seen, next) = composed(&mut graph, &x, &state, &controller, kernel());
            all.push(seen);
            state = next;
        }
        let all = graph.concat_rows(&all.iter().collect::<Vec<_>>());
        assert_close(values(&fused.seen), values(&all));
        for (fused, composed) in fused.state.iter().zip(&state) {
            assert_close(fused, values(composed));
        }
        let loss = graph.mse(&all, &targets, &ones);
        let expected = graph.backward(&loss);
        for id in params.ids() {
            let [found, expected] = [&gradients, &expected].map(|of| of.of(id).expect("wanted"));
            assert_close(found, expected);
        }
    }

    #[test]
    fn sequences_equal_composed_steps() {
        for is_lstm in [true, false] {
            compare(is_lstm, || Ntm(SIZES));
            compare(is_lstm, || Dnc(SIZES));
        }
    }
}
