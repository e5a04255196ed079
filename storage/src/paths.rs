//! Every name in the data directory, built and parsed here.
//!
//! ```text
//! data/
//!   hodoscope.json                     product, format version, name of this writer
//!   LOCK                               held by the one process that may write
//!   _wal/00000000000000000042.wal      WAL files, named by the first sequence they may hold
//!   quarantine/                        damaged files, kept for people
//!   tenants/<tenant>/<table>/          a Delta table
//!     _delta_log/                      its commits
//!     date=2026-11-20/<uuid>.parquet   segments
//!     _idx/<uuid>.tix                  trace index of a segment; may be missing
//! ```

use std::path::{Path, PathBuf};

/// Names in one data directory.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Product, format version and writer name.
    pub(crate) fn format_file(&self) -> PathBuf {
        self.root.join("hodoscope.json")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    pub(crate) fn wal_dir(&self) -> PathBuf {
        self.root.join("_wal")
    }

    pub(crate) fn quarantine_dir(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// The WAL file whose records have at least this sequence.
    pub(crate) fn wal_file(&self, first_sequence: u64) -> PathBuf {
        self.wal_dir().join(format!("{first_sequence:020}.wal"))
    }

    /// First sequence by the name of a WAL file; `None` when it is not one.
    pub(crate) fn parse_wal_file(name: &str) -> Option<u64> {
        let digits = name.strip_suffix(".wal")?;
        (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
    }
}

/// Makes the names in a directory durable: a new, renamed or removed file is not, before this.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wal_names_come_back() {
        let path = Paths::new(Path::new("data")).wal_file(42);
        let name = path.file_name().and_then(|name| name.to_str()).expect("it has a name");
        assert_eq!(Paths::parse_wal_file(name), Some(42));
        assert_eq!(Paths::parse_wal_file("42.wal"), None);
        assert_eq!(Paths::parse_wal_file("0000000000000000004x.wal"), None);
    }
}
