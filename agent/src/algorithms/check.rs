//! The contract of every memory, whatever its architecture. A row of the table of algorithms is checked because it is
//! there.

use std::sync::atomic::AtomicBool;

use clap::ValueEnum;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::algorithms;
use crate::algorithms::Algorithm;
use crate::algorithms::sections::Overrides;
use crate::env::VectorEnv;
use crate::env::selection::EnvSelection;
use crate::env::test_task::TestTask;
use crate::evaluate::{EvaluateOptions, Mode, Player};
use crate::experience::{Behaviour, Collection, Collector, Rollout, Source};
use crate::hyper::Hyperparameters;
use crate::learner::auxiliary::AuxiliaryLosses;
use crate::learner::ppo::PpoUpdate;
use crate::memory::attention::Width;
use crate::memory::attention::episodic_transformer::Episodes;
use crate::memory::attention::window::Context;
use crate::memory::linear::shm::{Matrix, MemoryGate};
use crate::memory::predictive::Predictive;
use crate::memory::recurrent::rims::Modules;
use crate::memory::sequence::Goal;
use crate::memory::slots::{MemoryController, MemoryReader, MemoryScope, RetentionRule, Steps};
use crate::memory::spatial::mvprop::{MapMemory, Planning};
use crate::memory::spatial::neural_map::{Map, MapWrite};
use crate::memory::{Network, Slots};
use crate::memory::{Segment, State};
use crate::nn::{self, Graph, Params, categorical, check::check_gradients, normal};
use crate::policy::Policy;
use crate::policy::inputs::InputEncoder;
use crate::run::checkpoint::Checkpoint;
use crate::run::config::TrainConfig;
use crate::run::train::{TrainOptions, train};
use crate::seeds::{LaneGenerators, LaneSeeds};
use crate::spaces::actions::{ActionHead, number};
use crate::views::monitor::Silent;

/// Lanes of the experience below.
const LANES: usize = 3;
/// Largest difference of numbers that two ways of computing must agree on.
const TOLERANCE: f32 = 1e-5;
/// Steps within which a memory learns to answer one step after the cue.
const RECALL_BUDGET: u64 = 30_000;

#[test]
fn every_algorithm_keeps_the_contract() {
    for row in algorithms::learners() {
        check_memory_core(row.id, |_| {});
        one_step_recall_is_learned(row.id);
        if (row.defaults)().has::<Slots>() {
            check_memory_core(row.id, |hyper| slots(hyper).memory_learn_retention = false);
        }
        if (row.defaults)().has::<Matrix>() {
            for gate in [MemoryGate::Outer, MemoryGate::Scalar, MemoryGate::None] {
                check_memory_core(row.id, |hyper| matrix(hyper).memory_gate = gate);
            }
            check_memory_core(row.id, |hyper| matrix(hyper).theta_rows = 3);
        }
        if (row.defaults)().has::<Steps>() {
            for recent in [0, 3] {
                check_memory_core(row.id, |hyper| steps(hyper).recent_entries = recent);
            }
            check_memory_core(row.id, |hyper| steps(hyper).relative_age = false);
            for (memory_reader, memory_compression, recent_entries) in [
                (MemoryReader::Attention, 2, 0),
                (MemoryReader::Attention, 2, 3),
                (MemoryReader::Transformer, 0, 0),
                (MemoryReader::Graph, 0, 3),
                (MemoryReader::Graph, 1, 3),
            ] {
                check_memory_core(row.id, |hyper| {
                    *steps(hyper) = Steps {
                        memory_scope: match recent_entries {
                            0 => MemoryScope::Both,
                            _ => MemoryScope::Episode,
                        },
                        memory_reader,
                        memory_compression,
                        recent_entries,
                        ..steps(hyper).clone()
                    };
                });
            }
            for scope in [MemoryScope::Lifetime, MemoryScope::Both] {
                check_memory_core(row.id, |hyper| steps(hyper).memory_scope = scope);
            }
        }
        if (row.defaults)().has::<Planning>() {
            check_memory_core(row.id, |hyper| planning(hyper).map_memory = MapMemory::None);
            check_memory_core(row.id, |hyper| planning(hyper).iterations = 1);
        }
        if (row.defaults)().has::<Map>() {
            check_memory_core(row.id, |hyper| map(hyper).egocentric = true);
            check_memory_core(row.id, |hyper| map(hyper).map_write = MapWrite::Plain);
        }
    }
}

