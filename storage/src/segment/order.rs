//! Which row goes where: by day, then by the table's sort order, then by arrival.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use model::{Repairs, UnixNanos};

use super::gather::Gather;
use crate::error::Result;
use crate::table::Table;

/// Columns of a sort order that count here; further ones would not help a reader.
const SORT_COLUMNS_MAX: usize = 3;

/// A row's place: number of the batch and of the row in it.
pub(crate) type Place = (usize, usize);

/// Rows of one day, sorted.
#[derive(Debug)]
pub(crate) struct DayRows {
    /// UTC day, in days since 1970.
    pub day: i32,
    /// Where the rows stand.
    pub places: Vec<Place>,
}

/// All rows of all batches in the table's sort order, whatever their days.
///
/// # Errors
/// When more than 2^31 bytes of one column would come together.
pub(crate) fn sorted(table: &'static Table, batches: &[&RecordBatch]) -> Result<RecordBatch> {
    let mut rows: Vec<Row> = Vec::with_capacity(batches.iter().map(|batch| batch.num_rows()).sum());
    for (batch_index, batch) in batches.iter().enumerate() {
        let place = |row_index| Row { day: 0, keys: [0; 3], batch: batch_index as u32, row: row_index as u32 };
        rows.extend((0..batch.num_rows()).map(place));
    }
    rank(table, batches, &mut rows);
    let places: Vec<Place> = rows.iter().map(|row| (row.batch as usize, row.row as usize)).collect();
    Gather::new(&table.schema(), batches).take(&places)
}

struct Row {
    day: i32,
    keys: [u64; SORT_COLUMNS_MAX],
    batch: u32,
    row: u32,
}

/// Sorts the rows of all batches.
///
/// - Day: of the row's time. A row whose clock is off (flagged, more than a day ahead of its arrival, or
///   more than `retention_days` behind it) is filed by its arrival, so that a bad clock cannot make a
///   partition per row.
/// - Cost: O(n log n) on integers; labels are ranked first.
pub(crate) fn by_day(table: &'static Table, batches: &[&RecordBatch], retention_days: u32) -> Vec<DayRows> {
    let n_rows = batches.iter().map(|batch| batch.num_rows()).sum();
    let mut rows: Vec<Row> = Vec::with_capacity(n_rows);
    for (batch_index, batch) in batches.iter().enumerate() {
        let days = days(table, batch, retention_days);
        let place = |(row_index, day)| Row { day, keys: [0; 3], batch: batch_index as u32, row: row_index as u32 };
        rows.extend(days.into_iter().enumerate().map(place));
    }
    rank(table, batches, &mut rows);
    let days = rows.chunk_by(|a, b| a.day == b.day);
    let places = |rows: &[Row]| rows.iter().map(|row| (row.batch as usize, row.row as usize)).collect();
    days.map(|rows| DayRows { day: rows[0].day, places: places(rows) }).collect()
}

/// Gives rows, which stand in the order of their batches, their keys, and sorts them.
fn rank(table: &'static Table, batches: &[&RecordBatch], rows: &mut [Row]) {
    for (key_index, name) in table.sort.iter().take(SORT_COLUMNS_MAX).enumerate() {
        let mut row_index = 0;
        for keys in keys(table, batches, name) {
            for key in keys {
                rows[row_index].keys[key_index] = key;
                row_index += 1;
            }
        }
    }
    rows.sort_unstable_by_key(|row| (row.day, row.keys, row.batch, row.row));
}

/// The day under which each row is filed.
fn days(table: &'static Table, batch: &RecordBatch, retention_days: u32) -> Vec<i32> {
    let Some(times) = int64(table, batch, table.time) else { return vec![0; batch.num_rows()] };
    let arrivals = int64(table, batch, "arrival_time");
    let repairs = table.column("repairs").and_then(|(index, _)| batch.column(index).as_primitive_opt::<Int32Type>());
    let day = |row: usize| {
        let day = UnixNanos(times.value(row)).day();
        let Some(arrival) = arrivals.map(|arrivals| UnixNanos(arrivals.value(row)).day()) else { return day };
        let is_flagged =
            repairs.is_some_and(|repairs| Repairs::from_bits(repairs.value(row)).contains(Repairs::CLOCK_SKEW));
        let oldest = arrival.saturating_sub(i32::try_from(retention_days).unwrap_or(i32::MAX).saturating_add(1));
        if is_flagged || day > arrival.saturating_add(1) || day < oldest { arrival } else { day }
    };
    (0..batch.num_rows()).map(day).collect()
}

fn int64<'a>(table: &'static Table, batch: &'a RecordBatch, name: &str) -> Option<&'a Int64Array> {
    let (index, _) = table.column(name)?;
    batch.column(index).as_primitive_opt::<Int64Type>()
}

/// Per batch, a number per row that sorts as the column does; nulls first.
fn keys(table: &'static Table, batches: &[&RecordBatch], name: &str) -> Vec<Vec<u64>> {
    let Some((index, _)) = table.column(name) else { return Vec::new() };
    match batches.first().map(|batch| batch.column(index).data_type().clone()) {
        Some(DataType::Int64) => batches.iter().map(|batch| int_keys(batch.column(index).as_primitive())).collect(),
        Some(DataType::Dictionary(..)) => label_keys(batches, index),
        // Other kinds do not stand in a sort order.
        _ => Vec::new(),
    }
}

fn int_keys(values: &Int64Array) -> Vec<u64> {
    values.iter().map(|value| value.map_or(0, |value| (value as u64) ^ (1 << 63))).collect()
}

fn label_keys(batches: &[&RecordBatch], index: usize) -> Vec<Vec<u64>> {
    let columns: Vec<_> = batches.iter().map(|batch| batch.column(index).as_dictionary::<Int32Type>()).collect();
    let values = columns.iter().flat_map(|column| column.values().as_string::<i32>().iter().flatten());
    let mut ranks: BTreeMap<&str, u64> = values.map(|value| (value, 0)).collect();
    ranks.values_mut().zip(1..).for_each(|(rank, number)| *rank = number);
    let keys = columns.iter().map(|column| {
        let values = column.values().as_string::<i32>();
        let by_code: Vec<u64> = values.iter().map(|value| value.map_or(0, |value| ranks[value])).collect();
        column.keys().iter().map(|code| code.map_or(0, |code| by_code[code as usize])).collect()
    });
    keys.collect()
}
