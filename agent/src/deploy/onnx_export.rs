//! An agent as an ONNX model, to be run without this program: one step of any number of lanes, with what the memory
//! carries as inputs and outputs.
//!
//! | input | shape | |
//! |---|---|---|
//! | `observation` | `[batch, flat_size]` float32 | flat, as [`crate::spaces::encoder`] has it; one-hots are made inside |
//! | `is_first` | `[batch]` bool | where anything is carried or shown from the step before |
//! | `previous_action` | `[batch]` or `[batch, K]` int64, as the action space has it | where the agent is shown it |
//! | `previous_reward` | `[batch]` float32 | where the agent is shown it |
//! | states, such as `h` | as [`StateInfo`] says, float32 | zeros before the first step, then the output `next_h` |
//!
//! | output | shape | |
//! |---|---|---|
//! | `action` | `[batch]` or `[batch, K]` int64 | the likeliest, as the action space has it |
//! | `logits` | `[batch, num_logits]` float32 | of all components side by side |
//! | `value` | `[batch]` float32 | |
//!
//! Metadata says the same in JSON: `observation_space`, `action_space`, `inputs`, `states`, and where the agent is from.

use prost::Message;
use serde_json::json;

use crate::deploy::describe::AgentDescription;
use crate::policy::actor::Actor;
use crate::policy::outputs::OutputLayers;
use crate::run::checkpoint::Checkpoint;
use crate::run::load::{self, ActorError};
use crate::spaces::encoder::InputColumn;

use crate::onnx::{
    Attribute, DataType, GraphBuilder, IR_VERSION, ModelProto, OPSET, OperatorSetIdProto,
    StateInfo, StepGraph, StringStringEntryProto, Value,
};

/// The bytes of an ONNX model of the agent of a checkpoint, which is given as its file's content.
///
/// # Errors
/// When the bytes are not a checkpoint, the checkpoint has no agent, or the agent's memory is not a
/// graph of tensors of fixed size.
pub fn export(checkpoint: &[u8]) -> Result<Vec<u8>, OnnxError> {
    let read = Checkpoint::from_bytes(checkpoint).map_err(OnnxError::Malformed)?;
    let actor = load::trained(&read)?;
    let description = AgentDescription::of(&actor, &read, checkpoint);
    let policy = actor.policy();
    let mut step = StepGraph::new(&policy.params);
    let inputs = inputs(&mut step, &actor, &description);
    let features = policy.core.onnx(&mut step, &inputs);
    features
        .and_then(|features| outputs(&mut step, &actor, &description, &features))
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
    let action = step
        .graph
        .input("previous_action", DataType::Int64, &shape, doc);
    let row = step.graph.reshape(&action, &[heads.components()]);
    let start = step.graph.ints(&[1], &[start]);
    let row = step.graph.op("Sub", &[&row, &start]);
    let row = cast(&mut step.graph, &row, DataType::Float);
    let columns: Vec<InputColumn> = heads
        .sizes()
        .iter()
        .enumerate()
        .flat_map(|(source, &size)| {
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
        env_protocol::Space::Discrete { start, .. } => *start,
        _ => 0,
    };
    (space.shape().unwrap_or_default(), start)
}

fn outputs(
    step: &mut StepGraph<'_>,
    actor: &Actor,
    description: &AgentDescription,
    features: &Value,
) -> Result<(), &'static str> {
    let heads = actor.encoder().heads();
    let (logits, values) = match actor.policy().outputs() {
        OutputLayers::ActorCritic { actor, critic } => {
            let logits = step.linear(features, *actor);
            (logits, Some(step.linear(features, *critic)))
        }
        OutputLayers::ActionValues(layer) => (step.linear(features, *layer), None),
        OutputLayers::Tables(_) => return Err("it looks its values up in tables"),
        OutputLayers::Actor(_) => return Err("it has no value"),
        OutputLayers::Nothing => return Err("it has no outputs"),
    };
    let graph = &mut step.graph;
    let mut end = 0;
    let (mut choices, mut best) = (Vec::new(), Vec::new());
    for &size in heads.sizes() {
        let component = graph.columns(&logits, end, end + size);
        end += size;
        choices.push(graph.node("ArgMax", &[&component], vec![Attribute::Int("axis", 1)]));
        if values.is_none() {
            let axes = vec![Attribute::Ints("axes", vec![1])];
            best.push(graph.node("ReduceMax", &[&component], axes));
        }
    }
    // Without a critic: the mean of the best value of each component, as acting has it.
    let values = values.unwrap_or_else(|| {
        let best = graph.concat(&best.iter().collect::<Vec<_>>());
        graph.node(
            "ReduceMean",
            &[&best],
            vec![Attribute::Ints("axes", vec![1])],
        )
    });
    let action = graph.concat(&choices.iter().collect::<Vec<_>>());
    let (shape, start) = action_shape(description);
    let start = graph.ints(&[1], &[start]);
    let action = graph.op("Add", &[&action, &start]);
    let action = graph.reshape(&action, &shape);
    let doc = "the likeliest action, as the action space has it";
    graph.output("action", &action, DataType::Int64, &shape, doc);
    let doc = "not normalised; of the components of an action side by side";
    let num_logits = [heads.num_logits()];
    graph.output("logits", &logits, DataType::Float, &num_logits, doc);
    let value = graph.reshape(&values, &[]);
    let doc = "the return that the agent expects, discounted as in its training";
    graph.output("value", &value, DataType::Float, &[], doc);
    Ok(())
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
