//! The command line: arguments and help.

pub mod commands;
pub mod merge;

use std::path::{Component, Path, PathBuf};

use agent::arguments::{PoolArgs, env_arg, steps};
use agent::env::remote::{Token, TokenError};
use clap::{Args, Parser, Subcommand};
use serde_json::Value;
use workers::cluster::Terms;

use crate::error::Error;
use crate::plan::{AgentRow, Plan, Shard, Suite};
use crate::report::export::Format;
use crate::run::progress::tell;

/// Train agents on memory tasks and report who remembers what, for how long, at what cost.
///
/// Without arguments: PPO, recurrent PPO and TraceRL on the five experiments of the reference
/// notebook, each judged over 1,000 episodes, on an environment server started for the run. Results
/// are printed as tables and kept in runs/NAME/ with a report to read in a browser.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Runs the benchmark if absent.
    #[command(subcommand)]
    pub command: Option<Subcommands>,
    /// Arguments that choose the plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Arguments that say how to run it.
    #[command(flatten)]
    pub run: RunArgs,
}

const EXAMPLES: &str = "\
Examples:
  benchmark --quick                              the first four experiments, in seconds
  benchmark --seeds 5 --name five                five seeds, intervals over seeds, kept in runs/five
  benchmark --agents tracerl,tracerl-notebook    other agents
  benchmark --env RepeatFirst-v0 --agents ppo,tracerl
                                                 one environment, without a plan file
  benchmark --suite classic --quick              20 environments, in minutes
  benchmark --suite systems --quick              every algorithm that learns, in minutes
  benchmark --suite popgym --levels easy         the easy level of POPGym, 15M steps a task
  benchmark --suite frontier --quick             pairs that are recalled by delays, as one figure
  benchmark --experiments benchmark/experiments/length.toml
                                                 recall beyond the trained delays
  benchmark --agents ppo --external mine='python3 my_agent.py'
                                                 an external program next to PPO
  benchmark --json --quick > rows.jsonl          a line of JSON for every finished row
  benchmark --server http://10.0.0.5:7878        on another server
  benchmark --suite classic --workers 8          each agent in a process of its own
  benchmark --suite classic --pool ray           each agent on some machine of a Ray cluster
  benchmark resume runs/five                     continue an interrupted run
  benchmark report runs/five                     write its report again
  benchmark compare runs/before runs/after       a comparison of two runs
  benchmark export runs/five --format csv        its results as a table
  benchmark --suite classic --name big --shard 3/8
                                                 the third of eight parts, kept in runs/big-3-of-8
  benchmark merge runs/big-*-of-8 --into runs/big
                                                 the eight parts as one run

docs/benchmark.md explains plans, records and run folders.";

const MERGE_EXAMPLES: &str = "\
Examples:
  benchmark merge runs/big-*-of-8 --into runs/big        eight shards
  benchmark merge here/big-1-of-2 there/big-2-of-2 --into runs/big
                                                         copied from two machines";

/// The other commands.
#[derive(Debug, Subcommand)]
pub enum Subcommands {
    /// Resume an interrupted run: finished rows are kept, failed rows run again.
    Resume {
        /// Directory of the run.
        run_directory: PathBuf,
        /// Arguments that say how to run it.
        #[command(flatten)]
        run: RunArgs,
    },
    /// Write a run's report.html again from its records.
    Report {
        /// Directory of the run.
        run_directory: PathBuf,
    },
    /// Print a run's results as a table: a row for each agent on each experiment.
    Export {
        /// Directory of the run.
        run_directory: PathBuf,
        /// Form of the table.
        #[arg(long, value_enum, default_value_t = Format::Csv)]
        format: Format,
    },
    /// Answer jobs on standard input for a benchmark that was started with --workers or --pool.
    Worker,
    /// Compare two runs: the same agents on the same experiments, with the differences.
    Compare {
        /// Directory of the first run.
        first: PathBuf,
        /// Directory of the second run.
        second: PathBuf,
    },
    /// Join runs of one plan that were run apart, such as its shards.
    ///
    /// Each job keeps one row, the latest that did not fail. Checkpoints come along, so that
    /// `benchmark resume` runs what is missing or has failed, and continues what was interrupted.
    /// The runs stay as they are.
    #[command(after_help = MERGE_EXAMPLES)]
    Merge {
        /// Directories of the runs.
        #[arg(value_name = "RUN", required = true)]
        runs: Vec<PathBuf>,
        /// Directory of the result. If it is a run of the same plan, its rows take part.
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
    },
}

