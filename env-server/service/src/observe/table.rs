//! The table of metrics: `/metrics` is generated from it, and `docs/observability.md` is checked
//! against it.

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from the server's start.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl MetricKind {
    /// Returns the type's name in the text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

macro_rules! metrics {
    ($($variant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal)*) => {
        /// A metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric {
            $(#[doc = $help] $variant,)*
        }

        impl Metric {
            /// Every metric, in the order in which they are written.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant),*];

            /// Returns the metric's type.
            pub const fn kind(self) -> MetricKind {
                match self { $(Metric::$variant => MetricKind::$kind),* }
            }

            /// Returns its name, with the `_total` of a counter.
            pub const fn name(self) -> &'static str {
                match self { $(Metric::$variant => $name),* }
            }

            /// Returns the names of its labels.
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Metric::$variant => &[$($label),*]),* }
            }

            /// Returns a one-line description.
            pub const fn help(self) -> &'static str {
                match self { $(Metric::$variant => $help),* }
            }
        }
    };
}

metrics! {
    BuildInfo Gauge "env_server_build_info" ["version", "snapshot_version"]
        "Always 1; the labels say which server this is"
    StartTime Gauge "process_start_time_seconds" []
        "When the server started, in seconds since 1970"
    ResidentMemory Gauge "process_resident_memory_bytes" []
        "Memory of the whole process as counted by the operating system; Linux only"
    Memory Gauge "env_server_memory_bytes" []
        "Estimated memory of all environments, which --max-memory-bytes limits"
    Environments Gauge "env_server_environments" ["spec", "kind", "state"]
        "Environments; a vector environment counts as one"
    Lanes Gauge "env_server_lanes" ["spec"]
        "Lanes of all environments; a single environment counts as one"
    Steps Counter "env_server_steps_total" ["spec"]
        "Actions applied, one per lane; lanes that only start over and replays are not counted"
    Operations Counter "env_server_operations_total" ["operation"]
        "Operations applied, not counting replays and refusals"
    Replays Counter "env_server_replays_total" []
        "Stored replies sent again"
    LeasesExpired Counter "env_server_leases_expired_total" []
        "Environments ended because their lease expired"
    Problems Counter "env_server_problems_total" ["code"]
        "Problem documents sent"
    RequestDuration Histogram "env_server_http_request_duration_seconds" ["method", "route", "status"]
        "From the head of the request to that of the reply; status dropped: the client disconnected first"
    RequestsInFlight Gauge "env_server_http_requests_in_flight" []
        "Requests whose reply has not begun"
    Connections Gauge "env_server_connections" []
        "Open connections"
    ConnectionsOpened Counter "env_server_connections_total" []
        "Connections accepted"
    JournalBytes Gauge "env_server_journal_bytes" []
        "Size of the journal on disk"
    JournalSegments Gauge "env_server_journal_segments" []
        "Files of the journal"
    JournalRecords Counter "env_server_journal_records_total" []
        "Records appended to the journal"
    JournalAppended Counter "env_server_journal_appended_bytes_total" []
        "Bytes appended to the journal"
    JournalAppendDuration Histogram "env_server_journal_append_duration_seconds" []
        "How long an append took"
    JournalLagRecords Gauge "env_server_journal_lag_records" []
        "Records appended but not yet as safe as --durability promises"
    JournalLagBytes Gauge "env_server_journal_lag_bytes" []
        "Bytes appended but not yet as safe as --durability promises"
    JournalSyncs Counter "env_server_journal_syncs_total" []
        "Syncs of the journal to disk"
    JournalCompactions Counter "env_server_journal_compactions_total" []
        "Compactions of the journal to what is still needed"
    JournalFailed Gauge "env_server_journal_failed" []
        "1 when the journal can no longer be written and every change is refused"
    JournalRefusing Gauge "env_server_journal_refusing" []
        "1 when the journal cannot be written now, for example because the disk is full or the folder is gone"
    JournalDamaged Gauge "env_server_journal_damaged_places" []
        "Damaged places found in the journal when the server started"
    RecoveryDuration Gauge "env_server_recovery_duration_seconds" []
        "How long recovery took when the server started"
    RecoveredEnvironments Gauge "env_server_recovered_environments" ["outcome"]
        "Environments found in the journal by recovery when the server started"
}

impl Metric {
    /// Whether the metric exists only with a data directory.
    pub const fn needs_journal(self) -> bool {
        matches!(
            self,
            Metric::JournalBytes
                | Metric::JournalSegments
                | Metric::JournalRecords
                | Metric::JournalAppended
                | Metric::JournalAppendDuration
                | Metric::JournalLagRecords
                | Metric::JournalLagBytes
                | Metric::JournalSyncs
                | Metric::JournalCompactions
                | Metric::JournalFailed
                | Metric::JournalRefusing
                | Metric::JournalDamaged
                | Metric::RecoveryDuration
                | Metric::RecoveredEnvironments
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in Metric::ALL {
            let name = metric.name();
            let is_counter = metric.kind() == MetricKind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            let is_histogram = metric.kind() == MetricKind::Histogram;
            assert!(!is_histogram || name.ends_with("_seconds"), "{name}");
            let about_journal = name.contains("journal") || name.contains("recover");
            assert_eq!(metric.needs_journal(), about_journal, "{name}");
        }
    }
}
