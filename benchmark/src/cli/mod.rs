//! The command line: arguments, and what is printed while a run goes on.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use agent::arguments::{env_arg, steps};
use agent::env::remote::{Token, TokenError};
use agent::lock::FolderLock;
use agent::shell;
use agent::signals::StopRequest;
use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::error::Error;
use crate::plan::{AgentRow, Plan, Suite};
use crate::records::directory::{RunConfig, RunDirectory, RunInfo};
use crate::records::{Record, git_commit, read_records};
use crate::report::compare::compare;
use crate::report::export::{self, Format};
use crate::report::{self, json, table};
use crate::run::contender::Contender;
use crate::run::progress::{Display, tell};
use crate::run::runner::{Event, Runner, now};
use crate::scores::summary::summarize;

/// What the program is called in lines that are to be pasted into a shell.
const PROGRAM: &str = "benchmark";

/// Train agents on memory tasks and report who remembers what, for how long, at what cost.
///
/// Without arguments: PPO, recurrent PPO and TraceRL on the five experiments of the reference notebook, each judged
/// over 1,000 episodes, on an environment server started for the occasion. Results are printed as tables and kept
/// in runs/NAME/ with a report to read in a browser.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Without a subcommand: run the benchmark.
    #[command(subcommand)]
    pub command: Option<Subcommands>,
    /// What to run.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// How to run it.
    #[command(flatten)]
    pub run: RunArgs,
}

const EXAMPLES: &str = "\
Examples:
  benchmark --quick                              the first four experiments, in seconds
  benchmark --seeds 5 --name five                five seeds, intervals over seeds, kept in runs/five
  benchmark --agents tracerl,tracerl-notebook    other agents
  benchmark --env RepeatFirst-v0 --agents ppo,tracerl
                                                 one environment, without a plan in a file
  benchmark --suite classic --quick              every environment, in minutes
  benchmark --experiments benchmark/experiments/length.toml
                                                 how far beyond its training does it recall?
  benchmark --agents ppo --external mine='python3 my_agent.py'
                                                 a program of one's own beside PPO
  benchmark --json --quick > rows.jsonl          a line of JSON for every finished row
  benchmark --server http://10.0.0.5:7878        on a server elsewhere
  benchmark resume runs/five                     continue an interrupted run
  benchmark report runs/five                     write its report again
  benchmark compare runs/before runs/after       two runs side by side
  benchmark export runs/five --format csv        its results as a table

docs/benchmark.md explains plans, records and run folders.";

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Subcommands {
    /// Go on with an interrupted run: what has finished is not run again, failed rows are tried again.
    Resume {
        /// The run's directory.
        run_directory: PathBuf,
        /// How to run it.
        #[command(flatten)]
        run: RunArgs,
    },
    /// Write a run's report.html again from its records.
    Report {
        /// The run's directory.
        run_directory: PathBuf,
    },
    /// Print a run's results as a table: a row for each agent on each experiment.
    Export {
        /// The run's directory.
        run_directory: PathBuf,
        /// The table's form.
        #[arg(long, value_enum, default_value_t = Format::Csv)]
        format: Format,
    },
    /// Print two runs side by side: the same agents on the same experiments, and how much they differ.
    Compare {
        /// The first run's directory.
        first: PathBuf,
        /// The second run's directory.
        second: PathBuf,
    },
}