/// Arguments that choose the plan.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Built-in set of experiments to run.
    #[arg(long, value_enum, default_value_t = Suite::Notebook, conflicts_with = "experiments")]
    suite: Suite,
    /// Run this environment instead of a suite: a spec id of the server. May be given several
    /// times.
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["suite", "experiments"])]
    env: Vec<String>,
    /// Argument of the environments given by --env, e.g. delay=16. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", requires = "env", value_parser = env_arg)]
    env_arg: Vec<(String, Value)>,
    /// Training budget for --env, in steps [default: the classic suite's, or 1,000,000].
    #[arg(long, value_name = "STEPS", requires = "env", value_parser = steps)]
    total_timesteps: Option<u64>,
    /// Use the plan's budgets for quick runs, and leave out experiments without one. Of a plan
    /// without such budgets, run only the first three experiments.
    #[arg(long)]
    quick: bool,
    /// Levels of difficulty to run, of suites with several: easy, medium, hard [default: all].
    #[arg(long, value_name = "LEVEL[,LEVEL…]", value_delimiter = ',')]
    levels: Vec<String>,
    /// Run every agent with the seeds 0..N.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Agents to compare: rows of the plan, or algorithms with their default settings.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    agents: Vec<String>,
    /// External program to compare as well; docs/bring-your-own-agent.md says how it is run and
    /// judged. May be given several times.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = external_row)]
    external: Vec<AgentRow>,
    /// File with a plan; benchmark/experiments/notebook.toml shows the form.
    #[arg(long, value_name = "FILE.toml")]
    experiments: Option<PathBuf>,
    /// Directory to keep runs in.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// Name of the run; an existing run is resumed [default: the current time, with a number if
    /// that is taken].
    #[arg(long, value_parser = run_name)]
    name: Option<String>,
    /// Run a part of the plan, such as 3/8: every N-th job, beginning with the I-th. The shards 1/N
    /// to N/N together are the whole plan, and `benchmark merge` joins them. The run is kept in
    /// NAME-I-of-N; it needs --name, because the current time would give each shard another name.
    #[arg(long, value_name = "I/N", requires = "name")]
    shard: Option<Shard>,
}

/// Arguments that say how to run a plan.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Environment servers to use in turn [default: one started for the run].
    #[arg(long, value_name = "URL[,URL…]", value_delimiter = ',', conflicts_with = "pool", value_parser = server_url)]
    pub server: Vec<String>,
    /// File with the bearer token for these servers [default: the variable STRATEGIC_MEMORY_TOKEN].
    #[arg(long, value_name = "FILE", requires = "server")]
    token_file: Option<PathBuf>,
    /// Number of agents that train at once [default: the number of cores].
    #[arg(long, value_name = "N", conflicts_with = "pool", value_parser = clap::value_parser!(u64).range(1..=1024))]
    jobs: Option<u64>,
    /// Number of agents that train at once, each in a process of its own. A process that dies costs
    /// its job the time since the last checkpoint, and no other job anything. External programs
    /// run as without workers.
    #[arg(long, value_name = "N", conflicts_with_all = ["jobs", "server", "pool"], value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub workers: Option<u64>,
    /// The machines of a cluster.
    #[command(flatten)]
    pool: PoolArgs,
    /// Time limit for an external program's training, and again for its evaluation.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..))]
    pub external_timeout: u64,
    /// Print each finished row as a line of JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Show no progress on standard error.
    #[arg(long)]
    no_progress: bool,
}

impl RunArgs {
    /// Returns what the run asks of a cluster, if it uses one.
    pub fn cluster(&self) -> Option<Terms> {
        // Results may differ in their last bits from one machine to another, which is a warning.
        self.pool.cluster(None)
    }

    /// Returns the token for the servers given by --server. The embedded server needs none.
    ///
    /// # Errors
    /// When the token cannot be read.
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
    /// Returns the requested plan, with all of its rows.
    fn plan(&self) -> Result<Plan, Error> {
        match &self.experiments {
            Some(path) => Plan::read(path),
            None if self.env.is_empty() => Plan::suite(self.suite),
            None => {
                let kwargs = self.env_arg.iter().cloned().collect();
                Plan::from_environments(&self.env, &kwargs, self.total_timesteps)
            }
        }
    }

    /// Returns the names given by `--agents`, if any, followed by those of other external programs.
    fn selected(&self) -> Vec<String> {
        let mut names = self.agents.clone();
        if !names.is_empty() {
            let others = self.external.iter().map(|row| &row.name);
            names.extend(others.filter(|name| !self.agents.contains(name)).cloned());
        }
        names
    }
}

/// Parses a run's name: a directory within `--out`.
fn run_name(text: &str) -> Result<String, String> {
    let mut parts = Path::new(text).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) if name == text => Ok(text.to_owned()),
        _ => Err(
            "a name has no `/` and is neither `.` nor `..`; --out says where runs are kept".into(),
        ),
    }
}

/// Parses an external program, given as `NAME=COMMAND`.
fn external_row(text: &str) -> Result<AgentRow, String> {
    match text.split_once('=') {
        Some((name, command)) => Ok(AgentRow::from_command(name, command)),
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
        Err(format!("a server is given by its URL: http://{text}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn help() {
        Cli::command().debug_assert();
        // A fixed width, independent of the terminal.
        insta::assert_snapshot!(Cli::command().term_width(100).render_long_help());
    }
}
