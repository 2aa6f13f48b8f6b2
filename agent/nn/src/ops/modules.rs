//! Recurrent modules that compete for the input, over a sequence with resets inside it.

use crate::graph::{GradKey, GradStore, Graph};
use crate::kernels::elementwise::{add_sum_rows, add_to};
use crate::kernels::lstm::{StepState, lstm_step, lstm_step_gradient};
use crate::kernels::matmul::{add_matmul, add_matmul_transposed, append_matmul_bias, matmul_bias};
use crate::kernels::modules::{
    Talk, entry_gradient, entry_scores, hear, hear_gradient, join_inputs,
};
use crate::kernels::parts::{add_rows, copy_rows};
use crate::kernels::transpose::transpose;
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

/// The parameters of modules of `size` units: one block below the other for each module, biases next to each other.
#[derive(Clone, Copy, Debug)]
pub struct ModuleParams {
    /// From states to what modules ask of the input, `[size, key]`, and its bias.
    pub query: (ParamId, ParamId),
    /// From the input's value and the state to the gates i, f, g, o, `[value + size, 4 * size]`, and its bias.
    pub lstm: (ParamId, ParamId),
    /// From states to queries, keys and values, `[size, 3 * heads * size]`.
    pub ask: ParamId,
    /// From what is heard to the state, `[heads * size, size]`.
    pub answer: ParamId,
}

/// Numbers of the parts of [`Graph::modules`].
#[derive(Clone, Copy, Debug)]
pub struct ModuleSizes {
    /// Modules.
    pub modules: usize,
    /// Numbers of an input's key, before those of its value.
    pub key: usize,
    /// Heads with which modules read from each other.
    pub heads: usize,
}

/// The result of [`Graph::modules`].
pub struct ModulesOutput {
    /// States h of all modules after every step, one after the other, `[T * batch, modules * size]`.
    pub hidden: Tensor,
    /// h after the last step, `[batch, modules * size]`.
    pub h: Vec<f32>,
    /// c after the last step, `[batch, modules * size]`.
    pub c: Vec<f32>,
    /// Which modules were active in the last step, `[batch, modules]`.
    pub active: Vec<bool>,
}

