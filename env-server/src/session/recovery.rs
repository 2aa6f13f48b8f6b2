//! Recovery of sessions from a journal, and its compaction.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::keeper::Keeper;
use super::limits::Limits;
use super::records::{self, Birth, End, Ended, Recollection, Whole};
use super::session::Session;
use super::store::Store;
use crate::journal::{
    Corruption, Journal, JournalConfig, JournalError, Position, Record, Recovered,
};
use service::leases::Clock;

/// The result of recovery.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Environments that continue.
    pub environments: usize,
    /// Environments lost, by id where it is known, and why.
    pub lost: Vec<(String, String)>,
    /// Descriptions of the damaged places.
    pub damage: Vec<String>,
    /// Number and bytes of the files that damaged bytes were moved to, now or earlier.
    pub set_aside: (u64, u64),
    /// Bytes of an unfinished write that were cut off.
    pub torn_tail_bytes: u64,
    /// How long recovery took.
    pub took: Duration,
}

impl Store {
    /// Opens a store whose sessions outlive the process: those in the journal continue.
    ///
    /// Each is restored to the state of its newest chunk and replays the operations since, on as
    /// many threads as there are cores. A session with damaged records is reported as lost; the
    /// others are not affected.
    ///
    /// # Errors
    /// When the journal cannot be opened.
    pub fn open(
        limits: Limits,
        clock: Clock,
        config: JournalConfig,
    ) -> Result<(Self, Recovery), JournalError> {
        let begun = Instant::now();
        let mut recollection = Recollection::new(limits.trajectory_bytes);
        let (journal, recovered) = Journal::open(config, &mut |at: Position, key, record| {
            recollection.record(at.get(), key, record);
        })?;
        if recovered.index_damaged_bytes > 0 {
            tracing::warn!(
                bytes = recovered.index_damaged_bytes,
                "the index of the last segment cannot be read in full; nothing is lost with it"
            );
        }
        let mut recovery = Recovery {
            set_aside: recovered.aside,
            torn_tail_bytes: recovered.torn_tail_bytes,
            damage: take_in_damage(&recovered, &mut recollection),
            ..Recovery::default()
        };
        let keeper = Keeper::new(
            limits.trajectory_bytes,
            clock,
            Some(journal),
            recollection.last_key,
        );
        let store = Store::with_keeper(limits, keeper);
        for tombstone in &recollection.tombstones {
            store.bury_recovered(tombstone);
        }
        let mut lost = std::mem::take(&mut recollection.lost);
        for key in recollection.strays() {
            let detail = || "its beginning is missing".to_owned();
            lost.entry(key).or_insert_with(detail);
        }
        for (key, tombstone) in std::mem::take(&mut recollection.only_names) {
            let detail = lost.remove(&key).unwrap_or_default();
            store.lose(key, tombstone, detail, &mut recovery);
        }
        let mut wholes = Vec::with_capacity(recollection.sessions.len());
        for (key, whole) in recollection.sessions {
            match lost.remove(&key) {
                Some(detail) => store.lose(key, whole.birth.lost(), detail, &mut recovery),
                None => wholes.push((key, whole)),
            }
        }
        let nameless = lost.into_iter().filter(|(key, _)| *key != 0);
        let nameless =
            nameless.map(|(key, detail)| (String::new(), format!("session {key}: {detail}")));
        recovery.lost.extend(nameless);
        for (key, birth, outcome) in recover_all(wholes, store.keeper_handle()) {
            match outcome {
                Ok(session) => {
                    store.hold_recovered(session);
                    recovery.environments += 1;
                }
                Err(detail) => store.lose(key, birth.lost(), detail, &mut recovery),
            }
        }
        recovery.took = begun.elapsed();
        Ok((store, recovery))
    }

    /// Marks a session as lost, permanently.
    fn lose(&self, key: u64, tombstone: Ended, detail: String, recovery: &mut Recovery) {
        let record = records::end(&tombstone);
        if let Some(journal) = self.keeper().journal() {
            let record = Record {
                name: &record,
                ..Record::new(key, &record)
            };
            if let Err(error) = journal.append(&[record]) {
                // The damage will be found again at the next start.
                tracing::error!(error = %error, env_id = tombstone.id, "the loss of an environment cannot be recorded");
            }
        }
        self.bury_recovered(&tombstone);
        recovery.lost.push((tombstone.id, detail));
    }

