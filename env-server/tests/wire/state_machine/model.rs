//! The rules for one environment, simple enough to be checked by reading.

use env_protocol::{AutoresetMode, Encoding};
use serde_json::{Value, json};

/// Steps of an episode, unless a reset changes it.
pub const DELAY: u32 = 3;
/// Lanes of a vector environment.
pub const NUM_ENVS: usize = 2;

/// The kind of environment played; `None` is a single one.
pub type Mode = Option<AutoresetMode>;

/// The body of a numbered operation, without its seq.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Reset {
        seed: Option<u64>,
        /// 0 is out of range.
        delay: Option<u32>,
        mask: Option<Vec<bool>>,
    },
    /// Actions are 0 or 1, one per lane.
    Step(Vec<i64>),
    Restore(Saved),
    Fork {
        env_id: String,
        ttl_s: Option<u64>,
    },
}

/// A snapshot and what is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    pub snapshot: Value,
    pub lanes: Vec<Lane>,
    pub is_damaged: bool,
}

/// The state of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lane {
    /// Steps of each of its episodes.
    pub delay: u32,
    pub phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    New,
    /// This many steps are left.
    Running(u32),
    Ended,
}

/// The expected answer to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    Applied,
    Replayed,
    Refused(u16, &'static str),
}

/// One environment.
#[derive(Clone, Debug)]
pub struct Model {
    pub mode: Mode,
    pub seq: u64,
    /// The operations before the next one, and their replies.
    pub done: Vec<(Body, Value)>,
    pub lanes: Vec<Lane>,
    pub ttl_s: u64,
    pub expires_at_s: u64,
}

impl Model {
    /// Creates the model of a new environment.
    pub fn new(mode: Mode, ttl_s: u64, now_s: u64) -> Self {
        let lane = Lane {
            delay: DELAY,
            phase: Phase::New,
        };
        Model {
            mode,
            seq: 0,
            done: Vec::new(),
            lanes: vec![lane; mode.map_or(1, |_| NUM_ENVS)],
            ttl_s,
            expires_at_s: now_s + ttl_s,
        }
    }

    /// Returns the expected answer to an operation, except that a fork's id may be taken.
    pub fn expect(&self, body: &Body, seq: Option<u64>) -> Expected {
        use Expected::{Applied, Refused, Replayed};
        // An operation that does not fit the environment at all is refused before its number is
        // checked.
        match body {
            Body::Step(actions) if actions.len() != self.lanes.len() => {
                return Refused(422, "invalid-action");
            }
            Body::Reset {
                mask: Some(mask), ..
            } if mask.len() != self.lanes.len() || !mask.contains(&true) => {
                return Refused(422, "invalid-options");
            }
            _ => {}
        }
        // No test plays enough for the server to drop operations.
        match seq {
            None => {}
            Some(seq) if seq == self.seq => {}
            Some(seq) => {
                return match self.done.get(seq as usize) {
                    Some((done, _)) if done == body => Replayed,
                    Some(_) if seq + 1 == self.seq => Refused(422, "seq-reused"),
                    _ => Refused(409, "seq-conflict"),
                };
            }
        }
        match body {
            Body::Reset { delay: Some(0), .. } => Refused(422, "invalid-options"),
            Body::Restore(saved) if saved.is_damaged => Refused(422, "invalid-snapshot"),
            Body::Fork { ttl_s: Some(0), .. } => Refused(422, "invalid-ttl"),
            Body::Step(actions) => self.expect_step(actions),
            _ => Applied,
        }
    }

    fn expect_step(&self, actions: &[i64]) -> Expected {
        for (lane, action) in self.lanes.iter().zip(actions) {
            match lane.phase {
                Phase::Running(_) if (0..2).contains(action) => {}
                Phase::Running(_) => return Expected::Refused(422, "invalid-action"),
                // This step is a reset, whatever the action.
                Phase::Ended if self.mode == Some(AutoresetMode::NextStep) => {}
                Phase::New | Phase::Ended => return Expected::Refused(409, "needs-reset"),
            }
        }
        Expected::Applied
    }

