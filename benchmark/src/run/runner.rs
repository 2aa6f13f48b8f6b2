//! The runner: runs a plan's jobs on worker threads, records each as it finishes, and resumes
//! interrupted runs.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use workers::panic_message;

use crate::error::Error;
use crate::format::{seconds, speed};
use crate::plan::{Job, PlannedJob, job_title};
use crate::records::config::RunConfig;
use crate::records::directory::RunDirectory;
use crate::records::outcome::Outcome;
use crate::records::{
    Record, RecordWriter, RowResult, SCHEMA_VERSION, configuration_hash, read_records,
};
use crate::run::contender::{Contender, JobError};
use crate::run::precautions::Precautions;
use crate::run::progress::{Display, JobProgress, tell};
use crate::scores::summary::{ExperimentSummary, summarize};

/// Runs the jobs of a plan.
pub struct Runner<'a> {
    /// The plan, and the number of seeds.
    pub config: &'a RunConfig,
    /// The run's directory; it exists.
    pub directory: &'a RunDirectory,
    /// Trains and judges the agents.
    pub contender: &'a dyn Contender,
    /// Base URLs of environment servers, at least one; jobs use them in turn.
    pub servers: &'a [String],
    /// Number of jobs that run at once, at least one.
    pub workers: usize,
    /// Git commit for the records.
    pub commit: &'a str,
    /// Set by a caller to stop the run, and by the runner when results can no longer be recorded.
    pub stop: &'a AtomicBool,
    /// Displays the progress.
    pub display: &'a Display,
}

/// Events of a run, for display.
pub enum Event<'a> {
    /// A job has a row: it just finished, or had finished in an earlier run.
    Row(&'a Record),
    /// All jobs of an experiment have rows.
    Experiment {
        /// The experiment's rows.
        summary: &'a ExperimentSummary<'a>,
        /// All rows of the run so far.
        records: &'a [Record],
    },
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// All rows of the run's directory, including those of earlier runs with other plans.
    pub records: Vec<Record>,
    /// Number of jobs without a row because the run was stopped.
    pub remaining: usize,
}

/// A job that has ended.
struct Finished {
    experiment_index: usize,
    record: Record,
}

/// A job in the queue, with the index of its experiment in the plan.
struct Queued {
    experiment_index: usize,
    job: Job,
}