/// Heads, phases and a controller, with and without what else reads a memory of steps.
#[test]
fn every_way_of_asking_keeps_the_contract() {
    for row in algorithms::learners() {
        if !(row.defaults)().has::<Steps>() {
            continue;
        }
        for (slot_heads, age_phases, memory_controller, memory_scope) in [
            (2, true, MemoryController::None, MemoryScope::Episode),
            (3, false, MemoryController::Gru, MemoryScope::Episode),
            (1, true, MemoryController::Gru, MemoryScope::Both),
        ] {
            check_memory_core(row.id, |hyper| {
                *steps(hyper) = Steps {
                    memory_scope,
                    slot_heads,
                    newest_match: slot_heads == 3,
                    age_phases,
                    memory_controller,
                    ..steps(hyper).clone()
                };
            });
        }
        check_memory_core(row.id, |hyper| {
            let steps = steps(hyper);
            (steps.slot_heads, steps.newest_match) = (2, true);
            steps.memory_reader = MemoryReader::Graph;
            (steps.memory_controller, steps.memory_compression) = (MemoryController::Gru, 1);
        });
    }
}

/// Every rule of retention, with and without a ring, and where episodes are remembered as well.
#[test]
fn every_rule_of_retention_keeps_the_contract() {
    for row in algorithms::learners() {
        if !(row.defaults)().has::<Steps>() {
            continue;
        }
        for &retention_rule in RetentionRule::value_variants() {
            let goes_with_order =
                !matches!(retention_rule, RetentionRule::Ngc | RetentionRule::Aler);
            let with_rule = |hyper: &mut Hyperparameters| {
                steps(hyper).retention_rule = retention_rule;
            };
            check_memory_core(row.id, with_rule);
            own_losses_have_their_gradients(Subject::new(row.id, with_rule));
            check_memory_core(row.id, |hyper| {
                *steps(hyper) = Steps {
                    retention_rule,
                    recent_entries: 0,
                    memory_scope: MemoryScope::Both,
                    memory_controller: MemoryController::Gru,
                    slot_heads: 2,
                    newest_match: goes_with_order,
                    ..steps(hyper).clone()
                };
                slots(hyper).memory_learn_retention = false;
            });
        }
    }
}

/// Means, deviations and what follows them.
#[test]
fn a_gradient_reaches_the_parameters_of_numbers() {
    for id in ["ppo", "recurrent-ppo"] {
        for env in [
            TestTask::of_numbers(LANES, 1),
            TestTask::of_mixtures(LANES, 1),
        ] {
            a_gradient_reaches_every_parameter(Subject::playing(&env, id, |_| {}));
        }
    }
}

/// Rows that choose among given actions refuse numbers before anything runs, and name others. Rows over PPO play them.
#[test]
fn rows_that_learn_by_ppo_play_numbers() {
    for row in algorithms::learners() {
        let hyper = (row.defaults)();
        for env in [TestTask::of_numbers(1, 1), TestTask::of_mixtures(1, 1)] {
            let is_raster = !algorithms::plays_without_raster(row);
            let refusal = row.refusal(&env.spaces(), &hyper).filter(|_| !is_raster);
            assert_eq!(refusal.is_none(), hyper.has::<PpoUpdate>(), "{}", row.id);
            if let Some(reason) = refusal {
                assert!(reason.contains("recurrent-ppo"), "{}: {reason}", row.id);
            }
        }
    }
}