impl Graph<'_> {
    /// Runs recurrent modules (Goyal et al. 2021, arXiv 1909.10893) over inputs that are a key and a value each, `entries`
    /// `[T * batch, key + value]`. A module asks for the input, with score `q·k / √key`, and reads `σ(score) · value`.
    /// `choose` names the active modules of each lane from the scores `[batch, modules]`. They step as LSTMs, then add what
    /// they hear by attention to all modules of the lane; the others stay as they were, and no gradient flows to them from
    /// what is heard of them.
    ///
    /// Where `starts[t * batch + b]` is set, the state of lane `b` is zeroed before step `t`. The initial state, `h0` and
    /// `c0` `[batch, modules * size]`, gets no gradient.
    ///
    /// # Panics
    /// When shapes do not match.
    #[expect(
        clippy::too_many_lines,
        reason = "forward pass and gradient of one operation share its shapes and its tape"
    )]
    pub fn modules(
        &mut self,
        entries: &Tensor,
        starts: &[bool],
        (h0, c0): (&[f32], &[f32]),
        ids: &ModuleParams,
        sizes: ModuleSizes,
        choose: impl Fn(&[f32]) -> Vec<bool>,
    ) -> ModulesOutput {
        let params = self.params();
        let (rows, width) = shape(entries);
        let size = params.shape(ids.answer).1;
        let units = sizes.modules * size;
        let batch = h0.len() / units;
        let all = Sizes {
            batch,
            modules: sizes.modules,
            size,
            key: sizes.key,
            value: width - sizes.key,
            heads: sizes.heads,
        };
        assert!(
            batch > 0 && rows.is_multiple_of(batch) && starts.len() == rows,
            "{rows} rows and {} starts do not form a sequence of batches of {batch}",
            starts.len()
        );
        assert!(
            [h0, c0].iter().all(|state| state.len() == batch * units)
                && all.fit(params.shape(ids.query.0), all.query())
                && all.fit(params.shape(ids.lstm.0), all.lstm())
                && all.fit(params.shape(ids.ask), all.ask())
                && all.fit(params.shape(ids.answer), all.answer())
                && params.shape(ids.query.1) == (1, all.modules * all.key)
                && params.shape(ids.lstm.1) == (1, 4 * units),
            "parameters or states do not match {} modules of {size} units",
            all.modules
        );
        let weights = Weights {
            query: params.data(ids.query.0),
            query_bias: params.data(ids.query.1),
            lstm: params.data(ids.lstm.0),
            lstm_bias: params.data(ids.lstm.1),
            ask: params.data(ids.ask),
            answer: params.data(ids.answer),
        };
        let mut state = State {
            h: all.by_module(h0),
            c: all.by_module(c0),
        };
        let mut hidden = vec![0.0; rows * units];
        let mut active = vec![false; batch * all.modules];
        let is_recorded = self.param_key(ids.answer).wanted();
        let mut steps = Vec::new();
        for (t, hidden) in hidden.chunks_exact_mut(batch * units).enumerate() {
            state.reset(&starts[t * batch..(t + 1) * batch], all);
            let entries = &values(entries)[t * batch * width..(t + 1) * batch * width];
            let step = Step::compute(&mut state, entries, &weights, all, |scores| {
                active = choose(scores);
                active.clone()
            });
            all.by_lane(hidden, &state.h);
            if is_recorded {
                steps.push(step);
            }
        }
        let mut last = [&state.h, &state.c].map(|of_module| {
            let mut of_lane = vec![0.0; batch * units];
            all.by_lane(&mut of_lane, of_module);
            of_lane
        });
        let hidden = self.constant(hidden, (rows, units));
        if is_recorded {
            let keys = Keys {
                entries: self.key(entries),
                query: self.param_key(ids.query.0),
                query_bias: self.param_key(ids.query.1),
                lstm: self.param_key(ids.lstm.0),
                lstm_bias: self.param_key(ids.lstm.1),
                ask: self.param_key(ids.ask),
                answer: self.param_key(ids.answer),
            };
            let transposed = Transposed {
                query: all.transposed(weights.query, all.query()),
                lstm: all.transposed(weights.lstm, all.lstm()),
                ask: all.transposed(weights.ask, all.ask()),
                answer: all.transposed(weights.answer, all.answer()),
            };
            let (entries, starts) = (entries.clone(), starts.to_vec());
            self.record(&hidden, move |d_hidden, grads| {
                let mut backward = Backward::new(all, transposed);
                let d_entries = backward.run(&d_hidden, values(&entries), &starts, steps);
                backward.sums.give(&keys, grads);
                grads.give(&keys.entries, d_entries);
            });
        }
        let [h, c] = [0, 1].map(|i| std::mem::take(&mut last[i]));
        ModulesOutput {
            hidden,
            h,
            c,
            active,
        }
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    modules: usize,
    size: usize,
    key: usize,
    value: usize,
    heads: usize,
}

impl Sizes {
    fn query(self) -> (usize, usize) {
        (self.size, self.key)
    }

    fn lstm(self) -> (usize, usize) {
        (self.value + self.size, 4 * self.size)
    }

    fn ask(self) -> (usize, usize) {
        (self.size, 3 * self.heads * self.size)
    }

    fn answer(self) -> (usize, usize) {
        (self.heads * self.size, self.size)
    }

    fn fit(self, (rows, columns): (usize, usize), of_module: (usize, usize)) -> bool {
        (rows, columns) == (self.modules * of_module.0, of_module.1)
    }

    fn talk(self) -> Talk {
        Talk {
            modules: self.modules,
            heads: self.heads,
            size: self.size,
            lanes: self.batch,
        }
    }

    /// Factor on the scores of the input.
    fn scale(self) -> f32 {
        1.0 / (self.key as f32).sqrt()
    }

    /// The part of a module in a matrix with `columns` for each module and lane.
    fn part(self, module: usize, columns: usize) -> std::ops::Range<usize> {
        let len = self.batch * columns;
        module * len..(module + 1) * len
    }

