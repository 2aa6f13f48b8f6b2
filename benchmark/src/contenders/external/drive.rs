//! Driven evaluation: the benchmark plays and asks the contender for its actions (`POST /v1/act`),
//! so that it can be judged in every mode, as this project's own agents are.

use std::time::Instant;

use agent::evaluate::{Evaluation, Mode, Tally};
use agent::seeds::{self, Role};
use env_protocol::{Dtype, Space};
use environments::actions::{ActionRange, action_ranges, to_array};
use rand::RngExt as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, ApiError};
use super::arena::Prepared;

/// Plays with a contender that chooses actions.
pub struct Driver<'a> {
    /// Client for the environments.
    pub server: &'a Api<'a>,
    /// Client for the contender.
    pub contender: &'a Api<'a>,
    /// The job's seed, which the contender knows.
    pub seed: u64,
    /// Seed of the scrambled actions, which the contender does not know.
    pub secret_seed: u64,
    /// Called before every step.
    pub before_step: &'a dyn Fn(),
}

#[derive(Deserialize)]
struct Described {
    seq: u64,
}

#[derive(Deserialize)]
struct Reset {
    observations: Value,
    seq: u64,
}

#[derive(Deserialize)]
struct Step {
    observations: Value,
    rewards: Vec<f64>,
    terminations: Vec<bool>,
    truncations: Vec<bool>,
    seq: u64,
}

impl Step {
    /// Returns whether each lane's episode has ended.
    fn ends(&self) -> Vec<bool> {
        let ends = self.terminations.iter().zip(&self.truncations);
        ends.map(|(&terminated, &cut)| terminated || cut).collect()
    }
}

#[derive(Deserialize)]
struct Acted {
    actions: Value,
}

/// The contender's session: its memory of the lanes that are played together.
struct ContenderSession<'a> {
    contender: &'a Api<'a>,
    id: String,
    seq: u64,
}

/// Returns the most bytes of an answer with an action for each lane: enough for the longest
/// numbers, or for the reason of a refusal.
pub fn most_answer_bytes(prepared: &[Prepared]) -> usize {
    let of = |env: &Prepared| {
        let lane = 64 + 64 * env.action_space.flat_size();
        env.episodes.saturating_mul(lane)
    };
    let largest = prepared.iter().map(of).max();
    largest.unwrap_or(0).saturating_add(64 << 10)
}

/// A request for actions.
struct Shown<'a> {
    observations: &'a Value,
    is_first: &'a [bool],
    /// Actions and rewards of the previous step; `None` at the first.
    previous: Option<&'a (Value, Vec<f64>)>,
    mode: Mode,
}