/// A lane computes and draws the same bits alone and among any number of others, at sizes that fill the widths
/// of the kernels and at others. Sequence models are the exception: what they compute differs in the last bits.
#[test]
fn a_lane_is_the_same_among_any_number_of_others() {
    const ALL: usize = 64;
    let mut failed = Vec::new();
    let rows = algorithms::learners().filter(|row| !(row.defaults)().has::<Goal>());
    for (row, hidden_size) in rows.flat_map(|row| [(row, 64), (row, 100)]) {
        let env = algorithms::test_task(row, 1, 1);
        let subject = Subject::with(&env, row, (row.defaults)().with(Network { hidden_size }));
        let expected = subject.played(0..ALL);
        for width in [1, 2, 3, 5, 16] {
            let mut differ = Vec::new();
            let parts = (0..ALL).step_by(width);
            for lanes in parts.map(|first| first..(first + width).min(ALL)) {
                let found = subject.played(lanes.clone());
                let expected = expected[lanes.clone()].iter();
                let alike = found
                    .iter()
                    .zip(expected)
                    .map(|(found, expected)| found == expected);
                differ.extend(
                    lanes
                        .zip(alike)
                        .filter_map(|(lane, alike)| (!alike).then_some(lane)),
                );
            }
            if !differ.is_empty() {
                failed.push((row.id, hidden_size, width, differ));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_memory_derived_from_one_step_keeps_the_contract() {
    for row in algorithms::proofs::memories() {
        check_memory_core(row.id, |_| {});
        one_step_recall_is_learned(row.id);
    }
}

fn slots(hyper: &mut Hyperparameters) -> &mut Slots {
    hyper.get_mut().expect("a memory of slots")
}

fn steps(hyper: &mut Hyperparameters) -> &mut Steps {
    hyper.get_mut().expect("a memory of steps")
}

fn matrix(hyper: &mut Hyperparameters) -> &mut Matrix {
    hyper.get_mut().expect("a memory that is a matrix")
}

fn map(hyper: &mut Hyperparameters) -> &mut Map {
    hyper.get_mut().expect("a map")
}

fn planning(hyper: &mut Hyperparameters) -> &mut Planning {
    hyper.get_mut().expect("a planner")
}

/// Checks the core of one algorithm, at small sizes and with one hyper-parameter set.
fn check_memory_core(algorithm_id: &str, set: impl Fn(&mut Hyperparameters)) {
    eprintln!("checking the memory of {algorithm_id}");
    unroll_repeats_the_steps(Subject::new(algorithm_id, &set));
    a_reset_row_is_a_fresh_one(&Subject::new(algorithm_id, &set));
    lanes_do_not_mix(&Subject::new(algorithm_id, &set));
    lanes_are_settled_apart(&Subject::new(algorithm_id, &set));
    a_gradient_reaches_every_parameter(Subject::new(algorithm_id, &set));
    a_saved_state_goes_on_as_before(&Subject::new(algorithm_id, &set));
    let row = algorithms::find(algorithm_id).unwrap();
    for env in algorithms::test_tasks(row, LANES, 4) {
        ratios_are_one_before_the_first_update(Subject::playing(&env, algorithm_id, &set), env);
    }
    evaluation_is_deterministic(&Subject::new(algorithm_id, &set));
    nothing_is_left_after_forgetting(&Subject::new(algorithm_id, &set));
}

/// A small agent.
struct Subject {
    policy: Policy,
    encoder: InputEncoder,
    hyper: Hyperparameters,
}

impl Subject {
    fn new(algorithm_id: &str, set: impl Fn(&mut Hyperparameters)) -> Self {
        let row = algorithms::find(algorithm_id).unwrap();
        Self::playing(&algorithms::test_task(row, LANES, 1), algorithm_id, set)
    }

    fn playing(env: &TestTask, algorithm_id: &str, set: impl Fn(&mut Hyperparameters)) -> Self {
        let row = algorithms::find(algorithm_id).unwrap();
        let mut hyper = (row.defaults)()
            .with(Network { hidden_size: 6 })
            .with(Episodes { context_length: 4 })
            .with(Collection {
                num_envs: LANES,
                num_steps: 10,
                whole_episodes: false,
            })
            .edited(|context: &mut Context| context.memory_window = 5)
            .edited(|width: &mut Width| width.model_width = 8)
            .edited(|losses: &mut AuxiliaryLosses| losses.aux_modules.clear())
            .edited(|matrix: &mut Matrix| matrix.matrix_size = 5)
            .edited(|slots: &mut Slots| (slots.mem_dim, slots.max_entries) = (8, 3))
            .with(Modules {
                modules: 3,
                active_modules: 2,
            })
            .edited(|map: &mut Map| (map.map_cells, map.map_channels) = (4, 3))
            .edited(|goal: &mut Goal| goal.timestep_embeddings = 8);
        if hyper.has::<Steps>() {
            steps(&mut hyper).recent_entries = 1;
        }
        if let Some(predictive) = hyper.get_mut::<Predictive>() {
            (predictive.latent_size, predictive.memory_rows) = (3, 4);
        }
        set(&mut hyper);
        Self::with(env, row, hyper)
    }

    fn with(env: &TestTask, row: &Algorithm, hyper: Hyperparameters) -> Self {
        let encoder =
            InputEncoder::new(env.observation_space(), env.action_space(), &hyper, false).unwrap();
        let mut policy = row.policy(&hyper, &encoder, &mut rng(0));
        jitter(&mut policy.params, 1);
        fill_tables(&mut policy);
        Self {
            policy,
            encoder,
            hyper,
        }
    }

    /// Random rows for its inputs.
    fn experience(&self, first_starts: &[bool; LANES], steps: usize, seed: u64) -> Experience {
        Experience::random(self.encoder.input_size(), first_starts, steps, seed)
    }

    fn fresh(&self) -> State {
        self.policy.core.initial_state(LANES)
    }

    /// Acts through an experience; features `[T*B, feature_size]` and decisions.
    fn act(
        &self,
        experience: &Experience,
        state: &mut State,
        mut rng: Option<&mut LaneGenerators>,
    ) -> (Vec<f32>, Vec<i32>) {
        let core = &self.policy.core;
        let params = &self.policy.params;
        let (mut features, mut decisions) = (Vec::new(), Vec::new());
        let width = experience.inputs.len() / experience.starts.len();
        for first in (0..experience.starts.len()).step_by(LANES) {
            let rows = first..first + LANES;
            let inputs = &experience.inputs[rows.start * width..rows.end * width];
            let starts = &experience.starts[rows.clone()];
            let step = core.step(params, inputs, starts, state, rng.as_deref_mut());
            features.extend_from_slice(nn::values(&step.features));
            decisions.extend(step.decisions);
            let numbers = |column: &[f32]| -> Vec<f64> {
                column[rows.clone()].iter().map(|&x| f64::from(x)).collect()
            };
            let rewards = numbers(&experience.rewards);
            core.outcome(
                params,
                state,
                &experience.actions[rows.clone()],
                &rewards,
                &experience.ends[rows.clone()],
            );
        }
        (features, decisions)
    }

    /// Plays some of any number of lanes. Each sees the same whether others are played or not. Returns the bits of all that each computed and
    /// drew, and of its state then.
    fn played(&self, lanes: std::ops::Range<usize>) -> Vec<Vec<u32>> {
        let Policy { core, params, .. } = &self.policy;
        let mut generators = LaneGenerators::new(4, lanes.clone());
        let numbers: Vec<usize> = lanes.clone().collect();
        let mut state = core.initial_state(lanes.end).gather(&numbers);
        let mut worlds: Vec<_> = lanes.map(|lane| rng(lane as u64)).collect();
        let mut starts = vec![true; worlds.len()];
        let mut played = vec![Vec::new(); worlds.len()];
        for _ in 0..12 {
            let mut inputs = Vec::new();
            for world in &mut worlds {
                inputs.extend((0..self.encoder.input_size()).map(|_| world.random::<f32>()));
            }
            let rng = Some(&mut generators);
            let acted = self.policy.act(&inputs, &starts, &mut state, rng);
            let logits = nn::values(&acted.logits);
            let (mut actions, mut rewards) = (Vec::new(), Vec::new());
            for (lane, bits) in played.iter_mut().enumerate() {
                let row = |all: &[f32]| -> Vec<u32> {
                    let width = all.len() / starts.len();
                    all[lane * width..][..width]
                        .iter()
                        .map(|x| x.to_bits())
                        .collect()
                };
                let width = core.decision_width();
                let decisions = acted.decisions[lane * width..][..width].iter();
                bits.extend(row(logits).into_iter().chain(row(&acted.values)));
                bits.extend(decisions.map(|decision| decision.cast_unsigned()));
                let width = self.encoder.heads().num_logits();
                let logits = &logits[lane * width..][..width];
                self.policy.draw(logits, generators.of(lane), &mut actions);
                rewards.push(worlds[lane].random::<f64>());
            }
            for (start, world) in starts.iter_mut().zip(&mut worlds) {
                *start = world.random_bool(0.25);
            }
            core.outcome(params, &mut state, &actions, &rewards, &starts);
        }
        for (lane, bits) in played.iter_mut().enumerate() {
            let rows = state.arrays.iter().map(|array| array.row(lane));
            bits.extend(rows.flatten().map(|x| x.to_bits()));
        }
        played
    }

    /// A state in the middle of episodes, some episodes in.
    fn experienced(&self, seed: u64) -> State {
        let mut state = self.fresh();
        let experience = self.experience(&[true; LANES], 12, seed);
        self.act(&experience, &mut state, Some(&mut noise(seed)));
        state
    }
}

/// Random rows for [`LANES`] lanes.
struct Experience {
    steps: usize,
    width: usize,
    inputs: Vec<f32>,
    starts: Vec<bool>,
    ends: Vec<bool>,
    actions: Vec<u32>,
    rewards: Vec<f32>,
}

impl Experience {
    fn random(width: usize, first_starts: &[bool; LANES], steps: usize, seed: u64) -> Self {
        let mut rng = rng(seed);
        let rows = steps * LANES;
        let ends: Vec<bool> = (0..rows).map(|_| rng.random_bool(0.25)).collect();
        Self {
            steps,
            width,
            inputs: (0..rows * width)
                .map(|_| rng.random_range(-1.0..1.0))
                .collect(),
            starts: [&first_starts[..], &ends[..rows - LANES]].concat(),
            actions: (0..rows).map(|_| rng.random_range(0..2)).collect(),
            rewards: (0..rows).map(|_| rng.random_range(-1.0..1.0)).collect(),
            ends,
        }
    }

    /// Without a beginning or an end.
    fn endless(mut self) -> Self {
        self.starts.fill(false);
        self.ends.fill(false);
        self
    }

    fn next_starts(&self) -> [bool; LANES] {
        self.ends[self.ends.len() - LANES..].try_into().unwrap()
    }

    fn segment<'a>(
        &'a self,
        initial_state: &'a State,
        decisions: &'a [i32],
        zeros: &'a [f32],
    ) -> Segment<'a> {
        Segment {
            steps: self.steps,
            batch: LANES,
            inputs: &self.inputs,
            starts: &self.starts,
            ends: &self.ends,
            actions: &self.actions,
            rewards: &self.rewards,
            goals: None,
            initial_state,
            decisions,
            returns: zeros,
            values: zeros,
        }
    }
}

/// Generators of the lanes.
fn noise(seed: u64) -> LaneGenerators {
    LaneGenerators::new(seed, 0..LANES)
}

fn rng(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// Writes returns into tables, as experience would: fewer rows than the neighbours of a key, so that no row comes nearer
/// than another where a weight moves a little.
pub(crate) fn fill_tables(policy: &mut Policy) {
    let (size, mut rng) = (policy.core.feature_size(), rng(7));
    let Some((tables, params)) = policy.tables_mut() else {
        return;
    };
    for table in (0..4 * tables.len()).map(|i| i % tables.len()) {
        let key: Vec<f32> = (0..size).map(|_| rng.random_range(-1.0..1.0)).collect();
        tables.write(params, table, &key, rng.random_range(-1.0..1.0), 1.0);
    }
}

/// Moves every weight, as training would: fresh ones are zero or tiny here and there.
fn jitter(params: &mut Params, seed: u64) {
    let mut rng = rng(seed);
    for id in params
        .ids()
        .filter(|&id| params.is_trained(id))
        .collect::<Vec<_>>()
    {
        for weight in params.data_mut(id) {
            *weight += rng.random_range(-0.3..0.3);
        }
    }
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= TOLERANCE, "{what}: [{i}] is {a}, not {b}");
    }
}

/// Two rollouts, the second in the middle of episodes and after an update of the weights; resets inside both.
fn unroll_repeats_the_steps(mut subject: Subject) {
    let mut noise = noise(2);
    let mut state = subject.fresh();
    let mut starts = [true; LANES];
    for rollout in 0..2 {
        let core = &subject.policy.core;
        core.refresh(&subject.policy.params, &mut state);
        let before = state.clone();
        let experience = subject.experience(&starts, 12, 3 + rollout);
        let (features, decisions) = subject.act(&experience, &mut state, Some(&mut noise));
        let zeros = vec![0.0; experience.starts.len()];
        let mut graph = Graph::training(&subject.policy.params);
        let unrolled = core.unroll(&mut graph, &experience.segment(&before, &decisions, &zeros));
        assert_close(nn::values(&unrolled.features), &features, "unrolled");
        starts = experience.next_starts();
        jitter(&mut subject.policy.params, 10 + rollout);
    }
}

/// A start wipes out all traces of an episode that was broken off.
fn a_reset_row_is_a_fresh_one(subject: &Subject) {
    let mut used = subject.fresh();
    let broken_off = subject.experience(&[true; LANES], 7, 3).endless();
    subject.act(&broken_off, &mut used, None);
    let mut fresh = subject.fresh();
    let steps = subject
        .hyper
        .has::<Steps>()
        .then(|| subject.hyper.get::<Steps>());
    if steps.is_some_and(|steps| steps.retention_rule == RetentionRule::Reservoir) {
        // It draws in evaluation, too, and goes on where it is: as far as after another episode of equal length.
        let other = subject.experience(&[true; LANES], 7, 8).endless();
        subject.act(&other, &mut fresh, None);
    }
    let mut after = subject.experience(&[true; LANES], 6, 4).endless();
    after.starts[..LANES].fill(true);
    let (found, _) = subject.act(&after, &mut used, None);
    let (expected, _) = subject.act(&after, &mut fresh, None);
    assert_eq!(found, expected, "a reset row");
}

/// Other inputs and outcomes in lane 0 change nothing in the other lanes.
fn lanes_do_not_mix(subject: &Subject) {
    let experience = subject.experience(&[true; LANES], 12, 3);
    let mut disturbed = subject.experience(&[true; LANES], 12, 3);
    for row in (0..disturbed.starts.len()).step_by(LANES) {
        disturbed.inputs[row * disturbed.width] += 0.5;
        disturbed.rewards[row] += 0.5;
        disturbed.actions[row] = 1 - disturbed.actions[row];
    }
    let zeros = vec![0.0; experience.starts.len()];
    let features = [&experience, &disturbed].map(|experience| {
        let mut state = subject.fresh();
        let before = state.clone();
        let (acted, decisions) = subject.act(experience, &mut state, None);
        let segment = experience.segment(&before, &decisions, &zeros);
        let mut graph = Graph::inference(&subject.policy.params);
        let unrolled = subject.policy.core.unroll(&mut graph, &segment);
        (acted, nn::values(&unrolled.features).to_vec())
    });
    let width = subject.policy.core.feature_size();
    let mut lane_0_differs = false;
    for row in 0..experience.starts.len() {
        let columns = row * width..(row + 1) * width;
        let differs = features[0].0[columns.clone()] != features[1].0[columns.clone()];
        if row % LANES == 0 {
            lane_0_differs |= differs;
        } else {
            assert!(!differs, "acting: row {row} saw another lane");
            assert_close(
                &features[1].1[columns.clone()],
                &features[0].1[columns],
                "learning: a row that saw another lane",
            );
        }
    }
    assert!(lane_0_differs, "the disturbance did nothing");
}

/// A lane's decisions are settled alike alone and among others.
fn lanes_are_settled_apart(subject: &Subject) {
    let core = &subject.policy.core;
    let experience = subject.experience(&[true; LANES], 12, 3);
    let (_, raw) = subject.act(&experience, &mut subject.fresh(), Some(&mut noise(5)));
    let mut together = raw.clone();
    core.settle(LANES, &experience.starts, &experience.ends, &mut together);
    let width = core.decision_width();
    for lane in 0..LANES {
        let rows = || (lane..experience.starts.len()).step_by(LANES);
        let decisions = |all: &[i32]| -> Vec<i32> {
            rows()
                .flat_map(|row| all[row * width..][..width].to_vec())
                .collect()
        };
        let flags = |all: &[bool]| -> Vec<bool> { rows().map(|row| all[row]).collect() };
        let mut alone = decisions(&raw);
        let (starts, ends) = (flags(&experience.starts), flags(&experience.ends));
        core.settle(1, &starts, &ends, &mut alone);
        assert_eq!(alone, decisions(&together), "lane {lane}");
    }
}

/// The whole way from actor and critic into the memory, with entries from before the segment in it. Tables and fixed
/// projections are no weights: a learner that has nothing else has no gradient.
fn a_gradient_reaches_every_parameter(subject: Subject) {
    let mut state = subject.experienced(3);
    subject
        .policy
        .core
        .refresh(&subject.policy.params, &mut state);
    let before = state.clone();
    let experience = subject.experience(&[false; LANES], 8, 4);
    let (_, decisions) = subject.act(&experience, &mut state, Some(&mut noise(5)));
    let rows = experience.starts.len();
    let zeros = vec![0.0; rows];
    let ones = vec![1.0; rows];
    let mut targets = rng(6);
    let targets: Vec<f32> = (0..subject.encoder.heads().num_logits() * rows)
        .map(|_| targets.random_range(-1.0..1.0))
        .collect();
    let mut policy = subject.policy;
    let mut params = std::mem::take(&mut policy.params);
    let loss = |graph: &mut Graph<'_>| {
        let seen = policy.evaluate(graph, &experience.segment(&before, &decisions, &zeros));
        let actor = graph.mse(&seen.logits, &targets, &ones);
        let critic = graph.mse(&seen.values, &targets[..rows], &ones);
        graph.total(&[(1.0, &actor), (1.0, &critic)])
    };
    let mut graph = Graph::training(&params);
    let output = loss(&mut graph);
    let gradients = graph.backward(&output);
    let trained: Vec<_> = params.ids().filter(|&id| params.is_trained(id)).collect();
    if trained.is_empty() {
        return;
    }
    for id in trained {
        let idle = !subject.hyper.get::<Slots>().memory_learn_retention
            && params.name(id).contains("usefulness");
        if policy.core.may_be_idle(params.name(id)) {
            continue;
        }
        let reached = gradients
            .of(id)
            .is_some_and(|gradient| gradient.iter().any(|&g| g != 0.0));
        assert!(
            reached != idle,
            "a gradient where there should be none, or none, at `{}`",
            params.name(id)
        );
    }
    check_gradients(&mut params, loss);
}

