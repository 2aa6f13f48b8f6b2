use clap::ValueEnum;

use super::*;
use crate::algorithms::sections::Overrides;
use crate::env::selection::EnvSelection;
use crate::env::test_task::TestTask;
use crate::env::{ResetReply, ResetRequest, Space, StepReply};
use crate::evaluate::{EvaluateOptions, Mode, Player};
use crate::experience::Episode;
use crate::experience::{Behaviour, Collection};
use crate::learner::auxiliary::AuxModule;
use crate::memory::slots::{MemoryScope, RetentionRule, Steps};
use crate::nn;
use crate::overrides;
use crate::policy::lanes::Lanes;
use crate::spaces::actions::Choice;
use crate::views::monitor::Silent;

/// A configuration for [`TestTask`]. What is set for other algorithms is left out.
fn config(algorithm: &str, overrides: &Overrides, total_timesteps: u64, seed: u64) -> TrainConfig {
    let env = EnvSelection {
        spec_id: "MemoryTask-v0".into(),
        kwargs: serde_json::Map::new(),
        draws: Vec::new(),
    };
    let row = algorithms::find(algorithm).unwrap();
    let overrides = overrides.clone().known_to(&(row.defaults)());
    TrainConfig::resolve(row, &overrides, env, total_timesteps, seed).unwrap()
}

/// Small and quick, with rollouts that cut episodes in the middle.
fn quick() -> Overrides {
    overrides! {
        num_envs: 4,
        num_steps: 10,
        whole_episodes: false,
        num_minibatches: 2,
        update_epochs: 2,
        early_stop: false,
    }
}

/// Small, for players that do not learn.
fn short() -> Overrides {
    overrides! {
        num_envs: 4,
        num_steps: 10,
    }
}

/// [`quick`], with every option that is off by default.
fn with_every_option() -> Overrides {
    quick().overlaid(&overrides! {
        aux_modules: vec![
            AuxModule::Cue,
            AuxModule::Confidence,
            AuxModule::NextObservation,
        ],
        reward_norm: true,
        intrinsic_expl: true,
        use_rnd: true,
    })
}

/// Many updates in few steps.
fn few_lanes() -> Overrides {
    overrides! {
        num_envs: 8,
        num_steps: 32,
    }
}

fn options(stop: &AtomicBool) -> TrainOptions<'_> {
    TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume: None,
        stop,
    }
}

/// The task in a form that the algorithm plays.
fn task(config: &TrainConfig, delay: u64) -> TestTask {
    let row = algorithms::find(&config.algorithm).unwrap();
    algorithms::test_task(row, config.hyper.get::<Collection>().num_envs, delay)
}

fn run(config: &TrainConfig, delay: u64) -> Trained {
    let mut env = task(config, delay);
    let stop = AtomicBool::new(false);
    train(config, &mut env, options(&stop), &mut Silent).unwrap()
}

/// Asks for a stop after some rollouts.
struct StopAfter<'a> {
    rollouts: u64,
    stop: &'a AtomicBool,
}

impl Monitor for StopAfter<'_> {
    fn update(&mut self, _progress: &Progress, _record: &LogRecord) -> Result<(), MonitorError> {
        self.rollouts -= 1;
        if self.rollouts == 0 {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

/// As [`assert_resumes`], of the task in a form that the algorithm plays.
fn assert_resumes_bit_for_bit(config: &TrainConfig) {
    assert_resumes(config, || task(config, 4));
}

/// Compares an uninterrupted run with the same run stopped in the middle, written to a file, read back and resumed in a new
/// environment. The first stops after 5 rollouts of its 15.
fn assert_resumes(config: &TrainConfig, new: impl Fn() -> TestTask) {
    let stop = AtomicBool::new(false);
    let uninterrupted = train(config, &mut new(), options(&stop), &mut Silent).unwrap();
    assert_eq!(uninterrupted.ending, Ending::Budget);

    let mut monitor = StopAfter {
        rollouts: 5,
        stop: &stop,
    };
    let interrupted = train(config, &mut new(), options(&stop), &mut monitor).unwrap();
    assert_eq!(interrupted.ending, Ending::Interrupted);
    assert_eq!(interrupted.checkpoint.run.statistics.timesteps, 200);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LATEST);
    interrupted.checkpoint.save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded.to_bytes(), interrupted.checkpoint.to_bytes());

    let stop = AtomicBool::new(false);
    let resumed = TrainOptions {
        resume: Some(loaded),
        ..options(&stop)
    };
    let resumed = train(config, &mut new(), resumed, &mut Silent).unwrap();
    assert!(
        resumed.checkpoint.to_bytes() == uninterrupted.checkpoint.to_bytes(),
        "{}: a resumed run ends otherwise",
        config.algorithm
    );
}

