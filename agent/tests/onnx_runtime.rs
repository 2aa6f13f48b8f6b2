//! Checks that ONNX Runtime computes the agent's numbers from the models that
//! [`agent::deploy::onnx_export`] writes.
//!
//! Needs the feature `python-tests` and a Python with the packages `onnx` and `onnxruntime`.

#[path = "../../tests/python/run.rs"]
mod python;

mod support;

use agent::algorithms::sections::Overrides;
use agent::deploy::onnx_export;
use agent::env::{EnvError, ResetReply, ResetRequest, Space, StepReply, VectorEnv};
use agent::evaluate::EvaluationEnv;
use agent::nn;
use agent::overrides;
use agent::policy::actor::Actor;
use agent::policy::lanes::Lanes;
use agent::run::checkpoint::Checkpoint;
use agent::run::load;
use agent::spaces::actions::Choice;
use agent::spaces::batches;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Map, Value, json};
use support::{Trained, environments};

/// Largest allowed difference of logits and values.
const TOLERANCE: f64 = 1e-5;
const LANES: usize = 3;

/// One step of all lanes: the inputs, and the agent's outputs.
struct Step {
    inputs: Value,
    /// As the action space has them.
    actions: Vec<f64>,
    logits: Vec<f32>,
    values: Vec<f32>,
}

/// Runs a model in ONNX Runtime; returns its outputs for each step: name → nested lists.
fn run(model: &[u8], steps: &[Step]) -> Vec<Map<String, Value>> {
    let folder = tempfile::tempdir().unwrap();
    let [path, asked] = ["agent.onnx", "steps.json"].map(|name| folder.path().join(name));
    std::fs::write(&path, model).unwrap();
    let inputs: Vec<&Value> = steps.iter().map(|step| &step.inputs).collect();
    std::fs::write(&asked, serde_json::to_vec(&inputs).unwrap()).unwrap();
    let printed = python::run("run_onnx.py", "onnx onnxruntime", &[path, asked], &[]);
    serde_json::from_slice(&printed).expect("the script prints JSON")
}

/// An agent in the course of an episode, with a record of the steps so far.
struct Shown<'a> {
    actor: &'a Actor,
    space: &'a Space,
    lanes: Lanes,
    previous: Option<(Vec<Choice>, Vec<f64>)>,
    steps: Vec<Step>,
}

impl<'a> Shown<'a> {
    fn new(actor: &'a Actor, space: &'a Space) -> Self {
        Self {
            actor,
            space,
            lanes: actor.lanes(LANES),
            previous: None,
            steps: Vec::new(),
        }
    }

    /// Passes one step to the agent, records it, and returns the likeliest actions.
    fn step(&mut self, observations: &[f32], starts: &[bool]) -> Vec<Choice> {
        let acted = self.actor.act(&mut self.lanes, observations, starts);
        let actions = self.actor.likeliest(&acted);
        let nothing = || (vec![0; actions.len()], vec![0.0; LANES]);
        let (previous_actions, previous_rewards) = self.previous.take().unwrap_or_else(nothing);
        let sent = |actions: &[Choice]| json!(batches::to_value(self.space, actions, LANES));
        let mut in_space = Vec::new();
        numbers(&sent(&actions), &mut in_space);
        let width = self.actor.encoder().flat_size();
        self.steps.push(Step {
            inputs: json!({
                "observation": observations.chunks(width).collect::<Vec<_>>(),
                "is_first": starts,
                "previous_action": sent(&previous_actions),
                "previous_reward": previous_rewards,
            }),
            logits: nn::values(&acted.logits).to_vec(),
            values: acted.values,
            actions: in_space,
        });
        actions
    }

    fn outcome(&mut self, actions: Vec<Choice>, rewards: Vec<f64>, ends: &[bool]) {
        self.actor.record(&mut self.lanes, &actions, &rewards, ends);
        self.previous = Some((actions, rewards));
    }
}

/// Steps with random observations, actions, rewards and episode ends.
fn random_steps(actor: &Actor, space: &Space, count: usize) -> Vec<Step> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let columns = actor.encoder().columns();
    let width = actor.encoder().flat_size();
    let mut shown = Shown::new(actor, space);
    let mut starts = vec![true; LANES];
    for _ in 0..count {
        let mut observations = vec![0.0; LANES * width];
        for (i, number) in observations.iter_mut().enumerate() {
            let choices = columns.iter().filter(|column| column.source == i % width);
            let choices: Vec<i64> = choices.filter_map(|column| column.choice).collect();
            *number = match choices.len() {
                0 => rng.random_range(-1.0..1.0),
                n => choices[rng.random_range(0..n)] as f32,
            };
        }
        shown.step(&observations, &starts);
        let heads = actor.encoder().heads();
        let mut actions = Vec::new();
        (0..LANES).for_each(|_| heads.random(&mut rng, &mut actions));
        let rewards = (0..LANES).map(|_| rng.random_range(-1.0..1.0)).collect();
        starts = (0..LANES).map(|_| rng.random_bool(0.05)).collect();
        shown.outcome(actions, rewards, &starts);
    }
    shown.steps
}

