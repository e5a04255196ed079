//! Rows for tests: every needed column filled, a number in the span id to find them again.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Int32Type};

use crate::batch::Batch;
use crate::table::{Column, Kind, LOGS, Need, SPANS, Table};

/// 2026-11-20T00:00:00Z.
pub(crate) const DAY_START: i64 = 20_777 * model::UnixNanos::DAY;

/// Spans with these numbers in their span ids; number n starts n milliseconds after [`DAY_START`],
/// belongs to trace n / 10 and service n % 3.
pub(crate) fn spans(numbers: Range<u64>) -> Batch {
    spans_at(numbers, DAY_START)
}

/// The same, from another moment on.
pub(crate) fn spans_at(numbers: Range<u64>, start: i64) -> Batch {
    let numbers: Vec<u64> = numbers.collect();
    batch(&SPANS, numbers.len(), |column| match column.name {
        "trace_id" => Some(binary(numbers.iter().map(|n| trace_id(n / 10).to_vec()))),
        "span_id" => Some(binary(numbers.iter().map(|n| n.to_be_bytes().to_vec()))),
        "start_time" => {
            Some(Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| start + *n as i64 * 1_000_000))))
        }
        "service_name" => Some(labels(numbers.iter().map(|n| format!("service-{}", n % 3)))),
        _ => None,
    })
}

/// `n_rows` log records.
pub(crate) fn logs(n_rows: usize) -> Batch {
    batch(&LOGS, n_rows, |column| {
        (column.name == "time").then(|| Arc::new(Int64Array::from(vec![DAY_START; n_rows])) as ArrayRef)
    })
}

/// Log records with these numbers in their span ids, a millisecond apart.
pub(crate) fn numbered_logs(numbers: Range<u64>) -> Batch {
    let numbers: Vec<u64> = numbers.collect();
    batch(&LOGS, numbers.len(), |column| match column.name {
        "span_id" => Some(binary(numbers.iter().map(|n| n.to_be_bytes().to_vec()))),
        "time" => {
            let times = numbers.iter().map(|n| DAY_START + (*n % 86_000) as i64 * 1_000_000);
            Some(Arc::new(Int64Array::from_iter_values(times)))
        }
        _ => None,
    })
}

/// The id of trace n: mixed, so that neighbours differ in their first bytes.
pub(crate) fn trace_id(n: u64) -> [u8; 16] {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mixed.to_be_bytes());
    id[8..].copy_from_slice(&(n + 1).to_be_bytes());
    id
}

/// Numbers in the span ids of these rows.
pub(crate) fn span_ids(records: &RecordBatch) -> Vec<u64> {
    let ids = records.column_by_name("span_id").expect("spans have ids").as_binary::<i32>();
    ids.iter().flatten().map(|id| u64::from_be_bytes(id.try_into().expect("8 bytes"))).collect()
}

/// Rows of any table: given columns, plain values in the other needed ones.
pub(crate) fn batch(table: &'static Table, n_rows: usize, given: impl Fn(&Column) -> Option<ArrayRef>) -> Batch {
    let columns = table.columns().iter().filter_map(|column| {
        let array = given(column).or_else(|| (column.need == Need::Always).then(|| plain(column.kind, n_rows)))?;
        Some((column.name, array))
    });
    Batch::from_columns(table, n_rows, columns).expect("the columns fit")
}

fn plain(kind: Kind, n_rows: usize) -> ArrayRef {
    match kind {
        Kind::Id16 => binary((0..n_rows).map(|_| vec![1; 16])),
        Kind::Id8 => binary((0..n_rows).map(|_| vec![1; 8])),
        Kind::Label | Kind::Json => labels((0..n_rows).map(|_| "{}".to_owned())),
        Kind::Text | Kind::JsonText => Arc::new(StringArray::from(vec!["[]"; n_rows])),
        // An hour into the day: arrival times and other moments.
        Kind::UnixNanos => Arc::new(Int64Array::from(vec![DAY_START + 3_600_000_000_000; n_rows])),
        Kind::Int64 => Arc::new(Int64Array::from(vec![7; n_rows])),
        Kind::Int32 => Arc::new(Int32Array::from(vec![1; n_rows])),
        Kind::Flags => Arc::new(Int32Array::from(vec![0; n_rows])),
        Kind::Float64 => Arc::new(Float64Array::from(vec![0.5; n_rows])),
        Kind::Bool => Arc::new(BooleanArray::from(vec![true; n_rows])),
        Kind::Attributes | Kind::Events | Kind::Links | Kind::Ints | Kind::Floats => {
            let DataType::List(field) = kind.arrow() else { unreachable!("these kinds are lists") };
            let values = new_empty_array(field.data_type());
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(0, n_rows));
            Arc::new(arrow::array::ListArray::new(field, offsets, values, None))
        }
    }
}

fn binary(values: impl Iterator<Item = Vec<u8>>) -> ArrayRef {
    Arc::new(BinaryArray::from_iter_values(values))
}

pub(crate) fn labels(values: impl Iterator<Item = String>) -> ArrayRef {
    let values: Vec<String> = values.collect();
    Arc::new(values.iter().map(|value| Some(value.as_str())).collect::<DictionaryArray<Int32Type>>())
}
