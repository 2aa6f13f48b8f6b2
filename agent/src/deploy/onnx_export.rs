//! An agent as an ONNX model, to be run without this program: one step of any number of lanes, with what the memory
//! carries as inputs and outputs.
//!
//! | input | shape | |
//! |---|---|---|
//! | `observation` | `[batch, flat_size]` float32 | flat, as [`crate::spaces::encoder`] has it; one-hots are made inside |
//! | `is_first` | `[batch]` bool | where anything is carried or shown from the step before |
//! | `previous_action` | as `action` | where the agent is shown it |
//! | `previous_reward` | `[batch]` float32 | where the agent is shown it |
//! | states, such as `h` | as [`StateInfo`] says, float32 | zeros before the first step, then the output `next_h` |
//!
//! | output | shape | |
//! |---|---|---|
//! | `action` | `[batch, …]` of the action space: int64, of a `Box` float32 | the likeliest; numbers are clipped |
//! | `logits` | `[batch, num_logits]` float32 | of all components side by side; of numbers means, and log deviations behind |
//! | `value` | `[batch]` float32 | |
//!
//! Metadata says the same in JSON: `observation_space`, `action_space`, `inputs`, `states`, and where the agent is from.

use env_protocol::Space;
use prost::Message;
use serde_json::json;

use crate::deploy::describe::AgentDescription;
use crate::policy::actor::Actor;
use crate::policy::outputs::OutputLayers;
use crate::run::checkpoint::Checkpoint;
use crate::run::load::{self, ActorError};
use crate::spaces::actions::{ActionHead, ActionHeads};
use crate::spaces::encoder::InputColumn;

use crate::onnx::{
    Attribute, DataType, GraphBuilder, IR_VERSION, ModelProto, OPSET, OperatorSetIdProto,
    StateInfo, StepGraph, StringStringEntryProto, Value,
};

/// The bytes of an ONNX model of the agent of a checkpoint, which is given as its file's content.
///
/// # Errors
/// When the bytes are not a checkpoint, the checkpoint has no agent, or the agent's memory is not a
/// graph of tensors of fixed size, or its actions are not one array.
pub fn export(checkpoint: &[u8]) -> Result<Vec<u8>, OnnxError> {
    let read = Checkpoint::from_bytes(checkpoint).map_err(OnnxError::Malformed)?;
    let actor = load::trained(&read)?;
    let description = AgentDescription::of(&actor, &read, checkpoint);
    let policy = actor.policy();
    let mut step = StepGraph::new(&policy.params);
    is_array(&description.action_space)
        .and_then(|()| {
            let inputs = inputs(&mut step, &actor, &description);
            let features = policy.core.onnx(&mut step, &inputs)?;
            outputs(&mut step, &actor, &description, &features)
        })
        .map_err(|reason| OnnxError::NotAGraph {
            algorithm: description.algorithm.clone(),
            reason,
        })?;
    let states = step.states().to_vec();
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "strategic-memory-rl".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: format!(
            "One step of {} trained on {}. States are zeros before the first step; what next_NAME gives is NAME's of \
             the next step. The metadata has spaces, inputs and states as JSON.",
            description.algorithm, description.spec_id
        ),
        graph: Some(step.graph.finish(&description.algorithm)),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        metadata_props: metadata(&description, &states),
    };
    Ok(model.encode_to_vec())
}

fn is_array(action_space: &Space) -> Result<(), &'static str> {
    match action_space {
        Space::Tuple { .. } | Space::Dict { .. } => Err("its actions have several parts"),
        _ => Ok(()),
    }
}

