//! Records of finished trainings, so that a run that was stopped later need not repeat them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::format::thousands;

/// A finished training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Steps that the server counted.
    pub steps: u64,
    /// Seconds from the program's start to its end.
    pub duration_s: f64,
    /// Requests that were refused because the budget was spent.
    pub refused: u64,
}

/// Finished trainings, by the folders of their jobs.
///
/// External programs can write to these folders. Files there are therefore read only when the
/// ledger is made, before any program starts. From then on the ledger in memory counts. It is
/// written to the folders as trainings finish, and again when it is dropped, after all programs
/// have ended.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<PathBuf, Trained>>);

impl Ledger {
    /// Reads the trainings that an earlier run has recorded in these folders.
    pub fn read(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let kept = folders.into_iter().filter_map(|folder| {
            let trained = serde_json::from_slice(&files::read(&path(&folder)).ok()?).ok()?;
            Some((folder, trained))
        });
        Self(Mutex::new(kept.collect()))
    }

    /// Returns the finished training of a job.
    pub fn get(&self, folder: &Path) -> Option<Trained> {
        self.lock().get(folder).copied()
    }

    /// Records a training.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, folder: &Path, trained: Trained) -> Result<(), String> {
        self.lock().insert(folder.to_owned(), trained);
        write(folder, trained)
    }

    /// Removes a training, so that the job starts over.
    pub fn forget(&self, folder: &Path) {
        self.lock().remove(folder);
        let _ = files::remove(&path(folder));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Trained>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        for (folder, &trained) in &*self.lock() {
            let _ = write(folder, trained);
        }
    }
}

fn write(folder: &Path, trained: Trained) -> Result<(), String> {
    let path = path(folder);
    let text = serde_json::to_string(&trained).map_err(|error| error.to_string())?;
    files::replace(&path, text.as_bytes())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

impl Trained {
    /// Returns a note if the program asked for more steps than its budget.
    pub fn note(&self, budget_steps: u64) -> Option<String> {
        (self.refused > 0).then(|| {
            let refused = match self.refused {
                1 => "1 request was".to_owned(),
                refused => format!("{} requests were", thousands(refused)),
            };
            format!(
                "it asked for more than its budget of {} steps: {refused} refused in training",
                thousands(budget_steps),
            )
        })
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("trained.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_trainings_are_ignored() {
        let root = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| root.path().join(name));
        let trained = Trained {
            steps: 7,
            duration_s: 0.1,
            refused: 0,
        };
        let forge = |folder: &Path| {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(path(folder), r#"{"steps":0,"duration_s":1.0,"refused":0}"#).unwrap();
        };
        let read = || Ledger::read([one.clone(), two.clone()]);
        let ledger = read();
        forge(&one);
        assert_eq!(ledger.get(&one), None);
        ledger.keep(&one, trained).unwrap();
        assert_eq!(read().get(&one), Some(trained));
        forge(&one);
        assert_eq!(ledger.get(&one), Some(trained));
        drop(ledger);
        let ledger = read();
        assert_eq!(ledger.get(&one), Some(trained));
        ledger.forget(&one);
        assert_eq!(read().get(&one), None);
        // A folder in the place of the file.
        std::fs::create_dir(path(&one)).unwrap();
        ledger.keep(&one, trained).unwrap();
        assert_eq!(read().get(&one), Some(trained));
    }
}