#[test]
fn a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one() {
    for row in algorithms::ALGORITHMS.iter().filter(|row| !row.learns()) {
        assert_resumes_bit_for_bit(&config(row.id, &short(), 600, 7));
    }
    for row in algorithms::every_learner() {
        assert_resumes_bit_for_bit(&config(row.id, &quick(), 600, 7));
        let mut overrides = with_every_option();
        if (row.defaults)().has::<Steps>() {
            overrides.steps.memory_scope = Some(MemoryScope::Both);
        }
        assert_resumes_bit_for_bit(&config(row.id, &overrides, 600, 7));
    }
}

#[test]
fn a_run_with_any_rule_of_retention_resumes_alike() {
    for &rule in RetentionRule::value_variants() {
        let mut overrides = quick();
        overrides.steps.retention_rule = Some(rule);
        overrides.slots.max_entries = Some(3);
        if rule != RetentionRule::Fifo {
            overrides.steps.recent_entries = Some(1);
        }
        assert_resumes_bit_for_bit(&config("tracerl", &overrides, 600, 7));
    }
}

/// Numbers that were drawn are stored as they were drawn.
#[test]
fn a_resumed_run_of_numbers_ends_alike() {
    for id in ["ppo", "recurrent-ppo", "merlin", "tracerl", "random"] {
        let overrides = with_every_option().overlaid(&overrides! {
            previous_action: true,
        });
        let config = config(id, &overrides, 600, 7);
        let num_envs = config.hyper.get::<Collection>().num_envs;
        assert_resumes(&config, || TestTask::of_mixtures(num_envs, 4));
    }
}

/// An agent that knows the answer plays; one that has learned nothing learns from it, and no return is its own.
#[test]
fn a_trained_agent_plays_in_the_learners_place() {
    let trained = run(&config("recurrent-ppo", &few_lanes(), 40_000, 0), 2);
    assert_eq!(trained.ending, Ending::EarlyStop);
    let folder = tempfile::tempdir().unwrap();
    trained
        .checkpoint
        .save(&folder.path().join(LATEST))
        .unwrap();
    let overrides = quick().overlaid(&overrides! {
        behaviour_checkpoint: folder.path().to_str().unwrap(),
    });
    let guided = config("dt", &overrides, 600, 7);
    assert_resumes_bit_for_bit(&guided);
    let statistics = run(&guided, 2).checkpoint.run.statistics;
    let (mean, _) = statistics.recent_return().unwrap();
    assert!(mean > 0.7, "{mean}");
    assert_eq!((statistics.solved_at, statistics.best_return), (None, None));

    let half = run(&guided, 2).checkpoint;
    let other = run(&config("recurrent-ppo", &few_lanes(), 1_000, 1), 2);
    other.checkpoint.save(&folder.path().join(LATEST)).unwrap();
    let stop = AtomicBool::new(false);
    let resumed = TrainOptions {
        resume: Some(half),
        ..options(&stop)
    };
    let refused = train(&guided, &mut task(&guided, 2), resumed, &mut Silent).unwrap_err();
    assert!(matches!(refused, TrainError::OtherGuest), "{refused}");
}

