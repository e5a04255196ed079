//! What can go wrong in storage.

use std::path::PathBuf;

use model::ErrorKind;

/// Result of storage.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happened, with the values one needs at three in the morning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A batch does not fit its table; nothing was written. A bug of the sender's room.
    #[error("batch does not fit table {table}: {detail}")]
    BatchMismatch {
        /// Table named by the batch.
        table: &'static str,
        /// What differs.
        detail: String,
    },
    /// The append queue or the write buffer is full; nothing was written. Try again after a pause.
    #[error("storage is busy: {used_bytes} of {limit_bytes} bytes wait to be written")]
    Full {
        /// Bytes waiting.
        used_bytes: u64,
        /// The limit in force.
        limit_bytes: u64,
    },
    /// A batch is larger than a WAL record may be; send less at once.
    #[error("batch of {bytes} bytes is larger than a WAL record may be ({limit_bytes} bytes)")]
    TooLarge {
        /// Size of the batch.
        bytes: u64,
        /// The limit in force.
        limit_bytes: u64,
    },
    /// The disk refused a write or a sync; nothing was acknowledged. Try again after a pause.
    #[error("cannot write {path}: {source}")]
    Write {
        /// File being written.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Storage is closing or has stopped; nothing was written.
    #[error("storage is closed")]
    Closed,
    /// Another process holds the data directory.
    #[error("data directory {path} is in use by another process; stop it or choose another directory with --data")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The data directory cannot be used as it is.
    #[error("cannot open data directory {path}: {detail}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// What is wrong and what to do.
        detail: String,
    },
    /// Another process has become the writer of this place; nothing was written, and this process writes nothing
    /// more. Whoever sends again reaches the other one.
    #[error("another collector has taken over {place}: {detail}")]
    TakenOver {
        /// The place.
        place: String,
        /// How it was noticed.
        detail: String,
    },
    /// A file does not hold what it should. Other files are still served.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it was noticed.
        detail: String,
    },
    /// The table log refused or failed.
    #[error("table log of {table}: {detail}")]
    TableLog {
        /// The table.
        table: &'static str,
        /// What the log said.
        detail: String,
    },
    /// Columns could not be encoded or decoded.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// A segment could not be written or read.
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The object store refused or failed.
    #[error(transparent)]
    ObjectStore(#[from] object_store::Error),
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Full { .. }
            | Self::Write { .. }
            | Self::Closed
            | Self::TakenOver { .. }
            | Self::TableLog { .. }
            | Self::ObjectStore(_) => ErrorKind::Overloaded,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::InUse { .. } | Self::Open { .. } => ErrorKind::Invalid,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::BatchMismatch { .. } | Self::Arrow(_) | Self::Parquet(_) => ErrorKind::Internal,
        }
    }
}