/// The losses of the memory's own: their gradients are right, and reach what gets none from actor and critic. Returns of 0 are
/// targets that no weight moves.
fn own_losses_have_their_gradients(subject: Subject) {
    let before = subject.fresh();
    let experience = subject.experience(&[true; LANES], 24, 4);
    let noise = &mut noise(5);
    let (_, mut decisions) = subject.act(&experience, &mut subject.fresh(), Some(noise));
    let mut policy = subject.policy;
    let mut params = std::mem::take(&mut policy.params);
    let core = &policy.core;
    core.settle(LANES, &experience.starts, &experience.ends, &mut decisions);
    let zeros = vec![0.0; experience.starts.len()];
    let segment = experience.segment(&before, &decisions, &zeros);
    let loss = |graph: &mut Graph<'_>| {
        let losses = core.unroll(graph, &segment).losses;
        let losses = losses.iter().map(|(_, _, loss)| (1.0, loss));
        graph.total(&losses.collect::<Vec<_>>())
    };
    let mut graph = Graph::training(&params);
    let output = loss(&mut graph);
    let gradients = graph.backward(&output);
    for id in params.ids().filter(|&id| core.may_be_idle(params.name(id))) {
        let gradient = gradients.of(id).unwrap_or_default();
        let name = params.name(id);
        assert!(gradient.iter().any(|&g| g != 0.0), "nothing at `{name}`");
    }
    check_gradients(&mut params, loss);
}

