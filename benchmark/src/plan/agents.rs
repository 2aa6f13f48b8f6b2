//! The rows of a comparison.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::experiment::Experiment;

/// One row of the comparison: an algorithm with settings that are the same for every experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRow {
    /// Name of the row in tables and figures.
    pub name: String,
    /// Id of the algorithm in the agent's table of algorithms; empty for an external program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub algorithm: String,
    /// Program that competes instead of an algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Hyper-parameters that differ from the algorithm's defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, Value>,
    /// Whether the overrides were tuned on these tasks; tables and figures mark such rows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tuned: bool,
    /// Whether the row runs only when `--agents` names it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Names of the experiments that the row runs; all of them, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub experiments: Vec<String>,
    /// The row whose settings this one changes, and what the change shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
}

/// The part of a row that is another row with a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Name of the other row.
    pub of: String,
    /// What the difference between the two shows.
    pub shows: Shows,
}

/// What a change of settings shows of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shows {
    /// Whether it matters that the memory learns what to keep. The change takes that away.
    Retention,
    /// Whether the memory can outlive an episode. The change switches that on.
    Persistence,
}

/// An external program that trains and plays (docs/bring-your-own-agent.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// The program and its arguments, quoted as for a shell, though no shell reads them.
    pub command: String,
}

impl AgentRow {
    /// Returns a row that has its algorithm's name and default settings.
    pub(super) fn with_defaults(algorithm: &str) -> Self {
        Self {
            name: algorithm.to_owned(),
            algorithm: algorithm.to_owned(),
            external: None,
            overrides: BTreeMap::new(),
            tuned: false,
            optional: false,
            experiments: Vec::new(),
            variant: None,
        }
    }

    /// Returns whether the row runs an experiment.
    pub fn runs(&self, experiment: &Experiment) -> bool {
        self.experiments.is_empty() || self.experiments.contains(&experiment.name)
    }

    /// Returns a row for an external program.
    pub fn from_command(name: &str, command: &str) -> Self {
        Self {
            algorithm: String::new(),
            external: Some(External {
                command: command.to_owned(),
            }),
            ..Self::with_defaults(name)
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match &self.external {
            None if self.algorithm.is_empty() => {
                Err("it needs an algorithm, or external = { command = \"…\" }".to_owned())
            }
            Some(_) if !(self.algorithm.is_empty() && self.overrides.is_empty()) => {
                Err("an external program takes neither algorithm nor overrides".to_owned())
            }
            Some(external) => external.words().map(drop),
            None => Ok(()),
        }
    }
}

impl External {
    /// Splits the command into the program and its arguments.
    ///
    /// # Errors
    /// When the command is empty or a quote is not closed.
    pub fn words(&self) -> Result<Vec<String>, String> {
        let words = shlex::split(&self.command).filter(|words| !words.is_empty());
        words.ok_or_else(|| format!("{:?} is not a command", self.command))
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde's skip_serializing_if needs"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}
