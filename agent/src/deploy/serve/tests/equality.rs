//! Actions are those of an evaluation.

use super::*;
use crate::env::{EnvError, ResetReply, ResetRequest, Space, StepReply, VectorEnv};
use crate::evaluate::{EvaluateOptions, Mode, Player};
use crate::memory::slots::MemoryScope;
use crate::nn;
use crate::overrides;
use crate::run::checkpoint::Checkpoint;
use crate::spaces::actions::Choice;
use crate::spaces::batches;

const LANES: usize = 5;
/// Steps of an episode of the task.
const DELAY: u64 = 6;

/// A task that is played, and what was seen and done in it.
struct Recorder {
    task: TestTask,
    /// `[LANES, flat_size]` each, one more than there are steps.
    observations: Vec<Vec<f32>>,
    /// `[LANES, components]` each.
    actions: Vec<Vec<Choice>>,
    rewards: Vec<Vec<f64>>,
    ends: Vec<Vec<bool>>,
}

impl Recorder {
    fn new(task: TestTask) -> Self {
        Self {
            task,
            observations: Vec::new(),
            actions: Vec::new(),
            rewards: Vec::new(),
            ends: Vec::new(),
        }
    }
}

impl VectorEnv for Recorder {
    fn num_envs(&self) -> usize {
        self.task.num_envs()
    }

    fn observation_space(&self) -> &Space {
        self.task.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.task.action_space()
    }

    fn reset(&mut self, request: &ResetRequest) -> Result<ResetReply, EnvError> {
        let reply = self.task.reset(request)?;
        self.observations = vec![reply.observations.clone()];
        Ok(reply)
    }

    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
        let reply = self.task.step(actions)?;
        let ends = reply.terminations.iter().zip(&reply.truncations);
        self.ends.push(ends.map(|(a, b)| *a || *b).collect());
        self.actions.push(actions.to_vec());
        self.rewards.push(reply.rewards.clone());
        self.observations.push(reply.observations.clone());
        Ok(reply)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        unreachable!("an evaluation goes straight on")
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), EnvError> {
        unreachable!("an evaluation goes straight on")
    }
}

/// An agent whose episodes end at every step of the training but not of the evaluation, and everything it is shown.
fn agent(algorithm: &str, shown: bool, scope: Option<MemoryScope>, new: NewTask) -> Vec<u8> {
    let overrides = overrides! {
        previous_action: shown,
        previous_reward: shown,
        step_counter: shown,
        memory_scope: scope,
    };
    checkpoint(algorithm, overrides, &mut new(TRAINED_LANES, DELAY))
}

/// Makes a task, of so many lanes and this delay.
type NewTask = fn(usize, u64) -> TestTask;

fn evaluated(bytes: &[u8], mode: Mode, new: NewTask) -> Recorder {
    let player = Player::new(&Checkpoint::from_bytes(bytes).unwrap()).unwrap();
    let mut recorder = Recorder::new(new(LANES, DELAY));
    let options = EvaluateOptions {
        episodes: LANES,
        seed: 3,
        mode,
        balanced: false,
        judged_step: Some(DELAY - 1),
        episodes_per_lifetime: 1,
    };
    player.evaluate(&mut recorder, &options).unwrap();
    recorder
}

/// The request of a step of a recording, for some of its lanes.
fn replayed(recorder: &Recorder, step: usize, of: &[usize], mode: &str) -> ActRequest {
    let pairs = matches!(recorder.task.observation_space(), Space::Tuple { .. });
    let pick = |row: &[f32]| {
        of.iter()
            .flat_map(|&lane| row[3 * lane..][..3].to_vec())
            .collect()
    };
    let rows: Vec<f32> = pick(&recorder.observations[step]);
    let observations = match pairs {
        false => json!(rows.chunks(3).collect::<Vec<_>>()),
        true => json!([
            rows.iter()
                .step_by(3)
                .map(|&x| x as i64)
                .collect::<Vec<_>>(),
            rows.chunks(3).map(|row| &row[1..]).collect::<Vec<_>>(),
        ]),
    };
    let before = step.checked_sub(1);
    let flags =
        |of_lane: &dyn Fn(usize) -> bool| of.iter().map(|&l| of_lane(l)).collect::<Vec<_>>();
    request(json!({
        "session_id": "mine",
        "seq": step,
        "observations": observations,
        "is_first": flags(&|lane| before.is_none_or(|t| recorder.ends[t][lane])),
        "previous_rewards": before.map(|t| of.iter().map(|&l| recorder.rewards[t][l]).collect::<Vec<_>>()),
        "mode": mode,
    }))
}

/// The actions of a step of a recording as they are sent, of some of its lanes.
fn sent(recorder: &Recorder, step: usize, of: &[usize]) -> Value {
    let actions = &recorder.actions[step];
    let components = actions.len() / LANES;
    let rows = of
        .iter()
        .map(|&lane| &actions[lane * components..][..components]);
    let rows: Vec<Choice> = rows.flatten().copied().collect();
    batches::to_value(recorder.task.action_space(), &rows, of.len())
}