fn a_saved_state_goes_on_as_before(subject: &Subject) {
    let mut state = subject.experienced(3);
    let saved = rmp_serde::to_vec_named(&state).unwrap();
    let mut loaded: State = rmp_serde::from_slice(&saved).unwrap();
    assert_eq!(loaded, state, "loaded");
    let mut copied = subject.fresh();
    for lane in 0..LANES {
        copied.copy_row(lane, &state, lane);
    }
    assert_eq!(copied, state, "copied lane by lane");
    let turned = state.gather(&[2, 0, 1]).gather(&[1, 2, 0]);
    assert_eq!(turned, state, "turned around and back");
    let experience = subject.experience(&[false; LANES], 12, 4);
    let expected = subject.act(&experience, &mut state, Some(&mut noise(5)));
    let found = subject.act(&experience, &mut loaded, Some(&mut noise(5)));
    assert!(
        found == expected && loaded == state,
        "a loaded state continues differently"
    );
}

/// Learning recomputes the log-probabilities that acting stored, in all lanes together and in some of them. A greedy policy
/// has none that depend on the weights: there it recomputes the values.
fn ratios_are_one_before_the_first_update(mut subject: Subject, mut env: TestTask) {
    let mut collector = Collector::begin(
        &mut env,
        subject.encoder.clone(),
        &subject.policy,
        &subject.hyper,
        &[],
        LaneSeeds::training(0, 0..LANES),
    )
    .unwrap();
    let mut noise = rng(2);
    for update in 0..3 {
        let rollout = collector
            .collect(&subject.policy, Behaviour::Policy, &mut noise, usize::MAX)
            .unwrap();
        for part in [rollout.clone(), rollout.lanes(&[2, 0]), rollout.lanes(&[1])] {
            let (log_probs, values) = recomputed(&subject.policy, &part);
            if subject.policy.outputs().is_stochastic() {
                assert_close(&log_probs, &part.log_probs, "log-probabilities");
            } else {
                assert_close(&values, &part.values, "values");
            }
        }
        jitter(&mut subject.policy.params, 20 + update);
    }
}

