//! One job of an external program: its training and its evaluation.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::evaluate::{Evaluation, Mode};
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use super::api::{Api, Patience};
use super::arena::{EvaluationArena, Prepared, TrainingArena};
use super::drive::{self, Driver};
use super::processes::{Groups, PAUSE};
use super::program::Program;
use super::trained::{Ledger, Trained};
use super::{plain, record};
use crate::contenders::judge::{Judgement, is_out_of_reach, judgements, label};
use crate::files;
use crate::format::thousands;
use crate::plan::{External, Job};
use crate::records::outcome::{EvaluationRecord, Outcome};
use crate::run::contender::JobError;
use crate::run::progress::JobProgress;

/// One job of an external program.
pub struct Trial<'a> {
    pub words: Vec<String>,
    /// Seed of the evaluation, which the program does not know.
    pub secret_seed: u64,
    /// Time limit of each of the two phases.
    pub timeout: Duration,
    pub groups: &'a Groups,
    pub ledger: &'a Ledger,
    pub job: &'a Job,
    pub progress: &'a JobProgress,
    pub stop: &'a AtomicBool,
}

/// Evaluations, and notes for the reader.
pub type Judged = (Vec<EvaluationRecord>, Vec<String>);

/// How a program wants to be judged.
enum Offer {
    /// It has played by itself and ended.
    Ended(ExitStatus),
    /// It listens for requests at this URL.
    Listens(String),
}

