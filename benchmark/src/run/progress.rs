//! Progress on standard error: a bar for each running job and one for all jobs. Results go to
//! standard output.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::format::{fixed, thousands};
use crate::plan::Job;

const JOB_TEMPLATE: &str =
    "{prefix:<30.bold} {bar:24.cyan/black.dim} {percent:>3}%  {msg}  {eta:.dim}";
const TOTAL_TEMPLATE: &str =
    "{prefix:<30.bold} {bar:24.green/black.dim} {pos}/{len} jobs, {elapsed}";

/// Displays the progress of a run.
///
/// On a terminal with bars, elsewhere with a line for each finished job, and not at all when
/// progress is turned off.
#[derive(Debug)]
pub struct Display {
    bars: Option<Bars>,
    lines: bool,
    /// The error after which standard output is no longer written.
    closed: OnceLock<std::io::Error>,
}

#[derive(Debug)]
struct Bars {
    multi: MultiProgress,
    total: ProgressBar,
}

/// Progress of a job: shown on a bar, or relayed to the caller of a worker.
#[derive(Clone)]
pub struct JobProgress(Kind);

#[derive(Clone)]
enum Kind {
    Bar(ProgressBar),
    Relayed(Arc<dyn Fn(Report) + Send + Sync>),
}

/// News of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// It trains.
    Training {
        /// Environment steps so far.
        steps: u64,
        /// Environment steps per second.
        steps_per_s: f64,
        /// Mean return of recent episodes.
        mean_return: Option<f64>,
    },
    /// Another phase has begun, such as `judging scrambled`.
    Phase {
        /// Its name.
        text: String,
        /// Its length in steps, if it is known.
        steps: Option<u64>,
    },
    /// The phase has advanced by so many steps.
    Advanced(u64),
}

impl Display {
    /// Makes a display for `jobs` jobs; `done` of them have finished before.
    pub fn new(progress: bool, jobs: usize, done: usize) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let bars = (progress && on_terminal).then(|| Bars::new(jobs, done));
        Self {
            bars,
            lines: progress && !on_terminal,
            closed: OnceLock::new(),
        }
    }

    /// Makes a display that shows nothing.
    pub const fn hidden() -> Self {
        Self {
            bars: None,
            lines: false,
            closed: OnceLock::new(),
        }
    }

    /// Starts a job's bar.
    pub fn start(&self, job: &Job) -> JobProgress {
        let Some(bars) = &self.bars else {
            return JobProgress::hidden();
        };
        let bar = ProgressBar::new(job.experiment.total_timesteps).with_style(style(JOB_TEMPLATE));
        let bar = bars.multi.insert_before(&bars.total, bar);
        bar.set_prefix(format!(
            "{} {} #{}",
            job.agent.name, job.experiment.name, job.seed
        ));
        bar.enable_steady_tick(Duration::from_millis(200));
        JobProgress(Kind::Bar(bar))
    }

    /// Ends a job's bar. Without bars, prints `text` instead.
    pub fn finish(&self, progress: &JobProgress, text: &str) {
        self.abandon(progress);
        if let Some(bars) = &self.bars {
            bars.total.inc(1);
        }
        if self.lines {
            tell(text);
        }
    }

    /// Removes the bar of a job that was stopped.
    pub fn abandon(&self, progress: &JobProgress) {
        let Kind::Bar(bar) = &progress.0 else {
            return;
        };
        bar.finish_and_clear();
        if let Some(bars) = &self.bars {
            bars.multi.remove(bar);
        }
    }

    /// Writes a result to standard output, above the bars. After the first error, nothing more is
    /// written; the run continues, and its records are complete.
    pub fn print(&self, text: &str) {
        if self.closed.get().is_some() {
            return;
        }
        let write = || {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{text}").and_then(|()| out.flush())
        };
        let written = match &self.bars {
            Some(bars) => bars.multi.suspend(write),
            None => write(),
        };
        if let Err(error) = written {
            let _ = self.closed.set(error);
        }
    }

    /// Returns why some results could not be printed. A closed pipe (`| head`) does not count: its
    /// reader had seen enough.
    pub fn print_error(&self) -> Option<&std::io::Error> {
        let error = self.closed.get();
        error.filter(|error| error.kind() != ErrorKind::BrokenPipe)
    }

    /// Removes all bars.
    pub fn end(&self) {
        if let Some(bars) = &self.bars {
            bars.total.finish_and_clear();
        }
    }
}

impl Bars {
    fn new(jobs: usize, done: usize) -> Self {
        let multi = MultiProgress::new();
        let total = multi.add(ProgressBar::new(jobs as u64).with_style(style(TOTAL_TEMPLATE)));
        total.set_prefix("benchmark");
        total.set_position(done as u64);
        total.enable_steady_tick(Duration::from_millis(500));
        Self { multi, total }
    }
}

impl JobProgress {
    /// Makes a progress that shows nothing.
    pub fn hidden() -> Self {
        Self(Kind::Bar(ProgressBar::hidden()))
    }

    /// Makes a progress that calls `relay` with each report, on the thread that runs the job.
    pub fn relayed(relay: impl Fn(Report) + Send + Sync + 'static) -> Self {
        Self(Kind::Relayed(Arc::new(relay)))
    }

    /// Updates training: environment steps so far, steps per second, mean return of recent
    /// episodes.
    pub fn update(&self, steps: u64, steps_per_s: f64, mean_return: Option<f64>) {
        self.report(Report::Training {
            steps,
            steps_per_s,
            mean_return,
        });
    }

    /// Shows a phase other than training, such as `judging scrambled`, of unknown length.
    pub fn phase(&self, text: &str) {
        let (text, steps) = (text.to_owned(), None);
        self.report(Report::Phase { text, steps });
    }

    /// As [`Self::phase`], with a length in steps: the bar starts again from 0.
    pub fn phase_of(&self, text: &str, steps: u64) {
        let (text, steps) = (text.to_owned(), Some(steps));
        self.report(Report::Phase { text, steps });
    }

    /// Advances the phase by `steps`.
    pub fn advance(&self, steps: u64) {
        self.report(Report::Advanced(steps));
    }

    /// Writes a line to standard error, above the bars.
    pub fn tell(&self, text: &str) {
        match &self.0 {
            Kind::Bar(bar) => bar.suspend(|| tell(text)),
            Kind::Relayed(_) => tell(text),
        }
    }

    /// Shows a report, or relays it.
    pub fn report(&self, report: Report) {
        let bar = match &self.0 {
            Kind::Bar(bar) => bar,
            Kind::Relayed(relay) => return relay(report),
        };
        match report {
            Report::Training {
                steps,
                steps_per_s,
                mean_return,
            } => {
                bar.set_position(steps);
                let rate = thousands(steps_per_s.round() as u64);
                let mean_return =
                    mean_return.map_or_else(|| "–".to_owned(), |value| fixed(value, 2));
                bar.set_message(format!("{rate} steps/s · return {mean_return}"));
            }
            Report::Phase { text, steps } => {
                if let Some(steps) = steps {
                    bar.set_length(steps);
                    bar.set_position(0);
                    bar.reset_eta();
                }
                bar.set_message(text);
            }
            Report::Advanced(steps) => bar.inc(steps),
        }
    }
}

/// Writes a line to standard error. A closed pipe (`2>&1 | head`) is no reason to fail.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the template is a constant that a test builds")
        .progress_chars("━╸━")
}

#[cfg(test)]
mod tests {
    #[test]
    fn templates_are_sound() {
        super::style(super::JOB_TEMPLATE);
        super::style(super::TOTAL_TEMPLATE);
    }
}