    /// Returns why nothing can be written now, if that is so.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.keeper().journal().and_then(Journal::trouble)
    }

    /// Checks whether the journal can be written. Blocks on the disk; to be called about once a
    /// second.
    pub fn look_after_journal(&self) {
        if let Some(journal) = self.keeper().journal() {
            journal.look_after();
        }
    }

    /// Whether the journal has grown enough to be compacted.
    pub fn is_compaction_due(&self) -> bool {
        let journal = self.keeper().journal();
        journal.is_some_and(Journal::is_compaction_due)
    }

    /// Writes the current state of all sessions into new segments of the journal and deletes the
    /// old ones. Blocks on the disk; operations continue meanwhile.
    ///
    /// # Errors
    /// When the journal fails. The old segments still exist then.
    pub fn compact(&self) -> Result<(), JournalError> {
        let Some(journal) = self.keeper().journal() else {
            return Ok(());
        };
        let Some(token) = journal.begin_compaction()? else {
            return Ok(());
        };
        for session in self.all() {
            match session.with_whole(|whole| journal.append(&[whole])) {
                None if session.has_failed() => {
                    self.give_up(&session, &"an operation on it has failed in the middle");
                }
                // It has ended, or has been written.
                None | Some(Ok(_)) => {}
                Some(Err(error @ JournalError::FrameSize { .. })) => self.give_up(&session, &error),
                Some(Err(error)) => return Err(error),
            }
        }
        for tombstone in self.tombstones() {
            // Key 0, since nothing else is left of the session.
            let record = records::end(&tombstone);
            let record = Record {
                name: &record,
                ..Record::new(0, &record)
            };
            journal.append(&[record])?;
        }
        journal.finish_compaction(token)
    }

    /// Ends a session that cannot be written, so that it does not prevent the compaction of the
    /// journal for all others.
    fn give_up(&self, session: &Session, error: &dyn fmt::Display) {
        match session.finish(End::Lost) {
            Ok(Some((tombstone, written))) => {
                tracing::error!(%error, env_id = session.id(), "an environment is lost: it cannot be written");
                self.let_go(session, &tombstone, written);
            }
            Ok(None) => {}
            Err(problem) => {
                tracing::error!(%problem, id = session.id(), "an environment cannot be ended");
            }
        }
    }
}

/// Describes the damage, with its file and owner, and marks the affected sessions as lost.
fn take_in_damage(recovered: &Recovered, recollection: &mut Recollection) -> Vec<String> {
    for lost in &recovered.names {
        recollection.stand_in(lost.position.get(), lost.key, &lost.name);
    }
    let described = recovered.corrupt.iter().map(|corruption| {
        let place = place(corruption);
        let Some(key) = corruption.key else {
            return match corruption.frames {
                0 => format!("{place}; nothing is lost"),
                frames => format!(
                    "{place}; {frames} records of unknown environments are lost: an environment played last there is some \
                     operations behind, and refuses the number that its client expects"
                ),
            };
        };
        let is_told = recollection.is_told_since(key, corruption.position.get());
        if is_told && recollection.by_name(key).is_none() {
            return format!("{place}; its contents are known from other records");
        }
        let whose = match recollection.id(key) {
            Some(id) => format!("environment {id:?}"),
            None => format!("session {key}"),
        };
        recollection.lose(key, place.clone());
        format!("{place}; records of {whose} are lost")
    });
    described.collect()
}

fn place(corruption: &Corruption) -> String {
    let Corruption {
        path,
        offset,
        detail,
        ..
    } = corruption;
    format!("{}, byte {offset}: {detail}", path.display())
}

/// Recovers sessions on all cores.
fn recover_all(
    wholes: Vec<(u64, Whole)>,
    keeper: &Arc<Keeper>,
) -> Vec<(u64, Birth, Result<Session, String>)> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = wholes.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let mut wholes = wholes.into_iter();
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let mine: Vec<_> = wholes.by_ref().take(share).collect();
                scope.spawn(move || -> Vec<_> {
                    let recovered = mine.into_iter().map(|(key, whole)| {
                        let birth = whole.birth.clone();
                        (key, birth, recover_one(key, whole, keeper))
                    });
                    recovered.collect()
                })
            })
            .collect();
        let finished = workers.into_iter().map(|worker| worker.join());
        finished
            .flat_map(|done| done.expect("panics are caught"))
            .collect()
    })
}

/// Recovers a session, so that a panic while replaying it affects no other.
fn recover_one(key: u64, whole: Whole, keeper: &Arc<Keeper>) -> Result<Session, String> {
    let recover = || Session::recover(key, whole, Arc::clone(keeper));
    catch_unwind(AssertUnwindSafe(recover))
        .unwrap_or_else(|_| Err("an operation failed in the middle".to_owned()))
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;
