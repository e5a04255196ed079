//! The typed attribute list: attributes without a column of their own, as sent.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Float64Type, Int64Type};
use storage::table::attributes_item;

use super::columns::{Bytes, Lists, exact, texts};
use super::message::{Text, Value};
use super::text;

/// The type of an entry of the attribute list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntryKind {
    Empty,
    Text,
    Int,
    Double,
    Bool,
    Bytes,
    Json,
}

/// The typed attribute list: one entry per attribute without a column. Each entry writes its key, its type, and
/// into the column of its type; the nulls of the other columns follow from the types.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    rows: Lists,
    keys: Bytes,
    kinds: Vec<EntryKind>,
    texts: SparseBytes,
    ints: Vec<i64>,
    doubles: Vec<f64>,
    bools: Vec<bool>,
    bytes: SparseBytes,
    json: SparseBytes,
}

impl Entries {
    /// Adds an entry to the current row.
    #[inline]
    pub(crate) fn push(&mut self, key: Text<'_>, value: &Value<'_>) {
        let index = self.kinds.len();
        self.keys.push(key);
        let kind = match value {
            Value::Empty => EntryKind::Empty,
            Value::Text(text) => {
                self.texts.put(index, |out| out.extend_from_slice(text));
                EntryKind::Text
            }
            Value::Int(int) => {
                put(&mut self.ints, index, *int);
                EntryKind::Int
            }
            Value::Double(double) => {
                put(&mut self.doubles, index, *double);
                EntryKind::Double
            }
            Value::Bool(bool) => {
                put(&mut self.bools, index, *bool);
                EntryKind::Bool
            }
            Value::Bytes(bytes) => {
                self.bytes.put(index, |out| out.extend_from_slice(bytes));
                EntryKind::Bytes
            }
            Value::List(_) | Value::Map(_) => {
                self.json.put(index, |out| text::write_value(out, value));
                EntryKind::Json
            }
        };
        self.kinds.push(kind);
    }

    /// Ends the row.
    #[inline]
    pub(crate) fn end_row(&mut self) {
        self.rows.end_row(self.kinds.len());
    }

    /// The column; the builder begins again.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        let kinds = std::mem::take(&mut self.kinds);
        let n = kinds.len();
        let nulls = |kind: EntryKind| {
            let is_valid = BooleanBuffer::collect_bool(n, |at| kinds.get(at) == Some(&kind));
            (is_valid.count_set_bits() < n).then(|| NullBuffer::new(is_valid))
        };
        let (texts_ends, texts_bytes) = self.texts.parts(n);
        let (bytes_ends, bytes_bytes) = self.bytes.parts(n);
        let (json_ends, json_bytes) = self.json.parts(n);
        self.bools.resize(n, false);
        let bools = BooleanArray::new(BooleanBuffer::from(self.bools.as_slice()), nulls(EntryKind::Bool));
        self.bools.clear();
        let columns: Vec<ArrayRef> = vec![
            self.keys.finish_texts(),
            Arc::new(texts(texts_ends, texts_bytes, nulls(EntryKind::Text))),
            Arc::new(PrimitiveArray::<Int64Type>::new(filled(&mut self.ints, n), nulls(EntryKind::Int))),
            Arc::new(PrimitiveArray::<Float64Type>::new(filled(&mut self.doubles, n), nulls(EntryKind::Double))),
            Arc::new(bools),
            Arc::new(BinaryArray::new(bytes_ends, bytes_bytes, nulls(EntryKind::Bytes))),
            Arc::new(texts(json_ends, json_bytes, nulls(EntryKind::Json))),
        ];
        self.kinds = kinds;
        self.kinds.clear();
        self.rows.finish_structs(attributes_item(), columns)
    }
}

/// Values at some of the rows; those between are empty.
#[derive(Debug)]
struct SparseBytes {
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl Default for SparseBytes {
    fn default() -> Self {
        Self { ends: vec![0], bytes: Vec::new() }
    }
}

impl SparseBytes {
    #[inline]
    fn put(&mut self, index: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if self.ends.len() <= index {
            self.ends.resize(index + 1, self.bytes.len() as i32);
        }
        write(&mut self.bytes);
        self.ends.push(self.bytes.len() as i32);
    }

    fn parts(&mut self, n: usize) -> (OffsetBuffer<i32>, Buffer) {
        self.ends.resize(n + 1, self.bytes.len() as i32);
        let ends = OffsetBuffer::new(exact(&mut self.ends));
        self.ends.push(0);
        (ends, exact(&mut self.bytes).into_inner())
    }
}

#[inline]
fn put<T: Default + Clone>(values: &mut Vec<T>, index: usize, value: T) {
    if values.len() < index {
        values.resize(index, T::default());
    }
    values.push(value);
}

fn filled<T: arrow::datatypes::ArrowNativeType>(values: &mut Vec<T>, n: usize) -> ScalarBuffer<T> {
    values.resize(n, T::default());
    exact(values)
}
