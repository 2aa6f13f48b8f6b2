//! The requests that are repeated.

use env_protocol::{Array, Encoding, Space, StepRequest, VectorStepRequest};
use environments::{Draws, Rng};

/// Different batches of random actions.
const BATCHES: usize = 64;

/// One kind of environment, in one encoding.
#[derive(Clone)]
pub struct Scenario {
    pub name: String,
    pub spec_id: String,
    /// The arguments, as JSON.
    pub kwargs: &'static str,
    pub encoding: Encoding,
    /// `None` for a single environment.
    pub lanes: Option<usize>,
    pub connections: usize,
    /// Batches that are used in turn.
    actions: Vec<Array>,
}

impl Scenario {
    /// Single environments of MemoryTask that do not end, each with its own connection.
    pub fn single(name: &str, encoding: Encoding, connections: usize) -> Self {
        Scenario {
            name: name.to_owned(),
            spec_id: "MemoryTask-v0".to_owned(),
            kwargs: r#"{"delay":10000000,"difficulty":1}"#,
            encoding,
            lanes: None,
            connections,
            actions: vec![Array::scalar(1)],
        }
    }

    /// Lanes of MemoryTask.
    pub fn lanes(name: &str, encoding: Encoding, lanes: usize) -> Self {
        Scenario {
            kwargs: r#"{"delay":16,"difficulty":1}"#,
            lanes: Some(lanes),
            actions: vec![Array::from_i64(vec![lanes], vec![1; lanes]).expect("actions")],
            ..Scenario::single(name, encoding, 1)
        }
    }

    /// Lanes of any spec with its default arguments, with random actions.
    pub fn of_spec(spec_id: &str, actions: &Space, encoding: Encoding, lanes: usize) -> Self {
        let mut rng = Rng::from_seed(1);
        Scenario {
            spec_id: spec_id.to_owned(),
            kwargs: "{}",
            actions: (0..BATCHES)
                .map(|_| random_actions(actions, lanes, &mut rng))
                .collect(),
            ..Scenario::lanes(spec_id, encoding, lanes)
        }
    }

    pub fn collection(&self) -> &'static str {
        match self.lanes {
            None => "/v1/envs",
            Some(_) => "/v1/vector-envs",
        }
    }

    pub fn creation(&self) -> String {
        let Scenario {
            spec_id, kwargs, ..
        } = self;
        let lanes = match self.lanes {
            None => String::new(),
            Some(lanes) => format!(r#","num_envs":{lanes},"autoreset_mode":"SameStep""#),
        };
        format!(r#"{{"spec_id":"{spec_id}","kwargs":{kwargs},"seed":1{lanes}}}"#)
    }

    /// Returns the body of the step with this number.
    pub fn step(&self, seq: u64) -> Vec<u8> {
        let actions = self.actions[seq as usize % self.actions.len()].clone();
        let seq = Some(seq);
        match self.lanes {
            None => self.encoding.encode(&StepRequest {
                seq,
                action: actions,
            }),
            Some(_) => self.encoding.encode(&VectorStepRequest { seq, actions }),
        }
    }
}

/// Uniformly random actions for all lanes.
fn random_actions(space: &Space, lanes: usize, rng: &mut Rng) -> Array {
    let shape = [&[lanes], space.shape().expect("arrays").as_slice()].concat();
    if let Space::Box { low, high, .. } = space {
        let (width, steps) = (space.flat_size(), 1_000);
        let number = |i: usize| {
            let (low, high) = (low.at(i % width), high.at(i % width));
            (low + (high - low) * rng.below(steps + 1) as f64 / steps as f64) as f32
        };
        let numbers = (0..lanes * width).map(number).collect();
        return Array::from_f32(shape, numbers).expect("actions");
    }
    let mut below = |n: i64| rng.below(n as u64) as i64;
    let numbers: Vec<i64> = match space {
        Space::Discrete { n, start } => (0..lanes).map(|_| start + below(*n)).collect(),
        Space::MultiDiscrete { nvec } => (0..lanes)
            .flat_map(|_| nvec.iter().map(|&n| below(n)).collect::<Vec<_>>())
            .collect(),
        other => panic!("actions of {other:?}"),
    };
    Array::from_i64(shape, numbers).expect("actions")
}
