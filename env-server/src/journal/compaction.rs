//! Replacing old segments by a rewrite of what is still alive.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::log::Log;
use super::{Durability, JournalError};

/// A compaction under way. Dropping it gives the compaction up: nothing is deleted, and the next one is due after
/// another `segment_bytes`.
#[must_use = "a compaction that is not finished frees nothing"]
pub struct CompactionToken {
    log: Arc<Log>,
    first: u64,
    is_finished: bool,
}

/// How many bytes more a journal takes before it is compacted, when `rewritten` bytes are left of it: so a record is
/// rewritten once for every two bytes appended at most, and the disk holds about three times what is alive.
pub(super) fn allowance(segment_bytes: u64, rewritten: u64) -> u64 {
    segment_bytes.max(rewritten.saturating_mul(2))
}

impl CompactionToken {
    pub(super) fn new(log: &Arc<Log>, first: u64) -> CompactionToken {
        CompactionToken {
            log: Arc::clone(log),
            first,
            is_finished: false,
        }
    }

    /// The new state must be on the disk before the old one goes, whatever durability was promised: a power cut that
    /// loses the latest steps is one thing, one that loses every environment another.
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
        // From here on the header of the new segment says that the old ones are void. It must be on the disk first.
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
                // What cannot be read today may be worth something to somebody.
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
