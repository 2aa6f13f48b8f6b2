//! This project's agents as contenders: trains a job's agent in its directory, then judges it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::algorithms;
use agent::algorithms::sections::Overrides;
use agent::env::EnvError;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy, Token};
use agent::env::selection::{EnvSelection, OptionDraw};
use agent::policy::decider::Decider;
use agent::run::config::TrainConfig;
use agent::run::folder::{Earlier, Session, SessionEnd};
use agent::run::settings::Settings;
use agent::run::train::Ending;
use agent::spaces::Spaces;
use agent::views::monitor::{LogRecord, Monitor, MonitorError, Progress};
use environments::registry;
use serde_json::{Map, Value};

use crate::contenders::judge::Judge;
use crate::format::thousands;
use crate::plan::{AgentRow, Experiment, Job};
use crate::records::outcome::{Outcome, TrainingTally};
use crate::run::contender::{Contender, JobError};
use crate::run::progress::JobProgress;

/// Least steps between checkpoints. A shorter run has only its last checkpoint.
const MIN_CHECKPOINT_INTERVAL: u64 = 50_000;
/// Number of checkpoints of a long run.
const CHECKPOINTS: u64 = 10;
/// Most points of a learning curve to keep: more than a figure has pixels for.
const CURVE_POINTS: usize = 400;
/// How long to wait for a server given by `--server` before the run begins.
const FIRST_CONTACT: Duration = Duration::from_secs(3);

/// Status of a server that asks for a token, or for another one.
const UNAUTHORIZED: u16 = 401;

/// Trains and judges the agents of the `agent` crate.
#[derive(Debug, Default)]
pub struct OurContender {
    /// The token for the jobs' servers.
    pub token: Option<Token>,
}

impl Contender for OurContender {
    /// A task that this program's table of environments lacks, or a row with a mistake, is not
    /// refused here: it fails with its own reason when it runs.
    fn refusal(&self, experiment: &Experiment, agent: &AgentRow) -> Option<String> {
        let config = train_config(experiment, agent, 0).ok()?;
        let instance = registry::instance(&experiment.spec_id, &experiment.kwargs)?.ok()?;
        let spaces = Spaces {
            observation: instance.observation_space,
            action: instance.action_space,
        };
        let algorithm = algorithms::find(&agent.algorithm).ok()?;
        algorithm.refusal(&spaces, &config.hyper)
    }

    fn run(
        &self,
        job: &Job,
        progress: &JobProgress,
        stop: &AtomicBool,
    ) -> Result<Outcome, JobError> {
        let config = train_config(&job.experiment, &job.agent, job.seed).map_err(failed)?;
        let trained = self.train(job, &config, progress, stop)?;
        let judge = Judge {
            job,
            token: self.token.as_ref(),
            checkpoint: &trained.checkpoint,
            progress,
            stop,
        };
        let judged = judge.judge().map_err(|error| {
            if stop.load(Ordering::Relaxed) {
                JobError::Stopped
            } else {
                failed(error)
            }
        })?;
        let statistics = &trained.checkpoint.run.statistics;
        let memory = &trained.checkpoint.run.collector.lanes.memory;
        Ok(Outcome {
            trained_steps: statistics.timesteps,
            steps_per_s: trained.steps_per_s.unwrap_or(0.0),
            train_duration_s: trained.elapsed.as_secs_f64(),
            solved_at: statistics.solved_at,
            solved_threshold: statistics.solved_threshold,
            training: Some(TrainingTally {
                episodes: statistics.episodes,
                return_sum: statistics.return_sum,
                best_epoch: statistics.epochs.best,
            }),
            parameters: Some(trained.parameters),
            memory_bytes: Some(memory.bytes_per_lane()),
            cpu: Some(agent::nn::cpu_class()),
            hyperparameters: config.hyperparameters().into_iter().collect(),
            learning_curve: thinned(&statistics.curve, CURVE_POINTS),
            evaluations: judged.evaluations,
            memory_view: judged.memory_view,
            cue_attention: judged.cue_attention,
            notes: clock_note(&trained).into_iter().collect(),
        })
    }
}

/// Returns a note if a row's duration and speed do not cover the whole training.
fn clock_note(trained: &SessionEnd) -> Option<String> {
    let lost = trained.checkpoint.run.statistics.timesteps - trained.timed_steps;
    let lost = (lost > 0).then(|| thousands(lost))?;
    Some(format!(
        "the clock of the first {lost} steps was lost: duration and speed cover only the steps after them"
    ))
}