/// Steps of episodes in which the agent plays greedily.
fn played_steps(checkpoint: &Checkpoint, actor: &Actor, server: &str, count: usize) -> Vec<Step> {
    let servers = [server.to_owned()];
    let on = &checkpoint.config.env;
    let connected =
        EvaluationEnv::connect(on, &Map::new(), LANES, &servers, None, Default::default());
    let mut env = connected.unwrap().env;
    let reset = ResetRequest {
        seeds: Some((0..LANES as u64).collect()),
        options: Map::new(),
    };
    let mut observations = env.reset(&reset).unwrap().observations;
    let mut starts = vec![true; LANES];
    let mut shown = Shown::new(actor, &checkpoint.spaces.action);
    for _ in 0..count {
        let actions = shown.step(&observations, &starts);
        let reply = env.step(&actions).unwrap();
        let ends = reply.terminations.iter().zip(&reply.truncations);
        starts = ends.map(|(one, other)| *one || *other).collect();
        shown.outcome(actions, reply.rewards, &starts);
        observations = reply.observations;
    }
    shown.steps
}

fn numbers(value: &Value, into: &mut Vec<f64>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| numbers(value, into)),
        number => into.push(number.as_f64().unwrap()),
    }
}

#[track_caller]
fn assert_close(what: &str, found: &Value, expected: impl Iterator<Item = f64>, tolerance: f64) {
    let mut given = Vec::new();
    numbers(found, &mut given);
    let expected: Vec<f64> = expected.collect();
    assert_eq!(given.len(), expected.len(), "{what}");
    let worst = given.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0, f64::max);
    assert!(
        worst <= tolerance,
        "{what}: {worst} apart\n{given:?}\n{expected:?}"
    );
}

/// `rounding`: of actions; 0 for choices.
fn check(name: &str, model: &[u8], steps: &[Step], rounding: f64) {
    let outputs = run(model, steps);
    assert_eq!(outputs.len(), steps.len());
    for (t, (step, outputs)) in steps.iter().zip(&outputs).enumerate() {
        let of = |what: &str| format!("{name}, step {t}: {what}");
        let floats = |numbers: &[f32]| numbers.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let (logits, values) = (floats(&step.logits), floats(&step.values));
        assert_close(
            &of("logits"),
            &outputs["logits"],
            logits.into_iter(),
            TOLERANCE,
        );
        assert_close(
            &of("value"),
            &outputs["value"],
            values.into_iter(),
            TOLERANCE,
        );
        let actions = step.actions.iter().copied();
        assert_close(&of("action"), &outputs["action"], actions, rounding);
    }
}

/// Settings that show an agent its previous action and reward, and a clock.
fn shown() -> Overrides {
    Overrides::default().overlaid(&overrides! {
        previous_action: true,
        previous_reward: true,
        step_counter: true,
    })
}

