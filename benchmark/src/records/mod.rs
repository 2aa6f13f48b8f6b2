//! Records: `records.jsonl` has a line of JSON for each finished job, with everything needed to
//! judge and repeat it.

pub mod config;
pub mod directory;
pub mod merge;
pub mod outcome;
pub(crate) mod sealed;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::files;
use crate::plan::{AgentRow, Experiment};
use crate::records::outcome::Outcome;
use crate::records::sealed::SealedFile;

/// Version of a record's form. Readers refuse versions they do not know.
pub const SCHEMA_VERSION: u32 = 1;

/// One finished job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Git commit of the code that ran, with the suffix `-dirty` if tracked files had changed.
    pub commit: String,
    /// [`configuration_hash`] of the experiment, agent and seed.
    pub configuration_hash: String,
    /// Time at which the job finished, RFC 3339.
    pub finished_at: String,
    /// The task, its budget (training arguments) and how it was judged (evaluation arguments).
    pub experiment: Experiment,
    /// The algorithm and its settings.
    pub agent: AgentRow,
    /// The job's seed.
    pub seed: u64,
    /// The job's result.
    pub result: RowResult,
}

/// The result of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RowResult {
    /// A trained and judged agent.
    Finished(Box<Outcome>),
    /// A failure.
    Failed {
        /// Reason of the failure.
        reason: String,
    },
    /// An agent that cannot play the task; nothing was run.
    NotApplicable {
        /// Reason why it cannot.
        reason: String,
    },
}

impl Record {
    /// Returns the outcome of a job that finished.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.result {
            RowResult::Finished(outcome) => Some(outcome),
            RowResult::Failed { .. } | RowResult::NotApplicable { .. } => None,
        }
    }

    /// Returns the reason of a job that failed.
    pub fn failure(&self) -> Option<&str> {
        match &self.result {
            RowResult::Finished(_) | RowResult::NotApplicable { .. } => None,
            RowResult::Failed { reason } => Some(reason),
        }
    }

    /// Returns the reason why the agent cannot play the task, if it cannot.
    pub fn not_applicable(&self) -> Option<&str> {
        match &self.result {
            RowResult::NotApplicable { reason } => Some(reason),
            RowResult::Finished(_) | RowResult::Failed { .. } => None,
        }
    }
}

/// Returns the hash by which a resumed run recognises a job: 16 hexadecimal digits of the SHA-256
/// of everything that decides its result (experiment, agent settings, seed). The server and the
/// directory are not part of it.
pub fn configuration_hash(experiment: &Experiment, agent: &AgentRow, seed: u64) -> String {
    let canonical = serde_json::to_vec(&(SCHEMA_VERSION, experiment, agent, seed))
        .expect("a plan came from TOML, whose tables have string keys as JSON's do");
    Sha256::digest(canonical)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Returns the git commit of the source tree that this program was built in, or `unknown` if the
/// tree is gone.
pub fn git_commit() -> String {
    let git = |arguments: &[&str]| -> Option<String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => commit + "-dirty",
    }
}

/// Reads all records and keeps the last of each job. A missing file has no records. An incomplete
/// last line, left by a writer that was killed while writing, is ignored.
///
/// # Errors
/// When the file cannot be read, or a line other than an incomplete last one is not a record.
pub fn read_records(path: &Path) -> Result<Vec<Record>, Error> {
    let bytes = match files::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::read(path)(error)),
    };
    let mut records: Vec<Record> = Vec::new();
    let mut index_of = HashMap::new();
    for (index, line) in bytes[..whole_lines(&bytes)]
        .split_inclusive(|byte| *byte == b'\n')
        .enumerate()
    {
        let record = parse(line).map_err(|reason| Error::Record {
            path: path.to_owned(),
            line: index + 1,
            reason,
        })?;
        match index_of.get(&record.configuration_hash) {
            Some(&earlier) => records[earlier] = record,
            None => {
                index_of.insert(record.configuration_hash.clone(), records.len());
                records.push(record);
            }
        }
    }
    Ok(records)
}

fn parse(line: &[u8]) -> Result<Record, String> {
    #[derive(Deserialize)]
    struct Version {
        schema_version: u32,
    }
    let Version { schema_version } =
        serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if schema_version != SCHEMA_VERSION {
        return Err(format!(
            "it has schema version {schema_version}, this program reads {SCHEMA_VERSION}"
        ));
    }
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

/// Returns the length of the part of `bytes` that is whole lines.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1)
}

