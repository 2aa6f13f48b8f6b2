//! The commands: each carries out its arguments and prints results as they come.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use agent::run::lock::FolderLock;
use agent::shell;
use agent::signals::StopRequest;
use anyhow::Context as _;

use super::{PlanArgs, RunArgs};
use crate::error::Error;
use crate::records::config::{RunConfig, RunInfo};
use crate::records::directory::RunDirectory;
use crate::records::{Record, git_commit, read_records};
use crate::report::compare::compare;
use crate::report::export::{self, Format};
use crate::report::{self, json, table};
use crate::run::contender::Contender;
use crate::run::progress::{Display, tell};
use crate::run::runner::{Event, Runner, now};
use crate::scores::summary::summarize;

/// Name of the program in commands to paste into a shell.
pub(super) const PROGRAM: &str = "benchmark";

/// A run's directory, reserved for this process, and its configuration.
pub struct OpenRun {
    /// The run's directory.
    pub directory: RunDirectory,
    /// The run's configuration.
    pub config: RunConfig,
    /// Held until the run ends.
    _lock: FolderLock,
}

/// Surroundings of a run, provided by the program or by a test.
pub struct RunContext<'a> {
    /// Trains and judges the agents.
    pub contender: &'a dyn Contender,
    /// Base URLs of environment servers, at least one.
    pub servers: &'a [String],
    /// Number of jobs at once, where a pool decides it.
    pub slots: Option<usize>,
    /// Set by a signal to stop the run.
    pub stop: &'a StopRequest,
}

/// Makes the run's directory and writes its configuration. `arguments` are the program's own;
/// `algorithms` are the ids that `--agents` may name besides the plan's rows.
///
/// # Errors
/// When the plan is not valid, the directory cannot be written, or another process uses it.
pub fn prepare(
    args: &PlanArgs,
    arguments: &[OsString],
    algorithms: &[&str],
) -> anyhow::Result<OpenRun> {
    let mut plan = args.plan()?;
    plan.select_levels(&args.levels)?;
    plan.add(&args.external)?;
    plan.select_agents(&args.selected(), algorithms)?;
    plan.settle_budgets(args.quick);
    let started_at = now();
    let (name, directory) = match &args.name {
        Some(name) => {
            let shard = args.shard;
            let name = shard.map_or_else(|| name.clone(), |shard| shard.run_name(name));
            let directory = RunDirectory::new(args.out.join(&name));
            (name, directory)
        }
        None => {
            let time = started_at.replace(':', "-").replace('Z', "");
            RunDirectory::next(&args.out, &time)?
        }
    };
    let lock = lock(&directory)?;
    let mut run = RunInfo {
        name,
        seeds: args.seeds,
        shard: args.shard,
        command: command_line(arguments),
        commit: git_commit(),
        started_at,
        earlier: Vec::new(),
    };
    if let Some(before) = directory.earlier_config()? {
        let shards = [before.run.shard, run.shard];
        let [there, asked] = shards.map(|shard| match shard {
            Some(shard) => format!("shard {shard}"),
            None => "all jobs".to_owned(),
        });
        anyhow::ensure!(
            there == asked,
            "{} is a run of {there}, and this command asks for {asked}; choose another --name",
            directory.path().display()
        );
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

/// Runs or resumes a run, and prints results as they come.
///
/// Returns exit code 0 when every row finished, 1 when a row failed or could not be printed or the
/// workers' pool is lost, 130
/// after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP. When standard output is closed (`| head`),
/// printing ends and the run continues.
///
/// # Errors
/// When results cannot be read or recorded.
pub fn run(run: &OpenRun, args: &RunArgs, context: &RunContext<'_>) -> anyhow::Result<ExitCode> {
    let OpenRun {
        directory, config, ..
    } = run;
    let asked = args.workers.or(args.jobs).map(|count| count as usize);
    let workers = context.slots.or(asked);
    let workers = workers.unwrap_or_else(default_workers);
    let hidden = Display::hidden();
    let commit = git_commit();
    let runner = Runner {
        config,
        directory,
        contender: context.contender,
        servers: context.servers,
        workers,
        commit: &commit,
        stop: context.stop.flag(),
        display: &hidden,
    };
    let (jobs, done) = runner.count()?;
    tell_if_empty(config, jobs);
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
    if let Some(reason) = context.contender.lost() {
        tell(&format!("error: {reason}"));
    }
    if ending.remaining > 0 {
        let run = shell::quote(directory.path());
        tell(&format!(
            "stopped with {} of {jobs} jobs left; resume with: {PROGRAM} resume {run}",
            ending.remaining
        ));
        return Ok(match context.contender.lost() {
            Some(_) => ExitCode::FAILURE,
            None => ExitCode::from(context.stop.exit_status()),
        });
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
    if let Some(reason) = display.print_error() {
        tell(&format!(
            "some results could not be printed ({reason}); they are in {}",
            directory.records().display()
        ));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says so if a shard has no jobs, because there are more shards than jobs.
fn tell_if_empty(config: &RunConfig, jobs: usize) {
    if let Some(shard) = config.run.shard.filter(|_| jobs == 0) {
        let all = config.plan.jobs(config.run.seeds).count();
        tell(&format!(
            "shard {shard} is empty; number of jobs in the plan: {all}"
        ));
    }
}

/// Opens an earlier run to resume it.
///
/// # Errors
/// When this is not the directory of a run, or another process uses it.
pub fn reopen(run_directory: &Path) -> anyhow::Result<OpenRun> {
    // Read first, so that no lock is left in a directory that is not a run's.
    let (directory, _) = look_into(run_directory)?;
    let lock = lock(&directory)?;
    let (directory, config) = look_into(run_directory)?;
    Ok(OpenRun {
        directory,
        config,
        _lock: lock,
    })
}

/// Reserves a run's directory for this process. Warns where the file system cannot lock.
pub(super) fn lock(directory: &RunDirectory) -> Result<FolderLock, Error> {
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

/// Reads a run and its results.
fn read_run(run_directory: &Path) -> anyhow::Result<(RunDirectory, RunConfig, Vec<Record>)> {
    let (directory, config) = look_into(run_directory)?;
    let records = read_records(&directory.records())?;
    Ok((directory, config, records))
}

/// Writes a run's report again and returns its path.
///
/// # Errors
/// When this is not the directory of a run, or it cannot be written.
pub fn rewrite_report(run_directory: &Path) -> anyhow::Result<String> {
    let (directory, config, records) = read_run(run_directory)?;
    directory.write_report(&report::render(&records, &config)?)?;
    Ok(directory.report().display().to_string())
}

/// Returns a run's results as a table.
///
/// # Errors
/// When this is not the directory of a run.
pub fn export_table(run_directory: &Path, format: Format) -> anyhow::Result<String> {
    let (_, config, records) = read_run(run_directory)?;
    Ok(export::table(&records, &config.plan, format)?)
}

/// Returns a comparison of two runs.
///
/// # Errors
/// When a directory is not that of a run.
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
    use super::*;

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
