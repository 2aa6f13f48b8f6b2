//! The learners are trained, evaluated, inspected and exported like the rows of the table.

use std::sync::atomic::AtomicBool;

use super::{CONTROLS, LEARNERS, controls, learners};
use crate::algorithms::sections::Overrides;
use crate::algorithms::{self, Algorithm};
use crate::deploy::onnx_export;
use crate::env::VectorEnv;
use crate::env::selection::EnvSelection;
use crate::env::test_task::TestTask;
use crate::evaluate::inspect::record_episode;
use crate::evaluate::{EvaluateOptions, Mode, Player};
use crate::experience::{Collection, Collector, Dataset, Playback, Recorder, Source};
use crate::learner::{Experience, LearnerContext};
use crate::overrides;
use crate::policy::inputs::InputEncoder;
use crate::run::checkpoint::Checkpoint;
use crate::run::config::TrainConfig;
use crate::run::train::{Ending, Origin, TrainError, TrainOptions, Trained, train, train_from};
use crate::seeds::{self, LaneSeeds, Role};
use crate::views::heatmap::MemoryView;
use crate::views::monitor::Silent;

/// Steps within which each learner solves the task below.
const BUDGET: u64 = 20_480;
/// Steps of an episode: the cue is on screen in the first and asked for in the second.
const DELAY: u64 = 2;

fn config(algorithm: &Algorithm, total_timesteps: u64) -> TrainConfig {
    config_with(algorithm, &Overrides::default(), total_timesteps)
}

fn config_with(algorithm: &Algorithm, overrides: &Overrides, total_timesteps: u64) -> TrainConfig {
    let env = EnvSelection {
        spec_id: "MemoryTask-v0".into(),
        kwargs: serde_json::Map::new(),
        draws: Vec::new(),
    };
    TrainConfig::resolve(algorithm, overrides, env, total_timesteps, 0).unwrap()
}

fn options(stop: &AtomicBool) -> TrainOptions<'_> {
    TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume: None,
        stop,
    }
}

fn trained(algorithm: &Algorithm) -> Trained {
    let config = config(algorithm, BUDGET);
    let mut env = TestTask::new(config.hyper.get::<Collection>().num_envs, DELAY);
    train(
        &config,
        &mut env,
        options(&AtomicBool::new(false)),
        &mut Silent,
    )
    .unwrap()
}

/// Mean return of 200 balanced episodes.
fn score(checkpoint: &Checkpoint, mode: Mode) -> f64 {
    let options = EvaluateOptions {
        episodes: 200,
        seed: 0,
        mode,
        balanced: true,
        judged_step: Some(DELAY - 1),
        episodes_per_lifetime: 1,
    };
    let player = Player::new(checkpoint).unwrap();
    let mut env = TestTask::new(200, DELAY);
    player.evaluate(&mut env, &options).unwrap().mean_return
}

#[test]
fn each_learner_remembers_a_cue_and_its_control_cannot() {
    for algorithm in learners() {
        let checkpoint = trained(algorithm).checkpoint;
        for mode in [Mode::Greedy, Mode::Scrambled] {
            let mean = score(&checkpoint, mode);
            assert!(mean >= 0.95, "{}, {mode}: {mean}", algorithm.id);
        }
        let emptied = score(&checkpoint, Mode::Emptied);
        assert!(emptied.abs() <= 0.2, "{}, emptied: {emptied}", algorithm.id);
    }
    for algorithm in controls() {
        let mean = score(&trained(algorithm).checkpoint, Mode::Greedy);
        assert!(mean.abs() <= 0.2, "{}: {mean}", algorithm.id);
    }
}

/// A policy of values is greedy: what is drawn from it is what it likes best. A softmax policy may do otherwise.
#[test]
fn only_a_softmax_policy_draws_its_actions() {
    for algorithm in learners() {
        let config = config(algorithm, 256);
        let mut env = TestTask::new(config.hyper.get::<Collection>().num_envs, DELAY);
        let stop = AtomicBool::new(false);
        let checkpoint = train(&config, &mut env, options(&stop), &mut Silent)
            .unwrap()
            .checkpoint;
        let returns = |mode| {
            let options = EvaluateOptions {
                episodes: 200,
                seed: 0,
                mode,
                balanced: true,
                judged_step: None,
                episodes_per_lifetime: 1,
            };
            let player = Player::new(&checkpoint).unwrap();
            player
                .evaluate(&mut TestTask::new(200, DELAY), &options)
                .unwrap()
                .returns
        };
        let is_greedy = returns(Mode::Sampled) == returns(Mode::Greedy);
        assert_eq!(
            is_greedy,
            algorithm.id != "proof-imitation",
            "{}",
            algorithm.id
        );
    }
}