/// The same of all steps.
fn all_sent(recorder: &Recorder, of: &[usize]) -> Vec<Value> {
    let steps = 0..recorder.actions.len();
    steps.map(|step| sent(recorder, step, of)).collect()
}

/// The actions of a whole recording, asked of a session with some of its lanes.
fn asked(bytes: &[u8], recorder: &Recorder, of: &[usize], mode: &str) -> Vec<Value> {
    let service = Service::new(bytes, Limits::default()).unwrap();
    let body = CreateSession {
        seed: Some(3),
        ..lanes(of.len() as u64)
    };
    service.begin("mine", body, None).unwrap();
    (0..recorder.actions.len())
        .map(|step| {
            let answer = service
                .act(replayed(recorder, step, of, mode), None)
                .unwrap();
            answer.reply.actions.clone()
        })
        .collect()
}

#[test]
fn every_algorithm_acts_as_it_is_evaluated() {
    let lifetime = [Some(MemoryScope::Lifetime), Some(MemoryScope::Both)];
    let with_scope = lifetime.map(|scope| ("tracerl", scope));
    let plain = algorithms::every_learner().filter(|row| algorithms::plays_without_raster(row));
    let plain = plain.map(|row| (row.id, None));
    for (algorithm, scope) in plain.chain(with_scope) {
        acts_as_it_is_evaluated(algorithm, scope, false, TestTask::new);
        acts_as_it_is_evaluated(algorithm, scope, true, TestTask::of_pairs);
    }
    for (algorithm, scope) in [("ppo", None), ("recurrent-ppo", None), with_scope[1]] {
        acts_as_it_is_evaluated(algorithm, scope, true, TestTask::of_numbers);
        acts_as_it_is_evaluated(algorithm, scope, true, TestTask::of_mixtures);
    }
}

fn acts_as_it_is_evaluated(algorithm: &str, scope: Option<MemoryScope>, shown: bool, new: NewTask) {
    let bytes = agent(algorithm, shown, scope, new);
    let space = new(1, 1).action_space().clone();
    let name = format!("{algorithm} {scope:?}, shown {shown}, {space:?}");
    for (mode, named) in [(Mode::Greedy, "greedy"), (Mode::Sampled, "sampled")] {
        let recorder = evaluated(&bytes, mode, new);
        let all: Vec<usize> = (0..LANES).collect();
        let found = asked(&bytes, &recorder, &all, named);
        assert_eq!(found, all_sent(&recorder, &all), "{name}, {named}");
        let mut kinds = recorder.actions.concat();
        kinds.sort_unstable();
        kinds.dedup();
        assert!(kinds.len() > 1, "{name}, {named}: it always does {kinds:?}");
    }
    lanes_are_as_alone(&name, &bytes, new);
}

/// Where nothing outlives episodes, a lane acts alone as among others. (A lane of a memory that does begins with the
/// memory of another lane of training.)
fn lanes_are_as_alone(name: &str, bytes: &[u8], new: NewTask) {
    let recorder = evaluated(bytes, Mode::Greedy, new);
    let checkpoint = Checkpoint::from_bytes(bytes).unwrap();
    let actor = crate::run::load::actor(&checkpoint).unwrap();
    if actor.policy().core.needs_outcomes() {
        return;
    }
    for lane in [0, 3] {
        let alone = asked(bytes, &recorder, &[lane], "greedy");
        let among = all_sent(&recorder, &[lane]);
        assert_eq!(alone, among, "{name}: lane {lane}");
    }
}

/// A scrambled evaluation takes other actions than the agent's: with them said, the judged one is the agent's again.
#[test]
fn previous_actions_are_those_really_taken() {
    for new in [TestTask::new, TestTask::of_numbers, TestTask::of_mixtures] {
        let bytes = agent("recurrent-ppo", true, None, new);
        let recorder = evaluated(&bytes, Mode::Scrambled, new);
        let all: Vec<usize> = (0..LANES).collect();
        let last = recorder.actions.len() - 1;
        let judged = |says: bool| {
            let service = Service::new(&bytes, Limits::default()).unwrap();
            service.begin("mine", lanes(LANES as u64), None).unwrap();
            let mut actions = Value::Tuple(Vec::new());
            for step in 0..=last {
                let mut request = replayed(&recorder, step, &all, "greedy");
                if says && step > 0 {
                    request.previous_actions = Some(sent(&recorder, step - 1, &all));
                }
                let answer = service.act(request, None).unwrap();
                actions = answer.reply.actions.clone();
            }
            actions
        };
        let (found, own) = (judged(true), sent(&recorder, last, &all));
        assert!(are_close(&found, &own), "{found:?}, not {own:?}");
        assert!(!are_close(&judged(false), &own), "the test could not fail");
    }
}

