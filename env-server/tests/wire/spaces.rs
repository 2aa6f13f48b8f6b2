//! Every space on the wire: in both encodings, as a single environment and as a lane.

use env_protocol::{
    Array, Encoding, Kwargs, Space, Value, VectorResetReply, VectorResetRequest, VectorStepReply,
    VectorStepRequest,
};
use environments::registry;
use serde_json::{Value as Json, json};

use crate::client::Client;

const LANES: usize = 2;
const STEPS: usize = 4;

/// Returns the numbers in a part of a reply in order, from all lists and objects.
fn numbers(json: &Json) -> Vec<f64> {
    match json {
        Json::Number(number) => number.as_f64().into_iter().collect(),
        Json::Bool(flag) => vec![f64::from(u8::from(*flag))],
        Json::Array(items) => items.iter().flat_map(numbers).collect(),
        // In order of names, since the map is sorted.
        Json::Object(entries) => entries.values().flat_map(numbers).collect(),
        other => panic!("{other} is no number"),
    }
}

fn numbers_of(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(array) => array.to_f64s(),
        Value::Tuple(values) => values.iter().flat_map(numbers_of).collect(),
        Value::Dict(values) => values.values().flat_map(numbers_of).collect(),
    }
}

/// Checks that the shape in a value is that of the space, after the dimension of lanes.
fn assert_typed(space: &Space, batch: &Value) {
    match (space, batch) {
        (Space::Tuple { spaces }, Value::Tuple(values)) => {
            assert_eq!(spaces.len(), values.len());
            spaces
                .iter()
                .zip(values)
                .for_each(|(s, v)| assert_typed(s, v));
        }
        (Space::Dict { spaces }, Value::Dict(values)) => {
            assert!(spaces.keys().eq(values.keys()));
            spaces
                .iter()
                .for_each(|(name, s)| assert_typed(s, &values[name]));
        }
        (leaf, Value::Array(array)) => {
            let shape = [&[LANES], leaf.shape().unwrap().as_slice()].concat();
            assert_eq!(
                (array.shape(), Some(array.dtype())),
                (&shape[..], leaf.dtype())
            );
        }
        (space, value) => panic!("{value:?} is not of {space:?}"),
    }
}

/// Returns the last action of the space `lanes` times, in its shape on the wire.
fn actions(space: &Space, lanes: &[usize]) -> Array {
    let shape = [lanes, &space.shape().unwrap()].concat();
    let count = lanes.iter().product();
    let integers = |row: Vec<i64>| Array::from_i64(shape.clone(), row.repeat(count));
    let array = match space {
        Space::Discrete { n, start } => integers(vec![start + n - 1]),
        Space::MultiDiscrete { nvec } => integers(nvec.iter().map(|n| n - 1).collect()),
        Space::Box { high, .. } => {
            let row: Vec<f32> = (0..space.flat_size()).map(|i| high.at(i) as f32).collect();
            Array::from_f32(shape.clone(), row.repeat(count))
        }
        other => panic!("actions of {other:?}"),
    };
    array.unwrap()
}

fn plays(client: &Client, spec_id: &str, kwargs: &Kwargs) {
    let body = json!({"spec_id": spec_id, "kwargs": kwargs, "num_envs": LANES, "seed": 5});
    let name = serde_json::to_string(&json!([spec_id, kwargs])).unwrap();
    let mut trajectories: Vec<Vec<Vec<f64>>> = Vec::new();
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        let created = client.post("/v1/vector-envs", body.clone());
        let path = created.header("location").to_owned();
        let described: env_protocol::VectorEnvDescription = created.decode();
        let request = VectorResetRequest::default();
        let reset = client.post_as(encoding, &format!("{path}/reset"), &request);
        let mut trajectory = Vec::new();
        match encoding {
            Encoding::Json => trajectory.push(numbers(&reset.json()["observations"])),
            Encoding::MessagePack => {
                let reset: VectorResetReply = reset.decode();
                assert_typed(&described.single_observation_space, &reset.observations);
                trajectory.push(numbers_of(&reset.observations));
            }
        }
        for _ in 0..STEPS {
            let actions = actions(&described.single_action_space, &[LANES]);
            let request = VectorStepRequest { seq: None, actions };
            let reply = client.post_as(encoding, &format!("{path}/step"), &request);
            match encoding {
                Encoding::Json => {
                    trajectory.push(numbers(&reply.json()["observations"]));
                    trajectory.push(numbers(&reply.json()["rewards"]));
                }
                Encoding::MessagePack => {
                    let step: VectorStepReply = reply.decode();
                    assert_typed(&described.single_observation_space, &step.observations);
                    trajectory.push(numbers_of(&step.observations));
                    trajectory.push(step.rewards.to_f64s());
                }
            }
        }
        trajectories.push(trajectory);
    }
    // Text has as many digits as a float32 needs.
    let [json, msgpack] = [0, 1]
        .map(|i| -> Vec<f32> { trajectories[i].concat().iter().map(|&x| x as f32).collect() });
    assert_eq!(json, msgpack, "{name}");
    alone(client, spec_id, kwargs);
}

