//! Write-ahead log: keeps an accepted batch through a crash until a segment holds it.
//!
//! A record is synced *before* its append is answered, so an acknowledged row is in the log or in a
//! committed segment, at any moment. One log serves all tables and tenants; one record is one append.
//!
//! | file         | knows                                                                        |
//! |--------------|------------------------------------------------------------------------------|
//! | `record.rs`  | framing: lengths, sequences, CRC-32C, salt; see docs/formats/wal.md          |
//! | `payload.rs` | what a record holds: tenant and Arrow IPC of each batch, schemas apart       |
//! | `writer.rs`  | one file being written: append, one sync for all who wait, roll              |
//! | `reader.rs`  | records of an old file in order; damage is skipped and counted               |
//!
//! Limits: `wal_record_bytes_max` per record, `wal_file_bytes` per file.
//! Not here: when records become a segment (`crate::writer`), what replay does with them (`crate::recovery`).

pub(crate) mod payload;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod writer;

pub(crate) use payload::Encoded;
pub(crate) use reader::{Found, WalReader};
pub(crate) use writer::WalFile;

#[cfg(test)]
mod tests;
