//! Bodies of the frames: a job, its folder and its result.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use agent::run::lock::FolderLock;
use agent::run::train::{BEST, LATEST};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::files;
use crate::plan::{AgentRow, Experiment, Job};
use crate::records::outcome::Outcome;

/// Most files of a job's folder. A training writes six, and one more each time that it is resumed.
const MAX_FILES: usize = 10_000;

/// The body of a call: everything that decides a job's result, as in its record. JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobCall {
    /// The task and its budget.
    pub(super) experiment: Experiment,
    /// The algorithm and its settings.
    pub(super) agent: AgentRow,
    /// The seed.
    pub(super) seed: u64,
}

/// The files of a job's folder, which are its checkpoint. MessagePack: a map from names to bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Folder(BTreeMap<String, ByteBuf>);

/// The body of a job's result. MessagePack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobDone {
    /// The outcome in JSON, as in records.
    outcome: String,
    /// The folder with the last checkpoint.
    pub(super) folder: Folder,
}

impl JobCall {
    /// Name of the call.
    pub(super) const NAME: &str = "job";

    pub(super) fn of(job: &Job) -> Self {
        Self {
            experiment: job.experiment.clone(),
            agent: job.agent.clone(),
            seed: job.seed,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("records have the same parts")
    }

    /// # Errors
    /// When the bytes are not a job.
    pub(super) fn decode(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| format!("not a job: {error}"))
    }
}

impl Folder {
    /// Reads the files of a folder; none if it does not exist.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut found = BTreeMap::new();
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if entry.file_type()?.is_file() && is_kept(&name) {
                found.insert(name, ByteBuf::from(files::read(&entry.path())?));
            }
        }
        Ok(Self(found))
    }

    /// Writes the files, checkpoints last: the other files may be ahead of the checkpoint, as after a
    /// crash, and training resumes.
    ///
    /// # Errors
    /// When a file cannot be written, or a name is not that of a file in this folder; then nothing
    /// is written.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        if self.0.len() > MAX_FILES {
            let count = self.0.len();
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("{count} files in a job's folder; the limit is {MAX_FILES}"),
            ));
        }
        if let Some(name) = self.0.keys().find(|name| !is_kept(name)) {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("{name:?} is not a file of a job's folder"),
            ));
        }
        std::fs::create_dir_all(directory)?;
        let mut names: Vec<&String> = self.0.keys().collect();
        names.sort_by_key(|name| match name.as_str() {
            LATEST => 1,
            BEST => 2,
            _ => 0,
        });
        for name in names {
            files::replace(&directory.join(name), &self.0[name])?;
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("bytes always have an encoding")
    }

    /// # Errors
    /// When the bytes are not a folder.
    pub(super) fn decode(body: &[u8]) -> Result<Self, String> {
        rmp_serde::from_slice(body).map_err(|error| format!("not a folder: {error}"))
    }
}

/// Whether a file of this name belongs to a job: neither a lock, nor a file that is being written,
/// nor one of another folder.
fn is_kept(name: &str) -> bool {
    let is_plain = Path::new(name)
        .file_name()
        .is_some_and(|plain| plain == name);
    let is_passing = [FolderLock::FILE, FolderLock::OWNER_FILE].contains(&name)
        || [agent::files::UNFINISHED, files::UNFINISHED]
            .iter()
            .any(|extension| {
                Path::new(name)
                    .extension()
                    .is_some_and(|its| its == *extension)
            });
    is_plain && !is_passing && !name.contains('\0')
}

impl JobDone {
    pub(super) fn new(outcome: &Outcome, folder: Folder) -> Self {
        Self {
            outcome: serde_json::to_string(outcome).expect("records have the same outcome"),
            folder,
        }
    }

    /// # Errors
    /// When the text is not an outcome.
    pub(super) fn outcome(&self) -> Result<Outcome, String> {
        serde_json::from_str(&self.outcome).map_err(|error| format!("not an outcome: {error}"))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("text and bytes always have an encoding")
    }

    /// # Errors
    /// When the bytes are not a result.
    pub(super) fn decode(body: &[u8]) -> Result<Self, String> {
        rmp_serde::from_slice(body).map_err(|error| format!("not a result: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_folder_arrives_as_it_was_sent_without_what_passes() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put = |name: &str, text: &str| std::fs::write(from.path().join(name), text).unwrap();
        put(LATEST, "weights");
        put("metrics.jsonl", "{}\n");
        put(FolderLock::FILE, "");
        put("run.tmp", "half");
        put("checkpoint.partial", "half");
        std::fs::create_dir(from.path().join("folder")).unwrap();
        let folder = Folder::read(from.path()).unwrap();
        let to = to.path().join("new");
        let sent = Folder::decode(&folder.encode()).unwrap();
        sent.write(&to).unwrap();
        assert_eq!(Folder::read(&to).unwrap(), folder);
        let mut names: Vec<_> = folder.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, [LATEST, "metrics.jsonl"]);
        assert!(Folder::read(&to.join("none")).unwrap().is_empty());
    }

    #[test]
    fn names_that_lead_out_of_the_folder_are_refused_and_nothing_is_written() {
        let to = tempfile::tempdir().unwrap();
        for name in ["../x", "/x", "a/b", "..", ".", "", "a\0b", FolderLock::FILE] {
            let files = [("good", "1"), (name, "2")];
            let files = files.map(|(name, text)| (name.to_owned(), ByteBuf::from(text)));
            let error = Folder(files.into()).write(to.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{name:?}");
        }
        let many = (0..=MAX_FILES).map(|i| (i.to_string(), ByteBuf::new()));
        Folder(many.collect()).write(to.path()).unwrap_err();
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
    }

    #[test]
    fn jobs_and_outcomes_arrive_as_they_were_sent() {
        let record = fixtures::record("tracerl", 4, 1, 3);
        let call = JobCall {
            experiment: record.experiment.clone(),
            agent: record.agent.clone(),
            seed: 3,
        };
        assert_eq!(JobCall::decode(&call.encode()).unwrap(), call);
        let outcome = record.outcome().unwrap();
        let done = JobDone::new(outcome, Folder::default());
        let arrived = JobDone::decode(&done.encode()).unwrap();
        assert_eq!(&arrived.outcome().unwrap(), outcome);
        assert!(JobCall::decode(b"{}").is_err() && JobDone::decode(b"").is_err());
    }
}