/// What to run.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Which experiments, of those that come with the program.
    #[arg(long, value_enum, default_value_t = Suite::Notebook, conflicts_with = "experiments")]
    suite: Suite,
    /// One environment instead: a spec id of the server. May be given several times.
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["suite", "experiments"])]
    env: Vec<String>,
    /// Argument of the environments that --env names, e.g. delay=16. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", requires = "env", value_parser = env_arg)]
    env_arg: Vec<(String, Value)>,
    /// Training budget for --env [default: the classic suite's, or 1,000,000].
    #[arg(long, value_name = "STEPS", requires = "env", value_parser = steps)]
    total_timesteps: Option<u64>,
    /// With the plan's budgets for a quick run, and without experiments that have none; of a plan without such budgets
    /// only the first three experiments.
    #[arg(long)]
    quick: bool,
    /// Run every agent with the seeds 0..N.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// The agents to compare: rows of the plan, or algorithms with their defaults.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    agents: Vec<String>,
    /// A program from outside as a further contender; docs/bring-your-own-agent.md says how it is run and judged.
    /// May be given several times.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = external_row)]
    external: Vec<AgentRow>,
    /// A plan of one's own; benchmark/experiments/notebook.toml shows the form.
    #[arg(long, value_name = "FILE.toml")]
    experiments: Option<PathBuf>,
    /// Where runs are kept.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// The run's name; one that exists is gone on with [default: the time, and a number where that is taken].
    #[arg(long, value_parser = run_name)]
    name: Option<String>,
}

/// How to run it.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Environment servers to play on, taken in turn [default: one started for the run].
    #[arg(long, value_name = "URL[,URL…]", value_delimiter = ',', value_parser = server_url)]
    pub server: Vec<String>,
    /// File with the bearer token that these servers ask for [default: the variable STRATEGIC_MEMORY_TOKEN].
    #[arg(long, value_name = "FILE", requires = "server")]
    token_file: Option<PathBuf>,
    /// How many agents train at once [default: the number of cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    jobs: Option<u64>,
    /// How long a program from outside may take for its training, and again for its evaluation.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..))]
    pub external_timeout: u64,
    /// Print each finished row as a line of JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Show no progress on standard error.
    #[arg(long)]
    no_progress: bool,
}

/// A run's directory that this process has for itself, and what is to be run in it.
pub struct OpenRun {
    /// Where the run is kept.
    pub directory: RunDirectory,
    /// What is run.
    pub config: RunConfig,
    /// Held until the run has ended.
    _lock: FolderLock,
}

/// What a run plays with: filled in by the program, or by a test.
pub struct Equipment<'a> {
    /// Who trains and judges.
    pub contender: &'a dyn Contender,
    /// Base URLs of environment servers, at least one.
    pub servers: &'a [String],
    /// Set from outside to stop the run.
    pub stop: &'a StopRequest,
}

impl RunArgs {
    /// The token for the servers that were named; a server of one's own asks nobody.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn token(&self) -> Result<Option<Token>, TokenError> {
        if self.server.is_empty() {
            return Ok(None);
        }
        let variable = std::env::var_os(Token::VARIABLE);
        let token = Token::find(self.token_file.as_deref(), variable.as_deref())?;
        if let Some(warning) = token.as_ref().and_then(Token::warning) {
            tell(&format!("warning: {warning}"));
        }
        Ok(token)
    }
}

impl PlanArgs {
    /// Makes the run's directory with its configuration; `arguments` are the program's own, `algorithms` the ids
    /// that `--agents` may name beside the plan's rows.
    ///
    /// # Errors
    /// When the plan is not sound, the directory cannot be written, or another process runs in it.
    pub fn prepare(&self, arguments: &[OsString], algorithms: &[&str]) -> anyhow::Result<OpenRun> {
        let mut plan = self.plan()?;
        plan.add(&self.external)?;
        plan.select_agents(&self.selected(), algorithms)?;
        plan.settle_budgets(self.quick);
        let started_at = now();
        let (name, directory) = match &self.name {
            Some(name) => (name.clone(), RunDirectory::new(self.out.join(name))),
            None => {
                let time = started_at.replace(':', "-").replace('Z', "");
                RunDirectory::next(&self.out, &time)?
            }
        };
        let lock = lock(&directory)?;
        let mut run = RunInfo {
            name,
            seeds: self.seeds,
            command: command_line(arguments),
            commit: git_commit(),
            started_at,
            earlier: Vec::new(),
        };
        if let Some(before) = directory.earlier_config()? {
            run = run.after(before.run);
        }
        let config = RunConfig { run, plan };
        directory.write_config(&config)?;
        Ok(OpenRun {
            directory,
            config,
            _lock: lock,
        })
    }

