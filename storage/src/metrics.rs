//! What storage counts: one list of names, units and help. Labels: none.

use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters once: field, name for people and machines, help.
macro_rules! counters {
    ($($field:ident $name:literal $help:literal,)*) => {
        /// Counters since the process started.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $field: Counter,)*
        }

        /// A reading of the counters, in the order of the list.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $(#[doc = $help] pub $field: u64,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Counts {
                Counts { $($field: self.$field.get(),)* }
            }
        }

        impl Counts {
            /// Name, help and value of each counter, for `/metrics`.
            pub fn named(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$(($name, $help, self.$field),)*]
            }
        }
    };
}

counters! {
    appended_records "storage_appended_records_total" "Appends made durable.",
    appended_rows "storage_appended_rows_total" "Rows made durable.",
    refused_appends "storage_refused_appends_total" "Appends refused because storage was full, failing or closing.",
    wal_written_bytes "storage_wal_written_bytes_total" "Bytes written to WAL files.",
    wal_syncs "storage_wal_syncs_total" "Syncs of WAL files; each serves all appends that waited.",
    wal_failures "storage_wal_failures_total" "Failed writes or syncs of WAL files; each ends its file.",
    replayed_records "storage_replayed_records_total" "Records of old WAL files put back into the buffer.",
    replayed_rows "storage_replayed_rows_total" "Rows of old WAL files put back into the buffer.",
    torn_tails "storage_torn_tails_total" "WAL files that ended in the middle of a record after a crash.",
    damaged_records "storage_damaged_records_total" "WAL records lost to damage; their files go to quarantine.",
    damaged_bytes "storage_damaged_bytes_total" "Bytes of WAL files lost to damage.",
    damaged_segments "storage_damaged_segments_total" "Segments found damaged; their rows are left out of answers.",
    flushes "storage_flushes_total" "Generations of the buffer written to segments.",
    flush_failures "storage_flush_failures_total" "Generations that could not be written at once; they are tried again.",
    flushed_rows "storage_flushed_rows_total" "Rows written to segments.",
    flushed_segments "storage_flushed_segments_total" "Segments written from the buffer.",
    merges "storage_merges_total" "Merges of segments that were committed.",
    merged_segments "storage_merged_segments_total" "Segments that were replaced by merges.",
    merged_rows "storage_merged_rows_total" "Rows written by merges.",
    merge_read_bytes "storage_merge_read_bytes_total" "Bytes of segments that were replaced by merges.",
    merge_written_bytes "storage_merge_written_bytes_total" "Bytes of segments that merges made.",
    merge_failures "storage_merge_failures_total" "Merges that failed; nothing was changed, and they are planned again.",
    merges_refused "storage_merges_refused_total" "Merges not begun or given up because the disk is nearly full.",
    expired_segments "storage_expired_segments_total" "Segments dropped by retention.",
    expired_rows "storage_expired_rows_total" "Rows dropped by retention.",
    erased_rows "storage_erased_rows_total" "Rows erased on request.",
    vacuumed_files "storage_vacuumed_files_total" "Files removed that no version of a table names.",
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