impl Trial<'_> {
    pub fn train(&self) -> Result<Trained, JobError> {
        self.ledger.forget(&self.job.directory);
        let workdir = self.workdir();
        // Files of an earlier try may hold results of steps that no longer count.
        files::remove(&workdir)
            .and_then(|()| std::fs::create_dir_all(&workdir))
            .map_err(|error| failed(format!("cannot empty {}: {error}", workdir.display())))?;
        let arena = TrainingArena::open(self.budget_steps()).map_err(failed)?;
        let budget = arena.budget();
        let mut program = self.start("train", arena.url(), arena.token(), &[])?;
        let status = loop {
            if let Some(status) = program.poll().map_err(failed)? {
                break status;
            }
            self.check("training", &program)?;
            let (taken, elapsed_s) = (budget.taken(), program.elapsed().as_secs_f64());
            self.progress.update(taken, taken as f64 / elapsed_s, None);
            std::thread::sleep(PAUSE);
        };
        let duration_s = program.elapsed().as_secs_f64();
        program.end();
        // Read after all its processes have ended: until then they can still step.
        let trained = Trained {
            steps: budget.taken(),
            duration_s,
            refused: budget.refused(),
        };
        if !status.success() {
            let ended = ended("training", &mut program, status);
            return Err(match trained.note(self.budget_steps()) {
                Some(note) => failed(format!("{ended}; {note}")),
                None => ended,
            });
        }
        left_nothing(&program)?;
        let kept = self.ledger.keep(&self.job.directory, trained);
        kept.map_err(failed)?;
        Ok(trained)
    }

    pub fn judge(&self) -> Result<Judged, JobError> {
        let arena = EvaluationArena::open().map_err(failed)?;
        let judgements = judgements(&self.job.experiment);
        let prepare = |judgement| {
            arena
                .prepare(&self.job.experiment, judgement, self.secret_seed)
                .map_err(failed)
        };
        let prepared: Vec<Prepared> = judgements.iter().map(prepare).collect::<Result<_, _>>()?;
        let ids: Vec<&str> = prepared.iter().map(|env| env.judged_id.as_str()).collect();
        self.progress.phase("judging");
        let mut program = self.start("evaluate", arena.url(), arena.token(), &ids)?;
        let judged = self
            .await_offer(&mut program)
            .and_then(|offer| match offer {
                Offer::Ended(status) if status.success() => {
                    // A process that it has left behind could still play.
                    program.end();
                    read_scores(&arena, &prepared)
                }
                Offer::Ended(status) => Err(ended("evaluation", &mut program, status)),
                Offer::Listens(url) => {
                    self.drive(&arena, &mut program, &url, &judgements, &prepared)
                }
            });
        program.end();
        match (judged, arena.violation()) {
            (Err(JobError::Stopped), _) => Err(JobError::Stopped),
            // A violation fails the row even if there is a score.
            (_, Some(violation)) => Err(failed(violation)),
            (judged, None) => judged.and_then(|judged| left_nothing(&program).map(|()| judged)),
        }
    }

    fn await_offer(&self, program: &mut Program) -> Result<Offer, JobError> {
        loop {
            let status = program.poll().map_err(failed)?;
            if let Some(url) = program.listening() {
                return Ok(Offer::Listens(url));
            }
            if let Some(status) = status {
                return Ok(Offer::Ended(status));
            }
            self.check("evaluation", program)?;
            std::thread::sleep(PAUSE);
        }
    }

    /// Asks a program for its actions until it is judged, the time limit passes, or the run is
    /// stopped.
    fn drive(
        &self,
        arena: &EvaluationArena,
        program: &mut Program,
        url: &str,
        judgements: &[Judgement<'_>],
        prepared: &[Prepared],
    ) -> Result<Judged, JobError> {
        let patience = Patience {
            deadline: program.began().checked_add(self.timeout),
            stop: Some(self.stop),
        };
        self.ask(arena, url, patience, judgements, prepared)
            .or_else(|reason| {
                self.check("evaluation", program)?;
                Err(match program.poll().map_err(failed)? {
                    Some(status) => ended("evaluation", program, status),
                    None => failed(reason),
                })
            })
    }

    fn ask(
        &self,
        arena: &EvaluationArena,
        url: &str,
        patience: Patience<'_>,
        judgements: &[Judgement<'_>],
        prepared: &[Prepared],
    ) -> Result<Judged, String> {
        let most_bytes = drive::most_answer_bytes(prepared);
        let driver = Driver {
            server: arena.driver(),
            contender: &Api::new(url, None, self.timeout, most_bytes, patience)?,
            seed: self.job.seed,
            secret_seed: self.secret_seed,
            before_step: &|| self.progress.advance(1),
        };
        let mut records = Vec::new();
        for (env, judgement) in prepared.iter().zip(judgements) {
            if is_out_of_reach(&self.job.experiment.eval, env.delay, &records) {
                continue;
            }
            let modes = judgement.modes.iter().copied();
            let modes: Vec<Mode> = modes
                .filter(|mode| mode.is_possible(env.judged_step))
                .collect();
            // Played in a random order, so that the contender cannot tell modes apart by it.
            // Recorded in the usual order.
            let mut order = modes.clone();
            order.shuffle(&mut rand::rng());
            let mut judged = BTreeMap::new();
            for mode in order {
                let label = label(env.delay, mode);
                match env.episode_steps {
                    Some(steps) => {
                        let steps = steps * env.episodes_per_lifetime as u64;
                        self.progress.phase_of(&label, steps);
                    }
                    None => self.progress.phase(&label),
                }
                if let Some(evaluation) = driver.evaluate(env, mode)? {
                    let place = modes.iter().position(|&other| other == mode);
                    judged.insert(place, row(env, &evaluation));
                }
            }
            records.extend(judged.into_values());
        }
        Ok((records, Vec::new()))
    }

    fn start(
        &self,
        phase: &str,
        server: &str,
        token: &str,
        env_ids: &[&str],
    ) -> Result<Program, JobError> {
        let experiment = &self.job.experiment;
        let workdir = std::path::absolute(self.workdir());
        let workdir = workdir.map_err(failed)?;
        let variables = [
            ("PHASE", phase.to_owned()),
            ("SERVER", server.to_owned()),
            ("TOKEN", token.to_owned()),
            ("SPEC", experiment.spec_id.clone()),
            ("KWARGS", json!(experiment.kwargs).to_string()),
            ("DRAWS", json!(experiment.draws).to_string()),
            ("SEED", self.job.seed.to_string()),
            ("BUDGET_STEPS", self.budget_steps().to_string()),
            ("WORKDIR", workdir.display().to_string()),
            ("ENV_IDS", env_ids.join(" ")),
        ];
        let output = (self.job.directory.as_path(), phase);
        Program::start(&self.words, &variables, output, self.groups).map_err(failed)
    }

    /// Fails when the run is stopped or the phase has exceeded its time limit.
    fn check(&self, phase: &str, program: &Program) -> Result<(), JobError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(JobError::Stopped);
        }
        let timeout = self.timeout;
        if program.elapsed() > timeout {
            return Err(failed(format!(
                "{phase} took longer than {} s (--external-timeout)",
                thousands(timeout.as_secs())
            )));
        }
        Ok(())
    }

    fn budget_steps(&self) -> u64 {
        self.job.experiment.total_timesteps
    }

    /// Returns the folder that the program keeps from training to evaluation.
    fn workdir(&self) -> PathBuf {
        self.job.directory.join("work")
    }

    pub fn outcome(
        &self,
        external: &External,
        trained: &Trained,
        evaluations: Vec<EvaluationRecord>,
        mut notes: Vec<String>,
    ) -> Outcome {
        notes.extend(trained.note(self.budget_steps()));
        Outcome {
            trained_steps: trained.steps,
            steps_per_s: trained.steps as f64 / trained.duration_s,
            train_duration_s: trained.duration_s,
            solved_at: None,
            solved_threshold: None,
            training: None,
            parameters: None,
            memory_bytes: None,
            cpu: None,
            hyperparameters: [
                ("command".to_owned(), Value::from(external.command.clone())),
                ("evaluation_seed".to_owned(), self.secret_seed.into()),
            ]
            .into(),
            learning_curve: Vec::new(),
            evaluations,
            memory_view: None,
            cue_attention: None,
            notes,
        }
    }
}

/// Makes an error from a reason. The reason may quote the program (its output, its answers), so it
/// is escaped.
pub fn failed(reason: impl std::fmt::Display) -> JobError {
    JobError::Failed(plain::message(&reason.to_string()))
}

fn ended(phase: &str, program: &mut Program, status: ExitStatus) -> JobError {
    failed(format!("{phase} ended with {}", program.describe(status)))
}

fn left_nothing(program: &Program) -> Result<(), JobError> {
    program.leftovers().map_or(Ok(()), |left| Err(failed(left)))
}

fn read_scores(arena: &EvaluationArena, prepared: &[Prepared]) -> Result<Judged, JobError> {
    let score = |env: &Prepared| {
        let evaluation = record::read(arena.evaluation(), env).map_err(failed)?;
        Ok(row(env, &evaluation))
    };
    let records = prepared
        .iter()
        .map(score)
        .collect::<Result<_, JobError>>()?;
    Ok((records, Vec::new()))
}

fn row(env: &Prepared, evaluation: &Evaluation) -> EvaluationRecord {
    EvaluationRecord {
        delay: env.delay,
        mode: evaluation.mode,
        mean_return: evaluation.mean_return,
        std_return: evaluation.std_return,
        episodes: env.episodes as u64,
    }
}