/// Choices as observations, actions of several components, numbers among them, and every question and bonus about them.
#[test]
fn every_algorithm_learns_from_compound_spaces() {
    for row in algorithms::every_learner().filter(|row| algorithms::plays_without_raster(row)) {
        let mut overrides = with_every_option().overlaid(&overrides! {
            previous_action: true,
        });
        if (row.defaults)().has::<Steps>() {
            overrides.steps.memory_scope = Some(MemoryScope::Both);
        }
        let config = config(row.id, &overrides, 600, 7);
        let num_envs = config.hyper.get::<Collection>().num_envs;
        for mut env in algorithms::test_tasks(row, num_envs, 4).into_iter().skip(1) {
            let stop = AtomicBool::new(false);
            let mut last = Last::default();
            let trained = train(&config, &mut env, options(&stop), &mut last).unwrap();
            assert!(trained.checkpoint.run.statistics.updates > 0, "{}", row.id);
            for (name, value) in &last.0 {
                assert!(value.is_finite(), "{}: {name} is {value}", row.id);
            }
        }
    }
}

/// Mean return of greedy episodes of a task of numbers, after so many steps of training.
fn greedy_return_of_numbers(algorithm: &str, delay: u64, total_timesteps: u64) -> f64 {
    let overrides = overrides! {
        num_envs: 16,
        num_steps: 32,
        whole_episodes: false,
        learning_rate: 3e-3,
        ent_coef: 0.0,
        log_std_init: -1.0,
    };
    let config = config(algorithm, &overrides, total_timesteps, 0);
    let num_envs = config.hyper.get::<Collection>().num_envs;
    let stop = AtomicBool::new(false);
    let mut env = TestTask::of_numbers(num_envs, delay);
    let trained = train(&config, &mut env, options(&stop), &mut Silent).unwrap();
    let options = EvaluateOptions {
        episodes: 100,
        seed: 0,
        mode: Mode::Greedy,
        balanced: false,
        judged_step: None,
        episodes_per_lifetime: 1,
    };
    let player = Player::new(&trained.checkpoint).unwrap();
    let mut env = TestTask::of_numbers(options.episodes, delay);
    player.evaluate(&mut env, &options).unwrap().mean_return
}

/// PPO says the number on screen, and with a memory the number of a step before. Without one the best is to say 0, which
/// earns ½.
#[test]
fn a_number_is_said_and_remembered() {
    let said = greedy_return_of_numbers("ppo", 1, 60_000);
    let remembered = greedy_return_of_numbers("recurrent-ppo", 2, 60_000);
    let forgotten = greedy_return_of_numbers("ppo", 2, 60_000);
    let returns = [said, remembered, forgotten];
    assert!(said > 0.9 && remembered > 0.9, "{returns:?}");
    assert!(forgotten < 0.6, "{returns:?}");
}

#[test]
fn equal_seeds_give_equal_bits_and_others_others() {
    for row in algorithms::every_learner() {
        let bytes = |seed| {
            let config = config(row.id, &quick(), 400, seed);
            run(&config, 3).checkpoint.to_bytes()
        };
        assert!(bytes(1) == bytes(1), "{}: equal seeds", row.id);
        assert!(bytes(1) != bytes(2), "{}: other seeds", row.id);
    }
}

#[test]
fn checkpoints_on_the_way_keep_the_best() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("ppo", &quick(), 2_000, 0);
    let mut env = TestTask::new(4, 1);
    let stop = AtomicBool::new(false);
    let on_the_way = TrainOptions {
        out: Some(folder.path()),
        checkpoint_interval: Some(200),
        ..options(&stop)
    };
    let trained = train(&config, &mut env, on_the_way, &mut Silent).unwrap();
    let latest = Checkpoint::load(&folder.path().join(LATEST)).unwrap();
    assert_eq!(latest.to_bytes(), trained.checkpoint.to_bytes());
    let best = Checkpoint::load(&folder.path().join(BEST)).unwrap();
    assert_eq!(
        best.run.statistics.recent_return().map(|(mean, _)| mean),
        trained.checkpoint.run.statistics.best_return
    );
}

/// A task whose rewards are without bound after so many steps, or whose state cannot be saved.
struct Faulty {
    task: TestTask,
    good_steps: u64,
    can_save: bool,
}