fn recomputed(policy: &Policy, rollout: &Rollout) -> (Vec<f32>, Vec<f32>) {
    let zeros = vec![0.0; rollout.rewards.len()];
    let mut graph = Graph::training(&policy.params);
    let seen = policy.evaluate(&mut graph, &rollout.segment(&zeros));
    let heads = policy.heads();
    let log_probs = nn::values(&seen.logits)
        .chunks_exact(heads.num_logits())
        .zip(rollout.actions.chunks_exact(heads.components()))
        .map(|(logits, action)| log_prob(heads.heads(), logits, action))
        .collect();
    (log_probs, nn::values(&seen.values).to_vec())
}

fn log_prob(heads: &[ActionHead], mut logits: &[f32], action: &[u32]) -> f32 {
    let is_number = |head: &&ActionHead| matches!(head, ActionHead::Gaussian(_));
    let numbers = heads.iter().filter(is_number).count();
    let mut log_stds = logits[logits.len() - numbers..].iter();
    let mut sum = 0.0;
    for (head, &taken) in heads.iter().zip(action) {
        let size = match head {
            ActionHead::Categorical(choices) => *choices,
            ActionHead::Gaussian(_) => 1,
        };
        let (component, rest) = logits.split_at(size);
        sum += match head {
            ActionHead::Categorical(_) => {
                let mut log_probs = component.to_vec();
                categorical::log_softmax(&mut log_probs, size);
                log_probs[taken as usize]
            }
            ActionHead::Gaussian(_) => {
                let &log_std = log_stds.next().expect("one for each number");
                normal::log_density(number(taken), component[0], log_std)
            }
        };
        logits = rest;
    }
    sum
}