#[test]
fn a_memory_is_inspected_whatever_learned_over_it() {
    for algorithm in learners() {
        let player = Player::new(&trained(algorithm).checkpoint).unwrap();
        let mut env = TestTask::new(1, 5);
        let view = record_episode(&player, &mut env, 0, "episode".into(), vec![0]).unwrap();
        assert_eq!(view.rewards.len(), 5);
        // Where values come from tables, the neighbours of a key are shown.
        let values: Vec<f32> = match view.memory {
            MemoryView::Units(units) => units.values,
            MemoryView::Vectors { vectors } if algorithm.id == "proof-episodic-control" => vectors
                .into_iter()
                .flat_map(|vector| vector.values)
                .collect(),
            _ => panic!("{}: an LSTM has units", algorithm.id),
        };
        assert!(values.iter().any(|&value| value != 0.0), "{}", algorithm.id);
    }
}

#[test]
fn each_learner_is_exported_or_says_why_not() {
    for algorithm in learners() {
        let model = onnx_export::export(&trained(algorithm).checkpoint.to_bytes());
        match (algorithm.id, model) {
            ("proof-episodic-control", Err(error)) => {
                assert!(error.to_string().contains("tables"), "{error}");
            }
            (id, model) => {
                let bytes = model.unwrap_or_else(|error| panic!("{id}: {error}"));
                assert!(!bytes.is_empty());
            }
        }
    }
}

#[test]
fn a_task_that_an_algorithm_cannot_play_is_refused_before_the_first_step() {
    static PICKY: Algorithm = Algorithm {
        id: "proof-picky",
        plays: |_| Err("it has no grid"),
        ..super::q_learning::ROW
    };
    algorithms::add(&PICKY);
    let config = config(&PICKY, 1_000);
    let mut env = TestTask::new(config.hyper.get::<Collection>().num_envs, DELAY);
    let spaces = env.spaces();
    let refusal = PICKY.refusal(&spaces, &config.hyper);
    assert_eq!(refusal.as_deref(), Some("it has no grid"));
    let stop = AtomicBool::new(false);
    let error = train(&config, &mut env, options(&stop), &mut Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "proof-picky cannot play this task: it has no grid"
    );
    let row = &LEARNERS[0];
    assert_eq!(row.refusal(&spaces, &(row.defaults)()), None);
}

/// Returns are those of chance: the task is not solved by luck, and no checkpoint is the best.
#[test]
fn offline_learning_is_not_judged_by_what_is_played() {
    algorithms::add(&LEARNERS[2]);
    let config = config(&LEARNERS[2], 2_000);
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let kept = TrainOptions {
        out: Some(folder.path()),
        checkpoint_interval: Some(500),
        ..options(&stop)
    };
    let mut env = TestTask::new(config.hyper.get::<Collection>().num_envs, DELAY);
    // Every episode of chance would be good enough.
    env.solved_threshold = Some(-1.0);
    let trained = train(&config, &mut env, kept, &mut Silent).unwrap();
    let statistics = trained.checkpoint.run.statistics;
    assert_eq!(trained.ending, Ending::Budget);
    assert_eq!((statistics.solved_at, statistics.best_return), (None, None));
    assert!(
        statistics
            .recent_return()
            .is_some_and(|(mean, _)| mean.abs() < 0.5)
    );
}

/// Episodes of chance, as a program records them.
fn dataset() -> Dataset {
    let mut task = TestTask::new(50, DELAY);
    let spaces = task.spaces();
    let mut dataset = Dataset::new(spaces, 1 << 20).unwrap();
    let mut env = Recorder::new(&mut task, &mut dataset);
    let random = algorithms::find("random").unwrap();
    let overrides = overrides! { num_envs: 50 };
    let config = config_with(random, &overrides, 1_000);
    let stop = AtomicBool::new(false);
    train(&config, &mut env, options(&stop), &mut Silent).unwrap();
    assert_eq!(dataset.episodes().len(), 500);
    dataset
}