impl VectorEnv for Faulty {
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
        self.task.reset(request)
    }

    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
        let mut reply = self.task.step(actions)?;
        match self.good_steps.checked_sub(1) {
            Some(left) => self.good_steps = left,
            None => reply.rewards.fill(f64::INFINITY),
        }
        Ok(reply)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        match self.can_save {
            true => self.task.snapshot(),
            false => Err(EnvError::Refused {
                status: 501,
                code: "not-supported".to_owned(),
                detail: "no snapshots".to_owned(),
            }),
        }
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.task.restore(snapshot)
    }
}

/// Rewards of the fourth rollout of 40 steps are no numbers.
#[test]
fn a_run_that_diverges_leaves_the_state_before() {
    let config = config("ppo", &quick(), 2_000, 0);
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let kept = TrainOptions {
        out: Some(folder.path()),
        ..options(&stop)
    };
    let mut env = Faulty {
        task: TestTask::new(4, 2),
        good_steps: 30,
        can_save: true,
    };
    let error = train(&config, &mut env, kept, &mut Silent).unwrap_err();
    assert!(matches!(error, TrainError::Diverged(_)), "{error}");
    let good = Checkpoint::load(&folder.path().join(LATEST)).unwrap();
    assert_eq!(good.run.statistics.updates, 3);
    assert!(good.run.environment.is_some());

    let mut monitor = StopAfter {
        rollouts: 3,
        stop: &stop,
    };
    let mut env = TestTask::new(4, 2);
    let before = train(&config, &mut env, options(&stop), &mut monitor).unwrap();
    // Weights and optimiser; as files, for a file that is read has its arrays in any order.
    let good = Checkpoint {
        run: before.checkpoint.run.clone(),
        ..good
    };
    assert!(good.to_bytes() == before.checkpoint.to_bytes());
}

#[test]
fn a_run_without_saved_environments_resumes_in_new_episodes() {
    let config = config("ppo", &quick(), 2_000, 0);
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let new = || Faulty {
        task: TestTask::new(4, 2),
        good_steps: u64::MAX,
        can_save: false,
    };
    let kept = TrainOptions {
        out: Some(folder.path()),
        ..options(&stop)
    };
    let mut monitor = StopAfter {
        rollouts: 3,
        stop: &stop,
    };
    train(&config, &mut new(), kept, &mut monitor).unwrap();
    let stopped = Checkpoint::load(&folder.path().join(LATEST)).unwrap();
    assert!(stopped.run.environment.is_none());
    assert_eq!(stopped.run.statistics.updates, 3);
    stop.store(false, Ordering::Relaxed);
    let resumed = TrainOptions {
        resume: Some(stopped),
        ..options(&stop)
    };
    let resumed = train(&config, &mut new(), resumed, &mut Silent).unwrap();
    assert!(resumed.checkpoint.run.statistics.timesteps >= 2_000);
}

/// Cannot keep the fifth update.
struct FullDisk(u64);

