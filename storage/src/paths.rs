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
//!     date=2026-11-20/<uuid>.parquet   segments of flushes
//!     date=2026-11-20/<uuid>-L1.parquet  segments that were merged, with their level
//!     _log_copy/                       the commits once more, with checksums
//!     _idx/<uuid>.tix                  index of a segment; may be missing
//!     _sum/<uuid>.sum                  checksums of a segment's blocks; may be missing
//!   tenants/<tenant>/_erasures/<uuid>.json  what is hidden until it is rewritten
//!   tenants/<tenant>/_documents/<shelf>/<name>.json  alert rules, silences, how far notifications are
//! ```

use model::{TenantId, UnixNanos};
use object_store::path::Path;

use crate::table::Table;

/// Product, format version and writer name.
pub(crate) const FORMAT_FILE: &str = "hodoscope.json";
/// Held by the one process that may write to a directory.
pub(crate) const LOCK_FILE: &str = "LOCK";
/// WAL files.
pub(crate) const WAL_DIR: &str = "_wal";
/// Damaged files, kept for people.
pub(crate) const QUARANTINE_DIR: &str = "quarantine";
/// The tenants' tables.
pub(crate) const TENANTS_DIR: &str = "tenants";
/// Indexes of a table's segments, inside the table.
const INDEX_DIR: &str = "_idx";
/// Checksums of a table's segments, inside the table.
const SUMS_DIR: &str = "_sum";

/// Name of the WAL file whose records have at least this sequence.
pub(crate) fn wal_file(first_sequence: u64) -> String {
    format!("{first_sequence:020}.wal")
}