fn evaluation_is_deterministic(subject: &Subject) {
    let experience = subject.experience(&[true; LANES], 12, 3);
    let [first, second] = [(); 2].map(|()| subject.act(&experience, &mut subject.fresh(), None));
    assert!(first == second, "two evaluations differ");
}

/// Two pasts of equal length lead to the same future.
fn nothing_is_left_after_forgetting(subject: &Subject) {
    let future = subject.experience(&[false; LANES], 6, 9);
    let [first, second] = [3, 4].map(|seed| {
        let mut past = subject.experience(&[true; LANES], 12, 5);
        let other = subject.experience(&[true; LANES], 12, seed);
        (past.inputs, past.rewards) = (other.inputs, other.rewards);
        let mut state = subject.fresh();
        subject.act(&past, &mut state, None);
        subject.policy.core.forget(&mut state);
        subject.act(&future, &mut state, None).0
    });
    assert_eq!(first, second, "features after forgetting");
}

/// With the algorithm's own hyper-parameters; an agent that carries nothing must stay at chance.
fn one_step_recall_is_learned(algorithm_id: &str) {
    let config = TrainConfig::resolve(
        algorithms::find(algorithm_id).unwrap(),
        &Overrides::default(),
        EnvSelection {
            spec_id: "MemoryTask-v0".into(),
            kwargs: serde_json::Map::new(),
            draws: Vec::new(),
        },
        RECALL_BUDGET,
        0,
    )
    .unwrap();
    let row = algorithms::find(algorithm_id).unwrap();
    let mut env = algorithms::test_task(row, config.hyper.get::<Collection>().num_envs, 2);
    let options = TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume: None,
        stop: &AtomicBool::new(false),
    };
    let trained = train(&config, &mut env, options, &mut Silent).unwrap();
    let greedy = greedy_return(row, &trained.checkpoint);
    let run = trained.checkpoint.run;
    let has_memory = !run.collector.lanes.memory.arrays.is_empty();
    let statistics = run.statistics;
    // Returns of chance, from which an offline learner learns, say nothing about it.
    let is_learned = statistics.solved_at.is_some() || greedy >= 0.95;
    assert_eq!(
        is_learned,
        has_memory,
        "{algorithm_id}: one-step recall; last returns {:?}",
        statistics.recent_return()
    );
    eprintln!(
        "  one-step recall at step {:?}, greedy {greedy}",
        statistics.solved_at
    );
}

/// Mean return of 100 greedy episodes of one-step recall, half of them with each cue.
fn greedy_return(row: &Algorithm, checkpoint: &Checkpoint) -> f64 {
    let options = EvaluateOptions {
        episodes: 100,
        seed: 0,
        mode: Mode::Greedy,
        balanced: algorithms::plays_without_raster(row),
        judged_step: None,
        episodes_per_lifetime: 1,
    };
    let player = Player::new(checkpoint).unwrap();
    let mut env = algorithms::test_task(row, options.episodes, 2);
    player.evaluate(&mut env, &options).unwrap().mean_return
}