impl Monitor for FullDisk {
    fn update(&mut self, _progress: &Progress, _record: &LogRecord) -> Result<(), MonitorError> {
        self.0 += 1;
        match self.0 {
            5 => Err(MonitorError::io(
                "write",
                Path::new("metrics.jsonl"),
                std::io::ErrorKind::StorageFull.into(),
            )),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

#[test]
fn a_run_whose_metrics_cannot_be_kept_leaves_its_last_state() {
    let config = config("recurrent-ppo", &quick(), 2_000, 0);
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let kept = TrainOptions {
        out: Some(folder.path()),
        ..options(&stop)
    };
    let mut env = TestTask::new(4, 2);
    let error = train(&config, &mut env, kept, &mut FullDisk(0)).unwrap_err();
    assert!(matches!(error, TrainError::Monitor(_)), "{error}");
    let left = Checkpoint::load(&folder.path().join(LATEST)).unwrap();
    let whole = run(&config, 2);
    let resumed = TrainOptions {
        resume: Some(left),
        ..options(&stop)
    };
    let resumed = train(&config, &mut TestTask::new(4, 2), resumed, &mut Silent).unwrap();
    assert!(resumed.checkpoint.to_bytes() == whole.checkpoint.to_bytes());
}

/// Looks at each update what has been kept, and asks for a stop when there is something of this run.
struct Onlooker<'a> {
    folder: &'a Path,
    stop: &'a AtomicBool,
    /// Steps of the first checkpoint, and of the one on the way.
    seen: Vec<u64>,
}

impl Monitor for Onlooker<'_> {
    fn update(&mut self, _progress: &Progress, _record: &LogRecord) -> Result<(), MonitorError> {
        let latest = Checkpoint::load(&self.folder.join(LATEST)).unwrap();
        let timesteps = latest.run.statistics.timesteps;
        if self.seen.last() != Some(&timesteps) {
            self.seen.push(timesteps);
        }
        self.stop.store(self.seen.len() == 2, Ordering::Relaxed);
        Ok(())
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

/// Without being asked to, and without a say in what is best.
#[test]
fn a_checkpoint_is_written_at_the_beginning_and_now_and_then() {
    let config = config("ppo", &quick(), 40_000_000, 0);
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let kept = TrainOptions {
        out: Some(folder.path()),
        ..options(&stop)
    };
    let mut onlooker = Onlooker {
        folder: folder.path(),
        stop: &stop,
        seen: Vec::new(),
    };
    let always = Autosave::every(Duration::ZERO);
    let mut env = TestTask::new(4, 2);
    let origin = Origin::Environments(&mut env);
    let trained = train_with(&config, origin, kept, &mut onlooker, always).unwrap();
    assert_eq!(trained.ending, Ending::Interrupted);
    assert_eq!(onlooker.seen[0], 0);
    assert_eq!(onlooker.seen.len(), 2);
    assert_eq!(trained.checkpoint.run.statistics.best_return, None);
    assert!(!folder.path().join(BEST).exists());
}

/// Keeps what was measured in the last update.
#[derive(Default)]
struct Last(Vec<(String, f64)>);

impl Monitor for Last {
    fn update(&mut self, _progress: &Progress, record: &LogRecord) -> Result<(), MonitorError> {
        self.0 = record.scalars().collect();
        Ok(())
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

/// Returns of ±1, with bonuses a hundred times as large.
#[test]
fn bonuses_are_logged_and_never_reach_a_reported_return() {
    let overrides = with_every_option().overlaid(&overrides! {
        intrinsic_eta: 100.0,
    });
    let config = config("ppo", &overrides, 400, 0);
    let mut env = TestTask::new(4, 2);
    let stop = AtomicBool::new(false);
    let mut last = Last::default();
    let trained = train(&config, &mut env, options(&stop), &mut last).unwrap();
    let statistics = &trained.checkpoint.run.statistics;
    assert!(
        statistics
            .recent
            .iter()
            .all(|episode| episode.episode_return.abs() == 1.0)
    );
    let logged = |key: &str| {
        let entry = last.0.iter().find(|(name, _)| name == key);
        entry
            .unwrap_or_else(|| panic!("{key} is not logged: {:?}", last.0))
            .1
    };
    assert!(logged("rnd_net_dist/mean_rnd_bonus") > 0.0);
    assert!(logged("rnd_net_dist/mean_count_bonus") > 0.0);
    assert!(logged("rollout/aux_loss_mean") > 0.0);
}

/// A run whose last episodes had these returns.
fn statistics(solved_threshold: Option<f64>, returns: &[(usize, f64)]) -> RunStatistics {
    let episodes = returns.iter().flat_map(|&(count, episode_return)| {
        let episode = Episode {
            episode_return,
            length: 1,
        };
        std::iter::repeat_n(episode, count)
    });
    RunStatistics {
        solved_threshold,
        recent: episodes.collect(),
        ..RunStatistics::default()
    }
}

#[test]
fn a_task_is_solved_at_its_own_threshold() {
    let solved = |threshold, returns: &[(usize, f64)]| {
        let statistics = statistics(threshold, returns);
        (statistics.is_solved(), statistics.is_safely_solved())
    };
    // ±1: a mean of 1, 0.96 and 0.94.
    assert_eq!(solved(Some(0.95), &[(100, 1.0)]), (true, true));
    assert_eq!(solved(Some(0.95), &[(98, 1.0), (2, -1.0)]), (true, false));
    assert_eq!(solved(Some(0.95), &[(97, 1.0), (3, -1.0)]), (false, false));
    // Random play on DiscountingChain; a good player of HigherLower, whose best is 0.53.
    assert_eq!(solved(Some(1.096), &[(80, 1.0), (20, 1.1)]), (false, false));
    assert_eq!(solved(Some(0.503), &[(50, 0.45), (50, 0.6)]), (true, false));
    assert_eq!(solved(Some(0.95), &[(99, 1.0)]), (false, false), "too few");
    assert_eq!(
        solved(None, &[(100, 1.0)]),
        (false, false),
        "nothing is known"
    );
}

/// Keeps what was said.
#[derive(Default)]
struct Said(Vec<String>);

impl Monitor for Said {
    fn update(&mut self, _progress: &Progress, _record: &LogRecord) -> Result<(), MonitorError> {
        Ok(())
    }

    fn message(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

/// Copying what is on screen is soon learned; without a threshold it is unknown whether that is enough.
#[test]
fn without_a_threshold_training_says_so_and_goes_to_the_end() {
    let config = config("ppo", &few_lanes(), 20_480, 0);
    let ended = |solved_threshold| {
        let mut env = TestTask::new(config.hyper.get::<Collection>().num_envs, 1);
        env.solved_threshold = solved_threshold;
        let stop = AtomicBool::new(false);
        let mut said = Said::default();
        let trained = train(&config, &mut env, options(&stop), &mut said).unwrap();
        let statistics = trained.checkpoint.run.statistics;
        assert_eq!(statistics.solved_threshold, solved_threshold);
        (trained.ending, statistics.solved_at.is_some(), said.0)
    };
    assert_eq!(ended(Some(0.95)), (Ending::EarlyStop, true, vec![]));
    let (ending, is_solved, said) = ended(None);
    assert_eq!((ending, is_solved), (Ending::Budget, false));
    assert!(
        said[0].contains("nothing says from which return"),
        "{said:?}"
    );
}

/// Neither changes, whatever the budget: there is nothing to change.
#[test]
fn chance_and_oracle_play_without_learning() {
    for (id, least, most) in [("random", -0.2, 0.2), ("oracle", 1.0, 1.0)] {
        let trained = run(&config(id, &short(), 4_000, 0), 3);
        assert_eq!(
            (trained.parameters, trained.ending),
            (0, Ending::Budget),
            "{id}"
        );
        let statistics = &trained.checkpoint.run.statistics;
        assert_eq!(
            (statistics.timesteps, statistics.updates),
            (4_000, 0),
            "{id}"
        );
        for mode in [Mode::Greedy, Mode::Scrambled] {
            let options = EvaluateOptions {
                episodes: 1_000,
                seed: 0,
                mode,
                balanced: true,
                judged_step: Some(2),
                episodes_per_lifetime: 1,
            };
            let player = Player::new(&trained.checkpoint).unwrap();
            let mean = player
                .evaluate(&mut TestTask::new(1_000, 3), &options)
                .unwrap()
                .mean_return;
            assert!((least..=most).contains(&mean), "{id} {mode}: {mean}");
        }
    }
}

/// The cue is on screen when it is asked: no memory needed.
#[test]
fn ppo_learns_to_copy_what_it_sees() {
    let trained = run(&config("ppo", &few_lanes(), 20_000, 0), 1);
    assert!(evaluate(&trained, 1) >= 0.95);
}

/// Two choices that earn something only together.
#[test]
fn ppo_learns_actions_of_two_components() {
    let config = config("ppo", &few_lanes(), 40_000, 0);
    let stop = AtomicBool::new(false);
    let mut env = TestTask::of_pairs(config.hyper.get::<Collection>().num_envs, 1);
    let trained = train(&config, &mut env, options(&stop), &mut Silent).unwrap();
    let options = EvaluateOptions {
        episodes: 200,
        seed: 0,
        mode: Mode::Greedy,
        balanced: true,
        judged_step: None,
        episodes_per_lifetime: 1,
    };
    let player = Player::new(&trained.checkpoint).unwrap();
    let evaluation = player.evaluate(&mut TestTask::of_pairs(200, 1), &options);
    let mean = evaluation.unwrap().mean_return;
    assert!(mean >= 0.95, "{mean}");
}

/// Copying earns 1 a step, and every episode has one step. A state is worth 1 if the return stops
/// there, and 1/(1 − γ) = 5 if it continues beyond truncations.
#[test]
fn values_continue_beyond_truncations() {
    let overrides = few_lanes().overlaid(&overrides! {
        gamma: 0.8,
        early_stop: false,
    });
    let config = config("ppo", &overrides, 20_000, 0);
    let value = |truncates| {
        let mut env = TestTask::new(config.hyper.get::<Collection>().num_envs, 1);
        env.truncates = truncates;
        let stop = AtomicBool::new(false);
        let origin = Origin::Environments(&mut env);
        let mut trainer = Trainer::begin(&config, origin).unwrap();
        while trainer.ending(&stop).is_none() {
            let rollout = trainer.collect().unwrap();
            trainer.record(&rollout);
            trainer.learn(&rollout).unwrap();
        }
        let Trainer {
            source,
            policy,
            rng,
            ..
        } = &mut trainer;
        let values = source.collect(policy, Behaviour::Policy, rng, 32);
        let values = values.unwrap().values;
        values.iter().sum::<f32>() / values.len() as f32
    };
    let (terminated, truncated) = (value(false), value(true));
    assert!((0.8..1.2).contains(&terminated), "{terminated}");
    assert!((4.0..6.0).contains(&truncated), "{truncated}");
}

/// The control: what is no longer on screen, an agent without memory cannot answer.
#[test]
fn ppo_stays_at_chance_when_it_must_remember() {
    let trained = run(&config("ppo", &few_lanes(), 20_000, 0), 2);
    let mean = evaluate(&trained, 2);
    assert!(mean.abs() <= 0.1, "{mean}");
}

/// Mean return of 1,000 greedy episodes.
fn evaluate(trained: &Trained, delay: u64) -> f64 {
    const EPISODES: usize = 1_000;
    let Checkpoint {
        config,
        spaces,
        params,
        ..
    } = &trained.checkpoint;
    let encoder = InputEncoder::new(
        &spaces.observation,
        &spaces.action,
        &config.hyper,
        wants_cue(&config.hyper),
    )
    .unwrap();
    let row = algorithms::find(&config.algorithm).unwrap();
    let mut rng = seeds::generator(0, Role::Agent);
    let mut policy = row.policy(&config.hyper, &encoder, &mut rng);
    policy.params.import(params).unwrap();
    let first = seeds::first_environment_seed(0, Role::Evaluation);
    let mut env = TestTask::new(EPISODES, delay);
    let request = crate::env::ResetRequest {
        seeds: Some((first..).take(EPISODES).collect()),
        options: serde_json::Map::new(),
    };
    let mut observations = env.reset(&request).unwrap().observations;
    let mut lanes = Lanes::new(policy.core.initial_state(EPISODES), &encoder);
    let mut total = 0.0;
    for step in 0..delay {
        let (mut encoded, mut inputs) = (Vec::new(), Vec::new());
        encoder.encode_observations(&observations, &mut encoded);
        let starts = [step == 0; EPISODES];
        let acted = lanes.act(&policy, &encoder, &encoded, &starts, &mut inputs, None);
        let actions: Vec<Choice> = nn::values(&acted.logits)
            .chunks_exact(2)
            .map(nn::categorical::argmax)
            .collect();
        let reply = env.step(&actions).unwrap();
        total += reply.rewards.iter().sum::<f64>();
        observations = reply.observations;
    }
    total / EPISODES as f64
}
