use std::sync::atomic::AtomicBool;

use clap::ValueEnum;
use prost::Message;
use serde_json::{Map, Value};

use super::*;
use crate::algorithms;
use crate::algorithms::sections::Overrides;
use crate::env::selection::EnvSelection;
use crate::env::test_task::TestTask;
use crate::memory::slots::{MemoryScope, RetentionRule};
use crate::onnx::{DataType, ModelProto, ValueInfoProto};
use crate::overrides;
use crate::run::config::TrainConfig;
use crate::run::train::{TrainOptions, train};
use crate::views::monitor::Silent;

/// The model of a small agent of pairs: observations of a choice and two numbers, actions of a choice of two and one of
/// three.
fn exported(algorithm: &str, overrides: Overrides) -> Result<ModelProto, OnnxError> {
    exported_of(TestTask::of_pairs(2, 4), algorithm, overrides)
}

/// The model of a small agent of a task of two lanes.
fn exported_of(
    mut task: TestTask,
    algorithm: &str,
    overrides: Overrides,
) -> Result<ModelProto, OnnxError> {
    let overrides = overrides.overlaid(&overrides! {
        num_envs: 2,
        num_steps: 8,
        whole_episodes: false,
        num_minibatches: 1,
        hidden_size: 6,
        aux_modules: Vec::<&str>::new(),
    });
    let selection = EnvSelection {
        spec_id: "MemoryTask-v0".into(),
        kwargs: Map::new(),
        draws: Vec::new(),
    };
    let row = algorithms::find(algorithm).unwrap();
    let overrides = overrides.known_to(&(row.defaults)());
    let config = TrainConfig::resolve(row, &overrides, selection, 16, 0).unwrap();
    let options = TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume: None,
        stop: &AtomicBool::new(false),
    };
    let trained = train(&config, &mut task, options, &mut Silent).unwrap();
    let model = export(&trained.checkpoint.to_bytes())?;
    Ok(ModelProto::decode(&model[..]).unwrap())
}

fn names(model: &ModelProto) -> (Vec<&str>, Vec<&str>) {
    let graph = model.graph.as_ref().unwrap();
    let inputs = graph.input.iter().map(|value| value.name.as_str());
    let outputs = graph.output.iter().map(|value| value.name.as_str());
    (inputs.collect(), outputs.collect())
}

fn metadata(model: &ModelProto, key: &str) -> Value {
    let entries = model.metadata_props.iter();
    let entry = entries.clone().find(|entry| entry.key == key).unwrap();
    serde_json::from_str(&entry.value).unwrap_or_else(|_| entry.value.as_str().into())
}

#[test]
fn a_model_takes_what_its_agent_is_shown() {
    let model = exported("ppo", Overrides::default()).unwrap();
    let outputs = vec!["action", "logits", "value"];
    assert_eq!(names(&model), (vec!["observation"], outputs));
    assert_eq!(metadata(&model, "algorithm"), "ppo");
    assert_eq!(metadata(&model, "states"), json!([]));

    let shown = overrides! {
        previous_action: true,
        previous_reward: true,
        step_counter: true,
    };
    let model = exported("recurrent-ppo", shown).unwrap();
    let (inputs, outputs) = names(&model);
    assert_eq!(
        inputs,
        [
            "observation",
            "previous_action",
            "is_first",
            "previous_reward",
            "age",
            "h",
            "c"
        ]
    );
    assert_eq!(
        outputs,
        ["next_age", "next_h", "next_c", "action", "logits", "value"]
    );
    assert_eq!(
        metadata(&model, "states"),
        json!([
            {"input": "age", "output": "next_age", "shape": [1]},
            {"input": "h", "output": "next_h", "shape": [6]},
            {"input": "c", "output": "next_c", "shape": [6]},
        ])
    );
    assert_eq!(metadata(&model, "action_space")["nvec"], json!([2, 3]));
    assert_eq!(metadata(&model, "inputs")["previous_reward"], true);
}

/// Numbers are float32, and actions of several parts have no model.
#[test]
fn actions_are_one_array() {
    let shown = || {
        overrides! {
            previous_action: true,
        }
    };
    let model = exported_of(TestTask::of_numbers(2, 4), "ppo", shown()).unwrap();
    let graph = model.graph.as_ref().unwrap();
    let dtype = |value: &ValueInfoProto| {
        let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref();
        tensor.unwrap().elem_type
    };
    let float = i32::from(DataType::Float);
    assert_eq!(
        (graph.input[1].name.as_str(), dtype(&graph.input[1])),
        ("previous_action", float)
    );
    assert_eq!(
        (graph.output[0].name.as_str(), dtype(&graph.output[0])),
        ("action", float)
    );
    let error = exported_of(TestTask::of_mixtures(2, 4), "ppo", shown()).unwrap_err();
    assert!(error.to_string().contains("several parts"), "{error}");
}

#[test]
fn a_memory_that_outlives_episodes_is_refused_with_the_reason() {
    let scope = |memory_scope| {
        overrides! {
            memory_scope: memory_scope,
        }
    };
    for (algorithm, overrides) in [
        ("tracerl-notebook", scope(None)),
        ("tracerl", scope(Some(MemoryScope::Lifetime))),
        ("tracerl", scope(Some(MemoryScope::Both))),
    ] {
        let error = exported(algorithm, overrides).unwrap_err().to_string();
        assert!(error.starts_with(algorithm), "{error}");
        assert!(
            error.contains("stores a whole episode when it ends"),
            "{error}"
        );
        assert!(error.contains("`agent serve`"), "{error}");
    }
}

#[test]
fn a_rule_of_retention_has_a_form_or_a_reason() {
    for &rule in RetentionRule::value_variants() {
        let mut overrides = Overrides::default();
        overrides.steps.retention_rule = Some(rule);
        match (rule, exported("tracerl", overrides)) {
            (RetentionRule::Learned | RetentionRule::Fifo | RetentionRule::Q, model) => {
                assert!(model.is_ok(), "{rule:?}");
            }
            (_, model) => {
                let error = model.unwrap_err().to_string();
                assert!(error.contains("only learned, fifo and q"), "{error}");
            }
        }
    }
}
