//! A step of the memory as a graph of tensors of fixed size: what `step` does without noise, with a key of −∞ for an empty
//! slot, as in the state.

use super::SlotMemory;
use super::head::Head;
use super::write_time::TIME_CONSTANTS;
use crate::memory::attention::lag;
use crate::nn::Weighting;
use crate::onnx::{Attribute, StepGraph, Value};

/// ONNX's number for float32 in `Cast`.
const FLOAT: i64 = 1;
/// ONNX's number for int64 in `Cast`.
const INT64: i64 = 7;

/// Contents of every lane's slots: `[batch, slots, …]`.
struct Held {
    keys: Value,
    entries: Value,
    gates: Option<Value>,
    written: Option<Value>,
}

/// Where the step writes.
enum Places {
    /// Into one of `[batch, slots]`, as these truth values say.
    One(Value),
    /// Into one of the ring's, `[batch, recent]`; what it held goes into one of the others, if there are any.
    Ring(Value, Option<Value>),
}

impl SlotMemory {
    /// The features of inputs `[batch, input_size]`. States: `key` `[slots]`, `embedding` `[slots, mem_dim]` and, where they
    /// count, `gate` and `written` `[slots]`.
    ///
    /// # Errors
    /// The reason why the controller or the rule of retention has no such form.
    pub(super) fn step_graph(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &Value,
    ) -> Result<Value, &'static str> {
        let (slots, dim) = (self.slots, self.mem_dim);
        let embedding = self.embedded(step, inputs);
        let present = match &self.controller {
            Some(controller) => {
                let held = controller.onnx(step, inputs)?;
                step.graph.concat(&[&embedding, &held])
            }
            None => embedding.clone(),
        };
        let keys = step.state(
            "key",
            &[slots],
            "of each slot's entry, its usefulness; -infinity when empty",
        );
        let held = Held {
            keys: step.reset(&keys, f32::NEG_INFINITY),
            entries: step.state("embedding", &[slots, dim], "of each slot's entry"),
            gates: self
                .learn_retention
                .then(|| step.state("gate", &[slots], "log sigmoid of each entry's usefulness")),
            written: self.dates_entries().then(|| {
                let doc = "step of the episode at which each entry was written";
                step.state("written", &[slots], doc)
            }),
        };
        let heads = self.heads.all.iter().zip(&self.heads.ways);
        let mut both: Vec<Value> = heads
            .map(|head| self.attended(step, head, &present, &held))
            .collect();
        both.push(present);
        let both = step.graph.concat(&both.iter().collect::<Vec<_>>());
        let features = step.linear(&both, self.output);
        let features = step.graph.op("Tanh", &[&features]);