impl Driver<'_> {
    /// Plays the episodes that count in each lane. Returns `None` for a mode in which the contender
    /// refuses to act.
    ///
    /// # Errors
    /// When the contender does not answer, or the server refuses its actions.
    pub fn evaluate(&self, prepared: &Prepared, mode: Mode) -> Result<Option<Evaluation>, String> {
        let began = Instant::now();
        let lanes = prepared.episodes;
        let url = format!("/v1/vector-envs/{}", prepared.driven_id);
        let seeds = prepared.seeds.iter().find(|(of, _)| *of == mode);
        let Some((_, seeds)) = seeds else {
            return Ok(None);
        };
        let Reset {
            mut observations,
            mut seq,
        } = self.reset(&url, seeds)?;
        let mut rng = seeds::generator(self.secret_seed, Role::EvaluationActions);
        let mut session = self.begin(lanes)?;
        let mut is_first = vec![true; lanes];
        let mut previous = None;
        let mut tally = Tally::new(lanes, prepared.episodes_per_lifetime);
        // Number of steps in each lane's episode.
        let mut ages = vec![0; lanes];
        for step in 0.. {
            (self.before_step)();
            if mode == Mode::Emptied && step > 0 {
                // A contender keeps its memory in a session, so a new session empties it.
                session = self.begin(lanes)?;
                is_first.fill(true);
                previous = None;
            }
            let shown = Shown {
                observations: &observations,
                is_first: &is_first,
                previous: previous.as_ref(),
                mode,
            };
            let mut actions = match session.act(&shown) {
                Err(error) if mode == Mode::Sampled && step == 0 && is_refusal(&error) => {
                    return Ok(None);
                }
                acted => acted.map_err(failed)?,
            };
            if let (Mode::Scrambled, Some(judged)) = (mode, prepared.judged_step) {
                let random = random_actions(&prepared.action_space, lanes, &mut rng)?;
                scramble(&mut actions, random, ages.iter().map(|&age| age < judged))?;
            }
            let reply = self.step(&url, seq, &actions)?;
            is_first = reply.ends();
            tally.push(&reply.rewards, &is_first);
            for (age, &begins) in ages.iter_mut().zip(&is_first) {
                *age = if begins { 0 } else { *age + 1 };
            }
            if tally.all_ended() {
                return Ok(Some(tally.evaluation(
                    mode,
                    (step + 1) * lanes as u64,
                    began.elapsed(),
                )));
            }
            (observations, seq) = (reply.observations, reply.seq);
            previous = Some((actions, reply.rewards));
        }
        unreachable!("an evaluation ends with its episodes")
    }

    /// Resets the lanes of an environment.
    fn reset(&self, url: &str, seeds: &[u64]) -> Result<Reset, String> {
        let Described { seq } = self.server.get(url).map_err(failed)?;
        let body = json!({"seq": seq, "seed": seeds});
        let reply = self.server.post(&format!("{url}/reset"), &body);
        reply.map_err(failed)
    }

    /// Steps the lanes of an environment. The server refuses actions outside the action space.
    fn step(&self, url: &str, seq: u64, actions: &Value) -> Result<Step, String> {
        let body = json!({"seq": seq, "actions": actions});
        let reply = self.server.post(&format!("{url}/step"), &body);
        reply.map_err(|error| format!("its actions: {error}"))
    }

    /// Begins a session of the contender, with an empty memory.
    fn begin(&self, lanes: usize) -> Result<ContenderSession<'_>, String> {
        let id = format!("judged-{:032x}", rand::random::<u128>());
        let body = json!({"num_envs": lanes, "seed": self.seed});
        let _: Value = self
            .contender
            .put(&format!("/v1/sessions/{id}"), &body)
            .map_err(failed)?;
        Ok(ContenderSession {
            contender: self.contender,
            id,
            seq: 0,
        })
    }
}

impl ContenderSession<'_> {
    fn act(&mut self, shown: &Shown<'_>) -> Result<Value, ApiError> {
        let mut body = json!({
            "session_id": self.id,
            "seq": self.seq,
            "observations": shown.observations,
            "is_first": shown.is_first,
            "mode": if shown.mode == Mode::Sampled { "sampled" } else { "greedy" },
        });
        if let Some((actions, rewards)) = shown.previous {
            body["previous_actions"] = actions.clone();
            body["previous_rewards"] = json!(rewards);
        }
        let Acted { actions } = self.contender.post("/v1/act", &body)?;
        self.seq += 1;
        Ok(actions)
    }
}

impl Drop for ContenderSession<'_> {
    fn drop(&mut self) {
        self.contender.delete(&format!("/v1/sessions/{}", self.id));
    }
}

fn failed(error: ApiError) -> String {
    error.to_string()
}

/// Whether a contender answered that it does not accept a request.
fn is_refusal(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::Refused {
            status: 400..=499,
            ..
        }
    )
}

/// Replaces the actions of some lanes with random ones.
fn scramble(
    actions: &mut Value,
    random: Value,
    lanes: impl ExactSizeIterator<Item = bool>,
) -> Result<(), String> {
    let (Value::Array(actions), Value::Array(random)) = (actions, random) else {
        return Err("its actions are not an array with an action for each lane".to_owned());
    };
    if actions.len() != lanes.len() {
        let (told, lanes) = (actions.len(), lanes.len());
        return Err(format!("it chose {told} actions for {lanes} lanes"));
    }
    for ((action, random), is_scrambled) in actions.iter_mut().zip(random).zip(lanes) {
        if is_scrambled {
            *action = random;
        }
    }
    Ok(())
}

