//! What is kept of a program's training, so that a run that was stopped afterwards need not repeat it.

use std::path::{Path, PathBuf};

use env_server::StepBudget;
use serde::{Deserialize, Serialize};

use crate::format::thousands;

/// A training that has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Steps that the server counted.
    pub steps: u64,
    /// From the program's start to its end, in seconds.
    pub duration_s: f64,
    /// Requests that were refused because the budget was spent.
    pub refused: u64,
}

impl Trained {
    /// What is kept in a job's folder, if it is all there.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path(folder)).ok()?).ok()
    }

    /// Keeps it in a job's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let path = path(folder);
        let text = serde_json::to_string(self).map_err(|error| error.to_string())?;
        std::fs::write(&path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Keeps it no longer: the job is to begin anew.
    pub fn forget(folder: &Path) {
        let _ = std::fs::remove_file(path(folder));
    }

    /// Says when more steps were asked for than there were.
    pub fn note(&self, budget: &StepBudget) -> Option<String> {
        (self.refused > 0).then(|| {
            let refused = match self.refused {
                1 => "1 request was".to_owned(),
                refused => format!("{} requests were", thousands(refused)),
            };
            format!(
                "it asked for more than its budget of {} steps: {refused} refused in training",
                thousands(budget.max()),
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
    fn it_is_kept_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Trained::read(folder.path()), None);
        let trained = Trained {
            steps: 7,
            duration_s: 0.1,
            refused: 0,
        };
        trained.write(folder.path()).unwrap();
        assert_eq!(Trained::read(folder.path()), Some(trained));
        Trained::forget(folder.path());
        assert_eq!(Trained::read(folder.path()), None);
    }
}
