//! Recovery of sessions from a journal, and its compaction.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::catalogue::{AnySpec, Catalogue};
use super::context::SessionContext;
use super::limits::Limits;
use super::records::{self, Created, End, Ended, ReplayedSessions, SessionSnapshot};
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
        Store::open_with(limits, clock, config, Catalogue::default())
    }

    /// As [`Store::open`], with the environments of hosts.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(
        limits: Limits,
        clock: Clock,
        config: JournalConfig,
        catalogue: Catalogue,
    ) -> Result<(Self, Recovery), JournalError> {
        let begun = Instant::now();
        let mut replayed = ReplayedSessions::new(limits.trajectory_bytes);
        let (journal, recovered) = Journal::open(config, &mut |at: Position, key, record| {
            replayed.record(at.get(), key, record);
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
            damage: record_damage(&recovered, &mut replayed),
            ..Recovery::default()
        };
        let context = SessionContext::new(
            limits.trajectory_bytes,
            clock,
            Some(journal),
            replayed.last_key,
            catalogue,
        );
        let store = Store::with_context(limits, context);
        for tombstone in &replayed.tombstones {
            store.remember_recovered(tombstone);
        }
        let mut lost = std::mem::take(&mut replayed.lost);
        for key in replayed.strays() {
            let detail = || "its beginning is missing".to_owned();
            lost.entry(key).or_insert_with(detail);
        }
        for (key, tombstone) in std::mem::take(&mut replayed.only_names) {
            let detail = lost.remove(&key).unwrap_or_default();
            store.lose(key, tombstone, detail, &mut recovery);
        }
        let mut snapshots = Vec::with_capacity(replayed.sessions.len());
        for (key, whole) in replayed.sessions {
            match lost.remove(&key) {
                Some(detail) => {
                    store.lose(key, whole.created.ended(End::Lost), detail, &mut recovery);
                }
                None => snapshots.push((key, whole)),
            }
        }
        let nameless = lost.into_iter().filter(|(key, _)| *key != 0);
        let nameless =
            nameless.map(|(key, detail)| (String::new(), format!("session {key}: {detail}")));
        recovery.lost.extend(nameless);
        for (key, created, outcome) in recover_all(snapshots, store.context_handle()) {
            match outcome {
                Ok(session) => {
                    store.hold_recovered(session);
                    recovery.environments += 1;
                }
                Err(detail) => {
                    let spec = store.context().catalogue().find(created.creation.spec_id());
                    let end = match spec {
                        Ok(AnySpec::Native(_)) => End::Lost,
                        // Its host is to blame, or the server no longer has its host.
                        _ => End::Broken(detail.as_str().into()),
                    };
                    store.lose(key, created.ended(end), detail, &mut recovery);
                }
            }
        }
        recovery.took = begun.elapsed();
        Ok((store, recovery))
    }

    /// Marks a session as lost, permanently.
    fn lose(&self, key: u64, tombstone: Ended, detail: String, recovery: &mut Recovery) {
        let record = records::end(&tombstone);
        if let Some(journal) = self.context().journal() {
            let record = Record {
                name: &record,
                ..Record::new(key, &record)
            };
            if let Err(error) = journal.append(&[record]) {
                // The damage will be found again at the next start.
                tracing::error!(error = %error, env_id = tombstone.id, "the loss of an environment cannot be recorded");
            }
        }
        self.remember_recovered(&tombstone);
        recovery.lost.push((tombstone.id, detail));
    }

    /// Returns why nothing can be written now, if that is so.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.context().journal().and_then(Journal::trouble)
    }

    /// Checks whether the journal can be written. Blocks on the disk; to be called about once a
    /// second.
    pub fn look_after_journal(&self) {
        if let Some(journal) = self.context().journal() {
            journal.look_after();
        }
    }

    /// Whether the journal has grown enough to be compacted.
    pub fn is_compaction_due(&self) -> bool {
        let journal = self.context().journal();
        journal.is_some_and(Journal::is_compaction_due)
    }

    /// Writes the current state of all sessions into new segments of the journal and deletes the
    /// old ones. Blocks on the disk; operations continue meanwhile.
    ///
    /// # Errors
    /// When the journal fails. The old segments still exist then.
    pub fn compact(&self) -> Result<(), JournalError> {
        let Some(journal) = self.context().journal() else {
            return Ok(());
        };
        let Some(token) = journal.begin_compaction()? else {
            return Ok(());
        };
        for session in self.all() {
            match session.with_snapshot(|whole| journal.append(&[whole])) {
                None if session.has_failed() => {
                    self.give_up(&session, &"an operation on it has failed midway");
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
fn record_damage(recovered: &Recovered, replayed: &mut ReplayedSessions) -> Vec<String> {
    for lost in &recovered.names {
        replayed.stand_in(lost.position.get(), lost.key, &lost.name);
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
        let is_told = replayed.is_told_since(key, corruption.position.get());
        if is_told && replayed.by_name(key).is_none() {
            return format!("{place}; its contents are known from other records");
        }
        let whose = match replayed.id(key) {
            Some(id) => format!("environment {id:?}"),
            None => format!("session {key}"),
        };
        replayed.lose(key, place.clone());
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
    snapshots: Vec<(u64, SessionSnapshot)>,
    context: &Arc<SessionContext>,
) -> Vec<(u64, Created, Result<Session, String>)> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = snapshots.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let mut snapshots = snapshots.into_iter();
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let mine: Vec<_> = snapshots.by_ref().take(share).collect();
                scope.spawn(move || -> Vec<_> {
                    let recovered = mine.into_iter().map(|(key, whole)| {
                        let created = whole.created.clone();
                        (key, created, recover_one(key, whole, context))
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
fn recover_one(
    key: u64,
    whole: SessionSnapshot,
    context: &Arc<SessionContext>,
) -> Result<Session, String> {
    let recover = || Session::recover(key, whole, Arc::clone(context));
    catch_unwind(AssertUnwindSafe(recover))
        .unwrap_or_else(|_| Err("an operation failed midway".to_owned()))
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;
