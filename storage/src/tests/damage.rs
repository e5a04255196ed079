//! Damaged, cut and lost files: what they cost, and that it is said.
//!
//! | file            | what is wrong                                                        |
//! |-----------------|----------------------------------------------------------------------|
//! | `wal.rs`        | WAL files                                                            |
//! | `segments.rs`   | segments and the checksums beside them                               |
//! | `search.rs`     | one segment among many: who finds it, and when                       |
//! | `table_logs.rs` | table logs and their copies                                          |
//! | `bad_disk.rs`   | nothing: the disk does not give or take bytes, once or for good      |

use super::*;

mod bad_disk;
mod search;
mod segments;
mod table_logs;
mod wal;
