//! A contender of known results, and runs with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::evaluate::Mode;
use benchmark::plan::{AgentRow, Experiment, Job, Plan};
use benchmark::records::config::{RunConfig, RunInfo};
use benchmark::records::directory::RunDirectory;
use benchmark::records::outcome::{EvaluationRecord, Outcome};
use benchmark::run::contender::{Contender, JobError};
use benchmark::run::progress::{Display, JobProgress};
use benchmark::run::runner::{Ending, Event, Runner};

const PLAN: &str = r#"
    [[agents]]
    name = "ppo"
    algorithm = "ppo"
    [[agents]]
    name = "tracerl"
    algorithm = "tracerl"
    [[experiments]]
    name = "short"
    env = "MemoryTask-v0"
    total_timesteps = 100
    env_args = { delay = 4, difficulty = 1 }
    [[experiments]]
    name = "long"
    env = "MemoryTask-v0"
    total_timesteps = 200
    env_args = { delay = 8, difficulty = 1 }
"#;

/// A contender that behaves according to its table of jobs and records which of them ran.
#[derive(Default)]
pub struct Scripted {
    /// `agent experiment seed` of every job that ran, in order.
    pub ran: Mutex<Vec<String>>,
    pub servers: Mutex<Vec<String>>,
    pub behaviour: BTreeMap<&'static str, Behaviour>,
    /// `agent experiment` of the tasks that an agent cannot play.
    pub refused: Vec<&'static str>,
}

#[derive(Clone, Copy)]
pub enum Behaviour {
    Fails,
    Panics,
    NoNumber,
    /// Sets `stop` as Ctrl-C would, and obeys it.
    IsStopped,
    /// Works until `stop` is set.
    WaitsForStop,
}

impl Contender for Scripted {
    fn refusal(&self, experiment: &Experiment, agent: &AgentRow) -> Option<String> {
        let name = format!("{} {}", agent.name, experiment.name);
        let is_refused = self.refused.contains(&name.as_str());
        is_refused.then(|| "the task has no grid".to_owned())
    }

    fn run(&self, job: &Job, _: &JobProgress, stop: &AtomicBool) -> Result<Outcome, JobError> {
        let name = format!("{} {} {}", job.agent.name, job.experiment.name, job.seed);
        assert!(job.directory.is_dir());
        self.ran.lock().unwrap().push(name.clone());
        self.servers.lock().unwrap().push(job.server.clone());
        let mut outcome = outcome_of(&job.experiment);
        match self.behaviour.get(name.as_str()) {
            None => Ok(outcome),
            Some(Behaviour::Fails) => Err(JobError::Failed("the server went away".to_owned())),
            Some(Behaviour::Panics) => panic!("index out of bounds"),
            Some(Behaviour::NoNumber) => {
                outcome.evaluations[0].mean_return = f64::NAN;
                Ok(outcome)
            }
            Some(Behaviour::IsStopped) => {
                stop.store(true, Ordering::Relaxed);
                Err(JobError::Stopped)
            }
            Some(Behaviour::WaitsForStop) => {
                let begin = Instant::now();
                while !stop.load(Ordering::Relaxed) && begin.elapsed() < Duration::from_secs(30) {
                    std::thread::yield_now();
                }
                Err(JobError::Stopped)
            }
        }
    }
}

/// Returns the outcome of a job that solves its task.
pub fn outcome_of(experiment: &Experiment) -> Outcome {
    let evaluations = Mode::ALL.map(|mode| EvaluationRecord {
        delay: experiment.delay(),
        mode,
        mean_return: 1.0,
        std_return: 0.0,
        episodes: experiment.eval.episodes,
    });
    Outcome {
        trained_steps: experiment.total_timesteps,
        steps_per_s: 1000.0,
        train_duration_s: 0.1,
        solved_at: Some(50),
        solved_threshold: Some(0.95),
        training: None,
        parameters: Some(10),
        memory_bytes: Some(512),
        cpu: None,
        hyperparameters: BTreeMap::new(),
        learning_curve: vec![(50, 1.0)],
        evaluations: evaluations.to_vec(),
        memory_view: None,
        cue_attention: None,
        notes: Vec::new(),
    }
}

pub fn config(seeds: u64) -> RunConfig {
    let run = RunInfo {
        name: "test".into(),
        seeds,
        shard: None,
        command: "benchmark".into(),
        commit: "abc".into(),
        started_at: "2026-01-02T03:04:05Z".into(),
        earlier: Vec::new(),
    };
    RunConfig {
        run,
        plan: Plan::from_toml(PLAN, Path::new("plan.toml")).unwrap(),
    }
}

/// Runs on one worker and returns the events in words.
pub fn run(
    directory: &RunDirectory,
    config: &RunConfig,
    contender: &Scripted,
) -> (Ending, Vec<String>) {
    let _lock = directory.lock().unwrap();
    let mut events = Vec::new();
    let runner = Runner {
        config,
        directory,
        contender,
        servers: &["http://a".to_owned(), "http://b".to_owned()],
        workers: 1,
        commit: "abc",
        stop: &AtomicBool::new(false),
        display: &Display::hidden(),
    };
    let ending = runner
        .run(&mut |event| {
            events.push(match event {
                Event::Row(record) => format!(
                    "{} {} {}",
                    record.agent.name, record.experiment.name, record.seed
                ),
                Event::Experiment { summary, .. } => format!("table {}", summary.experiment.name),
            });
            Ok(())
        })
        .unwrap();
    (ending, events)
}