/// Whether numbers differ by rounding at most: those that are sent come back in another unit.
fn are_close(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            let pairs = one.to_f64s().into_iter().zip(other.to_f64s());
            one.shape() == other.shape() && pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-4)
        }
        (Value::Tuple(one), Value::Tuple(other)) => one
            .iter()
            .zip(other)
            .all(|(one, other)| are_close(one, other)),
        (Value::Dict(one), Value::Dict(other)) => {
            let mut pairs = one.values().zip(other.values());
            pairs.all(|(one, other)| are_close(one, other))
        }
        _ => false,
    }
}

/// Numbers beyond the bounds are refused with their place, and so are other arrays.
#[test]
fn a_number_beyond_its_bounds_is_refused() {
    for (new, actions, pointer) in [
        (
            TestTask::of_numbers as NewTask,
            json!([[1.5], [2.5]]),
            "/1/0",
        ),
        (TestTask::of_numbers, json!([1.5, 1.5]), ""),
        (TestTask::of_numbers, json!({"a": [1]}), ""),
        (
            TestTask::of_mixtures,
            json!({"bit": [[0], [1]], "numbers": [[[0.0], [0.0]], [[-9.0], [1.5]]]}),
            "/numbers/1/1/0",
        ),
        (
            TestTask::of_mixtures,
            json!({"bit": [[0], [0.5]], "numbers": [[[0.0], [0.0]], [[0.0], [0.0]]]}),
            "/bit/1/0",
        ),
    ] {
        let bytes = agent("ppo", false, None, new);
        let service = Service::new(&bytes, Limits::default()).unwrap();
        service.begin("mine", lanes(2), None).unwrap();
        let mut body = shows("mine", 0, &[1.0, 0.0]);
        body["previous_actions"] = actions;
        let expected = (
            ErrorCode::InvalidAction,
            format!("/previous_actions{pointer}"),
        );
        assert_eq!(refusal(act(&service, body)), expected);
    }
}

/// A beginning in one lane changes nothing in the other, and leaves nothing behind in its own.
#[test]
fn a_first_observation_resets_its_own_lane() {
    for algorithm in ["recurrent-ppo", "tracerl"] {
        let bytes = checkpoint(
            algorithm,
            Overrides::default(),
            &mut TestTask::new(TRAINED_LANES, 4),
        );
        let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
        let actor = crate::run::load::actor(&checkpoint).unwrap();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let seen: Vec<[f32; 3]> = (0..40).map(|_| rng.random()).collect();
        // Logits of every step of two lanes; the second begins a new episode at step 10.
        let mut both = actor.lanes(2);
        let mut logits = [Vec::new(), Vec::new()];
        for step in 0..20 {
            let rows = [seen[step], seen[20 + step]].concat();
            let starts = [step == 0, step == 0 || step == 10];
            let acted = actor.act(&mut both, &rows, &starts);
            let values = nn::values(&acted.logits);
            logits[0].extend_from_slice(&values[..2]);
            logits[1].extend_from_slice(&values[2..]);
            actor.record(&mut both, &[0, 0], &[0.0; 2], &[false; 2]);
        }
        let alone = |rows: &[[f32; 3]]| {
            let mut lane = actor.lanes(1);
            let steps = rows.iter().enumerate().flat_map(|(step, row)| {
                let acted = actor.act(&mut lane, row, &[step == 0]);
                actor.record(&mut lane, &[0], &[0.0], &[false]);
                nn::values(&acted.logits).to_vec()
            });
            steps.collect::<Vec<_>>()
        };
        assert_eq!(logits[0], alone(&seen[..20]), "{algorithm}: undisturbed");
        assert_eq!(
            logits[1][20..],
            alone(&seen[30..]),
            "{algorithm}: begun anew"
        );
        assert_ne!(
            logits[1][20..],
            alone(&seen[20..])[20..],
            "{algorithm}: no memory"
        );
    }
}

/// An agent with rewards as inputs, or in its memory, must be sent them from the second step on.
#[test]
fn rewards_must_be_said_where_they_count() {
    let shown = agent("ppo", true, None, TestTask::new);
    let kept = agent("tracerl", false, Some(MemoryScope::Lifetime), TestTask::new);
    let free = agent("tracerl", false, None, TestTask::new);
    for (bytes, needed) in [(shown, true), (kept, true), (free, false)] {
        let service = Service::new(&bytes, Limits::default()).unwrap();
        assert_eq!(service.describe().inputs.previous_reward, needed);
        service.begin("mine", lanes(1), None).unwrap();
        act(&service, shows("mine", 0, &[1.0])).unwrap();
        let without = act(&service, shows("mine", 1, &[1.0]));
        if needed {
            assert_eq!(
                refusal(without),
                (ErrorCode::InvalidBody, "/previous_rewards".into())
            );
        } else {
            without.unwrap();
        }
    }
}