    /// The plan as it is asked for, with all of its rows.
    fn plan(&self) -> Result<Plan, Error> {
        match &self.experiments {
            Some(path) => Plan::read(path),
            None if self.env.is_empty() => Plan::suite(self.suite),
            None => {
                let kwargs = self.env_arg.iter().cloned().collect();
                Plan::of_environments(&self.env, &kwargs, self.total_timesteps)
            }
        }
    }

    /// What `--agents` names, if anything, and then programs that it does not name.
    fn selected(&self) -> Vec<String> {
        let mut names = self.agents.clone();
        if !names.is_empty() {
            let others = self.external.iter().map(|row| &row.name);
            names.extend(others.filter(|name| !self.agents.contains(name)).cloned());
        }
        names
    }
}

/// Runs or continues a run, printing as it goes.
///
/// The exit code is 0 when every row finished, 1 when a row failed or could not be printed, 130 when the run was stopped by
/// Ctrl-C, 143 by SIGTERM, 129 by SIGHUP. A reader of standard output who leaves ends the printing, and nothing else.
///
/// # Errors
/// When results cannot be read or kept.
pub fn run(run: &OpenRun, args: &RunArgs, equipment: &Equipment<'_>) -> anyhow::Result<ExitCode> {
    let OpenRun {
        directory, config, ..
    } = run;
    let workers = args.jobs.map_or_else(default_workers, |jobs| jobs as usize);
    let hidden = Display::hidden();
    let commit = git_commit();
    let runner = Runner {
        config,
        directory,
        contender: equipment.contender,
        servers: equipment.servers,
        workers,
        commit: &commit,
        stop: equipment.stop.flag(),
        display: &hidden,
    };
    let (jobs, done) = runner.count()?;
    let display = Display::new(!args.no_progress, jobs, done);
    let runner = Runner {
        display: &display,
        ..runner
    };
    let ending = runner.run(&mut |event| show(event, args, directory, config, &display));
    display.end();
    let ending = ending?;
    directory.write_report(&report::render(&ending.records, config)?)?;
    tell(&format!("report: {}", directory.report().display()));
    if ending.remaining > 0 {
        let run = shell::quote(directory.path());
        tell(&format!(
            "stopped with {} of {jobs} jobs to do; go on with: {PROGRAM} resume {run}",
            ending.remaining
        ));
        return Ok(ExitCode::from(equipment.stop.exit_status()));
    }
    let failed = ending
        .records
        .iter()
        .filter(|record| record.failure().is_some())
        .count();
    if failed > 0 {
        let rows = if failed == 1 { "row" } else { "rows" };
        tell(&format!(
            "{failed} {rows} failed; the reasons are in the report and in {}",
            directory.records().display()
        ));
        return Ok(ExitCode::FAILURE);
    }
    if let Some(reason) = display.lost_words() {
        tell(&format!(
            "not all could be printed ({reason}); it is in {}",
            directory.records().display()
        ));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// An earlier run, to be gone on with.
///
/// # Errors
/// When the directory is not a run's, or another process runs in it.
pub fn reopen(run_directory: &Path) -> anyhow::Result<OpenRun> {
    // Before a lock is left in a directory that is not a run's.
    let (directory, _) = look_into(run_directory)?;
    let lock = lock(&directory)?;
    let (directory, config) = look_into(run_directory)?;
    Ok(OpenRun {
        directory,
        config,
        _lock: lock,
    })
}

/// Has a run's directory for this process alone, as well as its drive allows.
fn lock(directory: &RunDirectory) -> Result<FolderLock, Error> {
    let lock = directory.lock()?;
    if let Some(warning) = lock.warning() {
        tell(&format!("warning: {warning}"));
    }
    Ok(lock)
}

fn look_into(run_directory: &Path) -> anyhow::Result<(RunDirectory, RunConfig)> {
    let directory = RunDirectory::new(run_directory);
    let config = directory
        .read_config()
        .context("this is not the directory of a run")?;
    Ok((directory, config))
}

/// A run with its results.
fn read_run(run_directory: &Path) -> anyhow::Result<(RunDirectory, RunConfig, Vec<Record>)> {
    let (directory, config) = look_into(run_directory)?;
    let records = read_records(&directory.records())?;
    Ok((directory, config, records))
}

/// Writes a run's report again. Returns where it is.
///
/// # Errors
/// When the directory is not a run's or cannot be written.
pub fn rewrite_report(run_directory: &Path) -> anyhow::Result<String> {
    let (directory, config, records) = read_run(run_directory)?;
    directory.write_report(&report::render(&records, &config)?)?;
    Ok(directory.report().display().to_string())
}

/// A run's results as a table.
///
/// # Errors
/// When the directory is not a run's.
pub fn export_table(run_directory: &Path, format: Format) -> anyhow::Result<String> {
    let (_, config, records) = read_run(run_directory)?;
    Ok(export::table(&summarize(&records, &config.plan), format)?)
}

/// Two runs side by side.
///
/// # Errors
/// When a directory is not a run's.
pub fn compare_runs(first: &Path, second: &Path) -> anyhow::Result<String> {
    let read = |run_directory: &Path| {
        read_run(run_directory)
            .with_context(|| format!("cannot compare {}", run_directory.display()))
    };
    let ((_, before_config, before), (_, after_config, after)) = (read(first)?, read(second)?);
    Ok(compare(
        &summarize(&before, &before_config.plan),
        &summarize(&after, &after_config.plan),
    ))
}

fn show(
    event: Event<'_>,
    args: &RunArgs,
    directory: &RunDirectory,
    config: &RunConfig,
    display: &Display,
) -> Result<(), Error> {
    match event {
        Event::Row(record) if args.json => {
            display.print(&json::row(record));
            Ok(())
        }
        Event::Row(_) => Ok(()),
        Event::Experiment { summary, records } => {
            if !args.json {
                display.print(&format!("\n{}", table::experiment_table(summary)));
            }
            directory.write_report(&report::render(records, config)?)
        }
    }
}

/// A run's name: a directory within `--out`.
fn run_name(text: &str) -> Result<String, String> {
    let mut parts = Path::new(text).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) if name == text => Ok(text.to_owned()),
        _ => Err(
            "a name has no `/` and is neither `.` nor `..`; --out says where runs are kept".into(),
        ),
    }
}

/// A row for a program from outside, of `NAME=COMMAND`.
fn external_row(text: &str) -> Result<AgentRow, String> {
    match text.split_once('=') {
        Some((name, command)) => Ok(AgentRow::from_outside(name, command)),
        None => Err("a program is given as NAME='command and arguments'".to_owned()),
    }
}

fn server_url(text: &str) -> Result<String, String> {
    let has_scheme = ["http://", "https://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if has_scheme {
        Ok(text.to_owned())
    } else {
        Err(format!("a server is named by its URL: http://{text}"))
    }
}

fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn command_line(arguments: &[OsString]) -> String {
    let words = arguments
        .iter()
        .map(|word| format!(" {}", shell::quote(word)));
    format!("{PROGRAM}{}", words.collect::<String>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn help() {
        Cli::command().debug_assert();
        // Of one width, whatever terminal the test runs in.
        insta::assert_snapshot!(Cli::command().term_width(100).render_long_help());
    }

    #[test]
    fn command_line_can_be_pasted_into_a_shell() {
        let command = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            command_line(&arguments)
        };
        assert_eq!(command(&[]), "benchmark");
        assert_eq!(
            command(&["--name", "two words"]),
            "benchmark --name 'two words'"
        );
    }
}
