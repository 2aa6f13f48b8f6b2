//! A run's directory, `runs/NAME/`: records, configuration, report and checkpoints.

use std::path::{Path, PathBuf};

use agent::files::create_next;
use agent::run::lock::FolderLock;

use crate::error::Error;
use crate::files;
use crate::plan::{AgentRow, Experiment};
use crate::records::config::RunConfig;
use crate::records::configuration_hash;

/// The paths of a run.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    root: PathBuf,
}

impl RunDirectory {
    /// Refers to a directory without creating it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Creates a directory with this name or, if that is taken, the first free one of `NAME-2`,
    /// `NAME-3` and so on. Runs that begin at the same time get different directories.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn next(parent: &Path, name: &str) -> Result<(String, Self), Error> {
        std::fs::create_dir_all(parent).map_err(Error::write(parent))?;
        let made = create_next(&parent.join(name));
        let root = made.map_err(|(root, error)| Error::write(&root)(error))?;
        let name = root
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        Ok((
            name.expect("the directory was made from its name"),
            Self { root },
        ))
    }

    /// Creates the directory if it is missing, and reserves it for this process while the lock is
    /// held.
    ///
    /// # Errors
    /// When it cannot be created, or another process uses it.
    pub fn lock(&self) -> Result<FolderLock, Error> {
        Ok(FolderLock::take(&self.root)?)
    }

    /// Returns the path of the directory itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Returns the path of the records: a line of JSON for each finished job.
    pub fn records(&self) -> PathBuf {
        self.root.join("records.jsonl")
    }

    /// Returns the path of the report, a page of HTML.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// Returns the path of the run's configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// Returns the directory in which jobs have their own.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// Returns a job's own directory. Its name tells people which job it is, and contains a hash of
    /// the configuration so that other settings never find its checkpoints.
    pub fn job(&self, experiment: &Experiment, agent: &AgentRow, seed: u64) -> PathBuf {
        let hash = configuration_hash(experiment, agent, seed);
        self.checkpoints().join(format!(
            "{}-{}-seed{seed}-{hash}",
            agent.name, experiment.name
        ))
    }

    /// Returns the directories of all jobs of external programs.
    pub fn program_folders(&self, config: &RunConfig) -> Vec<PathBuf> {
        let jobs = config.jobs();
        let programs = jobs.filter(|job| job.agent.external.is_some());
        programs
            .map(|job| self.job(job.experiment, job.agent, job.seed))
            .collect()
    }

    /// Writes the report.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_report(&self, html: &str) -> Result<(), Error> {
        replace(&self.report(), html)
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self, config: &RunConfig) -> Result<(), Error> {
        replace(&self.config(), &config.to_toml()?)
    }

    /// Reads the configuration of an earlier command in this directory; `None` if there is none.
    ///
    /// # Errors
    /// When the existing configuration is not valid: it must not be overwritten.
    pub fn earlier_config(&self) -> Result<Option<RunConfig>, Error> {
        match self.config().exists() {
            true => self.read_config().map(Some),
            false => Ok(None),
        }
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// When this is not the directory of a run, or its configuration is not valid.
    pub fn read_config(&self) -> Result<RunConfig, Error> {
        let path = self.config();
        let text = files::read_text(&path).map_err(Error::read(&path))?;
        RunConfig::from_toml(&text, &path)
    }
}

fn replace(path: &Path, text: &str) -> Result<(), Error> {
    files::replace(path, text.as_bytes()).map_err(Error::write(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::plan::Plan;
    use crate::records::config::RunInfo;

    #[test]
    fn configuration_round_trips_and_is_a_plan() {
        let mut config = fixtures::config();
        config.plan.agents[0]
            .overrides
            .insert("hidden_size".into(), 64.into());
        let root = tempfile::tempdir().unwrap();
        let directory = RunDirectory::new(root.path().join("x"));
        let _lock = directory.lock().unwrap();
        directory.write_config(&config).unwrap();
        assert_eq!(directory.read_config().unwrap(), config);
        assert_eq!(Plan::read(&directory.config()).unwrap(), config.plan);
        let mut files: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        files.sort();
        assert_eq!(files, ["config.toml", FolderLock::FILE]);
    }

    #[test]
    fn commands_under_one_name_are_kept_in_their_order() {
        let run = |command: &str, started_at: &str| RunInfo {
            command: command.into(),
            started_at: started_at.into(),
            ..fixtures::config().run
        };
        let all = |run: &RunInfo| -> Vec<String> {
            let commands = run.commands().into_iter();
            commands
                .map(|command| format!("{} {}", command.command, command.started_at))
                .collect()
        };
        let second = run("b", "2").after(run("a", "1"));
        assert_eq!(all(&second), ["a 1", "b 2"]);
        // Resumed.
        assert_eq!(all(&run("b", "3").after(second.clone())), ["a 1", "b 2"]);
        assert_eq!(all(&run("a", "3").after(second)), ["a 1", "b 2", "a 3"]);

        let mut config = fixtures::config();
        config.run = run("b", "2").after(run("a", "1"));
        let root = tempfile::tempdir().unwrap();
        let directory = RunDirectory::new(root.path());
        assert_eq!(directory.earlier_config().unwrap(), None);
        directory.write_config(&config).unwrap();
        assert_eq!(directory.earlier_config().unwrap(), Some(config));
        std::fs::write(directory.config(), "nonsense").unwrap();
        assert!(directory.earlier_config().is_err());
    }

    #[test]
    fn runs_of_the_same_second_have_different_directories() {
        let root = tempfile::tempdir().unwrap();
        let parent = root.path().join("runs");
        let begin = || RunDirectory::next(&parent, "12-00-00").unwrap();
        let names = std::thread::scope(|scope| {
            let begun: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
            let mut names: Vec<_> = begun
                .into_iter()
                .map(|begun| begun.join().unwrap().0)
                .collect();
            names.sort();
            names
        });
        assert_eq!(
            names,
            ["12-00-00", "12-00-00-2", "12-00-00-3", "12-00-00-4"]
        );
    }

    #[test]
    fn a_directory_without_a_run_is_an_error() {
        let error = RunDirectory::new("does/not/exist")
            .read_config()
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot read does/not/exist/config.toml:"),
            "{error}"
        );
    }
}