/// Checks before a run that the servers given for it answer.
///
/// # Errors
/// When a server does not answer within a few seconds, or does not accept the token.
pub fn check_servers(servers: &[String], token: Option<&Token>) -> Result<(), EnvError> {
    for server in servers {
        let connected = RemoteVectorEnv::connect(&RemoteEnvConfig {
            servers: vec![server.clone()],
            token: token.cloned(),
            spec_id: Settings::DEFAULT_ENV.to_owned(),
            kwargs: Map::new(),
            num_envs: 1,
            retry: RetryPolicy {
                give_up_after: FIRST_CONTACT,
                ..RetryPolicy::default()
            },
        });
        match connected {
            // A server that refuses this request is there. Refusals appear in the rows they affect.
            Err(EnvError::Refused { status, .. }) if status != UNAUTHORIZED => {}
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns whether an agent plays by the environments' hidden draws.
pub fn asks_the_oracle(agent: &AgentRow) -> bool {
    algorithms::find(&agent.algorithm).is_ok_and(|row| row.decider == Decider::Oracle)
}

/// Returns the complete configuration of a job's training.
fn train_config(experiment: &Experiment, row: &AgentRow, seed: u64) -> Result<TrainConfig, String> {
    let algorithm = algorithms::find(&row.algorithm).map_err(|error| error.to_string())?;
    let mut overrides = to_map(&row.overrides);
    // Players that do not learn never stop early, and refuse the setting.
    if !experiment.early_stop && algorithm.learns() {
        overrides.insert("early_stop".to_owned(), false.into());
    }
    if let (Some(window), Some(setting)) = (experiment.window, algorithm.window_setting()) {
        overrides
            .entry(setting)
            .or_insert_with(|| Value::from(window));
    }
    let overrides: Overrides = serde_json::from_value(Value::Object(overrides))
        .map_err(|error| format!("overrides of {:?}: {error}", row.name))?;
    let draws = experiment
        .draws
        .iter()
        .map(|(name, &(low, high))| OptionDraw {
            name: name.clone(),
            low,
            high,
        });
    let env = EnvSelection {
        spec_id: experiment.spec_id.clone(),
        kwargs: to_map(&experiment.kwargs),
        draws: draws.collect(),
    };
    TrainConfig::resolve(algorithm, &overrides, env, experiment.total_timesteps, seed)
        .map_err(|error| error.to_string())
}

impl OurContender {
    fn train(
        &self,
        job: &Job,
        config: &TrainConfig,
        progress: &JobProgress,
        stop: &AtomicBool,
    ) -> Result<SessionEnd, JobError> {
        let session = Session {
            config: config.clone(),
            servers: vec![job.server.clone()],
            token: self.token.clone(),
            retry: RetryPolicy::default(),
            directory: job.directory.clone(),
            checkpoint_interval: Some(
                (config.total_timesteps / CHECKPOINTS).max(MIN_CHECKPOINT_INTERVAL),
            ),
            earlier: Earlier::ResumeIfAny,
            workers: None,
        };
        let ended = session.run(&mut Bar(progress), stop).map_err(failed)?;
        match ended.ending {
            Ending::Interrupted => Err(JobError::Stopped),
            Ending::Budget | Ending::EarlyStop => Ok(ended),
        }
    }
}

/// Shows training on a job's progress bar.
struct Bar<'a>(&'a JobProgress);

impl Monitor for Bar<'_> {
    fn update(&mut self, progress: &Progress, _record: &LogRecord) -> Result<(), MonitorError> {
        self.0.update(
            progress.timesteps,
            progress.steps_per_s,
            progress.return_mean,
        );
        Ok(())
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> JobError {
    JobError::Failed(error.to_string())
}

fn to_map(values: &BTreeMap<String, Value>) -> Map<String, Value> {
    values.clone().into_iter().collect()
}

/// Returns at most `limit` of the points, evenly spaced, including the first and the last.
fn thinned(curve: &[(u64, f64)], limit: usize) -> Vec<(u64, f64)> {
    if curve.len() <= limit {
        return curve.to_vec();
    }
    (0..limit)
        .map(|i| curve[i * (curve.len() - 1) / (limit - 1)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::plan::{Plan, Suite};

    #[test]
    fn overrides_and_arguments_reach_the_configuration() {
        let mut row = fixtures::agent("tracerl");
        row.overrides = BTreeMap::from([
            ("max_entries".into(), 8.into()),
            ("learning_rate".into(), 0.002.into()),
        ]);
        let mut experiment = fixtures::experiment(256, 1);
        experiment.draws = BTreeMap::from([("delay".into(), (4, 256))]);
        let config = train_config(&experiment, &row, 3).unwrap();
        assert_eq!((config.seed, config.total_timesteps), (3, 14_000));
        assert_eq!(config.env.kwargs["delay"], 256);
        assert_eq!(config.env.draws[0].to_string(), "delay=4..256");
        let shown = config.hyperparameters();
        assert_eq!(shown["max_entries"], 8);
        assert_eq!(shown["learning_rate"].to_string(), "0.002");
    }

    #[test]
    fn every_row_of_the_systems_can_begin_each_of_its_tasks() {
        let plan = Plan::suite(Suite::Systems).unwrap();
        for row in &plan.agents {
            for task in plan.experiments.iter().filter(|task| row.runs(task)) {
                let config = train_config(task, row, 0)
                    .unwrap_or_else(|reason| panic!("{} on {}: {reason}", row.name, task.name));
                let algorithm = algorithms::find(&row.algorithm).unwrap();
                if let Some(setting) = algorithm.window_setting() {
                    let told = row.overrides.get(setting).cloned();
                    let told = told.or_else(|| Some(task.window?.into()));
                    assert_eq!(config.hyperparameters().get(setting), told.as_ref());
                }
            }
        }
    }

    #[test]
    fn a_task_whose_spaces_no_agent_can_play_is_not_applicable() {
        let row = fixtures::agent("tracerl");
        let contender = OurContender::default();
        let mut task = fixtures::experiment(4, 1);
        assert_eq!(contender.refusal(&task, &row), None);
        task.spec_id = "Elsewhere-v0".into();
        assert_eq!(
            contender.refusal(&task, &row),
            None,
            "nothing is known of it"
        );
    }

    #[test]
    fn an_experiment_can_turn_early_stop_off() {
        let mut experiment = fixtures::experiment(4, 1);
        let stops = |experiment: &Experiment, row: &AgentRow| {
            let config = train_config(experiment, row, 0).unwrap();
            agent::learner::stopping::Stopping::is_early(&config.hyper)
        };
        for algorithm in ["ppo", "recurrent-ppo", "tracerl"] {
            let row = fixtures::agent(algorithm);
            experiment.early_stop = true;
            assert!(stops(&experiment, &row));
            experiment.early_stop = false;
            assert!(!stops(&experiment, &row));
        }
        assert!(!stops(&experiment, &fixtures::agent("random")));
    }

    #[test]
    fn hyperparameters_of_other_algorithms_are_not_shown() {
        let row = fixtures::agent("ppo");
        let config = train_config(&fixtures::experiment(4, 0), &row, 0).unwrap();
        let shown = config.hyperparameters();
        assert!(shown.contains_key("clip_coef") && !shown.contains_key("max_entries"));
    }

    #[test]
    fn invalid_rows_name_their_problem() {
        let reason =
            |row: &AgentRow| train_config(&fixtures::experiment(4, 0), row, 0).unwrap_err();
        let mut row = fixtures::agent("dreamer");
        assert!(reason(&row).starts_with("there is no algorithm `dreamer`: there are ppo, "));
        row.algorithm = "ppo".into();
        row.overrides = BTreeMap::from([("learningrate".into(), 1.into())]);
        assert!(
            reason(&row).starts_with("overrides of \"dreamer\": unknown field `learningrate`"),
            "{}",
            reason(&row)
        );
        row.overrides = BTreeMap::from([("max_entries".into(), 8.into())]);
        assert!(reason(&row).contains("max_entries"));
    }

    #[test]
    fn curves_keep_their_ends() {
        let curve: Vec<(u64, f64)> = (0..10).map(|i| (i, 0.0)).collect();
        let steps: Vec<u64> = thinned(&curve, 4).iter().map(|point| point.0).collect();
        assert_eq!(steps, [0, 3, 6, 9]);
        assert_eq!(thinned(&curve, 10), curve);
    }
}