/// First sequence by the name of a WAL file; `None` when it is not one.
pub(crate) fn parse_wal_file(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Where the tables of all tenants are.
pub(crate) fn tenants() -> Path {
    Path::from(TENANTS_DIR)
}

/// Damaged files, kept for people.
pub(crate) fn quarantine() -> Path {
    Path::from(QUARANTINE_DIR)
}

/// Notes about damaged segments.
pub(crate) fn damaged_segments() -> Path {
    Path::from(format!("{QUARANTINE_DIR}/segments"))
}

/// The note about one damaged segment.
pub(crate) fn damaged_segment(segment: &Path) -> Path {
    let name = segment.as_ref().replace('/', "~");
    Path::from(format!("{}/{name}.json", damaged_segments()))
}

/// The segment of a note; `None` for other names.
pub(crate) fn parse_damaged_segment(note: &Path) -> Option<Path> {
    // A path keeps the character as its code.
    Some(Path::from(note.filename()?.strip_suffix(".json")?.replace("%7E", "/").replace('~', "/")))
}

/// Tables whose logs could not be read.
pub(crate) fn damaged_tables() -> Path {
    Path::from(format!("{QUARANTINE_DIR}/tables"))
}

/// One table of one tenant.
pub(crate) fn table(tenant: &TenantId, table: &Table) -> Path {
    Path::from(format!("{TENANTS_DIR}/{tenant}/{}", table.name))
}

/// Commits of a table.
pub(crate) fn table_log(table: &Path) -> Path {
    Path::from(format!("{table}/_delta_log"))
}

/// A new segment, inside its table. The name says when it was made and how often it was merged.
pub(crate) fn new_segment(day: i32, level: u8) -> String {
    let (partition, id) = (partition(day), uuid::Uuid::now_v7());
    if level == 0 { format!("{partition}/{id}.parquet") } else { format!("{partition}/{id}-L{level}.parquet") }
}

/// When a segment, or the segment of an index or of checksums, was made and its level, by its name; the beginning of time and 0 for other names.
pub(crate) fn parse_segment(segment: &Path) -> (UnixNanos, u8) {
    let name = segment.filename().unwrap_or_default();
    let name = [".parquet", ".tix", ".sum"].into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or_default();
    let (id, level) = name.split_once("-L").unwrap_or((name, "0"));
    let made = uuid::Uuid::parse_str(id).ok().and_then(|id| id.get_timestamp()).map(|made| made.to_unix());
    let nanos =
        made.map_or(0, |(seconds, nanos)| (seconds as i64).saturating_mul(UnixNanos::SECOND) + i64::from(nanos));
    (UnixNanos(nanos), level.parse().unwrap_or_default())
}

/// True for what vacuum may remove when nobody needs it: segments, their indexes and checksums, by where they are and
/// what they are called.
pub(crate) fn is_of_a_segment(object: &Path) -> bool {
    let Some((dir, name)) = object.as_ref().rsplit_once('/') else { return false };
    let dir = dir.rsplit('/').next().unwrap_or_default();
    (dir == INDEX_DIR && name.ends_with(".tix")) || (dir == SUMS_DIR && name.ends_with(".sum")) || is_segment(object)
}

/// True for segments, by where they are and what they are called.
pub(crate) fn is_segment(object: &Path) -> bool {
    let Some((dir, name)) = object.as_ref().rsplit_once('/') else { return false };
    let day = dir.rsplit('/').next().and_then(|dir| dir.strip_prefix("date="));
    day.and_then(parse_date).is_some() && name.ends_with(".parquet")
}

/// What a tenant has erased, as long as it is only hidden.
pub(crate) fn erasures(tenant: &TenantId) -> Path {
    Path::from(format!("{TENANTS_DIR}/{tenant}/_erasures"))
}

/// One erasure of a tenant.
pub(crate) fn erasure(tenant: &TenantId, id: &str) -> Path {
    erasures(tenant).join(format!("{id}.json"))
}

/// Documents of one kind of a tenant.
pub(crate) fn documents(tenant: &TenantId, shelf: &str) -> Path {
    Path::from(format!("{TENANTS_DIR}/{tenant}/_documents/{shelf}"))
}

/// One document of a tenant.
pub(crate) fn document(tenant: &TenantId, shelf: &str, name: &str) -> Path {
    documents(tenant, shelf).join(format!("{name}.json"))
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

/// The index of a segment, by the segment's path: `<table>/_idx/<uuid>.tix`.
pub(crate) fn index(segment: &Path) -> Path {
    beside(segment, INDEX_DIR, "tix")
}

/// Checksums of a segment's blocks, by the segment's path: `<table>/_sum/<uuid>.sum`.
pub(crate) fn sums(segment: &Path) -> Path {
    beside(segment, SUMS_DIR, "sum")
}

/// A segment with all files that belong to it.
pub(crate) fn with_companions(segment: &Path) -> [Path; 3] {
    [segment.clone(), index(segment), sums(segment)]
}

fn beside(segment: &Path, dir: &str, extension: &str) -> Path {
    let parts: Vec<&str> = segment.as_ref().split('/').collect();
    // Up from the day's directory to the table's.
    let table = parts[..parts.len().saturating_sub(2)].join("/");
    let name = parts.last().copied().unwrap_or_default();
    let name = name.strip_suffix(".parquet").unwrap_or(name);
    Path::from(format!("{table}/{dir}/{name}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wal_names_come_back() {
        assert_eq!(parse_wal_file(&wal_file(42)), Some(42));
        assert_eq!(partition(20_777), "date=2026-11-20");
        assert_eq!(parse_date("2026-11-20"), Some(20_777));
        assert_eq!(parse_wal_file("42.wal"), None);
        assert_eq!(parse_wal_file("0000000000000000004x.wal"), None);
        let segment = Path::from("tenants/default/spans/date=2026-11-20/0193.parquet");
        assert_eq!(index(&segment).as_ref(), "tenants/default/spans/_idx/0193.tix");
        assert_eq!(sums(&segment).as_ref(), "tenants/default/spans/_sum/0193.sum");
        assert!(with_companions(&segment).iter().all(is_of_a_segment));
        assert_eq!(parse_damaged_segment(&damaged_segment(&segment)), Some(segment.clone()));
        for level in [0, 2] {
            let (made, found) = parse_segment(&Path::from(new_segment(20_777, level)));
            assert!(found == level && made.0 > 1_700_000_000 * UnixNanos::SECOND);
        }
        assert_eq!(parse_segment(&segment), (UnixNanos(0), 0));
    }
}