/// The input row of every lane, as [`crate::policy::inputs::InputEncoder::encode`] makes it.
fn inputs(step: &mut StepGraph<'_>, actor: &Actor, description: &AgentDescription) -> Value {
    let encoder = actor.encoder();
    let doc = "the observation's numbers in C order: a Tuple's parts in their order, a Dict's by their sorted names";
    let flat = [encoder.flat_size()];
    let observation = step.graph.input("observation", DataType::Float, &flat, doc);
    let mut parts = vec![one_hots(step, &observation, encoder.columns())];
    if description.inputs.previous_action {
        parts.push(previous_action(step, actor, description));
    }
    if description.inputs.previous_reward {
        let doc = "the reward of the step before; without meaning where is_first";
        let reward = step
            .graph
            .input("previous_reward", DataType::Float, &[], doc);
        let reward = step.graph.reshape(&reward, &[1]);
        parts.push(step.reset(&reward, 0.0));
    }
    if description.inputs.step_counter {
        let age = step.age();
        let hundred = step.graph.floats(&[1], &[100.0]);
        let later = step.graph.op("Add", &[&age, &hundred]);
        parts.push(step.graph.op("Div", &[&age, &later]));
    }
    step.graph.concat(&parts.iter().collect::<Vec<_>>())
}

/// Encodes numbers: each column of the result is a number as it is, or whether a number is a certain choice.
fn one_hots(step: &mut StepGraph<'_>, numbers: &Value, columns: &[InputColumn]) -> Value {
    let graph = &mut step.graph;
    let sources: Vec<i64> = columns.iter().map(|column| column.source as i64).collect();
    let sources = graph.ints(&[columns.len()], &sources);
    let copied = graph.node(
        "Gather",
        &[numbers, &sources],
        vec![Attribute::Int("axis", 1)],
    );
    if columns.iter().all(|column| column.choice.is_none()) {
        return copied;
    }
    let choices: Vec<f32> = columns
        .iter()
        .map(|column| column.choice.unwrap_or(0) as f32)
        .collect();
    let choices = graph.floats(&[1, columns.len()], &choices);
    let is_choice = graph.op("Equal", &[&copied, &choices]);
    let marks = cast(graph, &is_choice, DataType::Float);
    let is_one_hot: Vec<i64> = columns
        .iter()
        .map(|column| i64::from(column.choice.is_some()))
        .collect();
    let is_one_hot = graph.ints(&[1, columns.len()], &is_one_hot);
    let is_one_hot = cast(graph, &is_one_hot, DataType::Bool);
    graph.op("Where", &[&is_one_hot, &marks, &copied])
}

fn cast(graph: &mut GraphBuilder, value: &Value, to: DataType) -> Value {
    graph.node("Cast", &[value], vec![Attribute::Int("to", to as i64)])
}

fn previous_action(
    step: &mut StepGraph<'_>,
    actor: &Actor,
    description: &AgentDescription,
) -> Value {
    let heads = actor.encoder().heads();
    let (shape, start) = action_shape(description);
    let doc = "the action that was taken before, as the action space has it; without meaning where is_first";
    let dtype = match heads.are_choices() {
        true => DataType::Int64,
        false => DataType::Float,
    };
    let action = step.graph.input("previous_action", dtype, &shape, doc);
    let row = step.graph.reshape(&action, &[heads.components()]);
    if !heads.are_choices() {
        let shown = Numbers::of(heads).of_space(&mut step.graph, &row);
        return step.reset(&shown, 0.0);
    }
    let start = step.graph.ints(&[1], &[start]);
    let row = step.graph.op("Sub", &[&row, &start]);
    let row = cast(&mut step.graph, &row, DataType::Float);
    let columns: Vec<InputColumn> = heads
        .sizes()
        .into_iter()
        .enumerate()
        .flat_map(|(source, size)| {
            (0..size as i64).map(move |choice| InputColumn {
                source,
                choice: Some(choice),
                name: None,
                bounds: None,
                place: None,
            })
        })
        .collect();
    let marks = one_hots(step, &row, &columns);
    step.reset(&marks, 0.0)
}

/// Shape of an action, and the least number in it.
fn action_shape(description: &AgentDescription) -> (Vec<usize>, i64) {
    let space = &description.action_space;
    let start = match space {
        Space::Discrete { start, .. } => *start,
        _ => 0,
    };
    (space.shape().unwrap_or_default(), start)
}

