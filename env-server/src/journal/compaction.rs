//! Compaction: live state is rewritten into new segments, and the old ones are deleted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::log::Log;
use super::types::{Durability, JournalError};

/// A compaction in progress. Dropping it unfinished abandons the compaction: nothing is deleted,
/// and the next one is due after another `segment_bytes`.
#[must_use = "a compaction that is not finished frees nothing"]
pub struct CompactionToken {
    log: Arc<Log>,
    first: u64,
    is_finished: bool,
}

/// Returns how many more bytes a journal may append before its next compaction, when the last one
/// left `rewritten` bytes. A record is thus rewritten at most once for every two bytes appended,
/// and the disk holds about three times the live state.
pub(super) fn allowance(segment_bytes: u64, rewritten: u64) -> u64 {
    segment_bytes.max(rewritten.saturating_mul(2))
}

impl CompactionToken {
    /// Begins a compaction if one is due.
    pub(super) fn begin(log: &Arc<Log>) -> Result<Option<CompactionToken>, JournalError> {
        let first = log.begin_compaction()?;
        Ok(first.map(|first| CompactionToken {
            log: Arc::clone(log),
            first,
            is_finished: false,
        }))
    }

    /// Makes the rewrite durable, then deletes the old segments. The new state reaches the disk
    /// before the old one is deleted, whatever durability was promised: losing the latest steps in
    /// a power cut is acceptable under the weaker promise, losing every environment never is.
    pub(super) fn finish(mut self, log: &Arc<Log>) -> Result<(), JournalError> {
        if !Arc::ptr_eq(&self.log, log) {
            return Err(JournalError::ForeignToken);
        }
        let mut writer = log.lock()?;
        let mut files = std::mem::take(&mut writer.unsynced);
        files.push(Arc::clone(&writer.file));
        drop(writer);
        for file in files {
            log.sync_file(&*file)?;
        }

        let mut writer = log.lock()?;
        if log.config.durability == Durability::Disk {
            log.sync_file(&*writer.file)?;
            log.settle(writer.link.seq, writer.appended);
        }
        let rewritten: u64 = writer
            .segments
            .range(self.first..)
            .map(|(_, len)| len)
            .sum();
        log.roll_to(&mut writer, self.first, rewritten)?;
        if log.config.durability == Durability::Disk {
            log.sync_folder(&writer)?;
        }
        // The header of the new segment declares the old ones void, so it must be on the disk
        // before they are deleted.
        let (file, folder) = (Arc::clone(&writer.file), Arc::clone(&writer.folder));
        let kept = writer.segments.split_off(&self.first);
        let old = std::mem::replace(&mut writer.segments, kept);
        let damaged = std::mem::take(&mut writer.damaged);
        let num_freed: u64 = old.values().sum();
        let num_bytes = log.num_bytes.fetch_sub(num_freed, Ordering::Relaxed) - num_freed;
        let compact_at = num_bytes + allowance(log.config.segment_bytes, rewritten);
        log.compact_at.store(compact_at, Ordering::Relaxed);
        self.is_finished = true;
        drop(writer);

        log.sync_file(&*file)?;
        folder.sync().map_err(|error| log.poison(error))?;
        for number in old.into_keys() {
            match damaged.contains(&number) {
                // Unreadable today, but it may still be worth recovering by hand.
                true => {
                    let path = folder.set_aside(number)?;
                    tracing::warn!(path = %path.display(), "a damaged segment was set aside");
                }
                false => folder.remove(number)?,
            }
        }
        log.num_compactions.fetch_add(1, Ordering::Relaxed);
        folder.sync()
    }
}

impl Drop for CompactionToken {
    fn drop(&mut self) {
        let log = &self.log;
        if !self.is_finished {
            let compact_at = log.num_bytes.load(Ordering::Relaxed) + log.config.segment_bytes;
            log.compact_at.store(compact_at, Ordering::Relaxed);
        }
        log.is_compacting.store(false, Ordering::Relaxed);
    }
}