        let usefulness = match self.learn_retention {
            true => step.linear(&embedding, self.usefulness),
            false => self.nothing_useful(step),
        };
        let key = self.rule.onnx(step, &embedding)?;
        let key = key.as_ref().unwrap_or(&usefulness);
        let places = self.places(step, &held.keys, key);
        let next = self.written(step, &places, &held.keys, key, 1);
        step.next("key", &next);
        if let Some(gates) = &held.gates {
            // log σ(u) = −softplus(−u).
            let negative = step.graph.op("Neg", &[&usefulness]);
            let softplus = step.graph.op("Softplus", &[&negative]);
            let gate = step.graph.op("Neg", &[&softplus]);
            let next = self.written(step, &places, gates, &gate, 1);
            step.next("gate", &next);
        }
        if let Some(written) = &held.written {
            let age = step.age();
            let next = self.written(step, &places, written, &age, 1);
            step.next("written", &next);
        }
        let next = self.written(step, &places, &held.entries, &embedding, dim);
        step.next("embedding", &next);
        Ok(features)
    }

    /// Returns whether a step needs to know when entries were written.
    fn dates_entries(&self) -> bool {
        self.newest_first || self.heads.all[0].lag.weight().is_some()
    }

    /// A usefulness of 0 in every lane, `[batch, 1]`.
    fn nothing_useful(&self, step: &mut StepGraph<'_>) -> Value {
        let age = step.age();
        let zero = step.graph.floats(&[1], &[0.0]);
        step.graph.op("Mul", &[&age, &zero])
    }

    fn embedded(&self, step: &mut StepGraph<'_>, inputs: &Value) -> Value {
        let age = step.age();
        let negative = TIME_CONSTANTS.map(|tau| -tau);
        let constants = step.graph.floats(&[1, negative.len()], &negative);
        let exponents = step.graph.op("Div", &[&age, &constants]);
        let times = step.graph.op("Exp", &[&exponents]);
        let timed = step.graph.concat(&[inputs, &times]);
        let embedding = step.linear(&timed, self.embed);
        step.graph.op("Tanh", &[&embedding])
    }

    /// Returns the readout `[batch, mem_dim]` of attention over the null slot and the filled slots.
    fn attended(
        &self,
        step: &mut StepGraph<'_>,
        (head, way): (&Head, &Weighting),
        present: &Value,
        held: &Held,
    ) -> Value {
        let (slots, dim) = (self.slots, self.mem_dim);
        let lags = self.lag_scores(step, head, present, held);
        let (query, null) = (step.param(head.query), step.param(self.null));
        let graph = &mut step.graph;
        let query = graph.op("MatMul", &[present, &query]);
        let scale = graph.floats(&[1], &[1.0 / (dim as f32).sqrt()]);
        let query = graph.op("Mul", &[&query, &scale]);

        let null_column = graph.op("Transpose", &[&null]);
        let of_null = graph.op("MatMul", &[&query, &null_column]);
        let column = graph.reshape(&query, &[dim, 1]);
        let scores = graph.op("MatMul", &[&held.entries, &column]);
        let mut scores = graph.reshape(&scores, &[slots]);
        for term in [held.gates.as_ref(), lags.as_ref()].into_iter().flatten() {
            scores = graph.op("Add", &[&scores, term]);
        }
        let nothing = graph.floats(&[1], &[f32::NEG_INFINITY]);
        let is_empty = graph.op("Equal", &[&held.keys, &nothing]);
        let scores = graph.op("Where", &[&is_empty, &nothing, &scores]);
        let weights = match (*way, &held.written) {
            (Weighting::StickBreaking { margin }, Some(written)) => {
                broken(step, (&of_null, &scores), written, margin, slots)
            }
            _ => {
                let all = graph.concat(&[&of_null, &scores]);
                graph.node("Softmax", &[&all], vec![Attribute::Int("axis", 1)])
            }
        };
        let graph = &mut step.graph;

        let of_null = graph.columns(&weights, 0, 1);
        let null = graph.op("Mul", &[&of_null, &null]);
        let weights = graph.columns(&weights, 1, slots + 1);
        let weights = graph.reshape(&weights, &[1, slots]);
        let read = graph.op("MatMul", &[&weights, &held.entries]);
        let read = graph.reshape(&read, &[dim]);
        graph.op("Add", &[&null, &read])
    }

    /// Returns the terms that the ages of entries add to their scores, `[batch, slots]`.
    fn lag_scores(
        &self,
        step: &mut StepGraph<'_>,
        head: &Head,
        present: &Value,
        held: &Held,
    ) -> Option<Value> {
        let weight = step.param(head.lag.weight()?);
        let age = step.age();
        let graph = &mut step.graph;
        let lags = graph.op("Sub", &[&age, held.written.as_ref()?]);
        // Of an empty slot it may be anything.
        let least = graph.floats(&[1], &[0.0]);
        let most = graph.floats(&[1], &[lag::LONGEST as f32]);
        let lags = graph.op("Max", &[&lags, &least]);
        let lags = graph.op("Min", &[&lags, &most]);
        let lags = graph.node("Cast", &[&lags], vec![Attribute::Int("to", INT64)]);
        let table = head.lag.table();
        let width = table.len() / (lag::LONGEST + 1);
        let table = graph.floats(&[lag::LONGEST + 1, width], table);
        let features = graph.op("Gather", &[&table, &lags]);
        let mut dated = present.clone();
        if self.has_phases {
            let cycle = graph.floats(&[1], &[lag::CYCLE as f32]);
            let of_cycle = graph.node("Mod", &[&age, &cycle], vec![Attribute::Int("fmod", 1)]);
            let of_cycle = graph.node("Cast", &[&of_cycle], vec![Attribute::Int("to", INT64)]);
            let phases = graph.floats(&[lag::CYCLE, lag::PHASES], &lag::CYCLE_TABLE);
            let phases = graph.op("Gather", &[&phases, &of_cycle]);
            let phases = graph.reshape(&phases, &[lag::PHASES]);
            dated = graph.concat(&[present, &phases]);
        }
        let wanted = graph.op("MatMul", &[&dated, &weight]);
        let wanted = graph.reshape(&wanted, &[width, 1]);
        let scores = graph.op("MatMul", &[&features, &wanted]);
        Some(graph.reshape(&scores, &[self.slots]))
    }

    /// Where an entry of this usefulness goes.
    fn places(&self, step: &mut StepGraph<'_>, keys: &Value, usefulness: &Value) -> Places {
        let (slots, recent) = (self.slots, self.recent);
        if recent == 0 {
            return Places::One(beaten(step, keys, usefulness, slots));
        }
        let age = step.age();
        let graph = &mut step.graph;
        let modulus = graph.floats(&[1], &[recent as f32]);
        let oldest = graph.node("Mod", &[&age, &modulus], vec![Attribute::Int("fmod", 1)]);
        let numbers: Vec<f32> = (0..recent).map(|slot| slot as f32).collect();
        let numbers = graph.floats(&[1, recent], &numbers);
        let is_oldest = graph.op("Equal", &[&numbers, &oldest]);
        if recent == slots {
            return Places::Ring(is_oldest, None);
        }
        let ring = graph.columns(keys, 0, recent);
        let nothing = graph.floats(&[1], &[f32::NEG_INFINITY]);
        let leaving = graph.op("Where", &[&is_oldest, &ring, &nothing]);
        let axes = vec![Attribute::Ints("axes", vec![1])];
        let leaving = graph.node("ReduceMax", &[&leaving], axes);
        let others = graph.columns(keys, recent, slots);
        let beaten = beaten(step, &others, &leaving, slots - recent);
        Places::Ring(is_oldest, Some(beaten))
    }

    /// Contents of the slots after a step: `held` `[batch, slots, …]` with `new` `[batch, …]` in
    /// its place, where `width` numbers are one slot's.
    fn written(
        &self,
        step: &mut StepGraph<'_>,
        places: &Places,
        held: &Value,
        new: &Value,
        width: usize,
    ) -> Value {
        let (slots, recent) = (self.slots, self.recent);
        let graph = &mut step.graph;
        // A number of each slot needs no third dimension.
        let shaped = |of: usize| {
            if width == 1 {
                vec![of]
            } else {
                vec![of, width]
            }
        };
        let mask_shape = |of: usize| if width == 1 { vec![of] } else { vec![of, 1] };
        let new = graph.reshape(new, &shaped(1));
        match places {
            Places::One(place) => {
                let place = graph.reshape(place, &mask_shape(slots));
                graph.op("Where", &[&place, &new, held])
            }
            Places::Ring(is_oldest, beaten) => {
                let ring = graph.columns(held, 0, recent);
                let mask = graph.reshape(is_oldest, &mask_shape(recent));
                let next_ring = graph.op("Where", &[&mask, &new, &ring]);
                let Some(beaten) = beaten else {
                    return next_ring;
                };
                // Keys may be infinite, so that nothing can be multiplied by 0.
                let nothing = graph.floats(&[1], &[f32::NEG_INFINITY]);
                let leaving = graph.op("Where", &[&mask, &ring, &nothing]);
                let axes = vec![Attribute::Ints("axes", vec![1])];
                let leaving = graph.node("ReduceMax", &[&leaving], axes);
                let others = graph.columns(held, recent, slots);
                let mask = graph.reshape(beaten, &mask_shape(slots - recent));
                let next_others = graph.op("Where", &[&mask, &leaving, &others]);
                graph.concat(&[&next_ring, &next_others])
            }
        }
    }
}

