//! Figures of other modules that appear among the metrics.

/// Size and progress of a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Number of segments.
    pub segments: u64,
    /// Records appended since opening.
    pub appended_records: u64,
    /// Bytes appended since opening, headers included.
    pub appended_bytes: u64,
    /// Records appended that are not durable yet.
    pub lag_records: u64,
    /// Bytes appended that are not durable yet.
    pub lag_bytes: u64,
    /// Number of syncs of a segment since opening.
    pub syncs: u64,
    /// Number of compactions finished since opening.
    pub compactions: u64,
    /// Whether the journal no longer accepts records because of an error.
    pub is_poisoned: bool,
    /// Whether it cannot be written now, for whatever reason.
    pub is_failing: bool,
}
