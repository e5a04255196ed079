//! Write-ahead log: keeps an accepted batch through a crash until a segment holds it.
//!
//! A record is synced *before* its append is answered, so an acknowledged row is in the log or in a
//! committed segment, at any moment. One log serves all tables and tenants; one record is one append.
//!
//! | file         | knows                                                                        |
//! |--------------|------------------------------------------------------------------------------|
//! | `record.rs`  | framing: lengths, sequences, CRC-32C, salt; see docs/formats/wal.md          |
//! | `payload.rs` | what a record holds: tenant and Arrow IPC of each batch, schemas apart       |
//! | `store.rs`   | where files are: an interface that a directory and a bucket can fulfil       |
//! | `local.rs`   | files in a directory                                                         |
//! | `objects.rs` | objects of a bucket, and why one process writes them                         |
//! | `writer.rs`  | one file being written: a group of records under one sync                    |
//! | `reader.rs`  | records of an old file in order; damage is skipped and counted               |
//!
//! Limits: `wal_record_bytes_max` per record, `wal_file_bytes` per file.
//! Not here: when records become a segment (`crate::writer`), what replay does with them (`crate::recovery`).

mod local;
mod objects;
pub(crate) mod payload;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod store;
pub(crate) mod writer;

pub(crate) use local::LocalWal;
pub(crate) use objects::ObjectWal;
pub(crate) use payload::Encoded;
pub(crate) use reader::{Found, WalReader, is_unwritten_head};
pub(crate) use store::WalStore;
pub(crate) use writer::{WalFile, opening_bytes};

#[cfg(test)]
mod tests;
