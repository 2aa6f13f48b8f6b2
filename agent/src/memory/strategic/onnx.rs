//! A step of the memory as a graph of tensors of fixed size: what `step` does without noise, with a key of −∞ for an empty
//! slot, as in the state.

use super::{Strategic, TIME_CONSTANTS};
use crate::onnx::{Attribute, StepGraph, Value};

impl Strategic {
    /// The features of inputs `[batch, input_size]`. States: `key` `[slots]`, `embedding` `[slots, mem_dim]` and, where
    /// retention is learned, `gate` `[slots]`.
    pub(super) fn step_graph(&self, step: &mut StepGraph<'_>, inputs: &Value) -> Value {
        let (slots, dim) = (self.slots, self.mem_dim);
        let embedding = self.embedded(step, inputs);
        let keys = step.state(
            "key",
            &[slots],
            "of each slot's entry, its usefulness; -infinity when empty",
        );
        let keys = step.reset(&keys, f32::NEG_INFINITY);
        let entries = step.state("embedding", &[slots, dim], "of each slot's entry");
        let gates = self
            .learn_retention
            .then(|| step.state("gate", &[slots], "log sigmoid of each entry's usefulness"));
        let readout = self.attended(step, &embedding, (&keys, &entries, gates.as_ref()));
        let both = step.graph.concat(&[&readout, &embedding]);
        let features = step.linear(&both, self.output);
        let features = step.graph.op("Tanh", &[&features]);

        let usefulness = match self.learn_retention {
            true => step.linear(&embedding, self.usefulness),
            false => step.graph.floats(&[1, 1], &[0.0]),
        };
        let written = self.written(step, &keys, &usefulness);
        let next = step.graph.op("Where", &[&written, &usefulness, &keys]);
        step.next("key", &next);
        if let Some(gates) = &gates {
            // log σ(u) = −softplus(−u).
            let negative = step.graph.op("Neg", &[&usefulness]);
            let softplus = step.graph.op("Softplus", &[&negative]);
            let gate = step.graph.op("Neg", &[&softplus]);
            let next = step.graph.op("Where", &[&written, &gate, gates]);
            step.next("gate", &next);
        }
        let written = step.graph.reshape(&written, &[slots, 1]);
        let entry = step.graph.reshape(&embedding, &[1, dim]);
        let next = step.graph.op("Where", &[&written, &entry, &entries]);
        step.next("embedding", &next);
        features
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

    /// The readout `[batch, mem_dim]` of attention over the null slot and those that are not empty.
    fn attended(
        &self,
        step: &mut StepGraph<'_>,
        embedding: &Value,
        (keys, entries, gates): (&Value, &Value, Option<&Value>),
    ) -> Value {
        let (slots, dim) = (self.slots, self.mem_dim);
        let (query, null) = (step.param(self.query), step.param(self.null));
        let graph = &mut step.graph;
        let query = graph.op("MatMul", &[embedding, &query]);
        let scale = graph.floats(&[1], &[1.0 / (dim as f32).sqrt()]);
        let query = graph.op("Mul", &[&query, &scale]);

        let null_column = graph.op("Transpose", &[&null]);
        let of_null = graph.op("MatMul", &[&query, &null_column]);
        let column = graph.reshape(&query, &[dim, 1]);
        let scores = graph.op("MatMul", &[entries, &column]);
        let mut scores = graph.reshape(&scores, &[slots]);
        if let Some(gates) = gates {
            scores = graph.op("Add", &[&scores, gates]);
        }
        let nothing = graph.floats(&[1], &[f32::NEG_INFINITY]);
        let is_empty = graph.op("Equal", &[keys, &nothing]);
        let scores = graph.op("Where", &[&is_empty, &nothing, &scores]);
        let all = graph.concat(&[&of_null, &scores]);
        let weights = graph.node("Softmax", &[&all], vec![Attribute::Int("axis", 1)]);

        let of_null = graph.columns(&weights, 0, 1);
        let null = graph.op("Mul", &[&of_null, &null]);
        let weights = graph.columns(&weights, 1, slots + 1);
        let weights = graph.reshape(&weights, &[1, slots]);
        let read = graph.op("MatMul", &[&weights, entries]);
        let read = graph.reshape(&read, &[dim]);
        graph.op("Add", &[&null, &read])
    }

    /// Where the entry goes, `[batch, slots]` of truth values: into the first of the slots with the least key, if its own
    /// is greater.
    fn written(&self, step: &mut StepGraph<'_>, keys: &Value, usefulness: &Value) -> Value {
        let graph = &mut step.graph;
        let weakest = graph.node("ArgMin", &[keys], vec![Attribute::Int("axis", 1)]);
        let numbers: Vec<i64> = (0..self.slots as i64).collect();
        let numbers = graph.ints(&[1, self.slots], &numbers);
        let is_weakest = graph.op("Equal", &[&numbers, &weakest]);
        let least = graph.node("ReduceMin", &[keys], vec![Attribute::Ints("axes", vec![1])]);
        let is_greater = graph.op("Greater", &[usefulness, &least]);
        graph.op("And", &[&is_weakest, &is_greater])
    }
}