/// The units of an action's numbers, a number for each component.
struct Numbers {
    /// What is added before scaling: 1 where −1 and 1 stand for bounds, else 0.
    shift: Vec<f32>,
    scale: Vec<f32>,
    /// What is added after it.
    base: Vec<f32>,
    /// Bounds in the agent's unit.
    limits: [Vec<f32>; 2],
    /// Bounds in the space.
    bounds: [Vec<f32>; 2],
}

impl Numbers {
    fn of(heads: &ActionHeads) -> Self {
        let units = heads.heads().iter().filter_map(|head| match head {
            ActionHead::Gaussian(unit) => Some(*unit),
            ActionHead::Categorical(_) => None,
        });
        let scaled = units.clone().map(|unit| match unit.half() {
            Some(half) => [1.0, half, unit.bounds()[0]],
            None => [0.0, 1.0, 0.0],
        });
        let column = |i: usize| scaled.clone().map(|numbers| numbers[i]).collect();
        Self {
            shift: column(0),
            scale: column(1),
            base: column(2),
            limits: [0, 1]
                .map(|side: usize| units.clone().map(|unit| unit.limits()[side]).collect()),
            bounds: [0, 1]
                .map(|side: usize| units.clone().map(|unit| unit.bounds()[side]).collect()),
        }
    }

    /// As [`Unit::to_space`](crate::spaces::components::Unit::to_space).
    fn to_space(&self, graph: &mut GraphBuilder, numbers: &Value) -> Value {
        let clipped = clip(graph, numbers, &self.limits);
        let shifted = with(graph, "Add", &clipped, &self.shift);
        let scaled = with(graph, "Mul", &shifted, &self.scale);
        let moved = with(graph, "Add", &scaled, &self.base);
        clip(graph, &moved, &self.bounds)
    }

    /// As [`Unit::of_space`](crate::spaces::components::Unit::of_space), clipped.
    fn of_space(&self, graph: &mut GraphBuilder, numbers: &Value) -> Value {
        let moved = with(graph, "Sub", numbers, &self.base);
        let scaled = with(graph, "Div", &moved, &self.scale);
        let shifted = with(graph, "Sub", &scaled, &self.shift);
        clip(graph, &shifted, &self.limits)
    }
}

/// Numbers and constants, one for each column.
fn with(graph: &mut GraphBuilder, op: &'static str, numbers: &Value, constants: &[f32]) -> Value {
    let constants = graph.floats(&[1, constants.len()], constants);
    graph.op(op, &[numbers, &constants])
}

fn clip(graph: &mut GraphBuilder, numbers: &Value, [low, high]: &[Vec<f32>; 2]) -> Value {
    let above = with(graph, "Max", numbers, low);
    with(graph, "Min", &above, high)
}

/// The network's outputs, with the log deviations of numbers behind them, and the value if there is a critic.
fn layers(
    step: &mut StepGraph<'_>,
    outputs: &OutputLayers,
    features: &Value,
) -> Result<(Value, Option<Value>), &'static str> {
    match outputs {
        OutputLayers::ActorCritic { actor, critic } => {
            let mut logits = step.linear(features, actor.layer);
            if let Some(log_stds) = actor.log_stds {
                let row = step.param(log_stds);
                let zero = step.graph.floats(&[1, 1], &[0.0]);
                let mean = step.graph.columns(&logits, 0, 1);
                let zeros = step.graph.op("Mul", &[&mean, &zero]);
                let rows = step.graph.op("Add", &[&zeros, &row]);
                logits = step.graph.concat(&[&logits, &rows]);
            }
            Ok((logits, Some(step.linear(features, *critic))))
        }
        OutputLayers::ActionValues(layer) => Ok((step.linear(features, *layer), None)),
        OutputLayers::Tables(_) => Err("it looks its values up in tables"),
        OutputLayers::Actor(_) => Err("it has no value"),
        OutputLayers::Nothing => Err("it has no outputs"),
    }
}

