//! What the table log says about a file without opening it: Delta's statistics JSON, ours to write.
//!
//! Columns: those of [`columns`]. Text is cut at 32 characters, and then the largest is rounded up.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use model::{TimeRange, UnixNanos};
use object_store::path::Path;
use serde_json::{Map, Value, json};

use crate::checked::BlockSums;
use crate::paths::parse_segment;
use crate::snapshot::SegmentMeta;
use crate::table::Table;

/// Characters kept of a text.
const TEXT_CHARS: usize = 32;

/// Columns with statistics, as far as a table has them.
const COLUMNS: &[&str] = &["service_name", "metric_name", "duration_nanos", "arrival_time"];

/// Columns of a table that have statistics: its time, and those by which people look for rows.
pub(crate) fn columns(table: &'static Table) -> Vec<&'static str> {
    let others = COLUMNS.iter().copied().filter(|name| table.column(name).is_some());
    std::iter::once(table.time).chain(others).collect()
}

/// Statistics of one file, gathered row group by row group.
#[derive(Debug)]
pub(crate) struct FileStats {
    n_rows: u64,
    columns: Vec<ColumnStats>,
}

#[derive(Debug)]
struct ColumnStats {
    name: &'static str,
    index: usize,
    n_nulls: u64,
    range: Option<ValueRange>,
}

#[derive(Debug, PartialEq)]
enum ValueRange {
    Int(i64, i64),
    Text(String, String),
}

impl FileStats {
    pub(crate) fn new(table: &'static Table) -> Self {
        let column = |name: &'static str| {
            let (index, _) = table.column(name)?;
            Some(ColumnStats { name, index, n_nulls: 0, range: None })
        };
        Self { n_rows: 0, columns: columns(table).into_iter().filter_map(column).collect() }
    }

    /// Takes rows of the file.
    pub(crate) fn add(&mut self, rows: &RecordBatch) {
        self.n_rows += rows.num_rows() as u64;
        for column in &mut self.columns {
            let array = rows.column(column.index);
            column.n_nulls += array.null_count() as u64;
            match array.data_type() {
                DataType::Int64 => {
                    let values = array.as_primitive::<Int64Type>();
                    if let (Some(min), Some(max)) = (arrow::compute::min(values), arrow::compute::max(values)) {
                        column.cover_int(min, max);
                    }
                }
                DataType::Dictionary(..) => {
                    let labels = array.as_dictionary::<Int32Type>();
                    let texts = labels.values().as_string::<i32>();
                    let mut is_used = vec![false; texts.len()];
                    labels.keys().iter().flatten().for_each(|code| is_used[code as usize] = true);
                    for (code, _) in is_used.iter().enumerate().filter(|(_, is_used)| **is_used) {
                        column.cover_text(texts.value(code));
                    }
                }
                _ => {}
            }
        }
    }

    /// From the earliest to just after the latest row.
    pub(crate) fn time_range(&self) -> TimeRange {
        match self.columns.first().and_then(|time| time.range.as_ref()) {
            Some(ValueRange::Int(min, max)) => TimeRange::new(UnixNanos(*min), UnixNanos(max.saturating_add(1))),
            _ => TimeRange::ALL,
        }
    }

    /// Smallest and largest service name, cut.
    pub(crate) fn service_range(&self) -> Option<(String, String)> {
        let service = self.columns.iter().find(|column| column.name == "service_name")?;
        match service.range.as_ref()? {
            ValueRange::Text(min, max) => Some((cut(min), round_up(max)?)),
            ValueRange::Int(..) => None,
        }
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// As Delta wants it.
    pub(crate) fn to_json(&self) -> String {
        let (mut mins, mut maxs, mut nulls) = (Map::new(), Map::new(), Map::new());
        for column in &self.columns {
            nulls.insert(column.name.to_owned(), json!(column.n_nulls));
            let (min, max) = match &column.range {
                Some(ValueRange::Int(min, max)) => (json!(min), Some(json!(max))),
                Some(ValueRange::Text(min, max)) => (json!(cut(min)), round_up(max).map(Value::String)),
                None => continue,
            };
            mins.insert(column.name.to_owned(), min);
            if let Some(max) = max {
                maxs.insert(column.name.to_owned(), max);
            }
        }
        json!({"numRecords": self.n_rows, "minValues": mins, "maxValues": maxs, "nullCount": nulls}).to_string()
    }
}

impl ColumnStats {
    fn cover_int(&mut self, low: i64, high: i64) {
        self.range = Some(match self.range.take() {
            Some(ValueRange::Int(min, max)) => ValueRange::Int(min.min(low), max.max(high)),
            _ => ValueRange::Int(low, high),
        });
    }

    fn cover_text(&mut self, text: &str) {
        match &mut self.range {
            Some(ValueRange::Text(min, max)) => {
                if text < min.as_str() {
                    text.clone_into(min);
                }
                if text > max.as_str() {
                    text.clone_into(max);
                }
            }
            range => *range = Some(ValueRange::Text(text.to_owned(), text.to_owned())),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS).collect()
}

/// A short text that is not smaller than `text`; `None` when there is none.
fn round_up(text: &str) -> Option<String> {
    let mut chars: Vec<char> = text.chars().take(TEXT_CHARS + 1).collect();
    if chars.len() <= TEXT_CHARS {
        return Some(text.to_owned());
    }
    chars.truncate(TEXT_CHARS);
    // The last character that has a next one grows; what follows it goes.
    while let Some(last) = chars.pop() {
        let next = (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// What the table log knows about a file; `None` when the statistics are not ours.
pub(crate) fn read_meta(
    table: &'static Table,
    path: Path,
    size_bytes: u64,
    crc32c: Option<u32>,
    day: i32,
    json: &str,
) -> Option<SegmentMeta> {
    let stats: Value = serde_json::from_str(json).ok()?;
    let n_rows = stats.get("numRecords")?.as_u64()?;
    let value = |side: &str, name: &str| stats.get(side).and_then(|values| values.get(name));
    let start = value("minValues", table.time).and_then(Value::as_i64).map_or(i64::MIN, |min| min);
    let end = value("maxValues", table.time).and_then(Value::as_i64).map_or(i64::MAX, |max| max.saturating_add(1));
    let text = |side: &str| Some(value(side, "service_name")?.as_str()?.to_owned());
    let (created, level) = parse_segment(&path);
    Some(SegmentMeta {
        path,
        size_bytes,
        n_rows,
        day,
        level,
        created,
        crc32c,
        time_range: TimeRange::new(UnixNanos(start), UnixNanos(end)),
        service_range: text("minValues").zip(text("maxValues")),
    })
}

/// The meta of a file just written.
pub(crate) fn meta(path: Path, sums: &BlockSums, day: i32, stats: &FileStats) -> Arc<SegmentMeta> {
    let (created, level) = parse_segment(&path);
    Arc::new(SegmentMeta {
        path,
        size_bytes: sums.size(),
        n_rows: stats.n_rows(),
        day,
        level,
        created,
        crc32c: Some(sums.whole()),
        time_range: stats.time_range(),
        service_range: stats.service_range(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_text_is_rounded_up_when_cut() {
        assert_eq!(round_up("checkout").as_deref(), Some("checkout"));
        let long = "a".repeat(40);
        let up = round_up(&long).expect("an a has a next character");
        assert!(up.as_str() > long.as_str() && up.chars().count() == TEXT_CHARS);
        assert_eq!(round_up(&char::MAX.to_string().repeat(40)), None);
        assert!(cut(&long).as_str() < long.as_str());
    }
}
