//! The configuration of a run.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::plan::Plan;

/// What a run was asked to do; `config.toml`. As a plan (`--experiments config.toml`) it repeats the run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunConfig {
    /// The run itself.
    pub run: RunInfo,
    /// What it runs.
    pub plan: Plan,
}

/// The `[run]` table of `config.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunInfo {
    /// The run's name.
    pub name: String,
    /// Every agent runs every experiment with the seeds `0..seeds`.
    pub seeds: u64,
    /// The last command that was run under this name.
    pub command: String,
    /// Git commit of the code when it was started.
    pub commit: String,
    /// When that was, RFC 3339.
    pub started_at: String,
    /// What was run under the same name before, in order: its rows stay, and are on the same page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Command>,
}

/// A command that was run under a run's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The command.
    pub command: String,
    /// Git commit of the code when it was started.
    pub commit: String,
    /// When it was first started, RFC 3339.
    pub started_at: String,
}

impl RunInfo {
    /// Everything that was run under this name, in order, this command the last.
    pub fn commands(&self) -> Vec<Command> {
        let own = Command {
            command: self.command.clone(),
            commit: self.commit.clone(),
            started_at: self.started_at.clone(),
        };
        self.earlier.iter().cloned().chain([own]).collect()
    }

    /// The same, after what was run under its name before. The same command again goes on with the run, and is one.
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
    /// The configuration as TOML.
    ///
    /// # Errors
    /// When the plan holds a value that TOML has not, such as null.
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