/// Draws a uniformly random action for each lane, in the form of the wire.
fn random_actions(
    space: &Space,
    lanes: usize,
    rng: &mut Xoshiro256PlusPlus,
) -> Result<Value, String> {
    let refused = || Err(format!("actions of {space:?} cannot be scrambled"));
    let (Some(shape), Some(dtype)) = (space.shape(), space.dtype()) else {
        return refused();
    };
    if matches!(space, Space::Box { .. }) && dtype != Dtype::Float32 {
        return refused();
    }
    let ranges = action_ranges(space);
    let drawn = ranges.iter().cycle().take(lanes * ranges.len());
    let drawn: Vec<f64> = drawn
        .map(|range| match range {
            ActionRange::Integers(range) => rng.random_range(range.clone()) as f64,
            ActionRange::Reals { low, high } => {
                let (low, high) = (*low as f32, *high as f32);
                // Without bounds the numbers around 0 stand for any.
                match (high - low).is_finite() {
                    true => rng.random_range(low..=high).into(),
                    false => rng.random_range(low.max(-1.0)..=high.min(1.0)).into(),
                }
            }
        })
        .collect();
    let shape = [&[lanes], &shape[..]].concat();
    let actions = to_array(space, shape, &drawn).map_err(|error| error.to_string())?;
    serde_json::to_value(actions).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lanes_before_the_judged_step_are_scrambled() {
        let mut actions = json!([0, 0, 0]);
        scramble(
            &mut actions,
            json!([1, 1, 1]),
            [true, false, true].into_iter(),
        )
        .unwrap();
        assert_eq!(actions, json!([1, 0, 1]));
        let mut short = json!([0]);
        let error = scramble(&mut short, json!([1, 1]), [true, true].into_iter());
        assert_eq!(error.unwrap_err(), "it chose 1 actions for 2 lanes");
        assert!(scramble(&mut json!(3), json!([1]), [true].into_iter()).is_err());
    }

    #[test]
    fn scrambled_actions_are_of_their_space() {
        let mut rng = seeds::generator(0, Role::EvaluationActions);
        let mut drawn = |space: &str| {
            let space: Space = serde_json::from_str(space).unwrap();
            random_actions(&space, 200, &mut rng)
        };
        let discrete = drawn(r#"{"type":"Discrete","n":3,"start":-1}"#).unwrap();
        let mut seen: Vec<i64> = serde_json::from_value(discrete).unwrap();
        assert_eq!(seen.len(), 200);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [-1, 0, 1]);
        let rows = drawn(r#"{"type":"MultiDiscrete","nvec":[2,5]}"#).unwrap();
        let rows: Vec<[i64; 2]> = serde_json::from_value(rows).unwrap();
        assert!(
            rows.iter()
                .all(|[a, b]| (0..2).contains(a) && (0..5).contains(b))
        );
        assert!(rows.iter().any(|[_, b]| *b == 4));
        let bits = drawn(r#"{"type":"MultiBinary","n":4}"#).unwrap();
        let bits: Vec<[u8; 4]> = serde_json::from_value(bits).unwrap();
        assert!(bits.iter().flatten().any(|&bit| bit == 1));
        let reals = drawn(r#"{"type":"Box","shape":[1],"dtype":"float32","low":-2.0,"high":1.0}"#);
        let reals: Vec<[f32; 1]> = serde_json::from_value(reals.unwrap()).unwrap();
        assert!(reals.iter().all(|[x]| (-2.0..=1.0).contains(x)));
        assert!(reals.iter().any(|[x]| *x < -1.5) && reals.iter().any(|[x]| *x > 0.5));
        assert!(drawn(r#"{"type":"Tuple","spaces":[]}"#).is_err());
    }
}
