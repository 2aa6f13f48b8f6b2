//! The configuration of a run.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::plan::{Plan, PlannedJob, Shard};

/// Contents of `config.toml`: the run and its plan. `--experiments config.toml` repeats the run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunConfig {
    /// The run itself.
    pub run: RunInfo,
    /// The plan that it runs.
    pub plan: Plan,
}

/// The `[run]` table of `config.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunInfo {
    /// The run's name.
    pub name: String,
    /// Number of seeds: every agent runs every experiment with the seeds `0..seeds`.
    pub seeds: u64,
    /// The part of the plan's jobs that it runs; `None` runs all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The latest command of this run.
    pub command: String,
    /// Git commit of the code at the command's first start.
    pub commit: String,
    /// Time of that start, RFC 3339.
    pub started_at: String,
    /// Earlier commands of this run, in order. Their rows stay, and appear on the same page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Command>,
}

/// A command of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The command.
    pub command: String,
    /// Git commit of the code at the command's first start.
    pub commit: String,
    /// Time of that start, RFC 3339.
    pub started_at: String,
}

impl RunInfo {
    /// Returns all commands of this run in order, the latest one last.
    pub fn commands(&self) -> Vec<Command> {
        let own = Command {
            command: self.command.clone(),
            commit: self.commit.clone(),
            started_at: self.started_at.clone(),
        };
        self.earlier.iter().cloned().chain([own]).collect()
    }

    /// Adds the commands of `before` in front of this one. A command that equals the latest of
    /// those (with the same commit) resumes it and is not listed again.
    #[must_use]
    pub fn after(self, before: Self) -> Self {
        let is_same = (&self.command, &self.commit) == (&before.command, &before.commit);
        match is_same {
            true => Self {
                started_at: before.started_at,
                earlier: before.earlier,
                ..self
            },
            false => Self {
                earlier: before.commands(),
                ..self
            },
        }
    }
}

impl RunConfig {
    /// Returns the jobs of the run, in the plan's order. A shard has its part of them.
    pub fn jobs(&self) -> impl Iterator<Item = PlannedJob<'_>> {
        let all = self.plan.jobs(self.run.seeds).enumerate();
        let shard = self.run.shard;
        let own = all.filter(move |(index, _)| shard.is_none_or(|shard| shard.has(*index)));
        own.map(|(_, job)| job)
    }

    /// Writes the configuration as TOML.
    ///
    /// # Errors
    /// When the plan holds a value that TOML does not have, such as null.
    pub fn to_toml(&self) -> Result<String, Error> {
        #[derive(Serialize)]
        struct File<'a> {
            run: &'a RunInfo,
            #[serde(flatten)]
            plan: &'a Plan,
        }
        toml::to_string(&File {
            run: &self.run,
            plan: &self.plan,
        })
        .map_err(|error| Error::Encode {
            what: "the run's configuration",
            reason: error.to_string(),
        })
    }

    pub(super) fn from_toml(text: &str, path: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct File {
            run: RunInfo,
        }
        let File { run } = toml::from_str(text).map_err(|error| Error::PlanSyntax {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            run,
            plan: Plan::from_toml(text, path)?,
        })
    }
}
