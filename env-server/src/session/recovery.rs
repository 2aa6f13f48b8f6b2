//! Sessions that a journal brings back, and the journal kept small.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Session;
use super::keeper::Keeper;
use super::lease::Clock;
use super::records::{self, End, Recollection, Tombstone, Whole};
use super::store::{Limits, Store};
use crate::journal::{Journal, JournalConfig, JournalError, Recovered};

/// What opening a journal has brought back.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Environments that go on.
    pub environments: usize,
    /// Environments that do not, by id where it is known, and why.
    pub lost: Vec<(String, String)>,
    /// Damaged places, in words.
    pub damage: Vec<String>,
    /// Bytes of an unfinished write that were cut off.
    pub torn_tail_bytes: u64,
    /// How long all of it took.
    pub took: Duration,
}

impl Store {
    /// A store whose sessions outlive their process: those of the journal go on.
    ///
    /// Each is put at the state of its newest chunk and plays the operations since, on as many
    /// threads as there are cores. One whose records are damaged is lost, and says so; the others
    /// are not affected.
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
        let (journal, recovered) =
            Journal::open(config, &mut |key, record| recollection.record(key, record))?;
        let mut recovery = Recovery {
            torn_tail_bytes: recovered.torn_tail_bytes,
            damage: damage(&recovered, &mut recollection),
            ..Recovery::default()
        };
        let strays = recollection.strays();
        let stray = |key| {
            (
                String::new(),
                format!("session {key}: its beginning is missing"),
            )
        };
        recovery.lost.extend(strays.map(stray));
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
        let lost = std::mem::take(&mut recollection.lost);
        let mut wholes = Vec::with_capacity(recollection.sessions.len());
        for (key, whole) in recollection.sessions {
            match lost.get(&key) {
                Some(detail) => store.lose(key, whole, detail.clone(), &mut recovery)?,
                None => wholes.push((key, whole)),
            }
        }
        for (key, whole, outcome) in recover_all(wholes, store.keeper_handle()) {
            match outcome {
                Ok(session) => {
                    store.hold_recovered(session);
                    recovery.environments += 1;
                }
                Err(detail) => store.lose(key, *whole, detail, &mut recovery)?,
            }
        }
        recovery.took = begun.elapsed();
        Ok((store, recovery))
    }

    /// Marks a session as lost, for good.
    fn lose(
        &self,
        key: u64,
        whole: Whole,
        detail: String,
        recovery: &mut Recovery,
    ) -> Result<(), JournalError> {
        let birth = whole.birth;
        let tombstone = Tombstone {
            is_vector: matches!(birth.creation, super::Creation::Vector(_)),
            id: birth.id,
            end: End::Lost,
            ttl_s: birth.ttl_s,
            owner: birth.owner,
        };
        if let Some(journal) = self.keeper().journal() {
            journal.append(&[(key, &records::end(&tombstone))])?;
        }
        self.bury_recovered(&tombstone);
        recovery.lost.push((tombstone.id, detail));
        Ok(())
    }

    /// Whether the journal has grown enough to be written anew.
    pub fn is_compaction_due(&self) -> bool {
        let journal = self.keeper().journal();
        journal.is_some_and(Journal::is_compaction_due)
    }

    /// Writes all sessions as they are into new segments of the journal and deletes the old ones.
    /// Blocks on the disk; operations go on meanwhile.
    ///
    /// # Errors
    /// When the journal fails. The old segments are still there then.
    pub fn compact(&self) -> Result<(), JournalError> {
        let Some(journal) = self.keeper().journal() else {
            return Ok(());
        };
        let Some(token) = journal.begin_compaction()? else {
            return Ok(());
        };
        for session in self.all() {
            let written = session.with_whole(|key, whole| journal.append(&[(key, whole)]));
            written.transpose()?;
        }
        for tombstone in self.tombstones() {
            // Of a session of which nothing else is left.
            journal.append(&[(0, &records::end(&tombstone))])?;
        }
        journal.finish_compaction(token)
    }
}

/// Says what is damaged and notes whose it was.
fn damage(recovered: &Recovered, recollection: &mut Recollection) -> Vec<String> {
    let described = recovered.corrupt.iter().map(|corruption| {
        let place = format!(
            "segment {}, byte {}: {}",
            corruption.segment, corruption.offset, corruption.detail
        );
        if let Some(key) = corruption.key {
            recollection.lose(key, place.clone());
        }
        place
    });
    described.collect()
}

/// Recovers sessions on all cores.
fn recover_all(
    wholes: Vec<(u64, Whole)>,
    keeper: &Arc<Keeper>,
) -> Vec<(u64, Box<Whole>, Result<Session, String>)> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = wholes.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let mut wholes = wholes.into_iter();
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let mine: Vec<_> = wholes.by_ref().take(share).collect();
                scope.spawn(move || -> Vec<_> {
                    let recovered = mine.into_iter().map(|(key, whole)| {
                        let outcome = recover_one(key, &whole, keeper);
                        (key, Box::new(whole), outcome)
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

/// An environment that panics on what it once did takes nobody with it.
fn recover_one(key: u64, whole: &Whole, keeper: &Arc<Keeper>) -> Result<Session, String> {
    let recover = || Session::recover(key, whole, Arc::clone(keeper));
    catch_unwind(AssertUnwindSafe(recover))
        .unwrap_or_else(|_| Err("an operation failed in the middle".to_owned()))
}

#[cfg(test)]
mod tests;
