//! State shared by all users of a journal: the writer under its lock, how far the journal is
//! durable, and whether it works.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;

use super::frame;
use super::index::PAUSE;
use super::storage::LogFile;
use super::types::{Durability, JournalConfig, JournalError, Position, Record};
use super::writer::{Tally, WriteError, Writer};
use service::observe::JournalStats;

/// How much of the journal is durable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settled {
    /// The last frame.
    pub seq: u64,
    pub tally: Tally,
    /// Nothing later will become durable: the journal is poisoned.
    pub is_final: bool,
}

pub(super) struct Log {
    pub config: JournalConfig,
    pub writer: Mutex<Writer>,
    pub settled: watch::Sender<Settled>,
    poison: OnceLock<Arc<str>>,
    /// Why the last append failed or the next one would; `None` if neither. It may be temporary.
    trouble: Mutex<Option<Arc<str>>>,
    /// Whether `trouble` is set, readable without its lock.
    is_failing: AtomicBool,
    /// Bytes of all segments.
    pub num_bytes: AtomicU64,
    /// Bytes of all segments at which a compaction is due.
    pub compact_at: AtomicU64,
    pub is_compacting: AtomicBool,
    pub num_syncs: AtomicU64,
    pub num_compactions: AtomicU64,
}

impl Log {
    pub fn new(config: JournalConfig, writer: Writer, compact_at: u64) -> Log {
        let settled = Settled {
            seq: writer.link.seq,
            ..Settled::default()
        };
        Log {
            config,
            num_bytes: AtomicU64::new(writer.segments.values().sum()),
            compact_at: AtomicU64::new(compact_at),
            settled: watch::Sender::new(settled),
            writer: Mutex::new(writer),
            poison: OnceLock::new(),
            trouble: Mutex::default(),
            is_failing: AtomicBool::new(false),
            is_compacting: AtomicBool::new(false),
            num_syncs: AtomicU64::new(0),
            num_compactions: AtomicU64::new(0),
        }
    }

