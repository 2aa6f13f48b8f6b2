//! The same trajectory, bit for bit, in process, over HTTP and over a socket, in both encodings.

use axum::Router;
use env_protocol::{
    Array, AutoresetMode, CreateEnv, CreateVectorEnv, Data, Encoding, Info, ResetReply,
    ResetRequest, Seed, Space, Spec, StepReply, StepRequest, Value, VectorResetReply,
    VectorResetRequest, VectorStepReply, VectorStepRequest,
};
use env_server::{ServerConfig, app};
use environments::actions::{ActionRange, action_ranges, to_array};
use environments::vector::{Reset as ResetOperation, VectorEnvironment};
use environments::{Arguments, registry};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{self, Server, Socket};
use env_protocol::{StreamKind, StreamOp};

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::MessagePack];
const NUM_ENVS: usize = 5;
const NUM_STEPS: usize = 60;
const SEED: u64 = 11;

/// Collects numbers as bits, in an order that does not depend on the encoding.
fn bits(value: &Value, space: &Space, out: &mut Vec<u64>) {
    match (value, space) {
        (Value::Array(array), Space::Box { dtype, .. }) => {
            use env_protocol::Dtype::Float32;
            // JSON does not distinguish widths, but the space does.
            let narrow = |x: f64| match dtype {
                Float32 => u64::from((x as f32).to_bits()),
                _ => x.to_bits(),
            };
            out.extend(array.to_f64s().into_iter().map(narrow));
        }
        (Value::Array(array), _) => out.extend(array.to_f64s().into_iter().map(f64::to_bits)),
        (Value::Tuple(values), Space::Tuple { spaces }) => {
            for (value, space) in values.iter().zip(spaces) {
                bits(value, space, out);
            }
        }
        (Value::Dict(values), Space::Dict { spaces }) => {
            for (name, space) in spaces {
                bits(&values[name], space, out);
            }
        }
        (value, space) => panic!("{value:?} is not of {space:?}"),
    }
}

fn flags(array: &Array) -> Vec<u64> {
    array.to_f64s().into_iter().map(f64::to_bits).collect()
}

/// Final observations have the space of observations.
fn info_bits(info: &Info, space: &Space, out: &mut Vec<u64>) {
    for (name, value) in info {
        out.extend(name.bytes().map(u64::from));
        match name.as_str() {
            "final_obs" => bits(value, space, out),
            _ => out.extend(
                format!("{:?}", serde_json::to_value(value).unwrap())
                    .bytes()
                    .map(u64::from),
            ),
        }
    }
}

