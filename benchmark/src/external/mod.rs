//! Programs from outside as contenders (docs/bring-your-own-agent.md).
//!
//! A job has two phases, and the same command runs in both. It *trains* on a server of the job's own, which counts its
//! steps and refuses those beyond the budget. Then it is *judged*: either it plays environments whose seeds only the
//! benchmark knows, with a token that allows nothing but playing, and is scored from the server's record; or it says where
//! it listens, and the benchmark plays and asks it for its actions.

mod api;
mod arena;
mod drive;
mod program;
mod record;
mod trained;

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::evaluate::Evaluation;
use serde_json::{Value, json};

use crate::contender::{EvaluationRecord, Job, JobError, Outcome};
use crate::format::thousands;
use crate::judge::{Judgement, judgements, label};
use crate::plan::External;
use crate::progress::JobProgress;
use api::Api;
use arena::{Arena, Prepared};
use drive::Driver;
use program::{PAUSE, Program};
use trained::Trained;

pub use program::Groups;

/// Trains and judges programs.
#[derive(Debug)]
pub struct ExternalContender {
    /// How long each of the two phases may take.
    pub timeout: Duration,
    /// Where programs under way are noted, so that they can be ended with the benchmark.
    pub groups: Groups,
}

impl ExternalContender {
    /// Trains a job's program, then judges it. A job that was stopped while it was judged is judged again; one that was
    /// stopped in training, or failed, begins anew.
    ///
    /// # Errors
    /// As [`crate::contender::Contender::run`].
    pub fn run(
        &self,
        external: &External,
        job: &Job,
        progress: &JobProgress,
        stop: &AtomicBool,
    ) -> Result<Outcome, JobError> {
        let trial = Trial {
            words: external.words().map_err(failed)?,
            arena: Arena::open(job.experiment.total_timesteps).map_err(failed)?,
            // Of 53 bits, so that every reader of the records can repeat it.
            secret_seed: rand::random::<u64>() >> 11,
            contender: self,
            job,
            progress,
            stop,
        };
        let trained = match Trained::read(&job.directory) {
            Some(trained) => trained,
            None => trial.train()?,
        };
        trial.arena.budget().close();
        let judged = trial.judge();
        if let Err(JobError::Failed(_)) = &judged {
            Trained::forget(&job.directory);
        }
        let (evaluations, notes) = judged?;
        Ok(trial.outcome(external, &trained, evaluations, notes))
    }
}

/// One job of a program.
struct Trial<'a> {
    words: Vec<String>,
    arena: Arena,
    /// What its evaluation is drawn from.
    secret_seed: u64,
    contender: &'a ExternalContender,
    job: &'a Job,
    progress: &'a JobProgress,
    stop: &'a AtomicBool,
}

/// Evaluations, and what a reader should know beside them.
type Judged = (Vec<EvaluationRecord>, Vec<String>);

/// How a program that is judged came to be.
enum Offer {
    /// It has played and ended.
    Ended(ExitStatus),
    /// It wants to be asked, there.
    Listens(String),
}