impl Runner<'_> {
    /// Returns how many jobs the plan has, and how many of them have finished before.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn count(&self) -> Result<(usize, usize), Error> {
        let records = read_records(&self.directory.records())?;
        let queued = self.queue(&finished_hashes(&records)).len();
        let jobs = self.config.jobs().count();
        Ok((jobs, jobs - queued))
    }

    /// Runs all jobs that have not finished before; a job that failed before runs again. Earlier
    /// rows are sent as events first, so that the output does not depend on interruptions.
    ///
    /// # Errors
    /// When results cannot be read or recorded, or `on_event` fails. A failing agent is a row, not
    /// an error.
    pub fn run(
        &self,
        on_event: &mut dyn FnMut(Event<'_>) -> Result<(), Error>,
    ) -> Result<Ending, Error> {
        let records = read_records(&self.directory.records())?;
        let finished = finished_hashes(&records);
        let (refused, queue) = self.refused(self.queue(&finished));
        let planned = self.planned_hashes();
        let writer = RecordWriter::open(&self.directory.records())?;
        let jobs = queue.iter().map(|queued| &queued.job);
        let precautions = Precautions::take(self.config, self.directory, writer.file(), jobs)?;
        let mut state = RunState {
            runner: self,
            writer,
            pending: self.config.plan.experiments.iter().map(|_| 0).collect(),
            records,
        };
        let indices = queue.iter().map(|queued| queued.experiment_index);
        let indices = indices.chain(refused.iter().map(|refused| refused.experiment_index));
        for index in indices {
            state.pending[index] += 1;
        }
        for record in state.records.iter().filter(|record| {
            planned.contains(&record.configuration_hash) && record.failure().is_none()
        }) {
            on_event(Event::Row(record))?;
        }
        for index in 0..state.pending.len() {
            state.report_if_complete(index, on_event)?;
        }
        let mut refused = refused.into_iter();
        let recorded = refused.try_for_each(|refused| state.record(refused, on_event));
        let worked = recorded.and_then(|()| self.work(queue, &precautions, &mut state, on_event));
        let restored = precautions.restore();
        worked?;
        for file in restored? {
            tell(&format!(
                "{file} was changed by another process; it has been restored"
            ));
        }
        Ok(Ending {
            remaining: state.pending.iter().sum(),
            records: state.records,
        })
    }

    /// Runs workers, which take jobs from the queue until it is empty or `stop` is set.
    fn work(
        &self,
        queue: VecDeque<Queued>,
        precautions: &Precautions,
        state: &mut RunState<'_>,
        on_event: &mut dyn FnMut(Event<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let queue = Mutex::new(queue);
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..self.workers {
                let (sender, queue) = (sender.clone(), &queue);
                scope.spawn(move || self.take_jobs(queue, precautions, &sender));
            }
            drop(sender);
            for finished in receiver {
                let recorded = state.record(finished, on_event);
                // A run that cannot record its results is not worth the electricity.
                recorded.inspect_err(|_| self.stop.store(true, Ordering::Relaxed))?;
            }
            Ok(())
        })
    }

    fn take_jobs(
        &self,
        queue: &Mutex<VecDeque<Queued>>,
        precautions: &Precautions,
        done: &mpsc::Sender<Finished>,
    ) {
        while !self.stop.load(Ordering::Relaxed) {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(Queued {
                experiment_index,
                job,
            }) = next
            else {
                return;
            };
            let progress = self.display.start(&job);
            let result = match self.run_job(&job, &progress, precautions) {
                Ok(outcome) => RowResult::Finished(Box::new(outcome)),
                // An error after a stop says nothing about the agent; its job runs again later.
                Err(_) if self.stop.load(Ordering::Relaxed) => {
                    return self.display.abandon(&progress);
                }
                Err(error) => RowResult::Failed {
                    reason: error.to_string(),
                },
            };
            let record = self.record(job, result);
            self.display.finish(&progress, &row_line(&record));
            if done
                .send(Finished {
                    experiment_index,
                    record,
                })
                .is_err()
            {
                return;
            }
        }
    }

    fn run_job(
        &self,
        job: &Job,
        progress: &JobProgress,
        precautions: &Precautions,
    ) -> Result<Outcome, JobError> {
        let _turn = precautions.begin(job, progress, self.stop)?;
        std::fs::create_dir_all(&job.directory).map_err(|error| {
            JobError::Failed(format!(
                "cannot create {}: {error}",
                job.directory.display()
            ))
        })?;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.contender.run(job, progress, self.stop)
        }))
        .unwrap_or_else(|panic| {
            Err(JobError::Failed(format!(
                "the agent panicked: {}",
                panic_message(&*panic)
            )))
        });
        precautions.check(job)?;
        let outcome = outcome?;
        outcome.check().map_err(JobError::Failed)?;
        Ok(outcome)
    }

    fn record(&self, job: Job, result: RowResult) -> Record {
        Record {
            schema_version: SCHEMA_VERSION,
            commit: self.commit.to_owned(),
            configuration_hash: configuration_hash(&job.experiment, &job.agent, job.seed),
            finished_at: now(),
            experiment: job.experiment,
            agent: job.agent,
            seed: job.seed,
            result,
        }
    }

    /// Takes the jobs out of the queue whose agents cannot play their task, and says so.
    fn refused(&self, queue: VecDeque<Queued>) -> (Vec<Finished>, VecDeque<Queued>) {
        let (mut refused, mut rest) = (Vec::new(), VecDeque::new());
        for queued in queue {
            let job = &queued.job;
            let Some(reason) = self.contender.refusal(&job.experiment, &job.agent) else {
                rest.push_back(queued);
                continue;
            };
            let progress = self.display.start(job);
            let record = self.record(queued.job, RowResult::NotApplicable { reason });
            self.display.finish(&progress, &row_line(&record));
            refused.push(Finished {
                experiment_index: queued.experiment_index,
                record,
            });
        }
        (refused, rest)
    }

    /// Returns the run's jobs that have not finished, in the plan's order.
    fn queue(&self, finished: &HashSet<String>) -> VecDeque<Queued> {
        let jobs = self.config.jobs();
        let open = jobs.filter(|planned| !finished.contains(&hash_of(planned)));
        let with_servers = open.zip(self.servers.iter().cycle());
        let queued = with_servers.map(|(planned, server)| {
            let PlannedJob {
                experiment_index,
                experiment,
                agent,
                seed,
            } = planned;
            let job = Job {
                experiment: experiment.clone(),
                agent: agent.clone(),
                seed,
                server: server.clone(),
                directory: self.directory.job(experiment, agent, seed),
            };
            Queued {
                experiment_index,
                job,
            }
        });
        queued.collect()
    }

    fn planned_hashes(&self) -> HashSet<String> {
        self.config
            .jobs()
            .map(|planned| hash_of(&planned))
            .collect()
    }
}