/// Draws an element of the action space for each lane.
fn actions(space: &Space, num_envs: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<f64> {
    let ranges = action_ranges(space);
    let ranges = ranges.iter().cycle().take(num_envs * ranges.len());
    let draw = |range: &ActionRange| match range {
        ActionRange::Integers(range) => {
            let n = (range.end - range.start) as u64;
            (range.start + (rng.next_u64() % n) as i64) as f64
        }
        ActionRange::Reals { low, high } => {
            let share = (rng.next_u64() % 1_001) as f64 / 1_000.0;
            f64::from((low + (high - low) * share) as f32)
        }
    };
    ranges.map(draw).collect()
}

/// A way to play.
enum Way<'a> {
    Http(&'a Router, Encoding),
    Stream(&'a mut Socket, Encoding),
}

impl Way<'_> {
    async fn call<B: Serialize, R: DeserializeOwned>(
        &mut self,
        op: StreamOp,
        kind: StreamKind,
        env_id: &str,
        body: &B,
    ) -> R {
        match self {
            Way::Http(router, encoding) => {
                let collection = match kind {
                    StreamKind::Env => "envs",
                    StreamKind::VectorEnv => "vector-envs",
                };
                let path = format!("/v1/{collection}/{env_id}");
                let (method, path) = match op {
                    StreamOp::Put => ("PUT", path),
                    op => ("POST", format!("{path}/{}", op.as_str())),
                };
                let bytes = encoding.encode(body);
                let (status, _, bytes) =
                    client::http(router, method, &path, *encoding, bytes).await;
                assert!(status < 300, "{}", String::from_utf8_lossy(&bytes));
                encoding.decode(&bytes).unwrap()
            }
            Way::Stream(socket, encoding) => {
                let reply = socket.ask(*encoding, op, kind, env_id, body).await;
                reply.decode()
            }
        }
    }

    /// Plays one environment, and starts over whenever an episode ends.
    async fn single(&mut self, spec: &Spec, env_id: &str) -> Vec<u64> {
        let body = CreateEnv {
            spec_id: spec.id.clone(),
            kwargs: Default::default(),
            seed: Some(SEED),
            ttl_s: None,
        };
        let kind = StreamKind::Env;
        let created: env_protocol::EnvDescription =
            self.call(StreamOp::Put, kind, env_id, &body).await;
        let (space, action_space) = (created.observation_space, created.action_space);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let (mut seq, mut is_over, mut out) = (0, true, Vec::new());
        for _ in 0..NUM_STEPS {
            if is_over {
                let body = ResetRequest {
                    seq: Some(seq),
                    ..ResetRequest::default()
                };
                let reply: ResetReply = self.call(StreamOp::Reset, kind, env_id, &body).await;
                bits(&reply.observation, &space, &mut out);
                seq = reply.seq;
            }
            let action = actions(&action_space, 1, &mut rng);
            let action = to_array(&action_space, action_space.shape().unwrap(), &action).unwrap();
            let body = StepRequest {
                seq: Some(seq),
                action,
            };
            let reply: StepReply = self.call(StreamOp::Step, kind, env_id, &body).await;
            bits(&reply.observation, &space, &mut out);
            out.push(reply.reward.to_bits());
            out.extend([u64::from(reply.terminated), u64::from(reply.truncated)]);
            is_over = reply.terminated || reply.truncated;
            seq = reply.seq;
        }
        out
    }

    /// Plays several lanes that start over by themselves.
    async fn vector(&mut self, spec: &Spec, env_id: &str) -> Vec<u64> {
        let body = CreateVectorEnv {
            spec_id: spec.id.clone(),
            num_envs: NUM_ENVS as u64,
            kwargs: Default::default(),
            seed: Some(Seed::First(SEED)),
            autoreset_mode: AutoresetMode::SameStep,
            ttl_s: None,
        };
        let kind = StreamKind::VectorEnv;
        let created: env_protocol::VectorEnvDescription =
            self.call(StreamOp::Put, kind, env_id, &body).await;
        let (space, action_space) = (
            created.single_observation_space,
            created.single_action_space,
        );
        let body = VectorResetRequest::default();
        let reply: VectorResetReply = self.call(StreamOp::Reset, kind, env_id, &body).await;
        let mut out = Vec::new();
        bits(&reply.observations, &space, &mut out);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        for _ in 0..NUM_STEPS {
            let mut shape = action_space.shape().unwrap();
            shape.insert(0, NUM_ENVS);
            let actions = actions(&action_space, NUM_ENVS, &mut rng);
            let actions = to_array(&action_space, shape, &actions).unwrap();
            let body = VectorStepRequest { seq: None, actions };
            let reply: VectorStepReply = self.call(StreamOp::Step, kind, env_id, &body).await;
            bits(&reply.observations, &space, &mut out);
            out.extend(flags(&reply.rewards));
            out.extend(flags(&reply.terminations));
            out.extend(flags(&reply.truncations));
            info_bits(&reply.infos, &space, &mut out);
        }
        out
    }
}

fn in_process(spec: &Spec, num_envs: usize, mode: AutoresetMode) -> Box<dyn VectorEnvironment> {
    let (entry, _) = registry::find(&spec.id).unwrap();
    let arguments = Arguments::resolve(&spec.parameters, &Default::default()).unwrap();
    (entry.vector)(&arguments, num_envs, mode, &Seed::First(SEED)).unwrap()
}

fn single_in_process(spec: &Spec) -> Vec<u64> {
    let mut vector = in_process(spec, 1, AutoresetMode::Disabled);
    let space = vector.observation_space().clone();
    let action_space = vector.action_space().clone();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let (mut is_over, mut out) = (true, Vec::new());
    for _ in 0..NUM_STEPS {
        if is_over {
            let observations = vector.reset(&ResetOperation::default()).unwrap();
            bits(&observations, &space, &mut out);
        }
        let batch = vector.step(&actions(&action_space, 1, &mut rng)).unwrap();
        bits(&batch.observations, &space, &mut out);
        out.push(batch.rewards[0].to_bits());
        let (terminated, truncated) = (batch.terminations[0], batch.truncations[0]);
        out.extend([u64::from(terminated), u64::from(truncated)]);
        is_over = terminated || truncated;
    }
    out
}

fn vector_in_process(spec: &Spec) -> Vec<u64> {
    let mut vector = in_process(spec, NUM_ENVS, AutoresetMode::SameStep);
    let space = vector.observation_space().clone();
    let action_space = vector.action_space().clone();
    let mut out = Vec::new();
    let observations = vector.reset(&ResetOperation::default()).unwrap();
    bits(&observations, &space, &mut out);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for _ in 0..NUM_STEPS {
        let actions = actions(&action_space, NUM_ENVS, &mut rng);
        let batch = vector.step(&actions).unwrap();
        bits(&batch.observations, &space, &mut out);
        out.extend(batch.rewards.iter().map(|x| x.to_bits()));
        let as_bits = |flag: &bool| f64::from(u8::from(*flag)).to_bits();
        out.extend(batch.terminations.iter().map(as_bits));
        out.extend(batch.truncations.iter().map(as_bits));
        info_bits(&batch.infos, &space, &mut out);
    }
    out
}

#[tokio::test]
async fn every_way_to_play_gives_the_same_bits() {
    let server = Server::start().await;
    let mut socket = Socket::open(server.address).await;
    let router = app(&ServerConfig::default()).unwrap();
    for spec in registry::specs() {
        let single = single_in_process(spec);
        let vector = vector_in_process(spec);
        assert!(single.len() > 3 * NUM_STEPS && vector.len() > 3 * NUM_STEPS * NUM_ENVS);
        for (i, encoding) in ENCODINGS.into_iter().enumerate() {
            let env_id = format!("{}-{i}", spec.id);
            let mut ways = [
                ("HTTP", Way::Http(&router, encoding)),
                ("stream", Way::Stream(&mut socket, encoding)),
            ];
            for (name, way) in &mut ways {
                let of = format!("{} over {name} in {encoding:?}", spec.id);
                assert!(way.single(spec, &env_id).await == single, "{of}");
                let env_id = format!("{env_id}-vector");
                assert!(way.vector(spec, &env_id).await == vector, "{of}, vector");
            }
        }
    }
    server.stop().await.unwrap().unwrap();
}

/// Bodies on a socket are byte for byte those of the routes.
#[tokio::test]
async fn bodies_are_the_same_bytes() {
    let server = Server::start().await;
    let mut socket = Socket::open(server.address).await;
    let router = app(&ServerConfig::default()).unwrap();
    for (i, encoding) in ENCODINGS.into_iter().enumerate() {
        let env_id = format!("e{i}");
        let path = format!("/v1/envs/{env_id}");
        let body = serde_json::json!({"spec_id": "MemoryTask-v0", "seed": 7});
        let over_stream = socket
            .ask(encoding, StreamOp::Put, StreamKind::Env, &env_id, &body)
            .await;
        let over_http = client::http(&router, "PUT", &path, encoding, encoding.encode(&body)).await;
        assert_eq!((over_stream.status, false, over_stream.body), over_http);
        for (op, body) in [
            (StreamOp::Reset, serde_json::json!({"seq": 0})),
            (StreamOp::Step, serde_json::json!({"seq": 1, "action": 1})),
            (StreamOp::Step, serde_json::json!({"seq": 1, "action": 1})),
        ] {
            let over_stream = socket
                .ask(encoding, op, StreamKind::Env, &env_id, &body)
                .await;
            let path = format!("{path}/{}", op.as_str());
            let over_http =
                client::http(&router, "POST", &path, encoding, encoding.encode(&body)).await;
            let over_stream = (over_stream.status, over_stream.replayed, over_stream.body);
            assert_eq!(over_stream, over_http);
        }
    }
    server.stop().await.unwrap().unwrap();
}

/// This test covers every type of `Data`.
#[test]
fn bits_distinguish_values() {
    let space = Space::Box {
        shape: vec![1],
        dtype: env_protocol::Dtype::Float32,
        low: env_protocol::Bound::All(0.0),
        high: env_protocol::Bound::All(1.0),
    };
    let of = |x: f32| {
        let mut out = Vec::new();
        let array = Array::new(vec![1], Data::Float32(vec![x])).unwrap();
        bits(&array.into(), &space, &mut out);
        out
    };
    assert_ne!(of(0.0), of(-0.0));
    assert_ne!(of(0.1), of(f32::from_bits(0.1f32.to_bits() + 1)));
}