    /// Records an operation that was applied. Returns in which lanes a step ended an episode.
    pub fn apply(&mut self, body: &Body, reply: Value, now_s: u64) -> Vec<bool> {
        let before = self.lanes.clone();
        match body {
            Body::Reset { delay, mask, .. } => {
                let delay = delay.unwrap_or(DELAY);
                let phase = Phase::Running(delay);
                for (i, lane) in self.lanes.iter_mut().enumerate() {
                    if mask.as_ref().is_none_or(|mask| mask[i]) {
                        *lane = Lane { delay, phase };
                    }
                }
            }
            Body::Step(_) => {
                let starts_over = self.mode == Some(AutoresetMode::SameStep);
                for lane in &mut self.lanes {
                    lane.phase = match lane.phase {
                        Phase::Running(1) if !starts_over => Phase::Ended,
                        Phase::Running(left) if left > 1 => Phase::Running(left - 1),
                        _ => Phase::Running(lane.delay),
                    };
                }
            }
            Body::Restore(saved) => self.lanes = saved.lanes.clone(),
            Body::Fork { .. } => {}
        }
        self.seq += 1;
        self.done.push((body.clone(), reply));
        self.renew(now_s);
        before
            .iter()
            .map(|lane| lane.phase == Phase::Running(1))
            .collect()
    }

    pub fn renew(&mut self, now_s: u64) {
        self.expires_at_s = now_s + self.ttl_s;
    }
}

impl Body {
    /// Returns the last part of its path.
    pub fn path(&self) -> &'static str {
        match self {
            Body::Reset { .. } => "reset",
            Body::Step(_) => "step",
            Body::Restore(_) => "restore",
            Body::Fork { .. } => "fork",
        }
    }

    /// Encodes the request.
    pub fn encode(&self, mode: Mode, seq: Option<u64>, encoding: Encoding) -> Vec<u8> {
        let mut json = self.to_json(mode);
        if let Some(seq) = seq {
            json["seq"] = json!(seq);
        }
        use env_protocol as protocol;
        match (self, mode) {
            _ if encoding == Encoding::Json => json.to_string().into_bytes(),
            (Body::Reset { .. }, None) => typed::<protocol::ResetRequest>(json),
            (Body::Reset { .. }, Some(_)) => typed::<protocol::VectorResetRequest>(json),
            (Body::Step(_), None) => typed::<protocol::StepRequest>(json),
            (Body::Step(_), Some(_)) => typed::<protocol::VectorStepRequest>(json),
            (Body::Restore(_), _) => typed::<protocol::RestoreRequest>(json),
            (Body::Fork { .. }, _) => typed::<protocol::ForkRequest>(json),
        }
    }

    fn to_json(&self, mode: Mode) -> Value {
        let mut json = json!({});
        match self {
            Body::Reset { seed, delay, mask } => {
                seed.iter().for_each(|seed| json["seed"] = json!(seed));
                delay
                    .iter()
                    .for_each(|delay| json["options"]["delay"] = json!(delay));
                mask.iter()
                    .for_each(|mask| json["options"]["reset_mask"] = json!(mask));
            }
            Body::Step(actions) => match (mode, &actions[..]) {
                (None, [action]) => json["action"] = json!(action),
                (None, _) => json["action"] = json!(actions),
                (Some(_), _) => json["actions"] = json!(actions),
            },
            Body::Restore(saved) => json["snapshot"] = saved.snapshot.clone(),
            Body::Fork { env_id, ttl_s } => {
                json["env_id"] = json!(env_id);
                ttl_s.iter().for_each(|ttl_s| json["ttl_s"] = json!(ttl_s));
            }
        }
        json
    }
}

/// Encodes the request in MessagePack, as a client with the crate's types does.
fn typed<T: serde::Serialize + serde::de::DeserializeOwned>(json: Value) -> Vec<u8> {
    let request: T = serde_json::from_value(json).expect("a request of this type");
    Encoding::MessagePack.encode(&request)
}