/// Trains an algorithm for each list of settings, and compares its steps on random inputs and in an environment.
fn check_each(algorithm: &str, tasks: Vec<(&'static str, Overrides)>) {
    let server = environments();
    for (spec_id, overrides) in tasks {
        let kwargs = match spec_id {
            "MemoryTask-v0" => json!({"delay": 60, "difficulty": 1}),
            _ => json!({}),
        };
        let name = format!("{algorithm} on {spec_id} with {overrides:?}");
        let trained = Trained {
            algorithm,
            spec_id,
            kwargs: kwargs.as_object().unwrap().clone(),
            overrides,
            spread: 0.2,
        };
        let checkpoint = trained.checkpoint(&server);
        let actor = load::actor(&checkpoint).unwrap();
        let model = onnx_export::export(&checkpoint.to_bytes()).unwrap();
        let drawn = random_steps(&actor, &checkpoint.spaces.action, 100);
        check(&format!("{name}, drawn"), &model, &drawn, 0.0);
        let steps = played_steps(&checkpoint, &actor, &server, 130);
        check(&format!("{name}, played"), &model, &steps, 0.0);
    }
}

#[test]
fn onnx_runtime_computes_the_same() {
    let plain = Overrides::default;
    for (algorithm, spec_id, overrides) in [
        ("ppo", "MemoryTask-v0", plain()),
        ("ppo", "Battleship-v0", shown()),
        ("recurrent-ppo", "MemoryTask-v0", plain()),
        ("recurrent-ppo", "MineSweeper-v0", shown()),
        ("mingru", "MemoryTask-v0", plain()),
        ("lru", "MemoryTask-v0", plain()),
        ("shm", "MemoryTask-v0", plain()),
        ("frame-stack", "MemoryTask-v0", shown()),
        ("memn2n", "MemoryTask-v0", plain()),
        ("memn2n", "Autoencode-v0", shown()),
        ("tracerl", "MemoryTask-v0", plain()),
        ("tracerl", "Autoencode-v0", shown()),
    ] {
        check_each(algorithm, vec![(spec_id, overrides)]);
    }
}

/// TraceRL with other rules for its entries, and other ways of asking them.
#[test]
fn onnx_runtime_computes_the_same_for_every_memory_of_slots() {
    let plain = Overrides::default;
    let fixed = plain().overlaid(&overrides! {
        memory_learn_retention: false,
    });
    let asking = |memory_controller: &str, newest_match: bool| {
        shown().overlaid(&overrides! {
            slot_heads: 2,
            newest_match: newest_match,
            age_phases: true,
            memory_controller: memory_controller,
        })
    };
    let newest = plain().overlaid(&overrides! {
        slot_heads: 2,
        newest_match: true,
        relative_age: false,
    });
    let rule = |retention_rule: &str| {
        plain().overlaid(&overrides! {
            retention_rule: retention_rule,
        })
    };
    let tasks = vec![
        ("MemoryTask-v0", fixed),
        ("Autoencode-v0", asking("none", false)),
        ("Autoencode-v0", asking("none", true)),
        ("MemoryTask-v0", newest),
        ("MemoryTask-v0", asking("gru", false)),
        ("MemoryTask-v0", rule("fifo")),
        ("MemoryTask-v0", rule("q")),
    ];
    check_each("tracerl", tasks);
}

/// Wants nothing, of actions of three numbers: between −2 and 6, of at most 1, and without bounds.
struct Numbers {
    observation_space: Space,
    action_space: Space,
}

impl Numbers {
    fn new() -> Self {
        let space = |space| serde_json::from_value(space).unwrap();
        Self {
            observation_space: space(json!(
                {"type": "Box", "shape": [3], "dtype": "float32", "low": -1.0, "high": 1.0}
            )),
            action_space: space(json!({
                "type": "Box", "shape": [3, 1], "dtype": "float32",
                "low": [-2.0, "-Infinity", "-Infinity"], "high": [6.0, 1.0, "Infinity"],
            })),
        }
    }
}

impl VectorEnv for Numbers {
    fn num_envs(&self) -> usize {
        support::LANES
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, _: &ResetRequest) -> Result<ResetReply, EnvError> {
        Ok(ResetReply {
            observations: vec![0.5; 3 * support::LANES],
        })
    }

    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
        assert_eq!(actions.len(), 3 * support::LANES);
        let flags = vec![false; support::LANES];
        Ok(StepReply {
            observations: vec![0.5; 3 * support::LANES],
            rewards: vec![0.0; support::LANES],
            terminations: flags.clone(),
            truncations: flags,
            final_observations: Vec::new(),
        })
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), EnvError> {
        Ok(())
    }
}

#[test]
fn onnx_runtime_computes_the_same_numbers() {
    let overrides = overrides! {
        previous_action: true,
        previous_reward: true,
    };
    for algorithm in ["ppo", "recurrent-ppo", "tracerl"] {
        let trained = Trained {
            algorithm,
            spec_id: "MemoryTask-v0",
            kwargs: Map::new(),
            overrides: overrides.clone(),
            spread: 0.6,
        };
        let checkpoint = trained.checkpoint_in(&mut Numbers::new());
        let actor = load::actor(&checkpoint).unwrap();
        let model = onnx_export::export(&checkpoint.to_bytes()).unwrap();
        let steps = random_steps(&actor, &checkpoint.spaces.action, 100);
        let of_first = || steps.iter().flat_map(|step| step.actions.iter().step_by(3));
        let clipped = of_first().filter(|&&x| x == -2.0 || x == 6.0).count();
        assert!(
            (1..3 * steps.len()).contains(&clipped),
            "{algorithm}: {clipped} are clipped"
        );
        check(algorithm, &model, &steps, TOLERANCE);
    }
}