    /// Rows for lanes as rows for modules: `[batch, modules * size]` to `[modules, batch, size]`.
    fn by_module(self, of_lanes: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; of_lanes.len()];
        let lanes: Vec<u32> = (0..self.batch as u32).collect();
        for (module, out) in out.chunks_exact_mut(self.batch * self.size).enumerate() {
            copy_rows(out, of_lanes, &lanes, (module, self.modules));
        }
        out
    }

    /// The reverse of [`Sizes::by_module`], into zeros.
    fn by_lane(self, out: &mut [f32], of_modules: &[f32]) {
        let lanes: Vec<u32> = (0..self.batch as u32).collect();
        for (module, part) in of_modules.chunks_exact(self.batch * self.size).enumerate() {
            add_rows(out, part, &lanes, (module, self.modules), 1.0);
        }
    }

    /// Transposes each module's part of a weight.
    fn transposed(self, weight: &[f32], (rows, columns): (usize, usize)) -> Vec<f32> {
        let parts = weight.chunks_exact(rows * columns);
        let parts: Vec<_> = parts.map(|part| transpose(part, rows, columns)).collect();
        parts.concat()
    }
}

struct Weights<'a> {
    query: &'a [f32],
    query_bias: &'a [f32],
    lstm: &'a [f32],
    lstm_bias: &'a [f32],
    ask: &'a [f32],
    answer: &'a [f32],
}

/// A module's part of a parameter.
fn of_module(all: &[f32], module: usize, len: usize) -> &[f32] {
    &all[module * len..(module + 1) * len]
}

/// States, or their gradients, `[modules, batch, size]`.
struct State {
    h: Vec<f32>,
    c: Vec<f32>,
}

impl State {
    fn reset(&mut self, starts: &[bool], sizes: Sizes) {
        if !starts.contains(&true) {
            return;
        }
        for state in [&mut self.h, &mut self.c] {
            let rows = state
                .chunks_exact_mut(sizes.size)
                .zip(starts.iter().cycle());
            rows.filter(|(_, start)| **start)
                .for_each(|(row, _)| row.fill(0.0));
        }
    }
}

/// Numbers of a step for the backward pass. Rows of active modules stand one module after the other.
struct Step {
    /// The lanes in which each module is active.
    lanes: Vec<Vec<u32>>,
    /// `[modules, batch, key]`.
    queries: Vec<f32>,
    /// `[modules, batch]`.
    scores: Vec<f32>,
    /// `[active, value + size]`.
    joined: Vec<f32>,
    /// `[active, 4 * size]`.
    gates: Vec<f32>,
    /// c before the step and tanh c after it, `[active, size]`.
    c_before: Vec<f32>,
    tanh_c: Vec<f32>,
    /// States before modules hear, `[modules, batch, size]`.
    stepped: Vec<f32>,
    /// `[modules, batch, 3 * heads * size]`.
    asked: Vec<f32>,
    /// `[active, heads, modules]`.
    weights: Vec<f32>,
    /// `[active, heads * size]`.
    heard: Vec<f32>,
}

impl Step {
    fn compute(
        state: &mut State,
        entries: &[f32],
        weights: &Weights<'_>,
        sizes: Sizes,
        choose: impl FnOnce(&[f32]) -> Vec<bool>,
    ) -> Self {
        let (queries, scores) = read_scores(&state.h, entries, weights, sizes);
        let lanes = active_lanes(&scores, sizes, choose);
        let mut step = Self::update(state, entries, weights, (&scores, &lanes), sizes);
        step.talk(state, weights, sizes);
        Self {
            queries,
            scores,
            lanes,
            ..step
        }
    }