impl Trial<'_> {
    fn train(&self) -> Result<Trained, JobError> {
        let workdir = self.workdir();
        // What an earlier try has left was learned with steps that nobody counts any more.
        let _ = std::fs::remove_dir_all(&workdir);
        std::fs::create_dir_all(&workdir)
            .map_err(|error| failed(format!("cannot create {}: {error}", workdir.display())))?;
        let budget = self.arena.budget();
        let token = self.arena.training_token();
        let mut program = self.start("train", token, &[])?;
        let status = loop {
            if let Some(status) = program.poll().map_err(failed)? {
                break status;
            }
            self.check("training", program.elapsed())?;
            let (taken, elapsed_s) = (budget.taken(), program.elapsed().as_secs_f64());
            self.progress.update(taken, taken as f64 / elapsed_s, None);
            std::thread::sleep(PAUSE);
        };
        let trained = Trained {
            steps: budget.taken(),
            duration_s: program.elapsed().as_secs_f64(),
            refused: budget.refused(),
        };
        program.end();
        if !status.success() {
            let ended = ended("training", &program, status);
            return Err(match trained.note(&budget) {
                Some(note) => failed(format!("{ended}; {note}")),
                None => ended,
            });
        }
        trained.write(&self.job.directory).map_err(failed)?;
        Ok(trained)
    }

    fn judge(&self) -> Result<Judged, JobError> {
        let judgements = judgements(&self.job.experiment);
        let prepare = |judgement| {
            self.arena
                .prepare(&self.job.experiment, judgement, self.secret_seed)
                .map_err(failed)
        };
        let prepared: Vec<Prepared> = judgements.iter().map(prepare).collect::<Result<_, _>>()?;
        let ids: Vec<&str> = prepared.iter().map(|env| env.judged_id.as_str()).collect();
        self.progress.phase("judging");
        let token = self.arena.evaluation_token();
        let mut program = self.start("evaluate", token, &ids)?;
        let judged = self
            .await_offer(&mut program)
            .and_then(|offer| match offer {
                Offer::Ended(status) if status.success() => self.read_scores(&prepared),
                Offer::Ended(status) => Err(ended("evaluation", &program, status)),
                Offer::Listens(url) => self.drive(&mut program, &url, &judgements, &prepared),
            });
        program.end();
        match (judged, self.arena.violation()) {
            (Err(JobError::Stopped), _) => Err(JobError::Stopped),
            // Whatever came of it.
            (_, Some(violation)) => Err(JobError::Failed(violation)),
            (judged, None) => judged,
        }
    }

    fn await_offer(&self, program: &mut Program) -> Result<Offer, JobError> {
        loop {
            let status = program.poll().map_err(failed)?;
            if let Some(url) = program.listening().map_err(failed)? {
                return Ok(Offer::Listens(url));
            }
            if let Some(status) = status {
                return Ok(Offer::Ended(status));
            }
            self.check("evaluation", program.elapsed())?;
            std::thread::sleep(PAUSE);
        }
    }

    fn read_scores(&self, prepared: &[Prepared]) -> Result<Judged, JobError> {
        let (mut records, mut notes) = (Vec::new(), Vec::new());
        for env in prepared {
            let score = record::read(self.arena.evaluation(), env).map_err(failed)?;
            if score.left > 0 {
                notes.push(format!(
                    "{} of {} episodes were left by a reset and count with what they had then",
                    thousands(score.left as u64),
                    thousands(env.episodes as u64)
                ));
            }
            records.push(row(env, &score.evaluation));
        }
        Ok((records, notes))
    }

    /// Asks a program for its actions until it is judged. It is ended when that takes too long or the run is stopped,
    /// whatever it is about to answer.
    fn drive(
        &self,
        program: &mut Program,
        url: &str,
        judgements: &[Judgement],
        prepared: &[Prepared],
    ) -> Result<Judged, JobError> {
        let is_over = AtomicBool::new(false);
        let (kill, before, began) = (program.killer(), program.elapsed(), Instant::now());
        let check = || self.check("evaluation", before + began.elapsed());
        let judged = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if check().is_err() {
                        return kill();
                    }
                    std::thread::sleep(PAUSE);
                }
            });
            let judged = self.ask(url, judgements, prepared);
            is_over.store(true, Ordering::Relaxed);
            judged
        });
        judged.or_else(|reason| {
            check()?;
            Err(match program.poll().map_err(failed)? {
                Some(status) => ended("evaluation", program, status),
                None => failed(reason),
            })
        })
    }

    fn ask(
        &self,
        url: &str,
        judgements: &[Judgement],
        prepared: &[Prepared],
    ) -> Result<Judged, String> {
        let driver = Driver {
            server: self.arena.driver(),
            contender: &Api::new(url, None, self.contender.timeout)?,
            seed: self.job.seed,
            secret_seed: self.secret_seed,
            before_step: &|| self.progress.advance(1),
        };
        let mut records = Vec::new();
        for (env, judgement) in prepared.iter().zip(judgements) {
            let modes = judgement.modes.iter();
            for &mode in modes.filter(|mode| mode.is_possible(env.judged_step)) {
                let label = label(env.delay, mode);
                match env.judged_step {
                    Some(last) => {
                        let steps = (last + 1) * env.episodes_per_lifetime as u64;
                        self.progress.phase_of(&label, steps);
                    }
                    None => self.progress.phase(&label),
                }
                if let Some(evaluation) = driver.evaluate(env, mode)? {
                    records.push(row(env, &evaluation));
                }
            }
        }
        Ok((records, Vec::new()))
    }

    fn start(&self, phase: &str, token: &str, env_ids: &[&str]) -> Result<Program, JobError> {
        let experiment = &self.job.experiment;
        let workdir = std::path::absolute(self.workdir());
        let workdir = workdir.map_err(failed)?;
        let variables = [
            ("PHASE", phase.to_owned()),
            ("SERVER", self.arena.url().to_owned()),
            ("TOKEN", token.to_owned()),
            ("SPEC", experiment.spec_id.clone()),
            ("KWARGS", json!(experiment.kwargs).to_string()),
            ("DRAWS", json!(experiment.draws).to_string()),
            ("SEED", self.job.seed.to_string()),
            ("BUDGET_STEPS", experiment.total_timesteps.to_string()),
            ("WORKDIR", workdir.display().to_string()),
            ("ENV_IDS", env_ids.join(" ")),
        ];
        let output = (self.job.directory.as_path(), phase);
        Program::start(&self.words, &variables, output, &self.contender.groups).map_err(failed)
    }

    /// Whether to go on.
    fn check(&self, phase: &str, elapsed: Duration) -> Result<(), JobError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(JobError::Stopped);
        }
        let timeout = self.contender.timeout;
        if elapsed > timeout {
            return Err(failed(format!(
                "{phase} took longer than {} s (--external-timeout)",
                thousands(timeout.as_secs())
            )));
        }
        Ok(())
    }

    /// The folder that the program has for itself, from training to evaluation.
    fn workdir(&self) -> PathBuf {
        self.job.directory.join("work")
    }

    fn outcome(
        &self,
        external: &External,
        trained: &Trained,
        evaluations: Vec<EvaluationRecord>,
        mut notes: Vec<String>,
    ) -> Outcome {
        notes.extend(trained.note(&self.arena.budget()));
        Outcome {
            trained_steps: trained.steps,
            steps_per_s: trained.steps as f64 / trained.duration_s,
            train_duration_s: trained.duration_s,
            solved_at: None,
            solved_threshold: None,
            training: None,
            parameters: None,
            hyperparameters: [
                ("command".to_owned(), Value::from(external.command.clone())),
                ("evaluation_seed".to_owned(), self.secret_seed.into()),
            ]
            .into(),
            learning_curve: Vec::new(),
            evaluations,
            memory_view: None,
            notes,
        }
    }
}

fn failed(reason: impl std::fmt::Display) -> JobError {
    JobError::Failed(reason.to_string())
}

fn ended(phase: &str, program: &Program, status: ExitStatus) -> JobError {
    failed(format!("{phase} ended with {}", program.describe(status)))
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
