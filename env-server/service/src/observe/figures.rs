//! Figures that others count and metrics show.

/// What a journal holds and how far it lags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Records appended since opening.
    pub appended_records: u64,
    /// Bytes appended since opening, headers included.
    pub appended_bytes: u64,
    /// Records appended that are not durable yet.
    pub lag_records: u64,
    /// Bytes appended that are not durable yet.
    pub lag_bytes: u64,
    /// Times a segment was synced since opening.
    pub syncs: u64,
    /// Compactions finished since opening.
    pub compactions: u64,
    /// Whether the journal takes no more records because of an error.
    pub is_poisoned: bool,
    /// Whether it cannot be written now, for whatever reason.
    pub is_failing: bool,
}
