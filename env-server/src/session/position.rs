//! How far the journal must be written before an answer.

use crate::journal::Position;

/// The position up to which the journal must be durable before a client may be answered; none if
/// there is no journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalPosition(pub(super) Option<Position>);