    /// Steps the LSTMs of active modules.
    fn update(
        state: &mut State,
        entries: &[f32],
        weights: &Weights<'_>,
        (scores, lanes): (&[f32], &[Vec<u32>]),
        sizes: Sizes,
    ) -> Self {
        let Sizes { size, .. } = sizes;
        let (inputs, outputs) = sizes.lstm();
        let active: usize = lanes.iter().map(Vec::len).sum();
        let mut joined = Vec::with_capacity(active * inputs);
        let mut gates = Vec::with_capacity(active * outputs);
        let [mut h, mut c, mut tanh_c, mut c_before] =
            std::array::from_fn(|_| vec![0.0; active * size]);
        let mut first = 0;
        for (module, lanes) in lanes.iter().enumerate() {
            let units = sizes.part(module, size);
            let scores = &scores[sizes.part(module, 1)];
            let of_h = &state.h[units.clone()];
            let before = joined.len();
            join_inputs(&mut joined, (entries, sizes.key), scores, of_h, lanes);
            let products = (lanes.len(), inputs, outputs);
            append_matmul_bias(
                &mut gates,
                &joined[before..],
                of_module(weights.lstm, module, inputs * outputs),
                of_module(weights.lstm_bias, module, outputs),
                products,
            );
            let rows = first..first + lanes.len() * size;
            copy_rows(&mut c_before[rows.clone()], &state.c[units], lanes, (0, 1));
            first = rows.end;
        }
        let after = StepState {
            h: &mut h,
            c: &mut c,
            tanh_c: &mut tanh_c,
        };
        lstm_step(after, &mut gates, &c_before, size);
        set_rows(&mut state.h, &h, lanes, sizes);
        set_rows(&mut state.c, &c, lanes, sizes);
        Self {
            lanes: lanes.to_vec(),
            queries: Vec::new(),
            scores: Vec::new(),
            joined,
            gates,
            c_before,
            tanh_c,
            stepped: state.h.clone(),
            asked: Vec::new(),
            weights: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Adds what active modules hear to their states.
    fn talk(&mut self, state: &mut State, weights: &Weights<'_>, sizes: Sizes) {
        let (size, asked) = sizes.ask();
        let (heard, _) = sizes.answer();
        self.asked
            .reserve_exact(sizes.modules * sizes.batch * asked);
        for module in 0..sizes.modules {
            let stepped = &self.stepped[sizes.part(module, size)];
            let weight = of_module(weights.ask, module, size * asked);
            append_matmul_bias(
                &mut self.asked,
                stepped,
                weight,
                &[],
                (sizes.batch, size, asked),
            );
        }
        let active: usize = self.lanes.iter().map(Vec::len).sum();
        self.heard = vec![0.0; active * heard];
        self.weights = vec![0.0; active * sizes.heads * sizes.modules];
        let (mut rest, mut rest_of_weights) = (&mut self.heard[..], &mut self.weights[..]);
        for (module, lanes) in self.lanes.iter().enumerate() {
            let of_heard;
            let of_weights;
            (of_heard, rest) = rest.split_at_mut(lanes.len() * heard);
            let len = lanes.len() * sizes.heads * sizes.modules;
            (of_weights, rest_of_weights) = rest_of_weights.split_at_mut(len);
            hear(
                (of_heard, of_weights),
                &self.asked,
                (module, lanes),
                sizes.talk(),
            );
            let weight = of_module(weights.answer, module, heard * size);
            let told = matmul_bias(of_heard, weight, &[], (lanes.len(), heard, size));
            let units = &mut state.h[sizes.part(module, size)];
            add_rows(units, &told, lanes, (0, 1), 1.0);
        }
    }
}

/// Queries of the modules to the input, `[modules, batch, key]`, and their scores `[modules, batch]`.
fn read_scores(
    h: &[f32],
    entries: &[f32],
    weights: &Weights<'_>,
    sizes: Sizes,
) -> (Vec<f32>, Vec<f32>) {
    let (size, key) = sizes.query();
    let mut queries = Vec::with_capacity(sizes.modules * sizes.batch * key);
    let mut scores = vec![0.0; sizes.modules * sizes.batch];
    for (module, scores) in scores.chunks_exact_mut(sizes.batch).enumerate() {
        append_matmul_bias(
            &mut queries,
            &h[sizes.part(module, size)],
            of_module(weights.query, module, size * key),
            of_module(weights.query_bias, module, key),
            (sizes.batch, size, key),
        );
        let queries = &queries[sizes.part(module, key)];
        entry_scores(scores, queries, entries, key, sizes.scale());
    }
    (queries, scores)
}

/// Returns the lanes in which each module is active.
fn active_lanes(
    scores: &[f32],
    sizes: Sizes,
    choose: impl FnOnce(&[f32]) -> Vec<bool>,
) -> Vec<Vec<u32>> {
    let of_lanes = (0..sizes.batch).flat_map(|lane| scores.iter().skip(lane).step_by(sizes.batch));
    let active = choose(&of_lanes.copied().collect::<Vec<f32>>());
    let lanes = 0..sizes.batch;
    let of_module = |module: usize| {
        let is_active = |lane: &usize| active[lane * sizes.modules + module];
        lanes
            .clone()
            .filter(is_active)
            .map(|lane| lane as u32)
            .collect()
    };
    (0..sizes.modules).map(of_module).collect()
}

/// Overwrites the rows of active modules.
fn set_rows(state: &mut [f32], rows: &[f32], lanes: &[Vec<u32>], sizes: Sizes) {
    let mut rows = rows.chunks_exact(sizes.size);
    for (units, lanes) in state.chunks_exact_mut(sizes.batch * sizes.size).zip(lanes) {
        for (&lane, row) in lanes.iter().zip(&mut rows) {
            units[lane as usize * sizes.size..][..sizes.size].copy_from_slice(row);
        }
    }
}

struct Keys {
    entries: GradKey,
    query: GradKey,
    query_bias: GradKey,
    lstm: GradKey,
    lstm_bias: GradKey,
    ask: GradKey,
    answer: GradKey,
}

/// Each module's part of the weights, transposed.
struct Transposed {
    query: Vec<f32>,
    lstm: Vec<f32>,
    ask: Vec<f32>,
    answer: Vec<f32>,
}

/// Gradients of the parameters, by module.
struct Sums {
    query: Vec<Vec<f32>>,
    query_bias: Vec<Vec<f32>>,
    lstm: Vec<Vec<f32>>,
    lstm_bias: Vec<Vec<f32>>,
    ask: Vec<Vec<f32>>,
    answer: Vec<Vec<f32>>,
}

impl Sums {
    fn new(sizes: Sizes) -> Self {
        let zeros = |(rows, columns)| vec![vec![0.0; rows * columns]; sizes.modules];
        Self {
            query: zeros(sizes.query()),
            query_bias: zeros((1, sizes.key)),
            lstm: zeros(sizes.lstm()),
            lstm_bias: zeros((1, 4 * sizes.size)),
            ask: zeros(sizes.ask()),
            answer: zeros(sizes.answer()),
        }
    }

    fn give(&self, keys: &Keys, grads: &mut GradStore<'_>) {
        for (key, sums) in [
            (&keys.query, &self.query),
            (&keys.query_bias, &self.query_bias),
            (&keys.lstm, &self.lstm),
            (&keys.lstm_bias, &self.lstm_bias),
            (&keys.ask, &self.ask),
            (&keys.answer, &self.answer),
        ] {
            grads.give(key, sums.concat());
        }
    }
}

/// The backward pass through time.
struct Backward {
    sizes: Sizes,
    transposed: Transposed,
    sums: Sums,
    /// Gradients of the states after the step that is next.
    state: State,
}

impl Backward {
    fn new(sizes: Sizes, transposed: Transposed) -> Self {
        let [h, c] = [0, 1].map(|_| vec![0.0; sizes.modules * sizes.batch * sizes.size]);
        Self {
            sizes,
            transposed,
            sums: Sums::new(sizes),
            state: State { h, c },
        }
    }

    /// Returns the gradient of the entries.
    fn run(
        &mut self,
        d_hidden: &[f32],
        entries: &[f32],
        starts: &[bool],
        steps: Vec<Step>,
    ) -> Vec<f32> {
        let Sizes { batch, .. } = self.sizes;
        let mut d_entries = vec![0.0; entries.len()];
        let width = entries.len() / starts.len();
        let units = self.sizes.modules * self.sizes.size;
        for (t, step) in steps.into_iter().enumerate().rev() {
            let rows = t * batch..(t + 1) * batch;
            let of_step = &d_hidden[rows.start * units..rows.end * units];
            add_to(&mut self.state.h, &self.sizes.by_module(of_step));
            let of_step = rows.start * width..rows.end * width;
            let d_stepped = self.talk(&step);
            let entries = (&mut d_entries[of_step.clone()], &entries[of_step]);
            self.update(&step, &d_stepped, entries);
            self.state.reset(&starts[rows], self.sizes);
        }
        d_entries
    }

    /// Backward pass of [`Step::talk`]: returns the gradient of the states before it, as far as modules are active.
    fn talk(&mut self, step: &Step) -> Vec<f32> {
        let sizes = self.sizes;
        let (size, asked) = sizes.ask();
        let (heard, _) = sizes.answer();
        let mut d_asked = vec![0.0; step.asked.len()];
        let mut d_told = Vec::new();
        let (mut of_heard, mut of_weights) = (&step.heard[..], &step.weights[..]);
        for (module, lanes) in step.lanes.iter().enumerate() {
            let rows = lanes.len();
            d_told.resize(rows * size, 0.0);
            copy_rows(
                &mut d_told,
                &self.state.h[sizes.part(module, size)],
                lanes,
                (0, 1),
            );
            let (now, later) = of_heard.split_at(rows * heard);
            add_matmul_transposed(
                &mut self.sums.answer[module],
                now,
                &d_told,
                (heard, rows, size),
            );
            of_heard = later;
            let weight = of_module(&self.transposed.answer, module, heard * size);
            let d_heard = matmul_bias(&d_told, weight, &[], (rows, size, heard));
            let (now, later) = of_weights.split_at(rows * sizes.heads * sizes.modules);
            let saved = (&step.asked[..], now);
            hear_gradient(&mut d_asked, &d_heard, saved, (module, lanes), sizes.talk());
            of_weights = later;
        }
        let mut d_stepped = self.state.h.clone();
        for module in 0..sizes.modules {
            let d_asked = &d_asked[sizes.part(module, asked)];
            let units = sizes.part(module, size);
            let stepped = &step.stepped[units.clone()];
            let sums = &mut self.sums.ask[module];
            add_matmul_transposed(sums, stepped, d_asked, (size, sizes.batch, asked));
            let weight = of_module(&self.transposed.ask, module, size * asked);
            add_matmul(
                &mut d_stepped[units],
                d_asked,
                weight,
                (sizes.batch, asked, size),
            );
        }
        d_stepped
    }

    /// Backward pass of [`Step::update`]: turns the gradients of the states after the step into those of the states before
    /// it, and adds to the gradient of the entries.
    fn update(
        &mut self,
        step: &Step,
        d_stepped: &[f32],
        (d_entries, entries): (&mut [f32], &[f32]),
    ) {
        let sizes = self.sizes;
        let Sizes { size, key, .. } = sizes;
        let (inputs, outputs) = sizes.lstm();
        let active = step.tanh_c.len() / size;
        let [mut dh, mut dc] = [0, 1].map(|_| vec![0.0; active * size]);
        let mut first = 0;
        for (module, lanes) in step.lanes.iter().enumerate() {
            let units = sizes.part(module, size);
            let rows = first..first + lanes.len() * size;
            copy_rows(
                &mut dh[rows.clone()],
                &d_stepped[units.clone()],
                lanes,
                (0, 1),
            );
            copy_rows(&mut dc[rows.clone()], &self.state.c[units], lanes, (0, 1));
            first = rows.end;
        }
        let mut d_gates = vec![0.0; active * outputs];
        let (gates, c_before) = (&step.gates, &step.c_before);
        lstm_step_gradient(
            &mut d_gates,
            &mut dc,
            gates,
            c_before,
            &step.tanh_c,
            &dh,
            size,
        );
        set_rows(&mut self.state.c, &dc, &step.lanes, sizes);
        let mut first = 0;
        for (module, lanes) in step.lanes.iter().enumerate() {
            let rows = lanes.len();
            let d_gates = &d_gates[first * outputs..(first + rows) * outputs];
            let joined = &step.joined[first * inputs..(first + rows) * inputs];
            first += rows;
            let sums = &mut self.sums.lstm[module];
            add_matmul_transposed(sums, joined, d_gates, (inputs, rows, outputs));
            add_sum_rows(&mut self.sums.lstm_bias[module], d_gates, outputs);
            let weight = of_module(&self.transposed.lstm, module, inputs * outputs);
            let d_joined = matmul_bias(d_gates, weight, &[], (rows, outputs, inputs));
            let mut d_queries = vec![0.0; rows * key];
            let of_queries = &step.queries[sizes.part(module, key)];
            let saved = (of_queries, entries, &step.scores[sizes.part(module, 1)]);
            let gradients = (&mut d_queries[..], &mut *d_entries);
            entry_gradient(gradients, &d_joined, saved, lanes, (key, sizes.scale()));
            // The state before the step, by the query and by the gates.
            let [h, mut dh] = [joined, &d_joined].map(|joined| {
                let rows = joined.chunks_exact(inputs);
                rows.flat_map(|row| &row[sizes.value..])
                    .copied()
                    .collect::<Vec<f32>>()
            });
            let sums = &mut self.sums.query[module];
            add_matmul_transposed(sums, &h, &d_queries, (size, rows, key));
            add_sum_rows(&mut self.sums.query_bias[module], &d_queries, key);
            let weight = of_module(&self.transposed.query, module, size * key);
            add_matmul(&mut dh, &d_queries, weight, (rows, key, size));
            let units = &mut self.state.h[sizes.part(module, size)];
            for (&lane, dh) in lanes.iter().zip(dh.chunks_exact(size)) {
                units[lane as usize * size..][..size].copy_from_slice(dh);
            }
        }
    }
}