/// Weights `[batch, slots + 1]` of stick-breaking over the null slot's scores `[batch, 1]` and those of slots `[batch,
/// slots]`, -infinity when empty, the newest first. Of the log of what an entry leaves, each takes away that of all newer.
fn broken(
    step: &mut StepGraph<'_>,
    (of_null, scores): (&Value, &Value),
    written: &Value,
    margin: f32,
    slots: usize,
) -> Value {
    let graph = &mut step.graph;
    let margin = graph.floats(&[1], &[margin]);
    let bar = graph.op("Add", &[of_null, &margin]);
    let above = graph.op("Sub", &[scores, &bar]);
    let shares = graph.op("Sigmoid", &[&above]);
    // −log(1 − σ(x)) = softplus(x).
    let taken = graph.op("Softplus", &[&above]);
    let taken = graph.reshape(&taken, &[slots, 1]);
    let (row, column) = (
        graph.reshape(written, &[1, slots]),
        graph.reshape(written, &[slots, 1]),
    );
    let is_newer = graph.op("Greater", &[&row, &column]);
    let is_newer = graph.node("Cast", &[&is_newer], vec![Attribute::Int("to", FLOAT)]);
    let by_newer = graph.op("MatMul", &[&is_newer, &taken]);
    let by_newer = graph.reshape(&by_newer, &[slots]);
    let by_newer = graph.op("Neg", &[&by_newer]);
    let left = graph.op("Exp", &[&by_newer]);
    let weights = graph.op("Mul", &[&shares, &left]);
    let ones = graph.floats(&[slots, 1], &vec![1.0; slots]);
    let all_taken = graph.op("MatMul", &[&weights, &ones]);
    let one = graph.floats(&[1], &[1.0]);
    let of_null = graph.op("Sub", &[&one, &all_taken]);
    graph.concat(&[&of_null, &weights])
}

/// Which of some slots a key takes, `[batch, slots]` of truth values: the first of those with the least key, if its own is
/// greater.
fn beaten(step: &mut StepGraph<'_>, keys: &Value, key: &Value, slots: usize) -> Value {
    let graph = &mut step.graph;
    let weakest = graph.node("ArgMin", &[keys], vec![Attribute::Int("axis", 1)]);
    let numbers: Vec<i64> = (0..slots as i64).collect();
    let numbers = graph.ints(&[1, slots], &numbers);
    let is_weakest = graph.op("Equal", &[&numbers, &weakest]);
    let least = graph.node("ReduceMin", &[keys], vec![Attribute::Ints("axes", vec![1])]);
    let is_greater = graph.op("Greater", &[key, &least]);
    graph.op("And", &[&is_weakest, &is_greater])
}