fn learn_from(
    dataset: &Dataset,
    algorithm: &'static Algorithm,
    resume: Option<Checkpoint>,
    total_timesteps: u64,
) -> Result<Trained, TrainError> {
    algorithms::add(algorithm);
    let mut config = config(algorithm, BUDGET);
    config.total_timesteps = total_timesteps;
    let mut playback = Playback::new(dataset, config.hyper.get::<Collection>().num_envs).unwrap();
    let stop = AtomicBool::new(false);
    let options = TrainOptions {
        resume,
        ..options(&stop)
    };
    let origin = Origin::Recording(&mut playback);
    train_from(&config, origin, options, &mut Silent)
}

/// No environment is stepped. A run that is stopped at half and resumed ends like an uninterrupted one.
#[test]
fn a_dataset_is_learned_from_without_playing() {
    let dataset = dataset();
    let whole = learn_from(&dataset, &LEARNERS[2], None, BUDGET).unwrap();
    let mean = score(&whole.checkpoint, Mode::Greedy);
    assert!(mean >= 0.95, "{mean}");
    let statistics = &whole.checkpoint.run.statistics;
    assert_eq!((statistics.timesteps, statistics.solved_at), (BUDGET, None));

    let half = learn_from(&dataset, &LEARNERS[2], None, BUDGET / 2).unwrap();
    let bytes = half.checkpoint.to_bytes();
    let half = Checkpoint::from_bytes(&bytes).unwrap();
    let resumed = learn_from(&dataset, &LEARNERS[2], Some(half), BUDGET).unwrap();
    assert!(resumed.checkpoint.to_bytes() == whole.checkpoint.to_bytes());

    let mean = score(
        &learn_from(&dataset, &CONTROLS[2], None, BUDGET)
            .unwrap()
            .checkpoint,
        Mode::Greedy,
    );
    assert!(mean.abs() <= 0.2, "{mean}");
}

/// The row for this learns from a recording as from chance: no environment is stepped.
#[test]
fn a_decision_transformer_learns_from_a_dataset() {
    let dataset = dataset();
    let overrides = overrides! { train_every: 32 };
    let config = config_with(algorithms::find("dt").unwrap(), &overrides, BUDGET);
    let mut playback = Playback::new(&dataset, config.hyper.get::<Collection>().num_envs).unwrap();
    let stop = AtomicBool::new(false);
    let origin = Origin::Recording(&mut playback);
    let trained = train_from(&config, origin, options(&stop), &mut Silent).unwrap();
    let mean = score(&trained.checkpoint, Mode::Greedy);
    assert!(mean >= 0.95, "{mean}");
    assert_eq!(trained.checkpoint.run.statistics.solved_at, None);
}

/// Rewards without bound: neither weights nor optimiser nor target network move.
#[test]
fn an_update_that_diverges_changes_nothing() {
    for algorithm in learners().filter(|row| row.id != "proof-episodic-control") {
        let config = config(algorithm, 1_000);
        let mut env = TestTask::new(config.hyper.get::<Collection>().num_envs, DELAY);
        let spaces = (env.observation_space(), env.action_space());
        let encoder = InputEncoder::new(spaces.0, spaces.1, &config.hyper, false).unwrap();
        let mut rng = seeds::generator(0, Role::Agent);
        let mut policy = algorithm.policy(&config.hyper, &encoder, &mut rng);
        let mut learner = (algorithm.learner)(&mut LearnerContext {
            policy: &mut policy,
            encoder: &encoder,
            hyper: &config.hyper,
            rng: &mut rng,
        });
        let seeds = LaneSeeds::training(0, 0..env.num_envs());
        let mut source =
            Collector::begin(&mut env, encoder, &policy, &config.hyper, &[], seeds).unwrap();
        for is_poisoned in [false, true] {
            let behaviour = learner.behaviour(0.5);
            let rollout = source
                .collect(&policy, behaviour, &mut rng, usize::MAX)
                .unwrap();
            let poison = vec![f32::INFINITY; rollout.rewards.len()];
            let experience = Experience {
                rollout: &rollout,
                rewards: if is_poisoned {
                    &poison
                } else {
                    &rollout.rewards
                },
                progress: 0.5,
            };
            let before = (policy.params.export(), learner.export());
            let learned = learner.learn(&mut policy, &experience, &mut rng);
            let after = (policy.params.export(), learner.export());
            assert_eq!(learned.is_err(), is_poisoned, "{}", algorithm.id);
            let is_same = before.0 == after.0
                && before.1.adam == after.1.adam
                && before.1.arrays == after.1.arrays;
            assert_eq!(is_same, is_poisoned, "{}", algorithm.id);
        }
    }
}