/// Checks a single environment, in JSON.
fn alone(client: &Client, spec_id: &str, kwargs: &Kwargs) {
    let created = client.post(
        "/v1/envs",
        json!({"spec_id": spec_id, "kwargs": kwargs, "seed": 5}),
    );
    let path = created.header("location").to_owned();
    let described: env_protocol::EnvDescription = created.decode();
    client.post(&format!("{path}/reset"), json!({})).json();
    let action = actions(&described.action_space, &[]);
    let step = client
        .post(&format!("{path}/step"), json!({"action": action}))
        .json();
    let size = described.observation_space.flat_size();
    assert_eq!(numbers(&step["observation"]).len(), size);
}

#[test]
fn every_spec_plays_alike_in_both_encodings() {
    let client = Client::new();
    for spec in registry::specs() {
        plays(&client, &spec.id, &Kwargs::new());
    }
}

/// Dicts, with every other kind of space in them.
#[test]
fn every_spec_plays_alike_through_wrappers() {
    let client = Client::new();
    let wrappers = json!({"max_episode_steps": 3, "frame_skip": 2, "previous_action": true,
                          "previous_reward": true, "is_first": true});
    let mut kwargs: Kwargs = serde_json::from_value(wrappers).unwrap();
    for spec in registry::specs() {
        // The limit must be longer than the corridor.
        let limit = if spec.id == "TMazeDistractors-v0" {
            40
        } else {
            3
        };
        kwargs.insert("max_episode_steps".to_owned(), json!(limit));
        plays(&client, &spec.id, &kwargs);
    }
}

#[test]
fn a_wrapped_observation_is_a_dict_by_name() {
    let client = Client::new();
    let kwargs =
        json!({"delay": 2, "previous_action": true, "previous_reward": true, "is_first": true});
    let body = json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs, "seed": 7});
    let created = client.put("/v1/envs/mine", body).json();
    assert_eq!(created["kwargs"]["previous_action"], true);
    assert_eq!(
        created["kwargs"].get("frame_skip"),
        None,
        "what is not on is not told"
    );
    let reset = client.post("/v1/envs/mine/reset", json!({})).json();
    let target = reset["observation"]["observation"][0].clone();
    let shown = |observation: Json, action: i64, reward: f64, is_first: i64| {
        json!({"observation": observation, "previous_action": action,
               "previous_reward": [reward], "is_first": is_first})
    };
    assert_eq!(
        reset["observation"],
        shown(json!([target, 0.0, 0.0]), 0, 0.0, 1)
    );
    let step = client
        .post("/v1/envs/mine/step", json!({"action": 1}))
        .json();
    assert_eq!(
        step["observation"],
        shown(json!([0.0, 0.0, 0.0]), 1, 0.0, 0)
    );
    let wrong = 1 - target.as_f64().unwrap() as i64;
    let last = client
        .post("/v1/envs/mine/step", json!({"action": wrong}))
        .json();
    assert_eq!(
        last["observation"],
        shown(json!([0.0, 0.0, 0.0]), wrong, -1.0, 0)
    );
}

#[test]
fn wrappers_out_of_range_are_refused_like_other_arguments() {
    let client = Client::new();
    for (spec_id, name, value) in [
        ("MemoryTask-v0", "frame_skip", json!(0)),
        ("MemoryTask-v0", "is_first", json!("yes")),
        ("RepeatFirst-v0", "observation_noise", json!(0.5)),
    ] {
        let body = json!({"spec_id": spec_id, "kwargs": {name: value}});
        let refused = client.post("/v1/envs", body);
        assert_eq!(refused.failure(), (422, "invalid-kwargs".to_owned()));
        assert_eq!(
            refused.problem().errors[0].pointer,
            format!("/kwargs/{name}")
        );
    }
}
