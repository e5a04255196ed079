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

use model::TenantId;
use object_store::path::Path as ObjectPath;

use crate::table::Table;

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

    pub(crate) fn tenants_dir(&self) -> PathBuf {
        self.root.join("tenants")
    }

    /// Directory of one table of one tenant.
    pub(crate) fn table_dir(&self, tenant: &TenantId, table: &Table) -> PathBuf {
        self.tenants_dir().join(tenant.as_str()).join(table.name)
    }

    /// Object path of one table of one tenant.
    pub(crate) fn table_prefix(tenant: &TenantId, table: &Table) -> ObjectPath {
        ObjectPath::from(format!("tenants/{tenant}/{}", table.name))
    }

    /// First sequence by the name of a WAL file; `None` when it is not one.
    pub(crate) fn parse_wal_file(name: &str) -> Option<u64> {
        let digits = name.strip_suffix(".wal")?;
        (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
    }
}

/// Name of the partition column of every table.
pub(crate) const PARTITION_COLUMN: &str = "date";

/// Directory of a day inside a table.
pub(crate) fn partition(day: i32) -> String {
    format!("{PARTITION_COLUMN}={}", date(day))
}

/// A day as `YYYY-MM-DD`.
pub(crate) fn date(day: i32) -> String {
    let date = UNIX_DAY_0.saturating_add(time::Duration::days(i64::from(day)));
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// Days since 1970 of a `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse::<u8>().ok()?;
    let day = parts.next()?.parse().ok()?;
    let date = time::Date::from_calendar_date(year, time::Month::try_from(month).ok()?, day).ok()?;
    i32::try_from((date - UNIX_DAY_0).whole_days()).ok()
}

const UNIX_DAY_0: time::Date = time::macros::date!(1970 - 01 - 01);

/// The trace index of a segment, by the segment's object path: `<table>/_idx/<uuid>.tix`.
pub(crate) fn index_file(root: &Path, segment: &ObjectPath) -> PathBuf {
    let path = root.join(segment.as_ref());
    let name = path.file_stem().unwrap_or_default().to_owned();
    // Up from the day's directory to the table's.
    let table_dir = path.parent().and_then(Path::parent).unwrap_or(root);
    table_dir.join("_idx").join(name).with_extension("tix")
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
        assert_eq!(partition(20_777), "date=2026-11-20");
        assert_eq!(parse_date("2026-11-20"), Some(20_777));
        assert_eq!(Paths::parse_wal_file("42.wal"), None);
        assert_eq!(Paths::parse_wal_file("0000000000000000004x.wal"), None);
    }
}
