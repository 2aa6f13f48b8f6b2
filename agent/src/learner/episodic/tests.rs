use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::Value;

use crate::algorithms::sections::Overrides;
use crate::algorithms::{self, Algorithm};
use crate::env::test_task::TestTask;
use crate::env::{ResetRequest, Space, VectorEnv};
use crate::experience::{Behaviour, Collector, CutOff, Rollout, Source};
use crate::hyper::Hyperparameters;
use crate::learner::{Experience, Learner, LearnerContext};
use crate::nn;
use crate::overrides;
use crate::policy::Policy;
use crate::policy::inputs::InputEncoder;
use crate::seeds::{self, LaneSeeds, Role};

/// An agent in the middle of its training.
struct Agent {
    hyper: Hyperparameters,
    encoder: InputEncoder,
    policy: Policy,
    learner: Box<dyn Learner>,
    rng: Xoshiro256PlusPlus,
}

impl Agent {
    fn new(row: &'static Algorithm, overrides: &Overrides, spaces: (&Space, &Space)) -> Self {
        let mut hyper = (row.defaults)();
        overrides.apply(row.id, &mut hyper).unwrap();
        let encoder = InputEncoder::new(spaces.0, spaces.1, &hyper, false).unwrap();
        let mut rng = seeds::generator(0, Role::Agent);
        let mut policy = row.policy(&hyper, &encoder, &mut rng);
        let learner = (row.learner)(&mut LearnerContext {
            policy: &mut policy,
            encoder: &encoder,
            hyper: &hyper,
            rng: &mut rng,
        });
        Self {
            hyper,
            encoder,
            policy,
            learner,
            rng,
        }
    }

    fn learn(&mut self, rollout: &Rollout, rewards: &[f32]) -> bool {
        let experience = Experience {
            rollout,
            rewards,
            progress: 0.5,
        };
        let learned = self
            .learner
            .learn(&mut self.policy, &experience, &mut self.rng);
        learned.is_ok()
    }

    /// Values of both actions at each step of an episode, `[T][2]`.
    fn values(&self, observations: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let mut state = self.policy.core.initial_state(1);
        let steps = observations.iter().enumerate();
        let values = steps.map(|(t, inputs)| {
            let acted = self.policy.act(inputs, &[t == 0], &mut state, None);
            nn::values(&acted.logits).to_vec()
        });
        values.collect()
    }
}

fn rows() -> [&'static Algorithm; 2] {
    ["mfec", "nec"].map(|id| algorithms::find(id).unwrap())
}

fn numbers(value: &Value) -> Vec<f32> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|x| x.as_f64().unwrap() as f32).collect()
}

fn observations(value: &Value) -> Vec<Vec<f32>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

/// An episode of the reference as a rollout of one lane, with the values that the agent has now.
fn rollout(agent: &Agent, episode: &Value) -> Rollout {
    let rewards = numbers(&episode["rewards"]);
    let steps = rewards.len();
    let mut seen = observations(&episode["observations"]);
    let is_cut_off = !episode["cut_off"].is_null();
    if is_cut_off {
        seen.push(numbers(&episode["cut_off"]));
    }
    let best = |row: &Vec<f32>| row[0].max(row[1]);
    let values: Vec<f32> = agent.values(&seen).iter().map(best).collect();
    let mut rollout = Rollout::empty(1, agent.policy.core.initial_state(1));
    rollout.steps = steps;
    rollout.inputs = seen[..steps].concat();
    rollout.starts = (0..steps).map(|t| t == 0).collect();
    rollout.ends = (0..steps).map(|t| t + 1 == steps).collect();
    rollout.actions = numbers(&episode["actions"])
        .iter()
        .map(|&a| a as u32)
        .collect();
    rollout.rewards = rewards;
    rollout.next_values = (1..=steps)
        .map(|t| values.get(t).copied().unwrap_or(0.0))
        .collect();
    rollout.values = values[..steps].to_vec();
    if is_cut_off {
        rollout.cut_offs.push(CutOff {
            row: steps - 1,
            inputs: seen[steps].clone(),
            decisions: Vec::new(),
        });
    }
    rollout
}