/// The rows so far, and the number of jobs that each experiment still waits for.
struct RunState<'a> {
    runner: &'a Runner<'a>,
    writer: RecordWriter,
    pending: Vec<usize>,
    records: Vec<Record>,
}

impl RunState<'_> {
    fn record(
        &mut self,
        Finished {
            experiment_index,
            record,
        }: Finished,
        on_event: &mut dyn FnMut(Event<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.writer.append(&record)?;
        on_event(Event::Row(&record))?;
        self.records
            .retain(|earlier| earlier.configuration_hash != record.configuration_hash);
        self.records.push(record);
        self.pending[experiment_index] -= 1;
        self.report_if_complete(experiment_index, on_event)
    }

    fn report_if_complete(
        &self,
        experiment_index: usize,
        on_event: &mut dyn FnMut(Event<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.pending[experiment_index] > 0 {
            return Ok(());
        }
        let plan = &self.runner.config.plan;
        let summaries = summarize(&self.records, plan);
        let summary = summaries
            .iter()
            .find(|summary| *summary.experiment == plan.experiments[experiment_index]);
        summary.map_or(Ok(()), |summary| {
            on_event(Event::Experiment {
                summary,
                records: &self.records,
            })
        })
    }
}

fn hash_of(planned: &PlannedJob<'_>) -> String {
    configuration_hash(planned.experiment, planned.agent, planned.seed)
}

fn finished_hashes(records: &[Record]) -> HashSet<String> {
    records
        .iter()
        .filter(|record| record.failure().is_none())
        .map(|record| record.configuration_hash.clone())
        .collect()
}

/// Describes a finished job in one line, for output without bars.
fn row_line(record: &Record) -> String {
    let name = job_title(&record.agent, &record.experiment, record.seed);
    match &record.result {
        RowResult::Finished(outcome) => {
            let speed = speed(outcome.steps_per_s, outcome.train_duration_s);
            let speed = speed.map_or(String::new(), |rate| format!(" ({rate:.0} steps/s)"));
            format!(
                "{name}: {} steps in {} s{speed}",
                outcome.trained_steps,
                seconds(outcome.train_duration_s)
            )
        }
        RowResult::Failed { reason } => format!("{name}: failed: {reason}"),
        RowResult::NotApplicable { reason } => format!("{name}: not applicable: {reason}"),
    }
}

/// Returns the current time, RFC 3339 with seconds.
pub(crate) fn now() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}
