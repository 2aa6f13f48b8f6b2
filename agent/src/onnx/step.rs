//! One step of an agent as a graph: what memory cores build their part with.

use super::graph::{GraphBuilder, Value};
use super::proto::DataType;
use crate::nn::{ParamId, Params};

/// A step that is being built. States are zeros before the first step: what an episode begins with is put in their place
/// where `is_first` says so.
pub struct StepGraph<'p> {
    /// Where nodes are added.
    pub graph: GraphBuilder,
    params: &'p Params,
    is_first: Option<Value>,
    age: Option<Value>,
    states: Vec<StateInfo>,
}

/// A tensor that is carried from step to step.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StateInfo {
    /// The input that takes it.
    pub input: String,
    /// The output that gives it for the next step.
    pub output: String,
    /// Shape of one lane's.
    pub shape: Vec<usize>,
}

impl<'p> StepGraph<'p> {
    /// Nothing yet.
    pub fn new(params: &'p Params) -> Self {
        Self {
            graph: GraphBuilder::default(),
            params,
            is_first: None,
            age: None,
            states: Vec::new(),
        }
    }

    /// A state that is carried from step to step.
    pub fn states(&self) -> &[StateInfo] {
        &self.states
    }

    /// A parameter.
    pub fn param(&mut self, id: ParamId) -> Value {
        let (rows, columns) = self.params.shape(id);
        let data = self.params.data(id);
        self.graph
            .named(self.params.name(id), &[rows, columns], data)
    }

    /// `x W + b`, of lanes with one row each.
    pub fn linear(&mut self, x: &Value, (weight, bias): (ParamId, ParamId)) -> Value {
        let [weight, bias] = [weight, bias].map(|id| self.param(id));
        self.graph.op("Gemm", &[x, &weight, &bias])
    }

    /// Whether each lane begins an episode, `[batch, 1]` of truth values.
    pub fn is_first(&mut self) -> Value {
        if let Some(known) = &self.is_first {
            return known.clone();
        }
        let doc = "whether the observation is the first of an episode; the lane's memory is reset before it";
        let flags = self.graph.input("is_first", DataType::Bool, &[], doc);
        let column = self.graph.reshape(&flags, &[1]);
        self.is_first = Some(column.clone());
        column
    }

    /// `value`, `[batch, n]`, with a number in its place where an episode begins.
    pub fn reset(&mut self, value: &Value, fresh: f32) -> Value {
        let first = self.is_first();
        let fresh = self.graph.floats(&[1], &[fresh]);
        self.graph.op("Where", &[&first, &fresh, value])
    }

    /// Returns the state of this name, which the previous step gave to [`StepGraph::next`]: lanes
    /// with tensors of this shape.
    pub fn state(&mut self, name: &str, shape: &[usize], doc: &str) -> Value {
        let info = StateInfo {
            input: name.into(),
            output: format!("next_{name}"),
            shape: shape.to_vec(),
        };
        self.states.push(info);
        self.graph.input(name, DataType::Float, shape, doc)
    }

    /// Sets the state of this name for the next step.
    ///
    /// # Panics
    /// Without such a state.
    pub fn next(&mut self, name: &str, value: &Value) {
        let state = self.states.iter().find(|state| state.input == name);
        let StateInfo { output, shape, .. } = state.expect("a state of this name").clone();
        let doc = format!("{name} for the next step");
        self.graph
            .output(&output, value, DataType::Float, &shape, &doc);
    }

    /// Returns the age of the episode before this step, `[batch, 1]`.
    pub fn age(&mut self) -> Value {
        if let Some(known) = &self.age {
            return known.clone();
        }
        let before = self.state("age", &[1], "steps so far in the episode");
        let age = self.reset(&before, 0.0);
        let one = self.graph.floats(&[1], &[1.0]);
        let next = self.graph.op("Add", &[&age, &one]);
        self.next("age", &next);
        self.age = Some(age.clone());
        age
    }
}