#[test]
fn they_compute_the_equations_of_the_papers() {
    let reference: Value =
        serde_json::from_str(include_str!("../../../tests/parity/episodic.json")).unwrap();
    let space = |json| serde_json::from_str(json).unwrap();
    let observation: Space =
        space(r#"{"type":"Box","shape":[2],"dtype":"float32","low":0.0,"high":1.0}"#);
    let action: Space = space(r#"{"type":"Discrete","n":2,"start":0}"#);
    let common = overrides! {
        memory_window: 3, table_rows: 5, neighbours: 2, gamma: 0.9, optimistic: false, table_recency: "written",
    };
    let of_nec = overrides! { hidden_size: 4, key_size: 3, n_step: 2, table_alpha: 0.5 };
    for (row, further) in rows().into_iter().zip([Overrides::default(), of_nec]) {
        let overrides = common.clone().overlaid(&further);
        let mut agent = Agent::new(row, &overrides, (&observation, &action));
        for (phase, name) in reference["names"].as_array().unwrap().iter().enumerate() {
            let params = &mut agent.policy.params;
            let Some(id) = params.ids().find(|&id| params.name(id) == name) else {
                continue;
            };
            for (i, weight) in params.data_mut(id).iter_mut().enumerate() {
                *weight = (0.6 * (1.7 * i as f64 + 0.9 * phase as f64).sin()) as f32;
            }
        }
        let asked = observations(&reference["asked"]);
        for (i, episode) in reference["episodes"].as_array().unwrap().iter().enumerate() {
            let rollout = rollout(&agent, episode);
            assert!(agent.learn(&rollout, &rollout.rewards));
            let expected = observations(&episode[row.id]);
            for (found, expected) in agent.values(&asked).iter().zip(&expected) {
                for (found, expected) in found.iter().zip(expected) {
                    let is_close = (found - expected).abs() < 1e-5 * (1.0 + expected.abs());
                    assert!(is_close, "{}, episode {i}: {found}, not {expected}", row.id);
                }
            }
        }
    }
}

/// Rewards that are no numbers, or whose sum is none: neither tables nor weights nor anything that is remembered changes.
#[test]
fn an_update_that_diverges_changes_nothing() {
    for row in rows() {
        let mut env = TestTask::new(4, 2);
        let quick = overrides! { num_envs: 4, num_steps: 4, gamma: 1.0 };
        let (observation, action) = (env.observation_space().clone(), env.action_space().clone());
        let mut agent = Agent::new(row, &quick, (&observation, &action));
        if row.id == "nec" {
            let often = quick.overlaid(&overrides! { train_every: 1, batch_size: 2 });
            agent = Agent::new(row, &often, (&observation, &action));
        }
        let (hyper, encoder) = (agent.hyper.clone(), agent.encoder.clone());
        let seeds = LaneSeeds::training(0, 0..4);
        let mut source =
            Collector::begin(&mut env, encoder, &agent.policy, &hyper, &[], seeds).unwrap();
        for round in 0..4 {
            let rollout = source
                .collect(
                    &agent.policy,
                    Behaviour::Uniform,
                    &mut agent.rng,
                    usize::MAX,
                )
                .unwrap();
            assert!(agent.learn(&rollout, &rollout.rewards), "{}", row.id);
            for poison in [f32::NAN, f32::INFINITY, f32::MAX] {
                let before = (agent.policy.params.export(), agent.learner.export());
                let poisoned = vec![poison; rollout.rewards.len()];
                assert!(
                    !agent.learn(&rollout, &poisoned),
                    "{}, {round}: {poison}",
                    row.id
                );
                let after = (agent.policy.params.export(), agent.learner.export());
                assert!(before == after, "{}, {round}: {poison}", row.id);
            }
        }
        assert!(
            env.reset(&ResetRequest {
                seeds: Some(vec![0; 4]),
                options: serde_json::Map::new()
            })
            .is_ok()
        );
    }
}

/// Stored targets whose squared error is no number: the steps before that error are undone, in the rows as in the weights.
#[test]
fn a_training_step_that_diverges_undoes_those_before_it() {
    let mut env = TestTask::new(4, 2);
    let often = overrides! { num_envs: 4, num_steps: 4, train_every: 1, batch_size: 2 };
    let (observation, action) = (env.observation_space().clone(), env.action_space().clone());
    let mut agent = Agent::new(rows()[1], &often, (&observation, &action));
    let (hyper, encoder) = (agent.hyper.clone(), agent.encoder.clone());
    let seeds = LaneSeeds::training(0, 0..4);
    let mut source =
        Collector::begin(&mut env, encoder, &agent.policy, &hyper, &[], seeds).unwrap();
    let mut diverged = 0;
    for round in 0..30 {
        let rollout = source
            .collect(
                &agent.policy,
                Behaviour::Uniform,
                &mut agent.rng,
                usize::MAX,
            )
            .unwrap();
        let factor = if round == 4 { 1e25 } else { 1.0 };
        let rewards: Vec<f32> = rollout.rewards.iter().map(|r| factor * r).collect();
        let before = (agent.policy.params.export(), agent.learner.export());
        if !agent.learn(&rollout, &rewards) {
            diverged += 1;
            let after = (agent.policy.params.export(), agent.learner.export());
            assert!(before == after, "round {round}");
        }
    }
    assert!(diverged > 3, "{diverged}");
}

/// The order of lanes changes nothing, where no key occurs in two of them.
#[test]
fn equal_experience_in_other_lanes_gives_equal_values() {
    let env = TestTask::new(2, 3);
    let (observation, action) = (env.observation_space(), env.action_space());
    let values = |order: [usize; 2]| {
        let mut agent = Agent::new(
            rows()[0],
            &overrides! { optimistic: false },
            (observation, action),
        );
        let mut rollout = Rollout::empty(2, agent.policy.core.initial_state(2));
        let lanes = [
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            [[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]],
        ];
        rollout.steps = 2;
        rollout.inputs = (0..2)
            .flat_map(|t| order.map(|lane| lanes[lane][t]))
            .flatten()
            .collect();
        rollout.starts = vec![true, true, false, false];
        rollout.ends = vec![false, false, true, true];
        rollout.actions = vec![0; 4];
        rollout.rewards = [[0.0; 2], order.map(|lane| lane as f32 * 2.0 - 1.0)].concat();
        (rollout.values, rollout.next_values) = (vec![0.0; 4], vec![0.0; 4]);
        assert!(agent.learn(&rollout, &rollout.rewards));
        agent.values(&lanes[0].map(|row| row.to_vec()))
    };
    assert_eq!(values([0, 1]), values([1, 0]));
    assert_eq!(values([0, 1]), [[-1.0, 0.0], [-1.0, 0.0]]);
}