    /// Locks the writer, if the journal still accepts records.
    pub fn lock(&self) -> Result<MutexGuard<'_, Writer>, JournalError> {
        let writer = self
            .writer
            .lock()
            .map_err(|_| self.poison("a thread panicked while appending"))?;
        if let Some(reason) = self.poison.get() {
            return Err(JournalError::Poisoned(Arc::clone(reason)));
        }
        match writer.is_closed {
            true => Err(JournalError::Closed),
            false => Ok(writer),
        }
    }

    /// Ends the journal: every later append fails, and so does every wait for records that are not
    /// durable yet.
    pub fn poison(&self, reason: impl ToString) -> JournalError {
        let reason = self.poison.get_or_init(|| reason.to_string().into());
        self.settled.send_modify(|settled| settled.is_final = true);
        JournalError::Poisoned(Arc::clone(reason))
    }

    /// Returns why the journal no longer accepts records, if it was poisoned.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.poison.get().cloned()
    }

    /// Appends records.
    pub fn append(&self, records: &[Record<'_>]) -> Result<Position, JournalError> {
        let appended = self.try_append(records);
        match &appended {
            Ok(_) if self.is_failing.load(Ordering::Relaxed) => self.set_trouble(None),
            Err(error @ (JournalError::Io { .. } | JournalError::Gone(_))) => {
                self.set_trouble(Some(error));
            }
            _ => {}
        }
        appended
    }

    fn try_append(&self, records: &[Record<'_>]) -> Result<Position, JournalError> {
        let len = frame::len_of(records)? as u64;
        let mut writer = self.lock()?;
        // A journal in trouble looks at every append: what was found a moment before the trouble no longer counts.
        writer.check_is_there(self.is_failing.load(Ordering::Relaxed))?;
        if !writer.is_empty() && writer.len() + len > self.config.segment_bytes {
            self.roll(&mut writer)?;
        }
        let num_unsettled = match self.config.durability {
            Durability::Process => 0,
            Durability::Disk => writer.link.seq - self.settled.borrow().seq,
        };
        match writer.append(num_unsettled, records) {
            Ok(()) => {}
            Err(WriteError::Undone(error)) => {
                let path = writer.folder.segment_path(writer.header.number);
                return Err(JournalError::io("append to", &path, error));
            }
            Err(WriteError::Stuck(error)) => {
                return Err(self.poison(format_args!(
                    "an append failed and could not be undone: {error}"
                )));
            }
        }
        self.num_bytes.fetch_add(len, Ordering::Relaxed);
        if let Some(wake) = &writer.wake {
            // A full channel means that the thread was already woken and has yet to look.
            let _ = wake.try_send(());
        }
        Ok(Position(writer.link.seq))
    }

    fn set_trouble(&self, error: Option<&JournalError>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = error.map(|error| error.to_string().into());
        self.is_failing.store(error.is_some(), Ordering::Relaxed);
    }

    /// Returns why nothing can be appended now, if that is so.
    pub fn trouble(&self) -> Option<Arc<str>> {
        if let Some(reason) = self.poisoned() {
            return Some(reason);
        }
        match self.is_failing.load(Ordering::Relaxed) {
            true => self
                .trouble
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            false => None,
        }
    }

    /// Checks whether records could be appended now. A folder that refused bytes is probed with a
    /// small write.
    pub fn look_after(&self) {
        let Ok(writer) = self.lock() else { return };
        let folder = Arc::clone(&writer.folder);
        let (number, identity) = (writer.header.number, writer.identity);
        drop(writer);
        folder.keep_lock();
        let found = folder.check_is_there(number, identity);
        let found = found.and_then(|()| folder.check_room());
        let found = match self.is_failing.load(Ordering::Relaxed) {
            true => found.and_then(|()| folder.probe()),
            false => found,
        };
        match found {
            Ok(()) if !self.is_failing.load(Ordering::Relaxed) => {}
            Ok(()) => {
                tracing::info!("the journal can be written again");
                self.set_trouble(None);
            }
            Err(error) => {
                // If a newer segment has followed meanwhile, this one may have been compacted away.
                let is_still_newest = self.lock().is_ok_and(|w| w.header.number == number);
                if is_still_newest {
                    tracing::error!(%error, "the journal cannot be written");
                    self.set_trouble(Some(&error));
                }
            }
        }
    }

    /// Runs the thread that writes the index.
    pub fn index_when_woken(&self, wake: &Receiver<()>) {
        while wake.recv().is_ok() {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.index.flush();
            if writer.is_closed {
                return;
            }
            drop(writer);
            std::thread::sleep(PAUSE);
        }
    }

    /// Starts a new segment that continues the journal.
    pub fn roll(&self, writer: &mut Writer) -> Result<(), JournalError> {
        // Otherwise a power cut could leave a torn tail that is followed by another segment.
        if self.config.durability == Durability::Disk {
            self.sync_file(&*writer.file)?;
            self.settle(writer.link.seq, writer.appended);
        }
        let (first, rewritten) = (writer.header.first, writer.header.rewritten);
        let full = self.roll_to(writer, first, rewritten)?;
        match self.config.durability {
            // The header is synced with the segment's first sync; its name must be on the disk too.
            Durability::Disk => self.sync_folder(writer)?,
            Durability::Process if self.is_compacting.load(Ordering::Relaxed) => {
                writer.unsynced.push(full);
            }
            Durability::Process => {}
        }
        Ok(())
    }

    /// Starts a new segment, counts its header, and returns the previous file.
    pub fn roll_to(
        &self,
        writer: &mut Writer,
        first: u64,
        rewritten: u64,
    ) -> Result<Arc<dyn LogFile>, JournalError> {
        let full = writer.roll(first, rewritten)?;
        self.num_bytes
            .fetch_add(frame::SEGMENT_HEADER_LEN as u64, Ordering::Relaxed);
        Ok(full)
    }

    /// Syncs a file. A failure is final: the kernel may have dropped the bytes it could not write,
    /// so a second attempt could succeed without meaning anything.
    pub fn sync_file(&self, file: &dyn LogFile) -> Result<(), JournalError> {
        self.num_syncs.fetch_add(1, Ordering::Relaxed);
        file.sync()
            .map_err(|error| self.poison(format_args!("syncing a segment failed: {error}")))
    }

    /// Syncs the folder; a failure is final, as for a file.
    pub fn sync_folder(&self, writer: &Writer) -> Result<(), JournalError> {
        writer.folder.sync().map_err(|error| self.poison(error))
    }

    /// Informs waiters that everything up to a frame is durable.
    pub fn settle(&self, seq: u64, tally: Tally) {
        self.settled.send_if_modified(|settled| {
            let is_news = seq > settled.seq && !settled.is_final;
            if is_news {
                settled.seq = seq;
                settled.tally = tally;
            }
            is_news
        });
    }

    /// Runs the thread that syncs. One sync covers every frame appended before it, so callers that
    /// append during a sync share the next one.
    pub fn sync_when_woken(&self, wake: &Receiver<()>) {
        while wake.recv().is_ok() {
            let Ok(writer) = self.lock() else { continue };
            let (file, seq, tally) = (Arc::clone(&writer.file), writer.link.seq, writer.appended);
            drop(writer);
            if seq > self.settled.borrow().seq && self.sync_file(&*file).is_ok() {
                self.settle(seq, tally);
            }
        }
    }

    /// Completes when everything up to `position` is durable.
    pub async fn durable(&self, position: Position) -> Result<(), JournalError> {
        let mut settled = self.settled.subscribe();
        let is_over = |settled: &Settled| settled.seq >= position.0 || settled.is_final;
        // The sender is part of `self`, so waiting cannot fail.
        let reached = settled.wait_for(is_over).await.map(|settled| settled.seq);
        match reached {
            Ok(seq) if seq >= position.0 => Ok(()),
            _ => Err(match self.poisoned() {
                Some(reason) => JournalError::Poisoned(reason),
                None => JournalError::Closed,
            }),
        }
    }

    pub fn stats(&self) -> JournalStats {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = match self.config.durability {
            Durability::Process => writer.appended,
            Durability::Disk => self.settled.borrow().tally,
        };
        JournalStats {
            bytes: writer.segments.values().sum(),
            segments: writer.segments.len() as u64,
            appended_records: writer.appended.records,
            appended_bytes: writer.appended.bytes,
            lag_records: writer.appended.records - settled.records,
            lag_bytes: writer.appended.bytes - settled.bytes,
            syncs: self.num_syncs.load(Ordering::Relaxed),
            compactions: self.num_compactions.load(Ordering::Relaxed),
            is_poisoned: self.poison.get().is_some(),
            is_failing: self.trouble().is_some(),
        }
    }

    /// Stops accepting records and syncs those appended.
    pub fn close(&self) -> Result<(), JournalError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut writer.is_closed, true) {
            return Ok(());
        }
        writer.wake = None;
        writer.wake_indexing = None;
        writer.index.flush();
        if let Some(reason) = self.poisoned() {
            return Err(JournalError::Poisoned(reason));
        }
        for file in writer.unsynced.drain(..) {
            self.sync_file(&*file)?;
        }
        self.sync_file(&*writer.file)?;
        self.settle(writer.link.seq, writer.appended);
        Ok(())
    }

    /// Begins a compaction if one is due, and returns the number of the first segment to keep.
    pub fn begin_compaction(&self) -> Result<Option<u64>, JournalError> {
        if !self.is_compaction_due() {
            return Ok(None);
        }
        let mut writer = self.lock()?;
        if self.is_compacting.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if !writer.is_empty() {
            self.roll(&mut writer)?;
        }
        writer.unsynced.clear();
        self.is_compacting.store(true, Ordering::Relaxed);
        Ok(Some(writer.header.number))
    }

    /// Whether it is time to rewrite the live state.
    pub fn is_compaction_due(&self) -> bool {
        let num_bytes = self.num_bytes.load(Ordering::Relaxed);
        num_bytes >= self.compact_at.load(Ordering::Relaxed)
            && !self.is_compacting.load(Ordering::Relaxed)
    }
}