/// Appends records to a file and flushes each to the disk at once.
#[derive(Debug)]
pub struct RecordWriter {
    file: Arc<SealedFile>,
}

impl RecordWriter {
    /// Opens a records file for appending. Creates it if it is missing, and cuts off an incomplete
    /// last line.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = SealedFile::open(path, whole_lines)?;
        Ok(Self {
            file: Arc::new(file),
        })
    }

    /// Returns the file, for checks that other processes have not changed it.
    pub(crate) fn file(&self) -> Arc<SealedFile> {
        Arc::clone(&self.file)
    }

    /// Appends one record as one line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        self.file.append(&line_of(record)?)
    }
}

/// Replaces a records file at once.
///
/// # Errors
/// When the file cannot be written. Then it has the old records.
pub fn replace_records(path: &Path, records: &[Record]) -> Result<(), Error> {
    let lines: Vec<Vec<u8>> = records.iter().map(line_of).collect::<Result<_, _>>()?;
    files::replace(path, &lines.concat()).map_err(Error::write(path))
}

fn line_of(record: &Record) -> Result<Vec<u8>, Error> {
    let mut line = serde_json::to_vec(record).map_err(|error| Error::Encode {
        what: "a record",
        reason: error.to_string(),
    })?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn round_trip_keeps_the_last_record_of_a_job() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.jsonl");
        let finished = fixtures::record("tracerl", 4, 1, 0);
        let failed = fixtures::failed_record("ppo", 4, 1, 0, "no server");
        let mut again = finished.clone();
        again.commit = "later".to_owned();
        let mut writer = RecordWriter::open(&path).unwrap();
        for record in [&finished, &failed, &again] {
            writer.append(record).unwrap();
        }
        assert_eq!(read_records(&path).unwrap(), [again, failed]);
    }

    #[test]
    fn an_incomplete_last_line_is_ignored_and_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.jsonl");
        let first = fixtures::record("tracerl", 4, 1, 0);
        let second = fixtures::record("tracerl", 4, 1, 1);
        RecordWriter::open(&path).unwrap().append(&first).unwrap();
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"schema_version\":1,\"comm");
        std::fs::write(&path, torn).unwrap();
        assert_eq!(read_records(&path).unwrap(), std::slice::from_ref(&first));
        RecordWriter::open(&path).unwrap().append(&second).unwrap();
        assert_eq!(read_records(&path).unwrap(), [first, second]);
    }

    #[test]
    fn other_broken_lines_are_errors_that_name_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.jsonl");
        RecordWriter::open(&path)
            .unwrap()
            .append(&fixtures::record("ppo", 4, 0, 0))
            .unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("nonsense\n");
        std::fs::write(&path, &text).unwrap();
        assert!(
            read_records(&path)
                .unwrap_err()
                .to_string()
                .contains("line 2 is not a benchmark record")
        );
        std::fs::write(&path, "{\"schema_version\": 9}\n").unwrap();
        let message = read_records(&path).unwrap_err().to_string();
        assert!(
            message.contains("it has schema version 9, this program reads 1"),
            "{message}"
        );
        assert_eq!(
            read_records(&directory.path().join("none.jsonl")).unwrap(),
            []
        );
    }

    #[test]
    fn hash_depends_on_what_decides_the_result() {
        let record = fixtures::record("tracerl", 4, 1, 0);
        let hash = configuration_hash(&record.experiment, &record.agent, 0);
        assert_eq!(hash.len(), 16);
        assert_eq!(
            hash,
            configuration_hash(&record.experiment.clone(), &record.agent.clone(), 0)
        );
        assert_ne!(
            hash,
            configuration_hash(&record.experiment, &record.agent, 1)
        );
        let mut longer = record.experiment.clone();
        longer.total_timesteps += 1;
        assert_ne!(hash, configuration_hash(&longer, &record.agent, 0));
        let mut tweaked = record.agent.clone();
        tweaked
            .overrides
            .insert("gae_lambda".to_owned(), 0.5.into());
        assert_ne!(hash, configuration_hash(&record.experiment, &tweaked, 0));
    }
}