fn outputs(
    step: &mut StepGraph<'_>,
    actor: &Actor,
    description: &AgentDescription,
    features: &Value,
) -> Result<(), &'static str> {
    let heads = actor.encoder().heads();
    let (logits, values) = layers(step, actor.policy().outputs(), features)?;
    let graph = &mut step.graph;
    let (shape, start) = action_shape(description);
    let doc = "the likeliest action, as the action space has it";
    let values = if heads.are_choices() {
        let (action, best) = choices(graph, heads, &logits, values.is_none());
        let start = graph.ints(&[1], &[start]);
        let action = graph.op("Add", &[&action, &start]);
        let action = graph.reshape(&action, &shape);
        graph.output("action", &action, DataType::Int64, &shape, doc);
        values.or(best)
    } else {
        let means = graph.columns(&logits, 0, heads.num_outputs());
        let action = Numbers::of(heads).to_space(graph, &means);
        let action = graph.reshape(&action, &shape);
        graph.output("action", &action, DataType::Float, &shape, doc);
        values
    };
    let doc = "not normalised; of the components of an action side by side";
    let num_logits = [heads.num_logits()];
    graph.output("logits", &logits, DataType::Float, &num_logits, doc);
    let value = graph.reshape(&values.ok_or("it has no value")?, &[]);
    let doc = "the return that the agent expects, discounted as in its training";
    graph.output("value", &value, DataType::Float, &[], doc);
    Ok(())
}

/// The likeliest choice of each component, counted from 0. With `wants_best` also what acting takes for a value without a
/// critic: the mean of the best action value of each component.
fn choices(
    graph: &mut GraphBuilder,
    heads: &ActionHeads,
    logits: &Value,
    wants_best: bool,
) -> (Value, Option<Value>) {
    let axes = || vec![Attribute::Ints("axes", vec![1])];
    let mut end = 0;
    let (mut choices, mut best) = (Vec::new(), Vec::new());
    for size in heads.sizes() {
        let component = graph.columns(logits, end, end + size);
        end += size;
        choices.push(graph.node("ArgMax", &[&component], vec![Attribute::Int("axis", 1)]));
        if wants_best {
            best.push(graph.node("ReduceMax", &[&component], axes()));
        }
    }
    let best = wants_best.then(|| {
        let best = graph.concat(&best.iter().collect::<Vec<_>>());
        graph.node("ReduceMean", &[&best], axes())
    });
    (graph.concat(&choices.iter().collect::<Vec<_>>()), best)
}

fn metadata(description: &AgentDescription, states: &[StateInfo]) -> Vec<StringStringEntryProto> {
    let AgentDescription {
        algorithm,
        spec_id,
        observation_space,
        action_space,
        inputs,
        checkpoint,
        ..
    } = description;
    let entries = [
        ("algorithm", algorithm.clone()),
        ("spec_id", spec_id.clone()),
        ("observation_space", json!(observation_space).to_string()),
        ("action_space", json!(action_space).to_string()),
        ("inputs", json!(inputs).to_string()),
        ("states", json!(states).to_string()),
        ("checkpoint", json!(checkpoint).to_string()),
    ];
    entries
        .map(|(key, value)| StringStringEntryProto {
            key: key.into(),
            value,
        })
        .into()
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The bytes.
    #[error("it is not a checkpoint of this program: {0}")]
    Malformed(String),
    /// The content.
    #[error(transparent)]
    Agent(#[from] ActorError),
    /// The memory.
    #[error(
        "{algorithm} cannot be exported to ONNX: {reason}. `agent serve` lets other programs ask it for actions"
    )]
    NotAGraph {
        /// Id of the algorithm.
        algorithm: String,
        /// The obstacle.
        reason: &'static str,
    },
}

#[cfg(test)]
mod tests;
